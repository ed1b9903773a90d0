"""Metrics of a stream of readings in Redis or Valkey."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

# What became of an entry.
TAKEN: Final = "taken"
DEAD: Final = "dead"
TRIMMED: Final = "trimmed"


class FeedFamilies:
    """Metric families with a `stream` label; nothing is told where no stream is read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        label = ("stream",)
        self.connected = Gauge(
            "headgate_feed_connected",
            "1 while the stream of readings is read.",
            label,
            registry=registry,
        )
        self.lag = Gauge(
            "headgate_feed_lag_entries",
            "Entries of the stream that have not been taken yet; NaN where the server cannot tell.",
            label,
            registry=registry,
        )
        self.entry = Gauge(
            "headgate_feed_entry_timestamp_seconds",
            "When the last entry that was taken came into the stream, by the server's clock.",
            label,
            registry=registry,
        )
        self.entries = Counter(
            "headgate_feed_entries",
            "Entries by what became of them: taken; dead, which went to the stream NAME:dead; "
            "trimmed, which were gone before they were taken.",
            ("stream", "outcome"),
            registry=registry,
        )
        self.reconnects = Counter(
            "headgate_feed_reconnects",
            "Times that reading the stream failed and was begun again.",
            label,
            registry=registry,
        )

    def of(self, stream: str) -> "FeedMetrics":
        """Metrics of one stream."""
        return FeedMetrics(stream, self)


class FeedMetrics:
    """Metrics of one stream."""

    def __init__(self, stream: str, families: FeedFamilies) -> None:
        self.connected = families.connected.labels(stream)
        self.lag = families.lag.labels(stream)
        self.entry = families.entry.labels(stream)
        self.reconnects = families.reconnects.labels(stream)
        self.taken, self.dead, self.trimmed = (
            families.entries.labels(stream, outcome) for outcome in (TAKEN, DEAD, TRIMMED)
        )
