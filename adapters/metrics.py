"""
What the process tells Prometheus.

Per-call metrics are prometheus-client's. Per-queue gauges are rendered from the engine's columns at
scrape time: 10,000 queues as client objects would hold the interpreter for a second, as text they
take some 50 ms.
"""

import itertools
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from adapters.hot_histogram import HotHistogramFamily
from adapters.process_metrics import process_registry
from adapters.security.metrics import AccessMetrics
from engine.effects import EffectKind
from engine.engine import Engine
from engine.kernels import columns
from engine.lifecycle import Presence
from engine.refusals import Refusal

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
        self._cells: dict[str, CellMetrics] = {}
        self._families = _CellFamilies(self.registry)

    def cell(self, name: str) -> "CellMetrics":
        """Metrics of one cell, made when first asked for."""
        if name not in self._cells:
            self._cells[name] = CellMetrics(name, self._families)
        return self._cells[name]

    def render(self, cells: Sequence[tuple[str, Engine]]) -> Iterator[bytes]:
        """
        Exposition text, metric by metric; `cells` gives each cell's name and engine.

        In pieces, because joining and encoding megabytes at once would hold up the event loop.
        """
        yield generate_latest(self.registry)
        for piece in itertools.chain(_render_queues(cells), _render_cells(cells)):
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
            "Calls refused because the inbox was full.",
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
        self._events = {
            kind.value: families.events.labels(cell, kind.name.lower()) for kind in EffectKind
        }
        self._refusals = families.refusals
        self._shown = families.shown

    def show(self, **gauges: Callable[[], float]) -> None:
        """Have gauges asked at every scrape, from its own thread; names are those of `_SHOWN`."""
        for name, ask in gauges.items():
            self._shown[name].labels(self._cell).set_function(ask)

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


_QUEUE_GAUGES: Final = (
    ("headgate_queue_waiting", "Contacts waiting, offered ones not counted.", "waiting"),
    ("headgate_queue_offered", "Contacts offered and not yet answered.", "offered"),
    ("headgate_queue_assigned", "Contacts being handled.", "assigned"),
    ("headgate_queue_wrap_up", "Contacts in wrap-up.", "wrapping_up"),
    ("headgate_queue_interrupted", "Contacts put aside for others.", "interrupted"),
    ("headgate_queue_scheduled", "Contacts put off until a time.", "scheduled"),
)
_QUEUE_TOTALS: Final = (
    ("headgate_queue_received_total", "Contacts taken in.", columns.RECEIVED),
    ("headgate_queue_answered_total", "Contacts accepted by an agent.", columns.ANSWERED),
    (
        "headgate_queue_answered_within_total",
        "Contacts accepted within the service-level time. Service level = answered within / "
        "(answered + abandoned - short abandoned).",
        columns.ANSWERED_WITHIN,
    ),
    (
        "headgate_queue_abandoned_total",
        "Contacts whose customer left before an agent accepted.",
        columns.ABANDONED,
    ),
    (
        "headgate_queue_short_abandoned_total",
        "Abandonments sooner than the queue's short_abandon_ms.",
        columns.SHORT_ABANDONED,
    ),
    ("headgate_queue_expired_total", "Contacts that waited too long.", columns.EXPIRED),
    ("headgate_queue_rejected_total", "Contacts rejected at the door.", columns.REJECTED),
    (
        "headgate_queue_fallbacks_total",
        "Contacts that went to the fallback queue instead of being rejected or expiring.",
        columns.FALLBACKS,
    ),
    ("headgate_queue_completed_total", "Contacts whose wrap-up is over.", columns.COMPLETED),
    (
        "headgate_queue_estimated_total",
        "Answered contacts whose wait EstimateWait had been asked for.",
        columns.ESTIMATED,
    ),
    (
        "headgate_queue_estimate_error_milliseconds_total",
        "Sum of how far off their latest estimates were, early or late.",
        columns.ESTIMATE_ERROR_MS_SUM,
    ),
    (
        "headgate_queue_estimates_exceeded_total",
        "Those that waited longer than the upper bound; one in ten where estimates are right.",
        columns.ESTIMATES_EXCEEDED,
    ),
)

# Of queues that have matching windows only, or had.
_WINDOW_TOTALS: Final = (
    (
        "headgate_queue_window_batches_total",
        "Batches assigned at the end of matching windows.",
        columns.WINDOW_BATCHES,
    ),
    (
        "headgate_queue_window_contacts_total",
        "Waiting contacts in those batches; / batches = the mean size of a batch.",
        columns.WINDOW_CONTACTS,
    ),
    (
        "headgate_queue_window_agents_total",
        "Agents with room in those batches. With one agent or one contact each, windows only wait.",
        columns.WINDOW_AGENTS,
    ),
    (
        "headgate_queue_window_matched_total",
        "Contacts that were offered to an agent by those batches.",
        columns.WINDOW_MATCHED,
    ),
)


_Cells = Sequence[tuple[str, Engine]]


def _render_queues(cells: _Cells) -> Iterable[str]:
    """Lines of the per-queue metrics, from the columns."""
    labelled = [
        (
            engine.cell.store.columns.queues,
            [
                (f'{{cell="{cell}",queue="{_escaped(name)}"}} ', row)
                for row, name in enumerate(engine.cell.queues.slots.ids)
                if name
            ],
        )
        for cell, engine in cells
    ]
    for metric, text, field in _QUEUE_GAUGES:
        yield f"# HELP {metric} {text}\n# TYPE {metric} gauge\n"
        for queues, labels in labelled:
            values = getattr(queues, field).tolist()
            yield "".join(f"{metric}{label}{values[row]}\n" for label, row in labels)
    for metric, text, place in _QUEUE_TOTALS:
        yield f"# HELP {metric} {text}\n# TYPE {metric} counter\n"
        for queues, labels in labelled:
            values = queues.totals[:, place].tolist()
            yield "".join(f"{metric}{label}{values[row]}\n" for label, row in labels)
    for metric, text, place in _WINDOW_TOTALS:
        yield f"# HELP {metric} {text}\n# TYPE {metric} counter\n"
        for queues, labels in labelled:
            values = queues.window_totals[:, place].tolist()
            is_shown = _have_windows(queues)
            shown = (item for item in labels if is_shown[item[1]])
            yield "".join(f"{metric}{label}{values[row]}\n" for label, row in shown)


def _have_windows(queues: columns.Queues) -> list[bool]:
    """Which rows of queues have matching windows, or had."""
    had = queues.window_totals[:, columns.WINDOW_BATCHES] > 0
    is_meant: list[bool] = (had | (queues.matching_window_ms > 0)).tolist()
    return is_meant


def _render_cells(cells: _Cells) -> Iterable[str]:
    """Lines of the per-cell gauges, from the columns."""
    yield "# HELP headgate_agents Agents by presence.\n# TYPE headgate_agents gauge\n"
    for cell, engine in cells:
        counts = Tally(engine.cell.store.columns.agents.presence.tolist())
        for presence in Presence:
            if presence is not Presence.NONE:
                labels = f'cell="{cell}",presence="{presence.name.lower()}"'
                yield f"headgate_agents{{{labels}}} {counts[presence.value]}\n"
    metric = "headgate_open_contacts"
    yield f"# HELP {metric} Contacts that have not ended.\n# TYPE {metric} gauge\n"
    for cell, engine in cells:
        count = engine.cell.store.scalar[columns.OPEN_COUNT]
        yield f'{metric}{{cell="{cell}"}} {count}\n'


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
