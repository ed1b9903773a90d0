"""Who comes next: order holds for contacts that come back just as for those that waited."""

from engine.commands import (
    AcceptOffer,
    CompleteAssignment,
    Expire,
    RelaxationStep,
    RequeueContact,
    Requirements,
    Route,
    SetIntake,
    SetPresence,
    SkillRequirement,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill
from engine.engine import Engine
from engine.lifecycle import Channel, ContactState, Intake, Presence


def _floor(*agents: UpsertAgent) -> Engine:
    """One queue and its agents, all available."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    for agent in agents:
        engine.apply(agent, 1_000)
        engine.apply(SetPresence(agent.agent_id, Presence.AVAILABLE), 1_000)
    return engine


def test_requeue_with_lower_priority_lets_others_go_first() -> None:
    """A supervisor who puts a ringing contact last means it: the agent gets the next in order."""
    engine = _floor(UpsertAgent("a1", queue_ids=("q1",)))
    engine.apply(Route("c1", "q1", Channel.VOICE), 1_000)
    engine.apply(Route("c2", "q1", Channel.VOICE), 1_000)
    engine.apply(RequeueContact("c1", priority=-1_000), 1_000)
    assert engine.read.contact("c2", 1_000).state is ContactState.OFFERED
    assert engine.read.contact("c1", 1_000).state is ContactState.QUEUED


def test_agent_who_leaves_gives_contacts_back_in_order() -> None:
    """Of the contacts an agent leaves behind, the oldest gets the free colleague."""
    engine = _floor(
        UpsertAgent("a1", queue_ids=("q1",), capacity=3),
        UpsertAgent("a2", queue_ids=("q1",)),
    )
    engine.apply(SetPresence("a2", Presence.BUSY), 1_000)
    for number in (1, 2, 3):
        engine.apply(Route(f"c{number}", "q1", Channel.CHAT), 1_000 + number)
    engine.apply(RequeueContact("c2"), 2_000)
    engine.apply(SetPresence("a1", Presence.BUSY), 2_000)
    engine.apply(SetPresence("a2", Presence.AVAILABLE), 2_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 2_000)
    engine.apply(UpsertAgent("a2", queue_ids=("q1",), capacity=2), 2_000)
    # a1 holds c2 and c3, a2 holds c1 and has room for one.
    assert engine.read.contact("c1", 2_000).agent_row == 1

    engine.apply(SetPresence("a1", Presence.AWAY), 3_000)
    assert engine.read.contact("c2", 3_000).agent_row == 1
    assert engine.read.contact("c3", 3_000).state is ContactState.QUEUED


def test_queue_opened_again_offers_by_its_strategy() -> None:
    """A pause must not turn longest-idle into lowest row."""
    engine = _floor(UpsertAgent("a1", queue_ids=("q1",)), UpsertAgent("a2", queue_ids=("q1",)))
    engine.apply(SetPresence("a1", Presence.AWAY), 5_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 6_000)
    engine.apply(SetIntake("q1", Intake.PAUSED), 60_000)
    engine.apply(Route("c1", "q1", Channel.VOICE), 60_000)
    engine.apply(SetIntake("q1", Intake.OPEN), 120_000)
    # a2 has been available since 1,000, a1 since 6,000.
    assert engine.read.contact("c1", 120_000).agent_row == 1


def test_offers_do_not_depend_on_how_commands_are_grouped() -> None:
    """The commit loop groups as it can; the same commands must give the same offers."""
    held = 3_000

    def run(group_every_command: bool) -> list[tuple[int | str, ...]]:
        engine = _floor(
            UpsertAgent("a1", queue_ids=("q1",), capacity=held),
            UpsertAgent("a2", queue_ids=("q1",), capacity=held // 2),
        )
        engine.apply(SetPresence("a2", Presence.AWAY), 1_000)
        effects = []
        for number in range(held):
            engine.apply(Route(f"c{number}", "q1", Channel.CHAT), 1_000 + number)
            if group_every_command:
                effects += engine.take_group().effects
        engine.apply(SetPresence("a2", Presence.AVAILABLE), 10_000)
        engine.apply(SetPresence("a1", Presence.AWAY), 10_000)
        for _ in range(20):
            engine.apply(Expire(), 10_000)
        return effects + engine.take_group().effects

    assert run(group_every_command=True) == run(group_every_command=False)


def test_agent_not_eligible_for_a_queue_of_higher_priority_takes_from_a_lower_one() -> None:
    """
    A weighty queue whose contact the agent may not take yet must not keep the agent idle beside a
    contact it may take; once it may, that one goes first.
    """
    engine = _floor(UpsertAgent("a1", queue_ids=("q1",)))
    engine.apply(UpsertQueue("weighty", priority=5), 1_000)
    second_best = UpsertAgent("a2", queue_ids=("q1", "weighty"), skills=(AgentSkill("level", 1),))
    best = UpsertAgent("a3", skills=(AgentSkill("level", 5),))
    for command in (second_best, best, SetPresence("a1", Presence.AWAY)):
        engine.apply(command, 1_000)
    asked = Requirements((SkillRequirement("level", 5),))
    at_first = (RelaxationStep(10_000, Requirements((SkillRequirement("level", 1),))),)
    for number, at_ms in ((1, 1_000), (2, 1_001)):
        route = Route(f"w{number}", "weighty", Channel.VOICE, 0, asked, relaxation=at_first)
        engine.apply(route, at_ms)
        engine.apply(Route(f"c{number}", "q1", Channel.VOICE, routing_age_ms=60_000), at_ms)
    engine.apply(SetPresence("a2", Presence.AVAILABLE), 2_000)
    offered = engine.read.contact("c1", 2_000)
    assert offered.state is ContactState.OFFERED
    engine.apply(AcceptOffer(offered.offer_id, "a2"), 2_000)
    engine.apply(CompleteAssignment("c1", "a2"), 12_000)
    assert engine.read.contact("w1", 12_000).state is ContactState.OFFERED
    assert engine.read.contact("c2", 12_000).state is ContactState.QUEUED


def test_update_of_priority_moves_contact_within_its_queue() -> None:
    """Raised priority takes effect at once, on the place told and on who is offered next."""
    engine = _floor(UpsertAgent("a1", queue_ids=("q1",)))
    offer_id = engine.apply(Route("c1", "q1", Channel.VOICE), 1_000).offer_id
    engine.apply(AcceptOffer(offer_id, "a1"), 1_000)
    engine.apply(Route("c2", "q1", Channel.VOICE), 2_000)
    engine.apply(Route("c3", "q1", Channel.VOICE), 3_000)
    engine.apply(UpdateContact("c3", priority=1), 3_000)
    assert engine.apply(Route("c3", "q1", Channel.VOICE), 3_000).position == 1
    assert engine.apply(Route("c2", "q1", Channel.VOICE), 3_000).position == 2
