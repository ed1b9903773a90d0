"""Runs of an exact case, step by step, pooled until the errors are small enough."""

import dataclasses
import math
from collections.abc import Iterator
from itertools import count
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.kernels import floor_columns as c
from engine.simulation.results import Results
from engine.simulation.simulator import run
from tests.simulation.exact_cases import checked, is_of_runs, scenario_of

# Parts of one step are too few to know the error by.
_STEPS_MIN: Final = 3
# Ten times as long as the floor remembers, or longer: with 100 agents and 96 % load, two hours.
_BATCH_CONTACTS: Final = 25_000
_WARM_UP_SHARE: Final = 0.05
_MINUTE_MS: Final = 60_000.0
# What the longest horizon allows, less the warm-up.
_LENGTH_MINUTES_MAX: Final = 500_000.0
_RUNS_TO_SEE_SIZE: Final = 20
# Parts are merged in pairs beyond this: errors stay known to 4 %, and memory stays bounded.
_PARTS_MAX: Final = 600
_BY_PART: Final = ("count", "total_ms", "waits", "area_ms", "answered_by", "length_ms")


def in_steps(case_id: str, contacts: int) -> Iterator[Results]:
    """
    All runs so far of a case, after each step; there is no end to them.

    Each step draws from a seed of its own, so that the same steps always give the same results.

    Parameters
    ----------
    contacts
        About as many arrive in a step.
    """
    size = _runs_of_a_step if is_of_runs(case_id) else length_for
    horizon = size(case_id, contacts)
    pooled = run(checked(case_id, 1, **horizon))
    for seed in count(2):
        pooled = merged(pooled, run(checked(case_id, seed, **horizon)))
        if seed >= _STEPS_MIN:
            yield pooled


def contacts_of(results: Results) -> float:
    """Contacts that were measured, those that only probe a wait among them."""
    return float(results.count[:, :, c.OFFERED].sum())


def length_for(case_id: str, contacts: int) -> dict[str, float | str]:
    """
    Horizon of a case about the long run in which so many contacts arrive, after the warm-up.

    Those who wait at its end are served: left out, they made 2 in 100,000 look late.
    """
    streams = scenario_of(case_id)["streams"].values()
    per_minute = sum(stream.get("arrivals", {}).get("per_minute", 0.0) for stream in streams)
    minutes = contacts / per_minute
    replications = math.ceil(minutes / _LENGTH_MINUTES_MAX)
    measured_ms = minutes / replications * _MINUTE_MS
    warm_up_ms = _WARM_UP_SHARE * measured_ms
    return {
        "length": measured_ms + warm_up_ms, "warm_up": warm_up_ms,
        "batches": contacts // _BATCH_CONTACTS, "replications": replications, "until_empty": True,
    }  # fmt: skip


def merged(earlier: Results, later: Results) -> Results:
    """Results of both, which are of one scenario and of independent draws."""
    merged = dataclasses.replace(earlier, events=earlier.events + later.events)
    merged.runs = earlier.runs + later.runs
    merged.seen = np.concatenate((earlier.seen[: earlier.runs], later.seen[: later.runs]))
    for name in _BY_PART:
        parts = np.concatenate((getattr(earlier, name), getattr(later, name)))
        setattr(merged, name, _folded(parts))
    return merged


def _runs_of_a_step(case_id: str, contacts: int) -> dict[str, float | str]:
    first = run(checked(case_id, 0, replications=_RUNS_TO_SEE_SIZE))
    return {"replications": math.ceil(contacts * first.runs / contacts_of(first))}


def _folded(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same sums in half as many parts, where there are too many."""
    if parts.shape[0] <= _PARTS_MAX:
        return parts
    even = parts[: parts.shape[0] // 2 * 2]
    folded: NDArray[np.float64] = even[0::2] + even[1::2]
    folded[-1] += parts[even.shape[0] :].sum(axis=0)
    return folded
