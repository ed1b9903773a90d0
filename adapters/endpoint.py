"""The endpoint of a webhook: which URLs are taken, one attempt, and what an answer means."""

import email.utils
import enum
import errno
import ipaddress
import os
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp

from adapters.process_metrics import version
from adapters.webhook import CONTENT_TYPE, Delivery, signed_headers
from engine.refusals import BadConfiguration

_GONE: Final = 410
# Beside 5xx: the request timed out, came too early, or came too often.
_TRIED_AGAIN: Final = frozenset({408, 425, 429})


class Verdict(enum.Enum):
    """What becomes of a delivery after an attempt."""

    DELIVERED = enum.auto()
    # The same request may succeed later.
    TRY_AGAIN = enum.auto()
    # The same request will be refused again: a status of its own, or a redirection.
    REFUSED = enum.auto()
    # The endpoint wants no more deliveries, ever.
    GONE = enum.auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """
    How an attempt ended.

    Attributes
    ----------
    verdict
        What becomes of the delivery.
    why
        The status, or in one word what kept it from coming: timeout, tls, connection.
    detail
        More about it, for a person; nothing of what was sent or received.
    retry_after_s
        When the endpoint asks to be tried again; 0.0 where it does not.
    """

    verdict: Verdict
    why: str
    detail: str = ""
    retry_after_s: float = 0.0


def verdict_of(status: int) -> Verdict:
    """What a status means for the delivery."""
    if 200 <= status < 300:
        return Verdict.DELIVERED
    if status == _GONE:
        return Verdict.GONE
    if status in _TRIED_AGAIN or status >= 500:
        return Verdict.TRY_AGAIN
    return Verdict.REFUSED


def retry_after_s(value: str, now_s: float) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0.0 for no such."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        at = email.utils.parsedate_to_datetime(text)
        return max(at.timestamp() - now_s, 0.0)
    except (ValueError, OverflowError):
        return 0.0


def check_url(url: str, *, may_be_plain: bool) -> None:
    """
    See whether deliveries may go to a URL.

    Raises
    ------
    BadConfiguration
        It is none, names a user or a fragment, or is not encrypted though it leaves the machine.
    """
    expected = "https://HOST[:PORT][/PATH], or http:// to this machine"
    shown = _shown(url)
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise BadConfiguration("--to", shown, expected) from None
    is_printable = url.isprintable() and " " not in url
    if not (is_whole and is_printable and parts.scheme in ("http", "https")):
        raise BadConfiguration("--to", shown, expected)
    if parts.username is not None or parts.password is not None:
        raise BadConfiguration("--to", shown, "no user or password: deliveries are signed")
    if parts.fragment:
        raise BadConfiguration("--to", shown, "no fragment: it would not be sent")
    if parts.scheme == "http" and not (may_be_plain or _is_loopback(parts.hostname or "")):
        expected = "https://, for events would go over the network unencrypted; or --allow-http"
        raise BadConfiguration("--to", shown, expected)


def origin_of(url: str) -> str:
    """Scheme, host and port: what may stand in a log, for paths may hold keys."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """
    Settings of TLS that trust the authorities of a file, or those of the system.

    Raises
    ------
    BadConfiguration
        The file cannot be read or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except ssl.SSLError:
        what = "no certificate"
    except OSError as error:
        what = error.strerror or "no file"
    raise BadConfiguration(f"--ca-file {ca_file}", what, "a readable PEM file of certificates")


class Endpoint:
    """
    Where deliveries go, over one connection at a time; use it as an async context manager.

    Parameters
    ----------
    url
        One that `check_url` takes.
    secrets
        What to sign with: one signature each.
    tls
        Whom to trust.
    timeout_s
        How long one attempt may take, from the look-up of the name to the head of the answer.
    """

    def __init__(
        self, url: str, secrets: Sequence[bytes], tls: ssl.SSLContext, timeout_s: float
    ) -> None:
        self._url = url
        self._secrets = secrets
        self._tls = tls
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=1),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": f"headgate/{version()}", "content-type": CONTENT_TYPE},
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, delivery: Delivery) -> Answer:
        """Try a delivery once; whatever goes wrong on the way is an answer as well."""
        assert self._session is not None, "not entered"
        headers = signed_headers(delivery, self._secrets, int(time.time()))
        try:
            async with self._session.post(
                self._url, data=delivery.body, headers=headers, allow_redirects=False
            ) as response:
                return Answer(
                    verdict_of(response.status),
                    str(response.status),
                    retry_after_s=retry_after_s(
                        response.headers.get("retry-after", ""), time.time()
                    ),
                )
        except TimeoutError:
            return Answer(Verdict.TRY_AGAIN, "timeout", f"no answer within {self._timeout_s:g} s")
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch, ssl.SSLError) as error:
            return Answer(Verdict.TRY_AGAIN, "tls", _reason_of(error))
        except (aiohttp.ClientError, OSError) as error:
            return Answer(Verdict.TRY_AGAIN, "connection", _reason_of(error))


def _reason_of(error: Exception) -> str:
    """What went wrong on the way, without a URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return os.strerror(error.errno or 0)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def _shown(url: str) -> str:
    """A URL that was refused, without what may be secret in it."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('//')[0]}//...@{tail}" if at else url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
