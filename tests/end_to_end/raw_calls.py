"""Calls of any method with raw bytes and given metadata, over a synchronous channel."""

import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.end_to_end.contract import Rpc

Metadata = Sequence[tuple[str, str]]
_TIMEOUT_S = 20.0


class Outcome(NamedTuple):
    """
    How a call ended.

    Attributes
    ----------
    code, reason
        Canonical code, and the fixed word of a refusal; OK and "" also for a stream that was left.
    message
        What was said to a person.
    replies
        Messages that came, of a stream at most one.
    """

    code: str
    reason: str
    message: str
    replies: list[bytes]


def bearer(token: str) -> Metadata:
    """Metadata that shows a token."""
    return (("authorization", f"Bearer {token}"),)


def call(
    channel: grpc.Channel,
    rpc: Rpc,
    raw: bytes,
    metadata: Metadata = (),
    quiet_s: float | None = None,
) -> Outcome:
    """
    Call a method with one message; of a stream of replies the first alone is waited for, and that
    only for `quiet_s` where it may stay away.
    """
    is_watch = rpc.has_reply_stream and not rpc.has_request_stream
    timeout_s = quiet_s if quiet_s is not None and is_watch else _TIMEOUT_S
    kind = f"{'stream' if rpc.has_request_stream else 'unary'}_stream"
    made: Any = getattr(channel, kind)(rpc.path)
    # A stream of requests stays open until the reply is there.
    done = threading.Event()
    request: Any = _held(raw, done) if rpc.has_request_stream else raw
    replies: list[bytes] = []
    try:
        stream = made(request, timeout=timeout_s, metadata=metadata)
        for reply in stream:
            replies.append(reply)
            if is_watch:
                break
            done.set()
        stream.cancel()
    except grpc.RpcError as error:
        if timeout_s == quiet_s and error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return Outcome("OK", "", "", replies)
        return Outcome(error.code().name, _reason(error), str(error.details()), replies)
    finally:
        done.set()
    return Outcome("OK", "", "", replies)


def _held(raw: bytes, done: threading.Event) -> Iterator[bytes]:
    yield raw
    done.wait(_TIMEOUT_S)


def _reason(error: Any) -> str:
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def counted(page: str, reason: str) -> float:
    """How many calls were refused so, by the metrics page."""
    (line,) = [
        item
        for item in page.splitlines()
        if item.startswith(f"headgate_auth_failures_total{{reason={json.dumps(reason)}}}")
    ]
    return float(line.split()[-1])
