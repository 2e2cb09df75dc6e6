"""Bounded: the contract, and the one thing that it promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numcodecs.registry import get_codec

from frazil import JP2K, Bounded, container
from frazil.errors import ConfigurationError, TargetWarning
from frazil.guarantee import record as records
from frazil.sealing import unseal
from frazil.testing import CodecContract, bit_equal, bounds, field, float_arrays, int_arrays, roundtrip

BASES = [
    "auto",
    "interpolation",
    "wavelet",
    JP2K(psnr=40),
    JP2K(ratio=20, coder="ht"),
    get_codec({"id": "zlib"}),
]


class TestInterpolation(CodecContract):
    codec = Bounded(bound="rel:0.01", base="interpolation")
    tolerance = tiny_tolerance = 0.01


class TestWavelet(CodecContract):
    codec = Bounded(bound="rel:0.01", base="wavelet")
    tolerance = tiny_tolerance = 0.01


class TestBase(CodecContract):
    codec = Bounded(bound="rel:0.01", base=JP2K(psnr=40))
    tolerance = tiny_tolerance = 0.01


class TestMask(CodecContract):
    codec = Bounded(bound="rel:0.01", residual="mask", base=JP2K(ratio=20))
    tolerance = tiny_tolerance = 0.01


class TestGrid(CodecContract):
    codec = Bounded(bound=0.75, grid=True)
    tolerance = 0.75 / 60  # `field` spans 60 and more, but where it is tiny
    tiny_tolerance = 1e6


class TestLossless(CodecContract):
    codec = Bounded(bound=0)
    tolerance = tiny_tolerance = 0.0


def record(encoded: bytes) -> records.Guarantee:
    """What a chunk says of itself."""
    spec, sections = container.unpack(encoded)
    return records.unpack(unseal(sections["B"]), spec.dtype.newbyteorder("="))


def assert_bounded(x, y, bound):
    """Every point is within its bound, or the same bits."""
    assert (x.shape, x.dtype) == (y.shape, y.dtype)
    with np.errstate(all="ignore"):
        error = np.abs(y.astype("f8") - x.astype("f8"))
    assert np.all(bit_equal(x, y) | (error <= bound))


@pytest.mark.parametrize("base", BASES, ids=repr)
@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(x=st.one_of(float_arrays(("f2", "f4", "f8")), int_arrays()), bound=bounds())
def test_bound_holds(base, x, bound):
    """The promise."""
    assert_bounded(x, roundtrip(Bounded(base=base, bound=bound), x), bound)


POINTWISE = ["pw_rel:0.01", "local_std:window=5,fraction=0.5,floor=1e-3"]


@pytest.mark.parametrize("base", ["interpolation", "wavelet"])
@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(x=float_arrays(("f4", "f8")), data=st.data())
def test_bounds_of_each_point_hold(base, x, data):
    """An array of bounds, some of them 0 and some infinite."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    given_bounds = np.exp(rng.uniform(-9, 5, x.shape)) * rng.choice([0, 1, 1, 1, np.inf], x.shape)
    codec = Bounded(base=base, bound="array")
    assert_bounded(x, codec.decode(codec.encode_chunk(x, bounds=given_bounds)), given_bounds)


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    x=st.one_of(float_arrays(("f2", "f4", "f8")), int_arrays()),
    fraction=st.sampled_from([1e-6, 1e-3, 0.1, 1.0]),
)
def test_relative_bound_of_each_value_holds(x, fraction):
    with np.errstate(all="ignore"):
        allowed = fraction * np.abs(x.astype("f8"))
    assert_bounded(x, roundtrip(Bounded(bound=f"pw_rel:{fraction}"), x), allowed)


def test_record_tells_the_largest_error():
    x = field((3, 64, 80))
    for base in ("interpolation", "wavelet"):
        codec = Bounded(bound=0.05, base=base)
        encoded = codec.encode(x)
        worst = float(np.abs(codec.decode(encoded).astype("f8") - x).max())
        said = record(encoded)
        assert worst <= said.max_error <= worst * 1.01
        assert worst / 0.05 <= said.share <= worst / 0.05 + 0.005
        assert said.name == base


def test_bound_below_the_rounding_is_kept_exactly():
    x = field((1, 40, 50))
    encoded = Bounded(bound=1e-9).encode(x)
    assert record(encoded).name in {"exact", "stored"}
    assert bit_equal(x, Bounded(bound=1e-9).decode(encoded)).all()


def test_noise_is_never_larger_than_raw_and_64_bytes():
    rng = np.random.default_rng(0)
    for kind in ("f4", "f8", "i4", "u1", "f2"):
        x = rng.integers(0, 256, (17, 31 * np.dtype(kind).itemsize), "u1").view(kind)
        x = np.nan_to_num(x) if x.dtype.kind == "f" else x  # missing values would take what they take
        assert len(Bounded(bound=1e-30).encode(x)) <= x.nbytes + 64


def test_a_hundred_partial_rewrites_on_a_grid_change_nothing():
    rng = np.random.default_rng(1)
    x = (field((1, 40, 56)) - 120).astype("f4")
    for given_bounds in (None, rng.uniform(0.05, 2, x.shape)):
        codec = Bounded(bound=0.3 if given_bounds is None else "array", grid=True)
        extra = {} if given_bounds is None else {"bounds": given_bounds}
        once = codec.decode(codec.encode_chunk(x, **extra))
        assert_bounded(x, once, 0.3 if given_bounds is None else given_bounds)
        chunk = once.copy()
        for turn in range(100):
            part = (0, slice(turn % 37, turn % 37 + 3), slice(turn % 51, turn % 51 + 5))
            chunk[part] = x[part] if turn % 3 else rng.normal(0, 500, chunk[part].shape)
            expected = codec.decode(codec.encode_chunk(chunk, **extra))
            chunk[part] = x[part]
            assert bit_equal(codec.decode(codec.encode_chunk(expected, **extra)), expected).all()
            chunk = codec.decode(codec.encode_chunk(chunk, **extra))
            assert bit_equal(chunk, once).all(), turn


@pytest.mark.parametrize("base", ["interpolation", "wavelet", JP2K(psnr=30)], ids=repr)
def test_what_is_preserved(base):
    """Signs, zeros, range and means of a field with dry points."""
    rng = np.random.default_rng(2)
    x = np.where(field((2, 64, 72)) > 130, field((2, 64, 72)) - 140, 0).astype("f4") + 0.0
    codec = Bounded(bound=8.0, base=base, preserve=("sign", "zeros", "range", "mean"))
    y = roundtrip(codec, x)
    assert_bounded(x, y, 8.0)
    assert (np.sign(x) == np.sign(y)).all()
    assert x.min() <= y.min()
    assert y.max() <= x.max()
    assert (np.abs((y - x.astype("f8")).mean(axis=(1, 2))) <= 0.08).all()
    del rng


def test_a_ratio_is_met_with_less_error():
    x = field((1, 256, 256))
    plain = Bounded(bound=2.0).encode(x)
    better = Bounded(bound=2.0, ratio=25).encode(x)
    assert x.nbytes / len(better) >= 25
    assert len(plain) < len(better)
    error = [np.sqrt(((Bounded(bound=2.0).decode(e) - x) ** 2).mean()) for e in (plain, better)]
    assert error[1] < error[0] / 2


def test_an_rmse_is_met():
    x = field((1, 128, 128))
    codec = Bounded(bound=2.0, rmse=0.1)
    y = roundtrip(codec, x)
    assert np.sqrt(((y - x.astype("f8")) ** 2).mean()) <= 0.1
    assert_bounded(x, y, 2.0)


def test_a_ratio_out_of_reach_is_said():
    x = np.random.default_rng(3).normal(size=(64, 64)).astype("f4")
    with pytest.warns(TargetWarning, match="not enough for the bound"):
        y = roundtrip(Bounded(bound=1e-4, ratio=50), x)
    assert_bounded(x, y, 1e-4)


@pytest.mark.parametrize(
    ("settings_", "match"),
    [
        ({"bound": -1}, "0 or more"),
        ({"bound": float("nan")}, "0 or more"),
        ({"bound": "rel"}, "a bound is"),
        ({"bound": 1, "base": "zip"}, "base is one of"),
        ({"bound": 1, "base": 7}, "base is one of"),
        ({"bound": 1, "residual": "none"}, "residual is"),
        ({"bound": 1, "profile": "slow"}, "profile is"),
        ({"bound": 1, "preserve": ("sing",)}, "preserve lists"),
        ({"bound": 1, "ratio": 0.5}, "bytes in over bytes out"),
        ({"bound": 1, "rmse": 0}, "rmse is"),
        ({"bound": 1, "rmse": 1, "ratio": 2}, "one of ratio= and rmse="),
        ({"bound": "rel:0.1", "grid": True}, "fixed grid"),
        ({"bound": 1, "grid": True, "base": "wavelet"}, "fixed grid"),
    ],
)
def test_settings_that_make_no_codec(settings_, match):
    with pytest.raises(ConfigurationError, match=match):
        Bounded(**settings_)


def test_configuration_through_json():
    codec = Bounded(bound="rel:0.01", base=JP2K(psnr=40), preserve=["zeros", "mean"])
    again = get_codec(codec.get_config())
    assert again == codec
    assert hash(again) == hash(codec)
    assert again.preserve == ("mean", "zeros")


def test_signs_and_range_of_values_around_zero():
    """Clamping comes after the signs: what is clamped must not decide whose sign is stored."""
    rng = np.random.default_rng(5)
    x = np.abs(rng.normal(0, 0.3, (2, 60, 70))).astype("f4") + np.float32(0.01)
    x[0, :30] *= -0.2
    codec = Bounded(bound=0.5, base="interpolation", preserve=("sign", "range"))
    y = roundtrip(codec, x)
    assert_bounded(x, y, 0.5)
    assert (np.sign(x) == np.sign(y)).all()
    assert x.min() <= y.min()
    assert y.max() <= x.max()
