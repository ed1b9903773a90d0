"""Cells to be moved, and the places they are moved between."""

import sqlite3
from contextlib import closing
from pathlib import Path

from adapters.commit_log import CommitLog, LoadedState, LoggedGroup
from adapters.migration.file_store import FileSource, FileTarget
from adapters.migration.moving import Contents, move
from adapters.migration.redis_store import RedisSource, RedisTarget
from adapters.migration.stores import Source, Target
from adapters.redis_log.address import parse_redis_url
from adapters.redis_log.primary import RedisPrimary
from adapters.sqlite_log import SqliteLog
from tests.adapters.commit_log_contract import commit_all, contact, group, reply
from tests.adapters.redis_cell import RedisCell
from tests.end_to_end.redis_servers import RedisServer

GROUPS = 250

Ends = tuple[LoadedState, list[LoggedGroup], tuple[bytes, int]]


async def filled(log: CommitLog) -> None:
    """Commit more than a page of everything, delete some of it, and let go."""
    groups = [
        group(
            b"events %d" % number,
            [
                *(
                    contact(number * 10 + row, b"r%d" % number, b"p" * row or None)
                    for row in range(10)
                ),
                *([contact(number * 10 - 5, None)] if number % 3 == 0 else []),
                contact(number * 10 + 3, b"again", None),
            ],
            [reply(f"q{number}"), reply(f"r{number}")] if number % 2 else [],
        )
        for number in range(1, GROUPS + 1)
    ]
    await commit_all(log, await log.acquire("a"), groups)
    await log.release()


async def contents_of(log: CommitLog) -> Ends:
    """All that an owner is given, and where it goes on."""
    owned = await log.acquire("b")
    loaded = await log.load()
    groups = [one for start in range(0, GROUPS, 100) for one in await log.tail(start, 100)]
    await log.release()
    return loaded, groups, (owned.token, owned.sequence)


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything in a file but who owned it."""
    with closing(sqlite3.connect(path)) as file:
        found = {
            name: file.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()
            for name in ("rows", "log", "replies")
        }
        columns = "cell, schema_version, epoch, token, sequence, first_sequence, events_bytes"
        query = f"SELECT {columns}, replies_count, newest_at_ms FROM meta"
        return {**found, "meta": file.execute(query).fetchall()}


async def moved(source: Source, target: Target) -> Contents:
    """Move, and close both."""
    try:
        return await move(source, target)
    finally:
        await source.close()
        await target.close()


class Places:
    """
    A folder and a server, and the sources and targets there.

    Attributes
    ----------
    file, other
        Two files of cells.
    redis
        A cell in the server.
    """

    def __init__(self, directory: Path, redis: RedisCell, server: RedisServer) -> None:
        self.file = directory / "cell.sqlite"
        self.other = directory / "other" / "cell.sqlite"
        self.redis = redis
        self.server = server

    def log(self, place: str) -> CommitLog:
        """An owner's log."""
        if place == "redis":
            return self.redis.log()
        return SqliteLog(self._path(place), "normal", "cell")

    def source(self, place: str) -> Source:
        """Where to move from."""
        if place == "redis":
            return RedisSource(self._primary(), self.redis.keys)
        return FileSource(self._path(place), "cell")

    def target(self, place: str, wait_replicas: int = 0) -> Target:
        """Where to move to."""
        if place == "redis":
            return RedisTarget(
                self._primary(),
                self.redis.keys,
                tier="replicated" if wait_replicas else "relaxed",
                wait_replicas=wait_replicas,
                reply_window_ms=600_000,
            )
        return FileTarget(self._path(place), "cell")

    def is_empty(self, place: str) -> bool:
        """Whether nothing at all is left of a cell."""
        if place == "redis":
            return not any(self.server.run("EXISTS", key) for key in self.redis.keys)
        path = self._path(place)
        return [one.name for one in path.parent.glob("*")] in ([], [f"{path.name}.lock"])

    def _path(self, place: str) -> Path:
        return {"file": self.file, "other": self.other}[place]

    def _primary(self) -> RedisPrimary:
        return RedisPrimary(parse_redis_url(self.redis.url), "cell", 10.0)
