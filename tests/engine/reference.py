"""
The router again, slow and obvious: what `engine` must do, in plain Python.

It shares the vocabulary with the engine and nothing else. The two are run side by side and must
agree on every outcome, refusal, effect and view. Effects are plain tuples with its fields.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from engine import policies as told
from engine.choices import (
    AcceptChoice,
    DiversionOutcome,
    OfferChoice,
    RefuseChoice,
    ReportDiversionOutcome,
    ReturnContact,
)
from engine.commands import (
    AcceptOffer,
    CancelContact,
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
    Schedule,
    ScheduleContact,
    SetIntake,
    SetPresence,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.effects import EffectKind
from engine.engine import Outcome
from engine.lifecycle import CancelReason, ContactState, Trigger
from engine.limits import NEVER_MS, Limits
from engine.plans import DeletePlan, PutPlan
from engine.refusals import Refusal
from tests.engine import reference_choosing as choosing
from tests.engine import reference_definitions as definitions
from tests.engine import reference_policies as policies
from tests.engine.reference_consulting import ask, check_consult, consult_of, hand_over
from tests.engine.reference_floor import Floor, Refused, merged
from tests.engine.reference_matching import (
    match_new,
    match_returned,
)
from tests.engine.reference_moves import (
    assign,
    complete,
    fail_offer,
    pass_over,
    return_to_queue,
    start_wait,
    take_from_agent,
)
from tests.engine.reference_recording import record_contact
from tests.engine.reference_scheduling import check_times, closed_then, put_off, try_later
from tests.engine.reference_subjects import RefContact
from tests.engine.reference_time import (
    call,
    end_window_of_full,
    follow_due_hours,
    forget_what_no_row_tells,
    next_deadline_ms,
    recover_floor,
    settle_agent,
)
from tests.engine.reference_transitions import (
    admit,
    admit_later,
    end_handling,
    move,
    named_agent,
    named_queue,
    offered,
    open_contact,
    own,
    pick,
    receive,
    require_class,
    require_names,
    require_row,
    where_it_stands,
    withdraw,
)


class Reference:
    """The commands of one cell."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.floor = Floor(limits or Limits())

    def apply(self, command: object, now_ms: int) -> Outcome:
        """Run a command; raises Refused."""
        if now_ms < self.floor.now_ms:
            raise Refused(Refusal.CLOCK_WENT_BACKWARDS)
        self.floor.now_ms = now_ms
        follow_due_hours(self.floor)
        if not isinstance(command, Recover):
            choosing.close_due(self.floor)
            if next_deadline_ms(self.floor) <= now_ms:
                began = len(self.floor.effects)
                call(self.floor, lambda: None)
                choosing.close_left(self.floor, began)
        handlers: dict[type, Callable[..., Outcome]] = {
            Route: self.route,
            UpdateContact: self.update,
            RequeueContact: self.requeue,
            ScheduleContact: self.schedule,
            FailAttempt: self.fail_attempt,
            Consult: self.consult,
            CompleteTransfer: self.complete_transfer,
            CancelContact: self.cancel,
            AcceptOffer: self.accept,
            DeclineOffer: self.decline,
            OfferContact: self.offer_contact,
            CompleteAssignment: self.complete_assignment,
            EndWrapUp: self.end_wrap_up,
            ReleaseAssignment: self.release,
            UpsertAgent: partial(definitions.upsert_agent, self.floor),
            ResetEstimates: partial(definitions.reset_estimates, self.floor),
            DeleteAgent: partial(definitions.delete_agent, self.floor),
            SetPresence: partial(definitions.set_presence, self.floor),
            Heartbeat: partial(definitions.heartbeat, self.floor),
            UpsertQueue: partial(definitions.upsert_queue, self.floor),
            DeleteQueue: partial(definitions.delete_queue, self.floor),
            SetIntake: partial(definitions.set_intake, self.floor),
            OfferChoice: partial(choosing.offer, self.floor),
            AcceptChoice: partial(choosing.accept, self.floor),
            RefuseChoice: partial(choosing.refuse, self.floor),
            ReturnContact: partial(choosing.come_back, self.floor),
            ReportDiversionOutcome: partial(choosing.report, self.floor),
            PutPlan: partial(definitions.put_plan, self.floor),
            DeletePlan: partial(definitions.delete_plan, self.floor),
            told.PutDraft: partial(policies.put_draft, self.floor),
            told.DeleteDraft: partial(policies.delete_draft, self.floor),
            told.PublishPolicy: partial(policies.publish, self.floor),
            told.RollbackPolicy: partial(policies.rollback, self.floor),
            told.RetirePolicy: partial(policies.retire, self.floor),
            told.OverridePolicy: partial(policies.override, self.floor),
            Expire: lambda _: call(self.floor, Outcome),
            Recover: self.recover,
        }
        began = len(self.floor.effects)
        try:
            return handlers[type(command)](command)
        finally:
            choosing.close_left(self.floor, began)

    def recover(self, _: Recover) -> Outcome:
        call(self.floor, lambda: recover_floor(self.floor))
        return Outcome()

    def take_effects(self) -> list[tuple[int | str, ...]]:
        """Hand over effects and seal the group."""
        floor = self.floor
        effects, floor.effects = floor.effects, []
        for rows in (floor.contact_rows, floor.agent_rows, floor.queue_rows):
            rows.reclaim()
        return effects

    def forget_what_no_row_tells(self) -> None:
        """Do what a restart does to what is not durable."""
        forget_what_no_row_tells(self.floor)

    # Contacts

    def route(self, command: Route) -> Outcome:
        known = self.floor.contacts.get(command.contact_id)
        if known is not None:
            if known.channel != command.channel:
                raise Refused(Refusal.CONTACT_EXISTS)
            return where_it_stands(self.floor, known)._replace(already_known=True)
        continued = None
        if command.continues_contact_id:
            continued = choosing.diverted(self.floor, command.continues_contact_id)
            command = choosing.taken_over(command, continued)
        queue = named_queue(self.floor, command.queue_id)
        require_names(self.floor, command.requirements, command.relaxation)
        contact = RefContact(
            command.contact_id,
            -1,
            command.queue_id,
            command.channel,
            command.priority,
            self.floor.next_contact,
            self.floor.now_ms,
            self.floor.now_ms - command.routing_age_ms,
            NEVER_MS if command.max_wait_ms < 0 else command.max_wait_ms,
            command.requirements,
            dict(command.attributes),
            command.relaxation,
        )
        schedule = command.schedule or Schedule()
        closed = closed_then(self.floor, queue, schedule)
        if command.schedule:
            check_times(self.floor, schedule)
            contact.keep_to(schedule)
        contact.plan()
        require_class(self.floor, contact.alike)
        require_row(self.floor)

        def take_in() -> Outcome:
            end_window_of_full(self.floor, queue)
            receive(self.floor, contact, queue)
            if schedule.due_at_ms > self.floor.now_ms:
                return admit_later(self.floor, contact, schedule.due_at_ms, closed)
            return admit(self.floor, contact, queue)

        outcome = call(self.floor, take_in)
        if continued and outcome.state != ContactState.REJECTED:
            contact.hops, contact.continues_contact_id = continued.hops, continued.contact_id
            choosing.end_diversion(self.floor, continued, DiversionOutcome.CONTINUED)
        return outcome

    def update(self, command: UpdateContact) -> Outcome:
        contact = open_contact(self.floor, command.contact_id, command.etag)
        asked = contact.requirements if command.requirements is None else command.requirements
        priority = contact.priority if command.priority is None else command.priority
        changed = replace(contact, requirements=asked, priority=priority)
        if command.requirements is not None:
            require_names(self.floor, asked)
            changed.relaxation, changed.taken = (), 0
        changed.plan()
        require_class(self.floor, changed.alike)

        def change() -> Outcome:
            is_waiting = contact.state is ContactState.QUEUED
            if is_waiting:
                self.floor.leave(contact)
            contact.requirements, contact.priority = asked, priority
            contact.relaxation, contact.taken = changed.relaxation, changed.taken
            contact.plan()
            if command.routing_age_ms is not None:
                counts_to_ms = contact.age_counts_to_ms(self.floor.now_ms)
                contact.since_ms = counts_to_ms - command.routing_age_ms
            record_contact(self.floor, EffectKind.CONTACT_UPDATED, contact)
            if is_waiting:
                self.floor.join(contact)
                match_new(self.floor, contact)
            return Outcome(contact_id=contact.contact_id)

        outcome = call(self.floor, change)
        contact.attributes = merged(contact.attributes, command.attributes)
        return outcome

    def requeue(self, command: RequeueContact) -> Outcome:
        contact = open_contact(self.floor, command.contact_id, command.etag)
        queue = (
            named_queue(self.floor, command.queue_id)
            if command.queue_id
            else self.floor.queue_of(contact)
        )
        priority = contact.priority if command.priority is None else command.priority
        moved = replace(contact, queue_id=queue.queue_id, priority=priority)
        asks_anew = command.requirements is not None or bool(command.relaxation)
        if asks_anew:
            moved.requirements = command.requirements or contact.requirements
            moved.relaxation, moved.taken = command.relaxation, 0
            require_names(self.floor, moved.requirements, moved.relaxation)
        moved.plan()
        require_class(self.floor, moved.alike)
        outcome = call(self.floor, lambda: move(self.floor, contact, queue, moved))
        contact.attributes = merged(contact.attributes, command.attributes)
        return outcome

    def schedule(self, command: ScheduleContact) -> Outcome:
        contact = open_contact(self.floor, command.contact_id, command.etag)
        queue = named_queue(self.floor, command.queue_id or contact.queue_id)
        if closed_then(self.floor, queue, command.schedule):
            raise Refused(Refusal.INVALID_FIELD)
        check_times(self.floor, command.schedule)
        channel = command.channel or contact.channel
        require_class(self.floor, replace(contact, queue_id=queue.queue_id, channel=channel).alike)
        outcome = call(self.floor, lambda: put_off(self.floor, contact, queue, command))
        contact.attributes = merged(contact.attributes, command.attributes)
        return outcome

    def fail_attempt(self, command: FailAttempt) -> Outcome:
        contact = open_contact(self.floor, command.contact_id)
        agent = named_agent(self.floor, command.agent_id)

        def fail() -> Outcome:
            own(self.floor, contact, agent, Trigger.FAIL_ATTEMPT)
            return try_later(self.floor, contact, agent, command)

        return call(self.floor, fail)

    def consult(self, command: Consult) -> Outcome:
        contact = open_contact(self.floor, command.contact_id)
        known = self.floor.contacts.get(command.consult_id)
        if known is not None:
            if contact.consult is not known:
                raise Refused(Refusal.CONTACT_EXISTS)
            return where_it_stands(self.floor, known)._replace(already_known=True)
        check_consult(contact, named_agent(self.floor, command.agent_id))
        queue = named_queue(self.floor, command.queue_id or contact.queue_id)
        require_names(self.floor, command.requirements, command.relaxation)
        asked = consult_of(self.floor, contact, command, queue)
        require_class(self.floor, asked.alike)
        require_row(self.floor)
        return call(self.floor, lambda: ask(self.floor, contact, asked, queue))

    def complete_transfer(self, command: CompleteTransfer) -> Outcome:
        contact = open_contact(self.floor, command.contact_id)
        agent = named_agent(self.floor, command.agent_id)
        return call(self.floor, lambda: hand_over(self.floor, contact, agent))

    def cancel(self, command: CancelContact) -> Outcome:
        contact = open_contact(self.floor, command.contact_id)
        is_by_customer = command.reason is CancelReason.ABANDONED
        return call(self.floor, lambda: withdraw(self.floor, contact, is_by_customer))

    # Offers and assignments

    def accept(self, command: AcceptOffer) -> Outcome:
        agent = named_agent(self.floor, command.agent_id)

        def take() -> Outcome:
            contact = offered(self.floor, command.offer_id, agent)
            return Outcome(contact_id=contact.contact_id, wait_ms=assign(self.floor, contact))

        return call(self.floor, take)

    def decline(self, command: DeclineOffer) -> Outcome:
        agent = named_agent(self.floor, command.agent_id)

        def end_offer() -> Outcome:
            contact = offered(self.floor, command.offer_id, agent)
            why = command.reason or "declined"
            record_contact(self.floor, EffectKind.OFFER_DECLINED, contact, 0, why)
            fail_offer(self.floor, contact, "declined", command.retry_after_ms)
            agent.missed = 0
            match_returned(self.floor, contact)
            settle_agent(self.floor, agent)
            return Outcome(state=contact.state, contact_id=contact.contact_id)

        return call(self.floor, end_offer)

    def offer_contact(self, command: OfferContact) -> Outcome:
        contact = open_contact(self.floor, command.contact_id)
        agent = named_agent(self.floor, command.agent_id)
        return call(self.floor, lambda: pick(self.floor, contact, agent, command.ignores_capacity))

    def complete_assignment(self, command: CompleteAssignment) -> Outcome:
        contact = open_contact(self.floor, command.contact_id)
        agent = named_agent(self.floor, command.agent_id)
        return call(
            self.floor,
            lambda: end_handling(
                self.floor, own(self.floor, contact, agent, Trigger.COMPLETE), command.outcome
            ),
        )

    def end_wrap_up(self, command: EndWrapUp) -> Outcome:
        contact = open_contact(self.floor, command.contact_id)
        agent = named_agent(self.floor, command.agent_id)

        def end() -> Outcome:
            own(self.floor, contact, agent, Trigger.END_WRAP_UP)
            handle_ms = self.floor.now_ms - contact.accepted_ms - contact.interrupted_ms
            complete(self.floor, contact)
            settle_agent(self.floor, agent)
            return Outcome(contact_id=contact.contact_id, wait_ms=handle_ms)

        return call(self.floor, end)

    def release(self, command: ReleaseAssignment) -> Outcome:
        contact = open_contact(self.floor, command.contact_id)
        agent = named_agent(self.floor, command.agent_id)

        def give_back() -> Outcome:
            own(self.floor, contact, agent, Trigger.RELEASE)
            take_from_agent(self.floor, contact)
            agent.ends_contact(self.floor.now_ms)
            start_wait(self.floor, contact)
            pass_over(self.floor, contact, agent, 0)
            return_to_queue(self.floor, contact, "released")
            match_returned(self.floor, contact)
            settle_agent(self.floor, agent)
            return Outcome(state=contact.state, contact_id=contact.contact_id)

        return call(self.floor, give_back)
