from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.entropy import index_states, indices
from frazil.entropy.index_states import bits_of
from frazil.errors import ConfigurationError, FormatError, FrazilError, TruncatedError, UnsupportedArrayError

SIZES = [1, 2, 3, 40, 256, 1000, 1024, 65536]
MODES = ["auto", *indices.MODES]


@st.composite
def maps_of_indices(draw):
    """Maps of any shape, of noise or of patches, and their codebook's size."""
    size = draw(st.sampled_from(SIZES))
    shape = (draw(st.integers(1, 4)), draw(st.integers(0, 9)), draw(st.integers(0, 9)))
    if draw(st.booleans()):
        shape = (draw(st.integers(0, 3)), *shape)
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    maps = rng.integers(0, draw(st.sampled_from([size, max(size // 50, 1)])), shape)
    if maps.size and draw(st.booleans()):
        maps[..., ::2] = maps[..., :1]
    return maps.astype(draw(st.sampled_from(["i4", "u2", "i8"]))), size


def smooth(shape: tuple[int, ...], size: int, seed: int = 0) -> np.ndarray:
    """Return maps in which neighbours are alike."""
    walk = np.random.default_rng(seed).normal(size=shape)
    for axis in (-1, -2):
        walk = walk.cumsum(axis)
    walk -= walk.min(initial=0)
    return (walk * ((size - 1) / max(walk.max(initial=0), 1e-9))).astype(np.int32)


def entropy(maps: np.ndarray) -> float:
    """Return bits per index of each head's distribution."""
    bits = []
    for head in np.moveaxis(maps, -3, 0):
        p = np.unique(head, return_counts=True)[1] / head.size
        bits.append(-(p * np.log2(p)).sum())
    return float(np.mean(bits))


TRAINED = {
    (heads, size): indices.learn([smooth((heads, 40, 40), size, seed) for seed in range(3)], size)
    for heads, size in [(1, 1024), (4, 256), (2, 3), (1, 1)]
}


@given(maps_of_indices(), st.sampled_from(MODES))
def test_cold_maps_come_back(drawn, mode):
    maps, size = drawn
    if mode == "table":
        mode = "auto"
    data = indices.encode(maps, size, mode=mode)
    found = indices.decode(data, maps.shape, size)
    assert found.dtype == np.int32
    assert found.shape == maps.shape
    assert (found == maps).all()
    if mode == "auto":
        assert len(data) <= 1 + math.ceil(maps.size * bits_of(size) / 8)


@pytest.mark.parametrize(("heads", "size"), TRAINED)
@given(data=st.data())
def test_warm_maps_come_back(heads, size, data):
    n, y, x = (data.draw(st.integers(0, most)) for most in (3, 9, 9))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    maps = rng.integers(0, size, (n, heads, y, x))
    if data.draw(st.booleans()) and maps.size:
        maps = smooth(maps.shape, size)
    states = TRAINED[heads, size]
    mode = data.draw(st.sampled_from(MODES))
    coded = indices.encode(maps, size, states, mode)
    assert (indices.decode(coded, maps.shape, size, states) == maps).all()
    if mode == "auto":
        assert len(coded) <= 1 + math.ceil(maps.size * bits_of(size) / 8)


@pytest.mark.parametrize(("heads", "size"), TRAINED)
@given(data=st.data())
def test_any_bytes_give_indices_or_an_error(heads, size, data):
    mode = data.draw(st.integers(0, 6))
    rest = data.draw(st.binary(max_size=120))
    shape = (heads, data.draw(st.integers(0, 6)), data.draw(st.integers(0, 12)))
    try:
        found = indices.decode(bytes([mode]) + rest, shape, size, TRAINED[heads, size])
    except FrazilError:
        return
    assert found.shape == shape
    assert found.size == 0 or 0 <= found.min() <= found.max() < size


@pytest.mark.parametrize("mode", indices.MODES)
@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(0, 255))
def test_damaged_streams(mode, where, flip):
    states = TRAINED[4, 256]
    maps = smooth((4, 20, 30), 256, 9)
    data = bytearray(indices.encode(maps, 256, states, mode))
    data[int(where * len(data))] ^= flip
    for damaged in (data, data[: int(where * len(data))]):
        try:
            found = indices.decode(bytes(damaged), maps.shape, 256, states)
        except FrazilError:
            continue
        assert found.shape == maps.shape
        assert 0 <= found.min() <= found.max() < 256


@pytest.mark.parametrize("mode", indices.MODES)
def test_half_a_stream_is_an_error(mode):
    states = TRAINED[1, 1024]
    maps = np.random.default_rng(0).integers(0, 1024, (1, 40, 40))
    data = indices.encode(maps, 1024, states, mode)
    with pytest.raises(FormatError):
        indices.decode(data[: len(data) // 2], maps.shape, 1024, states)


def test_a_few_bytes_cost_no_time():
    with pytest.raises(TruncatedError, match="too early"):
        indices.decode(b"\2abc", (1, 30_000, 1000), 65536)
    with pytest.raises(TruncatedError, match="too early"):
        indices.decode(b"\1abc", (1, 30_000, 1000), 1024, TRAINED[1, 1024])


def test_neighbours_are_made_use_of():
    for heads, size in [(1, 1024), (4, 256)]:
        maps = smooth((heads, 66, 66), size, 5)
        cold = len(indices.encode(maps, size))
        warm = len(indices.encode(maps, size, TRAINED[heads, size]))
        assert warm < cold < 0.8 * entropy(maps) * maps.size / 8


def test_maps_of_a_batch_learn_from_each_other():
    one = smooth((1, 1, 40, 40), 500, 3)
    change = np.random.default_rng(0).random((8, 1, 40, 40)) < 0.03
    maps = np.where(change, 7, one)
    apart = sum(len(indices.encode(part, 500)) for part in maps)
    assert len(indices.encode(maps, 500)) < apart / 3


def test_independent_draws_cost_their_entropy():
    rng = np.random.default_rng(4)
    p = 1 / np.arange(1, 257) ** 0.9
    p /= p.sum()
    states = indices.learn([rng.choice(256, (1, 200, 200), p=p)], 256)
    for count in (400, 20_000):
        maps = rng.choice(256, (1, count // 20, 20), p=p)
        ideal = -np.log2(p[maps]).sum() / 8
        for mode in ("table", "auto"):
            assert len(indices.encode(maps, 256, states, mode)) < ideal + 0.1 * maps.size / 8


def test_maps_unlike_the_training_do_no_harm():
    maps = smooth((1, 60, 60), 300, 7)
    warm = len(indices.encode(1023 - maps, 1024, TRAINED[1, 1024]))
    assert warm <= len(indices.encode(1023 - maps, 1024)) * 1.1


@pytest.mark.parametrize(("heads", "size"), TRAINED)
def test_states_survive_their_tensors(heads, size):
    states = TRAINED[heads, size]
    tensors = states.to_tensors()
    assert all(name.startswith("coder.") and tensor.dtype.kind in "iu" for name, tensor in tensors.items())
    again = indices.IndexStates.from_tensors(tensors, heads, size)
    maps = smooth((heads, 12, 12), size, 11)
    assert indices.encode(maps, size, again) == indices.encode(maps, size, states)
    assert sum(tensor.nbytes for tensor in tensors.values()) <= (250_000 if heads == 1 else 400_000)


def test_damaged_tensors():
    tensors = TRAINED[4, 256].to_tensors()
    for name in ("slots", "weights", "cells", "frequencies"):
        with pytest.raises(FormatError, match=name):
            indices.IndexStates.from_tensors(
                {k: v for k, v in tensors.items() if k != f"coder.{name}"}, 4, 256
            )
    for name, tensor in tensors.items():
        for wrong in (tensor[:-1], tensor[..., :-1], tensor.astype(np.int64), tensor.ravel()):
            with pytest.raises(FormatError, match="coder"):
                indices.IndexStates.from_tensors({**tensors, name: wrong}, 4, 256)
    for name, value in (("coder.frequencies", 0), ("coder.frequencies", 65535), ("coder.features", 128)):
        wrong = tensors[name].copy()
        wrong[:] = value
        with pytest.raises(FormatError, match=name[6:13]):
            indices.IndexStates.from_tensors({**tensors, name: wrong}, 4, 256)
    with pytest.raises(FormatError, match="entries"):
        indices.IndexStates.from_tensors(tensors, 4, 65537)


def test_settings_that_contradict():
    maps = smooth((1, 5, 5), 30)
    for wrong in (maps - 1, maps.astype("f4"), maps[0]):
        with pytest.raises(UnsupportedArrayError):
            indices.encode(wrong, 30)
    for keys in (
        {"size": 0},
        {"size": 65537},
        {"mode": "lzma"},
        {"mode": "table"},
        {"states": TRAINED[1, 1024]},
    ):
        with pytest.raises(ConfigurationError):
            indices.encode(maps, **{"size": 30, **keys})
    with pytest.raises(FormatError, match="states"):
        indices.decode(indices.encode(maps, 1024, TRAINED[1, 1024], "mixing"), maps.shape, 1024)
    with pytest.raises(FormatError, match="upgrade"):
        indices.decode(b"\x09", (1, 2, 2), 3)
    with pytest.raises(TruncatedError):
        indices.decode(b"", (1, 2, 2), 3)
    for nothing in ([], [maps, np.concatenate([maps, maps])]):
        with pytest.raises(ConfigurationError):
            indices.learn(nothing, 30)


def test_adversaries_get_no_more_than_packing():
    # Maps that a coder has learnt to expect, then the opposite of what it expects.
    maps = np.zeros((1, 80, 80), np.int32)
    maps[:, ::7, ::5] = 65535
    maps[:, 1::7, 2::3] = 21845
    assert len(indices.encode(maps, 65536)) <= 1 + 2 * maps.size
    noise = np.random.default_rng(1).integers(0, 65536, (1, 80, 80))
    assert len(indices.encode(noise, 65536)) == 1 + 2 * noise.size


def test_likeness_places_neighbours_together():
    axes = index_states.likeness([smooth((60, 60), 64, seed) for seed in range(4)], 64)
    steps = np.abs(np.diff(axes[:, 0].astype(int)))
    assert steps.mean() < 0.1 * (axes[:, 0].max() - axes[:, 0].min())
