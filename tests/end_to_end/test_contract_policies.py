"""PolicyService over a real channel: drafts, checks, versions, overrides, and who wrote them."""

from pathlib import Path
from typing import Any

import pytest

from headgate.access import Access
from headgate.client import Client
from headgate.v1 import policy_pb2 as told
from headgate.v1 import policy_service_pb2 as pb
from tests.end_to_end.conftest import Serve
from tests.end_to_end.credentials import CallersFile
from tests.end_to_end.floor import open_queue, refused

SHADOW, CANARY, ACTIVE = (
    told.POLICY_STAGE_SHADOW, told.POLICY_STAGE_CANARY, told.POLICY_STAGE_ACTIVE,
)  # fmt: skip
ERROR, WARNING = told.FINDING_SEVERITY_ERROR, told.FINDING_SEVERITY_WARNING


def text_of(name: str, more: int = 4, target: str = "", spec: str = "") -> str:
    """A policy that moves contacts of queue NAME to queue NAME-b."""
    return f"""\
apiVersion: headgate/v1
kind: OverflowPolicy
metadata: {{name: {name}}}
spec:
  match: {{queues: [{name}]}}
  enter:
    when: queue.waiting > {more}
  actions: [{{overflow: {{queue: {target or name + "-b"}}}}}]
{spec}"""


async def queues_of(client: Client, name: str) -> None:
    """The two queues of a policy."""
    await open_queue(client, name)
    await open_queue(client, f"{name}-b")


async def publish(client: Client, **fields: Any) -> Any:
    """Publish a policy, ACTIVE where nothing else is said."""
    request = pb.PublishPolicyRequest(**{"stage": ACTIVE, **fields})
    return await client.call(client.policies.PublishPolicy, request)


async def get(client: Client, name: str, version: int = 0) -> told.Policy:
    """Read a policy."""
    request = pb.GetPolicyRequest(name=name, version=version)
    reply = await client.call(client.policies.GetPolicy, request)
    policy: told.Policy = reply.policy
    return policy


async def validate(client: Client, text: str, **fields: Any) -> list[told.PolicyFinding]:
    """What is found in a text."""
    request = pb.ValidatePolicyRequest(text=text, **fields)
    reply = await client.call(client.policies.ValidatePolicy, request)
    return list(reply.findings)


async def test_policy_goes_from_a_draft_to_all_contacts_and_back(client: Client, name: str) -> None:
    """The whole life: written, changed, tried, active, another version, taken back, retired."""
    await queues_of(client, name)
    created = await client.call(
        client.policies.CreateDraft,
        pb.CreateDraftRequest(text=text_of(name, 1), author="ann"),
    )
    assert list(created.findings) == []
    policy = created.policy
    assert (policy.name, policy.etag, policy.draft.author) == (name, "1", "ann")
    assert policy.draft.kind == told.POLICY_KIND_OVERFLOW_POLICY
    updated = await client.call(
        client.policies.UpdateDraft, pb.UpdateDraftRequest(text=text_of(name, 2), etag="1")
    )
    assert updated.policy.draft.text == text_of(name, 2)

    tried = (await publish(client, name=name, stage=SHADOW, author="bob", reason="try")).policy
    assert not tried.HasField("draft")
    assert [version.text for version in tried.versions] == [text_of(name, 2)]
    assert (tried.rollout.trial_version, tried.rollout.trial_stage) == (1, SHADOW)
    part = (await publish(client, name=name, version=1, stage=CANARY, share=0.25)).policy
    assert (part.rollout.trial_stage, part.rollout.canary_share) == (CANARY, 0.25)
    assert (await publish(client, name=name, version=1)).policy.rollout.active_version == 1
    second = (await publish(client, text=text_of(name, 3), reason="more")).policy
    assert (second.rollout.active_version, second.rollout.previous_version) == (2, 1)

    back = await client.call(
        client.policies.RollbackPolicy,
        pb.RollbackPolicyRequest(name=name, author="cid", reason="too much"),
    )
    assert (back.policy.rollout.active_version, back.policy.rollout.previous_version) == (1, 2)
    gone = await client.call(client.policies.RetirePolicy, pb.RetirePolicyRequest(name=name))
    assert gone.policy.rollout == told.PolicyRollout(previous_version=1)
    steps = [(step.kind, step.version, step.author, step.reason) for step in gone.policy.steps]
    published = told.POLICY_STEP_KIND_PUBLISHED
    assert steps == [
        (published, 1, "bob", "try"),
        (published, 1, "", ""),
        (published, 1, "", ""),
        (published, 2, "", "more"),
        (told.POLICY_STEP_KIND_ROLLED_BACK, 1, "cid", "too much"),
        (told.POLICY_STEP_KIND_RETIRED, 1, "", ""),
    ]


async def test_texts_are_sent_where_they_are_asked_for(client: Client, name: str) -> None:
    """Fifty versions of 64 KiB are no answer to what is in force."""
    await queues_of(client, name)
    for more in (1, 2, 3):
        await publish(client, text=text_of(name, more))
    texts = [version.text for version in (await get(client, name)).versions]
    assert texts == ["", "", text_of(name, 3)]
    texts = [version.text for version in (await get(client, name, 1)).versions]
    assert texts == [text_of(name, 1), "", text_of(name, 3)]
    found = await refused(get(client, name, 4))
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_VERSION")
    token = ""
    listed = []
    while True:
        request = pb.ListPoliciesRequest(page_size=1, page_token=token)
        reply = await client.call(client.policies.ListPolicies, request)
        listed += reply.policies
        token = reply.next_page_token
        if not token:
            break
    assert [item.name for item in listed] == sorted(item.name for item in listed)
    (mine,) = (item for item in listed if item.name == name)
    assert [(version.number, version.text) for version in mine.versions] == [
        (1, ""), (2, ""), (3, ""),
    ]  # fmt: skip
    assert not mine.steps


async def test_text_with_errors_is_drafted_and_not_published(client: Client, name: str) -> None:
    """Each error is told at its place; what is half done may be kept until it is whole."""
    text = text_of(name, spec="  mode: sometimes\n").replace("queue.waiting", "queue.wating")
    draft = pb.CreateDraftRequest(name=name, text=text)
    created = await client.call(client.policies.CreateDraft, draft)
    places = [(item.path, item.line, item.column, item.code) for item in created.findings]
    assert places == [
        ("spec.enter.when", 7, 11, "expression"),
        ("spec.mode", 9, 3, "form"),
    ]
    assert created.findings[0].excerpt == ("    when: queue.wating > 4\n          ^")
    assert "did you mean queue.waiting?" in created.findings[0].message
    for fields in ({"name": name}, {"text": text, "name": name}):
        found = await refused(publish(client, **fields))
        assert (found.code, found.reason) == ("INVALID_ARGUMENT", "POLICY_INVALID")
        assert list(found.fields) == ["text:7:11", "text:9:3"]
        assert found.fields["text:7:11"].startswith("spec.enter.when: unknown name queue.wating")
    assert (await get(client, name)).rollout == told.PolicyRollout()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "text"),  # nothing
        ("x" * 65_537, "text"),  # one byte too many
        ("a: [", "text:2:1"),  # no YAML
        ("---\n", "text:1:1"),  # no policy
        (text_of("one") + "---\n" + text_of("two"), "text:1:1"),  # two of them
        (text_of("another"), "text:1:1"),  # of another name
    ],
)
async def test_text_that_is_no_policy_of_the_name_is_refused(
    client: Client, name: str, text: str, place: str
) -> None:
    """And nothing of it is kept."""
    for queue in ("one", "one-b", "two", "two-b", "another", "another-b"):
        await open_queue(client, queue)
    if text:
        found = await refused(publish(client, name=name, text=text))
        assert found.code == "INVALID_ARGUMENT"
        assert list(found.fields) == [place]
    if place == "text":
        draft = pb.CreateDraftRequest(name=name, text=text)
        found = await refused(client.call(client.policies.CreateDraft, draft))
        assert (found.code, list(found.fields)) == ("INVALID_ARGUMENT", ["text"])
    found = await refused(get(client, name))
    assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_POLICY")


async def test_set_is_checked_and_not_only_the_text(client: Client, name: str) -> None:
    """Names that are not there, and what goes wrong only together with what is in force."""
    await open_queue(client, name)
    (missing,) = await validate(client, text_of(name))
    assert (missing.severity, missing.code) == (ERROR, "unknown-queue")
    assert (missing.path, missing.line) == ("spec.actions[0].overflow.queue", 8)
    assert "did you mean" in missing.message
    assert await validate(client, text_of(name), alone=True) == []
    found = await refused(publish(client, text=text_of(name)))
    assert list(found.fields) == [f"text:8:{missing.column}"]

    await open_queue(client, f"{name}-b")
    await publish(client, text=text_of(name))
    back = text_of(f"{name}-b", target=name)
    (circle,) = await validate(client, back)
    assert (circle.severity, circle.code) == (WARNING, "circle")
    assert f"{name} to {name}-b to {name}" in circle.message
    # A text that takes the place of what is in force is not in conflict with it.
    assert await validate(client, text_of(name, 5)) == []
    rival = text_of(name, 9).replace(f"metadata: {{name: {name}}}", f"metadata: {{name: {name}-r}}")
    (conflict,) = (await publish(client, text=rival, stage=SHADOW)).findings
    assert (conflict.severity, conflict.code, conflict.policy) == (
        WARNING, "conflict", f"{name}-r",
    )  # fmt: skip


async def test_difference_is_told_in_words_of_the_document(client: Client, name: str) -> None:
    """Between any two of versions, draft, what is in force, and a text."""
    await queues_of(client, name)
    await publish(client, text=text_of(name, 1))
    await publish(client, text=text_of(name, 2, spec="  precedence: 7\n"))
    draft = pb.CreateDraftRequest(text=text_of(name, 3))
    await client.call(client.policies.CreateDraft, draft)

    async def diff(**fields: Any) -> tuple[list[tuple[str, str, str]], str]:
        request = pb.DiffPolicyRequest(name=name, **fields)
        reply = await client.call(client.policies.DiffPolicy, request)
        return [(item.path, item.before, item.after) for item in reply.changes], reply.unified

    when = "spec.enter.when"
    changed, lines = await diff(from_version=1, to_version=2)
    assert changed == [
        (when, '"queue.waiting > 1"', '"queue.waiting > 2"'),
        ("spec.precedence", "", "7"),
    ]
    assert lines.startswith("--- version 1\n+++ version 2\n")
    assert "-    when: queue.waiting > 1\n+    when: queue.waiting > 2\n" in lines
    changed, _ = await diff()
    assert changed == [
        (when, '"queue.waiting > 2"', '"queue.waiting > 3"'),
        ("spec.precedence", "7", ""),
    ]
    changed, _ = await diff(from_version=-1, to_version=-1)
    assert changed[0] == (when, '"queue.waiting > 3"', '"queue.waiting > 2"')
    assert await diff(from_version=1, to_text=text_of(name, 1)) == ([], "")
    changed, lines = await diff(from_version=1, to_text="a: [")
    assert changed == []
    assert "+a: [" in lines
    for fields in ({"from_version": 3}, {"to_version": 3}, {"from_version": -2}):
        found = await refused(diff(**fields))
        assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_VERSION")
        assert list(found.fields) == list(fields)


async def test_retry_of_a_request_is_answered_as_it_was(client: Client, name: str) -> None:
    """A draft that was published is none any more, and yet the retry must say that it was."""
    await queues_of(client, name)
    draft = pb.CreateDraftRequest(text=text_of(name))
    await client.call(client.policies.CreateDraft, draft)
    first = await publish(client, name=name, request_id=f"{name}-once")
    assert await publish(client, name=name, request_id=f"{name}-once") == first
    assert len((await get(client, name)).steps) == 1
    # Nor does it matter what the draft has become since.
    await client.call(client.policies.CreateDraft, pb.CreateDraftRequest(name=name, text="a: ["))
    assert await publish(client, name=name, request_id=f"{name}-once") == first
    found = await refused(publish(client, name=name, stage=SHADOW, request_id=f"{name}-once"))
    assert (found.code, found.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_every_refusal_of_the_store_reaches_the_caller(client: Client, name: str) -> None:
    """With a code that says whether to try again, and the field at fault."""
    await queues_of(client, name)
    policies, call = client.policies, client.call

    async def is_refused(awaited: Any, code: str, reason: str, field: str) -> None:
        found = await refused(awaited)
        assert (found.code, found.reason, list(found.fields)) == (code, reason, [field])

    unknown = "NOT_FOUND", "UNKNOWN_POLICY", "name"
    await is_refused(publish(client, name=name), *unknown)
    await is_refused(call(policies.DeleteDraft, pb.DeleteDraftRequest(name=name)), *unknown)
    await is_refused(call(policies.RollbackPolicy, pb.RollbackPolicyRequest(name=name)), *unknown)
    await is_refused(call(policies.RetirePolicy, pb.RetirePolicyRequest(name=name)), *unknown)
    await is_refused(call(policies.DiffPolicy, pb.DiffPolicyRequest(name=name)), *unknown)
    draft = pb.CreateDraftRequest(text=text_of(name))
    await call(policies.CreateDraft, draft)
    await is_refused(call(policies.CreateDraft, draft), "ALREADY_EXISTS", "DRAFT_EXISTS", "name")
    retire = call(policies.RetirePolicy, pb.RetirePolicyRequest(name=name))
    await is_refused(retire, "FAILED_PRECONDITION", "NOT_IN_FORCE", "name")
    stale = publish(client, name=name, etag="7")
    await is_refused(stale, "ABORTED", "ETAG_MISMATCH", "etag")
    await publish(client, name=name)
    again = publish(client, name=name, version=1)
    await is_refused(again, "FAILED_PRECONDITION", "VERSION_IN_FORCE", "version")
    missing = "NOT_FOUND", "UNKNOWN_VERSION"
    await is_refused(publish(client, name=name, version=2), *missing, "version")
    await is_refused(publish(client, name=name), *missing, "name")
    update = call(policies.UpdateDraft, pb.UpdateDraftRequest(text=text_of(name)))
    await is_refused(update, *missing, "name")
    rollback = call(policies.RollbackPolicy, pb.RollbackPolicyRequest(name=name))
    await is_refused(rollback, *missing, "version")
    wrong = "INVALID_ARGUMENT", "INVALID_FIELD"
    unset = publish(client, name=name, version=1, stage=0)
    await is_refused(unset, *wrong, "stage")
    await is_refused(publish(client, name=name, version=1, share=0.5), *wrong, "share")
    elsewhere = call(policies.GetPolicy, pb.GetPolicyRequest(name=name, cell="nowhere"))
    await is_refused(elsewhere, "NOT_FOUND", "UNKNOWN_CELL", "cell")


async def test_policies_outlive_a_crash(serve: Serve, tmp_path: Path) -> None:
    """What was acknowledged before kill -9 is there after it, to the letter."""
    kept = ("--durability", "normal", "--data-dir", str(tmp_path / "data"))
    served = serve(*kept)
    async with Client(served.address) as client:
        await queues_of(client, "q")
        for more in (1, 2):
            await publish(client, text=text_of("q", more), author="ann", reason="busy")
        await publish(client, text=text_of("q", 3), stage=CANARY, share=0.1)
        await client.call(client.policies.CreateDraft, pb.CreateDraftRequest(text=text_of("q", 4)))
        said = pb.OverridePolicyRequest(what=told.POLICY_SWITCH_KILL)
        await client.call(client.policies.OverridePolicy, said)
        before = await get(client, "q", 1)
    served.kill()
    async with Client(serve(*kept).address) as client:
        assert await get(client, "q", 1) == before
        reply = await client.call(client.policies.ListOverrides, pb.ListOverridesRequest())
        assert [item.what for item in reply.overrides] == [told.POLICY_SWITCH_KILL]
        assert (await publish(client, name="q")).policy.rollout.active_version == 4


async def test_author_is_who_calls(serve: Serve, tmp_path: Path) -> None:
    """Where callers prove who they are nobody can write in the name of another."""
    callers = CallersFile(tmp_path / "callers")
    ann, gateway = callers.add("ann", "author"), callers.add("voice", "gateway")
    served = serve("--durability", "memory", "--callers-file", str(callers.path))
    async with Client(served.address, Access(token=ann)) as client:
        await queues_of(client, "q")
        text = text_of("q")
        draft = pb.CreateDraftRequest(text=text, author="bob")
        created = await client.call(client.policies.CreateDraft, draft)
        assert created.policy.draft.author == "ann"
        policy = (await publish(client, name="q", author="bob")).policy
        assert (policy.versions[0].author, policy.steps[0].author) == ("ann", "ann")
    async with Client(served.address, Access(token=gateway)) as client:
        assert (await get(client, "q")).name == "q"
        found = await refused(publish(client, name="q"))
        assert (found.code, found.reason) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
    audits = [line for line in served.log() if line["event"] == "audit"]
    published = [line for line in audits if str(line["method"]).endswith("PublishPolicy")]
    assert [(line["caller"], line.get("target"), line["outcome"]) for line in published] == [
        ("ann", "q", "OK"), ("voice", None, "PERMISSION_DENIED"),
    ]  # fmt: skip
