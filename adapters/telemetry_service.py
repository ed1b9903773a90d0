"""TelemetryService: its methods that write, which are commands to the engine, and their lists."""

from collections.abc import Callable
from typing import Final, TypeVar

from google.protobuf.message import Message

from adapters.methods import Method, fitting, ids_after, page_bounds
from adapters.plan_messages import (
    driver_message,
    event_message,
    planned_driver,
    planned_event,
    planned_staffing,
    staffing_message,
)
from engine.engine import Engine
from engine.plans import DeletePlan, Plan, PlanKind, PutPlan
from engine.state.plans import KeptPlan
from headgate.v1 import telemetry_service_pb2 as pb

_ListRequest = pb.ListEventsRequest | pb.ListStaffingRequest | pb.ListDriversRequest

M = TypeVar("M", bound=Message)


def put_event(engine: Engine, request: pb.PutEventRequest, now_ms: int) -> Message:
    """Create an event or replace it."""
    kept = _put(engine, planned_event(request.event), request.event.etag, now_ms)
    return pb.PutEventResponse(event=event_message(kept))


def put_staffing(engine: Engine, request: pb.PutStaffingRequest, now_ms: int) -> Message:
    """Plan agents, or replace the plan."""
    kept = _put(engine, planned_staffing(request.staffing), request.staffing.etag, now_ms)
    return pb.PutStaffingResponse(staffing=staffing_message(kept))


def put_driver(engine: Engine, request: pb.PutDriverRequest, now_ms: int) -> Message:
    """Tell of a business volume, or replace it."""
    kept = _put(engine, planned_driver(request.driver), request.driver.etag, now_ms)
    return pb.PutDriverResponse(driver=driver_message(kept))


def list_events(engine: Engine, request: pb.ListEventsRequest, now_ms: int) -> Message:
    """List events by id."""
    del now_ms
    page, token = _page(engine, PlanKind.EVENT, request, event_message)
    return pb.ListEventsResponse(events=page, next_page_token=token)


def list_staffing(engine: Engine, request: pb.ListStaffingRequest, now_ms: int) -> Message:
    """List plans of agents by id."""
    del now_ms
    page, token = _page(engine, PlanKind.STAFFING, request, staffing_message)
    return pb.ListStaffingResponse(staffing=page, next_page_token=token)


def list_drivers(engine: Engine, request: pb.ListDriversRequest, now_ms: int) -> Message:
    """List business volumes by id."""
    del now_ms
    page, token = _page(engine, PlanKind.DRIVER, request, driver_message)
    return pb.ListDriversResponse(drivers=page, next_page_token=token)


def delete_event(engine: Engine, request: pb.DeleteEventRequest, now_ms: int) -> Message:
    """Delete an event."""
    engine.apply(DeletePlan(PlanKind.EVENT, request.event_id, request.etag), now_ms)
    return pb.DeleteEventResponse()


def delete_staffing(engine: Engine, request: pb.DeleteStaffingRequest, now_ms: int) -> Message:
    """Delete a plan of agents."""
    engine.apply(DeletePlan(PlanKind.STAFFING, request.plan_id, request.etag), now_ms)
    return pb.DeleteStaffingResponse()


def delete_driver(engine: Engine, request: pb.DeleteDriverRequest, now_ms: int) -> Message:
    """Delete a business volume."""
    engine.apply(DeletePlan(PlanKind.DRIVER, request.driver_id, request.etag), now_ms)
    return pb.DeleteDriverResponse()


def _put(engine: Engine, plan: Plan, etag: str, now_ms: int) -> KeptPlan:
    engine.apply(PutPlan(plan, etag), now_ms)
    kept = engine.cell.plans.find(plan.KIND, plan.plan_id)
    assert kept is not None
    return kept


def _page(
    engine: Engine, kind: PlanKind, request: _ListRequest, as_message: Callable[[KeptPlan], M]
) -> tuple[list[M], str]:
    """Plans of one page, and the token of the next."""
    kept = engine.cell.plans.of_kind(kind)
    ids = ids_after(kept, request.page_token)
    page = fitting(as_message(kept[name]) for name in ids[: page_bounds(request.page_size)])
    return page, ids[len(page) - 1] if len(page) < len(ids) else ""


METHODS: Final = (
    Method("TelemetryService", "PutEvent", pb.PutEventRequest, put_event, True),
    Method("TelemetryService", "ListEvents", pb.ListEventsRequest, list_events),
    Method("TelemetryService", "DeleteEvent", pb.DeleteEventRequest, delete_event, True),
    Method("TelemetryService", "PutStaffing", pb.PutStaffingRequest, put_staffing, True),
    Method("TelemetryService", "ListStaffing", pb.ListStaffingRequest, list_staffing),
    Method("TelemetryService", "DeleteStaffing", pb.DeleteStaffingRequest, delete_staffing, True),
    Method("TelemetryService", "PutDriver", pb.PutDriverRequest, put_driver, True),
    Method("TelemetryService", "ListDrivers", pb.ListDriversRequest, list_drivers),
    Method("TelemetryService", "DeleteDriver", pb.DeleteDriverRequest, delete_driver, True),
)
