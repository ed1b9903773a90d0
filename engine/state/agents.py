"""Agents: ids, definitions, their columns and the sets they are in."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import orjson

from engine.commands import UpsertAgent
from engine.definitions import AgentSkill, ChannelCapacity
from engine.effects import FIRST_TEXT_REASON, EffectColumn, Reason
from engine.encoding import kept_json
from engine.kernels.columns import (
    COMPLETED,
    EFFECT_COUNT,
    HANDLE_MS_SUM,
    LEVELS,
    OUTCOME_SUM,
    RATED,
)
from engine.kernels.requests import IN_AGENT, IN_OPERATION, OUT_OCCUPANCY_PPB, Operation
from engine.lifecycle import AgentKind, Channel, Presence
from engine.limits import CAPACITY_MAX, ESTIMATE_PRIOR
from engine.state.lending import Lending
from engine.state.names import Names
from engine.state.slots import Slots, Vocabulary, set_member
from engine.state.store import Store

# Texts of presence reasons at which those no longer needed are first looked for.
_REASONS_SWEPT_AT: Final = 1_024


class QueueEstimate(NamedTuple):
    """
    What was learned of an agent in one queue, as it is used: shrunk towards the queue's mean.

    Attributes
    ----------
    queue_row
        The queue.
    handled
        Contacts that count; 0 to ESTIMATE_MEMORY.
    handle_time_ms
        Estimated handling time with wrap-up; 0 where nothing is known.
    rated
        Outcomes that count; 0 to ESTIMATE_MEMORY.
    outcome
        Estimated mean outcome, 0 to 1; NaN where nothing is known.
    """

    queue_row: int
    handled: int
    handle_time_ms: int
    rated: int
    outcome: float


@dataclass(frozen=True, slots=True)
class AgentView:
    """
    An agent as it stands.

    `definition.etag` is the present etag; times are milliseconds since the Unix epoch.
    """

    definition: UpsertAgent
    presence: Presence
    presence_reason: str
    presence_since_ms: int
    capacity_used: int
    contact_rows: tuple[int, ...]
    idle_since_ms: int
    missed_offers: int
    lease_until_ms: int
    occupancy: float
    rests_until_ms: int
    estimates: tuple[QueueEstimate, ...]


class AgentRows:
    """Rows of agents by id, with their definitions and presence reasons."""

    def __init__(self, store: Store, names: Names, slots: Slots) -> None:
        self._store = store
        self._names = names
        self.slots = slots
        self.reasons = Vocabulary()
        self._reasons_swept_at = _REASONS_SWEPT_AT
        # Definition and presence reason as JSON, by row.
        self.payloads: list[bytes] = []
        # Rows whose payload the open commit group must write.
        self.payload_is_new: set[int] = set()
        self._lending = Lending(store, names)
        # Counts changes of who serves what, so that a reader sees whether to read again.
        self.changes = 0

    def write(self, row: int, command: UpsertAgent, queue_rows: Iterable[int]) -> None:
        """
        Write a definition into its row and sets; room for its names was made before.

        Matches nothing.
        """
        self._leave_sets(row)
        columns = self._store.columns
        agents, bitsets = columns.agents, columns.bitsets
        agents.kind[row] = command.kind
        agents.capacity[row] = command.capacity
        agents.auto_accept[row] = command.auto_accept
        agents.occupancy_max[row] = command.occupancy_max
        agents.rest_ms[row] = command.rest_ms
        agents.missed_max[row] = max(command.missed_offers_max, 0)
        agents.lease_ms[row] = command.lease_ms
        held = sum(skill.proficiency > 0 for skill in command.skills)
        agents.versatility[row] = 1.0 - 1.0 / max(1, len(command.queue_ids) + held)
        for channel in Channel:
            agents.channel_cost[row, channel] = 0 if command.channels else 1
            agents.channel_max[row, channel] = CAPACITY_MAX
            agents.interrupted_by[row, channel] = agents.depth[row, channel] = 0
        agents.interruptors[row] = 0
        for item in command.channels:
            agents.channel_cost[row, item.channel] = item.cost
            agents.channel_max[row, item.channel] = item.contacts_max or CAPACITY_MAX
            interruptors = sum(1 << channel for channel in item.interrupted_by)
            agents.interrupted_by[row, item.channel] = interruptors
            agents.interruptors[row] |= interruptors
            agents.depth[row, item.channel] = _depth_of(item.channel, command.channels)
        served = set(queue_rows)
        for queue_row in served:
            set_member(bitsets.queue_agents[queue_row], row)
            set_member(bitsets.agent_queues[row], queue_row)
        for skill in command.skills:
            if skill.proficiency == 0:
                continue
            number = self._names.skills.intern(skill.skill)
            agents.proficiency[row, number] = skill.proficiency
            for level in range(skill.proficiency):
                set_member(bitsets.skill_agents[number * LEVELS + level], row)
        for tag in command.tags:
            set_member(bitsets.tag_agents[self._names.tags.intern(tag)], row)
        self._lending.joined(row, command.tags, served)
        self._write_payload(row, command)

    def lend(self, queue_row: int, tag: str) -> list[int]:
        """
        Have the agents who carry a tag serve a queue that is not theirs, until they are recalled.

        Returns the rows of those who do now; matches nothing.
        """
        self.changes += 1
        return self._lending.open(queue_row, tag)

    def recall(self, queue_row: int, tag: str) -> None:
        """Have them serve it no more; what they hold they keep."""
        self.changes += 1
        self._lending.close(queue_row, tag)

    @property
    def lent(self) -> set[tuple[int, str]]:
        """Rows of queues and the tags whose agents are lent to them."""
        return self._lending.opened

    def are_named(self, queue_row: int) -> bool:
        """Whether the definition of any agent names a queue."""
        members = int(np.bitwise_count(self._store.columns.bitsets.queue_agents[queue_row]).sum())
        return members > self._lending.lent_to(queue_row)

    def clear(self, row: int, now_ms: int) -> None:
        """Make a row ready for a new agent, offline."""
        agents = self._store.columns.agents
        agents.presence[row] = Presence.OFFLINE
        agents.presence_reason[row] = Reason.NONE
        agents.presence_since_ms[row] = now_ms
        agents.idle_since_ms[row] = now_ms
        agents.last_offer[row] = 0
        agents.missed[row] = 0
        agents.lease_until_ms[row] = 0
        agents.occupancy_ppb[row] = 0
        agents.rests_until_ms[row] = 0
        agents.occupancy_ms[row] = now_ms
        agents.version[row] = 0

    def remove(self, row: int) -> None:
        """Take an agent out of every set and end its id's claim on the row."""
        self._leave_sets(row)
        self._store.columns.agents.presence[row] = Presence.NONE
        self.slots.retire(row)

    def reason_code(self, text: str) -> int:
        """Code of a client's presence reason; codes nobody refers to any more are given anew."""
        if not text:
            return int(Reason.NONE)
        if self.reasons.number_of(text) < 0 and len(self.reasons) >= self._reasons_swept_at:
            self._sweep_reasons()
        return FIRST_TEXT_REASON + self.reasons.intern(text)

    def _sweep_reasons(self) -> None:
        """Free the texts that no agent has and no effect of the open group tells of."""
        columns = self._store.columns
        count = self._store.scalar[EFFECT_COUNT]
        codes = {
            *columns.agents.presence_reason.tolist(),
            *columns.cell.effects[:count, EffectColumn.REASON].tolist(),
        }
        self.reasons.keep_only({code - FIRST_TEXT_REASON for code in codes})
        self._reasons_swept_at = max(_REASONS_SWEPT_AT, 2 * len(self.reasons))

    def reason_text(self, code: int) -> str:
        """Word or text of a reason code."""
        if code >= FIRST_TEXT_REASON:
            return self.reasons.names[code - FIRST_TEXT_REASON]
        return Reason(code).name.lower() if code else ""

    def keep_reason(self, row: int) -> None:
        """Bring the payload's reason text in line with the row, so that it outlives a restart."""
        self._write_payload(row, self.definition(row))

    def keep_payload(self, row: int, payload: bytes) -> None:
        """Keep a payload as it was loaded."""
        self.payloads[row] = payload

    def definition(self, row: int) -> UpsertAgent:
        """Definition with the present etag."""
        definition, _ = definition_of(self.payloads[row])
        return definition._replace(etag=str(self._store.columns.agents.version[row]))

    def view(self, row: int) -> AgentView:
        """The agent as it stands."""
        columns = self._store.columns
        agents = columns.agents
        held = []
        contact = int(agents.first_contact[row])
        while contact >= 0:
            held.append(contact)
            contact = int(columns.contacts.agent_following[contact])
        offer = int(agents.first_offer[row])
        while offer >= 0:
            held.append(int(columns.offers.contact[offer]))
            offer = int(columns.offers.agent_following[offer])
        return AgentView(
            definition=self.definition(row),
            presence=Presence(int(agents.presence[row])),
            presence_reason=self.reason_text(int(agents.presence_reason[row])),
            presence_since_ms=int(agents.presence_since_ms[row]),
            capacity_used=int(agents.used[row]),
            contact_rows=tuple(sorted(held)),
            idle_since_ms=int(agents.idle_since_ms[row]),
            missed_offers=int(agents.missed[row]),
            lease_until_ms=int(agents.lease_until_ms[row]) if agents.lease_ms[row] else 0,
            occupancy=self._occupancy(row),
            rests_until_ms=int(agents.rests_until_ms[row]),
            estimates=self._estimates(row),
        )

    def _occupancy(self, row: int) -> float:
        """Occupancy as of the last command."""
        self._store.request[IN_OPERATION] = Operation.READ_AGENT
        self._store.request[IN_AGENT] = row
        self._store.run()
        return self._store.outcome[OUT_OCCUPANCY_PPB] / 1e9

    def _estimates(self, row: int) -> tuple[QueueEstimate, ...]:
        """What was learned of an agent, in the order of its queues' rows."""
        columns = self._store.columns
        learned = columns.estimates
        found = []
        for place in np.argsort(learned.queue[row], kind="stable").tolist():
            queue_row = int(learned.queue[row, place])
            if queue_row < 0:
                continue
            totals = columns.queues.totals[queue_row].tolist()
            handled, rated = int(learned.handled[row, place]), int(learned.rated[row, place])
            usual_ms = totals[HANDLE_MS_SUM] / max(totals[COMPLETED], 1)
            usual = totals[OUTCOME_SUM] / max(totals[RATED], 1)
            handle_ms = _shrunk(int(learned.handle_ms[row, place]), handled, usual_ms)
            outcome = _shrunk(int(learned.outcome[row, place]), rated, usual)
            found.append(
                QueueEstimate(
                    queue_row,
                    handled,
                    round(handle_ms) if handled else 0,
                    rated,
                    outcome / 1_000 if rated else math.nan,
                )
            )
        return tuple(found)

    def _write_payload(self, row: int, command: UpsertAgent) -> None:
        if len(self.payloads) <= row:
            self.payloads.extend([b""] * (row + 1 - len(self.payloads)))
        code = int(self._store.columns.agents.presence_reason[row])
        text = self.reason_text(code) if code >= FIRST_TEXT_REASON else ""
        self.payloads[row] = _payload_of(command, text)
        self.payload_is_new.add(row)

    def _leave_sets(self, row: int) -> None:
        self._names.agents_changed()
        self.changes += 1
        columns = self._store.columns
        bitsets = columns.bitsets
        columns.agents.proficiency[row] = 0
        bitsets.agent_queues[row] = 0
        for bits in (bitsets.queue_agents, bitsets.skill_agents, bitsets.tag_agents):
            members = bits[:, row >> 6]
            members &= ~np.uint64(1 << (row & 63))
        self._lending.left(row)


def _depth_of(channel: Channel, channels: tuple[ChannelCapacity, ...]) -> int:
    """How many channels, one after the other, may interrupt those of a channel; none leads back."""
    interruptors = next((item.interrupted_by for item in channels if item.channel == channel), ())
    return max((1 + _depth_of(other, channels) for other in interruptors), default=0)


def _shrunk(mean: float, count: int, usual: float) -> float:
    """A mean of `count` values with ESTIMATE_PRIOR usual ones."""
    return (count * mean + ESTIMATE_PRIOR * usual) / (count + ESTIMATE_PRIOR)


def _payload_of(command: UpsertAgent, reason: str) -> bytes:
    return kept_json(
        {
            "agent_id": command.agent_id,
            "kind": command.kind,
            "queue_ids": command.queue_ids,
            "skills": [list(skill) for skill in command.skills],
            "tags": command.tags,
            "capacity": command.capacity,
            "channels": [list(channel) for channel in command.channels],
            "missed_offers_max": command.missed_offers_max,
            "lease_ms": command.lease_ms,
            "auto_accept": command.auto_accept,
            "occupancy_max": command.occupancy_max,
            "rest_ms": command.rest_ms,
            "presence_reason": reason,
        }
    )


def definition_of(payload: bytes) -> tuple[UpsertAgent, str]:
    """Definition, without etag, and presence reason from their JSON."""
    fields = orjson.loads(payload)
    reason = fields.pop("presence_reason")
    fields["kind"] = AgentKind(fields["kind"])
    fields["queue_ids"] = tuple(fields["queue_ids"])
    fields["skills"] = tuple(AgentSkill(*item) for item in fields["skills"])
    fields["tags"] = tuple(fields["tags"])
    fields["channels"] = tuple(
        ChannelCapacity(
            Channel(channel), cost, contacts_max, *(tuple(map(Channel, item)) for item in more)
        )
        for channel, cost, contacts_max, *more in fields["channels"]
    )
    return UpsertAgent(**fields), reason
