"""The scripts against the model that is searched to its end (`tests/protocol`), by answers."""

import itertools

import pytest
from redis.exceptions import ResponseError

from adapters.redis_log.rows import pack_changes
from adapters.redis_log.scripts import ACQUIRE, COMMIT, RELEASE, Script
from tests.adapters.commit_log_contract import contact, token
from tests.adapters.redis_cell import NewCell, RedisCell
from tests.end_to_end.redis_servers import RedisServer
from tests.protocol.protocol_model import EMPTY, NOBODY, Entry, Group, Variant, committed, head_of

pytestmark = pytest.mark.needs_redis

OWNER = 0
# Groups that the log has, and every other it might be asked for.
KNOWN = (Group(EMPTY, 1, 0), Group(1, 2, 1))
TOKENS = range(4)
EPOCHS = range(1, 5)


def asked(server: RedisServer, script: Script, keys: tuple[bytes, ...], *arguments: object) -> str:
    """Run a script; returns the first word of its error, or what the model calls its answer."""
    try:
        answer = server.run("EVAL", script.text, len(keys), *keys, *arguments)  # type: ignore[arg-type]
    except ResponseError as error:
        return str(error).partition(" ")[0].lower()
    return {0: "appended", 1: "duplicate"}[answer[1]] if script is COMMIT else ""  # type: ignore[index]


def run_commit(server: RedisServer, cell: RedisCell, epoch: int, group: Group) -> str:
    """Ask for a group as an owner of an epoch does."""
    changes = pack_changes([contact(group.contact, b"r", b"p")])
    tokens = token(group.expected).hex(), token(group.token).hex()
    texts = (epoch, *tokens, "a", 5_000, 100, 1_000, b"e", changes, b"", 0, 1_000, 1)
    return asked(server, COMMIT, cell.keys, *texts)


async def test_script_answers_as_the_model_does(new_cell: NewCell, pair: list[RedisServer]) -> None:
    """A search of something else than what runs would prove nothing."""
    server, cell = pair[0], new_cell(pair[0].url)
    asked(server, ACQUIRE, cell.keys, "a", 5_000, 1, 1, 1, 0)
    log: tuple[Entry, ...] = (Entry(1, OWNER),)
    for group in KNOWN:
        assert run_commit(server, cell, 1, group) == "appended"
        log = (*log, Entry(1, OWNER, group))
    asked(server, RELEASE, cell.keys[:2], 1)
    asked(server, ACQUIRE, cell.keys, "b", 5_000, 1, 1, 1, 0)
    log = (*log, Entry(2, NOBODY), Entry(3, OWNER))
    answers = set()
    for epoch, expected, new in itertools.product(EPOCHS, TOKENS, TOKENS):
        group = Group(expected, new, 2)
        answer, after = committed(log, OWNER, epoch, group, Variant())
        if answer == "appended":
            # It would change what the next is asked of; it comes last.
            continue
        assert run_commit(server, cell, epoch, group) == answer, (epoch, group)
        answers.add(answer)
        assert after == log
    assert answers == {"fenced", "conflict", "duplicate"}
    assert run_commit(server, cell, 3, Group(2, 3, 2)) == "appended"
    with server.client() as client:
        meta = client.hgetall(cell.keys.meta)
        rows = client.hlen(cell.keys.rows)
    head = head_of(committed(log, OWNER, 3, Group(2, 3, 2), Variant())[1])
    assert (int(meta[b"epoch"]), meta[b"token"], rows) == (
        head.epoch, token(head.token).hex().encode(), head.contacts,
    )  # fmt: skip
