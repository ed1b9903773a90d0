"""
The score of an agent for a contact, and the claim of a contact on an agent: one formula, of which
the strategies are presets of the weights.

    fit      = preferred_skills * sum(weight_k * proficiency_k / 5 over preferred skills)
             + skill            * mean(proficiency_k / 5 over required skills)
             + preferred_agent, where the contact prefers the agent
             - handle_time      * (agent's handling time in the queue / the queue's - 1)
             + outcome          * (agent's mean outcome in the queue - the queue's)
    standing = idle             * ln(1 + idle time / 1 min), 0 while the agent holds any contact
             - load             * capacity used / capacity
             + turn             * ln(1 + offers made since the agent's last one)
             - versatility      * (1 - 1 / (queues served + skills held))
             - occupancy        * occupancy
    pressure = wait             * e
             + urgency          * max(0, e - urgent_from)
             - lateness         * max(0, e - 1)

with e the effective age, routing age + priority * the queue's priority_age, in units of the queue's
service-level time. A contact goes to the agent with the best score = fit + standing, for pressure
is alike to all; a freed agent takes the contact with the best claim = pressure + fit, for standing
is its own. Past the queue's starvation bound a contact goes before all that are not, by its age
alone. Else contacts of a queue of higher priority go before those of a lower one, whatever they
claim. A LIFO queue claims with its contacts' claims as any other, so that it does not starve beside
others; only then its newest contact of the highest priority is taken. Handling times and outcomes
are shrunk towards the queue's mean (`estimates`).

Ties between agents go to the lower load ratio, then to the longer idle, then to the lower row;
between contacts to the older, then to the earlier: the same state always yields the same offer.
Terms are added in this order, in float64 without reassociation, so that a replay repeats a live run
bit for bit. The form is that of cost-per-delay rules with skill, fairness and scarcity terms
(Gans, Koole, Mandelbaum 2003, section 5; Chan, Koole, L'Ecuyer 2014).
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
    open_contacts,
    open_queues,
    open_requirements,
)
from engine.kernels.capacity import load_ratio, occupancy
from engine.kernels.columns import (
    NEXT_OFFER,
    NOW_MS,
    URGENT_FROM,
    W_HANDLE_TIME,
    W_IDLE,
    W_LATENESS,
    W_LOAD,
    W_OCCUPANCY,
    W_OUTCOME,
    W_PREFERRED_AGENT,
    W_PREFERRED_SKILLS,
    W_SKILL,
    W_TURN,
    W_URGENCY,
    W_VERSATILITY,
    W_WAIT,
)
from engine.kernels.compilation import kernel
from engine.kernels.estimates import better_outcome, slower
from engine.kernels.waiting import key_offset_ms
from engine.limits import PROFICIENCY_MAX

_MINUTE_MS: Final = 60_000.0


@kernel
def skill_fit(table: Table, agent: int, requirement: int, weight: NDArray[np.float64]) -> float:
    """The two skill terms of the fit. O(items of the requirement)."""
    requirements = open_requirements(table)
    proficiency = open_agents(table).proficiency[agent]
    fit = 0.0
    for item in range(requirements.preferred_count[requirement]):
        level = proficiency[requirements.preferred_skill[requirement, item]]
        fit += (
            weight[W_PREFERRED_SKILLS]
            * requirements.preferred_weight[requirement, item]
            * level
            / PROFICIENCY_MAX
        )
    return fit + required_fit(table, agent, requirement, weight)


@kernel
def required_fit(table: Table, agent: int, requirement: int, weight: NDArray[np.float64]) -> float:
    """The term of the required skills, 0 without any. O(items of the requirement)."""
    requirements = open_requirements(table)
    count = requirements.skill_count[requirement]
    if weight[W_SKILL] == 0.0 or count == 0:
        return 0.0
    proficiency = open_agents(table).proficiency[agent]
    total = 0
    for item in range(count):
        total += proficiency[requirements.skill[requirement, item]]
    return weight[W_SKILL] * (total / (count * PROFICIENCY_MAX))


@kernel
def is_preferred(table: Table, agent: int, requirement: int) -> bool:
    """Whether a requirement names the agent as a better match. O(items)."""
    requirements = open_requirements(table)
    for item in range(requirements.preferred_agent_count[requirement]):
        if requirements.preferred_agent[requirement, item] == agent:
            return True
    return False


@kernel
def fit(table: Table, agent: int, class_row: int) -> float:
    """How well an agent suits contacts of a class. O(items of the requirement)."""
    classes = open_classes(table)
    queue = classes.queue[class_row]
    requirement = classes.requirement[class_row]
    weight = open_queues(table).weight[queue]
    total = skill_fit(table, agent, requirement, weight)
    if is_preferred(table, agent, requirement):
        total += weight[W_PREFERRED_AGENT]
    if weight[W_HANDLE_TIME] != 0.0:
        total -= weight[W_HANDLE_TIME] * slower(table, agent, queue)
    if weight[W_OUTCOME] != 0.0:
        total += weight[W_OUTCOME] * better_outcome(table, agent, queue)
    return total


@kernel
def score_agent(table: Table, agent: int, class_row: int) -> float:
    """
    Score of an eligible agent for contacts of the class, higher is better.

    O(items of the requirement).
    """
    agents = open_agents(table)
    scalar = open_cell(table).scalar
    weight = open_queues(table).weight[open_classes(table).queue[class_row]]
    score = fit(table, agent, class_row)
    if weight[W_IDLE] != 0.0 and agents.contact_count[agent] == 0:
        idle_ms = scalar[NOW_MS] - agents.idle_since_ms[agent]
        score += weight[W_IDLE] * math.log(1.0 + idle_ms / _MINUTE_MS)
    if weight[W_LOAD] != 0.0:
        score -= weight[W_LOAD] * load_ratio(table, agent)
    if weight[W_TURN] != 0.0:
        score += weight[W_TURN] * math.log(1.0 + (scalar[NEXT_OFFER] - agents.last_offer[agent]))
    if weight[W_VERSATILITY] != 0.0:
        score -= weight[W_VERSATILITY] * agents.versatility[agent]
    if weight[W_OCCUPANCY] != 0.0:
        score -= weight[W_OCCUPANCY] * occupancy(table, agent)
    return score


@kernel
def write_terms(
    table: Table, agent: int, class_row: int, term: NDArray[np.float64], first: int
) -> None:
    """
    Write the terms of a score from place `first` on, SCORE_TERMS of them, in the formula's order;
    each with its sign and weight, so that their sum is the score but for rounding.

    O(items of the requirement).
    """
    agents = open_agents(table)
    classes = open_classes(table)
    scalar = open_cell(table).scalar
    queue = classes.queue[class_row]
    requirement = classes.requirement[class_row]
    weight = open_queues(table).weight[queue]
    skills = skill_fit(table, agent, requirement, weight)
    required = required_fit(table, agent, requirement, weight)
    term[first] = skills - required
    term[first + 1] = required
    term[first + 2] = weight[W_PREFERRED_AGENT] * is_preferred(table, agent, requirement)
    term[first + 3] = -weight[W_HANDLE_TIME] * slower(table, agent, queue)
    term[first + 4] = weight[W_OUTCOME] * better_outcome(table, agent, queue)
    term[first + 5] = 0.0
    if agents.contact_count[agent] == 0:
        idle_ms = scalar[NOW_MS] - agents.idle_since_ms[agent]
        term[first + 5] = weight[W_IDLE] * math.log(1.0 + idle_ms / _MINUTE_MS)
    term[first + 6] = -weight[W_LOAD] * load_ratio(table, agent)
    turns = scalar[NEXT_OFFER] - agents.last_offer[agent]
    term[first + 7] = weight[W_TURN] * math.log(1.0 + turns)
    term[first + 8] = -weight[W_VERSATILITY] * agents.versatility[agent]
    term[first + 9] = -weight[W_OCCUPANCY] * occupancy(table, agent)


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
def is_starving(table: Table, contact: int) -> bool:
    """Whether a waiting contact is past its queue's starvation bound. O(1)."""
    contacts = open_contacts(table)
    bound_ms = open_queues(table).starvation_ms[contacts.queue[contact]]
    age_ms = open_cell(table).scalar[NOW_MS] - contacts.since_ms[contact]
    return 0 < bound_ms <= age_ms


@kernel
def standing_of(table: Table, contact: int, its_fit: float) -> tuple[bool, int, float]:
    """
    What waiting contacts are compared by, the greatest first: whether they starve; if they do not,
    their queue's priority; and their claim on an agent whose fit is given. O(1).
    """
    starves = is_starving(table, contact)
    queues = open_queues(table)
    rank = 0 if starves else queues.priority[open_contacts(table).queue[contact]]
    return starves, rank, claim_of(table, contact, its_fit)


@kernel
def claim_of(table: Table, contact: int, its_fit: float) -> float:
    """
    Claim of a waiting contact on an agent whose fit is given, higher is sooner.

    Compares contacts that starve with each other, and those that do not. Among contacts of one
    class it never falls with age, for lateness weighs no more than wait and urgency together. O(1).
    """
    contacts = open_contacts(table)
    queues = open_queues(table)
    queue = contacts.queue[contact]
    now_ms = open_cell(table).scalar[NOW_MS]
    since_ms = contacts.since_ms[contact]
    if is_starving(table, contact):
        return (now_ms - since_ms) * queues.per_target_ms[queue]
    age_ms = now_ms - since_ms + key_offset_ms(table, contacts.class_row[contact])
    ratio = age_ms * queues.per_target_ms[queue]
    weight = queues.weight[queue]
    claim = weight[W_WAIT] * ratio
    if weight[W_URGENCY] != 0.0:
        claim += weight[W_URGENCY] * max(0.0, ratio - weight[URGENT_FROM])
    if weight[W_LATENESS] != 0.0:
        claim -= weight[W_LATENESS] * max(0.0, ratio - 1.0)
    return claim + its_fit
