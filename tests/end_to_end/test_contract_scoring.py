"""Weights of the score, preferred agents, and what is learned of agents, over a real channel."""

import asyncio
from pathlib import Path

import pytest

from headgate.client import Client
from headgate.v1.agent_service_pb2 import ResetEstimatesRequest
from headgate.v1.contact_pb2 import Requirements
from headgate.v1.offer_service_pb2 import CompleteAssignmentRequest
from headgate.v1.queue_pb2 import ScoreWeights, Strategy
from headgate.v1.queue_service_pb2 import GetQueueRequest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import agent_of, assign, open_queue, refused, route, sign_in

BEST_SCORE = Strategy.STRATEGY_BEST_SCORE


async def complete(client: Client, contact_id: str, agent_id: str, outcome: float | None) -> None:
    """End handling, and say how well it went."""
    request = CompleteAssignmentRequest(contact_id=contact_id, agent_id=agent_id, outcome=outcome)
    await client.call(client.offers.CompleteAssignment, request)


async def test_weights_of_a_queue_are_told_with_those_of_its_strategy(
    client: Client, name: str
) -> None:
    """What was set, and what is in force: nobody need know the presets by heart."""
    own = ScoreWeights(handle_time=2.5, idle=0)
    queue = await open_queue(client, name, strategy=BEST_SCORE, weights=own)
    assert queue.weights == own
    in_force = queue.weights_in_force
    assert (in_force.handle_time, in_force.idle, in_force.urgency, in_force.lateness) == (
        2.5, 0.0, 1.0, 0.0,
    )  # fmt: skip
    assert len(in_force.ListFields()) == len(in_force.DESCRIPTOR.fields)
    read = await client.call(client.queues.GetQueue, GetQueueRequest(queue_id=name))
    assert read.queue == queue
    plain = await open_queue(client, f"{name}-plain")
    assert not plain.HasField("weights")
    assert plain.weights_in_force.idle == 1.0


@pytest.mark.parametrize(
    ("weights", "field"),
    [
        (ScoreWeights(skill=-1), "queue.weights.skill"),
        (ScoreWeights(wait=float("nan")), "queue.weights.wait"),
        (ScoreWeights(turn=2e9), "queue.weights.turn"),
        (ScoreWeights(urgent_from=1.5), "queue.weights.urgent_from"),
        (ScoreWeights(lateness=1.1), "queue.weights.lateness"),
    ],
)
async def test_weights_that_cannot_be_are_refused_by_field(
    client: Client, name: str, weights: ScoreWeights, field: str
) -> None:
    """And the queue stays as it was."""
    before = await open_queue(client, name)
    answer = await refused(open_queue(client, name, weights=weights))
    assert (answer.code, list(answer.fields)) == ("INVALID_ARGUMENT", [field])
    read = await client.call(client.queues.GetQueue, GetQueueRequest(queue_id=name))
    assert read.queue == before


async def test_starvation_bound_out_of_range_is_refused(client: Client, name: str) -> None:
    """A fortnight at most, as every age."""
    answer = await refused(open_queue(client, name, starvation_bound_ms=1_209_600_001))
    assert list(answer.fields) == ["queue.starvation_bound_ms"]


async def test_changed_weights_decide_from_the_next_contact_on(client: Client, name: str) -> None:
    """At run time, with the same agents and nothing restarted."""
    await open_queue(client, name, weights=ScoreWeights(preferred_agent=0))
    await sign_in(client, f"{name}-first", name)
    await asyncio.sleep(0.05)
    await sign_in(client, f"{name}-known", name)
    known = Requirements(preferred_agent_ids=[f"{name}-known"])
    assert (await route(client, name, requirements=known)).agent_id == f"{name}-first"
    await sign_in(client, f"{name}-first", name, capacity=2)
    await open_queue(client, name, weights=ScoreWeights(preferred_agent=100))
    assert (await route(client, name, requirements=known)).agent_id == f"{name}-known"
    # A preference is no requirement.
    assert (await route(client, name, requirements=known)).agent_id == f"{name}-first"


async def test_what_is_learned_is_told_kept_and_forgotten_on_request(
    serve: Serve, tmp_path: Path, name: str
) -> None:
    """Across a restart; and a reset of one queue leaves the other's."""
    flags = ("--data-dir", str(tmp_path / "data"))
    served = serve(*flags)
    async with Client(served.address) as client:
        for queue_id in (name, f"{name}-other"):
            await open_queue(client, queue_id)
        await sign_in(client, f"{name}-a", name, f"{name}-other")
        for number, outcome in enumerate((1.0, 0.0, None)):
            queue_id = f"{name}-other" if outcome is None else name
            await assign(client, queue_id, f"{name}-{number}")
            await asyncio.sleep(0.02)
            await complete(client, f"{name}-{number}", f"{name}-a", outcome)
        learned = await agent_of(client, f"{name}-a")
    first, second = learned.estimates
    assert (first.queue_id, first.handled, first.rated, first.outcome) == (name, 2, 2, 0.5)
    assert first.handle_time_ms >= 20
    assert (second.queue_id, second.handled, second.rated) == (f"{name}-other", 1, 0)
    assert not second.HasField("outcome")
    assert 0 < learned.occupancy < 0.01
    served.kill()
    async with Client(serve(*flags).address) as client:
        again = await agent_of(client, f"{name}-a")
        assert again.estimates == learned.estimates
        reset = ResetEstimatesRequest(agent_id=f"{name}-a", queue_id=name)
        left = await client.call(client.agents.ResetEstimates, reset)
        assert list(left.agent.estimates) == [second]
        answer = await refused(
            client.call(client.agents.ResetEstimates, ResetEstimatesRequest(agent_id="nobody"))
        )
        assert (answer.code, answer.reason) == ("NOT_FOUND", "UNKNOWN_AGENT")


async def test_outcome_out_of_range_is_refused_and_nothing_ends(client: Client, name: str) -> None:
    """The contact is still the agent's."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    await assign(client, name, f"{name}-c")
    answer = await refused(complete(client, f"{name}-c", f"{name}-a", 1.01))
    assert (answer.code, list(answer.fields)) == ("INVALID_ARGUMENT", ["outcome"])
    assert list((await agent_of(client, f"{name}-a")).contact_ids) == [f"{name}-c"]


async def test_ceiling_of_occupancy_is_kept_and_told(client: Client, name: str) -> None:
    """Defined and read back; what cannot be is refused by field."""
    await open_queue(client, name)
    agent = await sign_in(client, f"{name}-a", name, occupancy_max=0.85, rest_ms=30_000)
    assert (agent.occupancy_max, agent.rest_ms, agent.rests_until_ms) == (0.85, 30_000, 0)
    answer = await refused(sign_in(client, f"{name}-b", name, occupancy_max=1.01))
    assert list(answer.fields) == ["agent.occupancy_max"]
    answer = await refused(sign_in(client, f"{name}-b", name, rest_ms=1))
    assert list(answer.fields) == ["agent.rest_ms"]
