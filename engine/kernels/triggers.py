"""
Kernels made at run time, one per policy set, from source that `engine.policy.lowering` wrote.

They are not cached: each is compiled once, in the process that uses it.
"""

from collections.abc import Callable, Mapping
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
from engine.kernels.compilation import made_entry


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


def compile_triggers(source: str) -> TriggerKernel:
    """
    Compile functions `trigger_N` of the columns and results; what comes back runs them in order.

    They allocate nothing and let go of Python's lock.
    """
    made: dict[str, object] = {"__builtins__": {}, **_NAMES}
    exec(compile(source, "<triggers>", "exec"), made)
    kernels = [
        made_entry(cast(_Made, item), _SIGNATURE)
        for name, item in made.items()
        if name.startswith("trigger_")
    ]

    def run(columns: TriggerColumns, out: NDArray[np.int8]) -> None:
        for kernel in kernels:
            kernel(*columns, out)

    return run
