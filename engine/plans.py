"""
What people know of the hours ahead: events that bring contacts, agents planned, business volumes.

The engine keeps plans as it keeps definitions; sensing reads them. Times are integer milliseconds.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, NamedTuple

# Steps that some fields of plans count in, and most steps or intervals of one plan: a week.
PLAN_STEP_MS: Final = 300_000
PLAN_STEPS_MAX: Final = 2_016
PLAN_INTERVAL_MS_MAX: Final = 3_600_000
EVENT_DAYS_MAX: Final = 90
EVENT_QUEUES_MAX: Final = 1_000
UPLIFT_MAX: Final = 50.0
CONTACTS_PER_HOUR_MAX: Final = 1e7
CONTACTS_PER_STEP_MAX: Final = 8e5
AGENTS_PLANNED_MAX: Final = 100_000.0
VOLUME_MAX: Final = 1e12
DEVIATION: Final = 0.2


class PlanKind(IntEnum):
    """Kinds of plan."""

    EVENT = 1
    STAFFING = 2
    DRIVER = 3


# Field of the wire that names a plan of each kind.
ID_FIELDS: Final = {
    PlanKind.EVENT: "event_id",
    PlanKind.STAFFING: "plan_id",
    PlanKind.DRIVER: "driver_id",
}
# Plans of one cell by kind, and days that intervals of one may reach over.
PLANS_MAX: Final = {PlanKind.EVENT: 2_000, PlanKind.STAFFING: 20_000, PlanKind.DRIVER: 256}
PLAN_DAYS_MAX: Final = {PlanKind.STAFFING: 31, PlanKind.DRIVER: 7}


class ForecastOverride(IntEnum):
    """How an event bounds the forecast; values are those of the wire."""

    NONE = 0
    SET = 1
    AT_LEAST = 2
    AT_MOST = 3


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """
    Something known ahead that brings contacts to queues, or keeps them away.

    `engine.forecasting.events` states what the figures mean.
    """

    event_id: str
    queue_ids: tuple[str, ...]
    begins_at_ms: int
    ends_at_ms: int
    label: str = ""
    uplift: float = 0.0
    added_per_hour: float = 0.0
    rise_ms: int = 0
    half_life_ms: int = 0
    # By five-minute step from the beginning: uplifts in the place of `uplift`; contacts besides.
    uplift_steps: tuple[float, ...] = ()
    added_steps: tuple[float, ...] = ()
    deviation: float = DEVIATION
    override: ForecastOverride = ForecastOverride.NONE
    override_per_hour: float = 0.0

    KIND: ClassVar[PlanKind] = PlanKind.EVENT

    @property
    def plan_id(self) -> str:
        """Identity among the events."""
        return self.event_id


@dataclass(frozen=True, slots=True)
class PlannedStaffing:
    """Agents planned for a queue by interval; where plans overlap the one put last counts."""

    plan_id: str
    queue_id: str
    begins_at_ms: int
    interval_ms: int
    agents: tuple[float, ...]

    KIND: ClassVar[PlanKind] = PlanKind.STAFFING


@dataclass(frozen=True, slots=True)
class PlannedDriver:
    """A business volume by interval: what it was, and from now on what is planned."""

    driver_id: str
    queue_id: str
    begins_at_ms: int
    interval_ms: int
    volumes: tuple[float, ...]
    # Expected before anything is learned, 0 = not known.
    contacts_per_10000: float = 0.0

    KIND: ClassVar[PlanKind] = PlanKind.DRIVER

    @property
    def plan_id(self) -> str:
        """Identity among the business volumes."""
        return self.driver_id


Plan = PlannedEvent | PlannedStaffing | PlannedDriver


class PutPlan(NamedTuple):
    """Create a plan or replace it."""

    plan: Plan
    etag: str = ""


class DeletePlan(NamedTuple):
    """Delete a plan."""

    kind: PlanKind
    plan_id: str
    etag: str = ""


PlanCommand = PutPlan | DeletePlan
