"""TelemetryService: its unary reads, answered from the picture or by the sensing thread."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from google.protobuf.message import Message

from adapters.errors import CallRefused, invalid, refused_by_engine
from adapters.methods import ids_after, page_bounds
from adapters.sensing.messages import (
    accuracy_message,
    add_recent,
    anomaly_message,
    outlook_message,
)
from adapters.sensing.plan_outcomes import plan_outcomes_message
from adapters.sensing.thread import SensingThread
from engine.forecasting.accuracy import accuracy
from engine.kernels.sensing_columns import BUCKET_S, HORIZON
from engine.kernels.windows import REFUSED_DUPLICATE, REFUSED_LATE
from engine.refusals import CommandRefused, Refusal, violation
from engine.sensing.outlook import is_known
from engine.sensing.picture import age_of
from engine.sensing.rows import Key
from engine.sensing.sensing import Sensing
from headgate.v1 import telemetry_pb2
from headgate.v1 import telemetry_service_pb2 as pb

_QUEUES_MAX: Final = 1_000
_FORECAST_QUEUES_MAX: Final = 100
_HORIZON_MS: Final = 1_000 * BUCKET_S * HORIZON
_DEFAULT_HORIZON_MS: Final = 7_200_000
_STEPS_MS: Final = (300_000, 600_000, 900_000, 1_800_000)


class Read(NamedTuple):
    """One unary read of what is sensed."""

    name: str
    request: type[Message]
    run: Callable[[SensingThread, Any], Awaitable[Message]]
    service: str = "TelemetryService"


class _Page(NamedTuple):
    """Rows asked for, and the token of the page after."""

    names: list[str]
    rows: list[int]
    token: str


async def get_outlook(thread: SensingThread, request: pb.GetOutlookRequest) -> Message:
    """Read what is sensed now."""
    picture = thread.picture
    page = _page(picture.keys, request)
    outlooks = [
        outlook_message(picture, row, with_windows=request.with_windows) for row in page.rows
    ]
    return pb.GetOutlookResponse(outlooks=outlooks, next_page_token=page.token)


async def get_accuracy(thread: SensingThread, request: pb.GetAccuracyRequest) -> Message:
    """Tell how good forecasts have been."""

    def read(sensing: Sensing) -> Message:
        page = _page(sensing.directory.rows.keys, request)
        found, quality = (
            accuracy(sensing.parts.model.columns),
            sensing.parts.outlook.calibration.quality(),
        )
        items = [
            accuracy_message(name, found, quality, row)
            for name, row in zip(page.names, page.rows, strict=True)
        ]
        return pb.GetAccuracyResponse(accuracies=items, next_page_token=page.token)

    return await thread.ask(read)


async def get_forecast(thread: SensingThread, request: pb.GetForecastRequest) -> Message:
    """Forecast contacts."""
    if not (1 <= len(request.queue_ids) <= _FORECAST_QUEUES_MAX):
        expected = f"1 to {_FORECAST_QUEUES_MAX} queues"
        raise invalid(violation("queue_ids", len(request.queue_ids), expected))
    step_ms = request.step_ms or _STEPS_MS[0]
    if step_ms not in _STEPS_MS:
        expected = f"one of {', '.join(f'{length:,}' for length in _STEPS_MS)}"
        raise invalid(violation("step_ms", request.step_ms, expected))
    horizon_ms = request.horizon_ms or _DEFAULT_HORIZON_MS
    if not (step_ms <= horizon_ms <= _HORIZON_MS):
        expected = f"step_ms, {step_ms:,}, to {_HORIZON_MS:,}"
        raise invalid(violation("horizon_ms", request.horizon_ms, expected))
    if not (0 <= request.recent_ms <= _HORIZON_MS):
        raise invalid(violation("recent_ms", request.recent_ms, f"0 to {_HORIZON_MS:,}"))
    per_step = step_ms // _STEPS_MS[0]
    steps = -(-horizon_ms // step_ms)
    recent = -(-request.recent_ms // _STEPS_MS[0])

    def read(sensing: Sensing) -> Message:
        rows = [_known_row(sensing, name) for name in request.queue_ids]
        forecasts = _forecasts(sensing, rows, per_step, min(steps, HORIZON // per_step))
        for row, message in zip(rows, forecasts, strict=True):
            add_recent(message, sensing.parts.recent.steps(row, sensing.parts.model.bucket, recent))
        return pb.GetForecastResponse(forecasts=forecasts)

    return await thread.ask(read)


def _forecasts(
    sensing: Sensing, rows: Sequence[int], per_step: int, steps: int
) -> list[telemetry_pb2.QueueForecast]:
    """Forecasts of some rows, by step of so many buckets."""
    model, windows = sensing.parts.model, sensing.parts.windows
    chosen = np.array(rows, np.int64)
    begins_s = max(model.bucket, 0) * BUCKET_S
    messages = []
    for row in rows:
        age_s = age_of(windows.closed_s, int(windows.columns.latest_s[row]))
        key = sensing.directory.rows.keys[row]
        assert key is not None
        methods = (model.columns.arrivals.in_force[row] + 1).tolist()
        messages.append(
            telemetry_pb2.QueueForecast(
                queue_id=key.name,
                telemetry_age_ms=1_000 * age_s if age_s >= 0 else -1,
                days_learned=int(model.columns.profiles.days[row]),
                methods=methods,
            )
        )
    known = is_known(model)[chosen]
    for step in range(steps):
        told = model.demand(step * per_step, (step + 1) * per_step, chosen)
        for place in np.flatnonzero(known).tolist():
            message = messages[place]
            p2_5, p10, p90, p97_5 = told.told[place].tolist()
            message.steps.add(
                begins_at_ms=1_000 * (begins_s + step * per_step * BUCKET_S),
                mean=float(told.mean[place]),
                p2_5=p2_5,
                p10=p10,
                p90=p90,
                p97_5=p97_5,
            )
    return messages


async def list_anomalies(thread: SensingThread, request: pb.ListAnomaliesRequest) -> Message:
    """List anomalies, the latest first."""
    names = set(request.queue_ids)

    def read(sensing: Sensing) -> Message:
        found = sensing.anomalies(with_ended=request.with_ended)
        shown = [
            anomaly_message(anomaly, key)
            for anomaly, key in found
            if not names or (key is not None and key.name in names)
        ]
        return pb.ListAnomaliesResponse(anomalies=shown, suppressed=sensing.parts.watch.suppressed)

    return await thread.ask(read)


async def get_plan_outcomes(thread: SensingThread, request: pb.GetPlanOutcomesRequest) -> Message:
    """Tell what plans have come to."""
    del request
    return await thread.ask(plan_outcomes_message)


async def list_sources(thread: SensingThread, request: pb.ListSourcesRequest) -> Message:
    """List sources of readings."""
    del request
    now_ms = thread.cell.now_ms()

    def read(sensing: Sensing) -> Message:
        reply = pb.ListSourcesResponse()
        for name, source in sorted(sensing.sources.by_name.items()):
            accepted, *refused = source.outcomes.tolist()
            late, duplicate = refused[REFUSED_LATE - 1], refused[REFUSED_DUPLICATE - 1]
            reply.sources.add(
                source=name,
                age_ms=max(now_ms - source.last_ms, 0) if source.last_ms >= 0 else -1,
                skew_ms=source.skew_ms,
                accepted=accepted,
                late=late,
                duplicate=duplicate,
                refused=sum(refused) - late - duplicate,
            )
        return reply

    return await thread.ask(read)


READS: Final = (
    Read("GetOutlook", pb.GetOutlookRequest, get_outlook),
    Read("GetAccuracy", pb.GetAccuracyRequest, get_accuracy),
    Read("GetForecast", pb.GetForecastRequest, get_forecast),
    Read("GetPlanOutcomes", pb.GetPlanOutcomesRequest, get_plan_outcomes),
    Read("ListAnomalies", pb.ListAnomaliesRequest, list_anomalies),
    Read("ListSources", pb.ListSourcesRequest, list_sources),
)


def rows_asked(
    keys: Sequence[Key | None], queue_ids: Sequence[str], queues_max: int
) -> dict[str, int]:
    """
    Rows of the queues asked for, of all by id where none is named.

    Raises
    ------
    CallRefused
        A queue is not known, or there are too many.
    """
    if len(queue_ids) > queues_max:
        expected = f"at most {queues_max:,} queues"
        raise invalid(violation("queue_ids", len(queue_ids), expected))
    rows = {key.name: row for row, key in enumerate(keys) if key is not None and not key.is_group}
    for place, name in enumerate(queue_ids):
        if name not in rows:
            raise _unknown_queue(f"queue_ids[{place}]", name)
    return {name: rows[name] for name in queue_ids or sorted(rows)}


def _page(
    keys: Sequence[Key | None], request: pb.GetOutlookRequest | pb.GetAccuracyRequest
) -> _Page:
    """Queues by name, or a page of all."""
    rows = rows_asked(keys, request.queue_ids, _QUEUES_MAX)
    count = page_bounds(request.page_size)
    if request.queue_ids:
        return _Page(list(rows), list(rows.values()), "")
    names = ids_after(rows, request.page_token)
    page = names[:count]
    return _Page(page, [rows[name] for name in page], page[-1] if len(page) < len(names) else "")


def _known_row(sensing: Sensing, name: str) -> int:
    row = sensing.directory.rows.queue_row(name)
    if row < 0:
        raise _unknown_queue("queue_ids", name)
    return row


def _unknown_queue(field: str, name: str) -> CallRefused:
    refused = violation(field, name, "the id of a queue that exists")
    return refused_by_engine(CommandRefused(Refusal.UNKNOWN_QUEUE, refused))
