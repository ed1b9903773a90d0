"""Metrics of placement."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)


class PlacementMetrics:
    """What an operator wants to know of cells that move between engines."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.engines = Gauge(
            "headgate_placement_engines",
            "Engines that live and share the cells, this one among them; 0 without placement.",
            registry=registry,
        )
        self.ownerless = Gauge(
            "headgate_placement_ownerless_cells",
            "Cells that no engine has open, as this one sees it.",
            registry=registry,
        )
        self.beats_failed = Counter(
            "headgate_placement_beats_failed",
            "Heartbeats that could not be written; after heartbeat_expiry_ms without one the "
            "others take this engine for dead.",
            registry=registry,
        )
        self.moved = Counter(
            "headgate_placement_cells_moved",
            "Cells that came to this engine or left it: opened, handed_over, lost, refused.",
            ("how",),
            registry=registry,
        )
        self.not_owner = Counter(
            "headgate_placement_not_owner",
            "Calls and streams for cells that this engine does not have: told who has, or that "
            "nobody has.",
            registry=registry,
        )
        self.relayed = Counter(
            "headgate_placement_relayed",
            "Calls that were passed on to the engine that has the cell, by the code it answered.",
            ("grpc_code",),
            registry=registry,
        )
        self.closing_seconds = Histogram(
            "headgate_placement_closing_seconds",
            "From the last call that was taken for a cell to its release.",
            buckets=_SECONDS,
            registry=registry,
        )
        for how in ("opened", "handed_over", "lost", "refused"):
            self.moved.labels(how)
