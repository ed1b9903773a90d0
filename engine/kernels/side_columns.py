"""
Columns beside those of contacts, agents and queues: requirements, further offers, estimates,
decision records, and the batch a matching window ends with.
"""

from typing import Annotated, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.shapes import F64, I8, I64, Row, Shape
from engine.lifecycle import RefusalReason
from engine.limits import BATCH_CONTACTS_MAX, ESTIMATES_MAX, REQUIREMENT_ITEMS_MAX


class Requirements(NamedTuple):
    """One row per distinct requirement; items beyond the count are not read."""

    skill_count: I64
    skill: Annotated[NDArray[np.int64], Shape(np.int64, REQUIREMENT_ITEMS_MAX)]
    # Least proficiency, 1 to 5.
    level: Annotated[NDArray[np.int64], Shape(np.int64, REQUIREMENT_ITEMS_MAX)]
    preferred_count: I64
    preferred_skill: Annotated[NDArray[np.int64], Shape(np.int64, REQUIREMENT_ITEMS_MAX)]
    preferred_weight: Annotated[NDArray[np.float64], Shape(np.float64, REQUIREMENT_ITEMS_MAX)]
    # Tags that must all, of which one must, and of which none may be carried.
    tag_count: I64
    tag: Annotated[NDArray[np.int64], Shape(np.int64, REQUIREMENT_ITEMS_MAX)]
    any_tag_count: I64
    any_tag: Annotated[NDArray[np.int64], Shape(np.int64, REQUIREMENT_ITEMS_MAX)]
    no_tag_count: I64
    no_tag: Annotated[NDArray[np.int64], Shape(np.int64, REQUIREMENT_ITEMS_MAX)]
    # The only candidates, where there are any; -1 for those who do not exist.
    agent_count: I64
    agent: Annotated[NDArray[np.int64], Shape(np.int64, REQUIREMENT_ITEMS_MAX, -1)]
    # Agents that are a better match than others; -1 as above.
    preferred_agent_count: I64
    preferred_agent: Annotated[NDArray[np.int64], Shape(np.int64, REQUIREMENT_ITEMS_MAX, -1)]


class Offers(NamedTuple):
    """One row per outstanding offer beside the leading one of its contact."""

    # -1 where the row is free.
    contact: Row
    agent: Row
    sequence: I64
    # Units of the agent's capacity it holds.
    cost: I64
    # Next offer of the contact, or next free row; and next offer of the agent.
    contact_following: Row
    agent_following: Row
    is_dirty: I8
    dirty: Row


# What was learned of an agent in one queue; a width that many columns share.
Learned = Annotated[NDArray[np.int64], Shape(np.int64, ESTIMATES_MAX)]


class Estimates(NamedTuple):
    """What was learned of each agent, one row per agent and one place per queue."""

    # Queue of the place, -1 for an empty one.
    queue: Annotated[NDArray[np.int64], Shape(np.int64, ESTIMATES_MAX, -1)]
    # Contacts that count, at most ESTIMATE_MEMORY, and their mean handling time with wrap-up.
    handled: Learned
    handle_ms: Learned
    # Outcomes that count, likewise, and their mean in thousandths.
    rated: Learned
    outcome: Learned
    is_dirty: I8
    dirty: Row


# Facts of a decision, columns of Decisions.fact.
D_NUMBER: Final = 0
D_AT_MS: Final = 1
D_KIND: Final = 2
D_CONTACT: Final = 3
D_CONTACT_SEQUENCE: Final = 4
D_QUEUE: Final = 5
D_PRIORITY: Final = 6
D_SINCE_MS: Final = 7
D_QUEUED_MS: Final = 8
D_RELAXED: Final = 9
D_AGENT: Final = 10
D_OFFER: Final = 11
D_RUNNER_UP: Final = 12
D_WAITING: Final = 13
D_STARVES: Final = 14
D_REQUIREMENT: Final = 15
# One place per RefusalReason, where nobody was found; then those who could be offered the contact,
# ROUTED, UPDATED and WINDOW only.
D_REFUSED: Final = 16
REASONS: Final = len(RefusalReason)
D_ELIGIBLE: Final = D_REFUSED + REASONS
FACTS: Final = D_ELIGIBLE + 1
# Terms of a score, in the order of `engine.kernels.scoring`; a record holds those of the chosen
# agent, then of the runner-up, then the contact's claim.
SCORE_TERMS: Final = 10
TERMS: Final = 2 * SCORE_TERMS + 1


class Decisions(NamedTuple):
    """One row per decision, a ring."""

    fact: Annotated[NDArray[np.int64], Shape(np.int64, FACTS)]
    term: Annotated[NDArray[np.float64], Shape(np.float64, TERMS)]


# Agents of a batch: the best of each contact, of whom one is always left for it.
BATCH_AGENTS_MAX: Final = BATCH_CONTACTS_MAX * BATCH_CONTACTS_MAX

# The best agents of each contact of a batch, best first; a width that several columns share.
BestAgents = Annotated[NDArray[np.int64], Shape(np.int64, BATCH_CONTACTS_MAX, -1)]


class Batch(NamedTuple):
    """
    Waiting contacts of one queue and agents with room, while they are assigned to each other: one
    row per contact, in the order in which they go. Means nothing between two calls.
    """

    contact: Row
    # Agents that could be offered it, and how many of them stand in `agent`.
    eligible: I64
    agent_count: I64
    agent: BestAgents
    # 1 where the agent has been occupied for too long.
    is_worn: BestAgents
    # Score of the agent and claim of the contact together.
    value: Annotated[NDArray[np.float64], Shape(np.float64, BATCH_CONTACTS_MAX)]
    # Place of the agent it gets in `chosen_from`, -1 for none.
    chosen: Row
    # (BATCH_AGENTS_MAX,): agents of the batch.
    chosen_from: Row
    # (EFFECTS_PER_CALL,): contacts offered by this batch and those before it.
    offered: Row
    # (BATCH_CONTACTS_MAX * BATCH_AGENTS_MAX,): what each pair is worth, contact by contact, 0 where
    # it cannot be.
    worth: F64
