"""Versions that are in force, compiled from the texts that the engine keeps."""

from collections.abc import Sequence
from typing import NamedTuple

import structlog

from adapters.policy_source.checking import Source, text_checks
from adapters.policy_source.reading import FileRead
from engine.policy.compiled import CompiledRelief
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
    """Compiles what is in force; a text that cannot be read is told of once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, int]] = set()

    def prepare(self, texts: Sequence[Text]) -> Prepared:
        """Compile what is in force now; texts that were read before are not read again."""
        policies: list[InForce] = []
        routing: list[RoutingInForce] = []
        for item in texts:
            read = text_checks().read(Source(item.name, item.text))
            if len(read.policies) != 1 or read.problems:
                self._tell(item, read)
                continue
            compiled = read.policies[0].compiled
            stage = stage_in_force(compiled.policy.spec.mode, item.stage)
            if isinstance(compiled, CompiledRelief):
                policies.append(InForce(compiled, item.version, stage, item.share))
            else:
                routing.append(RoutingInForce(compiled, item.version, stage, item.share))
        unusable = len(texts) - len(policies) - len(routing)
        return Prepared(tuple(policies), tuple(routing), unusable)

    def _tell(self, item: Text, read: FileRead) -> None:
        """It was checked when it was published: by a release that knew more, or less."""
        if (item.name, item.version) in self._told:
            return
        self._told.add((item.name, item.version))
        _log.error(
            "policy_unusable",
            policy=item.name,
            version=item.version,
            problems=[str(problem) for problem in read.problems],
        )
