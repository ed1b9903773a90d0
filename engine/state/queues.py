"""Queues: ids, definitions and their columns."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from engine.commands import UpsertQueue
from engine.definitions import ScoreWeights
from engine.encoding import kept_json
from engine.kernels.columns import TOTALS, WINDOWED_COUNT
from engine.kernels.solving import prepare
from engine.lifecycle import Intake, QueueOrder, Strategy, WrapUpMode
from engine.limits import NEVER_MS
from engine.state import hours
from engine.state.slots import Slots, members_of
from engine.state.store import Store
from engine.state.weights import weights_in_force

_NO_TOTALS: Final = np.zeros(TOTALS, np.int64)


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue's definition as it stands; `definition.etag` is the present etag."""

    definition: UpsertQueue
    intake: Intake
    # Whether its hours have it open, and when that next changes; 0 for never.
    is_open: bool = True
    next_change_ms: int = 0


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """
    Live state of a queue. Counts are of contacts; times are milliseconds.

    Attributes
    ----------
    totals
        (TOTALS,) int64, counts and sums since the queue was made; places are named in
        `engine.kernels.columns`.
    """

    queue_id: str
    intake: Intake
    waiting: int
    offered: int
    assigned: int
    wrapping_up: int
    scheduled: int
    interrupted: int
    diverted: int
    oldest_wait_ms: int
    agents_free: int
    agents_signed_in: int
    totals: NDArray[np.int64]
    # (WINDOW_TOTALS,), of its matching windows, likewise.
    window_totals: NDArray[np.int64]


class QueueRows:
    """Rows of queues by id, with their definitions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.slots = Slots(store, "queues")
        # Definition as JSON, by row.
        self.payloads: list[bytes] = []
        # Rows whose payload the open commit group must write.
        self.payload_is_new: set[int] = set()
        # Counts definitions written and removed, so that a reader sees whether to read again.
        self.changes = 0

    def write(self, row: int, command: UpsertQueue) -> None:
        """Write a definition into its row; marks nothing and matches nothing."""
        queues = self._store.columns.queues
        queues.wrap_up_mode[row] = command.wrap_up_mode
        queues.weight[row] = weights_in_force(command.strategy, command.weights)
        queues.starvation_ms[row] = command.starvation_bound_ms
        queues.service_level_within_ms[row] = command.service_level_within_ms
        queues.per_target_ms[row] = 1.0 / command.service_level_within_ms
        queues.offer_timeout_ms[row] = command.offer_timeout_ms
        queues.broadcast_max[row] = command.broadcast_max
        queues.wrap_up_ms[row] = command.wrap_up_ms
        queues.max_wait_ms[row] = NEVER_MS if command.max_wait_ms < 0 else command.max_wait_ms
        queues.max_length[row] = command.max_length
        queues.reoffer_delay_ms[row] = max(command.reoffer_delay_ms, 0)
        queues.reoffer_delay_only_agent_ms[row] = max(command.reoffer_delay_only_agent_ms, 0)
        queues.priority_age_ms[row] = command.priority_age_ms
        queues.order[row] = command.order
        queues.priority[row] = command.priority
        queues.short_abandon_ms[row] = command.short_abandon_ms
        self._set_window(row, command.matching_window_ms)
        if len(self.payloads) <= row:
            self.payloads.extend([b""] * (row + 1 - len(self.payloads)))
        fields = command._replace(etag="")._asdict()
        parts = {"weights": tuple(command.weights), "hours": hours.encoded(command.hours)}
        self.payloads[row] = kept_json({**fields, **parts})
        self.payload_is_new.add(row)
        self.changes += 1

    def _set_window(self, row: int, window_ms: int) -> None:
        queues, scalar = self._store.columns.queues, self._store.scalar
        if window_ms > 0:
            prepare()
        scalar[WINDOWED_COUNT] += (window_ms > 0) - int(queues.matching_window_ms[row] > 0)
        queues.matching_window_ms[row] = window_ms

    def retire(self, row: int) -> None:
        """Take a queue without open contacts out of its row."""
        queues = self._store.columns.queues
        queues.intake[row] = Intake.NONE
        queues.fallback[row] = -1
        self._set_window(row, 0)
        self.changes += 1
        self.slots.retire(row)

    def clear(self, row: int) -> None:
        """Make a row ready for a new queue."""
        queues = self._store.columns.queues
        queues.intake[row] = Intake.OPEN
        queues.totals[row] = _NO_TOTALS
        queues.window_totals[row] = 0
        queues.version[row] = 0
        queues.recent_handled[row] = 0
        queues.recent_handle_ms[row] = 0
        queues.fallback[row] = -1
        queues.closed_for[row] = 0

    def view(self, row: int) -> QueueView:
        """Definition and intake of a queue."""
        queues = self._store.columns.queues
        definition = definition_of(self.payloads[row])._replace(etag=str(queues.version[row]))
        return QueueView(definition, Intake(int(queues.intake[row])))

    def snapshot(self, row: int, now_ms: int) -> QueueSnapshot:
        """Live state of a queue. O(agents / 64 + classes of the queue)."""
        columns = self._store.columns
        queues, bitsets = columns.queues, columns.bitsets
        members = bitsets.queue_agents[row]
        free = np.bitwise_or.reduce(bitsets.free_agents, axis=0) & members
        signed_in = columns.agents.presence
        member_rows = members_of(members)
        member_presence = signed_in[member_rows]
        return QueueSnapshot(
            queue_id=self.slots.ids[row],
            intake=Intake(int(queues.intake[row])),
            waiting=int(queues.waiting[row]),
            offered=int(queues.offered[row]),
            assigned=int(queues.assigned[row]),
            wrapping_up=int(queues.wrapping_up[row]),
            scheduled=int(queues.scheduled[row]),
            interrupted=int(queues.interrupted[row]),
            diverted=int(queues.diverted[row]),
            oldest_wait_ms=self._oldest_wait_ms(row, now_ms),
            agents_free=int(np.bitwise_count(free).sum()),
            agents_signed_in=int(((member_presence > 0) & (member_presence < 5)).sum()),
            totals=queues.totals[row].copy(),
            window_totals=queues.window_totals[row].copy(),
        )

    def _oldest_wait_ms(self, row: int, now_ms: int) -> int:
        """Longest wait among the heads of the queue's classes; heads are oldest by routing age."""
        columns = self._store.columns
        oldest_ms = 0
        class_row = int(columns.queues.first_class[row])
        while class_row >= 0:
            head = columns.classes.head[class_row]
            oldest_ms = max(oldest_ms, now_ms - int(columns.contacts.queued_ms[head]))
            class_row = int(columns.classes.following[class_row])
        return oldest_ms


def definition_of(payload: bytes) -> UpsertQueue:
    """Definition from its JSON; what older versions wrote has fewer keys."""
    fields = orjson.loads(payload)
    fields["strategy"] = Strategy(fields["strategy"])
    fields["wrap_up_mode"] = WrapUpMode(fields["wrap_up_mode"])
    fields["order"] = QueueOrder(fields.get("order", QueueOrder.FIFO))
    fields["weights"] = ScoreWeights(*fields.get("weights", ()))
    fields["hours"] = hours.decoded(fields.get("hours"))
    return UpsertQueue(**fields)
