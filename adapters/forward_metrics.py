"""What a forwarder tells Prometheus."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from adapters.process_metrics import process_registry

# From a receiver in the same room to one that is about to time out.
_ATTEMPT_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ForwardMetrics:
    """
    Metrics of one forwarder.

    Parameters
    ----------
    lines_dropped
        How many log lines could not be written.

    Attributes
    ----------
    waiting_since_s
        When the first event that is not delivered yet happened, seconds since the Unix epoch; 0.0
        for none.
    """

    def __init__(self, lines_dropped: Callable[[], int] = lambda: 0) -> None:
        self.registry = registry = process_registry(lines_dropped)
        self.waiting_since_s = 0.0
        self.subscribed = Gauge(
            "headgate_forward_subscribed",
            "1 while the engine sends its events.",
            registry=registry,
        )
        self.deliveries = Counter(
            "headgate_forward_deliveries",
            "Deliveries that came to an end, by outcome: delivered, refused, gave_up.",
            ("outcome",),
            registry=registry,
        )
        for outcome in ("delivered", "refused", "gave_up"):
            self.deliveries.labels(outcome)
        self.events = Counter("headgate_forward_events", "Events delivered.", registry=registry)
        self.retries = Counter(
            "headgate_forward_retries",
            "Attempts that failed and are made again, by status, or timeout, tls, connection.",
            ("why",),
            registry=registry,
        )
        self.attempt_seconds = Histogram(
            "headgate_forward_attempt_seconds",
            "Time from the beginning of an attempt to its answer.",
            buckets=_ATTEMPT_SECONDS,
            registry=registry,
        )
        self.lag_seconds = Gauge(
            "headgate_forward_lag_seconds",
            "Age of the last delivered event when it was delivered.",
            registry=registry,
        )
        Gauge(
            "headgate_forward_waiting_seconds",
            "Age of the first event of the delivery under way; 0 when there is none.",
            registry=registry,
        ).set_function(self._waiting_s)
        self.last_success_seconds = Gauge(
            "headgate_forward_last_success_timestamp_seconds",
            "When the endpoint last took a delivery, since the Unix epoch; 0 for not yet.",
            registry=registry,
        )
        self.dead_letters = Counter(
            "headgate_forward_dead_lettered_events",
            "Events that went to the dead-letter file instead.",
            registry=registry,
        )
        self.losses = Counter(
            "headgate_forward_losses",
            "Times that events were lost because the log no longer held them.",
            registry=registry,
        )

    def render(self) -> Iterator[bytes]:
        """Exposition text."""
        yield generate_latest(self.registry)

    def _waiting_s(self) -> float:
        since_s = self.waiting_since_s
        return max(time.time() - since_s, 0.0) if since_s else 0.0
