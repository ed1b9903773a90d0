"""Why a policy is on or off for a queue now, term by term."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from engine.deciding.book import Book
from engine.deciding.words import signals_in_words
from engine.durations import in_duration
from engine.kernels import policy_steps as kernels
from engine.kernels.policy_steps import NEVER
from engine.policies import PolicyStage
from engine.policy.columns import truth_of
from engine.policy.compiled import CompiledRelief
from engine.policy.expression import Expression, Operation, Operator, Term
from engine.policy.program import Trigger
from engine.policy.rendering import text_of
from engine.policy.trigger import Cause
from engine.policy.values import Truth
from engine.steering import Subject

_JOINS: Final = (Operator.AND, Operator.OR)
_SAID: Final[Mapping[int, str]] = MappingProxyType(
    {
        kernels.KILLED: "stopped by a kill switch",
        kernels.FORCED_OFF: "held off by an override",
        kernels.FORCED_ON: "held on by an override",
        kernels.FROZEN: "frozen by an override",
        kernels.UNSCHEDULED: "outside its schedule",
    }
)


class ExplainedTerm(NamedTuple):
    """
    A condition, or a part of one, as it stands.

    Attributes
    ----------
    depth
        0 for the whole, 1 for its sides, and so on.
    values
        What it reads, in words; none where its sides are told of.
    """

    text: str
    truth: Truth
    depth: int
    values: tuple[tuple[str, str], ...]


class Explanation(NamedTuple):
    """
    A policy as it stands for a queue.

    Attributes
    ----------
    changed_ms, cause
        When and why it went on or off last; NEVER and NOTHING where it never has.
    share
        Of the contacts it acts on now.
    enter, exit
        Conditions; without an exit condition it is left when `enter` is no longer met.
    reasons
        In words, what keeps it as it is, the most important first.
    """

    subject: Subject
    stage: PolicyStage
    is_on: bool
    changed_ms: int
    cause: Cause
    share: float
    enter: tuple[ExplainedTerm, ...]
    exit: tuple[ExplainedTerm, ...]
    reasons: tuple[str, ...]


def explain(book: Book, policy: str, queue_id: str, now_ms: int) -> list[Explanation]:
    """How a policy of a book stands for a queue, "" = for all that it matches."""
    pairs = book.machines.pairs
    return [
        _explain_pair(book, pair, now_ms)
        for pair in range(book.machines.count)
        if book.policies[int(pairs.policy[pair])].name == policy
        and queue_id in ("", book.queues.ids[int(pairs.queue[pair])])
    ]


def _explain_pair(book: Book, pair: int, now_ms: int) -> Explanation:
    pairs = book.machines.pairs
    item = book.policies[int(pairs.policy[pair])]
    queue = int(pairs.queue[pair])
    enter = _terms(book, item.compiled.enter, item.name, queue)
    leave = item.compiled.exit
    return Explanation(
        book.subject(pair),
        item.stage,
        bool(pairs.is_on[pair]),
        int(pairs.changed_ms[pair]),
        Cause(int(pairs.cause[pair])),
        float(book.shares.columns.share[pair]) if pairs.is_on[pair] else 0.0,
        enter,
        _terms(book, leave, item.name, queue) if leave is not None else (),
        tuple(_reasons(book, pair, enter[0].truth if enter else Truth.ERROR, now_ms)),
    )


def _terms(
    book: Book, expression: Expression, policy: str, queue: int
) -> tuple[ExplainedTerm, ...]:
    """The whole condition and, as far as && and || join them, its sides."""
    frame = book.frame
    if frame is None:
        return ()
    trigger = Trigger(policy, expression)
    found: list[ExplainedTerm] = []

    def note(term: Term, depth: int) -> None:
        is_joined = isinstance(term, Operation) and term.operator in _JOINS
        truth = Truth(int(truth_of(book.program, trigger, frame, term)[queue]))
        values = () if is_joined else signals_in_words(book.program, frame, trigger, queue, term)
        found.append(ExplainedTerm(text_of(term), truth, depth, values))
        if is_joined:
            assert isinstance(term, Operation)
            for side in term.arguments:
                note(side, depth + 1)

    note(expression.root, 0)
    return tuple(found)


def _reasons(book: Book, pair: int, enter: Truth, now_ms: int) -> list[str]:
    """What keeps a pair as it is."""
    pairs, item = book.machines.pairs, book.policies[int(book.machines.pairs.policy[pair])]
    spec = item.compiled.policy.spec
    said = _SAID.get(int(book.said[pair])) if len(book.said) > pair else None
    if said is not None:
        return [said]
    stale_ms = int(pairs.stale_since_ms[pair])
    if stale_ms != NEVER:
        ago = in_duration((now_ms - stale_ms) // 1_000 * 1_000)
        return [f"cannot see: telemetry is old or a value is not known, since {ago}"]
    changed_ms = int(pairs.changed_ms[pair])
    for_ms = now_ms - changed_ms
    if pairs.is_on[pair]:
        return list(_while_on(book, pair, now_ms))
    if enter != Truth.TRUE:
        return ["its enter condition is not met"]
    reasons: list[str] = []
    if changed_ms != NEVER and for_ms < spec.guards.dwell_off:
        reasons.append(f"stays off for {in_duration(spec.guards.dwell_off)} at least (dwell_off)")
    if now_ms < int(pairs.cool_until_ms[pair]):
        reasons.append(f"cools down for {in_duration(spec.guards.cool_down)} (cool_down)")
    if not reasons:
        reasons.append(_held("its enter", int(pairs.enter_since_ms[pair]), spec.enter.for_, now_ms))
    if _is_opposed(book, pair):
        reasons.append("a policy that moves contacts the other way is on (one_direction)")
    return reasons


def _while_on(book: Book, pair: int, now_ms: int) -> Iterator[str]:
    """What keeps a pair on that is, and what keeps it from doing anything."""
    pairs, item = book.machines.pairs, book.policies[int(book.machines.pairs.policy[pair])]
    spec = item.compiled.policy.spec
    if item.name in book.held_back:
        yield f"moves nothing: what {_whither(item.compiled)} can bear is not known"
    if now_ms - int(pairs.changed_ms[pair]) < spec.guards.dwell_on:
        yield f"stays on for {in_duration(spec.guards.dwell_on)} at least (dwell_on)"
        return
    needs = spec.exit.for_ if spec.exit is not None else 0
    yield _held("its exit", int(pairs.exit_since_ms[pair]), needs, now_ms)


def _whither(compiled: CompiledRelief) -> str:
    target = compiled.policy.spec.target
    assert target is not None
    return f"queue {target.queue}" + (f" of cell {target.cell}" if target.cell else "")


def _held(what: str, since_ms: int, needs_ms: int, now_ms: int) -> str:
    if since_ms == NEVER:
        return f"{what} condition is not met"
    held = in_duration((now_ms - since_ms) // 1_000 * 1_000)
    return f"{what} condition is met since {held}, and must be for {in_duration(needs_ms)}"


def _is_opposed(book: Book, pair: int) -> bool:
    pairs = book.machines.pairs
    others = pairs.opposed[int(pairs.opposed_begin[pair]) : int(pairs.opposed_end[pair])]
    return bool(pairs.is_on[others].any())
