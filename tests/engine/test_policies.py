"""Policies: what each command must satisfy, limits, and that a restart finds all of it."""

from typing import Any

import pytest

from engine.commands import UpsertQueue
from engine.effects import Effect, EffectKind, decode_effects
from engine.engine import Engine
from engine.policies import (
    POLICIES_MAX,
    POLICY_NAME,
    STEPS_MAX,
    SWITCH_MS_MAX,
    SWITCHES_MAX,
    TEXT_BYTES_MAX,
    VERSIONS_MAX,
    DeleteDraft,
    OverridePolicy,
    PolicyCommand,
    PolicyKind,
    PolicyStage,
    PolicySwitch,
    PublishPolicy,
    PutDraft,
    RetirePolicy,
    RollbackPolicy,
)
from engine.policy.document import POLICIES_MAX as DOCUMENTS_MAX
from engine.policy.document import Metadata
from engine.policy.guards import Override, Scope, Switches
from engine.refusals import CommandRefused, Refusal
from engine.state.policies import InForce, KeptPolicy
from engine.state.rows import RowDelta, RowTable

LONG = "x" * 129
BEYOND: Any = 9
RELIEF = PolicyKind.OVERFLOW_POLICY
DRAFT = PutDraft("relief", RELIEF, "text")
PUBLISH = PublishPolicy("relief", kind=RELIEF, text="text")
OFF = OverridePolicy(PolicySwitch.OFF, "relief", until_ms=9_000)
KILL = OverridePolicy(PolicySwitch.KILL)

# A command that breaks one rule, and the field that is named for it.
BROKEN: list[tuple[PolicyCommand, str]] = [
    (DRAFT._replace(name=""), "name"),  # empty
    (DRAFT._replace(name="Relief"), "name"),  # a capital
    (DRAFT._replace(name="-relief"), "name"),  # begins with what it may not
    (DRAFT._replace(name="x" * 65), "name"),  # of 64
    (DRAFT._replace(name="relief\n"), "name"),  # two lines
    (DRAFT._replace(kind=BEYOND), "kind"),  # beyond the last
    (DRAFT._replace(text=""), "text"),  # nothing
    (DRAFT._replace(text="x" * (TEXT_BYTES_MAX + 1)), "text"),  # one byte too many
    (DRAFT._replace(text="é" * (TEXT_BYTES_MAX // 2 + 1)), "text"),  # bytes, not characters
    (DRAFT._replace(text="a\ud800"), "text"),  # no UTF-8
    (DRAFT._replace(text="a\0"), "text"),  # NUL
    (DRAFT._replace(author=LONG), "author"),  # 129 bytes
    (DeleteDraft("Relief"), "name"),  # a capital
    (PUBLISH._replace(name=""), "name"),  # empty
    (PUBLISH._replace(version=-1, text=""), "version"),  # before the first
    (PUBLISH._replace(version=2**31, text=""), "version"),  # beyond the wire
    (PUBLISH._replace(version=1), "version"),  # which of the two?
    (PUBLISH._replace(stage=PolicyStage.NONE), "stage"),  # not set
    (PUBLISH._replace(stage=BEYOND), "stage"),  # beyond the last
    (PUBLISH._replace(share=0.1), "share"),  # of all
    (PUBLISH._replace(stage=PolicyStage.SHADOW, share=0.1), "share"),  # of nothing
    (PUBLISH._replace(stage=PolicyStage.CANARY), "share"),  # of none
    (PUBLISH._replace(stage=PolicyStage.CANARY, share=1.1), "share"),  # of more than all
    (PUBLISH._replace(stage=PolicyStage.CANARY, share=float("nan")), "share"),  # not a number
    (PUBLISH._replace(kind=PolicyKind.NONE), "kind"),  # a text that is nothing
    (PUBLISH._replace(kind=BEYOND), "kind"),  # beyond the last
    (PUBLISH._replace(text="x" * (TEXT_BYTES_MAX + 1)), "text"),  # one byte too many
    (PUBLISH._replace(author=LONG), "author"),  # 129 bytes
    (PUBLISH._replace(reason="a\nb"), "reason"),  # two lines
    (RollbackPolicy(""), "name"),  # empty
    (RollbackPolicy("relief", -1), "version"),  # before the first
    (RollbackPolicy("relief", author=LONG), "author"),  # 129 bytes
    (RollbackPolicy("relief", reason=LONG), "reason"),  # 129 bytes
    (RetirePolicy(""), "name"),  # empty
    (RetirePolicy("relief", author=LONG), "author"),  # 129 bytes
    (RetirePolicy("relief", reason=LONG), "reason"),  # 129 bytes
    (OFF._replace(what=PolicySwitch.NONE), "what"),  # not set
    (OFF._replace(what=BEYOND), "what"),  # beyond the last
    (OFF._replace(policy=""), "policy"),  # of all, though no kill switch
    (OFF._replace(policy="Relief"), "policy"),  # a capital
    (OFF._replace(queue_id=LONG), "queue_id"),  # 129 bytes
    (OFF._replace(until_ms=-1), "until_ms"),  # before time
    (OFF._replace(author=LONG), "author"),  # 129 bytes
    (OFF._replace(reason=LONG), "reason"),  # 129 bytes
    (KILL._replace(until_ms=9_000), "until_ms"),  # stands until it is taken back
    (KILL._replace(what=PolicySwitch.TAKE_BACK, until_ms=1), "until_ms"),  # of nothing
]


@pytest.fixture
def engine() -> Engine:
    """An engine with a queue and a policy in force."""
    made = Engine()
    made.apply(UpsertQueue("q1"), 1_000)
    made.apply(PUBLISH._replace(text="first"), 1_000)
    return made


def policy(engine: Engine, name: str = "relief") -> KeptPolicy:
    """A policy that is there."""
    kept = engine.cell.policies.find(name)
    assert kept is not None
    return kept


def everything(engine: Engine) -> object:
    """All that is kept of policies."""
    rows = engine.cell.policies
    return [rows.find(name) for name in rows.names()], rows.overrides()


def refusal(engine: Engine, command: PolicyCommand, now_ms: int = 2_000) -> CommandRefused:
    """Why a command is refused; whatever it says, nothing may change."""
    before, changes = everything(engine), engine.cell.policies.changes
    engine.take_group()
    with pytest.raises(CommandRefused) as caught:
        engine.apply(command, now_ms)
    assert (everything(engine), engine.cell.policies.changes) == (before, changes)
    group = engine.take_group()
    assert not group.effects
    assert not [delta for delta in group.row_deltas if delta.table is RowTable.POLICY]
    return caught.value


def rows_of(engine: Engine) -> list[RowDelta]:
    """Everything a log would hold."""
    engine.cell.mark_all()
    return [delta for delta in engine.take_group().row_deltas if delta.record is not None]


def loaded(rows: list[RowDelta]) -> Engine:
    """An engine from what a log holds."""
    again = Engine()
    again.load(rows)
    return again


@pytest.mark.parametrize(("command", "field"), BROKEN)
def test_broken_rule_is_refused_by_its_field(
    engine: Engine, command: PolicyCommand, field: str
) -> None:
    """One wrong value, one violation: it says where, and nothing of it is kept."""
    refused = refusal(engine, command)
    assert refused.reason is Refusal.INVALID_FIELD
    assert [item.field for item in refused.violations] == [field]


@pytest.mark.parametrize(
    "command",
    [
        DRAFT._replace(name="0", text="é" * (TEXT_BYTES_MAX // 2), author="x" * 128),
        DRAFT._replace(name="x" * 64, kind=PolicyKind.NONE),
        PUBLISH._replace(stage=PolicyStage.CANARY, share=1.0, reason="x" * 128),
        OFF._replace(until_ms=2_000 + SWITCH_MS_MAX, queue_id="q1"),
        OFF._replace(until_ms=2_001, what=PolicySwitch.FREEZE),
        KILL._replace(policy="relief", queue_id="q1"),
    ],
)
def test_command_at_its_bounds_is_taken(engine: Engine, command: PolicyCommand) -> None:
    """A bound that is one too strict would refuse what the contract allows."""
    engine.apply(command, 2_000)


def test_name_of_a_policy_is_what_documents_may_be_called() -> None:
    """A document whose name the store refused could be written and never published."""
    (pattern,) = (
        item.pattern
        for item in Metadata.model_fields["name"].metadata
        if getattr(item, "pattern", None)
    )
    assert pattern == f"^{POLICY_NAME}$"
    assert POLICIES_MAX == DOCUMENTS_MAX


def test_override_that_has_run_out_is_refused(engine: Engine) -> None:
    """Somebody whose clock is slow must not believe that a policy is off."""
    for until_ms in (0, 2_000, 2_001 + SWITCH_MS_MAX):
        refused = refusal(engine, OFF._replace(until_ms=until_ms))
        assert refused.reason is Refusal.INVALID_FIELD
        assert [item.field for item in refused.violations] == ["until_ms"]


def test_text_of_the_last_version_makes_no_other(engine: Engine) -> None:
    """A trial that goes well is published again, as the version that was tried."""
    engine.apply(PUBLISH._replace(stage=PolicyStage.SHADOW), 2_000)
    engine.apply(PUBLISH._replace(stage=PolicyStage.CANARY, share=0.1), 2_000)
    engine.apply(PUBLISH, 2_000)
    assert list(policy(engine).versions) == [1, 2]
    assert policy(engine).head.rollout.active == 2
    # The text before it is another version though: what happened stays as it happened.
    engine.apply(PUBLISH._replace(text="first"), 2_000)
    assert [version.text for version in policy(engine).versions.values()] == [
        "first", "text", "first",
    ]  # fmt: skip


def test_text_published_leaves_the_draft_alone(engine: Engine) -> None:
    """What comes out of a file must not undo what somebody is writing."""
    engine.apply(DRAFT._replace(text="being written"), 2_000)
    engine.apply(PUBLISH, 2_000)
    draft = policy(engine).head.draft
    assert draft is not None
    assert draft.text == "being written"


def test_draft_without_a_kind_is_not_published(engine: Engine) -> None:
    """It cannot be a policy."""
    engine.apply(DRAFT._replace(kind=PolicyKind.NONE), 2_000)
    assert refusal(engine, PublishPolicy("relief")).reason is Refusal.INVALID_FIELD


def test_old_versions_make_room_but_those_in_force(engine: Engine) -> None:
    """Numbers are never given twice, and what is active can always be read."""
    for number in range(VERSIONS_MAX + 5):
        shadow = PUBLISH._replace(text=f"text {number}", stage=PolicyStage.SHADOW)
        engine.apply(shadow, 2_000)
    kept = policy(engine)
    last = VERSIONS_MAX + 6
    assert list(kept.versions) == [1, *range(last - VERSIONS_MAX + 1, last + 1)]
    assert loaded(rows_of(engine)).cell.policies.find("relief") == kept
    engine.apply(RollbackPolicy("relief"), 2_000)
    engine.apply(PublishPolicy("relief", last - 1), 2_000)
    assert list(policy(engine).versions) == [*range(last - VERSIONS_MAX + 1, last + 1)]
    assert refusal(engine, RollbackPolicy("relief")).reason is Refusal.UNKNOWN_VERSION


def test_last_steps_are_kept(engine: Engine) -> None:
    """Who did what, and why, as far back as there is room."""
    for number in range(STEPS_MAX + 1):
        stage = PolicyStage.CANARY
        command = PUBLISH._replace(stage=stage, share=0.5, author="ann", reason=f"step {number}")
        engine.apply(command, 2_000 + number)
    steps = policy(engine).head.steps
    assert len(steps) == STEPS_MAX
    assert [step.reason for step in steps] == [f"step {n}" for n in range(1, STEPS_MAX + 1)]
    last = steps[-1]
    assert (last.author, last.version, last.stage, last.share) == ("ann", 2, stage, 0.5)
    assert last.at_ms == 2_000 + STEPS_MAX


def test_policies_are_limited_and_the_longest_retired_makes_room(engine: Engine) -> None:
    """The one too many is refused; retired ones are kept as long as there is room."""
    for number in range(1, POLICIES_MAX):
        engine.apply(PUBLISH._replace(name=f"p{number}"), 2_000)
    assert refusal(engine, PUBLISH._replace(name="more")).reason is Refusal.LIMIT_REACHED
    assert refusal(engine, DRAFT._replace(name="more")).reason is Refusal.LIMIT_REACHED
    # One that is there may still be changed.
    engine.apply(DRAFT, 2_000)
    engine.apply(DeleteDraft("relief"), 2_000)
    engine.apply(RetirePolicy("relief"), 2_000)
    engine.apply(PUBLISH._replace(name="more"), 2_000)
    assert refusal(engine, RollbackPolicy("relief")).reason is Refusal.LIMIT_REACHED
    for number in range(1, POLICIES_MAX):
        engine.apply(RetirePolicy(f"p{number}"), 3_000 + number)
        engine.apply(PUBLISH._replace(name=f"r{number}"), 3_000 + number)
    assert "relief" in engine.cell.policies.names()
    engine.apply(RetirePolicy("more"), 5_000)
    engine.apply(PUBLISH._replace(name="last"), 5_000)
    assert "relief" not in engine.cell.policies.names()
    assert "p1" in engine.cell.policies.names()
    assert len({delta.row for delta in rows_of(engine) if delta.table is RowTable.POLICY}) == 800


def test_overrides_are_limited_and_those_that_have_run_out_make_room(engine: Engine) -> None:
    """The one too many is refused; one that stands may still be said anew."""
    for number in range(SWITCHES_MAX):
        engine.apply(UpsertQueue(f"d{number % 5_000}"), 2_000)
        name = "relief" if number < 5_000 else ""
        what = OFF if number < 5_000 else KILL
        engine.apply(what._replace(policy=name, queue_id=f"d{number % 5_000}"), 2_000)
    more = KILL._replace(queue_id="q1")
    assert refusal(engine, more).reason is Refusal.LIMIT_REACHED
    engine.apply(OFF._replace(queue_id="d0", until_ms=9_001), 2_000)
    engine.apply(more, 9_000)
    assert len(engine.cell.policies.overrides()) == 5_002


def test_reader_tells_what_is_in_force_and_whether_it_changed(engine: Engine) -> None:
    """What acts each second reads this, and only when something was written."""
    rows = engine.cell.policies
    changes = rows.changes
    engine.apply(PUBLISH._replace(text="second", stage=PolicyStage.CANARY, share=0.25), 2_000)
    engine.apply(PUBLISH._replace(name="alone", stage=PolicyStage.SHADOW), 2_000)
    engine.apply(DRAFT._replace(name="written"), 2_000)
    assert rows.changes > changes
    changes = rows.changes
    assert rows.in_force() == (
        InForce("alone", RELIEF, 1, "text", PolicyStage.SHADOW, 0.0),
        InForce("relief", RELIEF, 1, "first", PolicyStage.ACTIVE, 1.0),
        InForce("relief", RELIEF, 2, "second", PolicyStage.CANARY, 0.25),
    )
    assert rows.changes == changes
    engine.apply(OFF, 2_000)
    assert rows.changes > changes


def test_switches_are_read_as_they_were_said(engine: Engine) -> None:
    """What somebody said must reach the triggers word for word; the last word counts."""
    engine.apply(OFF._replace(what=PolicySwitch.ON), 2_000)
    engine.apply(OFF._replace(queue_id="q1", what=PolicySwitch.FREEZE), 2_000)
    engine.apply(KILL._replace(queue_id="q1"), 2_000)
    switches = Switches()
    switches.load(engine.cell.policies.switches())
    assert switches.killed == {Scope("", "q1")}
    assert switches.overrides == {
        Scope("relief", ""): (Override.ON, 9_000),
        Scope("relief", "q1"): (Override.FREEZE, 9_000),
    }
    engine.apply(KILL._replace(policy="relief"), 2_000)
    switches.load(engine.cell.policies.switches())
    assert switches.killed == {Scope("", "q1"), Scope("relief", "")}
    assert switches.overrides.keys() == {Scope("relief", "q1")}
    engine.apply(OverridePolicy(PolicySwitch.TAKE_BACK, "relief"), 2_000)
    engine.apply(OFF, 2_000)
    switches.load(engine.cell.policies.switches())
    assert switches.overrides[Scope("relief", "")] == (Override.OFF, 9_000)


def test_effects_name_the_policy_and_are_read_again(engine: Engine) -> None:
    """Whoever watches learns of every step; effects of before have no such name."""
    engine.take_group()
    engine.apply(PUBLISH._replace(reason="busy"), 2_000)
    engine.apply(OFF._replace(queue_id="q1"), 2_000)
    engine.apply(UpsertQueue("q2"), 2_000)
    group = engine.take_group()
    effects = decode_effects(group.events)
    by_kind = {effect.kind: effect for effect in effects}
    published = by_kind[EffectKind.POLICY_PUBLISHED]
    assert published == Effect(
        EffectKind.POLICY_PUBLISHED, 2_000, "", "", "", "", 0, 0, 2, "busy", "relief"
    )
    said = by_kind[EffectKind.POLICY_OVERRIDDEN]
    assert (said.policy, said.queue_id, said.detail) == ("relief", "q1", PolicySwitch.OFF)
    assert by_kind[EffectKind.QUEUE_UPSERTED].policy == ""
