"""
Who may take which contact.

Filter by sets: the agents of the queue, those at or above each required level, those with each
required tag and those with room, ANDed word by word, so that the cost follows the number of agents
/ 64 and no agent is looked at in vain.
"""

import numpy as np

from engine.kernels.bits import has_bit, lowest_bit
from engine.kernels.boundary import (
    Table,
    open_agents,
    open_bitsets,
    open_cell,
    open_classes,
    open_contacts,
    open_requirements,
)
from engine.kernels.capacity import has_room
from engine.kernels.columns import LEVELS, NOW_MS
from engine.kernels.compilation import kernel
from engine.limits import EXCLUSIONS_MAX

# Stands for all agents in an exclusion, and the place kept for it.
EVERYONE = -2
_REST = EXCLUSIONS_MAX - 1


@kernel
def skilled_word(table: Table, class_row: int, word: int, candidates: np.uint64) -> np.uint64:
    """
    Of 64 candidates, those who serve the class's queue and meet its requirement.

    O(items of the requirement).
    """
    classes = open_classes(table)
    requirement = classes.requirement[class_row]
    candidates &= open_bitsets(table).queue_agents[classes.queue[class_row], word]
    candidates = with_skills(table, requirement, word, candidates)
    candidates = with_tags(table, requirement, word, candidates)
    candidates = without_tags(table, requirement, word, candidates)
    return named_only(table, requirement, word, candidates)


@kernel
def with_skills(table: Table, requirement: int, word: int, candidates: np.uint64) -> np.uint64:
    """Of 64 candidates, those who hold every required skill at its level. O(items)."""
    skill_agents = open_bitsets(table).skill_agents
    requirements = open_requirements(table)
    for item in range(requirements.skill_count[requirement]):
        if candidates == np.uint64(0):
            return candidates
        skill = requirements.skill[requirement, item]
        level = requirements.level[requirement, item]
        candidates &= skill_agents[skill * LEVELS + level - 1, word]
    return candidates


@kernel
def with_tags(table: Table, requirement: int, word: int, candidates: np.uint64) -> np.uint64:
    """Of 64 candidates, those with every tag of `tags` and one of `tags_any`. O(items)."""
    tag_agents = open_bitsets(table).tag_agents
    requirements = open_requirements(table)
    for item in range(requirements.tag_count[requirement]):
        candidates &= tag_agents[requirements.tag[requirement, item], word]
    if requirements.any_tag_count[requirement] > 0:
        carriers = np.uint64(0)
        for item in range(requirements.any_tag_count[requirement]):
            carriers |= tag_agents[requirements.any_tag[requirement, item], word]
        candidates &= carriers
    return candidates


@kernel
def without_tags(table: Table, requirement: int, word: int, candidates: np.uint64) -> np.uint64:
    """Of 64 candidates, those with no tag that is ruled out. O(items)."""
    tag_agents = open_bitsets(table).tag_agents
    requirements = open_requirements(table)
    for item in range(requirements.no_tag_count[requirement]):
        candidates &= ~tag_agents[requirements.no_tag[requirement, item], word]
    return candidates


@kernel
def named_only(table: Table, requirement: int, word: int, candidates: np.uint64) -> np.uint64:
    """Of 64 candidates, those that a requirement names, all where it names none. O(items)."""
    requirements = open_requirements(table)
    if requirements.agent_count[requirement] == 0:
        return candidates
    named = np.uint64(0)
    for item in range(requirements.agent_count[requirement]):
        agent = requirements.agent[requirement, item]
        if agent >> 6 == word:
            named |= np.uint64(1) << np.uint64(agent & 63)
    return candidates & named


@kernel
def meets_class(table: Table, agent: int, class_row: int) -> bool:
    """
    Whether an agent has room for a contact of the class and meets its requirement.

    O(items of the requirement).
    """
    classes = open_classes(table)
    requirements = open_requirements(table)
    if not has_room(table, agent, classes.channel[class_row]):
        return False
    requirement = classes.requirement[class_row]
    agents = open_agents(table)
    for item in range(requirements.skill_count[requirement]):
        skill = requirements.skill[requirement, item]
        if agents.proficiency[agent, skill] < requirements.level[requirement, item]:
            return False
    if not _carries(table, agent, requirement):
        return False
    for item in range(requirements.agent_count[requirement]):
        if requirements.agent[requirement, item] == agent:
            return True
    return requirements.agent_count[requirement] == 0


@kernel
def _carries(table: Table, agent: int, requirement: int) -> bool:
    """Whether an agent carries the tags that a requirement asks for, and no others. O(items)."""
    tag_agents = open_bitsets(table).tag_agents
    requirements = open_requirements(table)
    for item in range(requirements.tag_count[requirement]):
        if not has_bit(tag_agents[requirements.tag[requirement, item]], agent):
            return False
    for item in range(requirements.no_tag_count[requirement]):
        if has_bit(tag_agents[requirements.no_tag[requirement, item]], agent):
            return False
    for item in range(requirements.any_tag_count[requirement]):
        if has_bit(tag_agents[requirements.any_tag[requirement, item]], agent):
            return True
    return requirements.any_tag_count[requirement] == 0


@kernel
def is_excluded(table: Table, contact: int, agent: int, now_ms: int) -> bool:
    """Whether the contact recently failed with the agent, or rests from everybody. O(1)."""
    contacts = open_contacts(table)
    for place in range(EXCLUSIONS_MAX):
        excluded = contacts.excluded_agent[contact, place]
        is_meant = excluded in (agent, EVERYONE)
        if is_meant and contacts.excluded_until_ms[contact, place] > now_ms:
            return True
    return False


@kernel
def first_allowed(table: Table, class_row: int, agent: int) -> int:
    """
    First contact of a class that did not recently fail with the agent, -1 for none.

    O(contacts passed over).
    """
    contacts = open_contacts(table)
    now_ms = open_cell(table).scalar[NOW_MS]
    contact = open_classes(table).head[class_row]
    while contact >= 0 and is_excluded(table, contact, agent, now_ms):
        contact = contacts.following[contact]
    return contact


@kernel
def exclude(table: Table, contact: int, agent: int, until_ms: int) -> None:
    """
    Pass the agent over for this contact until a time; the entry that ends first makes room.

    O(1).
    """
    contacts = open_contacts(table)
    chosen = 0
    for place in range(_REST):
        if contacts.excluded_agent[contact, place] == agent:
            chosen = place
            break
        if contacts.excluded_until_ms[contact, place] < contacts.excluded_until_ms[contact, chosen]:
            chosen = place
    contacts.excluded_agent[contact, chosen] = agent
    contacts.excluded_until_ms[contact, chosen] = until_ms


@kernel
def rest(table: Table, contact: int, until_ms: int) -> None:
    """Offer the contact to nobody until a time. O(1)."""
    contacts = open_contacts(table)
    contacts.excluded_agent[contact, _REST] = EVERYONE
    contacts.excluded_until_ms[contact, _REST] = until_ms


@kernel
def is_crowded(table: Table, contact: int, now_ms: int) -> bool:
    """Whether as many agents recently failed with the contact as can be remembered. O(1)."""
    contacts = open_contacts(table)
    earliest_ms = contacts.excluded_until_ms[contact, 0]
    for place in range(1, _REST):
        earliest_ms = min(earliest_ms, contacts.excluded_until_ms[contact, place])
    return earliest_ms > now_ms


@kernel
def exclusion_ends(table: Table, contact: int, now_ms: int, otherwise_ms: int) -> int:
    """
    Time the first of the contact's exclusions ends, or `otherwise_ms` when that is sooner.

    O(1).
    """
    contacts = open_contacts(table)
    earliest_ms = otherwise_ms
    for place in range(EXCLUSIONS_MAX):
        until_ms = contacts.excluded_until_ms[contact, place]
        if now_ms < until_ms < earliest_ms:
            earliest_ms = until_ms
    return earliest_ms


@kernel
def is_only_agent(table: Table, contact: int, agent: int) -> bool:
    """Whether no other agent signed in could ever take the contact. O(agents / 64)."""
    bitsets = open_bitsets(table)
    agents = open_agents(table)
    class_row = open_contacts(table).class_row[contact]
    channel = open_classes(table).channel[class_row]
    for word in range(bitsets.working_agents.shape[1]):
        others = skilled_word(table, class_row, word, bitsets.working_agents[0, word])
        if agent >> 6 == word:
            others &= ~(np.uint64(1) << np.uint64(agent & 63))
        while others != np.uint64(0):
            other = (word << 6) + lowest_bit(others)
            others &= others - np.uint64(1)
            if agents.channel_cost[other, channel] > 0:
                return False
    return True
