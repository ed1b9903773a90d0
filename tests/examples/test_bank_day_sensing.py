"""What the demo senses beside the play: the floor by seconds, its past, the surge, the thread."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from deploy.examples.bank_day import past
from deploy.examples.bank_day.bank_day import (
    DAY_DEFAULT,
    HERE,
    BankAgent,
    BankDay,
    BankDayError,
    Call,
    parse_day,
    read_day,
)
from deploy.examples.bank_day.beside import Beside
from deploy.examples.bank_day.compressed_time import Compression
from deploy.examples.bank_day.options import check_surge, parse_options
from deploy.examples.bank_day.past import GUESS_TEXT, smoothed, weeks_before
from deploy.examples.bank_day.patience import plan
from deploy.examples.bank_day.seconds import FloorSeconds, midnight_s
from deploy.examples.bank_day.sensed_day import (
    Record,
    SensedDay,
)
from deploy.examples.bank_day.sensed_figures import (
    finding,
    surge_text,
)
from deploy.examples.bank_day.surge import SURGE_S, surge_of
from deploy.examples.bank_day.tally import Window
from engine.kernels import columns, sampling
from engine.sensing.sampling import Sample
from headgate.v1.agent_pb2 import Presence
from headgate.v1.event_pb2 import Event, EventKind

DAY = parse_day(DAY_DEFAULT)
TEN_S = 36_000
PS, NE = 0, 2
FIVE, THIRTY = 300, 1_800


def small_day() -> BankDay:
    """One call and two agents, of whom the second serves two types."""
    call = Call(1, TEN_S, "PS", 0, TEN_S + 5, "AGENT", 10, 100, "AG01", 0)
    agents = (
        BankAgent("AG01", 30_000, 50_000, {"PS": 4}, ()),
        BankAgent("AG02", 30_000, 50_000, {"PS": 3, "NE": 3}, ()),
    )
    return BankDay(DAY, (call,), agents)


def of_contact(kind: EventKind.ValueType, contact_id: str = "c", **fields: object) -> Event:
    """An event of a contact for regular banking at the agent AG01."""
    event = Event(kind=kind, contact_id=contact_id, queue_id="PS", agent_id="AG01")
    for name, value in fields.items():
        setattr(event, name, value)
    return event


def present(agent_id: str, presence: Presence.ValueType) -> Event:
    """An agent comes, goes on a break or leaves."""
    kind = EventKind.EVENT_KIND_AGENT_PRESENCE_CHANGED
    return Event(kind=kind, agent_id=agent_id, presence=presence)


def waits_and_served(sample: Sample) -> tuple[int, ...]:
    """Of regular banking: contacts waiting, contacts in service, the longest wait."""
    row = sample.queues[PS]
    shown = (sampling.WAITING, sampling.ASSIGNED, sampling.OLDEST_WAIT_MS)
    return tuple(int(row[column]) for column in shown)


def test_seconds_are_told_one_by_one_and_what_came_lies_in_its_own() -> None:
    """At 600× ten of them pass in a turn of the loop; lumped together a surge has no length."""
    seconds = FloorSeconds(small_day(), Compression(600), TEN_S)
    assert len(seconds.until(TEN_S + 3.9)) == 3
    assert seconds.until(TEN_S + 3.9) == []
    seconds.take(TEN_S + 3.9, [of_contact(EventKind.EVENT_KIND_CONTACT_RECEIVED)])

    told = seconds.until(TEN_S + 10)

    begin = midnight_s(DAY) + TEN_S
    assert [sample.second - begin for sample in told] == [3, 4, 5, 6, 7, 8, 9]
    assert [int(sample.totals[PS, columns.RECEIVED]) for sample in told] == [1] * 7
    assert [int(sample.queues[PS, sampling.WAITING]) for sample in told] == [1] * 7
    assert told[-1].queues[PS, sampling.OLDEST_WAIT_MS] == pytest.approx(6_100, abs=1)


def test_contact_is_followed_from_its_wait_to_the_end_of_wrap_up() -> None:
    """Waits and handling times are the bank's: 500 ms at 60× are 30 s, in time for 60 s."""
    seconds = FloorSeconds(small_day(), Compression(60), TEN_S)
    kinds = EventKind
    seconds.take(TEN_S, [present("AG01", Presence.PRESENCE_AVAILABLE)])
    seconds.take(TEN_S, [of_contact(kinds.EVENT_KIND_CONTACT_RECEIVED)])
    seconds.take(TEN_S + 30, [of_contact(kinds.EVENT_KIND_CONTACT_ASSIGNED, wait_ms=500)])
    (handling, *_) = seconds.until(TEN_S + 100)
    assert waits_and_served(handling) == (0, 1, 0)
    assert handling.agents.tolist() == [[sampling.HANDLING, 1], [sampling.ABSENT, 1]]

    seconds.take(TEN_S + 130, [of_contact(kinds.EVENT_KIND_CONTACT_WRAP_UP_STARTED)])
    (wrapping, *_) = seconds.until(TEN_S + 131)
    assert wrapping.agents[0, sampling.DOING] == sampling.IN_WRAP_UP
    seconds.take(TEN_S + 133, [of_contact(kinds.EVENT_KIND_CONTACT_COMPLETED)])
    (free, *_) = seconds.until(TEN_S + 135)

    totals = free.totals[PS]
    assert totals[columns.ANSWERED] == totals[columns.ANSWERED_WITHIN] == 1
    assert totals[columns.WAIT_MS_SUM] == 30_000
    assert totals[columns.HANDLE_MS_SUM] == 103_000
    assert waits_and_served(free) == (0, 0, 0)
    assert free.agents[0, sampling.DOING] == sampling.AVAILABLE


def test_customer_who_hangs_up_and_agent_on_a_break_are_gone() -> None:
    """Neither waits nor serves any longer; who handles a call goes on until it has ended."""
    seconds = FloorSeconds(small_day(), Compression(60), TEN_S)
    seconds.take(TEN_S, [of_contact(EventKind.EVENT_KIND_CONTACT_RECEIVED, "left")])
    seconds.take(TEN_S, [of_contact(EventKind.EVENT_KIND_CONTACT_ABANDONED, "left", agent_id="")])
    seconds.take(TEN_S, [of_contact(EventKind.EVENT_KIND_CONTACT_RECEIVED)])
    seconds.take(TEN_S, [of_contact(EventKind.EVENT_KIND_CONTACT_ASSIGNED)])
    for agent_id in ("AG01", "AG02", "nobody we know"):
        seconds.take(TEN_S, [present(agent_id, Presence.PRESENCE_AVAILABLE)])
        seconds.take(TEN_S, [present(agent_id, Presence.PRESENCE_AWAY)])

    (sample,) = seconds.until(TEN_S + 1)

    assert waits_and_served(sample) == (0, 1, 0)
    assert sample.totals[PS, columns.ABANDONED] == 1
    assert sample.agents[:, sampling.DOING].tolist() == [sampling.HANDLING, sampling.AWAY]
    # Who serves what: AG02 regular banking and stock trading.
    assert sample.agent_queues.tolist() == [[1 << PS], [1 << PS | 1 << NE]]


def test_surge_is_twice_what_came_on_top_and_the_same_in_every_run() -> None:
    """Two plays with a surge differ by what the engine does, never by who calls."""
    day = read_day(HERE, DAY)
    planned = plan(day)
    came = [each for each in planned if TEN_S <= each.call.joined_s < TEN_S + SURGE_S]

    added = surge_of(day, planned, TEN_S)

    assert len(added) == 2 * len(came) > 0
    assert added == surge_of(day, planned, TEN_S)
    assert all(TEN_S <= each.call.joined_s < TEN_S + SURGE_S for each in added)
    assert {each.call.type for each in added} <= {each.call.type for each in came}
    assert len({each.contact_id for each in (*added, *planned)}) == len(added) + len(planned)


def test_surge_of_nothing_is_refused() -> None:
    """Three times nothing would be a surge that nobody can find."""
    day = small_day()
    with pytest.raises(BankDayError, match="--surge 11:00: expected calls that join until 11:20"):
        surge_of(day, plan(day), 11 * 3_600)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(TEN_S, TEN_S + 3_600), "--surge 10:50: expected a time from 10:00 to 10:40"),
        (Window(TEN_S, TEN_S + 600), "--surge: expected 20 minutes to be played at least"),
    ],
)
def test_surge_that_is_not_played_is_refused(window: Window, expected: str) -> None:
    """Half a surge would be found late, or not at all, for want of the rest."""
    with pytest.raises(BankDayError, match=expected):
        check_surge(window, TEN_S + 3_000)
    check_surge(Window(TEN_S, TEN_S + SURGE_S), TEN_S)
    check_surge(window, None)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--surge", "noon"], "--surge: expected a time of day as HH:MM, got 'noon'"),
        (["--report", "page.txt"], "--report: expected a file that ends in .html, got 'page.txt'"),
        (["--report", "/no/such/page.html"], "--report: expected a file in a folder that can be"),
    ],
)
def test_wrong_options_of_sensing_say_what_was_expected(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told at once, not after seventeen minutes."""
    with pytest.raises(SystemExit):
        parse_options(arguments)
    assert expected in capsys.readouterr().err


def test_smoothing_looks_an_hour_to_either_side_and_not_into_the_night() -> None:
    """The first open bucket is the mean of the first open hour, not half of it."""
    is_open = np.arange(288) >= 84
    counts = np.where(is_open, 6.0, 99.0)

    assert smoothed(counts, is_open)[84:].tolist() == pytest.approx([6.0] * 204)
    assert smoothed(counts, is_open)[:84].tolist() == [0.0] * 84
    peak = smoothed(np.where(np.arange(288) == 200, 25.0, 0.0), is_open)
    assert np.flatnonzero(peak).tolist() == list(range(188, 213))
    assert peak[200] == pytest.approx(1.0)


def test_folder_without_the_log_is_refused_where_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none was named there is the guess."""
    with pytest.raises(BankDayError, match=r"calls_1999-01_07\.parquet: no such file"):
        weeks_before(DAY, tmp_path)
    monkeypatch.setattr(past, "SOURCE_DEFAULT", tmp_path)
    assert weeks_before(DAY, None) is None


@pytest.mark.compiled_only
@pytest.mark.needs_shared_data
def test_weeks_before_the_day_teach_its_shape(shared_data: Path) -> None:
    """Eight weeks of the log, the day itself left out: its forecast is nearer than the guess."""
    weeks = weeks_before(DAY, shared_data)
    assert weeks is not None
    assert max(weeks.calls) < DAY
    day = read_day(HERE, DAY)
    sensed = SensedDay(day, weeks, Window(TEN_S, TEN_S + FIVE))
    sensed.take(FloorSeconds(day, Compression(1), TEN_S).until(TEN_S + 10))

    forecast = sensed.view().queues["PS"].forecast

    assert "days of the log, from 1999-03-15 on" in sensed.record.began_with
    # 53 came from 10:00 to 10:30.
    assert 30 < forecast < 75


def play(day: BankDay, until_s: int, surge_s: int | None) -> Record:
    """Sense calls as they join from ten; nobody answers, and they hang up after a minute."""
    planned = plan(day)
    added = () if surge_s is None else surge_of(day, planned, surge_s)
    calls = sorted((each.call.joined_s, each.contact_id, each.call.type)
                   for each in (*planned, *added))  # fmt: skip
    sensed = SensedDay(day, None, Window(TEN_S, until_s))
    seconds = FloorSeconds(day, Compression(1), TEN_S)
    for at_s, contact_id, name in calls:
        if TEN_S <= at_s < until_s:
            sensed.take(seconds.until(at_s))
            for kind in (
                EventKind.EVENT_KIND_CONTACT_RECEIVED,
                EventKind.EVENT_KIND_CONTACT_ABANDONED,
            ):
                event = Event(kind=kind, contact_id=contact_id, queue_id=name)
                seconds.take(at_s, [event])
    # Nobody joins any more, which is no silence.
    sensed.take(seconds.until(until_s + THIRTY))
    return sensed.conclude()


@pytest.mark.compiled_only
def test_surge_is_found_and_the_guess_is_corrected_by_what_comes() -> None:
    """The promise of the demo: three times the calls do not go unnoticed."""
    day = read_day(HERE, DAY)
    surge_s = TEN_S + 2_400

    record = play(day, TEN_S + 4_200, surge_s)

    assert record.began_with == GUESS_TEXT
    assert [issued.at_s for issued in record.issued] == list(range(TEN_S + 300, TEN_S + 4_500, 300))
    # The planner's guess: a fifth too low, before anything has come.
    came = sum(each.type == "PS" and TEN_S + 300 <= each.joined_s < TEN_S + 2_100
               for each in day.calls)  # fmt: skip
    first = record.issued[0].next_30[PS]
    assert 0.6 * came < first < came
    # Ten minutes of calls at the most, and nothing before that was none.
    found = finding(record, surge_s)
    assert found is not None
    assert surge_s < found.at_s <= surge_s + 600
    assert found.anomaly.excess > 30
    assert record.anomalies[0] == found
    assert f"was found after {found.at_s - surge_s} s" in surge_text(record, surge_s, 9)


async def test_sensing_that_cannot_begin_or_go_on_is_raised_where_the_play_waits() -> None:
    """A bug in the thread must not leave a board that stands still."""

    def refuse() -> SensedDay:
        message = "no past"
        raise BankDayError(message)

    with pytest.raises(BankDayError, match="no past"):
        await Beside(refuse).ready()

    class Broken:
        def take(self, _samples: object) -> None:
            message = "no present"
            raise BankDayError(message)

    beside = Beside(Broken)  # type: ignore[arg-type]
    await beside.ready()
    beside.hand_over(FloorSeconds(small_day(), Compression(1), TEN_S).until(TEN_S + 1))
    async with asyncio.timeout(10):
        with pytest.raises(BankDayError, match="no present"):
            await beside.conclude()
    beside.give_up()
