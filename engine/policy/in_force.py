"""Versions of policies that are in force, compiled."""

from typing import NamedTuple

from engine.policies import PolicyStage
from engine.policy.compiled import CompiledRelief, CompiledRouting


class InForce(NamedTuple):
    """
    One version of a diversion or overflow policy.

    Attributes
    ----------
    stage
        How far it is rolled out; one whose file says `mode: shadow` is SHADOW wherever it stands.
    canary_share
        Share of the contacts it acts on, 0 to 1; 1 unless it is a canary.
    """

    compiled: CompiledRelief
    version: int
    stage: PolicyStage
    canary_share: float = 1.0

    @property
    def name(self) -> str:
        """Of the policy."""
        return self.compiled.policy.name


class RoutingInForce(NamedTuple):
    """One version of a routing policy; as `InForce`."""

    compiled: CompiledRouting
    version: int
    stage: PolicyStage
    canary_share: float = 1.0

    @property
    def name(self) -> str:
        """Of the policy."""
        return self.compiled.policy.name


def stage_in_force(mode: str, stage: PolicyStage) -> PolicyStage:
    """How far a version acts: no further than its file and its rollout say."""
    return PolicyStage.SHADOW if mode == "shadow" else stage
