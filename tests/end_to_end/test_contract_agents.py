"""AgentService over a real channel: definition, presence, drain and heartbeat of agents."""

import asyncio

import pytest

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, AgentKind, AgentSkill, ChannelCapacity, Presence
from headgate.v1.agent_service_pb2 import (
    DeleteAgentRequest,
    DrainAgentRequest,
    GetAgentRequest,
    HeartbeatRequest,
    ListAgentsRequest,
    SetPresenceRequest,
    UpsertAgentRequest,
)
from headgate.v1.contact_pb2 import Channel, ContactState
from headgate.v1.offer_service_pb2 import CompleteAssignmentRequest
from tests.end_to_end.floor import (
    AVAILABLE,
    agent_of,
    assign,
    contact_of,
    open_queue,
    refused,
    route,
    set_presence,
    sign_in,
)

AWAY = Presence.PRESENCE_AWAY
BUSY = Presence.PRESENCE_BUSY
DRAINING = Presence.PRESENCE_DRAINING
OFFLINE = Presence.PRESENCE_OFFLINE
UNSPECIFIED = Presence.PRESENCE_UNSPECIFIED
VOICE = Channel.CHANNEL_VOICE
CHAT = Channel.CHANNEL_CHAT


async def test_agent_is_kept_as_it_was_written(client: Client, name: str) -> None:
    """What is read back is what was sent, with the defaults the contract names."""
    await open_queue(client, name)
    agent = Agent(
        agent_id=name,
        kind=AgentKind.AGENT_KIND_BOT,
        queue_ids=[name],
        skills=[AgentSkill(skill=f"{name}-s", proficiency=3)],
        tags=[f"{name}-t"],
        capacity=10,
        channels=[ChannelCapacity(channel=CHAT, cost=2, contacts_max=3)],
        missed_offers_max=-1,
        lease_ms=60_000,
    )
    written = await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=agent))
    read = await agent_of(client, name)
    assert read == written.agent
    assert read.presence == OFFLINE
    for field in ("kind", "queue_ids", "skills", "tags", "capacity", "channels", "lease_ms"):
        assert getattr(read, field) == getattr(agent, field)
    assert read.missed_offers_max == -1


async def test_agent_without_details_gets_the_documented_defaults(
    client: Client, name: str
) -> None:
    """A person with one unit of capacity who goes away after three missed offers."""
    request = UpsertAgentRequest(agent=Agent(agent_id=name))
    agent = (await client.call(client.agents.UpsertAgent, request)).agent
    assert (agent.kind, agent.capacity, agent.missed_offers_max, agent.lease_ms) == (
        AgentKind.AGENT_KIND_PERSON,
        1,
        3,
        0,
    )


async def test_redefined_agent_keeps_presence_and_contacts(client: Client, name: str) -> None:
    """A change of skills in the middle of the day interrupts nobody."""
    await open_queue(client, name)
    await sign_in(client, name, name)
    await assign(client, name, f"{name}-c")
    agent = Agent(agent_id=name, queue_ids=[name], capacity=2)
    after = (await client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=agent))).agent
    assert (after.presence, after.capacity, list(after.contact_ids)) == (
        AVAILABLE,
        2,
        [f"{name}-c"],
    )
    assert (await route(client, name)).agent_id == name


async def test_agent_written_with_an_old_etag_is_aborted(client: Client, name: str) -> None:
    """Two people editing one agent do not undo each other."""
    first = await sign_in(client, name)
    for tags in (["a"], ["b"]):
        agent = Agent(agent_id=name, etag=first.etag, tags=tags)
        call = client.call(client.agents.UpsertAgent, UpsertAgentRequest(agent=agent))
        if tags == ["a"]:
            await call
        else:
            found = await refused(call)
            assert (found.code, found.reason) == ("ABORTED", "ETAG_MISMATCH")
    stale = DeleteAgentRequest(agent_id=name, etag=first.etag)
    assert (await refused(client.call(client.agents.DeleteAgent, stale))).code == "ABORTED"
    assert list((await agent_of(client, name)).tags) == ["a"]


async def test_agent_is_made_only_if_there_is_none_yet(client: Client, name: str) -> None:
    """Two who make the same agent at a time: one of them must learn of the other."""
    request = UpsertAgentRequest(agent=Agent(agent_id=name, etag="0"))
    await client.call(client.agents.UpsertAgent, request)
    found = await refused(client.call(client.agents.UpsertAgent, request))
    assert (found.code, found.reason) == ("ABORTED", "ETAG_MISMATCH")


async def test_etag_of_an_agent_that_does_not_exist_is_aborted(client: Client, name: str) -> None:
    """An etag says that the agent was read; without the agent it cannot match."""
    request = UpsertAgentRequest(agent=Agent(agent_id=name, etag="1"))
    found = await refused(client.call(client.agents.UpsertAgent, request))
    assert (found.code, found.reason) == ("ABORTED", "ETAG_MISMATCH")


async def test_agents_are_listed_by_queue_and_presence(client: Client, name: str) -> None:
    """A page holds only what was asked for, by id, and pages join."""
    await open_queue(client, name)
    for number in range(5):
        await sign_in(client, f"{name}-{number}", name)
    await set_presence(client, f"{name}-3", AWAY)
    listed: list[str] = []
    token = ""
    for _ in range(3):
        request = ListAgentsRequest(
            queue_id=name, presences=[AVAILABLE], page_size=2, page_token=token
        )
        page = await client.call(client.agents.ListAgents, request)
        listed += [agent.agent_id for agent in page.agents]
        token = page.next_page_token
        if not token:
            break
    assert listed == [f"{name}-{number}" for number in (0, 1, 2, 4)]
    assert token == ""


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        (ListAgentsRequest(presences=[UNSPECIFIED]), "INVALID_ARGUMENT", "presences[0]"),
        (ListAgentsRequest(page_size=1_001), "INVALID_ARGUMENT", "page_size"),
        (ListAgentsRequest(queue_id="no such queue"), "NOT_FOUND", "queue_id"),
    ],
)
async def test_agents_listed_with_a_bad_argument_are_refused(
    client: Client, request_: ListAgentsRequest, code: str, field: str
) -> None:
    """A filter that cannot be meant is a mistake, not an empty page."""
    found = await refused(client.call(client.agents.ListAgents, request_))
    assert (found.code, set(found.fields)) == (code, {field})


async def test_agents_are_listed_in_pages_that_any_peer_can_read(client: Client, name: str) -> None:
    """gRPC's usual bound is 4 MiB: a page ends earlier, and the token leads to the rest."""
    await open_queue(client, name)
    tags = [f"{name}-{number}".ljust(128, "t") for number in range(64)]
    made = [f"{name}-{number:03}" for number in range(300)]
    for agent_id in made:
        await sign_in(client, agent_id, name, tags=tags)
    listed: list[str] = []
    request = ListAgentsRequest(queue_id=name, page_size=1_000)
    while not listed or request.page_token:
        page = await client.call(client.agents.ListAgents, request)
        assert 0 < page.ByteSize() <= 2_097_152 + 200
        listed += [agent.agent_id for agent in page.agents]
        request.page_token = page.next_page_token
    assert listed == made


async def test_deleted_agent_is_gone(client: Client, name: str) -> None:
    """A second delete is told that there is no such agent."""
    await sign_in(client, name)
    await client.call(client.agents.DeleteAgent, DeleteAgentRequest(agent_id=name))
    for call in (
        client.call(client.agents.GetAgent, GetAgentRequest(agent_id=name)),
        client.call(client.agents.DeleteAgent, DeleteAgentRequest(agent_id=name)),
    ):
        found = await refused(call)
        assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_AGENT")


async def test_agent_with_contacts_in_hand_is_neither_deleted_nor_taken_offline(
    client: Client, name: str
) -> None:
    """No contact is ever left with an agent who is not there."""
    await open_queue(client, name)
    await sign_in(client, name, name)
    await assign(client, name, f"{name}-c")
    offline = SetPresenceRequest(agent_id=name, presence=OFFLINE)
    for call in (
        client.call(client.agents.DeleteAgent, DeleteAgentRequest(agent_id=name)),
        client.call(client.agents.SetPresence, offline),
    ):
        found = await refused(call)
        assert (found.code, found.reason) == ("FAILED_PRECONDITION", "AGENT_HOLDS_CONTACTS")
        assert set(found.fields) == {"agent_id"}
    agent = await agent_of(client, name)
    assert (agent.presence, list(agent.contact_ids)) == (AVAILABLE, [f"{name}-c"])


async def test_contact_of_a_deleted_agent_never_names_its_successor(
    client: Client, name: str
) -> None:
    """Reports must not credit a contact to whoever came later."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-old", name)
    await assign(client, name, f"{name}-c")
    done = CompleteAssignmentRequest(contact_id=f"{name}-c", agent_id=f"{name}-old")
    await client.call(client.offers.CompleteAssignment, done)
    await client.call(client.agents.DeleteAgent, DeleteAgentRequest(agent_id=f"{name}-old"))
    await sign_in(client, f"{name}-new", name)
    assert (await contact_of(client, f"{name}-c")).agent_id in ("", f"{name}-old")


@pytest.mark.parametrize("presence", [BUSY, AWAY, DRAINING, OFFLINE])
async def test_presence_but_available_takes_offers_back(
    client: Client, name: str, presence: "Presence.ValueType"
) -> None:
    """An agent who turns away gives up what was only offered."""
    await open_queue(client, name)
    await sign_in(client, name, name)
    await route(client, name, f"{name}-c")
    request = SetPresenceRequest(agent_id=name, presence=presence, reason="lunch")
    response = await client.call(client.agents.SetPresence, request)
    assert response.presence == (OFFLINE if presence == DRAINING else presence)
    contact = await contact_of(client, f"{name}-c")
    assert (contact.state, contact.offers_failed) == (ContactState.CONTACT_STATE_QUEUED, 1)
    agent = await agent_of(client, name)
    assert (agent.presence, list(agent.contact_ids)) == (response.presence, [])
    if presence != DRAINING:
        assert agent.presence_reason == "lunch"


async def test_presence_that_is_none_is_refused(client: Client, name: str) -> None:
    """An unset or unknown presence would leave the agent in no state at all."""
    await sign_in(client, name)
    for presence in (0, 77):
        request = SetPresenceRequest(agent_id=name, presence=presence)  # type: ignore[arg-type]
        found = await refused(client.call(client.agents.SetPresence, request))
        assert (found.code, set(found.fields)) == ("INVALID_ARGUMENT", {"presence"})
    assert (await agent_of(client, name)).presence == AVAILABLE


async def test_contacts_in_hand_stay_when_the_agent_goes_away(client: Client, name: str) -> None:
    """Away means nothing new; the customer on the line stays."""
    await open_queue(client, name)
    await sign_in(client, name, name, capacity=2)
    await assign(client, name, f"{name}-c")
    await set_presence(client, name, AWAY)
    assert list((await agent_of(client, name)).contact_ids) == [f"{name}-c"]
    assert (await route(client, name)).agent_id == ""


async def test_drained_agent_finishes_and_goes_offline(client: Client, name: str) -> None:
    """The end of a shift costs no contact."""
    await open_queue(client, name)
    await sign_in(client, name, name, capacity=2)
    await assign(client, name, f"{name}-c")
    drain = DrainAgentRequest(agent_id=name, reason="end of shift")
    response = await client.call(client.agents.DrainAgent, drain)
    assert (response.presence, response.contacts_in_hand) == (DRAINING, 1)
    assert (await route(client, name)).agent_id == ""
    done = CompleteAssignmentRequest(contact_id=f"{name}-c", agent_id=name)
    await client.call(client.offers.CompleteAssignment, done)
    assert (await agent_of(client, name)).presence == OFFLINE


async def test_drain_with_nothing_in_hand_is_offline_at_once(client: Client, name: str) -> None:
    """There is nothing to wait for."""
    await sign_in(client, name)
    response = await client.call(client.agents.DrainAgent, DrainAgentRequest(agent_id=name))
    assert (response.presence, response.contacts_in_hand) == (OFFLINE, 0)


async def test_heartbeat_tells_whose_lease_was_not_renewed(client: Client, name: str) -> None:
    """A gateway learns which of its agents the engine no longer counts on."""
    await sign_in(client, f"{name}-leased", lease_ms=60_000)
    await sign_in(client, f"{name}-unleased")
    await sign_in(client, f"{name}-offline", lease_ms=60_000)
    await set_presence(client, f"{name}-offline", OFFLINE)
    before = (await agent_of(client, f"{name}-leased")).lease_until_ms
    ids = [f"{name}-{kind}" for kind in ("leased", "unleased", "offline", "unknown")]
    response = await client.call(client.agents.Heartbeat, HeartbeatRequest(agent_ids=ids))
    assert list(response.not_renewed_agent_ids) == ids[1:]
    assert (await agent_of(client, f"{name}-leased")).lease_until_ms >= before > 0
    assert (await agent_of(client, f"{name}-unleased")).lease_until_ms == 0


async def test_heartbeat_with_a_bad_id_renews_nothing(client: Client, name: str) -> None:
    """A refused call changes nothing, wherever in it the mistake is."""
    await sign_in(client, name, lease_ms=60_000)
    before = (await agent_of(client, name)).lease_until_ms
    await asyncio.sleep(0.01)
    request = HeartbeatRequest(agent_ids=[name, "bad\nid", ""])
    found = await refused(client.call(client.agents.Heartbeat, request))
    assert (found.code, set(found.fields)) == ("INVALID_ARGUMENT", {"agent_ids[1]"})
    assert (await agent_of(client, name)).lease_until_ms == before


@pytest.mark.parametrize("count", [0, 10_001])
async def test_heartbeat_of_a_wrong_size_is_refused(client: Client, count: int) -> None:
    """The bound of a heartbeat is told, with the number that was sent."""
    request = HeartbeatRequest(agent_ids=["a"] * count)
    found = await refused(client.call(client.agents.Heartbeat, request))
    assert found.fields == {"agent_ids": f"got {count}, expected 1 to 10,000 agents"}


async def test_channel_capacity_bounds_what_an_agent_takes(client: Client, name: str) -> None:
    """A chat costs what the agent says it costs, and voice is not taken at all."""
    await open_queue(client, name)
    channels = [ChannelCapacity(channel=CHAT, cost=2, contacts_max=0)]
    await sign_in(client, name, name, capacity=5, channels=channels)
    taken = [(await route(client, name, channel=CHAT)).agent_id for _ in range(3)]
    assert taken == [name, name, ""]
    assert (await route(client, name, channel=VOICE)).agent_id == ""
    assert (await agent_of(client, name)).capacity_used == 4
