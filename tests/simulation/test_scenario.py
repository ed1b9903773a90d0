"""Scenarios: what is refused, all at once and by path, and what runs keep from each other."""

import copy
from typing import Any

import numpy as np
import pytest

from engine.kernels import floor_columns as c
from engine.simulation.checking import ScenarioRefused, read
from engine.simulation.floor import Floor
from engine.simulation.results import Results
from engine.simulation.simulator import run

SOUND: dict[str, Any] = {
    "horizon": {"length": "10h", "warm_up": "1h", "batches": 5},
    "queues": {"billing": {}, "sales": {"max_length": 20}},
    "groups": {
        "first": {"agents": 5, "queues": ["billing"], "skills": {"german": 3}},
        "second": {
            "staffing": [{"at": 0, "agents": 2}, {"at": "5h", "agents": 4}],
            "queues": ["billing", "sales"],
        },
    },
    "streams": {
        "calls": {
            "queue": "billing",
            "arrivals": {"per_minute": 2},
            "handle_time": {"exponential": "2m"},
            "patience": {"exponential": "1m"},
            "redial": {"share": 0.3, "after": {"exponential": "5m"}},
        },
        "orders": {
            "queue": "sales",
            "arrivals": {"per_minute": 0.5},
            "handle_time": {"lognormal": {"mean": "3m", "cv": 1}},
            "wrap_up": {"constant": "30s"},
        },
    },
}


def changed(**changes: Any) -> dict[str, Any]:
    """The sound scenario with values put in at dotted paths."""
    declared: dict[str, Any] = copy.deepcopy(SOUND)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = declared
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return declared


def problems_of(declared: dict[str, Any]) -> dict[str, str]:
    """What is wrong with a scenario, by path."""
    with pytest.raises(ScenarioRefused) as refused:
        read(declared)
    return {problem.path: problem.expected for problem in refused.value.problems}


def test_sound_scenario_is_read() -> None:
    """What the tests below change is sound to begin with."""
    assert read(SOUND).streams["calls"].handle_time.exponential == 120_000


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("streams.calls.arrivals.per_minute", {"streams__calls__arrivals__per_minute": -1}),
        ("streams.calls.handle_time", {"streams__calls__handle_time": {}}),
        ("streams.calls.handle_time", {"streams__calls__handle_time": {"constant": 0}}),
        ("streams.calls.handle_time.exponential", {"streams__calls__handle_time": {"exponential": "two"}}),  # noqa: E501
        ("streams.calls.queue", {"streams__calls__queue": "nowhere"}),
        ("streams.calls.skills[0].skill", {"streams__calls__skills": [{"skill": "magic"}]}),
        ("streams.calls.tags[0]", {"streams__calls__tags": ["vip"]}),
        ("streams.calls.relaxation[0].tags[0]", {"streams__calls__relaxation": [{"after": "1m", "tags": ["vip"]}]}),  # noqa: E501
        ("streams.calls.relaxation", {"streams__calls__relaxation": [{"after": "1m"}, {"after": "1m"}]}),  # noqa: E501
        ("streams.calls.redial.after", {"streams__calls__redial": {"share": 1, "after": {"constant": 0}}}),  # noqa: E501
        ("streams.calls.colour", {"streams__calls__colour": "red"}),
        ("streams.calls.arrivals", {"streams__calls__arrivals": {"per_minute": 1, "recorded": [1]}}),  # noqa: E501
        ("streams.calls.arrivals.steps", {"streams__calls__arrivals": {"steps": [{"until": "2h", "per_minute": 1}, {"until": "1h", "per_minute": 1}]}}),  # noqa: E501
        ("streams.calls.divert.to", {"streams__calls__divert": {"from_waiting": 2, "to": "nowhere"}}),  # noqa: E501
        ("groups.second.staffing", {"groups__second__staffing": [{"at": "5h", "agents": 1}, {"at": "5h", "agents": 2}]}),  # noqa: E501
        ("groups.second", {"groups__second__agents": 3}),
        ("groups.first.shifts[1].begins", {"groups__first__shifts": [{"begins": 0, "ends": "2h"}, {"begins": "1h", "ends": "3h"}]}),  # noqa: E501
        ("groups.first.shifts[0].ends", {"groups__first__shifts": [{"begins": "2h", "ends": "2h"}]}),  # noqa: E501
        ("groups.first.shift_cycle", {"groups__first__shift_cycle": "24h"}),
        ("groups.first.shift_cycle", {"groups__first__shift_cycle": "1h", "groups__first__shifts": [{"begins": 0, "ends": "2h"}]}),  # noqa: E501
        ("groups.second.agents", {"groups__second__shifts": [{"begins": 0, "ends": "2h"}]}),
        ("groups.first.queues[0]", {"groups__first__queues": ["nowhere"]}),
        ("groups.first.skills.german", {"groups__first__skills": {"german": 7}}),
        ("groups", {"groups": {"none": {"agents": 0, "queues": ["billing"]}}}),
        ("horizon.warm_up", {"horizon__warm_up": "20h"}),
        ("horizon.length", {"horizon__length": "0s"}),
        ("horizon.probe", {"horizon__probe": "calls"}),
        ("thresholds", {"thresholds": ["60s", "20s"]}),
    ],
)  # fmt: skip
def test_broken_rule_is_told_by_path(path: str, changes: dict[str, Any]) -> None:
    """Whoever wrote the file must find the line."""
    assert path in problems_of(changed(**changes))


def test_all_broken_rules_are_told_at_once() -> None:
    """One error a run is an afternoon."""
    found = problems_of(
        changed(
            streams__calls__queue="nowhere",
            streams__orders__skills=[{"skill": "magic"}],
            groups__first__queues=["elsewhere"],
            horizon__warm_up="11h",
        )
    )
    assert set(found) == {
        "streams.calls.queue", "streams.orders.skills[0].skill", "groups.first.queues[0]",
        "horizon.warm_up",
    }  # fmt: skip


def simulated(**changes: Any) -> Results:
    """Results of the sound scenario, changed."""
    return run(read(changed(**changes)))


def test_same_seed_gives_the_same_run() -> None:
    """A report must be reproducible from what it says."""
    first, second = simulated(), simulated()
    assert np.array_equal(first.count, second.count)
    assert np.array_equal(first.total_ms, second.total_ms)
    assert not np.array_equal(first.count, simulated(seed=2).count)


def test_contacts_are_accounted_for() -> None:
    """Every contact that came is answered, gone, or still there."""
    results = simulated(horizon__warm_up=0, horizon__batches=1, horizon__until_empty=True)
    offered, blocked = results.counted(c.OFFERED)[0], results.counted(c.BLOCKED)[0]
    answered, abandoned = results.counted(c.ANSWERED)[0], results.counted(c.ABANDONED)[0]
    assert offered == blocked + answered + abandoned
    assert results.counted(c.COMPLETED)[0] == answered
    assert 0 < results.counted(c.REDIALLED)[0] < abandoned


@pytest.mark.compiled_only
def test_common_random_numbers_narrow_a_difference() -> None:
    """The same callers on two floors: what differs is what was decided."""
    base = {"horizon": {"length": "100h", "batches": 50}}
    few = simulated(**base)
    more = simulated(**base, groups__first__agents=6)
    other = simulated(**base, groups__first__agents=6, seed=99)
    before, after, apart = (each.counted(c.ABANDONED) for each in (few, more, other))
    paired, unpaired = (before - after).var(), (before - apart).var()
    assert after.sum() < before.sum()
    assert paired < 0.5 * unpaired


@pytest.mark.compiled_only
def test_cancelled_simulation_keeps_the_runs_that_ended() -> None:
    """Somebody who has seen enough gets what there is."""
    seen: list[float] = []

    def enough(share: float) -> bool:
        seen.append(share)
        return len(seen) < 3

    scenario = read(changed(horizon={"length": "100h", "replications": 200}))
    results = run(scenario, enough)
    assert 0 < results.runs < 200
    assert seen == sorted(seen)
    assert results.events > 0


def test_more_contacts_than_rows_are_waited_for() -> None:
    """A floor that overflows grows; no contact is dropped for want of a row."""
    results = simulated(
        streams__calls__arrivals={"per_minute": 60},
        streams__calls__patience=None,
        streams__calls__redial=None,
        horizon={"length": "2h"},
    )
    waiting = results.counted(c.OFFERED) - results.counted(c.ANSWERED) - results.counted(c.BLOCKED)
    assert waiting.sum() > 5_000


def test_stream_without_wrap_up_beside_one_with_it_frees_its_agents() -> None:
    """Wrap-up is the queue's in the engine, but a stream's here: none must not mean for ever."""
    results = simulated(
        streams__orders__queue="billing",
        horizon={"length": "20h", "until_empty": True},
    )
    assert results.counted(c.COMPLETED)[0] == results.counted(c.ANSWERED)[0] > 2_000


def test_shifts_are_when_agents_are_there() -> None:
    """Two shifts a day with a break, over three days; and none leaves where one follows another."""
    shifts = [
        {"begins": "8h", "ends": "10h"},
        {"begins": "10h", "ends": "12h"},
        {"begins": "13h", "ends": "17h"},
    ]
    group = {"agents": 7, "shifts": shifts, "shift_cycle": "24h", "queues": ["billing", "sales"]}
    hours = [7, 9, 10, 11, 12.5, 14, 18, 33, 36.5, 62]
    results = simulated(
        groups={"desk": {**group, "skills": {"german": 3}}},
        horizon={"length": "72h", "moments": [f"{hour}h" for hour in hours]},
    )
    signed_in = results.seen[0, :, 2]
    assert list(signed_in) == [0, 7, 7, 7, 0, 7, 0, 7, 0, 7]


def test_a_run_after_one_that_grew_is_as_if_it_were_the_first() -> None:
    """Rows that a run needed on top must not keep anything of it, nor be lost to the next."""
    overloaded = read(
        changed(
            streams__calls__arrivals={"per_minute": 30},
            streams__calls__patience={"exponential": "3h"},
            horizon={"length": "1h", "replications": 2},
        )
    )
    reused = Floor(overloaded)
    sizes = set()
    for replication in range(2):
        fresh = Floor(overloaded, replication)
        for floor in (fresh, reused):
            while floor.run(1_000_000):
                pass
        assert (fresh.columns.tallies.counts == reused.columns.tallies.counts).all()
        assert (fresh.columns.tallies.total_ms == reused.columns.tallies.total_ms).all()
        sizes.add((fresh.columns.contacts.number.size, reused.columns.contacts.number.size))
        reused.reset(replication + 1)
    assert max(size for _, size in sizes) <= 2 * max(size for size, _ in sizes) <= 8_192
    assert min(size for size, _ in sizes) > 1_024


def test_relaxation_lets_others_help_after_a_while() -> None:
    """Half the agents speak German; whoever waits for one takes anybody after a minute."""
    asked = {
        "streams__calls__skills": [{"skill": "german"}],
        "streams__calls__patience": {"exponential": "20m"},
        "groups__first__agents": 3,
        "groups__second__staffing": [{"at": 0, "agents": 3}],
    }
    strict = simulated(**asked)
    relaxed = simulated(**asked, streams__calls__relaxation=[{"after": "1m"}])
    calls, second = strict.stream("calls"), strict.groups.index("second")
    assert strict.share_by(calls, second).value == 0.0
    assert relaxed.share_by(calls, second).value > 0.2
    shortest = relaxed.wait_quantile_ms(0.5, [calls]).value
    assert shortest < strict.wait_quantile_ms(0.5, [calls]).value / 2
