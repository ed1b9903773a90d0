"""
How good forecasts of arrivals are on real data; no time is measured.

Two call centres and a fleet thinned from one of them, the last weeks held out. Parameters are the
engine's, the same for every queue. They were chosen on February to May of the Anonymous Bank and on
days 41 to 124 of the American one, whose last 25 are the ones scored here: a mild optimism there.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.arrival_data import SHARED_DATA, Series, anonymous_bank, thinned, us_bank
from benchmarks.arrival_evaluation import (
    FIVE_MINUTES,
    HALF_HOURS,
    NEXT,
    Score,
    issue,
    score,
)
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table
from engine.kernels.sensing_columns import SLOTS

_COLUMNS: Final = (
    "queue", "view", "WAPE %", "chance alone %", "bias %", "RMSE, × slot mean", "in 80 %",
    "in 95 %", "above 90 %",
)  # fmt: skip
_NAMES: Final = {
    (0, 1): "next 5 min", (5, 6): "5 min, in 30 min", (23, 24): "5 min, in 2 h",
    (143, 144): "5 min, in 12 h", (0, 6): "next 30 min", (0, 12): "next hour",
    (0, 24): "next 2 hours", (18, 24): "30 min, in 2 h", (138, 144): "30 min, in 12 h",
}  # fmt: skip
_SEED: Final = 1


def run(settings: Settings) -> list[Table]:
    """Forecast every series and score what was held out."""
    if not SHARED_DATA.is_dir():
        note = f"Left out: the data sets are not in {SHARED_DATA}."
        return [Table("Forecasts", ("queue",), [["none"]], note)]
    every = int(settings.value("every"))
    goals = Goals()
    tables = [part(settings, every, goals) for part in (_bank, _desk, _fleet)]
    return [*tables, goals.table()]


def _bank(settings: Settings, every: int, goals: Goals) -> Table:
    series = us_bank()
    views = (*FIVE_MINUTES, *NEXT)
    days = np.unique(series.buckets // SLOTS)
    begin = int(days[-int(settings.value("bank_held_out_days"))]) * SLOTS
    scores = score(issue(series, views, every=every), begin)
    limits = settings.goals
    names = ("5_min", "30_min", "2_h", "12_h")
    for name, view, found in zip(names, FIVE_MINUTES, scores, strict=False):
        wape, floor = float(found.wape[0]), float(found.floor[0])
        goals.at_most(f"bank, {_NAMES[view]}: WAPE", limits[f"bank_{name}"], [wape], "%")
        if view != FIVE_MINUTES[-1]:
            goals.at_most(f"bank, {_NAMES[view]}: × chance", limits["floor"], [wape / floor], "")
        _intervals(f"bank, {_NAMES[view]}", found, goals)
    return _table("A North American bank, 192 calls in 5 minutes", series, views, scores)


def _desk(settings: Settings, every: int, goals: Goals) -> Table:
    series = anonymous_bank()
    views = (*FIVE_MINUTES, *HALF_HOURS)
    begin = int(np.datetime64(settings.value("desk_held_out_from"), "D").astype(np.int64)) * SLOTS
    scores = score(issue(series, views, group=0, every=every), begin)
    limits = settings.goals
    for name, view, found in zip(("next", "2_h", "12_h"), HALF_HOURS, scores[4:], strict=True):
        what = f"Anonymous Bank, all, {_NAMES[view]}"
        goals.at_most(f"{what}: WAPE", limits[f"desk_{name}"], [float(found.wape[0])], "%")
        _intervals(what, found, goals)
    short = [found.rmse / found.mean_rmse for found in scores[:3]]
    short += [found.rmse / found.mean_rmse for found in scores[4:6]]
    worst = float(max(values.max() for values in short))
    goals.at_most(
        "Anonymous Bank, any queue to 2 h: RMSE, × slot mean", limits["mean"], [worst], ""
    )
    small = max(float(found.above_90[2:].max()) for found in scores[:4])
    goals.at_most("Anonymous Bank, small queues, 5 min: above 90 %", 10.0, [100.0 * small], "%")
    sums = max(float(found.above_90[2:].max()) for found in scores[4:])
    goals.at_most("Anonymous Bank, small queues, 30 min: above 90 %", 10.0, [100.0 * sums], "%")
    return _table("Anonymous Bank, June and July 1999", series, views, scores)


def _fleet(settings: Settings, every: int, goals: Goals) -> Table:
    series = thinned(us_bank(), settings.shares("shares"), _SEED)
    days = np.unique(series.buckets // SLOTS)
    begin = int(days[-int(settings.value("bank_held_out_days"))]) * SLOTS
    scores = score(issue(series, FIVE_MINUTES, every=every), begin)
    for name, found in (("5_min", scores[0]), ("2_h", scores[2])):
        worst = float((found.wape / found.floor).max())
        goals.at_most(
            f"fleet, {name.replace('_', ' ')}: × chance",
            settings.goals[f"fleet_{name}"],
            [worst],
            "",
        )
    return _table("A fleet: shares of the bank's calls", series, FIVE_MINUTES, scores)


def _intervals(what: str, found: Score, goals: Goals) -> None:
    for share, low, high, inside in (
        (80, 77.0, 86.0, found.in_80), (95, 93.0, 97.5, found.in_95),
    ):  # fmt: skip
        goals.at_least(f"{what}: in {share} %", low, [100.0 * float(inside[0])], "%")
        goals.at_most(f"{what}: in {share} %", high, [100.0 * float(inside[0])], "%")


def _table(
    title: str, series: Series, views: Sequence[tuple[int, int]], scores: Sequence[Score]
) -> Table:
    rows = []
    for queue, name in enumerate(series.names):
        for view, found in zip(views, scores, strict=True):
            rows.append(
                [
                    name,
                    _NAMES[view],
                    f"{found.wape[queue]:.2f}",
                    f"{found.floor[queue]:.2f}",
                    f"{found.bias[queue]:+.1f}",
                    f"{found.rmse[queue]:.2f}, × {found.rmse[queue] / found.mean_rmse[queue]:.3f}",
                    f"{found.in_80[queue]:.3f}",
                    f"{found.in_95[queue]:.3f}",
                    f"{found.above_90[queue]:.3f}",
                ]
            )
    return Table(title, _COLUMNS, rows, page="arrivals.md" if len(series.names) > 1 else "")
