"""Why a call is not let in: what the caller is told, and what is counted and logged."""

import enum
from collections.abc import Mapping
from typing import Final

from google.rpc import code_pb2

from adapters.errors import CallRefused

_RETRY_MS: Final = 1_000


class Failure(enum.Enum):
    """
    Why, in a word for metrics and logs.

    Callers are told less than that: how a credential failed is for whoever runs the engine.
    """

    # No credential came with the call.
    MISSING = "missing"
    # It is no bearer token, or there are several.
    MALFORMED = "malformed"
    # A token that is not in the callers file, and no JSON Web Token where those are taken.
    UNKNOWN_TOKEN = "unknown_token"
    # A certificate of the right authority, but of none in the callers file.
    UNKNOWN_CERTIFICATE = "unknown_certificate"
    # Of JSON Web Tokens: signed in a way, or by a key, that is not taken.
    ALGORITHM = "algorithm"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    NOT_YET_VALID = "not_yet_valid"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    CLAIMS = "claims"
    # It was right once.
    EXPIRED = "expired"
    # The issuer's keys are not known yet: nobody's fault who calls.
    KEYS_UNAVAILABLE = "keys_unavailable"
    # The caller is known and may not do this.
    ROLE = "role"
    CELL = "cell"


# What callers are told: code, reason, message. Of whatever is not here, that it is not valid.
_TOLD: Final[Mapping[Failure, tuple[int, str, str]]] = {
    Failure.MISSING: (
        code_pb2.UNAUTHENTICATED,
        "CREDENTIAL_MISSING",
        "expected a credential: authorization: Bearer TOKEN, or a certificate",
    ),
    Failure.EXPIRED: (
        code_pb2.UNAUTHENTICATED,
        "CREDENTIAL_EXPIRED",
        "the credential has expired",
    ),
    Failure.KEYS_UNAVAILABLE: (
        code_pb2.UNAVAILABLE,
        "KEYS_UNAVAILABLE",
        "the issuer's keys are not known now, so that the credential cannot be checked",
    ),
    Failure.ROLE: (code_pb2.PERMISSION_DENIED, "ROLE_NOT_ALLOWED", "the role does not fit"),
    Failure.CELL: (code_pb2.PERMISSION_DENIED, "CELL_NOT_ALLOWED", "the cell is another's"),
}
_NOT_VALID: Final = (
    code_pb2.UNAUTHENTICATED,
    "CREDENTIAL_INVALID",
    "the credential is not valid",
)
# The outcome of a call whose caller did not wait for it.
LEFT: Final = CallRefused(code_pb2.CANCELLED, "", "it may have been done after all")
REASONS: Final = frozenset(reason for _, reason, _ in (*_TOLD.values(), _NOT_VALID))


class NotKnown(Exception):
    """
    A credential proves nothing.

    Attributes
    ----------
    failure
        Why.
    """

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(detail)
        self.failure = failure


def not_let_in(failure: Failure, message: str = "") -> CallRefused:
    """The refusal of a call; in these words where it says more to whom it is known."""
    code, reason, usual = _TOLD.get(failure, _NOT_VALID)
    retry_after_ms = _RETRY_MS if code == code_pb2.UNAVAILABLE else 0
    return CallRefused(code, reason, message or usual, retry_after_ms=retry_after_ms)
