"""`headgate policy activations`, `approve` and `explain`: what policies did, and why they do it."""

from datetime import UTC, datetime

import click
import orjson
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from adapters.exit_code import ExitCode
from adapters.policy_command.asking import Place, Why, answered
from adapters.standard_output import not_written, write_text
from headgate.client import Client
from headgate.v1 import activation_pb2 as told
from headgate.v1 import policy_pb2
from headgate.v1 import policy_service_pb2 as pb

_SIGNS = {told.TERM_TRUTH_TRUE: "yes", told.TERM_TRUTH_FALSE: "no "}
_ACCEPTED = (
    told.ACTIVATION_COUNT_ACCEPTED_WAIT, told.ACTIVATION_COUNT_ACCEPTED_CALLBACK,
    told.ACTIVATION_COUNT_ACCEPTED_CHANNEL, told.ACTIVATION_COUNT_ACCEPTED_SELF_SERVICE,
    told.ACTIVATION_COUNT_ACCEPTED_QUEUE,
)  # fmt: skip


def show_activations(name: str, place: Place, lasting: bool, form: str) -> int:
    """Print the latest activations, of one policy or all; returns the exit code."""
    request = pb.ListActivationsRequest(cell=place.cell, policy=name, lasting=lasting)

    async def ask(client: Client) -> list[told.Activation]:
        return list((await client.call(client.policies.ListActivations, request)).activations)

    found = answered(place, ask)
    if isinstance(found, int):
        return found
    if form == "json":
        plain = [MessageToDict(item, preserving_proto_field_name=True) for item in found]
        text = orjson.dumps(plain, option=orjson.OPT_INDENT_2).decode()
        return write_text(f"{text}\n", None, "the activations")
    try:
        _print(found)
    except OSError as error:
        return not_written(error, "the activations")
    return int(ExitCode.STOPPED)


def approve(activation_id: str, place: Place, why: Why, *, refuses: bool) -> int:
    """Have an activation act, or not; returns the exit code."""

    async def say(client: Client) -> int:
        request = pb.ApproveActivationRequest(
            cell=place.cell,
            activation_id=activation_id,
            refuse=refuses,
            author=why.author,
            reason=why.reason,
        )
        reply = await client.call(client.policies.ApproveActivation, request)
        said = _word(told.ActivationApproval.Name(reply.activation.approval), "APPROVAL_")
        click.echo(f"{reply.activation.activation_id}: {said}")
        return int(ExitCode.STOPPED)

    return answered(place, say)


def show_explanation(name: str, queue_id: str, place: Place) -> int:
    """Say why a policy is on or off; returns the exit code."""
    request = pb.ExplainPolicyRequest(cell=place.cell, name=name, queue_id=queue_id)

    async def ask(client: Client) -> list[told.PolicyExplanation]:
        return list((await client.call(client.policies.ExplainPolicy, request)).explanations)

    found = answered(place, ask)
    if isinstance(found, int):
        return found
    text = "\n".join(line for item in found for line in (*_lines(name, item), ""))
    return write_text(text, None, "the explanation")


def _lines(name: str, item: told.PolicyExplanation) -> list[str]:
    """An explanation in words."""
    stage = _word(policy_pb2.PolicyStage.Name(item.stage), "POLICY_STAGE_")
    state = "on" if item.on else "off"
    head = f"{name} version {item.version} ({stage}) is {state} for queue {item.queue_id}"
    if item.changed_at_ms:
        cause = _word(told.ActivationCause.Name(item.cause), "ACTIVATION_CAUSE_")
        head += f", since {_moment(item.changed_at_ms)} ({cause})"
    lines = [head]
    if item.on:
        lines.append(f"  acts on {item.share:.1%} of the contacts that are eligible")
    lines += [f"  {reason}" for reason in item.reasons]
    for title, terms in (("enter", item.enter), ("exit", item.exit)):
        lines += [f"  {title}:"] if terms else []
        lines += [f"    {_SIGNS.get(term.truth, '?  ')} {_term(term)}" for term in terms]
    return lines


def _term(term: told.ExplainedTerm) -> str:
    values = ", ".join(f"{value.name} = {value.value}" for value in term.values)
    return "  " * term.depth + term.text + (f"   [{values}]" if values else "")


def _print(activations: list[told.Activation]) -> None:
    table = Table(
        "id", "policy", "queue", "stage", "began", "lasted", "why", "eligible", "offered",
        "accepted", "moved", "contained", "returned", "SL before/during/after", box=None,
    )  # fmt: skip
    for item in activations:
        counts = {found.what: found.contacts for found in item.counts}
        cause = _word(told.ActivationCause.Name(item.began_by), "ACTIVATION_CAUSE_")
        if item.approval == told.ACTIVATION_APPROVAL_PENDING:
            cause = "waits for approval"
        table.add_row(
            item.activation_id,
            f"{item.policy} v{item.version}",
            item.queue_id,
            _word(policy_pb2.PolicyStage.Name(item.stage), "POLICY_STAGE_"),
            _moment(item.began_at_ms),
            _length(item),
            cause,
            str(counts.get(told.ACTIVATION_COUNT_ELIGIBLE, 0)),
            str(counts.get(told.ACTIVATION_COUNT_OFFERED, 0)),
            str(sum(counts.get(what, 0) for what in _ACCEPTED)),
            str(counts.get(told.ACTIVATION_COUNT_OVERFLOWED, 0)),
            str(counts.get(told.ACTIVATION_COUNT_CONTAINED, 0)),
            str(counts.get(told.ACTIVATION_COUNT_RETURNED, 0)),
            _service_levels(item),
        )
    Console(width=None if Console().is_terminal else 200).print(table)


def _service_levels(item: told.Activation) -> str:
    phases = [
        _service_level(getattr(item, phase)) if item.HasField(phase) else "-"
        for phase in ("before", "during", "after")
    ]
    return " / ".join(phases)


def _service_level(figures: told.PhaseFigures) -> str:
    """Answered in time among answered and abandoned."""
    ended = figures.answered + figures.abandoned
    return f"{figures.answered_within / ended:.0%}" if ended else "-"


def _length(item: told.Activation) -> str:
    if not item.ended_at_ms:
        return "lasts"
    seconds = (item.ended_at_ms - item.began_at_ms) // 1_000
    return f"{seconds // 60}m{seconds % 60:02}s"


def _word(name: str, prefix: str) -> str:
    return name.rpartition(prefix)[2].lower().replace("_", " ")


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
