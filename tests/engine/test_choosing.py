"""Choices and diversions where examples say more than walks: rules, limits, damage, many."""

from typing import Any

import pytest

from engine.choices import (
    ANSWER_MS_MAX,
    RETURN_MS_MAX,
    AcceptChoice,
    Choice,
    DiversionOutcome,
    OfferChoice,
    Option,
    OptionKind,
    RefuseChoice,
    ReportDiversionOutcome,
    ReturnContact,
)
from engine.commands import (
    AcceptOffer,
    Command,
    CompleteTransfer,
    Consult,
    Expire,
    Recover,
    Requirements,
    Route,
    SetIntake,
    SetPresence,
    SkillRequirement,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill
from engine.effects import EffectKind
from engine.engine import Engine
from engine.lifecycle import Channel, ContactState, Intake, Presence
from engine.limits import EFFECTS_PER_CALL, FORTNIGHT_MS, Limits
from engine.refusals import CommandRefused, Refusal
from engine.routing.validation import validate
from engine.state.contacts import said_in
from engine.state.rows import DamagedRow, RowDelta, RowTable

WAIT = Option(OptionKind.WAIT)
CALLBACK = Option(OptionKind.CALLBACK)
TO_CHAT = Option(OptionKind.OTHER_CHANNEL, "chat", Channel.CHAT)
TO_BOT = Option(OptionKind.SELF_SERVICE, "bot")
CHOICE = Choice("busy", 1, "act", (TO_CHAT,), 20_000, 60_000)
FORCED = CHOICE._replace(forced=True)
# What protobuf gives for a value newer than this engine.
BEYOND: Any = 9


def _floor(limits: Limits | None = None) -> Engine:
    """Queues sales and chat, and c1 which waits for sales."""
    engine = Engine(limits)
    for command in (UpsertQueue("sales"), UpsertQueue("chat"), Route("c1", "sales", Channel.VOICE)):
        engine.apply(command, 1_000)
    engine.take_group()
    return engine


def _rows(engine: Engine) -> list[RowDelta]:
    engine.cell.mark_all()
    return [delta for delta in engine.take_group().row_deltas if delta.record is not None]


def _refusal(engine: Engine, command: Command, at_ms: int) -> CommandRefused:
    with pytest.raises(CommandRefused) as caught:
        engine.apply(command, at_ms)
    return caught.value


def _offer(**changes: object) -> OfferChoice:
    return OfferChoice("c1", CHOICE._replace(**changes))  # type: ignore[arg-type]


def _with(**changes: object) -> OfferChoice:
    return _offer(options=(TO_CHAT._replace(**changes),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (OfferChoice("", CHOICE), "contact_id"),
        (_offer(policy=""), "choice.policy"),
        (_offer(policy="x" * 129), "choice.policy"),
        (_offer(version=0), "choice.version"),  # versions count from 1
        (_offer(activation="a\n"), "choice.activation"),
        (_offer(options=()), "choice.options"),
        (_offer(options=(WAIT, CALLBACK, TO_CHAT, TO_BOT)), "choice.options"),  # one too many
        (_offer(options=(WAIT, WAIT)), "choice.options"),
        (_offer(options=(WAIT, TO_CHAT), forced=True), "choice.options"),  # nobody is asked
        (_offer(answer_within_ms=0), "choice.answer_within_ms"),
        (_offer(answer_within_ms=ANSWER_MS_MAX + 1), "choice.answer_within_ms"),
        (_offer(return_within_ms=-1), "choice.return_within_ms"),
        (_offer(return_within_ms=RETURN_MS_MAX + 1), "choice.return_within_ms"),
        (_with(kind=BEYOND, channel=None), "choice.options[0].kind"),
        (_with(queue_id=""), "choice.options[0].queue_id"),  # to nowhere
        (_with(channel=None), "choice.options[0].channel"),
        (_with(channel=BEYOND), "choice.options[0].channel"),
        (_with(within_ms=1), "choice.options[0].within_ms"),  # not a callback
        (_with(estimated_wait_ms=-2), "choice.options[0].estimated_wait_ms"),
        (_offer(options=(WAIT._replace(queue_id="q"),)), "choice.options[0].queue_id"),
        (_offer(options=(TO_BOT._replace(queue_id=""),)), "choice.options[0].queue_id"),
        (_offer(options=(TO_BOT._replace(channel=Channel.CHAT),)), "choice.options[0].channel"),
        (_offer(options=(Option(OptionKind.OTHER_QUEUE),)), "choice.options[0].queue_id"),
        (
            _offer(options=(CALLBACK._replace(within_ms=FORTNIGHT_MS + 1),)),
            "choice.options[0].within_ms",
        ),
        (AcceptChoice("", 1), "contact_id"),
        (AcceptChoice("c1", 0), "option"),  # the first is 1
        (AcceptChoice("c1", 4), "option"),
        (RefuseChoice(""), "contact_id"),
        (ReturnContact(""), "contact_id"),
        (ReturnContact("c1", "q\n"), "queue_id"),
        (ReportDiversionOutcome("", DiversionOutcome.CONTAINED), "contact_id"),
        (ReportDiversionOutcome("c1", DiversionOutcome.CONTINUED), "outcome"),  # the engine's own
        (ReportDiversionOutcome("c1", BEYOND), "outcome"),
        (Route("c2", "q", Channel.CHAT, continues_contact_id="c\n"), "continues_contact_id"),
    ],
)
def test_command_that_breaks_one_rule_names_the_field(command: Command, field: str) -> None:
    """Whoever is refused learns what to correct."""
    with pytest.raises(CommandRefused) as caught:
        validate(command)
    assert caught.value.reason is Refusal.INVALID_FIELD
    assert [item.field for item in caught.value.violations] == [field]


def test_contact_that_never_met_a_policy_is_kept_as_before() -> None:
    """A million of them cost nothing more, and an older version's rows are read as they are."""
    engine = _floor()
    assert engine.cell.contacts.payloads[0] == b"[null,{}]"
    engine.apply(OfferChoice("c1", CHOICE), 2_000)
    engine.apply(RefuseChoice("c1"), 2_000)
    assert said_in(b"[null,{}]") == said_in(b"[null,{},[]]") == engine.cell.contacts.said(0)


def test_choice_that_leads_to_a_queue_nobody_knows_is_refused_whole() -> None:
    """The customer must not be offered what cannot be had."""
    engine = _floor()
    refused = _refusal(engine, _offer(options=(TO_CHAT, TO_BOT)), 2_000)
    assert refused.reason is Refusal.UNKNOWN_QUEUE
    assert refused.violations[0].field == "choice.options[1].queue_id"
    assert engine.take_group().effects == []


def test_consult_is_not_asked() -> None:
    """There an agent waits, not a customer."""
    engine = _floor()
    engine.apply(UpsertAgent("a1", queue_ids=("sales",)), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    engine.apply(AcceptOffer("o1.0", "a1"), 1_000)
    engine.apply(Consult("c1", "a1", "asked"), 1_000)
    refused = _refusal(engine, OfferChoice("asked", CHOICE), 2_000)
    assert refused.reason is Refusal.ILLEGAL_TRANSITION
    assert "it is a consult" in str(refused)


def test_hand_over_keeps_the_hops_of_the_contact() -> None:
    """A transfer is no way to be sent in circles."""
    engine = _floor()
    engine.apply(OfferChoice("c1", FORCED), 1_000)
    engine.apply(ReturnContact("c1"), 1_000)
    for agent_id in ("a1", "a2"):
        engine.apply(UpsertAgent(agent_id, queue_ids=("sales",)), 1_000)
        engine.apply(SetPresence(agent_id, Presence.AVAILABLE), 1_000)
    engine.apply(AcceptOffer("o1.0", "a1"), 1_000)
    engine.apply(Consult("c1", "a1", "asked"), 1_000)
    engine.apply(AcceptOffer("o2.1", "a2"), 1_000)
    engine.apply(CompleteTransfer("c1", "a1"), 1_000)
    assert engine.read.contact("c1", 1_000).hops == engine.cell.choices.hops(0) == 1


def test_answer_the_cell_has_no_room_for_changes_nothing() -> None:
    """The choice can still be answered when there is room, or otherwise now."""
    engine = _floor(Limits(classes_max=1))
    engine.apply(OfferChoice("c1", CHOICE._replace(options=(WAIT, CALLBACK))), 2_000)
    engine.take_group()
    etag = engine.read.contact("c1", 2_000).etag
    assert _refusal(engine, AcceptChoice("c1", 2), 2_000).reason is Refusal.LIMIT_REACHED
    assert engine.take_group().effects == []
    assert engine.read.contact("c1", 2_000).etag == etag
    assert engine.apply(AcceptChoice("c1", 1), 2_000).state == ContactState.QUEUED


def test_forced_choice_the_cell_has_no_room_for_is_not_told() -> None:
    """Reports would count an offer that nobody got."""
    engine = _floor(Limits(classes_max=1))
    forced = OfferChoice("c1", FORCED._replace(options=(CALLBACK,)))
    assert _refusal(engine, forced, 2_000).reason is Refusal.LIMIT_REACHED
    assert engine.take_group().effects == []


def test_rejected_contact_leaves_the_one_it_would_continue() -> None:
    """Who finds the chat closed may still come back to the phone."""
    engine = _floor()
    engine.apply(OfferChoice("c1", FORCED), 1_000)
    engine.apply(SetIntake("chat", Intake.CLOSED), 1_000)
    follow = Route("c2", "", Channel.CHAT, continues_contact_id="c1")
    assert engine.apply(follow, 2_000).state == ContactState.REJECTED
    assert engine.apply(ReturnContact("c1"), 2_000).state == ContactState.QUEUED


def test_contact_that_asks_for_what_nobody_has_leaves_the_one_it_would_continue() -> None:
    """What is refused changes nothing, on neither side."""
    engine = _floor()
    engine.apply(OfferChoice("c1", FORCED), 1_000)
    follow = Route(
        "c2",
        "",
        Channel.CHAT,
        requirements=Requirements((SkillRequirement("x"),)),
        continues_contact_id="c1",
    )
    assert _refusal(engine, follow, 2_000).reason is Refusal.UNKNOWN_SKILL
    assert engine.read.contact("c1", 2_000).state is ContactState.DIVERTED


def test_row_given_to_a_new_contact_knows_nothing_of_the_one_before() -> None:
    """Hops of a stranger would keep a customer from being asked."""
    engine = _floor(Limits(ended_max=0))
    engine.apply(OfferChoice("c1", FORCED), 1_000)
    engine.apply(ReportDiversionOutcome("c1", DiversionOutcome.CONTAINED), 1_000)
    engine.take_group()
    engine.apply(Route("c2", "sales", Channel.VOICE), 2_000)
    assert engine.cell.contacts.slots.row_of("c2") == 0
    assert engine.cell.choices.hops(0) == engine.read.contact("c2", 2_000).hops == 0


def test_many_that_are_due_at_once_are_ended_over_several_calls() -> None:
    """No call is long, and none is forgotten."""
    engine = _floor()
    count = EFFECTS_PER_CALL + 10
    for number in range(count):
        engine.apply(Route(f"d{number}", "sales", Channel.VOICE), 1_000)
        engine.apply(OfferChoice(f"d{number}", FORCED), 1_000)
    engine.take_group()
    ended = []
    while engine.next_deadline_ms() <= 61_000:
        engine.apply(Expire(), 61_000)
        effects = engine.take_group().effects
        ended.append(sum(effect[0] == EffectKind.DIVERSION_ENDED for effect in effects))
    assert ended == [EFFECTS_PER_CALL, 10]


def test_silence_while_the_engine_was_down_is_no_answer_afterwards() -> None:
    """Recovery itself closes nothing; the first moment after it does."""
    engine = _floor()
    engine.apply(OfferChoice("c1", CHOICE), 1_000)
    again = Engine()
    again.load(_rows(engine))
    again.apply(Recover(), 90_000)
    assert again.take_group().effects == []
    assert again.next_deadline_ms() <= 90_000
    again.apply(Expire(), 90_000)
    assert [effect[0] for effect in again.take_group().effects] == [EffectKind.CHOICE_UNANSWERED]


def test_diverted_row_that_does_not_say_where_to_is_damaged() -> None:
    """Better not to start than to end contacts for reasons nobody can name."""
    engine = _floor()
    engine.apply(OfferChoice("c1", FORCED), 1_000)
    rows = [
        row._replace(payload=b"[null,{}]") if row.table is RowTable.CONTACT else row
        for row in _rows(engine)
    ]
    with pytest.raises(DamagedRow, match=r"contact 'c1', row 0: diverted to nowhere"):
        Engine().load(rows)


def test_contact_that_asks_for_a_skill_goes_on_asking_for_it_after_its_return() -> None:
    """The way back leads to the same agents."""
    engine = _floor()
    engine.apply(UpsertAgent("a1", queue_ids=("sales",), skills=(AgentSkill("s", 3),)), 1_000)
    asked = Requirements((SkillRequirement("s", 2),))
    engine.apply(Route("c2", "sales", Channel.VOICE, requirements=asked), 1_000)
    engine.apply(OfferChoice("c2", FORCED._replace(options=(CALLBACK,))), 1_000)
    engine.apply(ReturnContact("c2"), 2_000)
    assert engine.read.contact("c2", 2_000).requirements == asked
