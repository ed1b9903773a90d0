"""TLS and certificates of callers over real connections, and renewal while they are served."""

import shutil
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from headgate.client import Access, Client, reason_of
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.queue_service_pb2 import ListQueuesRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.credentials import Authority, CallersFile, Signed
from tests.end_to_end.floor import open_queue, told
from tests.end_to_end.serving import Served

URI = "spiffe://acme/crm"


class Place:
    """A folder with an authority, a server's certificate, and callers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.server = self.authority.certificate("server")
        self.callers = CallersFile(folder / "callers")

    def flags(self, *settings: str) -> tuple[str, ...]:
        """Flags of a server with TLS."""
        return (
            "--durability", "memory", "--callers-file", str(self.callers.path),
            "--tls-certificate-file", self.server.certificate_file,
            "--tls-key-file", self.server.key_file,
            *(part for setting in settings for part in ("--set", setting)),
        )  # fmt: skip

    def replace(self, signed: Signed) -> None:
        """Put another certificate in the place of the server's."""
        shutil.copy(signed.certificate_file, self.server.certificate_file)
        shutil.copy(signed.key_file, self.server.key_file)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place of the test's own."""
    return Place(tmp_path)


def named(served: Served, signed: Signed | None = None, **settings: Any) -> x509.Certificate:
    """The certificate that a server shows to a new connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    for name, value in settings.items():
        setattr(context, name, value)
    if signed is not None:
        context.load_cert_chain(signed.certificate_file, signed.key_file)
    host, _, port = served.address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain) as shown,
    ):
        raw = shown.getpeercert(binary_form=True)
    assert raw is not None
    return x509.load_der_x509_certificate(raw)


async def queues(served: Served, access: Access) -> str:
    """How reading queues ends: OK, or code and reason."""
    try:
        async with Client(served.address.replace("127.0.0.1", "localhost"), access) as client:
            await client.queues.ListQueues(ListQueuesRequest(), timeout=5)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {reason_of(error)}".strip()
    return "OK"


async def test_token_goes_over_tls(serve: Serve, place: Place) -> None:
    """To a server that the caller's authority vouches for, and to no other."""
    token = place.callers.add("a", "reader")
    served = serve(*place.flags())
    ca_file = place.authority.ca_file
    assert await queues(served, Access(ca_file=ca_file, token=token)) == "OK"
    assert await queues(served, Access(ca_file=ca_file)) == "UNAUTHENTICATED CREDENTIAL_MISSING"
    stranger = Authority(place.folder, "stranger").ca_file
    assert await queues(served, Access(ca_file=stranger, token=token)) == "UNAVAILABLE"
    # The channel of one who does not speak TLS never stands.
    assert await queues(served, Access(token=token)) == "UNAVAILABLE"
    page = served.get("/metrics")[1]
    expiry = place.server.certificate.not_valid_after_utc.timestamp()
    (line,) = [item for item in page.splitlines() if item.startswith("headgate_certificate_expiry")]
    assert float(line.split()[1]) == expiry


def test_old_versions_of_tls_are_refused(serve: Serve, place: Place) -> None:
    """1.2 and 1.3 are spoken."""
    served = serve(*place.flags())
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        named(served, minimum_version=version, maximum_version=version)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"), pytest.raises(ssl.SSLError):
        named(
            served, minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1
        )


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        (f"URI:{URI}", [x509.UniformResourceIdentifier(URI)]),
        ("DNS:crm.acme.example", [x509.DNSName("crm.acme.example")]),
        ("CN:crm", []),
    ],
)
async def test_certificate_of_a_caller_says_who_it_is(
    serve: Serve, place: Place, entry: str, names: list[x509.GeneralName]
) -> None:
    """With no token; a certificate that nobody has listed is let in by TLS and no further."""
    place.callers.add("crm", "reader", certificate=entry)
    served = serve(*place.flags(f"tls_client_ca_file={place.authority.ca_file}"))

    def access(signed: Signed) -> Access:
        return Access(
            ca_file=place.authority.ca_file,
            certificate_file=signed.certificate_file,
            key_file=signed.key_file,
        )

    assert await queues(served, access(place.authority.client("crm", *names))) == "OK"
    other = place.authority.client("other", x509.DNSName("other.example"))
    assert await queues(served, access(other)) == "UNAUTHENTICATED CREDENTIAL_INVALID"
    forged = Authority(place.folder, "forger").client("crm", *names)
    assert await queues(served, access(forged)) == "UNAVAILABLE"
    assert await queues(served, Access(ca_file=place.authority.ca_file)) == "UNAVAILABLE"


async def test_renewed_certificate_is_shown_to_new_connections_and_old_streams_live_on(
    serve: Serve, place: Place
) -> None:
    """Certificates are renewed every few weeks; nobody restarts for that."""
    token = place.callers.add("a", "author reader")
    served = serve(*place.flags())
    access = Access(ca_file=place.authority.ca_file, token=token)
    async with Client(served.address.replace("127.0.0.1", "localhost"), access) as client:
        stream = client.events.Subscribe(SubscribeRequest(), timeout=60)
        await told(stream)
        before = named(served)
        renewed = place.authority.certificate("renewed")
        place.replace(renewed)
        assert named(served) == renewed.certificate != before
        await open_queue(client, "q")
        assert (await told(stream)).events
        stream.cancel()
    assert await queues(served, access) == "OK"


def test_renewal_that_went_wrong_leaves_the_certificate_as_it_was(
    serve: Serve, place: Place
) -> None:
    """A certificate without its key yet, or something else: the log says so, calls go on."""
    served = serve(*place.flags())
    before = named(served)
    renewed = place.authority.certificate("renewed")
    shutil.copy(renewed.certificate_file, place.server.certificate_file)
    assert named(served) == before
    shutil.copy(renewed.key_file, place.server.key_file)
    assert named(served) == renewed.certificate
    Path(place.server.key_file).unlink()
    assert named(served) == renewed.certificate
    Path(place.server.key_file).write_text("nothing")
    assert named(served) == renewed.certificate
    told_of = [line["event"] for line in served.log()]
    assert told_of.count("certificate_not_reloaded") == 3
    assert told_of.count("certificate_reloaded") == 1


def test_handshakes_that_fail_write_nothing_and_stop_nobody(serve: Serve, place: Place) -> None:
    """Port scanners come all day."""
    served = serve(*place.flags())
    host, _, port = served.address.rpartition(":")
    before = len(served.told())
    for noise in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 500):
        with socket.create_connection((host, int(port)), timeout=10) as plain:
            plain.sendall(noise)
    named(served)
    assert len(served.told()) == before


async def test_client_shows_the_token_that_its_file_holds_now(
    serve: Serve, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens of Kubernetes and of many providers last an hour; connections last longer."""
    monkeypatch.setattr("headgate.access._READ_EVERY_S", 0.0)
    token = place.callers.add("a", "reader")
    served = serve(*place.flags())
    file = place.folder / "token"
    file.write_text("hgt_nonsense\n")
    access = Access(ca_file=place.authority.ca_file, token_file=str(file))
    async with Client(served.address.replace("127.0.0.1", "localhost"), access) as client:
        with pytest.raises(grpc.aio.AioRpcError):
            await client.queues.ListQueues(ListQueuesRequest(), timeout=5)
        file.write_text(f"{token}\n")
        await client.queues.ListQueues(ListQueuesRequest(), timeout=5)
        file.unlink()
        await client.queues.ListQueues(ListQueuesRequest(), timeout=5)


async def test_stream_of_a_caller_that_was_removed_ends(serve: Serve, place: Place) -> None:
    """Within seconds, without a restart; others stay."""
    tokens = [place.callers.add(name, "reader") for name in "ab"]
    served = serve(*place.flags())
    ends: list[Callable[[], Any]] = []
    clients = []
    for token in tokens:
        access = Access(ca_file=place.authority.ca_file, token=token)
        client = Client(served.address.replace("127.0.0.1", "localhost"), access)
        clients.append(client)
        stream = client.events.Subscribe(SubscribeRequest(), timeout=40)
        await told(stream)
        ends.append(stream.read)
    place.callers.remove("a")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ends[0]()
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "no longer counts" in (caught.value.details() or "")
    await clients[1].queues.ListQueues(ListQueuesRequest(), timeout=5)
    for client in clients:
        await client.close()
