"""Plans between the contract and the engine."""

from adapters.translation import member
from engine.plans import (
    DEVIATION,
    ForecastOverride,
    PlannedDriver,
    PlannedEvent,
    PlannedStaffing,
)
from engine.state.plans import KeptPlan
from headgate.v1 import plan_pb2 as pb


def planned_event(message: pb.PlannedEvent) -> PlannedEvent:
    """An event as it is asked for."""
    return PlannedEvent(
        event_id=message.event_id,
        queue_ids=tuple(message.queue_ids),
        begins_at_ms=message.begins_at_ms,
        ends_at_ms=message.ends_at_ms,
        label=message.label,
        uplift=message.uplift,
        added_per_hour=message.added_per_hour,
        rise_ms=message.rise_ms,
        half_life_ms=message.half_life_ms,
        uplift_steps=tuple(message.uplift_steps),
        added_steps=tuple(message.added_steps),
        deviation=message.deviation or DEVIATION,
        override=member(ForecastOverride, message.override, ForecastOverride.NONE),
        override_per_hour=message.override_per_hour,
    )


def planned_staffing(message: pb.PlannedStaffing) -> PlannedStaffing:
    """Agents as they are planned."""
    return PlannedStaffing(
        plan_id=message.plan_id,
        queue_id=message.queue_id,
        begins_at_ms=message.begins_at_ms,
        interval_ms=message.interval_ms,
        agents=tuple(message.agents),
    )


def planned_driver(message: pb.PlannedDriver) -> PlannedDriver:
    """A business volume as it is told."""
    return PlannedDriver(
        driver_id=message.driver_id,
        queue_id=message.queue_id,
        begins_at_ms=message.begins_at_ms,
        interval_ms=message.interval_ms,
        volumes=tuple(message.volumes),
        contacts_per_10000=message.contacts_per_10000,
    )


def event_message(kept: KeptPlan) -> pb.PlannedEvent:
    """An event as it is kept."""
    event = kept.plan
    assert isinstance(event, PlannedEvent)
    return pb.PlannedEvent(
        event_id=event.event_id,
        etag=str(kept.version),
        queue_ids=event.queue_ids,
        label=event.label,
        begins_at_ms=event.begins_at_ms,
        ends_at_ms=event.ends_at_ms,
        uplift=event.uplift,
        added_per_hour=event.added_per_hour,
        rise_ms=event.rise_ms,
        half_life_ms=event.half_life_ms,
        uplift_steps=event.uplift_steps,
        added_steps=event.added_steps,
        deviation=event.deviation,
        override=int(event.override),  # type: ignore[arg-type]
        override_per_hour=event.override_per_hour,
    )


def staffing_message(kept: KeptPlan) -> pb.PlannedStaffing:
    """Agents as they are planned."""
    plan = kept.plan
    assert isinstance(plan, PlannedStaffing)
    return pb.PlannedStaffing(
        plan_id=plan.plan_id,
        etag=str(kept.version),
        queue_id=plan.queue_id,
        begins_at_ms=plan.begins_at_ms,
        interval_ms=plan.interval_ms,
        agents=plan.agents,
    )


def driver_message(kept: KeptPlan) -> pb.PlannedDriver:
    """A business volume as it is kept."""
    driver = kept.plan
    assert isinstance(driver, PlannedDriver)
    return pb.PlannedDriver(
        driver_id=driver.driver_id,
        etag=str(kept.version),
        queue_id=driver.queue_id,
        begins_at_ms=driver.begins_at_ms,
        interval_ms=driver.interval_ms,
        volumes=driver.volumes,
        contacts_per_10000=driver.contacts_per_10000,
    )
