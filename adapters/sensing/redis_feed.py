"""
Readings from a stream of Redis or Valkey, by a consumer group: at least once.

    XREADGROUP → Feed, as of a gRPC stream → XACK            what was taken
                                           → XADD NAME:dead → XACK   what cannot be
    XAUTOCLAIM                             what was read and not acknowledged, by us or by another

An entry has one field: `m`, a serialised IngestRequest, or `j`, the same as JSON. Each stands for
itself, and names its queues. A reading that comes twice is refused as a duplicate, so that taking
an entry again does no harm.
"""

import asyncio
import math
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import structlog
from google.rpc import code_pb2
from redis.exceptions import ResponseError

from adapters.calls import Cells
from adapters.errors import CallRefused, invalid
from adapters.redis_log.address import RedisAddress, Topology, parse_redis_url, redacted
from adapters.redis_log.connection import (
    RedisConnection,
    RedisRefused,
    RedisUnreachable,
    Reply,
    code_of,
)
from adapters.redis_log.opening import tls_files, with_files, with_password
from adapters.redis_log.primary import RedisPrimary
from adapters.sensing.feed_metrics import FeedMetrics
from adapters.sensing.ingest import Feed
from adapters.sensing.json_readings import request_of_json
from adapters.settings import Settings
from engine.refusals import BadConfiguration, violation

_log = structlog.get_logger(__name__)

_ENTRIES: Final = b"32"
_BLOCK_S: Final = 1.0
# An entry may be a megabyte: what a slow line takes longer for so many of them.
_LONGER_S: Final = 5.0
# What another consumer has had for so long without acknowledging it is taken from it: it is dead,
# or the connection it was sent over was.
_CLAIM_EVERY_S: Final = 5.0
_CLAIM_IDLE_MS: Final = b"5000"
_AT_ONCE: Final = b"0"
_LAG_EVERY_S: Final = 2.0
_DEAD_MAX: Final = b"1000"
_DEAD_BYTES_MAX: Final = 16_384
_REASON_BYTES_MAX: Final = 1_000
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.1, 10.0
_FORMS: Final = "one field: m, a serialised IngestRequest, or j, the same as JSON"
_RETRIED: Final = (code_pb2.RESOURCE_EXHAUSTED, code_pb2.UNAVAILABLE)


class StreamRefused(Exception):
    """The server answered with an error."""


class Place(NamedTuple):
    """
    Where entries are.

    Attributes
    ----------
    address
        Who has the stream.
    stream, group, consumer
        Names.
    answer_within_s
        How long a server may take, seconds.
    """

    address: RedisAddress
    stream: bytes
    group: bytes
    consumer: bytes
    answer_within_s: float


class Entry(NamedTuple):
    """One entry: its id, and its fields; None where it was trimmed."""

    entry_id: bytes
    fields: Sequence[bytes] | None


def place_of(settings: Settings, consumer: str) -> Place:
    """
    Where the settings say that readings are; connects to nothing.

    Raises
    ------
    BadConfiguration
        Settings do not go together, or a file they name cannot be used.
    """
    url, key = settings.telemetry_stream, settings.telemetry_stream_key
    if not settings.sensing:
        raise BadConfiguration("telemetry_stream", redacted(url), "nothing, where sensing is false")
    address = with_files(parse_redis_url(url), tls_files(settings))
    password_file = settings.telemetry_stream_password_file
    address = with_password(address, "telemetry_stream_password_file", password_file)
    if address.topology is Topology.CLUSTER and not key.partition("{")[2].partition("}")[0]:
        expected = "a part in braces, so that NAME and NAME:dead share a slot of the cluster"
        raise BadConfiguration("telemetry_stream_key", key, expected)
    group = settings.telemetry_stream_group.encode()
    within_s = settings.redis_timeout_ms / 1_000
    return Place(address, key.encode(), group, consumer.encode(), within_s)


class RedisFeed:
    """
    Reads one stream for as long as it runs.

    Parameters
    ----------
    place
        Where it is.
    cells
        Cells of this process.
    metrics
        Where entries are counted.
    makes_queues
        Whether a queue that is not known is made.
    bytes_max
        Largest entry.
    """

    def __init__(
        self,
        place: Place,
        cells: Cells,
        metrics: FeedMetrics,
        *,
        makes_queues: bool,
        bytes_max: int,
    ) -> None:
        self._place = place
        self._cells = cells
        self._metrics = metrics
        self._makes_queues = makes_queues
        self._bytes_max = bytes_max
        self._pause_s = _PAUSE_FIRST_S
        self._claimed_s = self._looked_s = float("-inf")

    async def run(self) -> None:
        """Read until cancelled; what fails is begun again, after a pause that grows."""
        primary = RedisPrimary(
            self._place.address, self._place.stream.decode(), self._place.answer_within_s
        )
        while True:
            try:
                await self._read(primary)
            except (RedisUnreachable, RedisRefused, StreamRefused) as error:
                why = str(error)
            except Exception as error:
                # A bug of ours, which must not end what is sensed from now on.
                _log.exception("telemetry_stream_failed", stream=self._place.stream.decode())
                why = str(error)
            self._metrics.connected.set(0)
            self._metrics.reconnects.inc()
            pause_s = self._pause_s * random.uniform(0.5, 1.0)
            self._pause_s = min(2 * self._pause_s, _PAUSE_MAX_S)
            _log.warning(
                "telemetry_stream_lost", **self._told(), error=why, again_in_s=round(pause_s, 2)
            )
            await asyncio.sleep(pause_s)

    async def _read(self, primary: RedisPrimary) -> None:
        """Read over one connection until it breaks."""
        connection = await primary.connect(0)
        try:
            await self._make_group(connection)
            await self._claim(connection, _AT_ONCE)
            _log.info("telemetry_stream_read", **self._told())
            self._metrics.connected.set(1)
            while True:
                await self._turn(connection)
                self._pause_s = _PAUSE_FIRST_S
        finally:
            await connection.close()

    async def _turn(self, connection: RedisConnection) -> None:
        """Take what is there, or wait a moment for something to come."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._claimed_s >= _CLAIM_EVERY_S:
            await self._claim(connection, _CLAIM_IDLE_MS)
        if loop.time() - self._looked_s >= _LAG_EVERY_S:
            await self._look_at_lag(connection)
        place = self._place
        command = (
            *(b"XREADGROUP", b"GROUP", place.group, place.consumer, b"COUNT", _ENTRIES),
            *(b"BLOCK", b"%d" % (1_000 * _BLOCK_S), b"STREAMS", place.stream, b">"),
        )
        match await _ask(connection, command, _BLOCK_S + _LONGER_S):
            case [[_, list(entries)]]:
                await self._take(connection, _entries(entries))

    async def _make_group(self, connection: RedisConnection) -> None:
        """Make the group, and the stream, where there is none; it begins with the oldest entry."""
        place = self._place
        with suppress(_GroupExists):
            create = (b"XGROUP", b"CREATE", place.stream, place.group, b"0", b"MKSTREAM")
            await _ask(connection, create)

    async def _claim(self, connection: RedisConnection, idle_ms: bytes) -> None:
        """Take what was read so long ago and not acknowledged since."""
        place, cursor = self._place, b"0-0"
        self._claimed_s = asyncio.get_running_loop().time()
        while True:
            command = (
                *(b"XAUTOCLAIM", place.stream, place.group, place.consumer, idle_ms),
                *(cursor, b"COUNT", _ENTRIES),
            )
            match await _ask(connection, command, _LONGER_S):
                case [bytes(cursor), list(entries), *deleted]:
                    for gone in deleted:
                        self._metrics.trimmed.inc(len(gone) if isinstance(gone, list) else 0)
                    found = _entries(entries)
                    if found:
                        _log.info("telemetry_entries_claimed", **self._told(), entries=len(found))
                    await self._take(connection, found)
                case other:
                    raise StreamRefused(f"XAUTOCLAIM gave {other!r}")
            if cursor == b"0-0":
                return

    async def _take(self, connection: RedisConnection, entries: Sequence[Entry]) -> None:
        """Take entries in, in order, and acknowledge each once nothing is left to do about it."""
        refused = []
        for entry in entries:
            why = await self._take_one(entry)
            if why:
                refused.append(why)
                await self._bury(connection, entry, why)
            place = self._place
            await _ask(connection, (b"XACK", place.stream, place.group, entry.entry_id))
            self._metrics.entry.set(int(entry.entry_id.partition(b"-")[0]) / 1_000)
        if refused:
            # One line for all, or a feed that sends nothing else would fill the log.
            _log.warning(
                "telemetry_entries_dead", **self._told(), entries=len(refused), first=refused[0]
            )

    async def _take_one(self, entry: Entry) -> str:
        """Take one entry in; returns why it cannot be, "" where it was."""
        if entry.fields is None:
            self._metrics.trimmed.inc()
            return ""
        while True:
            try:
                frame = await self._frame(entry.fields)
                await Feed(self._cells, makes_queues=self._makes_queues).answer(frame)
            except CallRefused as refused:
                if refused.code in _RETRIED and refused.retry_after_ms:
                    await asyncio.sleep(refused.retry_after_ms / 1_000)
                    continue
                return str(refused)
            except Exception as error:
                # A bug of ours: the entry would bring it again for ever.
                _log.exception("telemetry_entry_failed", entry=entry.entry_id.decode())
                return f"an internal error: {type(error).__name__}"
            self._metrics.taken.inc()
            return ""

    async def _frame(self, fields: Sequence[bytes]) -> bytes:
        """The serialised message of an entry."""
        names = fields[::2]
        if len(fields) != 2 or names[0] not in (b"m", b"j"):
            shown = ", ".join(name.decode(errors="replace") for name in names[:4])
            raise invalid(violation("entry", shown, _FORMS))
        name, value = fields
        if len(value) > self._bytes_max:
            expected = f"at most {self._bytes_max:,} bytes"
            raise invalid(violation(name.decode(), f"{len(value)} bytes", expected))
        if name == b"m":
            return value
        # Tens of milliseconds for a large one, which the loop has no time for.
        request = await asyncio.to_thread(request_of_json, value)
        return request.SerializeToString()

    async def _bury(self, connection: RedisConnection, entry: Entry, why: str) -> None:
        """Put an entry beside, with the reason; the oldest of those make room."""
        self._metrics.dead.inc()
        kept = [value[:_DEAD_BYTES_MAX] for value in (entry.fields or ())[:8]]
        reason = why.encode()[:_REASON_BYTES_MAX]
        named = (b"id", entry.entry_id, b"reason", reason)
        command = (
            b"XADD",
            self._place.stream + b":dead",
            b"MAXLEN",
            _DEAD_MAX,
            b"*",
            *named,
            *kept,
        )
        await _ask(connection, command)

    async def _look_at_lag(self, connection: RedisConnection) -> None:
        """Tell how many entries wait: those not read, and those not acknowledged."""
        self._looked_s = asyncio.get_running_loop().time()
        groups = await _ask(connection, (b"XINFO", b"GROUPS", self._place.stream))
        for group in groups if isinstance(groups, list) else ():
            if not isinstance(group, list):
                continue
            name, pending, lag = (_field(group, key) for key in (b"name", b"pending", b"lag"))
            if name == self._place.group:
                # A server cannot tell where entries in the middle were deleted.
                waits = math.nan
                if isinstance(lag, int) and isinstance(pending, int):
                    waits = lag + pending
                self._metrics.lag.set(waits)

    def _told(self) -> dict[str, str]:
        """What log lines say of where it is."""
        place = self._place
        return {
            "server": str(place.address),
            "stream": place.stream.decode(),
            "group": place.group.decode(),
        }


class _GroupExists(StreamRefused):
    """The group is there already."""


async def _ask(connection: RedisConnection, command: Sequence[bytes], longer_s: float = 0) -> Reply:
    """
    Send one command.

    Raises
    ------
    StreamRefused
        The server answered with an error.
    RedisUnreachable
        It did not answer.
    """
    (answer,) = await connection.ask((command,), longer_s)
    if isinstance(answer, ResponseError):
        if code_of(answer) == "BUSYGROUP":
            raise _GroupExists
        raise StreamRefused(f"{command[0].decode()}: {answer}")
    return answer


def _field(pairs: Sequence[Reply], name: bytes) -> Reply:
    """A value among names and values by turns; None where there is none."""
    return pairs[pairs.index(name) + 1] if name in pairs[::2] else None


def _entries(replies: Sequence[Reply]) -> list[Entry]:
    """Entries of a reply."""
    found = []
    for reply in replies:
        match reply:
            case [bytes(entry_id), None]:
                found.append(Entry(entry_id, None))
            case [bytes(entry_id), list(fields)]:
                found.append(Entry(entry_id, [item for item in fields if isinstance(item, bytes)]))
    return found
