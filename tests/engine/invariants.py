"""
What must be true of a cell after every command, worked out from its columns alone.

Counts, links, sets and heaps are kept up to date by the kernels; here each is computed anew.
"""

import numpy as np
from numpy.typing import NDArray

from engine.engine import Engine
from engine.kernels.boundary import ColumnSet
from engine.kernels.columns import (
    AGENT_DIRTY_COUNT,
    AGENT_HEAP_COUNT,
    CONTACT_DIRTY_COUNT,
    CONTACT_HEAP_COUNT,
    ENDED_COUNT,
    ENDED_HEAD,
    ENDED_MAX,
    ENDED_TAIL,
    LEVELS,
    NEXT_DUE_MS,
    OPEN_COUNT,
    QUEUE_DIRTY_COUNT,
    WINDOW_HEAP_COUNT,
    WINDOWED_COUNT,
)
from engine.kernels.eligibility import EVERYONE
from engine.lifecycle import HAS_ENDED, HELD_STATES, Channel, ContactState, Intake, Presence
from engine.limits import MATCHING_WINDOW_MS_MAX, NEVER_MS


def check(engine: Engine) -> None:
    """Assert every invariant of a cell whose group has been sealed."""
    columns = engine.cell.store.columns
    scalar = columns.cell.scalar
    contacts = [row for row in range(columns.contacts.state.size) if columns.contacts.state[row]]
    agents = [row for row in range(columns.agents.presence.size) if columns.agents.presence[row]]
    queues = [row for row in range(columns.queues.intake.size) if columns.queues.intake[row]]
    assert contacts == engine.cell.contacts.slots.rows()
    assert agents == engine.cell.agents.slots.rows()
    assert queues == engine.cell.queues.slots.rows()
    _check_states(columns, contacts)
    _check_waiting(columns, contacts, queues)
    _check_hands(columns, contacts, agents)
    _check_ended(columns, contacts)
    _check_choices(engine, contacts)
    _check_sets(engine, agents, queues)
    for heap, due_ms, position, count in (
        (columns.contacts.heap, columns.contacts.due_ms, columns.contacts.heap_position,
         CONTACT_HEAP_COUNT),
        (columns.agents.heap, columns.agents.due_ms, columns.agents.heap_position,
         AGENT_HEAP_COUNT),
        (columns.queues.window_heap, columns.queues.window_ends_ms, columns.queues.window_position,
         WINDOW_HEAP_COUNT),
    ):  # fmt: skip
        check_heap(heap, due_ms, position, int(scalar[count]))
    assert scalar[OPEN_COUNT] == np.isin(columns.contacts.state, (1, 2, 3, 4, 10, 11, 12)).sum()
    assert scalar[CONTACT_DIRTY_COUNT] == columns.contacts.is_dirty.sum() == 0
    assert scalar[AGENT_DIRTY_COUNT] == columns.agents.is_dirty.sum() == 0
    assert scalar[QUEUE_DIRTY_COUNT] == columns.queues.is_dirty.sum() == 0
    if scalar[NEXT_DUE_MS] > engine.now_ms():
        _check_nobody_waits_beside_room(columns, contacts, agents, engine.now_ms())


def _check_states(columns: ColumnSet, rows: list[int]) -> None:
    """Offers are single: an offered contact has one offer, nobody else has one."""
    contacts = columns.contacts
    offers = [int(contacts.offer[row]) for row in rows if contacts.offer[row]]
    assert len(set(offers)) == len(offers)
    for row in rows:
        state = ContactState(int(contacts.state[row]))
        assert (contacts.offer[row] > 0) == (state is ContactState.OFFERED)
        assert (contacts.cost[row] > 0) == (state in HELD_STATES)
        assert (contacts.class_row[row] >= 0) == (not HAS_ENDED[state])
        assert (contacts.ended_ms[row] > 0) == HAS_ENDED[state]
        if state in (ContactState.QUEUED, ContactState.SCHEDULED, ContactState.DIVERTED):
            assert contacts.agent[row] == -1
        if state in HELD_STATES:
            assert columns.agents.presence[contacts.agent[row]] > 0
        assert columns.queues.intake[contacts.queue[row]] > 0


def _check_waiting(columns: ColumnSet, rows: list[int], queues: list[int]) -> None:
    """Classes hold exactly the waiting contacts, in order; counts follow."""
    contacts, classes = columns.contacts, columns.classes
    seen = []
    for queue in queues:
        class_row, before = int(columns.queues.first_class[queue]), -1
        while class_row >= 0:
            assert classes.queue[class_row] == queue
            assert classes.preceding[class_row] == before
            members = _chain(contacts.following, contacts.preceding, classes.head[class_row])
            assert members
            assert members[-1] == classes.tail[class_row]
            assert len(members) == classes.waiting[class_row]
            order = [(contacts.since_ms[row], contacts.sequence[row]) for row in members]
            assert order == sorted(order)
            assert {int(contacts.class_row[row]) for row in members} == {class_row}
            seen += members
            class_row, before = int(classes.following[class_row]), class_row
        for state, count in (
            (ContactState.QUEUED, columns.queues.waiting),
            (ContactState.OFFERED, columns.queues.offered),
            (ContactState.ASSIGNED, columns.queues.assigned),
            (ContactState.WRAP_UP, columns.queues.wrapping_up),
            (ContactState.SCHEDULED, columns.queues.scheduled),
            (ContactState.INTERRUPTED, columns.queues.interrupted),
            (ContactState.DIVERTED, columns.queues.diverted),
        ):
            own = [row for row in rows if contacts.queue[row] == queue]
            assert count[queue] == sum(contacts.state[row] == state for row in own)
    assert sorted(seen) == [row for row in rows if contacts.state[row] == ContactState.QUEUED]
    open_rows = [row for row in rows if not HAS_ENDED[contacts.state[row]]]
    references = np.bincount(contacts.class_row[open_rows], minlength=classes.references.size)
    relaxed = classes.relaxed[classes.queue >= 0]
    references += np.bincount(relaxed[relaxed >= 0], minlength=classes.references.size)
    fallback = classes.fallback[classes.queue >= 0]
    references += np.bincount(fallback[fallback >= 0], minlength=classes.references.size)
    assert (classes.references == references).all()
    for row in open_rows:
        class_row = contacts.class_row[row]
        assert classes.queue[class_row] == contacts.queue[row]
        assert classes.priority[class_row] == contacts.priority[row]
        assert classes.channel[class_row] == contacts.channel[row]
        expected = -1 if contacts.fell_back[row] else columns.queues.fallback[contacts.queue[row]]
        fallback_row = classes.fallback[class_row]
        assert expected == (classes.queue[fallback_row] if fallback_row >= 0 else -1)


def _check_hands(columns: ColumnSet, rows: list[int], agents: list[int]) -> None:
    """Every held contact is in one agent's list; capacity in use follows."""
    contacts = columns.contacts
    for agent in agents:
        held = _chain(
            contacts.agent_following, contacts.agent_preceding, columns.agents.first_contact[agent]
        )
        assert sorted(held) == [
            row
            for row in rows
            if contacts.agent[row] == agent and contacts.state[row] in HELD_STATES
        ]
        asked = _further_offers(columns, agent)
        offered = columns.offers.contact[asked].tolist()
        assert columns.agents.contact_count[agent] == len(held) + len(asked)
        own_states = contacts.state[held]
        at_work = own_states != ContactState.INTERRUPTED
        accepted = at_work & (own_states != ContactState.OFFERED)
        assert columns.agents.interrupted[agent] == (~at_work).sum()
        assert columns.agents.accepted[agent] == contacts.cost[held][accepted].sum()
        used = contacts.cost[held][at_work].sum() + columns.offers.cost[asked].sum()
        assert columns.agents.used[agent] == used
        for channel in Channel:
            own = sum(contacts.channel[row] == channel for row in held + offered)
            assert columns.agents.channel_used[agent, channel] == own
            is_handled = own_states == ContactState.ASSIGNED
            handled = contacts.cost[held][is_handled & (contacts.channel[held] == channel)].sum()
            assert columns.agents.channel_handled[agent, channel] == handled


def _further_offers(columns: ColumnSet, agent: int) -> list[int]:
    """Offers in an agent's list, which are just those of it, and of contacts that are offered."""
    offers, contacts = columns.offers, columns.contacts
    asked = []
    offer = int(columns.agents.first_offer[agent])
    while offer >= 0:
        asked.append(offer)
        contact = offers.contact[offer]
        assert contacts.state[contact] == ContactState.OFFERED
        assert offers.sequence[offer] != contacts.offer[contact]
        offer = int(offers.agent_following[offer])
    is_theirs = (offers.contact >= 0) & (offers.agent == agent)
    assert sorted(asked) == np.flatnonzero(is_theirs).tolist()
    return asked


def _check_ended(columns: ColumnSet, rows: list[int]) -> None:
    """The list of ended contacts holds exactly those, oldest first, and no more than allowed."""
    contacts, scalar = columns.contacts, columns.cell.scalar
    ended = _chain(contacts.following, contacts.preceding, scalar[ENDED_HEAD])
    assert sorted(ended) == [row for row in rows if HAS_ENDED[contacts.state[row]]]
    assert len(ended) == scalar[ENDED_COUNT] <= scalar[ENDED_MAX]
    assert scalar[ENDED_TAIL] == (ended[-1] if ended else -1)
    ends = [(int(contacts.ended_ms[row]), row) for row in ended]
    assert ends == sorted(ends)


def _check_choices(engine: Engine, rows: list[int]) -> None:
    """Choices that are open lie over waiting contacts; only they and diversions come due."""
    choices, contacts = engine.cell.choices, engine.cell.store.columns.contacts
    due_ms = []
    for row in rows:
        steered = engine.cell.contacts.said(row).steered
        state = ContactState(int(contacts.state[row]))
        assert choices.is_open(row) == (steered.choice is not None)
        # Nobody asks for those of ended contacts.
        assert HAS_ENDED[state] or choices.hops(row) == steered.hops
        if steered.choice is not None:
            assert state in (ContactState.QUEUED, ContactState.OFFERED)
            due_ms.append(steered.choice.until_ms)
        elif state is ContactState.DIVERTED:
            assert steered.diversion is not None
            due_ms.append(int(contacts.until_ms[row]))
    assert choices.next_ms == min(due_ms, default=NEVER_MS)
    assert bool(choices) == bool(due_ms)


def _check_sets(engine: Engine, agents: list[int], queues: list[int]) -> None:
    """Every bit of every set says what the columns and definitions say."""
    columns, cell = engine.cell.store.columns, engine.cell
    sets = columns.bitsets
    served: set[tuple[int, int]] = set()
    levels: set[tuple[int, int]] = set()
    tagged: set[tuple[int, int]] = set()
    for agent in agents:
        definition = cell.agents.definition(agent)
        served |= {(cell.queues.slots.row_of(name), agent) for name in definition.queue_ids}
        tagged |= {(cell.names.tags.number_of(tag), agent) for tag in definition.tags}
        for skill, proficiency in definition.skills:
            number = cell.names.skills.number_of(skill)
            if proficiency == 0:
                continue
            assert columns.agents.proficiency[agent, number] == proficiency
            levels |= {(number * LEVELS + level, agent) for level in range(proficiency)}
    assert _bits(sets.queue_agents) == served
    assert _bits(sets.agent_queues) == {(agent, queue) for queue, agent in served}
    assert _bits(sets.tag_agents) == tagged
    assert _bits(sets.skill_agents) == levels
    assert _bits(sets.free_agents) == {
        (int(channel), agent)
        for channel in Channel
        for agent in agents
        if has_room(columns, agent, channel)
    }
    working = (Presence.AVAILABLE, Presence.BUSY, Presence.AWAY)
    assert _bits(sets.working_agents) == {
        (0, agent) for agent in agents if columns.agents.presence[agent] in working
    }
    assert _bits(sets.waiting_queues) == {
        (0, queue)
        for queue in queues
        if columns.queues.waiting[queue]
        and columns.queues.intake[queue] != Intake.PAUSED
        and columns.queues.matching_window_ms[queue] == 0
    }
    assert _bits(sets.windowed_queues) == {
        (0, queue)
        for queue in queues
        if columns.queues.waiting[queue]
        and columns.queues.intake[queue] != Intake.PAUSED
        and columns.queues.matching_window_ms[queue] > 0
    }
    windowed = sum(columns.queues.matching_window_ms[queue] > 0 for queue in queues)
    assert columns.cell.scalar[WINDOWED_COUNT] == windowed
    assert (columns.agents.batch_place == -1).all()


def check_heap(
    heap: NDArray[np.int64], due_ms: NDArray[np.int64], position: NDArray[np.int64], count: int
) -> None:
    """A heap holds exactly the rows with a deadline, each where its position says."""
    rows = heap[:count].tolist()
    assert sorted(rows) == np.flatnonzero(position >= 0).tolist()
    assert sorted(rows) == np.flatnonzero((due_ms < NEVER_MS) & (position >= 0)).tolist()
    for place, row in enumerate(rows):
        assert position[row] == place
        parent = rows[(place - 1) >> 1] if place else row
        assert (due_ms[parent], parent) <= (due_ms[row], row)


def _check_nobody_waits_beside_room(
    columns: ColumnSet, rows: list[int], agents: list[int], now_ms: int
) -> None:
    """An agent with room has been offered all it may take, but for what a window gathers."""
    contacts = columns.contacts
    with_room = {
        int(channel): [agent for agent in agents if has_room(columns, agent, channel)]
        for channel in Channel
    }
    for queue in range(columns.queues.intake.size):
        if columns.queues.window_position[queue] >= 0:
            left_ms = columns.queues.window_ends_ms[queue] - now_ms
            assert 0 < left_ms <= MATCHING_WINDOW_MS_MAX
    for row in rows:
        queue = contacts.queue[row]
        if (
            contacts.state[row] != ContactState.QUEUED
            or columns.queues.intake[queue] == Intake.PAUSED
            or columns.queues.window_position[queue] >= 0
        ):
            continue
        passed_over = {
            int(agent)
            for agent, until_ms in zip(
                contacts.excluded_agent[row], contacts.excluded_until_ms[row], strict=True
            )
            if until_ms > now_ms
        }
        if EVERYONE in passed_over:
            continue
        for agent in with_room[int(contacts.channel[row])]:
            assert agent in passed_over or not _could_take(columns, agent, row), (agent, row)


def has_room(columns: ColumnSet, agent: int, channel: int) -> bool:
    """Whether an agent may be offered one more contact of the channel."""
    agents = columns.agents
    cost = agents.channel_cost[agent, channel]
    interruptible = agents.interrupted_by[agent] >> channel & 1
    used = agents.used[agent] - (interruptible * agents.channel_handled[agent]).sum()
    return bool(
        agents.presence[agent] == Presence.AVAILABLE
        and agents.rests_until_ms[agent] == 0
        and cost > 0
        and used + cost <= agents.capacity[agent]
        and agents.channel_used[agent, channel] < agents.channel_max[agent, channel]
    )


def _could_take(columns: ColumnSet, agent: int, contact: int) -> bool:
    """Whether the agent serves the contact's queue and meets its requirement."""
    classes, asked = columns.classes, columns.requirements
    class_row = columns.contacts.class_row[contact]
    requirement = classes.requirement[class_row]
    skills = range(asked.skill_count[requirement])
    proficiency = columns.agents.proficiency[agent]
    tags = asked.tag[requirement, : asked.tag_count[requirement]]
    any_tags = asked.any_tag[requirement, : asked.any_tag_count[requirement]]
    no_tags = asked.no_tag[requirement, : asked.no_tag_count[requirement]]
    named = asked.agent[requirement, : asked.agent_count[requirement]]
    carried = {int(tag) for tag in (*tags, *any_tags, *no_tags) if _carries(columns, agent, tag)}
    return (
        _has_bit(columns.bitsets.queue_agents, classes.queue[class_row], agent)
        and all(
            proficiency[asked.skill[requirement, item]] >= asked.level[requirement, item]
            for item in skills
        )
        and carried.issuperset(tags.tolist())
        and carried.isdisjoint(no_tags.tolist())
        and (any_tags.size == 0 or not carried.isdisjoint(any_tags.tolist()))
        and (named.size == 0 or agent in named)
    )


def _carries(columns: ColumnSet, agent: int, tag: int) -> bool:
    return _has_bit(columns.bitsets.tag_agents, tag, agent)


def excess(engine: Engine) -> dict[str, int]:
    """
    How far each agent, and each of its channels, is above its maximum, summed; 0 for most.

    What may be interrupted is not counted.
    """
    columns = engine.cell.store.columns
    agents = columns.agents
    result = {}
    for row in engine.cell.agents.slots.rows():
        interruptible = (agents.interrupted_by[row] != 0) * agents.channel_handled[row]
        over = max(0, int(agents.used[row] - interruptible.sum() - agents.capacity[row]))
        for channel in Channel:
            used, used_max = agents.channel_used[row, channel], agents.channel_max[row, channel]
            over += max(0, int(used - used_max))
        result[engine.cell.agents.slots.ids[row]] = over
    return result


def _chain(following: NDArray[np.int64], preceding: NDArray[np.int64], head: int) -> list[int]:
    """Rows of a doubly linked list, whose links must agree."""
    rows: list[int] = []
    row, before = int(head), -1
    while row >= 0:
        assert preceding[row] == before
        assert len(rows) <= following.size, "the list has no end"
        rows.append(row)
        row, before = int(following[row]), row
    return rows


def _has_bit(sets: NDArray[np.uint64], row: int, member: int) -> bool:
    return bool(int(sets[row, member >> 6]) >> (member & 63) & 1)


def _bits(sets: NDArray[np.uint64]) -> set[tuple[int, int]]:
    """Members of each set, as (set, member)."""
    rows, words = np.nonzero(sets)
    return {
        (int(row), 64 * int(word) + bit)
        for row, word in zip(rows, words, strict=True)
        for bit in range(64)
        if int(sets[row, word]) >> bit & 1
    }
