"""Policies with their expressions checked: what is evaluated, and every problem by its path."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from engine.policy.checked import Checker, ExpressionRefused, Kind, Scope
from engine.policy.document import (
    RULES_MAX,
    Path,
    Policy,
    PolicyProblem,
    PolicyRefused,
    Relief,
    RoutingPolicy,
    params_of,
    read_policy,
)
from engine.policy.expression import Expression, compile_expression
from engine.policy.parts import Ramp
from engine.policy.signals import CONTACT_SIGNALS, QUEUE_SIGNALS, ROUTING_SIGNALS, scope_of


class CompiledRelief(NamedTuple):
    """
    A diversion or overflow policy with its expressions; None where it has none.

    Attributes
    ----------
    ramp
        Of kind DOUBLE.
    """

    policy: Relief
    enter: Expression
    exit: Expression | None
    eligible: Expression | None
    ramp: Expression | None


class CompiledRouting(NamedTuple):
    """A routing policy with the conditions of its rules, in the order of the file."""

    policy: RoutingPolicy
    rules: tuple[Expression, ...]


Compiled = CompiledRelief | CompiledRouting


def compile_policy(policy: Policy, checker: Checker) -> Compiled:
    """
    Check a policy's expressions.

    Raises
    ------
    PolicyRefused
        With everything wrong in all of them, each with its path and its place in the expression.
    """
    compiling = _Compiling(policy, checker)
    compiled = (
        compiling.routing(policy) if isinstance(policy, RoutingPolicy) else compiling.relief(policy)
    )
    if compiled is None:
        raise PolicyRefused(compiling.problems)
    return compiled


def check_policy(declared: object, checker: Checker) -> Compiled:
    """
    A policy from plain values, with its expressions checked.

    Raises
    ------
    PolicyRefused
        With everything wrong with its form and, as far as they can be found, with its expressions.
    """
    try:
        policy = read_policy(declared)
    except PolicyRefused as error:
        # What a parameter of unknown type is compared with cannot be said.
        unsure = {f"params.{item.path[2]}" for item in error.problems if _is_of_param(item)}
        found = _of_expressions(declared, unsure, checker)
        raise PolicyRefused([*error.problems, *found]) from None
    return compile_policy(policy, checker)


def values_in_force(policy: Policy) -> Iterator[tuple[str, float]]:
    """Parameters as conditions read them: `params.name`, and the value, a duration in ms."""
    for name, param in policy.spec.params.items():
        yield f"params.{name}", param.number


def _is_of_param(problem: PolicyProblem) -> bool:
    return problem.path[:2] == ("spec", "params") and len(problem.path) > 2


def _of_expressions(
    declared: object, unsure: Collection[str], checker: Checker
) -> list[PolicyProblem]:
    """Problems of the expressions of a policy whose form is not sound."""
    scopes = _Scopes.of(_guessed_params(declared))
    problems: list[PolicyProblem] = []
    for path, signals, expected in (
        (("spec", "enter", "when"), scopes.queue, Kind.BOOL),
        (("spec", "exit", "when"), scopes.queue, Kind.BOOL),
        (("spec", "eligible"), scopes.contact, Kind.BOOL),
        (("spec", "share", "ramp", "value"), scopes.queue, Kind.DOUBLE),
        *(
            (("spec", "rules", place, "when"), scopes.routing, Kind.BOOL)
            for place in range(RULES_MAX)
        ),
    ):
        text = _found(declared, path)
        if isinstance(text, str) and not any(name in text for name in unsure):
            problems += _checked(path, text, (signals, expected), checker)[1]
    return problems


def _found(declared: object, path: Path) -> object:
    """What stands at a path of plain values, None where nothing does."""
    for part in path:
        if isinstance(part, str) and isinstance(declared, dict):
            declared = declared.get(part)
        elif isinstance(part, int) and isinstance(declared, list) and part < len(declared):
            declared = declared[part]
        else:
            return None
    return declared


def _guessed_params(declared: object) -> dict[str, Kind]:
    """Types of parameters, some of which may be wrong."""
    params = _found(declared, ("spec", "params"))
    kinds: dict[str, Kind] = {}
    for name in params if isinstance(params, dict) else ():
        value = _found(params, (name, "value"))
        whole = Kind.INT if isinstance(value, int) else Kind.DURATION
        kinds[name] = Kind.DOUBLE if isinstance(value, float) else whole
    return kinds


class _Scopes(NamedTuple):
    """Names that the expressions of one policy may use."""

    queue: Scope
    contact: Scope
    routing: Scope

    @classmethod
    def of(cls, params: Mapping[str, Kind]) -> "_Scopes":
        """With a policy's parameters."""
        return cls(
            scope_of(QUEUE_SIGNALS, params),
            scope_of(CONTACT_SIGNALS, params),
            scope_of(ROUTING_SIGNALS, params),
        )


def _checked(
    path: Path, text: str, wanted: tuple[Scope, Kind], checker: Checker
) -> tuple[Expression | None, list[PolicyProblem]]:
    """An expression, or its problems."""
    try:
        return compile_expression(text, wanted[0], checker, wanted[1]), []
    except ExpressionRefused as error:
        return None, [PolicyProblem(path, item.message, item.place) for item in error.problems]


class _Compiling:
    """One policy whose expressions are being checked."""

    def __init__(self, policy: Policy, checker: Checker) -> None:
        self.problems: list[PolicyProblem] = []
        self._checker = checker
        self._scopes = _Scopes.of(params_of(policy))

    def relief(self, policy: Relief) -> CompiledRelief | None:
        """A diversion or overflow policy; None where there are problems."""
        spec = policy.spec
        enter = self._checked(("spec", "enter", "when"), spec.enter.when)
        leave = self._checked(("spec", "exit", "when"), spec.exit.when) if spec.exit else None
        eligible = spec.eligible and self._checked(
            ("spec", "eligible"), spec.eligible, self._scopes.contact
        )
        ramp = self._ramp(spec.share.ramp)
        if spec.target is None:
            self._need_no_target([item for item in (enter, leave, ramp) if item is not None])
        if self.problems or enter is None:
            return None
        return CompiledRelief(policy, enter, leave, eligible or None, ramp)

    def _ramp(self, ramp: Ramp | None) -> Expression | None:
        if ramp is None:
            return None
        return self._checked(("spec", "share", "ramp", "value"), ramp.value, None, Kind.DOUBLE)

    def routing(self, policy: RoutingPolicy) -> CompiledRouting | None:
        """A routing policy; None where there are problems."""
        found = [
            self._checked(("spec", "rules", place, "when"), rule.when, self._scopes.routing)
            for place, rule in enumerate(policy.spec.rules)
        ]
        if self.problems:
            return None
        return CompiledRouting(policy, tuple(item for item in found if item is not None))

    def _checked(
        self, path: Path, text: str, scope: Scope | None = None, expected: Kind = Kind.BOOL
    ) -> Expression | None:
        """The expression, of a queue where no scope is given; None where there are problems."""
        wanted = (scope or self._scopes.queue, expected)
        found, problems = _checked(path, text, wanted, self._checker)
        self.problems += problems
        return found

    def _need_no_target(self, expressions: Sequence[Expression]) -> None:
        """A policy that moves contacts nowhere has no `target.*`."""
        names = {name for item in expressions for name in item.names if name.startswith("target.")}
        for name in sorted(names):
            message = f"expected an action that names a queue, where {name} is read"
            self.problems.append(PolicyProblem(("spec", "actions"), message))
