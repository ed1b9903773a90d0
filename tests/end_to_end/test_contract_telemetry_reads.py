"""TelemetryService over a real channel: what is read of queues that are sensed."""

import asyncio
from typing import Any

import pytest

from headgate.client import Client
from headgate.v1 import telemetry_service_pb2 as pb
from headgate.v1.telemetry_pb2 import Busyness, ForecastMethod
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import refused, told, until
from tests.end_to_end.telemetry import Stream, columns, now_s, outlooks, sensed_queues

HALF_DAY_MS = 43_200_000


async def pages(client: Client, method: str, items: str, **fields: Any) -> list[list[str]]:
    """Ids of every page of a list."""
    request_type = getattr(pb, f"{method}Request")
    found, token = [], ""
    while True:
        request = request_type(page_token=token, **fields)
        reply = await client.call(getattr(client.telemetry, method), request)
        found.append([item.queue_id for item in getattr(reply, items)])
        token = reply.next_page_token
        if not token:
            return found


@pytest.mark.parametrize(
    ("method", "items"), [("GetOutlook", "outlooks"), ("GetAccuracy", "accuracies")]
)
async def test_queues_are_told_a_page_at_a_time(serve: Serve, method: str, items: str) -> None:
    """Every queue once, by id; those that are named, in that order and on one page."""
    served = serve("--durability", "memory")
    async with Client(served.address) as client:
        assert await pages(client, method, items) == [[]]
        names = [f"q{number}" for number in range(7)]
        await sensed_queues(client, *reversed(names))
        assert await pages(client, method, items) == [names]
        assert await pages(client, method, items, page_size=3) == [names[:3], names[3:6], names[6:]]
        assert await pages(client, method, items, page_size=7) == [names]
        asked = ["q5", "q0"]
        assert await pages(client, method, items, page_size=1, queue_ids=asked) == [asked]
        call = getattr(client.telemetry, method)
        request_type = getattr(pb, f"{method}Request")
        for fields, field in (
            ({"page_size": -1}, "page_size"),
            ({"page_size": 1_001}, "page_size"),
            ({"queue_ids": ["q"] * 1_001}, "queue_ids"),
        ):
            found = await refused(client.call(call, request_type(**fields)))
            assert (found.code, list(found.fields)) == ("INVALID_ARGUMENT", [field])
        found = await refused(client.call(call, request_type(queue_ids=["q0", "nowhere"])))
        assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_QUEUE")
        assert list(found.fields) == ["queue_ids[1]"]
        found = await refused(client.call(call, request_type(cell="nowhere")))
        assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_CELL")


async def test_queue_that_nobody_tells_of_is_not_known(client: Client, name: str) -> None:
    """Nothing is told as 0 that is not known."""
    await sensed_queues(client, name)
    (outlook,) = await outlooks(client, name, with_windows=True)
    assert (outlook.telemetry_age_ms, outlook.is_stale) == (-1, True)
    assert outlook.busyness == Busyness.BUSYNESS_UNSPECIFIED
    assert list(outlook.breach_risks) == []
    assert not outlook.HasField("load_ratio")
    assert not outlook.HasField("service_level_projected")
    assert all(window.covered_s == 0 for window in outlook.windows)
    assert not any(window.HasField("service_level") for window in outlook.windows)


async def test_forecast_has_the_steps_that_were_asked_for(client: Client, name: str) -> None:
    """As many as cover the horizon, one after the other, from the step that contains now."""
    await sensed_queues(client, name)
    async with Stream(client, name) as stream:
        await stream.send(columns(now_s(), [name], offered=[5]))
    for step_ms in (0, 300_000, 600_000, 900_000, 1_800_000):
        for horizon_ms in (0, step_ms or 300_000, HALF_DAY_MS):
            request = pb.GetForecastRequest(
                queue_ids=[name, name], horizon_ms=horizon_ms, step_ms=step_ms
            )
            reply = await client.call(client.telemetry.GetForecast, request)
            assert [item.queue_id for item in reply.forecasts] == [name, name]
            forecast = reply.forecasts[0]
            length_ms = step_ms or 300_000
            assert len(forecast.methods) == 4
            assert ForecastMethod.FORECAST_METHOD_UNSPECIFIED not in forecast.methods
            if not forecast.steps:
                continue  # nothing is known of the queue yet
            assert len(forecast.steps) == (horizon_ms or 7_200_000) // length_ms
            begins = [step.begins_at_ms for step in forecast.steps]
            assert begins == list(range(begins[0], begins[0] + len(begins) * length_ms, length_ms))
            assert begins[0] <= 1_000 * now_s() < begins[0] + 300_000 + length_ms
            for step in forecast.steps:
                assert 0 <= step.p2_5 <= step.p10 <= step.p90 <= step.p97_5
                assert step.mean >= 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"queue_ids": []}, "queue_ids"),
        ({"queue_ids": ["q"] * 101}, "queue_ids"),
        ({"step_ms": 1}, "step_ms"),
        ({"step_ms": -300_000}, "step_ms"),
        ({"step_ms": 1_200_000}, "step_ms"),
        ({"horizon_ms": -1}, "horizon_ms"),
        ({"horizon_ms": 299_999}, "horizon_ms"),
        ({"horizon_ms": 600_000, "step_ms": 900_000}, "horizon_ms"),
        ({"horizon_ms": HALF_DAY_MS + 1}, "horizon_ms"),
    ],
)
async def test_forecast_that_cannot_be_made_is_refused(
    client: Client, fields: dict[str, Any], field: str
) -> None:
    """The field is named, with what was expected."""
    request = pb.GetForecastRequest(**{"queue_ids": ["q"], **fields})
    found = await refused(client.call(client.telemetry.GetForecast, request))
    assert (found.code, list(found.fields)) == ("INVALID_ARGUMENT", [field])


async def test_forecast_of_an_unknown_queue_is_refused(client: Client, name: str) -> None:
    """A forecast of nothing would be an answer of zeros."""
    await sensed_queues(client, name)
    request = pb.GetForecastRequest(queue_ids=[name, "nowhere"])
    found = await refused(client.call(client.telemetry.GetForecast, request))
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_QUEUE")
    assert any("nowhere" in text for text in found.fields.values())


async def test_busyness_is_watched_whole_then_as_it_changes(client: Client, name: str) -> None:
    """All at once, then the queue whose grade has changed, and all again at the interval."""
    busy, quiet = f"{name}-busy", f"{name}-quiet"
    await sensed_queues(client, busy, quiet)
    request = pb.WatchBusynessRequest(queue_ids=[busy, quiet], interval_ms=3_600_000)
    watch = client.telemetry.WatchBusyness(request, timeout=60)
    first = await told(watch)
    assert first.is_whole
    assert [outlook.queue_id for outlook in first.outlooks] == [busy, quiet]
    async with Stream(client, name) as stream:

        async def tell() -> None:
            second = now_s()
            while True:
                if second <= now_s():
                    await stream.send(
                        columns(
                            second,
                            [busy],
                            offered=[9 + second % 2],
                            waiting=[50],
                            oldest_wait_ms=[600_000],
                            handling=[5],
                        )
                    )
                    second += 1
                await asyncio.sleep(0.1)

        telling = asyncio.create_task(tell())
        try:
            changed = await told(watch)
        finally:
            telling.cancel()
            watch.cancel()
    assert not changed.is_whole
    assert [outlook.queue_id for outlook in changed.outlooks] == [busy]
    assert changed.outlooks[0].busyness >= Busyness.BUSYNESS_BUSY


async def test_busyness_is_told_whole_at_the_interval(client: Client, name: str) -> None:
    """Also where nothing changes."""
    await sensed_queues(client, name)
    request = pb.WatchBusynessRequest(queue_ids=[name], interval_ms=1_000)
    watch = client.telemetry.WatchBusyness(request, timeout=60)
    messages = [await told(watch) for _ in range(3)]
    watch.cancel()
    assert all(message.is_whole for message in messages)
    at = [message.outlooks[0].at_ms for message in messages]
    assert at[0] < at[1] < at[2]


async def test_watch_of_no_queue_says_that_there_is_none(serve: Serve) -> None:
    """Who watches an empty cell must not wait for a first message."""
    served = serve("--durability", "memory")
    async with Client(served.address) as client:
        watch = client.telemetry.WatchBusyness(pb.WatchBusynessRequest(), timeout=30)
        message = await told(watch)
        assert (message.is_whole, list(message.outlooks)) == (True, [])
        watch.cancel()


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"interval_ms": 999}, "INVALID_ARGUMENT", "interval_ms"),
        ({"interval_ms": -1}, "INVALID_ARGUMENT", "interval_ms"),
        ({"interval_ms": 3_600_001}, "INVALID_ARGUMENT", "interval_ms"),
        ({"queue_ids": ["nowhere"]}, "NOT_FOUND", "queue_ids[0]"),
        ({"queue_ids": ["q"] * 10_001}, "INVALID_ARGUMENT", "queue_ids"),
        ({"cell": "nowhere"}, "NOT_FOUND", "cell"),
    ],
)
async def test_watch_that_cannot_be_is_refused(
    client: Client, fields: dict[str, Any], code: str, field: str
) -> None:
    """The stream ends with the reason."""
    watch = client.telemetry.WatchBusyness(pb.WatchBusynessRequest(**fields), timeout=30)
    found = await refused(watch.read())
    assert (found.code, list(found.fields)) == (code, [field])


async def test_anomalies_are_listed(client: Client, name: str) -> None:
    """None yet; names of groups and queues filter, and no name is wrong."""
    for fields in ({}, {"queue_ids": [name]}, {"with_ended": True}):
        request = pb.ListAnomaliesRequest(**fields)
        reply = await client.call(client.telemetry.ListAnomalies, request)
        assert list(reply.anomalies) == []
        assert reply.suppressed == 0
    found = await refused(
        client.call(client.telemetry.ListAnomalies, pb.ListAnomaliesRequest(cell="nowhere"))
    )
    assert found.code == "NOT_FOUND"


async def test_sources_are_listed_by_name(serve: Serve) -> None:
    """The engine's own first of all, with what became of each one's readings."""
    served = serve("--durability", "memory")
    async with Client(served.address) as client:
        await sensed_queues(client, "q")
        for name in ("west", "east"):
            async with Stream(client, name) as stream:
                await stream.send(columns(now_s(), ["q", "nowhere"], offered=[1, 1]))
        found = await client.call(client.telemetry.ListSources, pb.ListSourcesRequest())
        assert [item.source for item in found.sources] == ["east", "engine", "west"]
        for item in (found.sources[0], found.sources[2]):
            assert (item.accepted, item.refused) == (1, 1)
            assert abs(item.skew_ms) < 5_000
            assert item.age_ms >= 0


async def test_accuracy_of_a_new_queue_has_no_figures(client: Client, name: str) -> None:
    """Before anything was forecast nothing is said of how good it was."""
    await sensed_queues(client, name)
    request = pb.GetAccuracyRequest(queue_ids=[name])
    (found,) = (await client.call(client.telemetry.GetAccuracy, request)).accuracies
    ahead = [item.ahead_ms for item in found.forecasts]
    assert ahead == [300_000, 1_800_000, 7_200_000, 43_200_000]
    for item in found.forecasts:
        assert item.forecasts == 0
        assert not item.HasField("wape")
    assert [item.ahead_ms for item in found.breach_risks] == [
        300_000, 600_000, 900_000, 1_800_000,
    ]  # fmt: skip
    assert (found.drifts, found.faults) == (0, 0)


async def test_what_is_learned_outlives_a_graceful_restart(serve: Serve, tmp_path: Any) -> None:
    """The windows of before are there, with the gap of the restart, and duplicates are known."""
    kept = ("--durability", "normal", "--data-dir", str(tmp_path / "data"))
    late = ("--set", "telemetry_lateness_ms=15000")
    served = serve(*kept, *late)
    second = now_s()
    told_of = columns(second, ["q"], offered=[42])
    async with Client(served.address) as client:
        await sensed_queues(client, "q")
        async with Stream(client, "pbx") as stream:
            assert (await stream.send(told_of)).accepted == 1
    assert served.terminate() == 0
    again = serve(*kept, *late)
    async with Client(again.address) as client:
        async with Stream(client, "pbx") as stream:
            response = await stream.send(told_of)
            assert (response.accepted, response.duplicate + response.late) == (0, 1)

        async def offered() -> int:
            return (await outlooks(client, "q", with_windows=True))[0].windows[5].offered

        assert await until(offered, 30) == 42
