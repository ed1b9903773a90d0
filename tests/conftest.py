"""
What tests may need beyond this repository, and the rule that nothing is left out silently.

A test marked with one of `NEEDS` is left out where the thing is absent, and the summary says so.
Every other skip fails the run, and where CI=true every skip does: there, everything must be here.
"""

import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from adapters.kernel_cache import use_kernel_cache

# Before anything imports the engine: kernels compiled by an earlier run are then found again.
use_kernel_cache()

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

# Marker -> (whether the thing is here, what it is). Programs come from PROGRAMS in the Makefile.
NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "needs_git": (lambda: (ROOT / ".git").exists(), "a git checkout"),
    "needs_shared_data": (SHARED_DATA.is_dir, "the data sets kept outside, in ../shared/data"),
    "needs_node": (lambda: _has_programs("node", "npm"), "the programs node and npm"),
    "needs_openssl": (lambda: _has_programs("openssl"), "the program openssl"),
    "needs_redis": (lambda: _has_programs("redis-server"), "the program redis-server"),
}
# Markers for programs outside Python; `--without-programs` deselects their tests.
PROGRAM_MARKERS = {"needs_node", "needs_openssl", "needs_redis"}

_LEFT_OUT = pytest.StashKey[str]()
_SKIPS = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets; only for tests marked `needs_shared_data`."""
    return SHARED_DATA


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--without-programs`, which `make test-core` uses."""
    parser.addoption(
        "--without-programs",
        action="store_true",
        help="leave out tests that need programs from outside Python",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers of `NEEDS`."""
    config.stash[_SKIPS] = []
    for marker, (_, what) in NEEDS.items():
        config.addinivalue_line("markers", f"{marker}: needs {what}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests of outside programs when asked to."""
    if not config.getoption("--without-programs"):
        return
    outside = [item for item in items if _markers(item) & PROGRAM_MARKERS]
    config.hook.pytest_deselected(items=outside)
    items[:] = [item for item in items if item not in outside]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave a test out where what it needs is absent."""
    for marker in sorted(_markers(item) & NEEDS.keys()):
        is_here, what = NEEDS[marker]
        if not is_here():
            item.stash[_LEFT_OUT] = what
            pytest.skip(f"left out: needs {what}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note every skip that no marker of `NEEDS` explains; under CI, every skip."""
    report = yield
    if (
        report.skipped
        and not hasattr(report, "wasxfail")
        and _is_breach(item.stash.get(_LEFT_OUT, ""))
    ):
        item.config.stash[_SKIPS].append(report.nodeid)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Note every file that skips itself while it is read: no marker can explain that."""
    report = yield
    if report.skipped:
        collector.config.stash[_SKIPS].append(report.nodeid)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that would otherwise pass with tests left out."""
    if session.config.stash[_SKIPS] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which tests should not have been skipped."""
    skips = config.stash[_SKIPS]
    if not skips:
        return
    terminalreporter.section("skipped, and must not be", red=True)
    for nodeid in skips:
        terminalreporter.line(nodeid)


def _is_breach(left_out: str) -> bool:
    return not left_out or os.environ.get("CI") == "true"


def _has_programs(*names: str) -> bool:
    return all(shutil.which(name) for name in names)


def _markers(item: pytest.Item) -> set[str]:
    return {marker.name for marker in item.iter_markers()}
