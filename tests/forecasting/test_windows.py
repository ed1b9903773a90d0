"""Windows over telemetry: exact sums, gaps that are gaps, and readings that are refused."""

import numpy as np
import pytest

from engine.forecasting.windows import QueueWindows
from engine.kernels.windows import (
    ABANDONED,
    ACCEPTED,
    AHEAD_S,
    ANSWERED,
    ANSWERED_WITHIN,
    AVAILABLE,
    HANDLE_MS,
    HANDLED,
    OFFERED,
    READING_COLUMNS,
    REFUSED_AHEAD,
    REFUSED_DUPLICATE,
    REFUSED_LATE,
    REFUSED_STUCK,
    REFUSED_UNKNOWN,
    REFUSED_VALUE,
    REPEATED_MAX,
    SOURCE_FORGOTTEN_S,
    Readings,
)
from engine.refusals import BadConfiguration
from tests.forecasting.reference import PlainWindows

BEGIN_S = 1_000_000
LENGTHS_S = (10, 60, 300, 900, 1_800)


COLUMNS = {
    "offered": OFFERED,
    "answered": ANSWERED,
    "within": ANSWERED_WITHIN,
    "abandoned": ABANDONED,
    "handled": HANDLED,
    "handle_ms": HANDLE_MS,
}


def reading(queue: int, source: int, second: int, **values: int) -> Readings:
    """One reading, values by column; agents come and go, or it would be taken for stuck."""
    row = np.zeros((1, READING_COLUMNS), np.int64)
    row[0, AVAILABLE] = second % 7
    for name, value in values.items():
        row[0, COLUMNS[name]] = value
    one = np.array([queue]), np.array([source]), np.array([second])
    return Readings(*one, row)


def begun(queues: int = 3) -> QueueWindows:
    """Windows that have begun."""
    windows = QueueWindows(queues)
    windows.begin(BEGIN_S)
    return windows


def drawn(draw: np.random.Generator, seconds: int) -> list[tuple[int, Readings]]:
    """Readings of two sources on three queues, out of order within ten seconds, some missing."""
    arrives = []
    for second in range(BEGIN_S + 1, BEGIN_S + 1 + seconds):
        for queue in range(3):
            for source in range(2):
                if queue == 2 and source == 1:
                    continue
                if draw.random() < 0.03:
                    continue
                values = draw.integers(0, 5, (1, READING_COLUMNS))
                values[0, ANSWERED_WITHIN] = min(values[0, ANSWERED_WITHIN], values[0, ANSWERED])
                one = np.array([queue]), np.array([source]), np.array([second])
                arrives.append((second + int(draw.integers(0, 10)), Readings(*one, values)))
    return sorted(arrives, key=lambda item: item[0])


@pytest.mark.parametrize("seed", [1, 2])
def test_windows_hold_what_a_plain_sum_over_all_seconds_gives(seed: int) -> None:
    """A sliding sum that is one contact off stays so for ever: equality, not closeness."""
    draw = np.random.default_rng(seed)
    windows, plain = begun(), PlainWindows()
    # Every source is known from the start, so that none changes what an open second waits for.
    for queue in range(3):
        for source in range(2 - (queue == 2)):
            first = reading(queue, source, BEGIN_S + 1)
            windows.accept(first)
            plain.tell(queue, source, BEGIN_S + 1, first.values[0].tolist())
    arrivals = drawn(draw, 400)
    for now in range(BEGIN_S + 1, BEGIN_S + 400):
        while arrivals and arrivals[0][0] <= now:
            told = arrivals.pop(0)[1]
            if windows.accept(told)[0] == ACCEPTED:
                queue, source, second = (int(array[0]) for array in told[:3])
                plain.tell(queue, source, second, told.values[0].tolist())
        closing = now - 10
        if closing <= BEGIN_S:
            continue
        windows.close(closing)
        plain.close(3, closing)
        if closing % 7 == 0:
            for queue in range(3):
                for place, length_s in enumerate(LENGTHS_S):
                    expected = plain.window(queue, length_s, closing)
                    found = windows.columns.sums[queue, place].tolist()
                    # Levels other than sums over time are not asked for as sums.
                    assert found == expected, (queue, length_s, closing)
    assert windows.outcomes[ACCEPTED] > 1_000


def test_gap_counts_as_gap_not_as_zeros() -> None:
    """A source that says nothing must not look like a queue where nobody calls."""
    windows = begun(1)
    for second in range(BEGIN_S + 1, BEGIN_S + 61):
        if second <= BEGIN_S + 30:
            windows.accept(reading(0, 0, second, offered=2, answered=1, within=1))
        windows.close(second)
    figures = windows.figures("5m")
    assert (figures.offered[0], figures.covered_s[0]) == (60, 30)
    assert figures.service_level[0] == 1.0
    observed = windows.take_bucket(3_600)
    assert (observed.contacts[0], observed.covered_s[0]) == (60, 30)
    assert windows.take_bucket(3_600).contacts[0] == 0


def test_second_counts_only_when_every_source_has_told() -> None:
    """Half of a queue's contacts is not fewer contacts; a source long silent is forgotten."""
    windows = begun(1)
    second = BEGIN_S
    for _ in range(5):
        second += 1
        windows.accept(reading(0, 0, second, offered=1))
        windows.accept(reading(0, 1, second, offered=1))
        windows.close(second)
    for _ in range(SOURCE_FORGOTTEN_S + 20):
        second += 1
        windows.accept(reading(0, 0, second, offered=1))
        windows.close(second)
    assert windows.figures("day").covered_s[0] == 5 + 20
    assert windows.figures("day").offered[0] == 10 + 20


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (reading(0, 0, BEGIN_S), REFUSED_LATE),  # of a closed second
        (reading(0, 0, BEGIN_S + AHEAD_S + 1), REFUSED_AHEAD),  # of the future
        (reading(0, 0, BEGIN_S + 1, offered=-1), REFUSED_VALUE),  # negative
        (reading(0, 0, BEGIN_S + 1, offered=1_000_001), REFUSED_VALUE),  # huge
        (reading(0, 0, BEGIN_S + 1, within=1), REFUSED_VALUE),  # more in time than answered
        (reading(3, 0, BEGIN_S + 1), REFUSED_UNKNOWN),  # no such row
        (reading(0, 64, BEGIN_S + 1), REFUSED_UNKNOWN),  # no such source
    ],
)
def test_bad_reading_is_refused_and_changes_nothing(told: Readings, expected: int) -> None:
    """A faulty gateway is counted, and its neighbours' figures stay right."""
    windows = begun()
    before = windows.export()
    assert windows.accept(told)[0] == expected
    assert windows.outcomes[expected] == 1
    after = windows.export()
    assert all(np.array_equal(before[name], after[name]) for name in before if name != "outcomes")


def test_reading_told_twice_counts_once() -> None:
    """Gateways retry; a second of a source counts once."""
    windows = begun()
    assert windows.accept(reading(0, 0, BEGIN_S + 1, offered=2))[0] == ACCEPTED
    assert windows.accept(reading(0, 0, BEGIN_S + 1, offered=2))[0] == REFUSED_DUPLICATE
    windows.close(BEGIN_S + 1)
    assert windows.figures("10s").offered[0] == 2


def test_source_that_repeats_one_reading_is_stuck() -> None:
    """A feed that hangs on its last reading must not become a forecast; one that wakes counts."""
    windows = begun(2)
    stuck = reading(0, 1, BEGIN_S, offered=2, answered=1)
    quiet = reading(1, 1, BEGIN_S)
    outcomes = []
    for second in range(BEGIN_S + 1, BEGIN_S + 61):
        told = [item._replace(second=np.array([second])) for item in (stuck, quiet)]
        outcomes.append([int(windows.accept(item)[0]) for item in told])
        windows.close(second)
    assert [first for first, _ in outcomes] == [ACCEPTED] * REPEATED_MAX + [REFUSED_STUCK] * 30
    # Nothing comes for hours at night: that is no fault.
    assert {second for _, second in outcomes} == {ACCEPTED}
    assert windows.figures("day").offered[0] == 2 * REPEATED_MAX
    assert windows.accept(reading(0, 1, BEGIN_S + 61, offered=3))[0] == ACCEPTED


def test_readings_of_another_type_are_refused_whole() -> None:
    """Floats may hold NaN: telemetry is whole numbers."""
    windows = begun()
    good = reading(0, 0, BEGIN_S + 1)
    with pytest.raises(ValueError, match=r"readings\.values: expected int64"):
        windows.accept(good._replace(values=good.values.astype(float)))
    with pytest.raises(ValueError, match=r"readings\.source"):
        windows.accept(good._replace(source=np.zeros(2, np.int64)))


@pytest.mark.parametrize("pause_s", [40, 500, 5_000])
def test_pause_is_a_gap(pause_s: int) -> None:
    """After a pause windows hold what is left of their time, and no second from before it."""
    windows, plain = begun(1), PlainWindows()
    for second in range(BEGIN_S + 1, BEGIN_S + 101):
        windows.accept(reading(0, 0, second, offered=1))
        plain.tell(0, 0, second, [1] + [0] * (READING_COLUMNS - 1))
        windows.close(second)
        plain.close(1, second)
    resumed = BEGIN_S + 100 + pause_s
    windows.close(resumed)
    for place, length_s in enumerate(LENGTHS_S):
        expected = plain.window(0, length_s, resumed)[OFFERED]
        assert windows.columns.sums[0, place, OFFERED] == expected
    assert windows.figures("day").offered[0] == 100
    with pytest.raises(ValueError, match="second: expected at least"):
        windows.close(BEGIN_S)


def test_figures_of_nothing_are_nan() -> None:
    """No contact answered is not a service level of 0."""
    figures = begun().figures("1m")
    assert np.isnan(figures.service_level).all()
    assert np.isnan(figures.aht_ms).all()
    with pytest.raises(ValueError, match="window: expected one of"):
        begun().figures("2m")


def test_figures_are_as_the_formulas_say() -> None:
    """Service level counts abandoned contacts as missed; AHT is over contacts handled."""
    windows = begun(1)
    windows.accept(
        reading(0, 0, BEGIN_S + 1, answered=3, within=2, abandoned=1, handled=2, handle_ms=90_000)
    )
    windows.close(BEGIN_S + 1)
    figures = windows.figures("1m")
    assert figures.service_level[0] == 0.5
    assert figures.abandonment[0] == 0.25
    assert figures.aht_ms[0] == 45_000.0


def test_exported_windows_go_on_where_they_were() -> None:
    """A restart must not empty the boards; arrays of another version are refused."""
    windows = begun(2)
    for second in range(BEGIN_S + 1, BEGIN_S + 50):
        windows.accept(reading(1, 0, second, offered=second % 3))
        windows.close(second)
    again = QueueWindows(2)
    again.load(windows.export())
    for either in (windows, again):
        either.accept(reading(1, 0, BEGIN_S + 50, offered=1))
        either.close(BEGIN_S + 50)
    assert np.array_equal(windows.columns.sums, again.columns.sums)
    with pytest.raises(BadConfiguration, match=r"windows\.seconds"):
        QueueWindows(3).load(windows.export())


def test_rows_are_added_and_forgotten() -> None:
    """A new queue begins empty, whoever had its row before."""
    windows = begun(1)
    windows.accept(reading(0, 0, BEGIN_S + 1, offered=4))
    windows.close(BEGIN_S + 1)
    windows.require(5)
    assert windows.figures("day").offered.tolist() == [4, 0, 0, 0, 0]
    windows.clear(0)
    assert windows.figures("day").offered.tolist() == [0] * 5
    assert windows.columns.sources[0] == 0
