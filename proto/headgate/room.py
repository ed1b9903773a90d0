"""
How many unary calls to one engine are in flight at once; those beyond wait for their turn.

An engine that gets more than it can do has every call wait behind all the others. What waits here
costs it nothing: those that are sent are answered soon, and one whose time is up before its turn is
never sent.
"""

import asyncio

import grpc
import grpc.aio


class Room:
    """
    Room for calls.

    Parameters
    ----------
    most
        Calls in flight, > 0.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._free = asyncio.Semaphore(most)

    async def enter(self, give_up_at: float) -> None:
        """
        Wait for the next free place, first come first served, and take it until `leave`.

        Parameters
        ----------
        give_up_at
            When the caller's time is up, on the loop's clock.

        Raises
        ------
        grpc.aio.AioRpcError
            DEADLINE_EXCEEDED: there was none in time; nothing was sent.
        """
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout_at(give_up_at):
                await self._free.acquire()
        except TimeoutError:
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.aio.Metadata(),
                grpc.aio.Metadata(),
                f"{self._most} other calls were in flight all the time; this one was not sent",
            ) from None

    def leave(self) -> None:
        """Give the place to the next one."""
        self._free.release()
