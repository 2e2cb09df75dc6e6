from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.levels import from_levels, to_levels


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_levels_and_back(dtype):
    plane = np.random.default_rng(0).uniform(-5, 7, (30, 40)).astype(dtype)
    low, high, top = float(plane.min()), float(plane.max()), 4095
    step = (high - low) / top
    levels = np.empty(plane.shape, "i4")
    to_levels(plane, low, 1 / step, top, 0, levels)
    assert (levels == np.floor((plane.astype("f8") - low) * (1 / step) + 0.5)).all()
    out = np.empty_like(plane)
    from_levels(levels, low, step, top, 0, out)
    assert (out == (low + levels * step).astype(dtype)).all()
    assert abs(out.astype("f8") - plane).max() <= step / 2 * (1 + 1e-6) + np.finfo(dtype).eps * 7


@pytest.mark.parametrize("kind", ["u2", "i4"])
def test_levels_are_clipped_and_offset(kind):
    plane = np.array([[-10.0, 0.0, 0.5, 1.0, 99.0]])
    levels = np.empty(plane.shape, kind)
    to_levels(plane, 0.0, 100.0, 100, 4096, levels)
    assert levels.tolist() == [[4096, 4096, 4146, 4196, 4196]]
    back = np.empty(plane.shape)
    from_levels(np.array([[0, 4096, 4146, 4196, 65535]], kind), 0.0, 0.01, 100, 4096, back)
    assert back.tolist() == [[0.0, 0.0, 0.5, 1.0, 1.0]]


@given(st.integers(1, 1 << 25), st.integers(0, 1 << 25))
def test_every_level_comes_back(top, level):
    level = min(level, top)
    low, step = -3.0, 10.0 / top
    value, again = np.empty((1, 1)), np.empty((1, 1), "i4")
    from_levels(np.array([[level]], "i4"), low, step, top, 0, value)
    to_levels(value, low, 1 / step, top, 0, again)
    assert again[0, 0] == level
