"""Plans by kind and id: events, agents planned, business volumes."""

import struct
from collections import Counter
from dataclasses import asdict
from typing import Final, NamedTuple

import orjson

from engine.encoding import kept_json
from engine.plans import (
    PLANS_MAX,
    ForecastOverride,
    Plan,
    PlanKind,
    PlannedDriver,
    PlannedEvent,
    PlannedStaffing,
)
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.free_rows import FreeRows
from engine.state.rows import RowDelta, RowTable

_TYPES: Final[dict[PlanKind, type[Plan]]] = {
    PlanKind.EVENT: PlannedEvent,
    PlanKind.STAFFING: PlannedStaffing,
    PlanKind.DRIVER: PlannedDriver,
}
_RECORD: Final = struct.Struct("<2q")


class KeptPlan(NamedTuple):
    """
    A plan and where it stands.

    Attributes
    ----------
    version
        How often it was written: the present etag.
    stamp
        Ascends with every plan written, whichever it is.
    """

    row: int
    version: int
    stamp: int
    plan: Plan


class PlanRows:
    """
    The plans of one cell.

    Attributes
    ----------
    changes
        Counts what was put and deleted, so that a reader sees whether to read again.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[PlanKind, str], KeptPlan] = {}
        self._counts: Counter[PlanKind] = Counter()
        self._free = FreeRows()
        self._last_stamp = 0
        # Rows the open commit group must write, with the id of what stands or stood there.
        self._dirty: dict[int, str] = {}
        self._by_row: dict[int, KeptPlan] = {}
        self.changes = 0

    def find(self, kind: PlanKind, plan_id: str) -> KeptPlan | None:
        """A plan, None where there is none."""
        return self._kept.get((kind, plan_id))

    def of_kind(self, kind: PlanKind) -> dict[str, KeptPlan]:
        """Plans of a kind, by id."""
        return {plan_id: kept for (of, plan_id), kept in self._kept.items() if of is kind}

    def all(self) -> list[Plan]:
        """Every plan, those put last at the end."""
        kept = sorted(self._kept.values(), key=lambda item: item.stamp)
        return [item.plan for item in kept]

    def put(self, plan: Plan) -> None:
        """
        Add a plan, or replace the one of its kind and id.

        Raises
        ------
        CommandRefused
            LIMIT_REACHED.
        """
        key = plan.KIND, plan.plan_id
        before = self._kept.get(key)
        most = PLANS_MAX[plan.KIND]
        if before is None and self._counts[plan.KIND] >= most:
            name = plan.KIND.name.lower()
            expected = f"at most {most:,} plans ({name}) in a cell; delete those that are over"
            refused = violation(name, plan.plan_id, expected)
            raise CommandRefused(Refusal.LIMIT_REACHED, refused)
        row = before.row if before is not None else self._free.take()
        version = before.version + 1 if before is not None else 1
        self._last_stamp += 1
        self._place(key, KeptPlan(row, version, self._last_stamp, plan))
        self._mark(row, plan.plan_id)

    def delete(self, kind: PlanKind, plan_id: str) -> None:
        """Delete a plan that is there."""
        kept = self._kept.pop((kind, plan_id))
        self._counts[kind] -= 1
        del self._by_row[kept.row]
        self._free.give_back(kept.row)
        self._mark(kept.row, plan_id)

    def mark_all(self) -> None:
        """Have the next group write every plan."""
        for row, kept in self._by_row.items():
            self._mark(row, kept.plan.plan_id)

    def take_deltas(self) -> list[RowDelta]:
        """Rows that changed since the last call."""
        if not self._dirty:
            return []
        dirty, self._dirty = self._dirty, {}
        return [self._delta(row, plan_id) for row, plan_id in dirty.items()]

    def restore(self, delta: RowDelta) -> None:
        """
        Take one row of the log.

        Raises
        ------
        ValueError, TypeError, KeyError
            The row does not say what a plan says.
        """
        fields = orjson.loads(delta.payload or b"")
        kind = PlanKind(fields.pop("kind"))
        lists = {name: tuple(value) for name, value in fields.items() if type(value) is list}
        plan = _TYPES[kind](**(fields | lists | _override(fields)))
        if len(delta.record or b"") != _RECORD.size:
            raise ValueError(f"a record of {len(delta.record or b'')} bytes")
        version, stamp = _RECORD.unpack(delta.record or b"")
        self._place((kind, plan.plan_id), KeptPlan(delta.row, version, stamp, plan))
        self._last_stamp = max(self._last_stamp, stamp)
        self._free.hold(delta.row)
        self.changes += 1

    def _place(self, key: tuple[PlanKind, str], kept: KeptPlan) -> None:
        self._counts[key[0]] += key not in self._kept
        self._kept[key] = kept
        self._by_row[kept.row] = kept

    def _mark(self, row: int, plan_id: str) -> None:
        self._dirty[row] = plan_id
        self.changes += 1

    def _delta(self, row: int, plan_id: str) -> RowDelta:
        kept = self._by_row.get(row)
        if kept is None:
            return RowDelta(RowTable.PLAN, row, plan_id, None, None)
        record = _RECORD.pack(kept.version, kept.stamp)
        payload = kept_json({"kind": int(kept.plan.KIND), **asdict(kept.plan)})
        return RowDelta(RowTable.PLAN, row, kept.plan.plan_id, record, payload)


def _override(fields: dict[str, int]) -> dict[str, ForecastOverride]:
    return {"override": ForecastOverride(fields["override"])} if "override" in fields else {}
