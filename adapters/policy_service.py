"""
PolicyService: what its methods do.

Texts are compiled and checked in a thread, before a call is put into the inbox of its cell; what
runs in the cell's turn sees to it that the text is still the one that was checked.
"""

from functools import partial
from typing import Final

from google.protobuf.message import Message

from adapters.errors import CallRefused, invalid
from adapters.methods import Method, Prepare, Run, fitting, ids_after, page_bounds
from adapters.policies.messages import activation_message
from adapters.policy_checks import (
    TEXT,
    check,
    in_thread,
    misnamed,
    require_size,
    require_sound,
)
from adapters.policy_messages import (
    finding_messages,
    override_message,
    policy_message,
    policy_summary,
)
from adapters.policy_source.checking import Remark, Source, kind_of, what_it_says
from adapters.policy_source.difference import differences
from adapters.translation import member
from engine.engine import Engine
from engine.policies import (
    DeleteDraft,
    OverridePolicy,
    PolicyKind,
    PolicyStage,
    PolicySwitch,
    PublishPolicy,
    PutDraft,
    RetirePolicy,
    RollbackPolicy,
)
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.policies import KeptPolicy
from engine.steering import ApproveActivation, activation_number
from headgate.v1 import policy_service_pb2 as pb

_DRAFT: Final = "draft"

_DraftRequest = pb.CreateDraftRequest | pb.UpdateDraftRequest
_Signed = (
    _DraftRequest
    | pb.PublishPolicyRequest
    | pb.RollbackPolicyRequest
    | pb.RetirePolicyRequest
    | pb.OverridePolicyRequest
    | pb.ApproveActivationRequest
)


async def _prepare_draft(engine: Engine, request: _DraftRequest, caller: str) -> Run:
    _sign(request, caller)
    require_size(request.text)
    says, kind = await in_thread(what_it_says, request.text)
    name = request.name or says
    checked = await check(engine, [Source(TEXT, request.text)], name)
    findings = finding_messages([*checked.remarks, *misnamed(checked, name)])
    is_new = isinstance(request, pb.CreateDraftRequest)

    def run(engine: Engine, request: _DraftRequest, now_ms: int) -> Message:
        put = PutDraft(name, kind, request.text, request.author, is_new, request.etag)
        engine.apply(put, now_ms)
        policy = policy_message(_kept(engine, name))
        if is_new:
            return pb.CreateDraftResponse(policy=policy, findings=findings)
        return pb.UpdateDraftResponse(policy=policy, findings=findings)

    return run


def delete_draft(engine: Engine, request: pb.DeleteDraftRequest, now_ms: int) -> Message:
    """Delete a draft."""
    engine.apply(DeleteDraft(request.name, request.etag), now_ms)
    return pb.DeleteDraftResponse()


async def _prepare_validate(engine: Engine, request: pb.ValidatePolicyRequest, _caller: str) -> Run:
    checked = await check(engine, [Source(TEXT, request.text)], alone=request.alone)
    reply = pb.ValidatePolicyResponse(
        findings=finding_messages(checked.remarks),
        policies=[policy.name for policy in checked.policies],
    )
    return lambda _engine, _request, _now_ms: reply


async def _prepare_diff(engine: Engine, request: pb.DiffPolicyRequest, _caller: str) -> Run:
    kept = _kept(engine, request.name)
    before = _text_at(kept, "from_version", request.from_version, (0, -1))
    after = (TEXT, request.to_text)
    if request.to_text:
        require_size(request.to_text, "to_text")
    else:
        after = _text_at(kept, "to_version", request.to_version, (-1, 0))
    found, lines = await in_thread(differences, before, after)
    reply = pb.DiffPolicyResponse(unified=lines)
    for change in found:
        reply.changes.add(path=change.path, before=change.before, after=change.after)
    return lambda _engine, _request, _now_ms: reply


def _text_at(kept: KeptPolicy, field: str, number: int, words: tuple[int, int]) -> tuple[str, str]:
    """What a version is called, and its text; `words` are the numbers for active, and for draft."""
    active, draft = words
    if number == draft:
        if kept.head.draft is None:
            raise _no_version(field, number, "a version, where there is no draft")
        return _DRAFT, kept.head.draft.text
    if number == active:
        number = kept.head.rollout.active
        if not number:
            return "nothing", ""
    version = kept.versions.get(number)
    if version is None:
        raise _no_version(field, number, "a version that is kept")
    return f"version {number}", version.text


async def _prepare_publish(engine: Engine, request: pb.PublishPolicyRequest, caller: str) -> Run:
    _sign(request, caller)
    if request.text:
        require_size(request.text)
    name = request.name
    if not name and request.text:
        name, _ = await in_thread(what_it_says, request.text)
    text = request.text or _text_to_publish(engine, name, request.version)
    kind, warnings = PolicyKind.NONE, list[Remark]()
    # Without a text the engine says what is missing, or what it said before.
    if text:
        checked = await check(engine, [Source(TEXT, text)], name)
        try:
            require_sound(checked, name)
        except CallRefused as refused:
            # In the call's turn, which knows whether this is a retry of one that was answered.
            return partial(_refuse, refused)
        kind, warnings = kind_of(checked.policies[0]), checked.remarks

    def run(engine: Engine, request: pb.PublishPolicyRequest, now_ms: int) -> Message:
        if not request.text and text != _text_to_publish(engine, name, request.version):
            expected = "the etag of now: the draft was written while it was checked"
            raise CommandRefused(Refusal.ETAG_MISMATCH, violation("etag", request.etag, expected))
        publish = PublishPolicy(
            name,
            request.version,
            member(PolicyStage, request.stage),
            request.share,
            request.author,
            request.reason,
            request.etag,
            kind if request.text else PolicyKind.NONE,
            request.text,
        )
        engine.apply(publish, now_ms)
        findings = finding_messages(warnings)
        return pb.PublishPolicyResponse(
            policy=policy_message(_kept(engine, name)), findings=findings
        )

    return run


def _refuse(refused: CallRefused, _engine: Engine, _request: Message, _now_ms: int) -> Message:
    raise refused


def _text_to_publish(engine: Engine, name: str, version: int) -> str:
    """Text of a version, 0 = of the draft; "" where there is none."""
    kept = engine.cell.policies.find(name)
    if kept is None:
        return ""
    if version:
        return kept.versions[version].text if version in kept.versions else ""
    return kept.head.draft.text if kept.head.draft is not None else ""


async def _prepare_rollback(_engine: Engine, request: pb.RollbackPolicyRequest, caller: str) -> Run:
    _sign(request, caller)
    return rollback


def rollback(engine: Engine, request: pb.RollbackPolicyRequest, now_ms: int) -> Message:
    """Take a step back."""
    who = request.author, request.reason, request.etag
    engine.apply(RollbackPolicy(request.name, request.version, *who), now_ms)
    return pb.RollbackPolicyResponse(policy=policy_message(_kept(engine, request.name)))


async def _prepare_retire(_engine: Engine, request: pb.RetirePolicyRequest, caller: str) -> Run:
    _sign(request, caller)
    return retire


def retire(engine: Engine, request: pb.RetirePolicyRequest, now_ms: int) -> Message:
    """Take a policy out of force."""
    retired = RetirePolicy(request.name, request.author, request.reason, request.etag)
    engine.apply(retired, now_ms)
    return pb.RetirePolicyResponse(policy=policy_message(_kept(engine, request.name)))


async def _prepare_override(_engine: Engine, request: pb.OverridePolicyRequest, caller: str) -> Run:
    _sign(request, caller)
    return override


def override(engine: Engine, request: pb.OverridePolicyRequest, now_ms: int) -> Message:
    """Say what policies do."""
    said = OverridePolicy(
        member(PolicySwitch, request.what),
        request.policy,
        request.queue_id,
        request.until_ms,
        request.author,
        request.reason,
    )
    engine.apply(said, now_ms)
    return pb.OverridePolicyResponse()


def list_policies(engine: Engine, request: pb.ListPoliciesRequest, now_ms: int) -> Message:
    """List policies by name."""
    del now_ms
    names = ids_after(engine.cell.policies.names(), request.page_token)
    count = page_bounds(request.page_size)
    page = fitting(policy_summary(_kept(engine, name)) for name in names[:count])
    token = names[len(page) - 1] if len(page) < len(names) else ""
    return pb.ListPoliciesResponse(policies=page, next_page_token=token)


def get_policy(engine: Engine, request: pb.GetPolicyRequest, now_ms: int) -> Message:
    """Read one policy."""
    del now_ms
    kept = _kept(engine, request.name)
    if request.version and request.version not in kept.versions:
        raise _no_version("version", request.version, "0, or a version that is kept")
    return pb.GetPolicyResponse(policy=policy_message(kept, request.version))


def list_overrides(engine: Engine, request: pb.ListOverridesRequest, now_ms: int) -> Message:
    """List what is said of policies."""
    standing = {
        f"{item.policy}/{item.queue_id}": item
        for item in engine.cell.policies.overrides()
        if not item.until_ms or item.until_ms > now_ms
    }
    keys = ids_after(standing, request.page_token)
    count = page_bounds(request.page_size)
    page = fitting(override_message(standing[key]) for key in keys[:count])
    token = keys[len(page) - 1] if len(page) < len(keys) else ""
    return pb.ListOverridesResponse(overrides=page, next_page_token=token)


def list_activations(engine: Engine, request: pb.ListActivationsRequest, now_ms: int) -> Message:
    """List activations, the latest first."""
    del now_ms
    before = _number_before(request.page_token)
    found = [
        item
        for item in engine.cell.activations.all()
        if request.policy in ("", item.subject.policy)
        and request.queue_id in ("", item.subject.queue_id)
        and not (request.lasting and item.ended_ms)
        and item.number < before
    ]
    page = fitting(activation_message(item) for item in found[: page_bounds(request.page_size)])
    token = found[len(page) - 1].name if len(page) < len(found) else ""
    return pb.ListActivationsResponse(activations=page, next_page_token=token)


def _number_before(token: str) -> int:
    if not token:
        return 1 << 62
    if (number := activation_number(token)) is None:
        raise invalid(violation("page_token", token, "a token of the page before"))
    return number


async def _prepare_approve(
    _engine: Engine, request: pb.ApproveActivationRequest, caller: str
) -> Run:
    _sign(request, caller)
    return approve


def approve(engine: Engine, request: pb.ApproveActivationRequest, now_ms: int) -> Message:
    """Have an activation act, or not."""
    command = ApproveActivation(
        activation_number(request.activation_id) or 0,
        is_approved=not request.refuse,
        author=request.author,
        reason=request.reason,
    )
    engine.apply(command, now_ms)
    activation = engine.cell.activations.find(command.activation_id)
    assert activation is not None
    return pb.ApproveActivationResponse(activation=activation_message(activation))


def _kept(engine: Engine, name: str) -> KeptPolicy:
    kept = engine.cell.policies.find(name)
    if kept is None:
        refused = violation("name", name, "the name of a policy that exists")
        raise CommandRefused(Refusal.UNKNOWN_POLICY, refused)
    return kept


def _no_version(field: str, number: int, expected: str) -> CommandRefused:
    return CommandRefused(Refusal.UNKNOWN_VERSION, violation(field, number, expected))


def _sign(request: _Signed, caller: str) -> None:
    """Have the caller be the author, where callers prove who they are."""
    request.author = caller or request.author


def _unprepared(_engine: Engine, _request: Message, _now_ms: int) -> Message:
    raise AssertionError("a call that was not prepared")


def _method(
    name: str, request: type[Message], prepare: Prepare, *, is_write: bool = True
) -> Method:
    return Method("PolicyService", name, request, _unprepared, is_write, prepare=prepare)


METHODS: Final = (
    _method("CreateDraft", pb.CreateDraftRequest, _prepare_draft),
    _method("UpdateDraft", pb.UpdateDraftRequest, _prepare_draft),
    Method("PolicyService", "DeleteDraft", pb.DeleteDraftRequest, delete_draft, True),
    _method("ValidatePolicy", pb.ValidatePolicyRequest, _prepare_validate, is_write=False),
    _method("DiffPolicy", pb.DiffPolicyRequest, _prepare_diff, is_write=False),
    _method("PublishPolicy", pb.PublishPolicyRequest, _prepare_publish),
    _method("RollbackPolicy", pb.RollbackPolicyRequest, _prepare_rollback),
    _method("RetirePolicy", pb.RetirePolicyRequest, _prepare_retire),
    Method("PolicyService", "ListPolicies", pb.ListPoliciesRequest, list_policies),
    Method("PolicyService", "GetPolicy", pb.GetPolicyRequest, get_policy),
    _method("OverridePolicy", pb.OverridePolicyRequest, _prepare_override),
    Method("PolicyService", "ListOverrides", pb.ListOverridesRequest, list_overrides),
    Method("PolicyService", "ListActivations", pb.ListActivationsRequest, list_activations),
    _method("ApproveActivation", pb.ApproveActivationRequest, _prepare_approve),
)
