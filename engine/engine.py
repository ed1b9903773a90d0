"""
One cell's engine: commands in, effects out.

`apply` runs one command at one time and returns its outcome; what happened gathers as effects and
changed rows until `take_group` hands them over, to be committed before anyone is told. The engine
reads no clock, does no I/O and draws no random number: the same commands at the same times give the
same effects, bit for bit.

Its owner does this, over and over (etcd/raft's Ready loop is the model):

    outcome = engine.apply(command, now_ms)     # refused? answer; nothing changed
    group = engine.take_group()                 # after one command or many
    commit(group)                               # durable first
    reply(outcome); publish(group.effects)      # then, and only then
    wake_at(engine.next_deadline_ms())          # apply(Expire(), now_ms) when it comes
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, Never

from engine.acting.desk import Desk
from engine.choices import (
    AcceptChoice,
    OfferChoice,
    RefuseChoice,
    ReportDiversionOutcome,
    ReturnContact,
)
from engine.commands import (
    AcceptOffer,
    CancelContact,
    Command,
    CompleteAssignment,
    CompleteTransfer,
    Consult,
    DeclineOffer,
    DeleteAgent,
    DeleteQueue,
    EndWrapUp,
    Expire,
    FailAttempt,
    Heartbeat,
    OfferContact,
    Recover,
    ReleaseAssignment,
    RequeueContact,
    ResetEstimates,
    Route,
    ScheduleContact,
    SetIntake,
    SetPresence,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.crossing import NameOrigin, RecallContact, ReceiveContact, SettleCrossing
from engine.handlers import (
    agents,
    assignments,
    choices,
    consulting,
    contacts,
    crossing,
    plans,
    policies,
    queues,
    scheduling,
)
from engine.handlers.closing import close_due, close_left
from engine.handlers.hours import follow_due_hours, restore_hours
from engine.handlers.outcome import Outcome
from engine.handlers.running import run
from engine.kernels.columns import EFFECT_COUNT, NEXT_DUE_MS, NOW_MS
from engine.kernels.requests import Operation
from engine.limits import Limits
from engine.plans import DeletePlan, PutPlan
from engine.policies import (
    DeleteDraft,
    OverridePolicy,
    PublishPolicy,
    PutDraft,
    RetirePolicy,
    RollbackPolicy,
)
from engine.reading import CellReader
from engine.refusals import CommandRefused, Refusal, violation
from engine.routing.validation import validate
from engine.state.cell import CellState, Group
from engine.state.loading import load_rows
from engine.state.rows import RowDelta
from engine.steering import ApproveActivation, Steer

__all__ = ["Engine", "Outcome"]

# Each takes the command it stands under, which no one type of argument can say.
_HANDLERS: Final[dict[type, Callable[[CellState, Never], Outcome]]] = {
    RequeueContact: contacts.requeue,
    ScheduleContact: scheduling.schedule_contact,
    FailAttempt: scheduling.fail_attempt,
    Consult: consulting.consult,
    CompleteTransfer: consulting.complete_transfer,
    CancelContact: contacts.cancel,
    AcceptOffer: assignments.accept,
    DeclineOffer: assignments.decline,
    OfferContact: contacts.offer_by_hand,
    CompleteAssignment: assignments.complete,
    EndWrapUp: assignments.end_wrap_up,
    ReleaseAssignment: assignments.release,
    UpsertAgent: agents.upsert_agent,
    ResetEstimates: agents.reset_estimates,
    DeleteAgent: agents.delete_agent,
    SetPresence: agents.set_presence,
    Heartbeat: agents.heartbeat,
    UpsertQueue: queues.upsert_queue,
    DeleteQueue: queues.delete_queue,
    SetIntake: queues.set_intake,
    OfferChoice: choices.offer_choice,
    AcceptChoice: choices.accept_choice,
    RefuseChoice: choices.refuse_choice,
    ReturnContact: choices.return_contact,
    ReportDiversionOutcome: choices.report_outcome,
    ReceiveContact: crossing.receive,
    RecallContact: crossing.recall,
    NameOrigin: crossing.name_origin,
    SettleCrossing: crossing.settle,
    PutPlan: plans.put_plan,
    DeletePlan: plans.delete_plan,
    PutDraft: policies.put_draft,
    DeleteDraft: policies.delete_draft,
    PublishPolicy: policies.publish,
    RollbackPolicy: policies.rollback,
    RetirePolicy: policies.retire,
    Expire: queues.expire,
    Recover: queues.recover,
}
# Those in which policies have a word.
_AT_THE_DESK: Final[dict[type, Callable[[Desk, Never], Outcome]]] = {
    Route: Desk.route,
    UpdateContact: Desk.update,
    Steer: Desk.steer,
    OverridePolicy: Desk.override,
    ApproveActivation: Desk.approve,
}


class Engine:
    """
    The router of one cell.

    Parameters
    ----------
    limits
        Sizes the cell may reach.
    neighbours
        Other cells that its contacts may cross to.
    """

    def __init__(self, limits: Limits | None = None, neighbours: Collection[str] = ()) -> None:
        self.cell = CellState(limits or Limits())
        self.read = CellReader(self.cell)
        self.desk = Desk(self.cell)
        self.neighbours = neighbours
        # Scalars never move, so the view stays good.
        self._scalar = self.cell.store.scalar

    def apply(self, command: Command, now_ms: int) -> Outcome:
        """
        Run one command at `now_ms`, after every deadline that came before it.

        Times are milliseconds since the Unix epoch and never go back.

        Raises
        ------
        CommandRefused
            The command changed nothing; deadlines that had passed have still been handled.
        """
        validate(command)
        scalar = self._scalar
        if now_ms < scalar[NOW_MS]:
            expected = f"at least {scalar[NOW_MS]}, the time of the command before"
            raise CommandRefused(
                Refusal.CLOCK_WENT_BACKWARDS, violation("now_ms", now_ms, expected)
            )
        self.cell.make_effect_room()
        scalar[NOW_MS] = now_ms
        if self.cell.hours.next_ms <= now_ms:
            follow_due_hours(self.cell)
        # What came due while the engine was down is judged by Recover itself: nobody could answer.
        is_due = scalar[NEXT_DUE_MS] <= now_ms or self.cell.choices.next_ms <= now_ms
        if is_due and not isinstance(command, Recover):
            self._handle_due(now_ms)
        began = scalar[EFFECT_COUNT]
        if self.desk.due_ms <= now_ms:
            self.desk.look()
            # Before the command, which may answer for a contact that an agent has just taken.
            close_left(self.cell, began)
            began = scalar[EFFECT_COUNT]
        try:
            return self._run(command)
        finally:
            # Of a refused command too: it has made due what it met.
            close_left(self.cell, began)

    def _run(self, command: Command) -> Outcome:
        at_the_desk = _AT_THE_DESK.get(type(command))
        if at_the_desk is not None:
            return at_the_desk(self.desk, command)  # type: ignore[arg-type]
        return _HANDLERS[type(command)](self.cell, command)  # type: ignore[arg-type]

    def _handle_due(self, now_ms: int) -> None:
        """Handle every deadline that came before a command, those of choices first."""
        if self.cell.choices.next_ms <= now_ms:
            close_due(self.cell)
        if self._scalar[NEXT_DUE_MS] <= now_ms:
            began = self._scalar[EFFECT_COUNT]
            run(self.cell, Operation.EXPIRE)
            close_left(self.cell, began)

    def load(self, rows: Sequence[RowDelta]) -> None:
        """
        Fill a new engine from the rows of the log; `Recover` comes next.

        Raises
        ------
        DamagedRow
            A row cannot be one that an engine wrote.
        """
        load_rows(self.cell, rows)
        restore_hours(self.cell)

    def next_deadline_ms(self) -> int:
        """When `apply(Expire(), ...)` next has something to do; NEVER_MS when nothing is due."""
        due_ms = self.cell.hours.next_ms, self.cell.choices.next_ms, self.desk.due_ms
        return min(self._scalar[NEXT_DUE_MS], *due_ms)

    def now_ms(self) -> int:
        """Time of the last command."""
        return self._scalar[NOW_MS]

    def take_group(self) -> Group:
        """
        Hand over what happened and which rows changed since the last call.

        Rows of forgotten contacts are freed.
        """
        return self.cell.take_group()
