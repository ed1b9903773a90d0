"""
What the process tells Prometheus.

Per-call metrics are prometheus-client's. Per-queue gauges are rendered from the engine's columns at
scrape time: 10,000 queues as client objects would hold the interpreter for a second, as text they
take some 50 ms.
"""

import contextlib
import itertools
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from adapters.crossings.metrics import CrossingFamilies
from adapters.floor_metrics import render_cells, render_queues
from adapters.hot_histogram import HotHistogramFamily
from adapters.placement.metrics import PlacementMetrics
from adapters.policies.metrics import PolicyFamilies
from adapters.policy_files.metrics import PolicyFileFamilies
from adapters.process_metrics import process_registry
from adapters.security.metrics import AccessMetrics
from adapters.sensing.feed_metrics import FeedFamilies
from adapters.sensing.metrics import SensingFamilies, render_pictures
from engine.effects import EffectKind
from engine.engine import Engine
from engine.refusals import Refusal
from engine.sensing.picture import Picture

# Around the targets of a routing tier: half a millisecond to a quarter of a second.
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_DECISION_SECONDS: Final = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 2.5e-2)


class Metrics:
    """
    Metrics of one process.

    Parameters
    ----------
    lines_dropped
        How many log lines could not be written.
    """

    def __init__(self, lines_dropped: Callable[[], int] = lambda: 0) -> None:
        self.registry = process_registry(lines_dropped)
        self.started = Counter(
            "grpc_server_started",
            "Calls started on the server.",
            ("grpc_type", "grpc_service", "grpc_method"),
            registry=self.registry,
        )
        self.handled = Counter(
            "grpc_server_handled",
            "Calls completed on the server, by canonical status code.",
            ("grpc_type", "grpc_service", "grpc_method", "grpc_code"),
            registry=self.registry,
        )
        self.handling_seconds = HotHistogramFamily(
            "grpc_server_handling_seconds",
            "Time from the arrival of a unary call to its answer, commit included.",
            ("grpc_type", "grpc_service", "grpc_method"),
            _SECONDS,
            self.registry,
        )
        self.sessions = Gauge(
            "headgate_sessions", "Session streams now open.", registry=self.registry
        )
        self.calls_in_flight = Gauge(
            "headgate_calls_in_flight", "Unary calls not yet answered.", registry=self.registry
        )
        self.streams = Gauge(
            "headgate_streams", "Streams now open, sessions included.", registry=self.registry
        )
        self.refused_over_limit = Counter(
            "headgate_refused_over_limit",
            "Calls and streams refused at the door, by the setting that was reached.",
            ("limit",),
            registry=self.registry,
        )
        self.loop_lag_seconds = Histogram(
            "headgate_loop_lag_seconds",
            "How late the event loop ran a timer set every 100 ms.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.ready = Gauge(
            "headgate_ready",
            "1 while the process takes calls: started, not closing, every cell open.",
            registry=self.registry,
        )
        self.warm_up_seconds = Gauge(
            "headgate_warm_up_seconds",
            "Time from process start to ready.",
            registry=self.registry,
        )
        self.access = AccessMetrics(self.registry)
        self.placement = PlacementMetrics(self.registry)
        self.crossings = CrossingFamilies(self.registry)
        self.sensing = SensingFamilies(self.registry)
        self.policies = PolicyFamilies(self.registry)
        self.feeds = FeedFamilies(self.registry)
        self.policy_files = PolicyFileFamilies(self.registry)
        self._cells: dict[str, CellMetrics] = {}
        self._families = _CellFamilies(self.registry)

    def cell(self, name: str) -> "CellMetrics":
        """Metrics of one cell, made when first asked for."""
        if name not in self._cells:
            self._cells[name] = CellMetrics(name, self._families)
        return self._cells[name]

    def render(
        self, cells: Sequence[tuple[str, Engine]], pictures: Sequence[tuple[str, Picture]] = ()
    ) -> Iterator[bytes]:
        """
        Exposition text, metric by metric; of each cell its name with its engine, and its picture.

        In pieces, because joining and encoding megabytes at once would hold up the event loop.
        """
        yield generate_latest(self.registry)
        for piece in itertools.chain(
            render_queues(cells), render_cells(cells), render_pictures(pictures)
        ):
            yield piece.encode()


# Gauges of a cell that are asked for at every scrape: name in `CellMetrics.show`, metric, text.
_SHOWN: Final = (
    ("ready", "headgate_cell_ready", "1 while the cell takes calls."),
    (
        "clock_ahead_seconds",
        "headgate_clock_ahead_seconds",
        "How far engine time is ahead of the wall clock; negative when behind.",
    ),
    ("inbox_calls", "headgate_inbox_calls", "Calls that wait for a turn."),
    ("kept_replies", "headgate_kept_replies", "Replies kept for retries."),
    ("subscribers", "headgate_subscribers", "Watchers of every event of the cell."),
    ("database_bytes", "headgate_database_bytes", "Size of the cell's file."),
    ("wal_bytes", "headgate_wal_bytes", "Size of the cell's write-ahead log."),
)


class _CellFamilies:
    """Metric families with a `cell` label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        label = ("cell",)
        self.shown = {
            name: Gauge(metric, text, label, registry=registry) for name, metric, text in _SHOWN
        }
        self.decision_seconds = HotHistogramFamily(
            "headgate_decision_seconds",
            "Time one call spends in the engine, translation included, commit not.",
            label,
            _DECISION_SECONDS,
            registry,
        )
        self.commit_seconds = HotHistogramFamily(
            "headgate_commit_seconds",
            "Time one commit group takes to become durable.",
            label,
            _SECONDS,
            registry,
        )
        self.group_calls = HotHistogramFamily(
            "headgate_commit_group_calls",
            "Calls committed together.",
            label,
            (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
            registry,
        )
        self.events = Counter(
            "headgate_events",
            "Things that happened, by kind: contact_received, offer_issued, and so on.",
            ("cell", "kind"),
            registry=registry,
        )
        self.refusals = Counter(
            "headgate_refusals",
            "Commands the engine refused, by reason.",
            ("cell", "reason"),
            registry=registry,
        )
        self.repeated = Counter(
            "headgate_repeated_requests",
            "Calls answered with the stored reply of an earlier one.",
            label,
            registry=registry,
        )
        self.shed = Counter(
            "headgate_shed_calls",
            "Calls refused because the inbox or the log was full, or the log did not answer.",
            label,
            registry=registry,
        )
        self.expired = Counter(
            "headgate_expired_calls",
            "Calls dropped before they were applied: caller gone or deadline passed.",
            label,
            registry=registry,
        )
        self.commit_failures = Counter(
            "headgate_commit_failures",
            "Commit groups the log refused; callers got UNAVAILABLE.",
            label,
            registry=registry,
        )
        self.reloads = Counter(
            "headgate_cell_reloads",
            "Times the cell's state was dropped and loaded from the log again.",
            label,
            registry=registry,
        )
        self.commits_in_doubt = Counter(
            "headgate_commits_in_doubt",
            "Tries of a commit to Redis whose outcome was not known, and which were made again.",
            label,
            registry=registry,
        )
        self.groups_repaired = Counter(
            "headgate_groups_repaired",
            "Acknowledged commit groups that Redis had lost in a failover and that were written "
            "again.",
            label,
            registry=registry,
        )
        self.acknowledged_lost = Counter(
            "headgate_acknowledged_lost",
            "Times that Redis was rolled back further than could be repaired: acknowledged work "
            "may be gone.",
            label,
            registry=registry,
        )
        self.memory_used = Gauge(
            "headgate_redis_memory_used_ratio",
            "Share of the primary's maxmemory in use, 0 without a bound or without Redis; from "
            "0.85 no new contact is taken in.",
            label,
            registry=registry,
        )


class CellMetrics:
    """The metrics of one cell, with its label bound."""

    def __init__(self, cell: str, families: _CellFamilies) -> None:
        self._cell = cell
        self.decision_seconds = families.decision_seconds.labels(cell)
        self.commit_seconds = families.commit_seconds.labels(cell)
        self.group_calls = families.group_calls.labels(cell)
        self.repeated = families.repeated.labels(cell)
        self.shed = families.shed.labels(cell)
        self.expired = families.expired.labels(cell)
        self.commit_failures = families.commit_failures.labels(cell)
        self.reloads = families.reloads.labels(cell)
        self.commits_in_doubt = families.commits_in_doubt.labels(cell)
        self.groups_repaired = families.groups_repaired.labels(cell)
        self.acknowledged_lost = families.acknowledged_lost.labels(cell)
        self.memory_used = families.memory_used.labels(cell)
        self._events = {
            kind.value: families.events.labels(cell, kind.name.lower()) for kind in EffectKind
        }
        self._refusals = families.refusals
        self._shown = families.shown

    def show(self, **gauges: Callable[[], float]) -> None:
        """Have gauges asked at every scrape, from its own thread; names are those of `_SHOWN`."""
        for name, ask in gauges.items():
            self._shown[name].labels(self._cell).set_function(ask)

    def hide(self) -> None:
        """Ask for gauges no more: the cell is closed."""
        for gauge in self._shown.values():
            with contextlib.suppress(KeyError):
                gauge.remove(self._cell)

    def count_effects(self, effects: Sequence[tuple[int | str, ...]]) -> None:
        """Count the effects of a committed group by kind."""
        if len(effects) <= 2:
            for effect in effects:
                self._events[int(effect[0])].inc()
            return
        for kind, count in Tally(int(effect[0]) for effect in effects).items():
            self._events[kind].inc(count)

    def refused(self, reason: Refusal) -> None:
        """Count a refused command."""
        self._refusals.labels(self._cell, reason.name.lower()).inc()
