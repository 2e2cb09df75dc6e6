"""Every number of a cell stands for a value within the bound, in the dtype that is stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil import cells as cells_
from frazil.cells import Cells, exact, fit, relative, unpack
from frazil.cells.numbering import MOST, Keys, Line, Logs
from frazil.cells.widths import Widths
from frazil.errors import FormatError, TruncatedError
from frazil.testing import bit_equal

SHAPE = (2, 5, 9)
FLOATS = ("f2", "f4", "f8")
INTEGERS = ("i2", "u2", "i4", "u1")
quick = settings(max_examples=60, suppress_health_check=list(HealthCheck))


def corners(cells, numbers, seed):
    """Numbers somewhere in their cells: at the ends, and between them."""
    half = (np.asarray(cells.widths.expand(SHAPE)) - 1) // 2
    rng = np.random.default_rng(seed)
    moves = rng.choice([-1.0, 1.0, 0.0, 0.37], numbers.shape)
    return (numbers + np.rint(moves * half)).astype(np.int32)


def errors(cells, planes, dtype, seed):
    """What the values of moved numbers are away from ``planes``."""
    wide = planes.astype("f4") if dtype == np.dtype("f2") else planes
    moved = corners(cells, cells.scale.numbers(wide), seed)
    return np.abs(cells.scale.values(moved, dtype).astype("f8") - planes.astype("f8"))


@st.composite
def planes_of(draw, kinds):
    """Planes without the last binade of their dtype, where a moved value may overflow."""
    dtype = np.dtype(draw(st.sampled_from(kinds)))
    most = float(np.finfo(dtype).max) / 4
    style = draw(st.sampled_from(["wild", "around", "lattice"]))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    if style == "wild":
        floats = st.floats(-most, most, width=8 * dtype.itemsize, allow_nan=False)
        return draw(hnp.arrays(dtype, SHAPE, elements=floats))
    centre = draw(st.floats(-30000, 30000)) / (2 if dtype == np.dtype("f2") else 1)
    if style == "around":
        return (centre + rng.normal(0, draw(st.sampled_from([1e-4, 1.0, 100.0])), SHAPE)).astype(dtype)
    step = draw(st.sampled_from([2.0**-9, 0.01, 0.3, 7.0]))
    return (centre + step * rng.integers(0, 1000, SHAPE)).astype(dtype)


tight_and_loose = st.floats(-30, 10).map(lambda power: 2.0**power)


@quick
@given(planes_of(FLOATS), tight_and_loose, st.integers(0, 99), st.sampled_from([1, 64]))
def test_any_number_of_the_cell_is_within_the_bound(planes, bound, seed, finer):
    dtype = planes.dtype
    wide = planes.astype("f4") if dtype == np.dtype("f2") else planes
    cells = fit(wide, bound, dtype=dtype, finer=finer)
    if cells is None or planes.astype("f8").max() + bound > float(np.finfo(dtype).max):
        return
    assert cells.widths.base % 2 == 1
    assert errors(cells, planes, dtype, seed).max() <= bound


@quick
@given(
    st.sampled_from(INTEGERS).flatmap(lambda kind: hnp.arrays(kind, SHAPE)),
    st.floats(0, 300),
    st.integers(0, 99),
)
def test_integers_too(planes, bound, seed):
    cells = fit(planes, bound)
    if cells is None:
        assert int(planes.max()) - int(planes.min()) >= MOST
        return
    assert errors(cells, planes, planes.dtype, seed).max() <= bound


@quick
@given(planes_of(("f4", "f8")), st.integers(0, 99))
def test_bounds_that_vary(planes, seed):
    """Where a bound leaves room for the narrowest cell at all; the rest is for the exact points."""
    planes = np.clip(planes, -1e30, 1e30).astype(planes.dtype)
    rng = np.random.default_rng(seed)
    scale = max(float(np.ptp(planes.astype("f8"))), 1e-3)
    bounds = scale * np.exp(rng.uniform(-12, 1, SHAPE))
    cells = fit(planes, bounds)
    if cells is None:
        return
    fits = np.asarray(cells.widths.expand(SHAPE)) * cells.scale.unit <= 2 * bounds
    half = float(np.spacing(np.abs(planes).max())) / 2
    error = errors(cells, planes, planes.dtype, seed)
    assert (error[fits] <= bounds[fits] + 4 * half).all()
    assert ((error > bounds) & fits).sum() <= fits.sum() / 4  # those whose rounding matters


@quick
@given(planes_of(("f4", "f8")), tight_and_loose)
def test_grid_does_not_depend_on_the_values(planes, bound):
    """The middle of the cell that a value falls into is within the bound, and falls into the same cell."""
    cells = fit(planes, bound, grid=True)
    if cells is None or not isinstance(cells.scale, Line):
        return
    other = fit(planes[:1] / 2, bound, grid=True)
    assert cells.aligned
    assert cells.scale.origin % cells.scale.unit == 0
    assert other is None or other.scale.unit == cells.scale.unit
    middle = cells.scale.values(cells.scale.numbers(planes), planes.dtype)
    margin = float(np.spacing(np.abs(planes).max()))
    assert (np.abs(middle.astype("f8") - planes) <= bound + margin).all()


@quick
@given(planes_of(("f4", "f8")), st.floats(1e-6, 1.0), st.integers(0, 99))
def test_relative_cells(planes, fraction, seed):
    tiny = np.finfo(planes.dtype).tiny
    planes = np.where(np.abs(planes) < tiny, tiny, planes)
    cells = relative(planes, fraction)
    if cells is None:
        return
    moved = corners(cells, cells.scale.numbers(planes), seed)
    magnitudes = cells.scale.values(moved, planes.dtype)
    share = np.abs(magnitudes.astype("f8") / np.abs(planes.astype("f8")) - 1)
    # the lowest number of a chunk may be moved below what its bits can say: those are for the exact points
    inside = moved >= 0
    assert (share[inside] <= fraction * (1 + 1e-12)).all()


@given(st.sampled_from([*FLOATS[1:], *INTEGERS]).flatmap(lambda kind: hnp.arrays(kind, SHAPE)))
def test_exact_numbers_lose_nothing(planes):
    if planes.dtype.kind == "f":
        planes = np.where(np.isfinite(planes), planes, planes.dtype.type(0))
    cells = exact(planes)
    if cells is not None:
        assert cells.widths.base == 1
        numbers = cells.scale.numbers(planes)
        assert 0 <= numbers.min() <= numbers.max() < MOST
        assert bit_equal(cells.scale.values(numbers, planes.dtype), planes).all()


def test_exact_numbers_of_a_narrow_range_exist():
    planes = np.linspace(250, 300, 90, dtype="f4").reshape(SHAPE)
    cells = exact(planes)
    assert isinstance(cells.scale, Keys)
    assert exact(np.array([[[-1e30, 1e30]]], "f4")) is None
    assert exact(np.array([[[-(2**31), 2**31 - 1]]], "i4")) is None


@pytest.mark.parametrize(
    ("planes", "bound"),
    [
        (np.array([[[-1.7e308, 1.7e308]]]), 1.0),  # the range overflows
        (np.array([[[0.0, 1.0, 2.0**1022]]]), 1e300),  # sums and products of values do
        (np.array([[[280.0, 281.0]]], "f4"), 1e-6),  # less than half a unit in the last place
        (np.array([[[0.0, 1e9]]], "f8"), 0.1),  # more numbers than 28 bits
        (np.array([[[280.0, 281.0]]], "f4"), 0.0),
        (np.array([[[0, 2**30]]], "i4"), 5.0),
        (np.array([[[280.0, 281.0]]], "f4"), np.zeros((1, 1, 2))),
    ],
)
def test_no_cells(planes, bound):
    assert fit(planes, bound) is None


def test_values_that_were_unpacked_keep_their_step():
    """273.15 + k * 0.02 in single precision, as GRIB and packed netCDF leave it."""
    k = np.random.default_rng(0).integers(0, 3000, (1, 40, 40))
    planes = (273.15 + 0.02 * k).astype("f4")
    cells = fit(planes, 0.0205)
    assert cells.widths.base == 3
    assert cells.scale.unit == pytest.approx(0.02, rel=1e-4)
    assert (
        errors(Cells(cells.scale, cells.widths), planes[:, :5, :9].repeat(2, 0), planes.dtype, 3).max()
        < 0.0205
    )


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "u1"])
@pytest.mark.parametrize(
    "cells",
    [
        Cells(Line(-3.0, 2.0), Widths(45)),
        Cells(Line(0.0, 1.0), Widths(1), aligned=True),
        Cells(Line(2.0**33, 2.0**31), Widths(3)),
        Cells(Line(-0.1, 1e-7), Widths(2881)),
        Cells(Keys(1234), Widths(1)),
        Cells(Logs(5, 3), Widths(9)),
    ],
    ids=repr,
)
def test_records(cells, dtype):
    dtype = np.dtype(dtype)
    whole = dtype.kind in "iu"
    if whole and (not isinstance(cells.scale, Line) or cells.scale.unit % 1):
        return
    record = b"xx" + cells.pack(dtype)
    assert unpack(record + b"more", 2, dtype) == (cells, len(record))
    for stop in range(2, len(record)):
        with pytest.raises(TruncatedError if stop > 2 else FormatError):
            unpack(record[:stop], 2, dtype)


@pytest.mark.parametrize("base", [0, MOST, 1 << 40])
def test_impossible_widths(base):
    record = Cells(Line(0.0, 1.0), Widths(base)).pack(np.dtype("f4"))
    with pytest.raises(FormatError, match="cells cannot be"):
        unpack(record, 0, np.dtype("f4"))


@given(st.binary(max_size=30), st.sampled_from(["f2", "f4", "f8", "i4", "u1"]))
def test_any_bytes_are_a_record_or_an_error(data, kind):
    try:
        cells, at = unpack(data, 0, np.dtype(kind))
    except FormatError:
        return
    assert 0 < at <= len(data)
    with np.errstate(all="ignore"):
        cells.scale.values(np.array([[[0, 1, MOST]]], np.int32), np.dtype(kind))


def test_more_units_for_errors_much_smaller_than_the_bound():
    planes = np.linspace(0, 9, 90, dtype="f4").reshape(SHAPE)
    assert fit(planes, 0.5).widths.base == cells_.FINE
    assert fit(planes, 0.5, finer=64).widths.base == 64 * cells_.FINE + 1
