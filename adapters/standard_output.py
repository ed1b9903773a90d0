"""What commands print, and what they do where it cannot be printed."""

import errno
import os
import sys
from pathlib import Path

import click

from adapters.exit_code import ExitCode


def not_written(error: OSError, what: str) -> int:
    """Say why standard output took nothing, unless the reader has merely seen enough."""
    # What is left in the buffer goes nowhere, or Python would fail on it once more at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.EPIPE:
        return int(ExitCode.BUG)
    click.echo(f"headgate: cannot write {what}: {error.strerror}", err=True)
    return int(ExitCode.ENVIRONMENT)


def write_text(text: str, path: Path | None, what: str) -> int:
    """Write a text to a file, or to standard output where none is named; returns the exit code."""
    if path is None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            return not_written(error, what)
        return int(ExitCode.STOPPED)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        click.echo(f"headgate: {path}: cannot write {what}: {error.strerror}", err=True)
        return int(ExitCode.ENVIRONMENT)
    return int(ExitCode.STOPPED)
