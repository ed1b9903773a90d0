"""Random expressions of every kind, and random values for their names."""

import datetime

from hypothesis import strategies as st

from engine.policy.checked import Kind

SCOPE = {
    "queue.waiting": Kind.INT,
    "queue.agents": Kind.INT,
    "params.threshold": Kind.INT,
    "queue.service_level": Kind.DOUBLE,
    "params.share": Kind.DOUBLE,
    "queue.oldest_wait": Kind.DURATION,
    "target.wait": Kind.DURATION,
    "queue.name": Kind.STRING,
    "queue.channel": Kind.STRING,
    "queue.is_open": Kind.BOOL,
    "target.is_open": Kind.BOOL,
}
TEXTS = ("voice", "chat", "vip_chat", "", "été")
_EDGES = (0, 1, -1, 2, -3, 7, (1 << 63) - 1, -(1 << 63) + 1, 3_037_000_500, -4_000_000_000)
_REALS = (0.0, -0.0, 1.0, -2.5, 1e18, -1e300, 9.3e18, float("inf"))
_DURATIONS = ("0s", "90s", "1h30m", "-1.5s", "2562047h", "250ms")
_MILLISECONDS = (0, 1, -1, 59_999, 3_600_000, 9_223_372_036_854, -9_223_372_036_854)
_LEAVES = {
    Kind.INT: st.sampled_from(_EDGES).map(lambda number: f"({number})"),
    Kind.DOUBLE: st.sampled_from(("0.0", "1.0", "-2.5", "1e18", "(-9.5e18)", "1e308")),
    Kind.DURATION: st.sampled_from(_DURATIONS).map(lambda text: f"duration('{text}')"),
    Kind.STRING: st.sampled_from(TEXTS).map(lambda text: f"'{text}'"),
    Kind.BOOL: st.sampled_from(("true", "false")),
}


def values_of(kind: Kind) -> st.SearchStrategy[bool | int | float | str | None]:
    """Values of a name, None where it is not known."""
    drawn: dict[Kind, st.SearchStrategy[bool | int | float | str]] = {
        Kind.INT: st.sampled_from(_EDGES) | st.integers(-10, 10),
        Kind.DOUBLE: st.sampled_from(_REALS) | st.floats(-10, 10),
        Kind.DURATION: st.sampled_from(_MILLISECONDS) | st.integers(-10_000, 10_000_000),
        Kind.STRING: st.sampled_from(TEXTS),
        Kind.BOOL: st.booleans(),
    }
    return st.none() | drawn[kind] | drawn[kind] | drawn[kind]


def rows() -> st.SearchStrategy[dict[str, bool | int | float | str]]:
    """Values of names by name; those that are not known are left out."""
    drawn = st.fixed_dictionaries({name: values_of(kind) for name, kind in SCOPE.items()})
    return drawn.map(lambda row: {name: item for name, item in row.items() if item is not None})


def as_cel(row: dict[str, bool | int | float | str]) -> dict[str, object]:
    """The same for the official evaluator."""
    millisecond = datetime.timedelta(milliseconds=1)
    return {
        name: int(value) * millisecond if SCOPE[name] is Kind.DURATION else value
        for name, value in row.items()
    }


_SIGNS = ("==", "!=", "<", "<=", ">", ">=")
_B, _I, _D, _S, _T = Kind.BOOL, Kind.INT, Kind.DOUBLE, Kind.STRING, Kind.DURATION
# Kind of the result -> forms with the kinds of what they take.
_FORMS: dict[Kind, tuple[tuple[str, tuple[Kind, ...]], ...]] = {
    _B: (
        ("({} && {})", (_B, _B)),
        ("({} || {})", (_B, _B)),
        ("!({})", (_B,)),
        ("({} ? {} : {})", (_B, _B, _B)),
        *((f"({{}} {sign} {{}})", (kind, kind)) for sign in _SIGNS for kind in (_I, _D, _T)),
        *((f"({{}} {sign} {{}})", (kind, kind)) for sign in ("==", "!=") for kind in (_S, _B)),
        ("({} in [0, 7, -3])", (_I,)),
        ("({} in [0.0, -2.5])", (_D,)),
        ("({} in ['voice', 'sms'])", (_S,)),
        ("({} in [duration('90s'), duration('0s')])", (_T,)),
        ("{}.startsWith('v')", (_S,)),
        ("{}.endsWith('chat')", (_S,)),
        ("{}.contains('_')", (_S,)),
        ("{}.matches('^[cv].*t?$')", (_S,)),
    ),
    _I: (
        *((f"({{}} {sign} {{}})", (_I, _I)) for sign in "+-*/%"),
        ("-({})", (_I,)),
        ("int({})", (_D,)),
        *((f"{{}}.get{unit}()", (_T,)) for unit in ("Hours", "Minutes", "Seconds")),
        ("({} ? {} : {})", (_B, _I, _I)),
    ),
    _D: (
        *((f"({{}} {sign} {{}})", (_D, _D)) for sign in "+-*/"),
        ("-({})", (_D,)),
        ("double({})", (_I,)),
        ("({} ? {} : {})", (_B, _D, _D)),
    ),
    _T: (
        ("({} + {})", (_T, _T)),
        ("({} - {})", (_T, _T)),
        ("({} ? {} : {})", (_B, _T, _T)),
    ),
    _S: (("({} ? {} : {})", (_B, _S, _S)),),
}


@st.composite
def expressions(draw: st.DrawFn, kind: Kind = Kind.BOOL, depth: int = 4) -> str:
    """Text of an expression of a kind."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        names = [name for name, of in SCOPE.items() if of is kind]
        return draw(st.sampled_from(names) | _LEAVES[kind])
    form, kinds = draw(st.sampled_from(_FORMS[kind]))
    return form.format(*(draw(expressions(of, depth - 1)) for of in kinds))
