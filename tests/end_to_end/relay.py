"""A TCP relay that can be cut: a partition between processes of one machine."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

_CHUNK = 65_536


class Relay:
    """
    Passes bytes on, in a thread of its own.

    A cut is silence: connections stay open, new ones are taken and told nothing, as where packets
    are dropped. What was under way arrives when the cut is mended.

    Attributes
    ----------
    port
        Where it listens.
    """

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self._to_port = to_port
        self._loop = asyncio.new_event_loop()
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self._has_begun = threading.Event()
        self._ends = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._thread.start()
        self._has_begun.wait(5)

    def cut(self) -> None:
        """Let nothing through."""
        self._loop.call_soon_threadsafe(self._is_whole.clear)

    def mend(self) -> None:
        """Let everything through again."""
        self._loop.call_soon_threadsafe(self._is_whole.set)

    def close(self) -> None:
        """End every connection."""
        self._loop.call_soon_threadsafe(self._ends.set)
        self._thread.join(5)
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._has_begun.set()
        await self._ends.wait()
        server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            await self._is_whole.wait()
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", self._to_port)
            with contextlib.closing(onward):
                ways = (
                    asyncio.ensure_future(self._pump(reader, onward)),
                    asyncio.ensure_future(self._pump(onward_reader, writer)),
                )
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._is_whole.wait()
            writer.write(data)
            await writer.drain()


@contextlib.contextmanager
def relayed(to_port: int) -> Iterator[Relay]:
    """Open a relay to a port."""
    relay = Relay(to_port)
    try:
        yield relay
    finally:
        relay.close()
