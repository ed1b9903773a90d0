"""
Where an OpenID Connect provider has its keys: it says so in a document below its issuer's name.

OpenID Connect Discovery 1.0, section 4: the document is at ISSUER/.well-known/openid-configuration,
names the same issuer to the letter, and the keys as `jwks_uri`.
"""

import json
import ssl
from typing import TYPE_CHECKING, Final

from adapters.security.settings import is_trusted_url

if TYPE_CHECKING:
    import aiohttp

_BELOW: Final = "/.well-known/openid-configuration"
_BYTES_MAX: Final = 1_048_576


async def fetched(session: "aiohttp.ClientSession", url: str, tls: ssl.SSLContext) -> bytes:
    """
    What is behind a URL, without following it elsewhere.

    Raises
    ------
    aiohttp.ClientError, OSError, TimeoutError, ValueError
        It cannot be had.
    """
    async with session.get(url, ssl=tls, allow_redirects=False) as response:
        if response.status != 200:
            raise ValueError(f"status {response.status} of {url}")
        return await response.content.read(_BYTES_MAX)


async def keys_url(session: "aiohttp.ClientSession", issuer: str, tls: ssl.SSLContext) -> str:
    """
    Where an issuer says that its keys are.

    Raises
    ------
    aiohttp.ClientError, OSError, TimeoutError, ValueError
        It does not say, or is another issuer.
    """
    raw = await fetched(session, issuer.rstrip("/") + _BELOW, tls)
    try:
        document = json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    named = document.get("issuer") if isinstance(document, dict) else None
    if named != issuer:
        raise ValueError(f"expected the document of issuer {issuer!r}, got that of {named!r:.200}")
    url = document.get("jwks_uri")
    if not (isinstance(url, str) and is_trusted_url(url)):
        raise ValueError(f"jwks_uri: expected https://HOST/PATH, got {url!r:.200}")
    return url
