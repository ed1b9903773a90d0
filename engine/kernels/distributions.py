"""Durations and factors drawn from declared laws, by inversion from numbers of `drawing`."""

import math

import numpy as np

from engine.kernels.boundary import Table
from engine.kernels.compilation import kernel
from engine.kernels.drawing import PURPOSES, exponential, normal_quantile, uniform
from engine.kernels.floor_columns import (
    CONSTANT,
    ERLANG,
    EXPONENTIAL,
    GAMMA,
    HYPEREXPONENTIAL,
    LOGNORMAL,
    NEVER_ENDS,
    WEIBULL,
    open_distributions,
    open_points,
)


@kernel
def point_at(floor: Table, law: int, probability: float) -> int:
    """First point of a distribution that a probability does not exceed. O(log points)."""
    distributions = open_distributions(floor)
    cumulative = open_points(floor).cumulative
    low = distributions.first[law]
    high = low + distributions.length[law] - 1
    while low < high:
        middle = (low + high) >> 1
        if cumulative[middle] < probability:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def gamma_variate(key: np.uint64, number: int, purpose: int, shape: float) -> float:
    """
    A gamma variate of mean `shape` and scale 1, shape at least 1.

    Marsaglia and Tsang (2000); tries are numbered, so that each has its own numbers. O(1) expected.
    """
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    tried = 0
    while True:
        place = purpose + 2 * PURPOSES * tried
        x = normal_quantile(uniform(key, number, place))
        v = (1.0 + c * x) ** 3
        if v > 0.0:
            u = uniform(key, number, place + PURPOSES)
            if math.log(u) < 0.5 * x * x + d - d * v + d * math.log(v):
                return d * v
        tried += 1


@kernel
def of_mean_one(form: int, shape: float, key: np.uint64, number: int, purpose: int) -> float:
    """
    Variate of a law with a shape and, but for Weibull's, a mean of 1. O(1), O(stages) for Erlang's.
    """
    if form == LOGNORMAL:
        # The shape is the standard deviation of the logarithm.
        normal = normal_quantile(uniform(key, number, purpose))
        return math.exp(shape * normal - 0.5 * shape * shape)
    if form == ERLANG:
        total = 0.0
        for stage in range(int(shape)):
            total += exponential(key, number, purpose + PURPOSES * stage)
        return total / shape
    if form == WEIBULL:
        return exponential(key, number, purpose) ** (1.0 / shape)
    return gamma_variate(key, number, purpose, shape) / shape


@kernel
def draw(floor: Table, law: int, key: np.uint64, number: int, purpose: int) -> float:
    """
    Variate of a law that belongs to `number` for `purpose`; inf for never, which is law -1 too.

    O(1), O(stages) for Erlang's, O(log points) for steps.
    """
    if law < 0:
        return np.inf
    distributions = open_distributions(floor)
    form = distributions.form[law]
    scale = distributions.scale[law]
    if form == EXPONENTIAL:
        return scale * exponential(key, number, purpose)
    if form == CONSTANT:
        return scale
    if form == NEVER_ENDS:
        return np.inf
    if form <= GAMMA:
        shape = distributions.shape[law]
        return scale * of_mean_one(form, shape, key, number, purpose)
    point = point_at(floor, law, uniform(key, number, purpose))
    value_ms = open_points(floor).value_ms[point]
    if form == HYPEREXPONENTIAL:
        return value_ms * exponential(key, number, purpose + PURPOSES)
    return value_ms
