"""Tokens of our own and the file that lists callers: what is taken, and how mistakes are told."""

import contextlib
import datetime
import hashlib
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from adapters.cli import main
from adapters.security.callers import Caller, read_callers
from adapters.security.roles import Role
from adapters.security.tokens import are_same, hash_of, new_token, parse_hash
from engine.refusals import BadConfiguration

TOKEN = new_token()
HASH = str(hash_of(TOKEN))


def line(**changed: object) -> str:
    """A line that is taken, but for what is changed; None leaves a field out."""
    fields = {"name": "n", "tenant": "t", "roles": ["reader"], "cells": ["c"], "token": HASH}
    return json.dumps({k: v for k, v in (fields | changed).items() if v is not None})


def file_of(folder: Path, *lines: str) -> Path:
    """A callers file."""
    path = folder / "callers"
    path.write_text("".join(f"{item}\n" for item in lines))
    return path


def test_tokens_are_long_random_and_kept_as_hashes() -> None:
    """Whoever reads the file cannot call."""
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    for token in made:
        kept = hash_of(token)
        assert kept is not None
        assert kept.digest == hashlib.sha256(token.encode()).digest()
        assert parse_hash(str(kept)) == kept
        assert token.split("_", 2)[2] not in str(kept)


@pytest.mark.parametrize(
    "text",
    ["", "hgt_", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), TOKEN.replace("_", "-"), f" {TOKEN}"],
)
def test_text_that_is_no_token_has_no_hash(text: str) -> None:
    """Nothing but what was made here is looked for."""
    assert hash_of(text) is None


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a refusal takes tells nothing of the hash that is kept."""
    compared = []

    def compare(shown: bytes, kept: bytes) -> bool:
        compared.append((shown, kept))
        return shown == kept

    monkeypatch.setattr("adapters.security.tokens.hmac.compare_digest", compare)
    kept = hash_of(TOKEN)
    assert kept is not None
    other = kept._replace(digest=bytes(32))
    assert are_same(kept, kept)
    assert not are_same(other, kept)
    assert compared == [(kept.digest, kept.digest), (bytes(32), kept.digest)]


def test_callers_are_found_by_token_and_by_certificate(tmp_path: Path) -> None:
    """Each with its own tenant, roles and cells."""
    until = "2030-01-01T00:00:00Z"
    path = file_of(
        tmp_path,
        "# a comment",
        "",
        line(name="a", roles=["gateway", "author"], cells=["c", "d"], until=until),
        line(name="b", token=None, certificate="URI:spiffe://x/b", cells=["*"]),
    )
    callers = read_callers(path)
    assert len(callers) == 2
    end_s = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC).timestamp()
    roles = frozenset({Role.GATEWAY, Role.AUTHOR})
    assert callers.with_token(TOKEN) == Caller("a", "t", roles, frozenset({"c", "d"}), end_s)
    named = callers.with_certificate("URI:spiffe://x/b")
    assert named is not None
    assert (named.name, named.may_use("anything")) == ("b", True)
    assert callers.with_certificate("DNS:x") is None


def test_token_with_the_id_of_another_is_nobody_s(tmp_path: Path) -> None:
    """The id is no secret, so it proves nothing."""
    callers = read_callers(file_of(tmp_path, line()))
    forged = TOKEN[:-1] + ("A" if TOKEN[-1] != "A" else "B")
    assert callers.with_token(TOKEN) is not None
    assert callers.with_token(forged) is None
    assert callers.with_token(new_token()) is None
    assert callers.with_token("") is None


BAD_LINES = [
    ("{", "", "one JSON object"),
    ("[1]", "", "one JSON object"),
    (line(name=None), "name", "1 to 128 bytes"),
    (line(name=""), "name", "1 to 128 bytes"),
    (line(name="a\nb"), "name", "printed"),  # would break a log line
    (line(tenant=5), "tenant", "1 to 128 bytes"),
    (line(roles=["root"]), "roles", "gateway, operator, author, reader"),
    (line(roles=[]), "roles", "some of gateway"),  # may do nothing: a slip
    (line(roles="reader"), "roles", "a list"),
    (line(cells=[]), "cells", "a list of cells"),
    (line(cells="default"), "cells", "a list of cells"),
    (line(token="abc"), "token", "the hash"),
    (line(token=None), "", "either a token or a certificate"),
    (line(certificate="DNS:x"), "", "either a token or a certificate"),
    (line(token=None, certificate="x"), "certificate", "URI:"),
    (line(until="tomorrow"), "until", "a time with its zone"),
    (line(until="2030-01-01T00:00:00"), "until", "a time with its zone"),  # whose midnight?
    (line(role="reader"), "", "no field but name"),  # a slip that would pass in silence
    (line(roles=[["gateway"]]), "roles", "a list of some of gateway"),  # one bracket too many
    (line(roles=[{"gateway": True}]), "roles", "a list of some of gateway"),
    (line(cells=[["c"]]), "cells", "a list of cells"),
    (line(name=["n"]), "name", "1 to 128 bytes"),
    (line(token=None, certificate=["DNS:x"]), "certificate", "URI:"),
    (line(until=20300101), "until", "a time with its zone"),
    ("[" * 100_000, "", "one JSON object"),
    ('{"name": ' + "[" * 900 + "]" * 900 + "}", "name", "1 to 128 bytes"),
    (line(name="x" * 1_000_000), "name", "1 to 128 bytes"),
    (line(**{"x" * 1_000_000: 1}), "", "no field but name"),
]


@pytest.mark.parametrize(("text", "field", "expected"), BAD_LINES)
def test_line_that_is_wrong_is_told_by_place_and_field(
    text: str, field: str, expected: str, tmp_path: Path
) -> None:
    """Who may call is nothing to guess at."""
    path = file_of(tmp_path, "# first", text)
    with pytest.raises(BadConfiguration) as caught:
        read_callers(path)
    place = f"callers_file {path} line 2" + (f": {field}" if field else "")
    assert str(caught.value).startswith(f"{place}: expected ")
    assert expected in str(caught.value)
    # It goes to a log, every time that the file is wrong.
    assert len(str(caught.value)) < len(place) + 400


_WORDS = st.sampled_from(["gateway", "*", HASH, "DNS:x", "2030-01-01T00:00:00Z"]) | st.text()
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _WORDS,
    lambda inner: st.lists(inner) | st.dictionaries(_WORDS, inner),
    max_leaves=8,
)
_FIELDS = st.sampled_from(["name", "tenant", "roles", "cells", "token", "certificate", "until"])


@given(st.dictionaries(_FIELDS, _ANYTHING) | _ANYTHING, st.booleans())
def test_line_of_any_shape_is_taken_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, changed: object, is_whole: bool
) -> None:
    """Nothing that somebody saves ends what watches the file, or the start with a traceback."""
    fields = (
        {**json.loads(line()), **changed} if is_whole and isinstance(changed, dict) else changed
    )
    path = file_of(tmp_path_factory.getbasetemp(), json.dumps(fields))
    with contextlib.suppress(BadConfiguration):
        read_callers(path)


def test_two_callers_with_one_credential_are_refused(tmp_path: Path) -> None:
    """Which of them calls?"""
    certificate = line(token=None, certificate="DNS:x")
    for twice in (line(), certificate):
        with pytest.raises(BadConfiguration, match="each token and each certificate once"):
            read_callers(file_of(tmp_path, twice, twice))


def test_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Its path stands in the text."""
    with pytest.raises(BadConfiguration, match="nowhere: expected a readable file"):
        read_callers(tmp_path / "nowhere")
    path = tmp_path / "latin"
    path.write_bytes(b"\xe9")
    with pytest.raises(BadConfiguration, match="no UTF-8 text"):
        read_callers(path)


def test_token_in_place_of_its_hash_is_not_told(tmp_path: Path) -> None:
    """Somebody puts the token itself into the file; the refusal goes to a log."""
    with pytest.raises(BadConfiguration) as caught:
        read_callers(file_of(tmp_path, line(token=TOKEN)))
    assert TOKEN.split("_", 2)[2] not in str(caught.value)


def new(*arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `headgate token new`."""
    done = CliRunner().invoke(main, ["token", "new", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_command_prints_the_token_once_and_the_line_that_lets_it_in(tmp_path: Path) -> None:
    """What it prints is all there is: the token is kept nowhere."""
    given = ("--name", "n", "--tenant", "t", "--roles", "gateway,reader", "--cells", "a,b")
    code, output, _ = new(*given, "--until", "2030-01-01T00:00:00+01:00")
    token, entry = output.splitlines()
    assert code == 0
    caller = read_callers(file_of(tmp_path, entry)).with_token(token)
    assert caller is not None
    assert (caller.name, caller.tenant, set(caller.cells)) == ("n", "t", {"a", "b"})
    assert caller.roles == {Role.GATEWAY, Role.READER}


def test_command_adds_lines_to_a_file_only_its_owner_reads(tmp_path: Path) -> None:
    """Also after a last line that was left open."""
    path = tmp_path / "callers"
    given = ("--tenant", "t", "--roles", "reader", "--add-to", str(path))
    _, first, _ = new("--name", "a", *given)
    assert os.stat(path).st_mode & 0o077 == 0
    path.write_text(path.read_text().rstrip("\n"))
    _, second, _ = new("--name", "b", *given)
    callers = read_callers(path)
    found = [callers.with_token(token.strip()) for token in (first, second)]
    assert [caller.name for caller in found if caller] == ["a", "b"]


def test_command_refuses_what_the_file_would(tmp_path: Path) -> None:
    """With the same words."""
    code, output, told = new("--name", "n", "--tenant", "t", "--roles", "root")
    assert (code, output) == (2, "")
    assert "roles: expected a list of some of gateway" in told
    nowhere = str(tmp_path / "no" / "file")
    code, output, told = new(
        "--name", "n", "--tenant", "t", "--roles", "reader", "--add-to", nowhere
    )
    assert (code, output) == (3, "")
    assert nowhere in told
