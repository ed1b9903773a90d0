"""Policies between the contract and the engine."""

from collections.abc import Collection, Iterable

from adapters.policy_source.checking import Remark
from engine.policies import Override, PolicyVersion
from engine.policy.findings import Severity
from engine.state.policies import KeptPolicy
from headgate.v1 import policy_pb2 as pb

_SEVERITIES = {
    Severity.ERROR: pb.FINDING_SEVERITY_ERROR,
    Severity.WARNING: pb.FINDING_SEVERITY_WARNING,
}


def policy_message(kept: KeptPolicy, version: int = 0) -> pb.Policy:
    """A policy with the texts of its draft and of what is in force, and of a version besides."""
    rollout = kept.head.rollout
    message = policy_summary(kept, {*rollout.in_force, version})
    draft = kept.head.draft
    if draft is not None:
        message.draft.text = draft.text
    for step in kept.head.steps:
        message.steps.add(
            kind=int(step.kind),
            version=step.version,
            stage=int(step.stage),
            share=step.share,
            author=step.author,
            reason=step.reason,
            at_ms=step.at_ms,
        )
    return message


def policy_summary(kept: KeptPolicy, with_text: Collection[int] = ()) -> pb.Policy:
    """A policy without texts but those of some versions, and without steps."""
    head, rollout = kept.head, kept.head.rollout
    message = pb.Policy(
        name=head.name,
        etag=str(kept.etag),
        versions=[
            _version_message(version, with_text=version.number in with_text)
            for version in kept.versions.values()
        ],
        rollout=pb.PolicyRollout(
            active_version=rollout.active,
            trial_version=rollout.trial,
            trial_stage=int(rollout.trial_stage),  # type: ignore[arg-type]
            canary_share=rollout.canary_share,
            previous_version=rollout.previous,
        ),
    )
    if head.draft is not None:
        message.draft.kind = int(head.draft.kind)  # type: ignore[assignment]
        message.draft.author, message.draft.at_ms = head.draft.author, head.draft.at_ms
    return message


def _version_message(version: PolicyVersion, *, with_text: bool) -> pb.PolicyVersion:
    return pb.PolicyVersion(
        number=version.number,
        kind=int(version.kind),  # type: ignore[arg-type]
        text=version.text if with_text else "",
        author=version.author,
        reason=version.reason,
        at_ms=version.at_ms,
    )


def override_message(said: Override) -> pb.PolicyOverride:
    """What somebody says of policies."""
    return pb.PolicyOverride(
        policy=said.policy,
        queue_id=said.queue_id,
        what=int(said.what),  # type: ignore[arg-type]
        until_ms=said.until_ms,
        author=said.author,
        reason=said.reason,
        at_ms=said.at_ms,
    )


def finding_messages(remarks: Iterable[Remark]) -> list[pb.PolicyFinding]:
    """What was found, by place."""
    return [
        pb.PolicyFinding(
            severity=_SEVERITIES[remark.severity],
            code=remark.problem.rule,
            policy=remark.policy,
            path=remark.problem.path,
            line=remark.problem.place.line,
            column=remark.problem.place.column,
            message=remark.problem.plain,
            excerpt="\n".join(remark.problem.marked),
        )
        for remark in sorted(remarks, key=lambda item: item.problem.place)
    ]
