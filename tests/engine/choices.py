"""Choices at random over a small floor, where everybody keeps meeting everybody."""

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

import numpy as np

from engine.commands import (
    Relaxation,
    RelaxationStep,
    Requirements,
    SkillPreference,
    SkillRequirement,
)
from engine.lifecycle import Channel, ContactState
from tests.engine.reference_floor import Floor
from tests.engine.reference_subjects import RefContact

T = TypeVar("T")
QUEUES: Final = ("q0", "q1", "q2", "q3")
AGENTS: Final = ("a0", "a1", "a2", "a3", "a4", "a5")
SKILLS: Final = ("s0", "s1", "s2")
TAGS: Final = ("t0", "t1")
CHANNELS: Final = (Channel.VOICE, Channel.CHAT, Channel.CHAT, Channel.EMAIL)
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


def seldom(draw: Draw, one_in: int) -> bool:
    """True once in so many times."""
    return draw(range(one_in)) == 0


def requirements(draw: Draw) -> Requirements:
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


def relaxation(draw: Draw) -> Relaxation:
    if draw((True, True, False)):
        return ()
    steps = [
        RelaxationStep(after_ms, requirements(draw), draw((None, None, 5, -2)))
        for after_ms in (500, 2_000, 30_000)
    ]
    return tuple(steps[: draw((1, 1, 2, 3))])


def any_contact(draw: Draw, floor: Floor, *states: ContactState) -> RefContact | None:
    """A contact in one of the states, now and then in any."""
    contacts = list(floor.contacts.values())
    fitting = [contact for contact in contacts if contact.state in states]
    if fitting and not seldom(draw, 10):
        return draw(fitting)
    return draw(contacts) if contacts else None


def contact_id_in(draw: Draw, floor: Floor, *states: ContactState) -> str:
    contact = any_contact(draw, floor, *states)
    return contact.contact_id if contact else "nobody"


def any_queue_id(draw: Draw, floor: Floor) -> str:
    """A queue that exists, now and then one that may not."""
    return draw((*list(floor.queues) * 10, *QUEUES, "nowhere"))


def any_agent_id(draw: Draw, floor: Floor) -> str:
    """An agent that exists, now and then one that may not."""
    return draw((*list(floor.agents) * 10, *AGENTS, "nobody"))


def any_etag(draw: Draw) -> str:
    return draw(("",) * 12 + ("1", "3", "x"))
