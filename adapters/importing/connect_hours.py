"""Hours of operation of Amazon Connect, which several queues may share."""

from typing import Final

from adapters.importing.json_file import Node
from headgate.v1.queue_pb2 import Day, Hours, OpeningPeriod

_DAYS: Final = {name.removeprefix("DAY_"): number for name, number in Day.items() if number}


def hours_by_id(file: Node) -> dict[str, Hours]:
    """
    Every hours of operation in the list `HoursOfOperations`, by id.

    Raises
    ------
    NotImportable
        One of them is not of that form.
    """
    found = {}
    for item in file.items("HoursOfOperations"):
        inner = item.get("HoursOfOperation") if item.has("HoursOfOperation") else item
        hours = Hours(time_zone=inner.text("TimeZone"), weekly=map(_period, inner.items("Config")))
        found[inner.text("HoursOfOperationId")] = hours
    return found


def _period(entry: Node) -> OpeningPeriod:
    """A day's period; one that ends when it begins lasts till midnight, one at midnight all day."""
    day = entry.text("Day")
    if day not in _DAYS:
        raise entry.get("Day").wrong(f"one of {', '.join(_DAYS)}")
    opens, closes = _time(entry.get("StartTime")), _time(entry.get("EndTime"))
    if closes == "00:00" or closes == opens:
        closes = "24:00"
    return OpeningPeriod(days=[_DAYS[day]], opens=opens, closes=closes)


def _time(entry: Node) -> str:
    return f"{entry.whole('Hours', 0, 23):02}:{entry.whole('Minutes', 0, 59):02}"
