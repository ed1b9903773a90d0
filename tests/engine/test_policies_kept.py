"""Policies over restarts: all of it is there again, and what is damaged is refused."""

from typing import Any

import orjson
import pytest

from engine.commands import UpsertQueue
from engine.engine import Engine
from engine.policies import (
    DeleteDraft,
    OverridePolicy,
    PolicyCommand,
    PolicyStage,
    PolicySwitch,
    RetirePolicy,
    RollbackPolicy,
)
from engine.state.rows import DamagedRow, RowDelta, RowTable
from tests.engine.test_policies import (
    DRAFT,
    KILL,
    OFF,
    PUBLISH,
    everything,
    loaded,
    policy,
    rows_of,
)


@pytest.fixture
def engine() -> Engine:
    """An engine with a queue and a policy in force."""
    made = Engine()
    made.apply(UpsertQueue("q1"), 1_000)
    made.apply(PUBLISH._replace(text="first"), 1_000)
    return made


def test_restart_keeps_everything(engine: Engine) -> None:
    """Drafts, versions, what is in force, why, and what was said; whatever the order of rows."""
    engine.apply(DRAFT._replace(author="ann"), 2_000)
    engine.apply(PUBLISH._replace(author="bob", reason="busy"), 2_001)
    engine.apply(PUBLISH._replace(text="trial", stage=PolicyStage.CANARY, share=0.5), 2_002)
    engine.apply(PUBLISH._replace(name="other"), 2_003)
    engine.apply(RetirePolicy("other", "cid", "calm"), 2_004)
    engine.apply(OFF._replace(queue_id="q1", reason="strange"), 2_005)
    engine.apply(KILL, 2_006)
    rows = rows_of(engine)
    again = loaded(list(reversed(rows)))
    assert everything(again) == everything(engine)
    assert again.cell.policies.in_force() == engine.cell.policies.in_force()
    assert again.cell.policies.switches() == engine.cell.policies.switches()
    assert sorted(rows_of(again)) == sorted(rows)
    # What comes next has a row of its own, and a number that nothing had.
    again.apply(PUBLISH._replace(text="next"), 2_007)
    assert list(policy(again).versions) == [1, 2, 3, 4]
    places = [delta.row for delta in rows_of(again) if delta.table is RowTable.POLICY]
    assert len(set(places)) == len(places) == 9


def test_deltas_of_single_groups_lead_to_the_same_policies(engine: Engine) -> None:
    """A log is written group by group: a row that is given anew must not keep what stood there."""
    log: dict[tuple[int, int], RowDelta] = {}

    def write(*commands: PolicyCommand) -> None:
        for command in commands:
            engine.apply(command, 2_000)
        for delta in engine.take_group().row_deltas:
            log.pop((delta.table, delta.row), None)
            if delta.record is not None:
                log[delta.table, delta.row] = delta

    write(DRAFT, DRAFT._replace(name="gone"))
    write(DeleteDraft("gone"), KILL)
    write(OverridePolicy(PolicySwitch.TAKE_BACK), PUBLISH)
    write(PUBLISH._replace(name="new"), OFF, DeleteDraft("relief"))
    assert everything(loaded(list(log.values()))) == everything(engine)


def test_a_version_that_stands_is_not_written_again(engine: Engine) -> None:
    """A policy with fifty versions of 64 KiB would be three megabytes with every step."""
    engine.apply(PUBLISH, 2_000)
    engine.take_group()
    engine.apply(RollbackPolicy("relief"), 2_000)
    (delta,) = (item for item in engine.take_group().row_deltas if item.table is RowTable.POLICY)
    assert len(delta.payload or b"") < 1_000


@pytest.mark.parametrize(
    "damage",
    [
        {"payload": b""},  # nothing
        {"payload": b"{"},  # no JSON
        {"payload": b"[]"},  # no object
        {"payload": b"{}"},  # no name
        {"payload": orjson.dumps({"name": "relief"})},  # half of a policy
        {"payload": orjson.dumps({"name": "relief", "number": 1})},  # half of a version
        {"payload": orjson.dumps({"what": 9})},  # an unknown word
        {"payload": orjson.dumps({"what": 1, "policy": "relief"})},  # half of a switch
        {"record": b""},  # no record
        {"record": b"x" * 7},  # cut off
    ],
)
def test_damaged_row_is_refused_by_its_name(engine: Engine, damage: dict[str, Any]) -> None:
    """Better no engine than one that has lost a policy without a word."""
    rows = rows_of(engine)
    for place, delta in enumerate(rows):
        if delta.table is RowTable.POLICY:
            damaged = [*rows[:place], delta._replace(**damage), *rows[place + 1 :]]
            with pytest.raises(DamagedRow, match="relief"):
                loaded(damaged)


def test_missing_row_is_refused_by_the_name_of_its_policy(engine: Engine) -> None:
    """A policy in force without a text would stop everything at its next step."""
    rows = rows_of(engine)
    for place, delta in enumerate(rows):
        if delta.table is RowTable.POLICY:
            with pytest.raises(DamagedRow, match="relief"):
                loaded([*rows[:place], *rows[place + 1 :]])
