"""What commands say when something is wrong; no gRPC here, which `serve` must not import early."""

import click

from adapters.addresses import split_address
from adapters.exit_code import ExitCode


def wrong_address(address: str) -> str | None:
    """What is wrong with an address, None for nothing."""
    try:
        split_address(address)
    except ValueError:
        return f"--address: expected HOST:PORT, got {address!r}"
    return None


def complain(*lines: str) -> None:
    """Say what went wrong."""
    for line in lines:
        click.echo(f"headgate: {line}", err=True)


def refused(*lines: str) -> int:
    """Say what was wrong with what was asked; returns the exit code."""
    complain(*lines)
    return int(ExitCode.SETTINGS)
