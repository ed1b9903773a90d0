"""What plans must satisfy on their own."""

from collections.abc import Sequence

from engine.limits import DAY_MS, NEVER_MS
from engine.plans import (
    AGENTS_PLANNED_MAX,
    CONTACTS_PER_HOUR_MAX,
    CONTACTS_PER_STEP_MAX,
    EVENT_DAYS_MAX,
    EVENT_QUEUES_MAX,
    ID_FIELDS,
    PLAN_DAYS_MAX,
    PLAN_INTERVAL_MS_MAX,
    PLAN_STEP_MS,
    PLAN_STEPS_MAX,
    UPLIFT_MAX,
    VOLUME_MAX,
    DeletePlan,
    ForecastOverride,
    PlannedDriver,
    PlannedEvent,
    PlannedStaffing,
    PutPlan,
)
from engine.routing.checks import Checks


def put_plan(checks: Checks, command: PutPlan) -> None:
    """Rules of a plan."""
    plan = command.plan
    if isinstance(plan, PlannedEvent):
        _event(checks, plan)
    elif isinstance(plan, PlannedStaffing):
        checks.name("staffing.plan_id", plan.plan_id)
        checks.name("staffing.queue_id", plan.queue_id)
        _intervals(checks, "staffing", plan)
        _steps(checks, "staffing.agents", plan.agents, 0, AGENTS_PLANNED_MAX)
    else:
        checks.name("driver.driver_id", plan.driver_id)
        checks.name("driver.queue_id", plan.queue_id)
        _intervals(checks, "driver", plan)
        _steps(checks, "driver.volumes", plan.volumes, 0, VOLUME_MAX)
        rate = plan.contacts_per_10000
        checks.number("driver.contacts_per_10000", rate, 0, CONTACTS_PER_HOUR_MAX)


def delete_plan(checks: Checks, command: DeletePlan) -> None:
    """Rules of a deletion."""
    checks.name(ID_FIELDS[command.kind], command.plan_id)


def _event(checks: Checks, event: PlannedEvent) -> None:
    checks.name("event.event_id", event.event_id)
    checks.name("event.label", event.label, may_be_empty=True)
    if not event.queue_ids:
        checks.fail("event.queue_ids", event.queue_ids, "at least one queue")
    checks.count("event.queue_ids", event.queue_ids, EVENT_QUEUES_MAX)
    for place, queue_id in enumerate(event.queue_ids):
        checks.name(f"event.queue_ids[{place}]", queue_id)
    checks.unique("event.queue_ids", event.queue_ids)
    checks.number("event.begins_at_ms", event.begins_at_ms, 0, NEVER_MS)
    begins_ms = event.begins_at_ms
    longest_ms = EVENT_DAYS_MAX * DAY_MS
    checks.number("event.ends_at_ms", event.ends_at_ms, begins_ms + 1, begins_ms + longest_ms)
    checks.number("event.uplift", event.uplift, -1, UPLIFT_MAX)
    checks.number("event.added_per_hour", event.added_per_hour, 0, CONTACTS_PER_HOUR_MAX)
    checks.number("event.rise_ms", event.rise_ms, 0, max(event.ends_at_ms - begins_ms, 0))
    checks.number("event.half_life_ms", event.half_life_ms, 0, longest_ms)
    if event.uplift_steps:
        _steps(checks, "event.uplift_steps", event.uplift_steps, -1, UPLIFT_MAX)
        if event.uplift:
            expected = "0 where there are uplift_steps"
            checks.fail("event.uplift", event.uplift, expected)
    if event.added_steps:
        _steps(checks, "event.added_steps", event.added_steps, 0, CONTACTS_PER_STEP_MAX)
    if not (0 < event.deviation <= 2):
        checks.fail("event.deviation", event.deviation, "above 0 to 2")
    checks.member("event.override", event.override, ForecastOverride)
    checks.number("event.override_per_hour", event.override_per_hour, 0, CONTACTS_PER_HOUR_MAX)
    if event.override is ForecastOverride.NONE and event.override_per_hour:
        checks.fail("event.override_per_hour", event.override_per_hour, "0 without an override")


def _intervals(checks: Checks, path: str, plan: PlannedStaffing | PlannedDriver) -> None:
    checks.number(f"{path}.begins_at_ms", plan.begins_at_ms, 0, NEVER_MS)
    if plan.begins_at_ms % PLAN_STEP_MS:
        expected = f"a multiple of {PLAN_STEP_MS:,}"
        checks.fail(f"{path}.begins_at_ms", plan.begins_at_ms, expected)
    interval_ms = plan.interval_ms
    values = plan.agents if isinstance(plan, PlannedStaffing) else plan.volumes
    longest_ms = PLAN_DAYS_MAX[plan.KIND] * DAY_MS
    if interval_ms * len(values) > longest_ms:
        expected = f"a plan of {PLAN_DAYS_MAX[plan.KIND]} days at most"
        checks.fail(f"{path}.interval_ms", interval_ms, expected)
    if not (0 < interval_ms <= PLAN_INTERVAL_MS_MAX) or interval_ms % PLAN_STEP_MS:
        expected = f"a multiple of {PLAN_STEP_MS:,}, at most {PLAN_INTERVAL_MS_MAX:,}"
        checks.fail(f"{path}.interval_ms", interval_ms, expected)


def _steps(checks: Checks, field: str, values: Sequence[float], low: float, high: float) -> None:
    if not values:
        checks.fail(field, values, "at least one value")
    checks.count(field, values, PLAN_STEPS_MAX)
    for place, value in enumerate(values):
        if not (low <= value <= high):
            checks.number(f"{field}[{place}]", value, low, high)
            return
