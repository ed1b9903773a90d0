"""
Definitions of queues and agents as messages of the contract: what `translation` reads, written.

Nothing here loads kernels, so that commands which only talk to an engine start quickly.
"""

from engine.commands import UpsertAgent, UpsertQueue
from engine.definitions import STRATEGY_WEIGHTS, Hours, OpeningPeriod, ScoreWeights
from engine.state.weights import WeightsInForce
from headgate.v1 import agent_pb2, queue_pb2


def agent_definition(definition: UpsertAgent) -> agent_pb2.Agent:
    """An agent as it is defined; output-only fields are not set."""
    return agent_pb2.Agent(
        agent_id=definition.agent_id,
        etag=definition.etag,
        kind=definition.kind.value,  # type: ignore[arg-type]
        queue_ids=definition.queue_ids,
        skills=[
            agent_pb2.AgentSkill(skill=item.skill, proficiency=item.proficiency)
            for item in definition.skills
        ],
        tags=definition.tags,
        capacity=definition.capacity,
        channels=[
            agent_pb2.ChannelCapacity(
                channel=item.channel.value,  # type: ignore[arg-type]
                cost=item.cost,
                contacts_max=item.contacts_max,
                interrupted_by=[channel.value for channel in item.interrupted_by],  # type: ignore[misc]
            )
            for item in definition.channels
        ],
        missed_offers_max=definition.missed_offers_max,
        lease_ms=definition.lease_ms,
        auto_accept=definition.auto_accept,
        occupancy_max=definition.occupancy_max,
        rest_ms=definition.rest_ms,
    )


def weights_message(weights: ScoreWeights | WeightsInForce) -> queue_pb2.ScoreWeights:
    """Weights of the score; those that are None are not set."""
    return queue_pb2.ScoreWeights(**weights._asdict())


def _hours(hours: Hours) -> queue_pb2.Hours:
    return queue_pb2.Hours(
        time_zone=hours.time_zone,
        weekly=map(_period, hours.weekly),
        exceptions=[
            queue_pb2.HoursException(
                date=item.date, name=item.name, periods=map(_period, item.periods)
            )
            for item in hours.exceptions
        ],
    )


def _period(period: OpeningPeriod) -> queue_pb2.OpeningPeriod:
    return queue_pb2.OpeningPeriod(
        days=[day.value for day in period.days],  # type: ignore[misc]
        opens=period.opens,
        closes=period.closes,
    )


def queue_definition(definition: UpsertQueue) -> queue_pb2.Queue:
    """A queue as it is defined; output-only fields are not set."""
    return queue_pb2.Queue(
        queue_id=definition.queue_id,
        etag=definition.etag,
        service_level=queue_pb2.ServiceLevelTarget(
            ratio=definition.service_level_ratio, within_ms=definition.service_level_within_ms
        ),
        strategy=definition.strategy.value,  # type: ignore[arg-type]
        weights=(
            None if definition.weights == STRATEGY_WEIGHTS else weights_message(definition.weights)
        ),
        starvation_bound_ms=definition.starvation_bound_ms,
        offer_timeout_ms=definition.offer_timeout_ms,
        broadcast_max=definition.broadcast_max,
        wrap_up_mode=definition.wrap_up_mode.value,  # type: ignore[arg-type]
        wrap_up_ms=definition.wrap_up_ms,
        max_wait_ms=definition.max_wait_ms,
        max_length=definition.max_length,
        reoffer_delay_ms=definition.reoffer_delay_ms,
        reoffer_delay_only_agent_ms=definition.reoffer_delay_only_agent_ms,
        priority_age_ms=definition.priority_age_ms,
        order=definition.order.value,  # type: ignore[arg-type]
        priority=definition.priority,
        fallback_queue_id=definition.fallback_queue_id,
        hours=None if definition.hours is None else _hours(definition.hours),
        short_abandon_ms=definition.short_abandon_ms,
        matching_window_ms=definition.matching_window_ms,
        forecast_group=definition.forecast_group,
    )
