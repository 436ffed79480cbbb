"""A board: arrays under names, which compiled functions hand to each other as one address.

A named tuple of arrays is handed over by value, seven words for each array and more than two hundred for the forty of the engine: to pass
them takes longer than most of its functions work. A board is the address of a list of words, where each array has three: the address of
its first item and its shape. `board.worker[w, STEP]` reads as it does with a named tuple, and does just that without the compiler.
Compiled, a negative index does not count from the end: to test for one at every access costs as much as the access.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
from numba import typeof
from numba.core import cgutils, types
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import NativeValue, lower_builtin, lower_getattr_generic, models, register_model, typeof_impl, unbox
from numba.np.arrayobj import basic_indexing, get_itemsize, load_item, make_array, make_view, populate_array, store_item

WORDS = 3                           # for each array: address, rows, columns


class Board:
    """The arrays of a named tuple, all C-contiguous with one or two dimensions.

    ``widths`` says of some arrays how many columns each has in every run; that is compiled in. ``constant``: compiled code does not
    write to them, so LLVM reads an item once. The address holds while the board lives.
    """

    def __init__(self, arrays: NamedTuple, widths: dict[str, int], *, constant: bool = False) -> None:
        named = arrays._asdict()
        self.__dict__.update(named)
        words = [(a.__array_interface__["data"][0], *a.shape, 0)[:WORDS] for a in named.values()]
        self.words = np.array(words, np.int64)
        self.address = int(self.words.__array_interface__["data"][0])
        self.kind = _kind(type(arrays), named, widths, constant)


class Table(types.Array):
    """An array of a board; a row of it is an array like any other."""

    def __init__(self, array: Any, constant: bool) -> None:
        self.constant = constant
        name = f"{'ConstantTable' if constant else 'Table'}({array.dtype}, {array.ndim})"
        super().__init__(array.dtype, array.ndim, "C", aligned=array.aligned, name=name)

    @property
    def key(self) -> Any:
        return (*super().key, self.constant)


class BoardType(types.Type):
    """The names of a board's arrays with their types, in order, and the widths that are compiled in."""

    def __init__(self, name: str, arrays: tuple[tuple[str, Any], ...], widths: tuple[tuple[str, int], ...]) -> None:
        self.arrays, self.widths = arrays, widths
        super().__init__(name=f"Board({name}, {arrays}, {widths})")


_KINDS: dict[tuple[type, tuple[tuple[str, int], ...], bool], BoardType] = {}


def _kind(of: type, named: dict[str, Any], widths: dict[str, int], constant: bool) -> BoardType:
    """The type of a board of a named tuple's class: its arrays have the same items and dimensions in every run."""
    key = of, tuple(widths.items()), constant
    if key not in _KINDS:
        _KINDS[key] = BoardType(of.__name__, tuple((name, Table(typeof(array), constant)) for name, array in named.items()), key[1])
    return _KINDS[key]


register_model(BoardType)(models.OpaqueModel)
register_model(Table)(models.ArrayModel)


@typeof_impl.register(Board)
def _typeof(board: Board, _: Any) -> BoardType:
    return board.kind


@unbox(BoardType)
def _unbox(_: BoardType, board: Any, c: Any) -> Any:
    address = c.pyapi.object_getattr_string(board, "address")
    pointer = c.pyapi.long_as_voidptr(address)
    c.pyapi.decref(address)
    return NativeValue(pointer)


def _resolve(_: Any, board: BoardType, name: str) -> Any:
    return dict(board.arrays).get(name)


infer_getattr(type("BoardAttributes", (AttributeTemplate,), {"key": BoardType, "generic_resolve": _resolve}))


def _never_changes(builder: Any, loaded: Any) -> Any:
    """Tell LLVM that what was loaded is the same whenever it is loaded."""
    loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
    return loaded


@lower_getattr_generic(BoardType)
def _array(context: Any, builder: Any, board: BoardType, value: Any, name: str) -> Any:
    """An array of a board: its words are read where they are used. They never change while compiled code runs, and LLVM is told so."""
    place = [field for field, _ in board.arrays].index(name) * WORDS
    array = make_array(dict(board.arrays)[name])(context, builder)
    integer = context.get_value_type(types.intp)

    def word(k: int, item: Any) -> Any:
        words = builder.bitcast(value, item.as_pointer())
        loaded = builder.load(builder.gep(words, [context.get_constant(types.intp, place + k)]))
        return _never_changes(builder, loaded)

    item_bytes = context.get_constant(types.intp, get_itemsize(context, dict(board.arrays)[name]))
    width = dict(board.widths).get(name)
    shape = [word(1, integer)]
    if dict(board.arrays)[name].ndim == 2:
        shape.append(word(2, integer) if width is None else context.get_constant(types.intp, width))
    strides = [item_bytes] if len(shape) == 1 else [builder.mul(shape[1], item_bytes), item_bytes]
    populate_array(array, data=word(0, array.data.type), shape=shape, strides=strides, itemsize=item_bytes, meminfo=None)
    return array._getvalue()


def _place(context: Any, builder: Any, table: Table, value: Any, where_type: Any, where: Any) -> Any:
    """The array, and address, shape and strides of what an index of plain numbers means."""
    kinds = list(getattr(where_type, "types", [where_type]))
    numbers = cgutils.unpack_tuple(builder, where, len(kinds)) if isinstance(where_type, types.BaseTuple) else [where]
    numbers = [context.cast(builder, number, kind, types.uintp) for number, kind in zip(numbers, kinds, strict=True)]
    array = make_array(table)(context, builder, value)
    return array, *basic_indexing(context, builder, table, array, [types.uintp] * len(kinds), numbers, boundscheck=False)


@lower_builtin(operator.getitem, Table, types.Integer)
@lower_builtin(operator.getitem, Table, types.UniTuple)
@lower_builtin(operator.getitem, Table, types.Tuple)
def _item(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    table, where = signature.args
    array, address, shape, strides = _place(context, builder, table, given[0], where, given[1])
    if isinstance(signature.return_type, types.Array):
        return make_view(context, builder, table, array, signature.return_type, address, shape, strides)._getvalue()
    loaded = load_item(context, builder, table, address)
    if table.constant:
        _never_changes(builder, loaded)
    return loaded


@lower_builtin(operator.setitem, Table, types.Integer, types.Any)
@lower_builtin(operator.setitem, Table, types.UniTuple, types.Any)
@lower_builtin(operator.setitem, Table, types.Tuple, types.Any)
def _set_item(context: Any, builder: Any, signature: Any, given: Any) -> None:
    table, where, kind = signature.args
    _, address, _, _ = _place(context, builder, table, given[0], where, given[1])
    store_item(context, builder, table, context.cast(builder, given[2], kind, table.dtype), address)
