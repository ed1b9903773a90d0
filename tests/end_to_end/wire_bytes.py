"""Bytes that are almost a message: its own fields, with values of any kind, in any order."""

import itertools
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
# What may be right comes first and more often: what is refused at once reaches little.
_NUMBERS = st.integers(0, 12) | st.sampled_from(
    [0, 1, 2, 7, 100, 1_000, 60_000, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1]
)
_WORDS = st.sampled_from([b"q", b"a", b"c", b"s", b"t"])
_TEXTS = (
    _WORDS
    | _WORDS
    | st.sampled_from([b"", b"default", b"\xff", b"\x00", b"x" * 200])
    | st.binary(max_size=12)
)
_KINDS = {
    FieldDescriptor.TYPE_DOUBLE: _FIXED_64,
    FieldDescriptor.TYPE_FLOAT: _FIXED_32,
    FieldDescriptor.TYPE_STRING: _BYTES,
    FieldDescriptor.TYPE_BYTES: _BYTES,
    FieldDescriptor.TYPE_MESSAGE: _BYTES,
}
_DEPTH_MAX = 3
_IDS = itertools.count()


def varint(value: int) -> bytes:
    """A number as the wire has it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def near_messages(kind: Any, depth: int = 0) -> st.SearchStrategy[bytes]:
    """Bytes that mostly parse as a message of a kind."""
    fields = list(kind.fields)
    if not fields or depth >= _DEPTH_MAX:
        return st.just(b"")
    one = st.sampled_from(fields).flatmap(lambda field: _field(field, depth))
    return st.lists(one, max_size=5).map(b"".join)


def near_requests(kind: Any) -> st.SearchStrategy[bytes]:
    """The same for a request, in the default cell and under an id of its own where it has one."""
    if "request_id" not in kind.fields_by_name:
        return near_messages(kind)
    key = varint(kind.fields_by_name["request_id"].number << 3 | _BYTES) + varint(12)
    cell = kind.fields_by_name.get("cell")
    here = varint(cell.number << 3 | _BYTES) + varint(0) if cell else b""
    return near_messages(kind).map(lambda raw: raw + key + b"%012d" % next(_IDS) + here)


def _field(field: Any, depth: int) -> st.SearchStrategy[bytes]:
    wire = _KINDS.get(field.type, _VARINT)
    key = varint(field.number << 3 | wire)
    if wire == _VARINT:
        return _NUMBERS.map(lambda value: key + varint(value))
    if wire in (_FIXED_32, _FIXED_64):
        size = 4 if wire == _FIXED_32 else 8
        return st.binary(min_size=size, max_size=size).map(lambda raw: key + raw)
    inner = near_messages(field.message_type, depth + 1) if field.message_type else _TEXTS
    return inner.map(lambda raw: key + varint(len(raw)) + raw)
