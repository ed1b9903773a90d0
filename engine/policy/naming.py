"""What policies name that is not there: queues, groups, cells, skills."""

import difflib
from collections.abc import Collection, Iterator
from typing import Final

from engine.policy.actions import Action
from engine.policy.compiled import Compiled, CompiledRouting
from engine.policy.document import Destination, Path, Relief
from engine.policy.findings import Estate, Finding, Severity

# Names among which the one that was meant is looked for.
_COMPARED_MAX: Final = 2_000


def missing_names(compiled: Compiled, estate: Estate) -> Iterator[Finding]:
    """Everything a policy names that the estate does not have."""
    name = compiled.policy.name
    named = (
        _of_routing(compiled)
        if isinstance(compiled, CompiledRouting)
        else _of_relief(compiled.policy)
    )
    for what, path, given in named:
        known = getattr(estate, f"{what}s")
        assert known is None or isinstance(known, Collection)
        if known is None or given in known:
            continue
        # Among ten thousand names the closest takes a tenth of a second to find.
        close = difflib.get_close_matches(given, sorted(known), n=1) if _is_short(known) else []
        hint = f"; did you mean {close[0]}?" if close else ""
        message = f"no {what} {given!r}{hint}"
        # Agents come and go with what they carry: a policy may be there before them.
        severity = Severity.WARNING if what in ("group", "skill") else Severity.ERROR
        yield Finding(severity, f"unknown-{what}", name, path, message)
    if not isinstance(compiled, CompiledRouting):
        yield from _matches_nothing(compiled.policy, estate)


def _is_short(known: Collection[str]) -> bool:
    return len(known) <= _COMPARED_MAX


def _matches_nothing(policy: Relief, estate: Estate) -> Iterator[Finding]:
    for place, given in enumerate(policy.spec.match.queues):
        is_pattern = given.endswith("*")
        if estate.queues is None or not is_pattern:
            continue
        if not any(queue.startswith(given[:-1]) for queue in estate.queues):
            path: Path = ("spec", "match", "queues", place)
            message = f"no queue begins with {given[:-1]!r}"
            yield Finding(Severity.WARNING, "matches-nothing", policy.name, path, message)


def _of_relief(policy: Relief) -> Iterator[tuple[str, Path, str]]:
    for place, given in enumerate(policy.spec.match.queues):
        if not given.endswith("*"):
            yield "queue", ("spec", "match", "queues", place), given
    for place, action in enumerate(policy.spec.actions):
        yield from _of_action(("spec", "actions", place), action)


def _of_action(path: Path, action: Action) -> Iterator[tuple[str, Path, str]]:
    if action.overflow is not None:
        to = action.overflow
        # Of another cell it is not known here which queues it has.
        what, given = ("queue", to.queue) if to.cell is None else ("cell", to.cell)
        yield what, (*path, "overflow", what), given
    if action.offer_choice is not None:
        for place, option in enumerate(action.offer_choice.options):
            if option.queue is not None:
                (form,) = option.model_fields_set
                yield (
                    "queue",
                    (*path, "offer_choice", "options", place, form, "queue"),
                    option.queue,
                )
    if action.open_agents is not None:
        yield "group", (*path, "open_agents", "group"), action.open_agents.group
    if action.lower_requirement is not None:
        skill = action.lower_requirement.skill
        yield "skill", (*path, "lower_requirement", "skill"), skill
    if action.notify is not None:
        yield "webhook", (*path, "notify", "webhook"), action.notify.webhook


def _of_routing(compiled: CompiledRouting) -> Iterator[tuple[str, Path, str]]:
    spec = compiled.policy.spec
    yield from _of_destination(("spec", "default"), spec.default)
    for place, rule in enumerate(spec.rules):
        path: Path = ("spec", "rules", place)
        if rule.to is not None:
            yield from _of_destination((*path, "to"), rule.to)
        for arm, part in enumerate(rule.split):
            yield from _of_destination((*path, "split", arm, "to"), part.to)


def _of_destination(path: Path, destination: Destination) -> Iterator[tuple[str, Path, str]]:
    yield "queue", (*path, "queue"), destination.queue
    if destination.requirements is not None:
        for skill in destination.requirements.skills:
            yield "skill", (*path, "requirements", "skills", skill), skill
