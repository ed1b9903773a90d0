"""What is found in a set of policies, and what a set may name."""

from collections.abc import Collection
from enum import Enum
from typing import NamedTuple

from engine.policy.document import Path


class Severity(Enum):
    """Whether a set with the finding may be published."""

    # It does not do what its author can have meant.
    ERROR = "error"
    # It may be meant; somebody should look.
    WARNING = "warning"


class Finding(NamedTuple):
    """
    One finding.

    Attributes
    ----------
    rule
        Its kind, as `unreachable-rule`; stable, for tools.
    policy
        Name of the policy.
    path
        Keys and places from the top of the policy.
    """

    severity: Severity
    rule: str
    policy: str
    path: Path
    message: str


class Estate(NamedTuple):
    """
    What there is, that policies name; None where it is not known, and so not checked.

    Attributes
    ----------
    queues
        Ids of queues.
    groups, cells, webhooks, skills
        Names.
    """

    queues: Collection[str] | None = None
    groups: Collection[str] | None = None
    cells: Collection[str] | None = None
    webhooks: Collection[str] | None = None
    skills: Collection[str] | None = None
