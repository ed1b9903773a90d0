"""
Bytes per contact, agent and kept reply: what a fresh process grows by.

    python -m benchmarks.memory_benchmark SUBJECT COUNT

runs one case, as `run` does in a process for each. Resident memory is read before and after, with
the collector run and freed memory given back. Columns are counted apart: they are allocated by
doubling, so a cell holds room for up to twice as many as it has.
"""

import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.machine import ROOT, python_environment
from benchmarks.server_process import rss_bytes
from benchmarks.settings import Settings
from benchmarks.tables import Table, figure

if TYPE_CHECKING:
    from engine.state.store import Store

_QUEUES: Final = 1_000


class Growth(NamedTuple):
    """
    What one case grew by.

    Attributes
    ----------
    grown
        Resident bytes.
    columns
        Bytes of columns, of which `used` belong to rows in use.
    """

    grown: int
    columns: int
    used: int


def run(settings: Settings) -> list[Table]:
    """Measure every case in processes of their own."""
    rows = []
    for subject, counts in settings.value("cases").items():
        for count in counts:
            rounds = [_run_alone(subject, count) for _ in range(settings.rounds)]
            rows.append(
                [
                    f"{count:,} {_SUBJECTS[subject][1]}",
                    figure([growth.grown / count for growth in rounds]),
                    figure([growth.columns / count for growth in rounds]),
                    figure([growth.used / count for growth in rounds]),
                    figure([growth.grown / 1e6 for growth in rounds]),
                ]
            )
    columns = ("what", "bytes each", "of these columns", "columns of rows in use", "in all, MB")
    note = (
        "Contacts have six attributes (120 bytes) and 3 required skills; no commit log. Agents "
        f"serve 10 of {_QUEUES:,} queues and hold 5 skills. A reply is what is kept to answer a "
        "retry: request id, digest and the reply itself."
    )
    return [Table("Memory", columns, rows, note)]


def _run_alone(subject: str, count: int) -> Growth:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory_benchmark", subject, str(count)],
        cwd=ROOT,
        env=python_environment(),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Growth(*json.loads(done.stdout))


def _contacts() -> Iterator["Store | None"]:
    """Make waiting contacts one by one; yields the columns they are in."""
    from benchmarks.population import Population, populate
    from engine.engine import Engine

    population = Population(_QUEUES, _QUEUES, 10, available_share=0)
    engine = Engine()
    populate(engine, population.queue_commands())
    populate(engine, population.agent_commands())
    contacts = population.contacts(4_096)
    number = 0
    now_ms = engine.now_ms()
    while True:
        # Made anew, as from the wire: an attribute value shared by all contacts would cost nothing.
        contact = contacts[number % len(contacts)]
        attributes = {f"{key}": f"{value}" for key, value in contact.attributes.items()}
        engine.apply(
            contact._replace(contact_id=f"contact-{number:028}", attributes=attributes), now_ms
        )
        if number % 512 == 511:
            engine.take_group()
        number += 1
        yield engine.cell.store


def _agents() -> Iterator["Store | None"]:
    from benchmarks.population import Population, populate
    from engine.engine import Engine
    from engine.limits import Limits

    # More than are measured: the first is made before.
    engine = Engine(Limits(agents_max=200_000))
    population = Population(200_000, _QUEUES, 10, available_share=0, skills_held=5)
    populate(engine, population.queue_commands())
    for command in population.agent_commands():
        populate(engine, [command])
        yield engine.cell.store


def _replies() -> Iterator["Store | None"]:
    from adapters.commit_log import StoredReply
    from adapters.reply_window import ReplyWindow
    from headgate.v1 import contact_pb2, routing_service_pb2

    window = ReplyWindow(600_000, 50_000_000)
    number = 0
    while True:
        names = {
            "contact_id": f"contact-{number:028}",
            "queue_id": "queue-00042",
            "agent_id": "agent-004711",
        }
        offer = contact_pb2.Offer(offer_id=f"o{number:x}", expires_at_ms=1 << 40, **names)
        reply = routing_service_pb2.RouteResponse(state=2, offer=offer, **names)  # type: ignore[arg-type]
        digest = number.to_bytes(16)
        window.keep(StoredReply(f"request-{number:028}", digest, reply.SerializeToString(), number))
        number += 1
        yield None


# Subject -> (what makes them, what a row of the table calls them, subject of the columns).
_SUBJECTS: Final[dict[str, tuple["Callable[[], Iterator[Store | None]]", str, str]]] = {
    "contacts": (_contacts, "waiting contacts", "contacts"),
    "agents": (_agents, "agents", "agents"),
    "replies": (_replies, "kept replies", ""),
}


def measure(subject: str, count: int) -> Growth:
    """Make so many in this process."""
    make, _, columns_of = _SUBJECTS[subject]
    making = make()
    store = next(making)
    before_columns = _columns_bytes(store, columns_of)
    before = _settled_bytes()
    for _ in range(count):
        next(making)
    grown = _settled_bytes() - before
    columns = _columns_bytes(store, columns_of)
    rows = store.sizes[columns_of] if store else count
    return Growth(grown, columns - before_columns, columns * min(count, rows) // rows)


def _columns_bytes(store: "Store | None", subject: str) -> int:
    """Bytes of a subject's columns and of the sets that have a row or a bit for each."""
    if store is None:
        return 0
    columns = store.columns
    total = sum(column.nbytes for column in getattr(columns, subject))
    return total + (sum(bits.nbytes for bits in columns.bitsets) if subject == "agents" else 0)


def _settled_bytes() -> int:
    """Resident memory once what is free has gone back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return rss_bytes(os.getpid())


if __name__ == "__main__":
    from adapters.kernel_cache import use_kernel_cache

    use_kernel_cache()
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
