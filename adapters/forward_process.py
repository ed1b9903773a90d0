"""
`headgate forward`: puts the process together, runs it, and takes it down.

The cursor file is locked before anything is asked of the engine; on SIGTERM an attempt under way
may end, and everything else is left for the next process.
"""

import asyncio
import hashlib
import os
import signal
import ssl
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from adapters.courier import Courier, EndpointFailed, FailurePolicy, OnFailure
from adapters.cursor_file import CursorFile, CursorFileRefused
from adapters.dead_letters import DeadLetters, DeadLettersRefused
from adapters.endpoint import Endpoint, origin_of
from adapters.engine_options import EngineAt
from adapters.event_source import OLDEST, EventsLost, EventSource, SubscriptionRefused
from adapters.exit_code import AFTER_SIGNAL, ExitCode
from adapters.forward_metrics import ForwardMetrics
from adapters.forwarding import Bounds, Forwarder
from adapters.monitoring import Monitoring
from adapters.process_metrics import version
from adapters.retrying import RetryPolicy
from headgate.v1 import event_service_pb2

_log = structlog.get_logger(__name__)

_BEAT_S: Final = 1.0
_DEAD_AFTER_S: Final = 30.0
# What ends the process and is not a bug.
_EXIT_CODES: Final[dict[type[Exception], ExitCode]] = {
    CursorFileRefused: ExitCode.ENVIRONMENT,
    DeadLettersRefused: ExitCode.ENVIRONMENT,
    SubscriptionRefused: ExitCode.ENVIRONMENT,
    OSError: ExitCode.ENVIRONMENT,
    EventsLost: ExitCode.EVENTS_LOST,
    EndpointFailed: ExitCode.ENDPOINT_FAILED,
}


@dataclass(frozen=True, slots=True)
class ForwardOptions:
    """
    The options of the command, checked one by one.

    Attributes
    ----------
    to
        URL that `check_url` takes.
    secrets
        What to sign with.
    tls
        Whom to trust.
    wanted
        Cell and choice of events; the cursor is where to begin without a cursor file.
    engine
        Where the engine is.
    cursor_file
        Where progress is kept.
    skip_lost
        Go on from the oldest event there is where the log does not reach the cursor.
    bounds
        Size of a delivery.
    timeout_s
        How long one attempt may take, seconds, > 0.
    retries
        When a delivery is tried again.
    on_refusal, on_give_up
        What to do about deliveries that cannot be made.
    dead_letter_file
        Where they go, if either asks for it.
    metrics_address
        HOST:PORT of probes and metrics; "" for none.
    grace_s
        How long an attempt under way may take after a signal, seconds, ≥ 0.
    """

    to: str
    secrets: tuple[bytes, ...]
    tls: ssl.SSLContext
    wanted: event_service_pb2.SubscribeRequest
    engine: EngineAt
    cursor_file: Path
    skip_lost: bool
    bounds: Bounds
    timeout_s: float
    retries: RetryPolicy
    on_refusal: OnFailure
    on_give_up: OnFailure
    dead_letter_file: Path | None
    metrics_address: str
    grace_s: float


def wanted_events(
    cell: str, kinds: list[int], queue_ids: tuple[str, ...], agent_ids: tuple[str, ...]
) -> event_service_pb2.SubscribeRequest:
    """Which events to ask for, the same for the same choice in any order."""
    return event_service_pb2.SubscribeRequest(
        cell=cell,
        kinds=sorted(set(kinds)),  # type: ignore[arg-type]
        queue_ids=sorted(set(queue_ids)),
        agent_ids=sorted(set(agent_ids)),
    )


async def forward_until_stopped(
    options: ForwardOptions, lines_dropped: Callable[[], int]
) -> ExitCode:
    """Run a forwarder until a signal, or until it cannot go on; returns the exit code."""
    stopping = _Stopping()
    try:
        async with AsyncExitStack() as stack:
            metrics = ForwardMetrics(lines_dropped)
            forwarder = await _put_together(options, metrics, stack)
            await _monitored(options, forwarder, metrics, stack)
            await _run(forwarder, stopping, options.grace_s)
    except tuple(_EXIT_CODES) as error:
        code = next(code for kind, code in _EXIT_CODES.items() if isinstance(error, kind))
        _log.error("leaving", error=str(error), exit_code=int(code))
        return code
    _log.info("stopped", exit_code=0)
    return ExitCode.STOPPED


async def _put_together(
    options: ForwardOptions, metrics: ForwardMetrics, stack: AsyncExitStack
) -> Forwarder:
    """A forwarder of what the options name; what it holds is closed with the stack."""
    wanted = options.wanted
    cursor_file = CursorFile(options.cursor_file, wanted.cell, _filter_of(wanted))
    stack.callback(cursor_file.close)
    dead_letters = None
    if options.dead_letter_file is not None:
        dead_letters = DeadLetters(options.dead_letter_file)
        stack.callback(dead_letters.close)
    failures = FailurePolicy(options.on_refusal, options.on_give_up, dead_letters)
    endpoint = Endpoint(options.to, options.secrets, options.tls, options.timeout_s)
    await stack.enter_async_context(endpoint)
    client = await stack.enter_async_context(options.engine.client())
    wanted.cursor = cursor_file.progress.cursor or wanted.cursor
    source = EventSource(client, wanted, metrics, skip_lost=options.skip_lost)
    courier = Courier(endpoint, options.retries, failures, metrics)
    _log.info(
        "forwarding",
        version=version(),
        to=origin_of(options.to),
        secrets=len(options.secrets),
        cell=wanted.cell,
        cursor_file=str(options.cursor_file),
        cursor=cursor_file.progress.cursor,
        sending=cursor_file.progress.sending,
        begins=_beginning(cursor_file.progress.cursor, wanted.cursor),
    )
    return Forwarder(source, courier, cursor_file, options.bounds)


def _beginning(known: str, wanted: str) -> str:
    if known:
        return "where it ended"
    return "with the oldest event" if wanted == OLDEST else "now"


async def _monitored(
    options: ForwardOptions,
    forwarder: Forwarder,
    metrics: ForwardMetrics,
    stack: AsyncExitStack,
) -> None:
    """Answer probes and scrapes until the stack is closed."""
    port = 0
    if options.metrics_address:
        beat = _Heartbeat()
        monitoring = Monitoring(
            options.metrics_address,
            metrics.render,
            beat.is_regular,
            lambda: forwarder.why_not_ready,
        )
        monitoring.start()
        stack.push_async_callback(asyncio.to_thread, monitoring.stop)
        beating = asyncio.create_task(beat.go_on())
        stack.callback(beating.cancel)
        port = monitoring.port
    _log.info("ready", address=options.engine.address, metrics_port=port)


async def _run(forwarder: Forwarder, stopping: "_Stopping", grace_s: float) -> None:
    """Run until done or stopped; what is under way then may take a grace."""
    running = asyncio.create_task(forwarder.run())
    asked = asyncio.create_task(stopping.asked.wait())
    try:
        await asyncio.wait((running, asked), return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            _log.info("stopping", grace_s=grace_s)
            forwarder.stop()
            await asyncio.wait((running,), timeout=grace_s)
        if running.done():
            return running.result()
        _log.warning("abandoned", why="the attempt under way took longer than the grace")
    finally:
        for task in (running, asked):
            task.cancel()
        await asyncio.wait((running, asked))


class _Stopping:
    """Signals: the first asks the process to stop, a second one ends it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._take, number)

    def _take(self, number: int) -> None:
        if self.asked.is_set():
            exit_code = AFTER_SIGNAL + number
            _log.warning("forced", signal=signal.Signals(number).name, exit_code=exit_code)
            # What was delivered may come again, as after a crash.
            os._exit(exit_code)
        self.asked.set()


class _Heartbeat:
    """Whether the event loop turns, for another thread to ask."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    async def go_on(self) -> None:
        """Beat until cancelled."""
        while True:
            self._last_s = time.monotonic()
            await asyncio.sleep(_BEAT_S)

    def is_regular(self) -> bool:
        """Whether the last beat is not long ago."""
        return time.monotonic() - self._last_s < _DEAD_AFTER_S


def _filter_of(wanted: event_service_pb2.SubscribeRequest) -> str:
    """What tells one choice of events from another; cell and cursor are no part of it."""
    choice = event_service_pb2.SubscribeRequest(
        kinds=wanted.kinds, queue_ids=wanted.queue_ids, agent_ids=wanted.agent_ids
    )
    return hashlib.sha256(choice.SerializeToString(deterministic=True)).hexdigest()[:16]
