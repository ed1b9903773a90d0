"""What commands that only ask an engine something say when it does not answer, or not as hoped."""

from typing import Final

import grpc.aio

from adapters.complaints import complain, refused
from adapters.exit_code import ExitCode

# The engine has answered, and what was asked was wrong.
_WRONG_CALL: Final = (
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)


def not_answered(error: grpc.aio.AioRpcError, address: str) -> int:
    """Say why there is no answer; returns the exit code."""
    if error.code() in _WRONG_CALL:
        return refused(f"{error.details()}")
    complain(f"no answer from an engine at {address}: {error.code().name}: {error.details()}")
    return int(ExitCode.ENVIRONMENT)
