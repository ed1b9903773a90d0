"""
gRPC's own services beside ours: health, and reflection in development.

Their streams end when the process begins to close; with the servicers that come with gRPC one
watcher of health keeps it waiting for its whole grace, and one that leaves silences the others.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Final, Never, Protocol

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

_CLOSING: Final = "this server is closing; ask again on another connection"
# Time for the last message to be read before the stream ends; within what a closing process waits.
_LAST_WORD_S: Final = 0.05


class _Context(Protocol):
    """What is used of grpc.aio's context."""

    async def send_initial_metadata(self, metadata: tuple[()]) -> None: ...

    async def write(self, message: object) -> None: ...

    async def abort(self, code: grpc.StatusCode, details: str = "") -> Never: ...


class StandardServices:
    """
    Health of the process, the same for all of its services, and reflection.

    Parameters
    ----------
    services
        Full names of the services there are.
    is_ready
        Whether calls are taken.
    """

    def __init__(self, services: Sequence[str], is_ready: Callable[[], bool]) -> None:
        self._services = tuple(services)
        self._is_ready = is_ready
        self._was_ready = False
        self._changed = asyncio.Event()
        self._is_closing = asyncio.Event()

    def add_to(self, server: grpc.aio.Server, *, with_reflection: bool) -> None:
        """Offer them on a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self, server)
        if with_reflection:
            names = (*self._services, "grpc.health.v1.Health", reflection.SERVICE_NAME)
            self._reflected = reflection.aio.ReflectionServicer(names)
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(self, server)

    def look(self) -> None:
        """Tell watchers if readiness has changed; to be called now and then."""
        if self._is_ready() != self._was_ready:
            self._was_ready = not self._was_ready
            self._changed.set()
            self._changed = asyncio.Event()

    def close(self) -> None:
        """End every stream, those to come as well; nothing is ready from now on."""
        self._is_closing.set()
        self._changed.set()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> health_pb2.HealthCheckResponse:
        """Whether a service, or with "" the process, takes calls."""
        status = self._status(request.service)
        if status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: _Context) -> None:
        """The same, now and whenever it changes; NOT_SERVING comes before the end."""
        told: int | None = None
        while True:
            changed = self._changed
            status = self._status(request.service)
            if status != told:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            if self._is_closing.is_set():
                # A client of grpc.aio that finds the last message and the end together may tell its
                # caller only of the end.
                await asyncio.sleep(_LAST_WORD_S)
                await context.abort(grpc.StatusCode.UNAVAILABLE, _CLOSING)
            await changed.wait()

    async def ServerReflectionInfo(
        self,
        requests: AsyncIterator[reflection_pb2.ServerReflectionRequest],
        context: _Context,
    ) -> None:
        """Describe the services, question by question."""

        async def answer() -> None:
            async for response in self._reflected.ServerReflectionInfo(requests, context):
                await context.write(response)

        await context.send_initial_metadata(())
        if not await self._until_closing(answer()):
            await context.abort(grpc.StatusCode.UNAVAILABLE, _CLOSING)

    def _status(self, service: str) -> int:
        response = health_pb2.HealthCheckResponse
        if service not in ("", *self._services):
            found: int = response.SERVICE_UNKNOWN
        else:
            found = response.SERVING if self._is_ready() else response.NOT_SERVING
        return found

    async def _until_closing(self, work: Coroutine[object, object, None]) -> bool:
        """Do the work until it ends or the process begins to close; False when that came first."""
        task = asyncio.ensure_future(work)
        closing = asyncio.ensure_future(self._is_closing.wait())
        try:
            await asyncio.wait((task, closing), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            return task.done()
        finally:
            closing.cancel()
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
