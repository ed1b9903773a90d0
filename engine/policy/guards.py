"""
Guards beside the trigger: switches that stop policies, and budgets of what may be moved.

A switch says at most one thing of a policy and queue: the kill switch goes before overrides, those
before the schedule. The kill switch is global, of a policy or of a queue; it holds until it is
taken off, an override until it expires.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels import policy_steps as kernels
from engine.kernels.policy_steps import TriggerPairs
from engine.refusals import BadConfiguration

# Overrides that are kept at a time.
OVERRIDES_MAX: Final = 10_000
_WINDOW_S: Final = 60


class Override(IntEnum):
    """What somebody says of a policy."""

    OFF = kernels.FORCED_OFF
    ON = kernels.FORCED_ON
    # Stays as it is.
    FREEZE = kernels.FROZEN


class Scope(NamedTuple):
    """What a switch is about; "" for every policy, or every queue."""

    policy: str = ""
    queue: str = ""


class Switches:
    """Kill switches and overrides in force; by name, so that they outlive versions."""

    def __init__(self) -> None:
        self.killed: set[Scope] = set()
        self.overrides: dict[Scope, tuple[Override, int]] = {}

    def kill(self, scope: Scope) -> None:
        """Stop policies at the next step, whatever they are doing."""
        if scope not in self.killed and len(self.killed) >= OVERRIDES_MAX:
            raise BadConfiguration("kill", scope, f"at most {OVERRIDES_MAX} switches")
        self.killed.add(scope)

    def revive(self, scope: Scope) -> None:
        """Take a kill switch off; conditions are held anew from then on."""
        self.killed.discard(scope)

    def override(self, scope: Scope, what: Override | None, until_ms: int) -> None:
        """
        Say what policies do until a moment, milliseconds since the Unix epoch; None takes it back.

        Raises
        ------
        BadConfiguration
            No policy is named, or there are too many overrides.
        """
        if not scope.policy:
            raise BadConfiguration("override.policy", scope.policy, "the name of a policy")
        if what is None:
            self.overrides.pop(scope, None)
            return
        if scope not in self.overrides and len(self.overrides) >= OVERRIDES_MAX:
            raise BadConfiguration("override", scope, f"at most {OVERRIDES_MAX} overrides")
        self.overrides[scope] = what, until_ms

    def said(
        self,
        pairs: TriggerPairs,
        names: Mapping[str, Sequence[str]],
        is_scheduled: NDArray[np.bool_],
        now_ms: int,
    ) -> NDArray[np.int64]:
        """
        What is said of each pair now, for `Seen`; overrides that have expired are dropped.

        Parameters
        ----------
        names
            `policies` and `queues`: their names by row.
        is_scheduled
            (n_pairs,) whether the policy's schedule includes the queue's local time.
        """
        said = np.where(is_scheduled, kernels.FREE, kernels.UNSCHEDULED).astype(np.int64)
        self.overrides = {scope: held for scope, held in self.overrides.items() if held[1] > now_ms}
        # What is said of one queue goes before what is said of all.
        for scope, (what, _) in sorted(self.overrides.items(), key=lambda item: item[0].queue):
            said[_covered(scope, pairs, names)] = what
        for scope in sorted(self.killed):
            said[_covered(scope, pairs, names)] = kernels.KILLED
        return said

    def export(self) -> dict[str, list[list[str | int]]]:
        """Everything as plain values, for `load` after a restart."""
        return {
            "killed": [list(scope) for scope in sorted(self.killed)],
            "overrides": [
                [*scope, int(what), until_ms]
                for scope, (what, until_ms) in sorted(self.overrides.items())
            ],
        }

    def load(self, kept: Mapping[str, Sequence[Sequence[str | int]]]) -> None:
        """
        Take what `export` gave.

        Raises
        ------
        BadConfiguration
            It is of another version; nothing changes.
        """
        try:
            killed = {Scope(str(policy), str(queue)) for policy, queue in kept["killed"]}
            overrides = {
                Scope(str(policy), str(queue)): (Override(int(what)), int(until_ms))
                for policy, queue, what, until_ms in kept["overrides"]
            }
        except (KeyError, ValueError, TypeError):
            raise BadConfiguration("switches", kept, "what export gave") from None
        self.killed, self.overrides = killed, overrides


def _covered(
    scope: Scope, pairs: TriggerPairs, names: Mapping[str, Sequence[str]]
) -> NDArray[np.bool_]:
    """(n_pairs,) whether a switch is about them."""
    covered = np.ones(len(pairs.policy), np.bool_)
    for name, known, rows in (
        (scope.policy, names["policies"], pairs.policy),
        (scope.queue, names["queues"], pairs.queue),
    ):
        if name:
            covered &= rows == (known.index(name) if name in known else -1)
    return covered


class MinuteBudgets:
    """
    How many contacts each policy has moved in the last minute; exact in any 60 seconds.

    Parameters
    ----------
    most
        (n_policies,) contacts in a minute, 0 for no limit.
    """

    def __init__(self, most: NDArray[np.int64]) -> None:
        self._most = most
        # One slot more than a minute has: any 60 seconds touch as many.
        self._slots = np.zeros((len(most), _WINDOW_S + 1), np.int64)
        self._second = np.full(len(most), -1, np.int64)

    def take(self, policy: int, now_ms: int) -> bool:
        """Whether a policy may move one more contact now; if so it is counted. O(1) on average."""
        if self._most[policy] == 0:
            return True
        self._pass(policy, now_ms // 1_000)
        slots = self._slots[policy]
        if int(slots.sum()) >= self._most[policy]:
            return False
        slots[int(self._second[policy]) % len(slots)] += 1
        return True

    def take_over(self, other: "MinuteBudgets") -> None:
        """Go on from what was counted of as many policies, whatever the limits were."""
        self._slots[:] = other._slots
        self._second[:] = other._second

    def _pass(self, policy: int, second: int) -> None:
        """Forget what is more than a minute old; a clock that went back does not forget."""
        slots = self._slots[policy]
        passed = second - int(self._second[policy])
        for gone in range(min(max(passed, 0), len(slots))):
            slots[(second - gone) % len(slots)] = 0
        self._second[policy] = max(second, int(self._second[policy]))
