"""
The baselines of the transport benchmark: a server of the same kind that decides nothing.

    python -m benchmarks.echo_server --kind raw|parse [--pin on|off] [--gc frozen|default]

raw answers any bytes with the same bytes; parse reads every field of what came and builds a reply
as Route would. Options, loop, pinning and collector are those of `headgate serve`.
"""

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

from adapters.pinning import pin

if TYPE_CHECKING:
    from headgate.v1.routing_service_pb2 import RouteRequest, RouteResponse

_AGENT: Final = "agent-004711"
_OFFER: Final = "o1f3a7.2b4c"
_EXPIRES_MS: Final = 1_800_000_020_000


class Context(Protocol):
    """What a handler uses of grpc.aio's context."""

    async def read(self) -> bytes | object:
        """Next frame; grpc.aio.EOF at the end."""
        ...

    async def write(self, message: bytes) -> None:
        """Send a frame."""
        ...


UnaryHandler = Callable[[bytes, Context], Awaitable[bytes]]
StreamHandler = Callable[[object, Context], Awaitable[None]]


def main() -> None:
    """Serve until killed; one line of JSON says when it is ready."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=("raw", "parse"), required=True)
    parser.add_argument("--pin", choices=("on", "off"), default="on")
    parser.add_argument("--gc", choices=("frozen", "default"), default="frozen")
    options = parser.parse_args()
    pin(options.pin)
    # Imported only now: gRPC starts threads.
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    import grpc.aio

    from adapters.channel_options import channel_options
    from adapters.settings import load

    unary, stream = (_raw_unary, _raw_stream) if options.kind == "raw" else _parsing()
    server = grpc.aio.server(options=channel_options(load({}, None, {})[0]))
    handlers: tuple[tuple[str, str, grpc.RpcMethodHandler], ...] = (
        ("RoutingService", "Route", grpc.unary_unary_rpc_method_handler(unary)),
        ("GatewayService", "Connect", grpc.stream_stream_rpc_method_handler(stream)),
    )
    for service, name, handler in handlers:
        generic = grpc.method_handlers_generic_handler(f"headgate.v1.{service}", {name: handler})
        server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    if options.gc == "frozen":
        from adapters.server import _GC_THRESHOLDS

        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
    ready = {"event": "ready", "address": f"127.0.0.1:{port}", "metrics_port": 0}
    print(json.dumps(ready), file=sys.stderr, flush=True)
    await server.wait_for_termination()


async def _raw_unary(raw: bytes, context: Context) -> bytes:
    return raw


async def _raw_stream(_requests: object, context: Context) -> None:
    while isinstance(frame := await context.read(), bytes):
        await context.write(frame)


def _parsing() -> tuple[UnaryHandler, StreamHandler]:
    from headgate.v1 import contact_pb2, gateway_service_pb2, routing_service_pb2

    def fill(response: "RouteResponse", request: "RouteRequest") -> None:
        asked = [(item.skill, item.proficiency_min) for item in request.requirements.skills]
        attributes = dict(request.attributes)
        assert request.request_id
        assert request.channel
        assert request.priority >= 0
        assert request.routing_age_ms >= 0
        assert request.max_wait_ms >= 0
        assert asked
        assert attributes
        response.contact_id = request.contact_id
        response.state = contact_pb2.CONTACT_STATE_OFFERED
        response.queue_id = request.queue_id
        response.agent_id = _AGENT
        offer = response.offer
        offer.offer_id = _OFFER
        offer.contact_id = request.contact_id
        offer.agent_id = _AGENT
        offer.queue_id = request.queue_id
        offer.expires_at_ms = _EXPIRES_MS

    async def unary(raw: bytes, context: Context) -> bytes:
        response = routing_service_pb2.RouteResponse()
        fill(response, routing_service_pb2.RouteRequest.FromString(raw))
        return response.SerializeToString()

    async def stream(_requests: object, context: Context) -> None:
        while isinstance(frame := await context.read(), bytes):
            response = gateway_service_pb2.ConnectResponse()
            for command in gateway_service_pb2.ConnectRequest.FromString(frame).commands:
                assert command.WhichOneof("command") == "route"
                reply = response.replies.add(request_id=command.route.request_id)
                fill(reply.route, command.route)
            await context.write(response.SerializeToString())

    return unary, stream


if __name__ == "__main__":
    main()
