"""Policies that offer choices: what is laid over contacts, what is answered, what is counted."""

import pytest

from engine.choices import (
    AcceptChoice,
    DiversionOutcome,
    OptionKind,
    RefuseChoice,
    ReportDiversionOutcome,
    ReturnContact,
)
from engine.commands import (
    AcceptOffer,
    Expire,
    Requirements,
    SetPresence,
    SkillRequirement,
    UpsertAgent,
)
from engine.definitions import AgentSkill
from engine.effects import EffectKind
from engine.lifecycle import Channel, ContactState, Presence
from engine.policies import PolicyStage
from engine.refusals import CommandRefused, Refusal
from engine.steering import ActivationCause, Counted, Order, Shift, Steer, Subject
from tests.acting.desk_played import DeskPlayed
from tests.deciding.deciding_played import a_policy

A = Subject("surge", 1, "a")
OPTIONS = "{wait: {}}, {callback: {within: 1h}}, {other_channel: {channel: chat, queue: b}}"
WAIT, CALLBACK, CHAT = 1, 2, 3


def offering(options: str = OPTIONS, more: str = "", name: str = "surge") -> str:
    """Text of a policy that offers a choice."""
    offer = f"options: [{options}], answer_within: 20s, return_within: 30m{more}"
    return a_policy(name=name, actions=f"[{{offer_choice: {{{offer}}}}}]", kind="DiversionPolicy")


@pytest.fixture
def played() -> DeskPlayed:
    """A policy that is on for queue a, and contact `c` that has been offered a choice."""
    found = DeskPlayed()
    found.use(offering())
    found.on(A)
    found.route("c")
    return found


def test_contact_is_offered_a_choice_and_keeps_its_place(played: DeskPlayed) -> None:
    outcome = played.route("next")
    assert (outcome.state, outcome.position) == (ContactState.QUEUED, 2)
    assert outcome.choice is not None
    choice, until_ms = outcome.choice
    assert (choice.policy, choice.version, choice.activation) == ("surge", 1, "a1")
    assert [item.kind for item in choice.options] == [
        OptionKind.WAIT, OptionKind.CALLBACK, OptionKind.OTHER_CHANNEL
    ]  # fmt: skip
    assert choice.options[0].announces_wait
    assert choice.options[1].within_ms == 3_600_000
    assert (choice.options[2].queue_id, choice.options[2].channel) == ("b", Channel.CHAT)
    assert until_ms == played.now_ms + 20_000
    assert played.counts() == {Counted.ELIGIBLE: 2, Counted.OFFERED: 2}


@pytest.mark.parametrize(
    ("option", "counted"),
    [
        (WAIT, Counted.ACCEPTED_WAIT),
        (CALLBACK, Counted.ACCEPTED_CALLBACK),
        (CHAT, Counted.ACCEPTED_CHANNEL),
    ],
)
def test_what_is_accepted_is_counted(option: int, counted: Counted, played: DeskPlayed) -> None:
    played.do(AcceptChoice("c", option))
    assert played.counts()[counted] == 1


@pytest.mark.parametrize("outcome", [DiversionOutcome.CONTAINED, DiversionOutcome.UNREACHED])
def test_what_became_of_it_is_counted(outcome: DiversionOutcome, played: DeskPlayed) -> None:
    played.do(AcceptChoice("c", CHAT))
    played.do(ReportDiversionOutcome("c", outcome))
    assert played.counts()[Counted[outcome.name]] == 1


def test_who_comes_back_is_counted_and_left_alone(played: DeskPlayed) -> None:
    played.now_ms += 5_000
    played.do(AcceptChoice("c", CHAT))
    played.now_ms += 60_000
    played.do(ReturnContact("c"))
    played.do(Steer((), (Order(A, 1.0),)))
    played.look()
    found = played.contact("c")
    assert (found.choice, found.routing_age_ms) == (None, 5_000)
    assert played.counts()[Counted.RETURNED] == 1
    assert played.counts()[Counted.OFFERED] == 1


def test_refusal_and_silence_are_counted_and_not_asked_again(played: DeskPlayed) -> None:
    played.route("silent")
    played.do(RefuseChoice("c"))
    played.now_ms += 20_000
    played.do(Expire())
    played.do(Steer((), (Order(A, 1.0),)))
    played.look()
    counts = played.counts()
    assert (counts[Counted.REFUSED], counts[Counted.UNANSWERED]) == (1, 1)
    assert counts[Counted.OFFERED] == 2
    assert played.contact("c").choice is None


def test_choice_lapses_with_an_agent(played: DeskPlayed) -> None:
    played.agent("agent", "a")
    played.do(AcceptOffer(played.contact("c").offer_id, "agent"))
    assert played.counts()[Counted.LAPSED] == 1
    with pytest.raises(CommandRefused) as refused:
        played.do(AcceptChoice("c", WAIT))
    assert refused.value.reason is Refusal.NO_OPEN_CHOICE


def test_forced_option_is_taken_at_once(played: DeskPlayed) -> None:
    played.use(offering("{self_service: {queue: b}}", ", forced: true"))
    played.do(Steer((), (Order(A, 1.0),)))
    outcome = played.route("forced")
    assert outcome.state == ContactState.DIVERTED
    assert played.counts()[Counted.ACCEPTED_SELF_SERVICE] == 1


def test_two_policies_do_not_offer_at_a_time(played: DeskPlayed) -> None:
    played.use(offering(), offering("{other_queue: {queue: b}}", name="second"))
    played.do(Steer((), (Order(A, 1.0),)))
    played.on(Subject("second", 1, "a"))
    assert played.contact("c").choice is not None
    assert Counted.OFFERED not in played.counts(2)


def test_shadow_would_have_offered(played: DeskPlayed) -> None:
    other = Subject("other", 1, "a")
    played.use(offering(name="other"), stage=PolicyStage.SHADOW)
    played.on(other, stage=PolicyStage.SHADOW)
    played.route("plain")
    assert played.contact("plain").choice is None
    assert played.counts(2)[Counted.OFFERED] == 1


def french_floor(*texts: str) -> DeskPlayed:
    """A contact that asks for more French than bob has, who takes what he is given."""
    played = DeskPlayed()
    for name, level in (("ana", 5), ("bob", 1)):
        played.do(
            UpsertAgent(
                name, queue_ids=("a",), skills=(AgentSkill("french", level),), auto_accept=True
            )
        )
    played.do(SetPresence("bob", Presence.AVAILABLE))
    played.use(*texts)
    french = Requirements((SkillRequirement("french", 3),))
    played.route("c", requirements=french)
    return played


LOWERING = a_policy(
    name="lower", actions="[{lower_requirement: {skill: french, proficiency_min: 0}}]"
)


@pytest.mark.parametrize("option", [CALLBACK, CHAT])
def test_contact_that_another_policy_had_assigned_has_no_choice(option: int) -> None:
    """Its customer's answer comes too late, and takes it from nobody."""
    played = french_floor(offering(), LOWERING)
    played.on(A)
    assert played.contact("c").choice is not None
    lower = Subject("lower", 1, "a")
    shift = Shift(lower, PolicyStage.ACTIVE, is_on=True, cause=ActivationCause.ENTER)
    played.do(Steer((shift,), (Order(A, 1.0), Order(lower, 1.0))))
    with pytest.raises(CommandRefused) as refused:
        # Contacts are looked at with the next command, which is this one.
        played.do(AcceptChoice("c", option))
    assert refused.value.reason is Refusal.NO_OPEN_CHOICE
    found = played.contact("c")
    assert (found.state, found.choice) == (ContactState.ASSIGNED, None)
    played.do(Expire())
    kinds = [item.kind for item in played.told]
    assert EffectKind.CHOICE_LAPSED in kinds
    assert EffectKind.CHOICE_ACCEPTED not in kinds


def test_contact_that_a_policy_had_assigned_is_moved_by_none() -> None:
    moving = a_policy(name="move", actions="[{overflow: {queue: b}}]", kind="OverflowPolicy")
    played = french_floor(LOWERING, moving)
    lower, move = Subject("lower", 1, "a"), Subject("move", 1, "a")
    shifts = tuple(
        Shift(item, PolicyStage.ACTIVE, is_on=True, cause=ActivationCause.ENTER)
        for item in (lower, move)
    )
    played.do(Steer(shifts, (Order(lower, 1.0), Order(move, 1.0))))
    played.look()
    assert played.queue_of("c") == "a"
    assert played.contact("c").state is ContactState.ASSIGNED
