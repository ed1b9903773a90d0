"""The strategies: presets of the weights of one score."""

from typing import Final, NamedTuple

from engine.definitions import ScoreWeights
from engine.lifecycle import Strategy


class WeightsInForce(NamedTuple):
    """Weights of a queue's score, as those of `ScoreWeights` but each with a value."""

    preferred_skills: float
    skill: float
    preferred_agent: float
    handle_time: float
    outcome: float
    idle: float
    load: float
    turn: float
    versatility: float
    occupancy: float
    wait: float
    urgency: float
    urgent_from: float
    lateness: float


# The columns of `engine.kernels.columns.Queues.weight` stand in the same order.
assert WeightsInForce._fields == ScoreWeights._fields

# What every strategy starts from: a contact's own preferences count, and agents go to who waits
# longest in relation to the service level. `engine.kernels.scoring` states the formula.
_PLAIN: Final = WeightsInForce(
    preferred_skills=1.0,
    skill=0.0,
    preferred_agent=1.0,
    handle_time=0.0,
    outcome=0.0,
    idle=0.0,
    load=0.0,
    turn=0.0,
    versatility=0.0,
    occupancy=0.0,
    wait=1.0,
    urgency=0.0,
    urgent_from=0.5,
    lateness=0.0,
)

PRESETS: Final = {
    Strategy.LONGEST_IDLE: _PLAIN._replace(idle=1.0),
    Strategy.LEAST_OCCUPIED: _PLAIN._replace(load=1.0),
    Strategy.ROUND_ROBIN: _PLAIN._replace(turn=1.0),
    Strategy.BEST_SCORE: _PLAIN._replace(
        skill=0.5,
        preferred_agent=0.2,
        handle_time=1.0,
        idle=0.1,
        load=0.2,
        versatility=1.0,
        occupancy=0.2,
        urgency=1.0,
    ),
    # Strict among those who can do up to twenty things, for no idle time outweighs one of them.
    Strategy.SPECIALISTS_FIRST: _PLAIN._replace(versatility=100.0, idle=0.1),
}


def weights_in_force(strategy: Strategy, chosen: ScoreWeights) -> WeightsInForce:
    """Weights of a strategy with those that a queue sets itself."""
    return WeightsInForce(
        *(
            preset if own is None else own
            for own, preset in zip(chosen, PRESETS[strategy], strict=True)
        )
    )
