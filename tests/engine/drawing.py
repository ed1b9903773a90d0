"""Commands drawn at random over a small floor, where everybody keeps meeting everybody."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

import numpy as np

from engine.commands import (
    AcceptOffer,
    AgentSkill,
    CancelContact,
    ChannelCapacity,
    Command,
    CompleteAssignment,
    DeclineOffer,
    DeleteAgent,
    DeleteQueue,
    EndWrapUp,
    Expire,
    Heartbeat,
    Hours,
    HoursException,
    OfferContact,
    OpeningPeriod,
    Recover,
    Relaxation,
    RelaxationStep,
    ReleaseAssignment,
    RequeueContact,
    Requirements,
    ResetEstimates,
    Route,
    ScoreWeights,
    SetIntake,
    SetPresence,
    SkillPreference,
    SkillRequirement,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.lifecycle import (
    AgentKind,
    CancelReason,
    Channel,
    ContactState,
    Day,
    Intake,
    Presence,
    QueueOrder,
    Strategy,
    WrapUpMode,
)
from tests.engine.reference_floor import Floor
from tests.engine.reference_subjects import RefContact

T = TypeVar("T")

QUEUES: Final = ("q0", "q1", "q2", "q3")
AGENTS: Final = ("a0", "a1", "a2", "a3", "a4", "a5")
SKILLS: Final = ("s0", "s1", "s2")
TAGS: Final = ("t0", "t1")
CHANNELS: Final = (Channel.VOICE, Channel.CHAT, Channel.CHAT, Channel.EMAIL)
# Of a day in January 1970, on which all walks take place.
_DAILY: Final = tuple(Day)
_NIGHT: Final = HoursException("1970-01-01", "", (OpeningPeriod("00:02", "00:01"),))
HOURS: Final = (
    Hours(
        "UTC", (OpeningPeriod("00:01", "00:02", _DAILY), OpeningPeriod("00:04", "23:59", _DAILY))
    ),
    Hours("UTC", (OpeningPeriod("00:00", "00:03", _DAILY),), (HoursException("1970-01-02"),)),
    Hours("UTC", exceptions=(_NIGHT,)),
    Hours("UTC", (OpeningPeriod("10:00", "12:00", _DAILY),), (HoursException("1970-01-01"),)),
)
STEPS_MS: Final = (*(0,) * 20, *(1, 50, 100, 500) * 5, *(1_000,) * 6, 5_000, 5_000, 20_000, 60_000)


class Draw(Protocol):
    """Whoever chooses: a seeded generator or Hypothesis."""

    def __call__(self, items: Sequence[T], /) -> T:
        """One of the items."""


class SeededDraw:
    """Choices of a seeded generator; many are drawn at once, for a single one is slow."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._ratios: list[float] = []

    def __call__(self, items: Sequence[T], /) -> T:
        """One of the items, all alike likely."""
        if not self._ratios:
            self._ratios = self._generator.random(4_096).tolist()
        return items[int(self._ratios.pop() * len(items))]


def draw_command(draw: Draw, floor: Floor) -> Command:
    """Any command; those that move contacts are drawn more often than those that define things."""
    return draw(KINDS)(draw, floor)


def seldom(draw: Draw, one_in: int) -> bool:
    """True once in so many times."""
    return draw(range(one_in)) == 0


def _requirements(draw: Draw) -> Requirements:
    if draw((True, True, False)):
        return Requirements()
    skills = tuple(
        SkillRequirement(skill, draw((1, 2, 4))) for skill in SKILLS[: draw((0, 1, 1, 2))]
    )
    preferred = tuple(
        SkillPreference(skill, draw((0.5, 1.0, 7.25))) for skill in SKILLS[draw((1, 2, 3)) :]
    )
    tags = TAGS[: draw((0, 0, 1, 2))]
    if seldom(draw, 31):
        tags = ("unknown",)
    if seldom(draw, 31):
        skills = (SkillRequirement("unknown"),)
    tags_any = draw(((), (), (), TAGS, TAGS[:1]))
    tags_none = draw(((), (), (), TAGS[1:], ("unheard",)))
    agent_ids = draw(((), (), (), AGENTS[:2], AGENTS[1:2], ("nobody",)))
    preferred_agents = draw(((), (), AGENTS[2:4], (*AGENTS[:1], "nobody")))
    return Requirements(skills, preferred, tags, tags_any, tags_none, agent_ids, preferred_agents)


def _relaxation(draw: Draw) -> Relaxation:
    if draw((True, True, False)):
        return ()
    steps = [
        RelaxationStep(after_ms, _requirements(draw), draw((None, None, 5, -2)))
        for after_ms in (500, 2_000, 30_000)
    ]
    return tuple(steps[: draw((1, 1, 2, 3))])


def _contact(draw: Draw, floor: Floor, *states: ContactState) -> RefContact | None:
    """A contact in one of the states, now and then in any."""
    contacts = list(floor.contacts.values())
    fitting = [contact for contact in contacts if contact.state in states]
    if fitting and not seldom(draw, 10):
        return draw(fitting)
    return draw(contacts) if contacts else None


def _contact_id(draw: Draw, floor: Floor, *states: ContactState) -> str:
    contact = _contact(draw, floor, *states)
    return contact.contact_id if contact else "nobody"


def _queue_id(draw: Draw, floor: Floor) -> str:
    """A queue that exists, now and then one that may not."""
    return draw((*list(floor.queues) * 10, *QUEUES, "nowhere"))


def _agent_id(draw: Draw, floor: Floor) -> str:
    """An agent that exists, now and then one that may not."""
    return draw((*list(floor.agents) * 10, *AGENTS, "nobody"))


def _etag(draw: Draw) -> str:
    return draw(("",) * 12 + ("1", "3", "x"))


def _route(draw: Draw, floor: Floor) -> Command:
    fresh = f"c{floor.next_contact}"
    known = tuple(floor.contacts)
    contact_id = draw(known) if known and seldom(draw, 10) else fresh
    return Route(
        contact_id,
        _queue_id(draw, floor),
        draw(CHANNELS),
        draw((0, 0, 0, 1, 5, -2)),
        _requirements(draw),
        draw(({}, {"name": "Ada"})),
        draw((0, 0, 0, 0, 2_000, 100_000)),
        draw((0, 0, 0, -1, 1_500, 30_000)),
        _relaxation(draw),
    )


def _update(draw: Draw, floor: Floor) -> Command:
    return UpdateContact(
        _contact_id(draw, floor, ContactState.QUEUED, ContactState.OFFERED),
        _etag(draw),
        draw((None, None, 3, -1)),
        draw((None, None, 0, 50_000)),
        draw((None, _requirements(draw))),
        draw(({}, {"name": ""}, {"note": "x"})),
    )


def _requeue(draw: Draw, floor: Floor) -> Command:
    states = (ContactState.QUEUED, ContactState.OFFERED, ContactState.ASSIGNED)
    return RequeueContact(
        _contact_id(draw, floor, *states),
        draw(("", _queue_id(draw, floor))),
        draw((None, None, -3, 4)),
        _etag(draw),
        draw((None, None, _requirements(draw))),
        draw(((), (), _relaxation(draw))),
        draw(({}, {"note": "moved"}, {"name": ""})),
    )


def _cancel(draw: Draw, floor: Floor) -> Command:
    contact_id = _contact_id(draw, floor, ContactState.QUEUED, ContactState.OFFERED)
    return CancelContact(contact_id, draw((CancelReason.ABANDONED, CancelReason.WITHDRAWN)))


def _offer(draw: Draw, floor: Floor) -> tuple[str, str]:
    """An outstanding offer and its agent; now and then another agent, or an offer long gone."""
    contact = _contact(draw, floor, ContactState.OFFERED)
    offer_id = contact.offer_id if contact and contact.offer_id else "o1.0"
    agent_id = contact.agent_id if contact and contact.agent_id else _agent_id(draw, floor)
    if contact and contact.others and draw((True, True, False)):
        other = draw(contact.others)
        offer_id, agent_id = f"o{other.sequence:x}.{contact.row:x}", other.agent_id
    if seldom(draw, 16):
        agent_id = _agent_id(draw, floor)
    if seldom(draw, 26):
        offer_id = draw(("garbage", "o1.0", "o-1.0", "off.ff", "o1.-5", f"o{1 << 70:x}.0"))
    return offer_id, agent_id


def _accept(draw: Draw, floor: Floor) -> Command:
    return AcceptOffer(*_offer(draw, floor))


def _decline(draw: Draw, floor: Floor) -> Command:
    words = draw(("", "", "wrong queue"))
    return DeclineOffer(*_offer(draw, floor), draw((0, 0, 0, 700, 40_000)), words)


def _offer_contact(draw: Draw, floor: Floor) -> Command:
    states = (ContactState.QUEUED, ContactState.OFFERED)
    contact_id = _contact_id(draw, floor, *states)
    return OfferContact(contact_id, _agent_id(draw, floor), draw((True, False)))


def _assignment(draw: Draw, floor: Floor, *states: ContactState) -> tuple[str, str]:
    """A contact and the agent that holds it; now and then another."""
    contact = _contact(draw, floor, *states)
    contact_id = contact.contact_id if contact else "nobody"
    agent_id = contact.agent_id if contact and contact.agent_id else _agent_id(draw, floor)
    return contact_id, draw((agent_id,) * 15 + (_agent_id(draw, floor),))


def _complete(draw: Draw, floor: Floor) -> Command:
    outcome = draw((None, None, 0.0, 1.0, 0.4))
    return CompleteAssignment(*_assignment(draw, floor, ContactState.ASSIGNED), outcome)


def _reset_estimates(draw: Draw, floor: Floor) -> Command:
    return ResetEstimates(_agent_id(draw, floor), draw(("", _queue_id(draw, floor))))


def _end_wrap_up(draw: Draw, floor: Floor) -> Command:
    return EndWrapUp(*_assignment(draw, floor, ContactState.WRAP_UP))


def _release(draw: Draw, floor: Floor) -> Command:
    return ReleaseAssignment(*_assignment(draw, floor, ContactState.ASSIGNED))


def _upsert_agent(draw: Draw, floor: Floor) -> Command:
    queue_ids: tuple[str, ...] = tuple(
        queue_id
        for queue_id in QUEUES
        if queue_id in floor.queues and draw((True, True, True, False))
    )
    if seldom(draw, 21):
        queue_ids = ("nowhere",)
    channels: tuple[ChannelCapacity, ...] = draw((
        (),
        (),
        (ChannelCapacity(Channel.VOICE, 3), ChannelCapacity(Channel.CHAT, 1, 2)),
        (ChannelCapacity(Channel.CHAT, 2), ChannelCapacity(Channel.EMAIL, 1, 1)),
    ))  # fmt: skip
    return UpsertAgent(
        _agent_id(draw, floor),
        draw((AgentKind.PERSON, AgentKind.BOT)),
        queue_ids,
        tuple(AgentSkill(skill, draw((0, 1, 3, 5))) for skill in SKILLS[: draw((0, 2, 3, 3))]),
        TAGS[: draw((0, 1, 2))],
        draw((1, 1, 2, 3, 5)),
        channels,
        draw((-1, -1, 1, 3)),
        draw((0, 0, 0, 0, 0, 5_000, 60_000)),
        draw((False, False, False, True)),
        *draw(((0.0, 0), (0.0, 0), (0.001, 0), (0.002, 4_000))),
        _etag(draw),
    )


def _delete_agent(draw: Draw, floor: Floor) -> Command:
    return DeleteAgent(_agent_id(draw, floor), _etag(draw))


def _presence(draw: Draw, floor: Floor) -> Command:
    presence = draw((
        *(Presence.AVAILABLE,) * 12,
        Presence.BUSY, Presence.AWAY, Presence.DRAINING, Presence.OFFLINE,
    ))  # fmt: skip
    return SetPresence(_agent_id(draw, floor), presence, draw(("", "", "lunch", "training")))


def _heartbeat(draw: Draw, floor: Floor) -> Command:
    return Heartbeat(_agent_id(draw, floor))


def _weights(draw: Draw) -> ScoreWeights:
    """Weights of its own for one queue in three."""
    if draw((True, True, False)):
        return ScoreWeights()
    return ScoreWeights(
        skill=draw((None, 2.0)),
        preferred_agent=draw((None, 5.0)),
        handle_time=draw((None, 3.0)),
        outcome=draw((None, 7.0)),
        versatility=draw((None, 0.5)),
        occupancy=draw((None, 4.0)),
        wait=draw((None, 0.0, 2.0)),
        urgency=draw((1.0, 30.0)),
        urgent_from=draw((None, 0.0, 1.0)),
        lateness=draw((None, 0.7)),
    )


def _upsert_queue(draw: Draw, floor: Floor) -> Command:
    wrap_up_mode = draw((WrapUpMode.NONE, WrapUpMode.TIMED, WrapUpMode.UNTIL_ENDED))
    reoffer_delay_ms = draw((-1, 3_000, 30_000))
    return UpsertQueue(
        _queue_id(draw, floor),
        service_level_within_ms=draw((1, 7_000, 20_000, 20_000)),
        strategy=draw(tuple(Strategy)),
        weights=_weights(draw),
        starvation_bound_ms=draw((0, 0, 15_000)),
        offer_timeout_ms=draw((100, 5_000, 20_000, 20_000)),
        broadcast_max=draw((1, 1, 2, 4)),
        wrap_up_mode=wrap_up_mode,
        wrap_up_ms=4_000 if wrap_up_mode is WrapUpMode.TIMED else 0,
        max_wait_ms=draw((-1, 2_000, 10_000, 86_400_000)),
        max_length=draw((0, 0, 0, 1, 1, 3)),
        reoffer_delay_ms=reoffer_delay_ms,
        reoffer_delay_only_agent_ms=min(reoffer_delay_ms, draw((-1, 1_000))),
        priority_age_ms=draw((1, 1_000, 60_000, 86_400_000)),
        order=draw((QueueOrder.FIFO, QueueOrder.FIFO, QueueOrder.LIFO)),
        priority=draw((0, 0, 0, 3, -2)),
        fallback_queue_id=draw(("", "", *list(floor.queues) * 3)),
        hours=draw((*(None,) * 12, *HOURS)),
        short_abandon_ms=draw((0, 2_000)),
        etag=_etag(draw),
    )


def _delete_queue(draw: Draw, floor: Floor) -> Command:
    return DeleteQueue(_queue_id(draw, floor), _etag(draw))


def _intake(draw: Draw, floor: Floor) -> Command:
    intake = draw((*(Intake.OPEN,) * 4, Intake.PAUSED, Intake.CLOSED))
    return SetIntake(_queue_id(draw, floor), intake)


def _expire(draw: Draw, floor: Floor) -> Command:
    return Expire()


def _recover(draw: Draw, floor: Floor) -> Command:
    return Recover()


KINDS: Final[tuple[Callable[[Draw, Floor], Command], ...]] = (
    *(_route,) * 32,
    *(_accept,) * 16,
    *(_complete, _presence) * 12,
    *(_end_wrap_up, _decline) * 6,
    *(_update, _requeue, _cancel, _release, _offer_contact) * 4,
    *(_upsert_agent, _upsert_queue, _heartbeat, _expire) * 3,
    *(_intake,) * 4,
    _reset_estimates,
    _delete_agent,
    _delete_queue,
    _recover,
)  # fmt: skip
