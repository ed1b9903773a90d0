"""When the contacts of a simulated stream arrive."""

import numpy as np

from engine.kernels.boundary import Table
from engine.kernels.compilation import kernel
from engine.kernels.deadlines import reschedule
from engine.kernels.distributions import draw
from engine.kernels.drawing import BUSYNESS, GAP, exponential
from engine.kernels.floor_columns import (
    STREAM_HEAP,
    open_recorded,
    open_run,
    open_steps,
    open_streams,
)
from engine.limits import NEVER_MS

# Draws of one group of streams that are busy together: a number per cycle, groups apart.
_GROUPS_MAX = 1 << 20


@kernel
def number_of(floor: Table, stream: int, arrived: int) -> int:
    """Number of a stream's contact, 0 the first; no two streams share one. O(1)."""
    return arrived * open_streams(floor).arrived.shape[0] + stream


@kernel
def begin_cycle(floor: Table, stream: int) -> None:
    """Draw how busy the stream's cycle is. O(1) expected."""
    streams = open_streams(floor)
    streams.factor[stream] = 1.0
    if streams.busyness[stream] >= 0:
        number = streams.cycle[stream] * _GROUPS_MAX + streams.busyness_group[stream]
        key = open_run(floor).key[0]
        streams.factor[stream] = draw(floor, streams.busyness[stream], key, number, BUSYNESS)


@kernel
def walk(floor: Table, stream: int, need: float) -> float:
    """
    Time at which a stream's rate has brought `need` more arrivals to be expected; inf for never.

    A non-homogeneous Poisson process is one of rate 1 on the clock of expected arrivals (Cinlar
    1975), so gaps drawn on that clock need no thinning. O(steps passed).
    """
    streams = open_streams(floor)
    steps = open_steps(floor)
    first = streams.first_step[stream]
    while True:
        if streams.step[stream] == streams.step_count[stream]:
            if streams.cycle_ms[stream] == 0:
                return np.inf
            streams.step[stream] = 0
            streams.cycle[stream] += 1
            streams.cycle_start_ms[stream] += streams.cycle_ms[stream]
            # Steps may end before their cycle does: nothing arrives between.
            streams.clock_ms[stream] = streams.cycle_start_ms[stream]
            begin_cycle(floor, stream)
        step = first + streams.step[stream]
        rate = steps.per_ms[step] * streams.factor[stream]
        ends_ms = streams.cycle_start_ms[stream] + steps.until_ms[step]
        room = (ends_ms - streams.clock_ms[stream]) * rate if rate > 0.0 else 0.0
        if need <= room:
            streams.clock_ms[stream] += need / rate
            return streams.clock_ms[stream]
        if ends_ms == np.inf:
            return np.inf
        need -= room
        streams.clock_ms[stream] = ends_ms
        streams.step[stream] += 1


@kernel
def schedule_arrival(floor: Table, stream: int) -> None:
    """Set when the stream's next contact arrives. O(steps passed + log streams)."""
    streams = open_streams(floor)
    run = open_run(floor)
    due_ms = NEVER_MS
    arrived = streams.arrived[stream]
    if streams.step_count[stream] > 0:
        gap = exponential(run.key[0], number_of(floor, stream, arrived), GAP)
        at_ms = walk(floor, stream, gap)
        if at_ms < NEVER_MS:
            due_ms = int(at_ms)
    elif arrived < streams.recorded_count[stream]:
        due_ms = open_recorded(floor).at_ms[streams.first_recorded[stream] + arrived]
    streams.due_ms[stream] = due_ms
    run.scalar[STREAM_HEAP] = reschedule(
        streams.heap, streams.heap_position, streams.due_ms, run.scalar[STREAM_HEAP], stream
    )
