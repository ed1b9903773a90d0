"""
What the engine refuses, in words a caller can act on.

A refusal changes nothing. Adapters map each reason to a wire status in one table.
"""

import re
from dataclasses import dataclass
from enum import IntEnum


class Refusal(IntEnum):
    """Why a command was refused; each member says what the caller may do."""

    # Not a refusal: the command was applied.
    NONE = 0
    # A field is out of range or malformed; correct the request.
    INVALID_FIELD = 1
    # No such queue; create it or correct the id.
    UNKNOWN_QUEUE = 2
    # No such agent; create it or correct the id.
    UNKNOWN_AGENT = 3
    # No such contact, or it ended long ago; do not retry.
    UNKNOWN_CONTACT = 4
    # No agent holds this skill; correct the name, or define an agent that holds it first.
    UNKNOWN_SKILL = 5
    # No agent carries this tag; as for skills.
    UNKNOWN_TAG = 6
    # The contact's state does not allow it; read the contact.
    ILLEGAL_TRANSITION = 7
    # The offer expired, was rescinded or was answered before; wait for the next one.
    OFFER_GONE = 8
    # The offer or assignment belongs to another agent; do not retry.
    NOT_YOURS = 9
    # The agent still holds contacts; drain it, or release them.
    AGENT_HOLDS_CONTACTS = 10
    # The queue still holds open contacts; requeue or cancel them.
    QUEUE_HOLDS_CONTACTS = 11
    # Agents still name the queue; take it from their definitions.
    QUEUE_HAS_AGENTS = 12
    # The resource changed since its etag was read; read it again.
    ETAG_MISMATCH = 13
    # The cell is at one of its limits; try later or raise the limit.
    LIMIT_REACHED = 14
    # `now_ms` is before an earlier one; the caller's clock is broken.
    CLOCK_WENT_BACKWARDS = 15
    # The contact id is known with another channel; choose another id.
    CONTACT_EXISTS = 16
    # The agent is not AVAILABLE; choose another.
    AGENT_NOT_AVAILABLE = 17
    # The agent has no capacity left for the channel; choose another, or ignore capacity.
    AGENT_HAS_NO_ROOM = 18
    # Other queues fall back to the queue; take it from their definitions.
    QUEUE_IS_FALLBACK = 19
    # Somebody is consulted about the contact already; end that consult first.
    CONSULTED_ALREADY = 20
    # Nobody has accepted a consult about the contact; wait until somebody has.
    NOBODY_CONSULTED = 21
    # No such plan; create it or correct the id.
    UNKNOWN_PLAN = 22
    # The queue has learned from days of its own; ask for them to be replaced, or leave it.
    HISTORY_KNOWN = 23
    # Nothing is offered that could be answered: it was answered, timed out or lapsed; do not retry.
    NO_OPEN_CHOICE = 24
    # A choice is open already; wait until it is closed.
    CHOICE_OPEN = 25
    # The contact can no longer come back, or never could; route a new one.
    RETURN_WINDOW_OVER = 26
    # No such activation, or it ended long ago.
    UNKNOWN_ACTIVATION = 30
    # No such policy; create it or correct the name.
    UNKNOWN_POLICY = 40
    # No such version, or no draft; correct the number, or write one.
    UNKNOWN_VERSION = 41
    # The policy has a draft already; update or delete that one.
    DRAFT_EXISTS = 42
    # The version is active already; nothing is left to do.
    VERSION_IN_FORCE = 43
    # No version of the policy is in force; nothing is left to do.
    NOT_IN_FORCE = 44
    # Nothing was said of the policy and queue; correct them.
    UNKNOWN_OVERRIDE = 45


@dataclass(frozen=True, slots=True)
class Violation:
    """
    One broken rule of a command.

    Attributes
    ----------
    field
        Path of the field, as on the wire, for example `requirements.skills[0].proficiency_min`.
    value
        What it held, shortened for display.
    expected
        What would have been accepted, or what to do.
    """

    field: str
    value: str
    expected: str


def wire_name(member: IntEnum) -> str:
    """Name of a member in the contract: its type's words, then its own, as CHANNEL_VOICE."""
    words = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(member).__name__)
    return f"{words}_{member.name if member else 'UNSPECIFIED'}".upper()


def one_of(kind: type[IntEnum]) -> str:
    """What a field of an enum's type expects; a member of value 0 is no choice."""
    return "one of " + ", ".join(wire_name(item) for item in kind if item != 0)


def violation(field: str, value: object, expected: str) -> Violation:
    """Make a violation, with the value shortened for display."""
    shown = wire_name(value) if isinstance(value, IntEnum) else repr(value)
    return Violation(field, shown if len(shown) <= 80 else shown[:77] + "...", expected)


class CommandRefused(Exception):
    """
    A command was refused and nothing changed.

    Attributes
    ----------
    reason
        Why, for programs.
    violations
        Every broken rule; at least one.
    """

    def __init__(self, reason: Refusal, *violations: Violation) -> None:
        assert violations
        texts = [f"{item.field}: got {item.value}, expected {item.expected}" for item in violations]
        super().__init__("; ".join(texts))
        self.reason = reason
        self.violations = violations


class BadConfiguration(ValueError):
    """A setting is out of range; raised at load, never at use."""

    def __init__(self, path: str, value: object, expected: str) -> None:
        super().__init__(f"{path}: expected {expected}, got {value!r}")
        self.path = path
