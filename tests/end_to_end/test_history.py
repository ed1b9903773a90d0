"""Histories through a real server: learned whole and kept, or refused with nothing changed."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc.aio
import pytest

from headgate.client import Client, reason_of
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.telemetry_service_pb2 import (
    GetAccuracyRequest,
    GetForecastRequest,
    ImportHistoryRequest,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.serving import Served, headgate

BUCKET_S = 300
DAY_STEPS = 288
PART = 2_016


def now_s() -> int:
    """When the running bucket began, or the one before where that is about to end."""
    return (int(time.time()) - 30) // BUCKET_S * BUCKET_S


def weeks(days: int) -> list[int]:
    """Counts of some days with a day's wave, of no chance."""
    return [10 + abs(place % DAY_STEPS - 144) // 12 for place in range(days * DAY_STEPS)]


def parts(
    queue_id: str, contacts: Sequence[int], *, replace: bool = False
) -> list[ImportHistoryRequest]:
    """Messages of a history that ends now."""
    begins_s = now_s() - len(contacts) * BUCKET_S
    made = [
        ImportHistoryRequest(
            queue_id=queue_id,
            begins_at_s=begins_s + first * BUCKET_S,
            contacts=contacts[first : first + PART],
            replace=replace,
        )
        for first in range(0, len(contacts), PART)
    ]
    made[-1].is_last = True
    return made


async def opened(client: Client, queue_id: str) -> str:
    """A queue that is always open."""
    request = UpsertQueueRequest(queue=Queue(queue_id=queue_id))
    await client.call(client.queues.UpsertQueue, request)
    return queue_id


async def days_learned(client: Client, queue_id: str) -> int:
    """Days that a queue has learned from."""
    request = GetForecastRequest(queue_ids=[queue_id])
    for _ in range(100):
        try:
            reply = await client.call(client.telemetry.GetForecast, request)
            return int(reply.forecasts[0].days_learned)
        except grpc.aio.AioRpcError as error:
            # A queue is sensed from the second after it was made.
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            await asyncio.sleep(0.1)
    raise AssertionError(f"{queue_id} is not sensed")


async def test_history_is_learned_and_shows_in_forecast_and_accuracy(
    client: Client, name: str
) -> None:
    """The wave of the days comes again, and the ledger tells how it did on the way."""
    await opened(client, name)
    contacts = weeks(15)
    told = await client.telemetry.ImportHistory(iter(parts(name, contacts)), timeout=60)
    assert told.steps == len(contacts)
    assert told.days >= 14
    request = GetForecastRequest(queue_ids=[name], horizon_ms=21_600_000, recent_ms=3_600_000)
    (made,) = (await client.call(client.telemetry.GetForecast, request)).forecasts
    assert made.days_learned == told.days
    running_s = made.steps[0].begins_at_ms // 1_000
    ahead = (running_s - parts(name, contacts)[0].begins_at_s) // BUCKET_S
    means = [step.mean for step in made.steps]
    usual = [contacts[(ahead + place) % DAY_STEPS] for place in range(len(means))]
    assert sum(means) == pytest.approx(sum(usual), rel=0.1)
    seen = [item.contacts for item in made.recent if item.HasField("contacts")]
    assert seen[:6] == contacts[-len(seen) :][:6] or len(made.recent) >= 10
    accuracy = await client.call(client.telemetry.GetAccuracy, GetAccuracyRequest(queue_ids=[name]))
    assert accuracy.accuracies[0].forecasts[0].wape < 0.1


async def test_history_known_is_refused_unless_replaced(client: Client, name: str) -> None:
    """Twice the same file must not be twice the evidence."""
    await opened(client, name)
    await client.telemetry.ImportHistory(iter(parts(name, weeks(3))), timeout=60)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.telemetry.ImportHistory(iter(parts(name, weeks(3))), timeout=60)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(refused.value) == "HISTORY_KNOWN"
    again = parts(name, weeks(5), replace=True)
    assert (await client.telemetry.ImportHistory(iter(again), timeout=60)).days >= 4
    assert await days_learned(client, name) >= 4


async def test_what_cannot_be_a_history_is_refused_and_changes_nothing(
    client: Client, name: str
) -> None:
    """Each with the field at fault; the queue learns nothing of any."""
    await opened(client, name)
    good = parts(name, weeks(3))
    begins_s = good[0].begins_at_s
    # An hour in the middle of a day: one around its end would be of a day that is over.
    noon_s = begins_s // 86_400 * 86_400 + 43_200

    def one(**fields: object) -> list[ImportHistoryRequest]:
        start = {"queue_id": name, "begins_at_s": begins_s, "contacts": [1], "is_last": True}
        return [ImportHistoryRequest(**{**start, **fields})]  # type: ignore[arg-type]

    bad: list[tuple[list[ImportHistoryRequest], str, str]] = [
        (one(queue_id="nobody"), "NOT_FOUND", "queue_id"),
        (one(cell="nowhere"), "NOT_FOUND", "cell"),
        (one(begins_at_s=begins_s + 1), "INVALID_ARGUMENT", "begins_at_s"),
        (one(begins_at_s=begins_s + 10**9), "INVALID_ARGUMENT", "begins_at_s"),
        (one(contacts=[-2]), "INVALID_ARGUMENT", r"contacts\[0\]"),
        (one(contacts=[0]), "INVALID_ARGUMENT", "contacts"),
        (one(begins_at_s=noon_s, contacts=[9] * 12), "INVALID_ARGUMENT", "no such day"),
        (one(is_last=False), "INVALID_ARGUMENT", "is_last.*cut off"),
        ([], "INVALID_ARGUMENT", "is_last"),
        ([*one(is_last=False), *one()], "INVALID_ARGUMENT", "begins_at_s"),
        ([*one(is_last=False), *one(queue_id="x")], "INVALID_ARGUMENT", "queue_id"),
        ([*good, *one()], "INVALID_ARGUMENT", "is_last"),
    ]
    for requests, code, field in bad:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.telemetry.ImportHistory(iter(requests), timeout=60)
        assert refused.value.code().name == code, refused.value.details()
        assert re.search(field, refused.value.details() or ""), refused.value.details()
    assert await days_learned(client, name) == 0


async def test_stream_that_is_given_up_changes_nothing(client: Client, name: str) -> None:
    """A script that was stopped half way is run again from the start."""
    await opened(client, name)
    first = parts(name, weeks(10))[0]

    async def half() -> AsyncIterator[ImportHistoryRequest]:
        yield first
        await asyncio.sleep(60)

    call = client.telemetry.ImportHistory(half())
    await asyncio.sleep(0.5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await days_learned(client, name) == 0
    told = await client.telemetry.ImportHistory(iter(parts(name, weeks(2))), timeout=60)
    assert told.days >= 1


async def test_import_is_counted_as_other_streams_are(
    server: Served, client: Client, name: str
) -> None:
    """Whoever watches calls sees these."""
    await opened(client, name)
    await client.telemetry.ImportHistory(iter(parts(name, weeks(2))), timeout=60)
    _, page = server.get("/metrics")
    assert re.search(
        r'grpc_server_handled_total\{[^}]*grpc_code="OK"[^}]*grpc_method="ImportHistory"[^}]*\} \d',
        page,
    )


@pytest.mark.slow
async def test_command_teaches_shows_and_reports_and_a_crash_forgets_nothing(
    serve: Serve, tmp_path: Path
) -> None:
    """What an analyst does on the first day, with the engine killed in the middle."""
    data = tmp_path / "data"
    served = serve("--data-dir", str(data))
    begins_s = now_s() // 1_800 * 1_800 - 20 * 86_400
    rows = [f"{begins_s + 1_800 * place},{100 + 10 * (place % 5)}" for place in range(20 * 48)]
    path = tmp_path / "past.csv"
    path.write_text("\n".join(["time,contacts", *rows]), encoding="utf-8")
    command = ("history", "import", str(path), "--queue", "q", "--interval", "30m")
    place = ("--address", served.address)
    missing = headgate(*command, *place)
    assert missing.returncode == 2
    assert "expected the id of a queue that exists" in missing.stderr
    async with Client(served.address) as client:
        await opened(client, "q")
    done = headgate(*command, *place)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"q: learned from (19|20) days, 5,760 steps\n$", done.stdout)
    again = headgate(*command, *place)
    assert again.returncode == 2
    assert "`replace` would forget" in again.stderr
    served.kill()
    served = serve("--data-dir", str(data))
    place = ("--address", served.address)
    shown = headgate("forecast", "show", "q", "--hours", "1", *place)
    assert shown.returncode == 0
    assert re.search(r"learned from (19|20) days", shown.stdout)
    out = tmp_path / "page.html"
    done = headgate("forecast", "report", "--out", str(out), *place)
    assert (done.returncode, done.stderr) == (0, "")
    assert "WAPE of five-minute forecasts" in out.read_text(encoding="utf-8")
    unknown = headgate("forecast", "show", "nobody", *place)
    assert unknown.returncode == 2
    assert "nobody" in unknown.stderr
    events = [json.loads(line)["event"] for line in served.told().splitlines() if "{" in line]
    assert "sensing_loaded" in events
