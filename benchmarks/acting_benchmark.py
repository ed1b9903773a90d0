"""
What policies cost those who come: Route beside twenty policies, the desk, and deciding's second.

The policies read attributes of contacts and none of these is eligible, as most are not of most
policies in earnest. What takes turns is the same engine with the same contacts: without policies,
with policies that are off, and with policies that are on for the contacts' queue.
"""

import gc
import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from adapters.policy_source.checker import CelChecker
from adapters.policy_source.reading import read_policies
from benchmarks.population import ATTRIBUTES, START_MS
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure
from benchmarks.timing import compare, pin, repeated
from engine.acting.rulebook import Rulebook
from engine.commands import CancelContact, Expire, Route, UpsertQueue
from engine.deciding.deciding import Deciding
from engine.engine import Engine
from engine.kernels.windows import AVAILABLE, HANDLING, OFFERED, READING_COLUMNS, WAITING
from engine.lifecycle import CancelReason, Channel
from engine.limits import Limits
from engine.policies import PolicyStage
from engine.policy.compiled import CompiledRelief
from engine.policy.in_force import InForce
from engine.policy.lowering import CompiledEvaluator
from engine.sensing.sampling import ChangeReader, take_sample
from engine.sensing.sensing import Batch, Sensing, SensingSettings
from engine.steering import ActivationCause, Order, Shift, Steer, Subject

_ROUTED: Final = 400
_LOOKED_AT: Final = 64
_QUEUE: Final = "q0"
_POLICY: Final = """
apiVersion: headgate/v1
kind: OverflowPolicy
metadata: {{name: p{number}}}
spec:
  mode: auto
  match: {{queues: ["*"]}}
  enter: {{when: breach_risk_5m >= 0.5 || queue.waiting > 40}}
  exit: {{when: breach_risk_5m <= 0.25 && queue.waiting < 10}}
  eligible: '{eligible}'
  actions: [{{overflow: {{queue: q1}}}}]
"""
# By whether it is known of a contact once and for all.
_FOR_GOOD: Final = 'contact.attributes.segment == "s{number}" && contact.tier != "vip"'
_FOR_NOW: Final = 'contact.wait > duration("30s") && ' + _FOR_GOOD


def run(settings: Settings) -> list[Table]:
    """Time Route, the desk and deciding."""
    pin(0)
    count = int(settings.value("policies"))
    goals = Goals()
    tables = [_routes(settings, count, goals), _looks(settings, count), _seconds(settings, count)]
    return [*tables, goals.table()]


def _policies(count: int, eligible: str) -> list[InForce]:
    checker = CelChecker()
    texts = [
        _POLICY.format(number=number, eligible=eligible.format(number=number))
        for number in range(count)
    ]
    found = [item.compiled for item in read_policies("p", "---".join(texts), checker).policies]
    relief = [item for item in found if isinstance(item, CompiledRelief)]
    assert len(relief) == count
    return [InForce(item, 1, PolicyStage.ACTIVE) for item in relief]


class _Cell:
    """An engine with policies, on or off, and nobody who answers."""

    def __init__(self, policies: Sequence[InForce], *, is_on: bool) -> None:
        self.engine = Engine(Limits(agents_max=100))
        self.now_ms = START_MS
        self.routed = 0
        for queue_id in (_QUEUE, "q1"):
            self.engine.apply(UpsertQueue(queue_id), self.now_ms)
        self.engine.desk.use(Rulebook(policies))
        subjects = [Subject(item.name, 1, _QUEUE) for item in policies] if is_on else []
        enter = ActivationCause.ENTER
        self.shifts = tuple(
            Shift(subject, PolicyStage.ACTIVE, is_on=True, cause=enter) for subject in subjects
        )
        self.orders = tuple(Order(subject, 1.0) for subject in subjects)
        self.engine.apply(Steer(self.shifts, self.orders), self.now_ms)
        self.engine.take_group()

    def route(self, count: int) -> None:
        """Take so many contacts in, each a commit of its own."""
        for _ in range(count):
            self.routed += 1
            self.now_ms += 1
            # No two of the same customer.
            known = {**ATTRIBUTES, "customer": f"c-{self.routed}"}
            command = Route(f"c{self.routed}", _QUEUE, Channel.VOICE, attributes=known)
            self.engine.apply(command, self.now_ms)
            self.engine.take_group()

    def cancel(self, count: int) -> None:
        """Have the latest contacts give up."""
        for number in range(self.routed - count, self.routed):
            command = CancelContact(f"c{number + 1}", CancelReason.ABANDONED)
            self.engine.apply(command, self.now_ms)
            self.engine.take_group()


def _routes(settings: Settings, count: int, goals: Goals) -> Table:
    policies = _policies(count, _FOR_GOOD)
    cells = {
        "without policies": _Cell([], is_on=False),
        f"{count} that are off": _Cell(policies, is_on=False),
        f"{count} that are on": _Cell(policies, is_on=True),
    }
    turns = (5 if settings.is_quick else 20) * settings.rounds
    taken: dict[str, list[float]] = {name: [] for name in cells}
    for turn in range(turns + 1):
        for name, cell in cells.items():
            gc.collect()
            gc.disable()
            began_s = time.perf_counter()
            cell.route(_ROUTED)
            took_s = (time.perf_counter() - began_s) / _ROUTED
            gc.enable()
            cell.cancel(_ROUTED)
            if turn:
                taken[name].append(took_s)
        assert not any(
            item.counts for item in cells[f"{count} that are on"].engine.cell.activations.all()
        )
    plain = float(np.median(taken["without policies"]))
    rows = []
    for name, found in taken.items():
        middle = [float(np.median(found))]
        rows.append([name, figure(middle, 1e6), f"× {middle[0] / plain:.2f}"])
    limit = settings.goals["route_ratio"]
    on = float(np.median(taken[f"{count} that are on"]))
    goals.at_most(f"Route with {count} policies that are on", limit, [on / plain], "× without")
    note = "In one process, applied and sealed; nothing of the wire, and nobody is eligible."
    return Table("Route, µs", ("policies", "µs", "× without"), rows, note)


def _looks(settings: Settings, count: int) -> Table:
    """What a second's look at those who wait costs, as often as a condition reads the wait."""
    rows = []
    for name, eligible in (("known for good", _FOR_GOOD), ("reads the wait", _FOR_NOW)):
        cell = _Cell(_policies(count, eligible), is_on=True)
        cell.route(_LOOKED_AT)
        orders = Steer((), cell.orders)

        def look(cell: _Cell = cell, orders: Steer = orders) -> None:
            cell.now_ms += 1
            cell.engine.apply(orders, cell.now_ms)
            assert cell.engine.desk.due_ms == cell.now_ms
            cell.engine.apply(Expire(), cell.now_ms)
            cell.engine.take_group()

        found = compare({"look": repeated(look)}, settings.rounds, settings.round_s)["look"]
        rows.append([name, figure(found, 1e6), figure(found, 1e6 / _LOOKED_AT)])
    title = f"A second's look at {_LOOKED_AT} who wait, {count} policies on, orders included"
    return Table(title, ("eligibility", "µs", "µs each"), rows)


def _seconds(settings: Settings, count: int) -> Table:
    """Deciding's whole second, of queues that a gateway tells of; a look ahead is not in it."""
    queues = int(settings.value("queues"))
    sensing, names = _sensed(queues)
    deciding = Deciding()
    deciding.use(_policies(count, _FOR_GOOD))
    second = iter(range(START_MS + 20_000, 1 << 50, 1_000))
    deciding.step(sensing, next(second))
    assert len(deciding.books()[0].machines.pairs.policy) == count * queues

    def step() -> None:
        deciding.step(sensing, next(second))

    rows = []
    for name in ("NumPy", "compiled"):
        if name == "compiled":
            book = deciding.books()[0]
            book.evaluator = CompiledEvaluator(book.program)
        found = compare({name: repeated(step)}, settings.rounds, settings.round_s)[name]
        rows.append([f"{count} policies × {len(names):,} queues", name, figure(found, 1e3)])
    return Table("A second of deciding", ("policies", "conditions by", "ms"), rows)


def _sensed(queues: int) -> tuple[Sensing, list[str]]:
    """Sensing of queues of which a twentieth has so many waiting that policies go on."""
    draw = np.random.default_rng(1)
    engine = Engine(Limits(queues_max=queues))
    names = [f"q{row}" for row in range(queues)]
    for name in names:
        engine.apply(UpsertQueue(name), START_MS)
        engine.take_group()
    sensing = Sensing(SensingSettings(lateness_s=0))
    sensing.define(ChangeReader().take(engine.cell))
    values = np.zeros((queues, READING_COLUMNS), np.int64)
    begin_s = START_MS // 1_000
    for second in range(begin_s, begin_s + 20):
        values[:, OFFERED] = draw.integers(0, 2, queues)
        values[:, WAITING] = np.where(draw.random(queues) < 0.05, 60, 20)
        values[:, AVAILABLE], values[:, HANDLING] = 1, 9
        sensing.follow(take_sample(engine.cell, second))
        sensing.accept("gateway", Batch(second, names, values), 1_000 * second + 900)
        sensing.advance(1_000 * (second + 1) + 20)
    return sensing, names
