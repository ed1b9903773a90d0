"""Sensing as a whole: seconds, buckets, gaps and restarts, from readings to the picture."""

import numpy as np
import pytest

from engine.commands import DeleteQueue, Route
from engine.kernels.sensing_columns import BUCKET_S
from engine.kernels.windows import ACCEPTED, REFUSED_LATE, REFUSED_UNKNOWN
from engine.lifecycle import Channel
from engine.sensing.sampling import ChangeReader
from engine.sensing.sensing import Batch, Sensing, SensingSettings
from tests.sensing.played import AT_ONCE, BEGIN_S, Played, values_of

# A reading and its gateway's agents differ from second to second, or it would be taken for stuck.
RANDOM = np.random.default_rng(11)


def told(sensing: Sensing, second: int, *names: str, **columns: int) -> list[int]:
    """Outcomes of readings that come as their second ends."""
    batch = Batch(second, names, values_of(len(names), **columns))
    return sensing.accept("pbx", batch, 1_000 * second + 1_000).tolist()


def fed(played: Played, seconds: int, *names: str, rate: float = 0.2) -> int:
    """Let a gateway tell of queues for a while; returns the contacts of each."""
    came = 0
    for _ in range(seconds):
        offered = int(RANDOM.poisson(rate))
        came += offered
        values = values_of(len(names), offered=offered, available=int(RANDOM.integers(1, 9)))
        played.end_second(("pbx", names, values))
    return came


@pytest.fixture
def played() -> Played:
    """A cell with a queue."""
    made = Played()
    made.queues("q")
    made.define()
    return made


def test_second_is_in_the_picture_when_it_is_closed(played: Played) -> None:
    """What is told is of the last closed second, with its age."""
    assert played.picture.second == -1
    played.end_second(("pbx", ["q"], values_of(offered=3)))
    picture, row = played.picture, played.row("q")
    assert picture.second == BEGIN_S
    assert (picture.windows["10s"].offered[row], picture.windows["10s"].covered_s[row]) == (3, 1)
    assert (picture.age_s(row), bool(picture.is_stale[row])) == (0, False)


def test_readings_come_late_and_out_of_order_as_far_as_allowed() -> None:
    """Three seconds of lateness: the second is open for so long and no longer."""
    played = Played(SensingSettings(lateness_s=3))
    played.queues("q")
    played.pass_s(5)
    sensing, last = played.sensing, played.second - 1
    assert sensing.parts.windows.closed_s == last - 3
    outcomes = [told(sensing, last - ago, "q", offered=1)[0] for ago in (0, 2, 1, 3)]
    assert outcomes == [ACCEPTED, ACCEPTED, ACCEPTED, REFUSED_LATE]
    assert told(sensing, last, "nowhere", "q") == [REFUSED_UNKNOWN, 5]


def test_first_sample_leaves_late_readings_their_time() -> None:
    """A gateway that resumes as the engine starts has seconds to tell of that are still open."""
    played = Played(SensingSettings(lateness_s=10))
    played.queues("q")
    played.end_second()
    last = played.second - 1
    assert told(played.sensing, last - 9, "q", offered=1) == [ACCEPTED]
    assert told(played.sensing, last - 10, "q", offered=1) == [REFUSED_LATE]


def test_own_contacts_and_those_of_gateways_are_added(played: Played) -> None:
    """One queue, part of which Headgate routes itself."""
    played.do(Route("c0", "q", Channel.VOICE))
    played.end_second(("pbx", ["q"], values_of()))
    played.do(Route("c1", "q", Channel.VOICE))
    played.end_second(("pbx", ["q"], values_of(offered=2)))
    figures, row = played.picture.windows["10s"], played.row("q")
    assert figures.offered[row] == 3
    # A source that is waited for and does not tell makes a gap of the second.
    covered_s = figures.covered_s[row]
    played.end_second()
    assert played.picture.windows["10s"].covered_s[row] == covered_s


@pytest.mark.compiled_only
def test_bucket_is_learned_from_and_forecast_from(played: Played) -> None:
    """After two buckets of one contact in five seconds the next five minutes bring about sixty."""
    came = fed(played, 2 * BUCKET_S + 5, "q")
    picture, row = played.picture, played.row("q")
    assert played.sensing.parts.model.bucket == BEGIN_S // BUCKET_S + 2
    assert picture.windows["15m"].offered[row] == came
    assert 0.5 * came / 2 < picture.forecast_5m[row] < 2.0 * came / 2
    assert picture.forecast_30m[row] > 3 * picture.forecast_5m[row]


@pytest.mark.compiled_only
def test_queue_without_readings_becomes_stale(played: Played) -> None:
    """Fifteen seconds of silence say nothing of the present; the forecast goes on."""
    fed(played, BUCKET_S, "q")
    row = played.row("q")
    played.pass_s(AT_ONCE.stale_s)
    assert not played.picture.is_stale[row]
    played.pass_s(1)
    assert played.picture.is_stale[row]
    assert played.picture.age_s(row) == AT_ONCE.stale_s + 1
    played.pass_s(6)
    assert np.isnan(played.picture.risk[row]).all()
    assert np.isfinite(played.picture.forecast_5m[row])


@pytest.mark.compiled_only
@pytest.mark.parametrize("pause_s", [2, 61, BUCKET_S - 1, 7 * BUCKET_S, 86_400, 40 * 86_400])
def test_pause_is_a_gap_and_no_quiet_time(played: Played, pause_s: int) -> None:
    """A laptop that slept, a process that was stopped: nothing is learned of what was not seen."""
    fed(played, BUCKET_S, "q", rate=1.0)
    played.second += pause_s
    assert played.sensing.advance(1_000 * played.second + 20) == []
    assert played.sensing.parts.windows.closed_s == played.second - 1
    row = played.row("q")
    picture = played.picture
    assert picture.age_s(row) == pause_s
    assert picture.windows["1m"].covered_s[row] <= max(60 - pause_s, 0) + 10
    assert not picture.anomalies, "silence that nobody saw is no silence"
    assert played.sensing.parts.model.bucket == played.second // BUCKET_S
    assert np.isfinite(picture.forecast_30m[row])
    came = fed(played, 20, "q", rate=1.0)
    seen_s = 20 + max(60 - pause_s - 20, 0)
    assert played.picture.windows["1m"].offered[row] >= came
    assert played.picture.windows["1m"].covered_s[row] <= seen_s + 10


@pytest.mark.compiled_only
def test_restart_goes_on_where_it_was(played: Played) -> None:
    """What is exported and loaded tells the same forecasts, and learns the same from then on."""
    played.queues("other", forecast_group="north")
    fed(played, BUCKET_S + 50, "q", "other")
    stored = played.sensing.export()
    again = Sensing(AT_ONCE)
    again.load({name: array.copy() for name, array in stored.items()})
    again.define(ChangeReader().take(played.engine.cell))
    names = ("q", "other")
    for step in range(BUCKET_S):
        values = values_of(2, offered=int(RANDOM.poisson(0.5)), available=1 + step % 7)
        for sensing in (played.sensing, again):
            sensing.accept("pbx", Batch(played.second, names, values), 1_000 * played.second + 900)
            sensing.advance(1_000 * (played.second + 1) + 20)
        played.second += 1
    one, other = played.picture, again.picture()
    assert one.keys == other.keys
    for name in ("forecast_5m", "forecast_30m", "aht_ms", "latest", "latest_s"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    for window, figures in one.windows.items():
        np.testing.assert_array_equal(figures.offered, other.windows[window].offered)
    mine, its = (item.parts.model.demand(0, 12) for item in (played.sensing, again))
    np.testing.assert_array_equal(mine.mean, its.mean)
    np.testing.assert_array_equal(mine.told, its.told)


def test_restart_within_a_second_is_no_fault(played: Played) -> None:
    """Until the next second is closed there is nothing new to grade."""
    for _ in range(3):
        played.end_second(("pbx", ["q"], values_of(offered=1, available=played.second % 9)))
    again = Sensing(AT_ONCE)
    again.load(played.sensing.export())
    again.define(ChangeReader().take(played.engine.cell))
    for late_ms in (20, 500, 1_020):
        assert again.advance(1_000 * played.second + late_ms) == []
    assert again.picture().second == played.second


@pytest.mark.compiled_only
def test_group_is_seen_where_all_its_queues_are(played: Played) -> None:
    """The sum of some of them would look like a silence of the others."""
    played.queues("a", "b", forecast_group="north")
    played.define()
    ((row, _),) = played.sensing.directory.groups()
    for _ in range(BUCKET_S):
        played.end_second(("pbx", ["a", "b"], values_of(2, offered=1, available=played.second % 9)))
    assert played.sensing.parts.model.bucket == BEGIN_S // BUCKET_S + 1
    both = played.sensing.parts.model.forecast(buckets=1).mean[row, 0]
    one = played.sensing.parts.model.forecast(buckets=1).mean[played.row("a"), 0]
    assert both > 1.5 * one


def test_queue_deleted_while_it_is_told_of_is_refused(played: Played) -> None:
    """A gateway learns of it in the answer, and its other queues go on."""
    played.queues("a")
    played.end_second(("pbx", ["q", "a"], values_of(2, offered=1)))
    played.do(DeleteQueue("a"))
    played.define()
    assert told(played.sensing, played.second, "q", "a", offered=1) == [ACCEPTED, REFUSED_UNKNOWN]


def test_nothing_to_sense_is_no_fault() -> None:
    """A cell that has just been made."""
    played = Played()
    played.pass_s(3)
    assert [key for key in played.picture.keys if key is not None] == []
    assert played.sensing.anomalies(with_ended=True) == []
