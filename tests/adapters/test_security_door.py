"""The door: who is let in, what is known of whom, and how streams end with their credential."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters.calls import Cells
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.metrics import Metrics
from adapters.security import door as door_module
from adapters.security.door import Admission, Door
from adapters.security.key_set import KeySet
from adapters.settings import Settings
from tests.end_to_end.credentials import Authority, CallersFile, Issuer

ROUTE, LIST, WRITE = "RoutingService/Route", "QueueService/ListQueues", "QueueService/UpsertQueue"
LOOPS = {name: cast(DispatchLoop, SimpleNamespace(cell=name)) for name in ("default", "b", "c")}


class Context:
    """A call as gRPC shows it: metadata, the other end's address and certificate."""

    def __init__(self, *tokens: str, scheme: str = "Bearer", **names: bytes) -> None:
        self._metadata = tuple(("authorization", f"{scheme} {token}") for token in tokens)
        self._names = {name: [value] for name, value in names.items()}

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Headers, among them some that say nothing."""
        return (("x-tenant", "somebody else"), ("cell", "c"), *self._metadata)

    def auth_context(self) -> dict[str, list[bytes]]:
        """Names of the certificate."""
        return self._names

    def peer(self) -> str:
        """The address."""
        return "ipv4:192.0.2.1:5"


@pytest.fixture(autouse=True)
def _reread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files and streams without pauses."""
    monkeypatch.setattr(door_module, "_LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(door_module, "_STREAMS_EVERY_S", 0.001)


@pytest.fixture
def callers(tmp_path: Path) -> CallersFile:
    """An empty callers file."""
    return CallersFile(tmp_path / "callers")


def door(callers: CallersFile | None = None, **settings: Any) -> Door:
    """A door with a callers file."""
    if callers is not None:
        settings["callers_file"] = str(callers.path)
    return Door(Settings.model_validate(settings), Cells(LOOPS), Metrics().access)


async def refused(access: Door, context: Context, method: str = LIST) -> str:
    """Code and reason with which a call is not let in."""
    with pytest.raises(CallRefused) as caught:
        await access.admit(method, context)
    return f"{caught.value.code} {caught.value.reason}"


async def test_everybody_is_let_in_where_nobody_is_asked() -> None:
    """The engine of a demo."""
    admission = await door().admit(WRITE, Context())
    assert admission.find("c") is LOOPS["c"]
    admission.require(WRITE)


async def test_caller_is_let_in_by_its_token_into_its_cells(callers: CallersFile) -> None:
    """Whatever else the metadata says; cells of others do not exist for it."""
    token = callers.add("a", "gateway", "b default")
    admission = await door(callers).admit(ROUTE, Context(token))
    assert (admission.caller.name, admission.caller.tenant) == ("a", "tenant of b default")
    assert admission.find("") is LOOPS["default"]
    assert admission.find("b") is LOOPS["b"]
    told = []
    for cell in ("c", "nowhere"):
        with pytest.raises(CallRefused) as caught:
            admission.find(cell)
        assert (caught.value.code, caught.value.reason) == (7, "CELL_NOT_ALLOWED")
        told.append(str(caught.value).replace(repr(cell), "..."))
    assert told[0] == told[1]
    assert sorted(admission.names()) == ["b", "default"]


async def test_cell_that_is_not_owned_here_is_told_without_those_of_others(
    callers: CallersFile,
) -> None:
    """The names of other tenants' cells are theirs."""
    token = callers.add("a", "gateway", "b elsewhere")
    admission = await door(callers).admit(ROUTE, Context(token))
    with pytest.raises(CallRefused) as caught:
        admission.find("elsewhere")
    assert caught.value.reason == "UNKNOWN_CELL"
    assert [item.expected for item in caught.value.violations] == ["one of b"]


@pytest.mark.parametrize(
    "context",
    [
        Context("hgt_000000000000_" + "x" * 43),
        Context("eyJhbGciOiJub25lIn0.e30."),
        Context("x", scheme="Basic"),
        Context(""),
        Context("a", "b"),
    ],
)
async def test_credential_that_proves_nothing_is_refused(
    callers: CallersFile, context: Context
) -> None:
    """All with the same words: what was wrong is for the log."""
    assert await refused(door(callers), context) == "16 CREDENTIAL_INVALID"


async def test_call_without_a_credential_is_told_what_to_show(callers: CallersFile) -> None:
    """Also beside a certificate where none is asked for."""
    assert await refused(door(callers), Context()) == "16 CREDENTIAL_MISSING"
    named = Context(peer_uri=b"spiffe://x/a")
    callers.add("a", "reader", certificate="URI:spiffe://x/a")
    assert await refused(door(callers), named) == "16 CREDENTIAL_MISSING"


async def test_role_that_does_not_fit_is_refused_and_audited(
    callers: CallersFile, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody tried to change what it may not."""
    token = callers.add("a", "reader")
    assert await refused(door(callers), Context(token), WRITE) == "7 ROLE_NOT_ALLOWED"
    told = capsys.readouterr().out
    assert "UpsertQueue" in told
    assert "PERMISSION_DENIED" in told
    assert await refused(door(callers), Context(token), "X/Unlisted") == "7 ROLE_NOT_ALLOWED"


async def test_credential_ends_when_it_says_also_while_it_is_known(
    callers: CallersFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered does not outlive it."""
    token = callers.add("a", "reader", until="2030-01-01T00:00:00Z")
    access = door(callers)
    await access.admit(LIST, Context(token))
    monkeypatch.setattr("adapters.security.door.time.time", lambda: 1_893_456_000.0)
    assert await refused(access, Context(token)) == "16 CREDENTIAL_EXPIRED"


async def test_known_credential_is_not_checked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signature takes a hundred times as long as the look into a table."""
    issuer = Issuer(tmp_path / "keys.json")
    pairs = {"jwt_issuer": "https://issuer.example", "jwt_audience": "headgate"}
    access = door(None, **pairs, jwt_keys=str(issuer.path))
    token = issuer.token()
    first = await access.admit(LIST, Context(token))
    monkeypatch.setattr(access, "_web_tokens", None)
    assert await access.admit(LIST, Context(token)) is first


async def test_token_of_a_key_that_was_withdrawn_is_forgotten(tmp_path: Path) -> None:
    """Though it was checked before, and would be in time still."""
    issuer = Issuer(tmp_path / "keys.json")
    pairs = {"jwt_issuer": "https://issuer.example", "jwt_audience": "headgate"}
    access = door(None, **pairs, jwt_keys=str(issuer.path))
    fresh = asyncio.create_task(access.keep_fresh())
    token = issuer.token()
    assert await _is_let_in(access, token)
    issuer.rotate("second", keep=False)
    await _await_refusal(access, token)
    assert await _is_let_in(access, issuer.token())
    fresh.cancel()


async def test_known_credentials_are_bounded(
    callers: CallersFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An issuer may give out any number of them."""
    monkeypatch.setattr(door_module, "_KNOWN_MAX", 2)
    tokens = [callers.add(name, "reader") for name in "abcd"]
    access = door(callers)
    for token in tokens * 2:
        await access.admit(LIST, Context(token))
    assert len(access._known) == 2


async def test_callers_that_change_are_taken_in_and_mistakes_are_not(callers: CallersFile) -> None:
    """A token that is removed counts no more within seconds, with no restart."""
    token = callers.add("a", "reader")
    access = door(callers)
    fresh = asyncio.create_task(access.keep_fresh())
    await access.admit(LIST, Context(token))
    callers.path.write_text("{\n")
    await asyncio.sleep(0.05)
    await access.admit(LIST, Context(token))
    callers.path.write_text("# nobody\n")
    later = callers.add("b", "reader")
    await _await_refusal(access, token)
    assert await _is_let_in(access, later)
    fresh.cancel()


async def test_watching_goes_on_whatever_is_saved(callers: CallersFile) -> None:
    """A file that nobody foresaw must not keep those let in who are removed after it."""
    token = callers.add("a", "reader")
    metrics = Metrics()
    settings = Settings.model_validate({"callers_file": str(callers.path)})
    access = Door(settings, Cells(LOOPS), metrics.access)
    fresh = asyncio.create_task(access.keep_fresh())
    await asyncio.sleep(0)
    text = callers.path.read_text()
    for count, wrong in enumerate((text.replace('"reader"', '["reader"]'), "[" * 100_000), start=1):
        callers.path.write_text(wrong)
        async with asyncio.timeout(10):
            while f"headgate_callers_reload_failures_total {count}.0" not in _page(metrics):
                await asyncio.sleep(0.005)
        assert await _is_let_in(access, token)
    callers.path.write_text("# nobody\n")
    await _await_refusal(access, token)
    fresh.cancel()


async def test_callers_that_could_not_be_looked_at_are_looked_at_again(
    callers: CallersFile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file need not change once more for what had nothing to do with it."""
    token = callers.add("a", "reader")
    access = door(callers)
    fresh = asyncio.create_task(access.keep_fresh())
    await asyncio.sleep(0)
    with monkeypatch.context() as patched:
        patched.setattr(door_module, "read_callers", _fail)
        callers.path.write_text("# nobody\n")
        await asyncio.sleep(0.05)
        assert await _is_let_in(access, token)
    await _await_refusal(access, token)
    assert "ZeroDivisionError: nobody foresaw this" in capsys.readouterr().out
    fresh.cancel()


async def test_keys_that_cannot_be_looked_at_keep_no_caller_in(
    callers: CallersFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is looked at though the other fails, and again; failures are counted."""
    token, issuer, metrics = callers.add("a", "reader"), Issuer(tmp_path / "keys.json"), Metrics()
    pairs = {"jwt_issuer": "https://issuer.example", "jwt_audience": "headgate"}
    files = {"callers_file": str(callers.path), "jwt_keys": str(issuer.path)}
    access = Door(Settings.model_validate(pairs | files), Cells(LOOPS), metrics.access)
    fresh = asyncio.create_task(access.keep_fresh())
    of_issuer = issuer.token()
    assert await _is_let_in(access, of_issuer)
    with monkeypatch.context() as patched:
        patched.setattr(KeySet, "refresh", _fail)
        callers.path.write_text("# nobody\n")
        issuer.rotate("second", keep=False)
        await _await_refusal(access, token)
        assert await _is_let_in(access, of_issuer)
    assert "headgate_callers_reload_failures_total 0.0" not in _page(metrics)
    await _await_refusal(access, of_issuer)
    fresh.cancel()


def _fail(*_: object) -> None:
    raise ZeroDivisionError("nobody foresaw this")


def _page(metrics: Metrics) -> str:
    return b"".join(metrics.render([])).decode()


async def _await_refusal(access: Door, token: str) -> None:
    async with asyncio.timeout(10):
        while await _is_let_in(access, token):
            await asyncio.sleep(0.005)


async def _is_let_in(access: Door, token: str) -> bool:
    try:
        await access.admit(LIST, Context(token))
    except CallRefused:
        return False
    return True


@pytest.mark.parametrize("change", ["removed", "other roles"])
async def test_stream_ends_when_its_credential_does(callers: CallersFile, change: str) -> None:
    """In words that have clients resume, with the credential they have then."""
    token = callers.add("a", "reader")
    access = door(callers)
    admission = await access.admit(LIST, Context(token))
    lapse = asyncio.create_task(access.lapse(LIST, Context(token), admission))
    fresh = asyncio.create_task(access.keep_fresh())
    await asyncio.sleep(0.02)
    assert not lapse.done()
    text = callers.path.read_text()
    callers.path.write_text("#\n" if change == "removed" else text.replace("reader", "operator"))
    refusal = await asyncio.wait_for(lapse, 10)
    assert (refusal.reason, refusal.retry_after_ms > 0) == ("UNAVAILABLE", True)
    fresh.cancel()


async def test_streams_of_one_caller_are_bounded(callers: CallersFile) -> None:
    """One that floods leaves room for the others."""
    tokens = [callers.add(name, "reader") for name in "ab"]
    access = door(callers, caller_streams_max=2)
    first, second = [await access.admit(LIST, Context(token)) for token in tokens]
    with access.stream_of(first), access.stream_of(first):
        with pytest.raises(CallRefused) as caught, access.stream_of(first):
            raise AssertionError
        assert (caught.value.reason, caught.value.retry_after_ms > 0) == ("OVERLOADED", True)
        with access.stream_of(second):
            pass
    with access.stream_of(first):
        pass
    assert not access._streams


async def test_flood_of_refusals_is_counted_and_not_all_written(
    callers: CallersFile, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever floods the port must not fill the disk."""
    metrics = Metrics()
    settings = Settings.model_validate({"callers_file": str(callers.path)})
    access = Door(settings, Cells(LOOPS), metrics.access)
    for _ in range(1_000):
        await refused(access, Context("nonsense"))
    assert 1 <= capsys.readouterr().out.count("access_refused") <= 60
    assert 'headgate_auth_failures_total{reason="unknown_token"} 1000.0' in _page(metrics)


async def test_certificate_names_a_caller(callers: CallersFile, tmp_path: Path) -> None:
    """By a URI, a DNS name or, for old ones, the common name; a token beside it goes first."""

    for number, name in enumerate(("URI:spiffe://x/a", "DNS:a.example", "CN:old")):
        callers.add(f"caller {number}", "reader", certificate=name)
    token = callers.add("by token", "reader")
    authority = Authority(tmp_path)
    own = authority.certificate("server")
    access = door(
        callers,
        tls_certificate_file=own.certificate_file,
        tls_key_file=own.key_file,
        tls_client_ca_file=authority.ca_file,
    )
    for number, shown in enumerate(
        (
            {"peer_uri": b"spiffe://x/a"},
            {"peer_dns": b"a.example"},
            {"x509_common_name": b"old"},
        )
    ):
        admission = await access.admit(LIST, Context(**cast(Any, shown)))
        assert admission.caller.name == f"caller {number}"
    both = Context(token, peer_uri=b"spiffe://x/a")
    assert isinstance(await access.admit(LIST, both), Admission)
    assert (await access.admit(LIST, both)).caller.name == "by token"
    unknown = Context(peer_dns=b"spiffe://x/a", x509_common_name=b"\xff")
    assert await refused(access, unknown) == "16 CREDENTIAL_INVALID"
    wrong = Context("nonsense", peer_uri=b"spiffe://x/a")
    assert await refused(access, wrong) == "16 CREDENTIAL_INVALID"
