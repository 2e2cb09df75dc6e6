"""Compiled loops between values and numbers, against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil.cells import rounding

EVERYWHERE = np.zeros(0, bool)
numbers_ = hnp.arrays(np.int32, st.integers(1, 30), elements=st.integers(-(2**28), 2**28))


@given(numbers_, st.floats(-1e6, 1e6), st.floats(1e-9, 1e3))
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_values_are_one_product_one_sum_one_rounding(kind, numbers, origin, unit):
    """No fused multiply-add: it would give other bits on other machines."""
    out = np.empty(numbers.size, kind)
    rounding.to_values(numbers, origin, unit, out)
    product = numbers.astype("f8") * unit
    assert (out == (origin + product).astype(kind)).all()


@given(numbers_, st.floats(0.01, 100))
def test_numbers_are_the_nearest(numbers, unit):
    values = 5.0 + numbers * unit
    out = np.empty(numbers.size, np.int32)
    rounding.to_numbers(values, 5.0, unit, out)
    assert (np.abs(values - 5.0 - out * unit) <= 0.5001 * unit).all()


def test_whole_numbers_stay_in_their_dtype():
    out = np.empty(4, "u1")
    rounding.to_integers(np.array([-(2**28), 0, 3, 2**28], np.int32), 7, 50, 0, 255, out)
    assert out.tolist() == [0, 7, 157, 255]


@given(
    hnp.arrays("f4", (20,), elements=st.floats(-100, 100, width=32)),
    hnp.arrays("f4", (20,), elements=st.floats(-100, 100, width=32)),
    hnp.arrays(bool, (20,)),
    st.floats(0, 100),
)
def test_errors_and_misses(before, after, valid, bound):
    error = np.abs(after.astype("f8") - before)
    for mask, known in ((EVERYWHERE, np.ones(20, bool)), (valid, valid)):
        within = error[known & (error <= bound)].max(initial=0)
        missed = np.count_nonzero(error[known] > bound)
        assert rounding.errors(before, after, mask, bound) == (within, missed)
        varying = rounding.errors_varying(before, after, mask, np.full(20, bound))
        assert (varying[0], varying[2]) == (within, missed)
        assert varying[1] == (within / bound if within else 0)


def test_what_is_no_number_misses():
    before, after = np.array([1.0, 2.0, 3.0]), np.array([np.nan, 2.5, np.inf])
    assert rounding.errors(before, after, EVERYWHERE, 1.0) == (0.5, 2)
    assert rounding.errors_varying(before, after, EVERYWHERE, np.ones(3)) == (0.5, 0.5, 2)


def test_room_is_less_than_the_bound():
    values, out = np.array([100.0, -100.0]), np.empty(2)
    rounding.rooms(values, np.array([1.0, np.inf]), 2.0**-24, 1e-9, out)
    assert out[0] == pytest.approx(1 - 101 * 2.0**-24 - 1e-9, rel=1e-15)
    assert out[1] == math.inf


@given(st.floats(-1000, 1000), st.floats(0.01, 10), st.integers(0, 99))
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_a_lattice_is_found(kind, start, step, seed):
    k = np.random.default_rng(seed).integers(0, 400, 3000)
    values = (start + step * k).astype(kind)
    found = rounding.lattice(values, 2 * step)
    assert found is not None
    origin, spacing, off, levels = found
    assert spacing == pytest.approx(step, rel=1e-4)
    assert levels == k.max() - k.min()
    steps = np.rint((values.astype("f8") - origin) / spacing)
    assert (np.abs(values.astype("f8") - origin - steps * spacing) <= off * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("values", "room"),
    [
        (np.random.default_rng(0).normal(size=5000), 1.0),  # noise
        (np.arange(100.0), 1e3),  # a step much smaller than what may be lost
        (np.array([1.0, 2.0] * 50), 1.0),  # two values are no lattice
        (np.array([0.0, 1.0, np.finfo("f8").max]), 1.0),
        (np.cumsum(np.arange(50.0)) + 0.1 * np.sqrt(np.arange(50.0)), 0.5),
    ],
)
def test_no_lattice(values, room):
    assert rounding.lattice(values, room) is None
