"""
What policies have been decided to do: activations, and the command that brings a second's
decisions to the engine.

An *activation* is a period in which one version of a policy acted on one queue. Times are integer
milliseconds since the Unix epoch.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from engine.policies import PolicyStage

# Activations that have ended and are kept, of one cell.
ACTIVATIONS_KEPT: Final = 1_000
# How long after its end an activation's queue is looked at.
AFTER_MS: Final = 900_000
_DIGITS_MAX: Final = 16


class ActivationCause(IntEnum):
    """Why an activation began or ended; values are those of the wire."""

    NONE = 0
    ENTER = 1
    EXIT = 2
    STALE = 3
    KILL = 4
    OVERRIDE = 5
    SCHEDULE = 6
    # The version is no longer in force, or the queue is gone.
    WITHDRAWN = 7


class Subject(NamedTuple):
    """One version of a policy, and a queue it is about."""

    policy: str
    version: int
    queue_id: str


class PhaseFigures(NamedTuple):
    """
    What became of a queue's contacts over some time.

    Attributes
    ----------
    answered, within, abandoned
        Contacts; those answered within the service level's time.
    wait_ms
        Of those answered, together.
    """

    answered: int = 0
    within: int = 0
    abandoned: int = 0
    wait_ms: int = 0

    def less(self, earlier: "PhaseFigures") -> "PhaseFigures":
        """What came since."""
        return PhaseFigures(*(now - then for now, then in zip(self, earlier, strict=True)))


NO_FIGURES: Final = PhaseFigures()


class Approval(IntEnum):
    """Whether somebody has said that an activation may act; values are those of the wire."""

    NOT_NEEDED = 0
    PENDING = 1
    APPROVED = 2
    REFUSED = 3


class Shift(NamedTuple):
    """
    A policy that went on or off for a queue.

    Attributes
    ----------
    before
        Of the quarter of an hour before it went on.
    needs_approval
        Whether somebody must approve before contacts are touched.
    signals
        What its condition read, as (name, value in words).
    """

    subject: Subject
    stage: PolicyStage
    is_on: bool
    cause: ActivationCause
    needs_approval: bool = False
    signals: tuple[tuple[str, str], ...] = ()
    before: PhaseFigures = NO_FIGURES


class Order(NamedTuple):
    """
    What a policy that is on may do with a queue's contacts this second.

    Attributes
    ----------
    share
        Of the contacts that are eligible, 0 to 1.
    """

    subject: Subject
    share: float


class Steer(NamedTuple):
    """
    A second's decisions: what went on or off, and the share of each policy that is on.

    Attributes
    ----------
    orders
        In the order in which policies go first; those that are not named have no share.
    """

    shifts: tuple[Shift, ...] = ()
    orders: tuple[Order, ...] = ()


class ApproveActivation(NamedTuple):
    """Have an activation that waits for a person's word act, or not."""

    activation_id: int
    is_approved: bool
    author: str = ""
    reason: str = ""


SteeringCommand = Steer | ApproveActivation


class Counted(IntEnum):
    """What is counted of an activation; values are those of the wire."""

    # Contacts that were eligible, each once, whether they belong to the share or not.
    ELIGIBLE = 1
    # Choices offered, or in shadow those that would have been, and what came of them.
    OFFERED = 2
    ACCEPTED_WAIT = 3
    ACCEPTED_CALLBACK = 4
    ACCEPTED_CHANNEL = 5
    ACCEPTED_SELF_SERVICE = 6
    ACCEPTED_QUEUE = 7
    REFUSED = 8
    UNANSWERED = 9
    LAPSED = 10
    # Of diversions.
    CONTAINED = 11
    UNRESOLVED = 12
    UNREACHED = 13
    NOT_REPORTED = 14
    CONTINUED = 15
    RETURNED = 16
    # Contacts acted upon without being asked, or in shadow those that would have been.
    OVERFLOWED = 17
    CHANGED = 18
    ANNOUNCED = 19
    # The engine refused what the policy wanted.
    FAILED = 20
    # Agents of groups opened to the queue, each as often as it came to serve it.
    OPENED = 21


def activation_name(number: int) -> str:
    """How an activation is named on the wire."""
    return f"a{number}"


def activation_number(name: str) -> int | None:
    """Number of an activation by its name on the wire; None where it can be none."""
    number = name.removeprefix("a")
    is_number = number.isascii() and number.isdecimal() and len(number) < _DIGITS_MAX
    return int(number) if is_number else None
