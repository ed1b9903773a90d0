"""
How long a contact will wait: a birth-death approximation of the queue it stands in.

With c agents' worth of room, a mean handling time 1/mu, Q contacts ahead and a rate theta at which
those who wait give up, the wait of a contact that does not give up is a sum of exponential times:

    E[W]   = sum over j = 0..Q of 1 / (c mu + j theta)
    Var[W] = sum over j = 0..Q of 1 / (c mu + j theta)^2

(the virtual wait of M/M/c+M; Whitt 1999, "Predicting queueing delays"; with theta = 0 the plain
(Q + 1) / (c mu)). Its quantiles are those of the gamma distribution with that mean and variance, by
Wilson and Hilferty's approximation. Agents who serve several queues count in part for each that has
contacts waiting. The estimate knows neither who will sign in or out nor what comes to other queues.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.commands import Requirements, Route
from engine.kernels.columns import ABANDONED, ABANDONED_MS_SUM, LEVELS, WAIT_MS_SUM
from engine.kernels.requests import (
    IN_CONTACT,
    IN_OPERATION,
    IN_QUEUE,
    IN_SINCE_MS,
    IN_VALUE,
    OUT_COUNT,
    OUT_POSITION,
    Operation,
)
from engine.lifecycle import Channel, EstimateStatus, Intake
from engine.limits import ESTIMATE_SAMPLES_MIN
from engine.state.cell import CellState

# Contacts ahead up to which the sums are taken term by term; integrals serve beyond.
_SUMMED_MAX: Final = 1_000
# Normal quantile of 10 % and, with the other sign, of 90 %.
Z_90: Final = 1.2815515655446004


class WaitEstimate(NamedTuple):
    """
    How long a contact will wait from now on.

    Attributes
    ----------
    status
        Whether there is an estimate; without one the times are 0.
    position
        Place in the queue, 1 is the head.
    expected_ms
        Mean.
    low_ms, high_ms
        10 % and 90 % quantile.
    samples
        Handled contacts that the handling time is the mean of.
    agents
        Agents available who could take the contact, busy with others or not.
    """

    status: EstimateStatus
    position: int = 0
    expected_ms: int = 0
    low_ms: int = 0
    high_ms: int = 0
    samples: int = 0
    agents: int = 0


class _Asked(NamedTuple):
    """What is asked of whom."""

    queue_row: int
    channel: Channel
    requirements: Requirements


def estimate_contact(cell: CellState, contact_row: int) -> WaitEstimate:
    """The estimate for a contact that waits; the queue's totals will tell how good it was."""
    contacts, classes = cell.store.columns.contacts, cell.store.columns.classes
    class_row = int(contacts.class_row[contact_row])
    asked = _Asked(
        int(classes.queue[class_row]),
        Channel(int(classes.channel[class_row])),
        cell.classes.requirements_of(class_row),
    )
    cell.run_on(Operation.READ_CONTACT, IN_CONTACT, contact_row)
    return _estimate(cell, asked, cell.store.outcome[OUT_POSITION])


def note_estimate(cell: CellState, contact_row: int, estimate: WaitEstimate, now_ms: int) -> None:
    """Have the estimate compared with what comes."""
    if estimate.status is EstimateStatus.ESTIMATED:
        contacts = cell.store.columns.contacts
        contacts.estimated_ms[contact_row] = now_ms
        contacts.expected_by_ms[contact_row] = now_ms + estimate.expected_ms
        contacts.expected_until_ms[contact_row] = now_ms + estimate.high_ms


def estimate_newcomer(cell: CellState, newcomer: Route, now_ms: int) -> WaitEstimate:
    """
    The estimate for a contact that would be routed; checked before on its own.

    Raises
    ------
    CommandRefused
        As Route for a queue, skill, tag or agent that is unknown.
    """
    queue_row = cell.queue_row(newcomer.queue_id)
    cell.names.check(newcomer.requirements, "requirements", is_last=True)
    age_ms = int(cell.store.columns.queues.priority_age_ms[queue_row])
    request = cell.store.request
    request[IN_OPERATION] = Operation.READ_AHEAD
    request[IN_QUEUE] = queue_row
    request[IN_VALUE] = newcomer.priority
    request[IN_SINCE_MS] = now_ms - newcomer.routing_age_ms - newcomer.priority * age_ms
    cell.store.run()
    asked = _Asked(queue_row, newcomer.channel, newcomer.requirements)
    return _estimate(cell, asked, cell.store.outcome[OUT_COUNT] + 1)


def _estimate(cell: CellState, asked: _Asked, position: int) -> WaitEstimate:
    queues = cell.store.columns.queues
    rows = _who_could(cell, asked)
    samples = int(queues.recent_handled[asked.queue_row])
    status = _status(cell, asked, rows, samples)
    if status is not EstimateStatus.ESTIMATED:
        return WaitEstimate(status, position, samples=samples, agents=len(rows))
    servers = _servers(cell, asked, rows)
    served_per_ms = servers / max(1, int(queues.recent_handle_ms[asked.queue_row]))
    left_per_ms = _abandonment_per_ms(cell, asked.queue_row)
    mean_ms, variance = wait_moments(served_per_ms, left_per_ms, position - 1)
    low_ms, high_ms = gamma_quantiles(mean_ms, variance)
    return WaitEstimate(
        status, position, round(mean_ms), round(low_ms), round(high_ms), samples, len(rows)
    )


def _status(cell: CellState, asked: _Asked, rows: NDArray[np.intp], samples: int) -> EstimateStatus:
    columns = cell.store.columns
    if columns.queues.intake[asked.queue_row] == Intake.PAUSED:
        return EstimateStatus.PAUSED
    if len(rows) == 0:
        return EstimateStatus.NO_AGENTS
    free = columns.bitsets.free_agents[asked.channel]
    if bool((free[rows >> 6] >> (rows & 63).astype(np.uint64) & np.uint64(1)).any()):
        return EstimateStatus.NO_WAIT
    if samples < ESTIMATE_SAMPLES_MIN:
        return EstimateStatus.INSUFFICIENT_DATA
    return EstimateStatus.ESTIMATED


def _who_could(cell: CellState, asked: _Asked) -> NDArray[np.intp]:
    """Rows of available agents who could take the contact when they have room."""
    columns = cell.store.columns
    bitsets = columns.bitsets
    names = cell.names
    members = bitsets.queue_agents[asked.queue_row] & bitsets.available_agents[0]
    for item in asked.requirements.skills:
        number = names.skills.number_of(item.skill)
        members &= bitsets.skill_agents[number * LEVELS + item.proficiency_min - 1]
    for tag in asked.requirements.tags:
        members &= bitsets.tag_agents[names.tags.number_of(tag)]
    if asked.requirements.tags_any:
        numbers = [names.tags.number_of(tag) for tag in asked.requirements.tags_any]
        members &= np.bitwise_or.reduce(bitsets.tag_agents[numbers], axis=0)
    for tag in asked.requirements.tags_none:
        if names.tags.number_of(tag) >= 0:
            members &= ~bitsets.tag_agents[names.tags.number_of(tag)]
    rows = np.flatnonzero(np.unpackbits(members.view(np.uint8), bitorder="little"))
    if asked.requirements.agent_ids:
        named = [cell.agents.slots.row_of(name) for name in asked.requirements.agent_ids]
        rows = rows[np.isin(rows, named)]
    cost = columns.agents.channel_cost[rows, asked.channel]
    could: NDArray[np.intp] = rows[(cost > 0) & (cost <= columns.agents.capacity[rows])]
    return could


def _servers(cell: CellState, asked: _Asked, rows: NDArray[np.intp]) -> float:
    """
    Contacts of the channel that these agents take at a time; who serves several queues where
    contacts wait counts in part.
    """
    columns = cell.store.columns
    agents, bitsets = columns.agents, columns.bitsets
    room = agents.capacity[rows] // agents.channel_cost[rows, asked.channel]
    room = np.minimum(room, agents.channel_max[rows, asked.channel])
    waiting = bitsets.waiting_queues[0].copy()
    waiting[asked.queue_row >> 6] |= np.uint64(1 << (asked.queue_row & 63))
    shared = np.bitwise_count(bitsets.agent_queues[rows] & waiting).sum(axis=1)
    return float((room / shared).sum())


def _abandonment_per_ms(cell: CellState, queue_row: int) -> float:
    """
    Rate at which a waiting contact gives up: abandonments over time waited, the maximum likelihood
    estimate for exponential patience with answered contacts censored.
    """
    totals = cell.store.columns.queues.totals[queue_row]
    waited_ms = int(totals[WAIT_MS_SUM] + totals[ABANDONED_MS_SUM])
    return int(totals[ABANDONED]) / waited_ms if waited_ms else 0.0


def wait_moments(served_per_ms: float, left_per_ms: float, ahead: int) -> tuple[float, float]:
    """
    Mean, milliseconds, and variance of a wait behind `ahead` contacts; see the module's docstring.

    Beyond the first thousand terms the sums go on as integrals.
    """
    count = min(ahead + 1, _SUMMED_MAX)
    rates = served_per_ms + left_per_ms * np.arange(count)
    mean, variance = float((1.0 / rates).sum()), float((1.0 / rates**2).sum())
    rest = ahead + 1 - count
    if rest and left_per_ms == 0.0:
        return mean + rest / served_per_ms, variance + rest / served_per_ms**2
    if rest:
        # By the midpoint rule, from half a step before the first term left to half after the last.
        first = served_per_ms + left_per_ms * (count - 0.5)
        last = served_per_ms + left_per_ms * (ahead + 0.5)
        mean += math.log(last / first) / left_per_ms
        variance += (1.0 / first - 1.0 / last) / left_per_ms
    return mean, variance


def gamma_quantiles(mean: float, variance: float) -> tuple[float, float]:
    """
    The 10 % and 90 % quantile of a gamma distribution (Wilson and Hilferty 1931), 0 at least.
    """
    shape = mean * mean / variance
    ninth = 1.0 / (9.0 * shape)
    low, high = (mean * max(0.0, 1.0 - ninth + z * math.sqrt(ninth)) ** 3 for z in (-Z_90, Z_90))
    return low, high
