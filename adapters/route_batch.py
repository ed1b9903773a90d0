"""RouteBatch: many contacts in one call."""

import asyncio
from typing import Final

from adapters.calls import METHOD_BY_NAME, parse
from adapters.errors import CallRefused, as_error, invalid
from adapters.placement.relay import Context
from adapters.security.door import Admission
from engine.refusals import violation
from headgate.v1 import routing_service_pb2

BATCH_MAX: Final = 1_024


async def route_batch(raw: bytes, context: Context, cells: Admission) -> bytes:
    """Route many contacts in one call; each has an answer or a refusal of its own."""
    request = parse(routing_service_pb2.RouteBatchRequest, raw)
    if not (1 <= len(request.requests) <= BATCH_MAX):
        expected = f"1 to {BATCH_MAX:,} requests"
        raise invalid(violation("requests", len(request.requests), expected))
    for place, item in enumerate(request.requests):
        if item.cell and item.cell != (request.cell or "default"):
            expected = "empty, or the batch's cell"
            raise invalid(violation(f"requests[{place}].cell", item.cell, expected))
    cell = cells.find(request.cell)
    route = METHOD_BY_NAME["Route"]
    timeout_s = context.time_remaining()
    results = await asyncio.gather(
        *(cells.ask(cell, route, item, timeout_s) for item in request.requests),
        return_exceptions=True,
    )
    response = routing_service_pb2.RouteBatchResponse()
    for result in results:
        if isinstance(result, bytes):
            response.results.add().response.ParseFromString(result)
        elif isinstance(result, CallRefused):
            response.results.add().error.CopyFrom(as_error(result))
        else:
            raise result
    return response.SerializeToString()
