"""When a stream ends that neither side has ended."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from adapters.calls import Cells
from adapters.errors import CallRefused, unavailable

_RETRY_MS: Final = 100
_AGED: Final = "this stream has reached connection_age_s; resume on another connection"
CLOSING: Final = "this server is closing; resume on another connection"

Reply = TypeVar("Reply", None, bytes)


class StreamEndings:
    """
    Ends streams with UNAVAILABLE, so that clients resume, here or elsewhere.

    Parameters
    ----------
    is_closing
        Set when the process closes.
    age_s
        How old a stream may become, seconds; None for any age.
    """

    def __init__(self, is_closing: asyncio.Event, age_s: float | None) -> None:
        self._is_closing = is_closing
        self._age_s = age_s
        self._open: dict[asyncio.Future[CallRefused], Cells] = {}

    def end_those_of(self, cell: str, refusal: CallRefused) -> None:
        """End the streams that a cell is used by: it is open here no longer."""
        for ending, cells in self._open.items():
            if cells.used == cell and not ending.done():
                ending.set_result(refusal)

    async def serve(
        self, serving: Awaitable[Reply], lapse: Awaitable[CallRefused], cells: Cells
    ) -> Reply:
        """
        Serve a stream until it ends; or until it is as old as a connection may be, the process
        closes, its cell is closed, or the caller's credential lapses.

        Raises
        ------
        CallRefused
            One of those, or as `serving` raises.
        """
        work = asyncio.ensure_future(serving)
        closing = asyncio.ensure_future(self._is_closing.wait())
        lapsing = asyncio.ensure_future(lapse)
        ending: asyncio.Future[CallRefused] = asyncio.get_running_loop().create_future()
        self._open[ending] = cells
        try:
            await asyncio.wait(
                (work, closing, lapsing, ending),
                timeout=self._age_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not work.done():
                for told in (lapsing, ending):
                    if told.done():
                        raise told.result()
                raise unavailable(CLOSING if closing.done() else _AGED, _RETRY_MS)
            return await work
        finally:
            del self._open[ending]
            closing.cancel()
            lapsing.cancel()
            ending.cancel()
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
