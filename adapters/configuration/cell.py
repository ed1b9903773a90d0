"""The configuration of a cell as its engine holds it: read, and changed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, NamedTuple

import grpc.aio
from google.protobuf.message import Message

from adapters.configuration.difference import Change, Kind
from adapters.configuration.document import AGENTS, QUEUES, Configuration, Section
from headgate.client import Client, reason_of
from headgate.v1 import agent_pb2, agent_service_pb2, queue_pb2, queue_service_pb2

_PAGE_SIZE: Final = 1_000
# Writes under way at a time: enough to fill a commit group, far from what an engine sheds.
_WRITES_AT_ONCE: Final = 64
_PAGES: Final = (queue_service_pb2.ListQueuesResponse, agent_service_pb2.ListAgentsResponse)
# The engine is not there, or not in time: what follows would fare no better.
_LOST: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
# What is named is there before what names it, and the other way round at the end.
_ORDER: Final = (
    (QUEUES, (Kind.CREATED, Kind.CHANGED)),
    (AGENTS, (Kind.DELETED,)),
    (AGENTS, (Kind.CREATED, Kind.CHANGED)),
    (QUEUES, (Kind.DELETED,)),
)


class NewerEngine(ValueError):
    """The engine sets fields that this version does not know: they would be lost in silence."""


class Failure(NamedTuple):
    """A change that was not made, and why."""

    change: Change
    why: str


async def read_cell(client: Client, cell: str) -> Configuration:
    """
    Definitions of everything a cell has, with etags.

    Raises
    ------
    grpc.aio.AioRpcError
        The engine is not there, or does not own the cell.
    NewerEngine
        It would have to be read by a newer version of this command.
    """
    return {
        QUEUES.name: await _listed(
            QUEUES,
            lambda token: client.call(
                client.queues.ListQueues,
                queue_service_pb2.ListQueuesRequest(
                    cell=cell, page_size=_PAGE_SIZE, page_token=token
                ),
            ),
        ),
        AGENTS.name: await _listed(
            AGENTS,
            lambda token: client.call(
                client.agents.ListAgents,
                agent_service_pb2.ListAgentsRequest(
                    cell=cell, page_size=_PAGE_SIZE, page_token=token
                ),
            ),
        ),
    }


async def _listed(
    section: Section, page_after: Callable[[str], Awaitable[Message]]
) -> dict[str, Message]:
    """Every entry of a section; a page's field is called like the section."""
    found: dict[str, Message] = {}
    token = ""
    while True:
        page = await page_after(token)
        found.update(
            (section.id_of(item), require_known(item)) for item in getattr(page, section.name)
        )
        assert isinstance(page, _PAGES)
        token = page.next_page_token
        if not token:
            return found


def require_known(message: Message) -> Message:
    """
    The message, if it holds nothing that this version does not know.

    Raises
    ------
    NewerEngine
        It does.
    """
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    if known.ByteSize() != message.ByteSize():
        raise NewerEngine(
            "the engine is of a newer version: it sets fields that this command does not know, "
            "and would lose"
        )
    return message


async def apply_changes(
    client: Client, cell: str, changes: Sequence[Change], run_id: str
) -> list[Failure]:
    """
    Make changes; returns those that failed.

    Each is guarded by the etag that was compared. One that is refused leaves the others alone; once
    the engine is gone, the rest is not tried.

    Parameters
    ----------
    run_id
        Names this run. Each change has a request id of its own in it, so that a retry is safe.
    """
    failures: list[Failure] = []
    is_lost = False
    for place, batch in enumerate(_batches(changes)):
        if is_lost:
            failures += [Failure(change, "not tried: the engine is gone") for change in batch]
            continue
        writes = [
            _write(client, cell, change, f"{run_id}-{place}-{number}")
            for number, change in enumerate(batch)
        ]
        errors = await asyncio.gather(*writes)
        for change, error in zip(batch, errors, strict=True):
            if error is not None:
                failures.append(Failure(change, _why(error)))
                is_lost = is_lost or error.code() in _LOST
    return failures


def _batches(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Changes in the order in which they can be made, those of a batch in any."""
    for section, kinds in _ORDER:
        stage = [item for item in changes if item.section is section and item.kind in kinds]
        for _, level in sorted(_levels(stage).items(), reverse=Kind.DELETED in kinds):
            for start in range(0, len(level), _WRITES_AT_ONCE):
                yield level[start : start + _WRITES_AT_ONCE]


def _levels(stage: Sequence[Change]) -> dict[int, list[Change]]:
    """Changes by how many others lie behind them, from fallback queue to fallback queue."""
    by_name = {change.name: change for change in stage}
    levels: dict[int, list[Change]] = {}
    for change in stage:
        behind = -1
        following: Change | None = change
        # Queues that lead back to themselves are for the engine to refuse.
        while following is not None and behind < len(stage):
            behind += 1
            queue = following.definition
            fallback = queue.fallback_queue_id if isinstance(queue, queue_pb2.Queue) else ""
            following = by_name.get(fallback)
        levels.setdefault(behind, []).append(change)
    return levels


async def _write(
    client: Client, cell: str, change: Change, request_id: str
) -> grpc.aio.AioRpcError | None:
    write = _WRITES[change.section.name, change.kind is Kind.DELETED]
    try:
        await write(client, cell, change, request_id)
    except grpc.aio.AioRpcError as error:
        return error
    return None


def _why(error: grpc.aio.AioRpcError) -> str:
    if reason_of(error) == "ETAG_MISMATCH":
        return "it was changed by somebody else meanwhile; run again to see how"
    return f"{error.code().name}: {error.details()}"


async def _upsert_queue(client: Client, cell: str, change: Change, request_id: str) -> None:
    request = queue_service_pb2.UpsertQueueRequest(cell=cell, request_id=request_id)
    assert isinstance(change.definition, queue_pb2.Queue)
    request.queue.CopyFrom(change.definition)
    request.queue.etag = change.etag
    await client.call(client.queues.UpsertQueue, request)


async def _delete_queue(client: Client, cell: str, change: Change, request_id: str) -> None:
    request = queue_service_pb2.DeleteQueueRequest(
        cell=cell, request_id=request_id, queue_id=change.name, etag=change.etag
    )
    await client.call(client.queues.DeleteQueue, request)


async def _upsert_agent(client: Client, cell: str, change: Change, request_id: str) -> None:
    request = agent_service_pb2.UpsertAgentRequest(cell=cell, request_id=request_id)
    assert isinstance(change.definition, agent_pb2.Agent)
    request.agent.CopyFrom(change.definition)
    request.agent.etag = change.etag
    await client.call(client.agents.UpsertAgent, request)


async def _delete_agent(client: Client, cell: str, change: Change, request_id: str) -> None:
    request = agent_service_pb2.DeleteAgentRequest(
        cell=cell, request_id=request_id, agent_id=change.name, etag=change.etag
    )
    await client.call(client.agents.DeleteAgent, request)


# By section, and whether it is deleted.
_WRITES: Final[dict[tuple[str, bool], Callable[[Client, str, Change, str], Awaitable[None]]]] = {
    (QUEUES.name, False): _upsert_queue,
    (QUEUES.name, True): _delete_queue,
    (AGENTS.name, False): _upsert_agent,
    (AGENTS.name, True): _delete_agent,
}
