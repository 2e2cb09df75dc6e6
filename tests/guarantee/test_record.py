"""Section B: what a chunk says of itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.cells import Cells
from frazil.cells.numbering import Keys, Line, Logs
from frazil.cells.widths import Widths
from frazil.errors import FormatError, TruncatedError
from frazil.guarantee import record
from frazil.guarantee.record import Guarantee, unpack

KINDS = ("f2", "f4", "f8", "i2", "u2", "i4", "u1")


@st.composite
def guarantees(draw):
    """A record and the dtype of its array."""
    dtype = np.dtype(draw(st.sampled_from(KINDS)))
    method = draw(st.integers(0, len(record.METHODS) - 1))
    cells = limits = None
    if method in record.COUNTED:
        scales = [Line(float(draw(st.integers(-1000, 1000))), float(draw(st.integers(1, 1000))))]
        if dtype.kind == "f":
            scales += [Keys(draw(st.integers(0, 60000))), Logs(draw(st.integers(0, 30000)), 3)]
        scale = draw(st.sampled_from(scales))
        aligned = isinstance(scale, Line) and draw(st.booleans())
        cells = Cells(scale, Widths(draw(st.integers(1, (1 << 28) - 1))), aligned)
    if draw(st.booleans()):
        limits = tuple(sorted(draw(st.tuples(st.integers(0, 99), st.integers(0, 99)))))
    said = Guarantee(
        method=method,
        max_error=draw(st.floats(0, 1e300)),
        share=draw(st.floats(0, 1)),
        cells=cells,
        limits=limits,
        checks=tuple(draw(st.lists(st.integers(0, 65535), max_size=record.MOST_CHECKS))),
    )
    return said, dtype


@given(guarantees())
def test_there_and_back(case):
    said, dtype = case
    again = unpack(said.pack(dtype), dtype)
    assert (again.method, again.cells, again.checks) == (said.method, said.cells, said.checks)
    assert again.limits == said.limits
    assert again.name == record.METHODS[said.method]
    assert said.share - 1e-11 <= again.share <= said.share + 1 / record.PARTS
    assert again.pack(dtype) == replace_rounded(said, again).pack(dtype)


def replace_rounded(said, again):
    return Guarantee(
        method=said.method,
        max_error=again.max_error,
        share=again.share,
        cells=said.cells,
        limits=said.limits,
        checks=said.checks,
    )


@given(st.floats(min_value=0, allow_nan=False))
def test_the_largest_error_is_never_rounded_down(error):
    found = unpack(Guarantee(method=0, max_error=error).pack(np.dtype("f8")), np.dtype("f8")).max_error
    assert found >= error
    if 1e-37 < error < 3e38:
        assert found <= error * (1 + 2.0**-6)


@pytest.mark.parametrize(
    ("error", "found"),
    [(0.0, 0.0), (1.0, 1.0), (1.0 + 2**-30, 1.0078125), (0.5, 0.5), (1e39, math.inf), (math.inf, math.inf)],
)
def test_errors_of_sixteen_bits(error, found):
    data = Guarantee(method=0, max_error=error).pack(np.dtype("f4"))
    assert len(data) == 4
    assert unpack(data, np.dtype("f4")).max_error == found


@given(guarantees())
def test_every_prefix_that_is_read_says_the_same_method(case):
    """Behind the cells follow checks, so that a prefix may be a record with fewer of them."""
    said, dtype = case
    data = said.pack(dtype)
    for stop in range(len(data)):
        try:
            part = unpack(data[:stop], dtype)
        except FormatError:
            continue
        assert part.method == said.method
        assert part.cells == said.cells
        assert part.checks == said.checks[: len(part.checks)]


@given(st.binary(max_size=50), st.sampled_from(KINDS))
def test_any_bytes_are_a_record_or_an_error(data, kind):
    try:
        said = unpack(data, np.dtype(kind))
    except FormatError:
        return
    assert 0 <= said.method < len(record.METHODS)
    assert (said.cells is not None) == (said.method in record.COUNTED)


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        (b"", TruncatedError, "ends after 0"),
        (bytes(3), TruncatedError, "ends after 3"),
        (bytes([7, 0, 0, 0]), FormatError, "starts with 7"),
        (bytes([0x20, 0, 0, 0]), FormatError, "starts with 32"),
        (bytes([0x10, 0, 0, 0]) + bytes(7), TruncatedError, "inside its limits"),
        (bytes([0x10, 0, 0, 0]) + np.array([2, 1], "<f4").tobytes(), FormatError, "clamped to 2.0 ... 1.0"),
        (bytes([0x10, 0, 0, 0]) + np.array([np.nan, 1], "<f4").tobytes(), FormatError, "clamped to nan"),
        (bytes([0, 0, 0, 0, 0]), FormatError, "has 5 bytes"),
        (bytes(4) + bytes(18), FormatError, "has 22 bytes, its method 'stored' explains 4"),
        (bytes([3, 0, 0, 0]), FormatError, "kind 255"),
    ],
)
def test_hostile_records(data, error, match):
    with pytest.raises(error, match=match):
        unpack(data, np.dtype("f4"))
