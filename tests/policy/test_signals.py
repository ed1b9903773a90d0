"""The list of signals: closed, typed by one rule, and documented as it is."""

from pathlib import Path

import pytest

from adapters.policy_source.checker import CelChecker
from engine.forecasting import breach
from engine.forecasting.windows import WINDOW_NAMES
from engine.policy.checked import ExpressionRefused, Kind
from engine.policy.expression import compile_expression
from engine.policy.signals import (
    CONTACT_SIGNALS,
    HORIZONS_S,
    QUEUE_SIGNALS,
    RISK_HORIZONS,
    ROUTING_SIGNALS,
    SIGNALS,
    WINDOWS,
    reference,
    scope_of,
)

REFERENCE = Path(__file__).resolve().parents[2] / "engine" / "policy" / "signals.md"


def test_reference_is_fresh() -> None:
    """What authors read is what conditions take; write it anew with the line in the message."""
    command = "python -c 'from engine.policy.signals import *; print(reference(), end=\"\")'"
    assert REFERENCE.read_text(encoding="utf-8") == reference(), f"{command} > {REFERENCE}"


def test_names_are_unique_and_typed_by_unit() -> None:
    """A time that were a number, or a ratio that were whole, would be a trap."""
    names = [signal.name for signal in (*QUEUE_SIGNALS, *CONTACT_SIGNALS)]
    assert len(SIGNALS) == len({*names})
    for signal in SIGNALS.values():
        if signal.unit in ("ratio", "probability"):
            assert signal.kind is Kind.DOUBLE, signal
        if signal.unit == "agents":
            assert signal.kind is Kind.INT, signal
        if "wait" in signal.name.split(".")[1].split("_") if "." in signal.name else ():
            assert signal.kind is Kind.DURATION, signal
        assert signal.meaning, signal


def test_windows_and_horizons_are_those_of_sensing() -> None:
    """A signal without a source would never have a value."""
    assert set(WINDOWS) <= set(WINDOW_NAMES)
    assert tuple(HORIZONS_S[name] for name in RISK_HORIZONS) == breach.HORIZONS_S
    assert max(HORIZONS_S.values()) == 144 * 300


def test_signals_of_queues_are_none_of_contacts() -> None:
    """Eligibility is asked of one contact, triggers of a queue: neither reads the other's."""
    checker = CelChecker()
    both = "queue.waiting > 3 && contact.tier == 'gold'"
    for signals in (QUEUE_SIGNALS, CONTACT_SIGNALS, ROUTING_SIGNALS):
        with pytest.raises(ExpressionRefused, match="unknown name"):
            compile_expression(both, scope_of(signals, {}), checker)
    with pytest.raises(ExpressionRefused, match=r"unknown name contact\.wait"):
        compile_expression("contact.wait > duration('1s')", scope_of(ROUTING_SIGNALS, {}), checker)


def test_parameters_are_names_too() -> None:
    """A threshold that a slider moves is typed like any other name."""
    scope = scope_of(QUEUE_SIGNALS, {"limit": Kind.INT, "risk": Kind.DOUBLE})
    checker = CelChecker()
    compile_expression("queue.waiting > params.limit", scope, checker)
    with pytest.raises(ExpressionRefused, match=r"did you mean params\.limit"):
        compile_expression("queue.waiting > params.limt", scope, checker)
    with pytest.raises(ExpressionRefused, match="do not mix"):
        compile_expression("breach_risk_5m > params.limit", scope, checker)
