"""A reader of codeword indices written from docs/format/indices.md alone reads what frazil writes."""

from __future__ import annotations

from functools import cache

import indices_reference as reference
import numpy as np
import pytest

from frazil.entropy import indices

CASES = [((1, 9, 11), 1024), ((4, 7, 6), 256), ((2, 3, 6, 5), 1000), ((3, 1, 8, 8), 40), ((5, 4, 4), 2)]


def smooth_maps(shape: tuple[int, ...], size: int) -> np.ndarray:
    """Return maps whose neighbours, heads and times are alike."""
    rng = np.random.default_rng(size)
    walk = rng.normal(size=shape)
    for axis in (-1, -2, -3):
        walk = walk.cumsum(axis)
    ranks = np.argsort(np.argsort(walk.ravel())).reshape(shape)
    noisy = ranks * size // ranks.size + rng.integers(-1, 2, shape)
    return noisy.clip(0, size - 1)


@cache
def trained(shape: tuple[int, ...], size: int) -> tuple[np.ndarray, indices.IndexStates]:
    maps = smooth_maps(shape, size)
    return maps, indices.learn([maps, maps[..., ::-1]], size, slots=9)


@pytest.mark.parametrize("mode", ["packed", "table", "mixing", "bzip2", "zstd"])
@pytest.mark.parametrize(("shape", "size"), CASES)
def test_maps(shape, size, mode):
    maps, states = trained(shape, size)
    tensors = states.to_tensors()
    data = indices.encode(maps, size, states, mode)
    assert (reference.decode(data, shape, size, tensors) == maps).all()
    if mode == "mixing":
        data = indices.encode(maps, size, mode=mode)
        assert (reference.decode(data, shape, size) == maps).all()


def test_states_without_features():
    maps = smooth_maps((3, 6, 6), 300)
    states = indices.learn([maps], 300, slots=8)
    tensors = {name: tensor for name, tensor in states.to_tensors().items() if name != "coder.features"}
    plain = indices.IndexStates.from_tensors(tensors, 3, 300)
    data = indices.encode(maps, 300, plain, "mixing")
    assert (reference.decode(data, maps.shape, 300, tensors) == maps).all()


def test_large_codebook():
    maps = smooth_maps((1, 4, 5), 65536)
    data = indices.encode(maps, 65536, mode="mixing")
    assert (reference.decode(data, maps.shape, 65536) == maps).all()
