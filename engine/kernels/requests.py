"""
What a transition is asked to do and what it answers: the operation, where its arguments stand in
`Cell.request`, and its results in `Cell.outcome`.
"""

from enum import IntEnum
from typing import Final

from engine.kernels.side_columns import REASONS


class Operation(IntEnum):
    """What `apply` is to do; the value of request[IN_OPERATION]."""

    EXPIRE = 0
    # On contacts.
    ROUTE = 1
    UPDATE = 2
    REQUEUE = 3
    CANCEL = 4
    PICK = 5
    SCHEDULE = 6
    CONSULT = 7
    DIVERT = 8
    RETURN = 9
    END_DIVERSION = 10
    # On contacts in the hands of agents.
    ACCEPT = 11
    DECLINE = 12
    COMPLETE = 13
    END_WRAP_UP = 14
    RELEASE = 15
    FAIL_ATTEMPT = 16
    TRANSFER = 17
    # On agents, queues and the cell.
    AGENT_CHANGED = 18
    SET_PRESENCE = 19
    HEARTBEAT = 20
    QUEUE_CHANGED = 21
    SET_INTAKE = 22
    RECOVER = 23
    DELETE_AGENT = 24
    DELETE_QUEUE = 25
    RESET_ESTIMATES = 26
    SETTLE_AGENT = 27
    # The operations from here on make nothing due.
    FORGET_CONTACT = 28
    RESTORE_CONTACT = 29
    RESTORE_AGENT = 30
    RESTORE_OFFER = 31
    READ_CONTACT = 32
    READ_AGENT = 33
    READ_REFUSALS = 34
    READ_AHEAD = 35
    READ_MAY_CONSULT = 36
    MARK_CONTACT = 37
    MARK_AGENT = 38
    MARK_ESTIMATES = 39
    MARK_OFFER = 40
    MARK_QUEUE = 41
    SET_HOURS = 42
    RECORD_CONTACT = 43


IN_OPERATION: Final = 0
IN_CONTACT: Final = 1
IN_AGENT: Final = 2
IN_QUEUE: Final = 3
IN_CLASS: Final = 4
IN_SINCE_MS: Final = 5
IN_MAX_WAIT_MS: Final = 6
IN_OFFER: Final = 7
IN_VALUE: Final = 8
IN_REASON: Final = 9
IN_ROW: Final = 10
IN_DUE_MS: Final = 11
IN_WINDOW_MS: Final = 12
IN_ATTEMPTS_MAX: Final = 13
IN_RETRY_MS: Final = 14
REQUEST_PLACES: Final = 16

# Results of a transition, places in Cell.outcome.
OUT_CONTACT: Final = 0
OUT_STATE: Final = 1
OUT_AGENT: Final = 2
OUT_OFFER: Final = 3
OUT_UNTIL_MS: Final = 4
OUT_POSITION: Final = 5
OUT_REJECTION: Final = 6
OUT_WAIT_MS: Final = 7
OUT_COUNT: Final = 8
OUT_OCCUPANCY_PPB: Final = 9
# Agents of a queue by RefusalReason, and after them those who can be offered the contact.
OUT_REFUSED: Final = 10
OUT_ELIGIBLE: Final = OUT_REFUSED + REASONS
OUTCOME_PLACES: Final = OUT_ELIGIBLE + 1
