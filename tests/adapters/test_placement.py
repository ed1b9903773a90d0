"""Which engine should have a cell, and what each does about it: pure, from what heartbeats tell."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from adapters.placement.fleet import FOREVER, Fleet, Heartbeat, Held, Move
from adapters.placement.part import Part
from adapters.placement.ranking import ranked, weight
from adapters.placement.settings import require_shareable
from adapters.placement.steps import Doing, Outlook, Step, next_step
from adapters.settings import load
from engine.refusals import BadConfiguration

CELLS = [f"cell-{number}" for number in range(1_000)]


def alive(engine: str, *cells: str, epoch: int = 1, **fields: object) -> Heartbeat:
    """Tell of an engine that has some cells."""
    held = {cell: Held(epoch, 0) for cell in cells}
    return replace(Heartbeat(engine, f"{engine}:1", "1", 6, cells=held), **fields)  # type: ignore[arg-type]


def fleet(*engines: Heartbeat, **fields: object) -> Fleet:
    """Make a fleet of engines."""
    return replace(Fleet({item.engine: item for item in engines}), **fields)  # type: ignore[arg-type]


def first(engines: Fleet) -> dict[str, str]:
    """Who should have each cell."""
    return {cell: ranked(cell, engines)[0] for cell in CELLS}


def test_weights_are_the_same_everywhere() -> None:
    """Engines of different versions and machines must agree: this one is written down."""
    assert weight("default", "engine-1") == 6_439_978_873_860_725_110


def test_engine_that_joins_takes_cells_only_to_itself() -> None:
    """Whatever else moved would move for nothing."""
    before = first(fleet(alive("a"), alive("b"), alive("c")))
    after = first(fleet(alive("a"), alive("b"), alive("c"), alive("d")))
    assert {after[cell] for cell in CELLS if after[cell] != before[cell]} == {"d"}


def test_cells_of_an_engine_that_leaves_go_to_all_others() -> None:
    """None of the others' move, and no single engine gets the load of the one that left."""
    before = first(fleet(alive("a"), alive("b"), alive("c"), alive("d")))
    after = first(fleet(alive("a"), alive("b"), alive("d")))
    moved = {cell for cell in CELLS if after[cell] != before[cell]}
    assert moved == {cell for cell in CELLS if before[cell] == "c"}
    assert min(Counter(after[cell] for cell in moved).values()) > len(moved) / 5


@pytest.mark.parametrize("engines", [2, 3, 5, 10])
def test_cells_are_spread_evenly(engines: int) -> None:
    """Each has its share within what chance allows: five standard deviations."""
    counts = Counter(first(fleet(*(alive(f"pod-{n}") for n in range(engines)))).values())
    share = 1 / engines
    allowed = 5 * (len(CELLS) * share * (1 - share)) ** 0.5
    assert len(counts) == engines
    assert all(abs(count - len(CELLS) * share) < allowed for count in counts.values())


def test_order_of_heartbeats_does_not_matter() -> None:
    """Servers tell of engines in any order."""
    engines = [alive(f"pod-{n}") for n in range(7)]
    before = first(fleet(*engines))
    random.Random(1).shuffle(engines)
    assert first(fleet(*engines)) == before


def test_engines_that_may_not_have_a_cell_are_left_out() -> None:
    """One that drains, one that could not open it, one that could not read what is written."""
    everybody = fleet(alive("a"), alive("b"), alive("c"), alive("d"))
    order = ranked("x", everybody)
    assert sorted(order) == ["a", "b", "c", "d"]
    engines = dict(everybody.engines)
    drains, refuses, older, holder = order
    engines[drains] = alive(drains, is_draining=True)
    engines[refuses] = alive(refuses, refuses=frozenset({"x"}))
    engines[older] = alive(older, schema=5)
    engines[holder] = alive(holder, "x")
    assert ranked("x", Fleet(engines)) == [holder]
    assert ranked("y", Fleet(engines)) != [holder]
    assert ranked("x", Fleet(engines, drained={holder: FOREVER})) == []


def test_move_puts_a_cell_on_an_engine_while_that_may_have_it() -> None:
    """What people say comes first; where it cannot be, the cell is not left without an engine."""
    everybody = fleet(alive("a"), alive("b"), alive("c"))
    usual = ranked("x", everybody)
    moved = replace(everybody, moves={"x": Move(usual[2], FOREVER)})
    assert ranked("x", moved) == [usual[2], usual[0], usual[1]]
    gone = replace(everybody, moves={"x": Move("nobody", FOREVER)})
    assert ranked("x", gone) == usual
    drained = replace(moved, drained={usual[2]: FOREVER})
    assert ranked("x", drained) == usual[:2]


def test_of_two_that_tell_that_they_have_a_cell_the_later_right_counts() -> None:
    """The other was fenced and has not noticed yet."""
    both = fleet(alive("a", "x", epoch=3), alive("b", "x", epoch=4))
    holder = both.holder("x")
    assert holder is not None
    assert holder.engine == "b"
    assert both.holder("y") is None


ORDER = ranked("x", fleet(alive("a"), alive("b"), alive("c")))
FIRST, SECOND, THIRD = ORDER
WAITS = frozenset({"x"})
NOTHING, WAITING = Doing.NOTHING, Doing.WAITING


@pytest.mark.parametrize(
    ("engine", "engines", "doing", "turns", "step"),
    [
        # A cell that nobody has: the first at once, the others one after the other.
        (FIRST, fleet(*map(alive, ORDER)), Doing.NOTHING, 0, Step.OPEN),
        (SECOND, fleet(*map(alive, ORDER)), Doing.NOTHING, 0, Step.STAY),
        (SECOND, fleet(*map(alive, ORDER)), Doing.NOTHING, 1, Step.OPEN),
        (THIRD, fleet(*map(alive, ORDER)), Doing.NOTHING, 1, Step.STAY),
        (THIRD, fleet(*map(alive, ORDER)), Doing.NOTHING, 2, Step.OPEN),
        # One that another has: whose it should be waits for it, nobody else.
        (FIRST, fleet(alive(FIRST), alive(SECOND, "x")), Doing.NOTHING, 0, Step.OPEN),
        (THIRD, fleet(*map(alive, ORDER[1:]), alive(FIRST, "x")), Doing.NOTHING, 9, Step.STAY),
        # Its owner keeps it until the other is ready to take it.
        (SECOND, fleet(alive(FIRST), alive(SECOND, "x")), Doing.HOLDING, 0, Step.STAY),
        (
            SECOND,
            fleet(alive(FIRST, waits=WAITS), alive(SECOND, "x")),
            Doing.HOLDING,
            0,
            Step.HAND_OVER,
        ),
        (FIRST, fleet(alive(FIRST, "x"), alive(SECOND, waits=WAITS)), Doing.HOLDING, 0, Step.STAY),
        # An owner that drains and is alone stays: there is nobody to take it.
        (FIRST, fleet(alive(FIRST, "x", is_draining=True)), Doing.HOLDING, 0, Step.STAY),
        # Who waits goes on while it is its turn, or nobody has the cell.
        (FIRST, fleet(alive(FIRST), alive(SECOND, "x")), Doing.WAITING, 0, Step.STAY),
        (SECOND, fleet(alive(FIRST), alive(SECOND)), Doing.WAITING, 5, Step.STAY),
        (SECOND, fleet(alive(FIRST, "x"), alive(SECOND)), Doing.WAITING, 0, Step.GIVE_WAY),
        (
            FIRST,
            fleet(alive(FIRST, is_draining=True), alive(SECOND)),
            Doing.WAITING,
            0,
            Step.GIVE_WAY,
        ),
        # One thing at a time; and not by who is not in the fleet.
        (FIRST, fleet(alive(FIRST, "x")), Doing.CLOSING, 9, Step.STAY),
        ("z", fleet(alive(FIRST)), Doing.NOTHING, 9, Step.STAY),
    ],
)
def test_next_step(engine: str, engines: Fleet, doing: Doing, turns: int, step: Step) -> None:
    """Each engine by itself does what makes all of them agree."""
    assert next_step("x", engine, Outlook(engines), doing, turns) is step


@pytest.mark.parametrize(
    ("engine", "engines", "late", "doing", "step"),
    [
        # Who comes next stands by, nobody else, and goes on until the owner is heard of again.
        (SECOND, fleet(alive(FIRST, "x"), *map(alive, ORDER[1:])), FIRST, NOTHING, Step.OPEN),
        (THIRD, fleet(alive(FIRST, "x"), *map(alive, ORDER[1:])), FIRST, NOTHING, Step.STAY),
        (SECOND, fleet(alive(FIRST, "x"), *map(alive, ORDER[1:])), FIRST, WAITING, Step.STAY),
        (SECOND, fleet(alive(FIRST, "x"), *map(alive, ORDER[1:])), "", WAITING, Step.GIVE_WAY),
        # Not who is late itself; and nobody where the owner is in time.
        (THIRD, fleet(alive(FIRST, "x"), *map(alive, ORDER[1:])), SECOND, NOTHING, Step.STAY),
        (
            SECOND,
            fleet(alive(FIRST, "x"), alive(SECOND, is_draining=True), alive(THIRD)),
            FIRST,
            NOTHING,
            Step.STAY,
        ),
        # An owner keeps its cell, however long others have not heard of it.
        (
            FIRST,
            fleet(alive(FIRST, "x"), alive(SECOND, waits=WAITS)),
            FIRST,
            Doing.HOLDING,
            Step.STAY,
        ),
    ],
)
def test_next_step_where_an_owner_is_late(
    engine: str, engines: Fleet, late: str, doing: Doing, step: Step
) -> None:
    """Whoever has the cell next is ready before anybody knows that it must."""
    assert next_step("x", engine, Outlook(engines, frozenset({late})), doing, 0) is step


def test_engine_is_late_once_two_heartbeats_did_not_come() -> None:
    """One may always come a little late."""
    part = Part("a", ("x",), 300, 1_500)
    told = replace(fleet(alive("a"), alive("b")), left_ms={"a": 1_500, "b": 899, "c": 900})
    assert told.late(part.late_below_ms) == {"b"}
    assert Part("a", ("x",), 300, 600).late_below_ms == 0


def test_heartbeat_comes_back_as_it_was_told() -> None:
    """What one engine writes another reads."""
    told = alive("a", "x", "y", waits=WAITS, refuses=frozenset({"z"}), is_draining=True)
    assert Heartbeat.unpacked("a", told.packed()) == told


@pytest.mark.parametrize(
    "packed",
    [b"", b"[]", b"{}", b'{"address":"a:1"}', alive("a").packed()[:-1], b"\xff"],
)
def test_what_is_no_heartbeat_is_refused(packed: bytes) -> None:
    """Somebody's slip in Redis must not end an engine."""
    with pytest.raises(ValueError, match=r"^heartbeat of 'a' cannot be read: "):
        Heartbeat.unpacked("a", packed)


@pytest.mark.parametrize(
    ("changed", "field", "expected"),
    [
        ({"log": "sqlite"}, "log", "the URL of a Redis or Valkey"),  # nothing to share
        ({"telemetry_stream": "redis://h"}, "telemetry_stream", "nothing, where placement is true"),
        ({"address": "0.0.0.0:7443"}, "advertised_address", "HOST:PORT that others can reach"),
        ({"address": "[::]:7443"}, "advertised_address", "HOST:PORT that others can reach"),
        ({"heartbeat_ms": 800}, "heartbeat_expiry_ms", "1600 at least, where heartbeat_ms is 800"),
    ],
)
def test_settings_that_cannot_be_shared_by_are_refused(
    changed: dict[str, object], field: str, expected: str
) -> None:
    """An engine that started with them would be alone, or not be found."""
    given = {"placement": True, "log": "redis://h", "address": "127.0.0.1:7443"} | changed
    settings, _ = load(given, None, {})
    with pytest.raises(
        BadConfiguration, match=f"^{field}: expected {expected}".replace("[", r"\[")
    ):
        require_shareable(settings, settings.log, settings.address)


def test_settings_without_placement_are_left_alone() -> None:
    """What is not used need not go together."""
    settings, _ = load({"heartbeat_ms": 60_000, "address": "0.0.0.0:1"}, None, {})
    require_shareable(settings, settings.log, settings.address)
