"""What watchers of health are told, and in which order."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from adapters.health_service import StandardServices

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Aborted(Exception):
    """A call ended with a status."""


class Context:
    """Keeps what a watcher is told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[int] = asyncio.Queue()

    async def send_initial_metadata(self, metadata: tuple[()]) -> None:
        """Nothing is kept of it."""

    async def write(self, message: Any) -> None:
        """Keep the status."""
        self.told.put_nowait(message.status)

    async def abort(self, code: grpc.StatusCode, details: str = "") -> Any:
        """End the call."""
        raise Aborted(code.name)


async def next_of(context: Context) -> int:
    """What a watcher is told next."""
    return await asyncio.wait_for(context.told.get(), 5)


async def test_a_watcher_is_told_not_serving_and_then_the_stream_ends() -> None:
    """The last word is written, with time to be read, before the end."""
    is_ready = [True]
    services, context = StandardServices([], lambda: is_ready[0]), Context()
    watch = asyncio.create_task(services.Watch(health_pb2.HealthCheckRequest(), context))
    assert await next_of(context) == SERVING
    is_ready[0] = False
    services.close()
    assert await next_of(context) == NOT_SERVING
    assert not watch.done()
    with pytest.raises(Aborted, match="UNAVAILABLE"):
        await asyncio.wait_for(watch, 5)


async def test_a_watcher_is_told_of_each_change_once() -> None:
    """Readiness that comes and goes is told as it changes, not as often as it is looked at."""
    is_ready = [False]
    services, context = StandardServices([], lambda: is_ready[0]), Context()
    watch = asyncio.create_task(services.Watch(health_pb2.HealthCheckRequest(), context))
    assert await next_of(context) == NOT_SERVING
    for ready, status in ((True, SERVING), (False, NOT_SERVING)):
        is_ready[0] = ready
        services.look()
        services.look()
        assert await next_of(context) == status
    assert context.told.empty()
    watch.cancel()


async def test_a_service_that_is_not_there_is_told_as_unknown() -> None:
    """The health protocol keeps such a watch open."""
    services, context = StandardServices([], lambda: True), Context()
    request = health_pb2.HealthCheckRequest(service="headgate.v1.Nothing")
    watch = asyncio.create_task(services.Watch(request, context))
    assert await next_of(context) == SERVICE_UNKNOWN
    assert not watch.done()
    watch.cancel()
