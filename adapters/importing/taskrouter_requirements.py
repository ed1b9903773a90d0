"""
Attributes of TaskRouter's workers as skills and tags, and expressions on them as requirements.

A list named `skills` holds skills; Flex keeps their levels beside it, in `levels`. Any other list
or text is a tag with the attribute's name, such as `languages:en`; a true value is a tag of that
name; a whole number of 1 to 5 is the level of a skill of that name.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from adapters.importing.report import Kind
from adapters.importing.taskrouter_expression import (
    AllOf,
    AnyOf,
    Comparison,
    Constant,
    Expression,
    Key,
    Not,
    Value,
    is_true,
    look_up,
)
from headgate.v1.agent_pb2 import Agent, AgentSkill
from headgate.v1.contact_pb2 import Requirements

LEVEL_MAX: Final = 5
_SKILLS: Final = "skills"
_LEVELS: Final = "levels"
# How an agent itself is named in an expression.
_IDENTITIES: Final = ("id", "sid", "friendly_name", "name")
_ORDER: Final = re.compile(r"worker\.([\w.]+)\s+DESC", re.IGNORECASE)
# One level of the first skill counts for more than a day of being idle does, as it is an order.
_FIRST_WEIGHT: Final = 100.0
_MIRRORED: Final = {"==": "==", "!=": "!=", ">=": "<=", "<=": ">=", ">": "<", "<": ">"}


def is_skill_list(key: Key) -> bool:
    """Whether an attribute holds names of skills."""
    return key.parts[-1] == _SKILLS


def add_attributes(
    agent: Agent, attributes: Mapping[str, object], keys: Iterable[Key]
) -> Iterator[tuple[Kind, str, object, str]]:
    """
    Give an agent the skills and tags that its attributes are; yields what could not be one.

    Parameters
    ----------
    keys
        The attributes to look at.
    """
    levels: dict[str, int] = {}
    tags: dict[str, None] = {}
    for key in sorted(set(keys), key=str):
        if len(key.parts) > 1 and key.parts[-2] == _LEVELS:
            # They are read with their skills.
            continue
        value = look_up(key, attributes)
        if is_skill_list(key):
            yield from _add_skills(key, value, attributes, levels)
        elif isinstance(value, list):
            tags |= {tag_of(key, item): None for item in value if isinstance(item, str)}
        elif isinstance(value, str):
            tags[tag_of(key, value)] = None
        elif value is True:
            tags[str(key)] = None
        elif _is_level(value):
            assert isinstance(value, (int, float))
            levels[str(key)] = int(value)
        elif value is not None and value is not False:
            why = "only whole numbers of 1 to 5 are levels of a skill"
            yield Kind.LEFT_OUT, str(key), value, why
    agent.skills.extend(AgentSkill(skill=name, proficiency=levels[name]) for name in sorted(levels))
    agent.tags.extend(sorted(tags))


def _add_skills(
    key: Key, names: object, attributes: Mapping[str, object], levels: dict[str, int]
) -> Iterator[tuple[Kind, str, object, str]]:
    """Skills of a list, with the levels that stand beside it; 1 where there is none."""
    beside = look_up(Key((*key.parts[:-1], _LEVELS)), attributes)
    for name in names if isinstance(names, list) else ():
        level = beside.get(str(name), 1) if isinstance(beside, Mapping) else 1
        if not _is_level(level):
            why = "levels are whole numbers of 1 to 5: the nearest is taken"
            yield Kind.APPROXIMATE, f"{Key((*key.parts[:-1], _LEVELS))}.{name}", level, why
            is_number = isinstance(level, (int, float)) and math.isfinite(level)
            level = min(max(round(level), 1), LEVEL_MAX) if is_number else 1
        levels[str(name)] = int(level)


def _is_level(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and value in range(1, LEVEL_MAX + 1)


def tag_of(key: Key, value: object) -> str:
    """The tag that an attribute with a value is."""
    return f"{key}:{value}"


def add_order(asked: Requirements, order_by: str) -> bool:
    """Skills that `order_by` prefers; whether all of it could be said."""
    parts = [part.strip() for part in order_by.split(",") if part.strip()]
    matches = [_ORDER.fullmatch(part) for part in parts]
    weight = _FIRST_WEIGHT
    for match in matches:
        if match is not None:
            asked.preferred_skills.add(skill=match[1].split(".levels.")[-1], weight=weight)
            weight /= 10
    return None not in matches


def add_requirements(
    asked: Requirements, expression: Expression, names: Mapping[str, str]
) -> Iterator[str]:
    """
    Put what an expression asks of workers into requirements; yields what cannot be said so.

    A value of the task, known only when it comes, stands in braces: {task.language}.

    Parameters
    ----------
    names
        Agent by the id that the other system knows the worker by.
    """
    parts = expression.parts if isinstance(expression, AllOf) else (expression,)
    for part in parts:
        match part:
            case AllOf():
                yield from add_requirements(asked, part, names)
            case AnyOf(alternatives):
                yield from _add_alternatives(asked, alternatives)
            case Not(inner):
                yield from _add_negated(asked, inner, names)
            case Comparison():
                yield from _add_comparison(asked, part, names)


def _add_negated(asked: Requirements, inner: Expression, names: Mapping[str, str]) -> Iterator[str]:
    match inner:
        case Not(twice):
            yield from add_requirements(asked, twice, names)
        case AnyOf(parts):
            for part in parts:
                yield from _add_negated(asked, part, names)
        case AllOf():
            yield "NOT of conditions joined by AND is no requirement"
        case Comparison(operator="!="):
            opposite = Comparison("==", inner.left, inner.right)
            yield from _add_comparison(asked, opposite, names)
        case Comparison():
            tags = _tags(inner)
            if tags is None:
                yield f"{_worker_key(inner.left) or inner.operator}: only tags can be ruled out"
            else:
                asked.tags_none.extend(tags)


def _add_alternatives(asked: Requirements, parts: Iterable[Expression]) -> Iterator[str]:
    """OR: one group of tags of which any will do."""
    found: list[str] = []
    for part in parts:
        tags = _tags(part) if isinstance(part, Comparison) else None
        if tags is None:
            yield "alternatives can be tags only: use a queue for each, or relaxation steps"
            return
        found += tags
    yield from _add_any(asked, found)


def _add_any(asked: Requirements, tags: list[str]) -> Iterator[str]:
    if len(tags) == 1:
        asked.tags.extend(tags)
    elif asked.tags_any:
        yield "a contact asks for one group of alternative tags, not for several"
    else:
        asked.tags_any.extend(tags)


def _add_comparison(
    asked: Requirements, comparison: Comparison, names: Mapping[str, str]
) -> Iterator[str]:
    left, right, operator = comparison.left, comparison.right, comparison.operator
    if isinstance(left, Constant) and isinstance(right, Constant):
        if not is_true(comparison, {}):
            yield "a condition that no worker satisfies"
        return
    if _worker_key(left) is None and operator in _MIRRORED:
        left, right, operator = right, left, _MIRRORED[operator]
    key = _worker_key(left)
    texts = _texts(right)
    if str(key) in _IDENTITIES and operator in ("==", "IN") and texts:
        asked.agent_ids.extend(names.get(item, item) for item in texts)
    elif operator in (">=", ">") and key is not None:
        yield from _add_level(asked, key, operator, right)
    elif (skill := _skill(comparison)) is not None:
        asked.skills.add(skill=skill, proficiency_min=1)
    elif operator == "!=" or _is_constant(right, False):
        opposite = Constant(True) if operator == "==" else right
        yield from _add_negated(asked, Comparison("==", left, opposite), names)
    else:
        tags = _tags(Comparison(operator, left, right))
        if tags is None:
            yield f"{operator} on {key or 'something else than a worker'} is no requirement"
        else:
            yield from _add_any(asked, tags)


def _add_level(asked: Requirements, key: Key, operator: str, right: Value) -> Iterator[str]:
    least = right.value if isinstance(right, Constant) else None
    if not isinstance(least, (int, float)) or isinstance(least, bool):
        yield f"{operator} on {key}: a level is a number that is known ahead"
        return
    level = math.ceil(least) if operator == ">=" else math.floor(least) + 1
    if not (1 <= level <= LEVEL_MAX):
        yield f"{operator} {least} on {key}: levels are 1 to {LEVEL_MAX}"
        return
    is_of_skill = len(key.parts) > 1 and key.parts[-2] == _LEVELS
    name = str(key.parts[-1]) if is_of_skill else str(key)
    asked.skills.add(skill=name, proficiency_min=level)


def _skill(comparison: Comparison) -> str | None:
    """The skill that `skills HAS x` or `x IN skills` asks for."""
    left, right = comparison.left, comparison.right
    if comparison.operator == "IN":
        left, right = right, left
    elif comparison.operator not in ("HAS", "CONTAINS"):
        return None
    key = _worker_key(left)
    texts = _texts(right)
    return texts[0] if key is not None and is_skill_list(key) and len(texts) == 1 else None


def _tags(comparison: Comparison) -> list[str] | None:
    """Tags of which any satisfies a comparison; None where tags cannot say it."""
    left, right, operator = comparison.left, comparison.right, comparison.operator
    if operator == "IN" and _worker_key(left) is None:
        left, right, operator = right, left, "HAS"
    key = _worker_key(left)
    if key is None or is_skill_list(key) or operator not in ("==", "HAS", "IN"):
        return None
    if operator == "==" and _is_constant(right, True):
        return [str(key)]
    texts = _texts(right)
    return [tag_of(key, text) for text in texts] if texts else None


def _worker_key(value: Value) -> Key | None:
    """The attribute of the worker that is looked at; None for anything else."""
    if not isinstance(value, Key) or value.parts[0] == "task":
        return None
    return Key(value.parts[1:]) if value.parts[0] == "worker" and value.parts[1:] else value


def _is_constant(value: Value, wanted: bool) -> bool:
    """Whether a value is this very constant; 1 is not true."""
    return isinstance(value, Constant) and value.value is wanted


def _texts(value: Value) -> list[str]:
    """Texts of a constant, or the place of a value that the task brings."""
    if isinstance(value, Key):
        return [f"{{{value}}}"] if value.parts[0] == "task" else []
    items = value.value if isinstance(value.value, list) else [value.value]
    return [item for item in items if isinstance(item, str)]
