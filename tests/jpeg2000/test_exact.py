"""Integers that stand for values one to one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil import lattice
from frazil.jpeg2000 import decoding, exact
from frazil.keys import keys, unkeys
from frazil.scaling import Exact, OnLattice

DTYPES = ["f2", "f4", "f8", "i2", "u2", "i4", "u1"]


def decoded(coded, planes):
    record = coded.scale.pack(planes.dtype)
    return decoding.decode(coded.scale, record, coded.pack(record), planes.shape, planes.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_keys_keep_the_order_and_come_back(dtype, data):
    values = data.draw(hnp.arrays(dtype, 20))
    numbers = keys(values)
    assert unkeys(numbers, values.dtype).tobytes() == values.tobytes()
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    order = np.argsort(keys(finite), kind="stable")
    assert (np.diff(finite[order].astype("f8")) >= 0).all()


@pytest.mark.parametrize("ht", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_noise_over_the_whole_type_comes_back(dtype, ht):
    bits = np.random.default_rng(1).integers(0, 256, (2, 20, 24 * np.dtype(dtype).itemsize), "u1")
    planes = bits.view(dtype)
    if planes.dtype.kind == "f":
        planes = np.where(np.isfinite(planes), planes, planes.dtype.type(1))
    assert decoded(exact.encode(planes, ht=ht), planes).tobytes() == planes.tobytes()


def test_wide_numbers_become_limbs_and_narrow_ones_do_not():
    wide = np.array([[[0, 2**31 - 1], [-(2**31), 5]]], "i4")
    narrow = np.array([[[1000, 1001], [1002, 1003]]], "i4")
    assert exact.encode(wide, ht=False).scale.limbs == 2
    assert exact.encode(narrow, ht=False).scale == Exact(0, 1, 1000 + 2**31, 3)


def test_trailing_zeros_are_dropped():
    planes = (np.arange(600, dtype="i4").reshape(1, 20, 30) ** 2) * 256
    assert exact.encode(planes, ht=False).scale.shift == 8


@pytest.mark.parametrize("ht", [False, True])
def test_packed_floats_are_coded_by_their_levels(ht):
    levels = np.random.default_rng(2).integers(0, 4000, (1, 50, 60))
    planes = (273.15 + 0.01 * levels).astype("f4")
    coded = exact.encode(planes, ht=ht)
    assert isinstance(coded.scale, OnLattice)
    assert decoded(coded, planes).tobytes() == planes.tobytes()


def test_gaps_need_not_lie_on_the_lattice():
    planes = (0.5 * np.arange(3000)).reshape(1, 50, 60).astype("f4")
    valid = np.ones(planes.shape, bool)
    planes[0, 10:20, 10:20], valid[0, 10:20, 10:20] = np.pi, False
    coded = exact.encode(planes, ht=False, valid=lambda: valid)
    assert isinstance(coded.scale, OnLattice)
    assert (decoded(coded, planes) == planes)[valid].all()


@given(
    origin=st.floats(-1000, 1000, width=32),
    step=st.floats(2**-10, 10, width=32),
    levels=hnp.arrays("u2", st.integers(2, 60)),
)
def test_a_lattice_that_is_found_gives_every_bit(origin, step, levels):
    values = (np.float64(origin) + np.float64(step) * levels).astype("f4")
    found = lattice.find(values)
    if found is not None:
        line, where = found
        assert line.values(values.dtype)[where].tobytes() == values.tobytes()
        again = lattice.unpack(line.pack())
        assert (again.values(values.dtype) == line.values(values.dtype)).all()


def test_noise_lies_on_no_lattice():
    assert lattice.find(np.random.default_rng(3).normal(size=5000).astype("f4")) is None


def test_two_zeros_are_two_values():
    values = np.array([0.0, -0.0, 1.0, 2.0, 3.0], "f4")
    assert lattice.find(values) is None
