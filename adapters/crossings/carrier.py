"""
Brings the contacts of one cell that cross to others, and tells the cell what came of it.

    committed here   asked there: take it in     TAKEN, REFUSED → told here
                     no answer                   → recalled, until there is one

What is asked is read in a turn of the cell, so that it is committed. A contact that finds no answer
at the first try is recalled: whichever cell then has it, its customer waits in a queue again as
soon as the other one answers at all. Who comes after this owner begins anew; the other cell says
what it said before.
"""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import structlog
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from adapters.calls import ask
from adapters.crossings.links import Links, Unreachable
from adapters.crossings.messages import answer_of, recall_request, receive_request
from adapters.crossings.metrics import CrossingMetrics
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.methods import Method
from engine.crossing import (
    Crossing,
    CrossingAnswer,
    NameOrigin,
    RecallContact,
    ReceiveContact,
    SettleCrossing,
)
from engine.engine import Engine
from engine.handlers.crossing import to_bring

_log = structlog.get_logger(__name__)

# How often the cell is looked at for contacts that left.
_LOOK_S: Final = 0.05
# Between tries, doubled with each.
_PAUSE_S: Final = 0.1
_PAUSE_MAX_S: Final = 5.0
# Contacts that are brought at a time.
_AT_A_TIME: Final = 64


class Carrier:
    """
    The contacts that leave one cell.

    Parameters
    ----------
    cell
        Whose they are.
    links
        How other cells are asked.
    metrics
        Where crossings are counted.
    """

    def __init__(self, cell: DispatchLoop, links: Links, metrics: CrossingMetrics) -> None:
        self._cell = cell
        self._links = links
        self._metrics = metrics
        self._rooms: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(_AT_A_TIME)
        )
        # Who asks a cell that does not answer, one after the other.
        self._probes: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._on_their_way: dict[int, asyncio.Task[None]] = {}
        # Cells that did not answer last, so that it is told once.
        self._silent: set[str] = set()
        self._forgotten: set[int] = set()
        metrics.show(self._count, self._oldest_s)

    async def run(self) -> None:
        """Bring what leaves, for as long as the cell is here."""
        try:
            while True:
                await asyncio.sleep(_LOOK_S)
                if self._cell.is_open and self._cell.engine.cell.crossings:
                    self._begin(self._cell.engine)
        finally:
            for task in self._on_their_way.values():
                task.cancel()
            self._metrics.hide()

    def _begin(self, engine: Engine) -> None:
        """Begin with those that nobody brings yet."""
        for crossing in engine.cell.crossings.open():
            number = crossing.number
            if number not in self._on_their_way:
                self._require_neighbour(crossing)
                task = asyncio.get_running_loop().create_task(self._bring(crossing))
                self._on_their_way[number] = task
                task.add_done_callback(partial(self._end, number))

    def _require_neighbour(self, crossing: Crossing) -> None:
        """Say that a contact is on its way to a cell that the settings do not name any more."""
        to_cell = crossing.cell
        if to_cell not in self._cell.engine.neighbours and to_cell not in self._silent:
            told = {"to_cell": to_cell, "contact_id": crossing.contact_id}
            _log.warning("crossing_to_no_neighbour", cell=self._cell.cell, **told)

    def _end(self, number: int, task: asyncio.Task[None]) -> None:
        del task, self._on_their_way[number]

    async def _bring(self, crossing: Crossing) -> None:
        """Bring one until there is an answer, and tell the cell of it."""
        pause_s, recalls = _PAUSE_S, False
        while True:
            try:
                async with self._turn_of(crossing.cell):
                    if await self._try(crossing, recalls=recalls):
                        return
                # Its customer left in between, or the other cell has forgotten it.
                recalls = True
            except Unreachable as error:
                self._note_silence(crossing, error)
                recalls = True
            except CallRefused as error:
                # Our own cell: it is being loaded again, or closes.
                _log.debug("crossing_waits", cell=self._cell.cell, error=str(error))
            except Exception:
                # A bug of ours: the contact is not to be forgotten for it.
                _log.exception("crossing_failed", cell=self._cell.cell, number=crossing.number)
                recalls = True
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)

    @asynccontextmanager
    async def _turn_of(self, to_cell: str) -> AsyncIterator[None]:
        """Wait for a turn: many at a time, and one where nobody has answered."""
        async with self._rooms[to_cell]:
            if to_cell not in self._silent:
                yield
                return
            async with self._probes[to_cell]:
                yield

    async def _try(self, crossing: Crossing, *, recalls: bool) -> bool:
        """Whether nothing is left to be done for a crossing, after asking once."""
        command = await self._read(crossing.number, recalls=recalls)
        if command is None:
            return True
        answer = await self._ask(command, crossing.cell)
        self._silent.discard(crossing.cell)
        self._metrics.brought(crossing.cell, answer.name.lower())
        if answer is CrossingAnswer.FORGOTTEN:
            self._tell_forgotten(crossing)
            return False
        knew = isinstance(command, RecallContact) and command.left > 0
        settle = SettleCrossing(crossing.number, answer, knew)

        def tell(engine: Engine, now_ms: int) -> None:
            engine.apply(settle, now_ms)

        await self._do(tell)
        # It is open still where its customer left in between.
        return self._cell.engine.cell.crossings.find(crossing.number) is None

    def _tell_forgotten(self, crossing: Crossing) -> None:
        if crossing.number not in self._forgotten:
            self._forgotten.add(crossing.number)
            _log.error(
                "crossing_forgotten",
                cell=self._cell.cell,
                to_cell=crossing.cell,
                number=crossing.number,
                contact_id=crossing.contact_id,
                why="this cell's log has lost what came of it; see where the contact is, and "
                "settle it",
            )

    async def _ask(self, command: ReceiveContact | RecallContact, to_cell: str) -> CrossingAnswer:
        request_id = uuid.uuid4().hex
        if isinstance(command, RecallContact):
            answer = answer_of(
                await self._links.recall(recall_request(command, to_cell, request_id))
            )
        else:
            reply = await self._links.receive(receive_request(command, to_cell, request_id))
            answer = answer_of(reply)
            if answer is CrossingAnswer.REFUSED:
                _log.info(
                    "crossing_refused",
                    cell=self._cell.cell,
                    to_cell=to_cell,
                    contact_id=command.contact.contact_id,
                    reason=reply.reason,
                )
        if answer is None:
            raise Unreachable(f"cell {to_cell!r} has given an answer that is none")
        return answer

    async def _read(self, number: int, *, recalls: bool) -> ReceiveContact | RecallContact | None:
        """What is to be asked now, once that is committed; None where it is settled."""
        found: list[ReceiveContact | RecallContact] = []

        def read(engine: Engine, now_ms: int) -> None:
            if not engine.cell.crossings.origin:
                engine.apply(NameOrigin(uuid.uuid4().hex), now_ms)
            crossing = engine.cell.crossings.find(number)
            if crossing is not None:
                name = self._cell.cell
                found.append(to_bring(engine.cell, crossing, name, now_ms, recalls=recalls))

        await self._do(read)
        return found[0] if found else None

    async def _do(self, work: Callable[[Engine, int], object]) -> None:
        """Have something done in a turn of the cell; it is committed when this returns."""

        def run(engine: Engine, request: Message, now_ms: int) -> Message:
            work(engine, now_ms)
            return request

        await ask(self._cell, Method("Crossings", "Crossing", Empty, run), Empty())

    def _note_silence(self, crossing: Crossing, error: Exception) -> None:
        self._metrics.brought(crossing.cell, "unreachable")
        if crossing.cell not in self._silent:
            self._silent.add(crossing.cell)
            _log.warning(
                "crossing_unanswered",
                cell=self._cell.cell,
                to_cell=crossing.cell,
                number=crossing.number,
                error=str(error),
            )

    def _open(self) -> Sequence[Crossing]:
        return self._cell.engine.cell.crossings.open()

    def _count(self) -> float:
        return float(len(self._open()))

    def _oldest_s(self) -> float:
        since_ms = [item.since_ms for item in self._open()]
        return max(self._cell.now_ms() - min(since_ms), 0) / 1_000 if since_ms else 0.0
