"""
The score of an agent for a contact: one formula, of which the strategies are presets of the
weights.

    score = w_preferred * sum(weight_k * proficiency_k / 5 over preferred skills)
          + w_skill     * mean(proficiency_k / 5 over required skills)
          + w_idle      * ln(1 + idle time / 1 min), 0 while the agent holds any contact
          - w_load      * capacity used / capacity
          + w_turn      * ln(1 + offers made since the agent's last one)

Ties go to the lower load ratio, then to the longer idle, then to the lower row: the same state
always yields the same offer. Terms are added in this order, in float64 without reassociation, so
that a replay repeats a live run bit for bit.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.kernels.boundary import (
    Table,
    open_agents,
    open_cell,
    open_classes,
    open_queues,
    open_requirements,
)
from engine.kernels.columns import (
    NEXT_OFFER,
    NOW_MS,
    W_IDLE,
    W_LOAD,
    W_PREFERRED,
    W_SKILL,
    W_TURN,
    WEIGHTS,
)
from engine.kernels.compilation import kernel
from engine.lifecycle import Strategy
from engine.limits import PROFICIENCY_MAX

_MINUTE_MS: Final = 60_000.0


def weights_of(strategy: Strategy) -> NDArray[np.float64]:
    """
    Weights of a strategy, (WEIGHTS,), dimensionless.

    A contact's preferred skills count under every strategy.
    """
    weights = np.zeros(WEIGHTS)
    weights[W_PREFERRED] = 1.0
    match strategy:
        case Strategy.LONGEST_IDLE:
            weights[W_IDLE] = 1.0
        case Strategy.LEAST_OCCUPIED:
            weights[W_LOAD] = 1.0
        case Strategy.ROUND_ROBIN:
            weights[W_TURN] = 1.0
        case Strategy.BEST_SCORE:
            weights[W_SKILL] = 0.5
            weights[W_IDLE] = 0.1
            weights[W_LOAD] = 0.2
    return weights


@kernel
def load_ratio(table: Table, agent: int) -> float:
    """Capacity used / capacity, 0 to 1, or above 1 after capacity was lowered. O(1)."""
    agents = open_agents(table)
    return agents.used[agent] / agents.capacity[agent]


@kernel
def skill_fit(table: Table, agent: int, requirement: int, weight: NDArray[np.float64]) -> float:
    """The two skill terms of the score. O(items of the requirement)."""
    requirements = open_requirements(table)
    proficiency = open_agents(table).proficiency[agent]
    fit = 0.0
    for item in range(requirements.preferred_count[requirement]):
        level = proficiency[requirements.preferred_skill[requirement, item]]
        fit += (
            weight[W_PREFERRED]
            * requirements.preferred_weight[requirement, item]
            * level
            / PROFICIENCY_MAX
        )
    count = requirements.skill_count[requirement]
    if weight[W_SKILL] != 0.0 and count > 0:
        total = 0
        for item in range(count):
            total += proficiency[requirements.skill[requirement, item]]
        fit += weight[W_SKILL] * (total / (count * PROFICIENCY_MAX))
    return fit


@kernel
def score_agent(table: Table, agent: int, class_row: int) -> float:
    """
    Score of an eligible agent for contacts of the class, higher is better.

    O(items of the requirement).
    """
    agents = open_agents(table)
    classes = open_classes(table)
    scalar = open_cell(table).scalar
    weight = open_queues(table).weight[classes.queue[class_row]]
    score = skill_fit(table, agent, classes.requirement[class_row], weight)
    if weight[W_IDLE] != 0.0 and agents.contact_count[agent] == 0:
        idle_ms = scalar[NOW_MS] - agents.idle_since_ms[agent]
        score += weight[W_IDLE] * math.log(1.0 + idle_ms / _MINUTE_MS)
    if weight[W_LOAD] != 0.0:
        score -= weight[W_LOAD] * load_ratio(table, agent)
    if weight[W_TURN] != 0.0:
        score += weight[W_TURN] * math.log(1.0 + (scalar[NEXT_OFFER] - agents.last_offer[agent]))
    return score


@kernel
def is_better_tie(table: Table, agent: int, best: int) -> bool:
    """Whether `agent` wins a tie against `best`, which has the lower row. O(1)."""
    agents = open_agents(table)
    load = load_ratio(table, agent)
    best_load = load_ratio(table, best)
    if load != best_load:
        return load < best_load
    return agents.idle_since_ms[agent] < agents.idle_since_ms[best]


@kernel
def claim_of_head(table: Table, agent: int, class_row: int) -> float:
    """
    Claim of a class's head on a freed agent, higher is sooner.

    Effective age (routing age plus what priority is worth) in units of the queue's service-level
    time, plus the skill terms of the score. O(items of the requirement).
    """
    classes = open_classes(table)
    queues = open_queues(table)
    queue = classes.queue[class_row]
    effective_age_ms = open_cell(table).scalar[NOW_MS] - classes.head_key_ms[class_row]
    fit = skill_fit(table, agent, classes.requirement[class_row], queues.weight[queue])
    return effective_age_ms * queues.claim_per_ms[queue] + fit
