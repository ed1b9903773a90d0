"""
The reference router's choices and diversions.

Compare `engine.handlers.choices`, `closing` and `engine.kernels.diversion_transitions`.
"""

from dataclasses import replace

from engine.choices import (
    NO_RETURN_MS,
    AcceptChoice,
    Choice,
    Diversion,
    DiversionOutcome,
    OfferChoice,
    OpenChoice,
    Option,
    OptionKind,
    RefuseChoice,
    ReportDiversionOutcome,
    ReturnContact,
)
from engine.commands import Route, Schedule, ScheduleContact
from engine.effects import EffectKind
from engine.engine import Outcome
from engine.lifecycle import Channel, ContactState
from engine.limits import NEVER_MS
from engine.refusals import Refusal
from tests.engine.reference_floor import Floor, Refused, merged
from tests.engine.reference_matching import match_returned
from tests.engine.reference_moves import (
    close,
    release_from_state,
    return_to_queue,
    start_wait,
    take_up,
)
from tests.engine.reference_recording import record_contact
from tests.engine.reference_scheduling import put_off
from tests.engine.reference_subjects import RefContact
from tests.engine.reference_time import answer_due_ms, call, settle_agent
from tests.engine.reference_transitions import (
    move,
    named_queue,
    open_contact,
    require_class,
    where_it_stands,
)

_LEAVES = (
    EffectKind.CONTACT_ASSIGNED,
    EffectKind.CONTACT_SCHEDULED,
    EffectKind.CONTACT_COMPLETED,
    EffectKind.CONTACT_ABANDONED,
    EffectKind.CONTACT_EXPIRED,
    EffectKind.CONTACT_CANCELLED,
)


def text_of(told: Choice | Diversion) -> str:
    return f"{told.policy}/{told.version}/{told.activation}"


def close_choice(floor: Floor, contact: RefContact, kind: EffectKind) -> None:
    assert contact.choice
    record_contact(floor, kind, contact, 0, text_of(contact.choice.choice))
    contact.choice = None
    floor.choosing.remove(contact)


def close_left(floor: Floor, began: int) -> None:
    """Choices of contacts that left their place, in the order it was told."""
    for kind, _, contact_id, *_ in floor.effects[began:]:
        if kind in _LEAVES:
            for contact in [one for one in floor.choosing if one.contact_id == contact_id]:
                close_choice(floor, contact, EffectKind.CHOICE_LAPSED)


def close_due(floor: Floor) -> None:
    """Choices nobody answered, and diversions nobody told of."""
    began = len(floor.effects)
    due = [one for one in floor.contacts.values() if answer_due_ms(one) <= floor.now_ms]
    for contact in sorted(due, key=lambda one: (answer_due_ms(one), one.row)):
        if contact.choice:
            close_choice(floor, contact, EffectKind.CHOICE_UNANSWERED)
        else:
            end_diversion(floor, contact, DiversionOutcome.NOT_REPORTED)
    close_left(floor, began)


def end_diversion(floor: Floor, contact: RefContact, outcome: DiversionOutcome) -> None:
    diversion = contact.diversion
    assert diversion

    def end() -> None:
        take_up(floor, contact)
        close(floor, contact, ContactState.COMPLETED)
        kind = EffectKind.DIVERSION_ENDED
        record_contact(floor, kind, contact, int(outcome), text_of(diversion))

    call(floor, end)
    contact.diversion = diversion._replace(outcome=outcome)


def offer(floor: Floor, command: OfferChoice) -> Outcome:
    contact = open_contact(floor, command.contact_id)
    choice = command.choice
    if contact.state is not ContactState.QUEUED or contact.consults_for or contact.is_over:
        raise Refused(Refusal.ILLEGAL_TRANSITION)
    if contact.choice:
        raise Refused(Refusal.CHOICE_OPEN)
    for option in choice.options:
        if option.queue_id:
            named_queue(floor, option.queue_id)
    if choice.forced:
        return go_on(floor, contact, choice, choice.options[0])
    kind = EffectKind.CHOICE_OFFERED
    record_contact(floor, kind, contact, len(choice.options), text_of(choice))
    contact.choice = OpenChoice(choice, floor.now_ms + choice.answer_within_ms)
    floor.choosing.append(contact)
    return where_it_stands(floor, contact)


def accept(floor: Floor, command: AcceptChoice) -> Outcome:
    contact = open_contact(floor, command.contact_id, command.etag)
    if not contact.choice:
        raise Refused(Refusal.NO_OPEN_CHOICE)
    choice = contact.choice.choice
    if command.option > len(choice.options):
        raise Refused(Refusal.INVALID_FIELD)
    return go_on(floor, contact, choice, choice.options[command.option - 1])


def refuse(floor: Floor, command: RefuseChoice) -> Outcome:
    contact = open_contact(floor, command.contact_id)
    if not contact.choice:
        raise Refused(Refusal.NO_OPEN_CHOICE)
    close_choice(floor, contact, EffectKind.CHOICE_REFUSED)
    return where_it_stands(floor, contact)


def go_on(floor: Floor, contact: RefContact, choice: Choice, option: Option) -> Outcome:
    after = replace(contact)
    if option.kind in (OptionKind.CALLBACK, OptionKind.OTHER_QUEUE):
        after.queue_id = named_queue(floor, option.queue_id or contact.queue_id).queue_id
        if option.kind is OptionKind.CALLBACK:
            after.channel = Channel.CALLBACK
        require_class(floor, after.alike)
    place = choice.options.index(option) + 1
    if choice.forced:
        record_contact(floor, EffectKind.CHOICE_OFFERED, contact, 1, text_of(choice))
    else:
        floor.choosing.remove(contact)
    record_contact(floor, EffectKind.CHOICE_ACCEPTED, contact, place, text_of(choice))
    contact.choice = None
    if option.kind is OptionKind.WAIT:
        return where_it_stands(floor, contact)
    contact.hops += 1
    queue = floor.queues[after.queue_id]
    if option.kind is OptionKind.OTHER_QUEUE:
        return call(floor, lambda: move(floor, contact, queue, after))
    contact.diversion = diversion_of(floor, contact, choice, option)
    if option.kind is OptionKind.CALLBACK:
        ends_ms = floor.now_ms + option.within_ms if option.within_ms else 0
        schedule = Schedule(window_ends_at_ms=ends_ms)
        command = ScheduleContact(contact.contact_id, schedule, Channel.CALLBACK)
        return call(floor, lambda: put_off(floor, contact, queue, command))
    return call(floor, lambda: divert(floor, contact, choice, place))


def diversion_of(floor: Floor, contact: RefContact, choice: Choice, option: Option) -> Diversion:
    channels = {
        OptionKind.CALLBACK: Channel.CALLBACK,
        OptionKind.SELF_SERVICE: Channel.SELF_SERVICE,
    }
    first = contact.diversion
    return Diversion(
        policy=choice.policy,
        version=choice.version,
        activation=choice.activation,
        kind=option.kind,
        option=choice.options.index(option) + 1,
        queue_id=option.queue_id or contact.queue_id,
        channel=option.channel or channels[option.kind],
        from_queue_id=first.from_queue_id if first else contact.queue_id,
        from_channel=first.from_channel if first else contact.channel,
        since_ms=floor.now_ms,
        return_until_ms=choice.return_within_ms and floor.now_ms + choice.return_within_ms,
    )


def divert(floor: Floor, contact: RefContact, choice: Choice, place: int) -> Outcome:
    agent = release_from_state(floor, contact, "diverted")
    contact.agent_id = ""
    start_wait(floor, contact)
    contact.state = ContactState.DIVERTED
    contact.until_ms = floor.now_ms + (choice.return_within_ms or NO_RETURN_MS)
    contact.due_ms = NEVER_MS
    record_contact(floor, EffectKind.CONTACT_DIVERTED, contact, place, text_of(choice))
    if agent:
        settle_agent(floor, agent)
    return where_it_stands(floor, contact)


def come_back(floor: Floor, command: ReturnContact) -> Outcome:
    contact = floor.contacts.get(command.contact_id)
    if contact is None:
        raise Refused(Refusal.UNKNOWN_CONTACT)
    diversion = contact.diversion
    waits = (ContactState.QUEUED, ContactState.OFFERED, ContactState.SCHEDULED)
    is_diverted = contact.state is ContactState.DIVERTED
    if not diversion or not (
        is_diverted
        or diversion.outcome == DiversionOutcome.NOT_REPORTED
        or (diversion.kind is OptionKind.CALLBACK and contact.state in waits)
    ):
        raise Refused(Refusal.ILLEGAL_TRANSITION)
    if floor.now_ms >= diversion.return_until_ms:
        raise Refused(Refusal.RETURN_WINDOW_OVER)
    queue = named_queue(floor, command.queue_id or diversion.from_queue_id)
    channel = diversion.from_channel
    require_class(floor, replace(contact, queue_id=queue.queue_id, channel=channel).alike)
    kind = EffectKind.CONTACT_RETURNED
    record_contact(floor, kind, contact, diversion.option, text_of(diversion))

    def wait_again() -> Outcome:
        take_up(floor, contact)
        contact.queue_id, contact.channel = queue.queue_id, channel
        start_wait(floor, contact)
        return_to_queue(floor, contact, "returned")
        match_returned(floor, contact)
        return where_it_stands(floor, contact)

    now = ScheduleContact(contact.contact_id, Schedule(0, 0, 0, 0), channel)
    outcome = call(
        floor, wait_again if is_diverted else lambda: put_off(floor, contact, queue, now)
    )
    contact.diversion = None
    return outcome


def report(floor: Floor, command: ReportDiversionOutcome) -> Outcome:
    contact = open_contact(floor, command.contact_id)
    if contact.state is not ContactState.DIVERTED:
        raise Refused(Refusal.ILLEGAL_TRANSITION)
    end_diversion(floor, contact, command.outcome)
    return Outcome(state=ContactState.COMPLETED, contact_id=contact.contact_id)


def diverted(floor: Floor, contact_id: str) -> RefContact:
    """A contact that another is to continue."""
    contact = floor.contacts.get(contact_id)
    if contact is None:
        raise Refused(Refusal.UNKNOWN_CONTACT)
    if contact.state is not ContactState.DIVERTED:
        raise Refused(Refusal.ILLEGAL_TRANSITION)
    return contact


def taken_over(command: Route, contact: RefContact) -> Route:
    assert contact.diversion
    return command._replace(
        queue_id=command.queue_id or contact.diversion.queue_id,
        priority=command.priority or contact.priority,
        attributes=merged(contact.attributes, command.attributes),
        routing_age_ms=max(command.routing_age_ms, contact.queued_ms - contact.since_ms),
    )
