"""
Contacts that cross to another cell: they leave one, and another takes them in, once.

    sending cell            row of the contact and of its crossing, in one commit   DIVERTED
      → receiving cell      takes it in, or does not, and keeps which, in one commit
    sending cell            is told: the contact ends here, or is back in its place

Whatever stops between two of these, the crossing is brought again with the same number, and the
receiving cell says again what it said first. So the contact is in one cell at least, and agents of
one cell at most can have it. Who brings crossings is an adapter's business.

One that finds no answer for long is recalled: then it is taken already, or never will be. So is one
whose contact ended meanwhile, for the customer left; where it is taken, it ends there as well.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from engine.commands import Route

# Crossings to one cell that no answer has come for, and cells that may send to one.
CROSSINGS_MAX: Final = 1_024
SENDERS_MAX: Final = 1_024
# Answers to one sender that it may still ask for; and how long others are kept all the same, for a
# sender whose log lost its last commits, and how many.
ASKED_MAX: Final = 4 * CROSSINGS_MAX
KEPT_MS: Final = 3_600_000
KEPT_MAX: Final = 16 * CROSSINGS_MAX
# Moves that a contact may have behind it.
HOPS_MAX: Final = 1_000
# Numbers of crossings in a millisecond: they go on from the time, so that a cell whose log was lost
# begins above those it has used.
NUMBERS_PER_MS: Final = 4_096


class CrossingAnswer(IntEnum):
    """What the receiving cell says; values are those of the wire."""

    # The contact is in the receiving cell.
    TAKEN = 1
    # It is not, and never will be by this crossing.
    REFUSED = 2
    # It was answered, long ago; its sender had told that it would not ask again.
    FORGOTTEN = 3


class Sender(NamedTuple):
    """
    A cell that sends.

    Attributes
    ----------
    cell
        Its name.
    origin
        Random name of its numbers, made once: other cells may have the same name.
    """

    cell: str
    origin: str


class Crossing(NamedTuple):
    """
    A contact on its way to another cell.

    Attributes
    ----------
    number
        Ascends in the sending cell.
    cell, queue_id
        Where it goes.
    since_ms
        When it left, milliseconds since the Unix epoch.
    left
        Why the contact has ended here meanwhile; 0 where it has not.
    """

    number: int
    cell: str
    queue_id: str
    contact_id: str
    since_ms: int
    left: int = 0

    @property
    def has_left(self) -> bool:
        """Whether the contact has ended here meanwhile."""
        return self.left > 0


class ReceiveContact(NamedTuple):
    """
    Take a contact in that crosses from another cell.

    Attributes
    ----------
    sender, number
        Whose crossing, and which.
    settled_below
        Numbers that the sending cell will never bring again.
    hops
        Moves it has behind it, this one among them.
    """

    sender: Sender
    number: int
    settled_below: int
    contact: "Route"
    hops: int = 1


class RecallContact(NamedTuple):
    """
    Have a crossing that was not taken yet never be taken; the rest as `ReceiveContact`.

    Attributes
    ----------
    left
        Why the contact has ended where it came from: where it waits in the receiving cell it ends
        likewise; 0 where it has not.
    """

    sender: Sender
    number: int
    settled_below: int
    contact_id: str
    left: int = 0


class SettleCrossing(NamedTuple):
    """
    Tell the sending cell what came of a crossing; one that is not open any more is left.

    Attributes
    ----------
    knew
        Whether the receiving cell had been told that the customer has left.
    """

    number: int
    answer: CrossingAnswer
    knew: bool = False


class NameOrigin(NamedTuple):
    """Give the numbers of a cell's crossings their name, unless they have one."""

    origin: str


CrossingCommand = ReceiveContact | RecallContact | SettleCrossing | NameOrigin
