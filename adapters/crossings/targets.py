"""Asks other cells each second how the queues stand that policies here move contacts to."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import structlog

from adapters.crossings.links import Links, Unreachable
from adapters.crossings.messages import reading_of
from adapters.crossings.metrics import CrossingMetrics
from adapters.dispatch_loop import DispatchLoop
from adapters.policies.following import Hand
from engine.deciding.deciding import Deciding
from engine.deciding.elsewhere import Reading, fresh
from engine.policy.actions import Target
from headgate.v1.crossing_service_pb2 import GetTargetRequest

_log = structlog.get_logger(__name__)

_EVERY_S: Final = 1.0
_TOLD_AFTER: Final = 3


class TargetWatch:
    """
    Queues of other cells, for the policies of one.

    Parameters
    ----------
    cell
        Whose policies they are.
    links
        How other cells are asked.
    targets
        Those of the policies in force.
    hand
        How deciding is reached, in the thread that owns it.
    metrics
        Where it is told how many are not known.
    """

    def __init__(
        self,
        cell: DispatchLoop,
        links: Links,
        targets: Callable[[], Collection[Target]],
        hand: Hand,
        metrics: CrossingMetrics,
    ) -> None:
        self._cell = cell
        self._links = links
        self._targets = targets
        self._hand = hand
        self._metrics = metrics
        self._readings: dict[Target, Reading] = {}
        # How often in a row nothing was told of each.
        self._silent_for: dict[Target, int] = {}

    async def run(self) -> None:
        """Ask for as long as the cell is here."""
        had_any = False
        while True:
            targets = self._targets()
            try:
                if targets or had_any:
                    await self._look(targets)
                had_any = bool(targets)
            except Exception:
                # A bug of ours: what was told of last grows old, and nothing is moved there.
                _log.exception("targets_not_read", cell=self._cell.cell)
            await asyncio.sleep(_EVERY_S)

    async def _look(self, targets: Collection[Target]) -> None:
        self._silent_for = {
            target: seconds for target, seconds in self._silent_for.items() if target in targets
        }
        found = await asyncio.gather(*map(self._ask, targets))
        news = {target: reading for target, reading in zip(targets, found, strict=True) if reading}
        kept = {target: self._readings[target] for target in targets if target in self._readings}
        self._readings = readings = kept | news

        def use(deciding: Deciding) -> None:
            deciding.readings = readings

        self._hand(use)
        now_ms = self._cell.now_ms()
        unknown = sum(fresh(readings, target, now_ms) is None for target in targets)
        self._metrics.targets_unknown.set(unknown)

    async def _ask(self, target: Target) -> Reading | None:
        """What is told of a queue, None for nothing; why that is, is told once."""
        try:
            if target.cell not in self._cell.engine.neighbours:
                raise Unreachable(f"cell {target.cell!r} is not among the neighbours")
            reply = await self._links.target(
                GetTargetRequest(cell=target.cell, queue_id=target.queue)
            )
            reading = reading_of(reply, self._cell.now_ms())
        except (Unreachable, ValueError) as error:
            self._silent_for[target] = self._silent_for.get(target, 0) + 1
            # Not at once: the other cell may be about to open.
            if self._silent_for[target] == _TOLD_AFTER:
                told = {"to_cell": target.cell, "queue": target.queue, "error": str(error)}
                _log.warning("target_unknown", cell=self._cell.cell, **told)
            return None
        self._silent_for.pop(target, None)
        return reading
