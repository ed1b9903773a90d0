"""
Bounds of one cell, in one place, each with the relation that makes it safe.

Nothing in the engine grows past these; a command that would is refused with a reason.
"""

from dataclasses import dataclass
from typing import Final

from engine.refusals import BadConfiguration

DAY_MS: Final = 86_400_000
FORTNIGHT_MS: Final = 14 * DAY_MS

# A deadline that never comes. Half of int64, so that adding any duration to it cannot overflow.
NEVER_MS: Final = 1 << 62

SKILLS_MAX: Final = 256
TAGS_MAX: Final = 4_096
PROFICIENCY_MAX: Final = 5
# Requirements are fixed-width rows; eight of each kind covers every peer's published limit.
REQUIREMENT_ITEMS_MAX: Final = 8
RELAXATION_STEPS_MAX: Final = 8
PRIORITY_MAX: Final = 1_000
CAPACITY_MAX: Final = 1_000_000
ID_BYTES_MAX: Final = 128
ATTRIBUTES_MAX: Final = 64
ATTRIBUTE_BYTES_MAX: Final = 16_384
PREFERENCE_WEIGHT_MAX: Final = 100.0
SCORE_WEIGHT_MAX: Final = 1_000_000_000

# Agents that recently failed with a contact, remembered per contact, and one place for a rest from
# everybody. With more failures than this inside one re-offer delay the one that ends first is
# forgotten; from then on the contact rests between offers, and goes round by whose last offer is
# longest ago, so that a crowd that declines neither keeps it from a willing agent nor rings without
# pause.
EXCLUSIONS_MAX: Final = 8

# Queues in which an agent's handling times and outcomes are remembered; beyond that the one with
# the fewest contacts makes room.
ESTIMATES_MAX: Final = 8
# Contacts an estimate remembers: a mean of so many, then one that moves by as little with each.
ESTIMATE_MEMORY: Final = 50
# Contacts' worth of the queue's own mean that an agent's estimate is mixed with.
ESTIMATE_PRIOR: Final = 10
# Contacts a queue's present handling time is the mean of, as above.
RECENT_HANDLED_MAX: Final = 200
# Contacts without which a wait is not estimated.
ESTIMATE_SAMPLES_MIN: Final = 10
# Time constant of the mean that occupancy is.
OCCUPANCY_WINDOW_MS: Final = 1_800_000

# Effects one kernel call may record before it leaves the rest due at once, so that no call is long.
EFFECTS_PER_CALL: Final = 1_024
# Effects one step of a transition may record without asking whether there is room.
EFFECT_ROOM_MIN: Final = 128

# Periods of a week, dates that are exceptions, and periods of each.
WEEKLY_PERIODS_MAX: Final = 64
HOURS_EXCEPTIONS_MAX: Final = 366
EXCEPTION_PERIODS_MAX: Final = 8

# Longest a queue may gather contacts and agents before it assigns them to each other.
MATCHING_WINDOW_MS_MAX: Final = 1_000
# Waiting contacts assigned in one batch; what is left is assigned in the next, at the same moment.
# Twice as many would take four times the room, and eight times as long to assign.
BATCH_CONTACTS_MAX: Final = 32

# Agents a contact may be offered to at a time.
BROADCAST_MAX: Final = 32

# How far ahead a contact may be scheduled: callbacks are for a day, appointments for weeks.
SCHEDULE_AHEAD_MS_MAX: Final = 31 * DAY_MS
ATTEMPTS_MAX: Final = 100
# Agents a contact remembers who had it before.
PAST_AGENTS_MAX: Final = 4
RETRY_DELAY_MS: Final = 900_000
RETRY_DELAY_MS_MIN: Final = 1_000
RETRY_DELAY_MS_MAX: Final = DAY_MS

OFFER_TIMEOUT_MS: Final = 20_000
MAX_WAIT_MS: Final = DAY_MS
REOFFER_DELAY_MS: Final = 30_000
REOFFER_DELAY_ONLY_AGENT_MS: Final = 1_000
PRIORITY_AGE_MS: Final = 60_000
SERVICE_LEVEL_WITHIN_MS: Final = 20_000
SERVICE_LEVEL_RATIO: Final = 0.8
MISSED_OFFERS_MAX: Final = 3
LEASE_MS_MIN: Final = 1_000

# All offers of a contact may end at once, and all its steps come due.
assert BROADCAST_MAX + RELAXATION_STEPS_MAX < EFFECT_ROOM_MIN // 2
# A call that could not make one step would never end what it began.
assert EFFECT_ROOM_MIN < EFFECTS_PER_CALL
# The only-agent delay must not be the longer one: it exists to re-offer sooner.
assert REOFFER_DELAY_ONLY_AGENT_MS <= REOFFER_DELAY_MS
# Routing ages times priorities are added in int64 milliseconds.
assert PRIORITY_MAX * DAY_MS + FORTNIGHT_MS < NEVER_MS // 2


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Sizes one cell may reach.

    Attributes
    ----------
    contacts_max
        Open and recently ended contacts together, 1 to 2,000,000.
    agents_max
        Agents, signed in or not, 1 to 200,000.
    queues_max
        Queues, 1 to 20,000.
    classes_max
        Combinations of queue, requirements, channel and priority among open contacts, 1 to 200,000.
    ended_max
        Ended contacts kept readable, 0 to `contacts_max`; the oldest are forgotten first.
    ended_retention_ms
        How long an ended contact is kept readable, milliseconds, 0 to one day.
    decisions_max
        Decision records kept, 0 to 2,000,000; the oldest make room.
    """

    contacts_max: int = 1_100_000
    agents_max: int = 100_000
    queues_max: int = 10_000
    classes_max: int = 100_000
    ended_max: int = 100_000
    ended_retention_ms: int = 600_000
    decisions_max: int = 20_000

    def __post_init__(self) -> None:
        bounds = {
            "contacts_max": (1, 2_000_000),
            "agents_max": (1, 200_000),
            "queues_max": (1, 20_000),
            "classes_max": (1, 200_000),
            "ended_max": (0, self.contacts_max),
            "ended_retention_ms": (0, DAY_MS),
            "decisions_max": (0, 2_000_000),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not (low <= value <= high):
                raise BadConfiguration(f"limits.{name}", value, f"{low} to {high}")
