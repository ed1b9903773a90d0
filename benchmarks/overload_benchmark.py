"""
More than an engine can take: what it still does, and what those feel whom it lets in.

Unary Route in an open loop at a multiple of what the server did in a closed one, from callers who
bound what they have in flight, as the clients here do, and from some who do not. Goodput is what
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

# Rounds by multiple of the peak and calls that may be in flight; 0 is the closed loop before them.
Found = dict[tuple[float, int], list[Measured]]


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
    for waiting in settings.value("waiting"):
        peak = generator.run(server, _UNARY, seconds)
        found.setdefault((0.0, waiting), []).append(peak)
        for multiple in settings.value("multiples"):
            rate = multiple * peak.commands_per_s
            window = generator.run(server, _UNARY, seconds, rate=rate, waiting=waiting)
            found.setdefault((multiple, waiting), []).append(window)


def _table(durability: str, found: Found, about: str) -> Table:
    rows = [
        [
            f"{multiple:g} × that, open loop" if multiple else "closed loop",
            f"{waiting if multiple else _UNARY.lanes:,}",
            figure([window.commands_per_s for window in windows]),
            figure(_accepted_ratio(found, multiple, waiting)),
            figure([window.shed_per_s for window in windows]),
            figure([window.found["dropped"] / window.found["seconds"] for window in windows]),
            figure([window.p50_us / 1e3 for window in windows]),
            figure([window.p99_us / 1e3 for window in windows]),
        ]
        for (multiple, waiting), windows in found.items()
    ]
    columns = (
        *("load", "in flight at most", "accepted/s", "of the peak"),
        *("shed/s", "never sent/s", "p50 ms", "p99 ms"),
    )
    note = f"{about}; one server, durability {durability}. Never sent: no more may be in flight."
    return Table(f"Overload, {durability}", columns, rows, note)


def _accepted_ratio(found: Found, multiple: float, waiting: int) -> list[float]:
    """What was accepted, of the closed loop before it."""
    windows, peaks = found[multiple, waiting], found[0.0, waiting]
    return ratio(
        [window.commands_per_s for window in windows], [peak.commands_per_s for peak in peaks]
    )


def _judge(settings: Settings, goals: Goals, durability: str, found: Found) -> None:
    bounded = min(settings.value("waiting"))
    for (multiple, waiting), windows in found.items():
        if multiple <= 1.0:
            continue
        name = f"{durability}, {multiple:g} × the peak, {waiting:,} in flight"
        share = _accepted_ratio(found, multiple, waiting)
        goals.at_least(
            f"{name}: accepted, of the peak", settings.goals["accepted_ratio"], share, "×"
        )
        if waiting == bounded:
            normal = [peak.p99_us for peak in found[0.0, waiting]]
            slower = ratio([window.p99_us for window in windows], normal)
            what = f"{name}: p99 of the accepted, of that at the peak"
            goals.at_most(what, settings.goals["p99_ratio"], slower, "×")
