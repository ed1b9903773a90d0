"""
The reference router's commands on policies, in plain dictionaries.

Compare `engine.handlers.policies`.
"""

from engine.effects import EffectKind
from engine.engine import Outcome
from engine.policies import (
    SWITCH_MS_MAX,
    DeleteDraft,
    OverridePolicy,
    PolicyStage,
    PolicySwitch,
    PublishPolicy,
    PutDraft,
    RetirePolicy,
    RollbackPolicy,
)
from engine.refusals import Refusal
from tests.engine.reference_floor import Floor, Refused
from tests.engine.reference_subjects import RefPolicy
from tests.engine.reference_transitions import check_etag, named_queue


def put_draft(floor: Floor, command: PutDraft) -> Outcome:
    policy = floor.policies.get(command.name, RefPolicy())
    check_etag(command.etag, policy.etag)
    if command.is_new and policy.draft is not None:
        raise Refused(Refusal.DRAFT_EXISTS)
    if not command.is_new and policy.draft is None:
        raise Refused(Refusal.UNKNOWN_VERSION)
    policy.draft = command.text
    return _written(floor, command.name, policy, EffectKind.POLICY_DRAFTED)


def delete_draft(floor: Floor, command: DeleteDraft) -> Outcome:
    policy = _known(floor, command.name)
    check_etag(command.etag, policy.etag)
    if policy.draft is None:
        raise Refused(Refusal.UNKNOWN_VERSION)
    policy.draft = None
    policy.etag += 1
    if not policy.texts:
        del floor.policies[command.name]
    return Outcome()


def publish(floor: Floor, command: PublishPolicy) -> Outcome:
    policy = floor.policies.get(command.name)
    if policy is None:
        if not command.text:
            raise Refused(Refusal.UNKNOWN_POLICY)
        policy = RefPolicy()
    check_etag(command.etag, policy.etag)
    text = command.text or policy.draft
    number = command.version
    if number > len(policy.texts) or (not number and text is None):
        raise Refused(Refusal.UNKNOWN_VERSION)
    is_made = not number and (not policy.texts or policy.texts[-1] != text)
    number = number or len(policy.texts) + is_made
    if number == policy.active:
        raise Refused(Refusal.VERSION_IN_FORCE)
    if is_made:
        policy.texts.append(str(text))
    if not command.version and not command.text:
        policy.draft = None
    if command.stage is PolicyStage.ACTIVE:
        policy.previous = policy.active or policy.previous
        policy.active, policy.trial, policy.trial_does = number, 0, (0, 0.0)
    else:
        policy.trial, policy.trial_does = number, (command.stage, command.share)
    kind = EffectKind.POLICY_PUBLISHED
    return _written(floor, command.name, policy, kind, (number, command.reason))


def rollback(floor: Floor, command: RollbackPolicy) -> Outcome:
    policy = _known(floor, command.name)
    check_etag(command.etag, policy.etag)
    number = command.version or policy.trial or policy.previous
    if not (1 <= number <= len(policy.texts)):
        raise Refused(Refusal.UNKNOWN_VERSION)
    if number == policy.active:
        raise Refused(Refusal.VERSION_IN_FORCE)
    if command.version or not policy.trial:
        policy.active, policy.previous = number, policy.active
    policy.trial, policy.trial_does = 0, (0, 0.0)
    kind = EffectKind.POLICY_ROLLED_BACK
    return _written(floor, command.name, policy, kind, (number, command.reason))


def retire(floor: Floor, command: RetirePolicy) -> Outcome:
    policy = _known(floor, command.name)
    check_etag(command.etag, policy.etag)
    if not policy.active and not policy.trial:
        raise Refused(Refusal.NOT_IN_FORCE)
    number, policy.previous = policy.active, policy.active or policy.previous
    policy.active, policy.trial, policy.trial_does = 0, 0, (0, 0.0)
    kind = EffectKind.POLICY_RETIRED
    return _written(floor, command.name, policy, kind, (number, command.reason))


def override(floor: Floor, command: OverridePolicy) -> Outcome:
    key = command.policy, command.queue_id
    if command.what is PolicySwitch.TAKE_BACK:
        if floor.overrides.pop(key, None) is None:
            raise Refused(Refusal.UNKNOWN_OVERRIDE)
    else:
        if command.policy:
            _known(floor, command.policy)
        if command.queue_id:
            named_queue(floor, command.queue_id)
        ends_ms = command.until_ms
        is_for_ever = command.what is PolicySwitch.KILL
        if not is_for_ever and not (floor.now_ms < ends_ms <= floor.now_ms + SWITCH_MS_MAX):
            raise Refused(Refusal.INVALID_FIELD)
        floor.overrides = {
            scope: said
            for scope, said in floor.overrides.items()
            if said[1] == 0 or said[1] > floor.now_ms
        }
        floor.overrides[key] = (command.what, command.until_ms)
    kind = EffectKind.POLICY_OVERRIDDEN
    return _told(floor, kind, command.policy, (int(command.what), command.reason), key[1])


def _known(floor: Floor, name: str) -> RefPolicy:
    if name not in floor.policies:
        raise Refused(Refusal.UNKNOWN_POLICY)
    return floor.policies[name]


def _written(
    floor: Floor, name: str, policy: RefPolicy, kind: EffectKind, told: tuple[int, str] = (0, "")
) -> Outcome:
    policy.etag += 1
    floor.policies[name] = policy
    return _told(floor, kind, name, told)


def _told(
    floor: Floor, kind: EffectKind, name: str, told: tuple[int, str], queue_id: str = ""
) -> Outcome:
    number, reason = told
    floor.effects.append((kind, floor.now_ms, "", queue_id, "", "", 0, 0, number, reason, name))
    return Outcome()
