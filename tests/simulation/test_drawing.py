"""Draws and laws: numbers that belong to contacts, and follow the law that was declared."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from engine.kernels import floor_columns as c
from engine.kernels.boundary import Addresses
from engine.kernels.distributions import draw
from engine.kernels.drawing import PURPOSES, normal_quantile, uniform
from engine.simulation.columns import laid_out
from engine.simulation.laws import Law, LawTable

KEY = np.uint64(12345)
NUMBERS = 40_000


def _columns_of(law: Law) -> tuple[Any, Any]:
    laws = LawTable()
    laws.row(law)
    columns: list[Any] = [laid_out(layout, 1) for layout in c.FLOOR_LAYOUTS]
    form, scale, shape, first, length = laws.rows[0]
    columns[0] = laid_out(
        c.Distributions, 1, form=form, scale=scale, shape=shape, first=first, length=length
    )
    columns[1] = laid_out(
        c.Points,
        len(laws.points),
        cumulative=[point[0] for point in laws.points],
        value_ms=[point[1] for point in laws.points],
    )
    return Addresses(columns, c.FLOOR_LAYOUTS), columns


def test_uniform_numbers_are_uniform_and_independent_across_purposes() -> None:
    """A contact whose patience told its handling time would bend every result a little."""
    drawn = np.array([
        [uniform(KEY, number, purpose) for number in range(20_000)] for purpose in range(4)
    ])  # fmt: skip
    assert drawn.min() > 0.0
    assert drawn.max() < 1.0
    for row in drawn:
        counts, _ = np.histogram(row, 100, (0, 1))
        # 99 degrees of freedom: 173 is passed once in 100,000.
        assert ((counts - 200.0) ** 2 / 200.0).sum() < 173
    between = np.corrcoef(np.vstack((drawn, drawn[:, 1:].mean() + 0 * drawn[:1], drawn[:1])))
    assert np.nanmax(np.abs(between[:4, :4] - np.eye(4))) < 0.04
    assert abs(np.corrcoef(drawn[0, 1:], drawn[0, :-1])[0, 1]) < 0.04


def test_draw_depends_on_its_name_alone() -> None:
    """Common random numbers: what was drawn before must not matter."""
    law = Law(exponential=60_000)
    addresses, columns = _columns_of(law)
    first = draw(addresses.table, 0, KEY, 7, 3)
    for number in range(100):
        draw(addresses.table, 0, KEY, number, 3)
    assert draw(addresses.table, 0, KEY, 7, 3) == first
    assert draw(addresses.table, 0, KEY, 8, 3) != first
    assert draw(addresses.table, 0, np.uint64(12346), 7, 3) != first
    assert columns


@pytest.mark.parametrize("probability", [1e-300, 1e-12, 0.01, 0.07499, 0.07501, 0.5, 0.9, 1 - 1e-9])
def test_normal_quantile_agrees_with_the_standard_library(probability: float) -> None:
    """The same published algorithm, written by others."""
    assert normal_quantile(probability) == pytest.approx(
        NormalDist().inv_cdf(probability), rel=1e-14, abs=1e-15
    )


@pytest.mark.parametrize(
    ("law", "cv"),
    [
        (Law(constant=90_000), 0.0),
        (Law(exponential=120_000), 1.0),
        (Law.model_validate({"lognormal": {"mean": "4m", "cv": 1.2}}), 1.2),
        (Law.model_validate({"erlang": {"mean": "3m", "stages": 4}}), 0.5),
        (Law.model_validate({"weibull": {"scale": "1m", "shape": 2}}), 0.5227),
        (
            Law.model_validate({
                "hyperexponential": [
                    {"share": 0.3, "mean": "8m"},
                    {"share": 0.7, "mean": "2m"},
                ]
            }),
            1.4308,
        ),
        (Law(empirical=(60_000, 120_000, 360_000)), 0.7201),
    ],
)  # fmt: skip
def test_law_has_the_mean_and_the_spread_it_says(law: Law, cv: float) -> None:
    """By moments over many contacts, within five standard errors."""
    addresses, columns = _columns_of(law)
    drawn = np.array([draw(addresses.table, 0, KEY, number, 3) for number in range(NUMBERS)])
    error = law.mean_ms * cv / math.sqrt(NUMBERS)
    assert abs(drawn.mean() - law.mean_ms) <= 5 * error + 1e-9
    assert drawn.std() / drawn.mean() == pytest.approx(cv, abs=0.05 * max(cv, 0.1))
    assert columns


def test_survival_curve_leaves_those_who_never_go() -> None:
    """A Kaplan-Meier curve of patience seldom reaches 0: the rest wait for ever."""
    law = Law.model_validate({
        "kaplan_meier": [{"after": "10s", "share": 0.8}, {"after": "60s", "share": 0.25}]
    })  # fmt: skip
    addresses, columns = _columns_of(law)
    drawn = np.array([draw(addresses.table, 0, KEY, number, 2) for number in range(NUMBERS)])
    shares = [(drawn == value).mean() for value in (10_000, 60_000, math.inf)]
    assert shares == pytest.approx([0.2, 0.55, 0.25], abs=0.015)
    assert columns


def test_purposes_leave_room_for_every_stage() -> None:
    """Stages of one draw take stretches of their own."""
    assert PURPOSES >= 11
