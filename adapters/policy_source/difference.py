"""What differs between two texts of a policy, in words of the document and as lines."""

import difflib
from collections.abc import Iterator
from typing import Final, NamedTuple

import orjson

from adapters.policy_source.positions import read_documents

_ABSENT: Final = object()


class Change(NamedTuple):
    """One difference; what stood and stands there as JSON, "" for nothing."""

    path: str
    before: str
    after: str


def differences(before: tuple[str, str], after: tuple[str, str]) -> tuple[list[Change], str]:
    """What differs between two texts, each with how it is called: by fields, and as lines."""
    lines = unified(before[1], after[1], (before[0], after[0]))
    return changes(before[1], after[1]), lines


def changes(before: str, after: str) -> list[Change]:
    """Differences of what two texts say, in the order of the text; none where one is no YAML."""
    values = [_value(before), _value(after)]
    if None in values:
        return []
    return list(_changes("", values[0], values[1]))


def unified(before: str, after: str, names: tuple[str, str]) -> str:
    """The same as lines, as `diff -u` writes them; "" where the texts are the same."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _value(text: str) -> object | None:
    """What a text says, {} for nothing, None for what is no YAML."""
    documents, problems = read_documents(text)
    if problems:
        return None
    return documents[0].value if documents else {}


def _changes(path: str, before: object, after: object) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            below = f"{path}.{key}" if path else str(key)
            yield from _changes(below, before.get(key, _ABSENT), after.get(key, _ABSENT))
        return
    if isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(path, before, after)
        return
    # 3 and 3.0 are not the same in a policy.
    if _shown(before) != _shown(after):
        yield Change(path, _shown(before), _shown(after))


def _of_lists(path: str, before: list[object], after: list[object]) -> Iterator[Change]:
    """Items that have names are compared by these, others by their place."""
    first, second = _by_name(before), _by_name(after)
    if first is None or second is None:
        first, second = dict(enumerate(before)), dict(enumerate(after))
    for key in dict.fromkeys((*first, *second)):
        yield from _changes(f"{path}[{key}]", first.get(key, _ABSENT), second.get(key, _ABSENT))
    kept = [key for key in first if key in second]
    if kept != [key for key in second if key in first]:
        # The first rule that matches counts.
        yield Change(f"{path} (order)", _shown([*first]), _shown([*second]))


def _by_name(items: list[object]) -> dict[object, object] | None:
    """Items by their names; None unless each has one of its own."""
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    return dict(zip(names, items, strict=True))


def _shown(value: object) -> str:
    if value is _ABSENT:
        return ""
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
