"""
More than an engine can take: what it still does, and what those feel whom it lets in.

Unary Route in an open loop at a multiple of what the server did in a closed one. Goodput is what
was accepted; latency is of the accepted, from the time a call was due.
"""

import tempfile
from pathlib import Path

from benchmarks.floor_client import route_request, set_up
from benchmarks.load import Generator, Load, Measured
from benchmarks.population import Population
from benchmarks.server_process import ServerProcess, headgate
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure, ratio

_BODIES = 256
_CAPACITY = 1_000_000
_UNARY = Load("unary", "route", 32, 1)

# By multiple of the peak, rounds; the closed loop is 0.
Found = dict[float, list[Measured]]


def run(settings: Settings) -> list[Table]:
    """Measure every multiple, of each durability."""
    tables: list[Table] = []
    goals = Goals()
    with tempfile.TemporaryDirectory() as folder:
        population = Population(
            agents=settings.value("agents"),
            queues=settings.value("queues"),
            queues_per_agent=settings.value("queues_per_agent"),
            available_share=settings.value("available_share"),
            capacity=_CAPACITY,
        )
        bodies = [
            route_request(contact).SerializeToString() for contact in population.contacts(_BODIES)
        ]
        generator = Generator(bodies, Path(folder))
        for durability in settings.value("durability"):
            found: Found = {}
            for number in range(settings.rounds):
                with headgate(durability, Path(folder) / f"{durability}{number}") as server:
                    set_up(server.address, population)
                    _measure(settings, generator, server, found)
            tables.append(_table(durability, found, generator.description))
            _judge(settings, goals, durability, found)
    return [*tables, goals.table()]


def _measure(settings: Settings, generator: Generator, server: ServerProcess, found: Found) -> None:
    seconds = settings.value("seconds")
    peak = generator.run(server, _UNARY, seconds)
    found.setdefault(0.0, []).append(peak)
    for multiple in settings.value("multiples"):
        rate = multiple * peak.commands_per_s
        window = generator.run(
            server, _UNARY, seconds, rate=rate, waiting=settings.value("waiting")
        )
        found.setdefault(multiple, []).append(window)


def _table(durability: str, found: Found, about: str) -> Table:
    peak = [window.commands_per_s for window in found[0.0]]
    rows = [
        [
            "closed loop, 32 in flight" if multiple == 0.0 else f"{multiple:g} × that, open loop",
            figure([window.commands_per_s for window in windows]),
            figure(ratio([window.commands_per_s for window in windows], peak)),
            figure([window.shed_per_s for window in windows]),
            figure([window.found["dropped"] / window.found["seconds"] for window in windows]),
            figure([window.p50_us / 1e3 for window in windows]),
            figure([window.p99_us / 1e3 for window in windows]),
        ]
        for multiple, windows in found.items()
    ]
    columns = ("load", "accepted/s", "of the peak", "shed/s", "never sent/s", "p50 ms", "p99 ms")
    note = f"{about}; one server, durability {durability}. Never sent: no more may be in flight."
    return Table(f"Overload, {durability}", columns, rows, note)


def _judge(settings: Settings, goals: Goals, durability: str, found: Found) -> None:
    peak = [window.commands_per_s for window in found[0.0]]
    once = [window.p99_us for window in found[1.0]]
    for multiple, windows in found.items():
        if multiple <= 1.0:
            continue
        name = f"{durability}, {multiple:g} × the peak"
        share = ratio([window.commands_per_s for window in windows], peak)
        goals.at_least(
            f"{name}: accepted, of the peak", settings.goals["accepted_ratio"], share, "×"
        )
        slower = ratio([window.p99_us for window in windows], once)
        goals.at_most(
            f"{name}: p99 of the accepted, of that at 1 ×", settings.goals["p99_ratio"], slower, "×"
        )
