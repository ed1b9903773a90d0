"""`headgate audit`: its options. What it does stands beside, imported when run."""

import contextlib
import datetime
import sys
import time
from pathlib import Path

import click

from engine.durations import parse_duration


def _moment(_context: click.Context, option: click.Parameter, value: str) -> float | None:
    """Seconds since the Unix epoch of a time, or of so long ago; None for no bound."""
    if not value:
        return None
    with contextlib.suppress(ValueError):
        length_ms = parse_duration(value)
        if isinstance(length_ms, int | float):
            return time.time() - length_ms / 1_000
    at = None
    with contextlib.suppress(ValueError):
        at = datetime.datetime.fromisoformat(value)
    if at is None or at.tzinfo is None:
        expected = "a time with its zone such as 2027-06-01T00:00:00Z, or a length such as 24h"
        raise click.BadParameter(f"expected {expected}, got {value!r}", param=option)
    return at.timestamp()


@click.group(short_help="Tell who changed what.")
def audit() -> None:
    """Audit records of `headgate serve`: who changed what, and what it was before."""


@audit.command()
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
)  # fmt: skip
@click.option("--since", default="", callback=_moment, help="Time, or length of time ago: 24h.")
@click.option("--until", default="", callback=_moment, help="The same, for the end.")
@click.option("--caller", default="", help="Only of this caller.")
@click.option("--tenant", default="", help="Only of callers of this tenant.")
@click.option("--cell", default="", help="Only about this cell.")
@click.option("--target", default="", help="Only about this queue, agent, policy or plan.")
@click.option("--method", default="", help="Only of this method, such as UpsertQueue.")
@click.option(
    "--outcome", type=click.Choice(["all", "applied", "refused"]), default="all",
    show_default=True, help="Changes that were made, or tries that were refused.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True,
    help="One JSON object a line, or a table.",
)  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Instead of here.")
def export(  # noqa: PLR0913  (what the command line says)
    files: tuple[Path, ...], since: float | None, until: float | None, caller: str, tenant: str,
    cell: str, target: str, method: str, outcome: str, form: str, output: Path | None,
) -> None:  # fmt: skip
    """Export the audit records of FILE..., - for standard input, in the order of their times.

    FILEs are audit files, plain or in gzip, or logs: other lines are passed over. With each record
    that was applied comes what was last said of the same thing before it, in these FILEs, whether
    or not that is exported itself. A line that begins like a record and cannot be read ends the
    export before anything is written.

    Exit codes: 0 done, 2 wrong usage or a damaged record, 3 a file cannot be read or written.
    """
    from adapters.audit_command.exporting import Wanted, export_records

    wanted = Wanted(since, until, caller, tenant, cell, target, method, outcome)
    sys.exit(export_records(files, wanted, form, output))
