"""Where a contact goes that names no queue: the first rule that matches, or the default."""

from typing import NamedTuple

from engine.policy.arms import arm_of
from engine.policy.compiled import CompiledRouting, values_in_force
from engine.policy.document import Destination, Rule
from engine.policy.values import Condition, Truth, Values, condition


class Classified(NamedTuple):
    """
    What a contact was classified as.

    Attributes
    ----------
    rule
        Name of the rule that matched, "" for the default.
    arm
        Which arm of its split; 0 without one.
    untold
        Rules before it whose condition could not be told; they did not match.
    """

    destination: Destination
    rule: str
    arm: int
    untold: tuple[str, ...]


class Classifier:
    """A routing policy, ready to classify contacts."""

    def __init__(self, compiled: CompiledRouting) -> None:
        spec = compiled.policy.spec
        of_rule = dict(zip((rule.name for rule in spec.rules), compiled.rules, strict=True))
        self._name = compiled.policy.name
        self._default = spec.default
        self._params: Values = dict(values_in_force(compiled.policy))
        self._rules: list[tuple[Rule, Condition]] = [
            (rule, condition(of_rule[rule.name])) for rule in spec.ordered()
        ]

    def classify(self, contact_id: str, values: Values) -> Classified:
        """
        Classify a contact.

        Parameters
        ----------
        values
            `engine.policy.signals.ROUTING_SIGNALS` by name.
        """
        known = {**self._params, **values}
        untold: list[str] = []
        for rule, matches in self._rules:
            truth = matches(known)
            if truth is Truth.TRUE:
                return self._matched(contact_id, rule, tuple(untold))
            if truth is Truth.ERROR:
                untold.append(rule.name)
        return Classified(self._default, "", 0, tuple(untold))

    def _matched(self, contact_id: str, rule: Rule, untold: tuple[str, ...]) -> Classified:
        arm = 0
        if rule.split:
            salt = f"{self._name}/{rule.name}"
            arm = arm_of(contact_id, salt, [part.percent for part in rule.split])
        return Classified(rule.destinations[arm], rule.name, arm, untold)
