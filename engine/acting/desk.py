"""
The desk of a cell: policies that are on act on contacts here, by commands of the engine.

    second   Steer → activations begin and end → contacts that wait are looked at, some at a time
    contact  Route names no queue? classified → taken in → waits? looked at at once

A contact is looked at by each policy that is on for its queue, in their order, until one moves it.
It must be eligible and belong to the share; what moves it happens once for each policy and contact,
and never to a contact that has been moved before.
"""

import contextlib
from collections import deque
from typing import Final

import numpy as np

from engine.acting.contact_values import WaitingContact
from engine.acting.deeds import Deed, notices_of, perform
from engine.acting.entry import classified, reclassified
from engine.acting.rulebook import Acting, Rulebook
from engine.acting.standing import Standing, StandingOrders
from engine.commands import Route, UpdateContact
from engine.effects import EffectKind
from engine.handlers import contacts, policies
from engine.handlers.outcome import Outcome, where_it_stands
from engine.kernels.columns import (
    ABANDONED,
    ANSWERED,
    ANSWERED_WITHIN,
    NOW_MS,
    SHORT_ABANDONED,
    WAIT_MS_SUM,
)
from engine.lifecycle import HAS_ENDED, ContactState
from engine.limits import NEVER_MS
from engine.policies import OverridePolicy, PolicyStage
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.activations import Activation
from engine.state.cell import CellState
from engine.steering import (
    AFTER_MS,
    Approval,
    ApproveActivation,
    Counted,
    PhaseFigures,
    Shift,
    Steer,
)

_QUEUED: Final = int(ContactState.QUEUED)
# Contacts that one look takes in: others wait for the thread that routes meanwhile.
_LOOKED_AT: Final = 64
# Notes on contacts beyond which those on contacts that have ended are forgotten.
_REMEMBERED_MAX: Final = 4_096


class Desk:
    """
    Policies at work in one cell.

    Attributes
    ----------
    rulebook
        What is in force.
    due_ms
        When contacts are to be looked at next; NEVER_MS when there is nothing to look at.
    """

    def __init__(self, cell: CellState) -> None:
        self.due_ms = NEVER_MS
        self._cell = cell
        self.rulebook = Rulebook()
        self._orders = StandingOrders(cell)
        self._to_look_at: deque[int] = deque()
        # Policies on trial that would have acted on a contact, by its id.
        self._shadowed: dict[str, set[str]] = {}
        self._forget_above = _REMEMBERED_MAX

    @property
    def notes(self) -> int:
        """How many notes on contacts are kept; at most twice those on open ones, or 4,096."""
        return len(self._shadowed) + self._orders.notes

    @property
    def has_more_to_close(self) -> bool:
        """Whether an activation ended of which it is not known yet what came after."""
        return bool(self._cell.activations.unclosed(NEVER_MS))

    def use(self, rulebook: Rulebook) -> None:
        """Have these versions in force; orders of others are no longer carried out."""
        rulebook.take_over(self.rulebook)
        self.rulebook = rulebook
        self._orders.renew(rulebook)

    def route(self, command: Route) -> Outcome:
        """Take a contact in, classified where it names no queue; a policy may act on it at once."""
        cell = self._cell
        own = None
        if not (command.queue_id or command.continues_contact_id):
            said, command = command, classified(cell, self.rulebook, command)
            own = said.requirements if said.requirements != command.requirements else None
        outcome = contacts.route(cell, command, own)
        if not self._orders.by_row or outcome.state != _QUEUED or outcome.already_known:
            return outcome
        row = cell.contacts.slots.row_of(command.contact_id)
        attributes = None if command.continues_contact_id else command.attributes
        if not self._look_at(WaitingContact(cell, row, attributes)):
            return outcome
        return where_it_stands(cell, command.contact_id)

    def update(self, command: UpdateContact) -> Outcome:
        """Change a contact; one that waits may be classified again by what has changed."""
        outcome = contacts.update(self._cell, command)
        if command.attributes:
            # The update is done: what a policy cannot have then is no fault of the caller's.
            with contextlib.suppress(CommandRefused):
                reclassified(self._cell, self.rulebook, command.contact_id)
        return outcome

    def steer(self, command: Steer) -> Outcome:
        """Begin and end activations, and have contacts looked at that wait where one is on."""
        now_ms = self._cell.store.scalar[NOW_MS]
        for shift in command.shifts:
            self._shift(shift, now_ms)
        self._close(now_ms)
        self._orders.give(command.orders, self.rulebook)
        self._to_look_at = deque(self._waiting_rows())
        self.due_ms = now_ms if self._to_look_at else NEVER_MS
        self._forget()
        return Outcome()

    def override(self, command: OverridePolicy) -> Outcome:
        """Say what policies do; what is to stop does nothing from here on."""
        outcome = policies.override(self._cell, command)
        self._orders.end_stopped()
        return outcome

    def approve(self, command: ApproveActivation) -> Outcome:
        """Have an activation act that waited for a person's word, or not."""
        activation = self._cell.activations.find(command.activation_id)
        if activation is None:
            expected = "the id of an activation that lasts, or ended not long ago"
            refused = violation("activation_id", str(command.activation_id), expected)
            raise CommandRefused(Refusal.UNKNOWN_ACTIVATION, refused)
        if activation.ended_ms or activation.approval is not Approval.PENDING:
            state = "has ended" if activation.ended_ms else f"is {activation.approval.name}"
            expected = f"an activation that waits for approval; it {state}"
            refused = violation("activation_id", activation.name, expected)
            raise CommandRefused(Refusal.ILLEGAL_TRANSITION, refused)
        approval = Approval.APPROVED if command.is_approved else Approval.REFUSED
        self._cell.activations.approve(activation, approval, (command.author, command.reason))
        self._tell(EffectKind.ACTIVATION_APPROVED, activation, approval.name.lower())
        return Outcome()

    def look(self) -> None:
        """Look at some of the contacts that wait."""
        states = self._cell.store.columns.contacts.state
        for _ in range(min(_LOOKED_AT, len(self._to_look_at))):
            row = self._to_look_at.popleft()
            if states[row] == _QUEUED:
                self._look_at(WaitingContact(self._cell, row))
        if not self._to_look_at:
            self.due_ms = NEVER_MS

    def _shift(self, shift: Shift, now_ms: int) -> None:
        activations = self._cell.activations
        activation = activations.open_of(shift.subject)
        queue_row = self._cell.queues.slots.row_of(shift.subject.queue_id)
        if shift.is_on and activation is None and queue_row >= 0:
            self._tell(
                EffectKind.ACTIVATION_BEGAN,
                activations.begin(shift, now_ms, self._totals_of(queue_row)),
                shift.cause.name.lower(),
            )
        elif not shift.is_on and activation is not None:
            standing = activation.standing if queue_row < 0 else self._totals_of(queue_row)
            activations.end(activation, shift, now_ms, standing)
            self._tell(EffectKind.ACTIVATION_ENDED, activation, shift.cause.name.lower())
            self._orders.forget(activation.number)

    def _tell(self, kind: EffectKind, activation: Activation, reason: str) -> None:
        """Tell of an activation, and whom its policy has notified of its beginning and end."""
        subject, now_ms = activation.subject, self._cell.store.scalar[NOW_MS]
        told: dict[str, int | str] = {
            "queue_id": subject.queue_id,
            "detail": activation.number,
        }
        self._cell.policies.tell(kind, now_ms, subject.policy, reason=reason, **told)
        acting = self.rulebook.acting.get((subject.policy, subject.version))
        if acting is None or acting.stage is PolicyStage.SHADOW:
            return
        for message in notices_of(acting.policy, kind):
            self._cell.policies.tell(
                EffectKind.POLICY_NOTIFIED, now_ms, subject.policy, reason=message, **told
            )

    def _close(self, now_ms: int) -> None:
        """Keep what came after activations that ended a quarter of an hour ago."""
        activations = self._cell.activations
        for activation in activations.unclosed(now_ms - AFTER_MS):
            queue_row = self._cell.queues.slots.row_of(activation.subject.queue_id)
            if queue_row >= 0:
                activations.close(activation, self._totals_of(queue_row))

    def _totals_of(self, queue_row: int) -> PhaseFigures:
        """A queue's totals so far."""
        totals = self._cell.store.columns.queues.totals[queue_row]
        return PhaseFigures(
            int(totals[ANSWERED]),
            int(totals[ANSWERED_WITHIN]),
            int(totals[ABANDONED] - totals[SHORT_ABANDONED]),
            int(totals[WAIT_MS_SUM]),
        )

    def _waiting_rows(self) -> list[int]:
        """Rows of contacts that wait in queues where something is on, the oldest first."""
        if not self._orders.by_row:
            return []
        columns = self._cell.store.columns.contacts
        rows = np.flatnonzero(columns.state == _QUEUED)
        rows = rows[np.isin(columns.queue[rows], list(self._orders.by_row))]
        oldest: list[int] = rows[np.argsort(columns.since_ms[rows], kind="stable")].tolist()
        return oldest

    def _look_at(self, contact: WaitingContact) -> bool:
        """Whether any policy acted on a contact."""
        at_work = self._orders.by_row.get(contact.queue_row)
        if at_work is None:
            return False
        has_acted = False
        open_to = at_work.open_to(contact)
        for standing in at_work.standing if open_to else ():
            if standing.acting.condition not in open_to or not self._act(contact, standing):
                continue
            has_acted = True
            if standing.acting.moves and not standing.is_shadow:
                break
            if self._cell.store.columns.contacts.state[contact.row] != _QUEUED:
                # What was changed had an agent take it.
                break
            contact.look_anew()
            open_to = at_work.open_to(contact)
        return has_acted

    def _act(self, contact: WaitingContact, standing: Standing) -> bool:
        """Whether a policy acted on a contact, in shadow whether it would have."""
        contact_id, acting, activation = contact.contact_id, standing.acting, standing.activation
        if not acting.deeds or self._has_acted(standing, contact):
            return False
        if not self._is_eligible(contact, standing):
            return False
        if not acting.takes(contact_id, standing.share):
            return False
        if not standing.is_shadow and not activation.may_act:
            return False
        if acting.moves and not self._may_move(acting, contact.row):
            return False
        self._note(standing, contact)
        for deed in acting.deeds:
            self._do(contact, deed, standing)
        return True

    def _may_move(self, acting: Acting, row: int) -> bool:
        choices, now_ms = self._cell.choices, self._cell.store.scalar[NOW_MS]
        return not (choices.hops(row) or choices.is_open(row)) and acting.has_budget(now_ms)

    def _has_acted(self, standing: Standing, contact: WaitingContact) -> bool:
        name = standing.acting.name
        if standing.is_shadow:
            return name in self._shadowed.get(contact.contact_id, ())
        return name in contact.said.steered.policies

    def _note(self, standing: Standing, contact: WaitingContact) -> None:
        """Keep that a policy has acted on a contact, or that it would have."""
        name, said = standing.acting.name, contact.said
        if standing.is_shadow:
            self._shadowed.setdefault(contact.contact_id, set()).add(name)
            return
        steered = said.steered._replace(policies=(*said.steered.policies, name))
        self._cell.contacts.write(contact.row, said._replace(steered=steered))

    def _is_eligible(self, contact: WaitingContact, standing: Standing) -> bool:
        """Whether a contact is one that a policy acts on now; counted once."""
        acting, contact_id = standing.acting, contact.contact_id
        if acting.is_split and not self.rulebook.is_of(acting, contact_id):
            return False
        if not acting.condition.takes(contact):
            return False
        if contact_id not in standing.eligible:
            standing.eligible.add(contact_id)
            self._cell.activations.count(standing.activation.number, Counted.ELIGIBLE)
        return True

    def _do(self, contact: WaitingContact, deed: Deed, standing: Standing) -> None:
        number = standing.activation.number
        if standing.is_shadow:
            self._cell.activations.count(number, deed.counts)
            return
        self._cell.make_effect_room()
        try:
            outcome = perform(contact, deed, standing.activation)
        except CommandRefused:
            self._cell.activations.count(number, Counted.FAILED)
            return
        if outcome is not None:
            self._cell.activations.count(number, deed.counts)

    def _forget(self) -> None:
        """Forget contacts that have ended, once there are many."""
        if self.notes <= self._forget_above:
            return
        slots, states = self._cell.contacts.slots, self._cell.store.columns.contacts.state

        def is_open(contact_id: str) -> bool:
            row = slots.row_of(contact_id)
            return row >= 0 and not HAS_ENDED[states[row]]

        self._shadowed = {name: found for name, found in self._shadowed.items() if is_open(name)}
        self._orders.forget_unless(is_open)
        # Not again each second where so many are open.
        self._forget_above = max(_REMEMBERED_MAX, 2 * self.notes)
