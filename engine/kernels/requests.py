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
    AGENT_CHANGED = 10
    SET_PRESENCE = 11
    HEARTBEAT = 12
    QUEUE_CHANGED = 13
    SET_INTAKE = 14
    RECOVER = 15
    DELETE_AGENT = 16
    DELETE_QUEUE = 17
    RESET_ESTIMATES = 18
    # The operations from here on make nothing due.
    FORGET_CONTACT = 19
    RESTORE_CONTACT = 20
    RESTORE_AGENT = 21
    READ_CONTACT = 22
    READ_AGENT = 23
    MARK_CONTACT = 24
    MARK_AGENT = 25
    MARK_ESTIMATES = 26
    MARK_QUEUE = 27


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
