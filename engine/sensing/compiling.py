"""Compile every kernel of sensing, by sensing an empty cell once."""

from engine.forecasting.compiling import compile_forecasting
from engine.limits import Limits
from engine.sensing.own_queues import OwnQueues
from engine.sensing.sampling import take_sample
from engine.state.cell import CellState


def compile_sensing() -> None:
    """Compile, or load from the cache, what sensing calls; half a minute when cold."""
    compile_forecasting()
    OwnQueues().follow(take_sample(CellState(Limits()), 0))
