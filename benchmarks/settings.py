"""What a benchmark is told: its declared workload, and how long to measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# What TOML gives.
Value = Any

WORKLOADS: Final = Path(__file__).parent / "workloads.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """
    One benchmark's settings.

    Attributes
    ----------
    workload
        Its section of workloads.toml; a key that also stands under `quick` is replaced in a quick
        run.
    rounds
        Rounds that take turns.
    is_quick
        Whether figures are only to show that it runs.
    """

    workload: Mapping[str, Any]
    rounds: int
    is_quick: bool

    @property
    def round_s(self) -> float:
        """Seconds one case runs in one round of a benchmark inside one process."""
        return 0.05 if self.is_quick else 0.3

    @property
    def goals(self) -> Mapping[str, float]:
        """Limits by name."""
        return self.value("goals") if "goals" in self.workload else {}

    def value(self, name: str) -> Value:
        """A setting of the workload."""
        if self.is_quick and name in self.workload.get("quick", {}):
            return self.workload["quick"][name]
        return self.workload[name]

    def numbers(self, name: str) -> Sequence[int]:
        """A setting that is a list of whole numbers."""
        return [int(item) for item in self.value(name)]

    def shares(self, name: str) -> Sequence[float]:
        """A setting that is a list of shares, 0 to 1."""
        return [float(item) for item in self.value(name)]
