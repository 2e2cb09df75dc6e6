"""Numbers of values, values of numbers."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil.cells.numbering import ALIGNED, KEYS, LINE, LOGS, MOST, SINGLE, Keys, Line, Logs, pack, unpack
from frazil.errors import FormatError, TruncatedError
from frazil.testing import bit_equal

F4 = np.dtype("f4")
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(hnp.arrays(np.int32, (1, 3, 4), elements=st.integers(-MOST, MOST)), st.sampled_from(["f4", "f8"]))
def test_numbers_of_values_of_numbers(numbers, kind):
    """On a line whose values the dtype can tell apart."""
    line = Line(0.0, 2.0**-3)
    numbers = numbers >> (0 if kind == "f8" else 6)
    assert (line.numbers(line.values(numbers, np.dtype(kind))) == numbers).all()


@given(
    st.integers(-(2**31), 2**31 - 1), st.integers(0, 1000), st.sampled_from(["i2", "u2", "i4", "u1", "u4"])
)
def test_whole_numbers_are_clamped_to_their_dtype(origin, unit, kind):
    info = np.iinfo(kind)
    numbers = np.array([[[-MOST, -1, 0, 1, MOST]]], np.int32)
    values = Line(float(origin), float(unit)).values(numbers, np.dtype(kind))
    expected = [min(max(origin + k * unit, info.min), info.max) for k in numbers.ravel().tolist()]
    assert values.dtype == kind
    assert values.ravel().tolist() == expected


@given(hnp.arrays("f4", (1, 2, 5), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_keys_are_the_order_of_floats(values):
    order = np.argsort(values, axis=None, kind="stable")
    narrow = np.clip(values, 1, 2) + np.float32(0)
    keys = Keys(int(np.float32(1).view("u4")) | 1 << 31)
    numbers = keys.numbers(narrow)
    assert (np.diff(numbers.ravel()[order]) >= 0).all()
    assert bit_equal(keys.values(numbers, F4), narrow).all()


@given(st.integers(0, 2**31 - 1), st.integers(0, 40), st.integers(-MOST, MOST))
def test_logs_stand_for_finite_magnitudes(origin, shift, number):
    value = Logs(origin, shift).values(np.array([[[number]]], np.int32), F4)
    assert np.isfinite(value).all()
    assert (value >= 0).all()


def test_half_precision_is_rounded_once_more():
    values = Line(1000.0, 0.25).values(np.array([[[0, 1, 2, 3]]], np.int32), np.dtype("f2"))
    assert values.dtype == np.dtype("f2")
    assert values.ravel().tolist() == [1000.0, 1000.0, 1000.5, 1001.0]  # half to even
    assert np.isinf(Line(0.0, 1.0).values(np.array([[[70000]]], np.int32), np.dtype("f2"))).all()


@given(finite, st.floats(min_value=5e-324, allow_nan=False, allow_infinity=False), st.booleans())
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_lines_there_and_back(kind, origin, unit, aligned):
    dtype = np.dtype(kind)
    data = pack(Line(origin, unit), dtype, aligned=aligned)
    assert unpack(b"-" + data, 1, dtype) == (Line(origin, unit), aligned, 1 + len(data))
    assert len(data) in (9, 17)


@given(st.sampled_from(["f2", "f4", "f8"]), st.integers(0, 2**16 - 1), st.integers(0, 62))
def test_keys_and_logs_there_and_back(kind, origin, shift):
    dtype = np.dtype(kind)
    for scale in (Keys(origin), Logs(origin >> 1, shift)):
        data = pack(scale, dtype, aligned=False)
        assert unpack(data, 0, dtype) == (scale, False, len(data))


def ends(origin, unit, code="<dd"):
    return struct.pack(code, origin, unit)


@pytest.mark.parametrize(
    ("record", "kind", "match"),
    [
        (b"", "f4", "kind 255"),
        (bytes([16]), "f4", "kind 16"),
        (bytes([KEYS | LOGS]) + bytes(20), "f4", "kind 9"),
        (bytes([KEYS | SINGLE]) + bytes(20), "f4", "kind 5"),
        (bytes([KEYS]) + bytes(20), "i4", "kind 1"),
        (bytes([LOGS]) + bytes(20), "u2", "kind 8"),
        (bytes([LINE]) + ends(0, 0), "f4", "impossible numbers"),
        (bytes([LINE]) + ends(0, -1), "f4", "impossible numbers"),
        (bytes([LINE]) + ends(0, float("nan")), "f4", "impossible numbers"),
        (bytes([LINE]) + ends(0, float("inf")), "f4", "impossible numbers"),
        (bytes([LINE]) + ends(float("inf"), 1), "f4", "impossible numbers"),
        (bytes([SINGLE]) + bytes.fromhex("0100807f0000803f"), "f4", "impossible numbers"),  # signalling NaN
        (bytes([LINE]) + ends(0.5, 1), "i4", "impossible numbers for an array of int32"),
        (bytes([LINE]) + ends(0, 1.5), "i4", "impossible numbers for an array of int32"),
        (bytes([ALIGNED]) + ends(2.0**41, 1), "i4", "impossible numbers for an array of int32"),
        (bytes([LINE]) + ends(0, 2.0**41), "u1", "impossible numbers for an array of uint8"),
        (bytes([LOGS, 63]) + bytes(4), "f4", "impossible logarithms"),
        (bytes([LOGS, 3]) + b"\0\0\0\x80", "f4", "impossible logarithms"),
    ],
)
def test_hostile_records(record, kind, match):
    with pytest.raises(FormatError, match=match):
        unpack(record, 0, np.dtype(kind))


@pytest.mark.parametrize("scale", [Line(0.1, 0.3), Line(0.0, 1.0), Keys(77), Logs(77, 5)], ids=repr)
def test_every_prefix_is_truncated(scale):
    record = pack(scale, F4, aligned=False)
    for stop in range(1, len(record)):
        with pytest.raises(TruncatedError, match="ends after"):
            unpack(record[:stop], 0, F4)
