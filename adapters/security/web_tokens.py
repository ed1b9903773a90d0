"""JSON Web Tokens, such as OpenID Connect providers give out: checked, and read as callers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import jwt

from adapters.security.callers import Caller, is_name
from adapters.security.key_set import Key, KeySet
from adapters.security.refusals import Failure, NotKnown
from adapters.security.roles import Role

# How far the issuer's clock may be off.
_LEEWAY_S: Final = 30
_CELLS_MAX: Final = 1_000
# An issuer may write a number that is no float any more.
_NEVER_S: Final = 1e12

# What is wrong with a token, the first that fits.
_FAILURES: Final[Sequence[tuple[type[jwt.PyJWTError], Failure]]] = (
    (jwt.ExpiredSignatureError, Failure.EXPIRED),
    (jwt.ImmatureSignatureError, Failure.NOT_YET_VALID),
    (jwt.InvalidIssuedAtError, Failure.NOT_YET_VALID),
    (jwt.InvalidIssuerError, Failure.ISSUER),
    (jwt.InvalidAudienceError, Failure.AUDIENCE),
    (jwt.MissingRequiredClaimError, Failure.CLAIMS),
    (jwt.InvalidAlgorithmError, Failure.ALGORITHM),
    (jwt.InvalidKeyError, Failure.SIGNATURE),
    (jwt.InvalidSignatureError, Failure.SIGNATURE),
    (jwt.DecodeError, Failure.MALFORMED),
    (jwt.PyJWTError, Failure.CLAIMS),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """
    Which tokens are taken, and where in them things stand.

    Attributes
    ----------
    issuer, audience
        What `iss` and `aud` must be.
    algorithms
        How they may be signed.
    tenant, roles, cells
        Names of claims, a.b for b within a.
    """

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    tenant: str = "tenant"
    roles: str = "roles"
    cells: str = "cells"


class WebTokens:
    """
    Checks tokens of one issuer.

    Parameters
    ----------
    terms
        Which are taken.
    keys
        The issuer's.
    """

    def __init__(self, terms: Terms, keys: KeySet) -> None:
        self._terms = terms
        self._keys = keys

    async def caller_of(self, token: str) -> Caller:
        """
        Whom a token speaks for.

        Raises
        ------
        NotKnown
            For nobody; says why.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise NotKnown(Failure.MALFORMED, str(error)) from None
        algorithm = str(header.get("alg"))
        if algorithm not in self._terms.algorithms:
            raise NotKnown(Failure.ALGORITHM, f"signed by {algorithm[:20]!r}")
        if "crit" in header:
            raise NotKnown(Failure.CLAIMS, "names critical headers")
        key = await self._key(str(header.get("kid", "")))
        # The token does not choose what its key is used for.
        if algorithm not in key.algorithms:
            raise NotKnown(Failure.ALGORITHM, f"the key does not sign by {algorithm}")
        return self._caller(self._claims(token, key, algorithm))

    async def _key(self, key_id: str) -> Key:
        key = self._keys.find(key_id)
        if key is None:
            await self._keys.look_again()
            key = self._keys.find(key_id)
        if not self._keys.are_known:
            raise NotKnown(Failure.KEYS_UNAVAILABLE)
        if key is None:
            raise NotKnown(Failure.UNKNOWN_KEY, f"key {key_id[:80]!r}")
        return key

    def _claims(self, token: str, key: Key, algorithm: str) -> Mapping[str, object]:
        try:
            return jwt.decode(
                token,
                key=key.key.key,
                algorithms=[algorithm],
                issuer=self._terms.issuer,
                audience=self._terms.audience,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            failure = next(found for kind, found in _FAILURES if isinstance(error, kind))
            raise NotKnown(failure, str(error)) from None
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise NotKnown(Failure.CLAIMS, str(error)) from None

    def _caller(self, claims: Mapping[str, object]) -> Caller:
        tenant, name = _at(claims, self._terms.tenant), claims["sub"]
        if not is_name(name) or not is_name(tenant):
            raise NotKnown(Failure.CLAIMS, f"no sub, or no {self._terms.tenant}")
        roles = _words(_at(claims, self._terms.roles))
        cells = _words(_at(claims, self._terms.cells))
        expires = claims["exp"]
        return Caller(
            str(name),
            str(tenant),
            frozenset(role for role in Role if role in roles),
            frozenset(cells[:_CELLS_MAX]),
            min(expires, _NEVER_S) + _LEEWAY_S if isinstance(expires, int | float) else -math.inf,
        )


def _at(claims: Mapping[str, object], path: str) -> object:
    """A claim by its name; a name with dots may be one claim, as URLs are, or one within others."""
    if path in claims:
        return claims[path]
    found: object = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _words(value: object) -> list[str]:
    """Words of a claim: a list of them, or one text with spaces between, as `scope` has it."""
    if isinstance(value, str):
        return value.split()
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
