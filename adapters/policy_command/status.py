"""`headgate policy status`: what is in force, and what was done to a policy."""

from datetime import UTC, datetime

import orjson
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from adapters.exit_code import ExitCode
from adapters.policy_command.asking import Place, answered
from adapters.standard_output import not_written, write_text
from headgate.client import Client
from headgate.v1 import policy_pb2 as told
from headgate.v1 import policy_service_pb2 as pb

_PAGE = 200


def show_status(name: str, place: Place, form: str) -> int:
    """Print all policies of a cell, or one with its steps; returns the exit code."""
    found = answered(place, lambda client: _asked(client, place.cell, name))
    if isinstance(found, int):
        return found
    policies, overrides = found
    if form == "json":
        listed = {
            "policies": [_plain(item) for item in policies],
            "overrides": [_plain(item) for item in overrides],
        }
        text = orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode()
        return write_text(f"{text}\n", None, "the policies")
    try:
        _print(policies, overrides, with_steps=bool(name))
    except OSError as error:
        return not_written(error, "the policies")
    return int(ExitCode.STOPPED)


def _plain(message: told.Policy | told.PolicyOverride) -> dict[str, object]:
    plain: dict[str, object] = MessageToDict(message, preserving_proto_field_name=True)
    return plain


async def _asked(
    client: Client, cell: str, name: str
) -> tuple[list[told.Policy], list[told.PolicyOverride]]:
    overrides: list[told.PolicyOverride] = []
    request = pb.ListOverridesRequest(cell=cell, page_size=_PAGE)
    while True:
        listed = await client.call(client.policies.ListOverrides, request)
        overrides += [item for item in listed.overrides if not name or item.policy in ("", name)]
        request.page_token = listed.next_page_token
        if not request.page_token:
            break
    if name:
        asked = pb.GetPolicyRequest(cell=cell, name=name)
        reply = await client.call(client.policies.GetPolicy, asked)
        return [reply.policy], overrides
    policies: list[told.Policy] = []
    wanted = pb.ListPoliciesRequest(cell=cell, page_size=_PAGE)
    while True:
        page = await client.call(client.policies.ListPolicies, wanted)
        policies += page.policies
        wanted.page_token = page.next_page_token
        if not wanted.page_token:
            return policies, overrides


def _print(
    policies: list[told.Policy], overrides: list[told.PolicyOverride], *, with_steps: bool
) -> None:
    console = Console()
    table = Table("policy", "active", "trial", "previous", "draft", "versions", box=None)
    for policy in policies:
        rollout = policy.rollout
        table.add_row(
            policy.name,
            _number(rollout.active_version),
            _trial(rollout),
            _number(rollout.previous_version),
            f"by {policy.draft.author or '?'}" if policy.HasField("draft") else "-",
            str(len(policy.versions)),
        )
    console.print(table)
    if overrides:
        said = Table("override", "queue", "does", "until", "by", "reason", box=None)
        for item in overrides:
            until = _moment(item.until_ms) if item.until_ms else "taken back"
            what = _word(told.PolicySwitch.Name(item.what), "POLICY_SWITCH_")
            said.add_row(
                item.policy or "all", item.queue_id or "all", what, until, item.author, item.reason
            )
        console.print(said)
    if with_steps:
        steps = Table("when", "step", "version", "stage", "by", "reason", box=None)
        for step in policies[0].steps:
            steps.add_row(
                _moment(step.at_ms),
                _word(told.PolicyStepKind.Name(step.kind), "POLICY_STEP_KIND_"),
                _number(step.version),
                _word(told.PolicyStage.Name(step.stage), "POLICY_STAGE_"),
                step.author,
                step.reason,
            )
        console.print(steps)


def _trial(rollout: told.PolicyRollout) -> str:
    if not rollout.trial_version:
        return "-"
    stage = _word(told.PolicyStage.Name(rollout.trial_stage), "POLICY_STAGE_")
    share = f" {rollout.canary_share:.1%}" if rollout.canary_share else ""
    return f"{rollout.trial_version} {stage}{share}"


def _word(name: str, prefix: str) -> str:
    word = name.removeprefix(prefix).lower().replace("_", " ")
    return "-" if word == "unspecified" else word


def _number(number: int) -> str:
    return str(number) if number else "-"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
