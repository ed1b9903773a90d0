"""
Groups and rows as Redis keeps them.

A row is a field `<table>:<row>` of the hash `rows`, its payload the same field of `payloads`. What
one commit changes travels as one msgpack value and is taken apart by the script: redis-py packs
thousands of arguments slowly.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

import msgpack
import numpy as np
import orjson

from engine.state.rows import RowDelta, RowTable, deltas_of

_TABLES: Final = {table.value: table for table in RowTable}
# In a row's value: the length of the external id before the record.
_ID_LENGTH: Final = struct.Struct("<H")


def pack_changes(deltas: Sequence[RowDelta]) -> bytes:
    """Pack rows to set, payloads to set and fields gone, as the script COMMIT takes them."""
    rows: list[bytes] = []
    payloads: list[bytes] = []
    gone: list[bytes] = []
    for table, row, external_id, record, payload in deltas:
        field = b"%d:%d" % (table, row)
        if record is None:
            gone.append(field)
            continue
        name = external_id.encode()
        rows += (field, _ID_LENGTH.pack(len(name)) + name + record)
        if payload is not None:
            payloads += (field, payload)
    return pack_strings((rows, payloads, gone))


def pack_strings(strings: Sequence[bytes | Sequence[bytes]]) -> bytes:
    """Pack a list of strings, or of lists of them."""
    # Strings of the old kind, for cmsgpack in Redis knows no others.
    packed: bytes = msgpack.packb(strings, use_bin_type=False)
    return packed


def part_row(value: bytes) -> tuple[str, bytes]:
    """
    External id and record of a row's value.

    Raises ValueError or struct.error where it is not one of ours.
    """
    start = _ID_LENGTH.size + _ID_LENGTH.unpack_from(value)[0]
    if start > len(value):
        raise ValueError(f"a row of {len(value)} bytes ends within its id")
    return value[_ID_LENGTH.size : start].decode(), value[start:]


def joined_rows(
    rows: Mapping[bytes, tuple[str, bytes]], payloads: Mapping[bytes, bytes]
) -> list[RowDelta]:
    """
    Put rows and their payloads together, in order of table, then row.

    Raises ValueError or KeyError where a field is not one of ours.
    """
    numbers: list[int] = orjson.loads(b"[%b]" % b",".join(rows).replace(b":", b","))
    found = deltas_of(
        [_TABLES[table] for table in numbers[::2]],
        numbers[1::2],
        [external_id for external_id, _ in rows.values()],
        [record for _, record in rows.values()],
        [payloads.get(field, b"") for field in rows],
    )
    of_table, of_row = np.array(numbers, np.int64).reshape(-1, 2).T
    return [found[place] for place in np.lexsort((of_row, of_table)).tolist()]
