"""
What a command must satisfy on its own, before the cell's state is looked at.

Every broken rule is reported at once, with the field's path on the wire. Checks are written `not
(low <= x <= high)` so that NaN fails them.
"""

from collections.abc import Callable, Mapping
from typing import Final, Never

from engine.choices import (
    AcceptChoice,
    OfferChoice,
    RefuseChoice,
    ReportDiversionOutcome,
    ReturnContact,
)
from engine.commands import (
    AcceptOffer,
    CancelContact,
    CompleteAssignment,
    CompleteTransfer,
    Consult,
    DeclineOffer,
    DeleteAgent,
    DeleteQueue,
    EndWrapUp,
    Expire,
    FailAttempt,
    Heartbeat,
    OfferContact,
    Recover,
    ReleaseAssignment,
    RequeueContact,
    ResetEstimates,
    Route,
    Schedule,
    ScheduleContact,
    SetIntake,
    SetPresence,
    UpdateContact,
    UpsertAgent,
    UpsertQueue,
)
from engine.crossing import (
    HOPS_MAX,
    CrossingAnswer,
    NameOrigin,
    RecallContact,
    ReceiveContact,
    SettleCrossing,
)
from engine.definitions import ChannelCapacity
from engine.lifecycle import (
    AgentKind,
    CancelReason,
    Channel,
    Intake,
    Presence,
)
from engine.limits import (
    ATTEMPTS_MAX,
    CAPACITY_MAX,
    DAY_MS,
    FORTNIGHT_MS,
    LEASE_MS_MIN,
    NEVER_MS,
    PRIORITY_MAX,
    PROFICIENCY_MAX,
    RETRY_DELAY_MS_MAX,
    RETRY_DELAY_MS_MIN,
    SCHEDULE_AHEAD_MS_MAX,
    SKILLS_MAX,
)
from engine.plans import DeletePlan, PutPlan
from engine.policies import (
    DeleteDraft,
    OverridePolicy,
    PublishPolicy,
    PutDraft,
    RetirePolicy,
    RollbackPolicy,
)
from engine.refusals import one_of
from engine.routing import choice_rules, plan_rules, policy_rules
from engine.routing.checks import Checks
from engine.routing.queue_rules import upsert_queue
from engine.steering import ApproveActivation, Steer

AGENT_QUEUES_MAX: Final = 10_000
AGENT_TAGS_MAX: Final = 64


def _route(checks: Checks, command: Route) -> None:
    checks.name("contact_id", command.contact_id)
    # Empty where the routing policy, or the diversion that it continues, is to say.
    checks.name("queue_id", command.queue_id, may_be_empty=True)
    checks.name("continues_contact_id", command.continues_contact_id, may_be_empty=True)
    checks.member("channel", command.channel, Channel)
    checks.number("priority", command.priority, -PRIORITY_MAX, PRIORITY_MAX)
    checks.requirements(command.requirements)
    checks.attributes(command.attributes)
    checks.number("routing_age_ms", command.routing_age_ms, 0, FORTNIGHT_MS)
    checks.number("max_wait_ms", command.max_wait_ms, -1, FORTNIGHT_MS)
    if command.relaxation:
        checks.relaxation(command.relaxation)
    if command.schedule is not None:
        _schedule(checks, command.schedule)


def _schedule(checks: Checks, schedule: Schedule) -> None:
    # How far ahead the times may lie is known when the command meets the cell.
    checks.number("schedule.due_at_ms", schedule.due_at_ms, 0, NEVER_MS)
    checks.number("schedule.window_ends_at_ms", schedule.window_ends_at_ms, 0, NEVER_MS)
    checks.number("schedule.attempts_max", schedule.attempts_max, 1, ATTEMPTS_MAX)
    delay_ms = schedule.retry_delay_ms
    checks.number("schedule.retry_delay_ms", delay_ms, RETRY_DELAY_MS_MIN, RETRY_DELAY_MS_MAX)


def _schedule_contact(checks: Checks, command: ScheduleContact) -> None:
    checks.name("contact_id", command.contact_id)
    checks.name("queue_id", command.queue_id, may_be_empty=True)
    if command.channel is not None:
        checks.member("channel", command.channel, Channel)
    _schedule(checks, command.schedule)
    checks.attributes(command.attributes)


def _update_contact(checks: Checks, command: UpdateContact) -> None:
    checks.name("contact_id", command.contact_id)
    if command.priority is not None:
        checks.number("priority", command.priority, -PRIORITY_MAX, PRIORITY_MAX)
    if command.routing_age_ms is not None:
        checks.number("routing_age_ms", command.routing_age_ms, 0, FORTNIGHT_MS)
    if command.requirements is not None:
        checks.requirements(command.requirements)
    checks.attributes(command.attributes)


def _requeue_contact(checks: Checks, command: RequeueContact) -> None:
    checks.name("contact_id", command.contact_id)
    checks.name("queue_id", command.queue_id, may_be_empty=True)
    if command.priority is not None:
        checks.number("priority", command.priority, -PRIORITY_MAX, PRIORITY_MAX)
    if command.requirements is not None:
        checks.requirements(command.requirements)
    if command.relaxation:
        checks.relaxation(command.relaxation)
    checks.attributes(command.attributes)


def _consult(checks: Checks, command: Consult) -> None:
    checks.name("contact_id", command.contact_id)
    checks.name("agent_id", command.agent_id)
    checks.name("consult_id", command.consult_id)
    checks.name("queue_id", command.queue_id, may_be_empty=True)
    if command.priority is not None:
        checks.number("priority", command.priority, -PRIORITY_MAX, PRIORITY_MAX)
    checks.requirements(command.requirements)
    if command.relaxation:
        checks.relaxation(command.relaxation)
    checks.attributes(command.attributes)


def _cancel_contact(checks: Checks, command: CancelContact) -> None:
    checks.name("contact_id", command.contact_id)
    checks.member("reason", command.reason, CancelReason)


def _offer(checks: Checks, command: AcceptOffer | DeclineOffer) -> None:
    checks.name("offer_id", command.offer_id)
    checks.name("agent_id", command.agent_id)
    if isinstance(command, DeclineOffer):
        checks.number("retry_after_ms", command.retry_after_ms, 0, DAY_MS)
        checks.name("reason", command.reason, may_be_empty=True)


def _assignment(
    checks: Checks,
    command: CompleteAssignment
    | CompleteTransfer
    | EndWrapUp
    | FailAttempt
    | OfferContact
    | ReleaseAssignment,
) -> None:
    checks.name("contact_id", command.contact_id)
    checks.name("agent_id", command.agent_id)
    if isinstance(command, CompleteAssignment) and command.outcome is not None:
        checks.number("outcome", command.outcome, 0, 1)
    if isinstance(command, FailAttempt) and command.retry_after_ms != 0:
        delay_ms = command.retry_after_ms
        checks.number("retry_after_ms", delay_ms, RETRY_DELAY_MS_MIN, SCHEDULE_AHEAD_MS_MAX)


def _reset_estimates(checks: Checks, command: ResetEstimates) -> None:
    checks.name("agent_id", command.agent_id)
    checks.name("queue_id", command.queue_id, may_be_empty=True)


def _upsert_agent(checks: Checks, command: UpsertAgent) -> None:
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
        path = f"agent.channels[{place}].interrupted_by"
        for number, interruptor in enumerate(channel.interrupted_by):
            checks.member(f"{path}[{number}]", interruptor, Channel)
        checks.unique(path, channel.interrupted_by)
        if _leads_back(channel.channel, command.channels):
            expected = "channels that this one does not interrupt itself, nor through others"
            names = ", ".join(item.name for item in channel.interrupted_by)
            checks.fail(path, names, expected)
    checks.unique("agent.channels", [item.channel for item in command.channels])
    checks.number("agent.missed_offers_max", command.missed_offers_max, -1, 1_000)
    checks.number("agent.occupancy_max", command.occupancy_max, 0, 1)
    checks.number("agent.rest_ms", command.rest_ms, 0, DAY_MS)
    if command.rest_ms > 0 and command.occupancy_max == 0:
        checks.fail("agent.rest_ms", command.rest_ms, "0 unless occupancy_max is above 0")
    if command.lease_ms != 0:
        checks.number("agent.lease_ms", command.lease_ms, LEASE_MS_MIN, DAY_MS)


def _leads_back(channel: Channel, channels: tuple[ChannelCapacity, ...]) -> bool:
    """Whether a channel is interrupted by itself, or by what it interrupts in turn."""
    interruptors = {item.channel: item.interrupted_by for item in channels}
    seen: set[Channel] = set()
    ahead = list(interruptors.get(channel, ()))
    while ahead:
        following = ahead.pop()
        if following not in seen:
            seen.add(following)
            ahead += interruptors.get(following, ())
    return channel in seen


def _set_presence(checks: Checks, command: SetPresence) -> None:
    checks.name("agent_id", command.agent_id)
    checks.name("reason", command.reason, may_be_empty=True)
    if not isinstance(command.presence, Presence) or command.presence is Presence.NONE:
        checks.fail("presence", command.presence, one_of(Presence))


def _set_intake(checks: Checks, command: SetIntake) -> None:
    checks.name("queue_id", command.queue_id)
    if not isinstance(command.intake, Intake) or command.intake is Intake.NONE:
        checks.fail("intake", command.intake, one_of(Intake))


def _agent_id(checks: Checks, command: DeleteAgent | Heartbeat) -> None:
    checks.name("agent_id", command.agent_id)


def _queue_id(checks: Checks, command: DeleteQueue) -> None:
    checks.name("queue_id", command.queue_id)


def _receive_contact(checks: Checks, command: ReceiveContact) -> None:
    # What is said of the contact is part of the answer: its sender cannot mend it.
    _crossing(checks, command, "contact.contact_id", command.contact.contact_id)
    checks.number("hops", command.hops, 0, HOPS_MAX)


def _recall_contact(checks: Checks, command: RecallContact) -> None:
    _crossing(checks, command, "contact_id", command.contact_id)
    if command.left:
        checks.member("left", command.left, CancelReason)


def _crossing(
    checks: Checks, command: ReceiveContact | RecallContact, field: str, contact_id: str
) -> None:
    checks.name("from_cell", command.sender.cell)
    checks.name("origin", command.sender.origin)
    checks.number("number", command.number, 1, NEVER_MS)
    checks.number("settled_below", command.settled_below, 0, max(command.number, 0))
    checks.name(field, contact_id)


def _name_origin(checks: Checks, command: NameOrigin) -> None:
    checks.name("origin", command.origin)


def _settle_crossing(checks: Checks, command: SettleCrossing) -> None:
    checks.number("number", command.number, 1, NEVER_MS)
    checks.member("answer", command.answer, CrossingAnswer)


def _approve_activation(checks: Checks, command: ApproveActivation) -> None:
    checks.name("author", command.author, may_be_empty=True)
    checks.name("reason", command.reason, may_be_empty=True)


def _nothing(checks: Checks, command: Expire | Recover | Steer) -> None:
    """Commands without fields satisfy every rule."""


# Each takes the command it stands under, which no one type of argument can say.
_RULES: Final[dict[type, Callable[[Checks, Never], None]]] = {
    Route: _route,
    UpdateContact: _update_contact,
    RequeueContact: _requeue_contact,
    CancelContact: _cancel_contact,
    AcceptOffer: _offer,
    DeclineOffer: _offer,
    ScheduleContact: _schedule_contact,
    FailAttempt: _assignment,
    Consult: _consult,
    CompleteTransfer: _assignment,
    OfferContact: _assignment,
    CompleteAssignment: _assignment,
    EndWrapUp: _assignment,
    ReleaseAssignment: _assignment,
    UpsertAgent: _upsert_agent,
    ResetEstimates: _reset_estimates,
    DeleteAgent: _agent_id,
    SetPresence: _set_presence,
    Heartbeat: _agent_id,
    UpsertQueue: upsert_queue,
    DeleteQueue: _queue_id,
    SetIntake: _set_intake,
    Steer: _nothing,
    ApproveActivation: _approve_activation,
    OfferChoice: choice_rules.offer_choice,
    AcceptChoice: choice_rules.accept_choice,
    RefuseChoice: choice_rules.refuse_choice,
    ReturnContact: choice_rules.return_contact,
    ReportDiversionOutcome: choice_rules.report_outcome,
    ReceiveContact: _receive_contact,
    RecallContact: _recall_contact,
    NameOrigin: _name_origin,
    SettleCrossing: _settle_crossing,
    PutPlan: plan_rules.put_plan,
    DeletePlan: plan_rules.delete_plan,
    PutDraft: policy_rules.put_draft,
    DeleteDraft: policy_rules.delete_draft,
    PublishPolicy: policy_rules.publish,
    RollbackPolicy: policy_rules.rollback,
    RetirePolicy: policy_rules.retire,
    OverridePolicy: policy_rules.override,
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
    checks = Checks()
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
    checks = Checks()
    _RULES[type(command)](checks, command)  # type: ignore[arg-type]
    checks.close()
