"""Groups of agents opened to a queue: they serve it while the policy is on, and no longer."""

import pytest

from engine.commands import (
    AcceptOffer,
    CompleteAssignment,
    DeleteQueue,
    SetPresence,
    UpsertAgent,
    UpsertQueue,
)
from engine.effects import EffectKind
from engine.lifecycle import Presence
from engine.policies import OverridePolicy, PolicyKind, PolicyStage, PolicySwitch, PublishPolicy
from engine.refusals import CommandRefused, Refusal
from engine.steering import (
    ActivationCause,
    ApproveActivation,
    Counted,
    Order,
    Shift,
    Steer,
    Subject,
)
from tests.acting.desk_played import DeskPlayed
from tests.deciding.deciding_played import a_policy

A = Subject("surge", 1, "a")
OFF = Shift(A, PolicyStage.ACTIVE, is_on=False, cause=ActivationCause.EXIT)
OPENS = a_policy(actions="[{open_agents: {group: early}}]")


@pytest.fixture
def played() -> DeskPlayed:
    """Queues a and b; an agent of the group and one who is not, both of b alone."""
    found = DeskPlayed()
    found.use(OPENS)
    for agent_id, tags in (("early-1", ("early",)), ("late-1", ("late",))):
        found.do(UpsertAgent(agent_id, queue_ids=("b",), tags=tags))
        found.do(SetPresence(agent_id, Presence.AVAILABLE))
    return found


def test_agents_of_the_group_take_who_waits_and_who_comes(played: DeskPlayed) -> None:
    """The contact keeps its queue: whoever looks at the floor sees it where it is."""
    played.route("waits")
    played.route("waits-too")
    played.on(A)
    outcome = played.contact("waits")
    assert outcome.agent_row == played.engine.cell.agent_row("early-1")
    assert played.queue_of("waits") == "a"
    assert played.contact("waits-too").agent_row < 0
    offer = next(iter(played.engine.cell.contacts.offers(0)))[0]
    played.do(AcceptOffer(offer, "early-1"))
    played.do(CompleteAssignment("waits", "early-1"))
    assert played.contact("waits-too").agent_row == played.engine.cell.agent_row("early-1")
    assert played.counts() == {Counted.OPENED: 1}


def test_nobody_is_told_that_definitions_changed(played: DeskPlayed) -> None:
    """They have not: a supervisor's list of agents stays as it is."""
    before = len(played.told)
    played.on(A)
    told = {EffectKind(item.kind) for item in played.told[before:]}
    assert told == {EffectKind.ACTIVATION_BEGAN}
    definition = played.engine.read.agent("early-1").definition
    assert definition.queue_ids == ("b",)


def test_what_ends_closes_the_group_and_leaves_contacts_in_hand(played: DeskPlayed) -> None:
    played.on(A)
    offer = played.route("in-hand").offer_id
    played.do(AcceptOffer(offer, "early-1"))
    played.do(Steer((OFF,)))
    played.do(CompleteAssignment("in-hand", "early-1"))
    assert played.route("after").agent_id == ""
    assert played.route("own", "b").agent_id != ""


@pytest.mark.parametrize("what", [PolicySwitch.KILL, PolicySwitch.OFF])
def test_the_kill_switch_closes_it_at_once(what: PolicySwitch, played: DeskPlayed) -> None:
    played.do(PublishPolicy("surge", kind=PolicyKind.OVERFLOW_POLICY, text="of no meaning here"))
    played.on(A)
    until_ms = 0 if what is PolicySwitch.KILL else played.now_ms + 60_000
    played.do(OverridePolicy(what, "surge", "", until_ms))
    assert played.route("next").agent_id == ""


def test_a_version_that_is_withdrawn_closes_it_at_once(played: DeskPlayed) -> None:
    played.on(A)
    played.use(a_policy(name="other"))
    assert played.route("next").agent_id == ""


def test_agents_who_join_and_leave_the_group_meanwhile(played: DeskPlayed) -> None:
    """And one whose own definition names the queue stays when the group goes."""
    played.on(A)
    early = UpsertAgent("early-1", queue_ids=("b",))
    played.do(early)
    assert played.route("one").agent_id == ""
    played.do(UpsertAgent("late-1", queue_ids=("b",), tags=("early",)))
    assert played.contact("one").agent_row == played.engine.cell.agent_row("late-1")
    played.do(early._replace(queue_ids=("a", "b"), tags=("early",)))
    played.do(Steer((OFF,)))
    assert played.route("two").agent_id == "early-1"


def test_two_policies_may_open_the_same_agents(played: DeskPlayed) -> None:
    """Who is in two groups stays until both are closed."""
    played.do(UpsertAgent("early-1", queue_ids=("b",), tags=("early", "spare")))
    other = a_policy(name="other", actions="[{open_agents: {group: spare}}]")
    played.use(OPENS, other)
    played.on(A)
    both = Subject("other", 1, "a")
    enter = Shift(both, PolicyStage.ACTIVE, is_on=True, cause=ActivationCause.ENTER)
    played.do(Steer((enter,), (Order(A, 1.0), Order(both, 1.0))))
    played.do(Steer((OFF,), (Order(both, 1.0),)))
    assert played.route("one").agent_id == "early-1"


def test_shadow_and_advice_open_nothing_until_somebody_agrees(played: DeskPlayed) -> None:
    played.use(OPENS, stage=PolicyStage.SHADOW)
    played.on(A, stage=PolicyStage.SHADOW)
    assert played.route("shadow").agent_id == ""
    played.do(Steer((OFF,)))
    played.use(OPENS)
    played.on(A, asks=True)
    assert played.contact("shadow").agent_row < 0
    played.do(ApproveActivation(2, is_approved=True, author="ana"))
    played.next_second(Order(A, 1.0))
    assert played.contact("shadow").agent_row == played.engine.cell.agent_row("early-1")


def test_a_group_that_nobody_is_in_yet_is_opened_to_who_comes(played: DeskPlayed) -> None:
    played.use(a_policy(actions="[{open_agents: {group: none-yet}}]"))
    played.on(A)
    played.route("waits")
    played.do(UpsertAgent("late-1", queue_ids=("b",), tags=("none-yet",)))
    assert played.contact("waits").agent_row == played.engine.cell.agent_row("late-1")


def test_a_queue_is_deleted_though_agents_were_lent_to_it(played: DeskPlayed) -> None:
    """They do not name it; one that does keeps it."""
    played.on(A)
    played.do(DeleteQueue("a"))
    assert played.engine.cell.agents.lent == set()
    played.do(UpsertQueue("a"))
    played.do(UpsertAgent("own", queue_ids=("a",)))
    with pytest.raises(CommandRefused) as refused:
        played.do(DeleteQueue("a"))
    assert refused.value.reason is Refusal.QUEUE_HAS_AGENTS
