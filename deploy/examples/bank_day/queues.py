"""
The bank's queues and agents as the engine is told of them.

A queue per type of call; its agents must hold the skill of the same name. The bank's own settings
are not known. These are ordinary ones, and two are measured on the day: between the end of a
service and the next, while calls wait, the median is 5 s whatever the type, which is played as
`WRAP_UP_S` of wrap-up and `RING_S` until the agent picks up.
"""

from typing import Final

from deploy.examples.bank_day.bank_day import TYPES, BankAgent
from deploy.examples.bank_day.compressed_time import Compression
from headgate.v1.agent_pb2 import Agent, AgentKind, AgentSkill, ChannelCapacity
from headgate.v1.agent_service_pb2 import UpsertAgentRequest
from headgate.v1.contact_pb2 import Channel
from headgate.v1.queue_pb2 import Queue, ServiceLevelTarget, Strategy, WrapUpMode
from headgate.v1.queue_service_pb2 import UpsertQueueRequest

RING_S: Final = 2
WRAP_UP_S: Final = 3
OFFER_TIMEOUT_S: Final = 20
# The contract's least offer timeout; above 200× the bank's 20 s would be less.
OFFER_TIMEOUT_MS_MIN: Final = 100
MAX_WAIT_S: Final = 3_600
REOFFER_DELAY_S: Final = 30
REOFFER_DELAY_ONLY_AGENT_S: Final = 1
# Priority 2 was given 1.5 minutes of waiting credit in the queue (documentation of the log): one
# point of priority here, worth 90 s of routing age. Priorities 0 and 1 are not told apart.
PRIORITY_AGE_S: Final = 90
HIGH_PRIORITY: Final = 2

# Type -> (share to be answered, within seconds). The time also scales urgency: those who trade
# stock and those who were called back are served before those who wait for internet support.
TARGETS: Final = {
    "PS": (0.8, 60),
    "NW": (0.8, 60),
    "NE": (0.8, 30),
    "TT": (0.8, 20),
    "IN": (0.8, 120),
    "PE": (0.8, 60),
}
assert TARGETS.keys() == TYPES.keys()


def priority_points(bank_priority: int) -> int:
    """Points of priority in the engine for a priority of the log."""
    return 1 if bank_priority == HIGH_PRIORITY else 0


def queue_requests(compression: Compression) -> list[UpsertQueueRequest]:
    """One request per queue, with the bank's durations in the engine's time."""
    return [
        UpsertQueueRequest(
            request_id=f"{name}:define",
            queue=Queue(
                queue_id=name,
                service_level=ServiceLevelTarget(
                    ratio=ratio, within_ms=compression.engine_ms(within_s)
                ),
                strategy=Strategy.STRATEGY_BEST_SCORE,
                offer_timeout_ms=compression.engine_ms(OFFER_TIMEOUT_S, OFFER_TIMEOUT_MS_MIN),
                wrap_up_mode=WrapUpMode.WRAP_UP_MODE_TIMED,
                wrap_up_ms=compression.engine_ms(WRAP_UP_S),
                max_wait_ms=compression.engine_ms(MAX_WAIT_S),
                reoffer_delay_ms=compression.engine_ms(REOFFER_DELAY_S),
                reoffer_delay_only_agent_ms=compression.engine_ms(REOFFER_DELAY_ONLY_AGENT_S),
                priority_age_ms=compression.engine_ms(PRIORITY_AGE_S),
            ),
        )
        for name, (ratio, within_s) in TARGETS.items()
    ]


def agent_request(agent: BankAgent) -> UpsertAgentRequest:
    """The agent with its queues and skills, for one call at a time."""
    return UpsertAgentRequest(
        request_id=f"{agent.agent_id}:define",
        agent=Agent(
            agent_id=agent.agent_id,
            kind=AgentKind.AGENT_KIND_PERSON,
            queue_ids=sorted(agent.proficiency),
            skills=[
                AgentSkill(skill=name, proficiency=level)
                for name, level in sorted(agent.proficiency.items())
            ],
            capacity=1,
            channels=[ChannelCapacity(channel=Channel.CHANNEL_VOICE, cost=1)],
            # These agents answer every offer: one that is missed is a lag of this machine, and no
            # reason to send the agent away.
            missed_offers_max=-1,
        ),
    )
