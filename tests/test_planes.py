"""Chunks of any rank become stacks of planes, and come back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.planes import from_planes, reduced, stack_shape, to_planes
from frazil.testing import bit_equal, float_arrays


@given(x=float_arrays(("f2", "f4", "f8")), fortran=st.booleans())
def test_there_and_back(x, fortran):
    planes = to_planes(x)
    assert planes.ndim == 3
    assert planes.dtype.isnative
    y = from_planes(planes, x.shape, x.dtype, fortran=fortran)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert bit_equal(x, y).all()
    assert y.flags.f_contiguous if fortran else y.flags.c_contiguous


@given(shape=st.lists(st.integers(1, 9), max_size=5).map(tuple))
def test_no_point_is_lost(shape):
    n, y, x = stack_shape(shape)
    assert n * y * x == math.prod(shape)
    assert (y, x)[-min(2, len(shape)) :] == shape[-2:] or not shape


@pytest.mark.parametrize(
    ("shape", "planes"),
    [
        ((), (1, 1, 1)),
        ((7,), (1, 1, 7)),
        ((4, 5), (1, 4, 5)),
        ((3, 4, 5), (3, 4, 5)),
        ((2, 3, 4, 5), (6, 4, 5)),
    ],
)
def test_stack_shape(shape, planes):
    assert stack_shape(shape) == planes


def test_plain_chunks_are_not_copied():
    x = np.zeros((2, 3, 4, 5), "f4")
    assert np.shares_memory(to_planes(x), x)


def test_views_and_fortran_order_keep_their_values():
    x = np.arange(120.0).reshape(4, 5, 6)
    for view in (x[::2], x[:, ::-1, 1:4], x.T, np.asfortranarray(x)):
        assert np.array_equal(to_planes(view), view)


@given(length=st.integers(1, 10_000), level=st.integers(0, 14))
def test_reduced_is_what_a_step_of_two_to_the_level_leaves(length, level):
    assert reduced(length, level) == len(range(0, length, 1 << level))
