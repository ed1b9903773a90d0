"""
Keys of the issuer of JSON Web Tokens: a JWKS in a file, behind a URL, or where the issuer says.

What is not in a file is fetched again every few minutes, and at once when a token names a key that
is not known, though not more often than `_AT_MOST_EVERY_S`. While it cannot be fetched the keys
that are known go on counting, for a day.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import jwt
import structlog

from adapters.security.discovery import fetched, keys_url
from adapters.security.settings import SecuritySettings, is_url
from adapters.security.watched_files import WatchedFiles
from engine.refusals import BadConfiguration

_log = structlog.get_logger(__name__)

_FETCH_EVERY_S: Final = 300.0
_AT_MOST_EVERY_S: Final = 10.0
_STALE_S_MAX: Final = 86_400.0
_TIMEOUT_S: Final = 5.0
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
# Kind and curve of a key -> what it may sign with.
_FITTING: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("RSA", ""): _RSA,
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}


@dataclass(frozen=True, slots=True)
class Key:
    """
    A public key.

    Attributes
    ----------
    key
        The key.
    algorithms
        What it may have signed with.
    """

    key: jwt.PyJWK
    algorithms: frozenset[str]


def read_keys(raw: bytes) -> dict[str, Key]:
    """
    Keys of a JWKS by their id, "" for one without; what is no public key to sign with is left out.

    Raises
    ------
    ValueError
        It is none, or holds no such key.
    """
    try:
        document = json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError('expected {"keys": [...]}')
    found: dict[str, Key] = {}
    for entry in entries:
        key = _key(entry) if isinstance(entry, dict) else None
        if key is not None:
            found[str(entry.get("kid", ""))] = key
    if not found:
        raise ValueError("expected at least one key of kind RSA, EC or Ed25519")
    return found


def _key(entry: dict[str, object]) -> Key | None:
    kind, curve, named = str(entry.get("kty")), str(entry.get("crv", "")), entry.get("alg")
    fitting = _FITTING.get((kind, curve), frozenset())
    algorithms = fitting & {str(named)} if named else fitting
    if not algorithms or entry.get("use", "sig") != "sig":
        return None
    try:
        return Key(jwt.PyJWK(entry, algorithm=min(algorithms)), algorithms)
    except jwt.PyJWTError:
        return None


class Source(NamedTuple):
    """
    Where keys are.

    Attributes
    ----------
    place
        Path of a file, or a URL; "" to ask the issuer, as `adapters.security.discovery`.
    issuer
        Who is asked then.
    """

    place: str
    issuer: str = ""

    @property
    def is_remote(self) -> bool:
        """Whether they are fetched."""
        return not self.place or is_url(self.place)

    def __str__(self) -> str:
        return self.place or self.issuer


def source_of(settings: SecuritySettings) -> Source:
    """Where the settings have the issuer's keys."""
    return Source(settings.jwt_keys, settings.jwt_issuer)


class KeySet:
    """
    The issuer's keys, as far as they are known.

    Parameters
    ----------
    source
        Where they are.
    ca_file
        Whom to trust there, PEM; "" for whom the system trusts.
    forget
        Called when the keys are others than before: what was checked with those counts no more.

    Raises
    ------
    BadConfiguration
        The file is none, or `ca_file`.
    """

    def __init__(
        self, source: Source, ca_file: str = "", forget: Callable[[], None] = lambda: None
    ) -> None:
        self._source = source
        self._forget = forget
        self._keys: dict[str, Key] = {}
        self._fetched_s = self._tried_s = -_STALE_S_MAX
        self._fetching: asyncio.Task[bool] | None = None
        self._file = WatchedFiles(() if source.is_remote else (source.place,))
        if source.is_remote:
            self._tls = _trusting(ca_file)
        else:
            try:
                self._keys = read_keys(Path(source.place).read_bytes())
            except (OSError, ValueError) as error:
                what = f"a JWKS ({error})"
                raise BadConfiguration(f"jwt_keys {source}", "something else", what) from None

    @property
    def are_known(self) -> bool:
        """Whether tokens can be checked now."""
        is_fresh = not self._source.is_remote or self._age_s() < _STALE_S_MAX
        return is_fresh and bool(self._keys)

    def find(self, key_id: str) -> Key | None:
        """A key by its id; "" finds the only one."""
        if not key_id and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def look_again(self) -> bool:
        """
        Fetch the keys for the sake of one that is not known, unless they have just been; True when
        they are others now.
        """
        if not self._source.is_remote:
            return False
        if self._fetching is None:
            if time.monotonic() - self._tried_s < _AT_MOST_EVERY_S:
                return False
            self._fetching = asyncio.create_task(self._fetch())
        return await asyncio.shield(self._fetching)

    async def refresh(self) -> bool:
        """Read the file or fetch the URL where that is due; True when the keys are others now."""
        if not self._source.is_remote:
            return self._file.have_changed() and self._reread()
        pause_s = _FETCH_EVERY_S if self.are_known else _AT_MOST_EVERY_S
        return time.monotonic() - self._tried_s >= pause_s and await self.look_again()

    def _age_s(self) -> float:
        return time.monotonic() - self._fetched_s

    def _reread(self) -> bool:
        try:
            return self._take(Path(self._source.place).read_bytes())
        except (OSError, ValueError) as error:
            _log.warning("keys_not_reloaded", path=self._source.place, error=str(error))
            return False

    async def _fetch(self) -> bool:
        self._tried_s = time.monotonic()
        # Here, for it takes a tenth of a second of every start.
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
                place = self._source.place
                url = place or await keys_url(session, self._source.issuer, self._tls)
                is_changed = self._take(await fetched(session, url, self._tls))
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            _log.warning(
                "keys_not_fetched", url=str(self._source), error=why, known=len(self._keys)
            )
            return False
        finally:
            self._fetching = None
        self._fetched_s = time.monotonic()
        return is_changed

    def _take(self, raw: bytes) -> bool:
        keys = read_keys(raw)
        is_changed = {name: key.key.key for name, key in keys.items()} != {
            name: key.key.key for name, key in self._keys.items()
        }
        self._keys = keys
        if is_changed:
            self._forget()
            _log.info("keys_loaded", source=str(self._source), keys=sorted(keys))
        return is_changed


def _trusting(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (ssl.SSLError, OSError):
        path, expected = f"jwt_ca_file {ca_file}", "a readable PEM file of certificates"
        raise BadConfiguration(path, "something else", expected) from None
