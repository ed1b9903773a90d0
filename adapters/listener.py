"""
The seam to the transport: handlers above are plain functions and streams of messages, grpc.aio is
known only here.

A second listener, say one loop straight on gRPC's core, would offer the same methods from the same
tables and pass the same conformance tests.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NamedTuple

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message
from grpc_status import rpc_status

from adapters import streams
from adapters.calls import METHODS, WRITES, Cells, parse
from adapters.calls_in_flight import CallsInFlight
from adapters.channel_options import channel_options
from adapters.crossings.service import TARGET_READS
from adapters.errors import CallRefused, as_status, overloaded, unavailable
from adapters.grpc_frames import GrpcFrames
from adapters.methods import Method
from adapters.metrics import Metrics
from adapters.placement.relay import Relay
from adapters.policies.explaining import POLICY_READS
from adapters.route_batch import route_batch
from adapters.security.door import Admission, Door
from adapters.security.refusals import LEFT
from adapters.security.roles import rule_of
from adapters.sensing.history import HistoryImports
from adapters.sensing.ingest import Feed
from adapters.sensing.reads import READS, Read
from adapters.sensing.watching import watch_busyness
from adapters.session import Session
from adapters.settings import Settings
from adapters.stream_endings import CLOSING, Reply, StreamEndings
from adapters.turn import room_for
from headgate.v1 import (
    event_service_pb2,
    offer_service_pb2,
    queue_service_pb2,
    routing_service_pb2,
    telemetry_service_pb2,
)

_log = structlog.get_logger(__name__)

_RETRY_MS: Final = 100
_CODE_NAMES: Final = {code.value[0]: code.name for code in grpc.StatusCode}

_ServerStream = Callable[[Cells, Any], AsyncIterator[Message]]
_STREAMS: Final[tuple[tuple[str, str, type[Message], _ServerStream], ...]] = (
    ("EventService", "Subscribe", event_service_pb2.SubscribeRequest, streams.subscribe),
    (
        "RoutingService",
        "WatchContact",
        routing_service_pb2.WatchContactRequest,
        streams.watch_contact,
    ),
    ("OfferService", "WatchOffers", offer_service_pb2.WatchOffersRequest, streams.watch_offers),
    (
        "QueueService",
        "WatchSnapshots",
        queue_service_pb2.WatchSnapshotsRequest,
        streams.watch_snapshots,
    ),
    (
        "TelemetryService",
        "WatchBusyness",
        telemetry_service_pb2.WatchBusynessRequest,
        watch_busyness,
    ),
)


class _Kind(NamedTuple):
    """
    A unary method, as its calls are let in.

    Attributes
    ----------
    in_flight_max
        Calls in flight, of whatever method, with which there is room for one of this.
    """

    full_name: str
    in_flight_max: int
    handle: Callable[[bytes, Any, Admission], Awaitable[bytes]]


class Listener:
    """
    The gRPC server and what it counts.

    Parameters
    ----------
    cells
        Cells this process owns.
    settings
        Limits of messages, calls and streams.
    metrics
        Where calls are counted.
    """

    def __init__(self, cells: Cells, settings: Settings, metrics: Metrics) -> None:
        self._cells = cells
        self._settings = settings
        self._metrics = metrics
        self.door = Door(settings, cells, metrics.access)
        self._histories = HistoryImports()
        self._relay = Relay(settings, metrics.placement)
        self._in_flight = CallsInFlight(settings.weight_of_tenant, metrics)
        self._streams = 0
        self._is_closing = asyncio.Event()
        self._may_refuse = asyncio.Event()
        # None for no limit.
        self._endings = StreamEndings(self._is_closing, settings.connection_age_s or None)
        self.server = grpc.aio.server(options=channel_options(settings))
        for service, handlers in self._handlers().items():
            name = f"headgate.v1.{service}"
            self.server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(name, handlers),)
            )

    def bind(self) -> int:
        """
        Take the address; returns the port.

        Raises
        ------
        OSError
            The address is in use or not ours.
        """
        try:
            port = self.door.bind(self.server, self._settings.address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._settings.address}: {error}") from None
        if port == 0:
            raise OSError(f"cannot listen on {self._settings.address}: address in use?")
        return port

    @property
    def calls_in_flight(self) -> int:
        """Unary calls not yet answered."""
        return self._in_flight.count

    @property
    def streams_open(self) -> int:
        """Streams not yet ended."""
        return self._streams

    def close_streams(self) -> None:
        """
        End every open stream with UNAVAILABLE, so that clients resume elsewhere; what comes from
        now on is held.
        """
        self._is_closing.set()

    async def close_relay(self) -> None:
        """Close the connections to other engines."""
        await self._relay.close()

    def end_streams_of(self, cell: str, refusal: CallRefused) -> None:
        """End the streams of one cell."""
        self._endings.end_those_of(cell, refusal)

    def refuse_held_calls(self) -> None:
        """Answer what is held with UNAVAILABLE."""
        self._may_refuse.set()

    async def _when_told(self) -> CallRefused:
        """The refusal of what comes while the process closes, when it may be given."""
        await self._may_refuse.wait()
        return unavailable(CLOSING, _RETRY_MS)

    def _handlers(self) -> dict[str, dict[str, Any]]:
        handlers: dict[str, dict[str, Any]] = {}
        for method in METHODS:
            handlers.setdefault(method.service, {})[method.name] = (
                grpc.unary_unary_rpc_method_handler(self._unary(method))
            )
        for service, name, request, stream in _STREAMS:
            handlers.setdefault(service, {})[name] = grpc.unary_stream_rpc_method_handler(
                self._server_stream(service, name, request, stream)
            )
        handlers["RoutingService"]["RouteBatch"] = grpc.unary_unary_rpc_method_handler(
            self._counted("unary", "RoutingService", "RouteBatch", route_batch)
        )
        for read in (*READS, *POLICY_READS, *TARGET_READS):
            handlers[read.service][read.name] = grpc.unary_unary_rpc_method_handler(
                self._counted("unary", read.service, read.name, self._sensed(read))
            )
        handlers["TelemetryService"]["Ingest"] = grpc.stream_stream_rpc_method_handler(
            self._stream("bidi_stream", "TelemetryService", "Ingest", self._ingest)
        )
        handlers["TelemetryService"]["ImportHistory"] = grpc.stream_unary_rpc_method_handler(
            self._stream("client_stream", "TelemetryService", "ImportHistory", self._import_history)
        )
        handlers["GatewayService"] = {
            "Connect": grpc.stream_stream_rpc_method_handler(
                self._stream("bidi_stream", "GatewayService", "Connect", self._connect)
            )
        }
        return handlers

    def _unary(self, method: Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
        request_type = method.request

        async def handle(raw: bytes, context: Any, cells: Admission) -> bytes:
            request: Any = parse(request_type, raw)
            cell = cells.find(request.cell)
            chosen = method
            if method.prepare is not None:
                chosen = await method.prepared(cell.engine, request, cells.caller.name)
            return await cells.ask(cell, chosen, request, context.time_remaining())

        async def handle_noted(raw: bytes, context: Any, cells: Admission) -> bytes:
            seen = cells.at(context.peer())
            try:
                reply = await handle(raw, context, seen)
            except (CallRefused, asyncio.CancelledError) as error:
                refused = error if isinstance(error, CallRefused) else LEFT
                seen.note(method.full_name, parse(request_type, raw), refused)
                raise
            seen.note(method.full_name, parse(request_type, raw), None)
            return reply

        is_audited = rule_of(method.full_name).is_audited
        chosen = handle_noted if is_audited else handle
        return self._counted("unary", method.service, method.name, chosen)

    def _sensed(self, read: Read) -> Callable[[bytes, Any, Admission], Awaitable[bytes]]:
        async def handle(raw: bytes, _context: Any, cells: Admission) -> bytes:
            request: Any = parse(read.request, raw)
            reply = await read.run(cells.find_sensing(request.cell), request)
            return reply.SerializeToString()

        return handle

    def _counted(
        self,
        kind: str,
        service: str,
        name: str,
        handle: Callable[[bytes, Any, Admission], Awaitable[bytes]],
    ) -> Callable[[bytes, Any], Awaitable[bytes]]:
        """Wrap a unary handler: admission, counting, one hop, and refusals as statuses."""
        handle = self._relay.around(f"/headgate.v1.{service}/{name}", handle)
        full_name = f"{service}/{name}"
        labels = (kind, f"headgate.v1.{service}", name)
        started = self._metrics.started.labels(*labels)
        seconds = self._metrics.handling_seconds.labels(*labels)
        handled_ok = self._metrics.handled.labels(*labels, "OK")
        in_flight_max = room_for(name, self._settings.calls_in_flight_max, is_write=name in WRITES)
        call = _Kind(full_name, in_flight_max, handle)

        async def wrapped(raw: bytes, context: Any) -> bytes:
            started.inc()
            begun_s = time.perf_counter()
            try:
                reply = await self._let_in(call, raw, context)
            except CallRefused as refused:
                self._metrics.handled.labels(*labels, _CODE_NAMES[refused.code]).inc()
                await context.abort_with_status(rpc_status.to_status(as_status(refused)))
                raise
            except asyncio.CancelledError:
                self._metrics.handled.labels(*labels, "CANCELLED").inc()
                raise
            except Exception:
                self._metrics.handled.labels(*labels, "INTERNAL").inc()
                await _abort_on_bug(context, name)
                raise
            finally:
                seconds.observe(time.perf_counter() - begun_s)
            handled_ok.inc()
            return reply

        return wrapped

    async def _let_in(self, call: _Kind, raw: bytes, context: Any) -> bytes:
        """Have a call handled that there is room for, by who may make it."""
        try:
            self._in_flight.enter(call.in_flight_max)
            if self._is_closing.is_set():
                raise await self._when_told()
            cells = await self.door.admit(call.full_name, context)
            tenant = cells.caller.tenant
            try:
                self._in_flight.begin(tenant, call.in_flight_max)
                return await call.handle(raw, context, cells)
            finally:
                self._in_flight.end(tenant)
        finally:
            self._in_flight.leave()

    def _server_stream(
        self, service: str, name: str, request_type: type[Message], stream: _ServerStream
    ) -> Callable[[bytes, Any], Awaitable[None]]:
        async def serve(raw: bytes, context: Any, cells: Admission) -> None:
            async for message in stream(cells, parse(request_type, raw)):
                await context.write(message.SerializeToString())

        return self._stream("server_stream", service, name, serve)

    async def _connect(self, _requests: Any, context: Any, cells: Admission) -> None:
        self._metrics.sessions.inc()
        try:
            await Session(cells, GrpcFrames(context)).run()
        finally:
            self._metrics.sessions.dec()

    async def _ingest(self, _requests: Any, context: Any, cells: Admission) -> None:
        feed = Feed(cells, makes_queues=self._settings.telemetry_queues == "create")
        frames = GrpcFrames(context)
        while (frame := await frames.read()) is not None:
            await frames.write(await feed.answer(frame))

    async def _import_history(self, _requests: Any, context: Any, cells: Admission) -> bytes:
        return await self._histories.take(GrpcFrames(context).read, cells)

    def _stream(
        self,
        kind: str,
        service: str,
        name: str,
        serve: Callable[[Any, Any, Admission], Awaitable[Reply]],
    ) -> Callable[[Any, Any], Awaitable[Reply]]:
        """
        Wrap a streaming handler: a bound on streams, counting, refusals as statuses, and the end at
        shutdown.
        """
        labels = (kind, f"headgate.v1.{service}", name)
        full_name = f"{service}/{name}"

        async def wrapped(request: Any, context: Any) -> Reply:
            self._metrics.started.labels(*labels).inc()
            code = "OK"
            self._streams += 1
            try:
                if self._streams > self._settings.streams_max:
                    limit = self._settings.streams_max
                    self._metrics.refused_over_limit.labels("streams_max").inc()
                    raise overloaded(f"{limit} streams are open", _RETRY_MS)
                if self._is_closing.is_set():
                    raise await self._when_told()
                cells = (await self.door.admit(full_name, context)).at(context.peer())
                with self.door.stream_of(cells):
                    # Not within what may be cancelled: grpc.aio can send no status after a write
                    # that was to bring the metadata and was cut off, and the stream would stay
                    # open.
                    await context.send_initial_metadata(())
                    lapse = self.door.lapse(full_name, context, cells)
                    return await self._endings.serve(serve(request, context, cells), lapse, cells)
            except CallRefused as refused:
                code = _CODE_NAMES[refused.code]
                await context.abort_with_status(rpc_status.to_status(as_status(refused)))
                raise
            except asyncio.CancelledError:
                code = "CANCELLED"
                raise
            except Exception:
                code = "INTERNAL"
                await _abort_on_bug(context, name)
                raise
            finally:
                self._streams -= 1
                self._metrics.handled.labels(*labels, code).inc()

        return wrapped


async def _abort_on_bug(context: Any, name: str) -> None:
    """End a call that met a bug of ours, in words that tell the caller nothing of our insides."""
    _log.exception("call_failed", method=name)
    await context.abort(grpc.StatusCode.INTERNAL, "an internal error; the server's log tells more")
