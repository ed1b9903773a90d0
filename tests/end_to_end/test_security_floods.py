"""Too large, too many, and nonsense, to every method: refused in words, and the server lives."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headgate.client import Access, Client
from headgate.v1.agent_pb2 import Agent, AgentSkill, Presence
from headgate.v1.agent_service_pb2 import SetPresenceRequest, UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import ListQueuesRequest, UpsertQueueRequest
from headgate.v1.routing_service_pb2 import RouteRequest
from tests.end_to_end.contract import Rpc, rpcs
from tests.end_to_end.credentials import CallersFile
from tests.end_to_end.floor import refused, told
from tests.end_to_end.raw_calls import bearer, call
from tests.end_to_end.serving import Served, start
from tests.end_to_end.wire_bytes import near_messages, near_requests

RPCS = rpcs()
NAMES = [rpc.full_name for rpc in RPCS]
ROLES = "gateway operator author reader"


class Flooded(NamedTuple):
    """A server with two callers."""

    served: Served
    channel: grpc.Channel
    tokens: list[str]


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flooded]:
    """One for all tests here."""
    folder: Path = tmp_path_factory.mktemp("flooded")
    callers = CallersFile(folder / "callers")
    tokens = [callers.add(name, ROLES) for name in ("one", "two")]
    served = start(
        folder, "--durability", "memory", "--callers-file", str(callers.path),
        "--set", "caller_streams_max=20", "--set", "streams_max=60",
        "--set", "connection_streams_max=100",
    )  # fmt: skip
    try:
        served.until_ready()
        with grpc.insecure_channel(served.address) as channel:
            _furnish(channel, tokens[0])
            yield Flooded(served, channel, tokens)
    finally:
        served.kill()


def _furnish(channel: grpc.Channel, token: str) -> None:
    """Queues, agents and contacts by the names that are tried."""
    skills = [AgentSkill(skill="s", proficiency=3)]
    agents = [Agent(agent_id=name, queue_ids=["q"], skills=skills, tags=["t"]) for name in "ac"]
    voice, available = Channel.CHANNEL_VOICE, Presence.PRESENCE_AVAILABLE
    requests: dict[str, list[Any]] = {
        "UpsertQueue": [UpsertQueueRequest(queue=Queue(queue_id=name)) for name in "qt"],
        "UpsertAgent": [UpsertAgentRequest(agent=agent) for agent in agents],
        "SetPresence": [SetPresenceRequest(agent_id="a", presence=available)],
        "Route": [RouteRequest(queue_id="q", contact_id=name, channel=voice) for name in "cqs"],
    }
    by_name = {rpc.name: rpc for rpc in RPCS}
    for name, items in requests.items():
        for number, request in enumerate(items):
            request.request_id = f"{name} {number}"
            found = call(channel, by_name[name], request.SerializeToString(), bearer(token))
            assert found.code == "OK", found


@pytest.mark.parametrize("rpc", RPCS, ids=NAMES)
def test_message_that_is_too_large_is_refused_by_every_method(flooded: Flooded, rpc: Rpc) -> None:
    """Before it is held in memory as a whole, and also from those who may call."""
    for metadata in (bearer(flooded.tokens[0]), ()):
        found = call(flooded.channel, rpc, bytes(3_000_000), metadata)
        assert found.code in ("RESOURCE_EXHAUSTED", "UNAUTHENTICATED"), found
        assert not metadata or found.code == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("rpc", RPCS, ids=NAMES)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_bytes_are_answered_in_words_by_every_method(
    flooded: Flooded, rpc: Rpc, data: st.DataObject
) -> None:
    """Whatever comes is no bug of ours: never INTERNAL, never UNKNOWN, and never the end."""
    kind = rpc.request.DESCRIPTOR
    raw = data.draw(near_requests(kind) | near_messages(kind) | st.binary(max_size=200))
    found = call(flooded.channel, rpc, raw, bearer(flooded.tokens[0]), quiet_s=0.3)
    assert found.code not in ("INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED"), found


def test_server_is_well_after_all_of_it(flooded: Flooded) -> None:
    """No exception was logged, no cell was loaded anew."""
    events = {str(line["event"]) for line in flooded.served.log()}
    assert not events & {"call_failed", "turn_failed", "commit_failed", "cell_reloaded"}
    assert flooded.served.get("/readyz")[0] == 200


async def test_caller_that_floods_with_streams_leaves_room_for_others(flooded: Flooded) -> None:
    """Its own further streams are refused with a delay; it is let in again when some have ended."""
    one, two = (Access(token=token) for token in flooded.tokens)
    async with (
        Client(flooded.served.address, one) as flooder,
        Client(flooded.served.address, two) as other,
    ):
        streams = [flooder.events.Subscribe(SubscribeRequest(), timeout=60) for _ in range(20)]
        await asyncio.gather(*map(told, streams))
        for _ in range(50):
            found = await refused(told(flooder.events.Subscribe(SubscribeRequest(), timeout=30)))
            assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        more = other.events.Subscribe(SubscribeRequest(), timeout=30)
        await told(more)
        await flooder.queues.ListQueues(ListQueuesRequest(), timeout=10)
        for stream in (*streams, more):
            stream.cancel()
        async with asyncio.timeout(10):
            while (await other.call(other.queues.ListQueues, ListQueuesRequest())) is None:
                pass
        again = flooder.events.Subscribe(SubscribeRequest(), timeout=30)
        async with asyncio.timeout(10):
            while True:
                try:
                    await told(again)
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.01)
                    again = flooder.events.Subscribe(SubscribeRequest(), timeout=30)
        again.cancel()


async def test_streams_without_a_credential_take_no_room(flooded: Flooded) -> None:
    """A thousand of them, and callers are served all the while."""
    address = flooded.served.address
    async with (
        Client(address, Access()) as nobody,
        Client(address, Access(token=flooded.tokens[1])) as somebody,
    ):
        calls = [
            told(nobody.events.Subscribe(SubscribeRequest(), timeout=30)) for _ in range(1_000)
        ]
        flood = asyncio.gather(*calls, return_exceptions=True)
        stream = None
        refusals: set[grpc.StatusCode] = set()
        async with asyncio.timeout(60):
            while stream is None:
                # As long as the flood may take on a machine that has other work.
                await somebody.call(somebody.queues.ListQueues, ListQueuesRequest(), 50.0)
                stream = somebody.events.Subscribe(SubscribeRequest(), timeout=30)
                try:
                    await told(stream)
                except grpc.aio.AioRpcError as error:
                    refusals.add(error.code())
                    stream = None
        stream.cancel()
        # gRPC has one connection for both clients, which is full at times.
        assert refusals <= {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}
        codes = {
            error.code().name for error in await flood if isinstance(error, grpc.aio.AioRpcError)
        }
    # UNAVAILABLE: more at once than a connection may have, sent before the server has said so.
    assert codes <= {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}
    assert "UNAUTHENTICATED" in codes
