"""Durations as people write them in files: `90s`, `1.5h`, `1h30m`."""

from typing import Final

_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_EXPECTED: Final = "a duration such as 90s, 1.5h or 1h30m"


def parse_duration(value: object) -> object:
    """Milliseconds of "90s", "1.5h", "1h30m"; a number or anything else stays as it is."""
    if not isinstance(value, str):
        return value
    text, total_ms, is_read = value.strip(), 0.0, False
    while text:
        number = ""
        while text and (text[0].isdigit() or text[0] == "."):
            number, text = number + text[0], text[1:]
        unit = ""
        while text and text[0].isalpha():
            unit, text = unit + text[0], text[1:]
        if unit not in _UNITS_MS or not number or number.count(".") > 1 or number == ".":
            raise ValueError(_EXPECTED)
        total_ms += float(number) * _UNITS_MS[unit]
        is_read = True
    if not is_read:
        raise ValueError(_EXPECTED)
    return total_ms


def in_duration(milliseconds: int) -> str:
    """Whole milliseconds as files have them, in the largest unit that they are whole in."""
    for unit, length in reversed(_UNITS_MS.items()):
        if milliseconds and milliseconds % length == 0:
            return f"{milliseconds // length}{unit}"
    return "0s"
