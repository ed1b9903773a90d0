"""
Policies over a real channel while contacts pour in: published, tried on a share, killed, broken.

What is moved goes to an agent who takes everything; what is not waits. So each contact's place says
whether a policy has acted on it.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headgate.client import Client
from headgate.v1 import policy_pb2 as told
from headgate.v1 import policy_service_pb2 as pb
from headgate.v1.contact_pb2 import Contact, ContactState
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import CompleteAssignmentRequest
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    CancelReason,
    RouteRequest,
    RouteResponse,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import VOICE, contact_of, open_queue, route, sign_in
from tests.end_to_end.serving import Served
from tests.end_to_end.test_contract_policies import CANARY, get, publish
from tests.end_to_end.test_kill import every_contact

QUEUED = ContactState.CONTACT_STATE_QUEUED
ENDS = {
    EventKind.EVENT_KIND_CONTACT_COMPLETED,
    EventKind.EVENT_KIND_CONTACT_ABANDONED,
    EventKind.EVENT_KIND_CONTACT_CANCELLED,
    EventKind.EVENT_KIND_CONTACT_EXPIRED,
    EventKind.EVENT_KIND_CONTACT_REJECTED,
}
LANES = 8
ANCHOR = "anchor"


def text_of(number: int = 0, actions: str = "overflow: {queue: b}") -> str:
    """A policy that acts on all who wait in queue a, but for one who keeps it on."""
    return f"""\
# {number}
apiVersion: headgate/v1
kind: OverflowPolicy
metadata: {{name: p}}
spec:
  mode: auto
  match: {{queues: [a]}}
  enter: {{when: queue.waiting > 0}}
  eligible: contact.tier != "anchor"
  actions: [{{{actions}}}]
  guards: {{dwell_on: 0s, dwell_off: 0s, share_max: 1.0, target: null}}
"""


class Gateway:
    """
    A gateway that routes contacts to queue a.

    Attributes
    ----------
    routed
        Contacts that were acknowledged, in that order, each with its queue as it was told.
    """

    def __init__(self, client: Client, prefix: str = "c") -> None:
        self.client = client
        self.routed: dict[str, str] = {}
        self._numbers = itertools.count()
        self._prefix = prefix
        self._is_over = False

    async def route(self) -> RouteResponse:
        """Route one more contact."""
        request = RouteRequest(
            queue_id="a", contact_id=f"{self._prefix}{next(self._numbers)}", channel=VOICE
        )
        response = await self.client.route(request)
        self.routed[response.contact_id] = response.queue_id
        return response

    @asynccontextmanager
    async def pouring(self) -> AsyncIterator[None]:
        """Contacts keep coming, some hundred a second; a call that fails fails the test."""
        self._is_over = False
        lanes = [asyncio.create_task(self._pour()) for _ in range(LANES)]
        try:
            yield
        finally:
            self._is_over = True
            await asyncio.gather(*lanes)

    async def _pour(self) -> None:
        while not self._is_over:
            await self.route()
            await asyncio.sleep(0.02)


async def floor(client: Client) -> None:
    """Queue a, where one waits for good, and b with an agent for everything."""
    for queue_id in ("a", "b"):
        await open_queue(client, queue_id)
    await route(client, "a", ANCHOR, attributes={"tier": ANCHOR})
    await sign_in(client, "agent", "b", capacity=100_000, auto_accept=True)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not await is_so():
            await asyncio.sleep(0.05)


async def until_acting(gateway: Gateway) -> None:
    """Wait until contacts that come are moved at once."""

    async def acts() -> bool:
        return (await gateway.route()).queue_id == "b"

    await until(acts)


async def override(client: Client, what: Any) -> None:
    """Say something of all policies."""
    await client.call(client.policies.OverridePolicy, pb.OverridePolicyRequest(what=what))


async def events_so_far(client: Client) -> list[Event]:
    """Every event of contacts up to now."""
    stream = client.events.Subscribe(SubscribeRequest(cursor="0"), timeout=30)
    await open_queue(client, "mark")
    found: list[Event] = []
    while not any(event.queue_id == "mark" for event in found):
        message: Any = await stream.read()
        found += message.events
    stream.cancel()
    return found


async def end(client: Client, contact: Contact) -> None:
    """Have a contact complete, or give up where nobody has it."""
    contact_id = contact.contact_id
    if contact.state == QUEUED:
        abandoned = CancelReason.CANCEL_REASON_ABANDONED
        cancel = CancelContactRequest(contact_id=contact_id, reason=abandoned)
        await client.call(client.routing.CancelContact, cancel)
    else:
        complete = CompleteAssignmentRequest(contact_id=contact_id, agent_id="agent")
        await client.call(client.offers.CompleteAssignment, complete)


async def test_publishing_again_and_again_loses_nobody(serve: Serve) -> None:
    """No call fails, no contact is lost, each has one fate; the newest version acts in the end."""
    served = serve("--durability", "memory")
    async with Client(served.address) as client:
        await floor(client)
        gateway = Gateway(client)
        await publish(client, text=text_of())
        async with gateway.pouring():
            await until_acting(gateway)
            for number in range(1, 7):
                policy = (await publish(client, text=text_of(number))).policy
                assert policy.rollout.active_version == number + 1
                await asyncio.sleep(0.5)
            await until_acting(gateway)
        contacts = await every_contact(client)
        assert contacts.keys() == gateway.routed.keys() | {ANCHOR}
        moved = [contact for contact in contacts.values() if contact.queue_id == "b"]
        # Those who wait when a version takes over are looked at by the next.
        assert len(moved) > 0.9 * len(contacts) > 300
        await asyncio.gather(*(end(client, contact) for contact in contacts.values()))
        events = await events_so_far(client)
        ends = Counter(event.contact_id for event in events if event.kind in ENDS)
        assert ends == Counter(contacts.keys())
        moves = Counter(
            event.contact_id
            for event in events
            if event.kind == EventKind.EVENT_KIND_CONTACT_REQUEUED
        )
        assert set(moves.values()) == {1}
        assert moves.keys() == {contact.contact_id for contact in moved}


async def test_kill_switch_stops_everything_at_once_and_outlives_a_crash(
    serve: Serve, tmp_path: Path
) -> None:
    """Nobody is moved once it is acknowledged, after kill -9 neither; taken back, it goes on."""
    kept = ("--durability", "normal", "--data-dir", str(tmp_path / "data"))
    served = serve(*kept)
    async with Client(served.address) as client:
        await floor(client)
        await publish(client, text=text_of())
        gateway = Gateway(client)
        async with gateway.pouring():
            await until_acting(gateway)
            await asyncio.sleep(0.5)
            await override(client, told.POLICY_SWITCH_KILL)
            killed_ms = int(1_000 * time.time())
            await asyncio.sleep(1.5)
        events = await events_so_far(client)
        moved = [e for e in events if e.kind == EventKind.EVENT_KIND_CONTACT_REQUEUED]
        assert len(moved) > 50
        assert max(event.at_ms for event in moved) <= killed_ms
        assert list(gateway.routed.values()).count("a") > 50
    served.kill()
    served = serve(*kept)
    async with Client(served.address) as client:
        again = Gateway(client, "again")
        async with again.pouring():
            await asyncio.sleep(2.5)
        assert set(again.routed.values()) == {"a"}
        contacts = await every_contact(client)
        assert gateway.routed.keys() | again.routed.keys() | {ANCHOR} == contacts.keys()
        assert all(contacts[name].queue_id == "a" for name in again.routed)
        await override(client, told.POLICY_SWITCH_TAKE_BACK)
        await until_acting(again)


async def test_canary_takes_its_share(serve: Serve) -> None:
    """A version on trial takes a fifth, the active one all others, within four standard errors."""
    share, count = 0.2, 2_000
    served = serve("--durability", "memory")
    async with Client(served.address) as client:
        await floor(client)
        gateway = Gateway(client)
        await publish(client, text=text_of(actions="change_priority: {to: 9}"))
        await publish(client, text=text_of(1), stage=CANARY, share=share)
        await until_acting(gateway)

        async def raises() -> bool:
            contact_id = (await gateway.route()).contact_id
            return (await contact_of(client, contact_id)).priority == 9

        await until(raises)
        before = set(gateway.routed)

        async def run() -> None:
            for _ in range(count // LANES):
                await gateway.route()

        await asyncio.gather(*(run() for _ in range(LANES)))
        contacts = await every_contact(client)
        tried = [contacts[name] for name in gateway.routed if name not in before]
        assert len(tried) == count
        moved = [contact for contact in tried if contact.queue_id == "b"]
        raised_ones = [contact for contact in tried if contact.priority == 9]
        assert len(moved) + len(raised_ones) == count
        assert not any(contact.priority == 9 for contact in moved)
        assert abs(len(moved) - share * count) < 4.0 * (count * share * (1.0 - share)) ** 0.5


async def test_broken_file_changes_nothing_for_those_who_come(serve: Serve, tmp_path: Path) -> None:
    """The version in force goes on acting on every contact, and the next whole file counts."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "p.yaml").write_text(text_of())
    served = serve("--durability", "memory", "--set", f"policy_directory={folder}")
    async with Client(served.address) as client:
        await floor(client)
        gateway = Gateway(client)
        async with gateway.pouring():
            await until_acting(gateway)
            before = len(gateway.routed)
            (folder / "p.yaml").write_text(text_of().replace("queue.waiting", "queue.wating"))
            await until(lambda: _is_told(served))
            await asyncio.sleep(0.5)
            seen = list(gateway.routed.values())[before:]
            assert len(seen) > 50
            assert set(seen) == {"b"}
            assert (await get(client, "p")).rollout.active_version == 1
            (folder / "p.yaml").write_text(text_of(1))
            await until(lambda: _is_active(client, 2))


async def _is_told(served: Served) -> bool:
    return any(line["event"] == "policy_file_broken" for line in served.log())


async def _is_active(client: Client, version: int) -> bool:
    return (await get(client, "p")).rollout.active_version == version
