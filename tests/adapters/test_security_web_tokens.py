"""JSON Web Tokens: whose are taken, and every known way to forge one refused."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from adapters.security.callers import Caller
from adapters.security.key_set import KeySet, Source
from adapters.security.refusals import Failure, NotKnown
from adapters.security.roles import Role
from adapters.security.web_tokens import Terms, WebTokens
from tests.end_to_end.credentials import AUDIENCE, ISSUER, Issuer

ALL = ("RS256", "RS384", "PS256", "ES256", "EdDSA")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """One issuer, whose keys take a moment to make."""
    return Issuer(tmp_path_factory.mktemp("issuer") / "keys.json")


def web_tokens(issuer: Issuer, **terms: Any) -> WebTokens:
    """What takes its tokens."""
    given = {"algorithms": ("RS256", "ES256")} | terms
    return WebTokens(Terms(ISSUER, AUDIENCE, **given), KeySet(Source(str(issuer.path))))


async def failure(tokens: WebTokens, token: str) -> Failure:
    """Why a token is refused."""
    with pytest.raises(NotKnown) as caught:
        await tokens.caller_of(token)
    return caught.value.failure


def encoded(value: object) -> str:
    """A part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


async def test_token_speaks_for_a_caller(issuer: Issuer) -> None:
    """Name, tenant, roles and cells come from what the issuer has signed."""
    for_ever = await web_tokens(issuer).caller_of(issuer.token(exp=10**400))
    assert for_ever.until_s > 1e11
    expires = int(time.time()) + 100
    token = issuer.token(roles=["reader", "offline_access"], cells=["a", "b"], exp=expires)
    assert await web_tokens(issuer).caller_of(token) == Caller(
        "crm", "acme", frozenset({Role.READER}), frozenset({"a", "b"}), expires + 30
    )


async def test_claims_may_stand_elsewhere(issuer: Issuer) -> None:
    """Each provider has its own names: within others, with dots, as words of one text."""
    token = issuer.token(
        tenant=None, roles=None, cells=None,
        **{"org": {"id": "acme"}, "https://x.example/roles": "gateway author", "scope": "a b"},
    )  # fmt: skip
    terms = {"tenant": "org.id", "roles": "https://x.example/roles", "cells": "scope"}
    caller = await web_tokens(issuer, **terms).caller_of(token)
    assert (caller.tenant, set(caller.cells)) == ("acme", {"a", "b"})
    assert caller.roles == {Role.GATEWAY, Role.AUTHOR}


@pytest.mark.parametrize("claim", ["roles", "cells"])
@pytest.mark.parametrize("value", [None, [], 5, {"a": 1}, [[]], [None], ["admin"], ""])
async def test_claim_that_gives_nothing_gives_nothing(
    issuer: Issuer, claim: str, value: object
) -> None:
    """A caller without a role may do nothing, one without a cell nowhere."""
    caller = await web_tokens(issuer).caller_of(issuer.token(**{claim: value}))
    assert not (caller.roles if claim == "roles" else caller.may_use("default"))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"exp": 1}, Failure.EXPIRED),
        ({"exp": None}, Failure.CLAIMS),
        ({"exp": "soon"}, Failure.MALFORMED),
        ({"exp": float("inf")}, Failure.MALFORMED),  # JSON has none; Python reads it
        ({"nbf": 9_999_999_999}, Failure.NOT_YET_VALID),
        ({"iss": "https://other.example"}, Failure.ISSUER),
        ({"iss": None}, Failure.CLAIMS),
        ({"aud": "another"}, Failure.AUDIENCE),
        ({"aud": None}, Failure.CLAIMS),
        ({"aud": []}, Failure.CLAIMS),
        ({"sub": None}, Failure.CLAIMS),
        ({"sub": "a\nb"}, Failure.CLAIMS),  # would break a log line
        ({"tenant": None}, Failure.CLAIMS),
        ({"tenant": 5}, Failure.CLAIMS),
        ({"tenant": "t" * 129}, Failure.CLAIMS),
    ],
)
async def test_claims_that_are_wrong_are_refused(
    issuer: Issuer, changed: dict[str, Any], expected: Failure
) -> None:
    """A right signature under wrong claims proves nothing to us."""
    assert await failure(web_tokens(issuer), issuer.token(**changed)) is expected


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS256", "RS384", None, 5])
async def test_algorithm_that_is_not_taken_is_refused(issuer: Issuer, algorithm: object) -> None:
    """Above all none: such a token is signed by nobody."""
    header = {"alg": algorithm, "typ": "JWT", "kid": issuer.key_id}
    token = f"{encoded(header)}.{encoded(issuer.claims())}."
    assert await failure(web_tokens(issuer), token) is Failure.ALGORITHM


async def test_public_key_is_no_shared_secret(issuer: Issuer) -> None:
    """Everybody knows it: an HMAC by it is made by anybody."""
    public = issuer.keys[issuer.key_id].public_key()
    for form, encoding in (
        (PublicFormat.SubjectPublicKeyInfo, Encoding.PEM),
        (PublicFormat.SubjectPublicKeyInfo, Encoding.DER),
        (PublicFormat.PKCS1, Encoding.PEM),
    ):
        header = {"alg": "HS256", "kid": issuer.key_id}
        signed = f"{encoded(header)}.{encoded(issuer.claims())}"
        mac = hmac.digest(public.public_bytes(encoding, form), signed.encode(), hashlib.sha256)
        token = f"{signed}.{encoded(mac)}"
        for algorithms in (("RS256",), ("RS256", "HS256")):
            found = await failure(web_tokens(issuer, algorithms=algorithms), token)
            assert found is Failure.ALGORITHM


async def test_key_is_used_for_what_it_is(tmp_path: Path) -> None:
    """An ES256 token under the id of an RSA key, and the other way round."""
    issuer = Issuer(tmp_path / "keys.json")
    other = ec.generate_private_key(ec.SECP256R1())
    token = jwt.encode(issuer.claims(), other, algorithm="ES256", headers={"kid": issuer.key_id})
    assert await failure(web_tokens(issuer), token) is Failure.ALGORITHM


async def test_signature_by_another_key_is_refused(issuer: Issuer) -> None:
    """Also under the right key id, with a key in the header, and without a signature."""
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    own = jwt.algorithms.RSAAlgorithm.to_jwk(other.public_key(), as_dict=True)
    more: tuple[dict[str, Any], ...] = (
        {}, {"jwk": own}, {"jku": "https://evil.example"}, {"x5u": "https://e"},
    )  # fmt: skip
    for one in more:
        headers = {"kid": issuer.key_id, **one}
        token = jwt.encode(issuer.claims(), other, algorithm="RS256", headers=headers)
        assert await failure(web_tokens(issuer), token) is Failure.SIGNATURE
    head, body, signature = issuer.token().split(".")
    changed = encoded(issuer.claims(roles=["author"]))
    assert await failure(web_tokens(issuer), f"{head}.{changed}.{signature}") is Failure.SIGNATURE
    assert await failure(web_tokens(issuer), f"{head}.{body}.") is Failure.SIGNATURE


@pytest.mark.parametrize(
    "text", ["", "a", "a.b", "a.b.c", "..", "é.é.é", "a.b.c.d.e", "eyJ9.e30.x", "W10.e30.", "\0"]
)
async def test_text_that_is_no_token_is_malformed(issuer: Issuer, text: str) -> None:
    """Whatever it is, it is refused and nothing fails."""
    assert await failure(web_tokens(issuer), text) is Failure.MALFORMED


async def test_critical_headers_are_refused(issuer: Issuer) -> None:
    """They say that whoever does not know them must not take the token."""
    key = issuer.keys[issuer.key_id]
    headers = {"kid": issuer.key_id, "crit": ["exp"], "exp": 1}
    token = jwt.encode(issuer.claims(), key, algorithm="RS256", headers=headers)
    assert await failure(web_tokens(issuer), token) in (Failure.CLAIMS, Failure.MALFORMED)


async def test_unknown_key_is_refused(issuer: Issuer) -> None:
    """A token names its key; only where there is one key it need not."""
    key = issuer.keys[issuer.key_id]
    token = jwt.encode(issuer.claims(), key, algorithm="RS256", headers={"kid": "other"})
    assert await failure(web_tokens(issuer), token) is Failure.UNKNOWN_KEY
    unnamed = jwt.encode(issuer.claims(), key, algorithm="RS256")
    assert (await web_tokens(issuer).caller_of(unnamed)).name == "crm"


async def test_each_kind_of_key_signs_as_it_can(tmp_path: Path) -> None:
    """RSA, elliptic curves and Ed25519."""

    issuer = Issuer(tmp_path / "keys.json")
    made: dict[str, tuple[Any, Any, str]] = {
        "curve": (ec.generate_private_key(ec.SECP256R1()), jwt.algorithms.ECAlgorithm, "ES256"),
        "edwards": (ed25519.Ed25519PrivateKey.generate(), jwt.algorithms.OKPAlgorithm, "EdDSA"),
    }
    document = issuer.document()
    for name, (key, kind, _) in made.items():
        document["keys"].append({**kind.to_jwk(key.public_key(), as_dict=True), "kid": name})
    document["keys"].append({"kty": "oct", "k": "c2VjcmV0", "kid": "shared"})
    issuer.path.write_text(json.dumps(document))
    tokens = web_tokens(issuer, algorithms=ALL)
    for name, (key, _, algorithm) in made.items():
        token = jwt.encode(issuer.claims(), key, algorithm=algorithm, headers={"kid": name})
        assert (await tokens.caller_of(token)).name == "crm"
    rsa_key = issuer.keys[issuer.key_id]
    for algorithm in ("RS384", "PS256"):
        headers = {"kid": issuer.key_id}
        token = jwt.encode(issuer.claims(), rsa_key, algorithm=algorithm, headers=headers)
        assert (await tokens.caller_of(token)).name == "crm"
    shared = jwt.encode(issuer.claims(), "s" * 32, algorithm="HS256", headers={"kid": "shared"})
    assert await failure(tokens, shared) is Failure.ALGORITHM
