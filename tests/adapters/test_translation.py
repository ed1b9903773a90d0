"""From the wire to the engine: the same words on both sides, defaults, and the way back."""

from enum import IntEnum
from typing import Any

import pytest
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import CallRefused
from adapters.messages import agent_message, queue_message
from adapters.translation import (
    agent_command,
    known_members,
    member,
    queue_command,
    requeue_command,
    requirements_of,
    route_command,
    update_command,
)
from engine import commands as engine_commands
from engine.commands import (
    Requirements,
    Route,
    SetIntake,
    SetPresence,
    SkillPreference,
    SkillRequirement,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill, ChannelCapacity
from engine.effects import EffectKind
from engine.engine import Engine
from engine.lifecycle import (
    AgentKind,
    CancelReason,
    Channel,
    ContactState,
    Intake,
    Presence,
    QueueOrder,
    RejectionReason,
    Strategy,
    WrapUpMode,
)
from engine.limits import DAY_MS, FORTNIGHT_MS, Limits
from engine.routing.validation import validate
from headgate.v1 import agent_pb2, contact_pb2, event_pb2, queue_pb2, routing_service_pb2
from tests.engine.drawing_definitions import HOURS

LIMITS = Limits(contacts_max=100, agents_max=10, queues_max=10, ended_max=10)
NOW_MS = 1_700_000_000_000

# Enum of the engine, enum of the wire, and the engine's word for the wire's UNSPECIFIED.
ENUMS: list[tuple[type[IntEnum], Any, str]] = [
    (Channel, contact_pb2.Channel, ""),
    (ContactState, contact_pb2.ContactState, "FREE"),
    (RejectionReason, contact_pb2.RejectionReason, "NONE"),
    (Presence, agent_pb2.Presence, "NONE"),
    (AgentKind, agent_pb2.AgentKind, ""),
    (Strategy, queue_pb2.Strategy, ""),
    (Intake, queue_pb2.Intake, "NONE"),
    (WrapUpMode, queue_pb2.WrapUpMode, ""),
    (EffectKind, event_pb2.EventKind, ""),
    (CancelReason, routing_service_pb2.CancelReason, ""),
]


@pytest.mark.parametrize(("kind", "wire", "zero"), ENUMS, ids=lambda item: str(item)[:30])
def test_enum_of_the_engine_is_that_of_the_wire(
    kind: type[IntEnum], wire: EnumTypeWrapper, zero: str
) -> None:
    """Values go over as plain numbers, so one that differs would be read as another word."""
    whole = {name: number for name, number in wire.items() if number}
    prefix = wire.DESCRIPTOR.values_by_number[0].name.removesuffix("UNSPECIFIED")
    ours = {f"{prefix}{item.name}": item.value for item in kind if item.name != zero}
    assert ours == whole
    assert not zero or kind[zero] == 0


def test_unset_enum_gives_the_default_and_a_known_value_itself() -> None:
    """The contract says what UNSPECIFIED is read as."""
    assert member(Strategy, 0, Strategy.LONGEST_IDLE) is Strategy.LONGEST_IDLE
    assert member(Strategy, 4, Strategy.LONGEST_IDLE) is Strategy.BEST_SCORE


@pytest.mark.parametrize("value", [0, -1, 99])
def test_value_that_is_no_member_is_left_for_the_engine_to_refuse(value: int) -> None:
    """So it is named together with everything else that is wrong."""
    passed_on = member(Channel, value)
    assert (passed_on, isinstance(passed_on, Channel)) == (value, False)


def test_filter_of_known_values_gives_members_in_order() -> None:
    """The place in the list is the one a refusal would name."""
    assert known_members(Presence, "presences", []) == []
    assert known_members(Presence, "presences", [5, 1]) == [Presence.OFFLINE, Presence.AVAILABLE]


@pytest.mark.parametrize("value", [0, -1, 99])
def test_filter_with_an_unknown_value_is_refused_with_its_place(value: int) -> None:
    """A filter that silently matched nothing would look like an empty cell."""
    with pytest.raises(CallRefused, match=r"presences\[1\]: got -?\d+, expected one of") as caught:
        known_members(Presence, "presences", [1, value])
    assert "AVAILABLE" in str(caught.value)
    assert "NONE" not in str(caught.value)


def test_queue_without_fields_has_the_defaults_of_the_contract() -> None:
    """Each number stands in queue.proto, where gateway developers read it."""
    command = queue_command(queue_pb2.Queue(queue_id="q"))
    assert command == UpsertQueue(
        queue_id="q",
        service_level_ratio=0.8,
        service_level_within_ms=20_000,
        strategy=Strategy.LONGEST_IDLE,
        offer_timeout_ms=20_000,
        wrap_up_mode=WrapUpMode.NONE,
        wrap_up_ms=0,
        max_wait_ms=86_400_000,
        max_length=0,
        reoffer_delay_ms=30_000,
        reoffer_delay_only_agent_ms=1_000,
        priority_age_ms=60_000,
        order=QueueOrder.FIFO,
        priority=0,
        fallback_queue_id="",
        hours=None,
        short_abandon_ms=0,
        matching_window_ms=0,
        forecast_group="",
    )
    validate(command)


def test_agent_without_fields_has_the_defaults_of_the_contract() -> None:
    """Each number stands in agent.proto."""
    agent = agent_pb2.Agent(
        agent_id="a", channels=[agent_pb2.ChannelCapacity(channel=contact_pb2.CHANNEL_CHAT)]
    )
    command = agent_command(agent)
    assert command == UpsertAgent(
        agent_id="a",
        kind=AgentKind.PERSON,
        capacity=1,
        channels=(ChannelCapacity(Channel.CHAT, 1, 0),),
        missed_offers_max=3,
        lease_ms=0,
    )
    validate(command)


def test_route_without_fields_has_the_defaults_of_the_contract() -> None:
    """A contact asks for nothing unless it says so."""
    request = routing_service_pb2.RouteRequest(
        contact_id="c", queue_id="q", channel=contact_pb2.CHANNEL_VOICE
    )
    assert route_command(request) == Route("c", "q", Channel.VOICE)
    skill = contact_pb2.SkillRequirement(skill="s")
    preferred = contact_pb2.SkillPreference(skill="p")
    asked = contact_pb2.Requirements(skills=[skill], preferred_skills=[preferred], tags=["t"])
    request.requirements.CopyFrom(asked)
    assert route_command(request).requirements == Requirements(
        (SkillRequirement("s", 1),), (SkillPreference("p", 1.0),), ("t",)
    )


@pytest.mark.parametrize("length", [1, 100, 2_000])
def test_requirements_that_are_remembered_are_those_that_were_asked(length: int) -> None:
    """The same message again gives the same, and another one never another's."""
    messages = [
        contact_pb2.Requirements(
            skills=[contact_pb2.SkillRequirement(skill="s" * length, proficiency_min=level)]
        )
        for level in (1, 2, 3)
    ]
    for _ in range(2):
        for level, message in enumerate(messages, start=1):
            asked = (SkillRequirement("s" * length, level),)
            assert requirements_of(message) == Requirements(asked)


def test_route_without_a_contact_id_gets_one_of_its_own_each_time() -> None:
    """Two contacts under one id would be one contact."""
    request = routing_service_pb2.RouteRequest(queue_id="q", channel=contact_pb2.CHANNEL_VOICE)
    made = {route_command(request).contact_id for _ in range(100)}
    assert len(made) == 100
    assert all(0 < len(contact_id.encode()) <= 128 for contact_id in made)


@pytest.mark.parametrize(
    ("delay_ms", "only_agent_ms", "expected"),
    [
        (0, 0, (30_000, 1_000)),  # both defaults
        (500, 0, (500, 500)),  # the longer below the default of the shorter: both
        (5_000, 0, (5_000, 1_000)),  # the longer alone, above it
        (-1, 0, (-1, -1)),  # at once means both at once
        (0, -1, (30_000, -1)),  # only the shorter at once
        (200, 100, (200, 100)),  # both said
        (100, 200, (100, 200)),  # the wrong way round: for the engine to refuse
    ],
)
def test_reoffer_delays_go_together(
    delay_ms: int, only_agent_ms: int, expected: tuple[int, int]
) -> None:
    """Setting one delay must not make a queue invalid by the default of the other."""
    queue = queue_pb2.Queue(
        queue_id="q", reoffer_delay_ms=delay_ms, reoffer_delay_only_agent_ms=only_agent_ms
    )
    command = queue_command(queue)
    assert (command.reoffer_delay_ms, command.reoffer_delay_only_agent_ms) == expected


def test_update_tells_unset_from_zero() -> None:
    """Priority 0 and age 0 are values; a field that is not set stays as it is."""
    unset = routing_service_pb2.UpdateContactRequest(contact_id="c", etag="3")
    assert update_command(unset) == engine_commands.UpdateContact("c", etag="3")
    zero = routing_service_pb2.UpdateContactRequest(
        contact_id="c",
        priority=0,
        routing_age_ms=0,
        requirements=contact_pb2.Requirements(),
        attributes={"k": ""},
    )
    assert update_command(zero) == engine_commands.UpdateContact(
        "c", "", 0, 0, Requirements(), {"k": ""}
    )


def test_requeue_tells_unset_from_zero() -> None:
    """The same for the priority a contact keeps or gets in its next queue."""
    request = routing_service_pb2.RequeueContactRequest(contact_id="c", queue_id="q", etag="3")
    assert requeue_command(request).priority is None
    request.priority = 0
    assert requeue_command(request) == engine_commands.RequeueContact("c", "q", 0, "3")


names = st.text("abcé-", min_size=1, max_size=5)
day_ms = st.integers(1, DAY_MS)


@st.composite
def queues(draw: st.DrawFn) -> UpsertQueue:
    """A queue as the engine takes it."""
    mode = draw(st.sampled_from(WrapUpMode))
    shorter_ms, longer_ms = sorted((draw(day_ms), draw(day_ms)))
    return UpsertQueue(
        queue_id=draw(names),
        service_level_ratio=draw(st.floats(0, 1, exclude_min=True)),
        service_level_within_ms=draw(day_ms),
        strategy=draw(st.sampled_from(Strategy)),
        offer_timeout_ms=draw(st.integers(100, DAY_MS)),
        wrap_up_mode=mode,
        wrap_up_ms=draw(day_ms) if mode is WrapUpMode.TIMED else 0,
        max_wait_ms=draw(st.one_of(st.just(-1), st.integers(1, FORTNIGHT_MS))),
        max_length=draw(st.integers(0, 1_000_000)),
        reoffer_delay_ms=longer_ms,
        reoffer_delay_only_agent_ms=draw(st.sampled_from((-1, shorter_ms))),
        priority_age_ms=draw(day_ms),
        priority=draw(st.integers(-1_000, 1_000)),
        hours=draw(st.sampled_from((None, *HOURS))),
        fallback_queue_id=draw(st.sampled_from(("", "other"))),
        order=draw(st.sampled_from(QueueOrder)),
        short_abandon_ms=draw(st.integers(0, DAY_MS)),
        matching_window_ms=draw(st.integers(0, 1_000)),
        forecast_group=draw(st.sampled_from(("", "front"))),
        etag="1",
    )


@st.composite
def agents(draw: st.DrawFn) -> UpsertAgent:
    """An agent as the engine takes it."""
    skills = draw(st.dictionaries(names, st.integers(0, 5), max_size=3))
    units = st.tuples(st.integers(1, 1_000_000), st.integers(0, 1_000_000))
    channels = draw(st.dictionaries(st.sampled_from(Channel), units, max_size=3))
    return UpsertAgent(
        agent_id=draw(names),
        kind=draw(st.sampled_from(AgentKind)),
        queue_ids=("q",) if draw(st.booleans()) else (),
        skills=tuple(AgentSkill(*item) for item in skills.items()),
        tags=tuple(draw(st.sets(names, max_size=3))),
        capacity=draw(st.integers(1, 1_000_000)),
        channels=tuple(ChannelCapacity(channel, *item) for channel, item in channels.items()),
        missed_offers_max=draw(st.one_of(st.just(-1), st.integers(1, 1_000))),
        lease_ms=draw(st.one_of(st.just(0), st.integers(1_000, DAY_MS))),
        etag="1",
    )


@given(queues(), st.sampled_from([Intake.OPEN, Intake.PAUSED, Intake.CLOSED]))
@settings(max_examples=50, deadline=None)
def test_queue_that_was_read_can_be_written_back(queue: UpsertQueue, intake: Intake) -> None:
    """Read, change one field, write: nothing else may change on the way."""
    engine = Engine(LIMITS)
    if queue.queue_id == "other":
        queue = queue._replace(fallback_queue_id="")
    else:
        engine.apply(UpsertQueue("other"), NOW_MS)
    engine.apply(queue._replace(etag=""), NOW_MS)
    read = queue_message(engine.read.queue(queue.queue_id))
    assert read.intake == queue_pb2.INTAKE_OPEN
    assert queue_command(read) == queue
    engine.apply(SetIntake(queue.queue_id, intake), NOW_MS)
    assert int(queue_message(engine.read.queue(queue.queue_id)).intake) == intake


@given(agents(), st.sampled_from([Presence.AVAILABLE, Presence.BUSY, Presence.AWAY]))
@settings(max_examples=50, deadline=None)
def test_agent_that_was_read_can_be_written_back(agent: UpsertAgent, presence: Presence) -> None:
    """The same for agents, whose definition stands beside what they are doing."""
    engine = Engine(LIMITS)
    engine.apply(UpsertQueue("q"), NOW_MS)
    engine.apply(agent._replace(etag=""), NOW_MS)
    assert agent_command(agent_message(engine, engine.read.agent(agent.agent_id))) == agent
    engine.apply(SetPresence(agent.agent_id, presence, "why"), NOW_MS + 1)
    read = agent_message(engine, engine.read.agent(agent.agent_id))
    assert (int(read.presence), read.presence_reason) == (presence, "why")
    assert agent_command(read)._replace(etag="1") == agent
