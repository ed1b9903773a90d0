"""Commands on policies: write, publish, take back, retire, override."""

from engine.effects import EffectKind
from engine.handlers.outcome import Outcome
from engine.handlers.running import check_etag
from engine.kernels.columns import NOW_MS
from engine.policies import (
    STEPS_MAX,
    SWITCH_MS_MAX,
    DeleteDraft,
    Override,
    OverridePolicy,
    PolicyDraft,
    PolicyHead,
    PolicyKind,
    PolicyStage,
    PolicyStep,
    PolicyStepKind,
    PolicySwitch,
    PolicyVersion,
    PublishPolicy,
    PutDraft,
    RetirePolicy,
    RollbackPolicy,
    Rollout,
)
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.cell import CellState
from engine.state.policies import KeptPolicy

_STEP_EFFECTS = {
    PolicyStepKind.PUBLISHED: EffectKind.POLICY_PUBLISHED,
    PolicyStepKind.ROLLED_BACK: EffectKind.POLICY_ROLLED_BACK,
    PolicyStepKind.RETIRED: EffectKind.POLICY_RETIRED,
}


def put_draft(cell: CellState, command: PutDraft) -> Outcome:
    """Write a policy's draft."""
    kept = cell.policies.find(command.name)
    check_etag(command.etag, kept.etag if kept is not None else 0)
    head = kept.head if kept is not None else PolicyHead(command.name)
    if command.is_new and head.draft is not None:
        expected = "the name of a policy without a draft; update that one, or delete it"
        raise _refused(Refusal.DRAFT_EXISTS, "name", command.name, expected)
    if not command.is_new and head.draft is None:
        raise _no_draft(command.name)
    draft = PolicyDraft(command.kind, command.text, command.author, _now_ms(cell))
    cell.policies.put(head._replace(draft=draft))
    cell.policies.tell(EffectKind.POLICY_DRAFTED, _now_ms(cell), command.name)
    return Outcome()


def delete_draft(cell: CellState, command: DeleteDraft) -> Outcome:
    """Delete a policy's draft, and the policy where it has nothing else."""
    kept = _known(cell, command.name)
    check_etag(command.etag, kept.etag)
    if kept.head.draft is None:
        raise _no_draft(command.name)
    if kept.versions:
        cell.policies.put(kept.head._replace(draft=None))
    else:
        cell.policies.remove(command.name)
    return Outcome()


def publish(cell: CellState, command: PublishPolicy) -> Outcome:
    """Put a version into force, which may have to be made first."""
    kept = cell.policies.find(command.name)
    if kept is None and not command.text:
        raise _unknown(command.name)
    check_etag(command.etag, kept.etag if kept is not None else 0)
    head = kept.head if kept is not None else PolicyHead(command.name)
    number, made = _version(cell, command, kept)
    _require_other(head, number)
    if made is not None:
        head = head._replace(last_number=number)
    if not command.version and not command.text:
        head = head._replace(draft=None)
    head = head._replace(rollout=_with(head.rollout, number, command))
    step = PolicyStep(
        PolicyStepKind.PUBLISHED, number, command.stage, command.share, command.author,
        command.reason, _now_ms(cell),
    )  # fmt: skip
    _take(cell, head, step, made)
    return Outcome()


def _version(
    cell: CellState, command: PublishPolicy, kept: KeptPolicy | None
) -> tuple[int, PolicyVersion | None]:
    """Number of the version to publish, and the version where it is made for that."""
    if command.version:
        assert kept is not None
        _require_version(kept, command.version)
        return command.version, None
    kind, text = command.kind, command.text
    if not text:
        draft = kept.head.draft if kept is not None else None
        if draft is None:
            raise _no_draft(command.name)
        kind, text = draft.kind, draft.text
        if kind is PolicyKind.NONE:
            raise _refused(Refusal.INVALID_FIELD, "name", command.name, "a draft that has a kind")
    last = kept.head.last_number if kept is not None else 0
    before = kept.versions.get(last) if kept is not None else None
    if before is not None and before.text == text:
        return last, None
    made = PolicyVersion(last + 1, kind, text, command.author, command.reason, _now_ms(cell))
    return made.number, made


def _with(rollout: Rollout, number: int, command: PublishPolicy) -> Rollout:
    """A rollout after a version has been put into force."""
    if command.stage is PolicyStage.ACTIVE:
        return Rollout(active=number, previous=rollout.active or rollout.previous)
    return rollout._replace(trial=number, trial_stage=command.stage, canary_share=command.share)


def rollback(cell: CellState, command: RollbackPolicy) -> Outcome:
    """Take back what was done last, or make an earlier version active."""
    kept = _known(cell, command.name)
    check_etag(command.etag, kept.etag)
    rollout = kept.head.rollout
    if not command.version and rollout.trial:
        number = rollout.trial
        after = Rollout(active=rollout.active, previous=rollout.previous)
    else:
        number = command.version or rollout.previous
        _require_version(kept, number)
        _require_other(kept.head, number)
        after = Rollout(active=number, previous=rollout.active)
    stage = PolicyStage.ACTIVE if after.active == number else PolicyStage.NONE
    step = PolicyStep(
        PolicyStepKind.ROLLED_BACK, number, stage, 0.0, command.author, command.reason,
        _now_ms(cell),
    )  # fmt: skip
    _take(cell, kept.head._replace(rollout=after), step)
    return Outcome()


def retire(cell: CellState, command: RetirePolicy) -> Outcome:
    """Take a policy out of force."""
    kept = _known(cell, command.name)
    check_etag(command.etag, kept.etag)
    rollout = kept.head.rollout
    if not rollout.in_force:
        expected = "the name of a policy that is in force"
        raise _refused(Refusal.NOT_IN_FORCE, "name", command.name, expected)
    head = kept.head._replace(rollout=Rollout(previous=rollout.active or rollout.previous))
    step = PolicyStep(
        PolicyStepKind.RETIRED, rollout.active, PolicyStage.NONE, 0.0, command.author,
        command.reason, _now_ms(cell),
    )  # fmt: skip
    _take(cell, head, step)
    return Outcome()


def override(cell: CellState, command: OverridePolicy) -> Outcome:
    """Say what policies do, or take it back."""
    now_ms = _now_ms(cell)
    if command.what is PolicySwitch.TAKE_BACK:
        if cell.policies.override_of(command.policy, command.queue_id) is None:
            expected = "policy and queue_id of an override that stands"
            raise _refused(Refusal.UNKNOWN_OVERRIDE, "policy", command.policy, expected)
        cell.policies.take_back(command.policy, command.queue_id)
    else:
        if command.policy:
            _known(cell, command.policy, "policy")
        if command.queue_id:
            cell.queue_row(command.queue_id)
        until_ms = command.until_ms
        ends = command.what is not PolicySwitch.KILL
        if ends and not (now_ms < until_ms <= now_ms + SWITCH_MS_MAX):
            expected = f"above {now_ms}, the present, to {now_ms + SWITCH_MS_MAX}, 14 days ahead"
            raise _refused(Refusal.INVALID_FIELD, "until_ms", until_ms, expected)
        who = command.author, command.reason, now_ms
        said = Override(command.policy, command.queue_id, command.what, until_ms, *who)
        cell.policies.say(said)
    cell.policies.tell(
        EffectKind.POLICY_OVERRIDDEN,
        now_ms,
        command.policy,
        queue_id=command.queue_id,
        detail=int(command.what),
        reason=command.reason,
    )
    return Outcome()


def _take(
    cell: CellState, head: PolicyHead, step: PolicyStep, made: PolicyVersion | None = None
) -> None:
    """Take a step: keep it, and tell of it."""
    cell.policies.put(head._replace(steps=(*head.steps, step)[-STEPS_MAX:]), made)
    kind = _STEP_EFFECTS[step.kind]
    cell.policies.tell(kind, step.at_ms, head.name, detail=step.version, reason=step.reason)


def _known(cell: CellState, name: str, field: str = "name") -> KeptPolicy:
    kept = cell.policies.find(name)
    if kept is None:
        raise _unknown(name, field)
    return kept


def _require_version(kept: KeptPolicy, number: int) -> None:
    if number not in kept.versions:
        numbers = sorted(kept.versions)
        known = f"{numbers[0]} to {numbers[-1]}" if numbers else "none there yet"
        expected = f"a version that is kept: {known}"
        raise _refused(Refusal.UNKNOWN_VERSION, "version", number, expected)


def _require_other(head: PolicyHead, number: int) -> None:
    if head.rollout.active == number:
        expected = "a version that is not active already"
        raise _refused(Refusal.VERSION_IN_FORCE, "version", number, expected)


def _no_draft(name: str) -> CommandRefused:
    return _refused(Refusal.UNKNOWN_VERSION, "name", name, "the name of a policy with a draft")


def _unknown(name: str, field: str = "name") -> CommandRefused:
    return _refused(Refusal.UNKNOWN_POLICY, field, name, "the name of a policy that exists")


def _refused(reason: Refusal, field: str, value: object, expected: str) -> CommandRefused:
    return CommandRefused(reason, violation(field, value, expected))


def _now_ms(cell: CellState) -> int:
    return cell.store.scalar[NOW_MS]
