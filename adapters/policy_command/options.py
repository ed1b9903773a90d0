"""`headgate policy`: its options; what it does stands beside."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapters.engine_options import reaches_engine

if TYPE_CHECKING:
    from adapters.engine_options import EngineAt

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_files = click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True)
)
_address = click.option(
    "--address", default="127.0.0.1:7443", show_default=True, envvar="HEADGATE_ADDRESS",
    show_envvar=True, help="HOST:PORT of the engine.",
)  # fmt: skip
_cell = click.option("--cell", default="default", show_default=True, help="Which of its cells.")
_reason = click.option("--reason", default="", help="Why, for those who ask later.")
_author = click.option(
    "--author", default="", help="Who does it, where the engine does not ask who calls."
)


@click.group()
def policy() -> None:
    """Check policies, and bring them into force."""


@policy.command()
@_files
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "github", "sarif"]), default="text",
    show_default=True, help="For people, scripts, GitHub's annotations, or code scanning.",
)  # fmt: skip
@click.option("--strict", is_flag=True, help="Fail for warnings as well.")
def lint(files: tuple[Path, ...], form: str, strict: bool) -> None:
    """Check FILES, and those in folders, without an engine.

    Every problem at once, at its line and column: form, expressions, and what goes wrong in the set
    of all these policies. Whether queues are there only an engine can tell: `publish` does. Exit
    codes: 0 nothing found, 1 errors found, 2 wrong usage or a file that cannot be read.
    """
    from adapters.policy_command.linting import lint_files

    sys.exit(lint_files(files, form, is_strict=strict))


@policy.command()
def schema() -> None:
    """Print the JSON Schema of policies, for editors."""
    from adapters.standard_output import write_text
    from engine.policy.editing import json_schema

    sys.exit(write_text(json_schema(), None, "the schema"))


@policy.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--version", type=click.IntRange(1), help="The version to compare with, not what is active."
)
@_address
@reaches_engine
@_cell
def diff(file: Path, version: int | None, engine: "EngineAt", cell: str) -> None:
    """Say how FILE differs from what is in force.

    Exit codes: 0 the same, 2 wrong usage or no such policy, 3 no engine answers, 5 it differs.
    """
    from adapters.policy_command.asking import Place, diff_file

    sys.exit(diff_file(file, Place(engine, cell), version or 0))


@policy.command()
@_files
@click.option(
    "--stage", type=click.Choice(["shadow", "canary", "active"]), default="active",
    show_default=True, help="To look on, to act on a share of contacts, or on all.",
)  # fmt: skip
@click.option(
    "--share", type=click.FloatRange(0, 1), default=0.0, help="Share of a canary, 0 to 1."
)
@_reason
@_author
@_address
@reaches_engine
@_cell
def publish(  # noqa: PLR0913  (what the command line says)
    files: tuple[Path, ...],
    stage: str,
    share: float,
    reason: str,
    author: str,
    engine: "EngineAt",
    cell: str,
) -> None:
    """Bring the policies of FILES into force.

    The engine checks each beside what is in force and refuses it at its errors. The text of the
    last version is that version: publish a trial again to have it active. Exit codes: 0 done, 2
    wrong usage or refused, 3 no engine answers. What was published before a refusal stays so.
    """
    from adapters.policy_command.asking import Place, Why, publish_files

    why = Why(author, reason)
    sys.exit(publish_files(files, Place(engine, cell), (stage, share), why))


@policy.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="The version to make active again.")
@_reason
@_author
@_address
@reaches_engine
@_cell
def rollback(  # noqa: PLR0913  (what the command line says)
    name: str, version: int | None, reason: str, author: str, engine: "EngineAt", cell: str
) -> None:
    """Take back what was done last to policy NAME.

    A trial ends; where none runs, the version that was active before is active again. Exit codes: 0
    done, 2 wrong usage or nothing to go back to, 3 no engine answers.
    """
    from adapters.policy_command.asking import Place, Why, roll_back

    sys.exit(roll_back(name, Place(engine, cell), version or 0, Why(author, reason)))


@policy.command()
@click.argument("name")
@_reason
@_author
@_address
@reaches_engine
@_cell
def retire(name: str, reason: str, author: str, engine: "EngineAt", cell: str) -> None:
    """Take policy NAME out of force; its versions are kept.

    Exit codes: 0 done, 2 wrong usage or not in force, 3 no engine answers.
    """
    from adapters.policy_command.asking import Place, Why
    from adapters.policy_command.asking import retire as take_out

    sys.exit(take_out(name, Place(engine, cell), Why(author, reason)))


@policy.command()
@click.argument("what", type=click.Choice(["on", "off", "freeze", "kill", "take-back"]))
@click.argument("name", required=False, default="")
@click.option("--all", "is_all", is_flag=True, help="All policies, for kill and take-back.")
@click.option("--queue", default="", metavar="ID", help="On one queue only.")
@click.option("--for", "length", default="", metavar="TIME", help="How long, such as 30m or 2h.")
@_reason
@_author
@_address
@reaches_engine
@_cell
def override(  # noqa: PLR0913  (what the command line says)
    what: str,
    name: str,
    is_all: bool,
    queue: str,
    length: str,
    reason: str,
    author: str,
    engine: "EngineAt",
    cell: str,
) -> None:
    """Say what policy NAME does, whatever it says itself.

    `kill` stops it at once and stands until `take-back`; `on`, `off` and `freeze` stand --for a
    time. Exit codes: 0 done, 2 wrong usage or refused, 3 no engine answers.
    """
    from adapters.policy_command.asking import Place, Why
    from adapters.policy_command.asking import override as say

    if bool(name) == is_all:
        raise click.UsageError("expected NAME or --all")
    for_ms = _milliseconds(length)
    if for_ms and what in ("kill", "take-back"):
        raise click.UsageError(f"{what} takes no --for: it stands until it is taken back")
    if not for_ms and what in ("on", "off", "freeze"):
        raise click.UsageError(f"{what}: expected --for a time, such as 30m")
    sys.exit(say((name, queue), Place(engine, cell), (what, for_ms), Why(author, reason)))


@policy.command()
@click.argument("name", required=False, default="")
@click.option(
    "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="A table to read, or every field.",
)  # fmt: skip
@_address
@reaches_engine
@_cell
def status(name: str, form: str, engine: "EngineAt", cell: str) -> None:
    """Print what is in force; of policy NAME what was done to it as well.

    Exit codes: 0 done, 2 wrong usage or no such policy, 3 no engine answers.
    """
    from adapters.policy_command.asking import Place
    from adapters.policy_command.status import show_status

    sys.exit(show_status(name, Place(engine, cell), form))


@policy.command()
@click.argument("name")
@click.option("--queue", default="", metavar="ID", help="For one queue only.")
@_address
@reaches_engine
@_cell
def explain(name: str, queue: str, engine: "EngineAt", cell: str) -> None:
    """Say in words why policy NAME is on or off now, term by term.

    Exit codes: 0 done, 2 wrong usage or not in force, 3 no engine answers.
    """
    from adapters.policy_command.activations import show_explanation
    from adapters.policy_command.asking import Place

    sys.exit(show_explanation(name, queue, Place(engine, cell)))


@policy.command()
@click.argument("name", required=False, default="")
@click.option("--lasting", is_flag=True, help="Only those that last.")
@click.option(
    "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="A table to read, or every field.",
)  # fmt: skip
@_address
@reaches_engine
@_cell
def activations(
    name: str,
    lasting: bool,
    form: str,
    engine: "EngineAt",
    cell: str,
) -> None:
    """Print the latest activations, of policy NAME or of all, and what came of them.

    Exit codes: 0 done, 2 wrong usage, 3 no engine answers.
    """
    from adapters.policy_command.activations import show_activations
    from adapters.policy_command.asking import Place

    sys.exit(show_activations(name, Place(engine, cell), lasting, form))


@policy.command()
@click.argument("activation_id")
@click.option("--refuse", is_flag=True, help="It may not act.")
@_reason
@_author
@_address
@reaches_engine
@_cell
def approve(  # noqa: PLR0913  (what the command line says)
    activation_id: str,
    refuse: bool,
    reason: str,
    author: str,
    engine: "EngineAt",
    cell: str,
) -> None:
    """Have activation ACTIVATION_ID act that waits for a person's word.

    Exit codes: 0 done, 2 wrong usage or it does not wait, 3 no engine answers.
    """
    from adapters.policy_command.activations import approve as say
    from adapters.policy_command.asking import Place, Why

    sys.exit(say(activation_id, Place(engine, cell), Why(author, reason), refuses=refuse))


def _milliseconds(length: str) -> int:
    """A length of time with its unit; 0 for none."""
    if not length:
        return 0
    found = re.fullmatch(r"([1-9]\d{0,5})([smhd])", length)
    if found is None:
        raise click.UsageError(f"--for: expected a time such as 90s, 30m, 2h or 1d, got {length!r}")
    return int(found[1]) * _UNITS_MS[found[2]]
