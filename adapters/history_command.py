"""`headgate history`: its options. What it does stands in adapters/history, imported when run."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapters.engine_options import reaches_engine
from adapters.exit_code import ExitCode

if TYPE_CHECKING:
    from adapters.engine_options import EngineAt


@click.group()
def history() -> None:
    """Teach an engine what came before it."""


@history.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--queue", default="", metavar="ID", help="Queue that all of FILE is of.")
@click.option("--queue-column", default="", metavar="NAME", help="Column that names the queue.")
@click.option("--time-column", default="time", show_default=True, help="Column of times.")
@click.option("--count-column", default="contacts", show_default=True, help="Column of counts.")
@click.option(
    "--zone", default="", metavar="NAME",
    help="Clock of times without an offset, such as Europe/Berlin.",
)  # fmt: skip
@click.option(
    "--interval", type=click.Choice(["5m", "15m", "30m", "60m"]), default="5m", show_default=True,
    help="Length of an interval.",
)  # fmt: skip
@click.option("--events", is_flag=True, help="Every row is one contact: there are no counts.")
@click.option(
    "--missing", type=click.Choice(["gap", "zero"]), default="gap", show_default=True,
    help="What an interval without a row is: not known, or without a contact.",
)  # fmt: skip
@click.option("--replace", is_flag=True, help="Forget what the queue has learned itself.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be learned; asks no engine.")
@click.option(
    "--address", default="127.0.0.1:7443", show_default=True, envvar="HEADGATE_ADDRESS",
    show_envvar=True, help="HOST:PORT of the engine.",
)  # fmt: skip
@reaches_engine
@click.option("--cell", default="default", show_default=True, help="Which of its cells.")
def import_(  # noqa: PLR0913  (what the command line says)
    file: Path, queue: str, queue_column: str, time_column: str, count_column: str, zone: str,
    interval: str, events: bool, missing: str, replace: bool, dry_run: bool,
    engine: "EngineAt", cell: str,
) -> None:  # fmt: skip
    """Teach forecasts the past of queues.

    FILE has a row for every interval, with when it begins and how many contacts came, or with
    --events one for every contact. It is CSV, plain or in gzip, with the names of its columns in
    the first line, or parquet where pyarrow is installed, which does not come with headgate. Times
    are like 2026-03-02 07:05, with an offset or on the clock of --zone, or seconds since 1970.

    Forecasts are made of steps of five minutes: a longer interval is spread evenly over them, and
    short waves within it are not learned. An interval without a row, and one without a count, is
    not known, and teaches nothing; in a file of contacts there are none between the first and the
    last. Give the queue its hours and its time zone first: what came outside hours is left out.

    All of FILE is checked before anything is sent, and a queue learns all of its past or nothing.
    Exit codes: 0 done, 2 wrong usage, a file that is refused, or an engine that refuses it, 3 no
    engine answers.
    """
    from adapters.history.command import import_history
    from adapters.history.layout import INTERVALS_S, HistoryRefused, Layout, zone_of

    if bool(queue) == bool(queue_column):
        raise click.UsageError("give --queue or --queue-column, one of them")
    try:
        clock = zone_of(zone)
    except HistoryRefused as error:
        click.echo(f"headgate: {error}", err=True)
        sys.exit(ExitCode.SETTINGS)
    layout = Layout(
        queue, queue_column, time_column, count_column, clock, INTERVALS_S[interval],
        is_events=events, fills_zero=missing == "zero",
    )  # fmt: skip
    place = engine, cell
    sys.exit(import_history(file, layout, place, is_dry_run=dry_run, replaces=replace))
