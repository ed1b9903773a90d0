"""What policies do: each action is a key that names it, its value is the rest."""

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from engine.limits import PRIORITY_MAX, PROFICIENCY_MAX
from engine.policy.parts import ChannelName, Declared, Id, Long, Ratio, Text

Priority = Annotated[int, Field(strict=True, ge=-PRIORITY_MAX, le=PRIORITY_MAX)]
Level = Annotated[int, Field(strict=True, ge=0, le=PROFICIENCY_MAX)]


class Target(NamedTuple):
    """A queue that contacts are moved to; `cell` "" for this one."""

    queue: str
    cell: str = ""


class Wait(Declared):
    """The contact stays where it is, and is told how long it will be."""

    announce: bool = True


class Callback(Declared):
    """
    The contact hangs up and is called back when it is its turn.

    Attributes
    ----------
    queue
        Where callbacks wait; None for the place the contact has.
    within
        Until when somebody must have called.
    """

    queue: Id | None = None
    within: Long | None = None


class OtherChannel(Declared):
    """The contact goes on by another channel, with its context."""

    channel: ChannelName
    queue: Id


class SelfService(Declared):
    """A bot or flow takes the contact; it may come back."""

    queue: Id


class OtherQueue(Declared):
    """The contact waits in another queue."""

    queue: Id


class Option(Declared):
    """One option of a choice: exactly one of its forms."""

    wait: Wait | None = None
    callback: Callback | None = None
    other_channel: OtherChannel | None = None
    self_service: SelfService | None = None
    other_queue: OtherQueue | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        self.require_one()
        return self

    @property
    def queue(self) -> str | None:
        """Queue the contact would go to, None where it stays."""
        form = self.callback or self.other_channel or self.self_service or self.other_queue
        return None if form is None else form.queue


class OfferChoice(Declared):
    """
    Offer the contact a choice; it keeps its place until it accepts.

    Attributes
    ----------
    options
        At most three. Nobody is forced off the channel unless `forced`: then there is one.
    answer_within
        Time after which silence counts as a refusal.
    return_within
        Time within which it may come back with its age; None for never.
    """

    options: tuple[Option, ...] = Field(min_length=1, max_length=3)
    forced: bool = False
    answer_within: Long = 20_000
    return_within: Long | None = 1_800_000

    @model_validator(mode="after")
    def _is_a_choice(self) -> Self:
        if len({option.model_dump_json() for option in self.options}) < len(self.options):
            message = "options that differ"
            raise ValueError(message)
        if self.forced and len(self.options) > 1:
            message = "one option where it is forced"
            raise ValueError(message)
        return self


class Overflow(Declared):
    """
    Contacts go to another queue, on the same channel.

    Attributes
    ----------
    cell
        Cell that has the queue; None for this one.
    """

    queue: Id
    cell: Id | None = None


class OpenAgents(Declared):
    """
    Agents of a group serve the queue as well, as long as the policy is on; contacts stay.

    Attributes
    ----------
    group
        A tag: the group are the agents who carry it.
    """

    group: Id


class LowerRequirement(Declared):
    """A skill is asked at a lower level; 0 does not ask for it."""

    skill: Id
    proficiency_min: Level


class ChangePriority(Declared):
    """The contact's priority becomes `to`, or changes `by`: exactly one of them."""

    to: Priority | None = None
    by: Priority | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        self.require_one()
        return self


class AnnounceWait(Declared):
    """
    The contact is told how long it will wait.

    Attributes
    ----------
    quantile
        The wait that this share of contacts does not exceed: too little said costs more patience
        than too much.
    rounded_to
        Up to a multiple of it.
    """

    quantile: Ratio = 0.8
    rounded_to: Long = 60_000


class Notify(Declared):
    """Somebody is told when the policy enters and exits."""

    webhook: Id
    message: Text | None = None
    events: tuple[Literal["enter", "exit"], ...] = Field(
        ("enter", "exit"), min_length=1, max_length=2
    )


class Action(Declared):
    """One action: exactly one of its forms."""

    offer_choice: OfferChoice | None = None
    overflow: Overflow | None = None
    open_agents: OpenAgents | None = None
    lower_requirement: LowerRequirement | None = None
    change_priority: ChangePriority | None = None
    announce_wait: AnnounceWait | None = None
    notify: Notify | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        self.require_one()
        return self

    @property
    def targets(self) -> tuple[Target, ...]:
        """Where it may move contacts, in the order they are named."""
        if self.overflow is not None:
            return (Target(self.overflow.queue, self.overflow.cell or ""),)
        if self.offer_choice is not None:
            found = (option.queue for option in self.offer_choice.options)
            return tuple(Target(queue) for queue in found if queue is not None)
        return ()
