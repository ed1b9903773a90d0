"""
Policies as the engine keeps them: texts, their versions, which of them are in force, and switches.

A text goes through a life: a draft, which anybody may change; a version, which nobody may; and a
stage, in which it only looks on (SHADOW), acts on a part (CANARY) or on all (ACTIVE). Whether a
text means anything is not seen here: whoever sends it has had it checked.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from engine.limits import FORTNIGHT_MS

# Policies with a draft or a version in force, and as many again that are retired: of those the
# longest retired make room.
POLICIES_MAX: Final = 200
TEXT_BYTES_MAX: Final = 65_536
# Versions that are kept of a policy, and those in force besides.
VERSIONS_MAX: Final = 50
STEPS_MAX: Final = 200
SWITCHES_MAX: Final = 10_000
SWITCH_MS_MAX: Final = FORTNIGHT_MS
POLICY_NAME: Final = r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?"


class PolicyKind(IntEnum):
    """Kinds of policy; values are those of the wire."""

    # Of a draft that does not say it yet.
    NONE = 0
    DIVERSION_POLICY = 1
    OVERFLOW_POLICY = 2
    ROUTING_POLICY = 3


class PolicyStage(IntEnum):
    """How much a version does; values are those of the wire."""

    NONE = 0
    # Says what it would do.
    SHADOW = 1
    # Acts on a share of contacts, on the rest the active version does.
    CANARY = 2
    ACTIVE = 3


class PolicySwitch(IntEnum):
    """What somebody says of policies, before they say anything; values are those of the wire."""

    NONE = 0
    ON = 1
    OFF = 2
    # Stay as they are.
    FREEZE = 3
    # Stop at once, until this is taken back.
    KILL = 4
    # What was said counts no longer.
    TAKE_BACK = 5


class PolicyStepKind(IntEnum):
    """Steps in the life of a policy; values are those of the wire."""

    NONE = 0
    PUBLISHED = 1
    ROLLED_BACK = 2
    RETIRED = 3


class PolicyDraft(NamedTuple):
    """A text that is being written."""

    kind: PolicyKind
    text: str
    author: str
    at_ms: int


class PolicyVersion(NamedTuple):
    """A text that was published; never changed."""

    number: int
    kind: PolicyKind
    text: str
    author: str
    reason: str
    at_ms: int


class Rollout(NamedTuple):
    """
    Which versions are in force; 0 = none.

    Attributes
    ----------
    trial, trial_stage
        The version that is tried beside the active one: SHADOW or CANARY.
    canary_share
        Share of contacts that the trial acts on, above 0 to 1; 0 otherwise.
    previous
        The version that was active before.
    """

    active: int = 0
    trial: int = 0
    trial_stage: PolicyStage = PolicyStage.NONE
    canary_share: float = 0.0
    previous: int = 0

    @property
    def in_force(self) -> tuple[int, ...]:
        """Versions that do something, the active one first."""
        return tuple(number for number in (self.active, self.trial) if number)


class PolicyStep(NamedTuple):
    """A step that was taken; `version` is the one it was about, 0 = none."""

    kind: PolicyStepKind
    version: int
    stage: PolicyStage
    share: float
    author: str
    reason: str
    at_ms: int


class PolicyHead(NamedTuple):
    """
    What is kept of a policy beside its versions.

    Attributes
    ----------
    last_number
        Number of the last version there was: numbers are never given twice.
    steps
        The last ones.
    """

    name: str
    draft: PolicyDraft | None = None
    rollout: Rollout = Rollout()
    last_number: int = 0
    steps: tuple[PolicyStep, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether it is being written, or in force."""
        return self.draft is not None or bool(self.rollout.in_force)


class Override(NamedTuple):
    """What somebody says of policies; "" = of every policy, or every queue. `until_ms` 0 = until
    it is taken back."""

    policy: str
    queue_id: str
    what: PolicySwitch
    until_ms: int
    author: str
    reason: str
    at_ms: int


class PutDraft(NamedTuple):
    """
    Write a policy's draft.

    `is_new`: refused where there is a draft; otherwise where there is none.
    """

    name: str
    kind: PolicyKind
    text: str
    author: str = ""
    is_new: bool = True
    etag: str = ""


class DeleteDraft(NamedTuple):
    """Delete a policy's draft; a policy that has no versions is gone then."""

    name: str
    etag: str = ""


class PublishPolicy(NamedTuple):
    """
    Put a version into force.

    `version` 0 makes one: of `text` where there is one, which leaves the draft alone, otherwise of
    the draft, which is one no longer. A text that is the last version's is that version.
    """

    name: str
    version: int = 0
    stage: PolicyStage = PolicyStage.ACTIVE
    # Of CANARY only.
    share: float = 0.0
    author: str = ""
    reason: str = ""
    etag: str = ""
    kind: PolicyKind = PolicyKind.NONE
    text: str = ""


class RollbackPolicy(NamedTuple):
    """
    Take back what was done last.

    `version` 0: the trial ends, or, where nothing is tried, the version that was active before is
    active again. Otherwise that version is.
    """

    name: str
    version: int = 0
    author: str = ""
    reason: str = ""
    etag: str = ""


class RetirePolicy(NamedTuple):
    """Take a policy out of force; its versions are kept."""

    name: str
    author: str = ""
    reason: str = ""
    etag: str = ""


class OverridePolicy(NamedTuple):
    """Say what policies do; of one policy and queue what is said last counts."""

    what: PolicySwitch
    policy: str = ""
    queue_id: str = ""
    until_ms: int = 0
    author: str = ""
    reason: str = ""


PolicyCommand = (
    PutDraft | DeleteDraft | PublishPolicy | RollbackPolicy | RetirePolicy | OverridePolicy
)
