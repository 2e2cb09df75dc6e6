from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from frazil.entropy.bitmap import read_bitmaps, write_bitmaps

# bytes of a lossless JPEG XL of the same mask (imagecodecs 2026.3.6, the smallest of efforts 1 to 9)
JPEG_XL = {"sst": 5535, "pop_t": 1153, "pop_u": 1170, "orca2": 516, "levitus": 798}


def pack(mask: np.ndarray) -> np.ndarray:
    spare = -mask.shape[1] % 8
    return np.packbits(np.pad(mask, ((0, 0), (0, spare)), mode="edge"), axis=1)


def roundtrip(masks: list[np.ndarray]) -> int:
    bitmaps = [pack(mask) for mask in masks]
    stream = write_bitmaps(bitmaps, masks[0].shape[1])
    back = list(islice(read_bitmaps(stream, masks[0].shape), len(masks)))
    assert all(np.array_equal(a, b) for a, b in zip(back, bitmaps, strict=True))
    return len(stream)


@given(masks=array_shapes(min_dims=3, max_dims=3, max_side=40).flatmap(lambda shape: arrays(bool, shape)))
def test_what_is_read_is_what_was_written(masks):
    roundtrip(list(masks))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (8, 8), (17, 23), (64, 200)])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_any_density(shape, share):
    rng = np.random.default_rng(1)
    roundtrip([rng.random(shape) < share for _ in range(3)])


def test_noise_costs_hardly_more_than_its_bits():
    noise = np.random.default_rng(2).random((256, 256)) < 0.5
    assert roundtrip([noise]) < noise.size / 8 * 1.06


def test_a_checkerboard_that_changes_its_mind():
    # Long runs of one habit, then its opposite: carries and skewed probabilities.
    board = (np.indices((400, 400)).sum(0) % 2).astype(bool)
    board[200:] = ~board[200:]
    board[300:] = False
    roundtrip([board, ~board, board])


@pytest.mark.parametrize("name", sorted(JPEG_XL))
def test_no_larger_than_jpeg_xl(fields, name):
    field = fields(name)
    mask = np.isnan(field.reshape(-1, *field.shape[-2:])[0])
    assert roundtrip([mask]) <= JPEG_XL[name]


def test_nested_masks_help_each_other(fields):
    depths = list(np.isnan(fields("levitus")))
    assert roundtrip(depths) < 0.8 * sum(roundtrip([mask]) for mask in depths)


@given(stream=st.binary(max_size=200), shape=array_shapes(min_dims=2, max_dims=2, max_side=70))
def test_any_bytes_are_bitmaps(stream, shape):
    for bitmap in islice(read_bitmaps(stream, shape), 3):
        assert bitmap.shape == (shape[0], -(-shape[1] // 8))
