"""Conditions compiled by a process of their own, and used once that is done."""

import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.kernel_cache import kernel_folder
from adapters.policies.trigger_kernels import FOLDER, TriggerKernels
from engine.deciding.book import Book
from engine.policy.columns import PlainEvaluator
from engine.policy.lowering import CompiledEvaluator
from tests.deciding.deciding_played import DecidingPlayed, a_policy

pytestmark = pytest.mark.compiled_only
COMPILED_S_MAX = 120


def played(number: int) -> DecidingPlayed:
    """A cell with a policy whose condition is that of no other test."""
    found = DecidingPlayed()
    found.queues("a", "b")
    found.use(a_policy(f'queue.waiting >= 0 && queue.oldest_wait < duration("{number}ms")'))
    found.decide_for(2)
    return found


def books(of: DecidingPlayed) -> tuple[Book, ...]:
    """The books of a cell, of which one has a policy."""
    return of.deciding.books()


@pytest.fixture
def kernels() -> Iterator[TriggerKernels]:
    found = TriggerKernels(kernel_folder())
    yield found
    found.close()


def wait_until_compiled(kernels: TriggerKernels, of: DecidingPlayed) -> None:
    """Look again and again, as each second does."""
    until_s = time.monotonic() + COMPILED_S_MAX
    while not kernels.look(books(of)):
        assert time.monotonic() < until_s
        time.sleep(0.1)


@pytest.mark.timeout(COMPILED_S_MAX + 60)
def test_conditions_are_compiled_beside_and_swapped_in(kernels: TriggerKernels) -> None:
    """Nobody waits for it, the kernel says what NumPy said, and another process finds it."""
    number = secrets.randbelow(1 << 40)
    first = played(number)
    assert not kernels.look(books(first))
    (book,) = (item for item in books(first) if item.policies)
    assert isinstance(book.evaluator, PlainEvaluator)
    assert book.frame is not None
    plain = book.evaluator.evaluate(book.frame)
    wait_until_compiled(kernels, first)
    assert isinstance(book.evaluator, CompiledEvaluator)
    assert book.evaluator.evaluate(book.frame).tolist() == plain.tolist() == [[1, 1]]
    first.decide()
    again = played(number)
    assert TriggerKernels(kernel_folder()).look(books(again))


def test_where_it_fails_numpy_goes_on(
    monkeypatch: pytest.MonkeyPatch, kernels: TriggerKernels
) -> None:
    """It is told once and not tried again each second."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    of = played(secrets.randbelow(1 << 40))
    for _ in range(20):
        assert not kernels.look(books(of))
        time.sleep(0.02)
    ((_, _, process),) = kernels._awaited.values()
    assert process is None
    of.decide()


def test_without_a_folder_to_write_to_numpy_goes_on(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("in the way", encoding="utf-8")
    of = played(secrets.randbelow(1 << 40))
    blocked = TriggerKernels(tmp_path)
    assert not blocked.look(books(of))
    assert not blocked.look(books(of))


def test_what_is_no_longer_in_force_is_not_compiled_on(kernels: TriggerKernels) -> None:
    of = played(secrets.randbelow(1 << 40))
    kernels.look(books(of))
    ((_, _, process),) = kernels._awaited.values()
    assert process is not None
    of.use(a_policy())
    of.decide()
    kernels.look(books(of))
    assert process.poll() is not None


def test_old_kernels_make_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every set of conditions ever published would fill the disk."""
    monkeypatch.setattr("adapters.policies.trigger_kernels._KEPT_MAX", 3)
    monkeypatch.setattr(sys, "executable", "/bin/true")
    numbers = [secrets.randbelow(1 << 40) for _ in range(5)]
    for number in numbers:
        each = TriggerKernels(tmp_path)
        each.look(books(played(number)))
        each.close()
    assert len(list((tmp_path / FOLDER).iterdir())) == 3
