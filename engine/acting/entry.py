"""The entry: contacts that name no queue are classified by the routing policy in force."""

from collections.abc import Callable
from typing import Final

from engine.acting.contact_values import WaitingContact, local_values, values_of_route
from engine.acting.rulebook import Rulebook
from engine.commands import (
    RequeueContact,
    Requirements,
    Route,
    SkillPreference,
    SkillRequirement,
)
from engine.handlers import contacts
from engine.kernels.columns import NOW_MS
from engine.lifecycle import ContactState
from engine.limits import REQUIREMENT_ITEMS_MAX
from engine.policy.document import Destination, Required
from engine.policy.in_force import RoutingInForce
from engine.policy.signals import ROUTING_SIGNALS
from engine.refusals import CommandRefused, Refusal, violation
from engine.routing.checks import Checks
from engine.state.cell import CellState

_Attribute = Callable[[str], str | None]
_QUEUED: Final = int(ContactState.QUEUED)
_MOST: Final = REQUIREMENT_ITEMS_MAX
_READ: Final = tuple(signal.name for signal in ROUTING_SIGNALS)


def classified(cell: CellState, rulebook: Rulebook, command: Route) -> Route:
    """
    A contact that names no queue, with queue, priority and requirements.

    Raises
    ------
    CommandRefused
        INVALID_FIELD where no routing policy is in force, or where the contact would ask for more
        than can be asked; UNKNOWN_QUEUE where the one that is names a queue that is gone.
    """
    found = rulebook.routing_of(command.contact_id)
    if found is None:
        expected = "the id of a queue, or a RoutingPolicy in force that says where contacts go"
        raise CommandRefused(Refusal.INVALID_FIELD, violation("queue_id", "", expected))
    item, classifier = found
    zone = _zone_of(cell, item.compiled.policy.spec.default.queue)
    values = values_of_route(command, cell.store.scalar[NOW_MS], zone)
    to = classifier.classify(command.contact_id, values).destination
    if cell.queues.slots.row_of(to.queue) < 0:
        expected = f"a queue that exists: policy {item.name} version {item.version} names it"
        raise CommandRefused(Refusal.UNKNOWN_QUEUE, violation("queue_id", to.queue, expected))
    requirements = _with(command.requirements, to, command.attributes.get)
    _require_few(requirements, item)
    return command._replace(
        queue_id=to.queue,
        priority=command.priority if to.priority is None else to.priority,
        requirements=requirements,
    )


def reclassified(cell: CellState, rulebook: Rulebook, contact_id: str) -> None:
    """
    Put a contact that waits where it belongs by what is now known of it, if that is wanted.

    Raises
    ------
    CommandRefused
        What the policy asks for there cannot be asked; the contact stays where it is.
    """
    row = cell.contact_row(contact_id)
    found = rulebook.routing_of(contact_id)
    if found is None or cell.store.columns.contacts.state[row] != _QUEUED:
        return
    item, classifier = found
    spec = item.compiled.policy.spec
    if not spec.reclassify:
        return
    contact = WaitingContact(cell, row)
    zone = _zone_of(cell, spec.default.queue)
    values = {**contact.values(_READ), **local_values(cell.store.scalar[NOW_MS], zone)}
    to = classifier.classify(contact_id, values).destination
    if cell.queues.slots.row_of(to.queue) in (-1, contact.queue_row):
        return
    said = contact.said
    own = said.requirements if said.own is None else said.own
    asked = _with(own, to, said.attributes.get)
    _require_few(asked, item)
    cell.make_effect_room()
    moving = RequeueContact(contact_id, to.queue, to.priority, requirements=asked)
    contacts.requeue(cell, moving, own if asked != own else None)


def _zone_of(cell: CellState, queue_id: str) -> str:
    """Zone whose clock rules go by: that of the queue that the policy falls back to."""
    row = cell.queues.slots.row_of(queue_id)
    hours = cell.hours.of(row) if row >= 0 else None
    return hours.time_zone if hours is not None else "UTC"


def _with(asked: Requirements, to: Destination, attribute: _Attribute) -> Requirements:
    """
    What the caller asked for and the destination besides; of a skill the higher level, of what is
    preferred as much as there is room for.
    """
    named = _agent_named(to.preferred_agent_attribute, attribute)
    preferred = (*asked.preferred_agent_ids, *named, *to.preferred_agents)
    more = to.requirements or Required()
    levels = {item.skill: item.proficiency_min for item in asked.skills}
    for skill, level in more.skills.items():
        levels[skill] = max(level, levels.get(skill, 0))
    weights = {item.skill: item.weight for item in asked.preferred_skills}
    for skill, weight in more.preferred_skills.items():
        weights.setdefault(skill, weight)
    return asked._replace(
        skills=tuple(SkillRequirement(*item) for item in levels.items()),
        preferred_skills=tuple(SkillPreference(*item) for item in weights.items())[:_MOST],
        tags=_together(asked.tags, more.tags),
        tags_any=_together(asked.tags_any, more.tags_any),
        tags_none=_together(asked.tags_none, more.tags_none),
        preferred_agent_ids=tuple(dict.fromkeys(preferred))[:_MOST],
    )


def _agent_named(key: str | None, attribute: _Attribute) -> tuple[str, ...]:
    """The agent that an attribute names, if it holds what can be an id."""
    value = attribute(key) if key is not None else None
    checks = Checks()
    checks.name("attributes", value or "")
    return () if checks.violations or value is None else (value,)


def _require_few(asked: Requirements, by: RoutingInForce) -> None:
    """Refuse more than a contact can ask for; what must be met is never left out."""
    expected = f"at most {_MOST} items together with those of policy {by.name} version {by.version}"
    checks = Checks()
    for field, items in zip(asked._fields, asked, strict=True):
        if len(items) > _MOST:
            checks.fail(f"requirements.{field}", len(items), expected)
    checks.close()


def _together(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
