"""A board of arrays reads and writes alike compiled and as plain Python."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from foundry.engine.board import Board


class Sheets(NamedTuple):
    counts: Any
    table: Any
    wide: Any
    rows: Any


ROW = np.dtype([("time", "<i8"), ("kind", "i1")])


def sheets() -> Sheets:
    return Sheets(np.arange(4), np.arange(6.0).reshape(2, 3), np.arange(8).reshape(2, 4), np.zeros(2, ROW))


def play(sheet: Any) -> float:
    """Reads and writes of every kind that the engine makes."""
    table = sheet.table
    for row in range(len(sheet.counts)):
        sheet.counts[row] += 10 * row
    table[1, 2] = sheet.wide[1, 3] + 0.5
    line = table[1]
    line[0] = sheet.wide.shape[1]
    sheet.rows[1]["time"] = sheet.counts[3]
    sheet.rows[1]["kind"] = 7
    sheet.rows[0] = sheet.rows[1]
    return float(table[1, 0] + table[0, 1] + sheet.counts[1:3].sum())


compiled = njit(play)


def test_compiled_does_as_python_does() -> None:
    one, other = sheets(), sheets()
    assert compiled(Board(one, {"wide": 4})) == play(other) == 4.0 + 1.0 + 11.0 + 22.0
    for a, b in zip(one, other, strict=True):
        assert a.tobytes() == b.tobytes()
    assert one.rows[0]["time"] == 33


def test_without_the_compiler_a_board_is_its_arrays() -> None:
    plain = sheets()
    assert Board(plain, {}).table is plain.table


def test_a_constant_board_is_read_alike() -> None:
    reads = njit(lambda sheet, row: sheet.wide[row, 1] + sheet.counts[row])
    assert [reads(Board(sheets(), {}, constant=True), row) for row in range(2)] == [1 + 0, 5 + 1]
