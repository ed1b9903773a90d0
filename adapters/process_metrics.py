"""What each of our processes tells Prometheus of itself."""

import importlib.metadata
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


def version() -> str:
    """Version of the program, as it was installed."""
    try:
        return importlib.metadata.version("headgate")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def process_registry(lines_dropped: Callable[[], int]) -> CollectorRegistry:
    """
    A registry with the process's own metrics, for others to be added.

    Parameters
    ----------
    lines_dropped
        How many log lines could not be written.
    """
    # They would double the series, and nothing of ours asks when a counter began.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Gauge(
        "headgate_build_info",
        "1, with the version that runs.",
        ("version",),
        registry=registry,
    ).labels(version()).set(1)
    registry.register(_DroppedLines(lines_dropped))
    return registry


class _DroppedLines(Collector):
    """A counter that is kept elsewhere."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count

    def collect(self) -> Iterable[CounterMetricFamily]:
        """The count of now."""
        text = "Log lines that could not be written: a full disk, or a reader that has gone."
        yield CounterMetricFamily("headgate_log_lines_dropped", text, value=self._count())
