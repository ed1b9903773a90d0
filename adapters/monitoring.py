"""The HTTP endpoint for Prometheus and orchestrators: /metrics, /healthz, /readyz."""

import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from adapters.addresses import cannot_listen, family_of, split_address

_log = structlog.get_logger(__name__)

_StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class _Quiet(WSGIRequestHandler):
    """A handler that leaves request lines out of the log."""

    timeout = 10
    # An answer leaves in one piece, headers and all: a process that ends sends it whole or not.
    wbufsize = -1

    def handle(self) -> None:
        """Answer; a caller who leaves or stalls is no error of ours."""
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


class _Threaded(socketserver.ThreadingMixIn, WSGIServer):
    """A server that one slow scraper cannot keep from answering a probe."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], family: socket.AddressFamily) -> None:
        self.address_family = family
        super().__init__(address, _Quiet)

    def server_bind(self) -> None:
        """Take the address; the base class would then ask the name service for our name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what went wrong as a line, not as a traceback on standard error."""
        _log.error("monitoring_failed", caller=str(client_address), error=repr(sys.exception()))


class Monitoring:
    """
    Threads that answer probes and scrapes.

    Parameters
    ----------
    address
        HOST:PORT; port 0 picks a free one.
    render
        Gives the metrics page, in pieces.
    is_alive
        What /healthz tells.
    why_not_ready
        What /readyz tells; "" when ready.

    Raises
    ------
    OSError
        The address cannot be taken; the message names it.
    """

    def __init__(
        self,
        address: str,
        render: Callable[[], Iterable[bytes]],
        is_alive: Callable[[], bool],
        why_not_ready: Callable[[], str],
    ) -> None:
        self._render = render
        # Why not; "" is good.
        self._probes = {
            "/healthz": lambda: "" if is_alive() else "the event loop does not turn",
            "/readyz": why_not_ready,
        }
        family = family_of(address)
        try:
            self._server = _Threaded(split_address(address), family)
        except OSError as error:
            raise cannot_listen(address, error) from None
        self._server.set_app(self._answer)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: _StartResponse) -> Iterable[bytes]:
        page = self._page(environ, start_response)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else page

    def _page(self, environ: dict[str, Any], start_response: _StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [("Allow", "GET, HEAD")])
            return []
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
            return self._render()
        probe = self._probes.get(path)
        if probe is None:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"try /metrics, /healthz or /readyz\n"]
        why_not = probe()
        status = "503 Service Unavailable" if why_not else "200 OK"
        start_response(status, [("Content-Type", "text/plain")])
        return [f"{why_not or 'ok'}\n".encode()]
