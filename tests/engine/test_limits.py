"""Limits: a cell refuses what would not fit, and only that."""

import pytest

from engine.commands import (
    CancelContact,
    DeleteAgent,
    DeleteQueue,
    Expire,
    RequeueContact,
    Requirements,
    Route,
    SetPresence,
    SkillRequirement,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill
from engine.engine import Engine
from engine.lifecycle import CancelReason, Channel, ContactState, Presence
from engine.limits import SKILLS_MAX, TAGS_MAX, Limits
from engine.refusals import BadConfiguration, CommandRefused, Refusal


def _refusal(engine: Engine, command: object) -> Refusal:
    with pytest.raises(CommandRefused) as refused:
        engine.apply(command, engine.now_ms())  # type: ignore[arg-type]
    return refused.value.reason


def test_skills_beyond_the_limit_are_refused_and_leave_nothing() -> None:
    """The columns have room for so many skills; a name that was refused must not take a place."""
    engine = Engine()
    half = SKILLS_MAX // 2
    for start in (0, half):
        skills = tuple(AgentSkill(f"s{number}", 1) for number in range(start, start + half))
        engine.apply(UpsertAgent(f"a{start}", skills=skills), 1_000)
    one_more = UpsertAgent("b", skills=(AgentSkill("one_more", 1),))
    assert _refusal(engine, one_more) is Refusal.LIMIT_REACHED
    assert _refusal(engine, one_more) is Refusal.LIMIT_REACHED
    assert engine.cell.agents.slots.row_of("b") < 0
    engine.apply(UpsertAgent("b", skills=(AgentSkill("s255", 5),)), 1_000)


def test_tags_beyond_the_limit_are_refused() -> None:
    """As for skills."""
    engine = Engine()
    for start in range(0, TAGS_MAX, 64):
        tags = tuple(f"t{number}" for number in range(start, start + 64))
        engine.apply(UpsertAgent(f"a{start}", tags=tags), 1_000)
    assert _refusal(engine, UpsertAgent("b", tags=("one_more",))) is Refusal.LIMIT_REACHED
    engine.apply(UpsertAgent("b", tags=("t0", "t4095")), 1_000)


def test_fallback_that_has_no_room_for_its_classes_is_refused_and_changes_nothing() -> None:
    """What waits must have somewhere to go, or nothing at all may change."""
    engine = Engine(Limits(classes_max=3))
    engine.apply(UpsertQueue("last"), 1_000)
    for queue_id in ("q", "p"):
        engine.apply(UpsertQueue(queue_id, max_wait_ms=1_000), 1_000)
    engine.apply(Route("c1", "q", Channel.VOICE), 1_000)
    engine.apply(Route("c2", "q", Channel.CHAT), 1_000)
    falls_back = UpsertQueue("q", fallback_queue_id="last", max_wait_ms=1_000)
    assert _refusal(engine, falls_back) is Refusal.LIMIT_REACHED
    assert engine.read.queue("q").definition.fallback_queue_id == ""
    engine.apply(CancelContact("c2", CancelReason.WITHDRAWN), 1_500)
    engine.apply(falls_back, 1_500)
    assert _refusal(engine, Route("c3", "q", Channel.EMAIL)) is Refusal.LIMIT_REACHED
    engine.apply(Expire(), 2_000)
    contact = engine.read.contact("c1", 2_000)
    assert engine.cell.queues.slots.ids[contact.queue_row] == "last"


def test_presence_reasons_are_free_text_without_end() -> None:
    """A desktop may send a new text each time; those nobody has any more make room."""
    engine = Engine()
    engine.apply(UpsertAgent("a1"), 1_000)
    engine.apply(UpsertAgent("a2"), 1_000)
    engine.apply(SetPresence("a2", Presence.AWAY, "kept"), 1_000)
    for number in range(3_000):
        engine.apply(SetPresence("a1", Presence.AWAY, f"meeting {number}"), 1_000)
        if number % 1_000 == 999:
            last = engine.take_group().effects[-1]
            assert last[9] == f"meeting {number}"
    assert engine.read.agent("a1").presence_reason == "meeting 2999"
    assert engine.read.agent("a2").presence_reason == "kept"
    assert len(engine.cell.agents.reasons) < 2_500


def test_skills_and_tags_nobody_holds_make_room_for_others() -> None:
    """The limit is on what is in use: a centre that renames its skills must not run into it."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    for number in range(3 * SKILLS_MAX):
        skills = (AgentSkill(f"s{number}", 3), AgentSkill(f"not held {number}", 0))
        engine.apply(UpsertAgent("a1", queue_ids=("q1",), skills=skills), 1_000)
    last = f"s{3 * SKILLS_MAX - 1}"
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    asked = Requirements((SkillRequirement(last, 3),))
    outcome = engine.apply(Route("c1", "q1", Channel.VOICE, requirements=asked), 1_000)
    assert outcome.agent_id == "a1"


def test_skills_that_contacts_wait_for_keep_their_place() -> None:
    """A contact must not find that the skill it asks for has become another one."""
    engine = Engine()
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(UpsertAgent("a1", queue_ids=("q1",), skills=(AgentSkill("rare", 5),)), 1_000)
    asked = Requirements((SkillRequirement("rare", 5),))
    engine.apply(Route("c1", "q1", Channel.VOICE, requirements=asked), 1_000)
    for number in range(2 * SKILLS_MAX):
        skills = (AgentSkill(f"s{number}", 5),)
        engine.apply(UpsertAgent("a1", queue_ids=("q1",), skills=skills), 1_000)
        engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    assert engine.read.contact("c1", 1_000).state is ContactState.QUEUED
    engine.apply(UpsertAgent("a1", queue_ids=("q1",), skills=(AgentSkill("rare", 5),)), 1_000)
    assert engine.read.contact("c1", 1_000).state is ContactState.OFFERED


def test_small_limits_hold_from_the_first_row() -> None:
    """A limit below what is allocated at first is a limit all the same."""
    engine = Engine(Limits(contacts_max=2, agents_max=1, queues_max=1, ended_max=2))
    engine.apply(UpsertQueue("q1"), 1_000)
    assert _refusal(engine, UpsertQueue("q2")) is Refusal.LIMIT_REACHED
    engine.apply(UpsertAgent("a1"), 1_000)
    assert _refusal(engine, UpsertAgent("a2")) is Refusal.LIMIT_REACHED
    engine.apply(Route("c1", "q1", Channel.VOICE), 1_000)
    engine.apply(Route("c2", "q1", Channel.VOICE), 1_000)
    assert _refusal(engine, Route("c3", "q1", Channel.VOICE)) is Refusal.LIMIT_REACHED
    # What is there already can still be written.
    engine.apply(UpsertQueue("q1", max_length=5), 1_000)
    engine.apply(UpsertAgent("a1", capacity=2), 1_000)
    assert engine.apply(Route("c1", "q1", Channel.VOICE), 1_000).already_known


def test_deleted_agent_makes_room_once_the_group_is_sealed() -> None:
    """Until then its row still has a name in effects that were not handed over."""
    engine = Engine(Limits(agents_max=1))
    engine.apply(UpsertAgent("a1"), 1_000)
    engine.apply(DeleteAgent("a1"), 1_000)
    assert _refusal(engine, UpsertAgent("a2")) is Refusal.LIMIT_REACHED
    engine.take_group()
    engine.apply(UpsertAgent("a2"), 1_000)


def test_classes_without_contacts_are_swept_when_rows_run_out() -> None:
    """Classes are kept for the next contact alike, but never at the cost of a different one."""
    engine = Engine(Limits(contacts_max=10, classes_max=3, ended_max=0))
    engine.apply(UpsertQueue("q1"), 1_000)
    skills = tuple(AgentSkill(f"s{number}", 1) for number in range(50))
    engine.apply(UpsertAgent("a1", skills=skills), 1_000)
    engine.apply(Route("stays", "q1", Channel.VOICE), 1_000)
    for number in range(50):
        asked = Requirements((SkillRequirement(f"s{number}"),))
        contact_id = f"c{number}"
        engine.apply(Route(contact_id, "q1", Channel.VOICE, requirements=asked), 1_000)
        engine.apply(CancelContact(contact_id, CancelReason.WITHDRAWN), 1_000)
        engine.take_group()
    assert engine.read.contact("stays", 1_000).state is ContactState.QUEUED
    assert engine.apply(Route("stays", "q1", Channel.VOICE), 1_000).position == 1


def test_requirements_of_deleted_queues_are_swept_when_rows_run_out() -> None:
    """Requirements have rows of their own, which classes that went with a queue leave behind."""
    engine = Engine(Limits(contacts_max=10, classes_max=3, ended_max=0))
    skills = tuple(AgentSkill(f"s{number}", 1) for number in range(20))
    engine.apply(UpsertAgent("a1", skills=skills), 1_000)
    for number in range(20):
        asked = Requirements((SkillRequirement(f"s{number}"),))
        engine.apply(UpsertQueue("q1"), 1_000)
        engine.apply(Route("c1", "q1", Channel.VOICE, requirements=asked), 1_000)
        engine.apply(CancelContact("c1", CancelReason.WITHDRAWN), 1_000)
        engine.take_group()
        engine.apply(DeleteQueue("q1"), 1_000)
        engine.take_group()


def test_class_limit_counts_classes_of_open_contacts_wherever_they_are() -> None:
    """An assigned contact may come back to its class, so its place is not given away."""
    engine = Engine(Limits(contacts_max=10, classes_max=1, ended_max=0))
    engine.apply(UpsertQueue("q1"), 1_000)
    engine.apply(UpsertAgent("a1", queue_ids=("q1",)), 1_000)
    engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    assert engine.apply(Route("c1", "q1", Channel.VOICE), 1_000).state == ContactState.OFFERED
    assert _refusal(engine, Route("c2", "q1", Channel.CHAT)) is Refusal.LIMIT_REACHED
    assert _refusal(engine, RequeueContact("c1", priority=1)) is Refusal.LIMIT_REACHED
    engine.apply(Route("c2", "q1", Channel.VOICE), 1_000)


def test_ended_contacts_beyond_the_limit_are_forgotten_oldest_first() -> None:
    """Reading what has ended is a service within bounds; the latest are asked for most."""
    engine = Engine(Limits(contacts_max=10, ended_max=2, ended_retention_ms=5_000))
    engine.apply(UpsertQueue("q1"), 1_000)
    for number in range(4):
        engine.apply(Route(f"c{number}", "q1", Channel.VOICE), 1_000 + number)
        engine.apply(CancelContact(f"c{number}", CancelReason.WITHDRAWN), 1_000 + number)
        engine.take_group()
    kept = [number for number in range(4) if engine.cell.contacts.slots.row_of(f"c{number}") >= 0]
    assert kept == [2, 3]
    engine.apply(Expire(), 6_002)
    engine.take_group()
    assert engine.cell.contacts.slots.row_of("c2") < 0
    assert engine.cell.contacts.slots.row_of("c3") >= 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("contacts_max", 0),  # a cell without contacts
        ("contacts_max", 2_000_001),  # beyond what was measured
        ("agents_max", 0),  # a cell without agents
        ("queues_max", 20_001),  # beyond what was measured
        ("classes_max", -1),  # negative
        ("ended_max", 11),  # more ended contacts than contacts
        ("ended_retention_ms", 86_400_001),  # longer than a day
        ("ended_retention_ms", float("nan")),  # not a number
    ],
)
def test_limits_out_of_range_are_refused_at_load(field: str, value: int) -> None:
    """A mistake in the configuration stops the start, not the first contact that meets it."""
    sizes: dict[str, int] = {"contacts_max": 10, "ended_max": 10} | {field: value}
    with pytest.raises(BadConfiguration, match=rf"limits\.{field}: expected .+, got "):
        Limits(**sizes)
