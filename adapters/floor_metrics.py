"""Lines of the metrics of queues and cells, from the engine's columns."""

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from typing import Final

from engine.engine import Engine
from engine.kernels import columns
from engine.lifecycle import Presence

_QUEUE_GAUGES: Final = (
    ("headgate_queue_waiting", "Contacts waiting, offered ones not counted.", "waiting"),
    ("headgate_queue_offered", "Contacts offered and not yet answered.", "offered"),
    ("headgate_queue_assigned", "Contacts being handled.", "assigned"),
    ("headgate_queue_wrap_up", "Contacts in wrap-up.", "wrapping_up"),
    ("headgate_queue_interrupted", "Contacts put aside for others.", "interrupted"),
    ("headgate_queue_scheduled", "Contacts put off until a time.", "scheduled"),
    ("headgate_queue_diverted", "Contacts gone on elsewhere that may come back.", "diverted"),
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


def render_queues(cells: _Cells) -> Iterable[str]:
    """Lines of the per-queue metrics, from the columns."""
    labelled = [
        (
            engine.cell.store.columns.queues,
            [
                (f'{{cell="{cell}",queue="{escaped(name)}"}} ', row)
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


def render_cells(cells: _Cells) -> Iterable[str]:
    """Lines of the per-cell gauges, from the columns."""
    yield "# HELP headgate_agents Agents by presence.\n# TYPE headgate_agents gauge\n"
    for cell, engine in cells:
        counts = Tally(engine.cell.store.columns.agents.presence.tolist())
        for presence in Presence:
            if presence is not Presence.NONE:
                labels = f'cell="{cell}",presence="{presence.name.lower()}"'
                yield f"headgate_agents{{{labels}}} {counts[presence.value]}\n"
    yield from _render_activations(cells)
    metric = "headgate_open_contacts"
    yield f"# HELP {metric} Contacts that have not ended.\n# TYPE {metric} gauge\n"
    for cell, engine in cells:
        count = engine.cell.store.scalar[columns.OPEN_COUNT]
        yield f'{metric}{{cell="{cell}"}} {count}\n'


def _render_activations(cells: _Cells) -> Iterable[str]:
    """Lines of what policies do, from the activations."""
    metric = "headgate_policy_contacts_total"
    told = (
        "Contacts by what policies did with them, in shadow would have done, and what came of it."
    )
    yield f"# HELP {metric} {told}\n# TYPE {metric} counter\n"
    for cell, engine in cells:
        for (policy, what), count in engine.cell.activations.totals.items():
            labels = f'cell="{cell}",policy="{policy}",what="{what.name.lower()}"'
            yield f"{metric}{{{labels}}} {count}\n"
    metric = "headgate_activations_lasting"
    yield f"# HELP {metric} Activations that last, by policy.\n# TYPE {metric} gauge\n"
    for cell, engine in cells:
        lasting = Tally(item.subject.policy for item in engine.cell.activations.open())
        for policy, count in lasting.items():
            yield f'{metric}{{cell="{cell}",policy="{policy}"}} {count}\n'


def escaped(name: str) -> str:
    """A label's value as the page has it."""
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
