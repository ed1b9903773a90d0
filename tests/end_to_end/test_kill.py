"""
A server that is killed at random moments under load, again and again, over one data folder.

The promise: a contact that was acknowledged is never lost and never with two agents, and whoever
asks again gets the answer that was given, or would have been.
"""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from headgate.client import Client
from headgate.v1.agent_service_pb2 import ListAgentsRequest
from headgate.v1.contact_pb2 import Contact
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.queue_pb2 import WrapUpMode
from headgate.v1.queue_service_pb2 import GetSnapshotRequest
from headgate.v1.routing_service_pb2 import ListContactsRequest
from tests.end_to_end.floor import open_queue, sign_in, told
from tests.end_to_end.gateways import (
    ABANDONED,
    AGENTS,
    ASSIGNED,
    COMPLETED,
    OFFERED,
    QUEUED,
    QUEUES,
    WRAP_UP,
    Floor,
    Notes,
    method_of,
)
from tests.end_to_end.redis_servers import replicated
from tests.end_to_end.serving import Served, start

ROUNDS = 12
IN_HAND = (OFFERED, ASSIGNED, WRAP_UP)
# What the last event of a contact says of its state.
STATE_AFTER = {
    EventKind.EVENT_KIND_CONTACT_QUEUED: QUEUED,
    EventKind.EVENT_KIND_CONTACT_REQUEUED: QUEUED,
    EventKind.EVENT_KIND_OFFER_ISSUED: OFFERED,
    EventKind.EVENT_KIND_CONTACT_ASSIGNED: ASSIGNED,
    EventKind.EVENT_KIND_CONTACT_WRAP_UP_STARTED: WRAP_UP,
    EventKind.EVENT_KIND_CONTACT_COMPLETED: COMPLETED,
    EventKind.EVENT_KIND_CONTACT_ABANDONED: ABANDONED,
}


class Watcher:
    """Follows the event stream through the crashes by its cursor."""

    def __init__(self) -> None:
        self.cursor = "0"
        self.events: list[Event] = []

    async def catch_up(self, client: Client) -> None:
        """Read on to a mark that is made now, after everything else."""
        stream = client.events.Subscribe(SubscribeRequest(cursor=self.cursor), timeout=30)
        await open_queue(client, "mark")
        is_marked = False
        while not is_marked:
            message = await told(stream)
            self.events += message.events
            self.cursor = message.cursor
            is_marked = any(event.queue_id == "mark" for event in message.events)
        stream.cancel()


async def every_contact(client: Client) -> dict[str, Contact]:
    """All contacts the server knows; each may be listed but once."""
    found: dict[str, Contact] = {}
    token = ""
    while True:
        request = ListContactsRequest(page_size=1_000, page_token=token)
        page = await client.call(client.routing.ListContacts, request)
        for contact in page.contacts:
            assert contact.contact_id not in found
            found[contact.contact_id] = contact
        token = page.next_page_token
        if not token:
            return found


async def check(client: Client, notes: Notes, watcher: Watcher, draw: random.Random) -> None:
    """Check a server that nobody is using against all that was acknowledged."""
    contacts = await every_contact(client)
    lost = notes.states.keys() - contacts.keys()
    assert not lost, f"acknowledged and lost: {sorted(lost)}"
    check_acknowledged(notes, contacts)
    await check_places(client, contacts)
    await check_replies(client, notes, draw)
    await watcher.catch_up(client)
    check_events(watcher, contacts)


def check_acknowledged(notes: Notes, contacts: dict[str, Contact]) -> None:
    """Check that no contact went back behind what was acknowledged of it."""
    for contact_id, (state, agent_id) in notes.states.items():
        contact = contacts[contact_id]
        if contact_id in notes.pending:
            # The write nobody answered may have been applied: at most one step further.
            assert contact.state >= state or contact.state == ABANDONED, contact
        elif state == QUEUED:
            assert contact.state in (QUEUED, OFFERED), contact
        else:
            assert (contact.state, contact.agent_id) == (state, agent_id), contact


async def check_places(client: Client, contacts: dict[str, Contact]) -> None:
    """Check that every contact is in one place, and that every list tells the same."""
    agents = (await client.call(client.agents.ListAgents, ListAgentsRequest())).agents
    held = Counter(contact_id for agent in agents for contact_id in agent.contact_ids)
    assert not held or max(held.values()) == 1, held.most_common(3)
    for agent in agents:
        by_contact = {
            contact.contact_id
            for contact in contacts.values()
            if contact.state in IN_HAND and contact.agent_id == agent.agent_id
        }
        assert set(agent.contact_ids) == by_contact
        assert agent.capacity_used == len(by_contact) <= agent.capacity
    assert held.keys() == {key for key, item in contacts.items() if item.state in IN_HAND}
    response = await client.call(client.queues.GetSnapshot, GetSnapshotRequest(queue_ids=QUEUES))
    for snapshot in response.snapshots:
        states = Counter(
            contact.state for contact in contacts.values() if contact.queue_id == snapshot.queue_id
        )
        assert (
            snapshot.waiting,
            snapshot.offered,
            snapshot.assigned,
            snapshot.wrap_up,
            snapshot.completed_total,
            snapshot.abandoned_total,
            snapshot.received_total,
        ) == (
            *(states[state] for state in (QUEUED, *IN_HAND, COMPLETED, ABANDONED)),
            states.total(),
        )


async def check_replies(client: Client, notes: Notes, draw: random.Random) -> None:
    """Check that stored replies repeat byte for byte."""
    chosen = draw.sample(sorted(notes.replies), min(20, len(notes.replies)))
    for request_id in chosen:
        request, reply = notes.replies[request_id]
        again = await method_of(client, request)(request, timeout=10)
        assert again.SerializeToString(deterministic=True) == reply, request_id


def check_events(watcher: Watcher, contacts: dict[str, Contact]) -> None:
    """Check that the events, read in pieces between crashes, tell the same story as the rows."""
    cursors = [event.cursor for event in watcher.events]
    assert len(set(cursors)) == len(cursors)
    received = Counter(
        event.contact_id
        for event in watcher.events
        if event.kind == EventKind.EVENT_KIND_CONTACT_RECEIVED
    )
    assert received == Counter(contacts.keys())
    last = {
        event.contact_id: STATE_AFTER[event.kind]
        for event in watcher.events
        if event.kind in STATE_AFTER
    }
    assert last == {contact_id: contact.state for contact_id, contact in contacts.items()}


async def make_floor(client: Client) -> None:
    """Two queues, one with wrap-up, and six agents for both."""
    await open_queue(client, QUEUES[0], max_wait_ms=-1, offer_timeout_ms=60_000)
    mode = WrapUpMode.WRAP_UP_MODE_UNTIL_ENDED
    await open_queue(client, QUEUES[1], max_wait_ms=-1, offer_timeout_ms=60_000, wrap_up_mode=mode)
    for agent_id in AGENTS:
        await sign_in(client, agent_id, *QUEUES, capacity=2, missed_offers_max=-1)


async def one_round(served: Served, state: Any, number: int, draw: random.Random) -> None:
    """Check a server that has just started, load it, and kill it at some moment."""
    notes, watcher, seed = state
    async with Client(served.address) as client:
        if number == 0:
            await make_floor(client)
        await check(client, notes, watcher, draw)
        floor = Floor(client, notes, seed * 1_000 + number)
        await floor.settle()
        assert not notes.pending
        work = asyncio.create_task(floor.work())
        await asyncio.sleep(draw.uniform(0.05, 0.6))
        assert not work.done(), work.result()
        served.kill()
        await work


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_server_killed_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Twelve crashes at moments nobody chose, some of them while the server starts again."""
    flags = ("--durability", "full", "--data-dir", str(tmp_path / "data"))
    await kill_again_and_again(tmp_path, flags, ROUNDS)


@pytest.mark.slow
@pytest.mark.needs_redis
@pytest.mark.timeout(400)
async def test_server_on_redis_killed_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """The same where cells are in Redis: the next one begins when the lease of the dead lapses."""
    with replicated(tmp_path / "redis", 1) as (primary, _):
        flags = ("--log", primary.url, "--set", "lease_ms=1000", "--set", "lease_wait_s=10")
        await kill_again_and_again(tmp_path, flags, ROUNDS // 4)


async def kill_again_and_again(tmp_path: Path, where: Sequence[str], rounds: int) -> None:
    """Start a server over what the last one left, load it, check it, kill it."""
    seed = secrets.randbelow(1_000_000)
    print(f"seed {seed}")
    draw = random.Random(seed)
    state = Notes(), Watcher(), seed
    notes = state[0]
    flags = (*where, "--grace-s", "1")
    begun_s = time.monotonic()
    for number in range(rounds):
        if number and draw.random() < 0.1:
            early = start(tmp_path, *flags, name=f"early-{number}")
            await asyncio.sleep(draw.uniform(0.5, 2.5))
            early.kill()
        served = await asyncio.to_thread(
            start(tmp_path, *flags, name=f"round-{number}").until_ready
        )
        try:
            await one_round(served, state, number, draw)
        finally:
            served.kill()
    final = await asyncio.to_thread(start(tmp_path, *flags, name="final").until_ready)
    try:
        async with Client(final.address) as client:
            await check(client, notes, state[1], draw)
    finally:
        final.kill()
    print(
        f"{rounds} kills in {time.monotonic() - begun_s:.0f} s; {len(notes.states)} contacts, "
        f"{len(notes.replies)} acknowledged writes, refused {notes.refusals}"
    )
    assert len(notes.states) > 10 * rounds
    assert set(notes.refusals) <= {"OFFER_GONE", "ILLEGAL_TRANSITION"}
