"""
Where numba keeps compiled kernels: a folder named after what they were compiled from.

Numba's own cache looks at one source file at a time and so misses an edit in a kernel that another
one calls. Keying the folder by every kernel's source makes that impossible. Call `use_kernel_cache`
before numba is imported.

What is compiled fits one model of CPU and one place of installation: numba itself tells them apart
and compiles anew for others.
"""

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

_VARIABLE: Final = "NUMBA_CACHE_DIR"
_FINGERPRINT: Final = re.compile("[0-9a-f]{16}")
_UNUSED_S_MAX: Final = 30 * 24 * 3_600


def _to_stderr(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"headgate: {text}", file=sys.stderr)


def use_kernel_cache(warn: Callable[[str], None] = _to_stderr) -> Path:
    """
    Point numba to the folder for the present sources, unless NUMBA_CACHE_DIR names another; returns
    the folder.

    Numba wants a folder it can write to. One that is filled and cannot be written, as in an image,
    is copied to a private temporary folder; where there is none, kernels are compiled into that.

    Parameters
    ----------
    warn
        Told when kernels cannot be kept where they should be.

    Raises
    ------
    OSError
        There is no folder to write to, not even a temporary one.
    """
    wanted = _wanted()
    folder = wanted if wanted is not None and _is_writable(wanted) else _stand_in(wanted, warn)
    os.environ[_VARIABLE] = str(folder)
    if folder.is_dir():
        with contextlib.suppress(OSError):
            os.utime(folder)
    elif _FINGERPRINT.fullmatch(folder.name):
        _remove_unused(folder.parent)
    return folder


def kernel_folder() -> Path | None:
    """The folder that numba was pointed to; None where it was not."""
    named = os.environ.get(_VARIABLE)
    return Path(named) if named else None


def is_cold(folder: Path) -> bool:
    """Whether a folder holds no kernels, so that they are compiled when first called."""
    return next(folder.glob("kernels_*/*.nbi"), None) is None


def _wanted() -> Path | None:
    """The folder that is asked for; None without a home to put it into."""
    if named := os.environ.get(_VARIABLE):
        return Path(named)
    if base := os.environ.get("HEADGATE_KERNEL_CACHE"):
        return Path(base) / _fingerprint()
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        root = Path(cache) if cache else Path.home() / ".cache"
    except RuntimeError:  # neither HOME nor an entry in the list of users
        return None
    return root / "headgate" / "kernels" / _fingerprint()


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself where it is not there yet."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place):
            return os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)
    return False


def _stand_in(wanted: Path | None, warn: Callable[[str], None]) -> Path:
    """A private folder instead of the one asked for, with what that one holds."""
    for base in _temporary_folders():
        place = base / f"headgate-{os.getuid()}"
        if not _is_private(place):
            continue
        folder = place / _fingerprint()
        if wanted is not None and not is_cold(wanted):
            _copy(wanted, folder)
        elif is_cold(folder):
            warn(
                f"kernel cache {wanted or 'in the home directory'} cannot be written, compiling "
                f"into {folder}; name a folder to keep with HEADGATE_KERNEL_CACHE"
            )
        return folder
    raise OSError(
        f"kernel cache {wanted or 'in the home directory'} cannot be written, nor any temporary "
        "folder; name a folder with HEADGATE_KERNEL_CACHE"
    )


def _temporary_folders() -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        yield Path(tempfile.gettempdir())
    yield Path("/dev/shm")


def _is_private(place: Path) -> bool:
    """Make a folder of our own; False where it is another's, who could put code into it."""
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError:
        return False
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return is_ours and not found.st_mode & 0o022 and os.access(place, os.W_OK | os.X_OK)


def _copy(filled: Path, folder: Path) -> None:
    """Copy a cache, whole or not at all, because another process may do the same."""
    if not is_cold(folder):
        return
    partial = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        shutil.copytree(filled, partial, dirs_exist_ok=True, copy_function=shutil.copyfile)
        partial.chmod(0o700)
        partial.rename(folder)
    except OSError:  # another process was first, or there is no room
        shutil.rmtree(partial, ignore_errors=True)


def _remove_unused(root: Path) -> None:
    """Remove kernels of other sources that no process has used for a month."""
    with contextlib.suppress(OSError):
        for other in list(root.iterdir()):
            if not _FINGERPRINT.fullmatch(other.name) or other.is_symlink():
                continue
            if time.time() - other.stat().st_mtime > _UNUSED_S_MAX:
                shutil.rmtree(other, ignore_errors=True)


def _fingerprint() -> str:
    """Digest of every source the kernels are made of; found without importing them."""
    engine = importlib.util.find_spec("engine")
    assert engine is not None
    assert engine.submodule_search_locations is not None
    folder = Path(next(iter(engine.submodule_search_locations)))
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.py"), *folder.glob("kernels/*.py")]):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
