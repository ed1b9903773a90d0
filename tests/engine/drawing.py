"""Commands drawn at random."""

from collections.abc import Callable
from typing import Final

from engine.choices import (
    REPORTABLE,
    AcceptChoice,
    Choice,
    OfferChoice,
    Option,
    OptionKind,
    RefuseChoice,
    ReportDiversionOutcome,
    ReturnContact,
)
from engine.commands import (
    AcceptOffer,
    CancelContact,
    Command,
    CompleteAssignment,
    CompleteTransfer,
    Consult,
    DeclineOffer,
    EndWrapUp,
    Expire,
    FailAttempt,
    OfferContact,
    Recover,
    ReleaseAssignment,
    RequeueContact,
    Route,
    Schedule,
    ScheduleContact,
    UpdateContact,
)
from engine.lifecycle import CancelReason, Channel, ContactState
from tests.engine.choices import (
    CHANNELS,
    Draw,
    any_agent_id,
    any_contact,
    any_etag,
    any_queue_id,
    contact_id_in,
    relaxation,
    requirements,
    seldom,
)
from tests.engine.drawing_definitions import (
    delete_agent,
    delete_queue,
    heartbeat,
    reset_estimates,
    set_intake,
    set_presence,
    upsert_agent,
    upsert_queue,
)
from tests.engine.reference_floor import Floor

# Of a day in January 1970, on which all walks take place.

IN_HANDS: Final = (ContactState.ASSIGNED, ContactState.INTERRUPTED)


def draw_command(draw: Draw, floor: Floor) -> Command:
    """Any command; those that move contacts are drawn more often than those that define things."""
    return draw(KINDS)(draw, floor)


def draw_in_hand(draw: Draw, floor: Floor) -> Command:
    """A command on contacts, mostly on those that agents hold."""
    return draw(IN_HAND_KINDS)(draw, floor)


def draw_choosing(draw: Draw, floor: Floor) -> Command:
    """A command on contacts, mostly on those that are asked, or went on elsewhere."""
    return draw(CHOOSING_KINDS)(draw, floor)


def _route(draw: Draw, floor: Floor) -> Command:
    fresh = f"c{floor.next_contact}"
    known = tuple(floor.contacts)
    contact_id = draw(known) if known and seldom(draw, 10) else fresh
    return Route(
        contact_id,
        any_queue_id(draw, floor),
        draw(CHANNELS),
        draw((0, 0, 0, 1, 5, -2)),
        requirements(draw),
        draw(({}, {"name": "Ada"})),
        draw((0, 0, 0, 0, 2_000, 100_000)),
        draw((0, 0, 0, -1, 1_500, 30_000)),
        relaxation(draw),
        draw((*(None,) * 7, _schedule(draw, floor))),
        contact_id_in(draw, floor, ContactState.DIVERTED) if seldom(draw, 6) else "",
    )


def _schedule(draw: Draw, floor: Floor) -> Schedule:
    """Mostly soon; now and then too far ahead, or with a window that ends before it begins."""
    now_ms = floor.now_ms
    return Schedule(
        draw((0, 0, *(now_ms + ahead for ahead in (1, 400, 2_000, 30_000)), now_ms + 2**32)),
        draw((*(0,) * 5, now_ms + 500, now_ms + 5_000, now_ms + 60_000, 1)),
        draw((1, 2, 5)),
        draw((1_000, 4_000, 80_000_000)),
    )


def _schedule_contact(draw: Draw, floor: Floor) -> Command:
    states = (
        ContactState.QUEUED, ContactState.OFFERED, ContactState.SCHEDULED, *IN_HANDS,
    )  # fmt: skip
    return ScheduleContact(
        contact_id_in(draw, floor, *states),
        _schedule(draw, floor),
        draw((None, Channel.CALLBACK, Channel.CHAT)),
        draw(("", "", any_queue_id(draw, floor))),
        draw(({}, {"note": "call"})),
        any_etag(draw),
    )


def _consult(draw: Draw, floor: Floor) -> Command:
    known = tuple(floor.contacts)
    consult_id = draw(known) if known and seldom(draw, 10) else f"c{floor.next_contact}"
    return Consult(
        *_assignment(draw, floor, ContactState.ASSIGNED),
        consult_id,
        draw(("", any_queue_id(draw, floor))),
        draw((None, None, 2)),
        requirements(draw),
        relaxation(draw),
        draw(({}, {"note": "asked"})),
    )


def _complete_transfer(draw: Draw, floor: Floor) -> Command:
    consulted = [one for one in floor.contacts.values() if one.consult]
    if consulted and not seldom(draw, 8):
        contact = draw(consulted)
        return CompleteTransfer(contact.contact_id, contact.agent_id)
    return CompleteTransfer(*_assignment(draw, floor, *IN_HANDS))


def _fail_attempt(draw: Draw, floor: Floor) -> Command:
    scheduled = [
        contact
        for contact in floor.contacts.values()
        if contact.state is ContactState.ASSIGNED and contact.attempts_max
    ]
    if scheduled and not seldom(draw, 3):
        contact = draw(scheduled)
        return FailAttempt(contact.contact_id, contact.agent_id, draw((0, 0, 1_000, 20_000)))
    return FailAttempt(*_assignment(draw, floor, *IN_HANDS))


def _update(draw: Draw, floor: Floor) -> Command:
    states = (ContactState.QUEUED, ContactState.OFFERED, ContactState.DIVERTED)
    return UpdateContact(
        contact_id_in(draw, floor, *states),
        any_etag(draw),
        draw((None, None, 3, -1)),
        draw((None, None, 0, 50_000)),
        draw((None, requirements(draw))),
        draw(({}, {"name": ""}, {"note": "x"})),
    )


def _requeue(draw: Draw, floor: Floor) -> Command:
    states = (
        ContactState.QUEUED, ContactState.OFFERED, ContactState.SCHEDULED, *IN_HANDS,
    )  # fmt: skip
    return RequeueContact(
        contact_id_in(draw, floor, *states),
        draw(("", any_queue_id(draw, floor))),
        draw((None, None, -3, 4)),
        any_etag(draw),
        draw((None, None, requirements(draw))),
        draw(((), (), relaxation(draw))),
        draw(({}, {"note": "moved"}, {"name": ""})),
    )


def _cancel(draw: Draw, floor: Floor) -> Command:
    states = (
        ContactState.QUEUED, ContactState.OFFERED, ContactState.SCHEDULED, ContactState.DIVERTED,
    )  # fmt: skip
    contact_id = contact_id_in(draw, floor, *states)
    return CancelContact(contact_id, draw((CancelReason.ABANDONED, CancelReason.WITHDRAWN)))


def _offer(draw: Draw, floor: Floor) -> tuple[str, str]:
    """An outstanding offer and its agent; now and then another agent, or an offer long gone."""
    contact = any_contact(draw, floor, ContactState.OFFERED)
    offer_id = contact.offer_id if contact and contact.offer_id else "o1.0"
    agent_id = contact.agent_id if contact and contact.agent_id else any_agent_id(draw, floor)
    if contact and contact.others and draw((True, True, False)):
        other = draw(contact.others)
        offer_id, agent_id = f"o{other.sequence:x}.{contact.row:x}", other.agent_id
    if seldom(draw, 16):
        agent_id = any_agent_id(draw, floor)
    if seldom(draw, 26):
        offer_id = draw(("garbage", "o1.0", "o-1.0", "off.ff", "o1.-5", f"o{1 << 70:x}.0"))
    return offer_id, agent_id


def _accept(draw: Draw, floor: Floor) -> Command:
    return AcceptOffer(*_offer(draw, floor))


def _decline(draw: Draw, floor: Floor) -> Command:
    words = draw(("", "", "wrong queue"))
    return DeclineOffer(*_offer(draw, floor), draw((0, 0, 0, 700, 40_000)), words)


def _offer_contact(draw: Draw, floor: Floor) -> Command:
    states = (ContactState.QUEUED, ContactState.OFFERED)
    contact_id = contact_id_in(draw, floor, *states)
    return OfferContact(contact_id, any_agent_id(draw, floor), draw((True, False)))


def _assignment(draw: Draw, floor: Floor, *states: ContactState) -> tuple[str, str]:
    """A contact and the agent that holds it; now and then another."""
    contact = any_contact(draw, floor, *states)
    contact_id = contact.contact_id if contact else "nobody"
    agent_id = contact.agent_id if contact and contact.agent_id else any_agent_id(draw, floor)
    return contact_id, draw((agent_id,) * 15 + (any_agent_id(draw, floor),))


def _complete(draw: Draw, floor: Floor) -> Command:
    outcome = draw((None, None, 0.0, 1.0, 0.4))
    return CompleteAssignment(*_assignment(draw, floor, *IN_HANDS), outcome)


def _end_wrap_up(draw: Draw, floor: Floor) -> Command:
    return EndWrapUp(*_assignment(draw, floor, ContactState.WRAP_UP))


def _release(draw: Draw, floor: Floor) -> Command:
    return ReleaseAssignment(*_assignment(draw, floor, *IN_HANDS))


def _option(draw: Draw, floor: Floor) -> Option:
    queue_id = any_queue_id(draw, floor)
    return draw((
        Option(OptionKind.WAIT, announces_wait=True, estimated_wait_ms=draw((-1, 90_000))),
        Option(OptionKind.CALLBACK, draw(("", queue_id)), within_ms=draw((0, 500, 60_000))),
        Option(OptionKind.OTHER_CHANNEL, queue_id, draw(CHANNELS)),
        Option(OptionKind.SELF_SERVICE, queue_id),
        Option(OptionKind.OTHER_QUEUE, queue_id),
    ))  # fmt: skip


def _offer_choice(draw: Draw, floor: Floor) -> Command:
    options = tuple({_option(draw, floor): None for _ in range(draw((1, 2, 3)))})
    forced = len(options) == 1 and draw((True, False))
    choice = Choice(
        "busy", draw((1, 2)), "act", options, draw((400, 20_000)), draw((0, 1_500, 60_000)), forced
    )
    return OfferChoice(contact_id_in(draw, floor, ContactState.QUEUED), choice)


def _asked(draw: Draw, floor: Floor) -> str:
    """A contact with a choice open; now and then any."""
    asked = [one.contact_id for one in floor.contacts.values() if one.choice]
    if asked and not seldom(draw, 10):
        return draw(asked)
    return contact_id_in(draw, floor, ContactState.QUEUED)


def _accept_choice(draw: Draw, floor: Floor) -> Command:
    return AcceptChoice(_asked(draw, floor), draw((1, 1, 2, 3)), any_etag(draw))


def _refuse_choice(draw: Draw, floor: Floor) -> Command:
    return RefuseChoice(_asked(draw, floor))


def _return_contact(draw: Draw, floor: Floor) -> Command:
    away = [one.contact_id for one in floor.contacts.values() if one.diversion]
    contact_id = contact_id_in(draw, floor, ContactState.DIVERTED)
    if away and not seldom(draw, 10):
        contact_id = draw(away)
    return ReturnContact(contact_id, draw(("", "", any_queue_id(draw, floor))))


def _report_outcome(draw: Draw, floor: Floor) -> Command:
    contact_id = contact_id_in(draw, floor, ContactState.DIVERTED)
    return ReportDiversionOutcome(contact_id, draw(REPORTABLE))


def _expire(draw: Draw, floor: Floor) -> Command:
    return Expire()


def _recover(draw: Draw, floor: Floor) -> Command:
    return Recover()


KINDS: Final[tuple[Callable[[Draw, Floor], Command], ...]] = (
    *(_route,) * 32,
    *(_accept,) * 16,
    *(_complete, set_presence) * 12,
    *(_end_wrap_up, _decline) * 6,
    *(_update, _requeue, _cancel, _release, _offer_contact, _schedule_contact) * 4,
    *(_fail_attempt, _consult, _complete_transfer) * 4,
    *(_offer_choice,) * 8,
    *(_accept_choice,) * 6,
    *(_refuse_choice, _return_contact, _report_outcome) * 2,
    *(upsert_agent, upsert_queue, heartbeat, _expire) * 3,
    *(set_intake,) * 4,
    reset_estimates,
    delete_agent,
    delete_queue,
    _recover,
)  # fmt: skip

# Where most offers are accepted: agents consult, transfer and interrupt.
IN_HAND_KINDS: Final[tuple[Callable[[Draw, Floor], Command], ...]] = (
    *(_accept,) * 24,
    *(_route,) * 12,
    *(_consult, _complete_transfer) * 8,
    *(_complete, _end_wrap_up) * 4,
    *(_fail_attempt, _schedule_contact) * 2,
    *(_decline, _release, _requeue, _cancel, _update, _offer_contact, _expire, set_presence),
    _recover,
)
# Where agents are few and customers are asked.
CHOOSING_KINDS: Final[tuple[Callable[[Draw, Floor], Command], ...]] = (
    *(_route,) * 12,
    *(_offer_choice, _accept_choice) * 12,
    *(_return_contact,) * 6,
    *(_cancel, _update) * 3,
    *(_accept, _refuse_choice, _report_outcome) * 2,
    *(_complete, _requeue, _schedule_contact, _decline, _expire, set_presence, _recover),
)
# Each once, by name: for floors on which some are wanted more than others.
BY_NAME: Final = {kind.__name__.removeprefix("_"): kind for kind in KINDS}
