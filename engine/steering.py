"""
What policies have been decided to do: stages, activations, and the command that brings a second's
decisions to the engine.

An *activation* is a period in which one version of a policy acted on one queue. Times are integer
milliseconds since the Unix epoch.
"""

from enum import IntEnum
from typing import Final, NamedTuple

# Activations that have ended and are kept, of one cell.
ACTIVATIONS_KEPT: Final = 1_000


class Stage(IntEnum):
    """How far a version of a policy has been rolled out; values are those of the wire."""

    # Evaluated and accounted, but contacts are left alone.
    SHADOW = 1
    # Acts on a share of the contacts; the version before it on the others.
    CANARY = 2
    ACTIVE = 3


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


class Shift(NamedTuple):
    """
    A policy that went on or off for a queue.

    Attributes
    ----------
    needs_approval
        Whether somebody must approve before contacts are touched.
    signals
        What its condition read, as (name, value in words).
    """

    subject: Subject
    stage: Stage
    is_on: bool
    cause: ActivationCause
    needs_approval: bool = False
    signals: tuple[tuple[str, str], ...] = ()


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

    activation_id: str
    is_approved: bool
    author: str = ""
    reason: str = ""
