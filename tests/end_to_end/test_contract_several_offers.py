"""Contacts offered to several agents at a time, by hand, and to those who accept at once."""

import asyncio
from typing import Any

import pytest

from headgate.client import Client
from headgate.v1.agent_pb2 import Presence
from headgate.v1.contact_pb2 import Contact, ContactState
from headgate.v1.event_pb2 import EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import (
    AcceptOfferRequest,
    DeclineOfferRequest,
    OfferContactRequest,
    WatchOffersRequest,
)
from headgate.v1.routing_service_pb2 import ListContactsRequest, RouteResponse
from tests.end_to_end.floor import (
    agent_of,
    contact_of,
    open_queue,
    refused,
    route,
    set_presence,
    sign_in,
    told,
)
from tests.end_to_end.serving import Served

OFFERED = ContactState.CONTACT_STATE_OFFERED
ASSIGNED = ContactState.CONTACT_STATE_ASSIGNED
GATEWAYS = 64


async def accept(client: Client, offer_id: str, agent_id: str) -> str:
    """Accept an offer for an agent; returns the contact."""
    request = AcceptOfferRequest(offer_id=offer_id, agent_id=agent_id)
    return (await client.call(client.offers.AcceptOffer, request)).contact_id


async def offer_by_hand(
    client: Client, contact_id: str, agent_id: str, **fields: Any
) -> RouteResponse:
    """Offer a contact to an agent as a supervisor would."""
    request = OfferContactRequest(contact_id=contact_id, agent_id=agent_id, **fields)
    return (await client.call(client.offers.OfferContact, request)).route


async def test_first_to_accept_has_the_contact_and_the_others_are_told(
    client: Client, name: str
) -> None:
    """Every list of offers tells of all three; each agent's watcher of its own, and how it ends."""
    await open_queue(client, name, broadcast_max=3)
    agents = [f"{name}-{letter}" for letter in "abc"]
    for agent_id in agents:
        await sign_in(client, agent_id, name)
    stream: Any = client.offers.WatchOffers(WatchOffersRequest(agent_ids=agents[1:]))
    await asyncio.sleep(0.1)
    routed = await route(client, name, f"{name}-c")
    offers = [routed.offer, *routed.other_offers]
    assert sorted(offer.agent_id for offer in offers) == agents
    contact = await contact_of(client, f"{name}-c")
    assert list(contact.offers) == offers
    for agent_id in agents:
        assert list((await agent_of(client, agent_id)).contact_ids) == [f"{name}-c"]
        listed = await client.call(
            client.routing.ListContacts, ListContactsRequest(agent_id=agent_id)
        )
        assert [one.contact_id for one in listed.contacts] == [f"{name}-c"]
    offer_of = {offer.agent_id: offer.offer_id for offer in offers}
    shown = [await told(stream), await told(stream)]
    assert {one.offer.agent_id: one.offer.offer_id for one in shown} == {
        agent_id: offer_of[agent_id] for agent_id in agents[1:]
    }
    await accept(client, offer_of[agents[1]], agents[1])
    over = await told(stream)
    assert (over.is_over, over.offer.offer_id) == (True, offer_of[agents[2]])
    contact = await contact_of(client, f"{name}-c")
    assert (contact.state, contact.agent_id, len(contact.offers)) == (ASSIGNED, agents[1], 0)
    gone = await refused(accept(client, offer_of[agents[0]], agents[0]))
    assert (gone.code, gone.reason) == ("FAILED_PRECONDITION", "OFFER_GONE")
    assert not (await agent_of(client, agents[0])).contact_ids


async def test_watcher_who_comes_later_is_shown_offers_of_several(
    client: Client, name: str
) -> None:
    """The leading offer and the others alike."""
    await open_queue(client, name, broadcast_max=2)
    agents = [f"{name}-a", f"{name}-b"]
    for agent_id in agents:
        await sign_in(client, agent_id, name)
    await route(client, name, f"{name}-c")
    stream: Any = client.offers.WatchOffers(WatchOffersRequest(agent_ids=agents))
    shown = [await told(stream), await told(stream)]
    assert sorted(one.offer.agent_id for one in shown) == agents
    assert all(isinstance(one.contact, Contact) and one.contact.contact_id for one in shown)


async def test_one_of_many_who_accept_together_wins(server: Served, name: str) -> None:
    """Thirty-two agents, each through a connection of its own, at the same moment."""
    async with Client(server.address) as client:
        await open_queue(client, name, broadcast_max=32)
        for number in range(32):
            await sign_in(client, f"{name}-{number}", name)
        routed = await route(client, name, f"{name}-c")
    offers = [routed.offer, *routed.other_offers]
    assert len(offers) == 32
    clients = [Client(server.address) for _ in offers]
    try:
        results = await asyncio.gather(
            *(
                accept(client, offer.offer_id, offer.agent_id)
                for client, offer in zip(clients, offers, strict=True)
            ),
            return_exceptions=True,
        )
    finally:
        await asyncio.gather(*(client.close() for client in clients))
    assert [result for result in results if isinstance(result, str)] == [f"{name}-c"]


async def test_one_free_slot_is_given_once_however_many_ask(server: Served, name: str) -> None:
    """Sixty-four gateways route at the same moment; one contact is offered, the others wait."""
    async with Client(server.address) as client:
        await open_queue(client, name)
        await sign_in(client, f"{name}-a", name)
    clients = [Client(server.address) for _ in range(GATEWAYS)]
    try:
        routed = await asyncio.gather(
            *(route(client, name, f"{name}-{number}") for number, client in enumerate(clients))
        )
        states = [response.state for response in routed]
        assert states.count(OFFERED) == 1
        assert sorted(response.position for response in routed) == list(range(GATEWAYS))
        held = await agent_of(clients[0], f"{name}-a")
        assert (len(held.contact_ids), held.capacity_used) == (1, 1)
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def test_reason_of_a_decline_is_told_to_watchers(client: Client, name: str) -> None:
    """Reports count why agents decline."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    kinds = [EventKind.EVENT_KIND_OFFER_DECLINED]
    events: Any = client.events.Subscribe(SubscribeRequest(queue_ids=[name], kinds=kinds))
    await events.read()
    offer = (await route(client, name)).offer
    request = DeclineOfferRequest(
        offer_id=offer.offer_id, agent_id=f"{name}-a", reason="wrong language"
    )
    await client.call(client.offers.DeclineOffer, request)
    while not (message := await told(events)).events:
        pass
    assert message.events[0].reason == "wrong language"
    long = DeclineOfferRequest(offer_id="o1.0", agent_id=f"{name}-a", reason="x" * 129)
    answer = await refused(client.call(client.offers.DeclineOffer, long))
    assert list(answer.fields) == ["reason"]


async def test_agent_who_accepts_automatically_is_assigned_at_once(
    client: Client, name: str
) -> None:
    """`Route` tells so, and nobody need accept."""
    await open_queue(client, name, broadcast_max=4)
    await sign_in(client, f"{name}-a", name, auto_accept=True)
    assert (await agent_of(client, f"{name}-a")).auto_accept
    response = await route(client, name, f"{name}-c")
    assert (response.state, response.agent_id) == (ASSIGNED, f"{name}-a")
    assert not response.HasField("offer")
    assert (await contact_of(client, f"{name}-c")).accepted_at_ms > 0


async def test_supervisor_gives_a_contact_to_whom_she_likes(client: Client, name: str) -> None:
    """Beside queue and skills, not beside presence; beside capacity only where she says so."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-own", name)
    await sign_in(client, f"{name}-other")
    await route(client, name, f"{name}-c")
    routed = await offer_by_hand(client, f"{name}-c", f"{name}-other")
    assert (routed.state, routed.agent_id) == (OFFERED, f"{name}-other")
    await accept(client, routed.offer.offer_id, f"{name}-other")
    await route(client, name, f"{name}-d")
    full = await refused(offer_by_hand(client, f"{name}-d", f"{name}-other"))
    assert (full.code, full.reason) == ("FAILED_PRECONDITION", "AGENT_HAS_NO_ROOM")
    routed = await offer_by_hand(client, f"{name}-d", f"{name}-other", ignore_capacity=True)
    assert routed.agent_id == f"{name}-other"
    assert (await agent_of(client, f"{name}-other")).capacity_used == 2
    await set_presence(client, f"{name}-own", Presence.PRESENCE_AWAY)
    away = await refused(offer_by_hand(client, f"{name}-d", f"{name}-own"))
    assert (away.code, away.reason) == ("FAILED_PRECONDITION", "AGENT_NOT_AVAILABLE")


@pytest.mark.parametrize("broadcast_max", [-1, 33])
async def test_number_of_agents_asked_is_bounded(
    client: Client, name: str, broadcast_max: int
) -> None:
    """One to thirty-two."""
    answer = await refused(open_queue(client, name, broadcast_max=broadcast_max))
    assert (answer.code, list(answer.fields)) == ("INVALID_ARGUMENT", ["queue.broadcast_max"])
