"""What must be so before anything is served: nobody beyond this machine is let in by mistake."""

import ipaddress
import socket
from pathlib import Path
from typing import Final

from adapters.addresses import split_address
from adapters.security.callers import read_callers
from adapters.security.certificates import ServerCertificate
from adapters.security.key_set import KeySet, source_of
from adapters.security.settings import SecuritySettings, is_trusted_url
from engine.refusals import BadConfiguration

_EXPOSED: Final = (
    "an address of this machine only, such as 127.0.0.1:7443, or {missing}; --insecure serves it "
    "all the same"
)
_TLS: Final = "TLS (tls_certificate_file, tls_key_file)"
_CALLERS: Final = "callers who prove who they are (callers_file, or jwt_issuer)"


def require_protection(settings: SecuritySettings, address: str, *, channelz: bool) -> None:
    """
    See whether settings go together, files hold what they should, and the address is protected.

    Raises
    ------
    BadConfiguration
        Not so; says what is missing.
    """
    _require_pairs(settings)
    if settings.asks_who_calls and channelz:
        expected = "off where callers prove who they are: it shows everybody's connections to all"
        raise BadConfiguration("channelz", True, expected)
    if settings.callers_file:
        read_callers(Path(settings.callers_file))
    if settings.jwt_issuer:
        KeySet(source_of(settings), settings.jwt_ca_file)
    if settings.is_encrypted:
        ServerCertificate(
            settings.tls_certificate_file, settings.tls_key_file, settings.tls_client_ca_file
        )
    missing = [
        *(() if settings.is_encrypted else (_TLS,)),
        *(() if settings.asks_who_calls else (_CALLERS,)),
    ]
    if missing and not settings.insecure and is_exposed(address):
        raise BadConfiguration("address", address, _EXPOSED.format(missing=" and ".join(missing)))


def _require_pairs(settings: SecuritySettings) -> None:
    """Settings of which one is nothing without the other."""
    for name, other in (
        ("tls_certificate_file", "tls_key_file"),
        ("tls_key_file", "tls_certificate_file"),
        ("tls_client_ca_file", "tls_certificate_file"),
        ("jwt_issuer", "jwt_audience"),
        ("jwt_audience", "jwt_issuer"),
        ("jwt_keys", "jwt_issuer"),
    ):
        if getattr(settings, name) and not getattr(settings, other):
            raise BadConfiguration(other, "", f"a value, as {name} has one")
    if settings.discovers_keys and not is_trusted_url(settings.jwt_issuer):
        expected = "a value, as jwt_issuer is no https:// URL at which keys could be asked for"
        raise BadConfiguration("jwt_keys", "", expected)
    if settings.tls_client_ca_file and not settings.asks_who_calls:
        expected = "a file that says what each certificate may do, as tls_client_ca_file is set"
        raise BadConfiguration("callers_file", "", expected)


def is_exposed(address: str) -> bool:
    """Whether others than this machine can reach an address."""
    host, port = split_address(address)
    try:
        found = {item[4][0] for item in socket.getaddrinfo(host, port)}
    except OSError:
        # Nobody can listen there, which is told when it is tried.
        return False
    return not all(ipaddress.ip_address(str(item)).is_loopback for item in found)
