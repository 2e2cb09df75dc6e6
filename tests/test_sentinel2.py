"""Bands of Sentinel-2: native grids, counts, clouds, errors and seams."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil import sentinel2 as s2
from frazil.errors import ChunkMismatchError, ConfigurationError, UnsupportedArrayError

RNG = np.random.default_rng(7)


def cube(*leading, y=12, x=18, dtype="u2"):
    return RNG.integers(1, 9000, (*leading, 12, y, x)).astype(dtype)


def test_every_band_has_one_resolution():
    assert len(s2.BANDS) == len(s2.RESOLUTIONS) == 12
    assert sorted(k for m in (10, 20, 60) for k in s2.bands_at(m)) == list(range(12))
    assert [s2.BANDS[k] for k in s2.bands_at(60)] == ["B01", "B09"]
    with pytest.raises(ConfigurationError, match="got 30"):
        s2.bands_at(30)


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.integers(1, 3), max_size=2))
def test_true_values_count_what_to_native_returns(rows, columns, leading):
    shape = (*leading, 12, 6 * rows, 6 * columns)
    assert s2.true_values(shape) == sum(v.size for v in s2.to_native(np.zeros(shape, "u2")).values())


def test_true_values_of_odd_sides_are_rounded_up():
    assert s2.true_values((12, 1, 7)) == 4 * 7 + 6 * 4 + 2 * 2


def test_means_are_means():
    x = cube(2)
    native = s2.to_native(x)
    assert native[10].dtype == x.dtype
    assert np.array_equal(native[10], x[:, [1, 2, 3, 7]])
    assert native[20][1, 0, 2, 3] == x[1, 4, 4:6, 6:8].mean()
    assert native[60][0, 1, 1, 2] == pytest.approx(x[0, 9, 6:12, 12:18].mean())
    assert s2.to_native(x.astype("f8"))[60].dtype == np.float64


@pytest.mark.parametrize("dtype", ["u2", "f4", "f8"])
def test_repeating_is_undone_by_means(dtype):
    native = s2.to_native(cube(3, dtype=dtype))
    again = s2.to_native(s2.from_native(native, method="nearest"))
    for metres, planes in native.items():
        assert np.allclose(again[metres], planes, rtol=1e-6)


def test_linear_keeps_slopes_and_the_range():
    ramp = np.broadcast_to(np.arange(36.0), (12, 36, 36))
    back = s2.from_native(s2.to_native(ramp))
    assert np.allclose(back[:, :, 3:-3], ramp[:, :, 3:-3])
    assert back.min() >= 0
    assert back.max() <= 35


def test_linear_is_closer_than_nearest_on_interpolated_bands():
    smooth = np.sin(np.arange(48) / 9)[:, None] * np.cos(np.arange(48) / 7) * np.ones((12, 1, 1))
    inside = (slice(None), slice(6, -6), slice(6, -6))  # linear is flat at the rim
    errors = {
        method: abs(s2.from_native(s2.to_native(smooth), method=method) - smooth)[inside].max()
        for method in ("linear", "nearest")
    }
    assert errors["linear"] < errors["nearest"] / 2


def test_integers_are_rounded_and_stay_in_range():
    native = s2.to_native(cube(dtype="f4"))
    native[20] = native[20] + 70_000
    back = s2.from_native(native, dtype="u2")
    assert back.dtype == np.uint16
    assert back[4].min() == 65535
    assert np.array_equal(back[1], np.rint(native[10][0]))


def test_a_cell_with_a_missing_point_is_missing():
    x = cube(dtype="f4")
    x[0, 0, 0] = np.nan
    assert np.isnan(s2.to_native(x)[60][0]).sum() == 1


@pytest.mark.parametrize("shape", [(12, 6), (11, 6, 6), (12, 7, 6), (12, 6, 8), (12, 0, 6)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(UnsupportedArrayError):
        s2.to_native(np.zeros(shape))


def test_parts_that_do_not_belong_together_are_refused():
    native = s2.to_native(cube())
    with pytest.raises(UnsupportedArrayError, match="bands at 20 m have shape"):
        s2.from_native(native | {20: native[20][..., 1:]})
    with pytest.raises(UnsupportedArrayError):
        s2.from_native(native | {10: np.zeros(3)})
    with pytest.raises(ConfigurationError, match="'cubic'"):
        s2.from_native(native, method="cubic")


# Reflectance in per cent, B01 to B12, of what the tests should tell apart.
GROUND = {
    "forest": (2, 2, 4, 2, 6, 22, 28, 30, 31, 31, 14, 7),
    "water": (3, 3, 3, 2, 2, 1, 1, 1, 1, 1, 0.5, 0.3),
    "sand": (12, 15, 22, 30, 33, 35, 36, 37, 38, 38, 45, 40),
    "field": (4, 6, 9, 12, 15, 18, 20, 22, 23, 24, 30, 22),
}
CLOUDS = {
    "thick": (52, 54, 53, 57, 59, 58, 57, 60, 57, 58, 30, 20),
    "ice": (52, 54, 53, 57, 59, 58, 57, 60, 57, 58, 8, 8),
    "broken": (20, 21, 21, 22, 23, 25, 26, 27, 27, 27, 20, 15),
}


@pytest.mark.parametrize("dtype", ["u2", "f4"])
@pytest.mark.parametrize("scale", [100, 10_000])
def test_clouds_are_told_from_ground(dtype, scale):
    table = np.array([*GROUND.values(), *CLOUDS.values()]).T[:, :, None] / 100 * scale
    free = s2.cloud_free(table.astype(dtype), scale=scale)
    assert free.tolist() == [[True]] * len(GROUND) + [[False]] * len(CLOUDS)


def test_missing_points_are_not_free():
    x = np.full((2, 12, 1, 2), 300.0)
    x[0, :, 0, 0] = 0
    x[1, 5, 0, 1] = np.nan
    assert s2.cloud_free(x).tolist() == [[[False, True]], [[True, False]]]


def test_errors_are_over_valid_points():
    x = cube(2, dtype="f8")
    y = x.copy()
    y[1, 3] += 5
    y[0, 6] += 1e6
    valid = np.zeros((2, 12, 18), bool)
    valid[1] = True
    found = s2.errors(x, y, valid)
    assert found.points == 12 * 18
    assert found.rmse[3] == pytest.approx(5)
    assert found.nrmse[3] == pytest.approx(5 / x[1, 3].std())
    assert np.count_nonzero(found.rmse) == 1
    assert "B04" in str(found)


def test_errors_of_unsigned_integers_do_not_wrap():
    x = np.full((12, 1, 1), 5, "u2")
    assert s2.errors(x, x - 3, spread=np.ones(12)).rmse[0] == 3


def test_errors_without_spread_or_points():
    x = np.ones((12, 2, 2))
    assert s2.errors(x, x).nrmse.max() == 0
    assert s2.errors(x, x + 1).nrmse.min() == math.inf
    none = s2.errors(x, x, np.zeros((2, 2), bool))
    assert none.points == 0
    assert np.isnan(none.rmse).all()
    x[0, 0, 0] = np.nan
    assert s2.errors(x, x).points == 3


def test_errors_want_the_same_shapes():
    with pytest.raises(ChunkMismatchError):
        s2.errors(cube(), cube(1))
    with pytest.raises(ChunkMismatchError, match="valid has shape"):
        s2.errors(cube(), cube(), np.ones((2, 2), bool))


def test_seams_are_found_at_their_distance_only():
    x = RNG.normal(size=(3, 64, 64)).cumsum(-1).cumsum(-2)
    steps = np.arange(64) // 16
    seamed = x + 40 * (steps[:, None] + steps)
    assert s2.blockiness(seamed, x, 16) > 1.5
    assert s2.blockiness(seamed, x, 7) < 1
    assert s2.blockiness(0.5 * x, x, 16) == pytest.approx(1)


def test_seams_of_flat_planes():
    flat = np.zeros((16, 16))
    blocks = flat + np.arange(16) // 8
    assert s2.blockiness(flat, flat, 8) == 1
    assert s2.blockiness(blocks, flat, 8) == math.inf
    assert s2.blockiness(blocks, blocks, 8) == 1


def test_missing_values_make_no_seams():
    x = RNG.normal(size=(32, 32))
    x[8:12] = np.nan
    assert s2.blockiness(x, x, 8) == 1


@pytest.mark.parametrize("factor", [0, 1, 32])
def test_seams_want_a_distance_that_divides(factor):
    with pytest.raises(ConfigurationError):
        s2.blockiness(np.zeros((32, 32)), np.zeros((32, 32)), factor)
    with pytest.raises(ChunkMismatchError):
        s2.blockiness(np.zeros((32, 32)), np.zeros((32, 31)), 8)
