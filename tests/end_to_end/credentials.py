"""Certificates, keys and tokens for tests, made when they are needed."""

import datetime
import ipaddress
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from adapters.security.tokens import hash_of, new_token

ISSUER = "https://issuer.example"
AUDIENCE = "headgate"


class Signed(NamedTuple):
    """A certificate and its key, in files and as they are."""

    certificate_file: str
    key_file: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Authority:
    """
    An authority that signs certificates for this machine.

    Attributes
    ----------
    ca_file
        Its own certificate, PEM.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._own = self._sign(name, None, ())
        self.ca_file = self._own.certificate_file

    def certificate(self, name: str, *names: x509.GeneralName, days: int = 30) -> Signed:
        """A certificate for `localhost` and 127.0.0.1, and for more names."""
        here = (
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        )
        return self._sign(name, self._own, (*here, *names), days)

    def client(self, name: str, *names: x509.GeneralName) -> Signed:
        """A certificate with no names but these."""
        return self._sign(name, self._own, names)

    def _sign(
        self, name: str, by: Signed | None, names: tuple[x509.GeneralName, ...], days: int = 30
    ) -> Signed:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(by.certificate.subject if by else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(by is None, None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(by.key if by else key, hashes.SHA256())
        stem = self._folder / name
        stem.with_suffix(".pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        stem.with_suffix(".key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return Signed(
            f"{stem.with_suffix('.pem')}", f"{stem.with_suffix('.key')}", certificate, key
        )


class CallersFile:
    """A callers file that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text("# who may call\n")

    def add(self, name: str, roles: str, cells: str = "default", **fields: str) -> str:
        """Add a caller; returns its token, "" for one with a certificate."""
        token = "" if "certificate" in fields else new_token()
        given = {
            "name": name, "tenant": f"tenant of {cells}", "roles": roles.split(),
            "cells": cells.split(), **({"token": str(hash_of(token))} if token else {}), **fields,
        }  # fmt: skip
        with self.path.open("a") as file:
            file.write(json.dumps(given) + "\n")
        return token

    def remove(self, name: str) -> None:
        """Remove a caller."""
        lines = self.path.read_text().splitlines(keepends=True)
        self.path.write_text("".join(line for line in lines if f'"{name}"' not in line))


class Issuer:
    """Gives out JSON Web Tokens, and publishes its keys in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: dict[str, Any] = {}
        self.rotate("first")

    def rotate(self, key_id: str, *, keep: bool = True) -> None:
        """Begin to sign with another key."""
        self.keys = {**(self.keys if keep else {}), key_id: _rsa_key()}
        self.key_id = key_id
        self.path.write_text(json.dumps(self.document()))

    def document(self) -> dict[str, Any]:
        """The JWKS."""
        return {
            "keys": [
                {
                    **jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True),
                    "kid": key_id,
                    "use": "sig",
                }
                for key_id, key in self.keys.items()
            ]
        }

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Claims that are taken, but for what is changed; None leaves one out."""
        now = int(time.time())
        usual = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "crm", "iat": now, "exp": now + 600,
            "tenant": "acme", "roles": ["gateway"], "cells": ["default"],
        }  # fmt: skip
        return {name: value for name, value in {**usual, **changed}.items() if value is not None}

    def token(self, **changed: Any) -> str:
        """A token that is taken, but for what is changed in its claims."""
        return jwt.encode(
            self.claims(**changed),
            self.keys[self.key_id],
            algorithm="RS256",
            headers={"kid": self.key_id},
        )

    def flags(self) -> tuple[str, ...]:
        """Settings of a server that takes its tokens."""
        pairs = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys": str(self.path)}
        return tuple(part for pair in pairs.items() for part in ("--set", "=".join(pair)))


def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
