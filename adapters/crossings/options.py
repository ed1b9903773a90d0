"""`headgate crossings`: its options; what it does stands beside."""

import sys
from typing import TYPE_CHECKING

import click

from adapters.engine_options import reaches_engine

if TYPE_CHECKING:
    from adapters.engine_options import EngineAt

_address = click.option(
    "--address", default="127.0.0.1:7443", show_default=True, envvar="HEADGATE_ADDRESS",
    show_envvar=True, help="HOST:PORT of the engine.",
)  # fmt: skip
_cell = click.option("--cell", default="default", show_default=True, help="Which of its cells.")


@click.group(short_help="Contacts on their way to other cells.")
def crossings() -> None:
    """Contacts that are on their way to other cells, and a word where no answer comes."""


@crossings.command("list")
@_address
@_cell
@reaches_engine
def list_(engine: "EngineAt", cell: str) -> None:
    """List contacts on their way: number, cell, queue, contact, and for how long.

    Exit codes: 0 done, 2 wrong usage or not allowed, 3 no answer.
    """
    from adapters.crossings.command import list_crossings

    sys.exit(list_crossings(engine, cell))


@crossings.command()
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1), metavar="[NUMBER]...")
@click.option("--to", "to_cell", default="", metavar="CELL", help="All that go to this cell.")
@click.option("--taken", "answer", flag_value="taken", help="The contact is there: it ends here.")
@click.option("--refused", "answer", flag_value="refused", help="It is not: it waits here again.")
@_address
@_cell
@reaches_engine
def settle(
    engine: "EngineAt", cell: str, numbers: tuple[int, ...], to_cell: str, answer: str | None
) -> None:
    """Say what came of crossings that no answer will come for.

    For when the other cell is gone for good, or has forgotten (the log tells of
    `crossing_forgotten`). Look there first: where it has the contact after all it would be in both
    cells, or with the other word in none.

    Exit codes: 0 done, 2 wrong usage, not allowed or no such crossing, 3 no answer.
    """
    from adapters.crossings.command import settle_crossings

    if answer is None or bool(numbers) == bool(to_cell):
        raise click.UsageError("expected --taken or --refused, and NUMBER... or --to CELL")
    sys.exit(settle_crossings(engine, cell, numbers, to_cell, is_taken=answer == "taken"))
