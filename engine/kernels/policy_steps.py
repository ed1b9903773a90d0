"""
One second of policies: triggers that are held, kept and left, and shares that move.

A pair is a policy and a queue it matches. Pairs stand in the order in which policies go first, and
are stepped in it: what one does, those after it see in the same second.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.compilation import sensing_entry, sensing_kernel

# What a condition evaluates to; the same as `engine.policy.values.Truth`.
FALSE: Final = 0
TRUE: Final = 1
ERROR: Final = 2

# What a policy does while what it reads is out of date.
HOLD: Final = 0
EXIT: Final = 1
IGNORE: Final = 2

# What somebody, or the schedule, has said of a pair.
FREE: Final = 0
KILLED: Final = 1
FORCED_OFF: Final = 2
FORCED_ON: Final = 3
FROZEN: Final = 4
UNSCHEDULED: Final = 5

# Why a pair went on or off last; the same as `engine.policy.trigger.Cause`.
BY_NOTHING: Final = 0
BY_ENTER: Final = 1
BY_EXIT: Final = 2
BY_STALE: Final = 3
BY_KILL: Final = 4
BY_OVERRIDE: Final = 5
BY_SCHEDULE: Final = 6

# No moment yet.
NEVER: Final = -(1 << 62)


class TriggerRules(NamedTuple):
    """
    Settings of policies; times in milliseconds.

    Attributes
    ----------
    enter, exit
        (n_policies,) rows of their conditions among results; exit -1: left when enter is false.
    enter_for_ms, exit_for_ms, dwell_on_ms, dwell_off_ms, cool_down_ms
        (n_policies,) as in the document.
    stale
        (n_policies,) HOLD, EXIT or IGNORE.
    stale_after_ms, hold_for_ms
        (n_policies,) as in the document.
    """

    enter: NDArray[np.int64]
    exit: NDArray[np.int64]
    enter_for_ms: NDArray[np.int64]
    exit_for_ms: NDArray[np.int64]
    dwell_on_ms: NDArray[np.int64]
    dwell_off_ms: NDArray[np.int64]
    cool_down_ms: NDArray[np.int64]
    stale: NDArray[np.int64]
    stale_after_ms: NDArray[np.int64]
    hold_for_ms: NDArray[np.int64]


class TriggerPairs(NamedTuple):
    """
    State of pairs; moments in milliseconds, NEVER where there was none.

    Attributes
    ----------
    policy, queue
        (n_pairs,) rows.
    is_on
        (n_pairs,) 0 or 1.
    changed_ms
        (n_pairs,) when it went on or off last.
    cause
        (n_pairs,) why, BY_*.
    enter_since_ms, exit_since_ms
        (n_pairs,) since when the condition has been met without a break.
    stale_since_ms
        (n_pairs,) since when it cannot be told.
    cool_until_ms
        (n_pairs,) until when it does not enter.
    opposed_begin, opposed_end
        (n_pairs,) places in `opposed`.
    opposed
        (n,) pairs that move contacts the other way, of which only one may be on.
    """

    policy: NDArray[np.int64]
    queue: NDArray[np.int64]
    is_on: NDArray[np.int64]
    changed_ms: NDArray[np.int64]
    cause: NDArray[np.int64]
    enter_since_ms: NDArray[np.int64]
    exit_since_ms: NDArray[np.int64]
    stale_since_ms: NDArray[np.int64]
    cool_until_ms: NDArray[np.int64]
    opposed_begin: NDArray[np.int64]
    opposed_end: NDArray[np.int64]
    opposed: NDArray[np.int64]


class Seen(NamedTuple):
    """
    What this second tells.

    Attributes
    ----------
    truths
        (n_triggers, n_queues) results of conditions.
    telemetry_age_ms
        (n_queues,) age of what they read.
    said
        (n_pairs,) FREE, KILLED, ...
    """

    truths: NDArray[np.int8]
    telemetry_age_ms: NDArray[np.int64]
    said: NDArray[np.int64]


@sensing_kernel
def _switch(pairs: TriggerPairs, pair: int, is_on: int, cause: int, now_ms: int) -> None:
    """Switch a pair, and forget what was being held. O(1)."""
    pairs.enter_since_ms[pair] = NEVER
    pairs.exit_since_ms[pair] = NEVER
    pairs.stale_since_ms[pair] = NEVER
    if pairs.is_on[pair] != is_on:
        pairs.is_on[pair] = is_on
        pairs.changed_ms[pair] = now_ms
        pairs.cause[pair] = cause


@sensing_kernel
def _obey(pairs: TriggerPairs, pair: int, said: int, now_ms: int) -> None:
    """Do what was said of a pair, at once: no guard is above it. O(1)."""
    if said == KILLED:
        _switch(pairs, pair, 0, BY_KILL, now_ms)
    elif said == FORCED_OFF:
        _switch(pairs, pair, 0, BY_OVERRIDE, now_ms)
    elif said == FORCED_ON:
        _switch(pairs, pair, 1, BY_OVERRIDE, now_ms)
    elif said == UNSCHEDULED:
        _switch(pairs, pair, 0, BY_SCHEDULE, now_ms)
    else:
        _switch(pairs, pair, pairs.is_on[pair], BY_NOTHING, now_ms)


@sensing_kernel
def _wait_for_sight(rules: TriggerRules, pairs: TriggerPairs, pair: int, now_ms: int) -> None:
    """What a pair does that cannot see: hold for a while, or exit. O(1)."""
    policy = pairs.policy[pair]
    pairs.enter_since_ms[pair] = NEVER
    pairs.exit_since_ms[pair] = NEVER
    if pairs.stale_since_ms[pair] == NEVER:
        pairs.stale_since_ms[pair] = now_ms
    if pairs.is_on[pair] == 0:
        return
    held_ms = now_ms - pairs.stale_since_ms[pair]
    if rules.stale[policy] == EXIT or held_ms >= rules.hold_for_ms[policy]:
        since_ms = pairs.stale_since_ms[pair]
        _switch(pairs, pair, 0, BY_STALE, now_ms)
        pairs.stale_since_ms[pair] = since_ms
        pairs.cool_until_ms[pair] = now_ms + rules.cool_down_ms[policy]


@sensing_kernel
def _is_opposed(pairs: TriggerPairs, pair: int) -> bool:
    """Whether a pair that moves the other way is on. O(opposed)."""
    for place in range(pairs.opposed_begin[pair], pairs.opposed_end[pair]):
        if pairs.is_on[pairs.opposed[place]] == 1:
            return True
    return False


@sensing_kernel
def _try_enter(
    rules: TriggerRules, pairs: TriggerPairs, pair: int, truth: int, now_ms: int
) -> None:
    """Enter once it has been met for long enough, and no guard is against it. O(opposed)."""
    if truth != TRUE:
        pairs.enter_since_ms[pair] = NEVER
        return
    if pairs.enter_since_ms[pair] == NEVER:
        pairs.enter_since_ms[pair] = now_ms
    policy = pairs.policy[pair]
    is_held = now_ms - pairs.enter_since_ms[pair] >= rules.enter_for_ms[policy]
    is_rested = now_ms - pairs.changed_ms[pair] >= rules.dwell_off_ms[policy]
    is_cool = now_ms >= pairs.cool_until_ms[pair]
    if is_held and is_rested and is_cool and not _is_opposed(pairs, pair):
        _switch(pairs, pair, 1, BY_ENTER, now_ms)


@sensing_kernel
def _try_exit(rules: TriggerRules, pairs: TriggerPairs, pair: int, truth: int, now_ms: int) -> None:
    """Exit once it has been met for long enough, and it has been on for long enough. O(1)."""
    if truth != TRUE:
        pairs.exit_since_ms[pair] = NEVER
        return
    if pairs.exit_since_ms[pair] == NEVER:
        pairs.exit_since_ms[pair] = now_ms
    policy = pairs.policy[pair]
    is_held = now_ms - pairs.exit_since_ms[pair] >= rules.exit_for_ms[policy]
    if is_held and now_ms - pairs.changed_ms[pair] >= rules.dwell_on_ms[policy]:
        _switch(pairs, pair, 0, BY_EXIT, now_ms)
        pairs.cool_until_ms[pair] = now_ms + rules.cool_down_ms[policy]


@sensing_kernel
def _truth_of(rules: TriggerRules, pairs: TriggerPairs, pair: int, seen: Seen) -> int:
    """What the condition says that counts now: to enter while off, to exit while on. O(1)."""
    policy, queue = pairs.policy[pair], pairs.queue[pair]
    enter = seen.truths[rules.enter[policy], queue]
    if pairs.is_on[pair] == 0:
        return enter
    if rules.exit[policy] >= 0:
        return seen.truths[rules.exit[policy], queue]
    return enter if enter == ERROR else TRUE - enter


@sensing_entry
def step_triggers(
    rules: TriggerRules, pairs: TriggerPairs, seen: Seen, now_ms: int, is_gap: bool
) -> None:
    """
    Step every pair by one second. O(pairs + opposed).

    Parameters
    ----------
    is_gap
        Whether seconds were missed: nothing has then been met without a break.
    """
    for pair in range(pairs.policy.shape[0]):
        if is_gap:
            pairs.enter_since_ms[pair] = NEVER
            pairs.exit_since_ms[pair] = NEVER
        if seen.said[pair] != FREE:
            _obey(pairs, pair, seen.said[pair], now_ms)
            continue
        policy = pairs.policy[pair]
        truth = _truth_of(rules, pairs, pair, seen)
        age_ms = seen.telemetry_age_ms[pairs.queue[pair]]
        cannot_see = truth == ERROR or age_ms > rules.stale_after_ms[policy]
        if cannot_see and rules.stale[policy] != IGNORE:
            _wait_for_sight(rules, pairs, pair, now_ms)
            continue
        pairs.stale_since_ms[pair] = NEVER
        if pairs.is_on[pair] == 0:
            _try_enter(rules, pairs, pair, truth, now_ms)
        else:
            _try_exit(rules, pairs, pair, truth, now_ms)


class Shares(NamedTuple):
    """
    Shares of pairs, ratios 0 to 1.

    Attributes
    ----------
    share
        (n_pairs,) in force; moved.
    wanted
        (n_pairs,) where it is to go while the pair is on.
    share_max
        (n_pairs,) most that the pair's queue may lose, to this policy and those before it.
    slew_per_s
        (n_pairs,) most that it moves in a second, inf for at once.
    taken
        (n_queues,) scratch: what policies so far take of each queue.
    """

    share: NDArray[np.float64]
    wanted: NDArray[np.float64]
    share_max: NDArray[np.float64]
    slew_per_s: NDArray[np.float64]
    taken: NDArray[np.float64]


@sensing_entry
def move_shares(pairs: TriggerPairs, shares: Shares, passed_s: float) -> None:
    """
    Move every share towards what is wanted of it; that of a pair that is off is 0. O(pairs).

    Policies that go first take their share first: what those before it take of the queue lowers
    the most that one may take.
    """
    shares.taken[:] = 0.0
    for pair in range(pairs.policy.shape[0]):
        if pairs.is_on[pair] == 0:
            shares.share[pair] = 0.0
            continue
        queue = pairs.queue[pair]
        most = max(0.0, shares.share_max[pair] - shares.taken[queue])
        slew_per_s = shares.slew_per_s[pair]
        # Infinity times no time is not a number.
        step = 1.0 if slew_per_s == math.inf else slew_per_s * passed_s
        before = shares.share[pair]
        moved = min(max(shares.wanted[pair], before - step), before + step)
        # The bound holds at once: nothing is slow about a guard.
        shares.share[pair] = min(moved, most)
        shares.taken[queue] += shares.share[pair]
