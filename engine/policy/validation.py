"""
What a set of policies must satisfy as a whole, and what can be told of it before it runs.

Told for certain, as errors: names that are not there; parameters out of their bounds; two policies
of one name; diversion from a queue to itself; conditions that can never be true, and rules that an
earlier rule always takes (where the conditions compare signals with values; `engine.policy.regions`
says what is opaque). What is found there is so; that nothing is found proves nothing: two signals
that never meet, arithmetic and patterns are beyond it.

Told as warnings, for they may be meant: an exit that is met while the policy would enter, circles
of diversion over several queues (guards stop one contact from going round, not load), policies of
the same precedence that act on the same queue at once, patterns that match no queue.

Thresholds are judged at the parameters' present values: a slider may still move them together.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations

from engine.policy.compiled import Compiled, CompiledRelief, CompiledRouting, values_in_force
from engine.policy.document import Path
from engine.policy.expression import Expression, Operation, Operator, Term, walk
from engine.policy.findings import Estate, Finding, Severity
from engine.policy.naming import missing_names
from engine.policy.regions import Box, TooManyBoxes, boxes_of, described, met, shown
from engine.policy.values import Values

_ENTER: Path = ("spec", "enter", "when")
_EXIT: Path = ("spec", "exit", "when")


def validate(policies: Sequence[Compiled], estate: Estate) -> list[Finding]:
    """Everything found in a set: errors first, then in the order of the policies."""
    found = [*_same_names(policies)]
    for compiled in policies:
        found += [*_params(compiled), *missing_names(compiled, estate)]
        if isinstance(compiled, CompiledRouting):
            found += _rules(compiled)
        else:
            found += _thresholds(compiled)
    reliefs = [item for item in policies if isinstance(item, CompiledRelief)]
    found += [*_circles(reliefs, estate.queues), *_conflicts(reliefs)]
    return sorted(found, key=lambda finding: finding.severity is not Severity.ERROR)


def _same_names(policies: Sequence[Compiled]) -> Iterator[Finding]:
    seen: set[str] = set()
    for compiled in policies:
        name = compiled.policy.name
        if name in seen:
            message = f"another policy is called {name} as well"
            yield Finding(Severity.ERROR, "same-name", name, ("metadata", "name"), message)
        seen.add(name)


def _params(compiled: Compiled) -> Iterator[Finding]:
    used = {name for expression in _expressions(compiled) for name in expression.names}
    for name, param in compiled.policy.spec.params.items():
        low, high = param.bounds
        path: Path = ("spec", "params", name)
        policy = compiled.policy.name
        if low is not None and high is not None and low > high:
            message = f"min {param.min} is above max {param.max}"
            yield Finding(Severity.ERROR, "parameter-bounds", policy, path, message)
        elif not (low is None or low <= param.number) or not (high is None or param.number <= high):
            message = f"{param.value} is not within {param.min} and {param.max}"
            yield Finding(
                Severity.ERROR, "parameter-out-of-range", policy, (*path, "value"), message
            )
        if f"params.{name}" not in used:
            message = f"no condition reads params.{name}"
            yield Finding(Severity.WARNING, "unused-parameter", policy, path, message)


def _expressions(compiled: Compiled) -> Iterator[Expression]:
    if isinstance(compiled, CompiledRouting):
        yield from compiled.rules
        return
    for expression in (compiled.enter, compiled.exit, compiled.eligible, compiled.ramp):
        if expression is not None:
            yield expression


def _boxes(expression: Expression, params: Values, wanted: bool = True) -> list[Box] | None:
    """Where a condition can be true; None where it is too long to say."""
    try:
        return boxes_of(expression.root, params, wanted)
    except TooManyBoxes:
        return None


def _thresholds(compiled: CompiledRelief) -> Iterator[Finding]:
    """Conditions that never come true, and exits that are met at once."""
    policy = compiled.policy.name
    params: Values = dict(values_in_force(compiled.policy))
    enter = _boxes(compiled.enter, params)
    if enter == []:
        message = "can never be true: the policy never enters"
        yield Finding(Severity.ERROR, "never-enters", policy, _ENTER, message)
    if compiled.eligible is not None and _boxes(compiled.eligible, params) == []:
        message = "can never be true: no contact is eligible"
        yield Finding(Severity.ERROR, "never-eligible", policy, ("spec", "eligible"), message)
    if compiled.exit is None:
        return
    leave = _boxes(compiled.exit, params)
    if leave == []:
        message = "can never be true: the policy never clears"
        yield Finding(Severity.ERROR, "never-clears", policy, _EXIT, message)
    elif leave and enter:
        yield from _overlap(policy, enter, leave)


def _overlap(policy: str, enter: list[Box], leave: list[Box]) -> Iterator[Finding]:
    """An exit that is met while the condition to enter is: on and off without end."""
    try:
        both = [box for box in met(enter, leave) if box.is_exact]
    except TooManyBoxes:
        return
    if both:
        message = (
            f"is met while enter is, where {described(both[0])}: exit must be further from trouble "
            "than enter"
        )
        yield Finding(Severity.WARNING, "exit-within-enter", policy, _EXIT, message)


def _rules(compiled: CompiledRouting) -> Iterator[Finding]:
    """Rules that never match, and those that an earlier one always takes."""
    spec = compiled.policy.spec
    params: Values = dict(values_in_force(compiled.policy))
    of_rule = dict(zip((rule.name for rule in spec.rules), compiled.rules, strict=True))
    place_of = {rule.name: place for place, rule in enumerate(spec.rules)}
    earlier: list[tuple[str, list[Box], frozenset[str]]] = []
    for rule in spec.ordered():
        expression = of_rule[rule.name]
        path: Path = ("spec", "rules", place_of[rule.name], "when")
        matched, unmatched = _boxes(expression, params), _boxes(expression, params, False)
        if matched == []:
            message = "can never be true: the rule never matches"
            yield Finding(Severity.ERROR, "never-matches", compiled.policy.name, path, message)
        elif matched is not None:
            taken = _taken_by(matched, earlier)
            if taken is not None:
                message = f"every contact it matches is taken by rule {taken} before it"
                yield Finding(
                    Severity.ERROR, "unreachable-rule", compiled.policy.name, path, message
                )
        if unmatched is not None:
            earlier.append((rule.name, unmatched, _may_be_missing(expression)))


def _may_be_missing(expression: Expression) -> frozenset[str]:
    """Attributes that a condition needs the value of; everything else every contact has."""
    found: set[str] = set()

    def note(term: Term) -> None:
        if isinstance(term, Operation) and term.operator is Operator.ATTRIBUTE:
            found.add(shown(term))

    walk(expression.root, note)
    return frozenset(found)


def _taken_by(
    matched: list[Box], earlier: list[tuple[str, list[Box], frozenset[str]]]
) -> str | None:
    """Rule that matches whenever this one does; None where none is known to."""
    for name, unmatched, needed in earlier:
        # An attribute that is missing makes the earlier one an error: it does not match, and this
        # one may, unless it needs the same attribute.
        if not all(needed <= box.limits.keys() for box in matched):
            continue
        try:
            if not met(matched, unmatched):
                return name
        except TooManyBoxes:
            continue
    return None


def _moves(compiled: CompiledRelief, queues: Collection[str] | None) -> Iterator[tuple[str, str]]:
    """From where to where a policy may move contacts; patterns only over queues that are known."""
    spec = compiled.policy.spec
    matched = [queue for queue in sorted(queues or ()) if spec.match.includes(queue)]
    matched += [item for item in spec.match.queues if not item.endswith("*")]
    for source in dict.fromkeys(matched):
        for target in spec.queues:
            yield source, target


def _circles(
    reliefs: Sequence[CompiledRelief], queues: Collection[str] | None
) -> Iterator[Finding]:
    """Queues that contacts are moved from to themselves, at once or over others."""
    moves: dict[str, dict[str, CompiledRelief]] = {}
    for compiled in reliefs:
        for source, target in _moves(compiled, queues):
            if source != target:
                moves.setdefault(source, {}).setdefault(target, compiled)
                continue
            path: Path = ("spec", "actions")
            message = f"moves contacts of {source} to itself"
            yield Finding(Severity.ERROR, "circle", compiled.policy.name, path, message)
    for circle in _circles_of({source: sorted(targets) for source, targets in moves.items()}):
        compiled = moves[circle[0]][circle[1]]
        message = f"contacts may go round: {' to '.join(circle)}"
        path = ("spec", "actions")
        yield Finding(Severity.WARNING, "circle", compiled.policy.name, path, message)


def _circles_of(moves: dict[str, list[str]]) -> Iterator[tuple[str, ...]]:
    """A shortest circle through each queue that is on one, none twice. O(queues × moves)."""
    told: set[frozenset[str]] = set()
    for start in sorted(moves):
        paths: list[tuple[str, ...]] = [(start,)]
        seen = {start}
        while paths:
            path = paths.pop(0)
            if start in moves.get(path[-1], []):
                if frozenset(path) not in told:
                    told.add(frozenset(path))
                    yield (*path, start)
                break
            for target in moves.get(path[-1], []):
                if target not in seen:
                    seen.add(target)
                    paths.append((*path, target))


def _conflicts(reliefs: Sequence[CompiledRelief]) -> Iterator[Finding]:
    """Pairs of policies of which nothing says which goes first."""
    for one, other in combinations(reliefs, 2):
        queues = sorted(_shared(one, other))
        if one.policy.spec.precedence != other.policy.spec.precedence or not queues:
            continue
        if _are_apart(one, other):
            continue
        message = (
            f"acts on {queues[0]} as {one.policy.name} does, with the same precedence, "
            f"{one.policy.spec.precedence}: the name decides"
        )
        path: Path = ("spec", "precedence")
        yield Finding(Severity.WARNING, "conflict", other.policy.name, path, message)


def _shared(one: CompiledRelief, other: CompiledRelief) -> set[str]:
    """Queues, or patterns, that both match."""
    first, second = one.policy.spec.match, other.policy.spec.match
    return {
        *(item for item in first.queues if second.includes(item.removesuffix("*"))),
        *(item for item in second.queues if first.includes(item.removesuffix("*"))),
    }


def _are_apart(one: CompiledRelief, other: CompiledRelief) -> bool:
    """Whether no contact is eligible for both."""
    if one.eligible is None or other.eligible is None:
        return False
    first = _boxes(one.eligible, dict(values_in_force(one.policy)))
    second = _boxes(other.eligible, dict(values_in_force(other.policy)))
    if first is None or second is None:
        return False
    try:
        return not met(first, second)
    except TooManyBoxes:
        return False
