"""
What is learned of each agent in each queue: how long it handles a contact, and how well it goes.

A mean of the last contacts: plain over the first ESTIMATE_MEMORY, then exponential with that many
contacts as its time constant. It is used shrunk towards the queue's own mean, as if ESTIMATE_PRIOR
of the agent's contacts had been ordinary ones (the empirical Bayes estimate of Morris 1983, with a
fixed ratio of variances). Whole milliseconds and thousandths, so that rows of the log hold them.
"""

from engine.effects import EffectKind, Reason
from engine.kernels.boundary import Table, open_cell, open_estimates, open_queues
from engine.kernels.columns import (
    COMPLETED,
    ESTIMATE_DIRTY_COUNT,
    HANDLE_MS_SUM,
    OUTCOME_SUM,
    RATED,
)
from engine.kernels.compilation import kernel
from engine.kernels.recording import mark, mark_queue, record_agent
from engine.kernels.requests import IN_AGENT, IN_QUEUE
from engine.limits import ESTIMATE_MEMORY, ESTIMATE_PRIOR, ESTIMATES_MAX, RECENT_HANDLED_MAX
from engine.refusals import Refusal

_APPLIED = int(Refusal.NONE)
_E_RESET = int(EffectKind.AGENT_ESTIMATES_RESET)
_R_NONE = int(Reason.NONE)
_OUTCOME_ONE = 1_000.0


@kernel
def _place_of(table: Table, agent: int, queue: int) -> int:
    """Place that an agent's estimates of a queue have, -1 for none. O(1)."""
    known = open_estimates(table).queue[agent]
    for place in range(ESTIMATES_MAX):
        if known[place] == queue:
            return place
    return -1


@kernel
def slower(table: Table, agent: int, queue: int) -> float:
    """
    By what share an agent handles longer than is usual in the queue, below 0 for faster.

    0 where nothing is known. O(1).
    """
    totals = open_queues(table).totals[queue]
    if totals[HANDLE_MS_SUM] == 0:
        return 0.0
    place = _place_of(table, agent, queue)
    if place < 0:
        return 0.0
    estimates = open_estimates(table)
    handled = estimates.handled[agent, place]
    usual_ms = totals[HANDLE_MS_SUM] / totals[COMPLETED]
    excess = estimates.handle_ms[agent, place] / usual_ms - 1.0
    return handled * excess / (handled + ESTIMATE_PRIOR)


@kernel
def better_outcome(table: Table, agent: int, queue: int) -> float:
    """By how much an agent's outcomes exceed the queue's mean, -1 to 1; 0 as above. O(1)."""
    totals = open_queues(table).totals[queue]
    if totals[RATED] == 0:
        return 0.0
    place = _place_of(table, agent, queue)
    if place < 0:
        return 0.0
    estimates = open_estimates(table)
    rated = estimates.rated[agent, place]
    usual = totals[OUTCOME_SUM] / totals[RATED]
    excess = (estimates.outcome[agent, place] - usual) / _OUTCOME_ONE
    return rated * excess / (rated + ESTIMATE_PRIOR)


@kernel
def mark_estimates(table: Table, agent: int) -> None:
    """Put an agent's estimates into the list of rows to be written, once. O(1)."""
    estimates = open_estimates(table)
    mark(table, ESTIMATE_DIRTY_COUNT, estimates.is_dirty, estimates.dirty, agent)


@kernel
def _empty(table: Table, agent: int, place: int) -> None:
    """Forget what stands at a place. O(1)."""
    estimates = open_estimates(table)
    estimates.queue[agent, place] = -1
    estimates.handled[agent, place] = 0
    estimates.handle_ms[agent, place] = 0
    estimates.rated[agent, place] = 0
    estimates.outcome[agent, place] = 0


@kernel
def _known_at(table: Table, agent: int, place: int) -> int:
    """Contacts and outcomes that count at a place, -1 for an empty one. O(1)."""
    estimates = open_estimates(table)
    if estimates.queue[agent, place] < 0:
        return -1
    return estimates.handled[agent, place] + estimates.rated[agent, place]


@kernel
def _place_for(table: Table, agent: int, queue: int) -> int:
    """
    Place for an agent's estimates of a queue; the one with the fewest contacts makes room. O(1).
    """
    place = _place_of(table, agent, queue)
    if place >= 0:
        return place
    place = 0
    for other in range(1, ESTIMATES_MAX):
        if _known_at(table, agent, other) < _known_at(table, agent, place):
            place = other
    _empty(table, agent, place)
    open_estimates(table).queue[agent, place] = queue
    return place


@kernel
def _moved(mean: int, value: int, count: int) -> int:
    """Mean after one more value, of which it makes 1/count; halves go up. O(1)."""
    return mean + (2 * (value - mean) + count) // (2 * count)


@kernel
def learn_handling(table: Table, agent: int, queue: int, handle_ms: int) -> None:
    """Learn from a contact that an agent has handled. O(1)."""
    estimates = open_estimates(table)
    queues = open_queues(table)
    recent = min(queues.recent_handled[queue] + 1, RECENT_HANDLED_MAX)
    queues.recent_handled[queue] = recent
    queues.recent_handle_ms[queue] = _moved(queues.recent_handle_ms[queue], handle_ms, recent)
    place = _place_for(table, agent, queue)
    handled = min(estimates.handled[agent, place] + 1, ESTIMATE_MEMORY)
    estimates.handled[agent, place] = handled
    mean_ms = estimates.handle_ms[agent, place]
    estimates.handle_ms[agent, place] = _moved(mean_ms, handle_ms, handled)
    mark_estimates(table, agent)


@kernel
def learn_outcome(table: Table, agent: int, queue: int, outcome: int) -> None:
    """Learn how well a contact went, in thousandths. O(1)."""
    estimates = open_estimates(table)
    totals = open_queues(table).totals[queue]
    totals[RATED] += 1
    totals[OUTCOME_SUM] += outcome
    place = _place_for(table, agent, queue)
    rated = min(estimates.rated[agent, place] + 1, ESTIMATE_MEMORY)
    estimates.rated[agent, place] = rated
    mean = estimates.outcome[agent, place]
    estimates.outcome[agent, place] = _moved(mean, outcome, rated)
    mark_estimates(table, agent)
    mark_queue(table, queue)


@kernel
def forget_estimates(table: Table, agent: int, queue: int) -> None:
    """Forget what was learned of an agent in a queue, -1 = in all. O(1)."""
    estimates = open_estimates(table)
    for place in range(ESTIMATES_MAX):
        known = estimates.queue[agent, place]
        if known >= 0 and queue in (-1, known):
            _empty(table, agent, place)
            mark_estimates(table, agent)


@kernel
def forget_queue(table: Table, queue: int) -> None:
    """Forget what was learned of anybody in a queue. O(agents)."""
    for agent in range(open_estimates(table).queue.shape[0]):
        forget_estimates(table, agent, queue)


@kernel
def reset_estimates(table: Table) -> int:
    """Forget what was learned of the agent in the queue, -1 = in all, as asked. O(1)."""
    request = open_cell(table).request
    forget_estimates(table, request[IN_AGENT], request[IN_QUEUE])
    record_agent(table, _E_RESET, request[IN_AGENT], 0, _R_NONE)
    return _APPLIED
