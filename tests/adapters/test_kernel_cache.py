"""Where compiled kernels are kept, found out in fresh processes over a copy of the sources."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ASK = """
import sys
from adapters.kernel_cache import use_kernel_cache
print(use_kernel_cache())
import os
print(os.environ["NUMBA_CACHE_DIR"])
print(any(name.split(".")[0] in ("engine", "numba") for name in sys.modules))
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of what the folder's name is made from, to be changed by a test."""
    place = tmp_path / "sources"
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "engine", place / "engine", ignore=left_out)
    (place / "adapters").mkdir()
    for name in ("__init__.py", "kernel_cache.py"):
        shutil.copy2(ROOT / "adapters" / name, place / "adapters" / name)
    return place


def folder_of(sources: Path, **environment: str) -> Path:
    """The folder a process over the sources would use; it must not have imported them yet."""
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=sources,
        env={"PYTHONPATH": str(sources), **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    returned, told_to_numba, is_imported = done.stdout.splitlines()
    assert returned == told_to_numba
    assert is_imported == "False", "numba reads the variable when it is first imported"
    return Path(returned)


def test_folder_is_the_same_for_the_same_sources(sources: Path, tmp_path: Path) -> None:
    """Otherwise every start would compile anew; neither time nor place of the sources matters."""
    again = tmp_path / "again"
    shutil.copytree(sources, again)
    (again / "engine" / "kernels" / "scoring.py").touch()
    assert folder_of(sources, HOME="/h") == folder_of(again, HOME="/h")


@pytest.mark.parametrize(
    "edited",
    [
        "kernels/scoring.py",  # a kernel that only other kernels call
        "kernels/transitions.py",  # the one that Python calls
        "kernels/columns.py",  # layout of what they work on
        "limits.py",  # constants that are compiled in
        "lifecycle.py",  # the table of transitions
    ],
)
def test_folder_changes_with_every_source_of_a_kernel(sources: Path, edited: str) -> None:
    """Numba looks at one file at a time: stale code of a called kernel would run on unnoticed."""
    before = folder_of(sources, HOME="/h")
    path = sources / "engine" / edited
    path.write_text(path.read_text() + "\n# edited\n")
    after = folder_of(sources, HOME="/h")
    assert before.parent == after.parent
    assert before.name != after.name


def test_folder_changes_with_a_kernel_that_is_new_gone_or_renamed(sources: Path) -> None:
    """The set of files counts, not only what is in them."""
    kernels = sources / "engine" / "kernels"
    seen = {folder_of(sources, HOME="/h")}
    (kernels / "new.py").write_text('"""New."""\n')
    seen.add(folder_of(sources, HOME="/h"))
    (kernels / "new.py").rename(kernels / "newer.py")
    seen.add(folder_of(sources, HOME="/h"))
    (kernels / "newer.py").write_text("")
    seen.add(folder_of(sources, HOME="/h"))
    assert len(seen) == 4


def test_folder_stays_when_something_else_changes(sources: Path) -> None:
    """An edit that reaches no kernel must not cost a compilation."""
    before = folder_of(sources, HOME="/h")
    for edited in ("handlers/agents.py", "state/store.py", "kernels/notes.txt"):
        with (sources / "engine" / edited).open("a") as file:
            file.write("\n# edited\n")
    assert folder_of(sources, HOME="/h") == before


def test_environment_decides_the_place(sources: Path) -> None:
    """An image ships its folder, a user has a cache, and numba's own variable is obeyed whole."""
    of_home = folder_of(sources, HOME="/h")
    assert of_home.parent == Path("/h/.cache/headgate/kernels")
    of_cache = folder_of(sources, HOME="/h", XDG_CACHE_HOME="/c")
    assert of_cache == Path("/c/headgate/kernels") / of_home.name
    of_image = folder_of(sources, HOME="/h", XDG_CACHE_HOME="/c", HEADGATE_KERNEL_CACHE="/i")
    assert of_image == Path("/i") / of_home.name
    of_numba = folder_of(sources, HOME="/h", HEADGATE_KERNEL_CACHE="/i", NUMBA_CACHE_DIR="/n")
    assert of_numba == Path("/n")
    empty = folder_of(sources, HOME="/h", XDG_CACHE_HOME="", HEADGATE_KERNEL_CACHE="")
    assert empty == of_home
