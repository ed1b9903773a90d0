"""Puts tables into README.md, each benchmark's between its own markers, and long ones beside it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.tables import Table

README: Final = Path(__file__).parent / "README.md"


def write_report(
    name: str, taken: Sequence[str], tables: Sequence[Table], readme: Path = README
) -> None:
    """
    Replace what stands between a benchmark's markers, and the pages of its long tables.

    Raises
    ------
    ValueError
        The file has no markers of that name.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before = readme.read_text(encoding="utf-8")
    stamped = "\n".join(f"- {line}" for line in taken)
    for page in {table.page for table in tables if table.page}:
        text = markdown(tables, page)
        (readme.parent / page).write_text(f"# {name}\n\n{stamped}\n\n{text}\n", encoding="utf-8")
    text = markdown(tables)
    section = f"{begin}\n\n{stamped}\n\n{text}\n\n{end}"
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    after, count = pattern.subn(lambda _: section, before)
    if count != 1:
        raise ValueError(f"{readme}: expected one pair of markers for {name!r}, got {count}")
    readme.write_text(after, encoding="utf-8")


def markdown(tables: Sequence[Table], page: str = "") -> str:
    """Those of the tables that one page keeps; "" for README.md."""
    return "\n\n".join(table.markdown() for table in tables if table.page == page)
