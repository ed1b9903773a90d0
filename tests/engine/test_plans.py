"""Plans: what each must satisfy, etags and limits, and that a restart finds them in order."""

import math
from dataclasses import replace
from typing import Any

import orjson
import pytest

from engine.commands import DeleteQueue, UpsertQueue
from engine.engine import Engine
from engine.limits import DAY_MS, NEVER_MS
from engine.plans import (
    PLAN_STEP_MS,
    PLANS_MAX,
    DeletePlan,
    ForecastOverride,
    Plan,
    PlanKind,
    PlannedDriver,
    PlannedEvent,
    PlannedStaffing,
    PutPlan,
)
from engine.refusals import CommandRefused, Refusal
from engine.state.rows import DamagedRow, RowDelta, RowTable

LONG = "x" * 129
BEYOND: Any = 9
HOUR_MS = 3_600_000
NOON_MS = 1_000_000 * PLAN_STEP_MS
EVENT = PlannedEvent("e1", ("q1",), NOON_MS, NOON_MS + HOUR_MS)
STAFFING = PlannedStaffing("s1", "q1", NOON_MS, PLAN_STEP_MS, (5.0, 6.5))
DRIVER = PlannedDriver("d1", "q1", NOON_MS, HOUR_MS, (1_000.0,), 25.0)

# A plan that breaks one rule, and the field that is named for it.
BROKEN: list[tuple[Plan, str]] = [
    (replace(EVENT, event_id=""), "event.event_id"),  # empty
    (replace(EVENT, event_id=LONG), "event.event_id"),  # 129 bytes
    (replace(EVENT, label=LONG), "event.label"),  # 129 bytes
    (replace(EVENT, queue_ids=()), "event.queue_ids"),  # nobody's
    (replace(EVENT, queue_ids=("q1", "q1")), "event.queue_ids"),  # twice
    (replace(EVENT, queue_ids=("q1", "")), "event.queue_ids[1]"),  # empty
    (replace(EVENT, queue_ids=tuple(map(str, range(1_001)))), "event.queue_ids"),  # of 1,000
    (replace(EVENT, begins_at_ms=-1, ends_at_ms=HOUR_MS), "event.begins_at_ms"),  # before time
    (replace(EVENT, begins_at_ms=NEVER_MS + 1, ends_at_ms=NEVER_MS + 2), "event.begins_at_ms"),
    (replace(EVENT, ends_at_ms=NOON_MS), "event.ends_at_ms"),  # over as it begins
    (replace(EVENT, ends_at_ms=NOON_MS + 90 * DAY_MS + 1), "event.ends_at_ms"),  # 90 days
    (replace(EVENT, uplift=-1.01), "event.uplift"),  # less than nothing is left
    (replace(EVENT, uplift=50.1), "event.uplift"),  # above the maximum
    (replace(EVENT, uplift=math.nan), "event.uplift"),  # not a number
    (replace(EVENT, added_per_hour=-1.0), "event.added_per_hour"),  # takes away
    (replace(EVENT, added_per_hour=1.1e7), "event.added_per_hour"),  # above the maximum
    (replace(EVENT, added_per_hour=math.inf), "event.added_per_hour"),  # endless
    (replace(EVENT, rise_ms=-1), "event.rise_ms"),  # negative
    (replace(EVENT, rise_ms=HOUR_MS + 1), "event.rise_ms"),  # longer than the event
    (replace(EVENT, half_life_ms=-1), "event.half_life_ms"),  # negative
    (replace(EVENT, half_life_ms=90 * DAY_MS + 1), "event.half_life_ms"),  # above the maximum
    (replace(EVENT, uplift_steps=(0.5, -1.01)), "event.uplift_steps[1]"),  # less than nothing
    (replace(EVENT, uplift_steps=(math.nan,)), "event.uplift_steps[0]"),  # not a number
    (replace(EVENT, uplift_steps=(0.5,) * 2_017), "event.uplift_steps"),  # of 2,016
    (replace(EVENT, uplift_steps=(0.5,), uplift=0.1), "event.uplift"),  # which of the two?
    (replace(EVENT, added_steps=(-1.0,)), "event.added_steps[0]"),  # takes away
    (replace(EVENT, added_steps=(1.0, 8.1e5)), "event.added_steps[1]"),  # above the maximum
    (replace(EVENT, added_steps=(1.0,) * 2_017), "event.added_steps"),  # of 2,016
    (replace(EVENT, deviation=0.0), "event.deviation"),  # nobody is so sure
    (replace(EVENT, deviation=2.1), "event.deviation"),  # above the maximum
    (replace(EVENT, deviation=math.nan), "event.deviation"),  # not a number
    (replace(EVENT, override=BEYOND), "event.override"),  # beyond the last
    (replace(EVENT, override_per_hour=1.0), "event.override_per_hour"),  # of no override
    (
        replace(EVENT, override=ForecastOverride.SET, override_per_hour=-1.0),
        "event.override_per_hour",
    ),  # negative
    (replace(STAFFING, plan_id=""), "staffing.plan_id"),  # empty
    (replace(STAFFING, queue_id=LONG), "staffing.queue_id"),  # 129 bytes
    (replace(STAFFING, begins_at_ms=NOON_MS + 1), "staffing.begins_at_ms"),  # between steps
    (replace(STAFFING, begins_at_ms=-PLAN_STEP_MS), "staffing.begins_at_ms"),  # before time
    (replace(STAFFING, interval_ms=0), "staffing.interval_ms"),  # no time at all
    (replace(STAFFING, interval_ms=PLAN_STEP_MS + 1), "staffing.interval_ms"),  # between steps
    (replace(STAFFING, interval_ms=HOUR_MS + PLAN_STEP_MS), "staffing.interval_ms"),  # an hour
    (
        replace(STAFFING, interval_ms=HOUR_MS, agents=(1.0,) * (31 * 24 + 1)),
        "staffing.interval_ms",
    ),  # 31 days
    (replace(STAFFING, agents=()), "staffing.agents"),  # no plan
    (replace(STAFFING, agents=(1.0,) * 2_017), "staffing.agents"),  # of 2,016
    (replace(STAFFING, agents=(1.0, -0.5)), "staffing.agents[1]"),  # negative
    (replace(STAFFING, agents=(100_001.0,)), "staffing.agents[0]"),  # above the maximum
    (replace(STAFFING, agents=(math.nan,)), "staffing.agents[0]"),  # not a number
    (replace(DRIVER, driver_id=""), "driver.driver_id"),  # empty
    (replace(DRIVER, queue_id=""), "driver.queue_id"),  # empty
    (replace(DRIVER, begins_at_ms=NOON_MS + 1), "driver.begins_at_ms"),  # between steps
    (replace(DRIVER, interval_ms=-PLAN_STEP_MS), "driver.interval_ms"),  # back in time
    (replace(DRIVER, volumes=(1.0,) * (7 * 24 + 1)), "driver.interval_ms"),  # 7 days
    (replace(DRIVER, volumes=()), "driver.volumes"),  # no plan
    (replace(DRIVER, volumes=(math.nan,)), "driver.volumes[0]"),  # not a number
    (replace(DRIVER, volumes=(1.0, 1.1e12)), "driver.volumes[1]"),  # above the maximum
    (replace(DRIVER, contacts_per_10000=-1.0), "driver.contacts_per_10000"),  # takes away
    (replace(DRIVER, contacts_per_10000=math.nan), "driver.contacts_per_10000"),  # not a number
]

# A plan at the edge of every bound.
AT_THE_EDGE: list[Plan] = [
    replace(EVENT, ends_at_ms=NOON_MS + 90 * DAY_MS, uplift=-1.0, rise_ms=90 * DAY_MS),
    replace(EVENT, uplift=50.0, added_per_hour=1e7, half_life_ms=90 * DAY_MS, deviation=2.0),
    replace(EVENT, uplift_steps=(-1.0, 50.0) * 1_008, added_steps=(0.0, 8e5) * 1_008),
    replace(EVENT, override=ForecastOverride.AT_MOST, override_per_hour=0.0, label=""),
    replace(STAFFING, begins_at_ms=0, interval_ms=HOUR_MS, agents=(0.0, 100_000.0) * 372),
    replace(STAFFING, agents=(0.5,) * 2_016),
    replace(DRIVER, volumes=(0.0, 1e12) * 84, contacts_per_10000=1e7),
]


@pytest.fixture
def engine() -> Engine:
    """An engine with two queues."""
    made = Engine()
    made.apply(UpsertQueue("q1"), 1_000)
    made.apply(UpsertQueue("q2"), 1_000)
    return made


def put(engine: Engine, plan: Plan, etag: str = "") -> None:
    """Put a plan."""
    engine.apply(PutPlan(plan, etag), 2_000)


def refusal(engine: Engine, command: PutPlan | DeletePlan) -> CommandRefused:
    """Why a command is refused; whatever it says, nothing may change."""
    before, changes = engine.cell.plans.all(), engine.cell.plans.changes
    with pytest.raises(CommandRefused) as caught:
        engine.apply(command, 2_000)
    assert (engine.cell.plans.all(), engine.cell.plans.changes) == (before, changes)
    return caught.value


def rows_of(engine: Engine) -> list[RowDelta]:
    """Everything a log would hold."""
    engine.cell.mark_all()
    return [delta for delta in engine.take_group().row_deltas if delta.record is not None]


def loaded(rows: list[RowDelta]) -> Engine:
    """An engine from what a log holds."""
    again = Engine()
    again.load(rows)
    return again


@pytest.mark.parametrize(("plan", "field"), BROKEN)
def test_broken_rule_is_refused_by_its_field(engine: Engine, plan: Plan, field: str) -> None:
    """One wrong value, one violation: it says where, and nothing of the plan is kept."""
    refused = refusal(engine, PutPlan(plan))
    assert refused.reason is Refusal.INVALID_FIELD
    assert [item.field for item in refused.violations] == [field]


@pytest.mark.parametrize("plan", AT_THE_EDGE)
def test_plan_at_its_bounds_is_kept_as_it_is(engine: Engine, plan: Plan) -> None:
    """A bound that is one too strict would refuse a plan the contract allows."""
    put(engine, plan)
    kept = engine.cell.plans.find(plan.KIND, plan.plan_id)
    assert kept is not None
    assert kept.plan == plan


def test_every_broken_rule_is_told_at_once(engine: Engine) -> None:
    """Who writes a plan by hand corrects it once, not once for each slip."""
    plan = replace(EVENT, event_id="", uplift=math.nan, deviation=3.0)
    fields = [item.field for item in refusal(engine, PutPlan(plan)).violations]
    assert fields == ["event.event_id", "event.uplift", "event.deviation"]


@pytest.mark.parametrize(
    ("plan", "field"),
    [
        (replace(EVENT, queue_ids=("q1", "nowhere")), "event.queue_ids[1]"),
        (replace(STAFFING, queue_id="nowhere"), "staffing.queue_id"),
        (replace(DRIVER, queue_id="nowhere"), "driver.queue_id"),
    ],
)
def test_plan_of_an_unknown_queue_is_refused(engine: Engine, plan: Plan, field: str) -> None:
    """A slip in a name would make a plan that says nothing."""
    refused = refusal(engine, PutPlan(plan))
    assert refused.reason is Refusal.UNKNOWN_QUEUE
    assert [item.field for item in refused.violations] == [field]


@pytest.mark.parametrize("plan", [EVENT, STAFFING, DRIVER])
def test_etag_keeps_one_writer_from_undoing_another(engine: Engine, plan: Plan) -> None:
    """ "0" is for a plan that must not be there yet, a number for the one that was read."""
    put(engine, plan, "0")
    assert refusal(engine, PutPlan(plan, "0")).reason is Refusal.ETAG_MISMATCH
    put(engine, plan, "1")
    assert refusal(engine, PutPlan(plan, "1")).reason is Refusal.ETAG_MISMATCH
    put(engine, plan)
    kept = engine.cell.plans.find(plan.KIND, plan.plan_id)
    assert kept is not None
    assert kept.version == 3
    delete = DeletePlan(plan.KIND, plan.plan_id)
    assert refusal(engine, delete._replace(etag="2")).reason is Refusal.ETAG_MISMATCH
    engine.apply(delete._replace(etag="3"), 2_000)
    assert engine.cell.plans.find(plan.KIND, plan.plan_id) is None


@pytest.mark.parametrize("kind", list(PlanKind))
def test_deleting_what_is_not_there_is_refused(engine: Engine, kind: PlanKind) -> None:
    """Of another kind the same id is another plan."""
    put(engine, replace(EVENT, event_id="p"))
    put(engine, replace(STAFFING, plan_id="p"))
    put(engine, replace(DRIVER, driver_id="p"))
    engine.apply(DeletePlan(kind, "p"), 2_000)
    assert len(engine.cell.plans.all()) == 2
    refused = refusal(engine, DeletePlan(kind, "p"))
    assert refused.reason is Refusal.UNKNOWN_PLAN
    field = {
        PlanKind.EVENT: "event_id", PlanKind.STAFFING: "plan_id", PlanKind.DRIVER: "driver_id",
    }[kind]  # fmt: skip
    assert [item.field for item in refusal(engine, DeletePlan(kind, "")).violations] == [field]


def test_plans_of_a_kind_are_limited(engine: Engine) -> None:
    """The one too many is refused; one that is there may still be replaced, another kind put."""
    for number in range(PLANS_MAX[PlanKind.DRIVER]):
        put(engine, replace(DRIVER, driver_id=f"d{number}"))
    refused = refusal(engine, PutPlan(replace(DRIVER, driver_id="one more")))
    assert refused.reason is Refusal.LIMIT_REACHED
    put(engine, replace(DRIVER, driver_id="d0", volumes=(1.0,)))
    put(engine, EVENT)
    engine.apply(DeletePlan(PlanKind.DRIVER, "d0"), 2_000)
    put(engine, replace(DRIVER, driver_id="one more"))


def test_restart_keeps_plans_in_the_order_they_were_put(engine: Engine) -> None:
    """Where plans of agents overlap the one put last counts, after a restart as before."""
    names = ["a", "b", "c", "d"]
    for name in names:
        put(engine, replace(STAFFING, plan_id=name))
    put(engine, EVENT)
    put(engine, DRIVER)
    put(engine, replace(STAFFING, plan_id="b", agents=(9.0,)))
    engine.apply(DeletePlan(PlanKind.STAFFING, "a"), 2_000)
    put(engine, replace(STAFFING, plan_id="e"))
    before = engine.cell.plans.all()
    assert [plan.plan_id for plan in before] == ["c", "d", "e1", "d1", "b", "e"]
    rows = rows_of(engine)
    again = loaded(list(reversed(rows)))
    assert again.cell.plans.all() == before
    for kind in PlanKind:
        assert again.cell.plans.of_kind(kind) == engine.cell.plans.of_kind(kind)
    assert sorted(rows_of(again)) == sorted(rows)
    # What is put now comes after all of them, in a row of its own.
    put(again, replace(STAFFING, plan_id="f"))
    assert again.cell.plans.all()[-1].plan_id == "f"
    assert len({delta.row for delta in rows_of(again) if delta.table == RowTable.PLAN}) == 7


def test_deltas_of_single_groups_lead_to_the_same_plans(engine: Engine) -> None:
    """A log is written group by group: a row that is given anew must not keep the old plan."""
    log: dict[tuple[int, int], RowDelta] = {}

    def write() -> None:
        for delta in engine.take_group().row_deltas:
            log.pop((delta.table, delta.row), None)
            if delta.record is not None:
                log[delta.table, delta.row] = delta

    put(engine, EVENT)
    put(engine, STAFFING)
    write()
    engine.apply(DeletePlan(PlanKind.EVENT, "e1"), 2_000)
    write()
    put(engine, DRIVER)
    put(engine, replace(STAFFING, agents=(1.0,)))
    write()
    engine.apply(DeletePlan(PlanKind.DRIVER, "d1"), 2_000)
    put(engine, replace(EVENT, event_id="e2"))
    write()
    assert loaded(list(log.values())).cell.plans.all() == engine.cell.plans.all()


@pytest.mark.parametrize(
    "damage",
    [
        {"payload": b""},  # nothing
        {"payload": b"{"},  # no JSON
        {"payload": b"[]"},  # no object
        {"payload": b"{}"},  # no kind
        {"payload": orjson.dumps({"kind": 9})},  # an unknown kind
        {"payload": orjson.dumps({"kind": 2, "plan_id": "s1"})},  # half of a plan
        {"payload": orjson.dumps({"kind": 2, "plan_id": "s1", "colour": 1})},  # a strange field
        {"record": b""},  # no record
        {"record": b"x" * 15},  # cut off
    ],
)
def test_damaged_row_is_refused_by_its_name(engine: Engine, damage: dict[str, Any]) -> None:
    """Better no engine than one that has lost a plan without a word."""
    put(engine, STAFFING)
    rows = [
        delta._replace(**damage) if delta.table == RowTable.PLAN else delta
        for delta in rows_of(engine)
    ]
    with pytest.raises(DamagedRow, match="s1"):
        loaded(rows)


def test_plan_outlives_its_queue(engine: Engine) -> None:
    """A queue that is deleted and made again finds what was planned for it."""
    put(engine, replace(STAFFING, queue_id="q2"))
    engine.apply(DeleteQueue("q2"), 2_000)
    again = loaded(rows_of(engine))
    assert [plan.plan_id for plan in again.cell.plans.all()] == ["s1"]
