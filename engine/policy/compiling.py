"""Compile the kernels of policies, by running each once on nothing."""

import numpy as np

from engine.kernels.policy_steps import Seen
from engine.policy.share import PolicyShares
from engine.policy.trigger import TriggerMachines


def compile_policies() -> None:
    """
    Compile, or load from the cache, what a second of policies calls.

    What evaluates conditions is made per policy set, and not cached.
    """
    machines = TriggerMachines([], [])
    nothing = np.zeros(0, np.int64)
    machines.step(Seen(np.zeros((0, 0), np.int8), nothing, nothing), 0)
    PolicyShares([], machines.pairs, 0).move(machines.pairs, 0.0)
