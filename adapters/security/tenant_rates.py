"""How many contacts each tenant may bring: a bucket of tokens that fills up again with time."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from adapters.errors import overloaded

# Tenants that are remembered; who came longest ago is forgotten, and has a full bucket again.
_TENANTS_MAX: Final = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_s: float


class TenantRates:
    """
    Buckets by tenant, each of one second's contacts.

    Parameters
    ----------
    contacts_per_s
        How fast a bucket fills, and how much it holds but one at the least; 0 for no limit.
    refuse
        Called with the tenant whose contact is refused.
    now_s
        A clock that never goes back.
    """

    def __init__(
        self,
        contacts_per_s: float,
        refuse: Callable[[str], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s = contacts_per_s
        self._most = max(1.0, contacts_per_s)
        self._refuse = refuse
        self._now_s = now_s
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, tenant: str) -> None:
        """
        Let a contact of a tenant in.

        Raises
        ------
        CallRefused
            RESOURCE_EXHAUSTED with the delay after which there is room.
        """
        if not self._per_s:
            return
        now_s = self._now_s()
        bucket = self._buckets.get(tenant)
        if bucket is None:
            bucket = self._buckets[tenant] = _Bucket(self._most, now_s)
            if len(self._buckets) > _TENANTS_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(tenant)
        bucket.tokens += (now_s - bucket.filled_s) * self._per_s
        bucket.tokens = min(bucket.tokens, self._most)
        bucket.filled_s = now_s
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return
        self._refuse(tenant)
        delay_s = (1 - bucket.tokens) / self._per_s
        raise overloaded(
            f"tenant {tenant!r} brings more than {self._per_s:g} contacts a second",
            max(1, round(delay_s * 1_000)),
        )
