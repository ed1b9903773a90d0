"""Engines that share cells, turn by turn: who takes what, who leaves, what callers are told."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from prometheus_client import CollectorRegistry

from adapters.commit_log import CellGone, CommitLogError, LogUnfit
from adapters.errors import CallRefused
from adapters.exit_code import ExitCode
from adapters.placement.metrics import PlacementMetrics
from adapters.placement.part import Part
from adapters.placement.placement import Placement
from adapters.placement.ranking import ranked
from adapters.placement.steps import Doing
from headgate.v1.error_pb2 import NotOwner
from tests.adapters.test_engine_registry import NewRegistry, registry, told
from tests.adapters.test_engine_registry import registered as registered
from tests.end_to_end.redis_servers import RedisServer

pytestmark = pytest.mark.needs_redis

CELLS = ("a", "b", "c", "d", "e", "f")
HEARTBEAT_MS, EXPIRY_MS = 50, 4_000


class Opened:
    """What stands for an open cell."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.lost = asyncio.Event()


class Cabinet:
    """Keeps cells for engines of a test, each in one place at a time; a wrong move fails."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        self.epochs = dict.fromkeys(CELLS, 0)
        self.broken: set[str] = set()


class Keeper:
    """One engine's hands."""

    def __init__(self, cabinet: Cabinet) -> None:
        self._cabinet = cabinet
        self.cells: dict[str, Opened] = {}
        # Cells that are ours and still being loaded.
        self.loading: set[str] = set()

    def has_acquired(self, name: str) -> bool:
        """Whether it is ours, loaded or not."""
        return name in self.cells or name in self.loading

    async def open(self, name: str, owner: str, *, is_known: bool) -> Opened:
        """Wait until nobody has it."""
        if owner in self._cabinet.broken:
            raise CommitLogError("no room")
        while name in self._cabinet.owners:
            await asyncio.sleep(0.005)
        if is_known and not self._cabinet.epochs[name]:
            raise CellGone("the cell's keys are gone")
        self._cabinet.owners[name] = owner
        self._cabinet.epochs[name] += 1
        self.cells[name] = Opened(self._cabinet.epochs[name])
        return self.cells[name]

    async def close(self, name: str) -> None:
        """Give it up."""
        if self.cells.pop(name, None) is not None:
            self._cabinet.owners.pop(name, None)


class Member:
    """An engine of a test."""

    def __init__(self, server: RedisServer, name: str, cabinet: Cabinet) -> None:
        self.name = name
        self.keeper = Keeper(cabinet)
        self.gave_up: list[tuple[str, ExitCode]] = []
        part = Part(name, CELLS, HEARTBEAT_MS, EXPIRY_MS)
        metrics = PlacementMetrics(CollectorRegistry())
        self.placement = Placement(
            part,
            registry(server),
            self.keeper,  # type: ignore[arg-type]
            metrics,
            lambda why, exit_code: self.gave_up.append((why, exit_code)),
        )

    async def settle(self, within_s: float = 5.0) -> None:
        """Begin."""
        await self.placement.settle(f"{self.name}:1", within_s)

    async def stop(self, within_s: float = 2.0) -> None:
        """Leave in good order."""
        await self.placement.leave(within_s)
        for cell in list(self.keeper.cells):
            await self.keeper.close(cell)
        await self.placement.end()

    def rank(self, cell: str) -> str:
        """Who should have a cell, as this one sees it."""
        return ranked(cell, self.placement.fleet)[0]


NewMember = Callable[[str], Member]


@pytest.fixture
def cabinet() -> Cabinet:
    """Where the cells are."""
    return Cabinet()


@pytest.fixture
async def member(server: RedisServer, cabinet: Cabinet) -> AsyncIterator[NewMember]:
    """Make engines; they end with the test."""
    made: list[Member] = []

    def make(name: str) -> Member:
        made.append(Member(server, name, cabinet))
        return made[-1]

    yield make
    for one in made:
        await one.stop(0)


async def settled(cabinet: Cabinet, *members: Member) -> None:
    """Wait until every cell is where each of the engines says it should be, and is."""

    def is_settled(cell: str, one: Member) -> bool:
        holder, owner = one.placement.fleet.holder(cell), cabinet.owners.get(cell)
        return holder is not None and owner == holder.engine == one.rank(cell)

    async with asyncio.timeout(15):
        while not all(is_settled(cell, one) for cell in CELLS for one in members):
            await asyncio.sleep(0.01)


async def test_cells_follow_engines_that_come_and_go(member: NewMember, cabinet: Cabinet) -> None:
    """One has all of them; a second takes its share; what one leaves the other has."""
    one, two = member("one"), member("two")
    await one.settle()
    assert set(cabinet.owners.values()) == {"one"}
    assert one.keeper.cells.keys() == set(CELLS)
    await two.settle()
    await settled(cabinet, one, two)
    assert set(cabinet.owners.values()) == {"one", "two"}
    await one.stop()
    await settled(cabinet, two)
    assert set(cabinet.owners.values()) == {"two"}


async def test_next_owner_stands_by_while_heartbeats_do_not_come(
    member: NewMember, cabinet: Cabinet
) -> None:
    """It is ready before the other counts as dead, and gives way if that one lives after all."""
    one, other = member("one"), member("other")
    await asyncio.gather(one.settle(), other.settle())
    await settled(cabinet, one, other)
    owners = dict(cabinet.owners)
    lost = {cell for cell, owner in owners.items() if owner == "one"}
    beating = one.placement._running
    assert beating is not None
    beating.cancel()
    async with asyncio.timeout(EXPIRY_MS / 2_000):
        while not all(other.placement._doing[cell] is Doing.WAITING for cell in lost):
            await asyncio.sleep(0.01)
    assert "one" in other.placement.fleet.engines
    one.placement._running = asyncio.create_task(one.placement._run())
    async with asyncio.timeout(5):
        while any(other.placement._doing[cell] is Doing.WAITING for cell in lost):
            await asyncio.sleep(0.01)
    assert cabinet.owners == owners


async def test_cell_goes_where_somebody_puts_it_and_back(
    member: NewMember, cabinet: Cabinet, registered: NewRegistry
) -> None:
    """By hand, against the ranking; an engine that is drained gives everything away."""
    one, two = member("one"), member("two")
    await one.settle()
    await two.settle()
    await settled(cabinet, one, two)
    cell = next(name for name in CELLS if cabinet.owners[name] == "one")
    keys = registered()
    await keys.move(cell, "two")
    async with asyncio.timeout(15):
        while cabinet.owners.get(cell) != "two":
            await asyncio.sleep(0.01)
    await keys.undo_move(cell)
    async with asyncio.timeout(15):
        while cabinet.owners.get(cell) != "one":
            await asyncio.sleep(0.01)
    await keys.drain("one")
    async with asyncio.timeout(15):
        while set(cabinet.owners.values()) != {"two"} or len(cabinet.owners) < len(CELLS):
            await asyncio.sleep(0.01)


async def test_cell_that_an_engine_cannot_open_is_left_to_the_others(
    member: NewMember, cabinet: Cabinet
) -> None:
    """It stays where it is, or goes to the next: nobody keeps a cell from being served."""
    one, two = member("one"), member("two")
    await one.settle()
    cabinet.broken.add("two")
    await two.settle()
    async with asyncio.timeout(15):
        while not one.placement.fleet.engines.get("two", told("two")).refuses:
            await asyncio.sleep(0.01)
    assert cabinet.owners == dict.fromkeys(CELLS, "one")
    assert set(cabinet.epochs.values()) == {1}


async def test_cell_whose_servers_are_unfit_for_now_is_opened_once_they_are_fit(
    member: NewMember, cabinet: Cabinet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A primary that has just taken over has no replicas yet: a minute would be too long."""
    monkeypatch.setattr("adapters.placement.failures._UNFIT_FOR_S", 0.2)
    one, two = member("one"), member("two")
    await one.settle()
    opens, unfit = two.keeper.open, 3

    async def open_later(name: str, owner: str, *, is_known: bool) -> Opened:
        nonlocal unfit
        unfit -= 1
        if unfit > 0:
            raise LogUnfit("no replicas")
        return await opens(name, owner, is_known=is_known)

    two.keeper.open = open_later  # type: ignore[method-assign]
    await two.settle()
    async with asyncio.timeout(15):
        while "two" not in cabinet.owners.values() or two.placement.fleet.engines["two"].refuses:
            await asyncio.sleep(0.01)
    assert unfit <= 0


async def test_engine_that_cannot_open_its_cells_does_not_start(
    member: NewMember, cabinet: Cabinet
) -> None:
    """Nobody else is there to serve them: whoever starts it must hear of it."""
    cabinet.broken.add("one")
    with pytest.raises(CommitLogError, match="no room"):
        await member("one").settle()


async def test_bug_that_keeps_a_cell_from_opening_keeps_it_from_nobody_else(
    member: NewMember, cabinet: Cabinet
) -> None:
    """An engine that everybody waits for in vain would take the cell from the floor."""
    one, two = member("one"), member("two")
    await one.settle()

    async def fail(name: str, owner: str, *, is_known: bool) -> Opened:
        raise KeyError(name)

    two.keeper.open = fail  # type: ignore[method-assign]
    await two.settle()
    async with asyncio.timeout(15):
        while not one.placement.fleet.engines.get("two", told("two")).refuses:
            await asyncio.sleep(0.01)
    assert cabinet.owners == dict.fromkeys(CELLS, "one")


async def test_cell_that_is_lost_is_closed_and_had_again(
    member: NewMember, cabinet: Cabinet
) -> None:
    """Losing one cell must not cost the others of the engine."""
    one = member("one")
    await one.settle()
    one.keeper.cells["a"].lost.set()
    async with asyncio.timeout(15):
        while cabinet.epochs["a"] < 2 or "a" not in cabinet.owners:
            await asyncio.sleep(0.01)
    assert {cabinet.epochs[cell] for cell in CELLS[1:]} == {1}
    assert one.gave_up == []


async def test_cell_that_was_emptied_ends_every_engine_that_would_have_it(
    member: NewMember, cabinet: Cabinet
) -> None:
    """To go on with an empty cell would bury the loss."""
    one, two = member("one"), member("two")
    await one.settle()
    await two.settle()
    await settled(cabinet, one, two)
    cabinet.epochs["a"] = 0
    for engine in (one, two):
        for cell in ("a",) if "a" in engine.keeper.cells else ():
            engine.keeper.cells[cell].lost.set()
    async with asyncio.timeout(15):
        while not (one.gave_up and two.gave_up):
            await asyncio.sleep(0.01)
    why = "cell 'a': the cell's keys are gone"
    assert one.gave_up == two.gave_up == [(why, ExitCode.CELL_GONE)]
    assert cabinet.epochs["a"] == 0


async def test_second_engine_of_a_name_ends_the_first(member: NewMember, cabinet: Cabinet) -> None:
    """They would take each other's cells for ever."""
    one, again = member("one"), member("one")
    await one.settle()
    cabinet.owners.clear()
    await again.settle()
    async with asyncio.timeout(15):
        while not one.gave_up:
            await asyncio.sleep(0.01)
    assert one.gave_up[0] == ("another engine goes by the name 'one'", ExitCode.CELL_LOST)
    assert again.gave_up == []


async def test_engine_that_sees_nobody_keeps_its_cells_and_is_not_ready(
    member: NewMember, cabinet: Cabinet, server: RedisServer
) -> None:
    """Whether the cells can be committed to is theirs to find out."""
    one = member("one")
    await one.settle()
    assert one.placement.why_not_ready() == ""
    server.kill()
    async with asyncio.timeout(15):
        while not one.placement.why_not_ready():
            await asyncio.sleep(0.01)
    assert one.placement.why_not_ready().startswith("does not see other engines: redis://")
    assert len(cabinet.owners) == len(CELLS)
    server.start()
    async with asyncio.timeout(15):
        while one.placement.why_not_ready():
            await asyncio.sleep(0.01)
    assert {cabinet.epochs[cell] for cell in CELLS} == {1}


async def test_engine_without_a_server_does_not_start(
    member: NewMember, server: RedisServer
) -> None:
    """Whoever starts it is told why."""
    server.kill()
    with pytest.raises(CommitLogError, match=r"redis://.*check the address and the server"):
        await member("one").settle(0.2)


async def test_callers_are_told_who_has_a_cell(member: NewMember, cabinet: Cabinet) -> None:
    """Whoever asks the wrong engine learns the right one; of a slip that nobody knows the cell."""
    one, two = member("one"), member("two")
    refused = one.placement.refusal("a")
    assert isinstance(refused, CallRefused)
    assert (refused.reason, refused.retry_after_ms) == ("UNAVAILABLE", 100)
    assert one.placement.refusal("nowhere") is None
    await one.settle()
    await two.settle()
    await settled(cabinet, one, two)
    for cell, owner in cabinet.owners.items():
        asked = two if owner == "one" else one
        told = asked.placement.refusal(cell)
        assert told is not None
        epoch = cabinet.epochs[cell]
        assert told.owner == NotOwner(cell=cell, engine=owner, address=f"{owner}:1", epoch=epoch)


async def test_callers_of_a_cell_that_was_handed_over_are_sent_after_it(
    member: NewMember, cabinet: Cabinet
) -> None:
    """The next owner tells of it a moment later; until then the last one knows best."""
    one, two = member("one"), member("two")
    await one.settle()
    keeps = two.keeper.open
    told: dict[str, CallRefused | None] = {}

    async def open_late(name: str, owner: str, *, is_known: bool) -> Opened:
        opened = await keeps(name, owner, is_known=is_known)
        await asyncio.sleep(0.3)
        told[name] = one.placement.refusal(name)
        return opened

    two.keeper.open = open_late  # type: ignore[method-assign]
    await two.settle()
    await settled(cabinet, one, two)
    assert told
    for cell, refused in told.items():
        assert refused is not None
        assert refused.owner == NotOwner(cell=cell, engine="two", address="two:1", epoch=2)
