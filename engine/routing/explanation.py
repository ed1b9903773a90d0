"""
Why an agent can be offered a contact, or cannot: the rules of `engine.kernels.eligibility` again,
one agent at a time, with every reason named.
"""

from typing import Final

from engine.commands import Requirements
from engine.kernels.columns import LEVELS, NOW_MS
from engine.kernels.eligibility import EVERYONE
from engine.kernels.requests import IN_CONTACT, OUT_ELIGIBLE, OUT_REFUSED, Operation
from engine.lifecycle import Presence, RefusalReason
from engine.limits import EXCLUSIONS_MAX
from engine.state.cell import CellState

_WORKING: Final = (Presence.AVAILABLE, Presence.BUSY, Presence.AWAY)


def refusals_now(cell: CellState, contact_row: int) -> tuple[dict[RefusalReason, int], int]:
    """Agents of a waiting contact's queue by first reason, and how many can be offered it."""
    cell.run_on(Operation.READ_REFUSALS, IN_CONTACT, contact_row)
    out = cell.store.outcome
    counts = {reason: out[OUT_REFUSED + reason] for reason in RefusalReason}
    return {reason: count for reason, count in counts.items() if count}, out[OUT_ELIGIBLE]


def reasons_against(cell: CellState, contact_row: int, agent_row: int) -> list[RefusalReason]:
    """Everything that keeps an agent from being offered a contact now; in order, may be nothing."""
    columns = cell.store.columns
    agents, contacts = columns.agents, columns.contacts
    asked = cell.classes.requirements_of(int(contacts.class_row[contact_row]))
    presence = Presence(int(agents.presence[agent_row]))
    queue_row = int(contacts.queue[contact_row])
    checks = {
        RefusalReason.NOT_IN_QUEUE: _has(columns.bitsets.queue_agents[queue_row], agent_row),
        RefusalReason.NOT_SIGNED_IN: presence in _WORKING,
        RefusalReason.NOT_AVAILABLE: presence not in (Presence.BUSY, Presence.AWAY),
        RefusalReason.LACKS_SKILL: _has_skills(cell, agent_row, asked),
        RefusalReason.LACKS_TAG: _has_tags(cell, agent_row, asked),
        RefusalReason.HAS_EXCLUDED_TAG: not any(
            _carries(cell, agent_row, tag) for tag in asked.tags_none
        ),
        RefusalReason.NOT_NAMED: not asked.agent_ids
        or cell.agents.slots.ids[agent_row] in asked.agent_ids,
        RefusalReason.NO_ROOM: _has_room(cell, agent_row, int(contacts.channel[contact_row])),
        RefusalReason.RECENTLY_FAILED: not _is_passed_over(cell, contact_row, agent_row),
    }
    return [reason for reason, is_met in checks.items() if not is_met]


def _has_skills(cell: CellState, agent_row: int, asked: Requirements) -> bool:
    skill_agents = cell.store.columns.bitsets.skill_agents
    return all(
        _has(
            skill_agents[
                cell.names.skills.number_of(item.skill) * LEVELS + item.proficiency_min - 1
            ],
            agent_row,
        )
        for item in asked.skills
    )


def _has_tags(cell: CellState, agent_row: int, asked: Requirements) -> bool:
    return all(_carries(cell, agent_row, tag) for tag in asked.tags) and (
        not asked.tags_any or any(_carries(cell, agent_row, tag) for tag in asked.tags_any)
    )


def _carries(cell: CellState, agent_row: int, tag: str) -> bool:
    number = cell.names.tags.number_of(tag)
    return number >= 0 and _has(cell.store.columns.bitsets.tag_agents[number], agent_row)


def _has_room(cell: CellState, agent_row: int, channel: int) -> bool:
    """Whether there is capacity for the channel and no rest, whatever the presence."""
    agents = cell.store.columns.agents
    cost = agents.channel_cost[agent_row, channel]
    return bool(
        cost > 0
        and agents.rests_until_ms[agent_row] == 0
        and agents.used[agent_row] + cost <= agents.capacity[agent_row]
        and agents.channel_used[agent_row, channel] < agents.channel_max[agent_row, channel]
    )


def _is_passed_over(cell: CellState, contact_row: int, agent_row: int) -> bool:
    contacts = cell.store.columns.contacts
    now_ms = cell.store.scalar[NOW_MS]
    return any(
        contacts.excluded_agent[contact_row, place] in (agent_row, EVERYONE)
        and contacts.excluded_until_ms[contact_row, place] > now_ms
        for place in range(EXCLUSIONS_MAX)
    )


def _has(bits: object, row: int) -> bool:
    return bool(int(bits[row >> 6]) >> (row & 63) & 1)  # type: ignore[index]
