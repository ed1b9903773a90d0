"""A server that says what a test wants it to, in Redis's protocol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

# Answers one command, or nothing; whatever has none of its own is told OK.
Answers = Callable[[Sequence[bytes], asyncio.StreamWriter], Awaitable[None]]
Spoken = bytes | int | Exception | None | list["Spoken"]


@contextlib.asynccontextmanager
async def stand_in(answers: Answers) -> AsyncIterator[int]:
    """A server on this machine; its port."""
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while count := (await reader.readline())[1:]:
                words = []
                for _ in range(int(count)):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                await answers(words, writer)

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)


def table(told: dict[bytes, Spoken]) -> Answers:
    """Answers to commands by how they begin."""

    async def answer(words: Sequence[bytes], writer: asyncio.StreamWriter) -> None:
        line = b" ".join(words).upper()
        found = [told[start] for start in told if line.startswith(start)]
        writer.write(spoken(found[0]) if found else b"+OK\r\n")

    return answer


def spoken(answer: Spoken) -> bytes:
    """An answer on the wire."""
    match answer:
        case None:
            return b"*-1\r\n"
        case int():
            return b":%d\r\n" % answer
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(answer), answer)
        case Exception():
            return b"-%b\r\n" % str(answer).encode()
        case list():
            return b"*%d\r\n" % len(answer) + b"".join(map(spoken, answer))
