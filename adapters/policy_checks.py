"""Texts of policies checked beside what a cell has, and refused where they are not sound."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Final, ParamSpec, TypeVar

from google.rpc import code_pb2

from adapters.errors import CallRefused, invalid, overloaded
from adapters.policy_source.checking import Checked, Remark, Source, text_checks
from adapters.policy_source.reading import FileProblem
from engine.engine import Engine
from engine.policies import TEXT_BYTES_MAX
from engine.policy.checked import Place
from engine.policy.findings import Estate, Severity
from engine.refusals import Violation, violation
from engine.state.policies import InForce

P = ParamSpec("P")
T = TypeVar("T")

# How a text is called in what is found in it.
TEXT: Final = "text"
# Findings that are told of at a time: two hundred policies alike have 19,900.
FINDINGS_MAX: Final = 1_000
WAITING_MAX: Final = 64
_RETRY_MS: Final = 500


async def check(
    engine: Engine, texts: Sequence[Source], but: str = "", *, alone: bool = False
) -> Checked:
    """
    Check texts, in a thread; but alone beside what is in force, without policy `but`.

    Parameters
    ----------
    but
        Name of a policy whose versions in force the texts are to replace.
    """
    if alone:
        return await in_thread(_check, texts, [], Estate())
    others = [Source(item.name, item.text) for item in _in_force(engine) if item.name != but]
    skills, tags = engine.read.names_of_agents()
    queues, cells = frozenset(engine.read.queue_ids()), frozenset(engine.neighbours)
    estate = Estate(queues=queues, groups=tags, cells=cells, skills=skills)
    return await in_thread(_check, texts, others, estate)


async def in_thread(work: Callable[P, T], *arguments: P.args, **words: P.kwargs) -> T:
    """
    Have something done in the one thread there is for texts.

    Raises
    ------
    CallRefused
        RESOURCE_EXHAUSTED; too much waits for it.
    """
    return await _thread().run(partial(work, *arguments, **words))


class _Thread:
    """A thread beside the loop's own, which texts that take long would hold up for others."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="policies")
        self._waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING_MAX:
            raise overloaded(f"{WAITING_MAX} texts of policies wait to be checked", _RETRY_MS)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._waiting -= 1


@cache
def _thread() -> _Thread:
    return _Thread()


def _check(texts: Sequence[Source], others: Sequence[Source], estate: Estate) -> Checked:
    """Check texts; of very many findings the errors go first."""
    checked = text_checks().check(texts, others, estate)
    found = sorted(checked.remarks, key=lambda item: item.severity is not Severity.ERROR)
    return checked._replace(remarks=found[:FINDINGS_MAX])


def _in_force(engine: Engine) -> list[InForce]:
    """One version of each policy: the active one, or else the one that is tried."""
    first = {item.name: item for item in reversed(engine.cell.policies.in_force())}
    return [first[name] for name in sorted(first)]


def require_size(text: str, field: str = TEXT) -> None:
    """Refuse a text that would not be kept before it is checked."""
    size = len(text.encode())
    if not (0 < size <= TEXT_BYTES_MAX):
        expected = f"1 to {TEXT_BYTES_MAX:,} bytes"
        raise invalid(violation(field, f"{size:,} bytes", expected))


def require_sound(checked: Checked, name: str) -> None:
    """Refuse a text with errors, at the place of each."""
    errors = [*checked.errors, *misnamed(checked, name)]
    if not errors:
        return
    errors.sort(key=lambda item: item.problem.place)
    found = [_violation(error) for error in errors]
    told = "; ".join(f"{item.field}: {item.expected}" for item in found)
    raise CallRefused(code_pb2.INVALID_ARGUMENT, "POLICY_INVALID", told, violations=found)


def _violation(remark: Remark) -> Violation:
    """A finding as a field at its place; what stood there is in the caller's text."""
    problem = remark.problem
    return Violation(
        f"{problem.file}:{problem.place.line}:{problem.place.column}", "", problem.message
    )


def misnamed(checked: Checked, name: str) -> list[Remark]:
    """What is wrong with a text that is not one policy of this name."""
    names = [policy.name for policy in checked.policies]
    if names == [name] or (not names and checked.errors):
        return []
    expected = f"one policy called {name}, got {', '.join(names) or 'none'}"
    return [Remark(Severity.ERROR, name, FileProblem(TEXT, Place(1, 1), expected, "", "", "name"))]
