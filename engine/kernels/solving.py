"""
The assignment of a batch: what each pair is worth, and the pairs worth most together.

The worth of a pair is a whole number whose parts cannot make up for each other: first which contact
gets an agent at all, then whether the agent should rather be spared, then how well they suit each
other, in steps of the largest difference / VALUE_STEPS. All sums stay below 2^53, so the solver's
floats are exact, and what it finds does not depend on rounding.

Which contacts get agents is a matroid's question (any assignment of some can be extended until no
more fit), so weights that rise with each rank are enough to have as many as possible, and of those
the first by rank.
"""

import ctypes
from typing import Final

import numpy as np
from numba import objmode

from engine.kernels.boundary import Table, open_batch
from engine.kernels.compilation import kernel
from engine.limits import BATCH_CONTACTS_MAX

VALUE_STEPS: Final = 1 << 28
# What it costs to take an agent who should be spared, and what one rank is worth.
SPARED_WORTH: Final = 2 * BATCH_CONTACTS_MAX * VALUE_STEPS
RANK_WORTH: Final = 2 * BATCH_CONTACTS_MAX * SPARED_WORTH
# Along a path through every contact and back.
assert 2 * BATCH_CONTACTS_MAX * BATCH_CONTACTS_MAX * RANK_WORTH <= 1 << 53


def _solve(worth_address: int, chosen_address: int, rows: int, columns: int) -> None:
    """
    Choose a column for each row, -1 for none, so that the sum of what they are worth is greatest.

    Parameters
    ----------
    worth_address
        Of (rows, columns) float64, whole numbers >= 0; 0 where a row cannot have a column.
    chosen_address
        Of (rows,) int64, written.
    """
    # Half a second the first time; `prepare` has it spent where a window is defined.
    from scipy.optimize import linear_sum_assignment

    worth = np.ctypeslib.as_array((ctypes.c_double * (rows * columns)).from_address(worth_address))
    worth = worth.reshape(rows, columns)
    chosen = np.ctypeslib.as_array((ctypes.c_int64 * rows).from_address(chosen_address))
    chosen[:] = -1
    with_column, column = linear_sum_assignment(worth, maximize=True)
    is_possible = worth[with_column, column] > 0
    chosen[with_column[is_possible]] = column[is_possible]


def prepare() -> None:
    """Load the solver, so that the first batch need not wait for it."""
    import scipy.optimize  # noqa: F401


@kernel
def solve(table: Table, rows: int, columns: int) -> None:
    """Choose for each contact of a batch a place in `chosen_from`. O(rows^2 x columns)."""
    batch = open_batch(table)
    worth_address = batch.worth.ctypes.data
    chosen_address = batch.chosen.ctypes.data
    with objmode():
        _solve(worth_address, chosen_address, rows, columns)
