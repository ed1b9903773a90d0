"""
What it costs to ask who calls: one check by itself, and a unary Route to servers that ask nobody,
that take tokens, and that speak TLS.

Servers run side by side and take turns, each on the core for what is measured; calls come from this
process, on the other core, in a closed loop.
"""

import asyncio
import secrets
import tempfile
import time
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from adapters.calls import Cells
from adapters.metrics import Metrics
from adapters.security.door import Admission, Door
from adapters.settings import Settings as ServeSettings
from benchmarks.server_process import ServerProcess, headgate
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure, ratio
from benchmarks.timing import Work, compare, pin
from headgate.client import Access, Client
from headgate.v1.contact_pb2 import Channel
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import UpsertQueueRequest
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.end_to_end.credentials import Authority, CallersFile, Issuer

_OPEN: Final = "open"
_ROUTE: Final = "RoutingService/Route"
_ROLES: Final = ("gateway", "author")


class _Credentials:
    """Of every kind, in a folder."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        own, caller = authority.certificate("server"), authority.client("caller")
        callers, self.issuer = CallersFile(folder / "callers"), Issuer(folder / "keys.json")
        self.token = callers.add("by token", " ".join(_ROLES))
        callers.add("by certificate", " ".join(_ROLES), certificate="CN:caller")
        self.web_token = self.issuer.token(roles=list(_ROLES), exp=int(time.time()) + 86_400)
        asked = ("--callers-file", str(callers.path), *self.issuer.flags())
        tls = ("--tls-certificate-file", own.certificate_file, "--tls-key-file", own.key_file)
        mutual = ("--set", f"tls_client_ca_file={authority.ca_file}")
        over_tls = Access(ca_file=authority.ca_file, token=self.token)
        mutually = Access(
            ca_file=authority.ca_file,
            certificate_file=caller.certificate_file,
            key_file=caller.key_file,
        )
        self.callers_file = str(callers.path)
        # Flags of a server, and what its callers show.
        self.servers: Mapping[str, tuple[tuple[str, ...], Access]] = {
            _OPEN: ((), Access()),
            "token": (asked, Access(token=self.token)),
            "JSON Web Token": (asked, Access(token=self.web_token)),
            "token, TLS": ((*asked, *tls), over_tls),
            "certificate, TLS": ((*asked, *tls, *mutual), mutually),
        }


class _Context:
    """A call with a token, as gRPC shows it."""

    def __init__(self, token: str) -> None:
        self._metadata = (("user-agent", "bench"), ("authorization", f"Bearer {token}"))

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Its headers."""
        return self._metadata


def run(settings: Settings) -> list[Table]:
    """Measure checks, then calls."""
    with tempfile.TemporaryDirectory() as name:
        credentials = _Credentials(Path(name))
        seconds = _checks(credentials, settings)
        cpu_us, per_s = _calls(credentials, Path(name), settings)
    rows = [[name, figure(values, 1e6)] for name, values in seconds.items()]
    checks = Table("One check, µs", ("what is shown", "µs"), rows)
    rows = [
        [name, figure(values), f"× {figure(ratio(values, cpu_us[_OPEN]))}", figure(per_s[name])]
        for name, values in cpu_us.items()
    ]
    columns = ("unary Route", "server CPU µs/call", "× open", "calls/s")
    note = f"{settings.value('in_flight')} calls in flight from the Python client, memory log."
    calls = Table("Route by who may call", columns, rows, note)
    goals = Goals()
    known = [value * 1e6 for value in seconds["token, known"]]
    goals.at_most("check of a known token", settings.goals["known_us"], known, "µs")
    asked = ratio(cpu_us["token"], cpu_us[_OPEN])
    goals.at_most("unary Route with a token, server CPU", settings.goals["ratio"], asked, "× open")
    return [checks, calls, goals.table()]


def _checks(credentials: _Credentials, settings: Settings) -> dict[str, list[float]]:
    pin(0)
    asked = {
        "callers_file": credentials.callers_file,
        "jwt_issuer": "https://issuer.example",
        "jwt_audience": "headgate",
        "jwt_keys": str(credentials.issuer.path),
    }
    doors = [_door(values) for values in ({}, asked)]
    shown = {"token": credentials.token, "JSON Web Token": credentials.web_token}
    cases = {"nothing, nobody asks": _work(doors[0], _Context(credentials.token))}
    for name, token in shown.items():
        cases[f"{name}, known"] = _work(doors[1], _Context(token))
        cases[f"{name}, for the first time"] = _work(doors[1], _Context(token), is_new=True)
    return compare(cases, settings.rounds, settings.round_s)


def _door(values: Mapping[str, str]) -> Door:
    return Door(ServeSettings.model_validate(values), Cells({}), Metrics().access)


def _work(door: Door, context: _Context, *, is_new: bool = False) -> Work:
    """Work of checking one credential, again and again, or each time as if for the first."""

    def work(count: int) -> None:
        for _ in range(count):
            if is_new:
                door._known.clear()
            assert _ended(door.admit(_ROUTE, context)).caller.roles

    return work


def _ended(coroutine: Coroutine[object, None, Admission]) -> Admission:
    """What a coroutine that does not suspend returns."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        found: Admission = end.value
        return found
    raise AssertionError("suspended")


def _calls(
    credentials: _Credentials, folder: Path, settings: Settings
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    cpu_us: dict[str, list[float]] = {name: [] for name in credentials.servers}
    per_s: dict[str, list[float]] = {name: [] for name in credentials.servers}
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(headgate("memory", folder / name, extra=flags))
            for name, (flags, _) in credentials.servers.items()
        }
        pin(1)
        for _ in range(settings.rounds):
            for name, (_, access) in credentials.servers.items():
                load = _load(running[name], access, settings)
                count, seconds, cpu_s = asyncio.run(load)
                cpu_us[name].append(cpu_s / count * 1e6)
                per_s[name].append(count / seconds)
    return cpu_us, per_s


async def _load(
    server: ServerProcess, access: Access, settings: Settings
) -> tuple[int, float, float]:
    """Route for a while; returns calls, seconds, and the server's CPU seconds."""
    address = f"localhost:{server.address.rpartition(':')[2]}"
    async with Client(address, access) as client:
        await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=Queue(queue_id="q")))
        await _round(client, 0.3, settings.value("in_flight"))
        begun_s, before_s = time.perf_counter(), _cpu_s(server.pid)
        count = await _round(client, settings.value("seconds"), settings.value("in_flight"))
        return count, time.perf_counter() - begun_s, _cpu_s(server.pid) - before_s


async def _round(client: Client, seconds: float, in_flight: int) -> int:
    end_s = time.perf_counter() + seconds
    tag, count = secrets.token_hex(6), 0

    async def lane(number: int) -> None:
        nonlocal count
        turn = 0
        while time.perf_counter() < end_s:
            turn += 1
            request = RouteRequest(
                request_id=f"{tag}-{number}-{turn}", queue_id="q", channel=Channel.CHANNEL_VOICE
            )
            await client.routing.Route(request, timeout=10)
            count += 1

    await asyncio.gather(*map(lane, range(in_flight)))
    return count


def _cpu_s(pid: int) -> float:
    """CPU time of a process; the clock's number is made as clock_getcpuclockid makes it."""
    return time.clock_gettime(~pid << 3 | 2)
