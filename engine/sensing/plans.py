"""Plans of people, in the terms of forecasts: events, agents planned, business volumes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.forecasting.events import Event, Override
from engine.kernels.sensing_columns import BUCKET_S
from engine.plans import Plan, PlannedDriver, PlannedEvent, PlannedStaffing
from engine.refusals import BadConfiguration
from engine.sensing.parts import Parts
from engine.sensing.rows import SensedRows

_BUCKET_MS: Final = 1_000 * BUCKET_S
_BUCKETS_PER_HOUR: Final = 3_600 // BUCKET_S


class PlanBook:
    """
    Keeps forecasts at what is planned; plans of queues that are not there say nothing.

    Attributes
    ----------
    unusable
        Plans that forecasts cannot use, such as agents beyond the days that a queue's plans may
        reach over together; by id, and why.
    """

    def __init__(self) -> None:
        self.unusable: dict[str, str] = {}
        self._plans: Sequence[Plan] = ()
        self._rows_seen = -1

    def keep(self, plans: Sequence[Plan]) -> None:
        """Take the plans that there are, those put last at the end."""
        self._plans = plans
        self._rows_seen = -1

    def follow(self, rows: SensedRows, parts: Parts, now_s: int) -> None:
        """Lay plans on, where they or the queues have changed since the last call."""
        if rows.changes == self._rows_seen:
            return
        self._rows_seen = rows.changes
        self.unusable = {}
        self._lay_on_staffing(rows, parts)
        changed = self._lay_on_events(rows, parts, now_s) | self._lay_on_drivers(rows, parts)
        parts.model.begin_again(np.array(sorted(changed), np.int64))

    def tell_volumes(self, bucket: int, parts: Parts) -> None:
        """Say what volumes of a bucket were, before it is closed."""
        known = parts.model.drivers.known()
        for plan in self._plans:
            if isinstance(plan, PlannedDriver) and plan.driver_id in known:
                volumes = _volumes_of(plan)
                place = bucket - plan.begins_at_ms // _BUCKET_MS
                if 0 <= place < len(volumes):
                    parts.model.drivers.observe(plan.driver_id, bucket, float(volumes[place]))

    def _lay_on_staffing(self, rows: SensedRows, parts: Parts) -> None:
        staffing = parts.outlook.staffing
        for row in rows.queue_rows().tolist():
            staffing.remove_plan(row)
        for plan in self._plans:
            if isinstance(plan, PlannedStaffing):
                row = rows.queue_row(plan.queue_id)
                if row < 0:
                    continue
                begins_s, interval_s = plan.begins_at_ms // 1_000, plan.interval_ms // 1_000
                with self._noting(plan.plan_id):
                    staffing.put_plan(row, begins_s, np.array(plan.agents), interval_s)

    def _lay_on_events(self, rows: SensedRows, parts: Parts, now_s: int) -> set[int]:
        """Returns rows whose events have changed."""
        wanted: dict[str, Event] = {}
        for plan in self._plans:
            if isinstance(plan, PlannedEvent):
                found = [rows.queue_row(queue_id) for queue_id in plan.queue_ids]
                rows_of = tuple(row for row in found if row >= 0)
                with self._noting(plan.event_id):
                    event = event_of(plan, rows_of)
                    if rows_of and event.over_s() > now_s:
                        wanted[plan.event_id] = event
        known = parts.model.events.known()
        changed: set[int] = set()
        for event_id in known.keys() - wanted.keys():
            parts.model.events.remove(event_id)
            changed |= set(known[event_id].rows)
        for event_id, event in wanted.items():
            if known.get(event_id) != event:
                with self._noting(event_id):
                    parts.model.events.put(event_id, event)
                changed |= set(event.rows) | set(known[event_id].rows if event_id in known else ())
        return changed

    def _lay_on_drivers(self, rows: SensedRows, parts: Parts) -> set[int]:
        """Returns rows whose drivers have changed."""
        drivers = parts.model.drivers
        wanted = {
            plan.driver_id: (rows.queue_row(plan.queue_id), plan)
            for plan in self._plans
            if isinstance(plan, PlannedDriver) and rows.queue_row(plan.queue_id) >= 0
        }
        changed: set[int] = set()
        for driver_id, of_rows in drivers.known().items():
            if driver_id not in wanted:
                drivers.remove(driver_id)
                changed |= set(of_rows)
        for driver_id, (row, plan) in wanted.items():
            if drivers.known().get(driver_id) != (row,):
                drivers.put(driver_id, (row,))
            with self._noting(driver_id):
                drivers.plan(driver_id, plan.begins_at_ms // _BUCKET_MS, _volumes_of(plan))
            changed.add(row)
        return changed

    @contextmanager
    def _noting(self, plan_id: str) -> Iterator[None]:
        """Note why a plan cannot be used; the others count all the same."""
        try:
            yield
        except BadConfiguration as error:
            self.unusable[plan_id] = str(error)


def event_of(plan: PlannedEvent, rows: tuple[int, ...]) -> Event:
    """An event in the terms of forecasts; without rows it is nobody's."""
    return Event(
        rows=rows,
        begins_s=plan.begins_at_ms // 1_000,
        ends_s=max(plan.ends_at_ms // 1_000, plan.begins_at_ms // 1_000 + 1),
        uplift=plan.uplift,
        rise_s=plan.rise_ms // 1_000,
        half_life_s=plan.half_life_ms // 1_000,
        added=plan.added_per_hour / _BUCKETS_PER_HOUR,
        deviation=plan.deviation,
        kind=plan.label,
        percents=tuple(100.0 * uplift for uplift in plan.uplift_steps),
        response=plan.added_steps,
        override=Override(plan.override),
        level=plan.override_per_hour / _BUCKETS_PER_HOUR,
    )


def _volumes_of(plan: PlannedDriver) -> NDArray[np.float64]:
    """Volumes by bucket; that of an interval is spread evenly over its buckets."""
    buckets = plan.interval_ms // _BUCKET_MS
    return np.repeat(np.array(plan.volumes, np.float64) / buckets, buckets)
