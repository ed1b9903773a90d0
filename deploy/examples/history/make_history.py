"""
Writes eight weeks of made-up contacts of a support desk, by half hours of the clock in Berlin.

    python make_history.py > support.csv

The desk is open from 8 to 18 on working days; Mondays are busier, and no two days are alike.
"""

import math
import random
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")
DAYS = 56
OPENS, CLOSES = 8, 18
# Contacts of a half hour at noon, and what Monday to Friday have of it.
BASE = 60.0
WEEKDAYS = (1.25, 1.05, 1.0, 0.95, 0.9)


def rows(today: date, draw: random.Random) -> Iterator[tuple[str, int]]:
    """Half hours of the days before today: when each began, and its contacts."""
    for back in range(DAYS, 0, -1):
        day = today - timedelta(days=back)
        if day.weekday() >= len(WEEKDAYS):
            continue
        of_day = BASE * WEEKDAYS[day.weekday()] * math.exp(draw.gauss(0.0, 0.1))
        for half_hour in range(2 * OPENS, 2 * CLOSES):
            wave = 0.5 + 0.5 * math.sin(math.pi * (half_hour / 2 - OPENS) / (CLOSES - OPENS))
            mean = of_day * wave
            begins = datetime.combine(day, time(half_hour // 2, 30 * (half_hour % 2)))
            yield f"{begins:%Y-%m-%d %H:%M}", max(round(draw.gauss(mean, math.sqrt(mean))), 0)


def main() -> None:
    """Write the file."""
    print("time,contacts")
    for begins, contacts in rows(datetime.now(BERLIN).date(), random.Random(7)):
        print(f"{begins},{contacts}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
