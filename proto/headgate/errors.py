"""What the client raises besides grpc's own errors, and what those say in their details."""

from collections.abc import Mapping
from typing import Final

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from headgate.v1 import error_pb2

# The server or the way to it went away; INTERNAL is how some broken connections end.
_LOST: Final = (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)


class CommandFailed(Exception):
    """
    The engine refused a command of a session frame.

    Attributes
    ----------
    error
        Code, message, reason and field violations. The command may be sent again, with the same
        request id, after `retry_after_ms`; where that is 0, waiting alone does not help.
    """

    def __init__(self, error: error_pb2.Error) -> None:
        super().__init__(f"{error.reason}: {error.message}")
        self.error = error


class SessionEnded(ConnectionError):
    """
    The session is over: nothing is sent, answered or told any more.

    Attributes
    ----------
    cause
        What broke the stream; None when either side ended it in good order.
    code
        Status the stream ended with; OK when in good order. INTERNAL where it ended while a frame
        was sent: gRPC then does not tell what the server said, and the next session learns it.
    may_resume
        Whether another session can go on where this one ended; otherwise it would end just so, for
        example because the cursor is too old.
    """

    def __init__(self, cause: grpc.aio.AioRpcError | None = None) -> None:
        self.cause = cause
        self.code = cause.code() if cause else grpc.StatusCode.OK
        self.may_resume = self.code in _LOST or (
            cause is not None
            and self.code == grpc.StatusCode.RESOURCE_EXHAUSTED
            and named_delay_s(cause) > 0
        )
        why = f": {self.code.name}: {cause.details()}" if cause else ""
        super().__init__(f"the session has ended{why}")


class TooFarBehind(SessionEnded):
    """
    The events of a session are over, for more waited to be taken than are kept; its commands are
    answered still.

    Attributes
    ----------
    cursor
        Place after the last event that was kept. What came later comes again in another session
        that begins here, so `may_resume` is true.
    """

    def __init__(self, cursor: str) -> None:
        super().__init__()
        self.cursor = cursor
        self.code = grpc.StatusCode.RESOURCE_EXHAUSTED
        self.may_resume = True
        self.args = (
            "the events of the session have ended, for more came than were taken; go on with "
            f"another session, SessionWatch(cursor={cursor!r})",
        )


def details_of(error: grpc.aio.AioRpcError) -> Mapping[str, str]:
    """Broken rules of a refused request: what was expected, by field."""
    found: dict[str, str] = {}
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        bad_request = error_details_pb2.BadRequest()
        if detail.Unpack(bad_request):
            for item in bad_request.field_violations:
                found[item.field] = item.description
    return found


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The fixed word of a refusal, for example OFFER_GONE; "" where the engine gave none."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def named_delay_s(error: grpc.aio.AioRpcError) -> float:
    """Seconds after which the engine asks to be called again; 0.0 where it names none."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToMilliseconds()) / 1_000
    return 0.0
