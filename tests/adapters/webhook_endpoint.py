"""An endpoint in the test's own process that answers as the test says."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

_TLS_FOLDER = Path(__file__).parent.parent / "data" / "webhook_tls"
CERTIFICATE = _TLS_FOLDER / "certificate.pem"

Hook = Callable[[], Awaitable[None]]


class Taken(NamedTuple):
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """
    An answer.

    Attributes
    ----------
    before
        Awaited before the answer is sent.
    """

    status: int = 204
    headers: Mapping[str, str] = {}
    before: Hook | None = None


class StandInEndpoint:
    """
    Answers each request with the next of its replies, then 204 for good; None breaks the
    connection instead.

    Attributes
    ----------
    taken
        What came, in order.
    underway_max
        Most requests that were being answered at a time.
    """

    def __init__(self, *replies: Reply | None) -> None:
        self.taken: list[Taken] = []
        self.underway_max = 0
        self._underway = 0
        self._replies = list(replies)
        self._came = asyncio.Condition()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer a request."""
        self._underway += 1
        self.underway_max = max(self.underway_max, self._underway)
        try:
            body = await request.read()
            headers = {name.lower(): value for name, value in request.headers.items()}
            reply = self._replies.pop(0) if self._replies else Reply()
            async with self._came:
                self.taken.append(Taken(request.path_qs, headers, body))
                self._came.notify_all()
            if reply is None:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            if reply.before is not None:
                await reply.before()
            return web.Response(status=reply.status, headers=reply.headers)
        finally:
            self._underway -= 1

    async def has_taken(self, count: int, within_s: float = 10.0) -> list[Taken]:
        """Wait until so many requests have come."""
        async with asyncio.timeout(within_s), self._came:
            await self._came.wait_for(lambda: len(self.taken) >= count)
        return self.taken

    def ids(self) -> list[str]:
        """Ids of what came."""
        return [item.headers["webhook-id"] for item in self.taken]


@asynccontextmanager
async def answering(
    endpoint: StandInEndpoint, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """Listen on a free port, which is given."""
    runner = web.ServerRunner(web.Server(endpoint.answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0, ssl_context=tls)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def own_tls() -> ssl.SSLContext:
    """The certificate of a test endpoint, which no authority vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, _TLS_FOLDER / "key.pem")
    return context
