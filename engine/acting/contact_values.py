"""What policies may read of one contact: `engine.policy.signals` says what each name means."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from engine.commands import Route
from engine.kernels.columns import NOW_MS
from engine.lifecycle import Channel, EstimateStatus
from engine.policy.signals import NAMED_ATTRIBUTES
from engine.policy.values import Plain, Values
from engine.routing.wait_estimate import estimate_contact
from engine.state.cell import CellState
from engine.state.contacts import Said

CHANNEL_NAMES: Final = {channel: channel.name.lower() for channel in Channel}


class WaitingContact:
    """
    One contact that is in a queue; each value is looked up when it is asked for.

    Parameters
    ----------
    row
        Of the contact.
    attributes
        Its attributes, where they are at hand.
    """

    def __init__(
        self, cell: CellState, row: int, attributes: Mapping[str, str] | None = None
    ) -> None:
        self.cell = cell
        self.row = row
        self.contact_id = cell.contacts.slots.ids[row]
        self._attributes = attributes
        self._said: Said | None = None
        self._known: dict[str, Plain] = {}
        self._unknown: set[str] = set()

    @property
    def said(self) -> Said:
        """What was said about it."""
        if self._said is None:
            self._said = self.cell.contacts.said(self.row)
        return self._said

    @property
    def attributes(self) -> Mapping[str, str]:
        """Its attributes."""
        return self.said.attributes if self._attributes is None else self._attributes

    @property
    def queue_row(self) -> int:
        """Row of its queue."""
        return int(self.cell.store.columns.contacts.queue[self.row])

    def values(self, names: Collection[str]) -> Values:
        """
        Values of some names at least, each looked up once; those that are not known are left out.

        They are those of before what has changed the contact since, until `look_anew`.
        """
        known, unknown = self._known, self._unknown
        for name in names:
            if name not in known and name not in unknown:
                value = self._value(name)
                if value is None:
                    unknown.add(name)
                else:
                    known[name] = value
        return known

    def look_anew(self) -> None:
        """Forget what was looked up, for something has changed the contact."""
        self._said = self._attributes = None
        self._known = {}
        self._unknown = set()

    def _value(self, name: str) -> Plain | None:
        if name in _OF_WAITING:
            return _OF_WAITING[name](self)
        if name.startswith("time."):
            hours = self.cell.hours.of(self.queue_row)
            zone = hours.time_zone if hours is not None else "UTC"
            return local_values(self.cell.store.scalar[NOW_MS], zone)[name]
        return None


def local_values(now_ms: int, zone: str) -> dict[str, Plain]:
    """`time.*` on the clocks of a zone."""
    moment = datetime.fromtimestamp(now_ms // 1_000, UTC).astimezone(ZoneInfo(zone))
    return {
        "time.year": moment.year,
        "time.month": moment.month,
        "time.day": moment.day,
        "time.weekday": moment.isoweekday(),
        "time.hour": moment.hour,
        "time.minute": moment.minute,
        "time.minute_of_day": 60 * moment.hour + moment.minute,
    }


def values_of_route(command: Route, now_ms: int, zone: str) -> dict[str, Plain]:
    """Everything that rules of routing may read of a contact that comes."""
    attributes = command.attributes
    asked = command.requirements
    return {
        "contact.id": command.contact_id,
        "contact.channel": CHANNEL_NAMES[command.channel],
        "contact.priority": command.priority,
        "contact.attributes": attributes,
        "contact.skills": [item.skill for item in asked.skills],
        "contact.tags": list(asked.tags),
        "contact.returns": 0,
        **{f"contact.{name}": attributes.get(name, "") for name in NAMED_ATTRIBUTES},
        **local_values(now_ms, zone),
    }


def _wait(contact: WaitingContact) -> Plain:
    store = contact.cell.store
    return max(store.scalar[NOW_MS] - int(store.columns.contacts.queued_ms[contact.row]), 0)


def _age(contact: WaitingContact) -> Plain:
    store = contact.cell.store
    return max(store.scalar[NOW_MS] - int(store.columns.contacts.since_ms[contact.row]), 0)


def _estimated_wait(contact: WaitingContact) -> Plain | None:
    estimate = estimate_contact(contact.cell, contact.row)
    if estimate.status is EstimateStatus.NO_WAIT:
        return 0
    return estimate.expected_ms if estimate.status is EstimateStatus.ESTIMATED else None


def _class_value(contact: WaitingContact, name: str) -> int:
    columns = contact.cell.store.columns
    return int(getattr(columns.classes, name)[int(columns.contacts.class_row[contact.row])])


def _named(name: str) -> Callable[[WaitingContact], Plain]:
    return lambda contact: contact.attributes.get(name, "")


_OF_WAITING: Final[Mapping[str, Callable[[WaitingContact], Plain | None]]] = MappingProxyType(
    {
        "contact.id": lambda contact: contact.contact_id,
        "contact.channel": lambda contact: CHANNEL_NAMES[Channel(_class_value(contact, "channel"))],
        "contact.priority": lambda contact: _class_value(contact, "priority"),
        "contact.attributes": lambda contact: contact.attributes,
        "contact.skills": lambda contact: [item.skill for item in contact.said.requirements.skills],
        "contact.tags": lambda contact: list(contact.said.requirements.tags),
        "contact.queue_id": lambda contact: contact.cell.queues.slots.ids[contact.queue_row],
        "contact.returns": lambda contact: contact.said.steered.returns,
        "contact.wait": _wait,
        "contact.age": _age,
        "contact.estimated_wait": _estimated_wait,
    }
    | {f"contact.{name}": _named(name) for name in NAMED_ATTRIBUTES}
)
