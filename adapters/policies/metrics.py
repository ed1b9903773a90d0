"""Metrics of policies: what is in force, what began, what it took each second."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from adapters.policies.compiling import Prepared
from engine.policies import PolicyStage
from engine.steering import Shift

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)


class PolicyFamilies:
    """Metric families of policies, with a `cell` label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        label = ("cell",)
        self.deciding_seconds = Histogram(
            "headgate_deciding_seconds",
            "Time that evaluating policies takes each second, in the thread that senses.",
            label,
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_force = Gauge(
            "headgate_policies_in_force",
            "Versions of policies in force, by stage: shadow, canary, active.",
            ("cell", "stage"),
            registry=registry,
        )
        self.unusable = Gauge(
            "headgate_policies_unusable",
            "Versions in force that this release cannot read, and that do nothing.",
            label,
            registry=registry,
        )
        self.activations = Counter(
            "headgate_activations",
            "Activations that began, by policy, stage and cause.",
            ("cell", "policy", "stage", "cause"),
            registry=registry,
        )
        self.compiled = Gauge(
            "headgate_conditions_compiled",
            "1 while kernels made for them evaluate the conditions in force, 0 while NumPy does.",
            label,
            registry=registry,
        )
        self.failures = Counter(
            "headgate_policy_failures",
            "Pieces of work on policies that met a bug.",
            label,
            registry=registry,
        )

    def of(self, cell: str) -> "PolicyMetrics":
        """The metrics of one cell."""
        return PolicyMetrics(self, cell)


class PolicyMetrics:
    """Metrics of one cell's policies."""

    def __init__(self, families: PolicyFamilies, cell: str) -> None:
        self.deciding_seconds = families.deciding_seconds.labels(cell)
        self.failures = families.failures.labels(cell)
        self._families = families
        self._cell = cell
        self.compiled = families.compiled.labels(cell)
        self._unusable = families.unusable.labels(cell)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the time that deciding takes."""
        begun_s = time.perf_counter()
        yield
        self.deciding_seconds.observe(time.perf_counter() - begun_s)

    def show(self, prepared: Prepared) -> None:
        """Show what is in force."""
        self._unusable.set(prepared.unusable)
        stages = [item.stage for item in prepared.policies]
        stages += [item.stage for item in prepared.routing]
        for stage in (PolicyStage.SHADOW, PolicyStage.CANARY, PolicyStage.ACTIVE):
            in_stage = self._families.in_force.labels(self._cell, stage.name.lower())
            in_stage.set(stages.count(stage))

    def shifted(self, shift: Shift) -> None:
        """Count an activation that began."""
        if shift.is_on:
            stage, cause = shift.stage.name.lower(), shift.cause.name.lower()
            self._families.activations.labels(self._cell, shift.subject.policy, stage, cause).inc()
