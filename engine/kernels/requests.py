"""
What a transition is asked to do: the operation, and where its arguments stand in `Cell.request`.
"""

from enum import IntEnum
from typing import Final


class Operation(IntEnum):
    """What `apply` is to do; the value of request[IN_OPERATION]."""

    EXPIRE = 0
    ROUTE = 1
    UPDATE = 2
    REQUEUE = 3
    CANCEL = 4
    ACCEPT = 5
    DECLINE = 6
    COMPLETE = 7
    END_WRAP_UP = 8
    RELEASE = 9
    PICK = 10
    AGENT_CHANGED = 11
    SET_PRESENCE = 12
    HEARTBEAT = 13
    QUEUE_CHANGED = 14
    SET_INTAKE = 15
    RECOVER = 16
    DELETE_AGENT = 17
    DELETE_QUEUE = 18
    RESET_ESTIMATES = 19
    # The operations from here on make nothing due.
    FORGET_CONTACT = 20
    RESTORE_CONTACT = 21
    RESTORE_AGENT = 22
    RESTORE_OFFER = 23
    READ_CONTACT = 24
    READ_AGENT = 25
    READ_REFUSALS = 26
    READ_AHEAD = 27
    MARK_CONTACT = 28
    MARK_AGENT = 29
    MARK_ESTIMATES = 30
    MARK_OFFER = 31
    MARK_QUEUE = 32
    SET_HOURS = 33


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
