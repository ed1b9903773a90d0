"""Readings from a stream of a real Redis: at least once, through crashes and bad entries."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headgate.client import Client
from headgate.v1 import telemetry_service_pb2 as pb
from headgate.v1.telemetry_pb2 import ReadingColumns
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import open_queue, until
from tests.end_to_end.redis_servers import RedisServer
from tests.end_to_end.serving import ROOT, Served

pytestmark = pytest.mark.needs_redis

KEY = "headgate:{telemetry}"
DEAD = f"{KEY}:dead"
# A restart must not make readings late.
LATE = ("--set", "telemetry_lateness_ms=15000")


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server with nothing in it."""
    server = RedisServer(tmp_path / "redis")
    try:
        yield server
    finally:
        server.kill()


def flags(server: RedisServer, *more: str) -> tuple[str, ...]:
    """Flags of an engine that reads the stream."""
    stream = ("--set", f"telemetry_stream={server.url}", "--set", "engine_name=engine-0")
    return ("--durability", "memory", *stream, *LATE, *more)


def now_s() -> int:
    """The second that runs."""
    return int(time.time())


def message(queue_id: str, second: int, source: str = "pbx", offered: int = 1) -> bytes:
    """One reading as an entry carries it."""
    columns = ReadingColumns(second=second, queue_ids=[queue_id], offered=[offered])
    return pb.IngestRequest(source=source, readings=[columns]).SerializeToString()


def put(server: RedisServer, value: bytes, field: str = "m") -> bytes:
    """Add an entry; returns its id."""
    entry_id = server.run("XADD", KEY, "*", field, value)
    assert isinstance(entry_id, bytes)
    return entry_id


async def sources(client: Client) -> dict[str, Any]:
    """Sources by name."""
    found = await client.call(client.telemetry.ListSources, pb.ListSourcesRequest())
    return {source.source: source for source in found.sources}


async def accepted(client: Client, count: int, *names: str) -> None:
    """Wait until so many readings of sources have been taken."""

    async def are_there() -> bool:
        found = await sources(client)
        return sum(found[name].accepted for name in names or ("pbx",) if name in found) == count

    await until(are_there)


async def settled(server: RedisServer, added: int, within_s: float = 10) -> None:
    """Wait until every entry was read and acknowledged."""

    async def is_settled() -> bool:
        group = group_of(server)
        return (group["entries-read"], group["pending"], group["lag"]) == (added, 0, 0)

    await until(is_settled, within_s)


def group_of(server: RedisServer) -> dict[str, Any]:
    """What the server says of the group."""
    with server.client() as client:
        (group,) = client.xinfo_groups(KEY)
    return group


def metric(served: Served, name: str) -> float:
    """A metric of the stream."""
    (line,) = [line for line in served.get("/metrics")[1].splitlines() if line.startswith(name)]
    return float(line.rpartition(" ")[2])


def entries(served: Served, outcome: str) -> float:
    """Entries by what became of them."""
    labels = f'{{outcome="{outcome}",stream="{KEY}"}}'
    return metric(served, f"headgate_feed_entries_total{labels}")


def told(served: Served, event: str) -> list[dict[str, object]]:
    """Log lines of an event."""
    return [line for line in served.log() if line["event"] == event]


@asynccontextmanager
async def reading(serve: Serve, *arguments: str) -> AsyncIterator[tuple[Served, Client]]:
    """An engine with a queue q that reads the stream."""
    served = serve(*arguments)
    async with Client(served.address) as client:
        await open_queue(client, "q")
        await until(lambda: _is_sensed(client))
        yield served, client


async def _is_sensed(client: Client) -> bool:
    """Whether the queue is known to what senses, which looks once a second."""
    found = await client.call(client.telemetry.GetOutlook, pb.GetOutlookRequest())
    return any(outlook.queue_id == "q" for outlook in found.outlooks)


async def test_entries_of_both_forms_are_sensed(redis_server: RedisServer, serve: Serve) -> None:
    """Protobuf or JSON: what a gateway puts into the stream is what GetOutlook tells."""
    flags_used = flags(redis_server, "--set", "telemetry_lateness_ms=1000")
    async with reading(serve, *flags_used) as (served, client):
        second = now_s()
        put(redis_server, message("q", second, offered=3))
        columns = {"second": second + 1, "queue_ids": ["q"], "offered": [4], "waiting": [2]}
        document = {"source": "pbx", "sequence": 7, "readings": [columns]}
        put(redis_server, json.dumps(document).encode(), "j")
        await accepted(client, 2)

        async def sensed() -> Any:
            request = pb.GetOutlookRequest(queue_ids=["q"], with_windows=True)
            found = await client.call(client.telemetry.GetOutlook, request)
            minute = found.outlooks[0].windows[1]
            return minute if minute.covered_s >= 2 else None

        minute = await until(sensed)
        assert (minute.window, minute.offered, minute.waiting) == ("1m", 7, 1.0)
        await settled(redis_server, 2)
        await asyncio.sleep(2.5)  # the lag is looked at every two seconds
        assert entries(served, "taken") == 2
        labels = f'{{stream="{KEY}"}}'
        assert metric(served, f"headgate_feed_lag_entries{labels}") == 0
        assert metric(served, f"headgate_feed_connected{labels}") == 1
        assert metric(served, f"headgate_feed_reconnects_total{labels}") == 0
        entry_s = metric(served, f"headgate_feed_entry_timestamp_seconds{labels}")
        assert 0 <= time.time() - entry_s < 30


async def test_killed_engine_leaves_what_it_has_not_acknowledged(
    redis_server: RedisServer, serve: Serve, tmp_path: Path
) -> None:
    """The next engine takes each of those once, wherever between read and ack the first died."""
    kept = ("--durability", "normal", "--data-dir", str(tmp_path / "data"))
    used = (*flags(redis_server), *kept)
    # Made before the stream is read, and kept in the file.
    first = serve(*kept, "--set", "engine_name=engine-0")
    queues = [f"q{number}" for number in range(50)]
    async with Client(first.address) as client:
        await asyncio.gather(*(open_queue(client, name) for name in queues))
    assert first.terminate() == 0
    names = [f"pbx-{number}" for number in range(25)]
    added: dict[bytes, bytes] = {}
    with redis_server.client() as redis_client:
        second = now_s() + 1
        items = list(itertools.product(names, queues, range(4)))
        pipeline = redis_client.pipeline(transaction=False)
        frames = [message(queue, second + ahead, name) for name, queue, ahead in items]
        for frame in frames:
            pipeline.xadd(KEY, {"m": frame})
        added = dict(zip(pipeline.execute(), frames, strict=True))
        redis_client.xgroup_create(KEY, "headgate", "0")
        second_engine = serve(*used)
        while (group_of(redis_server)["entries-read"] or 0) < 500:
            pass
        second_engine.kill()
        left: list[Any] = redis_client.xpending_range(KEY, "headgate", "-", "+", len(added))
        delivered = group_of(redis_server)["last-delivered-id"]
        undelivered: Any = redis_client.xrange(KEY, f"({delivered.decode()}", "+")
    open_ids = [item["message_id"] for item in left] + [entry_id for entry_id, _ in undelivered]
    assert 0 < len(open_ids) < len(added), "it was to die on the way"
    third = serve(*used)
    async with Client(third.address) as client:
        await accepted(client, len(open_ids), *names)
        await settled(redis_server, len(added))
        found = await sources(client)
        assert not any(item.duplicate + item.late + item.refused for item in found.values())
        # Whatever a feed sends twice is counted once.
        again = pb.IngestRequest.FromString(added[open_ids[-1]])
        put(redis_server, added[open_ids[-1]])
        await settled(redis_server, len(added) + 1)
        assert (await sources(client))[again.source].duplicate == 1
        await accepted(client, len(open_ids), *names)


async def test_entries_of_a_consumer_that_is_gone_are_claimed(
    redis_server: RedisServer, serve: Serve
) -> None:
    """Those of an engine of another name at the start; of one that is cut off within seconds."""
    with redis_server.client() as redis_client:
        redis_client.xgroup_create(KEY, "headgate", "0", mkstream=True)
        put(redis_server, message("q", now_s()))
        redis_client.xreadgroup("headgate", "engine-9", {KEY: ">"})
        assert group_of(redis_server)["pending"] == 1
        async with reading(serve, *flags(redis_server, "--set", "telemetry_queues=create")) as (
            served,
            client,
        ):
            await accepted(client, 1)
            await settled(redis_server, 1)
            assert told(served, "telemetry_entries_claimed")[0]["entries"] == 1
            # In one transaction, or the engine would have it first.
            pipeline = redis_client.pipeline(transaction=True)
            pipeline.xadd(KEY, {"m": message("q", now_s())})
            pipeline.xreadgroup("headgate", "engine-9", {KEY: ">"})
            pipeline.execute()
            await settled(redis_server, 2, 20)
            await accepted(client, 2)


async def test_group_is_made_where_there_is_none_and_kept_where_there_is(
    redis_server: RedisServer, serve: Serve
) -> None:
    """A new group begins with the oldest entry; a server that was emptied gets a new one."""
    put(redis_server, message("q", now_s()))
    async with reading(serve, *flags(redis_server, "--set", "telemetry_queues=create")) as (
        served,
        client,
    ):
        await accepted(client, 1)
        redis_server.run("FLUSHALL")
        await until(lambda: _has_group(redis_server))
        put(redis_server, message("q", now_s() + 1))
        await accepted(client, 2)
        assert "XREADGROUP" in str(told(served, "telemetry_stream_lost")[0]["error"])


async def _has_group(server: RedisServer) -> bool:
    with server.client() as client:
        return bool(client.exists(KEY)) and len(client.xinfo_groups(KEY)) == 1


async def test_entry_that_cannot_be_taken_goes_beside_with_the_reason(
    redis_server: RedisServer, serve: Serve
) -> None:
    """Nothing in the stream may stop what comes behind it, or vanish without a word."""
    second = now_s()
    bad = [
        ("m", b"\xff\xff", "not a valid headgate.v1.IngestRequest"),
        ("m", b"", "source: got '', expected 1 to 128 printable bytes"),
        ("x", b"1", "entry: got 'x', expected one field"),
        ("m", b"x" * 2_000_000, "m: got '2000000 bytes', expected at most 1,048,576 bytes"),
        ("j", b"{", "j: got '1 bytes', expected JSON"),
        ("j", b"[]", "j: got 'list', expected an object"),
        ("j", b'{"sorce": "a"}', "sorce: got 'a', expected no such field"),
        ("j", b'{"source": 1}', "source: got 1, expected a text"),
        ("j", b'{"source": "a", "readings": {}}', "readings: got 'dict', expected a list"),
        ("j", b'{"source": "a", "readings": [{"second": true}]}', "readings[0].second: got True"),
        (
            "j",
            b'{"source": "a", "readings": [{"queue_ids": ["q"], "offered": [1.5]}]}',
            "readings[0].offered[0]: got 1.5, expected a whole number",
        ),
        ("m", message("q", second, source="engine"), "source: got 'engine', expected another name"),
        ("m", pb.IngestRequest(cell="north", source="a").SerializeToString(), "no cell 'north'"),
    ]
    async with reading(serve, *flags(redis_server)) as (served, client):
        ids = [put(redis_server, value, field) for field, value, _ in bad]
        put(redis_server, message("q", second))
        await accepted(client, 1)
        await settled(redis_server, len(bad) + 1)
        with redis_server.client() as redis_client:
            found: Any = redis_client.xrange(DEAD)
        dead = [fields for _, fields in found]
        assert [fields[b"id"] for fields in dead] == ids
        for fields, (field, value, why) in zip(dead, bad, strict=True):
            assert why in fields[b"reason"].decode()
            assert fields[field.encode()] == value[:16_384]
        assert entries(served, "dead") == len(bad)
        counts = [line["entries"] for line in told(served, "telemetry_entries_dead")]
        assert sum(map(int, map(str, counts))) == len(bad)
        assert served.get("/readyz")[0] == 200


async def test_stream_of_dead_entries_is_bounded(redis_server: RedisServer, serve: Serve) -> None:
    """A feed that has gone mad must not fill the server."""
    async with reading(serve, *flags(redis_server)):
        with redis_server.client() as redis_client:
            pipeline = redis_client.pipeline(transaction=False)
            for _ in range(1_200):
                pipeline.xadd(KEY, {"m": b"\xff"})
            pipeline.execute()
            await settled(redis_server, 1_200)
            assert redis_client.xlen(DEAD) == 1_000


async def test_engine_reads_on_after_the_server_was_gone(
    redis_server: RedisServer, serve: Serve
) -> None:
    """Calls are taken all the while; what came before and after is taken once."""
    async with reading(serve, *flags(redis_server)) as (served, client):
        put(redis_server, message("q", now_s()))
        await accepted(client, 1)
        redis_server.kill()
        labels = f'{{stream="{KEY}"}}'

        async def has_noticed() -> bool:
            return metric(served, f"headgate_feed_connected{labels}") == 0

        await until(has_noticed)
        assert served.get("/readyz")[0] == 200
        await open_queue(client, "another")
        redis_server.start()
        put(redis_server, message("q", now_s() + 1))
        await accepted(client, 2)
        await settled(redis_server, 2)
        assert metric(served, f"headgate_feed_reconnects_total{labels}") >= 1
        assert metric(served, f"headgate_feed_connected{labels}") == 1


async def test_entries_that_were_trimmed_are_told_of_and_let_go(
    redis_server: RedisServer, serve: Serve
) -> None:
    """An entry that is gone before it was taken cannot wait for ever."""
    with redis_server.client() as redis_client:
        redis_client.xgroup_create(KEY, "headgate", "0", mkstream=True)
        for ahead in range(3):
            put(redis_server, message("q", now_s() + ahead))
        redis_client.xreadgroup("headgate", "engine-0", {KEY: ">"})
        redis_client.xtrim(KEY, maxlen=1, approximate=False)
    async with reading(serve, *flags(redis_server, "--set", "telemetry_queues=create")) as (
        served,
        client,
    ):
        await accepted(client, 1)
        await settled(redis_server, 3)
        assert entries(served, "trimmed") == 2
        assert entries(served, "taken") == 1


async def test_key_of_another_type_is_told_of_and_tried_again(
    redis_server: RedisServer, serve: Serve
) -> None:
    """A slip in the name of the stream must not take the engine down, nor end for good."""
    redis_server.run("SET", KEY, "text")
    async with reading(serve, *flags(redis_server)) as (served, client):

        async def is_told() -> bool:
            return bool(told(served, "telemetry_stream_lost"))

        await until(is_told)
        assert "WRONGTYPE" in str(told(served, "telemetry_stream_lost")[0]["error"])
        assert served.get("/readyz")[0] == 200
        redis_server.run("DEL", KEY)
        put(redis_server, message("q", now_s()))
        await accepted(client, 1)


async def test_user_of_the_example_is_let_in_by_a_file(tmp_path: Path, serve: Serve) -> None:
    """It can do all that the feed does; a wrong password is told of without it."""
    server = RedisServer(tmp_path / "redis")
    try:
        user = (ROOT / "deploy" / "examples" / "redis" / "telemetry.acl").read_text()
        words = user.replace("PASSWORD", "s3cret").split()
        server.run("ACL", "SETUSER", *words[1:])
        right, wrong = tmp_path / "right", tmp_path / "wrong"
        right.write_text("s3cret\n")
        wrong.write_text("0ther\n")
        pairs = [f"telemetry_stream=redis://headgate-telemetry@127.0.0.1:{server.port}"]
        pairs.append(f"telemetry_stream_password_file={wrong}")
        used = [word for pair in pairs for word in ("--set", pair)]
        async with reading(serve, "--durability", "memory", *used) as (served, _):

            async def is_told() -> bool:
                return bool(told(served, "telemetry_stream_lost"))

            await until(is_told)
            assert "0ther" not in served.told()
        used[-1] = f"telemetry_stream_password_file={right}"
        async with reading(serve, "--durability", "memory", *used, *LATE) as (served, client):
            put(server, b"", "x")
            put(server, message("q", now_s()))
            await accepted(client, 1)
            await settled(server, 2)
            assert server.run("XLEN", DEAD) == 1
            assert not told(served, "telemetry_stream_lost")
            assert "s3cret" not in served.told()
    finally:
        server.kill()
