"""Engine and reference side by side: the same commands, and every difference between them."""

import math
from collections.abc import Iterable

import numpy as np

from engine.commands import Command, Recover, Route
from engine.engine import Engine, Outcome
from engine.lifecycle import RejectionReason
from engine.limits import NEVER_MS, Limits
from engine.refusals import CommandRefused, Refusal
from engine.state.policies import KeptPolicy
from engine.state.rows import RowDelta, RowTable
from tests.engine.reference import Reference
from tests.engine.reference_floor import Floor, Refused
from tests.engine.reference_subjects import RefAgent, RefContact, RefPolicy, RefQueue
from tests.engine.reference_time import next_due_ms
from tests.engine.tracing import LifeTracer

# A view with external ids, by field.
View = dict[str, object]


class Pair:
    """
    An engine and the reference, given the same commands.

    Attributes
    ----------
    rows
        Durable rows as a commit log would hold them, by table and row.
    tracer
        Contacts' lives as the effects of sealed groups tell them.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.engine = Engine(self.limits)
        self.reference = Reference(self.limits)
        self.rows: dict[tuple[int, int], RowDelta] = {}
        self.tracer = LifeTracer()

    def apply(self, command: Command, now_ms: int) -> Outcome | Refusal:
        """Run a command on both; they must agree on outcome or refusal and on the next deadline."""
        ours = _apply_engine(self.engine, command, now_ms)
        theirs = _apply_reference(self.reference, command, now_ms)
        assert ours == theirs, (command, now_ms)
        deadlines = self.engine.next_deadline_ms(), next_due_ms(self.reference.floor)
        assert deadlines[0] == deadlines[1], (command, now_ms)
        return ours

    def seal(self) -> list[tuple[int | str, ...]]:
        """Seal the open group on both; they must agree on its effects. Rows go to the log."""
        group = self.engine.take_group()
        expected = self.reference.take_effects()
        assert group.effects == expected
        self.tracer.follow(group.effects)
        for contact in self.reference.floor.contacts.values():
            assert self.tracer.states[contact.contact_id] is contact.state
        for delta in group.row_deltas:
            key = (int(delta.table), delta.row)
            if delta.record is None:
                self.rows.pop(key, None)
            elif delta.payload is None and key in self.rows:
                assert self.rows[key].external_id == delta.external_id
                self.rows[key] = delta._replace(payload=self.rows[key].payload)
            else:
                self.rows[key] = delta
        return group.effects

    def load(self) -> Engine:
        """
        A fresh engine with the rows of the log, which must hold what this one holds.

        The open group must have been sealed.
        """
        again = Engine(self.limits)
        again.load(list(self.rows.values()))
        assert every_row(again) == every_row(self.engine) == lasting(self.rows.values())
        for contact_id in self.reference.floor.contacts:
            view = contact_view(self.engine, contact_id, self.engine.now_ms())
            assert contact_view(again, contact_id, self.engine.now_ms()) == view
        return again

    def recover(self, now_ms: int) -> None:
        """
        Recover here and on a fresh engine with the same rows: the same must follow.

        From then on the fresh one is compared with the reference.
        """
        self.seal()
        again = self.load()
        self.reference.forget_what_no_row_tells()
        self.apply(Recover(), now_ms)
        again.apply(Recover(), now_ms)
        assert again.take_group().effects == self.seal()
        assert every_row(again) == every_row(self.engine)
        self.engine = again

    def compare(self) -> None:
        """Every view of every contact, agent and queue must be the same."""
        floor = self.reference.floor
        read = self.engine.read
        assert set(read.queue_ids()) == set(floor.queues)
        assert set(read.agent_ids("", ())) == set(floor.agents)
        for queue in floor.queues.values():
            assert queue_view(self.engine, queue.queue_id) == _reference_queue(floor, queue)
        for agent in floor.agents.values():
            assert agent_view(self.engine, agent.agent_id) == _reference_agent(floor, agent)
        for contact in floor.contacts.values():
            ours = contact_view(self.engine, contact.contact_id, floor.now_ms)
            assert ours == _reference_contact(floor, contact)
        assert _policies(self.engine) == floor.policies
        overrides = self.engine.cell.policies.overrides()
        said = {(item.policy, item.queue_id): (item.what, item.until_ms) for item in overrides}
        assert said == floor.overrides

    def compare_positions(self) -> None:
        """Every place told to a second Route must be the same; it changes nothing."""
        now_ms = self.reference.floor.now_ms
        for contact in list(self.reference.floor.contacts.values()):
            self.apply(Route(contact.contact_id, "any", contact.channel), now_ms)


def _policies(engine: Engine) -> dict[str, RefPolicy]:
    """Every policy, as the reference keeps it."""
    rows = engine.cell.policies
    return {name: _policy(kept) for name in rows.names() if (kept := rows.find(name)) is not None}


def _policy(kept: KeptPolicy) -> RefPolicy:
    head, rollout = kept.head, kept.head.rollout
    return RefPolicy(
        etag=kept.etag,
        draft=None if head.draft is None else head.draft.text,
        texts=[version.text for version in kept.versions.values()],
        active=rollout.active,
        trial=rollout.trial,
        trial_does=(rollout.trial_stage, rollout.canary_share),
        previous=rollout.previous,
    )


def _apply_engine(engine: Engine, command: Command, now_ms: int) -> Outcome | Refusal:
    try:
        # The reference keeps no decisions.
        return engine.apply(command, now_ms)._replace(decision=0)
    except CommandRefused as refused:
        return refused.reason


def _apply_reference(reference: Reference, command: Command, now_ms: int) -> Outcome | Refusal:
    try:
        return reference.apply(command, now_ms)
    except Refused as refused:
        return refused.reason


def every_row(engine: Engine) -> dict[tuple[int, int], RowDelta]:
    """Every row of a cell whose group has been sealed, as the log would keep it."""
    engine.cell.mark_all()
    return lasting(engine.take_group().row_deltas)


def lasting(deltas: Iterable[RowDelta]) -> dict[tuple[int, int], RowDelta]:
    """Rows by table and row, without what a restart need not keep: the time, and heartbeats."""
    rows = {}
    for delta in deltas:
        assert delta.record is not None
        record = np.frombuffer(delta.record, np.int64).copy()
        if delta.table is RowTable.CELL:
            record[0] = 0
        if delta.table is RowTable.AGENT:
            record[6] = 0
        rows[int(delta.table), delta.row] = delta._replace(record=record.tobytes())
    # Nothing is written of a cell that holds nothing.
    return rows if len(rows) > 1 else {}


def contact_view(engine: Engine, contact_id: str, now_ms: int) -> View:
    """A contact's view, rows replaced by ids."""
    view = engine.read.contact(contact_id, now_ms)
    agents = engine.cell.agents.slots.ids
    return {
        "etag": view.etag,
        "state": view.state,
        "queue_id": engine.cell.queues.slots.ids[view.queue_row],
        "channel": view.channel,
        "priority": view.priority,
        "requirements": view.requirements,
        "attributes": view.attributes,
        "received_ms": view.received_at_ms,
        "routing_age_ms": view.routing_age_ms,
        "wait_ms": view.wait_ms,
        "agent_id": agents[view.agent_row] if view.agent_row >= 0 else "",
        "offer_id": view.offer_id,
        "offer_expires_ms": view.offer_expires_at_ms,
        "offers": [(offer_id, agents[row]) for offer_id, row in view.offers],
        "accepted_ms": view.accepted_at_ms,
        "ended_ms": view.ended_at_ms,
        "rejection": view.rejection_reason,
        "offers_failed": view.offers_failed,
        "expires_ms": view.expires_at_ms,
        "relaxation": view.relaxation,
        "taken": view.relaxation_steps_taken,
        "schedule": tuple(view.schedule),
        "attempts": view.attempts,
        "consult": view.consult_id,
        "consults_for": view.consults_for_id,
        "past_agents": [agents[row] for row in view.past_agent_rows],
        "interrupted_ms": view.interrupted_ms,
        "steered": (view.choice, view.diversion, view.hops, view.continues_contact_id),
    }


def _reference_contact(floor: Floor, contact: RefContact) -> View:
    is_waiting = contact.state.name in ("QUEUED", "OFFERED")
    is_scheduled = contact.state.name == "SCHEDULED"
    counts_to_ms = contact.age_counts_to_ms(floor.now_ms)
    return {
        "etag": str(contact.version),
        "state": contact.state,
        "queue_id": contact.queue_id,
        "channel": contact.channel,
        "priority": contact.priority,
        "requirements": contact.requirements,
        "attributes": contact.attributes,
        "received_ms": contact.received_ms,
        "routing_age_ms": counts_to_ms - contact.since_ms if contact.is_open else 0,
        "wait_ms": (contact.accepted_ms or contact.ended_ms or counts_to_ms) - contact.queued_ms,
        "agent_id": contact.agent_id,
        "offer_id": contact.offer_id,
        "offer_expires_ms": contact.until_ms if contact.offer else 0,
        "offers": [
            *([(contact.offer_id, contact.agent_id)] if contact.offer else []),
            *((f"o{one.sequence:x}.{contact.row:x}", one.agent_id) for one in contact.others),
        ],
        "accepted_ms": contact.accepted_ms,
        "ended_ms": contact.ended_ms,
        "rejection": contact.rejection,
        "offers_failed": contact.offers_failed,
        "expires_ms": contact.expires_ms if is_waiting and contact.expires_ms < NEVER_MS else 0,
        "relaxation": contact.relaxation,
        "taken": contact.taken,
        "schedule": (
            contact.until_ms if is_scheduled else 0,
            contact.window_ms,
            contact.attempts_max,
            contact.retry_ms,
        ),
        "attempts": contact.attempts,
        "consult": contact.consult.contact_id if contact.consult else "",
        "consults_for": contact.consults_for.contact_id if contact.consults_for else "",
        "past_agents": [one for one in contact.past_agents if one],
        "interrupted_ms": contact.interrupted_ms
        + (floor.now_ms - contact.put_aside_ms if contact.state.name == "INTERRUPTED" else 0),
        "steered": (
            contact.choice,
            contact.diversion,
            contact.hops,
            contact.continues_contact_id,
        ),
    }


def agent_view(engine: Engine, agent_id: str) -> View:
    """An agent's view, rows replaced by ids."""
    view = engine.read.agent(agent_id)
    contacts = engine.cell.contacts.slots.ids
    return {
        "definition": view.definition,
        "presence": view.presence,
        "reason": view.presence_reason,
        "presence_since_ms": view.presence_since_ms,
        "used": view.capacity_used,
        "contact_ids": sorted(contacts[row] for row in view.contact_rows),
        "idle_since_ms": view.idle_since_ms,
        "missed": view.missed_offers,
        "lease_until_ms": view.lease_until_ms,
        "occupancy": view.occupancy,
        "rests_until_ms": view.rests_until_ms,
        "learned": learned_rows(engine, agent_id),
    }


def learned_rows(engine: Engine, agent_id: str) -> list[tuple[int, ...]]:
    """What was learned of an agent, place by place, queues as rows."""
    row = engine.cell.agent_row(agent_id)
    columns = engine.cell.store.columns.estimates
    places = np.stack([column[row] for column in columns[:5]], axis=1)
    return [tuple(place) for place in places.tolist()]


def _reference_agent(floor: Floor, agent: RefAgent) -> View:
    row_of = {"": -1} | {queue.queue_id: queue.row for queue in floor.queues.values()}
    return {
        "definition": agent.definition._replace(etag=str(agent.version)),
        "presence": agent.presence,
        "reason": agent.reason,
        "presence_since_ms": agent.presence_since_ms,
        "used": agent.used,
        "contact_ids": sorted(contact.contact_id for contact in agent.hands),
        "idle_since_ms": agent.idle_since_ms,
        "missed": agent.missed,
        "lease_until_ms": agent.lease_until_ms if agent.definition.lease_ms else 0,
        "occupancy": math.floor(agent.occupancy(floor.now_ms) * 1e9 + 0.5) / 1e9,
        "rests_until_ms": agent.rests_until_ms,
        "learned": [
            (row_of[item.queue_id], item.handled, item.handle_ms, item.rated, item.outcome)
            for item in agent.learned
        ],
    }


def queue_view(engine: Engine, queue_id: str) -> View:
    """A queue's view and live state."""
    view = engine.read.queue(queue_id)
    snapshot = engine.read.snapshot(queue_id, engine.now_ms())
    return {
        "definition": view.definition,
        "intake": view.intake,
        "is_open": view.is_open,
        "waiting": snapshot.waiting,
        "offered": snapshot.offered,
        "assigned": snapshot.assigned,
        "wrapping_up": snapshot.wrapping_up,
        "scheduled": snapshot.scheduled,
        "interrupted": snapshot.interrupted,
        "diverted": snapshot.diverted,
        "oldest_wait_ms": snapshot.oldest_wait_ms,
        "agents_free": snapshot.agents_free,
        "agents_signed_in": snapshot.agents_signed_in,
        "totals": snapshot.totals.tolist(),
        "window_totals": snapshot.window_totals.tolist(),
    }


def _reference_queue(floor: Floor, queue: RefQueue) -> View:
    contacts = [one for one in floor.contacts.values() if one.queue_id == queue.queue_id]
    heads = [alike[0] for alike in floor.waiting.values() if alike[0].queue_id == queue.queue_id]
    members = [
        agent for agent in floor.agents.values() if queue.queue_id in agent.definition.queue_ids
    ]
    count_of = {
        name: sum(contact.state.name == name for contact in contacts)
        for name in (
            "QUEUED", "OFFERED", "ASSIGNED", "WRAP_UP", "SCHEDULED", "INTERRUPTED", "DIVERTED",
        )
    }  # fmt: skip
    channels = range(1, 9)
    return {
        "definition": queue.definition._replace(etag=str(queue.version)),
        "intake": queue.intake,
        "is_open": queue.closed_for is RejectionReason.NONE,
        "waiting": count_of["QUEUED"],
        "offered": count_of["OFFERED"],
        "assigned": count_of["ASSIGNED"],
        "wrapping_up": count_of["WRAP_UP"],
        "scheduled": count_of["SCHEDULED"],
        "interrupted": count_of["INTERRUPTED"],
        "diverted": count_of["DIVERTED"],
        "oldest_wait_ms": max((floor.now_ms - head.queued_ms for head in heads), default=0),
        "agents_free": sum(any(map(agent.has_room, channels)) for agent in members),  # type: ignore[arg-type]
        "agents_signed_in": sum(agent.presence.name != "OFFLINE" for agent in members),
        "totals": queue.totals,
        "window_totals": queue.window_totals,
    }
