"""Transitions of contacts that are put off: scheduled, kept in their place, tried again."""

from engine.effects import EffectKind, Reason
from engine.kernels.agent_life import settle_agent
from engine.kernels.boundary import Table, open_cell, open_classes, open_contacts
from engine.kernels.capacity import rest_begins
from engine.kernels.columns import NOW_MS
from engine.kernels.compilation import kernel
from engine.kernels.contact_life import (
    claim_contact,
    end_contact,
    is_allowed,
    release_from_state,
    return_to_queue,
    take_from_agent,
)
from engine.kernels.contact_transitions import report
from engine.kernels.joining import refer_to_class, set_expiry, start_wait
from engine.kernels.matching import match_returned
from engine.kernels.requests import IN_CLASS, IN_CONTACT, IN_DUE_MS, IN_VALUE
from engine.kernels.scheduling import back_off_ms, postpone, set_schedule
from engine.lifecycle import ContactState, Trigger
from engine.refusals import Refusal

_APPLIED = int(Refusal.NONE)
_ILLEGAL = int(Refusal.ILLEGAL_TRANSITION)
_QUEUED = int(ContactState.QUEUED)
_OFFERED = int(ContactState.OFFERED)
_EXPIRED = int(ContactState.EXPIRED)
_T_SCHEDULE = int(Trigger.SCHEDULE)
_T_FAIL_ATTEMPT = int(Trigger.FAIL_ATTEMPT)
_E_EXPIRED = int(EffectKind.CONTACT_EXPIRED)
_R_NONE = int(Reason.NONE)
_R_SCHEDULED = int(Reason.SCHEDULED)
_R_KEPT_PLACE = int(Reason.KEPT_PLACE)
_R_ATTEMPT_FAILED = int(Reason.ATTEMPT_FAILED)
_R_ATTEMPTS_EXHAUSTED = int(Reason.ATTEMPTS_EXHAUSTED)


@kernel
def schedule(table: Table) -> int:
    """
    Put an open contact off until a time; where that is now, it goes on in a class, perhaps of
    another channel, in its place.

    As `requeue`.
    """
    cell = open_cell(table)
    contacts = open_contacts(table)
    contact = cell.request[IN_CONTACT]
    if not is_allowed(table, contact, _T_SCHEDULE):
        return _ILLEGAL
    class_row = cell.request[IN_CLASS]
    was_waiting = contacts.state[contact] == _QUEUED or contacts.state[contact] == _OFFERED
    stays = was_waiting and contacts.queue[contact] == open_classes(table).queue[class_row]
    agent = release_from_state(table, contact, _R_SCHEDULED)
    refer_to_class(table, contact, class_row)
    contacts.channel[contact] = open_classes(table).channel[class_row]
    set_schedule(table, contact)
    if not was_waiting and agent >= 0:
        rest_begins(table, agent)
    if cell.request[IN_DUE_MS] > cell.scalar[NOW_MS]:
        postpone(table, contact, cell.request[IN_DUE_MS], _R_NONE)
    else:
        if stays:
            set_expiry(table, contact)
        else:
            start_wait(table, contact)
        return_to_queue(table, contact, _R_KEPT_PLACE)
        match_returned(table, contact)
    if agent >= 0:
        settle_agent(table, agent)
    report(table, contact)
    return _APPLIED


@kernel
def fail_attempt(table: Table) -> int:
    """
    Take an assigned contact from its agent, for its customer could not be reached: it is scheduled
    again while attempts and its window last, and ends otherwise.

    O(log contacts), and one search per offer made.
    """
    cell = open_cell(table)
    contacts = open_contacts(table)
    contact = cell.request[IN_CONTACT]
    refusal = claim_contact(table, contact, _T_FAIL_ATTEMPT)
    if refusal != _APPLIED:
        return refusal
    agent = take_from_agent(table, contact)
    rest_begins(table, agent)
    contacts.attempts[contact] += 1
    delay_ms = cell.request[IN_VALUE]
    if delay_ms == 0:
        delay_ms = back_off_ms(table, contact)
    due_ms = cell.scalar[NOW_MS] + delay_ms
    is_in_window = contacts.window_ms[contact] == 0 or due_ms < contacts.window_ms[contact]
    if contacts.attempts[contact] < contacts.attempts_max[contact] and is_in_window:
        postpone(table, contact, due_ms, _R_ATTEMPT_FAILED)
    else:
        end_contact(table, contact, _EXPIRED, _E_EXPIRED, _R_ATTEMPTS_EXHAUSTED)
    settle_agent(table, agent)
    report(table, contact)
    return _APPLIED
