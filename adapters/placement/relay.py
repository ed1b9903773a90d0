"""
One hop for callers that cannot follow: a unary call for a cell of another engine is passed on to
it, as it came, and its answer is passed back.

What is passed on is marked, and nothing marked is passed on: two engines that each believe the
other to have a cell cannot keep a call going between them.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol

import grpc
import grpc.aio
from google.rpc import code_pb2, status_pb2
from grpc_status import rpc_status

from adapters.errors import CallRefused, unavailable
from adapters.placement.access import access_to_engines
from adapters.placement.metrics import PlacementMetrics
from adapters.security.door import Admission
from adapters.settings import Settings
from headgate.engines import OPTIONS
from headgate.v1.error_pb2 import NotOwner

# Metadata of a call: who asks for it to be passed on, and that it was.
ASKED: Final = "headgate-relay"
RELAYED: Final = "headgate-relayed"
_AUTHORIZATION: Final = "authorization"
_RETRY_MS: Final = 100
# Connections kept; of more the oldest is closed.
_CHANNELS_MAX: Final = 64


class Context(Protocol):
    """What is used of grpc.aio's context."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]]:
        """Names and values that came with the call."""
        ...

    def time_remaining(self) -> float | None:
        """How long the caller waits, seconds; None for as long as it takes."""
        ...


_Call = Callable[..., Awaitable[bytes]]
Handle = Callable[[bytes, Context, Admission], Awaitable[bytes]]


class Relay:
    """
    Passes calls on.

    Parameters
    ----------
    settings
        Whether to, and how other engines are reached.
    metrics
        Where calls are counted.
    """

    def __init__(self, settings: Settings, metrics: PlacementMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        # Who calls, the caller's own token says.
        self._access = access_to_engines(settings)
        self._channels: dict[str, grpc.aio.Channel] = {}

    def around(self, path: str, handle: Handle) -> Handle:
        """Wrap the handler of a method: what it refuses for another engine is passed on to that."""
        if not self._settings.placement or self._settings.relay == "off":
            return handle

        async def relayed(raw: bytes, context: Context, cells: Admission) -> bytes:
            try:
                return await handle(raw, context, cells)
            except CallRefused as refused:
                owner = refused.owner
                metadata = dict(context.invocation_metadata())
                if owner is None or not self._may_pass_on(metadata):
                    raise
            return await self._pass_on(path, raw, context, owner)

        return relayed

    async def close(self) -> None:
        """Close every connection."""
        for channel in self._channels.values():
            await channel.close()

    def _may_pass_on(self, metadata: Mapping[str, object]) -> bool:
        """
        Whether a call is to be passed on, and can be: what a caller proves by a certificate nobody
        can prove for it.
        """
        is_wanted = self._settings.relay == "on" or ASKED in metadata
        can_be = _AUTHORIZATION in metadata or not self._settings.asks_who_calls
        return is_wanted and can_be and RELAYED not in metadata

    async def _pass_on(self, path: str, raw: bytes, context: Context, owner: NotOwner) -> bytes:
        came = context.invocation_metadata()
        metadata = ((RELAYED, "1"), *(item for item in came if item[0] == _AUTHORIZATION))
        call: _Call = self._channel_to(owner.address).unary_unary(path)
        code = "OK"
        try:
            reply = await call(raw, metadata=metadata, timeout=context.time_remaining())
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            raise _refusal_of(error, owner) from None
        finally:
            self._metrics.relayed.labels(code).inc()
        return reply

    def _channel_to(self, address: str) -> grpc.aio.Channel:
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = self._access.channel(address, OPTIONS)
            if len(self._channels) > _CHANNELS_MAX:
                # Closes with its last call.
                del self._channels[next(iter(self._channels))]
        return channel


def _refusal_of(error: grpc.aio.AioRpcError, owner: NotOwner) -> CallRefused:
    """What the caller is told of an answer that is none: the same, where there is one."""
    status: status_pb2.Status | None = rpc_status.from_call(error)
    if status is not None:
        refused = CallRefused(status.code, "", status.message)
        refused.status = status
        return refused
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        why = f"engine {owner.engine!r} has not answered in time"
        return CallRefused(code_pb2.DEADLINE_EXCEEDED, "DEADLINE_PASSED", why)
    why = f"engine {owner.engine!r} at {owner.address} does not answer: {error.details()}"
    return unavailable(why, _RETRY_MS)
