"""
What policies offer a waiting customer, and what customers and gateways answer.

A choice lies over a contact that waits: the contact keeps its place, and an agent who gets free
still takes it. What the customer accepts moves the contact: to a callback in its place, to another
queue, or elsewhere, to another channel or to self-service, from where it may come back for a while.
Times are integer milliseconds.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from engine.lifecycle import Channel
from engine.limits import DAY_MS, FORTNIGHT_MS

OPTIONS_MAX: Final = 3
ANSWER_MS_MAX: Final = DAY_MS
RETURN_MS_MAX: Final = FORTNIGHT_MS
# How long what became of a contact can be told that may not come back.
NO_RETURN_MS: Final = DAY_MS


class OptionKind(IntEnum):
    """What an option is; values are those of the wire."""

    # It stays where it is.
    WAIT = 1
    # It is called back when it is its turn.
    CALLBACK = 2
    # It goes on by another channel.
    OTHER_CHANNEL = 3
    # A bot or flow takes it.
    SELF_SERVICE = 4
    # It waits in another queue.
    OTHER_QUEUE = 5
    # It waits in another cell; no customer is asked.
    OTHER_CELL = 6


# Those after which the contact is DIVERTED.
DIVERTING: Final = (OptionKind.OTHER_CHANNEL, OptionKind.SELF_SERVICE)


# Channels that options lead to which do not name one.
CHANNEL_OF: Final = {
    OptionKind.CALLBACK: Channel.CALLBACK,
    OptionKind.SELF_SERVICE: Channel.SELF_SERVICE,
}


class DiversionOutcome(IntEnum):
    """What became of a diverted contact; values are those of the wire."""

    # Its customer got there what they came for.
    CONTAINED = 1
    # They were there, and did not.
    UNRESOLVED = 2
    # They never got there.
    UNREACHED = 3
    # They went on there, as another contact.
    CONTINUED = 4
    # Nobody told before its time was over.
    NOT_REPORTED = 5


# What a gateway may report.
REPORTABLE: Final = (
    DiversionOutcome.CONTAINED,
    DiversionOutcome.UNRESOLVED,
    DiversionOutcome.UNREACHED,
)


class Option(NamedTuple):
    """
    One thing a customer may choose.

    Attributes
    ----------
    queue_id
        Where the contact goes on, "" = where it is.
    channel
        By which it goes on; None = SELF_SERVICE for self-service, CALLBACK for a callback.
    within_ms
        Of a callback: until when somebody must have called, from its acceptance; 0 = its queue's
        longest wait.
    announces_wait, estimated_wait_ms
        Whether the customer is to be told the wait, and the wait, -1 = unknown.
    """

    kind: OptionKind
    queue_id: str = ""
    channel: Channel | None = None
    within_ms: int = 0
    announces_wait: bool = False
    estimated_wait_ms: int = -1


class Choice(NamedTuple):
    """
    What a policy offers a contact.

    Attributes
    ----------
    policy, version, activation
        Which policy, in which version, and which of its activations offers it.
    options
        1 to OPTIONS_MAX, just one where it is forced.
    answer_within_ms
        After which silence counts as a refusal.
    return_within_ms
        How long after its acceptance the contact may come back with its age; 0 = never.
    forced
        Whether nobody is asked: it is accepted as it is offered.
    """

    policy: str
    version: int
    activation: str
    options: tuple[Option, ...]
    answer_within_ms: int = 20_000
    return_within_ms: int = 0
    forced: bool = False

    @property
    def text(self) -> str:
        """What effects are told with: policy/version/activation."""
        return activation_text(self.policy, self.version, self.activation)


def activation_text(policy: str, version: int, activation: str) -> str:
    """How effects name an activation."""
    return f"{policy}/{version}/{activation}"


class OpenChoice(NamedTuple):
    """A choice that can be answered until a time."""

    choice: Choice
    until_ms: int


class Diversion(NamedTuple):
    """
    Where a contact went on that accepted a callback, another channel or self-service, or that
    crosses to another cell.

    Attributes
    ----------
    option
        Place of the option in its choice, 1 for the first; 0 where it crosses.
    queue_id, channel
        Where it was to go on, and by which channel.
    from_queue_id, from_channel
        Where it comes back to.
    since_ms
        When it was accepted.
    return_until_ms
        Until when it may come back; 0 = never.
    outcome
        What became of it once it has ended there, 0 = not known.
    cell
        Where it crosses to, "" for one that stays in its cell.
    """

    policy: str
    version: int
    activation: str
    kind: OptionKind
    option: int
    queue_id: str
    channel: Channel
    from_queue_id: str
    from_channel: Channel
    since_ms: int
    return_until_ms: int
    outcome: int = 0
    cell: str = ""

    @property
    def text(self) -> str:
        """What effects are told with: policy/version/activation, and where it crosses /cell."""
        text = activation_text(self.policy, self.version, self.activation)
        return f"{text}/{self.cell}" if self.cell else text


class Steered(NamedTuple):
    """
    What policies made of a contact.

    Attributes
    ----------
    hops
        Moves it accepted or was sent on, so that policies do not send it in circles.
    continues_contact_id
        The diverted contact that it continues, "" for none.
    returns
        Times it came back from a diversion.
    policies
        Those that have acted on it, which none does twice.
    from_cell
        The cell it came from, "" for none.
    """

    choice: OpenChoice | None = None
    diversion: Diversion | None = None
    hops: int = 0
    continues_contact_id: str = ""
    returns: int = 0
    policies: tuple[str, ...] = ()
    from_cell: str = ""


NOT_STEERED: Final = Steered()


class OfferChoice(NamedTuple):
    """Offer a queued contact a choice; policies do, no caller."""

    contact_id: str
    choice: Choice


class AcceptChoice(NamedTuple):
    """Accept an option of a contact's open choice, 1 = the first."""

    contact_id: str
    option: int
    etag: str = ""


class RefuseChoice(NamedTuple):
    """Close a contact's open choice; it waits on."""

    contact_id: str


class ReturnContact(NamedTuple):
    """
    Have a diverted contact, or one that waits to be called back, wait again on its first channel.

    In a queue, "" = the one it came from, with the routing age it has.
    """

    contact_id: str
    queue_id: str = ""


class ReportDiversionOutcome(NamedTuple):
    """Say what became of a diverted contact, which ends it."""

    contact_id: str
    outcome: DiversionOutcome


ChoiceCommand = OfferChoice | AcceptChoice | RefuseChoice | ReturnContact | ReportDiversionOutcome
