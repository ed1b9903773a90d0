"""QueueService over a real channel: definition, intake and live state of queues."""

import time
from itertools import pairwise

import pytest

from headgate.client import Client
from headgate.v1.agent_pb2 import Presence
from headgate.v1.contact_pb2 import ContactState, RejectionReason
from headgate.v1.offer_service_pb2 import CompleteAssignmentRequest
from headgate.v1.queue_pb2 import (
    Hours,
    HoursException,
    Intake,
    OpeningPeriod,
    Queue,
    QueueOrder,
    ScoreWeights,
    ServiceLevelTarget,
    Strategy,
    WrapUpMode,
)
from headgate.v1.queue_service_pb2 import (
    DeleteQueueRequest,
    GetQueueRequest,
    GetSnapshotRequest,
    ListQueuesRequest,
    PauseQueueRequest,
    UpsertQueueRequest,
    WatchSnapshotsRequest,
)
from headgate.v1.routing_service_pb2 import CancelContactRequest, CancelReason
from tests.end_to_end.floor import (
    assign,
    contact_of,
    open_queue,
    refused,
    route,
    set_presence,
    sign_in,
    snapshot_of,
    told,
)


def pausing(queue_id: str) -> PauseQueueRequest:
    """Request that pauses a queue."""
    return PauseQueueRequest(queue_id=queue_id, intake=Intake.INTAKE_PAUSED)


async def test_queue_is_kept_as_it_was_written(client: Client, name: str) -> None:
    """What is read back is what was sent, every field of it."""
    queue = Queue(
        queue_id=name,
        service_level=ServiceLevelTarget(ratio=0.9, within_ms=10_000),
        strategy=Strategy.STRATEGY_BEST_SCORE,
        offer_timeout_ms=5_000,
        wrap_up_mode=WrapUpMode.WRAP_UP_MODE_TIMED,
        wrap_up_ms=1_000,
        max_wait_ms=60_000,
        max_length=7,
        reoffer_delay_ms=500,
        reoffer_delay_only_agent_ms=100,
        priority_age_ms=1_000,
        short_abandon_ms=2_000,
        matching_window_ms=250,
        weights=ScoreWeights(skill=2, idle=0),
        starvation_bound_ms=90_000,
        broadcast_max=2,
        order=QueueOrder.QUEUE_ORDER_LIFO,
        priority=-3,
    )
    written = await client.call(client.queues.UpsertQueue, UpsertQueueRequest(queue=queue))
    read = (await client.call(client.queues.GetQueue, GetQueueRequest(queue_id=name))).queue
    assert read == written.queue
    queue.etag, queue.intake = read.etag, Intake.INTAKE_OPEN
    queue.is_open = True
    queue.weights_in_force.CopyFrom(read.weights_in_force)
    assert read == queue


async def test_fallback_takes_what_a_full_queue_would_reject(client: Client, name: str) -> None:
    """Route says where the contact is, watchers why, and both queues count it."""
    await open_queue(client, f"{name}-spill")
    queue = await open_queue(client, name, max_length=1, fallback_queue_id=f"{name}-spill")
    assert queue.fallback_queue_id == f"{name}-spill"
    await route(client, name)
    routed = await route(client, name, f"{name}-c", routing_age_ms=5_000)
    assert routed.queue_id == f"{name}-spill"
    contact = await contact_of(client, f"{name}-c")
    assert (contact.queue_id, contact.state) == (f"{name}-spill", ContactState.CONTACT_STATE_QUEUED)
    assert contact.routing_age_ms >= 5_000 > contact.wait_ms
    found = await snapshot_of(client, name)
    assert (found.received_total, found.fallbacks_total, found.rejected_total) == (2, 1, 0)
    assert (await snapshot_of(client, f"{name}-spill")).waiting == 1


async def test_queue_takes_nobody_in_outside_its_hours(client: Client, name: str) -> None:
    """The answer says why; GetQueue says whether it is open, and until when."""
    an_hour = OpeningPeriod(opens="00:00", closes="01:00")
    on_new_year = HoursException(date="2100-01-01", periods=[an_hour])
    hours = Hours(time_zone="America/New_York", exceptions=[on_new_year])
    queue = await open_queue(client, name, hours=hours)
    assert (queue.hours, queue.is_open) == (hours, False)
    assert queue.next_change_at_ms == 4_102_462_800_000
    routed = await route(client, name)
    assert routed.rejection_reason == RejectionReason.REJECTION_REASON_OUTSIDE_HOURS
    queue = await open_queue(client, name)
    assert (queue.is_open, queue.next_change_at_ms) == (True, 0)
    assert (await route(client, name)).state == ContactState.CONTACT_STATE_QUEUED


async def test_hours_that_cannot_be_are_refused_by_field(client: Client, name: str) -> None:
    """Every mistake at once, each by its path."""
    wrong = Hours(time_zone="Mars/Olympus", weekly=[OpeningPeriod(opens="9", closes="17:00")])
    answer = await refused(open_queue(client, name, hours=wrong))
    assert list(answer.fields) == [
        f"queue.hours.{field}" for field in ("time_zone", "weekly[0].opens", "weekly[0].days")
    ]


async def test_fallback_that_cannot_be_is_refused_by_field(client: Client, name: str) -> None:
    """Nowhere, in a circle, or away from under those who name it: each says what is wrong."""
    field = "queue.fallback_queue_id"
    answer = await refused(open_queue(client, name, fallback_queue_id="nowhere"))
    assert (answer.code, list(answer.fields)) == ("NOT_FOUND", [field])
    await open_queue(client, f"{name}-spill")
    await open_queue(client, name, fallback_queue_id=f"{name}-spill")
    answer = await refused(open_queue(client, f"{name}-spill", fallback_queue_id=name))
    assert (answer.code, answer.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert f"{name}-spill > {name} > {name}-spill" in answer.fields[field]
    delete = DeleteQueueRequest(queue_id=f"{name}-spill")
    answer = await refused(client.call(client.queues.DeleteQueue, delete))
    assert (answer.code, answer.reason) == ("FAILED_PRECONDITION", "QUEUE_IS_FALLBACK")


async def test_queue_without_details_gets_the_documented_defaults(
    client: Client, name: str
) -> None:
    """Each default is a promise of the contract."""
    queue = await open_queue(client, name)
    assert (queue.service_level.ratio, queue.service_level.within_ms) == (0.8, 20_000)
    assert (queue.strategy, queue.wrap_up_mode, queue.intake) == (1, 1, 1)
    assert (queue.offer_timeout_ms, queue.max_wait_ms, queue.max_length) == (20_000, 86_400_000, 0)
    assert (queue.reoffer_delay_ms, queue.reoffer_delay_only_agent_ms) == (30_000, 1_000)
    assert (queue.priority_age_ms, queue.short_abandon_ms) == (60_000, 0)


async def test_redefined_queue_keeps_contacts_counts_and_intake(client: Client, name: str) -> None:
    """A new target in the middle of the day empties no queue and reopens none."""
    await open_queue(client, name)
    await route(client, name)
    await client.call(client.queues.PauseQueue, pausing(name))
    queue = await open_queue(client, name, max_length=5)
    assert (queue.max_length, queue.intake) == (5, Intake.INTAKE_PAUSED)
    snapshot = await snapshot_of(client, name)
    assert (snapshot.waiting, snapshot.received_total) == (1, 1)


async def test_queue_is_made_only_if_there_is_none_yet(client: Client, name: str) -> None:
    """Two who make the same queue at a time: one of them must learn of the other."""
    first = await open_queue(client, name, etag="0", max_length=1)
    found = await refused(open_queue(client, name, etag="0", max_length=2))
    assert (found.code, found.reason) == ("ABORTED", "ETAG_MISMATCH")
    read = await client.call(client.queues.GetQueue, GetQueueRequest(queue_id=name))
    assert (read.queue.etag, read.queue.max_length) == (first.etag, 1)


async def test_queue_written_with_an_old_etag_is_aborted(client: Client, name: str) -> None:
    """Two people editing one queue do not undo each other."""
    first = await open_queue(client, name)
    await open_queue(client, name, etag=first.etag, max_length=1)
    found = await refused(open_queue(client, name, etag=first.etag, max_length=2))
    assert (found.code, found.reason, set(found.fields)) == ("ABORTED", "ETAG_MISMATCH", {"etag"})
    stale = DeleteQueueRequest(queue_id=name, etag=first.etag)
    assert (await refused(client.call(client.queues.DeleteQueue, stale))).code == "ABORTED"


async def test_queues_are_listed_by_id_page_by_page(client: Client, name: str) -> None:
    """Pages join without a gap or a double."""
    made = [f"{name}-{number}" for number in range(5)]
    for queue_id in reversed(made):
        await open_queue(client, queue_id)
    listed: list[str] = []
    token = ""
    while True:
        request = ListQueuesRequest(page_size=2, page_token=token)
        page = await client.call(client.queues.ListQueues, request)
        assert len(page.queues) <= 2
        listed += [queue.queue_id for queue in page.queues]
        token = page.next_page_token
        if not token:
            break
    assert listed == sorted(set(listed))
    assert [item for item in listed if item in made] == made


async def test_deleted_queue_is_gone(client: Client, name: str) -> None:
    """Nothing can be routed to it any more, and a second delete says so."""
    await open_queue(client, name)
    await client.call(client.queues.DeleteQueue, DeleteQueueRequest(queue_id=name))
    for call in (
        route(client, name),
        client.call(client.queues.GetQueue, GetQueueRequest(queue_id=name)),
        client.call(client.queues.DeleteQueue, DeleteQueueRequest(queue_id=name)),
        client.call(client.queues.PauseQueue, pausing(name)),
        client.call(client.queues.GetSnapshot, GetSnapshotRequest(queue_ids=[name])),
    ):
        found = await refused(call)
        assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_QUEUE")


async def test_queue_with_contacts_or_agents_is_not_deleted(client: Client, name: str) -> None:
    """No contact and no agent is left pointing at nothing."""
    await open_queue(client, f"{name}-full")
    await route(client, f"{name}-full")
    await open_queue(client, f"{name}-served")
    await sign_in(client, name, f"{name}-served")
    for kind, reason in (("full", "QUEUE_HOLDS_CONTACTS"), ("served", "QUEUE_HAS_AGENTS")):
        request = DeleteQueueRequest(queue_id=f"{name}-{kind}")
        found = await refused(client.call(client.queues.DeleteQueue, request))
        assert (found.code, found.reason) == ("FAILED_PRECONDITION", reason)


async def test_reopened_queue_offers_what_waited(client: Client, name: str) -> None:
    """The backlog of a pause is looked at when it ends, not with the next contact."""
    await open_queue(client, name)
    await client.call(client.queues.PauseQueue, pausing(name))
    await sign_in(client, f"{name}-a", name)
    await route(client, name, f"{name}-c")
    reopen = PauseQueueRequest(queue_id=name, intake=Intake.INTAKE_OPEN)
    queue = (await client.call(client.queues.PauseQueue, reopen)).queue
    assert queue.intake == Intake.INTAKE_OPEN
    contact = await contact_of(client, f"{name}-c")
    assert contact.state == ContactState.CONTACT_STATE_OFFERED


@pytest.mark.parametrize("intake", [0, 9])
async def test_intake_that_is_none_is_refused(client: Client, name: str, intake: int) -> None:
    """A request that lacks its one word must not stop a queue: the caller is told the words."""
    await open_queue(client, name)
    request = PauseQueueRequest(queue_id=name, intake=intake)  # type: ignore[arg-type]
    found = await refused(client.call(client.queues.PauseQueue, request))
    assert (found.code, set(found.fields)) == ("INVALID_ARGUMENT", {"intake"})
    assert "one of INTAKE_OPEN, INTAKE_PAUSED, INTAKE_CLOSED" in found.fields["intake"]
    queue = await client.call(client.queues.GetQueue, GetQueueRequest(queue_id=name))
    assert queue.queue.intake == Intake.INTAKE_OPEN


async def test_queues_are_listed_after_any_text(client: Client, name: str) -> None:
    """A token is the last id of a page, so one of a queue that is gone meanwhile serves as well."""
    for number in (1, 3):
        await open_queue(client, f"{name}-{number}")
    request = ListQueuesRequest(page_size=1, page_token=f"{name}-2")
    page = await client.call(client.queues.ListQueues, request)
    assert [queue.queue_id for queue in page.queues] == [f"{name}-3"]


async def test_snapshot_counts_every_contact_once(client: Client, name: str) -> None:
    """Waiting, offered, assigned, wrap-up and the ended ones add up to what came in."""
    mode = WrapUpMode.WRAP_UP_MODE_UNTIL_ENDED
    await open_queue(client, name, wrap_up_mode=mode, short_abandon_ms=60_000, max_length=1)
    await sign_in(client, f"{name}-a", name, capacity=3)
    await assign(client, name, f"{name}-wrap")
    done = CompleteAssignmentRequest(contact_id=f"{name}-wrap", agent_id=f"{name}-a")
    await client.call(client.offers.CompleteAssignment, done)
    await assign(client, name, f"{name}-held")
    await route(client, name, f"{name}-offered")
    await route(client, name, f"{name}-left")
    left = CancelContactRequest(
        contact_id=f"{name}-left", reason=CancelReason.CANCEL_REASON_ABANDONED
    )
    await client.call(client.routing.CancelContact, left)
    await route(client, name, f"{name}-waits")
    await route(client, name, f"{name}-rejected")
    found = await snapshot_of(client, name)
    assert (found.waiting, found.offered, found.assigned, found.wrap_up) == (1, 1, 1, 1)
    assert (found.received_total, found.answered_total, found.rejected_total) == (6, 2, 1)
    assert (found.abandoned_total, found.short_abandoned_total) == (1, 1)
    assert found.service_level == 1.0
    assert (found.agents_free, found.agents_signed_in) == (0, 1)
    received_at_ms = (await contact_of(client, f"{name}-waits")).received_at_ms
    assert found.oldest_wait_ms == found.at_ms - received_at_ms
    assert found.offers_total == 3


async def test_snapshot_before_the_first_contact_has_no_service_level(
    client: Client, name: str
) -> None:
    """No data is not a perfect score."""
    await open_queue(client, name)
    assert not (await snapshot_of(client, name)).HasField("service_level")


async def test_snapshot_of_many_queues_comes_in_the_order_asked(client: Client, name: str) -> None:
    """The caller need not look names up again."""
    asked = [f"{name}-b", f"{name}-a", f"{name}-c"]
    for queue_id in asked:
        await open_queue(client, queue_id)
    request = GetSnapshotRequest(queue_ids=asked)
    response = await client.call(client.queues.GetSnapshot, request)
    assert [item.queue_id for item in response.snapshots] == asked
    everything = await client.call(client.queues.GetSnapshot, GetSnapshotRequest())
    ids = [item.queue_id for item in everything.snapshots]
    assert ids == sorted(ids)
    assert set(asked) <= set(ids)


async def test_watched_snapshots_come_at_once_and_at_the_interval(
    client: Client, name: str
) -> None:
    """A wallboard shows something from the first moment, and follows."""
    await open_queue(client, name)
    stream = client.queues.WatchSnapshots(
        WatchSnapshotsRequest(queue_ids=[name], interval_ms=100), timeout=30
    )
    begun_s = time.monotonic()
    first = (await told(stream)).snapshots[0]
    assert (first.queue_id, first.waiting) == (name, 0)
    await route(client, name)
    later = [(await told(stream)).snapshots[0] for _ in range(3)]
    assert later[-1].waiting == 1
    assert time.monotonic() - begun_s >= 0.25
    assert all(after.at_ms - before.at_ms >= 50 for before, after in pairwise(later))
    stream.cancel()


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        (WatchSnapshotsRequest(interval_ms=99), "INVALID_ARGUMENT", "interval_ms"),
        (WatchSnapshotsRequest(interval_ms=3_600_001), "INVALID_ARGUMENT", "interval_ms"),
        (WatchSnapshotsRequest(interval_ms=-1), "INVALID_ARGUMENT", "interval_ms"),
        (WatchSnapshotsRequest(queue_ids=["no such queue"]), "NOT_FOUND", "queue_id"),
        (WatchSnapshotsRequest(queue_ids=["q"] * 10_001), "INVALID_ARGUMENT", "queue_ids"),
    ],
)
async def test_watched_snapshots_with_a_bad_argument_are_refused(
    client: Client, request_: WatchSnapshotsRequest, code: str, field: str
) -> None:
    """A stream that cannot be served ends with its reason before the first message."""
    found = await refused(client.queues.WatchSnapshots(request_, timeout=30).read())
    assert (found.code, set(found.fields)) == (code, {field})


async def test_free_agents_are_counted_while_they_can_take_something(
    client: Client, name: str
) -> None:
    """Free means available with room; signed in means anything but offline."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-1", name)
    await sign_in(client, f"{name}-2", name)
    await set_presence(client, f"{name}-2", Presence.PRESENCE_AWAY)
    found = await snapshot_of(client, name)
    assert (found.agents_free, found.agents_signed_in) == (1, 2)
    await route(client, name)
    assert (await snapshot_of(client, name)).agents_free == 0
