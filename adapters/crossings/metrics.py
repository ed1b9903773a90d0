"""Metrics of contacts that cross to other cells."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

ANSWERS = ("taken", "refused", "unreachable")


class CrossingFamilies:
    """Metric families of crossings, with a `cell` label: the cell they leave."""

    def __init__(self, registry: CollectorRegistry) -> None:
        label = ("cell",)
        self.open = Gauge(
            "headgate_crossings_open",
            "Contacts on their way to other cells, which nobody handles meanwhile.",
            label,
            registry=registry,
        )
        self.oldest_seconds = Gauge(
            "headgate_crossings_oldest_seconds",
            "How long the contact that is longest on its way has been; 0 with none.",
            label,
            registry=registry,
        )
        self.brought = Counter(
            "headgate_crossings_brought",
            "What came of bringing contacts to other cells: taken, refused, or unreachable, which "
            "is tried again.",
            ("cell", "to_cell", "answer"),
            registry=registry,
        )
        self.targets_unknown = Gauge(
            "headgate_crossings_targets_unknown",
            "Queues of other cells that policies here would move contacts to, and that were not "
            "told of in the last five seconds: nothing is moved there.",
            label,
            registry=registry,
        )

    def of(self, cell: str) -> "CrossingMetrics":
        """The metrics of one cell."""
        return CrossingMetrics(self, cell)


class CrossingMetrics:
    """Metrics of the contacts that leave one cell."""

    def __init__(self, families: CrossingFamilies, cell: str) -> None:
        self._families = families
        self._cell = cell
        self.targets_unknown = families.targets_unknown.labels(cell)

    def show(self, count: Callable[[], float], oldest_s: Callable[[], float]) -> None:
        """Tell how many are on their way, and for how long."""
        self._families.open.labels(self._cell).set_function(count)
        self._families.oldest_seconds.labels(self._cell).set_function(oldest_s)

    def hide(self) -> None:
        """Tell of none: the cell is another engine's."""
        self.show(lambda: 0.0, lambda: 0.0)
        self.targets_unknown.set(0)

    def brought(self, to_cell: str, answer: str) -> None:
        """Count what came of bringing one."""
        self._families.brought.labels(self._cell, to_cell, answer).inc()
