"""
When policies are on: one machine for every policy and queue it matches, stepped once a second.

```
off ── enter met for `for`, `dwell_off` and `cool_down` over, nothing moves the other way ──► on
on  ── exit met for `for`, `dwell_on` over ───────────────────────────────────────────────► off
```

While what is read is out of date or cannot be told, a policy holds for `hold_for` and then exits,
exits at once, or goes by what there is (`stale`). What somebody says goes before all of that, at
once and without dwell: a kill switch, an override on or off, a freeze; and the schedule. Time comes
in; a gap of more than 5 s breaks what was being held.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from engine.kernels import policy_steps as kernels
from engine.kernels.policy_steps import NEVER, Seen, TriggerPairs, TriggerRules
from engine.policy.compiled import CompiledRelief
from engine.policy.program import Trigger
from engine.refusals import BadConfiguration

# Longest time between steps in which a condition counts as met throughout.
GAP_MS: Final = 5_000
_STALE: Final[Mapping[str, int]] = {
    "hold": kernels.HOLD,
    "exit": kernels.EXIT,
    "ignore": kernels.IGNORE,
}
# What a machine remembers; the rest is made from the policies.
_KEPT: Final = (
    "is_on", "changed_ms", "cause", "enter_since_ms", "exit_since_ms", "stale_since_ms",
    "cool_until_ms",
)  # fmt: skip


class Cause(IntEnum):
    """Why a policy went on or off."""

    NOTHING = kernels.BY_NOTHING
    ENTER = kernels.BY_ENTER
    EXIT = kernels.BY_EXIT
    STALE = kernels.BY_STALE
    KILL = kernels.BY_KILL
    OVERRIDE = kernels.BY_OVERRIDE
    SCHEDULE = kernels.BY_SCHEDULE


class Change(NamedTuple):
    """A policy that went on or off for a queue; rows."""

    pair: int
    policy: int
    queue: int
    is_on: bool
    cause: Cause


class Pair(NamedTuple):
    """A policy and a queue it matches; rows."""

    policy: int
    queue: int


class TriggerMachines:
    """
    The machines of a policy set.

    Attributes
    ----------
    pairs
        Columns, in the order in which policies go first.
    stepped_ms
        Time of the last step, NEVER before the first.
    """

    def __init__(self, policies: Sequence[CompiledRelief], queue_ids: Sequence[str]) -> None:
        self.rules = _rules(policies)
        self.pairs = _pairs(policies, queue_ids)
        self.stepped_ms = NEVER

    @property
    def count(self) -> int:
        """Pairs."""
        return len(self.pairs.policy)

    def step(self, seen: Seen, now_ms: int) -> list[Change]:
        """
        Step to a moment; returns what changed, in the order of pairs.

        Raises
        ------
        ValueError
            It is not after the last one, or an array is not as it must be; nothing changes.
        """
        self._check(seen, now_ms)
        before = self.pairs.is_on.copy()
        is_gap = self.stepped_ms != NEVER and now_ms - self.stepped_ms > GAP_MS
        kernels.step_triggers(self.rules, self.pairs, seen, now_ms, is_gap)
        self.stepped_ms = now_ms
        return [self._change(pair) for pair in np.flatnonzero(before != self.pairs.is_on).tolist()]

    def export(self, names: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
        """
        What machines remember, by `policy/queue`, for `load` after a restart or a new version.

        Parameters
        ----------
        names
            `policies` and `queues`: their names by row.
        """
        return {
            self._key(pair, names): [int(getattr(self.pairs, name)[pair]) for name in _KEPT]
            for pair in range(self.count)
        }

    def load(self, kept: Mapping[str, Sequence[int]], names: Mapping[str, Sequence[str]]) -> None:
        """
        Take what `export` gave; pairs that it does not have begin off.

        Raises
        ------
        BadConfiguration
            It is of another version; nothing changes.
        """
        for key, values in kept.items():
            if len(values) != len(_KEPT):
                raise BadConfiguration(f"triggers.{key}", values, f"{len(_KEPT)} numbers")
        for pair in range(self.count):
            found = kept.get(self._key(pair, names))
            if found is not None:
                for name, value in zip(_KEPT, found, strict=True):
                    getattr(self.pairs, name)[pair] = value

    def _key(self, pair: int, names: Mapping[str, Sequence[str]]) -> str:
        policy = names["policies"][self.pairs.policy[pair]]
        return f"{policy}/{names['queues'][self.pairs.queue[pair]]}"

    def _change(self, pair: int) -> Change:
        pairs = self.pairs
        return Change(
            pair,
            int(pairs.policy[pair]),
            int(pairs.queue[pair]),
            bool(pairs.is_on[pair]),
            Cause(int(pairs.cause[pair])),
        )

    def _check(self, seen: Seen, now_ms: int) -> None:
        if not (self.stepped_ms < now_ms < 1 << 53):
            raise ValueError(f"now_ms: expected {self.stepped_ms + 1} to 2^53, got {now_ms}")
        if seen.said.shape != (self.count,):
            raise ValueError(f"said: expected ({self.count},), got {seen.said.shape}")
        rows = int(self.pairs.queue.max(initial=-1)) + 1
        triggers = int(max(self.rules.enter.max(initial=-1), self.rules.exit.max(initial=-1))) + 1
        if seen.truths.shape[0] < triggers or seen.truths.shape[1] < rows:
            expected = f"at least ({triggers}, {rows})"
            raise ValueError(f"truths: expected {expected}, got {seen.truths.shape}")
        if len(seen.telemetry_age_ms) < rows or not (seen.telemetry_age_ms >= 0).all():
            raise ValueError(f"telemetry_age_ms: expected at least {rows} ages >= 0")


def triggers_of(policies: Sequence[CompiledRelief]) -> list[Trigger]:
    """What a program evaluates for the machines, in the order of `trigger_rows`."""
    found: list[Trigger] = []
    for compiled in policies:
        found.append(Trigger(compiled.policy.name, compiled.enter))
        if compiled.exit is not None:
            found.append(Trigger(compiled.policy.name, compiled.exit))
    return found


def trigger_rows(policies: Sequence[CompiledRelief]) -> list[tuple[int, int]]:
    """Rows of enter and exit among results, -1 for none: all of one policy stand together."""
    rows: list[tuple[int, int]] = []
    next_row = 0
    for compiled in policies:
        has_exit = compiled.exit is not None
        rows.append((next_row, next_row + 1 if has_exit else -1))
        next_row += 2 if has_exit else 1
    return rows


def _rules(policies: Sequence[CompiledRelief]) -> TriggerRules:
    rows = trigger_rows(policies)
    settings = [
        (
            enter,
            leave,
            compiled.policy.spec.enter.for_,
            compiled.policy.spec.exit.for_ if compiled.policy.spec.exit else 0,
            compiled.policy.spec.guards.dwell_on,
            compiled.policy.spec.guards.dwell_off,
            compiled.policy.spec.guards.cool_down,
            _STALE[compiled.policy.spec.stale.policy],
            compiled.policy.spec.stale.after,
            compiled.policy.spec.stale.hold_for,
        )
        for compiled, (enter, leave) in zip(policies, rows, strict=True)
    ]
    columns = np.array(settings, np.int64).reshape(len(policies), len(TriggerRules._fields))
    return TriggerRules(*(np.ascontiguousarray(column) for column in columns.T))


def _pairs(policies: Sequence[CompiledRelief], queue_ids: Sequence[str]) -> TriggerPairs:
    found = matched_pairs(policies, queue_ids)
    opposed = _opposed(policies, queue_ids, found)
    ends = np.cumsum([len(item) for item in opposed], dtype=np.int64)
    flat = [other for item in opposed for other in item]
    count = len(found)
    never = np.full((5, count), NEVER, np.int64)
    return TriggerPairs(
        policy=np.array([pair.policy for pair in found], np.int64),
        queue=np.array([pair.queue for pair in found], np.int64),
        is_on=np.zeros(count, np.int64),
        changed_ms=never[0],
        cause=np.zeros(count, np.int64),
        enter_since_ms=never[1],
        exit_since_ms=never[2],
        stale_since_ms=never[3],
        cool_until_ms=never[4],
        opposed_begin=np.concatenate([np.zeros(min(count, 1), np.int64), ends[:-1]]),
        opposed_end=ends,
        opposed=np.array(flat, np.int64),
    )


def matched_pairs(policies: Sequence[CompiledRelief], queue_ids: Sequence[str]) -> list[Pair]:
    """Pairs in the order in which policies go first: precedence, then name, then queue."""
    order = sorted(
        range(len(policies)),
        key=lambda row: (-policies[row].policy.spec.precedence, policies[row].policy.name),
    )
    return [
        Pair(policy, queue)
        for policy in order
        for queue, queue_id in enumerate(queue_ids)
        if policies[policy].policy.spec.match.includes(queue_id)
    ]


def _opposed(
    policies: Sequence[CompiledRelief], queue_ids: Sequence[str], pairs: Sequence[Pair]
) -> list[list[int]]:
    """For each pair, those that move contacts the other way, where either minds."""
    from_to: dict[tuple[str, str], list[int]] = {}
    for place, pair in enumerate(pairs):
        for target in policies[pair.policy].policy.spec.queues:
            from_to.setdefault((queue_ids[pair.queue], target), []).append(place)
    found: list[list[int]] = []
    for pair in pairs:
        spec = policies[pair.policy].policy.spec
        back = {
            other
            for target in spec.queues
            for other in from_to.get((target, queue_ids[pair.queue]), ())
            if spec.guards.one_direction
            or policies[pairs[other].policy].policy.spec.guards.one_direction
        }
        found.append(sorted(back))
    return found
