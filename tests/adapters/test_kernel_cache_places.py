"""Where kernels go when the folder for them cannot be had."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters import kernel_cache
from adapters.kernel_cache import is_cold, use_kernel_cache

ROOT = Path(__file__).resolve().parent.parent.parent
FINGERPRINT = kernel_cache._fingerprint()


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Warnings; the temporary folder is the test's own, and nothing else is set."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    for name in ("NUMBA_CACHE_DIR", "HEADGATE_KERNEL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    # What is set by the code under test is taken back as well.
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    return []


def read_only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a folder one that this user, who may be root, cannot write to."""
    is_writable: Callable[[Path], bool] = kernel_cache._is_writable
    monkeypatch.setattr(
        kernel_cache,
        "_is_writable",
        lambda place: not place.is_relative_to(folder) and is_writable(place),
    )


def filled(folder: Path) -> Path:
    """A folder with something that looks like a compiled kernel."""
    (folder / "kernels_0").mkdir(parents=True)
    (folder / "kernels_0" / "apply-1.py311.nbi").write_bytes(b"index")
    (folder / "kernels_0" / "apply-1.py311.1.nbc").write_bytes(b"code")
    return folder


def test_filled_folder_that_cannot_be_written_is_used_all_the_same(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image ships its kernels read-only; no start may compile what is there."""
    image = tmp_path / "image"
    filled(image / FINGERPRINT)
    read_only(monkeypatch, image)
    monkeypatch.setenv("HEADGATE_KERNEL_CACHE", str(image))
    for _ in range(2):
        monkeypatch.setenv("NUMBA_CACHE_DIR", "")
        folder = use_kernel_cache(told.append)
        assert folder == tmp_path / "tmp" / f"headgate-{os.getuid()}" / FINGERPRINT
        assert (folder / "kernels_0" / "apply-1.py311.1.nbc").read_bytes() == b"code"
        assert os.access(folder, os.W_OK)
        assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert not is_cold(folder)
    assert told == []
    assert [path.name for path in folder.parent.iterdir()] == [FINGERPRINT]


@pytest.mark.parametrize("place", ["file", "read-only"])
def test_place_that_cannot_be_used_is_told_and_a_temporary_one_taken(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """It costs a compilation, so the operator is told how to avoid that; it is no traceback."""
    (tmp_path / "file").write_text("")
    read_only(monkeypatch, tmp_path / "read-only")
    monkeypatch.setenv("HEADGATE_KERNEL_CACHE", str(tmp_path / place))
    folder = use_kernel_cache(told.append)
    assert folder.parent == tmp_path / "tmp" / f"headgate-{os.getuid()}"
    (warning,) = told
    assert str(tmp_path / place) in warning
    assert "HEADGATE_KERNEL_CACHE" in warning


def test_user_without_a_home_gets_a_temporary_folder(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's user often has neither HOME nor an entry in the list of users."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert use_kernel_cache(told.append).is_relative_to(tmp_path / "tmp")
    assert "in the home directory" in told[0]


def test_temporary_folder_of_another_is_not_trusted(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels are code: whoever could put them there would run as us."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADGATE_KERNEL_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(
        kernel_cache, "_temporary_folders", lambda: iter((tmp_path / "a", tmp_path / "b"))
    )
    mine = f"headgate-{os.getuid()}"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / mine).mkdir()
    (tmp_path / "a" / mine).chmod(0o777)
    (tmp_path / "b" / mine).symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="HEADGATE_KERNEL_CACHE"):
        use_kernel_cache(told.append)
    (tmp_path / "b" / mine).unlink()
    assert use_kernel_cache(told.append).is_relative_to(tmp_path / "b" / mine)


def test_kernels_of_other_sources_go_after_a_month_without_use(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every version leaves a folder; none may stay for good, and nothing else may go."""
    monkeypatch.setenv("HEADGATE_KERNEL_CACHE", str(tmp_path))
    month_ago_s = time.time() - 31 * 24 * 3_600
    old, young, own = "0" * 16, "1" * 16, "notes"
    for name in (old, young, own):
        filled(tmp_path / name)
    for name in (old, own):
        os.utime(tmp_path / name, (month_ago_s, month_ago_s))
    folder = use_kernel_cache(told.append)
    assert {path.name for path in tmp_path.iterdir()} == {young, own, "tmp"}
    # One that is used stays, however long ago it was made.
    filled(folder)
    os.utime(folder, (month_ago_s, month_ago_s))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    use_kernel_cache(told.append)
    assert time.time() - folder.stat().st_mtime < 60


def headgate(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in an environment that holds nothing else."""
    return subprocess.run(
        (sys.executable, "-m", "adapters.cli", *arguments),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_print_config_needs_no_place_for_kernels(tmp_path: Path) -> None:
    """It compiles nothing, so it works for a user who can write nowhere."""
    done = headgate(
        "serve", "--print-config", HEADGATE_KERNEL_CACHE="/dev/null", TMPDIR="/dev/null"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "inbox_max = 4096  (default)" in done.stdout


def test_warm_with_an_unusable_folder_warns_and_works(tmp_path: Path) -> None:
    """A traceback of numba's says "no locator available", which helps nobody."""
    mine = tmp_path / f"headgate-{os.getuid()}"
    mine.mkdir(mode=0o700)
    # The kernels of this run, so that none is compiled here.
    shutil.copytree(os.environ["NUMBA_CACHE_DIR"], mine / FINGERPRINT)
    done = headgate("warm", HEADGATE_KERNEL_CACHE="/dev/null", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"cached in {mine / FINGERPRINT}" in done.stdout
