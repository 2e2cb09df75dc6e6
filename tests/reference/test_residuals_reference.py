"""A reader written from docs/format/residuals.md alone reads what frazil writes, bit for bit."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import residuals_reference as reference
from numcodecs import Quantize, Zlib

from frazil import JP2K, cells
from frazil.entropy.coder import PAD
from frazil.residuals import context
from frazil.residuals import mask as masks
from frazil.residuals.codes import encode_codes


def field(shape=(2, 24, 30), dtype="f4", rough=0.02):
    p, i, j = np.indices(shape)
    noise = np.random.default_rng(1).normal(size=shape)
    return (280 + 20 * np.sin(i / 9 + p / 5) * np.cos(j / 7) + rough * noise).astype(dtype)


def some_codes(shape, size, seed=0):
    rng = np.random.default_rng(seed)
    q = rng.geometric(1 / size, shape) - 1
    q = np.where(rng.random(shape) < 0.5, q, -q)
    q[:, :5] = 0
    return q.astype(np.int32)


VALID = np.random.default_rng(9).random((2, 24, 30)) < 0.7


@pytest.mark.parametrize("profile", ["best", "fast"])
@pytest.mark.parametrize("valid", [None, VALID], ids=["all", "masked"])
@pytest.mark.parametrize("size", [1.02, 3, 400])
def test_codes(profile, valid, size):
    q = some_codes((2, 24, 30), size)
    data = encode_codes(q, valid, profile=profile)
    expected = q if valid is None else np.where(valid, q, 0)
    assert (reference.codes(data, q.shape, valid) == expected).all()


def test_codes_with_weights_and_the_plane_before():
    q = some_codes((2, 40, 50), 6)
    q[1] = np.sign(q[1]) * abs(q[0])
    data = encode_codes(q)
    assert data[0] & 0xE0 == 0xA0
    assert (reference.codes(data, q.shape) == q).all()


def test_codes_as_distances():
    q = np.cumsum(some_codes((2, 24, 30), 1.5), axis=2).astype(np.int32) + 700
    data = encode_codes(q)
    assert data[0] & 0x40
    assert (reference.codes(data, q.shape) == q).all()
    assert not reference.codes(encode_codes(0 * q), q.shape).any()


def test_codes_with_hints():
    q = some_codes((2, 24, 30), 3)
    hints = [abs(some_codes(q.shape, size, 1)) for size in (3, 9, 40)]
    padded = [np.pad(hint, ((0, 0), (PAD, PAD), (PAD, PAD))) for hint in hints]
    assert (reference.codes(encode_codes(q, hints=padded), q.shape, hints=hints) == q).all()


def compare(x, base, *, bound=0.2, valid=None, rerun=None, profile="best"):
    """Encode over a base; return the first byte of the payload."""
    fitted = cells.fit(x, bound)
    payload, numbers = context.encode(x, fitted, base, valid, profile=profile)
    widths = fitted.widths.expand(x.shape)
    line = fitted.scale.origin, fitted.scale.unit

    def again(data, level):
        return reference.numbers_on_line(rerun(data, x.shape, x.dtype, level), *line)

    assert np.array_equal(reference.context(payload, x.shape, widths, valid, rerun=again), numbers)
    for level in (1, 2, 6):
        ours = context.decode(payload, x.shape, x.dtype, fitted, base, valid, level)
        assert np.array_equal(reference.context(payload, x.shape, widths, valid, level, rerun=again), ours)
    return payload[0]


BASES = {
    "searched": JP2K(),
    "psnr": JP2K(psnr=40),
    "coarse": JP2K(psnr=25, per="plane"),
    "ratio": JP2K(ratio=20),
    "ht": JP2K(coder="ht"),
    "ht at a psnr": JP2K(psnr=40, coder="ht", per="plane"),
}


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
@pytest.mark.parametrize("bound", [1.0, 0.05])
def test_indices_of_jpeg_2000(base, bound):
    assert compare(field(), base, bound=bound) & 15 == 2


def test_indices_where_bounds_vary_and_points_are_missing():
    x = field()
    bound = np.repeat(np.geomspace(0.02, 2, 30)[None, None], 24, 1) * np.ones(x.shape)
    assert compare(x, JP2K(psnr=40), bound=bound, valid=VALID, profile="fast") & 15 == 2


@pytest.mark.parametrize("shape", [(1, 37, 65), (1, 1, 50), (1, 2, 3), (1, 70, 2)])
def test_indices_of_odd_shapes(shape):
    assert compare(field(shape, rough=3), JP2K(psnr=30), bound=0.5) & 15 == 2


def test_indices_of_groups():
    assert compare(field((35, 16, 16), rough=3), JP2K(psnr=30, coder="ht"), bound=1.0) & 15 == 2


def inflated(data, shape, dtype, level):
    return np.frombuffer(zlib.decompress(data), dtype).reshape(shape)[:, :: 1 << level, :: 1 << level]


def as_they_are(data, shape, dtype, level):
    return np.frombuffer(data, dtype).reshape(shape)[:, :: 1 << level, :: 1 << level]


def jpeg_2000(data, shape, dtype, level):
    found = reference.sections(data)
    return reference.jp2k.packets(found["S"], found["J"], shape, dtype, level)


def test_bytes_of_a_codec():
    assert compare(field(), Zlib(), rerun=inflated) == 1
    assert compare(field(), Quantize(digits=0, dtype="f4"), rerun=as_they_are) & 15 == 1
    assert compare(field(), JP2K(reversible=True), rerun=jpeg_2000) & 15 == 1
    whole = np.rint(field(rough=3)).astype("i2")
    assert compare(whole, Zlib(), bound=2.0, rerun=inflated) == 1


def test_one_number():
    x = field()
    assert compare(x, JP2K(), bound=30.0) & 15 == 0
    fitted = cells.fit(x, 30.0)
    payload, numbers = context.encode(x, fitted, JP2K(), VALID)
    assert np.array_equal(reference.context(payload, x.shape, fitted.widths.base, VALID), numbers)


def test_on_a_grid():
    """Cells counted from 0, at the base that a writer could choose."""
    base = np.rint(field()[:1] * 7).astype(np.int64)
    k = some_codes(base.shape, 2)
    d = np.full(base.shape, 16)
    found = reference.close(base, k, d, [0] * 12, None, True)
    assert (found % 16 == 0).all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2"])
@pytest.mark.parametrize("bound", [0.01, 0.6, "varying"])
def test_mask(dtype, bound):
    x = field(rough=0.2, dtype=dtype)
    limit = np.geomspace(0.1, 2, x.size).reshape(x.shape) + 1 if bound == "varying" else bound
    if dtype == "i2":
        limit = np.ceil(limit)
    payload = masks.encode(x, limit, ratio=40)
    for level in (0, 1, 2, 6):
        ours = masks.decode(payload, x.shape, x.dtype, level)
        assert np.array_equal(reference.mask(payload, x.shape, x.dtype, level), ours)
    flat = masks.encode(np.full_like(x, 7), 0.5)
    assert (reference.mask(flat, x.shape, x.dtype) == 7).all()
