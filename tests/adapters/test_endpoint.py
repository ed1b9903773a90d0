"""One attempt: what goes over the wire, what the answer means, and whom TLS lets it go to."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.endpoint import (
    Answer,
    Endpoint,
    Verdict,
    check_url,
    origin_of,
    retry_after_s,
    trusting,
    verdict_of,
)
from adapters.webhook import Delivery, signed_headers
from engine.refusals import BadConfiguration
from tests.adapters.webhook_endpoint import (
    CERTIFICATE,
    Reply,
    StandInEndpoint,
    answering,
    own_tls,
)

SECRETS = (b"n" * 32, b"o" * 24)
SENT = Delivery("default-1-1-ab", b'{"events":[]}', "1.1", 1, 5, 5)


async def post_to(url: str, ca_file: Path | None = None, timeout_s: float = 5.0) -> Answer:
    """Try the delivery once."""
    async with Endpoint(url, SECRETS, trusting(ca_file), timeout_s) as endpoint:
        return await endpoint.post(SENT)


@asynccontextmanager
async def saying(*pieces: bytes, gap_s: float = 0.0) -> AsyncIterator[str]:
    """An endpoint that sends bytes, whatever they mean, and then nothing; gives its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(SENT.body)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(gap_s)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize(
    ("verdict", "statuses"),
    [
        (Verdict.DELIVERED, (200, 201, 202, 204, 299)),
        (Verdict.TRY_AGAIN, (408, 425, 429, 500, 502, 503, 504, 599)),
        (Verdict.GONE, (410,)),
        (Verdict.REFUSED, (300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 409, 413, 422, 451)),
    ],
)
def test_status_means_one_of_four_things(verdict: Verdict, statuses: tuple[int, ...]) -> None:
    """What may pass is tried again, what will not is not, and only 2xx counts as taken."""
    assert {verdict_of(status) for status in statuses} == {verdict}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 5 ", 5),
        ("0", 0),
        ("9" * 400, 999_999_999_999),  # beyond reason, and cut by who uses it
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10),  # 1,010 s after the epoch
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),  # long past
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("1.5", 0),
        ("٣", 0),
        ("Thu, 99 Jan 1970 00:16:50 GMT", 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_date_or_not_at_all(value: str, seconds: float) -> None:
    """A header that makes no sense must not stop deliveries."""
    assert retry_after_s(value, now_s=1_000) == seconds


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/headgate?team=1",
        "https://[2001:db8::1]:8443/",
        "http://localhost:8080/hook",
        "http://127.0.0.1/",
        "http://127.8.9.1:81",
        "http://[::1]:8080/",
    ],
)
def test_url_that_is_encrypted_or_stays_here_is_taken(url: str) -> None:
    """Events name contacts and agents: they leave the machine encrypted or not at all."""
    check_url(url, may_be_plain=False)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "expected https://HOST"),
        ("hooks.example/headgate", "expected https://HOST"),
        ("ftp://hooks.example/", "expected https://HOST"),
        ("https:///headgate", "expected https://HOST"),
        ("https://hooks.example:99999/", "expected https://HOST"),
        ("https://hooks.example:x/", "expected https://HOST"),
        ("https://[2001:db8::1/", "expected https://HOST"),
        ("https://hooks.example/a b", "expected https://HOST"),
        ("https://hooks.example/\r\nhost: evil", "expected https://HOST"),
        ("https://me:hunter2@hooks.example/", "no user or password"),
        ("https://hooks.example/#part", "no fragment"),
        ("http://hooks.example/", "unencrypted; or --allow-http"),
        ("http://10.0.0.1/", "unencrypted; or --allow-http"),
        ("http://localhost.hooks.example/", "unencrypted; or --allow-http"),
        ("http://0.0.0.0/", "unencrypted; or --allow-http"),
    ],
)
def test_url_of_another_kind_is_refused(url: str, told: str) -> None:
    """Before anything is sent, and without a password in the message."""
    with pytest.raises(BadConfiguration, match=told) as caught:
        check_url(url, may_be_plain=False)
    assert "hunter2" not in str(caught.value)


def test_plain_url_is_taken_where_that_is_asked_for() -> None:
    """Within a network of one's own, on one's own account."""
    check_url("http://10.0.0.1/", may_be_plain=True)
    with pytest.raises(BadConfiguration, match="expected https://HOST"):
        check_url("10.0.0.1", may_be_plain=True)


def test_log_is_told_where_deliveries_go_without_path_and_query() -> None:
    """Paths of webhooks are often as good as passwords."""
    assert origin_of("https://hooks.example/T0/B1/hunter2?key=x") == "https://hooks.example"
    assert origin_of("http://[::1]:8080/hunter2") == "http://[::1]:8080"


async def test_attempt_carries_body_and_signatures_to_the_path() -> None:
    """The receiver gets the very bytes that were signed, once per attempt."""
    endpoint = StandInEndpoint(Reply(202))
    async with answering(endpoint) as port:
        answer = await post_to(f"http://127.0.0.1:{port}/hook/a%2Fb?team=1")
    assert (answer.verdict, answer.why) == (Verdict.DELIVERED, "202")
    (taken,) = endpoint.taken
    assert (taken.path, taken.body) == ("/hook/a%2Fb?team=1", SENT.body)
    at_s = int(taken.headers["webhook-timestamp"])
    expected = signed_headers(SENT, SECRETS, at_s)
    assert {name: taken.headers[name] for name in expected} == expected
    assert taken.headers["content-type"] == "application/json"
    assert taken.headers["user-agent"].startswith("headgate/")


async def test_redirection_is_not_followed() -> None:
    """Whoever can answer once could else have all events sent to a place of their choice."""
    elsewhere = StandInEndpoint()
    async with answering(elsewhere) as other_port:
        location = {"location": f"http://127.0.0.1:{other_port}/"}
        endpoint = StandInEndpoint(*(Reply(status, location) for status in (301, 302, 307, 308)))
        async with answering(endpoint) as port:
            for status in ("301", "302", "307", "308"):
                answer = await post_to(f"http://127.0.0.1:{port}/")
                assert (answer.verdict, answer.why) == (Verdict.REFUSED, status)
    assert elsewhere.taken == []


async def test_answer_tells_when_to_come_back() -> None:
    """An endpoint under load says how long it needs."""
    endpoint = StandInEndpoint(Reply(503, {"retry-after": "7"}), Reply(503))
    async with answering(endpoint) as port:
        answers = [await post_to(f"http://127.0.0.1:{port}/") for _ in range(2)]
    assert [(answer.verdict, answer.retry_after_s) for answer in answers] == [
        (Verdict.TRY_AGAIN, 7),
        (Verdict.TRY_AGAIN, 0),
    ]


async def test_endpoint_that_is_not_there_or_hangs_up_may_come_back() -> None:
    """A restart of the receiver is the most usual of failures."""
    with socket.socket() as taken_port:
        taken_port.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken_port.getsockname()[1]}/"
        answer = await post_to(url)
    told = (answer.verdict, answer.why, answer.detail)
    assert told == (Verdict.TRY_AGAIN, "connection", "Connection refused")
    async with answering(StandInEndpoint(None)) as port:
        answer = await post_to(f"http://127.0.0.1:{port}/hunter2")
    assert (answer.verdict, answer.why) == (Verdict.TRY_AGAIN, "connection")
    assert "hunter2" not in answer.detail


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ((b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 500_000), "connection"),  # no end of headers
        ((b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000,), "connection"),  # no end of one
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), "connection"),  # another protocol
        ((b"HTTP/1.1 2000 OK\r\n\r\n",), "connection"),  # no status there is
        ((b"HTTP/1.1 100 Continue\r\n\r\n" * 3,), "connection"),  # never an answer
    ],
)
async def test_answer_that_is_none_is_not_taken_for_one(
    pieces: tuple[bytes, ...], why: str
) -> None:
    """Something that listens there is not yet the receiver, and memory stays bounded."""
    async with saying(*pieces) as url:
        answer = await post_to(url)
    assert (answer.verdict, answer.why) == (Verdict.TRY_AGAIN, why)


async def test_body_of_an_answer_is_not_waited_for() -> None:
    """A receiver that says 200 and then talks on for ever has taken the delivery."""
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n"
    async with saying(endless, *[b"x" * 65_536] * 50, gap_s=0.2) as url, asyncio.timeout(3):
        assert (await post_to(url)).verdict is Verdict.DELIVERED


async def test_attempt_ends_in_time_however_the_endpoint_dawdles() -> None:
    """One header a second would else hold the events for ever."""
    async with saying(b"HTTP/1.1 200 OK\r\n", *[b"a: b\r\n"] * 50, gap_s=0.1) as url:
        answer = await asyncio.wait_for(post_to(url, timeout_s=0.3), 3)
    told = (answer.verdict, answer.why, answer.detail)
    assert told == (Verdict.TRY_AGAIN, "timeout", "no answer within 0.3 s")


async def test_endpoint_that_nobody_vouches_for_gets_nothing() -> None:
    """Encryption to whoever answers is none; an authority of one's own is named in a file."""
    endpoint = StandInEndpoint()
    async with answering(endpoint, own_tls()) as port:
        answer = await post_to(f"https://127.0.0.1:{port}/")
        assert (answer.verdict, answer.why) == (Verdict.TRY_AGAIN, "tls")
        assert answer.detail == "certificate: self-signed certificate"
        assert endpoint.taken == []
        answer = await post_to(f"https://127.0.0.1:{port}/", CERTIFICATE)
        assert answer.verdict is Verdict.DELIVERED


async def test_certificate_must_be_of_the_host() -> None:
    """A good certificate of another host is another host's."""
    endpoint = StandInEndpoint()
    async with answering(endpoint, own_tls(), host="127.0.0.2") as port:
        answer = await post_to(f"https://127.0.0.2:{port}/", CERTIFICATE)
    assert (answer.verdict, answer.why) == (Verdict.TRY_AGAIN, "tls")
    assert "127.0.0.2" in answer.detail
    assert endpoint.taken == []


async def test_proxies_and_passwords_of_the_environment_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where events go is what the option says, not what a shell happens to hold."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hunter2")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    endpoint = StandInEndpoint()
    async with answering(endpoint) as port:
        assert (await post_to(f"http://127.0.0.1:{port}/")).verdict is Verdict.DELIVERED
    assert "authorization" not in endpoint.taken[0].headers


def test_authorities_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """At the start, not at the first delivery."""
    with pytest.raises(BadConfiguration, match=r"ca-file .* got 'No such file or directory'"):
        trusting(tmp_path / "nowhere")
    (tmp_path / "empty").write_text("none here")
    with pytest.raises(BadConfiguration, match="got 'no certificate'"):
        trusting(tmp_path / "empty")
