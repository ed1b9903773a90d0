"""
The router again, slow and obvious: what `engine` must do, in plain Python.

It shares the vocabulary (commands, lifecycle, effects, limits) with the engine and nothing else.
The two are run side by side and must agree on every outcome, refusal, effect and view. Effects are
plain tuples with the fields of `engine.effects.Effect`.
"""

from collections.abc import Callable
from dataclasses import replace

from engine.commands import (
    AcceptOffer,
    CancelContact,
    CompleteAssignment,
    DeclineOffer,
    DeleteAgent,
    DeleteQueue,
    EndWrapUp,
    Expire,
    Heartbeat,
    Recover,
    ReleaseAssignment,
    RequeueContact,
    Route,
    SetIntake,
    SetPresence,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.effects import EffectKind
from engine.engine import Outcome
from engine.lifecycle import CancelReason, ContactState, Intake, Presence, Trigger
from engine.limits import NEVER_MS, SKILLS_MAX, TAGS_MAX, Limits
from engine.refusals import Refusal
from tests.engine.reference_floor import Floor, Refused, merged
from tests.engine.reference_moves import (
    complete,
    fail_offer,
    forget,
    match_new,
    match_returned,
    pass_over,
    record_agent,
    record_contact,
    record_queue,
    return_to_queue,
    start_wait,
    take_from_agent,
)
from tests.engine.reference_subjects import RefAgent, RefContact, RefQueue
from tests.engine.reference_time import (
    call,
    change_presence,
    forget_what_no_row_tells,
    look_at_backlog,
    next_deadline_ms,
    recover_floor,
    settle_agent,
)
from tests.engine.reference_transitions import (
    assign,
    check_etag,
    end_handling,
    move,
    named_agent,
    named_queue,
    offered,
    open_contact,
    own,
    redefine,
    require_class,
    require_names,
    take_in,
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
        if next_deadline_ms(self.floor) <= now_ms and not isinstance(command, Recover):
            call(self.floor, lambda: None)
        handlers: dict[type, Callable[..., Outcome]] = {
            Route: self.route,
            UpdateContact: self.update,
            RequeueContact: self.requeue,
            CancelContact: self.cancel,
            AcceptOffer: self.accept,
            DeclineOffer: self.decline,
            CompleteAssignment: self.complete_assignment,
            EndWrapUp: self.end_wrap_up,
            ReleaseAssignment: self.release,
            UpsertAgent: self.upsert_agent,
            DeleteAgent: self.delete_agent,
            SetPresence: self.set_presence,
            Heartbeat: self.heartbeat,
            UpsertQueue: self.upsert_queue,
            DeleteQueue: self.delete_queue,
            SetIntake: self.set_intake,
            Expire: lambda _: call(self.floor, Outcome),
            Recover: self.recover,
        }
        return handlers[type(command)](command)

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
        contact.plan()
        require_class(self.floor, contact.alike)
        contact.row = self.floor.contact_rows.take(self.floor.limits.contacts_max)
        self.floor.next_contact += 1
        return call(self.floor, lambda: take_in(self.floor, contact, queue))

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
                contact.since_ms = self.floor.now_ms - command.routing_age_ms
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
        moved.plan()
        require_class(self.floor, moved.alike)
        return call(self.floor, lambda: move(self.floor, contact, queue, priority))

    def cancel(self, command: CancelContact) -> Outcome:
        contact = open_contact(self.floor, command.contact_id)
        is_by_customer = command.reason is CancelReason.ABANDONED
        return call(self.floor, lambda: withdraw(self.floor, contact, is_by_customer))

    # Offers and assignments

    def accept(self, command: AcceptOffer) -> Outcome:
        agent = named_agent(self.floor, command.agent_id)
        return call(
            self.floor, lambda: assign(self.floor, offered(self.floor, command.offer_id, agent))
        )

    def decline(self, command: DeclineOffer) -> Outcome:
        agent = named_agent(self.floor, command.agent_id)

        def end_offer() -> Outcome:
            contact = offered(self.floor, command.offer_id, agent)
            fail_offer(
                self.floor, contact, EffectKind.OFFER_DECLINED, "declined", command.retry_after_ms
            )
            agent.missed = 0
            match_returned(self.floor, contact)
            settle_agent(self.floor, agent)
            return Outcome(state=contact.state, contact_id=contact.contact_id)

        return call(self.floor, end_offer)

    def complete_assignment(self, command: CompleteAssignment) -> Outcome:
        contact = open_contact(self.floor, command.contact_id)
        agent = named_agent(self.floor, command.agent_id)
        return call(
            self.floor,
            lambda: end_handling(self.floor, own(self.floor, contact, agent, Trigger.COMPLETE)),
        )

    def end_wrap_up(self, command: EndWrapUp) -> Outcome:
        contact = open_contact(self.floor, command.contact_id)
        agent = named_agent(self.floor, command.agent_id)

        def end() -> Outcome:
            own(self.floor, contact, agent, Trigger.END_WRAP_UP)
            handle_ms = self.floor.now_ms - contact.accepted_ms
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
            agent.idle_since_ms = self.floor.now_ms
            start_wait(self.floor, contact)
            pass_over(self.floor, contact, agent, 0)
            return_to_queue(self.floor, contact, "released")
            match_returned(self.floor, contact)
            settle_agent(self.floor, agent)
            return Outcome(state=contact.state, contact_id=contact.contact_id)

        return call(self.floor, give_back)

    # Agents

    def upsert_agent(self, command: UpsertAgent) -> Outcome:
        agent = self.floor.agents.get(command.agent_id)
        check_etag(command.etag, agent.version if agent else 0)
        for queue_id in command.queue_ids:
            named_queue(self.floor, queue_id)
        asked = self.floor.asked
        skills = self.floor.skills | {item.skill for item in command.skills if item.proficiency}
        skills |= {item.skill for one in asked for item in one.skills}
        skills |= {item.skill for one in asked for item in one.preferred_skills}
        tags = self.floor.tags | set(command.tags)
        tags |= {tag for one in asked for tag in one.tags + one.tags_any + one.tags_none}
        if len(skills) > SKILLS_MAX or len(tags) > TAGS_MAX:
            raise Refused(Refusal.LIMIT_REACHED)
        if agent is None:
            row = self.floor.agent_rows.take(self.floor.limits.agents_max)
            agent = RefAgent(command, row, self.floor.now_ms, self.floor.now_ms)
            self.floor.agents[command.agent_id] = agent
        agent.definition = command
        agent.version += 1
        return call(self.floor, lambda: redefine(self.floor, agent))

    def delete_agent(self, command: DeleteAgent) -> Outcome:
        agent = named_agent(self.floor, command.agent_id)
        check_etag(command.etag, agent.version)
        if agent.held:
            raise Refused(Refusal.AGENT_HOLDS_CONTACTS)

        def remove() -> Outcome:
            record_agent(self.floor, EffectKind.AGENT_DELETED, agent)
            del self.floor.agents[agent.agent_id]
            self.floor.agent_rows.retire(agent.row)
            return Outcome(agent_id=agent.agent_id)

        outcome = call(self.floor, remove)
        for contact in self.floor.contacts.values():
            if contact.agent_id == agent.agent_id:
                contact.agent_id = ""
            for entry in contact.passed_over:
                if entry.agent_id == agent.agent_id:
                    entry.agent_id, entry.until_ms = "", 0
        return outcome

    def set_presence(self, command: SetPresence) -> Outcome:
        agent = named_agent(self.floor, command.agent_id)

        def set_it() -> Outcome:
            is_handling = any(one.state is not ContactState.OFFERED for one in agent.held)
            if command.presence is Presence.OFFLINE and is_handling:
                raise Refused(Refusal.AGENT_HOLDS_CONTACTS)
            if (agent.presence, agent.reason) != (command.presence, command.reason):
                change_presence(self.floor, agent, command.presence, command.reason)
                settle_agent(self.floor, agent)
            return Outcome(state=agent.presence, agent_id=agent.agent_id, count=len(agent.held))

        return call(self.floor, set_it)

    def heartbeat(self, command: Heartbeat) -> Outcome:
        agent = self.floor.agents.get(command.agent_id)
        if agent is None:
            return Outcome(agent_id=command.agent_id)

        def renew() -> Outcome:
            if agent.is_leased:
                agent.lease_until_ms = self.floor.now_ms + agent.definition.lease_ms
            return Outcome(agent_id=agent.agent_id, count=int(agent.is_leased))

        return call(self.floor, renew)

    # Queues

    def upsert_queue(self, command: UpsertQueue) -> Outcome:
        queue = self.floor.queues.get(command.queue_id)
        check_etag(command.etag, queue.version if queue else 0)
        if queue is None:
            queue = RefQueue(command, self.floor.queue_rows.take(self.floor.limits.queues_max))
            self.floor.queues[command.queue_id] = queue
        queue.definition = command
        queue.version += 1

        def redefine() -> Outcome:
            record_queue(self.floor, EffectKind.QUEUE_UPSERTED, command.queue_id, 0)
            return Outcome(queue_id=command.queue_id)

        return call(self.floor, redefine)

    def delete_queue(self, command: DeleteQueue) -> Outcome:
        queue = named_queue(self.floor, command.queue_id)
        check_etag(command.etag, queue.version)
        own = [one for one in self.floor.contacts.values() if one.queue_id == queue.queue_id]
        if any(contact.is_open for contact in own):
            raise Refused(Refusal.QUEUE_HOLDS_CONTACTS)
        if any(
            queue.queue_id in agent.definition.queue_ids for agent in self.floor.agents.values()
        ):
            raise Refused(Refusal.QUEUE_HAS_AGENTS)

        def remove() -> Outcome:
            record_queue(self.floor, EffectKind.QUEUE_DELETED, queue.queue_id, 0)
            return Outcome(queue_id=queue.queue_id)

        outcome = call(self.floor, remove)
        for contact in list(self.floor.ended):
            if contact.queue_id == queue.queue_id:
                forget(self.floor, contact)
        del self.floor.queues[queue.queue_id]
        self.floor.queue_rows.retire(queue.row)
        return outcome

    def set_intake(self, command: SetIntake) -> Outcome:
        queue = named_queue(self.floor, command.queue_id)

        def set_it() -> Outcome:
            was_paused = queue.intake is Intake.PAUSED
            queue.intake = command.intake
            record_queue(
                self.floor, EffectKind.QUEUE_INTAKE_CHANGED, queue.queue_id, int(command.intake)
            )
            if was_paused and command.intake is not Intake.PAUSED:
                look_at_backlog(self.floor, queue)
            return Outcome(queue_id=queue.queue_id)

        return call(self.floor, set_it)
