"""Cells that are being opened while others have a say in who should have them."""

import asyncio

import pytest

from adapters.placement.steps import Doing, Step
from tests.adapters.test_engine_registry import registered as registered
from tests.adapters.test_placement_turns import Cabinet, NewMember, Opened
from tests.adapters.test_placement_turns import cabinet as cabinet
from tests.adapters.test_placement_turns import member as member

pytestmark = pytest.mark.needs_redis


async def test_cell_that_comes_to_be_ours_as_it_is_given_up_is_closed(
    member: NewMember, cabinet: Cabinet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or nobody would look after it, and nobody else could have it."""
    one, two = member("one"), member("two")
    await one.settle()
    opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    opens = two.keeper.open

    async def open_now(name: str, owner: str, *, is_known: bool) -> Opened:
        await opening
        return await opens(name, owner, is_known=is_known)

    def only_a(cell: str, engine: str, _outlook: object, doing: Doing, _turns: int) -> Step:
        if (cell, engine) != ("a", "two") or opening.done():
            return Step.STAY
        if doing is Doing.NOTHING:
            return Step.OPEN
        # Both in one turn of the loop: first it is open, then it is to be given up.
        opening.set_result(None)
        return Step.GIVE_WAY

    await one.keeper.close("a")
    two.keeper.open = open_now  # type: ignore[method-assign]
    monkeypatch.setattr("adapters.placement.placement.next_step", only_a)
    await two.settle(1)
    async with asyncio.timeout(10):
        while not opening.done():
            await asyncio.sleep(0.01)
        while "a" in two.keeper.cells or two.placement._doing["a"] is not Doing.NOTHING:
            await asyncio.sleep(0.01)
    assert "a" not in cabinet.owners


async def test_cell_that_is_ours_and_being_loaded_is_given_up_to_nobody(
    member: NewMember, cabinet: Cabinet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner that was paused claims it once more before it learns that it has lost it."""
    one, two = member("one"), member("two")
    await one.settle()
    loaded = asyncio.Event()
    opens = two.keeper.open

    async def load(name: str, owner: str, *, is_known: bool) -> Opened:
        two.keeper.loading.add(name)
        await loaded.wait()
        return await opens(name, owner, is_known=is_known)

    def claimed(cell: str, engine: str, _outlook: object, doing: Doing, _turns: int) -> Step:
        if (cell, engine) != ("a", "two"):
            return Step.STAY
        return {Doing.NOTHING: Step.OPEN, Doing.WAITING: Step.GIVE_WAY}.get(doing, Step.STAY)

    await one.keeper.close("a")
    two.keeper.open = load  # type: ignore[method-assign]
    monkeypatch.setattr("adapters.placement.placement.next_step", claimed)
    await two.settle(1)
    async with asyncio.timeout(10):
        while "a" not in two.keeper.loading:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert two.placement._doing["a"] is Doing.WAITING
        loaded.set()
        while cabinet.owners.get("a") != "two":
            await asyncio.sleep(0.01)
