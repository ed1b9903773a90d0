"""How many contacts a tenant may bring: a bucket each, and time that is moved by hand."""

from collections import Counter

import pytest

from adapters.errors import CallRefused
from adapters.metrics import Metrics
from adapters.security import tenant_rates
from adapters.security.tenant_rates import TenantRates


class Time:
    """A clock."""

    now_s = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now_s


def taken(rates: TenantRates, tenant: str, tries: int) -> int:
    """How many of so many contacts are let in."""
    count = 0
    for _ in range(tries):
        try:
            rates.take(tenant)
        except CallRefused:
            continue
        count += 1
    return count


def test_tenant_has_a_second_at_once_and_then_its_rate() -> None:
    """A burst of callers is let in; more than the rate for long is not."""
    time = Time()
    refused: Counter[str] = Counter()
    rates = TenantRates(5, lambda tenant: refused.update([tenant]), time)
    assert taken(rates, "bank", 20) == 5
    time.now_s += 0.4
    assert taken(rates, "bank", 20) == 2
    time.now_s += 3_600
    assert taken(rates, "bank", 20) == 5
    assert refused == {"bank": 48}


def test_tenants_do_not_feel_each_other() -> None:
    """The storm of one is not the silence of the others."""
    rates = TenantRates(5, lambda tenant: None, Time())
    assert taken(rates, "storm", 1_000) == 5
    assert taken(rates, "shop", 5) == 5


def test_refusal_names_tenant_rate_and_delay() -> None:
    """A gateway that waits as long as it is told gets in."""
    time = Time()
    rates = TenantRates(0.5, lambda tenant: None, time)
    rates.take("bank")
    time.now_s += 0.5
    with pytest.raises(
        CallRefused, match=r"'bank' brings more than 0\.5 contacts a second"
    ) as caught:
        rates.take("bank")
    assert (caught.value.reason, caught.value.retry_after_ms) == ("OVERLOADED", 1_500)
    time.now_s += 1.5
    rates.take("bank")


def test_without_a_rate_everything_is_let_in() -> None:
    """The default: nobody is held back, and nothing is kept."""
    assert taken(TenantRates(0, lambda tenant: None, Time()), "bank", 10_000) == 10_000


def test_tenants_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names come from credentials: an issuer may know any number of them."""
    monkeypatch.setattr(tenant_rates, "_TENANTS_MAX", 3)
    rates = TenantRates(1, lambda tenant: None, Time())
    for number in range(10):
        rates.take(f"t{number}")
    assert list(rates._buckets) == ["t7", "t8", "t9"]


def test_series_of_tenants_are_bounded() -> None:
    """A label must not grow with whoever calls."""
    metrics = Metrics()
    for number in range(150):
        metrics.access.held_back(f"t{number}")
    metrics.access.held_back("t0")
    lines = [
        line
        for line in b"".join(metrics.render([])).decode().splitlines()
        if line.startswith("headgate_tenant_contacts_refused_total{")
    ]
    assert len(lines) == 101
    assert 'headgate_tenant_contacts_refused_total{tenant="t0"} 2.0' in lines
    assert 'headgate_tenant_contacts_refused_total{tenant="others"} 50.0' in lines
