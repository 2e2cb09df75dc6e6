"""Sizes and qualities become parameters in few encodings."""

import math

import numpy as np
import pytest

from frazil.jpeg2000 import decoding, rate
from frazil.jpeg2000.sample import Sample
from frazil.scaling import fit


def rough(shape=(2, 300, 400)):
    k, y, x = np.indices(shape)
    noise = np.random.default_rng(5).normal(size=shape)
    return (np.sin(y / 30 + k) * np.cos(x / 40) + 0.05 * noise).astype("f4")


def scale_of(planes, per="chunk"):
    return fit(planes, kind="minmax", per=per, clip=None)


def error_of(coded, planes):
    record = coded.scale.pack(planes.dtype)
    decoded = decoding.decode(coded.scale, record, coded.pack(record), planes.shape, planes.dtype)
    return math.sqrt(np.mean((decoded.astype("f8") - planes) ** 2)) / np.ptp(planes)


@pytest.mark.parametrize("ht", [False, True])
@pytest.mark.parametrize("budget", [3000, 20_000, 100_000])
def test_packets_fill_the_budget(budget, ht):
    planes = rough()
    coded = rate.encode(planes, scale_of(planes), ht=ht, budget=budget, psnr=None, valid=None)
    whole = len(coded.pack(coded.scale.pack(planes.dtype))) + len(coded.scale.pack(planes.dtype))
    assert 0.95 * budget <= whole <= 1.02 * budget


@pytest.mark.parametrize("ht", [False, True])
def test_more_bytes_less_error(ht):
    planes = rough()
    errors = [
        error_of(rate.encode(planes, scale_of(planes), ht=ht, budget=b, psnr=None, valid=None), planes)
        for b in (4000, 16_000, 64_000, 200_000)
    ]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("ht", [False, True])
def test_quality_counts_valid_points_alone(ht):
    planes = rough((1, 384, 384))
    planes[0, :, 192:] = 0  # smooth, as what was filled in
    valid = np.ones(planes.shape, bool)
    valid[0, :, 192:] = False
    coded = rate.encode(planes, scale_of(planes), ht=ht, budget=None, psnr=60.0, valid=lambda: valid)
    record = coded.scale.pack(planes.dtype)
    decoded = decoding.decode(coded.scale, record, coded.pack(record), planes.shape, planes.dtype)
    rmse = math.sqrt(np.mean((decoded[valid] - planes[valid]) ** 2, dtype="f8"))
    assert 20 * math.log10(np.ptp(planes) / rmse) == pytest.approx(60, abs=0.5)


def test_levels_follow_the_error_and_stay_powers_of_two():
    planes = rough()
    levels = [
        rate.encode(planes, scale_of(planes), ht=False, budget=b, psnr=None, valid=None).scale.levels
        for b in (3000, 20_000, 100_000)
    ]
    assert levels == sorted(levels)
    assert levels[0] < levels[-1]
    assert all(n & (n + 1) == 0 for n in levels)


def test_ranges_that_no_float_divides_are_left_to_others():
    planes = np.array([[[-1.7e308, 1.7e308]]])
    assert rate.encode(planes, scale_of(planes), ht=False, budget=100, psnr=None, valid=None) is None


@pytest.mark.parametrize("shape", [(1, 300, 400), (500, 19, 21), (3, 400, 400)])
@pytest.mark.parametrize("per", ["chunk", "plane"])
def test_a_sample_is_no_larger_than_it_must_be(shape, per):
    planes = rough(shape)
    sample = Sample.of(planes, scale_of(planes, per))
    assert sample.integers.ndim == 3
    assert len(sample.integers) <= 256
    assert 0 < sample.share <= 1.2
    assert sample.rmse(1 / 64) > sample.rmse(1 / 1024) > 0
