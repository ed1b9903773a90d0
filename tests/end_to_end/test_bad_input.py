"""Mistakes of callers over a real channel: each is told what is wrong, and changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import grpc.aio
import pytest

from headgate.client import Client
from headgate.v1.agent_pb2 import Agent, AgentSkill, ChannelCapacity, Presence
from headgate.v1.agent_service_pb2 import (
    DeleteAgentRequest,
    HeartbeatRequest,
    SetPresenceRequest,
    UpsertAgentRequest,
)
from headgate.v1.contact_pb2 import Requirements, SkillPreference, SkillRequirement
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import AcceptOfferRequest, DeclineOfferRequest
from headgate.v1.queue_pb2 import Queue, ServiceLevelTarget, WrapUpMode
from headgate.v1.queue_service_pb2 import (
    GetSnapshotRequest,
    PauseQueueRequest,
    UpsertQueueRequest,
)
from headgate.v1.routing_service_pb2 import (
    CancelContactRequest,
    GetContactRequest,
    ListContactsRequest,
    RequeueContactRequest,
    RouteRequest,
    UpdateContactRequest,
)
from tests.end_to_end.floor import VOICE, Refused, assign, open_queue, refused, route, sign_in, told
from tests.end_to_end.serving import Served, start

NAN = float("nan")
LONG = "x" * 129


class Calm(NamedTuple):
    """All of a cell that a mistake could have changed."""

    cursor: str
    queues: list[str]
    contacts: list[str]


@pytest.fixture(scope="module")
def calm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server nobody else uses, so that nothing happens in it by itself."""
    served = start(tmp_path_factory.mktemp("calm"), "--durability", "memory")
    try:
        yield served.until_ready()
    finally:
        served.kill()


@pytest.fixture(scope="module")
def floors() -> list[str]:
    """Servers whose floor has been made."""
    return []


@pytest.fixture
async def calm(calm_server: Served, floors: list[str]) -> AsyncIterator[Client]:
    """A client of a floor with queue `q`, agent `busy` who holds `held`, and `waits`."""
    async with Client(calm_server.address) as client:
        if not floors:
            await open_queue(client, "q")
            await sign_in(client, "busy", "q", skills=[AgentSkill(skill="s", proficiency=3)])
            await assign(client, "q", "held")
            await route(client, "q", "waits")
            floors.append(calm_server.address)
        yield client


async def state_of(client: Client) -> Calm:
    """Read everything, waits and ages left out."""
    stream = client.events.Subscribe(SubscribeRequest(), timeout=10)
    cursor = (await told(stream)).cursor
    stream.cancel()
    snapshots = (await client.call(client.queues.GetSnapshot, GetSnapshotRequest())).snapshots
    for snapshot in snapshots:
        snapshot.at_ms = snapshot.oldest_wait_ms = 0
    contacts = (await client.call(client.routing.ListContacts, ListContactsRequest())).contacts
    return Calm(
        cursor,
        [str(snapshot) for snapshot in snapshots],
        [f"{contact.contact_id} {contact.etag}" for contact in contacts],
    )


async def refused_calmly(client: Client, request: Any) -> Refused:
    """Send a request that must be refused, and check that nothing changed."""
    name = request.DESCRIPTOR.name.removesuffix("Request")
    stubs = (client.routing, client.offers, client.agents, client.queues)
    method = next(getattr(stub, name) for stub in stubs if hasattr(stub, name))
    before = await state_of(client)
    found = await refused(client.call(method, request))
    assert await state_of(client) == before
    return found


def routing(**fields: Any) -> RouteRequest:
    """A good Route but for the fields given."""
    return RouteRequest(**{"queue_id": "q", "channel": VOICE, **fields})


def asking(**fields: Any) -> RouteRequest:
    """A good Route but for the requirements given."""
    return routing(requirements=Requirements(**fields))


def agent(**fields: Any) -> UpsertAgentRequest:
    """A good agent but for the fields given."""
    return UpsertAgentRequest(agent=Agent(**{"agent_id": "new", **fields}))


def queue(**fields: Any) -> UpsertQueueRequest:
    """A good queue but for the fields given."""
    return UpsertQueueRequest(queue=Queue(**{"queue_id": "new", **fields}))


def skill(name: str = "s", level: int = 1) -> SkillRequirement:
    """A skill asked for."""
    return SkillRequirement(skill=name, proficiency_min=level)


def preferred(weight: float, name: str = "s") -> SkillPreference:
    """A skill preferred."""
    return SkillPreference(skill=name, weight=weight)


INVALID: list[tuple[Any, set[str]]] = [
    (routing(channel=0), {"channel"}),  # unset
    (routing(channel=77), {"channel"}),  # of a newer version
    (routing(queue_id=""), {"queue_id"}),
    (routing(queue_id="a\nb"), {"queue_id"}),  # a control character
    (routing(queue_id=LONG), {"queue_id"}),
    (routing(contact_id=LONG), {"contact_id"}),
    (routing(contact_id="é" * 65), {"contact_id"}),  # 65 characters, 130 bytes
    (routing(priority=1_001), {"priority"}),
    (routing(priority=-(1 << 31)), {"priority"}),
    (routing(routing_age_ms=-1), {"routing_age_ms"}),
    (routing(routing_age_ms=(1 << 63) - 1), {"routing_age_ms"}),
    (routing(max_wait_ms=-2), {"max_wait_ms"}),
    (routing(max_wait_ms=1_209_600_001), {"max_wait_ms"}),
    (routing(attributes={str(key): "" for key in range(65)}), {"attributes"}),
    (routing(attributes={"key": "x" * 16_384}), {"attributes"}),
    (routing(attributes={"": "value"}), {"attributes"}),
    (routing(queue_id="a\nb", channel=0, priority=9_999), {"queue_id", "channel", "priority"}),
    (asking(skills=[skill(level=7)]), {"requirements.skills[0].proficiency_min"}),
    (asking(skills=[skill(level=-1)]), {"requirements.skills[0].proficiency_min"}),
    (asking(skills=[skill("")]), {"requirements.skills[0].skill"}),
    (asking(skills=[skill(), skill()]), {"requirements.skills"}),
    (asking(skills=[skill(f"s{number}") for number in range(9)]), {"requirements.skills"}),
    (asking(preferred_skills=[preferred(NAN)]), {"requirements.preferred_skills[0].weight"}),
    (asking(preferred_skills=[preferred(-1)]), {"requirements.preferred_skills[0].weight"}),
    (asking(preferred_skills=[preferred(101)]), {"requirements.preferred_skills[0].weight"}),
    (asking(preferred_skills=[preferred(1), preferred(2)]), {"requirements.preferred_skills"}),
    (asking(tags=[""]), {"requirements.tags[0]"}),
    (agent(agent_id=""), {"agent.agent_id"}),
    (agent(kind=9), {"agent.kind"}),
    (agent(capacity=-1), {"agent.capacity"}),
    (agent(capacity=1_000_001), {"agent.capacity"}),
    (agent(skills=[AgentSkill(skill="s", proficiency=7)]), {"agent.skills[0].proficiency"}),
    (agent(skills=[AgentSkill(skill="s", proficiency=-1)]), {"agent.skills[0].proficiency"}),
    (agent(skills=[AgentSkill(skill="s")] * 2), {"agent.skills"}),
    (agent(tags=[f"t{number}" for number in range(65)]), {"agent.tags"}),
    (agent(queue_ids=["q", "q"]), {"agent.queue_ids"}),
    (agent(queue_ids=["q"] * 10_001), {"agent.queue_ids"}),
    (agent(channels=[ChannelCapacity()]), {"agent.channels[0].channel"}),
    (agent(channels=[ChannelCapacity(channel=VOICE, cost=-1)]), {"agent.channels[0].cost"}),
    (agent(channels=[ChannelCapacity(channel=VOICE)] * 2), {"agent.channels"}),
    (agent(missed_offers_max=-2), {"agent.missed_offers_max"}),
    (agent(lease_ms=999), {"agent.lease_ms"}),
    (queue(queue_id=""), {"queue.queue_id"}),
    (queue(strategy=9), {"queue.strategy"}),
    (queue(service_level=ServiceLevelTarget(ratio=NAN)), {"queue.service_level.ratio"}),
    (queue(service_level=ServiceLevelTarget(ratio=1.1)), {"queue.service_level.ratio"}),
    (queue(service_level=ServiceLevelTarget(within_ms=-1)), {"queue.service_level.within_ms"}),
    (queue(offer_timeout_ms=99), {"queue.offer_timeout_ms"}),
    (queue(wrap_up_ms=1), {"queue.wrap_up_ms"}),
    (queue(wrap_up_mode=WrapUpMode.WRAP_UP_MODE_TIMED), {"queue.wrap_up_ms"}),
    (queue(max_wait_ms=-2), {"queue.max_wait_ms"}),
    (queue(max_length=1_000_001), {"queue.max_length"}),
    (queue(reoffer_delay_ms=-2), {"queue.reoffer_delay_ms"}),
    (queue(priority_age_ms=-1), {"queue.priority_age_ms"}),
    (queue(short_abandon_ms=-1), {"queue.short_abandon_ms"}),
    (queue(matching_window_ms=1_001), {"queue.matching_window_ms"}),
    (UpdateContactRequest(contact_id="waits", priority=2_000), {"priority"}),
    (RequeueContactRequest(contact_id="waits", priority=2_000), {"priority"}),
    (CancelContactRequest(contact_id="waits"), {"reason"}),
    (SetPresenceRequest(agent_id="busy", presence=Presence.PRESENCE_AWAY, reason=LONG), {"reason"}),
    (DeclineOfferRequest(offer_id="o1.0", agent_id="busy", retry_after_ms=-1), {"retry_after_ms"}),
    (PauseQueueRequest(queue_id="q", intake=9), {"intake"}),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(
    ("request_", "fields"),
    INVALID,
    ids=[f"{place}-{'+'.join(sorted(item[1]))}" for place, item in enumerate(INVALID)],
)
async def test_field_out_of_bounds_is_named_with_every_other(
    calm: Client, request_: Any, fields: set[str]
) -> None:
    """The developer sees all that is wrong at once, by the path of the contract."""
    found = await refused_calmly(calm, request_)
    assert (found.code, found.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert set(found.fields) == fields
    assert all(", expected " in text for text in found.fields.values())


@pytest.mark.parametrize(
    ("request_", "code", "reason", "field"),
    [
        (routing(queue_id="nowhere"), "NOT_FOUND", "UNKNOWN_QUEUE", "queue_id"),
        (asking(skills=[skill("magic")]), "INVALID_ARGUMENT", "UNKNOWN_SKILL", "requirements.skills[0].skill"),  # noqa: E501
        (asking(preferred_skills=[preferred(1, "magic")]), "INVALID_ARGUMENT", "UNKNOWN_SKILL", "requirements.preferred_skills[0].skill"),  # noqa: E501
        (asking(tags=["magic"]), "INVALID_ARGUMENT", "UNKNOWN_TAG", "requirements.tags[0]"),
        (agent(queue_ids=["q", "nowhere"]), "NOT_FOUND", "UNKNOWN_QUEUE", "agent.queue_ids[1]"),
        (RequeueContactRequest(contact_id="waits", queue_id="nowhere"), "NOT_FOUND", "UNKNOWN_QUEUE", "queue_id"),  # noqa: E501
        (SetPresenceRequest(agent_id="nobody", presence=Presence.PRESENCE_AWAY), "NOT_FOUND", "UNKNOWN_AGENT", "agent_id"),  # noqa: E501
        (DeleteAgentRequest(agent_id="busy"), "FAILED_PRECONDITION", "AGENT_HOLDS_CONTACTS", "agent_id"),  # noqa: E501
        (AcceptOfferRequest(offer_id="o1.0", agent_id="busy"), "FAILED_PRECONDITION", "OFFER_GONE", "offer_id"),  # noqa: E501
        (routing(cell="elsewhere"), "NOT_FOUND", "UNKNOWN_CELL", "cell"),
        (HeartbeatRequest(agent_ids=["busy", ""]), "INVALID_ARGUMENT", "INVALID_FIELD", "agent_ids[1]"),  # noqa: E501
    ],
)  # fmt: skip
async def test_name_nobody_knows_is_told(
    calm: Client, request_: Any, code: str, reason: str, field: str
) -> None:
    """A misspelled name is told with the field that holds it."""
    found = await refused_calmly(calm, request_)
    assert (found.code, found.reason, set(found.fields)) == (code, reason, {field})


async def raw(client: Client, path: str, payload: bytes, **options: Any) -> bytes:
    """Send bytes as they are."""
    call: Any = client.channel.unary_unary(path)
    response: bytes = await call(payload, timeout=10, **options)
    return response


@pytest.mark.parametrize(
    "payload",
    [
        b"\x12\x02\xc3\x28",  # request_id: not UTF-8
        b"\x12\x02\xed\xa0",  # request_id: half a surrogate
        b"\x12\x7f" + b"x" * 10,  # request_id: shorter than it says
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",  # no field number at all
        b"\x0b",  # a group that never ends
    ],
)
async def test_bytes_that_are_no_message_are_refused(calm: Client, payload: bytes) -> None:
    """A broken client learns that it is broken, and the cell never sees what it sent."""
    before = await state_of(calm)
    found = await refused(raw(calm, "/headgate.v1.RoutingService/Route", payload))
    assert (found.code, found.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
    for path in ("RoutingService/RouteBatch", "AgentService/UpsertAgent"):
        found = await refused(raw(calm, f"/headgate.v1.{path}", payload))
        assert found.code == "INVALID_ARGUMENT"
    subscribe: Any = calm.channel.unary_stream("/headgate.v1.EventService/Subscribe")
    stream = subscribe(payload, timeout=10)
    assert (await refused(stream.read())).code == "INVALID_ARGUMENT"
    session: Any = calm.channel.stream_stream("/headgate.v1.GatewayService/Connect")(timeout=10)
    await session.write(payload)
    assert (await refused(session.read())).code == "INVALID_ARGUMENT"
    assert await state_of(calm) == before


async def test_message_of_ten_megabytes_is_refused(calm: Client) -> None:
    """The bound on what one call may bring holds before anything is read."""
    before = await state_of(calm)
    request = routing(request_id="big", attributes={"key": "x" * 10_000_000})
    found = await refused(calm.routing.Route(request, timeout=10))
    assert found.code == "RESOURCE_EXHAUSTED"
    assert await state_of(calm) == before


async def test_metadata_that_is_too_large_is_refused(calm: Client) -> None:
    """Headers are bounded as well, and the connection survives."""
    before = await state_of(calm)
    metadata = grpc.aio.Metadata(("x-large", "x" * 100_000))
    request = routing(request_id="large")
    found = await refused(calm.routing.Route(request, metadata=metadata, timeout=10))
    assert found.code == "RESOURCE_EXHAUSTED"
    assert await state_of(calm) == before


async def test_method_nobody_has_is_unimplemented(calm: Client) -> None:
    """A client of a newer version learns that this server is older."""
    for path in ("/headgate.v1.RoutingService/Teleport", "/headgate.v2.RoutingService/Route"):
        assert (await refused(raw(calm, path, b""))).code == "UNIMPLEMENTED"


async def test_deadline_that_has_passed_applies_nothing(calm: Client) -> None:
    """A call its caller has given up is not done behind the caller's back."""
    before = await state_of(calm)
    request = routing(request_id="late", contact_id="late")
    call = calm.routing.Route(request, timeout=-1)
    assert (await refused(call)).code == "DEADLINE_EXCEEDED"
    await asyncio.sleep(0.1)
    found = await refused(calm.routing.GetContact(GetContactRequest(contact_id="late"), timeout=5))
    assert found.code == "NOT_FOUND"
    assert await state_of(calm) == before


async def test_fields_of_a_newer_version_are_ignored(calm: Client) -> None:
    """An older server takes what it knows from a newer client."""
    request = ListContactsRequest(queue_id="q").SerializeToString()
    newer = request + b"\xfa\x3f\x03new"
    answer = await raw(calm, "/headgate.v1.RoutingService/ListContacts", newer)
    assert b"waits" in answer
