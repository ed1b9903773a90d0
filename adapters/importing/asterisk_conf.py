"""
Files in the form of Asterisk: sections of options, some of them templates for others.

`;` begins a comment, `;--` one that ends with `--;`, and `\\;` is a semicolon. `[name](!)` is a
template, `[name](a,b)` begins with what the sections a and b hold, `[name](+)` goes on with a
section that was there before. `=` and `=>` mean the same.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from adapters.configuration.fields import Problem, meant, problem
from adapters.importing.report import NotImportable

_HEADER: Final = re.compile(r"\[([^\[\]]+)\]\s*(?:\(([^()]*)\))?")
_TOKEN: Final = re.compile(r"\\;|;--(?!-)|--;|;|[^\\;-]+|.")


class Option(NamedTuple):
    """An option: where it stands, its name in lower case, its value."""

    line: int
    name: str
    value: str


@dataclass(slots=True)
class Section:
    """A section with its options, those of its templates first."""

    name: str
    line: int
    is_template: bool = False
    options: list[Option] = field(default_factory=list)


class Directive(NamedTuple):
    """A line that draws another file in, such as `#include more.conf`."""

    line: int
    text: str


def parse(text: str) -> tuple[list[Section], list[Directive]]:
    """
    Sections, in their order, and directives.

    Raises
    ------
    NotImportable
        With every line that cannot be read.
    """
    sections: dict[str, Section] = {}
    directives: list[Directive] = []
    problems: list[Problem] = []
    present: Section | None = None
    for number, line in _lines(text):
        if line.startswith("#"):
            directives.append(Directive(number, line))
        elif line.startswith("["):
            present = _section(number, line, sections, problems)
        elif present is None:
            problems.append(problem(f"line {number}", line, "a [section] before any option"))
        else:
            problems += _add_option(number, line, present)
    if problems:
        raise NotImportable(*problems)
    return list(sections.values()), directives


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that say something, by number, without comments."""
    depth = 0
    number = 0
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        kept = []
        for token in _TOKEN.findall(line):
            if token == ";--":
                depth += 1
            elif depth:
                depth -= token == "--;"
            elif token == ";":
                break
            else:
                kept.append(";" if token == "\\;" else token)
        if stripped := "".join(kept).strip():
            yield number, stripped
    if depth:
        raise NotImportable(problem(f"line {number}", "the end", "--; to end a comment"))


def _section(
    number: int, line: str, sections: dict[str, Section], problems: list[Problem]
) -> Section:
    """The section that a header begins, or goes on with; adds what is wrong with it."""
    match = _HEADER.fullmatch(line)
    if match is None:
        problems.append(problem(f"line {number}", line, "[name], [name](!) or [name](template)"))
        return Section("", number)
    name = match[1].strip()
    marks = [mark.strip() for mark in (match[2] or "").split(",") if mark.strip()]
    known = sections.get(name)
    if "+" in marks:
        if known is None:
            expected = f"the name of a section above{meant(name, sections)}"
            problems.append(problem(f"line {number}", name, expected))
        return known or Section(name, number)
    if known is not None:
        expected = f"another name than that of line {known.line}, or [{name}](+)"
        problems.append(problem(f"line {number}", name, expected))
    section = Section(name, number, "!" in marks)
    for mark in marks:
        if mark in sections:
            section.options += sections[mark].options
        elif mark != "!":
            expected = f"the name of a template above{meant(mark, sections)}"
            problems.append(problem(f"line {number}", mark, expected))
    sections[name] = section
    return section


def _add_option(number: int, line: str, section: Section) -> list[Problem]:
    name, equals, value = line.partition("=")
    if not (equals and name.strip()):
        return [problem(f"line {number}", line, "OPTION = VALUE")]
    section.options.append(Option(number, name.strip().lower(), value.removeprefix(">").strip()))
    return []
