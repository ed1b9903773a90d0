"""
The columns of one cell: one contiguous array per field, grouped by subject.

Rows, counts and times are all int64, so that every kernel is compiled for one signature; codes are
int8. A row index stands for a contact, agent, queue, class or requirement; -1 stands for none.
Times are int64 milliseconds of the engine's clock. Matrices have one row per subject unless the
comment says otherwise. Kernels reach the columns through `engine.kernels.boundary`.

A *class* is a set of waiting contacts that no agent can tell apart: same queue, requirement,
channel and priority, and the same relaxation and fallback to come. Its contacts stand in a doubly
linked list ordered by routing age, so its head is always its oldest contact.
"""

from typing import Annotated, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.shapes import F64, I8, I64, Bits, PerChannel, Records, Row, Shape
from engine.kernels.side_columns import Batch, Decisions, Estimates, Offers, Requirements
from engine.limits import (
    EXCLUSIONS_MAX,
    PAST_AGENTS_MAX,
    PROFICIENCY_MAX,
    SKILLS_MAX,
)


class Contacts(NamedTuple):
    """One row per contact, open or recently ended."""

    # ContactState; FREE where the row holds no contact.
    state: I8
    channel: I8
    # RejectionReason.
    rejection: I8
    queue: Row
    priority: I64
    # Class it waits in, or would wait in.
    class_row: Row
    # Agent it is offered to, assigned to or was handled by.
    agent: Row
    # Order of arrival in the cell; breaks ties between equal routing ages.
    sequence: I64
    received_ms: I64
    # Origin of the routing age: age = now - since, or queued - since while it is scheduled or
    # diverted.
    since_ms: I64
    # When it joined the present queue, was scheduled or diverted: wait = accepted - queued.
    queued_ms: I64
    accepted_ms: I64
    # When handling ended and wrap-up began, or when it was interrupted; how long it was before.
    handled_ms: I64
    interrupted_ms: I64
    ended_ms: I64
    # Longest wait in one queue, NEVER_MS for none; and when it expires if still waiting.
    max_wait_ms: I64
    expires_ms: I64
    # Sequence number of the outstanding offer, the leading one of several; 0 when none.
    offer: I64
    # First of the further outstanding offers.
    first_offer: Row
    # When the present state ends by itself: expiry of the offer, end of timed wrap-up or of the
    # diversion, or the time it is scheduled for.
    until_ms: I64
    # Units of the agent's capacity it holds.
    cost: I64
    offers_failed: I64
    # Relaxation steps taken.
    relaxed: I64
    # Latest estimate of its wait that was asked for: when, 0 for never, and until when it should
    # be answered, most likely and at the latest.
    estimated_ms: I64
    expected_by_ms: I64
    expected_until_ms: I64
    # 1 once it went to a fallback queue: it does so no more.
    fell_back: I8
    # When its window ends, 0 for none; what it may wait instead of its longest wait.
    window_ms: I64
    # Attempts that failed, how many may, and the pause after the first.
    attempts: I64
    attempts_max: I64
    retry_ms: I64
    # The consult about it, and the contact that it is a consult about; -1 for none.
    consult: Row
    consults_for: Row
    # Agents who had it before, the last one first.
    past_agent: Annotated[NDArray[np.int64], Shape(np.int64, PAST_AGENTS_MAX, -1)]
    # Counts changes; the etag.
    version: I64
    # Neighbours in its class, or in the list of ended contacts.
    following: Row
    preceding: Row
    # Neighbours among the contacts its agent holds.
    agent_following: Row
    agent_preceding: Row
    # Next deadline and place in the heap of deadlines.
    due_ms: I64
    heap_position: Row
    # Agents that recently failed with it, and until when they are passed over.
    excluded_agent: Annotated[NDArray[np.int64], Shape(np.int64, EXCLUSIONS_MAX, -1)]
    excluded_until_ms: Annotated[NDArray[np.int64], Shape(np.int64, EXCLUSIONS_MAX)]
    # 1 while the row is in the list of rows to be written with the open commit group.
    is_dirty: I8
    # The list itself, its length in Cell.
    dirty: Row
    # Heap of rows by due_ms, its length in Cell.
    heap: Row


class Agents(NamedTuple):
    """One row per agent."""

    # Presence; NONE where the row holds no agent.
    presence: I8
    kind: I8
    capacity: I64
    # Units in use by offers, assignments and wrap-up, and those without offers.
    used: I64
    accepted: I64
    # Contacts interrupted, which use none.
    interrupted: I64
    # Units one contact of the channel takes; 0 where the agent does not take the channel.
    channel_cost: PerChannel
    channel_max: PerChannel
    channel_used: PerChannel
    # Units in use by contacts being handled.
    channel_handled: PerChannel
    # Channels that may interrupt contacts of the channel, a bit each; and those of any channel.
    interrupted_by: PerChannel
    interruptors: I64
    # How many channels, one after the other, may interrupt those of the channel.
    depth: PerChannel
    # Level per skill, 0 = not held.
    proficiency: Annotated[NDArray[np.uint8], Shape(np.uint8, SKILLS_MAX)]
    # 1 - 1 / (queues served + skills held): 0 for a specialist, towards 1 for who can do anything.
    versatility: F64
    # Occupancy in thousand-millionths as of a time; `engine.kernels.capacity` states the formula.
    occupancy_ppb: I64
    occupancy_ms: I64
    # Occupancy from which it is offered contacts last and rests after each, 0 = never; how long it
    # rests, and until when it does now, 0 = not.
    occupancy_max: F64
    rest_ms: I64
    rests_until_ms: I64
    # When a contact last ended or presence last became AVAILABLE.
    idle_since_ms: I64
    # Sequence number of the last offer made to it.
    last_offer: I64
    missed: I64
    # Misses in a row that send it away; 0 = never.
    missed_max: I64
    # Place among the agents of the batch being assigned, -1 for none.
    batch_place: Row
    presence_since_ms: I64
    # Reason code of the presence.
    presence_reason: I64
    # Lease length, 0 = none.
    lease_ms: I64
    lease_until_ms: I64
    # 1 when it accepts offers as they are made.
    auto_accept: I8
    # Contacts assigned to it, in wrap-up with it or whose leading offer it has; further offers.
    first_contact: Row
    first_offer: Row
    contact_count: I64
    version: I64
    due_ms: I64
    heap_position: Row
    is_dirty: I8
    dirty: Row
    heap: Row


# Totals per queue, columns of Queues.totals.
RECEIVED: Final = 0
ANSWERED: Final = 1
ANSWERED_WITHIN: Final = 2
ABANDONED: Final = 3
SHORT_ABANDONED: Final = 4
EXPIRED: Final = 5
REJECTED: Final = 6
COMPLETED: Final = 7
WAIT_MS_SUM: Final = 8
HANDLE_MS_SUM: Final = 9
OFFERS: Final = 10
OFFERS_FAILED: Final = 11
CANCELLED: Final = 12
RATED: Final = 13
# Sum of outcomes, in thousandths.
OUTCOME_SUM: Final = 14
# Sum of the waits of abandoned contacts.
ABANDONED_MS_SUM: Final = 15
# Answered contacts whose wait somebody had asked to estimate, how far off all estimates were, and
# how many of them waited longer than the upper bound.
ESTIMATED: Final = 16
ESTIMATE_ERROR_MS_SUM: Final = 17
ESTIMATES_EXCEEDED: Final = 18
FALLBACKS: Final = 19
TOTALS: Final = 20

# Totals of a queue's matching windows, columns of Queues.window_totals.
WINDOW_BATCHES: Final = 0
WINDOW_CONTACTS: Final = 1
WINDOW_AGENTS: Final = 2
WINDOW_MATCHED: Final = 3
WINDOW_TOTALS: Final = 4

# Score weights per queue, columns of Queues.weight, in the order of
# `engine.definitions.ScoreWeights`; `engine.kernels.scoring` states the formula.
W_PREFERRED_SKILLS: Final = 0
W_SKILL: Final = 1
W_PREFERRED_AGENT: Final = 2
W_HANDLE_TIME: Final = 3
W_OUTCOME: Final = 4
W_IDLE: Final = 5
W_LOAD: Final = 6
W_TURN: Final = 7
W_VERSATILITY: Final = 8
W_OCCUPANCY: Final = 9
W_WAIT: Final = 10
W_URGENCY: Final = 11
URGENT_FROM: Final = 12
W_LATENESS: Final = 13
WEIGHTS: Final = 14


class Queues(NamedTuple):
    """One row per queue."""

    # Intake; NONE where the row holds no queue.
    intake: I8
    wrap_up_mode: I8
    weight: Annotated[NDArray[np.float64], Shape(np.float64, WEIGHTS)]
    service_level_within_ms: I64
    # 1 / service_level_within_ms: effective ages count in service-level times.
    per_target_ms: F64
    # Age from which a contact goes before all that are younger in this sense, 0 = never.
    starvation_ms: I64
    offer_timeout_ms: I64
    # Agents a contact is offered to at a time.
    broadcast_max: I64
    wrap_up_ms: I64
    max_wait_ms: I64
    # 0 = no limit.
    max_length: I64
    reoffer_delay_ms: I64
    reoffer_delay_only_agent_ms: I64
    priority_age_ms: I64
    # QueueOrder.
    order: I8
    # Queues with a higher one go first.
    priority: I64
    # RejectionReason while its hours say that it is closed, 0 while it is open by them.
    closed_for: I8
    # Queue that its contacts fall back to.
    fallback: Row
    short_abandon_ms: I64
    # How long offers are gathered into a batch, 0 = not at all; when the open window ends, and its
    # place in the heap of windows, -1 while none is open.
    matching_window_ms: I64
    window_ends_ms: I64
    window_position: Row
    # Batches assigned, their contacts, their agents, and the contacts that got one.
    window_totals: Annotated[NDArray[np.int64], Shape(np.int64, WINDOW_TOTALS)]
    # Contacts that count, at most RECENT_HANDLED_MAX, and their mean handling time with wrap-up.
    recent_handled: I64
    recent_handle_ms: I64
    waiting: I64
    offered: I64
    assigned: I64
    wrapping_up: I64
    scheduled: I64
    interrupted: I64
    diverted: I64
    totals: Annotated[NDArray[np.int64], Shape(np.int64, TOTALS)]
    # First of its classes that hold waiting contacts.
    first_class: Row
    version: I64
    is_dirty: I8
    dirty: Row
    # Heap of rows by window_ends_ms, its length in Cell.
    window_heap: Row


class Classes(NamedTuple):
    """One row per class of contacts; see the module's docstring."""

    queue: Row
    requirement: Row
    channel: I8
    priority: I64
    head: Row
    tail: Row
    # Contacts that wait in it.
    waiting: I64
    # Open contacts that refer to the class, waiting or not.
    references: I64
    # Neighbours among the queue's classes that hold waiting contacts.
    following: Row
    preceding: Row
    # Class its contacts go on to when they have waited so long in the queue.
    relaxed: Row
    relaxes_after_ms: I64
    # Class of the fallback queue that they go to instead of their end.
    fallback: Row


class Bitsets(NamedTuple):
    """Sets of agents and queues, 64 to a word; bit i of word w stands for row 64 w + i."""

    # (queues, agent words): agents that serve the queue.
    queue_agents: Bits
    # (agents, queue words): queues the agent serves.
    agent_queues: Bits
    # (skills x 5, agent words): agents at or above level l of skill s, in row 5 s + l - 1.
    skill_agents: Bits
    # (tags, agent words): agents that carry the tag.
    tag_agents: Bits
    # (channels, agent words): agents available with room for one more contact of the channel.
    free_agents: Bits
    # (1, agent words): agents signed in and not draining, who may have room sooner or later.
    working_agents: Bits
    # (1, agent words): agents whose presence is AVAILABLE.
    available_agents: Bits
    # (1, queue words): queues with waiting contacts that may be offered at once, and those with
    # waiting contacts that may be offered when a matching window ends.
    waiting_queues: Bits
    windowed_queues: Bits


# What a durable row describes, as `engine.state.rows.RowTable` has it.
CONTACT_ROWS: Final = 1
AGENT_ROWS: Final = 2
QUEUE_ROWS: Final = 3
ESTIMATE_ROWS: Final = 4
OFFER_ROWS: Final = 5

# Scalars of the cell, places in Cell.scalar.
NOW_MS: Final = 0
NEXT_CONTACT: Final = 1
NEXT_OFFER: Final = 2
EFFECT_COUNT: Final = 3
CONTACT_DIRTY_COUNT: Final = 4
AGENT_DIRTY_COUNT: Final = 5
QUEUE_DIRTY_COUNT: Final = 6
CONTACT_HEAP_COUNT: Final = 7
AGENT_HEAP_COUNT: Final = 8
ENDED_HEAD: Final = 9
ENDED_TAIL: Final = 10
ENDED_COUNT: Final = 11
ENDED_MAX: Final = 12
ENDED_RETENTION_MS: Final = 13
OPEN_COUNT: Final = 14
NEXT_DUE_MS: Final = 15
# Effect count at which the running call leaves the rest for the next one.
EFFECT_COUNT_MAX: Final = 16
ESTIMATE_DIRTY_COUNT: Final = 17
OFFER_DIRTY_COUNT: Final = 18
# First free row of Offers that was used before, and number of rows ever used.
FREE_OFFER: Final = 19
OFFER_ROWS_USED: Final = 20
# Decisions since the start, the number of the first, and how many are kept.
DECISION_COUNT: Final = 21
FIRST_DECISION: Final = 22
DECISIONS_MAX: Final = 23
# Second best of the latest search for an agent, -1 for none.
RUNNER_UP: Final = 24
# Agents it chose from.
ELIGIBLE: Final = 25
# Open matching windows, and queues that have windows at all.
WINDOW_HEAP_COUNT: Final = 26
WINDOWED_COUNT: Final = 27
SCALARS: Final = 28


class Cell(NamedTuple):
    """Scalars and buffers of the cell."""

    scalar: I64
    request: I64
    outcome: I64
    # (room, EFFECT_WIDTH): effects since the last commit group was sealed.
    effects: Records


LEVELS: Final = PROFICIENCY_MAX
LAYOUTS: Final = (
    Contacts,
    Agents,
    Offers,
    Estimates,
    Queues,
    Classes,
    Requirements,
    Bitsets,
    Decisions,
    Batch,
    Cell,
)
