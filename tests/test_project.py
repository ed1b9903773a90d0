"""Checks on the project itself: what lies where, what the lock says, what the wheel carries."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

TOP_LEVEL = {
    "LICENSE", "Makefile", "README.md", "adapters", "benchmarks", "deploy", "engine", "proto",
    "pyproject.toml", "requirements.lock", "tests",
}  # fmt: skip
# Names that say nothing about what is inside.
EMPTY_NAMES = {"common", "core", "helper", "helpers", "manager", "misc", "util", "utils"}

LINES_MAX = 400
LINE_COUNTED = {".css", ".html", ".js", ".proto", ".py", ".sh", ".ts"}
# Path -> why it may be longer.
LONG_FILES: dict[str, str] = {}

LOCK_LINE = re.compile(
    r"""
    \s*\#\s.*                                             # who asked for it
    | [a-z0-9.-]+(\[[a-z,-]+\])?==[\w.+!]+(\ ;\ .+)?\ \\  # name==version ; marker
    | \ {4}--hash=sha256:[0-9a-f]{64}(\ \\)?
    """,
    re.VERBOSE,
)

# Runs in a fresh environment, far from the checkout, with nothing of ours but the wheel.
IMPORT_EVERYTHING = """
import importlib, sys
import headgate, engine, adapters
for package in (headgate, engine, adapters):
    assert all(place.startswith(sys.prefix) for place in package.__path__), package.__path__
for module in sys.argv[1:]:
    importlib.import_module(module)
"""


def project_files() -> list[Path]:
    """Every file git tracks or would add, relative to the root: what a clean clone holds."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    paths = sorted({Path(name) for name in listed.split("\0") if name})
    return [path for path in paths if (ROOT / path).is_file()]


@pytest.mark.needs_git
def test_top_level_holds_only_known_entries() -> None:
    """A newcomer finds the same few subjects at the top, whatever is added below them."""
    entries = {path.parts[0] for path in project_files()}
    assert {name for name in entries if not name.startswith(".")} <= TOP_LEVEL


@pytest.mark.needs_git
def test_names_say_what_is_inside() -> None:
    """A file called helpers grows without a subject; folders and files are named after one."""
    empty = [
        path
        for path in project_files()
        if {part.split(".")[0] for part in path.parts} & EMPTY_NAMES
    ]
    assert empty == []


@pytest.mark.needs_git
def test_proto_folder_is_not_a_package() -> None:
    """A package named proto would hide the one that Google's Python clients import."""
    assert not (ROOT / "proto" / "__init__.py").exists()


@pytest.mark.needs_git
def test_files_stay_short() -> None:
    """A file that outgrows its neighbours hides an idea: split it, or argue for it above."""
    long = {
        str(path): count
        for path in project_files()
        if path.suffix in LINE_COUNTED and (count := _line_count(path)) > LINES_MAX
    }
    assert {path: count for path, count in long.items() if path not in LONG_FILES} == {}
    assert sorted(LONG_FILES.keys() - long.keys()) == [], "no longer long: drop it from LONG_FILES"


def test_lock_holds_only_versions_and_hashes() -> None:
    """Whoever installs chooses the package index; the lock names none."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not LOCK_LINE.fullmatch(line)] == []
    assert not re.search(r"://|\bfile:", "\n".join(lines))


@pytest.mark.needs_git
def test_npm_locks_hold_no_addresses() -> None:
    """The same for npm: `omit-lockfile-registry-resolved` in .npmrc keeps addresses out."""
    locks = [path for path in project_files() if path.name == "package-lock.json"]
    for path in locks:
        packages = json.loads((ROOT / path).read_text(encoding="utf-8"))["packages"]
        assert [name for name, entry in packages.items() if "resolved" in entry] == [], path


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("engine/state/contacts.py", "import time\n"),  # a clock
        ("engine/state/contacts.py", "from random import choice\n"),  # unseeded randomness
        ("engine/engine.py", "import asyncio\n"),  # a loop
        ("engine/engine.py", "import os\n\nHOME = os.environ\n"),  # the environment
        ("engine/routing/strategy.py", "from logging import getLogger\n"),  # output
    ],
)
def test_lint_refuses_impure_engine_code(path: str, code: str) -> None:
    """The engine's purity rests on this rule, so the rule itself is tested; adapters are free."""
    assert "TID251" in _ruff(path, code)
    assert "TID251" not in _ruff("adapters/clock.py", code)


@pytest.mark.slow
@pytest.mark.needs_git
def test_wheel_from_clean_clone_works_on_its_own(tmp_path: Path) -> None:
    """What a user installs has the stubs that git ignores, and needs nothing from the checkout."""
    clone = tmp_path / "clone"
    for path in project_files():
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, clone / path)
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, clone)
    (wheel,) = tmp_path.glob("headgate-*.whl")

    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"adapters", "engine", "headgate"}
    protos = [path.relative_to("proto") for path in project_files() if path.suffix == ".proto"]
    stems = [str(path.with_suffix("")) for path in protos]
    made = {f"{stem}{end}" for stem in stems for end in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")}
    assert made | {"headgate/py.typed"} <= names

    python = _fresh_environment(tmp_path / "fresh", wheel)
    modules = [stem.replace("/", ".") + end for stem in stems for end in ("_pb2", "_pb2_grpc")]
    _run(python, "-c", IMPORT_EVERYTHING, *modules, cwd=tmp_path)
    assert "serve" in _run(python.with_name("headgate"), "--help", cwd=tmp_path)


def _fresh_environment(place: Path, wheel: Path) -> Path:
    """Python of an environment with the wheel and our dependencies, not our editable install."""
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    _run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
    )
    (site_packages,) = place.glob("lib/python*/site-packages")
    # A path named in a .pth file is searched, but the .pth files inside it are not read.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return python


def _ruff(path: str, code: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--stdin-filename", path, "-"],
        cwd=ROOT, check=False, capture_output=True, text=True, input=code,
    ).stdout  # fmt: skip


def _run(*command: str | Path, cwd: Path = ROOT) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, check=False, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def _line_count(path: Path) -> int:
    return len((ROOT / path).read_text(encoding="utf-8").splitlines())
