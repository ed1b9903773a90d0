"""Contacts' lives as told by effects alone, checked against the table of transitions."""

from collections import Counter
from collections.abc import Iterable

from engine.effects import Effect, EffectKind
from engine.lifecycle import TRANSITIONS, ContactState, Trigger

_TRIGGER_OF = {
    EffectKind.OFFER_ACCEPTED: Trigger.ACCEPT,
    EffectKind.OFFER_DECLINED: Trigger.DECLINE,
    EffectKind.OFFER_EXPIRED: Trigger.EXPIRE_OFFER,
    EffectKind.CONTACT_UPDATED: Trigger.UPDATE,
    EffectKind.CONTACT_RELAXED: Trigger.RELAX,
    EffectKind.CONTACT_WRAP_UP_STARTED: Trigger.COMPLETE,
    EffectKind.CONTACT_ABANDONED: Trigger.ABANDON,
    EffectKind.CONTACT_CANCELLED: Trigger.WITHDRAW,
    EffectKind.CONTACT_SCHEDULED: Trigger.SCHEDULE,
    EffectKind.CONTACT_CONSULTED: Trigger.CONSULT,
    EffectKind.CONTACT_TRANSFERRED: Trigger.TRANSFER,
    EffectKind.CONTACT_INTERRUPTED: Trigger.INTERRUPT,
    EffectKind.CONTACT_RESUMED: Trigger.RESUME,
    EffectKind.CONTACT_DIVERTED: Trigger.DIVERT,
    EffectKind.DIVERSION_ENDED: Trigger.END_DIVERSION,
}
_ENTRY_OF = {
    EffectKind.CONTACT_REJECTED: Trigger.REJECT,
    EffectKind.CONTACT_SCHEDULED: Trigger.ADMIT_LATER,
}
_OF_OFFERS = {kind for kind in EffectKind if kind.name.startswith("OFFER_")}
# They lie over what the contact does.
_OF_CHOICES = {kind for kind in EffectKind if kind.name.startswith("CHOICE_")}
_OF_CHOICES.add(EffectKind.CONTACT_RETURNED)
_IN_HANDS = (ContactState.ASSIGNED, ContactState.INTERRUPTED)
# A contact that goes back to a queue: by the reason told.
_RETURN_OF = {
    "moved": Trigger.REQUEUE,
    "released": Trigger.RELEASE,
    "due": Trigger.COME_DUE,
    "kept_place": Trigger.REQUEUE,
    "returned": Trigger.RETURN,
    # Told by the end of the offer before.
    "declined": None,
    "offer_expired": None,
    # Told of a contact that falls back.
    "queue_full": Trigger.REQUEUE,
    "queue_closed": Trigger.REQUEUE,
    "outside_hours": Trigger.REQUEUE,
    "holiday": Trigger.REQUEUE,
    "max_wait": Trigger.REQUEUE,
}


class LifeTracer:
    """
    Follows contacts from effect to effect.

    Attributes
    ----------
    states
        Where each contact is, by id; ended contacts stay.
    seen
        Every cell of the table that was passed through.
    """

    def __init__(self) -> None:
        self.states: dict[str, ContactState] = {}
        self._offers: Counter[str] = Counter()
        self.seen: set[tuple[ContactState, Trigger]] = set()

    def follow(self, effects: Iterable[tuple[int | str, ...]]) -> None:
        """Follow effects in order; a transition the table does not list fails."""
        for record in effects:
            effect = Effect(*record)  # type: ignore[arg-type]
            if effect.contact_id:
                self._follow(effect)

    def _follow(self, effect: Effect) -> None:
        kind = EffectKind(effect.kind)
        contact_id = effect.contact_id
        if kind is EffectKind.CONTACT_RECEIVED:
            # Whether it is admitted or rejected is told next.
            self.states[contact_id] = ContactState.FREE
            return
        state = self.states[contact_id]
        if state is ContactState.FREE:
            trigger = _ENTRY_OF.get(kind, Trigger.ADMIT)
            self._move(contact_id, trigger)
            if trigger is not Trigger.ADMIT:
                return
        if kind is EffectKind.CONTACT_QUEUED:
            assert self.states[contact_id] is ContactState.QUEUED
        elif kind is EffectKind.CONTACT_ASSIGNED:
            assert state is ContactState.ASSIGNED, "an offer is accepted first"
        elif kind in _OF_CHOICES:
            self._follow_choice(kind, state)
        elif kind in _OF_OFFERS:
            self._follow_offer(kind, effect)
        elif kind is EffectKind.CONTACT_REQUEUED:
            self._return(effect)
        elif kind is EffectKind.CONTACT_EXPIRED:
            self._expire(effect)
        else:
            self._move(contact_id, _trigger_of(kind, effect.reason, state))

    def _follow_choice(self, kind: EffectKind, state: ContactState) -> None:
        asked = (ContactState.QUEUED, ContactState.OFFERED)
        if kind in (EffectKind.CHOICE_ACCEPTED, EffectKind.CHOICE_REFUSED):
            assert state in asked
        elif kind is EffectKind.CONTACT_RETURNED:
            assert state in (*asked, ContactState.SCHEDULED, ContactState.DIVERTED)

    def _expire(self, effect: Effect) -> None:
        contact_id = effect.contact_id
        if effect.reason == "attempts_exhausted":
            self._move(contact_id, Trigger.EXHAUST_ATTEMPTS)
            return
        if self.states[contact_id] is ContactState.OFFERED:
            # Its offer was taken back after it had waited long enough.
            self._move(contact_id, Trigger.RESCIND)
        elif self.states[contact_id] is ContactState.SCHEDULED:
            # Its window had ended before it came due.
            self._move(contact_id, Trigger.COME_DUE)
        self._move(contact_id, Trigger.EXPIRE_WAIT)

    def _follow_offer(self, kind: EffectKind, effect: Effect) -> None:
        contact_id = effect.contact_id
        if kind is EffectKind.OFFER_ISSUED:
            self._offer(effect)
            return
        self._offers[contact_id] -= 1
        if kind is EffectKind.OFFER_RESCINDED:
            is_answered = effect.reason == "answered"
            expected = ContactState.ASSIGNED if is_answered else ContactState.OFFERED
            assert self.states[contact_id] is expected, "why, is told next"
        elif kind is EffectKind.OFFER_ACCEPTED or self._offers[contact_id] == 0:
            # An offer that fails returns the contact if nobody else has it on offer.
            self._move(contact_id, _TRIGGER_OF[kind])

    def _offer(self, effect: Effect) -> None:
        if effect.reason == "picked":
            self._move(effect.contact_id, Trigger.PICK)
        elif self._offers[effect.contact_id] == 0:
            self._move(effect.contact_id, Trigger.OFFER)
        self._offers[effect.contact_id] += 1

    def _return(self, effect: Effect) -> None:
        trigger = _RETURN_OF.get(effect.reason, Trigger.RESCIND)
        state = self.states[effect.contact_id]
        if trigger is None:
            assert state is ContactState.QUEUED
        elif trigger is Trigger.RESCIND and state in _IN_HANDS:
            # Taken from an agent whose lease lapsed: as if it had released the contact.
            assert effect.reason == "lease_lost"
            self._move(effect.contact_id, Trigger.RELEASE)
        else:
            self._move(effect.contact_id, trigger)

    def _move(self, contact_id: str, trigger: Trigger) -> None:
        state = self.states[contact_id]
        following = TRANSITIONS[state].get(trigger)
        assert following is not None, (contact_id, state.name, trigger.name)
        self.seen.add((state, trigger))
        self.states[contact_id] = following


def _trigger_of(kind: EffectKind, reason: str, state: ContactState) -> Trigger:
    """What pulled an effect that tells of one move."""
    if reason == "attempt_failed":
        return Trigger.FAIL_ATTEMPT
    if reason == "consult_over" and state in _IN_HANDS:
        return Trigger.END_CONSULT
    if kind is EffectKind.CONTACT_COMPLETED:
        is_wrapped_up = state is ContactState.WRAP_UP
        return Trigger.END_WRAP_UP if is_wrapped_up else Trigger.COMPLETE_WITHOUT_WRAP_UP
    return _TRIGGER_OF[kind]
