"""Orders that stand: which policies are on for which queues, and what they have opened there."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from engine.acting.contact_values import WaitingContact
from engine.acting.eligibility import ContactCondition, Group
from engine.acting.rulebook import Acting, Rulebook
from engine.kernels.columns import NOW_MS
from engine.kernels.requests import IN_AGENT, Operation
from engine.policies import PolicyStage
from engine.state.activations import Activation
from engine.state.cell import CellState
from engine.steering import Counted, Order, Subject


class Standing(NamedTuple):
    """
    A policy that is on for a queue.

    Attributes
    ----------
    eligible
        Contacts that its activation has found eligible.
    """

    activation: Activation
    acting: Acting
    share: float
    eligible: set[str]

    @property
    def is_shadow(self) -> bool:
        """Whether it only counts what it would have done."""
        return self.acting.stage is PolicyStage.SHADOW


class AtWork(NamedTuple):
    """Policies that are on for a queue, in their order, and where they look up who is eligible."""

    standing: list[Standing]
    groups: list[Group]

    def open_to(self, contact: WaitingContact) -> frozenset[ContactCondition]:
        """Conditions that a contact may meet."""
        found = [group.open_to(contact) for group in self.groups]
        return found[0] if len(found) == 1 else frozenset().union(*found)


class StandingOrders:
    """
    The orders of one cell.

    Attributes
    ----------
    by_row
        What is on, by row of the queue.
    """

    def __init__(self, cell: CellState) -> None:
        self.by_row: dict[int, AtWork] = {}
        self._cell = cell
        # Contacts found eligible, by number of the activation.
        self._eligible: dict[int, set[str]] = {}

    @property
    def notes(self) -> int:
        """How many notes on contacts are kept."""
        return sum(map(len, self._eligible.values()))

    def give(self, orders: Sequence[Order], rulebook: Rulebook) -> None:
        """Have these orders stand, and no others; agents of groups that they open take contacts."""
        found: dict[int, list[Standing | None]] = {}
        for order in orders:
            row = self._cell.queues.slots.row_of(order.subject.queue_id)
            found.setdefault(row, []).append(self._standing(order, row, rulebook))
        self._keep(found)
        self._open_groups()

    def renew(self, rulebook: Rulebook) -> None:
        """Have them stand by other rules; those on versions that are not in force end."""
        self._keep(
            {
                row: [_renewed(item, rulebook) for item in found.standing]
                for row, found in self.by_row.items()
            }
        )

    def end_stopped(self) -> None:
        """End those that somebody has stopped."""
        self._keep(
            {
                row: [item for item in found.standing if not self._is_stopped(item.activation)]
                for row, found in self.by_row.items()
            }
        )

    def forget(self, number: int) -> None:
        """Forget the contacts of an activation that has ended."""
        self._eligible.pop(number, None)

    def forget_unless(self, is_open: Callable[[str], bool]) -> None:
        """Forget contacts that are not open."""
        for known in self._eligible.values():
            known.intersection_update([name for name in known if is_open(name)])

    def _standing(self, order: Order, queue_row: int, rulebook: Rulebook) -> Standing | None:
        """What an order has act; None where that is not in force, or stopped."""
        subject = order.subject
        acting = rulebook.acting.get((subject.policy, subject.version))
        activation = self._cell.activations.open_of(subject)
        if acting is None or activation is None or queue_row < 0 or self._is_stopped(activation):
            return None
        eligible = self._eligible.setdefault(activation.number, set())
        return Standing(activation, acting, order.share, eligible)

    def _keep(self, by_row: Mapping[int, Iterable[Standing | None]]) -> None:
        """Have these stand; groups of agents that none of them opens are closed."""
        self.by_row = {}
        for row, found in by_row.items():
            standing = [item for item in found if item is not None]
            if standing:
                groups = dict.fromkeys(item.acting.group for item in standing)
                self.by_row[row] = AtWork(standing, list(groups))
        agents = self._cell.agents
        for queue_row, tag in agents.lent - self._wanted_groups().keys():
            agents.recall(queue_row, tag)

    def _wanted_groups(self) -> dict[tuple[int, str], Activation]:
        """Groups of agents that policies open, by row of the queue and tag."""
        return {
            (row, tag): item.activation
            for row, at_work in self.by_row.items()
            for item in at_work.standing
            if item.activation.may_act and not item.is_shadow
            for tag in item.acting.groups
        }

    def _open_groups(self) -> None:
        """Have agents of the groups that are wanted serve the queues, and take who waits there."""
        cell = self._cell
        for (queue_row, tag), activation in self._wanted_groups().items():
            if (queue_row, tag) in cell.agents.lent:
                continue
            for row in cell.agents.lend(queue_row, tag):
                cell.make_effect_room()
                cell.run_on(Operation.SETTLE_AGENT, IN_AGENT, row)
                cell.activations.count(activation.number, Counted.OPENED)

    def _is_stopped(self, activation: Activation) -> bool:
        subject: Subject = activation.subject
        now_ms = self._cell.store.scalar[NOW_MS]
        return self._cell.policies.is_stopped(subject.policy, subject.queue_id, now_ms)


def _renewed(standing: Standing, rulebook: Rulebook) -> Standing | None:
    """The same by other rules; None where those do not have it, or not so far."""
    before = standing.acting
    acting = rulebook.acting.get((before.name, before.version))
    if acting is None or acting.stage is not before.stage:
        return None
    return standing._replace(acting=acting)
