"""Pauses between attempts: drawn, growing, bounded, and at an end some time."""

import random

from hypothesis import given
from hypothesis import strategies as st

from adapters.retrying import RetryPolicy

POLICY = RetryPolicy(pause_first_s=0.5, pause_max_s=60, retry_after_max_s=600, give_up_after_s=3600)
SECONDS = st.floats(0, 10**9)


@given(st.integers(1, 10**6), SECONDS, SECONDS, st.integers())
def test_pause_stays_within_its_bounds(
    attempts: int, retry_after_s: float, spent_s: float, seed: int
) -> None:
    """Neither an endpoint nor a long outage makes a forwarder sleep for days."""
    pause_s = POLICY.pause_s(attempts, retry_after_s, spent_s, random.Random(seed))
    if spent_s >= 3600:
        assert pause_s is None
    else:
        assert pause_s is not None
        asked_s = min(retry_after_s, 600)
        assert min(asked_s, 3600 - spent_s) <= pause_s
        assert pause_s <= min(asked_s + min(0.5 * 2 ** min(attempts - 1, 99), 60), 3600 - spent_s)


def test_pauses_double_and_spread_over_their_whole_range() -> None:
    """Forwarders that failed together must not come back together."""
    for attempts, longest_s in ((1, 0.5), (2, 1.0), (3, 2.0), (7, 32.0), (8, 60.0), (99, 60.0)):
        chance = random.Random(attempts)
        drawn = [POLICY.pause_s(attempts, 0, 0, chance) or 0.0 for _ in range(1_000)]
        assert max(drawn) <= longest_s
        assert min(drawn) < 0.02 * longest_s
        assert max(drawn) > 0.98 * longest_s


def test_pause_is_at_least_what_the_endpoint_asks_for() -> None:
    """It knows when it will be well again; only what is beyond reason is cut."""
    pause_s = POLICY.pause_s(1, 120, 0, random.Random(1))
    assert pause_s is not None
    assert 120 <= pause_s <= 120.5
    pause_s = POLICY.pause_s(1, 10**9, 0, random.Random(1))
    assert pause_s is not None
    assert 600 <= pause_s <= 600.5


def test_last_attempt_is_made_when_the_time_is_up() -> None:
    """A pause that reaches beyond it is cut short; after it there is none."""
    assert POLICY.pause_s(50, 600, 3_590, random.Random(1)) == 10
    assert POLICY.pause_s(50, 0, 3_600, random.Random(1)) is None
    once = RetryPolicy(0.5, 60, 600, give_up_after_s=0)
    assert once.pause_s(1, 0, 0, random.Random(1)) is None
