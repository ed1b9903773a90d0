"""Settings of `headgate serve` that say who may call it, and how."""

import os
import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from adapters.readable_file import PEM_FILE, READABLE_FILE, readable

_CLAIM: Final = "the name of a claim, a.b for b within a"
# Signatures by a private key only. With a shared secret whoever checks tokens could make them, and
# a public key could be passed off as that secret.
ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
_URL: Final = re.compile(r"https://\S+|http://(localhost|127\.0\.0\.1|\[::1\])[:/]\S*")
_CLAIMS: Final = re.compile(r"[^\s.]+(\.[^\s.]+)*")
# What those must be that are neither numbers nor words of a list.
SECURITY_SHAPES: Final = {
    "insecure": "true or false",
    "tls_certificate_file": PEM_FILE,
    "tls_key_file": PEM_FILE,
    "tls_client_ca_file": PEM_FILE,
    "callers_file": READABLE_FILE,
    "jwt_issuer": "the text of the claim iss, or nothing",
    "jwt_audience": "the text of the claim aud, or nothing",
    "jwt_keys": "https://HOST/PATH, http:// to this machine, the path of a readable file, or "
    "nothing",
    "jwt_ca_file": PEM_FILE,
    "jwt_algorithms": f"one or more of {', '.join(ALGORITHMS)}",
    "jwt_tenant_claim": _CLAIM,
    "jwt_roles_claim": _CLAIM,
    "jwt_cells_claim": _CLAIM,
    "audit_file": "the path of a file, or nothing",
    "tenant_weights": "tenants, each once, as TENANT=NUMBER with a number of 0.001 to 1000",
}


def is_url(keys: str) -> bool:
    """Whether `jwt_keys` names a URL."""
    return "://" in keys


def is_trusted_url(url: str) -> bool:
    """Whether only who is meant can answer at a URL: by TLS, or on this machine."""
    return _URL.fullmatch(url) is not None


class SecuritySettings(BaseModel):
    """Those settings, with their bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    insecure: bool = Field(
        False,
        description="Serve an address beyond this machine although anybody there may read, or do, "
        "everything.",
    )
    tls_certificate_file: str = Field(
        "", description="Certificate of the gRPC port with its chain, PEM; nothing for no TLS."
    )
    tls_key_file: str = Field("", description="Key of that certificate, PEM.")
    tls_client_ca_file: str = Field(
        "",
        description="Authorities of which every caller must show a certificate, PEM; nothing to "
        "ask for none.",
    )
    callers_file: str = Field(
        "",
        description="Who may call, one JSON object a line: hashes of tokens, names of "
        "certificates.",
    )
    jwt_issuer: str = Field("", description="Issuer whose JSON Web Tokens are taken.")
    jwt_audience: str = Field("", description="Audience that those tokens must be for.")
    jwt_keys: str = Field(
        "",
        description="Where the issuer's keys are, a JWKS: URL or "
        "file; nothing to ask the issuer, where it is a URL.",
    )
    jwt_ca_file: str = Field(
        "", description="Certificates to trust at that URL, PEM; nothing for the system's."
    )
    jwt_algorithms: tuple[str, ...] = Field(
        ("RS256", "ES256", "EdDSA"), description="How those tokens may be signed, comma-separated."
    )
    jwt_tenant_claim: str = Field("tenant", description="Claim with the caller's tenant.")
    jwt_roles_claim: str = Field(
        "roles", description="Claim with the caller's roles; others than ours are passed over."
    )
    jwt_cells_claim: str = Field(
        "cells", description="Claim with the cells the caller may use, or *."
    )
    audit_file: str = Field(
        "",
        description="File to which records of configuration changes are added; nothing for the "
        "log.",
    )
    connection_streams_max: int = Field(
        1_024,
        ge=1,
        le=1_000_000,
        description="Calls and streams at a time on one connection; more wait at the caller.",
    )
    caller_streams_max: int = Field(
        512,
        ge=1,
        le=1_000_000,
        description="Streams open at a time of one caller; more are refused. Counts where callers "
        "prove who they are.",
    )
    tenant_contacts_per_s: float = Field(
        0.0,
        ge=0,
        le=1_000_000,
        description="New contacts that one tenant may bring each second, in bursts of as many; "
        "more are refused with a delay. 0 for any number.",
    )
    tenant_weights: tuple[str, ...] = Field(
        (),
        description="Weights of tenants, TENANT=NUMBER, comma-separated; 1 for others. While more "
        "than half of calls_in_flight_max are in flight, each that calls may have its part.",
    )

    _check_security_files = field_validator(
        "tls_certificate_file", "tls_key_file", "tls_client_ca_file", "callers_file", "jwt_ca_file"
    )(readable)

    @field_validator("jwt_keys")
    @classmethod
    def _check_keys(cls, value: str) -> str:
        is_right = is_trusted_url(value) if is_url(value) else os.access(value, os.R_OK)
        if value and not is_right:
            raise ValueError
        return value

    @field_validator("jwt_tenant_claim", "jwt_roles_claim", "jwt_cells_claim")
    @classmethod
    def _check_claim(cls, value: str) -> str:
        if not _CLAIMS.fullmatch(value):
            raise ValueError
        return value

    @field_validator("tenant_weights", mode="before")
    @classmethod
    def _split_weights(cls, value: object) -> object:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("tenant_weights")
    @classmethod
    def _check_weights(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parts = [item.rpartition("=") for item in value]
        are_right = all(name and 0.001 <= float(weight) <= 1_000 for name, _, weight in parts)
        if not are_right or len({name for name, _, _ in parts}) < len(parts):
            raise ValueError
        return value

    @property
    def weight_of_tenant(self) -> dict[str, float]:
        """Weights by tenant."""
        parts = (item.rpartition("=") for item in self.tenant_weights)
        return {name: float(weight) for name, _, weight in parts}

    @field_validator("jwt_algorithms", mode="before")
    @classmethod
    def _split_algorithms(cls, value: object) -> object:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("jwt_algorithms")
    @classmethod
    def _check_algorithms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not set(value) <= set(ALGORITHMS):
            raise ValueError
        return value

    @property
    def is_encrypted(self) -> bool:
        """Whether the gRPC port speaks TLS."""
        return bool(self.tls_certificate_file)

    @property
    def discovers_keys(self) -> bool:
        """Whether the issuer itself is asked where its keys are."""
        return bool(self.jwt_issuer and not self.jwt_keys)

    @property
    def asks_who_calls(self) -> bool:
        """Whether callers must prove who they are."""
        return bool(self.callers_file or self.jwt_issuer)
