"""`headgate policy lint`: checks files without an engine."""

from collections.abc import Sequence
from pathlib import Path

import click

from adapters.exit_code import ExitCode
from adapters.policy_command.formats import FORMATS
from adapters.policy_files.folder import look_at, read_sources, sorted_out
from adapters.policy_source.checking import Remark, Source, text_checks
from adapters.standard_output import write_text
from engine.policy.findings import Severity

FOUND = 1


def lint_files(paths: Sequence[Path], form: str, *, is_strict: bool) -> int:
    """Check files, and those in folders, as one set; returns the exit code."""
    found = _sources(paths)
    if isinstance(found, int):
        return found
    remarks = _remarks(found)
    exit_code = write_text(FORMATS[form](remarks), None, "what was found")
    if exit_code != ExitCode.STOPPED:
        return exit_code
    errors = sum(item.severity is Severity.ERROR for item in remarks)
    warnings = len(remarks) - errors
    _complain(
        f"{_count(len(found), 'file')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}"
    )
    return FOUND if errors or (is_strict and warnings) else int(ExitCode.STOPPED)


def _remarks(sources: Sequence[Source]) -> list[Remark]:
    read = sorted_out(text_checks().check(sources), sources, ())
    files = {source.file: place for place, source in enumerate(sources)}
    return sorted(read.remarks, key=lambda item: (files[item.problem.file], item.problem.place))


def _sources(paths: Sequence[Path]) -> list[Source] | int:
    """Texts of the files, or the exit code where one cannot be read."""
    sources: list[Source] = []
    for path in paths:
        try:
            names = list(look_at(path)) if path.is_dir() else [path.name]
        except OSError as error:
            _complain(f"{path}: {error.strerror}")
            return int(ExitCode.SETTINGS)
        found, unread = read_sources(path if path.is_dir() else path.parent, names)
        if unread:
            _complain(*(f"{item.problem.file}: {item.problem.message}" for item in unread))
            return int(ExitCode.SETTINGS)
        sources += found
    if not sources:
        _complain("no file *.yaml or *.yml there")
        return int(ExitCode.SETTINGS)
    return sources


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _complain(*lines: str) -> None:
    # Not by `one_call`, which loads gRPC.
    for line in lines:
        click.echo(f"headgate: {line}", err=True)
