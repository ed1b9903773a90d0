"""
Policies by name: texts, versions, what is in force, and switches.

A row holds a policy's head, one of its versions, or a switch. Versions never change, so that what
is written of a policy with many is one row, not all of them.
"""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from engine.effects import EffectKind
from engine.encoding import kept_json
from engine.kernels import policy_steps
from engine.policies import (
    POLICIES_MAX,
    SWITCHES_MAX,
    VERSIONS_MAX,
    Override,
    PolicyDraft,
    PolicyHead,
    PolicyKind,
    PolicyStage,
    PolicyStep,
    PolicyStepKind,
    PolicySwitch,
    PolicyVersion,
    Rollout,
)
from engine.refusals import CommandRefused, Refusal, violation
from engine.state.free_rows import FreeRows
from engine.state.rows import RowDelta, RowTable

_RECORD: Final = struct.Struct("<q")
_FORCED: Final[Mapping[PolicySwitch, int]] = {
    PolicySwitch.ON: policy_steps.FORCED_ON,
    PolicySwitch.OFF: policy_steps.FORCED_OFF,
    PolicySwitch.FREEZE: policy_steps.FROZEN,
}

# What a record is of: policy, version and queue; the version 0 for a head, -1 for a switch.
Key = tuple[str, int, str]


class KeptPolicy(NamedTuple):
    """
    A policy as it stands.

    Attributes
    ----------
    etag
        How often it was written.
    versions
        Those that are kept, by number.
    """

    etag: int
    head: PolicyHead
    versions: Mapping[int, PolicyVersion]


class InForce(NamedTuple):
    """A version that does something; `share` is 1 but of a CANARY, and 0 of a SHADOW."""

    name: str
    kind: PolicyKind
    version: int
    text: str
    stage: PolicyStage
    share: float


class PolicyRows:
    """
    The policies of one cell.

    Attributes
    ----------
    changes
        Counts what was written, so that a reader sees whether to read again.
    """

    def __init__(self) -> None:
        self._policies: dict[str, KeptPolicy] = {}
        self._overrides: dict[tuple[str, str], Override] = {}
        self._rows: dict[Key, int] = {}
        self._keys: dict[int, Key] = {}
        self._free = FreeRows()
        # Rows the open commit group must write, with the name of what stands or stood there.
        self._dirty: dict[int, str] = {}
        self._effects: list[tuple[int | str, ...]] = []
        self.changes = 0

    def find(self, name: str) -> KeptPolicy | None:
        """A policy, None where there is none."""
        return self._policies.get(name)

    def names(self) -> list[str]:
        """Names of all policies, in order."""
        return sorted(self._policies)

    def in_force(self) -> tuple[InForce, ...]:
        """Versions that do something, by name of their policy, the active one first."""
        return tuple(item for name in self.names() for item in _in_force(self._policies[name]))

    def overrides(self) -> list[Override]:
        """What was said of policies, in order; what has run out is among it until something is."""
        return [self._overrides[key] for key in sorted(self._overrides)]

    def override_of(self, policy: str, queue_id: str) -> Override | None:
        """What was said of a policy and queue, None where nothing was."""
        return self._overrides.get((policy, queue_id))

    def is_stopped(self, policy: str, queue_id: str, now_ms: int) -> bool:
        """Whether somebody said that a policy does nothing for a queue now."""
        keys = (policy, queue_id), (policy, ""), ("", queue_id), ("", "")
        words = [self._word_of(key, now_ms) for key in keys]
        # What is said of one queue goes before what is said of all; a kill switch before both.
        of_queue, of_policy = words[:2]
        is_off = (of_queue or of_policy) is PolicySwitch.OFF
        return is_off or PolicySwitch.KILL in words

    def _word_of(self, key: tuple[str, str], now_ms: int) -> PolicySwitch:
        """What was said of a policy and queue and still counts."""
        said = self._overrides.get(key)
        counts = said is not None and not 0 < said.until_ms <= now_ms
        return said.what if said is not None and counts else PolicySwitch.NONE

    def switches(self) -> dict[str, list[list[str | int]]]:
        """The same as `engine.policy.guards.Switches.load` takes it."""
        said = self.overrides()
        return {
            "killed": [
                [item.policy, item.queue_id] for item in said if item.what is PolicySwitch.KILL
            ],
            "overrides": [
                [item.policy, item.queue_id, _FORCED[item.what], item.until_ms]
                for item in said
                if item.what in _FORCED
            ],
        }

    def put(self, head: PolicyHead, made: PolicyVersion | None = None) -> KeptPolicy:
        """
        Write a policy's head, and a version that was made; versions that are too many are dropped.

        Raises
        ------
        CommandRefused
            LIMIT_REACHED.
        """
        before = self._policies.get(head.name)
        if head.is_live and not (before is not None and before.head.is_live):
            self._make_room(head.name)
        versions = dict(before.versions) if before is not None else {}
        if made is not None:
            versions[made.number] = made
            self._mark((head.name, made.number, ""))
        for number in _too_many(versions, head.rollout):
            del versions[number]
            self._drop((head.name, number, ""))
        etag = before.etag + 1 if before is not None else 1
        self._policies[head.name] = kept = KeptPolicy(etag, head, versions)
        self._mark((head.name, 0, ""))
        return kept

    def remove(self, name: str) -> None:
        """Forget a policy that is there."""
        kept = self._policies.pop(name)
        self._drop((name, 0, ""))
        for number in kept.versions:
            self._drop((name, number, ""))

    def say(self, said: Override) -> None:
        """
        Have something said of policies, in the place of what was said before.

        Raises
        ------
        CommandRefused
            LIMIT_REACHED.
        """
        self.drop_overrides(said.at_ms)
        key = said.policy, said.queue_id
        if key not in self._overrides and len(self._overrides) >= SWITCHES_MAX:
            expected = f"at most {SWITCHES_MAX:,} overrides in a cell; take others back"
            refused = violation("policy", said.policy, expected)
            raise CommandRefused(Refusal.LIMIT_REACHED, refused)
        self._overrides[key] = said
        self._mark((said.policy, -1, said.queue_id))

    def take_back(self, policy: str, queue_id: str) -> None:
        """Forget what was said of a policy and queue."""
        del self._overrides[policy, queue_id]
        self._drop((policy, -1, queue_id))

    def drop_overrides(self, now_ms: int) -> None:
        """Forget what has run out."""
        over = [key for key, item in self._overrides.items() if 0 < item.until_ms <= now_ms]
        for policy, queue_id in over:
            self.take_back(policy, queue_id)

    def tell(self, kind: EffectKind, at_ms: int, policy: str, **fields: int | str) -> None:
        """Record an effect on a policy; fields are `queue_id`, `detail` and `reason`."""
        queue_id, detail = fields.get("queue_id", ""), fields.get("detail", 0)
        reason = fields.get("reason", "")
        self._effects.append((kind, at_ms, "", queue_id, "", "", 0, 0, detail, reason, policy))

    def take_effects(self) -> list[tuple[int | str, ...]]:
        """Effects since the last call."""
        effects, self._effects = self._effects, []
        return effects

    def mark_all(self) -> None:
        """Have the next group write everything."""
        for key in self._rows:
            self._mark(key)

    def take_deltas(self) -> list[RowDelta]:
        """Rows that changed since the last call."""
        if not self._dirty:
            return []
        dirty, self._dirty = self._dirty, {}
        return [self._delta(row, name) for row, name in dirty.items()]

    def restore(self, delta: RowDelta) -> None:
        """
        Take one row of the log.

        Raises
        ------
        ValueError, TypeError, KeyError
            The row does not say what a policy, a version or a switch says.
        """
        if len(delta.record or b"") != _RECORD.size:
            raise ValueError(f"a record of {len(delta.record or b'')} bytes")
        (etag,) = _RECORD.unpack(delta.record or b"")
        key = self._restored(delta.payload or b"", etag)
        self._rows[key] = delta.row
        self._keys[delta.row] = key
        self._free.hold(delta.row)
        self.changes += 1

    def broken(self) -> str | None:
        """A policy of which a row is missing, None where all are whole; asked once, at load."""
        for name, kept in self._policies.items():
            if not kept.etag or not {*kept.head.rollout.in_force} <= kept.versions.keys():
                return name
        return None

    def _restored(self, payload: bytes, etag: int) -> Key:
        """Take one record; versions may come before their policy."""
        record = _record_of(payload)
        if isinstance(record, Override):
            self._overrides[record.policy, record.queue_id] = record
            return record.policy, -1, record.queue_id
        name, found = record
        kept = self._policies.get(name, KeptPolicy(0, PolicyHead(name), {}))
        if isinstance(found, PolicyHead):
            self._policies[name] = kept._replace(etag=etag, head=found)
            return name, 0, ""
        versions = dict(sorted({**kept.versions, found.number: found}.items()))
        self._policies[name] = kept._replace(versions=versions)
        return name, found.number, ""

    def _make_room(self, name: str) -> None:
        """Have room for one more live policy, for which the longest retired one may go."""
        heads = [kept.head for kept in self._policies.values()]
        if sum(head.is_live for head in heads) >= POLICIES_MAX:
            expected = f"at most {POLICIES_MAX} policies in a cell; retire those that are over"
            refused = violation("name", name, expected)
            raise CommandRefused(Refusal.LIMIT_REACHED, refused)
        retired = [head for head in heads if not head.is_live and head.name != name]
        if len(retired) > POLICIES_MAX:
            self.remove(min(retired, key=lambda head: (head.steps[-1].at_ms, head.name)).name)

    def _mark(self, key: Key) -> None:
        if key not in self._rows:
            row = self._free.take()
            self._rows[key] = row
            self._keys[row] = key
        self._dirty[self._rows[key]] = key[0]
        self.changes += 1

    def _drop(self, key: Key) -> None:
        row = self._rows.pop(key)
        del self._keys[row]
        self._free.give_back(row)
        self._dirty[row] = key[0]
        self.changes += 1

    def _delta(self, row: int, name: str) -> RowDelta:
        key = self._keys.get(row)
        if key is None:
            return RowDelta(RowTable.POLICY, row, name, None, None)
        policy, number, queue_id = key
        if number < 0:
            said = self._overrides[policy, queue_id]
            return _row(row, name, 1, said._asdict())
        kept = self._policies[policy]
        if number:
            return _row(row, name, 1, {"name": policy, **kept.versions[number]._asdict()})
        return _row(row, name, kept.etag, _head_fields(kept.head))


def _row(row: int, name: str, etag: int, fields: Mapping[str, object]) -> RowDelta:
    return RowDelta(RowTable.POLICY, row, name, _RECORD.pack(etag), kept_json(fields))


def _head_fields(head: PolicyHead) -> dict[str, object]:
    """A head as it is kept: what is in it without names of fields, in order."""
    return {
        **head._asdict(),
        "draft": None if head.draft is None else tuple(head.draft),
        "rollout": tuple(head.rollout),
        "steps": tuple(map(tuple, head.steps)),
    }


def _too_many(versions: Mapping[int, PolicyVersion], rollout: Rollout) -> list[int]:
    """Old versions beyond those that are kept."""
    needed = {*rollout.in_force, *sorted(versions)[-VERSIONS_MAX:]}
    return sorted(set(versions) - needed)


def _in_force(kept: KeptPolicy) -> list[InForce]:
    rollout = kept.head.rollout
    found = []
    for number in rollout.in_force:
        version = kept.versions[number]
        stage = PolicyStage.ACTIVE if number == rollout.active else rollout.trial_stage
        share = {PolicyStage.ACTIVE: 1.0, PolicyStage.CANARY: rollout.canary_share}.get(stage, 0.0)
        found.append(InForce(kept.head.name, version.kind, number, version.text, stage, share))
    return found


def _record_of(payload: bytes) -> Override | tuple[str, PolicyHead | PolicyVersion]:
    """What a row says: an override, or the name of a policy with its head or a version."""
    fields = orjson.loads(payload)
    if "what" in fields:
        return Override(**{**fields, "what": PolicySwitch(fields["what"])})
    name = fields["name"]
    if "number" in fields:
        del fields["name"]
        return name, PolicyVersion(**{**fields, "kind": PolicyKind(fields["kind"])})
    draft, steps = fields.pop("draft"), fields.pop("steps")
    active, trial, stage, share, previous = fields.pop("rollout")
    head = PolicyHead(
        **fields,
        draft=None if draft is None else PolicyDraft(PolicyKind(draft[0]), *draft[1:]),
        rollout=Rollout(active, trial, PolicyStage(stage), share, previous),
        steps=tuple(
            PolicyStep(PolicyStepKind(kind), version, PolicyStage(stage), *rest)
            for kind, version, stage, *rest in steps
        ),
    )
    return name, head
