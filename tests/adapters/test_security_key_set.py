"""The issuer's keys: from a file and from a URL, renewed, and while the issuer is away."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from adapters.security import key_set
from adapters.security.key_set import KeySet, Source
from adapters.security.refusals import Failure
from adapters.security.web_tokens import Terms, WebTokens
from engine.refusals import BadConfiguration
from tests.adapters.test_security_web_tokens import failure
from tests.end_to_end.credentials import AUDIENCE, ISSUER, Issuer


class Published:
    """Keys behind a URL."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.status = 200
        self.body: bytes | None = None
        self.asked = 0
        self.url = ""
        self.discovered: dict[str, object] = {}

    @property
    def name(self) -> str:
        """The issuer, as a URL below which it tells of itself."""
        return self.url.removesuffix("/keys")

    async def tell(self, _: web.Request) -> web.Response:
        """Say where the keys are."""
        told = {"issuer": self.name, "jwks_uri": self.url} | self.discovered
        return web.json_response(told, status=self.status)

    async def answer(self, _: web.Request) -> web.Response:
        """Give the keys."""
        self.asked += 1
        body = self.body if self.body is not None else json.dumps(self.issuer.document()).encode()
        return web.Response(status=self.status, body=body, headers={"location": "/"})


@pytest.fixture
async def published(tmp_path: Path) -> AsyncIterator[Published]:
    """An issuer whose keys are behind a URL of this machine."""
    found = Published(Issuer(tmp_path / "keys.json"))
    app = web.Application()
    app.router.add_get("/keys", found.answer)
    app.router.add_get("/.well-known/openid-configuration", found.tell)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    yield found
    await runner.cleanup()


def tokens_of(keys: KeySet) -> WebTokens:
    """What takes tokens signed by these keys."""
    return WebTokens(Terms(ISSUER, AUDIENCE, ("RS256",)), keys)


async def test_keys_are_fetched_when_first_needed_and_then_known(published: Published) -> None:
    """One fetch serves every token after it."""
    tokens = tokens_of(KeySet(Source(published.url)))
    for _ in range(3):
        assert (await tokens.caller_of(published.issuer.token())).name == "crm"
    assert published.asked == 1


@pytest.mark.parametrize("ending", ["", "/"])
async def test_keys_are_where_the_issuer_says(published: Published, ending: str) -> None:
    """Of a provider only its name need be known."""
    issuer = published.name + ending
    published.discovered = {"issuer": issuer}
    tokens = WebTokens(Terms(issuer, AUDIENCE, ("RS256",)), KeySet(Source("", issuer)))
    assert (await tokens.caller_of(published.issuer.token(iss=issuer))).name == "crm"
    assert published.asked == 1


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"issuer": "https://other.example"}, 200),
        ({"issuer": None}, 200),
        ({"jwks_uri": "http://elsewhere.example/keys"}, 200),  # anybody could answer
        ({"jwks_uri": "file:///etc/passwd"}, 200),
        ({"jwks_uri": None}, 200),
        ({}, 404),
        ({}, 302),
    ],
)
async def test_issuer_that_says_something_else_is_not_believed(
    published: Published, wrong: dict[str, object], status: int
) -> None:
    published.discovered, published.status = wrong, status
    keys = KeySet(Source("", published.name))
    assert not await keys.look_again()
    assert not keys.are_known
    assert published.asked == 0


async def test_key_that_is_not_known_is_looked_for_but_not_at_every_call(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a rotation the first token finds the new key; forged ids do not flood the issuer."""
    forgotten: list[bool] = []
    tokens = tokens_of(KeySet(Source(published.url), forget=lambda: forgotten.append(True)))
    await tokens.caller_of(published.issuer.token())
    published.issuer.rotate("second")
    for _ in range(5):
        assert await failure(tokens, published.issuer.token()) is Failure.UNKNOWN_KEY
    assert published.asked == 1
    monkeypatch.setattr(key_set, "_AT_MOST_EVERY_S", 0.0)
    assert (await tokens.caller_of(published.issuer.token())).name == "crm"
    assert published.asked == 2
    # When first fetched, and now.
    assert len(forgotten) == 2


async def test_key_that_was_withdrawn_counts_no_more(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next fetch forgets it."""
    keys = KeySet(Source(published.url))
    before = published.issuer.token()
    await tokens_of(keys).caller_of(before)
    published.issuer.rotate("second", keep=False)
    monkeypatch.setattr(key_set, "_FETCH_EVERY_S", 0.0)
    monkeypatch.setattr(key_set, "_AT_MOST_EVERY_S", 0.0)
    assert await keys.refresh()
    assert await failure(tokens_of(keys), before) is Failure.UNKNOWN_KEY
    assert not await keys.refresh()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, None),
        (302, None),  # might lead anywhere
        (200, b"<html>"),
        (200, b"{}"),
        (200, b'{"keys": []}'),
        (200, b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'),
        (200, b'{"keys": [{"kty": "RSA"}, 5]}'),
        (200, b"\xff"),
        (200, b"[" * 100_000),
    ],
)
async def test_answer_that_is_no_key_set_leaves_keys_as_they_are(
    published: Published, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes | None
) -> None:
    """Calls go on while the issuer has trouble; who was never heard is not believed."""
    monkeypatch.setattr(key_set, "_FETCH_EVERY_S", 0.0)
    monkeypatch.setattr(key_set, "_AT_MOST_EVERY_S", 0.0)
    keys, never = KeySet(Source(published.url)), KeySet(Source(published.url))
    assert await keys.refresh()
    published.status, published.body = status, body
    assert not await keys.refresh()
    assert (await tokens_of(keys).caller_of(published.issuer.token())).name == "crm"
    assert not await never.refresh()
    found = await failure(tokens_of(never), published.issuer.token())
    assert found is Failure.KEYS_UNAVAILABLE


async def test_keys_that_are_a_day_old_count_no_more(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever keeps the issuer away must not keep a withdrawn key alive."""
    keys = KeySet(Source(published.url))
    await keys.refresh()
    monkeypatch.setattr(key_set, "_STALE_S_MAX", 0.0)
    found = await failure(tokens_of(keys), published.issuer.token())
    assert found is Failure.KEYS_UNAVAILABLE


async def test_file_of_keys_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """And left as it was when it becomes something else."""
    issuer = Issuer(tmp_path / "keys.json")
    keys = KeySet(Source(str(issuer.path)))
    assert not await keys.refresh()
    issuer.rotate("second", keep=False)
    assert await keys.refresh()
    assert (await tokens_of(keys).caller_of(issuer.token())).name == "crm"
    issuer.path.write_text("{")
    assert not await keys.refresh()
    assert (await tokens_of(keys).caller_of(issuer.token())).name == "crm"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"keys": 5}', '{"keys": [{"kty": "oct"}]}'])
def test_file_that_is_no_key_set_is_refused_at_the_start(text: str, tmp_path: Path) -> None:
    """With its path, and what was expected."""
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(BadConfiguration, match=f"jwt_keys {path}: expected a JWKS"):
        KeySet(Source(str(path)))


def test_authorities_that_are_none_are_refused(tmp_path: Path) -> None:
    """A typing mistake must not end in trusting everybody."""
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(BadConfiguration, match="jwt_ca_file"):
        KeySet(Source("https://issuer.example/keys"), str(path))


def test_private_parts_and_encryption_keys_are_passed_over() -> None:
    """Only what signs is a key here."""
    rsa: dict[str, Any] = {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}
    with pytest.raises(ValueError, match="at least one key"):
        key_set.read_keys(json.dumps({"keys": [rsa]}).encode())
