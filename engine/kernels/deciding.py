"""
Decision records: what every choice of agent or contact was made of, kept in a ring of columns.

A record is written beside the choice, before the offer changes what it was made of: who was chosen
and who came second with the terms of their scores, how many agents were refused for which reason,
and how the queue stood. Nothing reads it but who asks; `engine.state.decisions` gives it names.
"""

import numpy as np

from engine.kernels.bits import bit_count, lowest_bit
from engine.kernels.boundary import (
    Table,
    open_bitsets,
    open_cell,
    open_classes,
    open_contacts,
    open_decisions,
    open_queues,
)
from engine.kernels.columns import (
    DECISION_COUNT,
    DECISIONS_MAX,
    ELIGIBLE,
    FIRST_DECISION,
    NEXT_OFFER,
    NOW_MS,
)
from engine.kernels.compilation import kernel
from engine.kernels.eligibility import is_excluded, named_only, with_skills, with_tags, without_tags
from engine.kernels.requests import OUT_ELIGIBLE, OUT_REFUSED
from engine.kernels.scoring import claim_of, fit, is_starving, write_terms
from engine.kernels.side_columns import (
    D_AGENT,
    D_AT_MS,
    D_CONTACT,
    D_CONTACT_SEQUENCE,
    D_ELIGIBLE,
    D_KIND,
    D_NUMBER,
    D_OFFER,
    D_PRIORITY,
    D_QUEUE,
    D_QUEUED_MS,
    D_REFUSED,
    D_RELAXED,
    D_REQUIREMENT,
    D_RUNNER_UP,
    D_SINCE_MS,
    D_STARVES,
    D_WAITING,
    REASONS,
    SCORE_TERMS,
)
from engine.lifecycle import DecisionKind, RefusalReason

_UPDATED = int(DecisionKind.UPDATED)
_WINDOW = int(DecisionKind.WINDOW)
_NOT_SIGNED_IN = int(RefusalReason.NOT_SIGNED_IN)
_NOT_AVAILABLE = int(RefusalReason.NOT_AVAILABLE)
_LACKS_SKILL = int(RefusalReason.LACKS_SKILL)
_LACKS_TAG = int(RefusalReason.LACKS_TAG)
_HAS_TAG = int(RefusalReason.HAS_EXCLUDED_TAG)
_NOT_NAMED = int(RefusalReason.NOT_NAMED)
_NO_ROOM = int(RefusalReason.NO_ROOM)
_RECENTLY_FAILED = int(RefusalReason.RECENTLY_FAILED)


@kernel
def _refuse(table: Table, reason: int, before: np.uint64, after: np.uint64) -> None:
    """Count the agents that a step left out. O(1)."""
    open_cell(table).outcome[OUT_REFUSED + reason] += bit_count(before) - bit_count(after)


@kernel
def _count_word(table: Table, contact: int, word: int) -> None:
    """Of 64 agents, count those of the contact's queue. O(items of the requirement)."""
    bitsets = open_bitsets(table)
    contacts = open_contacts(table)
    classes = open_classes(table)
    class_row = contacts.class_row[contact]
    requirement = classes.requirement[class_row]
    members = bitsets.queue_agents[classes.queue[class_row], word]
    if members == np.uint64(0):
        return
    working = members & bitsets.working_agents[0, word]
    _refuse(table, _NOT_SIGNED_IN, members, working)
    available = working & bitsets.available_agents[0, word]
    _refuse(table, _NOT_AVAILABLE, working, available)
    skilled = with_skills(table, requirement, word, available)
    _refuse(table, _LACKS_SKILL, available, skilled)
    tagged = with_tags(table, requirement, word, skilled)
    _refuse(table, _LACKS_TAG, skilled, tagged)
    allowed = without_tags(table, requirement, word, tagged)
    _refuse(table, _HAS_TAG, tagged, allowed)
    named = named_only(table, requirement, word, allowed)
    _refuse(table, _NOT_NAMED, allowed, named)
    left = named & bitsets.free_agents[contacts.channel[contact], word]
    _refuse(table, _NO_ROOM, named, left)
    out = open_cell(table).outcome
    now_ms = open_cell(table).scalar[NOW_MS]
    while left != np.uint64(0):
        agent = (word << 6) + lowest_bit(left)
        left &= left - np.uint64(1)
        if is_excluded(table, contact, agent, now_ms):
            out[OUT_REFUSED + _RECENTLY_FAILED] += 1
        else:
            out[OUT_ELIGIBLE] += 1


@kernel
def count_refusals(table: Table, contact: int) -> None:
    """
    Write into the outcome how many agents of a contact's queue cannot be offered it, by the first
    reason of each, and how many can.

    O(agents / 64 x items of the requirement + agents with room that meet it).
    """
    out = open_cell(table).outcome
    for place in range(OUT_REFUSED, OUT_ELIGIBLE + 1):
        out[place] = 0
    for word in range(open_bitsets(table).working_agents.shape[1]):
        _count_word(table, contact, word)


@kernel
def decide(table: Table, contact: int, agent: int, runner_up: int, kind: int) -> int:
    """
    Record a choice about to be carried out; agent -1 for nobody, runner-up -1 for none.

    Returns the record's number, 0 where none are kept. Two scores, and `count_refusals` for nobody.
    """
    cell = open_cell(table)
    scalar = cell.scalar
    if scalar[DECISIONS_MAX] == 0:
        return 0
    contacts = open_contacts(table)
    decisions = open_decisions(table)
    number = scalar[FIRST_DECISION] + scalar[DECISION_COUNT]
    place = scalar[DECISION_COUNT] % scalar[DECISIONS_MAX]
    scalar[DECISION_COUNT] += 1
    fact = decisions.fact[place]
    queue = contacts.queue[contact]
    fact[D_NUMBER] = number
    fact[D_AT_MS] = scalar[NOW_MS]
    fact[D_KIND] = kind
    fact[D_CONTACT] = contact
    fact[D_CONTACT_SEQUENCE] = contacts.sequence[contact]
    fact[D_QUEUE] = queue
    fact[D_PRIORITY] = contacts.priority[contact]
    fact[D_SINCE_MS] = contacts.since_ms[contact]
    fact[D_QUEUED_MS] = contacts.queued_ms[contact]
    fact[D_RELAXED] = contacts.relaxed[contact]
    fact[D_AGENT] = agent
    fact[D_OFFER] = scalar[NEXT_OFFER] if agent >= 0 else 0
    fact[D_RUNNER_UP] = runner_up
    fact[D_WAITING] = open_queues(table).waiting[queue]
    fact[D_STARVES] = is_starving(table, contact)
    class_row = contacts.class_row[contact]
    fact[D_REQUIREMENT] = open_classes(table).requirement[class_row]
    # Counting costs as much as finding, so it is done where nobody is found.
    is_counted = agent < 0
    if is_counted:
        count_refusals(table, contact)
    for item in range(REASONS + 1):
        fact[D_REFUSED + item] = cell.outcome[OUT_REFUSED + item] if is_counted else 0
    if (kind <= _UPDATED or kind == _WINDOW) and not is_counted:
        fact[D_ELIGIBLE] = scalar[ELIGIBLE]
    term = decisions.term[place]
    its_fit = 0.0
    if agent >= 0:
        write_terms(table, agent, class_row, term, 0)
        its_fit = fit(table, agent, class_row)
    if runner_up >= 0:
        write_terms(table, runner_up, class_row, term, SCORE_TERMS)
    term[2 * SCORE_TERMS] = claim_of(table, contact, its_fit)
    return number
