"""Exact cases as simpy's users write them. Rates are per minute, times minutes."""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from random import Random
from typing import Any, Final, NamedTuple

import simpy

from benchmarks.peer_calls import Call, Outcome
from tests.simulation.exact_floors import listed_skills

Params = Mapping[str, Any]
_Steps = Generator[simpy.Event, Any, None]
# Starts a call of a kind.
_Caller = Callable[[int], _Steps]

_KINDS: Final = 6
_PER_MINUTE: Final = 1.4
_HANDLING: Final = 10.0
_TRUNKS: Final = 120


def one_pool(params: Params, minutes: float, seed: int) -> Sequence[Call]:
    """Agents who are alike; callers wait for as long as it takes."""
    env, draw, calls = simpy.Environment(), Random(seed), list[Call]()
    agents = simpy.Resource(env, params["c"])

    def call(kind: int) -> _Steps:
        arrived = env.now
        with agents.request() as request:
            yield request
            calls.append(Call(kind, arrived, env.now - arrived, Outcome.ANSWERED))
            yield env.timeout(draw.expovariate(params["mu"]))

    env.process(_arrivals(env, draw, params["lam"], 0, call))
    env.run(minutes)
    return calls


def impatient(params: Params, minutes: float, seed: int) -> Sequence[Call]:
    """Agents who are alike; callers hang up when their patience ends."""
    env, draw, calls = simpy.Environment(), Random(seed), list[Call]()
    agents = simpy.Resource(env, params["c"])

    def call(kind: int) -> _Steps:
        arrived = env.now
        with agents.request() as request:
            answered = yield request | env.timeout(draw.expovariate(params["theta"]))
            outcome = Outcome.ANSWERED if request in answered else Outcome.ABANDONED
            calls.append(Call(kind, arrived, env.now - arrived, outcome))
            if outcome is Outcome.ANSWERED:
                yield env.timeout(draw.expovariate(params["mu"]))

    env.process(_arrivals(env, draw, params["lam"], 0, call))
    env.run(minutes)
    return calls


def priorities(params: Params, minutes: float, seed: int) -> Sequence[Call]:
    """Two kinds of callers; the first go before the others."""
    env, draw, calls = simpy.Environment(), Random(seed), list[Call]()
    agents = simpy.PriorityResource(env, params["c"])

    def call(kind: int) -> _Steps:
        arrived = env.now
        with agents.request(priority=kind) as request:
            yield request
            calls.append(Call(kind, arrived, env.now - arrived, Outcome.ANSWERED))
            yield env.timeout(draw.expovariate(params["mu"]))

    for kind, rate in enumerate(params["lam"]):
        env.process(_arrivals(env, draw, rate, kind, call))
    env.run(minutes)
    return calls


def skills(params: Params, minutes: float, seed: int) -> Sequence[Call]:
    """Who may do what: longest waiting caller, longest idle agent, which is a FilterStore's way."""
    env, draw, calls = simpy.Environment(), Random(seed), list[Call]()
    idle = simpy.FilterStore(env)
    idle.items = [
        _Agent(frozenset(held), rate)
        for held, rate in zip(params["skills"], params["mus"], strict=True)
    ]

    def call(kind: int) -> _Steps:
        arrived = env.now
        agent = yield idle.get(lambda agent: kind in agent.skills)
        calls.append(Call(kind, arrived, env.now - arrived, Outcome.ANSWERED))
        yield env.timeout(draw.expovariate(agent.rate))
        yield idle.put(agent)

    for kind, rate in enumerate(params["lam"]):
        env.process(_arrivals(env, draw, rate, kind, call))
    env.run(minutes)
    return calls


def skill_lists(params: Params, minutes: float, seed: int) -> Sequence[Call]:
    """Ninety agents with skills in an order of their own, behind 120 trunks."""
    env, draw, calls = simpy.Environment(), Random(seed), list[Call]()
    floor = _ListedFloor(params["k"])
    free_trunks = _TRUNKS

    def call(kind: int) -> _Steps:
        nonlocal free_trunks
        arrived = env.now
        if free_trunks == 0:
            calls.append(Call(kind, arrived, 0.0, Outcome.BLOCKED))
            return
        free_trunks -= 1
        agent = floor.take(kind)
        if agent is None:
            turn = env.event()
            floor.waiting[kind].append(turn)
            agent = yield turn
        calls.append(Call(kind, arrived, env.now - arrived, Outcome.ANSWERED))
        yield env.timeout(draw.expovariate(1.0 / _HANDLING))
        free_trunks += 1
        floor.free(agent)

    for kind in range(_KINDS):
        env.process(_arrivals(env, draw, _PER_MINUTE, kind, call))
    env.run(minutes)
    return calls


class _Agent(NamedTuple):
    skills: frozenset[int]
    rate: float


class _ListedFloor:
    """Who is idle, by kind and by the kind's place in the agent's list, and who waits."""

    def __init__(self, first: int) -> None:
        self._lists = listed_skills(first)
        # Dictionaries keep the order of entry: the longest idle comes first.
        self._idle: list[list[dict[int, None]]] = [
            [{} for _ in range(first)] for _ in range(_KINDS)
        ]
        self.waiting: list[deque[simpy.Event]] = [deque() for _ in range(_KINDS)]
        for agent in range(len(self._lists)):
            self._rest(agent)

    def take(self, kind: int) -> int | None:
        """The idle agent in whose list the kind stands first; None where nobody is idle."""
        for idle in self._idle[kind]:
            if idle:
                agent = next(iter(idle))
                for place, other in enumerate(self._lists[agent]):
                    del self._idle[other][place][agent]
                return agent
        return None

    def free(self, agent: int) -> None:
        """Give the agent the caller who waits longest for the first skill in its list."""
        for kind in self._lists[agent]:
            if self.waiting[kind]:
                self.waiting[kind].popleft().succeed(agent)
                return
        self._rest(agent)

    def _rest(self, agent: int) -> None:
        for place, kind in enumerate(self._lists[agent]):
            self._idle[kind][place][agent] = None


def _arrivals(
    env: simpy.Environment, draw: Random, rate: float, kind: int, call: _Caller
) -> _Steps:
    while True:
        yield env.timeout(draw.expovariate(rate))
        env.process(call(kind))
