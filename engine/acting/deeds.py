"""Actions on one contact, as commands of the engine; which of them move it, and what they count."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Final, NamedTuple

from engine.acting.contact_values import WaitingContact
from engine.choices import Choice, OfferChoice, Option, OptionKind
from engine.commands import RequeueContact, Requirements, SkillRequirement, UpdateContact
from engine.effects import EffectKind
from engine.handlers import choices, contacts, crossing
from engine.handlers.closing import keep_steered
from engine.handlers.outcome import Outcome
from engine.lifecycle import Channel, EstimateStatus
from engine.limits import PRIORITY_MAX
from engine.policy.actions import (
    Action,
    AnnounceWait,
    ChangePriority,
    LowerRequirement,
    Overflow,
)
from engine.policy.actions import OfferChoice as PolicyOffer
from engine.policy.actions import Option as PolicyOption
from engine.policy.document import Relief
from engine.routing.wait_estimate import Z_90, estimate_contact
from engine.state.activations import Activation
from engine.steering import Counted

# Attribute of a contact that says how long it is told to wait, in whole seconds.
ANNOUNCED_WAIT: Final = "announced_wait_s"
_NOTIFIED_OF: Final = {
    EffectKind.ACTIVATION_BEGAN: "enter",
    EffectKind.ACTIVATION_ENDED: "exit",
}


class Deed(NamedTuple):
    """
    An action of a policy on contacts.

    Attributes
    ----------
    counts
        What it is counted as.
    is_move
        Whether it takes the contact elsewhere, or offers to: once for each contact, and within
        budgets.
    """

    action: Action
    counts: Counted
    is_move: bool


def deeds_of(actions: Sequence[Action]) -> tuple[Deed, ...]:
    """Those of a policy's actions that are about contacts, in order."""
    found: list[Deed] = []
    for action in actions:
        if action.offer_choice is not None:
            found.append(Deed(action, Counted.OFFERED, is_move=True))
        elif action.overflow is not None:
            found.append(Deed(action, Counted.OVERFLOWED, is_move=True))
        elif action.lower_requirement is not None or action.change_priority is not None:
            found.append(Deed(action, Counted.CHANGED, is_move=False))
        elif action.announce_wait is not None:
            found.append(Deed(action, Counted.ANNOUNCED, is_move=False))
    return tuple(found)


def notices_of(policy: Relief, kind: EffectKind) -> list[str]:
    """Whom a policy tells of its beginning or end, and what: `whom: message`."""
    event = _NOTIFIED_OF.get(kind)
    notices = [action.notify for action in policy.spec.actions if action.notify is not None]
    state = "on" if kind is EffectKind.ACTIVATION_BEGAN else "off"
    return [
        f"{item.webhook}: {item.message or f'{policy.name} is {state}'}"
        for item in notices
        if event in item.events
    ]


def perform(contact: WaitingContact, deed: Deed, activation: Activation) -> Outcome | None:
    """
    Do an action; None where there was nothing to do.

    Raises
    ------
    CommandRefused
        The engine refuses it; nothing changed.
    """
    action = deed.action
    if action.offer_choice is not None:
        return _offer(contact, action.offer_choice, activation)
    if action.overflow is not None:
        return _overflow(contact, action.overflow, activation)
    if action.lower_requirement is not None:
        return _lower(contact, action.lower_requirement)
    if action.change_priority is not None:
        return _change_priority(contact, action.change_priority)
    if action.announce_wait is not None:
        return _announce(contact, action.announce_wait)
    return None


def _overflow(contact: WaitingContact, to: Overflow, activation: Activation) -> Outcome | None:
    cell, queue_id = contact.cell, to.queue
    if to.cell is not None:
        return crossing.send(cell, contact.row, to.cell, queue_id, activation)
    if cell.queues.slots.ids[contact.queue_row] == queue_id:
        return None
    outcome = contacts.requeue(cell, RequeueContact(contact.contact_id, queue_id))
    cell.choices.count_move(queue_id)
    # Read anew: it is written by what moved it.
    steered = cell.contacts.said(contact.row).steered
    keep_steered(cell, contact.row, steered._replace(hops=steered.hops + 1))
    return outcome


def _offer(contact: WaitingContact, what: PolicyOffer, activation: Activation) -> Outcome:
    """Lay a choice over the contact; one that is forced is accepted with it."""
    subject = activation.subject
    choice = Choice(
        subject.policy,
        subject.version,
        activation.name,
        tuple(_option(contact, option) for option in what.options),
        what.answer_within,
        what.return_within or 0,
        forced=what.forced,
    )
    return choices.offer_choice(contact.cell, OfferChoice(contact.contact_id, choice))


def _option(contact: WaitingContact, option: PolicyOption) -> Option:
    queue_id = option.queue or ""
    if option.wait is not None:
        estimate = estimate_contact(contact.cell, contact.row)
        is_known = estimate.status is EstimateStatus.ESTIMATED
        wait_ms = estimate.expected_ms if is_known else -1
        announces = option.wait.announce
        return Option(OptionKind.WAIT, announces_wait=announces, estimated_wait_ms=wait_ms)
    if option.callback is not None:
        return Option(OptionKind.CALLBACK, queue_id, within_ms=option.callback.within or 0)
    if option.other_channel is not None:
        channel = Channel[option.other_channel.channel.upper()]
        return Option(OptionKind.OTHER_CHANNEL, queue_id, channel)
    kind = OptionKind.SELF_SERVICE if option.self_service is not None else OptionKind.OTHER_QUEUE
    return Option(kind, queue_id)


def _lower(contact: WaitingContact, to: LowerRequirement) -> Outcome | None:
    asked = contact.cell.classes.requirements_of(
        int(contact.cell.store.columns.contacts.class_row[contact.row])
    )
    skills = tuple(
        item for item in (_lowered(skill, to) for skill in asked.skills) if item.proficiency_min > 0
    )
    if skills == asked.skills:
        return None
    changed: Requirements = asked._replace(skills=skills)
    return contacts.update(contact.cell, UpdateContact(contact.contact_id, requirements=changed))


def _lowered(skill: SkillRequirement, to: LowerRequirement) -> SkillRequirement:
    if skill.skill != to.skill or skill.proficiency_min <= to.proficiency_min:
        return skill
    return skill._replace(proficiency_min=to.proficiency_min)


def _change_priority(contact: WaitingContact, to: ChangePriority) -> Outcome | None:
    columns = contact.cell.store.columns
    now = int(columns.classes.priority[int(columns.contacts.class_row[contact.row])])
    wanted = to.to if to.to is not None else now + (to.by or 0)
    wanted = max(-PRIORITY_MAX, min(PRIORITY_MAX, wanted))
    if wanted == now:
        return None
    return contacts.update(contact.cell, UpdateContact(contact.contact_id, priority=wanted))


def _announce(contact: WaitingContact, how: AnnounceWait) -> Outcome | None:
    """Write the wait to be told into the contact's attributes, where its gateway reads it."""
    estimate = estimate_contact(contact.cell, contact.row)
    if estimate.status is not EstimateStatus.ESTIMATED:
        return None
    # Between the quantiles that the estimate has, on the scale of the normal distribution.
    above = NormalDist().inv_cdf(min(max(how.quantile, 0.01), 0.99)) / Z_90
    edge_ms = estimate.high_ms if above >= 0.0 else estimate.low_ms
    shifted = estimate.expected_ms + abs(above) * (edge_ms - estimate.expected_ms)
    told_ms = -(-max(int(shifted), 1) // how.rounded_to) * how.rounded_to
    attributes = {ANNOUNCED_WAIT: str(told_ms // 1_000)}
    return contacts.update(contact.cell, UpdateContact(contact.contact_id, attributes=attributes))
