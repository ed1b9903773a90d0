"""Rows as an sqlite file keeps them."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from engine.state.rows import RowDelta, RowTable

# A row's key is its table above 40 bits of row: one integer, which is SQLite's own key. A key of
# two columns in a table WITHOUT ROWID was never faster, and 40 % slower in groups of 64, "full".
_ROW_BITS: Final = 40
_ROW_MASK: Final = (1 << _ROW_BITS) - 1
_ROW_TABLES: Final = {table.value: table for table in RowTable}

READ_ROWS: Final = "SELECT key, external_id, record, payload FROM rows ORDER BY key"
_UPSERT_ROW: Final = """INSERT INTO rows VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    external_id = excluded.external_id, record = excluded.record,
    payload = coalesce(excluded.payload, payload)"""


def write_rows(connection: sqlite3.Connection, deltas: Sequence[RowDelta]) -> None:
    """Set rows, or delete those without a record, within the caller's transaction."""
    kept = [
        (table << _ROW_BITS | row, external_id, record, payload)
        for table, row, external_id, record, payload in deltas
        if record is not None
    ]
    connection.executemany(_UPSERT_ROW, kept)
    if len(kept) < len(deltas):
        gone = [
            (table << _ROW_BITS | row,) for table, row, _, record, _ in deltas if record is None
        ]
        connection.executemany("DELETE FROM rows WHERE key = ?", gone)


def rows_of(found: Iterable[tuple[int, str, bytes, bytes | None]]) -> list[RowDelta]:
    """Rows as `READ_ROWS` has them."""
    return [
        RowDelta(
            _ROW_TABLES[key >> _ROW_BITS], key & _ROW_MASK, external_id, record, payload or b""
        )
        for key, external_id, record, payload in found
    ]
