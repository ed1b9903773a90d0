"""What commands that only ask an engine something say when it does not answer, or not as hoped."""

from typing import Final

import click
import grpc.aio

from adapters.addresses import split_address
from adapters.exit_code import ExitCode

# The engine has answered, and what was asked was wrong.
_WRONG_CALL: Final = (
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)


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


def not_answered(error: grpc.aio.AioRpcError, address: str) -> int:
    """Say why there is no answer; returns the exit code."""
    if error.code() in _WRONG_CALL:
        return refused(f"{error.details()}")
    complain(f"no answer from an engine at {address}: {error.code().name}: {error.details()}")
    return int(ExitCode.ENVIRONMENT)
