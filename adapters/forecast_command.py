"""`headgate forecast`: its options; what it does stands in adapters/forecasts."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapters.engine_options import reaches_engine
from adapters.exit_code import ExitCode

if TYPE_CHECKING:
    from adapters.engine_options import EngineAt
    from adapters.forecasts.command import Place

_STEPS_MS = {"5m": 300_000, "10m": 600_000, "15m": 900_000, "30m": 1_800_000}
_address = click.option(
    "--address", default="127.0.0.1:7443", show_default=True, envvar="HEADGATE_ADDRESS",
    show_envvar=True, help="HOST:PORT of the engine.",
)  # fmt: skip
_cell = click.option("--cell", default="default", show_default=True, help="Which of its cells.")
_zone = click.option(
    "--zone", default="", metavar="NAME",
    help="Clock that times are told by, such as Europe/Berlin; that of this machine without it.",
)  # fmt: skip


@click.group()
def forecast() -> None:
    """Tell what an engine expects of its queues, and how good that has been."""


@forecast.command()
@click.argument("queue")
@click.option(
    "--hours", type=click.IntRange(1, 12), default=4, show_default=True, help="How far ahead."
)
@click.option(
    "--step", type=click.Choice(list(_STEPS_MS)), default="30m", show_default=True,
    help="Length of a step.",
)  # fmt: skip
@_zone
@_address
@reaches_engine
@_cell
def show(  # noqa: PLR0913  (what the command line says)
    queue: str, hours: int, step: str, zone: str, engine: "EngineAt", cell: str
) -> None:
    """Print the next hours of QUEUE.

    Contacts with the intervals in which 80 and 95 of a hundred counts should lie, how busy it is,
    the risk that contacts wait too long, and how good forecasts have been. Exit codes: 0 done, 2
    wrong usage, no such queue or cell, or nothing is sensed there, 3 no engine answers.
    """
    from adapters.forecasts.asking import View
    from adapters.forecasts.command import show_forecast

    view = View(_STEPS_MS[step], hours * 3_600_000)
    sys.exit(show_forecast(queue, _place(engine, cell, zone), view))


@forecast.command()
@click.option("--queue", "queues", multiple=True, metavar="ID", help="Queue; may be repeated.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write."
)
@_zone
@_address
@reaches_engine
@_cell
def report(queues: tuple[str, ...], out: Path, zone: str, engine: "EngineAt", cell: str) -> None:
    """Write a page with plots of some queues, of all without --queue.

    One file of HTML that asks nothing of the network: what came lately beside what had been
    forecast, the next twelve hours with their intervals, errors by how far ahead, how good breach
    risks have been, planned events and anomalies. Exit codes: 0 done, 2 wrong usage, no such queue
    or cell, or nothing is sensed there, 3 no engine answers, or the file cannot be written.
    """
    from adapters.forecasts.command import write_report

    sys.exit(write_report(queues, _place(engine, cell, zone), out))


def _place(engine: "EngineAt", cell: str, zone: str) -> "Place":
    from adapters.forecasts.command import Place
    from adapters.history.layout import HistoryRefused, zone_of

    try:
        return Place(engine, cell, zone_of(zone))
    except HistoryRefused as error:
        click.echo(f"headgate: {error}", err=True)
        sys.exit(ExitCode.SETTINGS)
