"""The figures of a simulation: which there are, what they mean, and how they are written."""

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from engine.kernels import floor_columns as c
from engine.simulation.results import Estimate, Results

Unit = Literal["share", "time", "number"]

# Times are written in the largest unit of which there are at least so many milliseconds.
_TIME_UNITS: Final = ((10_800e3, 3_600e3, "h"), (1_800e3, 60e3, "min"), (0.0, 1e3, "s"))
# Two-sided 95 % quantiles of Student's t where its series in 1 / freedom is too far off.
_T95_OF_FEW: Final = {1: 12.7062, 2: 4.3027}
_Z95: Final = 1.959964


class Figure(NamedTuple):
    """An estimate that every stream has: its key in JSON, heading, unit and meaning."""

    key: str
    heading: str
    unit: Unit
    meaning: str


class Count(NamedTuple):
    """Contacts of a stream that are counted: key in JSON, column of the tallies, and meaning."""

    key: str
    column: int
    meaning: str

    @property
    def heading(self) -> str:
        """For people."""
        return self.key.replace("_", " ")


FIGURES: Final = (
    Figure(
        "p_wait", "had to wait", "share", "were not offered to an agent at once, of those let in"
    ),
    Figure("p_abandon", "abandoned", "share", "left before an agent answered, of those let in"),
    Figure(
        "p_block", "turned away", "share", "found the line full or no trunk free, of those offered"
    ),
    Figure(
        "p_divert", "diverted", "share", "took the other way they were offered, of those offered"
    ),
    Figure("asa", "mean wait of answered", "time", "average speed of answer"),
    Figure("wait_p90_ms", "90 % waited at most", "time", "of those answered"),
    Figure("wait_all", "mean wait of all", "time", "of those answered and those who abandoned"),
    Figure("lq", "waiting at a time", "number", "contacts that wait, on average over time"),
    Figure("handle_time", "handling and wrap-up", "time", "mean of a completed contact"),
)
COUNTS: Final = (
    Count("offered", c.OFFERED, "came, each further try of a caller counted again"),
    Count("diverted", c.DIVERTED, "took the other way, and count in the stream it leads to"),
    Count("turned_away", c.BLOCKED, "found the line full or no trunk free"),
    Count("answered", c.ANSWERED, "reached an agent"),
    Count("abandoned", c.ABANDONED, "left while they waited"),
    Count("expired", c.EXPIRED, "waited as long as the queue allows"),
    Count("redialled", c.REDIALLED, "did not get through and tried again later"),
)


def estimates(results: Results, streams: list[int] | None = None) -> dict[str, Estimate]:
    """Every one of FIGURES, of some streams or of all."""
    return {
        figure.key: results.wait_quantile_ms(0.9, streams)
        if figure.key == "wait_p90_ms"
        else results.measure(figure.key, streams)
        for figure in FIGURES
    }


def service_levels(results: Results, streams: list[int] | None = None) -> list[Estimate]:
    """Answered within each threshold / let in."""
    return [
        results.served_within(place, streams) for place in range(len(results.scenario.thresholds))
    ]


def counts(results: Results, stream: int) -> dict[str, int]:
    """Contacts of a stream in the time measured, by the keys of COUNTS."""
    return {count.key: int(results.counted(count.column, [stream]).sum()) for count in COUNTS}


def half_width(results: Results, estimate: Estimate) -> float:
    """Half of a 95 % interval by Student's t; nan without an error."""
    return t95(results.parts - 1) * estimate.error


def t95(freedom: int) -> float:
    """
    Two-sided 95 % quantile of Student's t, within 0.1 % (Abramowitz and Stegun 26.7.5).

    Parameters
    ----------
    freedom
        Degrees of freedom; nan below 1.
    """
    if freedom < 1:
        return math.nan
    if freedom in _T95_OF_FEW:
        return _T95_OF_FEW[freedom]
    z: float = _Z95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / float(freedom) ** (place + 1) for place, term in enumerate(terms))


def written(value: float, half: float, unit: Unit) -> tuple[str, str, str]:
    """A value, half of its interval ("" for none) and their unit, as people read them."""
    if math.isnan(value):
        return "–", "", ""
    factor, sign = _scale(value, unit)
    width = "" if math.isnan(half) else f"{half * factor:,.2f}"
    return f"{value * factor:,.2f}", width, sign


def written_in_line(value: float, half: float, unit: Unit) -> str:
    """The same on one line."""
    text, width, sign = written(value, half, unit)
    return " ".join(part for part in (text, f"± {width}" if width else "", sign) if part)


def _scale(value: float, unit: Unit) -> tuple[float, str]:
    if unit == "share":
        return 100.0, "%"
    if unit == "number":
        return 1.0, ""
    size, sign = next((size, sign) for least, size, sign in _TIME_UNITS if value >= least)
    return 1.0 / size, sign


def percent(share: float) -> str:
    """A share in percent, to a tenth."""
    return f"{share * 100:.1f} %"


def listed(words: Sequence[str], last: str) -> str:
    """Words as a sentence lists them: a, b and c, where `last` is "and"."""
    return f" {last} ".join([*([", ".join(words[:-1])] if words[:-1] else []), *words[-1:]])


def duration_text(duration_ms: float) -> str:
    """A duration without loss, in at most two units: 20 s, 1 h 30 min."""
    if duration_ms < 1e3:
        return f"{duration_ms:g} ms"
    for size, sign, part, part_sign in (
        (86_400e3, "d", 3_600e3, "h"), (3_600e3, "h", 60e3, "min"), (60e3, "min", 1e3, "s"),
    ):  # fmt: skip
        whole, rest = divmod(duration_ms, size)
        if whole and rest % part == 0:
            return f"{whole:g} {sign}" + (f" {rest / part:g} {part_sign}" if rest else "")
    return f"{duration_ms / 1e3:g} s"
