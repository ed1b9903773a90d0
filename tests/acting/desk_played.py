"""A cell with policies at its desk, driven by commands alone."""

from collections.abc import Sequence

from engine.acting.rulebook import Rulebook
from engine.commands import Command, Expire, Route, SetPresence, UpsertAgent, UpsertQueue
from engine.effects import Effect
from engine.engine import Engine, Outcome
from engine.lifecycle import Channel, Presence
from engine.policies import PolicyStage
from engine.policy.in_force import InForce, RoutingInForce
from engine.state.activations import Activation
from engine.state.contacts import ContactView
from engine.state.rows import RowDelta, RowTable
from engine.steering import ActivationCause, Counted, Order, Shift, Steer, Subject
from tests.policy.written import relief, routing

BEGIN_MS = 1_790_000_000_000


class DeskPlayed:
    """
    An engine, the time, and what has been written.

    Attributes
    ----------
    now_ms
        The time.
    rows
        Rows as the log has them.
    told
        Effects so far.
    """

    def __init__(self, queues: Sequence[str] = ("a", "b")) -> None:
        self.engine = Engine()
        self.now_ms = BEGIN_MS
        self.rows: dict[tuple[RowTable, int], RowDelta] = {}
        self.told: list[Effect] = []
        for name in queues:
            self.do(UpsertQueue(name))

    def do(self, command: Command) -> Outcome:
        """Run a command now."""
        outcome = self.engine.apply(command, self.now_ms)
        group = self.engine.take_group()
        self.told += [Effect(*item) for item in group.effects]  # type: ignore[arg-type]
        for delta in group.row_deltas:
            key = RowTable(delta.table), delta.row
            if delta.record is None:
                self.rows.pop(key, None)
                continue
            before = self.rows.get(key)
            if delta.payload is None and before is not None:
                delta = delta._replace(payload=before.payload)
            self.rows[key] = delta
        return outcome

    def use(self, *texts: str, stage: PolicyStage = PolicyStage.ACTIVE) -> None:
        """Have diversion and overflow policies in force, version 1 of each."""
        self.rule([InForce(relief(text), 1, stage) for text in texts])

    def use_routing(self, text: str) -> None:
        """Have a routing policy in force."""
        self.rule([], [RoutingInForce(routing(text), 1, PolicyStage.ACTIVE)])

    def rule(self, policies: Sequence[InForce], entry: Sequence[RoutingInForce] = ()) -> None:
        """Have versions in force."""
        self.engine.desk.use(Rulebook(policies, entry))

    def on(
        self,
        subject: Subject,
        share: float = 1.0,
        *,
        stage: PolicyStage = PolicyStage.ACTIVE,
        asks: bool = False,
    ) -> None:
        """Switch a policy on, and have contacts that wait looked at."""
        shift = Shift(subject, stage, is_on=True, cause=ActivationCause.ENTER, needs_approval=asks)
        self.do(Steer((shift,), (Order(subject, share),)))
        self.look()

    def look(self) -> None:
        """Look at all that wait."""
        while self.engine.desk.due_ms <= self.now_ms:
            self.do(Expire())

    def next_second(self, *orders: Order) -> None:
        """Give orders, and have contacts that wait looked at."""
        self.do(Steer((), orders))
        self.look()

    def agent(self, agent_id: str, *queue_ids: str) -> None:
        """Sign an agent in."""
        self.do(UpsertAgent(agent_id, queue_ids=queue_ids))
        self.do(SetPresence(agent_id, Presence.AVAILABLE))

    def route(self, contact_id: str, queue_id: str = "a", **fields: object) -> Outcome:
        """Take a contact in."""
        route = Route(contact_id, queue_id, Channel.VOICE)
        return self.do(route._replace(**fields))  # type: ignore[arg-type]

    def contact(self, contact_id: str) -> ContactView:
        """A contact as it stands."""
        return self.engine.read.contact(contact_id, self.now_ms)

    def queue_of(self, contact_id: str) -> str:
        """Queue that a contact is in."""
        return self.engine.cell.queues.slots.ids[self.contact(contact_id).queue_row]

    def activation(self, number: int = 1) -> Activation:
        """An activation by number."""
        found = self.engine.cell.activations.find(number)
        assert found is not None
        return found

    def counts(self, number: int = 1) -> dict[Counted, int]:
        """What was counted of an activation."""
        return dict(self.activation(number).counts)
