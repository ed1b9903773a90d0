"""Metrics of policies from files."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class PolicyFileFamilies:
    """Metric families with a `cell` label; nothing is told where no folder is watched."""

    def __init__(self, registry: CollectorRegistry) -> None:
        label = ("cell",)
        self.errors = Counter(
            "headgate_policy_file_errors",
            "Errors found in files of policies, each time that they were read.",
            label,
            registry=registry,
        )
        self.broken = Gauge(
            "headgate_policy_files_broken",
            "Files of policies that have errors now; what was published of them before counts.",
            label,
            registry=registry,
        )
        self.loaded = Gauge(
            "headgate_policy_files_loaded_timestamp_seconds",
            "When all files of policies were last read without an error.",
            label,
            registry=registry,
        )
        self.published = Counter(
            "headgate_policy_files_published",
            "Versions that were published because a file had changed.",
            label,
            registry=registry,
        )

    def of(self, cell: str) -> "PolicyFileMetrics":
        """Metrics of one cell."""
        return PolicyFileMetrics(cell, self)


class PolicyFileMetrics:
    """Metrics of one cell."""

    def __init__(self, cell: str, families: PolicyFileFamilies) -> None:
        self.errors = families.errors.labels(cell)
        self.broken = families.broken.labels(cell)
        self.loaded = families.loaded.labels(cell)
        self.published = families.published.labels(cell)
