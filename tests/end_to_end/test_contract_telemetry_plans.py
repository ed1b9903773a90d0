"""TelemetryService over a real channel: events, agents planned and business volumes."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.protobuf.message import Message

from headgate.client import Client
from headgate.v1 import plan_pb2, telemetry_service_pb2
from headgate.v1.plan_pb2 import ForecastOverride, PlannedDriver, PlannedEvent, PlannedStaffing
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import open_queue, refused

NOON_MS = 1_800_000_000_000 // 300_000 * 300_000
HOUR_MS = 3_600_000


class Kind(NamedTuple):
    """One kind of plan: its words in the contract."""

    word: str
    field: str
    many: str
    id_field: str
    message: type[Message]

    def request(self, verb: str, **fields: Any) -> Any:
        """A request of a method."""
        plural = self.many.capitalize() if verb == "List" else self.word
        return getattr(telemetry_service_pb2, f"{verb}{plural}Request")(**fields)

    async def call(self, client: Client, verb: str, **fields: Any) -> Any:
        """Call a method."""
        plural = self.many.capitalize() if verb == "List" else self.word
        method = getattr(client.telemetry, f"{verb}{plural}")
        return await client.call(method, self.request(verb, **fields))

    async def put(self, client: Client, plan: Message, **fields: Any) -> Any:
        """Put a plan; returns it as it is now."""
        reply = await self.call(client, "Put", **{self.field: plan}, **fields)
        return getattr(reply, self.field)

    async def ids(self, client: Client, **fields: Any) -> list[list[str]]:
        """Ids of all plans, page by page."""
        found, token = [], ""
        while True:
            reply = await self.call(client, "List", page_token=token, **fields)
            found.append([getattr(plan, self.id_field) for plan in getattr(reply, self.many)])
            token = reply.next_page_token
            if not token:
                return found

    async def all_ids(self, client: Client) -> set[str]:
        """Ids of all plans."""
        return {plan_id for page in await self.ids(client, page_size=1_000) for plan_id in page}


EVENT = Kind("Event", "event", "events", "event_id", PlannedEvent)
STAFFING = Kind("Staffing", "staffing", "staffing", "plan_id", PlannedStaffing)
DRIVER = Kind("Driver", "driver", "drivers", "driver_id", PlannedDriver)
KINDS = [EVENT, STAFFING, DRIVER]


def plan_of(kind: Kind, plan_id: str, queue_id: str, **fields: Any) -> Any:
    """A plan of which every field is set."""
    common: dict[str, Any] = {kind.id_field: plan_id, "begins_at_ms": NOON_MS}
    if kind is EVENT:
        common |= {
            "queue_ids": [queue_id], "label": "mailing", "ends_at_ms": NOON_MS + HOUR_MS,
            "uplift": 0.25, "added_per_hour": 12.5, "rise_ms": 60_000, "half_life_ms": 120_000,
            "added_steps": [1.0, 2.5], "deviation": 0.5,
            "override": ForecastOverride.FORECAST_OVERRIDE_AT_LEAST, "override_per_hour": 3.5,
        }  # fmt: skip
    elif kind is STAFFING:
        common |= {"queue_id": queue_id, "interval_ms": 900_000, "agents": [5.0, 6.5, 0.0]}
    else:
        common |= {
            "queue_id": queue_id, "interval_ms": HOUR_MS, "volumes": [1e6, 2.5],
            "contacts_per_10000": 12.5,
        }  # fmt: skip
    return kind.message(**{**common, **fields})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
async def test_plan_is_kept_as_it_was_put(client: Client, name: str, kind: Kind) -> None:
    """What is listed is what was put, every field of it, until it is deleted."""
    await open_queue(client, name)
    plan = plan_of(kind, name, name)
    put = await kind.put(client, plan)
    plan.etag = "1"
    assert put == plan
    listed = await kind.call(client, "List", page_size=1_000)
    assert [item for item in getattr(listed, kind.many) if item == plan] == [plan]
    await kind.call(client, "Delete", **{kind.id_field: name})
    assert name not in await kind.all_ids(client)
    found = await refused(kind.call(client, "Delete", **{kind.id_field: name}))
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_PLAN")
    assert list(found.fields) == [kind.id_field]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
async def test_etag_keeps_one_planner_from_undoing_another(
    client: Client, name: str, kind: Kind
) -> None:
    """ABORTED, and what is there stays."""
    await open_queue(client, name)
    plan = plan_of(kind, name, name)
    assert (await kind.put(client, plan)).etag == "1"
    plan.etag = "1"
    assert (await kind.put(client, plan)).etag == "2"
    found = await refused(kind.put(client, plan))
    assert (found.code, found.reason) == ("ABORTED", "ETAG_MISMATCH")
    found = await refused(kind.call(client, "Delete", **{kind.id_field: name}, etag="1"))
    assert found.code == "ABORTED"
    await kind.call(client, "Delete", **{kind.id_field: name}, etag="2")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
async def test_retry_gets_the_reply_that_was_given(client: Client, name: str, kind: Kind) -> None:
    """The same id and body does nothing twice; another body under the id is refused."""
    await open_queue(client, name)
    plan = plan_of(kind, name, name)
    first = await kind.put(client, plan, request_id=f"{name}-put")
    assert await kind.put(client, plan, request_id=f"{name}-put") == first
    other = plan_of(kind, name, name, begins_at_ms=NOON_MS + 300_000)
    found = await refused(kind.put(client, other, request_id=f"{name}-put"))
    assert found.code == "ALREADY_EXISTS"
    for _ in range(2):
        fields = {kind.id_field: name, "request_id": f"{name}-delete"}
        await kind.call(client, "Delete", **fields)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
async def test_plans_are_listed_a_page_at_a_time(serve: Serve, kind: Kind) -> None:
    """By id, each once; sizes out of bounds are refused."""
    served = serve("--durability", "memory")
    async with Client(served.address) as client:
        await open_queue(client, "q")
        assert await kind.ids(client) == [[]]
        names = [f"p{number}" for number in range(5)]
        for plan_id in reversed(names):
            await kind.put(client, plan_of(kind, plan_id, "q"))
        assert await kind.ids(client) == [names]
        assert await kind.ids(client, page_size=2) == [names[:2], names[2:4], names[4:]]
        for size in (-1, 1_001):
            found = await refused(kind.call(client, "List", page_size=size))
            assert (found.code, list(found.fields)) == ("INVALID_ARGUMENT", ["page_size"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
async def test_plan_of_an_unknown_queue_or_cell_is_refused(client: Client, kind: Kind) -> None:
    """The queue is named by its field."""
    found = await refused(kind.put(client, plan_of(kind, "p", "nowhere")))
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_QUEUE")
    path = "event.queue_ids[0]" if kind is EVENT else f"{kind.field}.queue_id"
    assert list(found.fields) == [path]
    found = await refused(kind.put(client, plan_of(kind, "p", "q"), cell="nowhere"))
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_CELL")


def doubles() -> list[tuple[Kind, str, bool]]:
    """Every field of a plan that holds doubles and is an input: kind, name, whether repeated."""
    found = []
    for kind in KINDS:
        for field in kind.message.DESCRIPTOR.fields:
            is_output = field.name in ("realised_ratio", "learned_per_10000", "learned_deviation")
            if field.type == field.TYPE_DOUBLE and not is_output:
                repeated = isinstance(getattr(kind.message(), field.name), float) is False
                found.append((kind, field.name, repeated))
    return found


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("double", doubles(), ids=lambda double: f"{double[0].word}.{double[1]}")
async def test_double_that_is_no_number_is_refused(
    client: Client, name: str, double: tuple[Kind, str, bool], value: float
) -> None:
    """One NaN in a plan would be in every forecast from then on."""
    kind, field, is_repeated = double
    await open_queue(client, name)
    fields: dict[str, Any] = {field: [1.0, value] if is_repeated else value}
    if field == "uplift_steps":
        fields["uplift"] = 0.0
    found = await refused(kind.put(client, plan_of(kind, name, name, **fields)))
    path = f"{kind.field}.{field}" + ("[1]" if is_repeated else "")
    assert (found.code, list(found.fields)) == ("INVALID_ARGUMENT", [path])
    assert name not in await kind.all_ids(client)


async def test_every_violation_is_told_at_once(client: Client, name: str) -> None:
    """With its path, what was given and what was expected."""
    await open_queue(client, name)
    plan = plan_of(EVENT, "", name, ends_at_ms=NOON_MS, deviation=3.0, uplift=-2.0)
    found = await refused(EVENT.put(client, plan))
    assert found.reason == "INVALID_FIELD"
    # An event without length has no time to rise in, either.
    assert list(found.fields) == [
        "event.event_id", "event.ends_at_ms", "event.uplift", "event.rise_ms", "event.deviation",
    ]  # fmt: skip
    assert "above 0 to 2" in found.fields["event.deviation"]
    found = await refused(EVENT.call(client, "Put"))
    assert found.code == "INVALID_ARGUMENT"
    word = plan_of(EVENT, name, name)
    word.override = 9
    found = await refused(EVENT.put(client, word))
    assert (found.code, list(found.fields)) == ("INVALID_ARGUMENT", ["event.override"])


async def test_plans_outlive_a_crash_in_their_order(serve: Serve, tmp_path: Path) -> None:
    """What was acknowledged before kill -9 is there after it, etags included."""
    kept = ("--durability", "normal", "--data-dir", str(tmp_path / "data"))
    served = serve(*kept)
    async with Client(served.address) as client:
        await open_queue(client, "q")
        for kind in KINDS:
            for plan_id in ("b", "a", "c"):
                await kind.put(client, plan_of(kind, plan_id, "q"))
            await kind.put(client, plan_of(kind, "b", "q"))
            await kind.call(client, "Delete", **{kind.id_field: "a"})
        before = [await kind.call(client, "List") for kind in KINDS]
    served.kill()
    again = serve(*kept)
    async with Client(again.address) as client:
        assert [await kind.call(client, "List") for kind in KINDS] == before
        etags = [plan.etag for plan in before[0].events]
        assert etags == ["2", "1"]
        # A retry of a crash is still known.
        await EVENT.call(client, "Delete", event_id="b", etag="2")


def test_every_kind_of_plan_is_tried_here() -> None:
    """A kind that is added without a row above would go untested."""
    planned = [name for name in plan_pb2.DESCRIPTOR.message_types_by_name if "Planned" in name]
    assert sorted(planned) == sorted(kind.message.DESCRIPTOR.name for kind in KINDS)
