"""Decision records and explanations over a real channel, and in words on the command line."""

import subprocess
import sys

import pytest

from headgate.client import Client
from headgate.v1.agent_pb2 import AgentSkill, Presence
from headgate.v1.contact_pb2 import RelaxationStep, Requirements, SkillRequirement
from headgate.v1.decision_service_pb2 import (
    DecisionKind,
    ExplainRequest,
    ExplainResponse,
    GetDecisionRequest,
    ListDecisionsRequest,
    RefusalReason,
)
from headgate.v1.queue_pb2 import Strategy
from tests.end_to_end.floor import open_queue, refused, route, set_presence, sign_in
from tests.end_to_end.serving import Served

AWAY = Presence.PRESENCE_AWAY
ROUTED = DecisionKind.DECISION_KIND_ROUTED
LACKS_SKILL = RefusalReason.REFUSAL_REASON_LACKS_SKILL
NOT_AVAILABLE = RefusalReason.REFUSAL_REASON_NOT_AVAILABLE


async def explained(client: Client, contact_id: str, agent_id: str = "") -> ExplainResponse:
    """Ask why."""
    request = ExplainRequest(contact_id=contact_id, agent_id=agent_id)
    return await client.call(client.decisions.Explain, request)


async def test_reply_of_route_names_a_decision_that_tells_why(client: Client, name: str) -> None:
    """Who was chosen and who came second, by the terms of their scores, and who could not be."""
    await open_queue(client, name, strategy=Strategy.STRATEGY_LEAST_OCCUPIED)
    await sign_in(client, f"{name}-free", name, capacity=2)
    await sign_in(client, f"{name}-loaded", name, capacity=2)
    await sign_in(client, f"{name}-away", name)
    await set_presence(client, f"{name}-away", AWAY)
    first = await route(client, name, f"{name}-1")
    second = await route(client, name, f"{name}-2")
    assert first.agent_id != second.agent_id
    third = await route(client, name, f"{name}-3")
    request = GetDecisionRequest(decision_id=third.decision_id)
    decision = (await client.call(client.decisions.GetDecision, request)).decision
    assert (decision.kind, decision.contact_id, decision.agent_id) == (
        ROUTED, f"{name}-3", third.agent_id,
    )  # fmt: skip
    assert decision.offer_id == third.offer.offer_id
    assert decision.eligible == 2
    assert not decision.refused
    chosen, runner_up = decision.scores
    assert (chosen.agent_id, chosen.total, dict(chosen.terms)) == (
        third.agent_id, -0.5, {"load": -0.5},
    )  # fmt: skip
    assert runner_up.total == -0.5


async def test_decisions_are_listed_by_contact_queue_and_agent(client: Client, name: str) -> None:
    """In pages, the latest first."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name, capacity=5)
    ids = [(await route(client, name, f"{name}-{number}")).decision_id for number in range(5)]
    listed: list[str] = []
    request = ListDecisionsRequest(queue_id=name, agent_id=f"{name}-a", page_size=2)
    while True:
        page = await client.call(client.decisions.ListDecisions, request)
        listed += [decision.decision_id for decision in page.decisions]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert listed == ids[::-1]
    of_one = ListDecisionsRequest(contact_id=f"{name}-2")
    page = await client.call(client.decisions.ListDecisions, of_one)
    assert [decision.decision_id for decision in page.decisions] == [ids[2]]


@pytest.mark.parametrize(
    ("decision_id", "page_token", "found"),
    [
        ("dffffffff", None, ("NOT_FOUND", "UNKNOWN_DECISION", ["decision_id"])),
        ("", None, ("NOT_FOUND", "UNKNOWN_DECISION", ["decision_id"])),
        (None, "12", ("INVALID_ARGUMENT", "INVALID_FIELD", ["page_token"])),
    ],
)
async def test_ids_and_tokens_that_are_none_are_refused(
    client: Client,
    decision_id: str | None,
    page_token: str | None,
    found: tuple[str, str, list[str]],
) -> None:
    """By field, as everywhere."""
    if decision_id is None:
        request = ListDecisionsRequest(page_token=page_token or "")
        answer = await refused(client.call(client.decisions.ListDecisions, request))
    else:
        get = GetDecisionRequest(decision_id=decision_id)
        answer = await refused(client.call(client.decisions.GetDecision, get))
    assert (answer.code, answer.reason, list(answer.fields)) == found


async def test_contact_that_waits_is_told_why_and_what_changes_next(
    client: Client, name: str
) -> None:
    """By reasons as of now, and why not the agent who was asked about."""
    await open_queue(client, name)
    skill = f"{name}-french"
    await sign_in(client, f"{name}-some", name, skills=[AgentSkill(skill=skill, proficiency=1)])
    await sign_in(client, f"{name}-good", name, skills=[AgentSkill(skill=skill, proficiency=5)])
    await set_presence(client, f"{name}-good", AWAY)
    asked = Requirements(skills=[SkillRequirement(skill=skill, proficiency_min=4)])
    steps = [RelaxationStep(after_ms=60_000)]
    await route(client, name, f"{name}-c", requirements=asked, relaxation=steps)
    told = await explained(client, f"{name}-c", f"{name}-some")
    assert {item.reason: item.agents for item in told.refused} == {LACKS_SKILL: 1, NOT_AVAILABLE: 1}
    assert (told.eligible, list(told.agent_refused)) == (0, [LACKS_SKILL])
    assert told.decision.kind == ROUTED
    text = " ".join(told.sentences)
    assert f"Contact {name}-c is queued in queue {name}" in text
    assert "1 without a required skill at its level" in text
    assert "1 busy or away" in text
    assert "It asks for something else in " in text
    assert f"{name}-some cannot be offered it as of now" in text


async def test_agent_who_was_not_chosen_is_told_why_not(client: Client, name: str) -> None:
    """The runner-up is named as such."""
    await open_queue(client, name)
    await sign_in(client, f"{name}-a", name)
    await sign_in(client, f"{name}-b", name)
    chosen = (await route(client, name, f"{name}-c")).agent_id
    other = f"{name}-b" if chosen == f"{name}-a" else f"{name}-a"
    text = " ".join((await explained(client, f"{name}-c", other)).sentences)
    assert f"{chosen} was chosen when it came" in text
    assert f"{other} could be offered it as of now." in text
    assert f"At the decision {other} came second." in text


async def test_who_is_unknown_cannot_be_explained(client: Client, name: str) -> None:
    """Neither contact nor agent."""
    answer = await refused(explained(client, "nothing"))
    assert (answer.code, answer.reason) == ("NOT_FOUND", "UNKNOWN_CONTACT")
    await open_queue(client, name)
    await route(client, name, f"{name}-c")
    answer = await refused(explained(client, f"{name}-c", "nobody"))
    assert (answer.code, answer.reason) == ("NOT_FOUND", "UNKNOWN_AGENT")


async def test_command_prints_the_sentences(server: Served, client: Client, name: str) -> None:
    """`headgate explain`, for a contact, an agent, and neither."""
    await open_queue(client, name)
    await route(client, name, f"{name}-c")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "adapters.cli", "explain", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    done = run(f"{name}-c", "--address", server.address)
    assert (done.returncode, done.stderr) == (0, "")
    assert "No agent serves the queue." in done.stdout.splitlines()
    done = run("nothing", "--address", server.address)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("headgate: contact_id: got 'nothing'")
    done = run(f"{name}-c", "--address", "127.0.0.1:1")
    assert done.returncode == 3
    assert done.stderr.startswith("headgate: no answer from an engine at 127.0.0.1:1")
