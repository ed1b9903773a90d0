"""The engine's clock over a wall clock and a monotonic one that a test moves by hand."""

import time

from hypothesis import given
from hypothesis import strategies as st

from adapters.clock import Clock

NS_PER_MS = 1_000_000


class Hands:
    """A wall clock, milliseconds, and a monotonic clock, nanoseconds, set by hand."""

    def __init__(
        self, wall_ms: int = 1_700_000_000_000, monotonic_ns: int = 12_345_678_901
    ) -> None:
        self.wall_ms = wall_ms
        self.monotonic_ns = monotonic_ns

    def pass_ms(self, elapsed_ms: int) -> None:
        """Let both go on."""
        self.wall_ms += elapsed_ms
        self.monotonic_ns += elapsed_ms * NS_PER_MS

    def clock(self, not_before_ms: int = 0) -> Clock:
        """A clock that reads these hands."""
        return Clock(not_before_ms, lambda: self.wall_ms, lambda: self.monotonic_ns)


def test_clock_begins_at_wall_time_and_goes_on_with_it() -> None:
    """Times on the wire are wall times wherever nothing is wrong with the wall clock."""
    hands = Hands()
    clock = hands.clock()
    assert (clock.now_ms(), clock.ahead_of_wall_ms()) == (hands.wall_ms, 0)
    hands.pass_ms(86_400_000)
    assert (clock.now_ms(), clock.ahead_of_wall_ms()) == (hands.wall_ms, 0)


def test_step_of_the_wall_clock_does_not_reach_the_engine() -> None:
    """A step back would freeze every timer, a step ahead would expire every offer."""
    for step_ms in (-3_600_000, 3_600_000):
        hands = Hands()
        clock = hands.clock()
        before_ms = clock.now_ms()
        hands.wall_ms += step_ms
        assert clock.now_ms() == before_ms
        assert clock.ahead_of_wall_ms() == -step_ms
        hands.pass_ms(5)
        assert clock.now_ms() == before_ms + 5


def test_clock_after_a_restart_begins_no_earlier_than_the_log() -> None:
    """The engine refuses time that goes back, so a wall clock set back must not stop a cell."""
    hands = Hands()
    clock = hands.clock(not_before_ms=hands.wall_ms + 60_000)
    assert (clock.now_ms(), clock.ahead_of_wall_ms()) == (hands.wall_ms + 60_000, 60_000)
    hands.pass_ms(1)
    assert clock.ahead_of_wall_ms() == 60_000


def test_log_that_is_older_than_the_wall_clock_holds_nothing_up() -> None:
    """After a night's pause the engine goes on at the morning's time."""
    hands = Hands()
    assert hands.clock(not_before_ms=hands.wall_ms - 60_000).now_ms() == hands.wall_ms


@given(
    not_before_ms=st.integers(0, 4_000_000_000_000),
    start_ns=st.integers(0, 1 << 60),
    moves=st.lists(st.tuples(st.integers(0, 1 << 50), st.integers(-(1 << 40), 1 << 40))),
)
def test_clock_never_goes_back_and_misses_nothing(
    not_before_ms: int, start_ns: int, moves: list[tuple[int, int]]
) -> None:
    """Engine time advances by what the monotonic clock says, to the millisecond, and only so."""
    hands = Hands(monotonic_ns=start_ns)
    clock = hands.clock(not_before_ms)
    begun_ms = clock.now_ms()
    assert begun_ms >= not_before_ms
    last_ms = begun_ms
    for elapsed_ns, step_ms in moves:
        hands.monotonic_ns += elapsed_ns
        hands.wall_ms += step_ms
        now_ms = clock.now_ms()
        assert now_ms >= last_ms
        last_ms = now_ms
    elapsed_ns = hands.monotonic_ns - start_ns
    assert abs((last_ms - begun_ms) - elapsed_ns / NS_PER_MS) <= 1


def test_clock_reads_the_machine_s_clocks_by_itself() -> None:
    """Nothing needs to be handed over in a real process."""
    clock = Clock()
    first_ms = clock.now_ms()
    assert abs(first_ms - time.time() * 1_000) < 5_000
    time.sleep(0.002)
    assert clock.now_ms() > first_ms
