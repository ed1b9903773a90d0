"""Sources: their numbers, how their clocks go, and who is forgotten."""

import numpy as np
import pytest

from engine.kernels.windows import ACCEPTED, OUTCOMES, REFUSED_LATE, SOURCES_MAX
from engine.refusals import CommandRefused, Refusal
from engine.sensing.sources import ENGINE, ENGINE_SOURCE, Source, Sources

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


def heard(source: Source, delay_ms: int, at_ms: int = NOW_MS) -> None:
    """Hear of a second that ended so long before."""
    second = (at_ms - delay_ms) // 1_000 - 1
    source.heard(second, 1_000 * (second + 1) + delay_ms, np.zeros(1, np.int8))


def test_sources_have_numbers_of_their_own() -> None:
    """The same name has the same number; the engine's is its own and nobody else's."""
    sources = Sources()
    first, second = sources.find("a", NOW_MS), sources.find("b", NOW_MS)
    assert first.number != second.number
    assert sources.find("a", NOW_MS) is first
    assert sources.by_name[ENGINE].number == ENGINE_SOURCE
    assert ENGINE_SOURCE not in (first.number, second.number)


def test_engine_is_no_name_for_a_source() -> None:
    """Readings of another would pass for the engine's own."""
    with pytest.raises(CommandRefused) as caught:
        Sources().find(ENGINE, NOW_MS)
    assert caught.value.reason is Refusal.INVALID_FIELD
    assert [item.field for item in caught.value.violations] == ["source"]


def test_source_too_many_is_refused_until_one_is_forgotten() -> None:
    """A silent hour gives a number away; a second less does not."""
    sources = Sources()
    for number in range(SOURCES_MAX - 1):
        sources.find(f"s{number}", NOW_MS + number)
    with pytest.raises(CommandRefused) as caught:
        sources.find("one more", NOW_MS + HOUR_MS)
    assert caught.value.reason is Refusal.LIMIT_REACHED
    assert "one more" not in sources.by_name
    gone = sources.by_name["s0"].number
    made = sources.find("one more", NOW_MS + HOUR_MS + 1)
    assert made.number == gone
    assert "s0" not in sources.by_name
    assert made.outcomes.tolist() == [0] * OUTCOMES


def test_outcomes_are_counted_by_what_became_of_them() -> None:
    """ListSources and the metrics tell these."""
    source = Source(1)
    source.heard(1_000, 1_001_500, np.array([ACCEPTED, ACCEPTED, REFUSED_LATE], np.int8))
    assert source.outcomes[ACCEPTED] == 2
    assert source.outcomes[REFUSED_LATE] == 1
    assert source.last_ms == 1_001_500


def test_skew_is_the_least_delay_and_follows_a_clock_that_was_set() -> None:
    """Messages that were held up on the way say nothing of the clock."""
    source = Source(1)
    for delay_ms in (400, 250, 900):
        heard(source, delay_ms)
    assert source.skew_ms == -250
    # Its clock is set ahead: seen at once.
    heard(source, -1_300, NOW_MS + 1_000)
    assert source.skew_ms == 1_300
    # Set back: believed once a minute has gone by without such a thing.
    for minute in range(1, 4):
        heard(source, 300, NOW_MS + 60_000 * minute)
    assert source.skew_ms == -300


@pytest.mark.parametrize("second", [-(1 << 63), (1 << 63) - 1])
def test_clock_at_the_edge_of_its_type_can_be_told(second: int) -> None:
    """One mad source must not break the list of all sources, which has 64 bits for the skew."""
    source = Source(1)
    source.heard(second, NOW_MS, np.array([REFUSED_LATE], np.int8))
    assert 50 * 366 * 86_400_000 < abs(source.skew_ms) < 1 << 62
    heard(source, 100, NOW_MS + 60_000)
    heard(source, 100, NOW_MS + 120_000)
    assert source.skew_ms == -100
