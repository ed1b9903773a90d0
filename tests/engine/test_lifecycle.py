"""Every cell of the table of transitions: what is listed happens, what is not changes nothing."""

from contextlib import suppress

import pytest

from engine.choices import (
    AcceptChoice,
    Choice,
    DiversionOutcome,
    OfferChoice,
    Option,
    OptionKind,
    ReportDiversionOutcome,
    ReturnContact,
)
from engine.commands import (
    AcceptOffer,
    CancelContact,
    Command,
    CompleteAssignment,
    CompleteTransfer,
    Consult,
    DeclineOffer,
    EndWrapUp,
    Expire,
    FailAttempt,
    OfferContact,
    RelaxationStep,
    ReleaseAssignment,
    RequeueContact,
    Route,
    Schedule,
    ScheduleContact,
    SetIntake,
    SetPresence,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import ChannelCapacity
from engine.engine import Engine
from engine.lifecycle import (
    NO_STATE,
    TRANSITION_TABLE,
    TRANSITIONS,
    CancelReason,
    Channel,
    ContactState,
    Intake,
    Presence,
    Trigger,
    WrapUpMode,
)
from engine.refusals import CommandRefused

_VIDEO_INTERRUPTS_VOICE = (
    ChannelCapacity(Channel.VOICE, interrupted_by=(Channel.VIDEO,)),
    ChannelCapacity(Channel.VIDEO),
)
_TO_CHAT = Option(OptionKind.OTHER_CHANNEL, "q2", Channel.CHAT)
_CHOICE = Choice("busy", 1, "act", (_TO_CHAT,), return_within_ms=900_000)
_WRAP_UP_UNTIL_ENDED = UpsertQueue("q1", wrap_up_mode=WrapUpMode.UNTIL_ENDED)


def _floor(state: ContactState, trigger: Trigger) -> Engine:
    """A floor at 1,000 with contact c1 in a state; a1 holds it where somebody does."""
    engine = Engine()
    engine.apply(_WRAP_UP_UNTIL_ENDED, 1_000)
    engine.apply(UpsertQueue("q2"), 1_000)
    for agent_id in ("a1", "a2"):
        agent = UpsertAgent(agent_id, queue_ids=("q1",), channels=_VIDEO_INTERRUPTS_VOICE)
        engine.apply(agent, 1_000)
        engine.apply(SetPresence(agent_id, Presence.BUSY), 1_000)
    # Serves no queue: only who picks it gives it anything.
    engine.apply(UpsertAgent("a3"), 1_000)
    engine.apply(SetPresence("a3", Presence.AVAILABLE), 1_000)
    for command, at_ms in _way_to(state, trigger):
        engine.apply(command, at_ms)
    return engine


def _way_to(state: ContactState, trigger: Trigger) -> list[tuple[Command, int]]:
    """Commands that bring c1 into a state, from where time may pull the trigger."""
    route = Route("c1", "q1", Channel.VOICE, max_wait_ms=-1)
    if trigger is Trigger.EXPIRE_WAIT:
        route = route._replace(max_wait_ms=10_000)
    elif trigger is Trigger.FAIL_ATTEMPT:
        route = route._replace(schedule=Schedule(attempts_max=2))
    elif trigger is Trigger.RELAX:
        route = route._replace(relaxation=(RelaxationStep(5_000, priority=3),))
    later = Schedule(9_000 if trigger is Trigger.COME_DUE else 900_000)
    handled: list[tuple[Command, int]] = [
        (route, 1_000),
        (SetPresence("a1", Presence.AVAILABLE), 1_000),
        (AcceptOffer("o1.0", "a1"), 1_000),
        (CompleteAssignment("c1", "a1"), 1_000),
        (EndWrapUp("c1", "a1"), 1_000),
    ]
    in_hand, aside, call = handled[:3], "a1", "o2.1"
    if trigger is Trigger.TRANSFER:
        in_hand, call = _consulted(route, "c1", "c0"), "o3.2"
    elif trigger is Trigger.END_CONSULT:
        in_hand, aside, call = _consulted(route, "c0", "c1"), "a2", "o4.2"
    asked: list[tuple[Command, int]] = []
    if trigger is Trigger.DIVERT:
        asked = [(OfferChoice("c1", _CHOICE), 1_000)]
    ways: dict[ContactState, list[tuple[Command, int]]] = {
        ContactState.FREE: [],
        ContactState.QUEUED: handled[:1] + asked,
        ContactState.OFFERED: handled[:1] + asked + handled[1:2],
        ContactState.ASSIGNED: in_hand,
        ContactState.WRAP_UP: handled[:4],
        ContactState.COMPLETED: handled,
        ContactState.ABANDONED: [
            (route, 1_000),
            (CancelContact("c1", CancelReason.ABANDONED), 1_000),
        ],
        ContactState.CANCELLED: [
            (route, 1_000),
            (CancelContact("c1", CancelReason.WITHDRAWN), 1_000),
        ],
        ContactState.EXPIRED: [(route._replace(max_wait_ms=10), 1_000), (Expire(), 1_010)],
        ContactState.REJECTED: [
            (SetIntake("q1", Intake.CLOSED), 1_000),
            (route, 1_000),
            (SetIntake("q1", Intake.OPEN), 1_000),
        ],
        ContactState.INTERRUPTED: [
            *in_hand,
            (Route("call", "q1", Channel.VIDEO, priority=9), 1_000),
            (OfferContact("call", aside), 1_000),
            (AcceptOffer(call, aside), 1_000),
        ],
        ContactState.SCHEDULED: [(route._replace(schedule=later), 1_000)],
        ContactState.DIVERTED: [
            (route, 1_000),
            (OfferChoice("c1", _CHOICE._replace(forced=True)), 1_000),
        ],
    }
    return ways[state]


def _consulted(route: Route, about: str, consult: str) -> list[tuple[Command, int]]:
    """Commands after which a1 handles a contact and a2 a consult about it."""
    return [
        (route._replace(contact_id=about), 1_000),
        (SetPresence("a1", Presence.AVAILABLE), 1_000),
        (AcceptOffer("o1.0", "a1"), 1_000),
        (Consult(about, "a1", consult), 1_000),
        (SetPresence("a2", Presence.AVAILABLE), 1_000),
        (AcceptOffer("o2.1", "a2"), 1_000),
    ]


def _try(engine: Engine, trigger: Trigger) -> None:
    """Do what would pull the trigger; refusals are as good as nothing happening."""
    commands: dict[Trigger, Command] = {
        Trigger.ADMIT: Route("c1", "q1", Channel.VOICE),
        Trigger.REJECT: Route("c1", "q1", Channel.VOICE),
        Trigger.OFFER: SetPresence("a2", Presence.AVAILABLE),
        Trigger.ACCEPT: AcceptOffer("o1.0", "a1"),
        Trigger.DECLINE: DeclineOffer("o1.0", "a1"),
        Trigger.EXPIRE_OFFER: Expire(),
        Trigger.RESCIND: SetPresence("a1", Presence.AWAY),
        Trigger.COMPLETE: CompleteAssignment("c1", "a1"),
        Trigger.COMPLETE_WITHOUT_WRAP_UP: CompleteAssignment("c1", "a1"),
        Trigger.END_WRAP_UP: EndWrapUp("c1", "a1"),
        Trigger.RELEASE: ReleaseAssignment("c1", "a1"),
        Trigger.REQUEUE: RequeueContact("c1", "q2"),
        Trigger.ABANDON: CancelContact("c1", CancelReason.ABANDONED),
        Trigger.WITHDRAW: CancelContact("c1", CancelReason.WITHDRAWN),
        Trigger.EXPIRE_WAIT: Expire(),
        Trigger.UPDATE: UpdateContact("c1", priority=1),
        Trigger.RELAX: Expire(),
        Trigger.PICK: OfferContact("c1", "a3"),
        Trigger.ADMIT_LATER: Route("c1", "q1", Channel.VOICE, schedule=Schedule(9_000)),
        Trigger.SCHEDULE: ScheduleContact("c1", Schedule(8_000)),
        Trigger.COME_DUE: Expire(),
        Trigger.FAIL_ATTEMPT: FailAttempt("c1", "a1"),
        Trigger.EXHAUST_ATTEMPTS: FailAttempt("c1", "a1"),
        Trigger.CONSULT: Consult("c1", "a1", "c0"),
        Trigger.TRANSFER: CompleteTransfer("c1", "a1"),
        Trigger.END_CONSULT: CompleteAssignment("c0", "a1"),
        Trigger.INTERRUPT: AcceptOffer("o2.1", "a1"),
        Trigger.RESUME: ReleaseAssignment("call", "a1"),
        Trigger.DIVERT: AcceptChoice("c1", 1),
        Trigger.RETURN: ReturnContact("c1"),
        Trigger.END_DIVERSION: ReportDiversionOutcome("c1", DiversionOutcome.CONTAINED),
    }
    # An offer lasts 20 s; a contact that is to expire waits 10 s at most, and relaxes after 5 s.
    passed_ms = {
        Trigger.EXPIRE_OFFER: 20_000,
        Trigger.EXPIRE_WAIT: 10_000,
        Trigger.RELAX: 5_000,
        Trigger.COME_DUE: 8_000,
    }
    if trigger is Trigger.REJECT:
        engine.apply(SetIntake("q1", Intake.CLOSED), 1_010)
    if trigger is Trigger.INTERRUPT:
        engine.apply(Route("c2", "q1", Channel.VIDEO), 1_010)
    if trigger is Trigger.COMPLETE_WITHOUT_WRAP_UP:
        engine.apply(UpsertQueue("q1"), 1_010)
    engine.take_group()
    with suppress(CommandRefused):
        engine.apply(commands[trigger], 1_010 + passed_ms.get(trigger, 0))


def _state(engine: Engine) -> ContactState:
    if engine.cell.contacts.slots.row_of("c1") < 0:
        return ContactState.FREE
    return engine.read.contact("c1", engine.now_ms()).state


@pytest.mark.parametrize("trigger", Trigger, ids=[trigger.name for trigger in Trigger])
@pytest.mark.parametrize("state", ContactState, ids=[state.name for state in ContactState])
def test_trigger_in_state_does_what_the_table_says(state: ContactState, trigger: Trigger) -> None:
    """One table is the whole truth: listed cells move the contact, others leave it untouched."""
    engine = _floor(state, trigger)
    assert _state(engine) is state
    etag = "" if state is ContactState.FREE else engine.read.contact("c1", engine.now_ms()).etag

    _try(engine, trigger)

    following = TRANSITIONS[state].get(trigger)
    assert _state(engine) is (state if following is None else following)
    touched = [effect for effect in engine.take_group().effects if effect[2] == "c1"]
    assert bool(touched) == (following is not None)
    if following is None and state is not ContactState.FREE:
        assert engine.read.contact("c1", engine.now_ms()).etag == etag


def test_table_for_kernels_says_what_the_literal_says() -> None:
    """Kernels read the array, people read the literal; they must be one table."""
    for state in ContactState:
        for trigger in Trigger:
            following = TRANSITIONS[state].get(trigger, NO_STATE)
            assert TRANSITION_TABLE[state, trigger] == following
    assert not TRANSITION_TABLE.flags.writeable
