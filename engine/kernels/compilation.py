"""
How kernels are compiled: each for one signature, and only the entries kept in the cache.

Left alone, numba compiles a function anew for every literal and every width of integer it is called
with: 75 kernels became 208 compilations and 78 s. Here arguments are widened first, so each kernel
is compiled once. Only what Python calls is cached: an entry's object code holds all it calls, and
one file loads faster than seventy.
"""

import sys
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from numba import config, njit, types

P = ParamSpec("P")
R = TypeVar("R")

_BLAS: Final = "scipy.linalg.cython_blas"


def _look_for_no_blas() -> None:
    """
    Have numba do without BLAS, which no kernel uses.

    It looks once, when it is first needed, and imports scipy.linalg for that: a quarter of a second
    of every start.
    """
    if _BLAS in sys.modules:
        return
    sys.modules[_BLAS] = None  # type: ignore[assignment]
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        del sys.modules[_BLAS]


if not config.DISABLE_JIT:
    _look_for_no_blas()


def _widened(argument: Any) -> Any:
    """
    Type a kernel is compiled for, given a caller's.

    Any integer becomes int64, any literal its plain type.
    """
    plain = types.unliteral(argument)
    return types.int64 if isinstance(plain, types.Integer) and plain.signed else plain


def _for_one_signature(compiled: Any) -> Any:
    """The dispatcher, told to widen what it is called with."""
    template_of = compiled.get_call_template

    def get_call_template(arguments: Any, keywords: Any) -> Any:
        return template_of(tuple(_widened(argument) for argument in arguments), keywords)

    compiled.get_call_template = get_call_template
    return compiled


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that other kernels call, for one signature."""
    # Nobody calls kernels from C: without the wrapper for it a cold compile takes a quarter less.
    compiled: Any = njit(error_model="numpy", no_cfunc_wrapper=True)(function)  # type: ignore[call-overload]
    return compiled if config.DISABLE_JIT else _for_one_signature(compiled)


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that Python calls; numba's cache keeps it with all that it calls."""
    compiled: Callable[P, R] = njit(cache=True, error_model="numpy")(function)
    return compiled


def sensing_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """
    Compile a function that other kernels call with groups of arrays, for one signature.

    It allocates nothing, so nobody counts references: counting every array of a group in and out
    of every call took most of the time, of compiling too.
    """
    options: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": False}
    compiled: Any = njit(**options)(function)
    return compiled if config.DISABLE_JIT else _for_one_signature(compiled)


def sensing_entry(function: Callable[P, R]) -> Callable[P, R]:
    """
    Compile a function that Python calls once a second or less, beside the thread that routes.

    It takes groups of arrays, allocates nothing and lets go of Python's lock.
    """
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}
    compiled: Callable[P, R] = njit(cache=True, **options)(function)
    return compiled


def made_entry(function: Callable[P, R], signature: Any, *, is_kept: bool) -> Callable[P, R]:
    """
    Compile a function made at run time for one signature, at once, or take what was kept of it.

    Otherwise as `sensing_entry`.
    """
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}
    compiled: Callable[P, R] = njit(signature, cache=is_kept, **options)(function)
    return compiled
