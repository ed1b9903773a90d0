"""Callers of the monitoring port who leave, stall, or ask for what a page does not offer."""

import http.client
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from adapters.monitoring import Monitoring


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A monitoring port that gives up on a silent caller after a moment."""
    monkeypatch.setattr("adapters.monitoring._Quiet.timeout", 0.2)
    monitoring = Monitoring("127.0.0.1:0", lambda: [b"x 1\n"], lambda: True, lambda: "")
    monitoring.start()
    try:
        yield monitoring.port
    finally:
        monitoring.stop()


def test_caller_who_resets_leaves_no_lines_on_standard_error(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """HAProxy's TCP check does so every second; standard error carries JSON lines only."""
    caller = socket.create_connection(("127.0.0.1", port), timeout=5)
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    time.sleep(0.1)
    caller.close()
    time.sleep(0.3)
    assert capfd.readouterr() == ("", "")


def test_caller_who_stalls_leaves_no_lines_on_standard_error(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """A connection opened ahead of need is no error of ours."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as caller:
        caller.sendall(b"GET /healthz")
        assert caller.recv(4_096) == b""
    assert capfd.readouterr() == ("", "")


def test_head_is_answered_without_a_body(port: int) -> None:
    """Load balancers probe with HEAD; a body would be taken for the next answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as caller:
        caller.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while part := caller.recv(4_096):
            answer += part
    assert answer.startswith(b"HTTP/1.0 200 ")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_method_is_refused(port: int, method: str) -> None:
    """Nothing can be changed here, and a caller who believes so must learn it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, "/metrics")
    response = connection.getresponse()
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    connection.close()
