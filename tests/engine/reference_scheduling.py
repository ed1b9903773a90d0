"""
The reference router's contacts that are put off.

Compare `engine.kernels.scheduling` and `schedule_transitions`.
"""

from engine.commands import FailAttempt, Schedule, ScheduleContact
from engine.effects import EffectKind
from engine.engine import Outcome
from engine.lifecycle import TRANSITIONS, ContactState, RejectionReason, Trigger
from engine.limits import SCHEDULE_AHEAD_MS_MAX
from engine.refusals import Refusal
from tests.engine.reference_floor import Floor, Refused
from tests.engine.reference_hours import MINUTE_MS, closed_in
from tests.engine.reference_matching import (
    match_returned,
)
from tests.engine.reference_moves import (
    end,
    postpone,
    release_from_state,
    return_to_queue,
    set_expiry,
    start_wait,
    take_from_agent,
)
from tests.engine.reference_subjects import RefAgent, RefContact, RefQueue
from tests.engine.reference_time import settle_agent
from tests.engine.reference_transitions import where_it_stands


def check_times(floor: Floor, schedule: Schedule) -> None:
    """Times lie within a month, and a window ends after it begins."""
    latest_ms = floor.now_ms + SCHEDULE_AHEAD_MS_MAX
    begins_ms = max(schedule.due_at_ms, floor.now_ms)
    ends_ms = schedule.window_ends_at_ms
    if schedule.due_at_ms > latest_ms or (ends_ms and not begins_ms < ends_ms <= latest_ms):
        raise Refused(Refusal.INVALID_FIELD)


def closed_then(floor: Floor, queue: RefQueue, schedule: Schedule) -> RejectionReason:
    """Why the queue's hours have it closed when a contact comes due."""
    hours = queue.definition.hours
    if hours is None or schedule.due_at_ms <= floor.now_ms:
        return RejectionReason.NONE
    return closed_in(hours, schedule.due_at_ms // MINUTE_MS)


def put_off(
    floor: Floor, contact: RefContact, queue: RefQueue, command: ScheduleContact
) -> Outcome:
    if Trigger.SCHEDULE not in TRANSITIONS[contact.state]:
        raise Refused(Refusal.ILLEGAL_TRANSITION)
    was_waiting = contact.state in (ContactState.QUEUED, ContactState.OFFERED)
    stays = was_waiting and contact.queue_id == queue.queue_id
    agent = release_from_state(floor, contact, "scheduled")
    contact.queue_id = queue.queue_id
    contact.channel = command.channel or contact.channel
    contact.keep_to(command.schedule)
    if agent and not was_waiting:
        agent.ends_contact(floor.now_ms)
    if command.schedule.due_at_ms > floor.now_ms:
        postpone(floor, contact, command.schedule.due_at_ms)
    else:
        if stays:
            set_expiry(floor, contact)
        else:
            start_wait(floor, contact)
        return_to_queue(floor, contact, "kept_place")
        match_returned(floor, contact)
    if agent:
        settle_agent(floor, agent)
    return where_it_stands(floor, contact)


def try_later(floor: Floor, contact: RefContact, agent: RefAgent, command: FailAttempt) -> Outcome:
    take_from_agent(floor, contact)
    agent.ends_contact(floor.now_ms)
    contact.attempts += 1
    day_ms = 86_400_000
    doubled_ms = contact.retry_ms * 2 ** (contact.attempts - 1)
    delay_ms = command.retry_after_ms or (min(doubled_ms, day_ms) if contact.retry_ms else 0)
    due_ms = floor.now_ms + delay_ms
    is_in_window = contact.window_ms == 0 or due_ms < contact.window_ms
    if contact.attempts < contact.attempts_max and is_in_window:
        postpone(floor, contact, due_ms, "attempt_failed")
    else:
        kind = EffectKind.CONTACT_EXPIRED
        end(floor, contact, ContactState.EXPIRED, kind, "attempts_exhausted")
    settle_agent(floor, agent)
    return where_it_stands(floor, contact)
