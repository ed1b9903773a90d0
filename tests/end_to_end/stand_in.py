"""A server in the test's own process that answers as the test says: what an engine rarely does."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from headgate.v1 import event_service_pb2, gateway_service_pb2, routing_service_pb2

Session = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True)
class Refusal:
    """
    How a call ends instead of with a reply.

    Attributes
    ----------
    delay_ms
        RetryInfo in milliseconds; 0 for none.
    """

    code: grpc.StatusCode
    reason: str
    delay_ms: int = 0


class StandIn:
    """
    Answers each call with the next of its outcomes: a reply, a refusal or, to Subscribe, a list.

    Attributes
    ----------
    requests
        What was asked, in order.
    """

    def __init__(self, *outcomes: Any, session: Session | None = None) -> None:
        self.requests: list[Any] = []
        self._outcomes = list(outcomes)
        self._session = session

    async def answer(self, request: Any, context: Any) -> Any:
        """Answer a unary call."""
        self.requests.append(request)
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Refusal):
            await refuse(context, outcome)
        return outcome

    async def answer_all(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Answer a call for a stream."""
        for response in await self.answer(request, context):
            yield response

    async def connect(self, _requests: Any, context: Any) -> None:
        """Leave a session to the test."""
        assert self._session is not None
        await self._session(context)


async def refuse(context: Any, refusal: Refusal) -> None:
    """End a call as the engine does."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=refusal.reason)]
    if refusal.delay_ms:
        delay = duration_pb2.Duration(nanos=refusal.delay_ms * 1_000_000)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=refusal.code.value[0], message=refusal.reason)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(refusal.code, refusal.reason, trailing_metadata=metadata)


@asynccontextmanager
async def serving(
    stand_in: StandIn, port: int = 0, options: Sequence[tuple[str, Any]] = ()
) -> AsyncIterator[str]:
    """Serve a stand-in; gives its address."""
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers(_handlers(stand_in))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(None)


def _handlers(stand_in: StandIn) -> list[grpc.GenericRpcHandler]:
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    both = grpc.stream_stream_rpc_method_handler
    services: dict[str, dict[str, tuple[Any, Any, type[Message]]]] = {
        "RoutingService": {
            "Route": (unary, stand_in.answer, routing_service_pb2.RouteRequest),
            "RouteBatch": (unary, stand_in.answer, routing_service_pb2.RouteBatchRequest),
            "GetContact": (unary, stand_in.answer, routing_service_pb2.GetContactRequest),
        },
        "EventService": {
            "Subscribe": (stream, stand_in.answer_all, event_service_pb2.SubscribeRequest)
        },
        "GatewayService": {"Connect": (both, stand_in.connect, gateway_service_pb2.ConnectRequest)},
    }
    return [
        grpc.method_handlers_generic_handler(
            f"headgate.v1.{service}",
            {
                name: kind(function, request.FromString, lambda reply: reply.SerializeToString())
                for name, (kind, function, request) in methods.items()
            },
        )
        for service, methods in services.items()
    ]
