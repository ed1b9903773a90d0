"""Rows of a file: CSV, plain or in gzip, and parquet where pyarrow is installed."""

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Final, NamedTuple

from adapters.history.layout import HistoryRefused, Layout

_GZIP: Final = b"\x1f\x8b"
_SEPARATORS: Final = ",;\t|"


class Row(NamedTuple):
    """
    The cells of one row that are looked at, as text.

    Attributes
    ----------
    line
        In the file, from 1; of parquet the number of the row.
    queue, time, contacts
        Cells; "" where there is no such column.
    """

    line: int
    queue: str
    time: str
    contacts: str


def read_rows(path: Path, layout: Layout) -> Iterator[Row]:
    """
    Read the rows of a file, one after the other.

    Raises
    ------
    HistoryRefused
        It has other columns, is no text in UTF-8, or a row is not as long as the first.
    OSError
        It cannot be read.
    """
    if path.suffix.lower() == ".parquet":
        yield from _parquet_rows(path, layout)
        return
    try:
        with path.open("rb") as raw:
            is_packed = raw.read(2) == _GZIP
            raw.seek(0)
            packed = gzip.GzipFile(fileobj=raw) if is_packed else raw
            with TextIOWrapper(packed, encoding="utf-8-sig", newline="") as text:
                yield from _csv_rows(text, layout)
    except UnicodeDecodeError:
        raise HistoryRefused("expected text in UTF-8") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise HistoryRefused("the gzip file is damaged or cut off") from None


def _csv_rows(lines: Iterable[str], layout: Layout) -> Iterator[Row]:
    source = iter(lines)
    first = next(source, "")
    separator = max(_SEPARATORS, key=first.count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
    places = _places(header, layout)
    reader = csv.reader(source, delimiter=separator)
    try:
        for cells in reader:
            line = reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(header):
                what = f"expected {len(header)} columns as in the first line, got {len(cells)}"
                raise HistoryRefused(f"line {line}: {what}")
            yield Row(line, *(cells[place].strip() if place >= 0 else "" for place in places))
    except csv.Error as error:
        raise HistoryRefused(f"line {reader.line_num + 1}: {error}") from None


def _parquet_rows(path: Path, layout: Layout) -> Iterator[Row]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise HistoryRefused(
            "reading parquet needs pyarrow, which does not come with headgate: install it beside "
            "(pip install pyarrow), or give a CSV file"
        ) from None
    try:
        file = parquet.ParquetFile(path)
        header = list(file.schema_arrow.names)
        places = _places(header, layout)
        wanted = [header[place] for place in places if place >= 0]
        line = 0
        for batch in file.iter_batches(columns=list(dict.fromkeys(wanted))):
            columns = [
                batch.column(header[place]).to_pylist() if place >= 0 else [""] * len(batch)
                for place in places
            ]
            for cells in zip(*columns, strict=True):
                line += 1
                yield Row(line, *map(_cell, cells))
    except ArrowInvalid as error:
        raise HistoryRefused(f"no parquet file: {error}") from None


def _cell(value: object) -> str:
    """A value of a parquet column as a CSV file would have it."""
    if value is None:
        return ""
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


def _places(header: Sequence[str], layout: Layout) -> tuple[int, int, int]:
    """
    Where the columns of queue, time and count are, -1 for none.

    Raises
    ------
    HistoryRefused
        One is missing, or there twice.
    """
    problems = [
        f"no column {name!r}: the file has {', '.join(repr(item) for item in header) or 'none'}"
        for name in layout.columns()
        if name not in header
    ]
    problems += [
        f"column {name!r} is there {header.count(name)} times"
        for name in layout.columns()
        if header.count(name) > 1
    ]
    if problems:
        raise HistoryRefused(*problems)
    queue = header.index(layout.queue_column) if layout.queue_column else -1
    count = -1 if layout.is_events else header.index(layout.count_column)
    return queue, header.index(layout.time_column), count
