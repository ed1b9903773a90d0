"""
The columns of a simulated floor: what is drawn for contacts, who works when, and what was measured.

A *floor* is everything around a cell that a simulation makes up: callers, agents' habits, the
clock. The cell itself is the engine's own, and only the engine's own transitions change it.

Like the cell's, a floor's columns are one contiguous array per field, reached through one table.
Times are int64 milliseconds of the simulated clock; durations that are drawn are float64
milliseconds until they are rounded to the clock.
"""

from collections.abc import Callable
from typing import Annotated, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.boundary import Table, opener
from engine.kernels.shapes import F64, I8, I64, Row, Shape

U64 = Annotated[NDArray[np.uint64], Shape(np.uint64)]

# Forms of distribution, values of Distributions.form.
NEVER_ENDS: Final = 0
CONSTANT: Final = 1
EXPONENTIAL: Final = 2
LOGNORMAL: Final = 3
ERLANG: Final = 4
WEIBULL: Final = 5
GAMMA: Final = 6
# The forms from here on have points.
HYPEREXPONENTIAL: Final = 7
STEPS: Final = 8


class Distributions(NamedTuple):
    """One row per law of durations or factors; see engine.kernels.distributions."""

    form: I8
    # Milliseconds, or none where the row is a law of factors.
    scale: F64
    shape: F64
    # Its rows in Points.
    first: I64
    length: I64


class Points(NamedTuple):
    """One row per branch or step of a distribution."""

    # Probability of this point or an earlier one, ascending, the last 1.
    cumulative: F64
    # Mean of the branch, or value of the step, milliseconds; inf for never.
    value_ms: F64


class Steps(NamedTuple):
    """One row per stretch of constant arrival rate."""

    # End of the stretch, from the start of the cycle, milliseconds; inf for ever.
    until_ms: F64
    per_ms: F64


class Recorded(NamedTuple):
    """One row per recorded arrival."""

    at_ms: I64


class Streams(NamedTuple):
    """One row per arrival stream."""

    # Class of the cell its contacts belong to.
    class_row: I64
    patience: Row
    wrap_up: Row
    # Rows in Steps and length of the cycle they repeat with, milliseconds, 0 for once; or, where
    # there are any, rows in Recorded.
    first_step: I64
    step_count: I64
    cycle_ms: I64
    first_recorded: I64
    recorded_count: I64
    # Law of the factor on the rate of each cycle, -1 for none, and which streams share its draws.
    busyness: Row
    busyness_group: I64
    # Diversion: it begins when this many wait and ends when so few do; the share who take it; the
    # stream they come back in, -1 for none.
    divert_from: I64
    divert_until: I64
    divert_share: F64
    divert_to: Row
    # Of those who abandon or are rejected, who tries again, and after how long.
    redial_share: F64
    redial_delay: Row
    # Contacts that are there when the doors open.
    initial: I64
    # Running: contacts arrived, the next one's time, and where the clock of arrivals stands.
    arrived: I64
    clock_ms: F64
    cycle_start_ms: F64
    cycle: I64
    step: I64
    factor: F64
    is_diverting: I8
    # Contacts received and neither answered nor ended, and when that was last looked at.
    waiting: I64
    seen_ms: I64
    # Heap of streams by the next arrival.
    due_ms: I64
    heap_position: Row
    heap: Row


class Groups(NamedTuple):
    """One row per agent group."""

    # Shares of full speed with 1, 2, ... contacts in hand: rows in Points; 0 for always full speed.
    first_speed: I64
    speed_count: I64
    # 1 where agents who leave give back what they hold instead of finishing it.
    hands_back: I8
    # Rows of its agents: the first, and how many.
    first_agent: I64
    agent_count: I64
    # Running: agents it is to have, agents signed in, and when that was last looked at.
    staffing: I64
    signed_in: I64
    seen_ms: I64


class FloorAgents(NamedTuple):
    """One row per agent, that of the cell."""

    group: I64
    # Factor on durations of handling and wrap-up, above 0.
    slowness: F64
    # Running: contacts in hand, and when that was last looked at.
    holds: I64
    seen_ms: I64
    is_signed_in: I8


class Handling(NamedTuple):
    """One row per group and stream: row = group x streams + stream."""

    # Law of handling time.
    law: Row


class Overflows(NamedTuple):
    """One row per rule by which a group helps out in a queue that it does not serve."""

    group: I64
    queue: I64
    # Contacts that must wait, and agents of the group who stay idle all the same.
    from_waiting: I64
    keep_idle: I64


class QueueRules(NamedTuple):
    """One row per queue, that of the cell."""

    # Weight of the skill term, and for each contact that waits; 0 leaves the weight as it is.
    skill: F64
    skill_per_waiting: F64


class Changes(NamedTuple):
    """One row per change of staffing, in order of time."""

    at_ms: I64
    group: I64
    agents: I64


class Moments(NamedTuple):
    """One row per moment at which the floor is looked at, in order of time."""

    at_ms: I64
    # Probe stream of which a contact arrives just then, -1 for none.
    probe: Row
    # What was seen: contacts waiting, in hand, agents signed in, agents with a contact in hand.
    waiting: I64
    in_hand: I64
    signed_in: I64
    busy: I64
    # How long the probe waited, milliseconds, -1 while it waits.
    wait_ms: Annotated[NDArray[np.int64], Shape(np.int64, 1, -1)]


class FloorContacts(NamedTuple):
    """One row per contact row of the cell."""

    # Whose draws it has.
    number: I64
    stream: I64
    attempt: I64
    batch: I64
    has_waited: I8
    # When patience ends, and when the agent answers the outstanding offer.
    leaves_ms: I64
    answers_ms: I64
    # Work left at the time `worked_ms`, at full speed.
    work_ms: F64
    work_speed: F64
    worked_ms: I64
    # Next event, and place in the heap.
    due_ms: I64
    heap_position: Row
    heap: Row
    # Stack of free rows.
    free: I64


class Redials(NamedTuple):
    """One row per caller who will try again."""

    number: I64
    stream: I64
    attempt: I64
    due_ms: I64
    heap_position: Row
    heap: Row
    free: I64


# Counts per batch and stream, columns of Tallies.counts.
OFFERED: Final = 0
BLOCKED: Final = 1
DIVERTED: Final = 2
ANSWERED: Final = 3
ABANDONED: Final = 4
EXPIRED: Final = 5
# Contacts that were not offered to an agent at once.
WAITED: Final = 6
REDIALLED: Final = 7
COMPLETED: Final = 8
DIVERSIONS_BEGUN: Final = 9
# Arrivals that found more waiting than diversion begins at.
FOUND_MORE: Final = 10
# Answered, and abandoned, within each threshold.
ANSWERED_WITHIN: Final = 11
THRESHOLDS_MAX: Final = 4
ABANDONED_WITHIN: Final = ANSWERED_WITHIN + THRESHOLDS_MAX
COUNTS: Final = ABANDONED_WITHIN + THRESHOLDS_MAX

# Sums per batch and stream, columns of Tallies.total_ms.
ANSWERED_WAIT: Final = 0
ABANDONED_WAIT: Final = 1
HANDLING: Final = 2
# Integral over time of the number waiting, and time spent diverting.
WAITING_AREA: Final = 3
DIVERTING_AREA: Final = 4
SUMS: Final = 5

# Waits are also counted by length: 64 bins an octave from 1 ms on.
WAIT_BINS: Final = 64 * 28


class Tallies(NamedTuple):
    """One row per batch and stream: row = batch x streams + stream."""

    counts: Annotated[NDArray[np.int64], Shape(np.int64, COUNTS)]
    total_ms: Annotated[NDArray[np.float64], Shape(np.float64, SUMS)]
    # (rows, WAIT_BINS) waits of answered contacts that waited, by length.
    waits: Annotated[NDArray[np.int64], Shape(np.int64, WAIT_BINS)]


# Integrals over time per batch and group, columns of GroupTallies.area_ms.
BUSY_AREA: Final = 0
IN_HAND_AREA: Final = 1
SIGNED_IN_AREA: Final = 2
AREAS: Final = 3


class GroupTallies(NamedTuple):
    """One row per batch and group: row = batch x groups + group."""

    area_ms: Annotated[NDArray[np.float64], Shape(np.float64, AREAS)]


class AnsweredBy(NamedTuple):
    """One row per batch, group and stream: row = (batch x groups + group) x streams + stream."""

    contacts: I64


# Scalars of the floor, places in Run.scalar.
NOW: Final = 0
ENDS: Final = 1
CONTACT_HEAP: Final = 2
STREAM_HEAP: Final = 3
REDIAL_HEAP: Final = 4
FREE_CONTACTS: Final = 5
FREE_REDIALS: Final = 6
NEXT_CHANGE: Final = 7
NEXT_MOMENT: Final = 8
BATCH: Final = 9
BATCH_ENDS: Final = 10
BATCH_LENGTH: Final = 11
BATCHES: Final = 12
EVENTS: Final = 13
ARRIVALS_END: Final = 14
ANSWER_LAW: Final = 15
IN_HAND: Final = 16
BUSY: Final = 17
SIGNED_IN: Final = 18
# Most contacts the cell may hold, however few wait.
TRUNKS: Final = 19
OVERFLOW_RULES: Final = 20
# What the event brought: the queue a contact arrived in, the agent who finished one; -1 for none.
ARRIVED_IN: Final = 21
FREED: Final = 22
# 1 where some weight grows with the number waiting.
HAS_GROWING_WEIGHTS: Final = 23
RUN_SCALARS: Final = 24

# Places in Run.share.
ACCEPT_SHARE: Final = 0
RUN_SHARES: Final = 1


class Run(NamedTuple):
    """What the whole run has one of."""

    scalar: I64
    share: F64
    # Key of every draw.
    key: U64
    # Thresholds of service levels, milliseconds, ascending; NEVER_MS where unused.
    threshold_ms: I64


FLOOR_LAYOUTS: Final = (
    Distributions,
    Points,
    Steps,
    Recorded,
    Streams,
    Groups,
    FloorAgents,
    Handling,
    Overflows,
    QueueRules,
    Changes,
    Moments,
    FloorContacts,
    Redials,
    Tallies,
    GroupTallies,
    AnsweredBy,
    Run,
)

open_distributions: Final[Callable[[Table], Distributions]] = opener(Distributions, FLOOR_LAYOUTS)
open_points: Final[Callable[[Table], Points]] = opener(Points, FLOOR_LAYOUTS)
open_steps: Final[Callable[[Table], Steps]] = opener(Steps, FLOOR_LAYOUTS)
open_recorded: Final[Callable[[Table], Recorded]] = opener(Recorded, FLOOR_LAYOUTS)
open_streams: Final[Callable[[Table], Streams]] = opener(Streams, FLOOR_LAYOUTS)
open_groups: Final[Callable[[Table], Groups]] = opener(Groups, FLOOR_LAYOUTS)
open_floor_agents: Final[Callable[[Table], FloorAgents]] = opener(FloorAgents, FLOOR_LAYOUTS)
open_handling: Final[Callable[[Table], Handling]] = opener(Handling, FLOOR_LAYOUTS)
open_overflows: Final[Callable[[Table], Overflows]] = opener(Overflows, FLOOR_LAYOUTS)
open_queue_rules: Final[Callable[[Table], QueueRules]] = opener(QueueRules, FLOOR_LAYOUTS)
open_changes: Final[Callable[[Table], Changes]] = opener(Changes, FLOOR_LAYOUTS)
open_moments: Final[Callable[[Table], Moments]] = opener(Moments, FLOOR_LAYOUTS)
open_floor_contacts: Final[Callable[[Table], FloorContacts]] = opener(FloorContacts, FLOOR_LAYOUTS)
open_redials: Final[Callable[[Table], Redials]] = opener(Redials, FLOOR_LAYOUTS)
open_tallies: Final[Callable[[Table], Tallies]] = opener(Tallies, FLOOR_LAYOUTS)
open_group_tallies: Final[Callable[[Table], GroupTallies]] = opener(GroupTallies, FLOOR_LAYOUTS)
open_answered_by: Final[Callable[[Table], AnsweredBy]] = opener(AnsweredBy, FLOOR_LAYOUTS)
open_run: Final[Callable[[Table], Run]] = opener(Run, FLOOR_LAYOUTS)


class FloorColumns(NamedTuple):
    """Every column of one floor, in the order of FLOOR_LAYOUTS."""

    distributions: Distributions
    points: Points
    steps: Steps
    recorded: Recorded
    streams: Streams
    groups: Groups
    agents: FloorAgents
    handling: Handling
    overflows: Overflows
    queue_rules: QueueRules
    changes: Changes
    moments: Moments
    contacts: FloorContacts
    redials: Redials
    tallies: Tallies
    group_tallies: GroupTallies
    answered_by: AnsweredBy
    run: Run
