"""The HTTP endpoint for Prometheus and orchestrators: /metrics, /healthz, /readyz."""

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client.exposition import CONTENT_TYPE_LATEST

_StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class _Quiet(WSGIRequestHandler):
    """A handler that leaves request lines out of the log."""

    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


class _Threaded(ThreadingMixIn, WSGIServer):
    """A server that one slow scraper cannot keep from answering a probe."""

    daemon_threads = True


class Monitoring:
    """
    Threads that answer probes and scrapes.

    Parameters
    ----------
    address
        HOST:PORT; port 0 picks a free one.
    render
        Gives the metrics page.
    is_alive, is_ready
        What /healthz and /readyz tell.
    """

    def __init__(
        self,
        address: str,
        render: Callable[[], bytes],
        is_alive: Callable[[], bool],
        is_ready: Callable[[], bool],
    ) -> None:
        self._render = render
        self._probes = {"/healthz": is_alive, "/readyz": is_ready}
        host, _, port = address.rpartition(":")
        try:
            self._server = make_server(
                host, int(port), self._answer, server_class=_Threaded, handler_class=_Quiet
            )
        except OSError as error:
            raise OSError(f"cannot listen on {address}: {error.strerror}") from None
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
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
            return [self._render()]
        probe = self._probes.get(path)
        if probe is None:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"try /metrics, /healthz or /readyz\n"]
        is_good = probe()
        status = "200 OK" if is_good else "503 Service Unavailable"
        start_response(status, [("Content-Type", "text/plain")])
        return [b"ok\n" if is_good else b"not ready\n"]
