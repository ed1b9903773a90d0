"""The monitoring port by itself: pages, probes that change, and callers who misbehave."""

import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from adapters.monitoring import Monitoring, _Quiet


class Told:
    """What the process tells of itself, set by a test."""

    def __init__(self) -> None:
        self.page = b"x 1\n"
        self.is_alive = True
        self.is_ready = True


@pytest.fixture(scope="module")
def process() -> Told:
    """What all tests here share, for a port takes half a second to stop."""
    return Told()


@pytest.fixture(autouse=True)
def told(process: Told) -> Told:
    """A process that is well, whatever the test before made of it."""
    process.page, process.is_alive, process.is_ready = b"x 1\n", True, True
    return process


@pytest.fixture(scope="module")
def port(process: Told) -> Iterator[int]:
    """A monitoring port that answers."""
    monitoring = Monitoring(
        "127.0.0.1:0",
        lambda: [process.page],
        lambda: process.is_alive,
        lambda: "" if process.is_ready else "not open: cell x",
    )
    monitoring.start()
    try:
        yield monitoring.port
    finally:
        monitoring.stop()


def get(port: int, path: str) -> tuple[int, str, bytes]:
    """Status, type and body of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read()
    finally:
        connection.close()


def test_metrics_are_rendered_anew_for_every_scrape(port: int, told: Told) -> None:
    """The page is of now, with the type that tells a scraper how to read it."""
    assert get(port, "/metrics") == (200, CONTENT_TYPE_LATEST, b"x 1\n")
    told.page = 'x{queue="ü"} 2\n'.encode() * 100_000
    assert get(port, "/metrics") == (200, CONTENT_TYPE_LATEST, told.page)


@pytest.mark.parametrize("probe", ["is_alive", "is_ready"])
def test_probe_follows_what_it_asks_for_and_nothing_else(port: int, told: Told, probe: str) -> None:
    """Not ready must not read as dead: the orchestrator would kill what only starts."""
    path = {"is_alive": "/healthz", "is_ready": "/readyz"}
    (other,) = path.keys() - {probe}
    for is_good in (True, False, True):
        setattr(told, probe, is_good)
        status, kind, body = get(port, path[probe])
        assert (status, kind) == (200 if is_good else 503, "text/plain")
        why = {"is_alive": b"the event loop does not turn\n", "is_ready": b"not open: cell x\n"}
        assert body == (b"ok\n" if is_good else why[probe])
        assert get(port, path[other])[0] == 200


def test_query_of_a_scraper_is_passed_over(port: int) -> None:
    """Prometheus may be configured to send parameters."""
    assert get(port, "/metrics?name=x")[0] == 200
    assert get(port, "/readyz?verbose")[0] == 200


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/", "/healthz/x", "/..%2fmetrics", "//"])
def test_other_page_is_not_found_and_names_those_there_are(port: int, path: str) -> None:
    """A slip in a scrape configuration explains itself, and nothing else is served."""
    status, _, body = get(port, path)
    assert status == 404
    assert all(page in body for page in (b"/metrics", b"/healthz", b"/readyz"))


def test_slow_scrape_does_not_keep_a_probe_waiting(told: Told) -> None:
    """A page of 10,000 queues takes time, which must not look like a dead process."""
    begun, may_end = threading.Event(), threading.Event()

    def render() -> list[bytes]:
        begun.set()
        assert may_end.wait(10)
        return [told.page]

    monitoring = Monitoring("127.0.0.1:0", render, lambda: True, lambda: "")
    monitoring.start()
    found: list[int] = []
    scrape = threading.Thread(target=lambda: found.append(get(monitoring.port, "/metrics")[0]))
    scrape.start()
    try:
        assert begun.wait(5)
        assert get(monitoring.port, "/healthz")[0] == 200
        assert not found
    finally:
        may_end.set()
        scrape.join(5)
        monitoring.stop()
    assert found == [200]


def test_requests_leave_no_lines_on_standard_error(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Standard error carries the process's own log, one JSON object a line, and nothing else."""
    get(port, "/healthz")
    get(port, "/nowhere")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as caller:
        caller.sendall(b"no request\r\n\r\n")
        assert b"400" in caller.recv(4_096)
    assert capfd.readouterr() == ("", "")


def test_address_that_is_taken_is_named(port: int) -> None:
    """The message goes to the operator as it is."""
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: "):
        Monitoring(f"127.0.0.1:{port}", list, bool, str)


def test_stopped_port_is_free_for_the_next() -> None:
    """A server that is started again at once finds its address."""
    first = Monitoring("127.0.0.1:0", list, bool, str)
    first.start()
    first.stop()
    second = Monitoring(f"127.0.0.1:{first.port}", lambda: [b"again"], bool, str)
    second.start()
    try:
        assert get(second.port, "/metrics")[2] == b"again"
    finally:
        second.stop()


def test_caller_that_leaves_or_says_nothing_leaves_no_traceback(
    port: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Port scanners and kept-open connections are no errors, and the log is one of JSON lines."""
    monkeypatch.setattr(_Quiet, "timeout", 0.05)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as idle:
        assert idle.recv(1) == b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as rude:
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        rude.sendall(b"GET /metrics HTTP/1.0\r\n")
    assert get(port, "/healthz")[0] == 200
    assert capfd.readouterr().err == ""


def test_address_of_ipv6_is_listened_on() -> None:
    """`[::1]:7444` is how gRPC spells it, so it works here as well."""
    monitoring = Monitoring("[::1]:0", lambda: [b"six"], lambda: True, lambda: "")
    monitoring.start()
    try:
        connection = http.client.HTTPConnection("::1", monitoring.port, timeout=5)
        connection.request("GET", "/metrics")
        assert connection.getresponse().read() == b"six"
        connection.close()
    finally:
        monitoring.stop()


@pytest.mark.parametrize("address", ["192.0.2.1:0", "no.such.host.invalid:0"])
def test_address_that_is_not_ours_is_named(address: str) -> None:
    """A name that is not known and an address of another machine are told alike."""
    with pytest.raises(OSError, match=f"cannot listen on {address}: [A-Z]"):
        Monitoring(address, list, bool, str)
