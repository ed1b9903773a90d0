"""TelemetryService.Ingest over a real channel: what becomes of readings, good ones and bad ones."""

import asyncio
import time
from typing import Any

import pytest

from headgate.client import Client
from headgate.v1 import telemetry_service_pb2 as pb
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import Refused, open_queue, refused, until
from tests.end_to_end.serving import Served
from tests.end_to_end.telemetry import (
    Stream,
    columns,
    now_s,
    outlooks,
    refusals,
    sensed_queues,
    source_of,
)

DAY_S = 86_400
# Columns of a reading whose value tells it from any other.
ALL_COLUMNS = (
    "offered", "answered", "answered_within", "abandoned", "answer_wait_ms", "handled",
    "handle_ms", "waiting", "available", "handling", "wrap_up", "oldest_wait_ms",
)  # fmt: skip


async def test_readings_become_what_is_sensed(client: Client, name: str) -> None:
    """Every column in, every figure out."""
    queues = [f"{name}-a", f"{name}-b"]
    await sensed_queues(client, *queues)
    second = now_s()
    async with Stream(client, name) as stream:
        response = await stream.send(
            columns(
                second,
                queues,
                offered=[4, 0],
                answered=[3, 0],
                answered_within=[2, 0],
                abandoned=[1, 0],
                answer_wait_ms=[30_000, 0],
                handled=[2, 0],
                handle_ms=[600_000, 0],
                waiting=[5, 0],
                available=[1, 2],
                handling=[6, 0],
                wrap_up=[1, 0],
                oldest_wait_ms=[45_000, 0],
            ),
            sequence=7,
        )
        assert (response.sequence, response.accepted, response.refused) == (7, 2, 0)
        assert second - 10 < response.closed_second <= second
        assert abs(response.skew_ms) < 5_000
        # The queues are those of the message before; what is left out is 0.
        response = await stream.send(columns(second + 1, offered=[1, 1]), columns(second + 2))
        assert (response.sequence, response.accepted) == (0, 4)

    async def minute() -> Any:
        outlook = (await outlooks(client, queues[0], with_windows=True))[0]
        return outlook if outlook.windows and outlook.windows[1].covered_s == 3 else None

    outlook = await until(minute)
    assert [window.window for window in outlook.windows] == ["10s", "1m", "5m", "15m", "30m", "day"]
    figures = outlook.windows[1]
    assert (figures.offered, figures.answered, figures.abandoned) == (5, 3, 1)
    assert figures.service_level == pytest.approx(2 / 4)
    assert figures.abandonment == pytest.approx(1 / 4)
    assert figures.occupancy == pytest.approx(7 / 8)
    assert figures.asa_ms == pytest.approx(10_000)
    assert figures.aht_ms == pytest.approx(300_000)
    assert figures.waiting == pytest.approx(5 / 3)
    assert (outlook.is_stale, outlook.telemetry_age_ms >= 0) == (False, True)
    # Nothing is divided by nothing.
    other = (await outlooks(client, queues[1], with_windows=True))[0].windows[1]
    assert not other.HasField("asa_ms")
    assert not other.HasField("service_level")


@pytest.mark.parametrize("field", ALL_COLUMNS)
async def test_column_of_another_length_ends_the_stream(
    client: Client, name: str, field: str
) -> None:
    """Values would be taken for those of other queues; nothing of the message is taken."""
    await sensed_queues(client, name)
    second = now_s()
    async with Stream(client, "pbx") as stream:
        good = columns(second, [name], offered=[1])
        wrong: dict[str, Any] = {field: [1, 2]}
        found = await refused(stream.refused(good, columns(second + 1, **wrong)))
    path = f"readings[1].{field}"
    assert (found.code, list(found.fields)) == ("INVALID_ARGUMENT", [path])
    assert "none, or one for each of the 1 queues" in found.fields[path]
    async with Stream(client, "pbx") as stream:
        assert (await stream.send(good)).accepted == 1


@pytest.mark.parametrize(
    ("fields", "field", "expected"),
    [
        ({"source": ""}, "source", "1 to 128 printable bytes"),
        ({"source": "x" * 129}, "source", "1 to 128 printable bytes"),
        ({"source": "a\nb"}, "source", "1 to 128 printable bytes"),
        ({"source": "engine"}, "source", "another name"),
        ({"readings": [columns(1)]}, "readings[0].queue_ids", "the queues that columns are of"),
        ({"readings": [columns(1, ["a", "b", "a"])]}, "readings[0].queue_ids", "only once"),
        (
            {"readings": [columns(1, [str(number) for number in range(10_001)])]},
            "readings[0].queue_ids",
            "at most 10,000 queues",
        ),
        ({"readings": [columns(1, ["a"])] * 61}, "readings", "at most 60 seconds"),
    ],
)
async def test_message_that_is_not_sound_ends_the_stream(
    client: Client, fields: dict[str, Any], field: str, expected: str
) -> None:
    """The field is named, with what was expected."""
    given = {"source": "unsound", "readings": [columns(1, ["a"])], **fields}
    async with Stream(client, given.pop("source")) as stream:
        found = await refused(stream.refused(*given["readings"]))
    assert found.code == "INVALID_ARGUMENT"
    assert found.reason == "INVALID_FIELD"
    assert expected in found.fields[field]


async def test_stream_keeps_to_its_cell_and_source(client: Client, name: str) -> None:
    """A gateway that forwards for several opens a stream for each."""
    for fields in ({"source": "another"}, {"cell": "another"}):
        async with Stream(client, name) as stream:
            await stream.send()
            await stream.send(source=name)
            found = await refused(stream.refused(**fields))
        assert found.code == "INVALID_ARGUMENT"
        assert list(found.fields) == list(fields)
    async with Stream(client, name, "nowhere") as stream:
        found = await refused(stream.refused())
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_CELL")


async def test_unknown_queue_is_refused_beside_the_known(client: Client, name: str) -> None:
    """Nobody may fill the engine with queues by a slip; the others go on."""
    await sensed_queues(client, name)
    second = now_s()
    async with Stream(client, name) as stream:
        response = await stream.send(columns(second, [name, "nowhere"], offered=[1, 1]))
    assert (response.accepted, response.refused) == (1, 1)
    assert refusals(response) == [("nowhere", second, "UNKNOWN_QUEUE")]


async def test_queue_is_known_as_soon_as_it_is_defined(client: Client, name: str) -> None:
    """A gateway defines its queues and begins to tell of them in the same second."""
    second = now_s()
    async with Stream(client, "pbx") as stream:
        for number in range(5):
            await open_queue(client, f"{name}-{number}")
            response = await stream.send(columns(second, [f"{name}-{number}"], offered=[1]))
            assert (response.accepted, refusals(response)) == (1, [])


async def test_unknown_queue_is_made_where_the_setting_says_so(serve: Serve) -> None:
    """Its first reading counts already; what cannot be a queue is refused."""
    served = serve("--durability", "memory", "--set", "telemetry_queues=create")
    async with Client(served.address) as client, Stream(client, "pbx") as stream:
        second = now_s()
        names = ["new", "newer", "x" * 129, "a\nb", ""]
        response = await stream.send(columns(second, names, offered=[1] * 5))
        assert (response.accepted, response.refused) == (2, 3)
        assert {item[0] for item in refusals(response)} == set(names[2:])
        assert [outlook.queue_id for outlook in await until(lambda: outlooks(client))] == names[:2]
        assert (await stream.send(columns(second + 1, offered=[1] * 5))).accepted == 2


@pytest.mark.parametrize(
    "values",
    [
        {"offered": -1},
        {"offered": 1_000_001},
        {"offered": (1 << 63) - 1},
        {"offered": -(1 << 63)},
        {"answered": 1, "answered_within": 2},
        {"abandoned": -1},
        {"answer_wait_ms": 200_000_001},
        {"handle_ms": -1},
        {"waiting": 1 << 40},
        {"available": -1},
        {"oldest_wait_ms": 200_000_001},
    ],
)
async def test_value_that_cannot_be_is_refused_and_changes_nothing(
    client: Client, name: str, values: dict[str, int]
) -> None:
    """The same second may be told again, rightly."""
    await sensed_queues(client, name)
    second = now_s()
    async with Stream(client, "pbx") as stream:
        wrong: dict[str, Any] = {field: [value] for field, value in values.items()}
        response = await stream.send(columns(second, [name], **wrong))
        assert refusals(response) == [(name, second, "VALUE")]
        assert (await stream.send(columns(second, offered=[1]))).accepted == 1


async def test_late_duplicate_and_ahead_are_told_apart(client: Client, name: str) -> None:
    """Each is counted for its source, and what is known stays."""
    await sensed_queues(client, name)
    second = now_s()
    async with Stream(client, name) as stream:
        response = await stream.send(columns(second, [name], offered=[1]))
        assert response.accepted == 1
        closed = response.closed_second
        response = await stream.send(
            columns(second, offered=[2]),
            columns(closed, offered=[1]),
            columns(0, offered=[1]),
            columns(-5, offered=[1]),
            columns(second + 60, offered=[1]),
            columns((1 << 63) - 1, offered=[1]),
            columns(-(1 << 63), offered=[1]),
        )
    assert (response.accepted, response.duplicate) == (0, 1)
    assert (response.late, response.refused) == (4, 2)
    assert refusals(response) == [
        (name, closed, "LATE"),
        (name, 0, "LATE"),
        (name, -5, "LATE"),
        (name, second + 60, "AHEAD"),
        (name, (1 << 63) - 1, "AHEAD"),
        (name, -(1 << 63), "LATE"),
    ]
    source = await source_of(client, name)
    assert (source.accepted, source.duplicate, source.late, source.refused) == (1, 1, 4, 2)
    assert 0 <= source.age_ms < 60_000
    assert (await outlooks(client, name))[0].queue_id == name


async def test_only_the_first_refusals_are_told(client: Client, name: str) -> None:
    """An answer stays small, whatever a mad source sends."""
    second = now_s()
    async with Stream(client, name) as stream:
        queues = [f"{name}-{number}" for number in range(1_000)]
        response = await stream.send(columns(second, queues), columns(second + 1))
    assert (response.refused, len(response.refusals)) == (2_000, 16)


async def test_source_that_repeats_itself_is_stuck(client: Client, name: str) -> None:
    """One reading again and again, contacts and all: from the thirtieth on it is not believed."""
    await sensed_queues(client, name)
    async with Stream(client, name) as stream:
        outcomes = []
        # A second may be at most so much ahead; thirty take their time.
        begun_s = now_s()
        for ahead in range(34):
            while begun_s + ahead > now_s() + 15:
                await asyncio.sleep(0.1)
            first = [name] if ahead == 0 else []
            response = await stream.send(columns(begun_s + ahead, first, offered=[3]))
            outcomes.append(refusals(response)[0][2] if response.refused else "")
        assert outcomes == [""] * 30 + ["STUCK"] * 4
        # Once it says something else it is believed again.
        while begun_s + 34 > now_s() + 15:
            await asyncio.sleep(0.1)
        assert (await stream.send(columns(begun_s + 34, offered=[4]))).accepted == 1


async def test_sources_are_limited_and_added(serve: Serve) -> None:
    """Sixty-three tell of one queue, and what they tell is added; the next one is told why not."""
    served = serve("--durability", "memory")
    async with Client(served.address) as client:
        await sensed_queues(client, "q")
        second = now_s()
        for number in range(63):
            async with Stream(client, f"pbx-{number}") as stream:
                response = await stream.send(columns(second + 1, ["q"], offered=[2]))
                assert response.accepted == 1
        async with Stream(client, "one more") as stream:
            found = await refused(stream.refused(columns(second, ["q"], offered=[1])))
        assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
        assert "at most 63 sources" in found.fields["source"]

        async def offered() -> int:
            return (await outlooks(client, "q", with_windows=True))[0].windows[1].offered

        assert await until(offered) == 126


async def test_message_beyond_the_bound_ends_the_stream(client: Client, name: str) -> None:
    """Ten thousand queues of every column fit into a megabyte; ten times that do not."""
    second = now_s()
    queues = [f"{name}-{number}" for number in range(10_000)]
    full = {field: [1] * len(queues) for field in ALL_COLUMNS}
    async with Stream(client, name) as stream:
        assert (await stream.send(columns(second, queues, **full))).refused == 10_000
    async with Stream(client, name) as stream:
        wide = ["x" * 120 + str(number) for number in range(10_000)]
        found = await refused(stream.refused(columns(second, wide)))
    assert found.code == "RESOURCE_EXHAUSTED"


async def test_source_resumes_after_a_broken_stream(
    server: Served, client: Client, name: str
) -> None:
    """It sends again what was not answered, and the readings count once."""
    await sensed_queues(client, name)
    second = now_s()
    sent = [columns(second + ahead, [name], offered=[1]) for ahead in range(3)]
    async with Stream(client, name) as stream:
        await stream.send(sent[0])
        await stream.write(sent[1])
        # Broken before the answer: whether it was taken is not known.
    async with Client(server.address) as again, Stream(again, name) as stream:
        response = await stream.send(*sent[1:])
        assert response.accepted + response.duplicate == 2
        assert (await stream.send(*sent)).duplicate == 3
    source = await source_of(client, name)
    assert source.accepted == 3


async def test_sensing_that_is_off_says_so(serve: Serve) -> None:
    """Plans may be made all the same; what is read is not there."""
    served = serve("--durability", "memory", "--set", "sensing=false")
    async with Client(served.address) as client:
        telemetry = client.telemetry
        calls: list[tuple[Any, Any]] = [
            (telemetry.GetOutlook, pb.GetOutlookRequest()),
            (telemetry.GetForecast, pb.GetForecastRequest(queue_ids=["q"])),
            (telemetry.GetAccuracy, pb.GetAccuracyRequest()),
            (telemetry.ListAnomalies, pb.ListAnomaliesRequest()),
            (telemetry.ListSources, pb.ListSourcesRequest()),
        ]
        found = [await refused(client.call(method, request)) for method, request in calls]
        async with Stream(client, "pbx") as stream:
            found.append(await refused(stream.refused()))
        watch = telemetry.WatchBusyness(pb.WatchBusynessRequest(), timeout=10)
        found.append(await refused(watch.read()))
        assert found == [Refused("UNIMPLEMENTED", "SENSING_OFF", {})] * 7
        assert served.get("/readyz")[0] == 200
        listed = await client.call(telemetry.ListEvents, pb.ListEventsRequest())
        assert list(listed.events) == []


async def test_readings_do_not_wait_for_the_clock_of_a_source(client: Client, name: str) -> None:
    """A clock that is wrong is measured; its readings are refused, not taken for now."""
    await sensed_queues(client, name)
    async with Stream(client, name) as stream:
        response = await stream.send(columns(int(time.time()) - DAY_S, [name], offered=[1]))
        assert response.late == 1
        assert -DAY_S * 1_000 - 5_000 < response.skew_ms < -DAY_S * 1_000 + 5_000
