"""The Node client beside a stand-in: ids, retries, sizes, words and reconnects."""

import asyncio
import json
from typing import Any

import grpc
import pytest

from headgate.v1.contact_pb2 import Contact
from headgate.v1.routing_service_pb2 import (
    GetContactResponse,
    RouteBatchResponse,
    RouteResponse,
)
from tests.end_to_end.serving import ROOT
from tests.end_to_end.stand_in import Refusal, StandIn, serving
from tests.end_to_end.test_client_calls import Busy
from tests.end_to_end.test_client_engines import NewStandIn, owned_by
from tests.end_to_end.test_client_engines import stand_in as stand_in
from tests.end_to_end.test_client_examples import node_packages as node_packages
from tests.end_to_end.test_client_examples import run

NODE = ROOT / "deploy" / "examples" / "node"
DELAY_MS = 300
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
NOBODY = "127.0.0.1:1"

pytestmark = [pytest.mark.needs_node, pytest.mark.usefixtures("node_packages")]


async def told(address: str, body: str) -> Any:
    """Run the body of a function with the client's parts; returns what it returned."""
    text = f"""
      import {{ headgate }} from {json.dumps((NODE / "headgate.mjs").as_uri())};
      const {{ routing, queues, stubs, close }} = headgate();
      const body = async () => {{ {body} }};
      const result = await body().catch(({{ code, message }}) => ({{ code, message }}));
      console.log(JSON.stringify(result));
      close();
    """
    return json.loads(await run(address, "node", "--input-type=module", "--eval", text))


async def test_node_call_is_sent_again_with_its_id_after_the_delay_that_was_named() -> None:
    """The engine knows when it will have room."""
    stand_in = StandIn(Refusal(EXHAUSTED, "OVERLOADED", DELAY_MS), RouteResponse(contact_id="c"))
    async with serving(stand_in) as address:
        body = """
          const began = Date.now();
          const { contact_id } = await routing.Route({ queue_id: 'q', channel: 'CHANNEL_VOICE' });
          return [contact_id, Date.now() - began];
        """
        contact_id, took_ms = await told(address, body)
    assert (contact_id, took_ms >= DELAY_MS) == ("c", True)
    first, second = stand_in.requests
    assert first.request_id == second.request_id != ""


async def test_node_refusal_without_a_delay_is_final() -> None:
    """A limit does not go away while the caller waits out its deadline."""
    stand_in = StandIn(Refusal(EXHAUSTED, "LIMIT_REACHED"), RouteResponse())
    async with serving(stand_in) as address:
        error = await told(address, "return await routing.Route({ queue_id: 'q' });")
    assert error["code"] == EXHAUSTED.value[0]
    assert len(stand_in.requests) == 1


async def test_node_requests_of_a_batch_get_ids_of_their_own() -> None:
    """A batch is many writes, and every write gets an id."""
    stand_in = StandIn(RouteBatchResponse())
    async with serving(stand_in) as address:
        body = """
          const requests = [{ queue_id: 'q' }, { queue_id: 'q' }, { request_id: 'own' }];
          return [await routing.RouteBatch({ requests }), requests][1];
        """
        requests = await told(address, body)
    assert "request_id" not in requests[0]
    first, second, own = (item.request_id for item in stand_in.requests[0].requests)
    assert own == "own"
    assert len({first, second, ""}) == 3


async def test_node_reads_a_reply_beyond_the_usual_bound() -> None:
    """A list of contacts may be larger than the 4 MiB that gRPC takes by itself."""
    large = Contact(attributes={"a": "x" * 8 * 1024 * 1024})
    async with serving(StandIn(GetContactResponse(contact=large))) as address:
        body = "return (await routing.GetContact({})).contact.attributes.a.length;"
        assert await told(address, body) == 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("call", "place", "word"),
    [
        (
            "queues.UpsertQueue({ queue: { queue_id: 'q', strategy: 'ROUND_ROBIN' } })",
            "queue.strategy: got 'ROUND_ROBIN'",
            "STRATEGY_ROUND_ROBIN",
        ),
        (
            "routing.RouteBatch({ requests: [{}, { channel: 'VOICE' }] })",
            "requests[1].channel: got 'VOICE'",
            "CHANNEL_VOICE",
        ),
        (
            "routing.ListContacts({ states: ['CONTACT_STATE_QUEUED', 'OFFERED'] })",
            "states[1]: got 'OFFERED'",
            "CONTACT_STATE_OFFERED",
        ),
        (
            "new Promise((_, reject) => stubs.gateway.Connect().on('error', reject)"
            ".write({ commands: [{ route: { channel: 'VOICE' } }] }))",
            "commands[0].route.channel: got 'VOICE'",
            "CHANNEL_VOICE",
        ),
    ],
)
async def test_node_word_that_its_enum_does_not_have_is_refused(
    call: str, place: str, word: str
) -> None:
    """A queue with another strategy than the one that was meant is found out too late."""
    error = await told(NOBODY, f"return await {call};")
    assert f"{place}, expected one of " in error["message"]
    assert f" {word}" in error["message"]


async def test_node_enum_may_be_given_as_word_or_number() -> None:
    """What the loader takes is taken still."""
    stand_in = StandIn(RouteResponse(), RouteResponse(), RouteResponse())
    async with serving(stand_in) as address:
        channels = "['CHANNEL_VOICE', 1, undefined]"
        body = f"for (const channel of {channels}) await routing.Route({{ channel }}); return 0;"
        assert await told(address, body) == 0
    assert [request.channel for request in stand_in.requests] == [1, 1, 0]


RECONNECT = """
  const { promisify } = await import('node:util');
  const { createRequire } = await import('node:module');
  const grpc = createRequire(PATH)('@grpc/grpc-js');
  const serve = async (port) => {
    const server = new grpc.Server();
    const bind = promisify(server.bindAsync.bind(server));
    return [server, await bind(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure())];
  };
  const lags = [];
  for (let turn = 0; turn < 3; turn++) {
    const [before, port] = await serve(0);
    before.forceShutdown();
    const client = headgate(`127.0.0.1:${port}`);
    client.stubs.routing.getChannel().getConnectivityState(true);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const [server] = await serve(port);
    const began = Date.now();
    const stub = client.stubs.routing;
    await promisify(stub.waitForReady.bind(stub))(Date.now() + 9_000);
    lags.push(Date.now() - began);
    client.close();
    server.forceShutdown();
  }
  return lags;
"""


async def test_node_channel_connects_soon_after_the_server_is_back() -> None:
    """An engine starts in two seconds; its clients must not add seconds of their own."""
    lags = await told(NOBODY, RECONNECT.replace("PATH", json.dumps(str(NODE / "headgate.mjs"))))
    # Left to itself, the channel tries again no sooner than 0.8 s after the first refusal.
    assert min(lags) < 400


async def test_node_follows_to_the_owner_and_stays_there(stand_in: NewStandIn) -> None:
    """The detour is made once; an engine that has not noticed does not lead back."""
    home, owner, early = await stand_in(), await stand_in(), await stand_in()
    home.says = owned_by(owner, epoch=5)
    body = """
      const first = await routing.Route({ queue_id: 'q' });
      const second = await routing.Route({ queue_id: 'q', cell: 'default' });
      return [first.contact_id, second.contact_id];
    """
    assert await told(home.address, body) == [owner.address] * 2
    assert (home.calls, owner.calls) == (1, 2)
    owner.says = owned_by(early, epoch=4)
    error = await told(home.address, "return await routing.Route({ queue_id: 'q' });")
    # The last try may begin so late that its own time is up first.
    codes = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert error["code"] in [code.value[0] for code in codes]
    assert early.calls == 0


async def test_node_leaves_an_engine_that_does_not_answer(stand_in: NewStandIn) -> None:
    """The address that the client was given is a beginning, not a single point of failure."""
    home, owner = await stand_in(), await stand_in()
    home.says = owned_by(owner, "north")
    asked = asyncio.create_task(
        told(
            home.address,
            """
              const north = await routing.Route({ queue_id: 'q', cell: 'north' });
              await new Promise((resolve) => setTimeout(resolve, 1_000));
              const south = await routing.Route({ queue_id: 'q', cell: 'south' });
              return [north.contact_id, south.contact_id];
            """,
        )
    )
    while not owner.calls:
        await asyncio.sleep(0.01)
    await home.stop()
    assert await asked == [owner.address] * 2


async def test_node_calls_beyond_those_in_flight_wait_for_their_turn() -> None:
    """An engine that gets more than it can do would have each wait behind all the others."""
    busy = Busy()
    async with serving(busy) as address:
        body = """
          const { routing, close } = headgate(undefined, undefined, { inFlightMax: 2 });
          const route = (contact_id) => routing.Route({ contact_id, channel: 'CHANNEL_VOICE' });
          const replies = await Promise.all(['a', 'b', 'c', 'd', 'e'].map(route));
          close();
          return replies.map(({ contact_id }) => contact_id);
        """
        telling = asyncio.create_task(told(address, body))
        await busy.holds(2)
        busy.may_answer.set()
        assert await telling == ["a", "b", "c", "d", "e"]
    assert busy.most == 2


async def test_node_call_whose_time_is_up_before_its_turn_is_never_sent() -> None:
    """Nobody waits for its answer, and the engine has enough to do."""
    body = f"""
      const {{ room }} = await import({json.dumps((NODE / "room.mjs").as_uri())});
      const {{ enter, leave }} = room(1);
      await enter(new Date(Date.now() + 50));
      const late = await enter(new Date(Date.now() + 50)).catch((error) => error);
      const next = enter(new Date(Date.now() + 10_000)).then(() => 'next');
      leave();
      return [late.code, late.details, await next];
    """
    details = "1 other calls were in flight all the time; this one was not sent"
    late = [grpc.StatusCode.DEADLINE_EXCEEDED.value[0], details, "next"]
    assert await told(NOBODY, body) == late
    refused = "return headgate(undefined, undefined, { inFlightMax: 0 }).routing.Route({});"
    assert await told(NOBODY, refused) == {"message": "inFlightMax: got 0, expected > 0"}


async def test_node_lets_go_of_engines_that_no_cell_is_at_any_more() -> None:
    """Each rollout brings new addresses: what is kept of them must not grow for ever."""
    body = f"""
      const {{ engines }} = await import({json.dumps((NODE / "engines.mjs").as_uri())});
      const closed = [];
      const stubsAt = (address) => ({{ routing: {{ close: () => closed.push(address) }} }});
      const known = engines('first', stubsAt, () => ({{}}));
      known.stubsOf('first');
      const go = (epoch, cell) => known.learn({{ cell, address: `engine ${{epoch}}`, epoch }});
      for (let epoch = 1; epoch < 100; epoch += 1) {{
        go(epoch, 'default');
        go(epoch, 'north');
        known.stubsOf('north');
      }}
      // All but those of the last rollout.
      const rolledOver = closed.length;
      let finish;
      go(100, 'default');
      go(100, 'north');
      const call = known.during('', () => new Promise((resolve) => (finish = resolve)));
      go(101, 'default');
      go(101, 'north');
      go(102, 'default');
      const inFlight = closed.includes('engine 100');
      finish('answered');
      const answer = await call;
      const asked = new Set();
      for (let turn = 0; turn < 200; turn += 1) {{
        asked.add(known.addressOf('south'));
        known.turnFrom(known.addressOf('south'), 'south');
      }}
      return [rolledOver, inFlight, answer, closed.includes('engine 100'), asked.size];
    """
    assert await told(NOBODY, body) == [97, False, "answered", True, 65]


async def test_node_calls_to_an_engine_that_it_lets_go_of_are_answered(
    stand_in: NewStandIn,
) -> None:
    """Those in flight, and those that waited for their turn when its cell went elsewhere."""
    home, before, owner = await stand_in(), await stand_in(), await stand_in()
    home.says, before.waits_for = owned_by(before), asyncio.Queue()
    before.waits_for.put_nowait(None)
    body = """
      const { routing, close } = headgate(undefined, undefined, { inFlightMax: 2 });
      await routing.Route({ queue_id: 'q' });
      const replies = await Promise.all([1, 2, 3].map(() => routing.Route({ queue_id: 'q' })));
      close();
      return replies.map(({ contact_id }) => contact_id);
    """
    telling = asyncio.create_task(told(home.address, body))
    while before.calls < 3:
        await asyncio.sleep(0.01)
    before.waits_for.put_nowait(owned_by(owner, epoch=2))
    while before.calls < 4:
        await asyncio.sleep(0.01)
    for _ in range(2):
        before.waits_for.put_nowait(None)
    assert sorted(await telling) == sorted([owner.address, before.address, before.address])
