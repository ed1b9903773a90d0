"""
Where numba keeps compiled kernels: a folder named after what they were compiled from.

Numba's own cache looks at one source file at a time and so misses an edit in a kernel that another
one calls. Keying the folder by every kernel's source makes that impossible. Call `use_kernel_cache`
before anything of `engine` is imported.
"""

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Final

_VARIABLE: Final = "NUMBA_CACHE_DIR"


def use_kernel_cache() -> Path:
    """
    Point numba to the folder for the present sources, unless NUMBA_CACHE_DIR names another; returns
    the folder.
    """
    if _VARIABLE not in os.environ:
        base = os.environ.get("HEADGATE_KERNEL_CACHE")
        root = Path(base) if base else _user_cache()
        os.environ[_VARIABLE] = str(root / _fingerprint())
    return Path(os.environ[_VARIABLE])


def _user_cache() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "headgate" / "kernels"


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
