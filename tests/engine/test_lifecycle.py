"""Every cell of the table of transitions: what is listed happens, what is not changes nothing."""

import pytest

from engine.commands import (
    AcceptOffer,
    CancelContact,
    Command,
    CompleteAssignment,
    DeclineOffer,
    EndWrapUp,
    Expire,
    ReleaseAssignment,
    RequeueContact,
    Route,
    SetIntake,
    SetPresence,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
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

_WRAP_UP_UNTIL_ENDED = UpsertQueue("q1", wrap_up_mode=WrapUpMode.UNTIL_ENDED)


def _floor(state: ContactState, max_wait_ms: int) -> Engine:
    """A floor at 1,000 with contact c1 in a state; a1 holds it where somebody does."""
    engine = Engine()
    engine.apply(_WRAP_UP_UNTIL_ENDED, 1_000)
    engine.apply(UpsertQueue("q2"), 1_000)
    for agent_id in ("a1", "a2"):
        engine.apply(UpsertAgent(agent_id, queue_ids=("q1",)), 1_000)
        engine.apply(SetPresence(agent_id, Presence.BUSY), 1_000)
    if state is ContactState.FREE:
        return engine
    if state is ContactState.REJECTED:
        engine.apply(SetIntake("q1", Intake.CLOSED), 1_000)
    is_expiring = state is ContactState.EXPIRED
    wait_ms = 10 if is_expiring else max_wait_ms
    engine.apply(Route("c1", "q1", Channel.VOICE, max_wait_ms=wait_ms), 1_000)
    engine.apply(SetIntake("q1", Intake.OPEN), 1_000)
    if is_expiring:
        engine.apply(Expire(), 1_010)
    if state is ContactState.ABANDONED:
        engine.apply(CancelContact("c1", CancelReason.ABANDONED), 1_000)
    if state is ContactState.CANCELLED:
        engine.apply(CancelContact("c1", CancelReason.WITHDRAWN), 1_000)
    if state in (
        ContactState.OFFERED, ContactState.ASSIGNED, ContactState.WRAP_UP, ContactState.COMPLETED
    ):  # fmt: skip
        engine.apply(SetPresence("a1", Presence.AVAILABLE), 1_000)
    if state in (ContactState.ASSIGNED, ContactState.WRAP_UP, ContactState.COMPLETED):
        engine.apply(AcceptOffer("o1.0", "a1"), 1_000)
    if state in (ContactState.WRAP_UP, ContactState.COMPLETED):
        engine.apply(CompleteAssignment("c1", "a1"), 1_000)
    if state is ContactState.COMPLETED:
        engine.apply(EndWrapUp("c1", "a1"), 1_000)
    return engine


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
    }
    # An offer lasts 20 s; a contact that is to expire waits 10 s at most.
    passed_ms = {Trigger.EXPIRE_OFFER: 20_000, Trigger.EXPIRE_WAIT: 10_000}
    if trigger is Trigger.REJECT:
        engine.apply(SetIntake("q1", Intake.CLOSED), 1_010)
    if trigger is Trigger.COMPLETE_WITHOUT_WRAP_UP:
        engine.apply(UpsertQueue("q1"), 1_010)
    engine.take_group()
    try:
        engine.apply(commands[trigger], 1_010 + passed_ms.get(trigger, 0))
    except CommandRefused as refused:
        assert refused.violations


def _state(engine: Engine) -> ContactState:
    if engine.cell.contacts.slots.row_of("c1") < 0:
        return ContactState.FREE
    return engine.read.contact("c1", engine.now_ms()).state


@pytest.mark.parametrize("trigger", Trigger, ids=[trigger.name for trigger in Trigger])
@pytest.mark.parametrize("state", ContactState, ids=[state.name for state in ContactState])
def test_trigger_in_state_does_what_the_table_says(state: ContactState, trigger: Trigger) -> None:
    """One table is the whole truth: listed cells move the contact, all others leave it untouched."""
    engine = _floor(state, 10_000 if trigger is Trigger.EXPIRE_WAIT else -1)
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
