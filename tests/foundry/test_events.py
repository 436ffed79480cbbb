"""The log: order of its rows (L2), fingerprint, names."""

import hashlib
import struct
from types import SimpleNamespace

import numpy as np
import pytest

from foundry.events import EVENTS, KINDS, ORDER, Kind, as_events, fingerprint, from_flat, records_dtype, to_frame

ROW = {
    "time_s": 10, "since_s": 5, "kind": 2, "batch": 1, "product": 0, "token": 0, "step": 2, "attempt": 1,
    "resource": -1, "unit": -1, "value": 1.5, "reason": 0, "open": 0,
}
NAMES = SimpleNamespace(
    product_names=("hicm188",),
    step_names=("seed", "expand", "count"),
    resource_names=("operator", "reactor", "gate"),
    reasons=("", "pause"),
)


def row(**changes):
    """A row with some columns changed."""
    return tuple((ROW | changes).values())


def test_L1_columns():
    """The columns of the log are those of the rule, in its order."""
    assert " ".join(EVENTS.names) == "time_s since_s kind batch product token step attempt resource unit value reason open"
    assert EVENTS.itemsize == 50


def test_L1_kinds_are_explained():
    """Every kind has its meaning; token rows come before unit rows."""
    assert list(KINDS) == list(Kind) == list(range(16))
    assert [KINDS[kind].of for kind in Kind] == ["token"] * 7 + ["unit"] * 9
    assert all(meaning.text for meaning in KINDS.values())
    assert [kind.name for kind in Kind if KINDS[kind].value_unit] == [
        "SETUP", "WORKED", "MEASURED", "DECIDED", "LEFT", "RECEIVED", "TAKEN", "PUT", "EXPIRED"]


@pytest.mark.parametrize("column", ORDER)
def test_L2_each_integer_column_orders(column):
    """Rows that differ in one column are ordered by it, -1 first."""
    rows = [row(**{column: number}) for number in (3, -1, 0)]

    assert as_events(rows)[column].tolist() == [-1, 0, 3]


@pytest.mark.parametrize("first", range(len(ORDER) - 1))
def test_L2_left_column_before_right(first):
    """A column further left decides before one further right."""
    low, high = row(**{ORDER[first]: 1, ORDER[first + 1]: 9}), row(**{ORDER[first]: 2, ORDER[first + 1]: 3})

    assert as_events([high, low]).tolist() == as_events([low, high]).tolist() == [low, high]


def test_L2_flat_lists_give_the_same_rows():
    """A token's row, a unit's state without a visit, one within a visit, and an open row of a run, told by visits and places or in full."""
    visits, wheres = [4, 0, 2, 1, 7, 3, 5, 2], [(1, 0), (1, 1), (2, -1), (-1, 6)]
    rows = [9, 5, 2, 0, -1, 8, 8, 0, 9, -1, 1, 0, 8, 3, 7, 1, 0, 0, 9, 9, 4, 1, 2, 3, 9, 6, 2, 1, 3, 0]

    assert from_flat(rows, [1.5, -1.0, -1.0, 0.25, 2.0], visits, wheres, 4).tolist() == [
        (8, 0, 9, -1, -1, -1, -1, -1, 1, 1, -1.0, 0, 0),
        (8, 3, 7, 7, 0, 3, 5, 2, 1, 0, -1.0, 0, 0),
        (9, 5, 2, 4, 0, 0, 2, 1, -1, -1, 1.5, 8, 0),
        (9, 6, 2, 7, 0, 3, 5, 2, -1, 6, 2.0, 0, 1),
        (9, 9, 4, 7, 0, 3, 5, 2, 2, -1, 0.25, 3, 0),
    ]


def test_L2_value_does_not_order():
    """Rows that agree in all integer columns stay as they came, whatever their value."""
    assert as_events([row(value=2.0), row(value=1.0)])["value"].tolist() == [2.0, 1.0]


def test_L2_order_equals_sorting_tuples():
    """Many random rows: the order is that of the tuples without value."""
    generator = np.random.default_rng(3)
    rows = [(*numbers[:10], 0.0, *numbers[10:]) for numbers in generator.integers(-1, 3, size=(2000, 12)).tolist()]

    assert as_events(rows).tolist() == sorted(rows)


def test_no_rows():
    """An empty log has the columns and a fingerprint."""
    assert as_events([]).dtype == EVENTS
    assert len(as_events([])) == 0
    assert fingerprint(as_events([])) == hashlib.sha256(b"").hexdigest()


def test_number_too_large_for_its_column():
    with pytest.raises(OverflowError):
        as_events([row(step=40_000)])


def test_L2_fingerprint_is_defined_by_bytes():
    """SHA-256 over the integer columns, little-endian, packed, row after row."""
    rows = [row(), row(time_s=2**40, batch=70_000, reason=-1, open=1)]
    packed = b"".join(struct.pack("<qqbihihhhiib", *r[:10], *r[11:]) for r in rows)

    assert fingerprint(as_events(rows)) == hashlib.sha256(packed).hexdigest()


def test_L2_fingerprint_leaves_value_out():
    """Values, NaN too, do not touch the fingerprint; any integer does; so does the order of the rows."""
    events = as_events([row(), row(time_s=20)])
    base = fingerprint(events)

    assert fingerprint(as_events([row(value=float("nan")), row(time_s=20, value=-7.0)])) == base
    assert len({base, *(fingerprint(as_events([row(**{name: 99}), row(time_s=20)])) for name in ORDER)}) == len(ORDER) + 1
    assert fingerprint(events[::-1]) != base


def test_L1_frame_has_names():
    """Codes become names, -1 the empty text, open a truth value."""
    frame = to_frame(as_events([row(), row(time_s=20, kind=7, product=-1, step=-1, resource=1, unit=3, reason=1, open=1)]), NAMES)

    assert tuple(frame.columns) == EVENTS.names
    assert frame["kind"].tolist() == ["WORKED", "WORKING"]
    assert frame["product"].tolist() == ["hicm188", ""]
    assert frame["step"].tolist() == ["count", ""]
    assert frame["resource"].tolist() == ["", "reactor"]
    assert frame["reason"].tolist() == ["", "pause"]
    assert frame["open"].tolist() == [False, True]
    assert frame["unit"].tolist() == [-1, 3]
    assert frame["value"].tolist() == [1.5, 1.5]


def test_frame_without_rows():
    assert tuple(to_frame(as_events([]), NAMES).columns) == EVENTS.names


def test_records_dtype():
    """Four integer columns, then the latent fields as float64."""
    dtype = records_dtype(("target", "dead"))

    assert dtype.names == ("time_s", "batch", "step", "attempt", "target", "dead")
    assert [dtype[name].str for name in dtype.names] == ["<i8", "<i4", "<i2", "<i2", "<f8", "<f8"]
    assert dtype.itemsize == 32
