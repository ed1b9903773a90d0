"""Breach risk against exact cases, the chain against uniformisation, calibration against a bias."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.forecasting.breach import BreachCalibration, rate_factor, wait_risk
from engine.kernels.breach import Pools
from engine.kernels.calibration import Outcomes
from tests.forecasting.reference import chain_distribution

CASES = json.loads(
    (Path(__file__).parent.parent / "data" / "exact_queue.json").read_text(encoding="utf-8")
)["cases"]
SEGMENT_S = 30.0
PLAIN: dict[str, float | list[float]] = {
    "in_system": 0.0,
    "handled_per_s": 0.01,
    "abandoned_per_s": 0.001,
    "rate_variance": 0.0,
    "target_s": 20.0,
}


def pool_of(**fields: float | list[float]) -> Pools:
    """One pool; arrivals and agents by segment."""
    single = {name: np.array([fields[name]], float) for name in Pools._fields
              if name not in ("arrivals_per_s", "agents")}  # fmt: skip
    rows = {name: np.array([fields[name]], float) for name in ("arrivals_per_s", "agents")}
    return Pools(**single, **rows)


def segments_of(case: dict[str, Any], horizon_s: float) -> tuple[list[float], list[float]]:
    """Rate per second and agents of a case's segments of 30 s."""
    params = case["params"]
    middles = (np.arange(int(horizon_s / SEGMENT_S)) + 0.5) * SEGMENT_S / 60.0
    if "segments_t_end_lam_c" in params:
        parts = [
            next(part for part in params["segments_t_end_lam_c"] if at < part[0]) for at in middles
        ]
        return [part[1] / 60.0 for part in parts], [float(part[2]) for part in parts]
    wave = [18.0 * (1.0 + 0.3 * math.sin(2.0 * math.pi * at / 60.0)) / 60.0 for at in middles]
    return wave, [float(params["c"])] * len(wave)


def error_of(case: dict[str, Any], measure: str) -> float:
    """Absolute error of one wait risk of a case."""
    params = case["params"]
    horizon_s = 60.0 * float(measure[1 : measure.index(":")])
    arrivals, agents = segments_of(case, horizon_s)
    pool = pool_of(
        in_system=params["n0"],
        arrivals_per_s=arrivals,
        agents=agents,
        handled_per_s=params["mu"] / 60.0,
        abandoned_per_s=params["theta"] / 60.0,
        rate_variance=0.0,
        target_s=float(measure.split("_gt_")[1][:-1]),
    )
    risk = wait_risk(pool, SEGMENT_S, np.array([horizon_s]))[0, 0]
    return abs(float(risk) - float(case["values"][measure]))


def test_risks_agree_with_exact_transients() -> None:
    """On every transient case: mean error 0.010 and no error above 0.07, as measured before."""
    errors = {
        (case["id"], measure): error_of(case, measure)
        for case in CASES
        if case["id"].startswith("T")
        for measure in case["values"]
        if "p_wait_gt" in measure
    }
    assert len(errors) > 30
    assert np.mean(list(errors.values())) <= 0.010, errors
    assert max(errors.values()) <= 0.07, errors
    # Up to seven agents the chain is exact.
    assert all(error < 0.001 for (name, _), error in errors.items() if name == "T07")


@pytest.mark.parametrize("case_id", ["T01", "T02", "T08", "T09"])
def test_long_segments_do_not_make_steps_too_long(case_id: str) -> None:
    """Forecasts come in buckets of five minutes; cutting them finer must change little."""
    (case,) = (case for case in CASES if case["id"] == case_id)
    params = case["params"]
    rate, agents = params["segments_t_end_lam_c"][0][1:]
    found = [
        wait_risk(
            pool_of(
                in_system=params["n0"],
                arrivals_per_s=[rate / 60.0] * int(1_800 / segment_s),
                agents=[float(agents)] * int(1_800 / segment_s),
                handled_per_s=params["mu"] / 60.0,
                abandoned_per_s=params["theta"] / 60.0,
                rate_variance=0.02,
                target_s=20.0,
            ),
            segment_s,
        )[0]
        for segment_s in (300.0, 5.0)
    ]
    assert found[0] == pytest.approx(found[1], abs=0.01)


@pytest.mark.parametrize("abandoned", [0.0, 0.002])
def test_small_pools_are_exact(abandoned: float) -> None:
    """The chain solved in steps gives what uniformisation gives, for pools of 1 to 7 agents."""
    draw = np.random.default_rng(3)
    for agents in range(1, 8):
        handled, begin = 1.0 / float(draw.uniform(120, 400)), int(draw.integers(0, 12))
        arrivals = agents * handled * float(draw.uniform(0.6, 1.1))
        pool = pool_of(
            in_system=begin, arrivals_per_s=[arrivals], agents=[agents], handled_per_s=handled,
            abandoned_per_s=abandoned, rate_variance=0.0, target_s=30.0,
        )  # fmt: skip
        found = wait_risk(pool, 60.0, np.array([300.0, 900.0]))[0]
        for risk, seconds in zip(found, (300.0, 900.0), strict=True):
            share = chain_distribution(begin, (arrivals, agents, handled, abandoned), seconds)
            assert risk == pytest.approx(_wait_tail(share, agents, handled, abandoned), abs=2e-3), (
                agents,
                seconds,
            )


def _wait_tail(
    share: np.ndarray, agents: int, handled: float, abandoned: float, target_s: float = 30.0
) -> float:
    """P(wait > target), with departures simulated as a pure death chain by uniformisation."""
    total = 0.0
    for ahead in range(len(share) - agents):
        if share[agents + ahead] < 1e-12:
            continue
        # States: how many must still leave, from ahead + 1 down to none.
        rates = agents * handled + abandoned * np.arange(ahead + 1)
        fastest = rates.max()
        left = np.zeros(ahead + 2)
        left[ahead + 1] = 1.0
        weight, kept = math.exp(-fastest * target_s), 0.0
        for count in range(60):
            kept += weight * left[1:].sum()
            moved = left.copy()
            moved[1:] -= left[1:] * rates / fastest
            moved[:-1] += left[1:] * rates / fastest
            left = moved
            weight *= fastest * target_s / (count + 1)
        total += share[agents + ahead] * kept
    return total


def test_risk_grows_with_load_and_falls_with_agents() -> None:
    """A sign that is wrong would divert where there is room."""
    risks = []
    for agents in (18.0, 20.0, 22.0, 26.0):
        pool = pool_of(
            in_system=20, arrivals_per_s=[0.08] * 6, agents=[agents] * 6, handled_per_s=1 / 240,
            abandoned_per_s=1 / 300, rate_variance=0.01, target_s=20.0,
        )  # fmt: skip
        risks.append(wait_risk(pool, 300.0)[0])
    assert (np.diff(np.array(risks), axis=0) < 0).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("in_system", -1.0),  # negative
        ("in_system", float("nan")),  # not a number
        ("handled_per_s", 0.0),  # nobody ever finishes
        ("target_s", float("inf")),  # no bound
    ],
)
def test_bad_pool_is_refused_by_name(field: str, value: float) -> None:
    """A NaN in one pool must not pass for a risk."""
    fields = PLAIN | {"arrivals_per_s": [0.1], "agents": [3.0]}
    with pytest.raises(ValueError, match=field):
        wait_risk(pool_of(**(fields | {field: value})), 300.0)
    with pytest.raises(ValueError, match="horizons"):
        wait_risk(pool_of(**fields), 300.0, np.array([300.0, 200.0]))


def test_pools_without_agents_or_arrivals_have_an_answer() -> None:
    """Nobody on duty is a certain breach, nobody calling none."""
    nobody = wait_risk(pool_of(**PLAIN, arrivals_per_s=[0.1], agents=[0.0]), 300.0)
    assert (nobody == 1.0).all()
    idle = wait_risk(pool_of(**PLAIN, arrivals_per_s=[0.0], agents=[30.0]), 300.0)
    assert (idle < 1e-6).all()


def test_overload_nobody_leaves_has_an_answer() -> None:
    """Far beyond full and with endless patience nothing fades: the risk is 1, not an error."""
    pool = pool_of(**(PLAIN | {"in_system": 900.0, "abandoned_per_s": 0.0}),
                   arrivals_per_s=[1.0], agents=[20.0])  # fmt: skip
    assert (wait_risk(pool, 300.0) > 0.999).all()


def test_rate_follows_what_has_come() -> None:
    """A third more than forecast moves a trusted forecast little, an uncertain one a lot."""
    three = np.full(3, 90.0), np.full(3, 120.0), np.array([0.01, 0.1, 1.0])
    found = rate_factor(*three)
    assert found.factor == pytest.approx([1.003, 1.158, 1.330], abs=2e-3)
    assert (np.diff(found.variance) > 0).all()
    with pytest.raises(ValueError, match="deviations"):
        rate_factor(three[0], three[1], np.zeros(3))


def test_calibration_corrects_a_biased_predictor() -> None:
    """Where raw risks overstate by an odds ratio of six, told ones do not after a few days."""
    draw = np.random.default_rng(4)
    calibration = BreachCalibration(2)
    for _ in range(60):
        risk = draw.uniform(0.02, 0.98, 64)
        odds = risk / (1.0 - risk) / 6.0
        came = (draw.random(64) < odds / (1.0 + odds)).astype(float)
        place = np.zeros(64, np.int64)
        calibration.learn(Outcomes(place, place, risk, np.ones(64), came))
    quality = calibration.quality()
    assert quality.brier[0, 0] < 0.85 * quality.brier_raw[0, 0]
    assert quality.ece[0, 0] < 0.05
    assert np.isnan(quality.brier[1]).all()
    told = calibration.calibrate(np.full((2, 4), 0.5), np.ones(2))
    assert told[0, 0] == pytest.approx(1.0 / 7.0, abs=0.05)
    # Nothing has been learned of the others.
    assert told[1].tolist() == pytest.approx([0.5] * 4)
    with pytest.raises(ValueError, match=r"outcomes\.came"):
        calibration.learn(
            Outcomes(place[:1], place[:1], risk[:1], np.ones(1), np.array([float("nan")]))
        )
    again = BreachCalibration(2)
    again.load(calibration.export())
    assert np.array_equal(again.columns.weight, calibration.columns.weight)
