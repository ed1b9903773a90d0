"""What a call from Python into a compiled kernel costs, by the way its arguments are passed."""

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.population import Population, populate
from benchmarks.settings import Settings
from benchmarks.tables import Table, figure, ratio
from benchmarks.timing import compare, median_of, pin, repeated
from engine.commands import SetIntake
from engine.engine import Engine
from engine.kernels.boundary import Table as AddressTable
from engine.kernels.boundary import bind, open_contacts
from engine.kernels.columns import Agents, Contacts, Queues
from engine.kernels.requests import IN_CONTACT, IN_OPERATION, OUT_STATE, Operation
from engine.lifecycle import ContactState, Intake

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

_CONTACT: Final = 3


@njit(cache=True, error_model="numpy")
def read_by_table(table: AddressTable) -> int:
    """Read one value through the table of addresses."""
    return open_contacts(table).state[_CONTACT]


@njit(cache=True, error_model="numpy")
def read_by_group(contacts: Contacts) -> int:
    """Read the same value from a NamedTuple of arrays."""
    return contacts.state[_CONTACT]


@njit(cache=True, error_model="numpy")
def read_by_groups(contacts: Contacts, agents: Agents, queues: Queues) -> int:
    """Read the same value, with what a decision would also need."""
    return contacts.state[_CONTACT]


@njit(cache=True, error_model="numpy")
def read_by_array(state: NDArray[np.int8]) -> int:
    """Read the same value from one array."""
    return state[_CONTACT]


def run(settings: Settings) -> list[Table]:
    """Measure each way."""
    pin(0)
    engine = _engine()
    store = engine.cell.store
    columns = store.columns
    bound = bind(read_by_table, store.table)
    request, outcome = store.request, store.outcome

    def transition() -> int:
        request[IN_OPERATION] = Operation.READ_CONTACT
        request[IN_CONTACT] = _CONTACT
        store.run()
        return outcome[OUT_STATE]

    ways = {
        "table of addresses, bound entry point": bound,
        "table of addresses, dispatcher": lambda: read_by_table(store.table),
        "one array, dispatcher": lambda: read_by_array(columns.contacts.state),
        "one NamedTuple of 32 arrays": lambda: read_by_group(columns.contacts),
        "three NamedTuples, 80 arrays": lambda: read_by_groups(
            columns.contacts, columns.agents, columns.queues
        ),
        "a whole transition: request in, READ_CONTACT, outcome out": transition,
        "a Python function that does nothing": lambda: None,
    }
    for name, way in list(ways.items())[:-1]:
        assert way() == ContactState.QUEUED, name
    cases = {name: repeated(way) for name, way in ways.items()}
    seconds = compare(cases, settings.rounds, settings.round_s)
    base = seconds["table of addresses, bound entry point"]
    rows = [
        [name, figure(values, 1e9), f"{median_of(ratio(values, base)):.1f}"]
        for name, values in seconds.items()
    ]
    note = "Every figure includes the loop and, except the first, a lambda around the call."
    return [Table("A call of a kernel", ("way", "ns", "× bound"), rows, note)]


def _engine() -> Engine:
    population = Population(agents=64, queues=10, queues_per_agent=2, available_share=0)
    engine = Engine()
    populate(engine, population.queue_commands())
    populate(engine, population.agent_commands())
    populate(engine, [SetIntake("queue-00000", Intake.OPEN), *population.contacts(_CONTACT + 1)])
    return engine


def test_bound_call(benchmark: "BenchmarkFixture") -> None:
    """For `pytest benchmarks/call_benchmark.py`: the way production calls."""
    engine = _engine()
    assert benchmark(bind(read_by_table, engine.cell.store.table)) == ContactState.QUEUED
