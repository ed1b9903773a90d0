"""
The life of a contact: one table, read by people and by the compiled transitions.

A contact is QUEUED until it is OFFERED to an agent; an accepted offer makes it ASSIGNED; when
handling ends it is in WRAP_UP, which still holds capacity, and then COMPLETED. An offer that is
declined, expires or is rescinded puts the contact back to its place in QUEUED with its routing age,
unless other agents have it on offer as well; then it stays OFFERED until the last of them fails.
One that is to be dealt with later, or tried again, is SCHEDULED until its time comes. One that its
agent puts aside for another is INTERRUPTED until the agent goes on with it. One whose customer
accepted to go on elsewhere is DIVERTED until it comes back, goes on there, or ends.
An event that the table does not list for a state is refused and changes nothing.
"""

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray


class Channel(IntEnum):
    """Channel a contact arrives on; values are those of the wire."""

    VOICE = 1
    CHAT = 2
    EMAIL = 3
    SOCIAL = 4
    VIDEO = 5
    SMS = 6
    CALLBACK = 7
    SELF_SERVICE = 8


# Columns per channel are indexed by the value itself; index 0 is not used.
CHANNEL_SLOTS: Final = 9


class ContactState(IntEnum):
    """Where a contact is; values are those of the wire. FREE marks a row that holds no contact."""

    FREE = 0
    QUEUED = 1
    OFFERED = 2
    ASSIGNED = 3
    WRAP_UP = 4
    COMPLETED = 5
    ABANDONED = 6
    EXPIRED = 7
    CANCELLED = 8
    REJECTED = 9
    SCHEDULED = 10
    INTERRUPTED = 11
    DIVERTED = 12


class Trigger(IntEnum):
    """What moves a contact from one state to the next."""

    ADMIT = 0
    REJECT = 1
    OFFER = 2
    ACCEPT = 3
    DECLINE = 4
    EXPIRE_OFFER = 5
    RESCIND = 6
    COMPLETE = 7
    COMPLETE_WITHOUT_WRAP_UP = 8
    END_WRAP_UP = 9
    RELEASE = 10
    REQUEUE = 11
    ABANDON = 12
    WITHDRAW = 13
    EXPIRE_WAIT = 14
    UPDATE = 15
    RELAX = 16
    PICK = 17
    ADMIT_LATER = 18
    SCHEDULE = 19
    COME_DUE = 20
    FAIL_ATTEMPT = 21
    EXHAUST_ATTEMPTS = 22
    INTERRUPT = 23
    RESUME = 24
    CONSULT = 25
    TRANSFER = 26
    END_CONSULT = 27
    DIVERT = 28
    RETURN = 29
    END_DIVERSION = 30


TRANSITIONS: Final[dict[ContactState, dict[Trigger, ContactState]]] = {
    ContactState.FREE: {
        Trigger.ADMIT: ContactState.QUEUED,
        Trigger.ADMIT_LATER: ContactState.SCHEDULED,
        Trigger.REJECT: ContactState.REJECTED,
    },
    ContactState.QUEUED: {
        Trigger.OFFER: ContactState.OFFERED,
        Trigger.PICK: ContactState.OFFERED,
        Trigger.REQUEUE: ContactState.QUEUED,
        Trigger.UPDATE: ContactState.QUEUED,
        Trigger.RELAX: ContactState.QUEUED,
        Trigger.ABANDON: ContactState.ABANDONED,
        Trigger.WITHDRAW: ContactState.CANCELLED,
        Trigger.EXPIRE_WAIT: ContactState.EXPIRED,
        Trigger.SCHEDULE: ContactState.SCHEDULED,
        Trigger.DIVERT: ContactState.DIVERTED,
    },
    ContactState.OFFERED: {
        Trigger.PICK: ContactState.OFFERED,
        Trigger.ACCEPT: ContactState.ASSIGNED,
        Trigger.DECLINE: ContactState.QUEUED,
        Trigger.EXPIRE_OFFER: ContactState.QUEUED,
        Trigger.RESCIND: ContactState.QUEUED,
        Trigger.REQUEUE: ContactState.QUEUED,
        Trigger.UPDATE: ContactState.OFFERED,
        Trigger.ABANDON: ContactState.ABANDONED,
        Trigger.WITHDRAW: ContactState.CANCELLED,
        Trigger.SCHEDULE: ContactState.SCHEDULED,
        Trigger.DIVERT: ContactState.DIVERTED,
    },
    ContactState.ASSIGNED: {
        Trigger.COMPLETE: ContactState.WRAP_UP,
        Trigger.COMPLETE_WITHOUT_WRAP_UP: ContactState.COMPLETED,
        Trigger.RELEASE: ContactState.QUEUED,
        Trigger.REQUEUE: ContactState.QUEUED,
        Trigger.UPDATE: ContactState.ASSIGNED,
        Trigger.SCHEDULE: ContactState.SCHEDULED,
        Trigger.FAIL_ATTEMPT: ContactState.SCHEDULED,
        Trigger.EXHAUST_ATTEMPTS: ContactState.EXPIRED,
        Trigger.INTERRUPT: ContactState.INTERRUPTED,
        Trigger.CONSULT: ContactState.ASSIGNED,
        Trigger.TRANSFER: ContactState.ASSIGNED,
        Trigger.END_CONSULT: ContactState.CANCELLED,
    },
    ContactState.INTERRUPTED: {
        Trigger.RESUME: ContactState.ASSIGNED,
        Trigger.COMPLETE: ContactState.WRAP_UP,
        Trigger.COMPLETE_WITHOUT_WRAP_UP: ContactState.COMPLETED,
        Trigger.RELEASE: ContactState.QUEUED,
        Trigger.REQUEUE: ContactState.QUEUED,
        Trigger.UPDATE: ContactState.INTERRUPTED,
        Trigger.TRANSFER: ContactState.ASSIGNED,
        Trigger.END_CONSULT: ContactState.CANCELLED,
        Trigger.SCHEDULE: ContactState.SCHEDULED,
    },
    ContactState.WRAP_UP: {
        Trigger.END_WRAP_UP: ContactState.COMPLETED,
        Trigger.UPDATE: ContactState.WRAP_UP,
    },
    ContactState.SCHEDULED: {
        Trigger.COME_DUE: ContactState.QUEUED,
        Trigger.SCHEDULE: ContactState.SCHEDULED,
        Trigger.REQUEUE: ContactState.QUEUED,
        Trigger.UPDATE: ContactState.SCHEDULED,
        Trigger.ABANDON: ContactState.ABANDONED,
        Trigger.WITHDRAW: ContactState.CANCELLED,
    },
    ContactState.DIVERTED: {
        Trigger.RETURN: ContactState.QUEUED,
        Trigger.END_DIVERSION: ContactState.COMPLETED,
        Trigger.UPDATE: ContactState.DIVERTED,
        Trigger.ABANDON: ContactState.ABANDONED,
        Trigger.WITHDRAW: ContactState.CANCELLED,
    },
    ContactState.COMPLETED: {},
    ContactState.ABANDONED: {},
    ContactState.EXPIRED: {},
    ContactState.CANCELLED: {},
    ContactState.REJECTED: {},
}

NO_STATE: Final = -1


def _as_table() -> NDArray[np.int8]:
    table = np.full((len(ContactState), len(Trigger)), NO_STATE, np.int8)
    for state, row in TRANSITIONS.items():
        for trigger, following in row.items():
            table[state, trigger] = following
    table.flags.writeable = False
    return table


# (states, triggers): the next state, or NO_STATE where the trigger is refused.
TRANSITION_TABLE: Final = _as_table()

# Those in which an agent holds the contact.
HELD_STATES: Final = (
    ContactState.OFFERED,
    ContactState.ASSIGNED,
    ContactState.INTERRUPTED,
    ContactState.WRAP_UP,
)
# (states,): whether a contact has ended, for nothing leaves the state.
HAS_ENDED: Final = np.array([not TRANSITIONS[state] for state in ContactState])
HAS_ENDED.flags.writeable = False


class Presence(IntEnum):
    """
    Whether an agent takes contacts; values are those of the wire.

    NONE marks a row that holds no agent.
    """

    NONE = 0
    AVAILABLE = 1
    BUSY = 2
    AWAY = 3
    DRAINING = 4
    OFFLINE = 5


class AgentKind(IntEnum):
    """What an agent is; values are those of the wire."""

    PERSON = 1
    BOT = 2


class Intake(IntEnum):
    """
    What a queue does with contacts; values are those of the wire.

    NONE marks a row that holds no queue.
    """

    NONE = 0
    OPEN = 1
    PAUSED = 2
    CLOSED = 3


class WrapUpMode(IntEnum):
    """How wrap-up ends; values are those of the wire."""

    NONE = 1
    TIMED = 2
    UNTIL_ENDED = 3


class Strategy(IntEnum):
    """Preset of scoring weights; values are those of the wire."""

    LONGEST_IDLE = 1
    LEAST_OCCUPIED = 2
    ROUND_ROBIN = 3
    BEST_SCORE = 4
    SPECIALISTS_FIRST = 5


class RefusalReason(IntEnum):
    """
    Why an agent cannot be offered a contact; values are those of the wire, less one.

    Where agents are counted, the first that applies counts.
    """

    NOT_SIGNED_IN = 0
    NOT_AVAILABLE = 1
    LACKS_SKILL = 2
    LACKS_TAG = 3
    HAS_EXCLUDED_TAG = 4
    NOT_NAMED = 5
    NO_ROOM = 6
    RECENTLY_FAILED = 7
    # Of agents who are asked about; never counted, since only the queue's own are.
    NOT_IN_QUEUE = 8


class EstimateStatus(IntEnum):
    """Whether a wait could be estimated; values are those of the wire."""

    ESTIMATED = 1
    # Somebody could be offered the contact now.
    NO_WAIT = 2
    # Nobody who could ever take it is available.
    NO_AGENTS = 3
    # Too few contacts of the queue have been handled.
    INSUFFICIENT_DATA = 4
    # The queue offers nothing.
    PAUSED = 5


class DecisionKind(IntEnum):
    """What a choice was made for; values are those of the wire."""

    # A contact came, or asks for something else: the best agent.
    ROUTED = 1
    UPDATED = 2
    # A contact came back together with room: agent and contact by turns.
    RETURNED = 3
    # An agent got room: the contact with the best claim.
    FREED = 4
    # Many may have got room at a time.
    BACKLOG = 5
    # Somebody chose the agent.
    PICKED = 6
    # A matching window ended: the best assignment of contacts to agents as a whole.
    WINDOW = 7


class Day(IntEnum):
    """A day of the week; values are those of the wire and of ISO 8601."""

    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6
    SUNDAY = 7


class QueueOrder(IntEnum):
    """Which of a queue's contacts is next; values are those of the wire."""

    FIFO = 1
    LIFO = 2


class RejectionReason(IntEnum):
    """Why a contact was rejected at the door; values are those of the wire."""

    NONE = 0
    QUEUE_FULL = 1
    QUEUE_CLOSED = 2
    OUTSIDE_HOURS = 3
    HOLIDAY = 4


class CancelReason(IntEnum):
    """Why a contact is cancelled; values are those of the wire."""

    ABANDONED = 1
    WITHDRAWN = 2
