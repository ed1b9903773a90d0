"""Driver series: what is learned of them, what they change, and what is not believed."""

import copy

import numpy as np
import pytest

from engine.forecasting.arrivals import ArrivalModel
from engine.forecasting.calendar import Calendar, CalendarRows
from engine.forecasting.drivers import DRIVERS_MAX, Drivers
from engine.forecasting.events import Event
from engine.kernels.sensing_columns import BUCKET_S, SLOTS, WEEKDAYS, Observed
from engine.refusals import BadConfiguration

BEGIN = 5_000_112  # 04:00 UTC, when a day begins
DAY = SLOTS


class Bank:
    """A queue of which some contacts follow transactions, and a model that watches it."""

    per_volume, of_driver, mean = 0.02, 0.7, 30.0

    def __init__(self, *, with_driver: bool, seed: int = 1) -> None:
        calendars = CalendarRows()
        self.model = ArrivalModel(2, calendars)
        for row in (0, 1):
            self.model.set_calendar(row, calendars.add(Calendar()))
            self.model.set_template(row, np.full((WEEKDAYS, SLOTS), self.mean))
        if with_driver:
            self.model.drivers.put("tx", (0,))
        self.draw = np.random.default_rng(seed)
        self.bucket = BEGIN - 1

    @property
    def usual(self) -> float:
        """Transactions of a bucket as usual."""
        return self.mean / self.per_volume

    def live(self, factor: float, *, counted: bool = True) -> None:
        """One bucket with transactions at a factor of what is usual."""
        volume = self.usual * factor * self.draw.normal(1.0, 0.01)
        share = self.of_driver * volume / self.usual + 1.0 - self.of_driver
        count = int(self.draw.poisson(self.mean * share))
        if "tx" in self.model.drivers.known():
            assert self.model.drivers.observe("tx", self.bucket, float(round(volume)))
        seen = np.full(2, BUCKET_S if counted else 0)
        other = int(self.draw.poisson(self.mean))
        self.model.close(
            self.bucket, Observed(np.array([count, other]), seen, np.zeros(2, np.int64))
        )
        self.model.learn(2)
        self.bucket += 1

    def live_days(self, *factors: float) -> None:
        """Days, each at a factor."""
        for factor in factors:
            for _ in range(DAY):
                self.live(factor)


@pytest.mark.compiled_only
def test_planned_volume_lifts_the_share_of_the_contacts_that_follow_it() -> None:
    """After five weeks a plan of half as much again means a third more contacts, no more."""
    with_driver = Bank(with_driver=True)
    with_driver.live_days(*np.random.default_rng(5).normal(1.0, 0.15, 35).tolist())
    told = with_driver.model.drivers.contact_rate("tx")
    assert told.share[0] == pytest.approx(0.7, abs=0.2)
    assert told.share_error[0] < 0.15
    rate = 10_000 * with_driver.mean / with_driver.usual
    assert told.per_10k[0] == pytest.approx(rate, rel=0.05)
    assert 0.0 < told.error[0] < 0.02
    plain = with_driver.model.forecast()
    with_driver.model.drivers.plan("tx", with_driver.bucket, np.full(DAY, 1.5 * with_driver.usual))
    with_driver.live(1.5)
    lifted = with_driver.model.forecast()
    before, after = plain.mean[:, 25:141], lifted.mean[:, 24:140]
    # The truth is 1.35, and the plan lifts no queue but its own.
    assert (after[0] / before[0]).mean() == pytest.approx(1.35, abs=0.08)
    assert (after[1] / before[1]).mean() == pytest.approx(1.0, abs=0.05)
    widths = [np.ptp(made.quantiles[0, 24:], axis=1).mean() for made in (plain, lifted)]
    assert widths[1] > 1.1 * widths[0]


@pytest.mark.compiled_only
def test_profile_does_not_learn_what_the_volume_brought() -> None:
    """A day of twice the transactions must not be expected a week later."""
    bank = Bank(with_driver=True)
    bank.live_days(*[1.0, 1.1, 0.9, 1.15, 0.85, 1.1, 0.9] * 2)
    before = bank.model.columns.profiles.level[0]
    bank.model.drivers.plan("tx", bank.bucket, np.full(DAY, 2.0 * bank.usual))
    bank.live_days(2.0)
    after = bank.model.columns.profiles.level[0]
    # A day counts for 0.03: of 70 % more some 2 % would be left.
    assert after == pytest.approx(before, rel=0.012)


def replay(drivers: Drivers, bank: Bank, volumes: list[float]) -> list[bool]:
    """Hand volumes in bucket by bucket, with contacts as they bring; what was believed."""
    believed = []
    for volume in volumes:
        believed.append(drivers.observe("tx", bank.bucket, volume))
        drivers.lay_on(bank.model.columns, np.arange(2), bank.bucket)
        contacts = round(0.02 * volume) if 0.0 <= volume < 1e9 else 0
        count = np.array([contacts, 0])
        observed = Observed(count, np.full(2, BUCKET_S), np.zeros(2, np.int64))
        drivers.learn(bank.bucket, np.arange(2), observed, bank.model.columns.arrivals)
        bank.bucket += 1
    return believed


@pytest.fixture
def bank() -> Bank:
    """A bank whose first bucket has begun."""
    made = Bank(with_driver=False)
    made.live(1.0)
    return made


def test_volumes_that_cannot_be_are_not_believed(bank: Bank) -> None:
    """Negative, no number, and twenty times the greatest there ever was."""
    drivers = Drivers()
    drivers.put("tx", (0,))
    drivers.lay_on(bank.model.columns, np.arange(2), bank.bucket)
    assert replay(drivers, bank, [-1.0, float("nan"), float("inf"), 1e13]) == [False] * 4
    assert drivers.faults("tx") == 4
    assert np.isnan(drivers.contact_rate("tx").per_10k[0])
    usual = (1_500.0 + np.arange(DAY + 2) % 3).tolist()
    assert all(replay(drivers, bank, usual))
    rate = drivers.contact_rate("tx").per_10k[0]
    assert rate == pytest.approx(200.0, rel=0.02)
    assert replay(drivers, bank, [90_000.0]) == [False]
    assert drivers.contact_rate("tx").per_10k[0] == pytest.approx(rate, rel=1e-3)
    # A bucket that has been told of is not told of again.
    assert not drivers.observe("tx", bank.bucket - 2, 1_500.0)


def test_number_that_repeats_for_ever_teaches_nothing(bank: Bank) -> None:
    """A source that is stuck at twice the usual would halve the contact rate."""
    drivers = Drivers()
    drivers.put("tx", (0,))
    drivers.lay_on(bank.model.columns, np.arange(2), bank.bucket)
    replay(drivers, bank, (1_500.0 + np.arange(300) % 3).tolist())
    before = drivers.contact_rate("tx")
    believed = replay(drivers, bank, [3_000.0] * 200)
    assert sum(believed) == 13
    assert drivers.faults("tx") == 187
    after = drivers.contact_rate("tx")
    assert after.per_10k[0] == pytest.approx(before.per_10k[0], rel=1e-3)
    # Twice in a row is chance.
    replay(drivers, bank, [1_500.0, 1_500.0, 1_501.0, 1_502.0])
    assert drivers.contact_rate("tx").error[0] < after.error[0]


def test_volume_as_usual_changes_nothing_and_departures_fade(bank: Bank) -> None:
    """What the profile knows is not added again; what came lately goes on for some hours."""
    drivers = Drivers()
    drivers.put("tx", (0,))
    drivers.lay_on(bank.model.columns, np.arange(2), bank.bucket)
    week = np.arange(WEEKDAYS * DAY)
    for _ in range(2):
        for day in range(WEEKDAYS):
            bank.model._lay_out_calendars(bank.bucket)
            drivers.lay_on(bank.model.columns, np.arange(2), bank.bucket)
            replay(drivers, bank, (1_500.0 + week[:DAY] % 3 + day).tolist())
    expected = bank.model.columns.arrivals.expected
    bank.model._lay_out_calendars(bank.bucket)

    def laid(volume: float) -> np.ndarray:
        """Factor on what is expected, after a volume."""
        drivers.observe("tx", bank.bucket, volume)
        bank.bucket += 1
        expected[0] = 30.0
        drivers.lay_on(bank.model.columns, np.arange(2), bank.bucket)
        return expected[0].astype(np.float64) / 30.0

    np.testing.assert_allclose(laid(1_502.0), 1.0, atol=2e-3)
    for volume in (3_000.0, 3_010.0, 3_020.0, 3_030.0, 3_040.0):
        lifted = laid(volume)
    share = drivers.contact_rate("tx").share[0]
    assert lifted[0] == pytest.approx(1.0 + share * 0.8, abs=0.15)
    assert 1.0 < lifted[100] < lifted[24] < lifted[0]
    drivers.plan("tx", bank.bucket + 50, np.full(10, 750.0))
    lifted = laid(3_050.0)
    assert lifted[49:59].tolist() == pytest.approx([1.0 - share * 0.5] * 10, abs=0.01)
    assert lifted[48] > 1.0 < lifted[59]


def test_what_is_exported_goes_on_where_it_was(bank: Bank) -> None:
    """A restart must not forget a month of what transactions bring."""
    drivers = Drivers()
    drivers.put("a/b", (0,))
    drivers.put("tx", (0, 1))
    drivers.lay_on(bank.model.columns, np.arange(2), bank.bucket)
    replay(drivers, bank, (1_500.0 + np.arange(400) % 7).tolist())
    drivers.plan("tx", bank.bucket, np.full(30, 3_000.0))
    again = Drivers()
    again.load(drivers.export())
    assert again.known() == {"a/b": (0,), "tx": (0, 1)}
    for one, other in zip(again.contact_rate("tx"), drivers.contact_rate("tx"), strict=True):
        np.testing.assert_array_equal(one, other)
    expected = bank.model.columns.arrivals.expected
    laid = []
    for series in (drivers, again):
        expected[0] = 30.0
        series.lay_on(bank.model.columns, np.arange(2), bank.bucket)
        laid.append(expected[0].tolist())
    assert laid[0] == laid[1]
    arrays = drivers.export()
    for name in ("tx/sums", "tx/weeks"):
        with pytest.raises(BadConfiguration, match=name.replace("/", r"\.")):
            again.load({key: value for key, value in arrays.items() if key != name})
    assert again.known() == {"a/b": (0,), "tx": (0, 1)}


def test_model_is_restored_with_events_and_drivers(bank: Bank) -> None:
    """After a restart the same is forecast, whatever is laid on it."""
    model = bank.model
    model.drivers.put("tx", (0,))
    model.events.put("sale", Event((0,), 0, 86_400))
    for number in range(5):
        bank.live(1.0 + 0.1 * number)
    begins_s = bank.bucket * BUCKET_S
    model.events.put("sale", Event((0,), begins_s, begins_s + 86_400, uplift=0.4, kind="sale"))
    bank.live(1.0)
    again = ArrivalModel(2, copy.deepcopy(model.calendars))
    again.events.load(model.events.export())
    again.drivers.load(model.drivers.export())
    again.load(model.export())
    np.testing.assert_array_equal(again.forecast().mean, model.forecast().mean)
    np.testing.assert_array_equal(again.forecast().quantiles, model.forecast().quantiles)


def test_drivers_of_a_removed_queue_go_with_it() -> None:
    """A row that another queue gets must not follow what the old one followed."""
    drivers = Drivers()
    drivers.put("one", (0,))
    drivers.put("two", (0, 1))
    drivers.clear(0)
    assert drivers.known() == {"two": (1,)}
    assert drivers.remove("two")
    assert not drivers.remove("two")


def test_drivers_and_plans_that_cannot_be_are_refused() -> None:
    """Each by its field."""
    drivers = Drivers()
    for rows in ((), (1, 1), (-1,)):
        with pytest.raises(BadConfiguration, match=r"drivers\.tx\.rows"):
            drivers.put("tx", rows)
    drivers.put("tx", (0,))
    for volumes, field in (
        (np.array([1.0, -1.0]), r"volumes\[1\]"), (np.array([np.nan]), r"volumes\[0\]"),
        (np.zeros(0), "volumes"), (np.zeros(3_000), "volumes"),
    ):  # fmt: skip
        with pytest.raises(BadConfiguration, match=rf"drivers\.tx\.{field}"):
            drivers.plan("tx", 1, volumes)
    with pytest.raises(BadConfiguration, match=r"drivers\.tx\.bucket"):
        drivers.plan("tx", -1, np.ones(1))
    for call in (lambda: drivers.observe("no", 1, 1.0), lambda: drivers.contact_rate("no")):
        with pytest.raises(BadConfiguration, match=r"drivers\.driver_id"):
            call()
    for number in range(DRIVERS_MAX - 1):
        drivers.put(str(number), (0,))
    with pytest.raises(BadConfiguration, match="at most"):
        drivers.put("one more", (0,))
