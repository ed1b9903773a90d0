"""
The certificate of the gRPC port, renewed without a restart, and the names in those of callers.

At each new connection files are looked at: what has changed is read, checked and, if right, taken.
Connections that stand keep what they began with, until they are of full age.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import grpc
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from adapters.security.watched_files import WatchedFiles
from engine.refusals import BadConfiguration

_log = structlog.get_logger(__name__)

# Property of a connection -> how its values are written in the callers file.
_NAMES: Final = (("peer_uri", "URI"), ("peer_dns", "DNS"), ("x509_common_name", "CN"))


class ServerCertificate:
    """
    Files of the server's certificate.

    Parameters
    ----------
    certificate_file, key_file, client_ca_file
        PEM; no `client_ca_file` asks callers for no certificate.
    tell_expiry
        Told when the certificate ends, seconds since the Unix epoch, at each load.

    Raises
    ------
    BadConfiguration
        A file is none of these, or the key is of another certificate.
    """

    def __init__(
        self,
        certificate_file: str,
        key_file: str,
        client_ca_file: str = "",
        tell_expiry: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._paths = (certificate_file, key_file, client_ca_file)
        self._files = WatchedFiles(self._paths)
        self._tell_expiry = tell_expiry
        self._begun_with = self._load()

    def credentials(self) -> grpc.ServerCredentials:
        """What a listener serves with."""
        return grpc.dynamic_ssl_server_credentials(
            self._begun_with,
            self._renewed,  # type: ignore[arg-type]  # None is for no change
            require_client_authentication=bool(self._paths[2]),
        )

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """What to serve with from now on; None for the same as before."""
        if not self._files.have_changed():
            return None
        try:
            loaded = self._load()
        except BadConfiguration as error:
            # Perhaps one of two files is written already: the other will be a change, too.
            _log.warning("certificate_not_reloaded", error=str(error))
            return None
        _log.info("certificate_reloaded", path=self._paths[0])
        return loaded

    def _load(self) -> grpc.ServerCertificateConfiguration:
        certificate_file, key_file, client_ca_file = self._paths
        chain = _read(certificate_file, "tls_certificate_file")
        key = _read(key_file, "tls_key_file")
        authorities = _read(client_ca_file, "tls_client_ca_file") if client_ca_file else None
        place = f"tls_certificate_file {certificate_file}"
        certificate = _certificates(chain, place)[0]
        if authorities is not None:
            _certificates(authorities, f"tls_client_ca_file {client_ca_file}")
        if _public_part(key, key_file) != _public_part_of(certificate, place):
            expected = f"the key of the first certificate in {certificate_file}"
            raise BadConfiguration(f"tls_key_file {key_file}", "another key", expected)
        self._tell_expiry(certificate.not_valid_after_utc.timestamp())
        return grpc.ssl_server_certificate_configuration([(key, chain)], authorities)


def names_of(connection: Mapping[str, Sequence[bytes]]) -> list[str]:
    """
    Names in the certificate of whoever is at the other end, as the callers file writes them.

    Parameters
    ----------
    connection
        gRPC's `auth_context` of a call.
    """
    return [
        f"{kind}:{value.decode(errors='replace')}"
        for name, kind in _NAMES
        for value in connection.get(name, ())
    ]


def _read(path: str, setting: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadConfiguration(f"{setting} {path}", error.strerror, "a readable file") from None


def _certificates(pem: bytes, place: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise BadConfiguration(place, "something else", "PEM with a certificate") from None


def _public_part(pem: bytes, path: str) -> bytes:
    try:
        return _as_bytes(load_pem_private_key(pem, None).public_key())
    except (TypeError, ValueError, UnsupportedAlgorithm):
        expected = "PEM with a key, not encrypted"
        raise BadConfiguration(f"tls_key_file {path}", "something else", expected) from None


def _public_part_of(certificate: x509.Certificate, place: str) -> bytes:
    try:
        return _as_bytes(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        expected = "PEM with a certificate of a key that can be used"
        raise BadConfiguration(place, "something else", expected) from None


def _as_bytes(key: object) -> bytes:
    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return found
