"""
The figures of a day, counted alike for the bank and for the engine.

    answered share     answered / offered
    abandoned share    abandoned / (answered + abandoned)
    mean wait          sum of waits of answered contacts / answered (ASA)
    service level x    answered within x / (answered + abandoned)
    occupancy          handling time / time the agents were signed in and not on a break

Only contacts that joined within the window count, and only time within the window. Wrap-up is left
out of the occupancy on both sides, because the bank's log does not hold it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from deploy.examples.bank_day.bank_day import TYPES, BankAgent, BankDay, Call


@dataclass(frozen=True, slots=True)
class Window:
    """
    The part of the day that is played: contacts that join from `from_s` up to, not including,
    `until_s`.

    Attributes
    ----------
    from_s, until_s
        Seconds since midnight at the bank, `from_s` < `until_s`.
    """

    from_s: int
    until_s: int

    def holds(self, call: Call) -> bool:
        """Whether the call joined within the window."""
        return self.from_s <= call.joined_s < self.until_s

    def overlap_s(self, start_s: float, end_s: float) -> float:
        """Seconds of a span that lie within the window."""
        return max(0.0, min(end_s, self.until_s) - max(start_s, self.from_s))


@dataclass(slots=True)
class TypeFigures:
    """
    Counts of one type; add two of them up with `+`.

    Attributes
    ----------
    offered
        Contacts that joined.
    abandoned
        Customers who hung up while waiting.
    expired
        Contacts that reached the longest wait; the bank's log knows none.
    waits_s
        Wait of each answered contact, seconds.
    handling_s
        Handling time within the window, seconds.
    """

    offered: int = 0
    abandoned: int = 0
    expired: int = 0
    waits_s: list[float] = field(default_factory=list)
    handling_s: float = 0.0

    def __add__(self, other: "TypeFigures") -> "TypeFigures":
        return TypeFigures(
            self.offered + other.offered,
            self.abandoned + other.abandoned,
            self.expired + other.expired,
            self.waits_s + other.waits_s,
            self.handling_s + other.handling_s,
        )

    @property
    def answered(self) -> int:
        """Contacts that an agent took."""
        return len(self.waits_s)

    @property
    def abandoned_ratio(self) -> float | None:
        """Share of the contacts that ended their wait; None without any."""
        return _ratio(self.abandoned, self.answered + self.abandoned)

    @property
    def mean_wait_s(self) -> float | None:
        """Mean wait of answered contacts; None without any."""
        return _ratio(sum(self.waits_s), self.answered)

    def service_level(self, within_s: float) -> float | None:
        """Share answered within a time; None before any wait ended."""
        within = sum(wait_s <= within_s for wait_s in self.waits_s)
        return _ratio(within, self.answered + self.abandoned)


@dataclass(frozen=True, slots=True)
class DayFigures:
    """
    Figures of one day.

    Attributes
    ----------
    by_type
        Type to its figures, every type.
    staffed_s
        Seconds within the window that the agents were signed in and not on a break, all agents
        together.
    """

    by_type: dict[str, TypeFigures]
    staffed_s: float

    @property
    def total(self) -> TypeFigures:
        """All types together."""
        return sum(self.by_type.values(), TypeFigures())

    def occupancy(self, figures: TypeFigures) -> float | None:
        """Share of the agents' time that the figures' handling took; None when nobody was there."""
        return _ratio(figures.handling_s, self.staffed_s)


def empty_figures(agents: Sequence[BankAgent], window: Window) -> DayFigures:
    """Figures of a day on which nothing has happened yet."""
    return DayFigures({name: TypeFigures() for name in TYPES}, staffed_s(agents, window))


def bank_figures(day: BankDay, window: Window) -> DayFigures:
    """The bank's own day, as its log has it."""
    day_figures = empty_figures(day.agents, window)
    for call in filter(window.holds, day.calls):
        figures = day_figures.by_type[call.type]
        figures.offered += 1
        if call.outcome == "HANG":
            figures.abandoned += 1
            continue
        answered_s = call.joined_s + call.queue_s
        figures.waits_s.append(call.queue_s)
        figures.handling_s += window.overlap_s(answered_s, answered_s + (call.service_s or 0))
    return day_figures


def staffed_s(agents: Iterable[BankAgent], window: Window) -> float:
    """Seconds within the window of all shifts, breaks left out."""
    return sum(
        window.overlap_s(agent.shift_start_s, agent.shift_end_s)
        - sum(window.overlap_s(*span) for span in agent.away)
        for agent in agents
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed, 0 without any."""
    ranked = sorted(values)
    return ranked[int(share * (len(ranked) - 1))] if ranked else 0.0


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
