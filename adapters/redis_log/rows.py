"""
Groups and rows as Redis keeps them.

A row is a field `<table>:<row>` of the hash `rows`, its payload the same field of `payloads`. What
one commit changes travels as one msgpack value and is taken apart by the script: redis-py packs
thousands of arguments slowly.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from engine.state.rows import RowDelta, RowTable

_TABLES: Final = {table.value: table for table in RowTable}
# A msgpack string, and a list, with a length of 32 bits.
_STRING: Final = struct.Struct(">cI")
_LIST: Final = b"\xdd"
# In a row's value: the length of the external id before the record.
_ID_LENGTH: Final = struct.Struct("<H")


def pack_changes(deltas: Sequence[RowDelta]) -> bytes:
    """Pack rows to set, payloads to set and fields gone, as the script COMMIT takes them."""
    rows: list[bytes] = []
    payloads: list[bytes] = []
    gone: list[bytes] = []
    head = _STRING.pack
    for table, row, external_id, record, payload in deltas:
        field = b"%d:%d" % (table, row)
        if record is None:
            gone += (head(b"\xdb", len(field)), field)
            continue
        name = external_id.encode()
        rows += (
            head(b"\xdb", len(field)),
            field,
            head(b"\xdb", 2 + len(name) + len(record)),
            _ID_LENGTH.pack(len(name)),
            name,
            record,
        )
        if payload is not None:
            payloads += (head(b"\xdb", len(field)), field, head(b"\xdb", len(payload)), payload)
    # Parts per element: a field and a value are six parts of `rows`, four of `payloads`.
    lists = ((rows, len(rows) // 3), (payloads, len(payloads) // 2), (gone, len(gone) // 2))
    packed = [b"\x93"]
    for parts, count in lists:
        packed.append(head(_LIST, count))
        packed += parts
    return b"".join(packed)


def pack_strings(strings: Sequence[bytes]) -> bytes:
    """Pack a list of strings."""
    packed = [_STRING.pack(_LIST, len(strings))]
    for string in strings:
        packed += (_STRING.pack(b"\xdb", len(string)), string)
    return b"".join(packed)


def unpack_strings(packed: bytes) -> Iterator[bytes]:
    """
    Take a msgpack list of strings apart.

    Raises ValueError where it is not one, IndexError or struct.error where it is cut short.
    """
    count, at = _list_head(packed)
    for _ in range(count):
        kind = packed[at]
        if kind & 0xE0 == 0xA0:
            start, size = at + 1, kind & 0x1F
        elif kind == 0xD9:
            start, size = at + 2, packed[at + 1]
        elif kind == 0xDA:
            start, size = at + 3, int.from_bytes(packed[at + 1 : at + 3], "big")
        elif kind == 0xDB:
            start, size = at + 5, int.from_bytes(packed[at + 1 : at + 5], "big")
        else:
            raise ValueError(f"expected a msgpack string at {at}, got type 0x{kind:02x}")
        at = start + size
        if at > len(packed):
            raise ValueError(f"expected {at} bytes of msgpack, got {len(packed)}")
        yield packed[start:at]


def unpack_fields(packed: bytes) -> dict[bytes, bytes]:
    """Take a page of a hash apart: fields and values."""
    strings = unpack_strings(packed)
    return dict(zip(strings, strings, strict=True))


def joined_rows(rows: dict[bytes, bytes], payloads: dict[bytes, bytes]) -> list[RowDelta]:
    """
    Put rows and their payloads together, in order of table, then row.

    Raises ValueError, KeyError or struct.error where a field or value is not one of ours.
    """
    found: list[RowDelta] = []
    for field, value in rows.items():
        table, _, row = field.partition(b":")
        (length,) = _ID_LENGTH.unpack_from(value)
        start = _ID_LENGTH.size + length
        if start > len(value):
            raise ValueError(f"row {field!r} ends within its id")
        external_id = value[_ID_LENGTH.size : start].decode()
        payload = payloads.get(field, b"")
        found.append(RowDelta(_TABLES[int(table)], int(row), external_id, value[start:], payload))
    found.sort(key=lambda delta: (delta.table, delta.row))
    return found


def _list_head(packed: bytes) -> tuple[int, int]:
    kind = packed[0]
    if kind & 0xF0 == 0x90:
        return kind & 0x0F, 1
    if kind == 0xDC:
        return int.from_bytes(packed[1:3], "big"), 3
    if kind == 0xDD:
        return int.from_bytes(packed[1:5], "big"), 5
    # An empty table of Lua: neither list nor map.
    if packed == b"\x80":
        return 0, 1
    raise ValueError(f"expected a msgpack list, got type 0x{kind:02x}")
