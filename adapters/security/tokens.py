"""
Tokens of our own: made here, shown once, kept as hashes.

    hgt_<id, 12 hexadecimal digits>_<secret, 43 characters>

The id is no secret: it finds the hash, and may stand in logs. The secret has 256 random bits, so
one round of SHA-256 is as good as a slow hash: there is nothing to guess from.
"""

import hashlib
import hmac
import re
import secrets
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(r"hgt_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_HASH: Final = re.compile(r"([0-9a-f]{12}):([0-9a-f]{64})")
PREFIX: Final = "hgt_"


class TokenHash(NamedTuple):
    """
    What is kept of a token.

    Attributes
    ----------
    token_id
        Part of the token that is no secret.
    digest
        (32,) bytes, SHA-256 of the whole token.
    """

    token_id: str
    digest: bytes

    def __str__(self) -> str:
        """As it stands in the callers file."""
        return f"{self.token_id}:{self.digest.hex()}"


def new_token() -> str:
    """A token nobody has."""
    return f"{PREFIX}{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def hash_of(token: str) -> TokenHash | None:
    """The hash of a token; None where it is none of ours."""
    match = _TOKEN.fullmatch(token)
    return TokenHash(match[1], hashlib.sha256(token.encode()).digest()) if match else None


def parse_hash(text: str) -> TokenHash | None:
    """The hash that a callers file holds; None where it is none."""
    match = _HASH.fullmatch(text)
    return TokenHash(match[1], bytes.fromhex(match[2])) if match else None


def are_same(shown: TokenHash, kept: TokenHash) -> bool:
    """Whether two hashes are of one token; takes as long whichever byte differs."""
    return hmac.compare_digest(shown.digest, kept.digest)
