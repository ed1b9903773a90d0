"""
Conditions in force as kernels: compiled by a process of their own, loaded when that is done.

Compiling takes a third of a second for each condition, and Python's lock: in the engine's process
calls would wait for it. What is compiled is kept beside the engine's own kernels, by the hash of
its source, and found there after a restart. Until then, and where it fails, conditions are
evaluated by NumPy, which takes some thirty times as long.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from engine.deciding.book import Book
from engine.kernels.boundary import COMPILED
from engine.policy.lowering import CompiledEvaluator, source_of
from engine.policy.program import Program

_log = structlog.get_logger(__name__)

FOLDER: Final = "policies"
# Sets of conditions that are kept; the ones used longest ago go first.
_KEPT_MAX: Final = 32
_SOURCE: Final = "triggers.py"
_DONE: Final = "done"


class TriggerKernels:
    """
    The kernels of one cell's books. Used by the thread that decides.

    Parameters
    ----------
    folder
        Where kernels are kept; None to have none made.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder / FOLDER if folder is not None and COMPILED else None
        # Programs that are not compiled, and who compiles each; None where that failed.
        self._awaited: dict[int, tuple[Program, Path, subprocess.Popen[bytes] | None]] = {}

    def look(self, books: Sequence[Book]) -> bool:
        """Have what is new compiled, and use what has been; whether all are."""
        used = [book for book in books if book.policies]
        if self._folder is not None:
            for book in used:
                if not isinstance(book.evaluator, CompiledEvaluator):
                    self._look_at(book, self._folder)
            for key in self._awaited.keys() - {id(book.program) for book in used}:
                _end(self._awaited.pop(key)[2])
        return all(isinstance(book.evaluator, CompiledEvaluator) for book in used)

    def close(self) -> None:
        """End what is being compiled."""
        for _, _, process in self._awaited.values():
            _end(process)
        self._awaited = {}

    def _look_at(self, book: Book, folder: Path) -> None:
        key = id(book.program)
        if key not in self._awaited:
            source, process = self._begin(book.program, folder)
            self._awaited[key] = book.program, source, process
        _, source, process = self._awaited[key]
        if (source.parent / _DONE).is_file():
            _end(process)
            del self._awaited[key]
            os.utime(source.parent)
            book.evaluator = CompiledEvaluator(book.program, str(source))
        elif process is not None and process.poll() is not None:
            _log.warning("conditions_not_compiled", exit_code=process.returncode)
            self._awaited[key] = book.program, source, None

    def _begin(self, program: Program, folder: Path) -> tuple[Path, subprocess.Popen[bytes] | None]:
        """Write the source of a program, and have it compiled unless it is."""
        text = source_of(program)
        place = folder / hashlib.sha256(text.encode()).hexdigest()[:24]
        source = place / _SOURCE
        try:
            if (place / _DONE).is_file():
                return source, None
            if not source.is_file():
                _write(source, text)
            command = [sys.executable, "-m", __name__, str(source)]
            nothing = subprocess.DEVNULL
            return source, subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)
        except OSError as error:
            _log.warning("conditions_not_compiled", error=str(error))
            return source, None


def _write(source: Path, text: str) -> None:
    """Write a source, whole or not at all: another process may do the same."""
    folder = source.parent.parent
    _drop_oldest(folder)
    source.parent.mkdir(parents=True, exist_ok=True)
    partial = source.with_suffix(f".{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.rename(source)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.poll() is None:
        process.kill()
        process.wait()


def _drop_oldest(folder: Path) -> None:
    """Make room for one more."""
    if not folder.is_dir():
        return
    places = sorted(folder.iterdir(), key=lambda place: place.stat().st_mtime)
    for place in places[: max(len(places) + 1 - _KEPT_MAX, 0)]:
        # Numba names its own folder for what it keeps of a file after that file's folder.
        for old in (place, *folder.parent.glob(f"{place.name}_*")):
            shutil.rmtree(old, ignore_errors=True)


def _compile(source: Path) -> None:
    """Compile a source, unless it is, and say that it is done."""
    done = source.parent / _DONE
    if done.is_file():
        return
    # Whoever routes goes first.
    os.nice(10)
    from engine.kernels.triggers import compile_triggers

    compile_triggers(source.read_text(encoding="utf-8"), str(source))
    done.touch()


if __name__ == "__main__":
    _compile(Path(sys.argv[1]))
