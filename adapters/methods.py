"""
The unary methods of the contract: what each does to an engine, as plain synchronous functions.

A method gets the engine, the request and the time, and returns the reply; `CommandRefused` and
`CallRefused` are its only errors. How calls arrive, wait for the commit and are answered is the
listener's and the dispatch loop's business.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from adapters.errors import invalid, refused_by_engine
from engine.engine import Engine
from engine.refusals import CommandRefused, violation

PAGE_SIZE: Final = 100
PAGE_SIZE_MAX: Final = 1_000
# Items of one page together, so that a peer with gRPC's usual bound of 4 MiB can read it; an item
# that is larger by itself goes alone.
PAGE_BYTES_MAX: Final = 2_097_152
# Field number and length before each item.
_ITEM_HEADER_BYTES: Final = 5

M = TypeVar("M", bound=Message)
Run = Callable[[Engine, Any, int], Message]
Prepare = Callable[[Engine, Any, str], Awaitable[Run]]


@dataclass(frozen=True, slots=True)
class Method:
    """
    One unary method.

    Attributes
    ----------
    service, name
        Names in the contract, without the package.
    request
        Type of the request; has a `cell` field, and a `request_id` field when `is_write`.
    run
        (engine, request, now_ms) -> reply.
    is_write
        Whether the reply is kept under the request id.
    session_field
        Name of its fields in SessionCommand and SessionReply; "" when sessions do not offer it.
    prepare
        (engine, request, caller) -> what to run instead, for what takes too long for a turn: called
        before the call is put into the inbox, and may await. It reads the engine, and may complete
        the request. `caller` is "" where callers do not prove who they are.
    """

    service: str
    name: str
    request: type[Message]
    run: Run
    is_write: bool = False
    session_field: str = ""
    prepare: Prepare | None = None

    async def prepared(self, engine: Engine, request: Message, caller: str) -> "Method":
        """
        The method as it is to run for one request.

        Raises
        ------
        CallRefused
            There is nothing to run.
        """
        if self.prepare is None:
            return self
        try:
            return replace(self, run=await self.prepare(engine, request, caller))
        except CommandRefused as refused:
            raise refused_by_engine(refused) from None

    @property
    def full_name(self) -> str:
        """Service/Method."""
        return f"{self.service}/{self.name}"

    @property
    def path(self) -> str:
        """Path of the method on the wire."""
        return f"/headgate.v1.{self.full_name}"


def page_bounds(page_size: int) -> int:
    """
    Items per page; 0 is read as the default.

    Raises
    ------
    CallRefused
        The size is out of bounds.
    """
    if not (0 <= page_size <= PAGE_SIZE_MAX):
        raise invalid(violation("page_size", page_size, f"1 to {PAGE_SIZE_MAX:,}"))
    return page_size or PAGE_SIZE


def ids_after(ids: Iterable[str], token: str) -> list[str]:
    """Ids that come after a page token, in order; a token is the last id of the page before."""
    return sorted(item for item in ids if item > token)


def fitting(items: Iterable[M]) -> list[M]:
    """The first items, as many as fit a page in bytes; one at least where there is one."""
    page: list[M] = []
    size = 0
    for item in items:
        size += item.ByteSize() + _ITEM_HEADER_BYTES
        if page and size > PAGE_BYTES_MAX:
            break
        page.append(item)
    return page
