"""
Readings as JSON, for feeds that have no protobuf: IngestRequest with the names of the contract.

    {"source": "pbx-1", "readings": [
      {"second": 1795350400, "queue_ids": ["billing", "loans"], "offered": [3, 0]}]}

Whole numbers are numbers. A name that the contract does not have is refused: a slip in it would
otherwise pass for zeros.
"""

from typing import Final

import orjson

from adapters.errors import CallRefused, invalid
from engine.refusals import violation
from headgate.v1 import telemetry_pb2
from headgate.v1 import telemetry_service_pb2 as pb

_COLUMNS: Final = tuple(
    field.name
    for field in telemetry_pb2.ReadingColumns.DESCRIPTOR.fields
    if field.name not in ("second", "queue_ids")
)
_WHOLE: Final = "a whole number of 64 bits"


def request_of_json(text: bytes) -> pb.IngestRequest:
    """
    Read a message.

    Raises
    ------
    CallRefused
        INVALID_ARGUMENT: the text is not JSON, or not a message; names the field.
    """
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(violation("j", f"{len(text)} bytes", f"JSON ({error})")) from None
    fields = _object("j", document, ("cell", "source", "sequence", "readings"))
    readings = _list("readings", fields.get("readings", []))
    request = pb.IngestRequest(
        cell=_text("cell", fields.get("cell", "")),
        source=_text("source", fields.get("source", "")),
        sequence=_whole("sequence", fields.get("sequence", 0)),
    )
    for place, item in enumerate(readings):
        request.readings.append(_columns(f"readings[{place}]", item))
    return request


def _columns(path: str, document: object) -> telemetry_pb2.ReadingColumns:
    fields = _object(path, document, ("second", "queue_ids", *_COLUMNS))
    message = telemetry_pb2.ReadingColumns(second=_whole(f"{path}.second", fields.get("second", 0)))
    names = _list(f"{path}.queue_ids", fields.get("queue_ids", []))
    message.queue_ids.extend(
        _text(f"{path}.queue_ids[{place}]", name) for place, name in enumerate(names)
    )
    for column in _COLUMNS:
        values = _list(f"{path}.{column}", fields.get(column, []))
        getattr(message, column).extend(
            _whole(f"{path}.{column}[{place}]", value) for place, value in enumerate(values)
        )
    return message


def _object(path: str, value: object, names: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _wrong(path, value, "an object")
    for name in value:
        if name not in names:
            raise _wrong(f"{path}.{name}" if path != "j" else name, value[name], "no such field")
    return value


def _list(path: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise _wrong(path, value, "a list")
    return value


def _text(path: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(path, value, "a text")
    return value


def _whole(path: str, value: object) -> int:
    # True is a number to Python.
    if type(value) is not int or not (-(1 << 63) <= value < 1 << 63):
        raise _wrong(path, value, _WHOLE)
    return value


def _wrong(path: str, value: object, expected: str) -> CallRefused:
    shown = value if isinstance(value, (str, int, float)) else type(value).__name__
    return invalid(violation(path, shown, expected))
