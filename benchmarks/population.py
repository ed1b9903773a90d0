"""
A contact centre to measure on: queues, agents and contacts drawn from a fixed seed.

Skills go with queues, as they do on a real floor. The 256 skills are 32 groups of 8, and queues are
dealt out to the groups in order. An agent serves neighbouring queues and holds, at a random level
of 1 to 5, every skill they may ask for. A contact asks for 3 skills of its queue's group at level 2
or above, which half of the queue's agents meet.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.commands import (
    Command,
    Requirements,
    Route,
    SetPresence,
    SkillRequirement,
    UpsertAgent,
    UpsertQueue,
)
from engine.definitions import AgentSkill
from engine.engine import Engine
from engine.lifecycle import Channel, Presence
from engine.limits import DAY_MS, SKILLS_MAX

GROUP: Final = 8
GROUPS: Final = SKILLS_MAX // GROUP
ASKED: Final = 3
LEVEL_ASKED: Final = 2
START_MS: Final = 1_800_000_000_000
# Six pairs as a gateway sends them: 120 bytes.
ATTRIBUTES: Final = {
    "customer": "c-81734562",
    "language": "en-GB",
    "segment": "premier",
    "number": "+442079460018",
    "intent": "card-lost",
    "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
}


@dataclass(frozen=True, slots=True)
class Population:
    """
    Sizes of a contact centre.

    Attributes
    ----------
    agents, queues
        How many.
    queues_per_agent
        Queues each agent serves, from a random one on.
    available_share
        Share of agents that is available, 0 to 1; the others stay offline.
    capacity
        Contacts an agent takes at a time.
    skills_held
        Skills per agent drawn at random from all; 0 for those its queues may ask for.
    seed
        Of every draw.
    """

    agents: int
    queues: int
    queues_per_agent: int
    available_share: float
    capacity: int = 1
    skills_held: int = 0
    seed: int = 1

    def queue_commands(self) -> Iterator[UpsertQueue]:
        """Queues whose offers stand for a day, so that no timer of theirs disturbs a figure."""
        for queue in range(self.queues):
            yield UpsertQueue(queue_id=queue_id(queue), offer_timeout_ms=DAY_MS)

    def agent_commands(self) -> Iterator[UpsertAgent]:
        """Agents with their queues and skills."""
        draw = np.random.default_rng(self.seed)
        for agent in range(self.agents):
            first = int(draw.integers(self.queues))
            served = [(first + place) % self.queues for place in range(self.queues_per_agent)]
            if self.skills_held:
                held = draw.choice(SKILLS_MAX, self.skills_held, replace=False).tolist()
            else:
                held = sorted({skill for queue in served for skill in self._skills_of(queue)})
            levels = draw.integers(1, 6, len(held))
            yield UpsertAgent(
                agent_id=agent_id(agent),
                queue_ids=tuple(queue_id(queue) for queue in served),
                skills=tuple(
                    AgentSkill(skill_name(skill), int(level))
                    for skill, level in zip(held, levels, strict=True)
                ),
                capacity=self.capacity,
            )

    def presence_commands(self) -> Iterator[SetPresence]:
        """Agents becoming available, spread over all rows."""
        draw = np.random.default_rng(self.seed + 1)
        count = round(self.agents * self.available_share)
        for agent in draw.permutation(self.agents)[:count]:
            yield SetPresence(agent_id(agent), Presence.AVAILABLE)

    def contacts(self, count: int) -> list[Route]:
        """Contacts to be routed; ids are theirs to be replaced."""
        draw = np.random.default_rng(self.seed + 2)
        return [
            Route(
                contact_id=f"contact-{number}",
                queue_id=queue_id(queue),
                channel=Channel.VOICE,
                requirements=self._requirements(queue, draw),
                attributes=ATTRIBUTES,
            )
            for number, queue in enumerate(draw.integers(0, self.queues, count).tolist())
        ]

    def _skills_of(self, queue: int) -> range:
        """Skills a queue may ask for."""
        group = queue * GROUPS // self.queues
        return range(group * GROUP, (group + 1) * GROUP)

    def _requirements(self, queue: int, draw: np.random.Generator) -> Requirements:
        asked = draw.choice(self._skills_of(queue), ASKED, replace=False)
        return Requirements(
            tuple(SkillRequirement(skill_name(skill), LEVEL_ASKED) for skill in sorted(asked))
        )


def populate(engine: Engine, commands: Iterable[Command]) -> int:
    """Apply commands one millisecond apart, so that no two agents tie; returns the last time."""
    now_ms = max(engine.now_ms(), START_MS)
    for place, command in enumerate(commands):
        now_ms += 1
        engine.apply(command, now_ms)
        if place % 512 == 511:
            engine.take_group()
    engine.take_group()
    return now_ms


def queue_id(number: int) -> str:
    """Id of a queue."""
    return f"queue-{number:05}"


def agent_id(number: int) -> str:
    """Id of an agent."""
    return f"agent-{number:06}"


def skill_name(number: int) -> str:
    """Name of a skill."""
    return f"skill-{number:03}"
