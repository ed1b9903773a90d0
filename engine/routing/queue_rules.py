"""What definitions of queues must satisfy on their own."""

from zoneinfo import ZoneInfo

from engine.commands import UpsertQueue
from engine.definitions import Hours, OpeningPeriod
from engine.lifecycle import Day, QueueOrder, Strategy, WrapUpMode
from engine.limits import (
    BROADCAST_MAX,
    DAY_MS,
    EXCEPTION_PERIODS_MAX,
    FORTNIGHT_MS,
    HOURS_EXCEPTIONS_MAX,
    MATCHING_WINDOW_MS_MAX,
    PRIORITY_MAX,
    WEEKLY_PERIODS_MAX,
)
from engine.routing.checks import Checks
from engine.routing.hours import is_date, minutes_of
from engine.state.weights import weights_in_force


def upsert_queue(checks: Checks, command: UpsertQueue) -> None:
    """Rules of a queue's definition."""
    checks.name("queue.queue_id", command.queue_id)
    if not (0 < command.service_level_ratio <= 1):
        checks.fail("queue.service_level.ratio", command.service_level_ratio, "above 0 to 1")
    within_ms = command.service_level_within_ms
    checks.number("queue.service_level.within_ms", within_ms, 1, DAY_MS)
    checks.member("queue.strategy", command.strategy, Strategy)
    if isinstance(command.strategy, Strategy):
        checks.weights(weights_in_force(command.strategy, command.weights))
    checks.number("queue.starvation_bound_ms", command.starvation_bound_ms, 0, FORTNIGHT_MS)
    checks.number("queue.offer_timeout_ms", command.offer_timeout_ms, 100, DAY_MS)
    checks.number("queue.broadcast_max", command.broadcast_max, 1, BROADCAST_MAX)
    checks.member("queue.wrap_up_mode", command.wrap_up_mode, WrapUpMode)
    if command.wrap_up_mode is WrapUpMode.TIMED:
        checks.number("queue.wrap_up_ms", command.wrap_up_ms, 1, DAY_MS)
    elif command.wrap_up_ms != 0:
        checks.fail("queue.wrap_up_ms", command.wrap_up_ms, "0 unless wrap_up_mode is TIMED")
    if command.max_wait_ms != -1:
        checks.number("queue.max_wait_ms", command.max_wait_ms, 1, FORTNIGHT_MS)
    checks.number("queue.max_length", command.max_length, 0, 1_000_000)
    checks.number("queue.reoffer_delay_ms", command.reoffer_delay_ms, -1, DAY_MS)
    shorter_ms = command.reoffer_delay_only_agent_ms
    checks.number("queue.reoffer_delay_only_agent_ms", shorter_ms, -1, DAY_MS)
    if max(shorter_ms, 0) > max(command.reoffer_delay_ms, 0):
        expected = f"at most reoffer_delay_ms, {command.reoffer_delay_ms}"
        checks.fail("queue.reoffer_delay_only_agent_ms", shorter_ms, expected)
    checks.number("queue.priority_age_ms", command.priority_age_ms, 1, DAY_MS)
    checks.member("queue.order", command.order, QueueOrder)
    checks.name("queue.fallback_queue_id", command.fallback_queue_id, may_be_empty=True)
    if command.hours is not None:
        _hours(checks, command.hours)
    checks.number("queue.priority", command.priority, -PRIORITY_MAX, PRIORITY_MAX)
    checks.number("queue.short_abandon_ms", command.short_abandon_ms, 0, DAY_MS)
    checks.name("queue.forecast_group", command.forecast_group, may_be_empty=True)
    window_ms = command.matching_window_ms
    checks.number("queue.matching_window_ms", window_ms, 0, MATCHING_WINDOW_MS_MAX)


def _hours(checks: Checks, hours: Hours) -> None:
    try:
        ZoneInfo(hours.time_zone)
    except (KeyError, ValueError, OSError):
        expected = "the name of a time zone, such as Europe/Berlin"
        checks.fail("queue.hours.time_zone", hours.time_zone, expected)
    checks.count("queue.hours.weekly", hours.weekly, WEEKLY_PERIODS_MAX)
    for place, period in enumerate(hours.weekly):
        path = f"queue.hours.weekly[{place}]"
        _period(checks, path, period)
        if not period.days:
            checks.fail(f"{path}.days", period.days, "at least one day")
        for number, day in enumerate(period.days):
            checks.member(f"{path}.days[{number}]", day, Day)
        checks.unique(f"{path}.days", period.days)
    checks.count("queue.hours.exceptions", hours.exceptions, HOURS_EXCEPTIONS_MAX)
    checks.unique("queue.hours.exceptions", [item.date for item in hours.exceptions])
    for place, exception in enumerate(hours.exceptions):
        path = f"queue.hours.exceptions[{place}]"
        if not is_date(exception.date):
            checks.fail(f"{path}.date", exception.date, "a date, such as 2026-12-25")
        checks.name(f"{path}.name", exception.name, may_be_empty=True)
        checks.count(f"{path}.periods", exception.periods, EXCEPTION_PERIODS_MAX)
        for number, period in enumerate(exception.periods):
            _period(checks, f"{path}.periods[{number}]", period)
            if period.days:
                expected = "no days: the exception has its date"
                checks.fail(f"{path}.periods[{number}].days", period.days, expected)


def _period(checks: Checks, path: str, period: OpeningPeriod) -> None:
    for field, text in (("opens", period.opens), ("closes", period.closes)):
        try:
            minutes_of(text)
        except ValueError:
            checks.fail(f"{path}.{field}", text, "a time of day, 00:00 to 24:00")
    if period.opens == period.closes:
        checks.fail(f"{path}.closes", period.closes, "another time than it opens; all day to 24:00")
    if period.opens == "24:00":
        checks.fail(f"{path}.opens", period.opens, "at most 23:59")
