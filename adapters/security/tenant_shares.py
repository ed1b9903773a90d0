"""
What part of the calls in flight each tenant may have while there are many: by weight, of those that
call now.

While less than half of the limit is in use nobody is held back. Beyond, a tenant that has more than
its part waits, so that others find room: what one tenant floods the process with, it floods itself.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

_HELD_BACK_FROM: Final = 0.5


class TenantShares:
    """
    Calls in flight by tenant.

    Parameters
    ----------
    weights
        Of tenants, > 0; of others 1.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights
        self._in_flight: Counter[str] = Counter()
        self._weight = 0.0

    def begin(self, tenant: str) -> None:
        """Count a call, until `end`."""
        if not self._in_flight[tenant]:
            self._weight += self._weight_of(tenant)
        self._in_flight[tenant] += 1

    def end(self, tenant: str) -> None:
        """Count a call no more."""
        self._in_flight[tenant] -= 1
        if not self._in_flight[tenant]:
            del self._in_flight[tenant]
            self._weight -= self._weight_of(tenant)

    def is_beyond(self, tenant: str, in_flight: int, limit: int) -> bool:
        """Whether a tenant has more than its part of a limit, with so many calls in flight."""
        if in_flight <= _HELD_BACK_FROM * limit:
            return False
        part = self._weight_of(tenant) / max(self._weight, self._weight_of(tenant))
        return self._in_flight[tenant] > part * limit

    def _weight_of(self, tenant: str) -> float:
        return self._weights.get(tenant, 1.0)
