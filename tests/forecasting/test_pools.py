"""Agents shared by queues: against linear programmes, and what pools are made of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from engine.forecasting.pools import (
    Membership,
    Shares,
    membership,
    pooled,
    share_agents,
)
from engine.refusals import BadConfiguration


def fair_agents(serving: Membership, agents: np.ndarray, load: np.ndarray) -> np.ndarray:
    """
    Agents of each queue by linear programmes: the worst-off as well off as can be, then the next.

    Each programme raises the agents per erlang of all queues not yet fixed; those that cannot go
    above the optimum, which another programme tells of each, are fixed at it.
    """
    links, queues = len(serving.queue), serving.queues
    from_group = np.zeros((serving.groups, links + 1))
    from_group[serving.group, np.arange(links)] = 1.0
    to_queue = np.zeros((queues, links + 1))
    to_queue[serving.queue, np.arange(links)] = 1.0
    fixed: dict[int, float] = {}

    def solved(goal: np.ndarray, floor_of: np.ndarray) -> np.ndarray:
        """Most of a goal, with every queue at least at its floor times the last variable."""
        rows, bounds = [], []
        for queue in range(queues):
            row = -to_queue[queue]
            if queue in fixed:
                bounds.append(-fixed[queue] * load[queue] + 1e-9)
            else:
                row = row + floor_of[queue] * np.eye(1, links + 1, links)[0]
                bounds.append(0.0)
            rows.append(row)
        found = linprog(-goal, np.array(rows), bounds, from_group, agents)
        assert found.success
        return found.x

    while len(fixed) < queues:
        best = solved(np.eye(1, links + 1, links)[0], load)[-1]
        newly = []
        for queue in set(range(queues)) - fixed.keys():
            # All at the optimum at least: how high can this one go?
            goal = to_queue[queue]
            rows = -to_queue[:, :-1]
            least = [fixed.get(k, best) * load[k] * (1 - 1e-9) for k in range(queues)]
            found = linprog(-goal[:-1], rows, -np.array(least), from_group[:, :-1], agents)
            if -found.fun <= best * load[queue] * (1 + 1e-6) + 1e-9:
                newly.append(queue)
        assert newly
        fixed |= dict.fromkeys(newly, best)
    return np.array([fixed[queue] * load[queue] for queue in range(queues)])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_shares_are_those_of_the_linear_programmes(seed: int) -> None:
    """Who serves what decides; beyond that nobody is better off at the cost of the worse-off."""
    draw = np.random.default_rng(seed)
    queues, groups = int(draw.integers(1, 7)), int(draw.integers(1, 6))
    served = [
        draw.choice(queues, int(draw.integers(1, queues + 1)), replace=False).tolist()
        for _ in range(groups)
    ]
    # A queue nobody serves has no agents, whatever the others do.
    queues_served = sorted({row for rows in served for row in rows})
    place = {row: number for number, row in enumerate(queues_served)}
    serving = membership([[place[row] for row in rows] for rows in served], len(queues_served))
    agents = draw.integers(1, 30, groups).astype(np.float64)
    load = draw.uniform(0.5, 20.0, len(queues_served))
    found = share_agents(serving, agents, load)
    np.testing.assert_allclose(found.agents, fair_agents(serving, agents, load), rtol=0.01)
    sums = np.bincount(serving.group, found.link, serving.groups)
    np.testing.assert_allclose(sums, 1.0)
    assert found.agents.sum() == pytest.approx(agents.sum())


def test_shared_agents_go_where_the_load_is() -> None:
    """Eight alone, twelve shared: by the number of queues the second would get six of twelve."""
    serving = membership([[0], [0, 1]], 2)
    found = share_agents(serving, np.array([8.0, 12.0]), np.array([8.0, 8.0]))
    assert found.agents.tolist() == pytest.approx([10.0, 10.0], rel=1e-3)
    assert found.pool.tolist() == [0, 0]
    # So little load that its own eight are more than enough: all twelve go to the other.
    found = share_agents(serving, np.array([8.0, 12.0]), np.array([2.0, 20.0]))
    assert found.agents.tolist() == pytest.approx([8.0, 12.0])
    assert found.link.tolist() == pytest.approx([1.0, 0.0, 1.0])
    assert found.pool.tolist() == [0, 1]


def test_pools_are_named_by_their_lowest_row_and_summed() -> None:
    """A chain of shared agents is one pool; a queue of its own is another."""
    serving = membership([[3, 2], [2, 1], [0]], 4)
    found = share_agents(serving, np.array([5.0, 5.0, 5.0]), np.array([9.0, 2.0, 2.0, 2.0]))
    assert found.pool.tolist() == [0, 1, 1, 1]
    assert pooled(found, np.array([1.0, 2.0, 3.0, 4.0])).tolist() == [1.0, 9.0, 9.0, 9.0]
    both = pooled(found, np.ones((4, 2)))
    assert both.tolist() == [[1.0, 1.0], [3.0, 3.0], [3.0, 3.0], [3.0, 3.0]]


def test_queues_without_load_or_agents_are_said_to_be_so() -> None:
    """Nothing to do and nobody to do it are not the same."""
    serving = membership([[0, 1], []], 4)
    found = share_agents(serving, np.array([4.0, 3.0]), np.array([0.0, 0.0, 0.0, 2.0]))
    assert found.agents.tolist() == pytest.approx([2.0, 2.0, 0.0, 0.0])
    assert found.level.tolist() == [0.0, 0.0, 0.0, np.inf]
    assert found.pool.tolist() == [0, 0, 2, 3]


def test_going_on_from_the_second_before_comes_nearer() -> None:
    """What a second has no time for the next one does."""
    serving = membership([[row, row + 1] for row in range(3_000)], 3_001)
    draw = np.random.default_rng(1)
    agents, load = draw.integers(1, 9, 3_000).astype(np.float64), draw.uniform(1.0, 9.0, 3_001)

    def unevenness(shares: Shares) -> float:
        """How far groups are from giving only to the highest level."""
        level = shares.level[serving.queue]
        highest = np.zeros(3_000)
        np.maximum.at(highest, serving.group, level)
        gives = shares.link > 0.0
        return float((1.0 - level / highest[serving.group])[gives].mean())

    first = share_agents(serving, agents, load)
    again = share_agents(serving, agents, load, first)
    assert unevenness(again) <= unevenness(first) < 0.02
    # Shares of another membership are no beginning.
    other = first._replace(link=np.ones_like(first.link))
    assert share_agents(serving, agents, load, other).agents.tolist() == first.agents.tolist()
    repeated = share_agents(serving, agents, load)
    assert repeated.agents.tolist() == first.agents.tolist()


@pytest.mark.parametrize(
    ("served", "told"),
    [
        ([[0, 3]], "rows 0 to 2"),  # no such queue
        ([[-1]], "rows 0 to 2"),  # a row that counts from the end
        ([[1, 1]], "each once"),  # twice
    ],
)
def test_membership_that_cannot_be_is_refused(served: list[list[int]], told: str) -> None:
    """A wrong row would write beyond the arrays."""
    with pytest.raises(BadConfiguration, match=told):
        membership(served, 3)


def test_arrays_that_cannot_be_are_refused() -> None:
    """Each by its name."""
    whole = np.array([0, 1, 1])
    with pytest.raises(BadConfiguration, match=r"membership\.first"):
        Membership(whole, np.array([0, 1]), 3)
    with pytest.raises(BadConfiguration, match="int64"):
        Membership(whole.astype(np.int32), np.array([0]), 3)
    serving = membership([[0]], 1)
    one = np.ones(1)
    for agents, load, name in (
        (-one, one, "agents"), (one, np.full(1, np.nan), "load"), (np.ones(2), one, "agents"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name}: expected"):
            share_agents(serving, agents, load)
