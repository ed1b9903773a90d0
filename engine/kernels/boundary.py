"""
How compiled code reaches the columns: one table of addresses instead of a hundred arrays.

Passing an array to a compiled function costs some 50 ns and a NamedTuple of 30 costs 3 µs; passing
this table costs 70 ns whatever the number of columns. Every kernel takes the table as first
argument and opens the groups it needs: `contacts = open_contacts(table)`. The compiler drops the
columns that are not used.

With the compiler off (NUMBA_DISABLE_JIT=1) the table is the columns themselves and opening picks a
group.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple, get_type_hints

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    infer_getattr,
    intrinsic,
    lower_getattr_generic,
    models,
    register_model,
)
from numba.np.numpy_support import from_dtype

from engine.kernels.column_type import ColumnType
from engine.kernels.columns import (
    LAYOUTS,
    Agents,
    Bitsets,
    Cell,
    Classes,
    Contacts,
    Queues,
)
from engine.kernels.shapes import Shape
from engine.kernels.side_columns import Batch, Decisions, Estimates, Offers, Requirements

COMPILED: Final = not config.DISABLE_JIT

# Words per column in the table: address, rows, width.
_WORDS: Final = 3

# What kernels get as first argument: the address of the words when compiled, else the groups. An
# address, because an array of words would be counted in and out of every kernel that is not
# inlined: a fifth of a simulation's time.
Table = Any
# Groups of columns that share a table, in order.
Layouts = tuple[type, ...]


class ColumnSet(NamedTuple):
    """Every column of one cell."""

    contacts: Contacts
    agents: Agents
    offers: Offers
    estimates: Estimates
    queues: Queues
    classes: Classes
    requirements: Requirements
    bitsets: Bitsets
    decisions: Decisions
    batch: Batch
    cell: Cell


@cache
def shapes_of(layout: type) -> Mapping[str, Shape]:
    """Shapes of a layout's columns, by field, in order."""
    hints = get_type_hints(layout, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


class Addresses:
    """
    Where columns lie; outlives every use of its table.

    Parameters
    ----------
    columns
        Groups of arrays; reallocated ones must be told by `replace` before the next call.
    layouts
        Of the groups.

    Attributes
    ----------
    table
        What kernels take as first argument.
    """

    def __init__(self, columns: Sequence[Any], layouts: Layouts = LAYOUTS) -> None:
        self._layouts = layouts
        self._words = np.zeros(
            _WORDS * sum(len(shapes_of(layout)) for layout in layouts), np.uint64
        )
        self.table: Table = int(self._words.ctypes.data)
        self.replace(columns)

    def replace(self, columns: Sequence[Any]) -> None:
        """Point to other columns of the same layouts; when compiled, the table stays the same."""
        if not COMPILED:
            self.table = columns
            return
        words: list[int] = []
        for group, layout in zip(columns, self._layouts, strict=True):
            for array, shape in zip(group, shapes_of(layout).values(), strict=True):
                assert array.dtype == shape.dtype, (layout, array.dtype, shape)
                assert array.flags.c_contiguous, (layout, shape)
                assert array.ndim == _dimensions(shape), (layout, array.shape, shape)
                width = 1 if array.ndim == 1 else array.shape[1]
                words += [array.ctypes.data, array.shape[0], width]
        self._words[:] = words


def bind(kernel: Any, table: Table) -> Callable[[], int]:
    """
    Make a call of `kernel(table)` that skips numba's type dispatch: 0.1 µs instead of 0.2 µs.

    The kernel must take the table alone and return an int. A table of another type would crash the
    process, which is why the type is checked here, once.
    """
    if not COMPILED:
        return lambda: int(kernel(table))
    assert isinstance(table, int)
    signature = (types.int64,)
    kernel.compile(signature)
    entry_point = kernel.overloads[signature].entry_point
    return lambda: entry_point(table)


def _dimensions(shape: Shape) -> int:
    return 1 if shape.width == 1 else 2


class _GroupType(types.Type):
    """
    What a group of columns is to the compiler: an address in the table, and its columns.

    An array is built only where a kernel reads the attribute. Building all of a group's arrays at
    its opening made the cold compile of the transitions last 96 s instead of 21 s.
    """

    def __init__(self, layout: type, layouts: Layouts) -> None:
        super().__init__(name=f"Group({layout.__name__})")
        earlier = layouts[: layouts.index(layout)]
        first_word = _WORDS * sum(len(shapes_of(before)) for before in earlier)
        self.columns = {
            name: (
                first_word + _WORDS * number,
                ColumnType(from_dtype(np.dtype(shape.dtype)), _dimensions(shape)),
            )
            for number, (name, shape) in enumerate(shapes_of(layout).items())
        }


@register_model(_GroupType)
class _GroupModel(models.PrimitiveModel):
    """A group is one pointer at run time."""

    def __init__(self, manager: Any, group_type: Any) -> None:
        super().__init__(manager, group_type, ir.IntType(64).as_pointer())


@infer_getattr
class _GroupAttributes(AttributeTemplate):
    """Types of a group's attributes."""

    key = _GroupType

    def generic_resolve(self, group_type: Any, name: str) -> Any:  # type: ignore[override]
        column = group_type.columns.get(name)
        return None if column is None else column[1]


@lower_getattr_generic(_GroupType)
def _emit_column(context: Any, builder: Any, group_type: Any, words: Any, name: str) -> Any:
    """
    Emit one array that owns nothing from its three words, so that kernels count no references.
    """
    start, array_type = group_type.columns[name]
    word_type = ir.IntType(64)

    def word(index: int) -> Any:
        return builder.load(builder.gep(words, [ir.Constant(word_type, index)]))

    address, rows, width = word(start), word(start + 1), word(start + 2)
    element = context.get_data_type(array_type.dtype)
    itemsize = ir.Constant(word_type, context.get_abi_sizeof(element))
    if array_type.ndim == 1:
        shape, strides = [rows], [itemsize]
    else:
        shape, strides = [rows, width], [builder.mul(width, itemsize), itemsize]
    array = context.make_array(array_type)(context, builder)
    context.populate_array(
        array,
        data=builder.inttoptr(address, element.as_pointer()),
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=itemsize,
        meminfo=None,
    )
    return array._getvalue()


def opener(layout: type, layouts: Layouts = LAYOUTS) -> Any:
    """Make the function that opens one group of a table of `layouts` inside a kernel."""
    if not COMPILED:
        group = layouts.index(layout)
        return lambda table: table[group]
    group_type = _GroupType(layout, layouts)

    @intrinsic
    def open_group(typingctx: Any, table: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())

        return group_type(types.int64), codegen

    return open_group


open_contacts: Final[Callable[[Table], Contacts]] = opener(Contacts)
open_agents: Final[Callable[[Table], Agents]] = opener(Agents)
open_offers: Final[Callable[[Table], Offers]] = opener(Offers)
open_estimates: Final[Callable[[Table], Estimates]] = opener(Estimates)
open_queues: Final[Callable[[Table], Queues]] = opener(Queues)
open_classes: Final[Callable[[Table], Classes]] = opener(Classes)
open_requirements: Final[Callable[[Table], Requirements]] = opener(Requirements)
open_bitsets: Final[Callable[[Table], Bitsets]] = opener(Bitsets)
open_decisions: Final[Callable[[Table], Decisions]] = opener(Decisions)
open_batch: Final[Callable[[Table], Batch]] = opener(Batch)
open_cell: Final[Callable[[Table], Cell]] = opener(Cell)
