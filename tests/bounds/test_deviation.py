import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from frazil.bounds import parse
from frazil.bounds.deviation import local_deviation


def straightforward(plane, valid, window):
    half = window // 2
    holes = np.pad(np.where(valid, plane, np.nan).astype("f8"), half, constant_values=np.nan)
    boxes = sliding_window_view(holes, (window, window)).reshape(*plane.shape, -1)
    out = np.zeros(plane.shape)
    for place in np.ndindex(plane.shape):
        box = boxes[place]
        box = box[~np.isnan(box)]
        out[place] = box.std() if box.size else 0
    return out


@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.sampled_from([3, 5, 9, 31]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_is_the_standard_deviation_of_the_box_and_never_more(shape, window, gaps, seed):
    rng = np.random.default_rng(seed)
    plane = rng.normal(300, rng.choice([1e-3, 1, 1e3]), shape).astype("f4")
    valid = rng.random(shape) > 0.3 if gaps else np.ones(shape, bool)
    low, high = (float(plane[valid].min()), float(plane[valid].max())) if valid.any() else (0.0, 0.0)
    got = local_deviation(plane[None], valid[None] if gaps else None, window, low, high)[0]
    expected = straightforward(plane, valid, window)
    assert (got <= expected + 1e-12 * max(abs(high), abs(low))).all()
    assert (got >= expected - (high - low) * 2.0**-22).all()


def test_planes_do_not_touch_each_other():
    planes = np.random.default_rng(0).normal(size=(3, 20, 20)).astype("f4")
    ends = float(planes.min()), float(planes.max())
    together = local_deviation(planes, None, 5, *ends)
    for k in range(3):
        np.testing.assert_array_equal(together[k], local_deviation(planes[k : k + 1], None, 5, *ends)[0])


def test_what_is_missing_does_not_count():
    planes = np.random.default_rng(0).normal(size=(1, 30, 30)).astype("f4")
    valid = np.random.default_rng(1).random(planes.shape) > 0.5
    bound = parse("local_std:window=7,fraction=0.5,floor=1e-3")
    expected = bound.resolve(planes, valid)
    other = np.where(valid, planes, np.float32(1e30))
    np.testing.assert_array_equal(bound.resolve(other, valid)[valid], expected[valid])


def test_flat_is_zero_wherever_it_lies():
    plane = np.full((1, 40, 40), 273.15, np.float32)
    plane[0, 0, 0] = 1e6
    got = local_deviation(plane, None, 3, 273.15, 1e6)
    assert (got[0, 2:] == 0).all()
    assert got[0, 0, 0] == pytest.approx(np.std([1e6, 273.15, 273.15, 273.15]), rel=1e-6)


def test_the_floor_holds():
    x = np.linspace(0, 1, 64)
    plane = np.where(x > 0.5, 10.0, 0.0) * np.ones((1, 64, 1))
    bound = parse("local_std:window=3,fraction=0.1,floor=0.01").resolve(plane)
    assert bound.min() == pytest.approx(0.1)
    assert bound.max() == pytest.approx(0.1 * 10 * np.sqrt(2) / 3, rel=1e-5)


@pytest.mark.parametrize("window", [3, 101, 1023])
def test_squares_of_wide_windows_do_not_overflow(window):
    plane = np.zeros((1, 90, 1100), np.float32)
    plane[..., ::2] = 1
    got = local_deviation(plane, None, window, 0.0, 1.0)
    assert got[0, 45, 550] == pytest.approx(0.5, rel=0.1 if window == 3 else 1e-4)


def test_views_and_other_types():
    base = np.random.default_rng(2).integers(0, 200, (2, 40, 44)).astype("u1")
    view = base[:, ::2, ::2]
    expected = local_deviation(np.ascontiguousarray(view).astype("f4"), None, 5, 0.0, 200.0)
    np.testing.assert_array_equal(local_deviation(view, None, 5, 0.0, 200.0), expected)
