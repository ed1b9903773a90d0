"""QueueService: what its unary methods do."""

from collections.abc import Sequence
from typing import Final

from google.protobuf.message import Message

from adapters.errors import invalid
from adapters.messages import queue_message, snapshot_message
from adapters.methods import Method, fitting, ids_after, page_bounds
from adapters.translation import member, queue_command
from engine.commands import DeleteQueue, SetIntake
from engine.engine import Engine
from engine.lifecycle import Intake
from engine.refusals import violation
from headgate.v1 import queue_pb2
from headgate.v1 import queue_service_pb2 as pb

SNAPSHOT_QUEUES_MAX: Final = 10_000


def upsert_queue(engine: Engine, request: pb.UpsertQueueRequest, now_ms: int) -> Message:
    """Create a queue or replace its definition."""
    engine.apply(queue_command(request.queue), now_ms)
    return pb.UpsertQueueResponse(queue=queue_message(engine.read.queue(request.queue.queue_id)))


def get_queue(engine: Engine, request: pb.GetQueueRequest, now_ms: int) -> Message:
    """Read one queue."""
    del now_ms
    return pb.GetQueueResponse(queue=queue_message(engine.read.queue(request.queue_id)))


def list_queues(engine: Engine, request: pb.ListQueuesRequest, now_ms: int) -> Message:
    """List queues by id."""
    del now_ms
    ids = ids_after(engine.read.queue_ids(), request.page_token)
    count = page_bounds(request.page_size)
    page = fitting(queue_message(engine.read.queue(queue_id)) for queue_id in ids[:count])
    token = page[-1].queue_id if len(page) < len(ids) else ""
    return pb.ListQueuesResponse(queues=page, next_page_token=token)


def delete_queue(engine: Engine, request: pb.DeleteQueueRequest, now_ms: int) -> Message:
    """Delete a queue."""
    engine.apply(DeleteQueue(request.queue_id, request.etag), now_ms)
    return pb.DeleteQueueResponse()


def pause_queue(engine: Engine, request: pb.PauseQueueRequest, now_ms: int) -> Message:
    """Set what a queue does with contacts."""
    intake = member(Intake, request.intake)
    engine.apply(SetIntake(request.queue_id, intake), now_ms)
    return pb.PauseQueueResponse(queue=queue_message(engine.read.queue(request.queue_id)))


def snapshots(
    engine: Engine, queue_ids: Sequence[str], now_ms: int
) -> list[queue_pb2.QueueSnapshot]:
    """Live state of the named queues, or of all by id."""
    if len(queue_ids) > SNAPSHOT_QUEUES_MAX:
        expected = f"at most {SNAPSHOT_QUEUES_MAX:,} queues"
        raise invalid(violation("queue_ids", len(queue_ids), expected))
    return [
        snapshot_message(engine.read.snapshot(queue_id, now_ms), now_ms)
        for queue_id in queue_ids or sorted(engine.read.queue_ids())
    ]


def get_snapshot(engine: Engine, request: pb.GetSnapshotRequest, now_ms: int) -> Message:
    """Read the live state of many queues."""
    return pb.GetSnapshotResponse(snapshots=snapshots(engine, request.queue_ids, now_ms))


METHODS: Final = (
    Method("QueueService", "UpsertQueue", pb.UpsertQueueRequest, upsert_queue, True),
    Method("QueueService", "GetQueue", pb.GetQueueRequest, get_queue),
    Method("QueueService", "ListQueues", pb.ListQueuesRequest, list_queues),
    Method("QueueService", "DeleteQueue", pb.DeleteQueueRequest, delete_queue, True),
    Method("QueueService", "PauseQueue", pb.PauseQueueRequest, pause_queue, True),
    Method("QueueService", "GetSnapshot", pb.GetSnapshotRequest, get_snapshot),
)
