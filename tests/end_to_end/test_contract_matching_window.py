"""Matching windows over a real channel: who waits for one, what ends it, and what is told of it."""

import pytest

from headgate.client import Client
from headgate.v1.agent_pb2 import AgentSkill
from headgate.v1.contact_pb2 import ContactState, Requirements, SkillPreference, SkillRequirement
from headgate.v1.decision_service_pb2 import (
    DecisionKind,
    ExplainRequest,
    ListDecisionsRequest,
)
from headgate.v1.queue_pb2 import Queue, Strategy
from headgate.v1.queue_service_pb2 import GetQueueRequest
from tests.end_to_end.floor import (
    contact_of,
    open_queue,
    refused,
    route,
    sign_in,
    snapshot_of,
    until,
)

WINDOW_MS = 300


def skills(**levels: int) -> list[AgentSkill]:
    """Skills of an agent."""
    return [AgentSkill(skill=skill, proficiency=level) for skill, level in levels.items()]


async def agents_of(client: Client, *contact_ids: str) -> list[str]:
    """Agents that contacts are offered to, as soon as all of them are."""

    async def found() -> list[str]:
        contacts = [await contact_of(client, contact_id) for contact_id in contact_ids]
        agent_ids = [contact.agent_id for contact in contacts]
        return agent_ids if all(agent_ids) else []

    return await until(found)


async def two_and_two(client: Client, name: str, window_ms: int) -> Queue:
    """A queue with Ann, who can do everything, and Bob, who can do something."""
    queue = await open_queue(
        client, name, strategy=Strategy.STRATEGY_BEST_SCORE, matching_window_ms=window_ms
    )
    await sign_in(client, f"{name}-ann", name, skills=skills(french=5, cards=2))
    await sign_in(client, f"{name}-bob", name, skills=skills(cards=1))
    return queue


async def test_window_gives_both_an_agent_where_greed_leaves_one_waiting(
    client: Client, name: str
) -> None:
    """The first would take the only agent who can help the second; so it is asked to wait."""
    assert (await two_and_two(client, name, WINDOW_MS)).matching_window_ms == WINDOW_MS
    prefers = Requirements(preferred_skills=[SkillPreference(skill="cards", weight=5)])
    needs = Requirements(skills=[SkillRequirement(skill="french", proficiency_min=3)])
    first = await route(client, name, f"{name}-1", requirements=prefers)
    second = await route(client, name, f"{name}-2", requirements=needs)
    queued = ContactState.CONTACT_STATE_QUEUED
    assert (first.state, second.state) == (queued, queued)
    assert (first.position, second.position) == (1, 2)
    expected = [f"{name}-bob", f"{name}-ann"]
    assert await agents_of(client, f"{name}-1", f"{name}-2") == expected
    found = await snapshot_of(client, name)
    assert (found.waiting, found.offered) == (0, 2)
    assert (found.window_batches_total, found.window_contacts_total) == (1, 2)
    assert (found.window_agents_total, found.window_matched_total) == (2, 2)


async def test_record_tells_that_a_window_chose_and_why_not_the_better_agent(
    client: Client, name: str
) -> None:
    """And, while the contact waits, that it does so for the window alone."""
    await two_and_two(client, name, 1_000)
    prefers = Requirements(preferred_skills=[SkillPreference(skill="cards", weight=5)])
    needs = Requirements(skills=[SkillRequirement(skill="french", proficiency_min=3)])
    await route(client, name, f"{name}-1", requirements=prefers)
    explained = await client.call(client.decisions.Explain, ExplainRequest(contact_id=f"{name}-1"))
    assert (
        "2 agents could be offered it when it came; it is offered when the queue's matching window "
        "ends."
    ) in explained.sentences
    await route(client, name, f"{name}-2", requirements=needs)
    await agents_of(client, f"{name}-1", f"{name}-2")
    listed = await client.call(
        client.decisions.ListDecisions, ListDecisionsRequest(contact_id=f"{name}-1")
    )
    made, held = listed.decisions
    assert held.agent_id == ""
    assert made.kind == DecisionKind.DECISION_KIND_WINDOW
    assert [score.agent_id for score in made.scores] == [f"{name}-bob", f"{name}-ann"]
    assert made.scores[1].total > made.scores[0].total
    explained = await client.call(
        client.decisions.Explain, ExplainRequest(contact_id=f"{name}-1", agent_id=f"{name}-ann")
    )
    told = " ".join(explained.sentences)
    assert f"{name}-bob was chosen when the queue's matching window ended" in told
    assert "the batch as a whole less" in told


async def test_contact_waits_no_longer_than_the_window(client: Client, name: str) -> None:
    """And not at all once the queue has none, nor in a queue that never had."""
    await open_queue(client, name, matching_window_ms=WINDOW_MS)
    await sign_in(client, f"{name}-a", name, auto_accept=True, capacity=10)
    await route(client, name, f"{name}-1")
    await agents_of(client, f"{name}-1")
    wait_ms = (await contact_of(client, f"{name}-1")).wait_ms
    assert WINDOW_MS <= wait_ms < WINDOW_MS + 1_000
    await open_queue(client, name, matching_window_ms=1_000)
    waiting = await route(client, name, f"{name}-2")
    assert waiting.state == ContactState.CONTACT_STATE_QUEUED
    await open_queue(client, name)
    assert await agents_of(client, f"{name}-2") == [f"{name}-a"]
    assert (await contact_of(client, f"{name}-2")).wait_ms < 1_000
    assert (await route(client, name)).agent_id == f"{name}-a"


async def test_full_queue_ends_its_window_instead_of_rejecting(client: Client, name: str) -> None:
    """Who waits for a window alone keeps nobody out."""
    await open_queue(client, name, matching_window_ms=1_000, max_length=1)
    await sign_in(client, f"{name}-a", name)
    await sign_in(client, f"{name}-b", name)
    await route(client, name, f"{name}-1")
    second = await route(client, name, f"{name}-2")
    assert second.state != ContactState.CONTACT_STATE_REJECTED
    await agents_of(client, f"{name}-1", f"{name}-2")


@pytest.mark.parametrize("window_ms", [-1, 1_001])
async def test_window_out_of_range_is_refused_by_field(
    client: Client, name: str, window_ms: int
) -> None:
    """With what was expected; and the queue stays as it was."""
    before = await open_queue(client, name, matching_window_ms=WINDOW_MS)
    answer = await refused(open_queue(client, name, matching_window_ms=window_ms))
    assert (answer.code, list(answer.fields)) == ("INVALID_ARGUMENT", ["queue.matching_window_ms"])
    assert answer.fields["queue.matching_window_ms"] == f"got {window_ms}, expected 0 to 1,000"
    read = await client.call(client.queues.GetQueue, GetQueueRequest(queue_id=name))
    assert read.queue == before
