"""
Where a condition can be true: a union of boxes, as far as that can be told without solving it.

A condition is brought into disjunctive form. Atoms that compare one thing that is read (a signal,
an attribute) with what is written out, or with parameters, become intervals and sets; every other
atom (two signals compared, arithmetic on signals, patterns) is opaque: it may be true or false, and
only the same atom, asked the same way, agrees with itself. So a region that is told empty is empty;
one that is told not empty may still be empty, unless it is `exact`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from engine.policy.checked import Kind
from engine.policy.expression import Constant, Name, Operation, Operator, Term
from engine.policy.signals import BUSYNESS, SIGNALS
from engine.policy.values import Plain, Values, value_of

# Boxes of one condition beyond which it is not analysed.
BOXES_MAX: Final = 256

_FLIPPED: Final = {
    Operator.LESS: Operator.GREATER,
    Operator.LESS_EQUAL: Operator.GREATER_EQUAL,
    Operator.GREATER: Operator.LESS,
    Operator.GREATER_EQUAL: Operator.LESS_EQUAL,
    Operator.EQUAL: Operator.EQUAL,
    Operator.NOT_EQUAL: Operator.NOT_EQUAL,
}
_NEGATED: Final = {
    Operator.LESS: Operator.GREATER_EQUAL,
    Operator.LESS_EQUAL: Operator.GREATER,
    Operator.GREATER: Operator.LESS_EQUAL,
    Operator.GREATER_EQUAL: Operator.LESS,
    Operator.EQUAL: Operator.NOT_EQUAL,
    Operator.NOT_EQUAL: Operator.EQUAL,
}


class TooManyBoxes(Exception):
    """A condition is too long to be analysed."""


class Interval(NamedTuple):
    """Numbers from `low` to `high`; whole ones always include both."""

    low: float = -math.inf
    high: float = math.inf
    is_low_open: bool = False
    is_high_open: bool = False

    def meet(self, other: "Interval") -> "Interval":
        """Numbers of both."""
        low, is_low_open = max((self.low, self.is_low_open), (other.low, other.is_low_open))
        high, is_closed = min(
            (self.high, not self.is_high_open), (other.high, not other.is_high_open)
        )
        return Interval(low, high, is_low_open, not is_closed)

    @property
    def is_empty(self) -> bool:
        """Whether no number is within."""
        is_open = self.is_low_open or self.is_high_open
        return not (self.low < self.high or (self.low == self.high and not is_open))


class Choice(NamedTuple):
    """One of some values, or any but them."""

    values: frozenset[Plain]
    is_excluded: bool = False

    def meet(self, other: "Choice") -> "Choice":
        """Values of both."""
        if self.is_excluded and other.is_excluded:
            return Choice(self.values | other.values, True)
        if self.is_excluded:
            return Choice(other.values - self.values)
        if other.is_excluded:
            return Choice(self.values - other.values)
        return Choice(self.values & other.values)

    @property
    def is_empty(self) -> bool:
        """Whether no value is left."""
        return not self.values and not self.is_excluded


Limits = Interval | Choice


@dataclass(frozen=True, slots=True)
class Box:
    """
    A conjunction.

    Attributes
    ----------
    limits
        By what is read.
    opaque
        Other atoms, and whether they are to be true.
    """

    limits: Mapping[str, Limits]
    opaque: Mapping[str, bool]

    def meet(self, other: "Box") -> "Box | None":
        """What is in both, None where nothing is."""
        limits = dict(self.limits)
        for name, limit in other.limits.items():
            met = _met(limits[name], limit) if name in limits else limit
            if met is None:
                return None
            limits[name] = met
        for atom, is_true in other.opaque.items():
            if self.opaque.get(atom, is_true) != is_true:
                return None
        return Box(limits, {**self.opaque, **other.opaque})

    @property
    def is_exact(self) -> bool:
        """Whether every point of it makes the condition true."""
        return not self.opaque


_EVERYWHERE: Final = Box({}, {})


def boxes_of(term: Term, params: Values, wanted: bool = True) -> list[Box]:
    """
    Boxes outside of which a condition is not `wanted`.

    Parameters
    ----------
    params
        Values of parameters, by `params.name`.

    Raises
    ------
    TooManyBoxes
        There are more than `BOXES_MAX`.
    """
    if isinstance(term, Constant):
        return [_EVERYWHERE] if term.value is wanted else []
    if isinstance(term, Operation):
        if term.operator is Operator.NOT:
            return boxes_of(term.arguments[0], params, not wanted)
        if term.operator in (Operator.AND, Operator.OR):
            left, right = (boxes_of(item, params, wanted) for item in term.arguments)
            is_both = (term.operator is Operator.AND) == wanted
            return met(left, right) if is_both else _bounded([*left, *right])
        if term.operator is Operator.CHOOSE:
            asked, yes, no = term.arguments
            return _bounded([
                *met(boxes_of(asked, params, True), boxes_of(yes, params, wanted)),
                *met(boxes_of(asked, params, False), boxes_of(no, params, wanted)),
            ])  # fmt: skip
    return _atom(term, params, wanted)


def met(left: list[Box], right: list[Box]) -> list[Box]:
    """Boxes of both."""
    found = (one.meet(other) for one in left for other in right)
    return _bounded([box for box in found if box is not None])


def _bounded(boxes: list[Box]) -> list[Box]:
    if len(boxes) > BOXES_MAX:
        raise TooManyBoxes
    return boxes


def _met(left: Limits, right: Limits) -> Limits | None:
    if isinstance(left, Interval) and isinstance(right, Interval):
        interval = left.meet(right)
        return None if interval.is_empty else interval
    if isinstance(left, Choice) and isinstance(right, Choice):
        choice = left.meet(right)
        return None if choice.is_empty else choice
    raise AssertionError((left, right))


def _atom(term: Name | Operation, params: Values, wanted: bool) -> list[Box]:
    """Boxes of what is neither joined nor negated."""
    known = value_of(term, params)
    if known is not None:
        return [_EVERYWHERE] if known is wanted else []
    limited = _limited(term, params, wanted)
    if limited is None:
        return [Box({}, {shown(term): wanted})]
    name, kind, limits = limited
    domain = domain_of(name, kind)
    found = (limit if domain is None else _met(domain, limit) for limit in limits)
    return [Box({name: limit}, {}) for limit in found if limit is not None and not limit.is_empty]


def _limited(
    term: Name | Operation, params: Values, wanted: bool
) -> tuple[str, Kind, list[Limits]] | None:
    """What is read, and limits of which one must hold; None for an opaque atom."""
    if isinstance(term, Name):
        return term.name, Kind.BOOL, [Choice(frozenset({wanted}))]
    if len(term.arguments) != 2 or term.operator not in (*_NEGATED, Operator.IN):
        return None
    left, right = term.arguments
    operator = term.operator
    if not _is_read(left):
        left, right = right, left
        operator = _FLIPPED.get(operator, operator)
    value = value_of(right, params)
    if not _is_read(left) or value is None:
        return None
    if operator is not Operator.IN and not wanted:
        operator, wanted = _NEGATED[operator], True
    return shown(left), left.kind, list(_limits(operator, left.kind, value, wanted))


def _is_read(term: Term) -> bool:
    """Whether it is one thing that is read: a signal, or an attribute of a fixed key."""
    if isinstance(term, Name):
        return not term.name.startswith("params.")
    if isinstance(term, Operation) and term.operator is Operator.ATTRIBUTE:
        return isinstance(term.arguments[1], Constant)
    return False


def _limits(operator: Operator, kind: Kind, value: Plain, wanted: bool) -> Iterator[Limits]:
    if kind in (Kind.STRING, Kind.BOOL):
        values = frozenset(value) if isinstance(value, tuple) else frozenset({value})
        yield Choice(values, operator is Operator.NOT_EQUAL or not wanted)
        return
    numbers = sorted(value) if isinstance(value, tuple) else [value]
    points = [item for item in numbers if isinstance(item, int | float)]
    if operator is Operator.EQUAL or (operator is Operator.IN and wanted):
        yield from (Interval(point, point) for point in points)
    elif operator in (Operator.NOT_EQUAL, Operator.IN):
        for low, high in zip([-math.inf, *points], [*points, math.inf], strict=True):
            yield _closed(Interval(low, high, low in points, high in points), kind)
    else:
        (point,) = points
        is_open = operator in (Operator.LESS, Operator.GREATER)
        if operator in (Operator.LESS, Operator.LESS_EQUAL):
            yield _closed(Interval(high=point, is_high_open=is_open), kind)
        else:
            yield _closed(Interval(low=point, is_low_open=is_open), kind)


def _closed(interval: Interval, kind: Kind) -> Interval:
    """The same numbers, without open ends where they are whole."""
    if kind is Kind.DOUBLE:
        return interval
    return Interval(
        interval.low + 1 if interval.is_low_open else interval.low,
        interval.high - 1 if interval.is_high_open else interval.high,
    )


def domain_of(name: str, kind: Kind) -> Limits | None:
    """What a signal can be at all; None where that is not known."""
    if name in _DOMAINS:
        return _DOMAINS[name]
    signal = SIGNALS.get(name)
    if signal is None:
        return None
    if signal.unit == "probability":
        return Interval(0.0, 1.0)
    if signal.unit == "ratio":
        return Interval(0.0, math.inf if ".load" in name else 1.0)
    is_amount = signal.unit in ("contacts", "agents") and name != "target.spare_capacity"
    return Interval(low=0) if is_amount or kind is Kind.DURATION else None


_DOMAINS: Final[Mapping[str, Limits]] = {
    "busyness": Choice(frozenset(BUSYNESS)),
    "target.busyness": Choice(frozenset(BUSYNESS)),
    "contact.returns": Interval(low=0),
    "time.month": Interval(1, 12),
    "time.day": Interval(1, 31),
    "time.weekday": Interval(1, 7),
    "time.hour": Interval(0, 23),
    "time.minute": Interval(0, 59),
    "time.minute_of_day": Interval(0, 1439),
}


def shown(term: Term) -> str:
    """A term as text, the same for the same term."""
    if isinstance(term, Constant):
        return repr(term.value) if term.kind is not Kind.DURATION else f"{term.value!r}ms"
    if isinstance(term, Name):
        return term.name
    if term.operator is Operator.ATTRIBUTE and isinstance(term.arguments[1], Constant):
        return f"{shown(term.arguments[0])}.{term.arguments[1].value}"
    return f"{term.operator.value}({', '.join(shown(item) for item in term.arguments)})"


def described(box: Box) -> str:
    """A box in words, as `breach_risk_5m <= 0.25 and queue.waiting >= 5`."""
    parts = [_described(name, limit) for name, limit in sorted(box.limits.items())]
    parts += [atom if is_true else f"not {atom}" for atom, is_true in sorted(box.opaque.items())]
    return " and ".join(parts) or "always"


def _described(name: str, limit: Limits) -> str:
    if isinstance(limit, Choice):
        values = ", ".join(repr(value) for value in sorted(limit.values, key=repr))
        return f"{name} {'not in' if limit.is_excluded else 'in'} [{values}]"
    domain = SIGNALS.get(name)
    unit = "ms" if domain is not None and domain.kind is Kind.DURATION else ""
    if limit.low == limit.high:
        return f"{name} == {limit.low:g}{unit}"
    bounds = domain_of(name, domain.kind) if domain is not None else None
    parts = []
    if limit.low > (bounds.low if isinstance(bounds, Interval) else -math.inf):
        parts.append(f"{name} {'>' if limit.is_low_open else '>='} {limit.low:g}{unit}")
    if limit.high < (bounds.high if isinstance(bounds, Interval) else math.inf):
        parts.append(f"{name} {'<' if limit.is_high_open else '<='} {limit.high:g}{unit}")
    return " and ".join(parts) or f"any {name}"
