"""Records of audit files as lines or as a table, each with what stood there before."""

import csv
import gzip
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from adapters.complaints import complain
from adapters.exit_code import ExitCode
from adapters.standard_output import write_text

_FIELDS: Final = (
    "timestamp", "caller", "tenant", "roles", "peer", "cell", "method", "target", "request_id",
    "outcome", "reason", "before", "after",
)  # fmt: skip
_APPLIED: Final = "OK"
# Methods of one service that say the whole of a thing, or that it is gone: one is before the other.
_WHOLE: Final = ("Upsert", "Put", "Delete")
_STANDARD_INPUT: Final = Path("-")

Record = Mapping[str, object]


class Wanted(NamedTuple):
    """Which records; "" and None for any. Times are seconds since the Unix epoch."""

    since_s: float | None = None
    until_s: float | None = None
    caller: str = ""
    tenant: str = ""
    cell: str = ""
    target: str = ""
    method: str = ""
    outcome: str = "all"

    def includes(self, record: Record) -> bool:
        """Whether a record is among them."""
        at_s = _seconds(record)
        if (self.since_s is not None and at_s < self.since_s) or (
            self.until_s is not None and at_s >= self.until_s
        ):
            return False
        named = {name: getattr(self, name) for name in ("caller", "tenant", "cell", "target")}
        if any(wanted and record.get(name) != wanted for name, wanted in named.items()):
            return False
        if self.method and str(record["method"]).rpartition("/")[2] != self.method:
            return False
        return self.outcome == "all" or _is_applied(record) == (self.outcome == "applied")


class DamagedRecord(ValueError):
    """A line is a record by its beginning, and cannot be read."""


def export_records(files: Sequence[Path], wanted: Wanted, form: str, output: Path | None) -> int:
    """Write the wanted records of files; returns the exit code."""
    try:
        records = sorted(_read(files), key=_seconds)
    except OSError as error:
        complain(f"{error.filename}: {error.strerror or error}")
        return ExitCode.ENVIRONMENT
    except DamagedRecord as error:
        complain(str(error))
        return ExitCode.SETTINGS
    found = [record for record in with_before(records) if wanted.includes(record)]
    text = _as_csv(found) if form == "csv" else _as_lines(found)
    return write_text(text, output, "the records")


def with_before(records: Iterable[Record]) -> Iterator[Record]:
    """Records in order of time, each applied one with what the last one said of the same thing."""
    last: dict[tuple[str, ...], object] = {}
    for record in records:
        after = record.get("change")
        shown = {name: record.get(name, "") for name in _FIELDS[:-2]}
        if not _is_applied(record):
            yield {**shown, "before": None, "after": after}
            continue
        key = _thing(record)
        yield {**shown, "before": last.get(key), "after": after}
        last[key] = after


def _thing(record: Record) -> tuple[str, ...]:
    """What a record is about: a thing as a whole, or one kind of change of it."""
    service, _, method = str(record["method"]).partition("/")
    is_whole = method.startswith(_WHOLE)
    target = str(record.get("target", ""))
    return str(record.get("cell", "")), service, "" if is_whole else method, target


def _is_applied(record: Record) -> bool:
    return record.get("outcome") == _APPLIED


def _seconds(record: Record) -> float:
    return datetime.fromisoformat(str(record["timestamp"])).timestamp()


def _read(files: Sequence[Path]) -> Iterator[Record]:
    for path in files:
        for number, line in enumerate(_lines(path), start=1):
            if b'"event":"audit"' in line.replace(b" ", b""):
                yield _record(line, f"{path}:{number}")


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a file, which may be compressed."""
    if path == _STANDARD_INPUT:
        yield from sys.stdin.buffer
        return
    with path.open("rb") as plain:
        is_compressed = plain.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if is_compressed else path.open("rb") as file:
            yield from file
    except (EOFError, gzip.BadGzipFile):
        raise DamagedRecord(f"{path}: expected a whole gzip file") from None


def _record(line: bytes, place: str) -> Record:
    try:
        record = orjson.loads(line[line.index(b"{") :])
        method, _ = str(record["method"]), _seconds(record)
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedRecord(f"{place}: expected an audit record, got one without {error}") from None
    if "/" not in method:
        raise DamagedRecord(f"{place}: method: expected Service/Method, got {method!r}")
    found: Record = record
    return found


def _as_lines(records: Sequence[Record]) -> str:
    return "".join(orjson.dumps(record).decode() + "\n" for record in records)


def _as_csv(records: Sequence[Record]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_FIELDS)
    for record in records:
        writer.writerow([_cell(record[name]) for name in _FIELDS])
    return text.getvalue()


def _cell(value: object) -> str:
    """A field of a table; one that a spreadsheet would run is kept from it by a quote."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
