"""What happens by itself, over a real channel: offers, wrap-up, waits and leases run out."""

import time

from headgate.client import Client
from headgate.v1.agent_pb2 import Presence
from headgate.v1.agent_service_pb2 import HeartbeatRequest
from headgate.v1.contact_pb2 import ContactState
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, CompleteAssignmentRequest
from headgate.v1.queue_pb2 import WrapUpMode
from tests.end_to_end.floor import (
    agent_of,
    assign,
    contact_of,
    open_queue,
    refused,
    route,
    sign_in,
    snapshot_of,
    until,
)

# Below this, a deadline of 100 ms is on time on a machine that also runs the tests.
SOON_S = 2.0


async def test_offer_not_answered_expires_and_goes_to_the_next_agent(
    client: Client, name: str
) -> None:
    """A customer does not wait for an agent who is not there."""
    await open_queue(client, name, offer_timeout_ms=100)
    await sign_in(client, f"{name}-1", name, missed_offers_max=-1)
    offer = (await route(client, name, f"{name}-c")).offer
    await sign_in(client, f"{name}-2", name, missed_offers_max=-1)
    begun_s = time.monotonic()

    async def moved() -> bool:
        return (await contact_of(client, f"{name}-c")).agent_id == f"{name}-2"

    await until(moved)
    assert time.monotonic() - begun_s < SOON_S
    assert (await agent_of(client, f"{name}-1")).missed_offers == 1
    late = AcceptOfferRequest(offer_id=offer.offer_id, agent_id=f"{name}-1")
    found = await refused(client.call(client.offers.AcceptOffer, late))
    assert (found.code, found.reason) == ("FAILED_PRECONDITION", "OFFER_GONE")


async def test_agent_who_misses_offers_in_a_row_goes_away(client: Client, name: str) -> None:
    """The queue does not ring at an empty desk for ever."""
    await open_queue(client, name, offer_timeout_ms=100, reoffer_delay_only_agent_ms=-1)
    await sign_in(client, name, name, missed_offers_max=2)
    await route(client, name, f"{name}-c")

    async def is_away() -> bool:
        return (await agent_of(client, name)).presence == Presence.PRESENCE_AWAY

    await until(is_away)
    agent = await agent_of(client, name)
    assert (agent.presence_reason, agent.capacity_used) == ("missed_offers", 0)
    contact = await contact_of(client, f"{name}-c")
    assert (contact.state, contact.offers_failed) == (ContactState.CONTACT_STATE_QUEUED, 2)


async def test_timed_wrap_up_ends_by_itself(client: Client, name: str) -> None:
    """An agent who forgets to end wrap-up is free when its time is over."""
    await open_queue(client, name, wrap_up_mode=WrapUpMode.WRAP_UP_MODE_TIMED, wrap_up_ms=100)
    await sign_in(client, f"{name}-a", name)
    await assign(client, name, f"{name}-c")
    done = CompleteAssignmentRequest(contact_id=f"{name}-c", agent_id=f"{name}-a")
    ends_at_ms = (await client.call(client.offers.CompleteAssignment, done)).wrap_up_ends_at_ms

    async def is_completed() -> bool:
        state = (await contact_of(client, f"{name}-c")).state
        return state == ContactState.CONTACT_STATE_COMPLETED

    await until(is_completed)
    contact = await contact_of(client, f"{name}-c")
    assert 0 <= contact.ended_at_ms - ends_at_ms < 1_000 * SOON_S
    assert (await agent_of(client, f"{name}-a")).capacity_used == 0


async def test_contact_that_waits_too_long_expires(client: Client, name: str) -> None:
    """The gateway hears that it must do something else with the customer."""
    await open_queue(client, name, max_wait_ms=100)
    await route(client, name, f"{name}-c")
    await route(client, name, f"{name}-own", max_wait_ms=200)
    await route(client, name, f"{name}-never", max_wait_ms=-1)

    async def are_expired() -> bool:
        return (await snapshot_of(client, name)).expired_total == 2

    await until(are_expired)
    contact = await contact_of(client, f"{name}-c")
    assert contact.state == ContactState.CONTACT_STATE_EXPIRED
    assert 100 <= contact.wait_ms < 1_000 * SOON_S
    assert (await contact_of(client, f"{name}-own")).wait_ms >= 200
    never = await contact_of(client, f"{name}-never")
    assert (never.state, never.expires_at_ms) == (ContactState.CONTACT_STATE_QUEUED, 0)


async def test_lease_that_lapses_gives_the_contacts_back(client: Client, name: str) -> None:
    """A desk that vanished keeps nobody on hold."""
    await open_queue(client, name)
    await sign_in(client, name, name, lease_ms=1_000, capacity=2)
    await assign(client, name, f"{name}-held", routing_age_ms=5_000)
    await route(client, name, f"{name}-offered")

    async def is_offline() -> bool:
        return (await agent_of(client, name)).presence == Presence.PRESENCE_OFFLINE

    await until(is_offline)
    agent = await agent_of(client, name)
    assert (agent.presence_reason, list(agent.contact_ids)) == ("lease_lost", [])
    for kind in ("held", "offered"):
        contact = await contact_of(client, f"{name}-{kind}")
        assert contact.state == ContactState.CONTACT_STATE_QUEUED
    assert (await contact_of(client, f"{name}-held")).routing_age_ms >= 5_000


async def test_lease_that_is_renewed_does_not_lapse(client: Client, name: str) -> None:
    """A heartbeat now and then is all that a desk owes."""
    await sign_in(client, name, lease_ms=1_000)
    begun_s = time.monotonic()
    beat = HeartbeatRequest(agent_ids=[name])

    async def beaten() -> bool:
        response = await client.call(client.agents.Heartbeat, beat)
        assert not response.not_renewed_agent_ids
        return time.monotonic() - begun_s > 1.6

    await until(beaten)
    assert (await agent_of(client, name)).presence == Presence.PRESENCE_AVAILABLE
