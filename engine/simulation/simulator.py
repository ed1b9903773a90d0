"""Runs of a scenario, one after another, until all are done or somebody has seen enough."""

from collections.abc import Callable
from typing import Final

from engine.simulation.floor import Floor
from engine.simulation.results import Gathering, Results
from engine.simulation.scenario import Scenario

# Events between two looks at whether to go on: a tenth of a second.
_EVENTS_PER_LOOK: Final = 200_000


def run(scenario: Scenario, on_progress: Callable[[float], bool] = lambda _share: True) -> Results:
    """
    Simulate a scenario.

    Parameters
    ----------
    scenario
        What to simulate; checked before.
    on_progress
        Called a few times a second with the share that is done, 0 to 1; False ends the simulation
        with the runs completed so far.
    """
    floor = Floor(scenario)
    gathering = Gathering(scenario, floor)
    replications = scenario.horizon.replications
    events = 0
    for replication in range(replications):
        if replication > 0:
            floor.reset(replication)
        while floor.run(_EVENTS_PER_LOOK):
            if not on_progress((replication + floor.share_done) / replications):
                return gathering.ended()
        gathering.add(floor)
        events += floor.events
        if events > _EVENTS_PER_LOOK:
            events = 0
            if not on_progress((replication + 1) / replications):
                return gathering.ended()
    return gathering.ended()


def compile_simulation() -> None:
    """Have the simulation's kernels compiled, by the smallest scenario there is."""
    run(
        Scenario.model_validate({
            "horizon": {"length": 60_000},
            "queues": {"q": {}},
            "groups": {"g": {"agents": 1, "queues": ["q"]}},
            "streams": {
                "s": {
                    "queue": "q",
                    "arrivals": {"per_minute": 1},
                    "handle_time": {"exponential": 60_000},
                }
            },
        })
    )  # fmt: skip
