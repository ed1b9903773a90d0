"""What was found in files, in the forms that people, scripts and code hosts read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import orjson

from adapters.policy_source.checking import Remark
from engine.policy.findings import Severity

SARIF_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def as_text(remarks: Sequence[Remark]) -> str:
    """`file:line:col: severity: message [rule]`, each with its line and a caret."""
    return "".join(f"{remark}\n" for remark in remarks)


def as_json(remarks: Sequence[Remark]) -> str:
    """An object for each."""
    found = [
        {
            "file": item.problem.file,
            "line": item.problem.place.line,
            "column": item.problem.place.column,
            "severity": item.severity.value,
            "rule": item.problem.rule,
            "policy": item.policy,
            "path": item.problem.path,
            "message": item.problem.plain,
        }
        for item in remarks
    ]
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n"


def as_github(remarks: Sequence[Remark]) -> str:
    """Workflow commands of GitHub Actions, which shows them beside the lines."""
    return "".join(
        f"::{item.severity.value} file={_property(item.problem.file)},"
        f"line={item.problem.place.line},col={item.problem.place.column},"
        f"title={_property(item.problem.rule)}::{_escaped(item.problem.message)}\n"
        for item in remarks
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def as_sarif(remarks: Sequence[Remark]) -> str:
    """SARIF 2.1.0, which code hosts take as the result of an analysis."""
    from adapters.process_metrics import version

    rules = sorted({item.problem.rule for item in remarks})
    log = {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "headgate policy lint",
                        "version": version(),
                        "rules": [{"id": rule} for rule in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(item, rules) for item in remarks],
            }
        ],
    }
    return orjson.dumps(log, option=orjson.OPT_INDENT_2).decode() + "\n"


def _result(remark: Remark, rules: Sequence[str]) -> dict[str, object]:
    problem = remark.problem
    region = {"startLine": problem.place.line, "startColumn": problem.place.column}
    place = {"artifactLocation": {"uri": _uri(problem.file)}, "region": region}
    return {
        "ruleId": problem.rule,
        "ruleIndex": rules.index(problem.rule),
        "level": "error" if remark.severity is Severity.ERROR else "warning",
        "message": {"text": problem.message},
        "locations": [{"physicalLocation": place}],
    }


def _uri(file: str) -> str:
    """A file as a URI reference: relative where it is."""
    from urllib.parse import quote

    return f"file://{quote(file)}" if file.startswith("/") else quote(file)


FORMATS: Final[Mapping[str, Callable[[Sequence[Remark]], str]]] = {
    "text": as_text,
    "json": as_json,
    "github": as_github,
    "sarif": as_sarif,
}
