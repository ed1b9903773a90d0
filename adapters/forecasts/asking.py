"""Asks an engine for all that it tells of some queues' hours ahead."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, NamedTuple

from headgate.client import Client
from headgate.v1 import plan_pb2
from headgate.v1 import telemetry_pb2 as told
from headgate.v1 import telemetry_service_pb2 as pb

STEP_MS: Final = 300_000
# Queues that a page has room for.
QUEUES_MAX: Final = 100
_PAGE: Final = 1_000
# Forecasts of a call: each takes a queue's turn in the thread that senses.
_FORECASTS_AT_ONCE: Final = 20


class View(NamedTuple):
    """
    What to ask for.

    Attributes
    ----------
    step_ms, horizon_ms
        Length of a step, and how far ahead.
    recent_ms
        How far back to tell what came.
    """

    step_ms: int
    horizon_ms: int
    recent_ms: int = 0


class QueueTold(NamedTuple):
    """What is told of one queue: now, ahead, and how good that has been."""

    outlook: told.QueueOutlook
    forecast: told.QueueForecast
    accuracy: told.QueueAccuracy


class CellTold(NamedTuple):
    """
    What is told of a cell.

    Attributes
    ----------
    queues
        By id.
    left_out
        Queues beyond those.
    events, outcomes
        Events that concern them, by when they begin, and what has come of events, by id.
    anomalies
        The latest first.
    """

    queues: Sequence[QueueTold]
    left_out: int
    events: Sequence[plan_pb2.PlannedEvent]
    outcomes: Mapping[str, plan_pb2.EventOutcome]
    anomalies: Sequence[told.Anomaly]


async def ask_queues(
    client: Client, cell: str, queue_ids: Sequence[str], view: View
) -> tuple[list[QueueTold], int]:
    """
    Ask for some queues, for all where none is named; returns as many as are asked for at most, and
    how many are left out.

    Raises
    ------
    grpc.aio.AioRpcError
        The engine is not there, senses nothing, or knows no such queue.
    """
    outlooks = [item async for item in _outlooks(client, cell, queue_ids)]
    names = [item.queue_id for item in outlooks[:QUEUES_MAX]]
    accuracies = {item.queue_id: item async for item in _accuracies(client, cell, names)}
    forecasts = {item.queue_id: item async for item in _forecasts(client, cell, names, view)}
    told = [
        QueueTold(item, forecasts[item.queue_id], accuracies[item.queue_id])
        for item in outlooks[:QUEUES_MAX]
    ]
    return told, len(outlooks) - len(told)


async def ask_cell(client: Client, cell: str, queue_ids: Sequence[str], view: View) -> CellTold:
    """Ask for some queues, and for what is known and was found of them. Raises as `ask_queues`."""
    queues, left_out = await ask_queues(client, cell, queue_ids, view)
    events = [item async for item in _events(client, cell)]
    request = pb.ListAnomaliesRequest(cell=cell, queue_ids=queue_ids, with_ended=True)
    reply = await client.call(client.telemetry.ListAnomalies, request)
    names = {item.outlook.queue_id for item in queues}
    concerning = [event for event in events if names & set(event.queue_ids)]
    asked = pb.GetPlanOutcomesRequest(cell=cell)
    plans = await client.call(client.telemetry.GetPlanOutcomes, asked)
    outcomes = {item.event_id: item for item in plans.events}
    events = sorted(concerning, key=_begins)
    return CellTold(queues, left_out, events, outcomes, list(reply.anomalies))


def _begins(event: plan_pb2.PlannedEvent) -> tuple[int, str]:
    return event.begins_at_ms, event.event_id


async def _outlooks(
    client: Client, cell: str, queue_ids: Sequence[str]
) -> AsyncIterator[told.QueueOutlook]:
    request = pb.GetOutlookRequest(cell=cell, queue_ids=queue_ids, page_size=_PAGE)
    while True:
        reply = await client.call(client.telemetry.GetOutlook, request)
        for item in reply.outlooks:
            yield item
        request.page_token = reply.next_page_token
        if not request.page_token:
            return


async def _accuracies(
    client: Client, cell: str, queue_ids: Sequence[str]
) -> AsyncIterator[told.QueueAccuracy]:
    if queue_ids:
        request = pb.GetAccuracyRequest(cell=cell, queue_ids=queue_ids)
        for item in (await client.call(client.telemetry.GetAccuracy, request)).accuracies:
            yield item


async def _forecasts(
    client: Client, cell: str, queue_ids: Sequence[str], view: View
) -> AsyncIterator[told.QueueForecast]:
    for begin in range(0, len(queue_ids), _FORECASTS_AT_ONCE):
        request = pb.GetForecastRequest(
            cell=cell,
            queue_ids=queue_ids[begin : begin + _FORECASTS_AT_ONCE],
            horizon_ms=view.horizon_ms,
            step_ms=view.step_ms,
            recent_ms=view.recent_ms,
        )
        reply = await client.call(client.telemetry.GetForecast, request)
        for item in reply.forecasts:
            yield item


async def _events(client: Client, cell: str) -> AsyncIterator[plan_pb2.PlannedEvent]:
    request = pb.ListEventsRequest(cell=cell, page_size=_PAGE)
    while True:
        reply = await client.call(client.telemetry.ListEvents, request)
        for item in reply.events:
            yield item
        request.page_token = reply.next_page_token
        if not request.page_token:
            return
