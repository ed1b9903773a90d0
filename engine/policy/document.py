"""
Policies as people write them: the model of the file, and its JSON Schema.

A policy is a mapping with `apiVersion`, `kind`, `metadata` and `spec`. Its form is checked here,
its expressions when it is compiled (`engine.policy.compiled`), and what no single policy can tell
when a set is validated (`engine.policy.validation`).
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from engine.durations import in_duration
from engine.limits import REQUIREMENT_ITEMS_MAX
from engine.policy.actions import Action, Level, Priority, Target
from engine.policy.checked import Kind, Place
from engine.policy.parts import (
    Cel,
    Declared,
    Guards,
    Held,
    Id,
    Match,
    Parameter,
    Schedule,
    Share,
    Stale,
    Text,
    Word,
)

API_VERSION: Final = "headgate/v1"
_COUNTED: Final = re.compile(
    r"(?:Tuple|Dictionary) should have (at \w+) (\d+) items? after validation, not (.+)"
)
_BOUNDS: Final[Mapping[str, str]] = MappingProxyType(
    {"less_than_equal": "at most", "greater_than": "more than", "greater_than_equal": "at least"}
)
# Policies of a set, and rules of one.
POLICIES_MAX: Final = 200
RULES_MAX: Final = 500

Path = tuple[str | int, ...]
Mode = Literal["shadow", "advise", "auto"]
Precedence = Annotated[int, Field(strict=True, ge=-1_000_000, le=1_000_000)]
Params = Annotated[dict[Word, Parameter], Field(max_length=64)]


class PolicyProblem(NamedTuple):
    """
    A broken rule.

    Attributes
    ----------
    path
        Keys and places from the top of the policy.
    message
        What is wrong; for what has the wrong form, what was expected.
    place
        Where in the text of the value at `path`, for expressions; None for the value as a whole.
    """

    path: Path
    message: str
    place: Place | None = None

    def __str__(self) -> str:
        return f"{shown_path(self.path)}: {self.message}"


def shown_path(path: Path) -> str:
    """A path as `spec.rules[0].when`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the policy"


class PolicyRefused(ValueError):
    """
    A policy cannot be used.

    Attributes
    ----------
    problems
        Every broken rule; at least one.
    """

    def __init__(self, problems: "list[PolicyProblem]") -> None:
        assert problems
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Metadata(Declared):
    """Name and purpose; the name is the policy's identity across versions."""

    name: Annotated[str, Field(strict=True, pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")]
    description: Text | None = None


class ReliefSpec(Declared):
    """
    What diversion and overflow have in common.

    Attributes
    ----------
    precedence
        Higher goes first where several policies would act on a contact.
    exit
        None: it exits when `enter.when` is no longer met.
    eligible
        Condition on a contact; None for every one.
    """

    mode: Mode = "shadow"
    precedence: Precedence = 0
    match: Match
    params: Params = Field(default_factory=dict)
    schedule: Schedule | None = None
    enter: Held
    exit: Held | None = None
    eligible: Cel | None = None
    actions: tuple[Action, ...] = Field(min_length=1, max_length=16)
    share: Share = Share(fixed=1.0)
    guards: Guards = Guards()
    stale: Stale = Stale()

    @property
    def targets(self) -> tuple[Target, ...]:
        """Where contacts may be moved, the first one being the target of `target.*`."""
        found = (target for action in self.actions for target in action.targets)
        return tuple(dict.fromkeys(found))

    @property
    def target(self) -> Target | None:
        """The target of `target.*` and of its budget; None where contacts stay."""
        return next(iter(self.targets), None)

    @property
    def queues(self) -> tuple[str, ...]:
        """Queues of this cell that contacts may be moved to."""
        return tuple(target.queue for target in self.targets if not target.cell)


class DiversionSpec(ReliefSpec):
    """Offers contacts another way; at least one action offers a choice."""

    @model_validator(mode="after")
    def _offers(self) -> Self:
        if not any(action.offer_choice for action in self.actions):
            message = "an action offer_choice; a policy without one is an OverflowPolicy"
            raise ValueError(message)
        return self


class OverflowSpec(ReliefSpec):
    """Moves contacts or capacity on the same channel; offers no choice."""

    @model_validator(mode="after")
    def _does_not_offer(self) -> Self:
        if any(action.offer_choice for action in self.actions):
            message = "no action offer_choice; a policy with one is a DiversionPolicy"
            raise ValueError(message)
        return self


Items = Annotated[tuple[Id, ...], Field(max_length=REQUIREMENT_ITEMS_MAX)]


class Required(Declared):
    """What a contact asks of agents; bounds are those of `Route`."""

    skills: dict[Id, Annotated[Level, Field(ge=1)]] = Field(
        default_factory=dict, max_length=REQUIREMENT_ITEMS_MAX
    )
    preferred_skills: dict[Id, Annotated[float, Field(gt=0, le=100)]] = Field(
        default_factory=dict, max_length=REQUIREMENT_ITEMS_MAX
    )
    tags: Items = ()
    tags_any: Items = ()
    tags_none: Items = ()


class Destination(Declared):
    """
    Where a contact is routed, and with what.

    Attributes
    ----------
    priority
        None leaves what the caller gave.
    preferred_agents
        Agents that are a better match than others.
    preferred_agent_attribute
        Attribute of the contact that names one, such as the last one it spoke to.
    """

    queue: Id
    priority: Priority | None = None
    requirements: Required | None = None
    preferred_agents: Items = ()
    preferred_agent_attribute: Id | None = None


class Arm(Declared):
    """A part of a split."""

    percent: Annotated[float, Field(gt=0, le=100)]
    to: Destination


class Rule(Declared):
    """
    A rule of routing: one destination, or a split over several.

    Attributes
    ----------
    precedence
        Counts where the policy's order is `precedence`; higher goes first.
    split
        The same contact always takes the same arm; percentages add up to 100.
    """

    name: Word
    when: Cel
    precedence: Precedence = 0
    to: Destination | None = None
    split: tuple[Arm, ...] = Field(default=(), max_length=32)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.to is None) == (not self.split):
            message = "either to or split"
            raise ValueError(message)
        total = sum(arm.percent for arm in self.split)
        if self.split and abs(total - 100.0) > 1e-6:
            raise ValueError(f"a split that adds up to 100 percent, not {total:g}")
        return self

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """Every destination, in order."""
        return (self.to,) if self.to is not None else tuple(arm.to for arm in self.split)


class RoutingSpec(Declared):
    """
    Where contacts go that name no queue.

    Attributes
    ----------
    order
        `first_match`: rules in the order of the file. `precedence`: higher first, then that order.
    default
        Taken where no rule matches; there always is one.
    reclassify
        Whether a contact that waits is classified again when its attributes change.
    """

    mode: Mode = "shadow"
    precedence: Precedence = 0
    params: Params = Field(default_factory=dict)
    order: Literal["first_match", "precedence"] = "first_match"
    rules: tuple[Rule, ...] = Field(default=(), max_length=RULES_MAX)
    default: Destination
    reclassify: bool = False

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rules of different names, got {', '.join(twice)} twice")
        return self

    def ordered(self) -> tuple[Rule, ...]:
        """Rules in the order in which they are tried."""
        if self.order == "first_match":
            return self.rules
        return tuple(sorted(self.rules, key=lambda rule: -rule.precedence))


class _Policy(Declared):
    api_version: Literal["headgate/v1"] = Field(alias="apiVersion")
    metadata: Metadata

    @property
    def name(self) -> str:
        """Its identity."""
        return self.metadata.name


class DiversionPolicy(_Policy):
    """Moves contacts to another channel, self-service or callback, by offering it."""

    kind: Literal["DiversionPolicy"]
    spec: DiversionSpec


class OverflowPolicy(_Policy):
    """Moves contacts to another queue, or agents to the queue, on the same channel."""

    kind: Literal["OverflowPolicy"]
    spec: OverflowSpec


class RoutingPolicy(_Policy):
    """Says where contacts go that name no queue."""

    kind: Literal["RoutingPolicy"]
    spec: RoutingSpec


Relief = DiversionPolicy | OverflowPolicy
Policy = DiversionPolicy | OverflowPolicy | RoutingPolicy
KINDS: Final[Mapping[str, type[Policy]]] = MappingProxyType(
    {
        "DiversionPolicy": DiversionPolicy,
        "OverflowPolicy": OverflowPolicy,
        "RoutingPolicy": RoutingPolicy,
    }
)


def read_policy(declared: object) -> Policy:
    """
    A policy from plain values, such as those of a YAML file.

    Raises
    ------
    PolicyRefused
        With everything wrong with its form.
    """
    if not isinstance(declared, dict):
        raise PolicyRefused([PolicyProblem((), "expected a mapping with apiVersion, kind, ...")])
    kind = declared.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        message = f"expected one of {', '.join(KINDS)}, got {kind!r:.80}"
        raise PolicyRefused([PolicyProblem(("kind",) if "kind" in declared else (), message)])
    try:
        return model.model_validate(declared)
    except ValidationError as error:
        raise PolicyRefused(_problems(error)) from None


def params_of(policy: Policy) -> Mapping[str, Kind]:
    """Types of a policy's parameters."""
    return {name: param.kind for name, param in policy.spec.params.items()}


def _problems(error: ValidationError) -> list[PolicyProblem]:
    """What pydantic found, in our words."""
    items = error.errors()
    # A list whose items are all wrong is called empty besides.
    filled = {item["loc"][:length] for item in items for length in range(len(item["loc"]))}
    return [
        _problem(item)
        for item in items
        if not (item["type"] == "too_short" and item["loc"] in filled)
    ]


def _problem(item: "Mapping[str, object]") -> PolicyProblem:
    path, kind = item["loc"], item["type"]
    assert isinstance(path, tuple)
    assert isinstance(kind, str)
    if kind == "extra_forbidden":
        return PolicyProblem(path, "no such key")
    if kind == "missing":
        return PolicyProblem(path[:-1], f"expected {path[-1]}, got none")
    message = str(item["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if kind in _BOUNDS and isinstance(item["input"], str):
        bound = item["ctx"]
        assert isinstance(bound, dict)
        message = f"a duration of {_BOUNDS[kind]} {in_duration(*bound.values())}"
    message = _COUNTED.sub(r"\1 \2 items, got \3", message)
    is_shown = not isinstance(item["input"], dict | list) and not _COUNTED.search(str(item["msg"]))
    return PolicyProblem(path, f"expected {message}" + f", got {item['input']!r:.80}" * is_shown)
