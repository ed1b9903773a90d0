"""Choices over the wire: shown, answered, lapsed; diversions, their ends and the ways back."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from engine.commands import Command
from headgate.client import Client, CommandFailed
from headgate.v1.choice_service_pb2 import (
    AcceptChoiceRequest,
    RefuseChoiceRequest,
    ReportDiversionOutcomeRequest,
    ReturnContactRequest,
)
from headgate.v1.contact_pb2 import (
    Channel,
    Choice,
    ChoiceOption,
    ContactState,
    DiversionOutcome,
    OptionKind,
)
from headgate.v1.decision_service_pb2 import ExplainRequest
from headgate.v1.event_pb2 import EventKind
from headgate.v1.event_service_pb2 import SubscribeRequest
from headgate.v1.offer_service_pb2 import AcceptOfferRequest
from headgate.v1.routing_service_pb2 import CancelContactRequest, CancelReason
from tests.end_to_end.choosing import CALLBACK, TO_BOT, TO_CHAT, WAIT, asked, now_ms, written
from tests.end_to_end.conftest import Serve
from tests.end_to_end.floor import (
    contact_of,
    events_until,
    offer_to,
    refused,
    route,
    sign_in,
    snapshot_of,
    until,
)

QUEUED = ContactState.CONTACT_STATE_QUEUED
DIVERTED = ContactState.CONTACT_STATE_DIVERTED
COMPLETED = ContactState.CONTACT_STATE_COMPLETED
TEXT = "busy/3/act-7"

# Opens a server over a cell in which commands were applied.
Opened = Callable[[Sequence[Command]], Awaitable[Client]]


@pytest.fixture
async def opened(serve: Serve, tmp_path: Path) -> AsyncIterator[Opened]:
    """Start a server over a file in which customers have been asked."""
    clients: list[Client] = []

    async def opens(commands: Sequence[Command]) -> Client:
        folder = await written(tmp_path / "cells", commands)
        served = serve("--data-dir", str(folder))
        clients.append(Client(served.address))
        return clients[-1]

    yield opens
    for client in clients:
        await client.close()


async def _accept(client: Client, contact_id: str, option: int = 1) -> int:
    request = AcceptChoiceRequest(contact_id=contact_id, option=option)
    return (await client.call(client.choices.AcceptChoice, request)).route.state


async def test_choice_is_shown_until_it_is_refused(opened: Opened) -> None:
    """The gateway reads out what it may offer, and reports the answer; the place stays."""
    client = await opened(asked("c", WAIT, CALLBACK, TO_CHAT))
    contact = await contact_of(client, "c")
    assert contact.choice == Choice(
        options=[
            ChoiceOption(
                kind=OptionKind.OPTION_KIND_WAIT, announces_wait=True, estimated_wait_ms=120_000
            ),
            ChoiceOption(
                kind=OptionKind.OPTION_KIND_CALLBACK,
                channel=Channel.CHANNEL_CALLBACK,
                within_ms=600_000,
            ),
            ChoiceOption(
                kind=OptionKind.OPTION_KIND_OTHER_CHANNEL,
                queue_id="chat",
                channel=Channel.CHANNEL_CHAT,
            ),
        ],
        until_ms=contact.received_at_ms + 60_000,
        return_within_ms=60_000,
        policy="busy",
        version=3,
        activation="act-7",
    )
    again = await route(client, "sales", "c")
    assert (again.already_known, again.choice) == (True, contact.choice)
    told = await client.call(client.decisions.Explain, ExplainRequest(contact_id="c"))
    assert any("wait, callback, other channel" in sentence for sentence in told.sentences)

    request = RefuseChoiceRequest(contact_id="c", request_id="r")
    answers = [await client.call(client.choices.RefuseChoice, request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert (answers[0].route.state, answers[0].route.position) == (QUEUED, 1)
    assert not (await contact_of(client, "c")).HasField("choice")
    error = await refused(
        client.call(client.choices.RefuseChoice, RefuseChoiceRequest(contact_id="c"))
    )
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "NO_OPEN_CHOICE")


async def test_diverted_contact_comes_back_with_the_age_it_had(opened: Opened) -> None:
    """Whoever tries the chat in vain loses nothing, and overtakes nobody who waited meanwhile."""
    client = await opened([*asked("c", TO_CHAT), *asked("d", TO_CHAT)])
    assert await _accept(client, "c") == DIVERTED
    contact = await contact_of(client, "c")
    assert (contact.hops, contact.HasField("choice")) == (1, False)
    diversion = contact.diversion
    assert (diversion.queue_id, diversion.channel) == ("chat", Channel.CHANNEL_CHAT)
    assert diversion.until_ms == diversion.since_ms + 60_000
    assert (diversion.policy, diversion.version, diversion.activation) == ("busy", 3, "act-7")
    snapshot = await snapshot_of(client, "sales")
    assert (snapshot.diverted, snapshot.waiting) == (1, 1)
    told = await client.call(client.decisions.Explain, ExplainRequest(contact_id="c"))
    assert any("went on by chat in queue chat" in sentence for sentence in told.sentences)

    request = ReturnContactRequest(contact_id="c")
    back = (await client.call(client.choices.ReturnContact, request)).route
    assert (back.state, back.queue_id, back.position) == (QUEUED, "sales", 2)
    returned = await contact_of(client, "c")
    assert returned.routing_age_ms >= contact.routing_age_ms > 0
    assert (returned.channel, returned.HasField("diversion")) == (Channel.CHANNEL_VOICE, False)
    error = await refused(client.call(client.choices.ReturnContact, request))
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")


async def test_callback_keeps_its_place_and_may_be_taken_back(opened: Opened) -> None:
    """The customer hangs up, changes their mind, and is on the phone again."""
    client = await opened(asked("c", WAIT, CALLBACK))
    assert await _accept(client, "c", 2) == QUEUED
    contact = await contact_of(client, "c")
    assert contact.channel == Channel.CHANNEL_CALLBACK
    assert contact.expires_at_ms == contact.diversion.since_ms + 600_000
    await client.call(client.choices.ReturnContact, ReturnContactRequest(contact_id="c"))
    assert (await contact_of(client, "c")).channel == Channel.CHANNEL_VOICE


async def test_contact_on_the_other_channel_continues_the_diverted_one(opened: Opened) -> None:
    """The agent in the chat knows whom they talk to, and how long it has been."""
    client = await opened(asked("c", TO_CHAT))
    await _accept(client, "c")
    chat = Channel.CHANNEL_CHAT
    first = await contact_of(client, "c")
    there = {"channel": chat, "continues_contact_id": "c", "attributes": {"lang": "en"}}
    reply = await route(client, "", "next", **there)
    assert (reply.state, reply.queue_id) == (QUEUED, "chat")
    contact = await contact_of(client, "next")
    assert dict(contact.attributes) == {"name": "Ada", "lang": "en"}
    assert (contact.priority, contact.hops, contact.continues_contact_id) == (2, 1, "c")
    assert contact.routing_age_ms >= first.routing_age_ms
    ended = await contact_of(client, "c")
    assert ended.state == COMPLETED
    assert ended.diversion.outcome == DiversionOutcome.DIVERSION_OUTCOME_CONTINUED
    for contact_id, code in (("c", "FAILED_PRECONDITION"), ("nobody", "NOT_FOUND")):
        call = route(client, "", "other", channel=chat, continues_contact_id=contact_id)
        error = await refused(call)
        assert (error.code, list(error.fields)) == (code, ["continues_contact_id"])


async def test_what_became_of_a_diverted_contact_is_told_once(opened: Opened) -> None:
    """What a policy brings is counted from such reports."""
    client = await opened(asked("c", TO_BOT, back_ms=0))
    await _accept(client, "c")
    request = ReportDiversionOutcomeRequest(contact_id="c")
    error = await refused(client.call(client.choices.ReportDiversionOutcome, request))
    assert (error.code, list(error.fields)) == ("INVALID_ARGUMENT", ["outcome"])
    late = await refused(
        client.call(client.choices.ReturnContact, ReturnContactRequest(contact_id="c"))
    )
    assert (late.code, late.reason) == ("FAILED_PRECONDITION", "RETURN_WINDOW_OVER")
    request.outcome = DiversionOutcome.DIVERSION_OUTCOME_CONTAINED
    reply = await client.call(client.choices.ReportDiversionOutcome, request)
    assert reply.state == COMPLETED
    ended = await contact_of(client, "c")
    assert ended.diversion.outcome == DiversionOutcome.DIVERSION_OUTCOME_CONTAINED


async def test_agent_who_takes_the_contact_ends_its_choice(opened: Opened) -> None:
    """An agent is better than any other offer; who answers too late is told so."""
    client = await opened(asked("c", TO_CHAT))
    await sign_in(client, "ann", "sales")
    offer_id = await offer_to(client, "ann")
    assert (await contact_of(client, "c")).HasField("choice")
    accept = AcceptOfferRequest(offer_id=offer_id, agent_id="ann")
    await client.call(client.offers.AcceptOffer, accept)
    error = await refused(_accept(client, "c"))
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "NO_OPEN_CHOICE")


async def test_choice_accepted_while_it_rings_takes_the_offer_back(opened: Opened) -> None:
    """The customer has hung up: whoever it rings for must not pick up to nobody."""
    client = await opened(asked("c", TO_CHAT))
    await sign_in(client, "ann", "sales")
    offer_id = await offer_to(client, "ann")
    assert await _accept(client, "c") == DIVERTED
    accept = AcceptOfferRequest(offer_id=offer_id, agent_id="ann")
    error = await refused(client.call(client.offers.AcceptOffer, accept))
    assert error.reason == "OFFER_GONE"
    cancel = CancelContactRequest(contact_id="c", reason=CancelReason.CANCEL_REASON_WITHDRAWN)
    await client.call(client.routing.CancelContact, cancel)


async def test_events_tell_each_activation_what_it_brought(opened: Opened) -> None:
    """Whoever counts needs no more than the stream: offered, by option, and what became of it."""
    client = await opened(asked("c", WAIT, TO_CHAT))
    await _accept(client, "c", 2)
    request = ReportDiversionOutcomeRequest(
        contact_id="c", outcome=DiversionOutcome.DIVERSION_OUTCOME_UNREACHED
    )
    await client.call(client.choices.ReportDiversionOutcome, request)
    events = await events_until(client, SubscribeRequest(cursor="0"), "DIVERSION_ENDED")
    told = [
        (EventKind.Name(event.kind).removeprefix("EVENT_KIND_"), event.option, event.reason)
        for event in events
        if event.contact_id == "c"
    ]
    assert told[2:] == [
        ("CHOICE_OFFERED", 0, TEXT),
        ("CHOICE_ACCEPTED", 2, TEXT),
        ("CONTACT_DIVERTED", 2, TEXT),
        ("DIVERSION_ENDED", 0, TEXT),
    ]
    assert events[-1].diversion_outcome == DiversionOutcome.DIVERSION_OUTCOME_UNREACHED


async def test_session_answers_choices_too(opened: Opened) -> None:
    """A gateway of many lines does all it does over one stream."""
    client = await opened([*asked("c", TO_CHAT), *asked("d", WAIT)])
    accept = AcceptChoiceRequest(contact_id="c", option=1)
    report = ReportDiversionOutcomeRequest(
        contact_id="c", outcome=DiversionOutcome.DIVERSION_OUTCOME_UNRESOLVED
    )
    async with client.session() as session:
        assert (await session.ask(accept_choice=accept)).route.state == DIVERTED
        back = ReturnContactRequest(contact_id="c")
        assert (await session.ask(return_contact=back)).route.state == QUEUED
        refuse = RefuseChoiceRequest(contact_id="d")
        assert (await session.ask(refuse_choice=refuse)).route.state == QUEUED
        with pytest.raises(CommandFailed, match="diverted"):
            await session.ask(report_diversion_outcome=report)


async def test_choices_and_diversions_outlive_a_crash_with_their_deadlines(
    serve: Serve, tmp_path: Path
) -> None:
    """Nobody is forgotten in between: who was asked may answer, who is away may come back."""
    commands = [
        *asked("open", WAIT),
        *asked("soon", WAIT, answer_ms=1),
        *asked("away", TO_CHAT, back_ms=600_000),
        *asked("brief", TO_BOT, back_ms=4_000),
    ]
    folder = await written(tmp_path / "cells", commands)
    served = serve("--data-dir", str(folder))
    async with Client(served.address) as client:
        for contact_id in ("away", "brief"):
            assert await _accept(client, contact_id) == DIVERTED
        before = {item: await contact_of(client, item) for item in ("open", "away", "brief")}
        await until(lambda: _has_no_choice(client, "soon"))
    served.kill()
    served = serve("--data-dir", str(folder))
    async with Client(served.address) as client:
        for contact_id in ("open", "away"):
            contact = await contact_of(client, contact_id)
            assert contact.choice == before[contact_id].choice
            assert contact.diversion == before[contact_id].diversion
            assert (contact.state, contact.hops) == (
                before[contact_id].state,
                before[contact_id].hops,
            )
        await until(lambda: _has_ended(client, "brief"))
        brief = await contact_of(client, "brief")
        assert brief.diversion.outcome == DiversionOutcome.DIVERSION_OUTCOME_NOT_REPORTED
        assert brief.ended_at_ms >= before["brief"].diversion.until_ms
        assert brief.ended_at_ms <= now_ms()
        back = ReturnContactRequest(contact_id="away")
        assert (await client.call(client.choices.ReturnContact, back)).route.state == QUEUED
        assert await _accept(client, "open") == QUEUED


async def _has_no_choice(client: Client, contact_id: str) -> bool:
    return not (await contact_of(client, contact_id)).HasField("choice")


async def _has_ended(client: Client, contact_id: str) -> bool:
    return (await contact_of(client, contact_id)).state == COMPLETED
