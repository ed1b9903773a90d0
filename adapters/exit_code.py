"""What the process tells whoever started it."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes; after a second signal it is 128 + the signal's number."""

    STOPPED = 0  # as asked
    BUG = 1  # Python's own for a traceback
    SETTINGS = 2  # and click's own for wrong usage
    ENVIRONMENT = 3  # an address, a folder or a lock refused
    CELL_LOST = 4  # another process has taken a cell over
    DIFFERENT = 5  # a dry run found that something would change
    NOT_APPLIED = 6  # the engine refused some of the changes
    EVENTS_LOST = 7  # the log no longer holds what was to be forwarded
    ENDPOINT_FAILED = 8  # a webhook's endpoint refused, is gone, or did not answer for too long
    CELL_GONE = 9  # a cell's data are gone: started again it would be an empty one


AFTER_SIGNAL = 128
