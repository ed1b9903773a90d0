"""PolicyService over a real channel: what is said of policies, and what events tell."""

import asyncio
import time
from typing import Any

from headgate.client import Client
from headgate.v1 import policy_pb2 as told
from headgate.v1 import policy_service_pb2 as pb
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from tests.end_to_end.floor import refused
from tests.end_to_end.test_contract_policies import SHADOW, publish, queues_of, text_of


async def test_override_is_said_listed_and_taken_back(client: Client, name: str) -> None:
    """Of one policy and queue the last word counts; what has run out is not listed."""
    await queues_of(client, name)
    await publish(client, text=text_of(name))

    async def say(what: Any, **fields: Any) -> None:
        request = pb.OverridePolicyRequest(what=what, **fields)
        await client.call(client.policies.OverridePolicy, request)

    async def listed() -> list[told.PolicyOverride]:
        found, token = [], ""
        while True:
            request = pb.ListOverridesRequest(page_size=1, page_token=token)
            reply = await client.call(client.policies.ListOverrides, request)
            found += [item for item in reply.overrides if item.policy == name]
            token = reply.next_page_token
            if not token:
                return found

    now_ms = int(time.time() * 1_000)
    until_ms = now_ms + 3_600_000
    await say(told.POLICY_SWITCH_ON, policy=name, until_ms=until_ms, author="ann", reason="test")
    await say(told.POLICY_SWITCH_OFF, policy=name, queue_id=name, until_ms=now_ms + 1_500)
    first, second = await listed()
    assert (first.queue_id, first.what, first.until_ms) == ("", told.POLICY_SWITCH_ON, until_ms)
    assert (first.author, first.reason) == ("ann", "test")
    assert (second.queue_id, second.what) == (name, told.POLICY_SWITCH_OFF)
    await say(told.POLICY_SWITCH_KILL, policy=name)
    async with asyncio.timeout(10):
        while len(await listed()) > 1:
            await asyncio.sleep(0.1)
    (only,) = await listed()
    assert (only.what, only.until_ms) == (told.POLICY_SWITCH_KILL, 0)
    await say(told.POLICY_SWITCH_TAKE_BACK, policy=name)
    assert await listed() == []
    found = await refused(say(told.POLICY_SWITCH_TAKE_BACK, policy=name))
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_OVERRIDE")
    found = await refused(say(told.POLICY_SWITCH_ON, policy=name, until_ms=now_ms - 1))
    assert (found.code, list(found.fields)) == ("INVALID_ARGUMENT", ["until_ms"])
    found = await refused(say(told.POLICY_SWITCH_KILL, queue_id=f"{name}-nowhere"))
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_QUEUE")


async def test_events_tell_of_every_step(client: Client, name: str) -> None:
    """Whoever watches knows what is in force without asking."""
    await queues_of(client, name)
    stream = client.events.Subscribe(SubscribeRequest(kinds=[
        EventKind.EVENT_KIND_POLICY_DRAFTED, EventKind.EVENT_KIND_POLICY_PUBLISHED,
        EventKind.EVENT_KIND_POLICY_ROLLED_BACK, EventKind.EVENT_KIND_POLICY_RETIRED,
        EventKind.EVENT_KIND_POLICY_OVERRIDDEN,
    ]))  # fmt: skip
    await stream.read()
    draft = pb.CreateDraftRequest(text=text_of(name))
    await client.call(client.policies.CreateDraft, draft)
    await publish(client, name=name, reason="busy")
    await publish(client, text=text_of(name, 5), stage=SHADOW)
    await client.call(client.policies.RollbackPolicy, pb.RollbackPolicyRequest(name=name))
    kill = told.POLICY_SWITCH_KILL
    for what in (kill, told.POLICY_SWITCH_TAKE_BACK):
        said = pb.OverridePolicyRequest(what=what, policy=name, queue_id=name, reason="stop")
        await client.call(client.policies.OverridePolicy, said)
    await client.call(client.policies.RetirePolicy, pb.RetirePolicyRequest(name=name))
    events: list[Event] = []
    async with asyncio.timeout(10):
        while len(events) < 7:
            response: Any = await stream.read()
            events += [event for event in response.events if event.policy == name]
    stream.cancel()
    words = [
        (EventKind.Name(event.kind).removeprefix("EVENT_KIND_POLICY_"), event.policy_version)
        for event in events
    ]
    assert words == [
        ("DRAFTED", 0), ("PUBLISHED", 1), ("PUBLISHED", 2), ("ROLLED_BACK", 2),
        ("OVERRIDDEN", 0), ("OVERRIDDEN", 0), ("RETIRED", 1),
    ]  # fmt: skip
    assert events[1].reason == "busy"
    assert (events[4].policy_switch, events[4].queue_id, events[4].reason) == (kill, name, "stop")
