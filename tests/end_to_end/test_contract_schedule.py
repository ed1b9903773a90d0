"""Contacts that are put off: callbacks at a time, in the caller's place, tried again."""

import time

from headgate.client import Client
from headgate.v1.agent_pb2 import Presence
from headgate.v1.contact_pb2 import Channel, ContactState, Schedule
from headgate.v1.decision_service_pb2 import ExplainRequest
from headgate.v1.event_pb2 import EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, FailAttemptRequest
from headgate.v1.queue_pb2 import Day, Hours, HoursException, OpeningPeriod
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    EstimateWaitRequest,
    ScheduleContactRequest,
)
from tests.end_to_end.floor import (
    assign,
    contact_of,
    cursor_of_now,
    events_until,
    offer_to,
    open_queue,
    refused,
    route,
    set_presence,
    sign_in,
    snapshot_of,
)

SCHEDULED = ContactState.CONTACT_STATE_SCHEDULED
QUEUED = ContactState.CONTACT_STATE_QUEUED
EXPIRED = ContactState.CONTACT_STATE_EXPIRED
DAY_MS = 86_400_000


def now_ms() -> int:
    """Wall clock."""
    return time.time_ns() // 1_000_000


async def test_contact_for_later_is_seen_by_nobody_until_it_is_due(
    client: Client, name: str
) -> None:
    """The agent beside it stays free; then it is offered at once, as any other."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    due_ms = now_ms() + 700
    routed = await route(client, name, f"{name}-c", schedule=Schedule(due_at_ms=due_ms))
    assert (routed.state, routed.due_at_ms, routed.position) == (SCHEDULED, due_ms, 0)
    contact = await contact_of(client, f"{name}-c")
    assert (contact.schedule.due_at_ms, contact.schedule.attempts_max) == (due_ms, 1)
    assert (contact.routing_age_ms, contact.wait_ms) == (0, 0)
    snapshot = await snapshot_of(client, name)
    assert (snapshot.scheduled, snapshot.waiting, snapshot.agents_free) == (1, 0, 1)
    told = await client.call(client.decisions.Explain, ExplainRequest(contact_id=f"{name}-c"))
    assert any("put off for another" in sentence for sentence in told.sentences)
    estimate = EstimateWaitRequest(contact_id=f"{name}-c")
    answer = await refused(client.call(client.routing.EstimateWait, estimate))
    assert answer.code == "FAILED_PRECONDITION"
    await offer_to(client, f"{name}-a")
    assert now_ms() >= due_ms
    assert (await snapshot_of(client, name)).scheduled == 0


async def test_caller_who_is_called_back_keeps_the_place_and_is_tried_twice(
    client: Client, name: str
) -> None:
    """The field's known defect: callbacks lose their age, or overtake those who hold."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    await set_presence(client, f"{name}-a", Presence.PRESENCE_AWAY)
    first = (await route(client, name, f"{name}-1", routing_age_ms=60_000)).contact_id
    second = (await route(client, name, f"{name}-2")).contact_id
    request = ScheduleContactRequest(
        contact_id=first,
        channel=Channel.CHANNEL_CALLBACK,
        schedule=Schedule(attempts_max=2, retry_delay_ms=1_000),
        attributes={"number": "555"},
    )
    kept = (await client.call(client.routing.ScheduleContact, request)).route
    assert (kept.state, kept.position) == (QUEUED, 1)
    contact = await contact_of(client, first)
    assert contact.channel == Channel.CHANNEL_CALLBACK
    assert contact.routing_age_ms >= 60_000
    assert (await route(client, name, second)).position == 2
    withdrawn = CancelReason.CANCEL_REASON_WITHDRAWN
    cancel = CancelContactRequest(contact_id=second, reason=withdrawn)
    await client.call(client.routing.CancelContact, cancel)
    await set_presence(client, f"{name}-a", Presence.PRESENCE_AVAILABLE)
    states = []
    for _ in range(2):
        offer_id = await offer_to(client, f"{name}-a")
        accept = AcceptOfferRequest(offer_id=offer_id, agent_id=f"{name}-a")
        await client.call(client.offers.AcceptOffer, accept)
        failed = FailAttemptRequest(contact_id=first, agent_id=f"{name}-a")
        states.append((await client.call(client.offers.FailAttempt, failed)).state)
    assert states == [SCHEDULED, EXPIRED]
    assert (await contact_of(client, first)).attempts_failed == 2


async def test_whoever_watches_is_told_until_when_and_why(client: Client, name: str) -> None:
    """A dialler plans by these events alone."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    start = await cursor_of_now(client)
    contact_id = f"{name}-c"
    await assign(client, name, contact_id)
    due_ms = now_ms() + 300
    request = ScheduleContactRequest(contact_id=contact_id, schedule=Schedule(due_at_ms=due_ms))
    await client.call(client.routing.ScheduleContact, request)
    of_queue = SubscribeRequest(cursor=start, queue_ids=[name])
    *_, put_off, due = await events_until(client, of_queue, "CONTACT_REQUEUED")
    assert put_off.kind == EventKind.EVENT_KIND_CONTACT_SCHEDULED
    assert (put_off.due_at_ms, due.reason) == (due_ms, "due")
    assert due.at_ms >= due_ms


async def test_time_that_cannot_be_kept_is_refused_by_field_or_turned_away(
    client: Client, name: str
) -> None:
    """Better told now, while the customer can choose another time."""
    hours = Hours(
        time_zone="UTC",
        weekly=[OpeningPeriod(days=list(Day.values())[1:], opens="00:00", closes="24:00")],
        exceptions=[
            HoursException(date=time.strftime("%F", time.gmtime(time.time() + 3 * 86_400)))
        ],
    )
    await open_queue(client, name, hours=hours)
    await route(client, name, f"{name}-c")
    holiday_ms = now_ms() + 3 * DAY_MS
    for schedule, found in (
        (Schedule(due_at_ms=now_ms() + 40 * DAY_MS), "schedule.due_at_ms"),
        (Schedule(due_at_ms=-1), "schedule.due_at_ms"),
        (Schedule(due_at_ms=holiday_ms), "schedule.due_at_ms"),
        (Schedule(window_ends_at_ms=1), "schedule.window_ends_at_ms"),
        (Schedule(attempts_max=101), "schedule.attempts_max"),
        (Schedule(retry_delay_ms=1), "schedule.retry_delay_ms"),
    ):
        request = ScheduleContactRequest(contact_id=f"{name}-c", schedule=schedule)
        answer = await refused(client.call(client.routing.ScheduleContact, request))
        assert (answer.code, list(answer.fields)) == ("INVALID_ARGUMENT", [found])
    assert (await contact_of(client, f"{name}-c")).state == QUEUED
    turned_away = await route(client, name, f"{name}-d", schedule=Schedule(due_at_ms=holiday_ms))
    assert turned_away.rejection_reason
    wrong = ScheduleContactRequest(contact_id=f"{name}-c", channel=99)  # type: ignore[arg-type]
    answer = await refused(client.call(client.routing.ScheduleContact, wrong))
    assert list(answer.fields) == ["channel"]
    failed = FailAttemptRequest(contact_id=f"{name}-c", agent_id="nobody")
    assert (await refused(client.call(client.offers.FailAttempt, failed))).code == "NOT_FOUND"
