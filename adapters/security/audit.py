"""
Audit records: who changed what, on whose behalf, with which outcome.

One JSON object a line, to the log or to a file of its own. The file is opened anew for each record,
so that whatever rotates logs may move it away at any time.
"""

import datetime
import os
from typing import Final, Protocol

import orjson
import structlog
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc import code_pb2

from adapters.errors import CallRefused
from adapters.security.callers import Caller

_REQUEST_BYTES_MAX: Final = 16_384


class _Counter(Protocol):
    def inc(self) -> None: ...


class AuditTrail:
    """
    Where audit records go.

    Parameters
    ----------
    path
        File they are added to; "" for the log, whatever level that is set to.
    failures
        Counts records that could not be added to the file, and went to the log.
    """

    def __init__(self, path: str, failures: _Counter) -> None:
        self._path = path
        self._failures = failures

    def record(
        self,
        caller: Caller,
        peer: str,
        method: str,
        request: Message | None,
        refused: CallRefused | None,
    ) -> None:
        """Keep a record of a call that has its outcome; `request` None where it was not read."""
        fields: dict[str, object] = {
            "caller": caller.name,
            "tenant": caller.tenant,
            "roles": sorted(caller.roles) if caller.name else [],
            "peer": peer,
            "method": f"headgate.v1.{method}",
            "outcome": code_pb2.Code.Name(refused.code if refused else code_pb2.OK),
            "reason": refused.reason if refused else "",
        }
        if request is not None:
            fields |= _of_request(request)
        if not (self._path and self._is_added(fields)):
            _always().info("audit", **fields)

    def _is_added(self, fields: dict[str, object]) -> bool:
        at = datetime.datetime.now(datetime.UTC).isoformat()
        line = orjson.dumps({"event": "audit", **fields, "timestamp": at}) + b"\n"
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                # In one piece: a line is never cut in two by those of another process.
                return os.write(file, line) == len(line)
            finally:
                os.close(file)
        except OSError:
            self._failures.inc()
            return False


def _of_request(request: Message) -> dict[str, object]:
    """What a request is about: its cell, its id, the thing it changes, and the change."""
    body = MessageToDict(request, preserving_proto_field_name=True)
    cell, request_id = body.pop("cell", "default"), body.pop("request_id", "")
    too_large = len(orjson.dumps(body)) > _REQUEST_BYTES_MAX
    return {
        "cell": cell,
        "request_id": request_id,
        "target": target_of(request),
        "change": f"{request.ByteSize()} bytes" if too_large else body,
    }


def target_of(request: Message) -> str:
    """The id of the one thing a request changes, such as queue_id or name, or of queue in it."""
    for field, value in request.ListFields():
        if field.name == "request_id":
            continue
        is_id = field.name.endswith("_id") or field.name in ("name", "policy")
        if is_id and isinstance(value, str):
            return value
        if isinstance(value, Message) and (found := target_of(value)):
            return found
    return ""


def _always() -> structlog.typing.FilteringBoundLogger:
    """The log, at a level that keeps records whatever the process's own is."""
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.get_config()["logger_factory"](),
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )
    return logger
