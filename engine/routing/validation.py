"""
What a command must satisfy on its own, before the cell's state is looked at.

Every broken rule is reported at once, with the field's path on the wire. Checks are written `not
(low <= x <= high)` so that NaN fails them.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final, Never

from engine.commands import (
    AcceptOffer,
    CancelContact,
    CompleteAssignment,
    DeclineOffer,
    DeleteAgent,
    DeleteQueue,
    EndWrapUp,
    Expire,
    Heartbeat,
    OfferContact,
    Recover,
    Relaxation,
    ReleaseAssignment,
    RequeueContact,
    Requirements,
    ResetEstimates,
    Route,
    SetIntake,
    SetPresence,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.lifecycle import (
    AgentKind,
    CancelReason,
    Channel,
    Intake,
    Presence,
    Strategy,
    WrapUpMode,
)
from engine.limits import (
    ATTRIBUTE_BYTES_MAX,
    ATTRIBUTES_MAX,
    BROADCAST_MAX,
    CAPACITY_MAX,
    DAY_MS,
    FORTNIGHT_MS,
    ID_BYTES_MAX,
    LEASE_MS_MIN,
    PREFERENCE_WEIGHT_MAX,
    PRIORITY_MAX,
    PROFICIENCY_MAX,
    RELAXATION_STEPS_MAX,
    REQUIREMENT_ITEMS_MAX,
    SCORE_WEIGHT_MAX,
    SKILLS_MAX,
)
from engine.refusals import CommandRefused, Refusal, Violation, one_of, violation
from engine.state.weights import WeightsInForce, weights_in_force

AGENT_QUEUES_MAX: Final = 10_000
AGENT_TAGS_MAX: Final = 64
_REQUIREMENTS_REMEMBERED: Final = 4_096


def _has_surrogate(text: str) -> bool:
    """Whether half of a pair stands alone, as in text cut in the wrong place."""
    return any("\ud800" <= character <= "\udfff" for character in text)


class _Checks:
    """Collects the broken rules of one command."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def close(self) -> None:
        """Refuse the command for the rules it broke, if any."""
        if self.violations:
            raise CommandRefused(Refusal.INVALID_FIELD, *self.violations)

    def fail(self, field: str, value: object, expected: str) -> None:
        self.violations.append(violation(field, value, expected))

    def name(self, field: str, value: str, *, may_be_empty: bool = False) -> None:
        """An identifier or name: 1 to 128 bytes of UTF-8 without control characters."""
        if value.isascii() and value.isprintable() and 0 < len(value) <= ID_BYTES_MAX:
            return
        if not value:
            if not may_be_empty:
                self.fail(field, value, f"1 to {ID_BYTES_MAX} bytes")
        elif len(value.encode(errors="replace")) > ID_BYTES_MAX:
            self.fail(field, value, f"at most {ID_BYTES_MAX} bytes")
        elif not value.isprintable():
            self.fail(field, value, "printable characters only")

    def number(self, field: str, value: float, low: float, high: float) -> None:
        if not (low <= value <= high):
            self.fail(field, value, f"{low:,} to {high:,}")

    def member(self, field: str, value: object, kind: type[IntEnum]) -> None:
        if not isinstance(value, kind):
            self.fail(field, value, one_of(kind))

    def count(self, field: str, items: Sequence[object], count_max: int) -> None:
        if len(items) > count_max:
            self.fail(field, len(items), f"at most {count_max:,} items")

    def unique(self, field: str, names: Sequence[object]) -> None:
        if len(set(names)) < len(names):
            repeated = sorted({str(name) for name in names if names.count(name) > 1})
            self.fail(field, repeated[0], "each only once")

    def requirements(self, requirements: Requirements, path: str = "requirements") -> None:
        if any(requirements):
            try:
                _check_requirements(requirements, path)
            except CommandRefused as refused:
                self.violations += refused.violations

    def weights(self, weights: WeightsInForce) -> None:
        """Weights in force."""
        for name, value in zip(weights._fields, weights, strict=True):
            high = 1 if name == "urgent_from" else SCORE_WEIGHT_MAX
            self.number(f"queue.weights.{name}", value, 0, high)
        chasing = weights.wait + weights.urgency
        if weights.lateness > chasing:
            expected = f"at most wait + urgency, {chasing:g}, or the oldest contact would go last"
            self.fail("queue.weights.lateness", weights.lateness, expected)

    def relaxation(self, relaxation: Relaxation) -> None:
        """Steps in order, each later than the one before."""
        self.count("relaxation", relaxation, RELAXATION_STEPS_MAX)
        before_ms = 0
        for place, step in enumerate(relaxation):
            path = f"relaxation[{place}]"
            self.number(f"{path}.after_ms", step.after_ms, before_ms + 1, FORTNIGHT_MS)
            before_ms = max(before_ms, min(step.after_ms, FORTNIGHT_MS - 1))
            if step.priority is not None:
                self.number(f"{path}.priority", step.priority, -PRIORITY_MAX, PRIORITY_MAX)
            self.requirements(step.requirements, f"{path}.requirements")

    def attributes(self, attributes: Mapping[str, str]) -> None:
        if not attributes:
            return
        if len(attributes) > ATTRIBUTES_MAX:
            self.fail("attributes", len(attributes), f"at most {ATTRIBUTES_MAX} pairs")
        text = "".join((*attributes.keys(), *attributes.values()))
        size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        if size > ATTRIBUTE_BYTES_MAX:
            expected = f"at most {ATTRIBUTE_BYTES_MAX:,} bytes together"
            self.fail("attributes", f"{size} bytes", expected)
        if not text.isascii():
            texts = (*attributes.keys(), *attributes.values())
            for half in [item for item in texts if _has_surrogate(item)][:1]:
                self.fail("attributes", half, "text that has an encoding in UTF-8")
        if "" in attributes:
            self.fail("attributes", "", "keys of at least one byte")


@lru_cache(_REQUIREMENTS_REMEMBERED)
def _check_requirements(requirements: Requirements, path: str) -> None:
    """
    Check what a contact asks of agents, which is often what others asked: what passes is
    remembered, what fails, however large, is not.

    Raises
    ------
    CommandRefused
        INVALID_FIELD with every broken rule.
    """
    checks = _Checks()
    for field, items in zip(requirements._fields, requirements, strict=True):
        checks.count(f"{path}.{field}", items, REQUIREMENT_ITEMS_MAX)
    for place, required in enumerate(requirements.skills):
        item = f"{path}.skills[{place}]"
        checks.name(f"{item}.skill", required.skill)
        checks.number(f"{item}.proficiency_min", required.proficiency_min, 1, PROFICIENCY_MAX)
    for place, preference in enumerate(requirements.preferred_skills):
        item = f"{path}.preferred_skills[{place}]"
        checks.name(f"{item}.skill", preference.skill)
        if not (0 < preference.weight <= PREFERENCE_WEIGHT_MAX):
            checks.fail(f"{item}.weight", preference.weight, "above 0 to 100")
    checks.unique(f"{path}.skills", [item.skill for item in requirements.skills])
    preferred = [item.skill for item in requirements.preferred_skills]
    checks.unique(f"{path}.preferred_skills", preferred)
    for field in ("tags", "tags_any", "tags_none", "agent_ids", "preferred_agent_ids"):
        names = getattr(requirements, field)
        for place, name in enumerate(names):
            checks.name(f"{path}.{field}[{place}]", name)
        checks.unique(f"{path}.{field}", names)
    checks.close()


def _route(checks: _Checks, command: Route) -> None:
    checks.name("contact_id", command.contact_id)
    checks.name("queue_id", command.queue_id)
    checks.member("channel", command.channel, Channel)
    checks.number("priority", command.priority, -PRIORITY_MAX, PRIORITY_MAX)
    checks.requirements(command.requirements)
    checks.attributes(command.attributes)
    checks.number("routing_age_ms", command.routing_age_ms, 0, FORTNIGHT_MS)
    checks.number("max_wait_ms", command.max_wait_ms, -1, FORTNIGHT_MS)
    if command.relaxation:
        checks.relaxation(command.relaxation)


def _update_contact(checks: _Checks, command: UpdateContact) -> None:
    checks.name("contact_id", command.contact_id)
    if command.priority is not None:
        checks.number("priority", command.priority, -PRIORITY_MAX, PRIORITY_MAX)
    if command.routing_age_ms is not None:
        checks.number("routing_age_ms", command.routing_age_ms, 0, FORTNIGHT_MS)
    if command.requirements is not None:
        checks.requirements(command.requirements)
    checks.attributes(command.attributes)


def _requeue_contact(checks: _Checks, command: RequeueContact) -> None:
    checks.name("contact_id", command.contact_id)
    checks.name("queue_id", command.queue_id, may_be_empty=True)
    if command.priority is not None:
        checks.number("priority", command.priority, -PRIORITY_MAX, PRIORITY_MAX)
    if command.requirements is not None:
        checks.requirements(command.requirements)
    if command.relaxation:
        checks.relaxation(command.relaxation)
    checks.attributes(command.attributes)


def _cancel_contact(checks: _Checks, command: CancelContact) -> None:
    checks.name("contact_id", command.contact_id)
    checks.member("reason", command.reason, CancelReason)


def _offer(checks: _Checks, command: AcceptOffer | DeclineOffer) -> None:
    checks.name("offer_id", command.offer_id)
    checks.name("agent_id", command.agent_id)
    if isinstance(command, DeclineOffer):
        checks.number("retry_after_ms", command.retry_after_ms, 0, DAY_MS)
        checks.name("reason", command.reason, may_be_empty=True)


def _assignment(
    checks: _Checks, command: CompleteAssignment | EndWrapUp | ReleaseAssignment | OfferContact
) -> None:
    checks.name("contact_id", command.contact_id)
    checks.name("agent_id", command.agent_id)
    if isinstance(command, CompleteAssignment) and command.outcome is not None:
        checks.number("outcome", command.outcome, 0, 1)


def _reset_estimates(checks: _Checks, command: ResetEstimates) -> None:
    checks.name("agent_id", command.agent_id)
    checks.name("queue_id", command.queue_id, may_be_empty=True)


def _upsert_agent(checks: _Checks, command: UpsertAgent) -> None:
    checks.name("agent.agent_id", command.agent_id)
    checks.member("agent.kind", command.kind, AgentKind)
    checks.count("agent.queue_ids", command.queue_ids, AGENT_QUEUES_MAX)
    checks.count("agent.skills", command.skills, SKILLS_MAX)
    checks.count("agent.tags", command.tags, AGENT_TAGS_MAX)
    for place, queue_id in enumerate(command.queue_ids):
        checks.name(f"agent.queue_ids[{place}]", queue_id)
    for place, skill in enumerate(command.skills):
        checks.name(f"agent.skills[{place}].skill", skill.skill)
        checks.number(f"agent.skills[{place}].proficiency", skill.proficiency, 0, PROFICIENCY_MAX)
    for place, tag in enumerate(command.tags):
        checks.name(f"agent.tags[{place}]", tag)
    checks.unique("agent.queue_ids", command.queue_ids)
    checks.unique("agent.skills", [item.skill for item in command.skills])
    checks.unique("agent.tags", command.tags)
    checks.number("agent.capacity", command.capacity, 1, CAPACITY_MAX)
    for place, channel in enumerate(command.channels):
        checks.member(f"agent.channels[{place}].channel", channel.channel, Channel)
        checks.number(f"agent.channels[{place}].cost", channel.cost, 1, CAPACITY_MAX)
        checks.number(
            f"agent.channels[{place}].contacts_max", channel.contacts_max, 0, CAPACITY_MAX
        )
    checks.unique("agent.channels", [item.channel for item in command.channels])
    checks.number("agent.missed_offers_max", command.missed_offers_max, -1, 1_000)
    if command.lease_ms != 0:
        checks.number("agent.lease_ms", command.lease_ms, LEASE_MS_MIN, DAY_MS)


def _set_presence(checks: _Checks, command: SetPresence) -> None:
    checks.name("agent_id", command.agent_id)
    checks.name("reason", command.reason, may_be_empty=True)
    if not isinstance(command.presence, Presence) or command.presence is Presence.NONE:
        checks.fail("presence", command.presence, one_of(Presence))


def _upsert_queue(checks: _Checks, command: UpsertQueue) -> None:
    checks.name("queue.queue_id", command.queue_id)
    if not (0 < command.service_level_ratio <= 1):
        checks.fail("queue.service_level.ratio", command.service_level_ratio, "above 0 to 1")
    within_ms = command.service_level_within_ms
    checks.number("queue.service_level.within_ms", within_ms, 1, DAY_MS)
    checks.member("queue.strategy", command.strategy, Strategy)
    if isinstance(command.strategy, Strategy):
        checks.weights(weights_in_force(command.strategy, command.weights))
    checks.number("queue.starvation_bound_ms", command.starvation_bound_ms, 0, FORTNIGHT_MS)
    checks.number("queue.offer_timeout_ms", command.offer_timeout_ms, 100, DAY_MS)
    checks.number("queue.broadcast_max", command.broadcast_max, 1, BROADCAST_MAX)
    checks.member("queue.wrap_up_mode", command.wrap_up_mode, WrapUpMode)
    if command.wrap_up_mode is WrapUpMode.TIMED:
        checks.number("queue.wrap_up_ms", command.wrap_up_ms, 1, DAY_MS)
    elif command.wrap_up_ms != 0:
        checks.fail("queue.wrap_up_ms", command.wrap_up_ms, "0 unless wrap_up_mode is TIMED")
    if command.max_wait_ms != -1:
        checks.number("queue.max_wait_ms", command.max_wait_ms, 1, FORTNIGHT_MS)
    checks.number("queue.max_length", command.max_length, 0, 1_000_000)
    checks.number("queue.reoffer_delay_ms", command.reoffer_delay_ms, -1, DAY_MS)
    shorter_ms = command.reoffer_delay_only_agent_ms
    checks.number("queue.reoffer_delay_only_agent_ms", shorter_ms, -1, DAY_MS)
    if max(shorter_ms, 0) > max(command.reoffer_delay_ms, 0):
        expected = f"at most reoffer_delay_ms, {command.reoffer_delay_ms}"
        checks.fail("queue.reoffer_delay_only_agent_ms", shorter_ms, expected)
    checks.number("queue.priority_age_ms", command.priority_age_ms, 1, DAY_MS)
    checks.number("queue.short_abandon_ms", command.short_abandon_ms, 0, DAY_MS)


def _set_intake(checks: _Checks, command: SetIntake) -> None:
    checks.name("queue_id", command.queue_id)
    if not isinstance(command.intake, Intake) or command.intake is Intake.NONE:
        checks.fail("intake", command.intake, one_of(Intake))


def _agent_id(checks: _Checks, command: DeleteAgent | Heartbeat) -> None:
    checks.name("agent_id", command.agent_id)


def _queue_id(checks: _Checks, command: DeleteQueue) -> None:
    checks.name("queue_id", command.queue_id)


def _nothing(checks: _Checks, command: Expire | Recover) -> None:
    """Commands without fields satisfy every rule."""


# Each takes the command it stands under, which no one type of argument can say.
_RULES: Final[dict[type, Callable[[_Checks, Never], None]]] = {
    Route: _route,
    UpdateContact: _update_contact,
    RequeueContact: _requeue_contact,
    CancelContact: _cancel_contact,
    AcceptOffer: _offer,
    DeclineOffer: _offer,
    OfferContact: _assignment,
    CompleteAssignment: _assignment,
    EndWrapUp: _assignment,
    ReleaseAssignment: _assignment,
    UpsertAgent: _upsert_agent,
    ResetEstimates: _reset_estimates,
    DeleteAgent: _agent_id,
    SetPresence: _set_presence,
    Heartbeat: _agent_id,
    UpsertQueue: _upsert_queue,
    DeleteQueue: _queue_id,
    SetIntake: _set_intake,
    Expire: _nothing,
    Recover: _nothing,
}


def check_attributes(attributes: Mapping[str, str]) -> None:
    """
    Check what a contact's attributes come to when some are added.

    Raises
    ------
    CommandRefused
        INVALID_FIELD with every broken rule.
    """
    checks = _Checks()
    checks.attributes(attributes)
    checks.close()


def validate(command: object) -> None:
    """
    Check a command on its own.

    Raises
    ------
    CommandRefused
        INVALID_FIELD with every broken rule.
    """
    checks = _Checks()
    _RULES[type(command)](checks, command)  # type: ignore[arg-type]
    checks.close()
