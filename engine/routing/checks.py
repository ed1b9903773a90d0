"""
What many fields of commands have in common: names, numbers, requirements, relaxation, attributes.

Checks are written `not (low <= x <= high)` so that NaN fails them.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final

from engine.commands import Relaxation, Requirements
from engine.limits import (
    ATTRIBUTE_BYTES_MAX,
    ATTRIBUTES_MAX,
    FORTNIGHT_MS,
    ID_BYTES_MAX,
    PREFERENCE_WEIGHT_MAX,
    PRIORITY_MAX,
    PROFICIENCY_MAX,
    RELAXATION_STEPS_MAX,
    REQUIREMENT_ITEMS_MAX,
    SCORE_WEIGHT_MAX,
)
from engine.refusals import CommandRefused, Refusal, Violation, one_of, violation
from engine.state.weights import WeightsInForce

_REQUIREMENTS_REMEMBERED: Final = 4_096


def _has_surrogate(text: str) -> bool:
    """Whether half of a pair stands alone, as in text cut in the wrong place."""
    return any("\ud800" <= character <= "\udfff" for character in text)


class Checks:
    """Collects the broken rules of one command."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def close(self) -> None:
        """Refuse the command for the rules it broke, if any."""
        if self.violations:
            raise CommandRefused(Refusal.INVALID_FIELD, *self.violations)

    def fail(self, field: str, value: object, expected: str) -> None:
        self.violations.append(violation(field, value, expected))

    def name(self, field: str, value: str, *, may_be_empty: bool = False) -> None:
        """An identifier or name: 1 to 128 bytes of UTF-8 without control characters."""
        if value.isascii() and value.isprintable() and 0 < len(value) <= ID_BYTES_MAX:
            return
        if not value:
            if not may_be_empty:
                self.fail(field, value, f"1 to {ID_BYTES_MAX} bytes")
        elif len(value.encode(errors="replace")) > ID_BYTES_MAX:
            self.fail(field, value, f"at most {ID_BYTES_MAX} bytes")
        elif not value.isprintable():
            self.fail(field, value, "printable characters only")

    def number(self, field: str, value: float, low: float, high: float) -> None:
        if not (low <= value <= high):
            self.fail(field, value, f"{low:,} to {high:,}")

    def member(self, field: str, value: object, kind: type[IntEnum]) -> None:
        if not isinstance(value, kind):
            self.fail(field, value, one_of(kind))

    def count(self, field: str, items: Sequence[object], count_max: int) -> None:
        if len(items) > count_max:
            self.fail(field, len(items), f"at most {count_max:,} items")

    def unique(self, field: str, names: Sequence[object]) -> None:
        if len(set(names)) < len(names):
            repeated = sorted({str(name) for name in names if names.count(name) > 1})
            self.fail(field, repeated[0], "each only once")

    def requirements(self, requirements: Requirements, path: str = "requirements") -> None:
        if any(requirements):
            try:
                _check_requirements(requirements, path)
            except CommandRefused as refused:
                self.violations += refused.violations

    def weights(self, weights: WeightsInForce) -> None:
        """Weights in force."""
        for name, value in zip(weights._fields, weights, strict=True):
            high = 1 if name == "urgent_from" else SCORE_WEIGHT_MAX
            self.number(f"queue.weights.{name}", value, 0, high)
        chasing = weights.wait + weights.urgency
        if weights.lateness > chasing:
            expected = f"at most wait + urgency, {chasing:g}, or the oldest contact would go last"
            self.fail("queue.weights.lateness", weights.lateness, expected)

    def relaxation(self, relaxation: Relaxation) -> None:
        """Steps in order, each later than the one before."""
        self.count("relaxation", relaxation, RELAXATION_STEPS_MAX)
        before_ms = 0
        for place, step in enumerate(relaxation):
            path = f"relaxation[{place}]"
            self.number(f"{path}.after_ms", step.after_ms, before_ms + 1, FORTNIGHT_MS)
            before_ms = max(before_ms, min(step.after_ms, FORTNIGHT_MS - 1))
            if step.priority is not None:
                self.number(f"{path}.priority", step.priority, -PRIORITY_MAX, PRIORITY_MAX)
            self.requirements(step.requirements, f"{path}.requirements")

    def attributes(self, attributes: Mapping[str, str]) -> None:
        if not attributes:
            return
        if len(attributes) > ATTRIBUTES_MAX:
            self.fail("attributes", len(attributes), f"at most {ATTRIBUTES_MAX} pairs")
        text = "".join((*attributes.keys(), *attributes.values()))
        size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        if size > ATTRIBUTE_BYTES_MAX:
            expected = f"at most {ATTRIBUTE_BYTES_MAX:,} bytes together"
            self.fail("attributes", f"{size} bytes", expected)
        if not text.isascii():
            texts = (*attributes.keys(), *attributes.values())
            for half in [item for item in texts if _has_surrogate(item)][:1]:
                self.fail("attributes", half, "text that has an encoding in UTF-8")
        if "" in attributes:
            self.fail("attributes", "", "keys of at least one byte")


@lru_cache(_REQUIREMENTS_REMEMBERED)
def _check_requirements(requirements: Requirements, path: str) -> None:
    """
    Check what a contact asks of agents, which is often what others asked: what passes is
    remembered, what fails, however large, is not.

    Raises
    ------
    CommandRefused
        INVALID_FIELD with every broken rule.
    """
    checks = Checks()
    for field, items in zip(requirements._fields, requirements, strict=True):
        checks.count(f"{path}.{field}", items, REQUIREMENT_ITEMS_MAX)
    for place, required in enumerate(requirements.skills):
        item = f"{path}.skills[{place}]"
        checks.name(f"{item}.skill", required.skill)
        checks.number(f"{item}.proficiency_min", required.proficiency_min, 1, PROFICIENCY_MAX)
    for place, preference in enumerate(requirements.preferred_skills):
        item = f"{path}.preferred_skills[{place}]"
        checks.name(f"{item}.skill", preference.skill)
        if not (0 < preference.weight <= PREFERENCE_WEIGHT_MAX):
            checks.fail(f"{item}.weight", preference.weight, "above 0 to 100")
    checks.unique(f"{path}.skills", [item.skill for item in requirements.skills])
    preferred = [item.skill for item in requirements.preferred_skills]
    checks.unique(f"{path}.preferred_skills", preferred)
    for field in ("tags", "tags_any", "tags_none", "agent_ids", "preferred_agent_ids"):
        names = getattr(requirements, field)
        for place, name in enumerate(names):
            checks.name(f"{path}.{field}[{place}]", name)
        checks.unique(f"{path}.{field}", names)
    checks.close()
