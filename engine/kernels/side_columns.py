"""
Columns of what most contacts and agents have none of: several offers at a time, and estimates.
"""

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.shapes import I8, I64, Row, Shape
from engine.limits import ESTIMATES_MAX


class Offers(NamedTuple):
    """One row per outstanding offer beside the leading one of its contact."""

    # -1 where the row is free.
    contact: Row
    agent: Row
    sequence: I64
    # Units of the agent's capacity it holds.
    cost: I64
    # Next offer of the contact, or next free row; and next offer of the agent.
    contact_following: Row
    agent_following: Row
    is_dirty: I8
    dirty: Row


# What was learned of an agent in one queue; a width that many columns share.
Learned = Annotated[NDArray[np.int64], Shape(np.int64, ESTIMATES_MAX)]


class Estimates(NamedTuple):
    """What was learned of each agent, one row per agent and one place per queue."""

    # Queue of the place, -1 for an empty one.
    queue: Annotated[NDArray[np.int64], Shape(np.int64, ESTIMATES_MAX, -1)]
    # Contacts that count, at most ESTIMATE_MEMORY, and their mean handling time with wrap-up.
    handled: Learned
    handle_ms: Learned
    # Outcomes that count, likewise, and their mean in thousandths.
    rated: Learned
    outcome: Learned
    is_dirty: I8
    dirty: Row
