"""
Kernels made at run time, one per policy set, from source that `engine.policy.lowering` wrote.

With a file that holds the source numba's cache keeps what was compiled, so that one process can
compile what another one uses.
"""

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Final, NamedTuple, cast

import numpy as np
from numba import types
from numpy.typing import NDArray

from engine.kernels.checked_arithmetic import (
    difference_overflows,
    product_overflows,
    quotient,
    quotient_fails,
    ratio,
    remainder,
    sum_overflows,
)
from engine.kernels.compilation import made_entry, sensing_kernel


class TriggerColumns(NamedTuple):
    """
    What kernels read.

    Attributes
    ----------
    whole, real
        (n_columns, n_queues) whole numbers, INT64_MIN where not known; doubles, NaN likewise.
    whole_params, real_params
        (n,) parameters; as above.
    tables
        (n_questions, n_texts) 1 for yes, by code of a text.
    """

    whole: NDArray[np.int64]
    real: NDArray[np.float64]
    whole_params: NDArray[np.int64]
    real_params: NDArray[np.float64]
    tables: NDArray[np.uint8]


# Takes what it reads, and (n_triggers, n_queues) results.
TriggerKernel = Callable[[TriggerColumns, NDArray[np.int8]], None]

_Made = Callable[
    [
        NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64],
        NDArray[np.uint8], NDArray[np.int8],
    ],
    None,
]  # fmt: skip

# What made functions belong to: numba keeps nothing of those that belong nowhere.
_MODULE: Final = ModuleType("headgate_made_triggers")
sys.modules[_MODULE.__name__] = _MODULE

# What source may name; a name of its own never begins with a capital.
_NAMES: Final[Mapping[str, object]] = {
    "INF": np.inf,
    "INT_MIN": -(1 << 63),
    "TWO_63": 9223372036854775808.0,
    "difference_overflows": difference_overflows,
    "float": float,
    "int": int,
    "product_overflows": product_overflows,
    "quotient": quotient,
    "quotient_fails": quotient_fails,
    "range": range,
    "ratio": ratio,
    "remainder": remainder,
    "sum_overflows": sum_overflows,
}
_SIGNATURE: Final = types.void(
    types.int64[:, ::1],
    types.float64[:, ::1],
    types.int64[::1],
    types.float64[::1],
    types.uint8[:, ::1],
    types.int8[:, ::1],
)


def compile_triggers(source: str, file: str = "") -> TriggerKernel:
    """
    Compile functions `trigger_N` of the columns and results, and `run`, which calls them in order.

    They allocate nothing and let go of Python's lock.

    Parameters
    ----------
    file
        Path of a file with this very source, under which numba keeps what it compiles; "" to keep
        nothing.
    """
    made: dict[str, object] = {"__builtins__": {}, "__name__": _MODULE.__name__, **_NAMES}
    exec(compile(source, file or "<triggers>", "exec"), made)
    for name, item in made.items():
        if name.startswith("trigger_"):
            made[name] = sensing_kernel(cast(_Made, item))
    kernel = made_entry(cast(_Made, made["run"]), _SIGNATURE, is_kept=bool(file))

    def run(columns: TriggerColumns, out: NDArray[np.int8]) -> None:
        kernel(*columns, out)

    return run
