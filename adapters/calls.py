"""
From a transport's call to a cell's inbox and back: shared by unary calls, streams and sessions.
"""

import asyncio
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2

from adapters import (
    agent_service,
    choice_service,
    decision_service,
    offer_service,
    policy_service,
    queue_service,
    routing_service,
    telemetry_service,
)
from adapters.crossings import service as crossing_service
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.methods import Method
from adapters.turn import Call
from engine.refusals import violation

if TYPE_CHECKING:
    from adapters.sensing.thread import SensingThread

DEFAULT_CELL: Final = "default"

METHODS: Final[tuple[Method, ...]] = (
    *routing_service.METHODS,
    *offer_service.METHODS,
    *choice_service.METHODS,
    *agent_service.METHODS,
    *queue_service.METHODS,
    *decision_service.METHODS,
    *telemetry_service.METHODS,
    *policy_service.METHODS,
    *crossing_service.METHODS,
)
METHOD_BY_NAME: Final[Mapping[str, Method]] = {method.name: method for method in METHODS}
WRITES: Final = frozenset(method.name for method in METHODS if method.is_write)

M = TypeVar("M", bound=Message)


def parse(kind: type[M], raw: bytes) -> M:
    """
    Read a message.

    Raises
    ------
    CallRefused
        The bytes are not one, for example because a string is not UTF-8.
    """
    try:
        return kind.FromString(raw)
    except DecodeError:
        name = kind.DESCRIPTOR.name
        raise CallRefused(
            code_pb2.INVALID_ARGUMENT,
            "MALFORMED_MESSAGE",
            f"the {len(raw)} bytes received are not a valid headgate.v1.{name}",
        ) from None


class Elsewhere(Protocol):
    """Knows of cells that other processes may have."""

    @property
    def cells(self) -> Collection[str]:
        """Their names."""
        ...

    def refusal(self, cell: str) -> CallRefused | None:
        """What a caller for a cell that is not open here is told; None where it is none of them."""
        ...


class Cells:
    """
    The cells this process owns, by name. Whoever has them may do everything; what a caller with a
    credential may do with them, `adapters.security.door.Admission` says.
    """

    def __init__(
        self,
        loops: Mapping[str, DispatchLoop],
        sensing: Mapping[str, "SensingThread"] = MappingProxyType({}),
        elsewhere: "Elsewhere | None" = None,
    ) -> None:
        self.loops = loops
        self.sensing = sensing
        self.elsewhere = elsewhere
        # The cell that was found last.
        self.used = ""

    def names(self) -> Collection[str]:
        """Cells that may be told of."""
        return self.loops.keys() | (self.elsewhere.cells if self.elsewhere else ())

    def require(self, method: str) -> None:
        """See whether a method, Service/Method, may be called; raises CallRefused where not."""

    def spend(self, name: str) -> None:
        """Count a call of a method against what is allowed; raises CallRefused beyond that."""

    def note(self, method: str, request: Message, refused: CallRefused | None) -> None:
        """Keep an audit record of a call that was answered or refused, where one is kept."""

    def find(self, name: str) -> DispatchLoop:
        """
        A cell by the name in a request; "" is the default cell.

        Raises
        ------
        CallRefused
            NOT_FOUND; this process does not own it. UNAVAILABLE where another may.
        """
        loop = self.loops.get(name or DEFAULT_CELL)
        if loop is None:
            refused = self.elsewhere.refusal(name or DEFAULT_CELL) if self.elsewhere else None
            if refused is not None:
                raise refused
            item = violation("cell", name, f"one of {', '.join(sorted(self.names()))}")
            raise CallRefused(
                code_pb2.NOT_FOUND, "UNKNOWN_CELL", f"no cell {name!r} here", violations=(item,)
            )
        self.used = name or DEFAULT_CELL
        return loop

    async def ask(
        self, cell: DispatchLoop, method: Method, request: Message, timeout_s: float | None = None
    ) -> bytes:
        """As the function `ask`, after `spend`."""
        self.spend(method.name)
        return await ask(cell, method, request, timeout_s)

    def find_sensing(self, name: str) -> "SensingThread":
        """
        What senses a cell.

        Raises
        ------
        CallRefused
            NOT_FOUND as `find`; UNIMPLEMENTED where sensing is off.
        """
        self.find(name)
        thread = self.sensing.get(name or DEFAULT_CELL)
        if thread is None:
            why = "nothing is sensed here: the setting `sensing` is false"
            raise CallRefused(code_pb2.UNIMPLEMENTED, "SENSING_OFF", why)
        return thread


async def ask(
    cell: DispatchLoop, method: Method, request: Message, timeout_s: float | None = None
) -> bytes:
    """
    Have a cell run a method; returns the serialised reply once it is committed.

    Parameters
    ----------
    timeout_s
        Time the caller still waits, seconds; a call whose turn comes later is dropped before it is
        applied.

    Raises
    ------
    CallRefused
        By the cell or its engine.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes | CallRefused] = loop.create_future()
    give_up_at = None if timeout_s is None else loop.time() + timeout_s

    def answer(result: bytes | CallRefused) -> None:
        if not future.done():
            future.set_result(result)

    def is_wanted() -> bool:
        if give_up_at is not None and loop.time() > give_up_at:
            answer(_too_late())
        return not future.done()

    cell.submit(Call(method, request, answer, is_wanted))
    result = await future
    if isinstance(result, CallRefused):
        raise result
    return result


def _too_late() -> CallRefused:
    return CallRefused(
        code_pb2.DEADLINE_EXCEEDED,
        "DEADLINE_PASSED",
        "the deadline passed before the call's turn came; it was not applied",
    )


def request_field(request: Any, name: str) -> str:
    """A string field that only some requests have; "" where they do not."""
    return getattr(request, name, "")
