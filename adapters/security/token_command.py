"""`headgate token new`: makes a token, shows it once, and says what the callers file needs."""

import json
import os
import sys
from pathlib import Path

import click

from adapters.exit_code import ExitCode


def _words(_context: click.Context, _option: click.Parameter, value: str) -> list[str]:
    return [word for word in value.split(",") if word]


@click.group(short_help="Make tokens for callers.")
def token() -> None:
    """Tokens that callers show instead of certificates or JSON Web Tokens."""


@token.command()
@click.option("--name", required=True, help="Of the program or person that is to call.")
@click.option("--tenant", required=True, help="On whose behalf.")
@click.option(
    "--roles", required=True, callback=_words, metavar="ROLE,...",
    help="Some of gateway, operator, author, reader, engine.",
)  # fmt: skip
@click.option(
    "--cells", default="default", show_default=True, callback=_words, metavar="CELL,...",
    help="Cells it may use, or *.",
)  # fmt: skip
@click.option("--until", metavar="TIME", help="When it ends, such as 2027-06-01T00:00:00Z.")
@click.option(
    "--add-to", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Callers file to add the line to, instead of printing it.",
)  # fmt: skip
def new(  # noqa: PLR0913  (what the command line says)
    name: str, tenant: str, roles: list[str], cells: list[str], until: str | None,
    add_to: Path | None,
) -> None:  # fmt: skip
    """Print a new token, which is kept nowhere, and the line that lets it in.

    The line goes into the callers_file of `headgate serve`, which takes it in within seconds; with
    --add-to it is put there, and the token alone is printed. Exit codes: 0 done, 2 wrong usage,
    3 the file cannot be written.
    """
    from adapters.security.callers import fields_of
    from adapters.security.tokens import hash_of, new_token
    from engine.refusals import BadConfiguration

    made = new_token()
    fields: dict[str, object] = {"name": name, "tenant": tenant, "roles": roles, "cells": cells}
    line = json.dumps(fields | {"token": str(hash_of(made))} | ({"until": until} if until else {}))
    try:
        fields_of(line, "headgate token new")
    except BadConfiguration as error:
        click.echo(f"headgate: {error}", err=True)
        sys.exit(ExitCode.SETTINGS)
    if add_to is not None:
        try:
            _add(line, add_to)
        except OSError as error:
            click.echo(f"headgate: {add_to}: {error.strerror}", err=True)
            sys.exit(ExitCode.ENVIRONMENT)
    click.echo(made)
    if add_to is None:
        click.echo(line)


def _add(line: str, path: Path) -> None:
    """Add a line to a file, which only its owner can read where it is new."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(file, "r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        is_whole = size == 0 or os.pread(opened.fileno(), 1, size - 1) == b"\n"
        opened.write(f"{'' if is_whole else chr(10)}{line}\n".encode())
