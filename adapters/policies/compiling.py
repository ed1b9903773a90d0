"""Versions that are in force, compiled from the texts that the engine keeps."""

from collections.abc import Sequence
from typing import NamedTuple

import structlog

from adapters.policy_source.reading import read_policies
from engine.policy.checked import Checker
from engine.policy.compiled import Compiled, CompiledRelief
from engine.policy.in_force import InForce, RoutingInForce, stage_in_force
from engine.state.policies import InForce as Text

_log = structlog.get_logger(__name__)


class Prepared(NamedTuple):
    """
    Everything in force.

    Attributes
    ----------
    unusable
        Versions whose text is no policy to this release; nothing is done by them.
    """

    policies: tuple[InForce, ...]
    routing: tuple[RoutingInForce, ...]
    unusable: int


class PolicyCompiler:
    """
    Compiles what is in force; texts that it has compiled before it does not look at again.

    Not for two threads at a time.
    """

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self._known: dict[tuple[str, int], tuple[str, Compiled | None]] = {}

    def prepare(self, texts: Sequence[Text]) -> Prepared:
        """Compile what is in force now; about a millisecond for each new text."""
        known = self._known
        self._known = {
            (item.name, item.version): self._compiled(item, known.get((item.name, item.version)))
            for item in texts
        }
        policies: list[InForce] = []
        routing: list[RoutingInForce] = []
        for item in texts:
            compiled = self._known[item.name, item.version][1]
            if compiled is None:
                continue
            stage = stage_in_force(compiled.policy.spec.mode, item.stage)
            if isinstance(compiled, CompiledRelief):
                policies.append(InForce(compiled, item.version, stage, item.share))
            else:
                routing.append(RoutingInForce(compiled, item.version, stage, item.share))
        unusable = sum(compiled is None for _, compiled in self._known.values())
        return Prepared(tuple(policies), tuple(routing), unusable)

    def _compiled(
        self, item: Text, known: tuple[str, Compiled | None] | None
    ) -> tuple[str, Compiled | None]:
        if known is not None and known[0] == item.text:
            return known
        read = read_policies(item.name, item.text, self._checker)
        if len(read.policies) == 1 and not read.problems:
            return item.text, read.policies[0].compiled
        # It was checked when it was published: by a release that knew more, or less.
        _log.error(
            "policy_unusable",
            policy=item.name,
            version=item.version,
            problems=[str(problem) for problem in read.problems],
        )
        return item.text, None
