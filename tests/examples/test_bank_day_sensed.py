"""What the demo tells of what it sensed: figures, board and page."""

import math

import numpy as np
import pytest
from rich.console import Console

from deploy.examples.bank_day.bank_day import (
    DAY_DEFAULT,
    HERE,
    TYPES,
    parse_day,
    read_day,
)
from deploy.examples.bank_day.seconds import midnight_s
from deploy.examples.bank_day.sensed_board import (
    accuracy_table,
    anomaly_lines,
    sensed_line,
    sensed_remarks,
    sensed_table,
)
from deploy.examples.bank_day.sensed_day import (
    Issued,
    Minute,
    QueueView,
    Record,
    Told,
    View,
)
from deploy.examples.bank_day.sensed_figures import (
    finding,
    forecast_error,
    largest,
    mean_distance,
    others,
    pairs,
    surge_text,
)
from deploy.examples.bank_day.sensed_page import SensedPage, as_html
from engine.forecasting.anomaly import Anomaly, AnomalyKind

DAY = parse_day(DAY_DEFAULT)
TEN_S = 36_000
PS = 0
FIVE, THIRTY = 300, 1_800


@pytest.mark.parametrize("rate", [0.3, 1.0, 4.2, 60.5])
def test_what_chance_leaves_is_the_mean_distance_of_a_poisson_count(rate: float) -> None:
    """Against the sum over every count there may be."""
    share, total = math.exp(-rate), 0.0
    for count in range(400):
        total += abs(count - rate) * share
        share *= rate / (count + 1)

    assert mean_distance(rate) == pytest.approx(total)
    assert mean_distance(0.0) == 0.0


def hand_record(hours: int = 2) -> Record:
    """Forecasts of 2 and 12 contacts for regular banking, of which 3 come each five minutes."""
    record = Record("a hand's breadth")
    for place in range(12 * hours + 1):
        at_s = TEN_S + FIVE * place
        record.received[at_s] = np.array([3 * place, 0, place, 0, 0, 0])
        six = np.ones(len(TYPES))
        record.issued.append(Issued(at_s, 2.0 * six, 12.0 * six, 8.0 * six, 16.0 * six))
        risk, grade = np.full(len(TYPES), 0.4), np.full(len(TYPES), 3)
        record.minutes += [Minute(at_s + 60 * later, risk, grade) for later in range(5)]
    # Of one minute nothing was known.
    record.minutes[3] = Minute(TEN_S + 180, np.full(len(TYPES), math.nan), np.zeros(6, np.int64))
    return record


def surge_told(at_s: int, kind: AnomalyKind = AnomalyKind.SURGE) -> Told:
    """Something in regular banking that lasts."""
    anomaly = Anomaly(1, kind, PS, midnight_s(DAY) + at_s - 1, -1, 300, 20.0, 0.999_99)
    return Told(at_s, anomaly, "PS")


def test_errors_are_those_of_forecasts_whose_time_has_passed() -> None:
    """Three came where two were forecast: off by a third, whatever the length."""
    record = hand_record()
    five, thirty = (forecast_error(pairs(record, PS, length_s)) for length_s in (FIVE, THIRTY))

    assert (five.forecasts, thirty.forecasts) == (24, 19)
    assert (five.forecast, five.came, thirty.forecast, thirty.came) == (2, 3, 12, 18)
    assert (five.wape, thirty.wape) == pytest.approx((1 / 3, 1 / 3))
    assert five.floor == pytest.approx(mean_distance(2.0) / 3)
    assert math.isnan(forecast_error(pairs(record, 1, FIVE)).wape)
    assert largest(record) == PS
    assert largest(Record("nothing")) == 0


def test_surge_that_nobody_told_of_is_said_to_be_missed() -> None:
    """An anomaly before it, or a silence in it, has not found it."""
    record, surge_s = hand_record(), TEN_S + 3_600
    before, silence = surge_told(surge_s - 60), surge_told(surge_s + 60, AnomalyKind.SILENCE)
    record.anomalies = [before, silence]

    assert finding(record, surge_s) is None
    assert surge_text(record, surge_s, 80) == (
        "The surge of 80 calls that were added from 11:00 to 11:20 was not found."
    )
    assert others(record, surge_s) == record.anomalies
    record.anomalies.append(surge_told(surge_s + 90))
    assert others(record, surge_s) == [before, silence]
    assert "was found after 90 s: surge in PS: 20 more" in surge_text(record, surge_s, 80)
    assert "confidence 99.99%" in surge_text(record, surge_s, 80)
    remarks = "\n".join(sensed_remarks(record, surge_s, 80))
    assert "10:59:00 surge in PS" in remarks
    assert "11:01:00 silence in PS: 20 forecast that did not come" in remarks


def test_board_fits_a_terminal_of_80_columns() -> None:
    """The live table, the closing table, and a line for those without a terminal."""
    queue = QueueView("overloaded", 1_234, 1_234.5, 1.0, math.nan)
    view = View(TEN_S, dict.fromkeys(TYPES, queue), ("one", "two", "three"))
    record = hand_record()
    record.brier[PS], record.outcomes[PS] = 0.123, 10
    console = Console(width=80)
    for table in (sensed_table(view), accuracy_table(record)):
        with console.capture() as captured:
            console.print(table)
        assert "…" not in captured.get()
        assert console.measure(table).maximum <= 80

    assert anomaly_lines(view) == ["one", "two", "and 1 more"]
    assert anomaly_lines(view._replace(anomalies=())) == ["no anomaly"]
    line = sensed_line(view)
    assert line.startswith("sensed 10:00:00 PS overloaded, 1234 came in 30 min, 1234 forecast, ")
    assert "risk 100%, half hour –;" in line
    told = "\n".join(sensed_remarks(record, None, 0))
    assert "began with a hand's breadth" in told
    assert "0.123, all queues together" in told
    assert told.endswith("No anomaly.")


def test_page_shows_the_largest_queue_and_marks_the_surge() -> None:
    """One file, complete in itself."""
    record, surge_s = hand_record(), TEN_S + 3_600
    record.anomalies = [surge_told(surge_s + 90)]
    of = SensedPage(read_day(HERE, DAY), "10:00 to 12:00", surge_s, 80)

    page = as_html(record, of).decode()

    assert page.count("<svg") == 3
    assert page.count('class="stretch"') == page.count('class="limit"') == 3
    assert "PS, regular banking, over the day" in page
    assert "0 of 19 counts lie within the band" in page
    assert "found after 90 s" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "Too little of the day" in as_html(hand_record(0), of).decode()
