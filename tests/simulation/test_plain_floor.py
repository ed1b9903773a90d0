"""The compiled floor beside its twin in plain Python: every contact counted the same way."""

from typing import Any

import pytest

from engine.kernels import floor_columns as c
from engine.simulation.checking import read
from engine.simulation.floor import Floor
from engine.simulation.simulator import run
from tests.simulation.plain_floor import PlainFloor

COUNTS = {
    "offered": c.OFFERED,
    "diverted": c.DIVERTED,
    "blocked": c.BLOCKED,
    "answered": c.ANSWERED,
    "abandoned": c.ABANDONED,
    "redialled": c.REDIALLED,
    "completed": c.COMPLETED,
}
SUMS = {
    "answered wait": c.ANSWERED_WAIT,
    "abandoned wait": c.ABANDONED_WAIT,
    "handling": c.HANDLING,
    "waiting": c.WAITING_AREA,
}

CALLS: dict[str, Any] = {
    "queue": "q",
    "arrivals": {"per_minute": 2},
    "handle_time": {"exponential": "2m"},
}
PATIENT = {**CALLS, "patience": {"weibull": {"scale": "3m", "shape": 0.8}}}
WAVE = {
    "repeat": "2h",
    "steps": [{"until": "30m", "per_minute": 4}, {"until": "1h30m", "per_minute": 1}],
}


@pytest.mark.parametrize(
    ("agents", "queue", "streams", "more"),
    [
        pytest.param(5, {}, {"s": CALLS}, {}, id="Erlang C"),
        pytest.param(3, {}, {"s": PATIENT}, {}, id="patience"),
        pytest.param(3, {"max_length": 2}, {"s": PATIENT}, {}, id="finite line"),
        pytest.param(3, {}, {"s": CALLS}, {"trunks": 5}, id="trunks"),
        pytest.param(
            4,
            {},
            {"s": {**PATIENT, "arrivals": WAVE}, "t": {**PATIENT, "wrap_up": {"constant": "20s"}}},
            {},
            id="a wave beside a steady stream with wrap-up",
        ),
        pytest.param(
            2,
            {"max_length": 3},
            {"s": {**PATIENT, "redial": {"share": 0.7, "after": {"exponential": "4m"}}}},
            {},
            id="redials",
        ),
        pytest.param(
            3,
            {},
            {
                "s": {**PATIENT, "divert": {"from_waiting": 3, "accepted": 0.6}},
                "t": {**CALLS, "arrivals": {"per_minute": 0.3}},
            },
            {},
            id="diversion away",
        ),
        pytest.param(
            3,
            {},
            {
                "s": {
                    **PATIENT,
                    "divert": {"from_waiting": 4, "until_waiting": 1, "to": "t", "accepted": 0.8},
                },
                "t": {**CALLS, "arrivals": {"per_minute": 0.2}, "handle_time": {"lognormal": {"mean": "1m", "cv": 1.5}}},  # noqa: E501
            },
            {"seed": 4},
            id="diversion to another stream, with hysteresis",
        ),
    ],
)  # fmt: skip
def test_floor_counts_what_its_twin_counts(
    agents: int, queue: dict[str, Any], streams: dict[str, Any], more: dict[str, Any]
) -> None:
    """The same contacts with the same numbers: the same waits to the millisecond."""
    scenario = read({
        "horizon": {"length": "6h", "until_empty": True},
        "queues": {"q": queue},
        "groups": {"g": {"agents": agents, "queues": ["q"], "speed": 1.25}},
        "streams": streams,
        **more,
    })  # fmt: skip
    results = run(scenario)
    twin = PlainFloor(scenario, int(Floor(scenario).columns.run.key[0]))
    twin.run()
    for row, name in enumerate(streams):
        counted = {what: results.count[0, row, place] for what, place in COUNTS.items()}
        assert counted == {what: twin.tallies[name].count[what] for what in COUNTS}
        summed_ms = {what: results.total_ms[0, row, place] for what, place in SUMS.items()}
        assert summed_ms == {what: twin.tallies[name].total_ms[what] for what in SUMS}
    assert results.area_ms[0, 0, c.BUSY_AREA] == twin.busy_ms
    assert sum(twin.tallies[name].count["answered"] for name in streams) > 200
