"""Puts tables into README.md, each benchmark's between its own markers."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

README: Final = Path(__file__).parent / "README.md"


def write_report(name: str, taken: Sequence[str], text: str, readme: Path = README) -> None:
    """
    Replace what stands between a benchmark's markers.

    Raises
    ------
    ValueError
        The file has no markers of that name.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before = readme.read_text(encoding="utf-8")
    stamped = "\n".join(f"- {line}" for line in taken)
    section = f"{begin}\n\n{stamped}\n\n{text}\n\n{end}"
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    after, count = pattern.subn(lambda _: section, before)
    if count != 1:
        raise ValueError(f"{readme}: expected one pair of markers for {name!r}, got {count}")
    readme.write_text(after, encoding="utf-8")
