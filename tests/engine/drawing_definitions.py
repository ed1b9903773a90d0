"""Definitions of agents and queues drawn at random."""

from typing import Final

from engine.commands import (
    Command,
    DeleteAgent,
    DeleteQueue,
    Heartbeat,
    ResetEstimates,
    SetIntake,
    SetPresence,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import (
    AgentSkill,
    ChannelCapacity,
    Hours,
    HoursException,
    OpeningPeriod,
    ScoreWeights,
)
from engine.lifecycle import (
    AgentKind,
    Channel,
    Day,
    Intake,
    Presence,
    QueueOrder,
    Strategy,
    WrapUpMode,
)
from tests.engine.choices import (
    QUEUES,
    SKILLS,
    TAGS,
    Draw,
    any_agent_id,
    any_etag,
    any_queue_id,
    seldom,
)
from tests.engine.reference_floor import Floor

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


def reset_estimates(draw: Draw, floor: Floor) -> Command:
    return ResetEstimates(any_agent_id(draw, floor), draw(("", any_queue_id(draw, floor))))


CALLS_FIRST: Final = (
    ChannelCapacity(Channel.VOICE, 2),
    ChannelCapacity(Channel.CHAT, 1, 0, (Channel.VOICE,)),
    ChannelCapacity(Channel.EMAIL, 1, 3, (Channel.VOICE,)),
    ChannelCapacity(Channel.CALLBACK, 1),
)


def upsert_agent(draw: Draw, floor: Floor) -> Command:
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
        CALLS_FIRST,
        (ChannelCapacity(Channel.VOICE, 3), ChannelCapacity(Channel.CHAT, 1, 2)),
        (ChannelCapacity(Channel.CHAT, 2), ChannelCapacity(Channel.EMAIL, 1, 1)),
        (
            ChannelCapacity(Channel.VOICE, 2),
            ChannelCapacity(Channel.CHAT, 1, 0, (Channel.VOICE,)),
            ChannelCapacity(
                Channel.EMAIL, 1, 3, draw(((Channel.CHAT,), (Channel.CHAT, Channel.VOICE)))
            ),
        ),
    ))  # fmt: skip
    return UpsertAgent(
        any_agent_id(draw, floor),
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
        any_etag(draw),
    )


def delete_agent(draw: Draw, floor: Floor) -> Command:
    return DeleteAgent(any_agent_id(draw, floor), any_etag(draw))


def set_presence(draw: Draw, floor: Floor) -> Command:
    presence = draw((
        *(Presence.AVAILABLE,) * 12,
        Presence.BUSY, Presence.AWAY, Presence.DRAINING, Presence.OFFLINE,
    ))  # fmt: skip
    return SetPresence(any_agent_id(draw, floor), presence, draw(("", "", "lunch", "training")))


def heartbeat(draw: Draw, floor: Floor) -> Command:
    return Heartbeat(any_agent_id(draw, floor))


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


def upsert_queue(draw: Draw, floor: Floor) -> Command:
    wrap_up_mode = draw((WrapUpMode.NONE, WrapUpMode.TIMED, WrapUpMode.UNTIL_ENDED))
    reoffer_delay_ms = draw((-1, 3_000, 30_000))
    return UpsertQueue(
        any_queue_id(draw, floor),
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
        forecast_group=draw(("", "", "g")),
        matching_window_ms=draw((0, 0, 0, 50, 500, 1_000)),
        etag=any_etag(draw),
    )


def delete_queue(draw: Draw, floor: Floor) -> Command:
    return DeleteQueue(any_queue_id(draw, floor), any_etag(draw))


def set_intake(draw: Draw, floor: Floor) -> Command:
    intake = draw((*(Intake.OPEN,) * 4, Intake.PAUSED, Intake.CLOSED))
    return SetIntake(any_queue_id(draw, floor), intake)
