"""
What a column is to the compiler: an array whose indices are places, never counted from its end.

numba lets -1 stand for the last element, so every index by a signed integer costs the length of the
array, a comparison and a choice. Rows are checked where they come from, and -1 stands for none:
indexing with it is a mistake here, not the last row.
"""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, models, register_model
from numba.np import arrayobj


class ColumnType(types.Array):
    """Type of a contiguous column or matrix."""

    def __init__(self, dtype: Any, ndim: int) -> None:
        super().__init__(dtype, ndim, "C", name=f"Column({dtype}, {ndim}d)")


@register_model(ColumnType)
class _ColumnModel(models.ArrayModel):
    """An array at run time, of which nobody counts references: it owns nothing."""

    def traverse(self, builder: Any) -> list[Any]:
        """Tell of no part that has an owner."""
        return []

    def traverse_models(self) -> list[Any]:
        """Tell of no part that could have one."""
        return []


def _is_place(index: Any, ndim: int) -> bool:
    """Whether an index names one element."""
    if isinstance(index, types.BaseTuple):
        return len(index) == ndim and all(isinstance(item, types.Integer) for item in index.types)
    return ndim == 1 and isinstance(index, types.Integer)


def _element(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Emit the address of the element at an index."""
    column_type, index_type = signature.args[:2]
    column = arrayobj.make_array(column_type)(context, builder, arguments[0])
    index = arguments[1]
    if not isinstance(index_type, types.BaseTuple):
        return builder.gep(column.data, [context.cast(builder, index, index_type, types.intp)])
    place = ir.Constant(ir.IntType(64), 0)
    shape = cgutils.unpack_tuple(builder, column.shape, column_type.ndim)
    items = cgutils.unpack_tuple(builder, index, len(index_type))
    for item, item_type, extent in zip(items, index_type.types, shape, strict=True):
        item = context.cast(builder, item, item_type, types.intp)
        place = builder.add(builder.mul(place, extent), item)
    return builder.gep(column.data, [place])


@lower_builtin(operator.getitem, ColumnType, types.Integer)
def _get_item(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    if not _is_place(signature.args[1], signature.args[0].ndim):
        return arrayobj.getitem_arraynd_intp(context, builder, signature, arguments)
    address = _element(context, builder, signature, arguments)
    return arrayobj.load_item(context, builder, signature.args[0], address)


@lower_builtin(operator.getitem, ColumnType, types.BaseTuple)
def _get_items(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    if not _is_place(signature.args[1], signature.args[0].ndim):
        return arrayobj.getitem_array_tuple(context, builder, signature, arguments)
    address = _element(context, builder, signature, arguments)
    return arrayobj.load_item(context, builder, signature.args[0], address)


@lower_builtin(operator.setitem, ColumnType, types.Any, types.Any)
def _set_item(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    column_type, index_type, value_type = signature.args
    if not _is_place(index_type, column_type.ndim):
        return arrayobj.setitem_array(context, builder, signature, arguments)
    address = _element(context, builder, signature, arguments)
    value = context.cast(builder, arguments[2], value_type, column_type.dtype)
    arrayobj.store_item(context, builder, column_type, value, address)
    return context.get_dummy_value()
