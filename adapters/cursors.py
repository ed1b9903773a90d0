"""
Cursors of the event stream: where in a cell's log an event lies.

To callers they are words to send back; who keeps them over restarts must also order them.
"""


def cursor_of(sequence: int, index: int) -> str:
    """Place of an event in the log: group and place in the group, 1-based."""
    return f"{sequence}.{index}"


def parse_cursor(cursor: str) -> tuple[int, int] | None:
    """Group and place of a cursor; None for what is not one. "7" means after all of group 7."""
    sequence, _, index = cursor.partition(".")
    parts = (sequence, index or "0")
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        return None
    return int(sequence), int(index) if index else 1 << 62
