"""How many unary calls are in flight, and for whom there is room."""

from collections.abc import Mapping
from typing import Final

from adapters.errors import CallRefused, overloaded
from adapters.metrics import Metrics
from adapters.security.tenant_shares import TenantShares

_RETRY_MS: Final = 100
# Times the limit beyond which nobody is asked any more who they are.
_FULL: Final = 3


class CallsInFlight:
    """
    Unary calls that are not answered yet.

    Parameters
    ----------
    weights
        Of tenants, by which they share what room there is.
    metrics
        Where refusals are counted.

    Attributes
    ----------
    count
        How many there are.
    """

    def __init__(self, weights: Mapping[str, float], metrics: Metrics) -> None:
        self.count = 0
        self._shares = TenantShares(weights)
        self._metrics = metrics

    def enter(self, most: int) -> None:
        """
        Count a call, until `leave`; `most` is with how many there is room for one of its method.

        Raises
        ------
        CallRefused
            There are far more; it is counted all the same.
        """
        self.count += 1
        if self.count > _FULL * most:
            raise self._full()

    def leave(self) -> None:
        """Count a call no more."""
        self.count -= 1

    def begin(self, tenant: str, most: int) -> None:
        """
        Count a call as a tenant's, until `end`.

        Where there is no room, there is for a tenant that has less than its part of it.

        Raises
        ------
        CallRefused
            It has more; it is counted all the same.
        """
        self._shares.begin(tenant)
        if not self._shares.is_beyond(tenant, self.count, most):
            return
        self._metrics.access.held_back(tenant)
        if self.count > most:
            raise self._full()
        self._metrics.refused_over_limit.labels("tenant_weights").inc()
        why = f"tenant {tenant!r} has more than its part of {self.count} calls in flight"
        raise overloaded(why, _RETRY_MS)

    def end(self, tenant: str) -> None:
        """Count a call as a tenant's no more."""
        self._shares.end(tenant)

    def _full(self) -> CallRefused:
        self._metrics.refused_over_limit.labels("calls_in_flight_max").inc()
        return overloaded(f"{self.count} calls are in flight", _RETRY_MS)
