"""A reader of latents as docs/format/latent-coder.md has them reads what frazil writes."""

from __future__ import annotations

import latent_coder_reference as reference
import numpy as np
import pytest

from frazil.entropy import latents
from frazil.entropy.latents import LatentStates

SHAPES = [(2, 3, 4, 5), (3, 8, 5, 4), (1, 27, 3, 3), (2, 2, 1, 6), (2, 1, 6, 1), (1, 2, 1, 1)]


def numbers(shape: tuple[int, ...], scale: float) -> np.ndarray:
    """Return numbers alike in neighbours, channels and samples, some of them far away, a plane of zeros."""
    rng = np.random.default_rng(sum(shape))
    walk = rng.normal(size=shape).cumsum(0).cumsum(1)
    walk += rng.standard_t(1.5, shape)
    found = np.rint(scale * walk).clip(-(1 << 20), 1 << 20).astype(np.int32)
    found[0, shape[1] // 2] = 0
    return found


@pytest.mark.parametrize("scale", [0.3, 4, 3000])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_without_tensors(shape, scale):
    array = numbers(shape, scale)
    data = latents.encode(array, LatentStates.fresh(shape[1]), 3)
    assert (reference.decode(data, shape, None, 3) == array).all()


@pytest.mark.parametrize("scale", [0.5, 40])
def test_trained(scale):
    shape = (4, 7, 9, 8)
    array = numbers(shape, scale)
    states = LatentStates.learn([(array, 2), (array[::-1], 5)], 7)
    data = latents.encode(array, states, 5)
    assert (reference.decode(data, shape, states.to_tensors(), 5) == array).all()


@pytest.mark.parametrize("scale", [2, 1e5])
def test_any_tensors(scale):
    """States that no training gives: all kinds of taps and kins, of this sample and the one before."""
    rng = np.random.default_rng(5)
    k, shape = 5, (3, 5, 4, 6)
    counts = np.array([[0, 3, 3, 3, 3], [4] * k], "<u2")
    tensors = LatentStates.fresh(k).to_tensors()

    def sources(per):
        lower = [rng.integers(0, per * c) for c in range(1, k) for _ in range(3)]
        both = [
            rng.integers(0, per * c) if c and rng.random() < 0.5 else per * k + rng.integers(0, per * k)
            for c in range(k)
            for _ in range(4)
        ]
        return np.array(lower + both, "<u2")

    size = tensors["coder.odds"].size
    tensors |= {
        "coder.shifts": rng.integers(0, 20, (2, k)).astype("u1"),
        "coder.offsets": rng.integers(-500, 500, (2, k)).astype("<i4"),
        "coder.own": rng.integers(-300, 600, (2, k, 6)).astype("<i2"),
        "coder.tap_counts": counts,
        "coder.taps": sources(9),
        "coder.tap_weights": rng.integers(-300, 600, 32).astype("<i2"),
        "coder.floors": rng.integers(0, 5000, (2, k, 2)).astype("<i4"),
        "coder.near": rng.integers(0, 5000, (2, k, 5)).astype("<u2"),
        "coder.kin_counts": counts,
        "coder.kins": sources(3),
        "coder.kin_weights": rng.integers(0, 2000, 32).astype("<u2"),
        "coder.odds": rng.integers(0, 256, size).astype("u1"),
        "coder.counts": rng.integers(0, 256, size).astype("u1"),
        "coder.mix": rng.integers(-500, 4000, 768).astype("<i2"),
    }
    array = numbers(shape, scale)
    states = LatentStates.from_tensors(tensors)
    data = latents.encode(array, states, 7)
    assert (reference.decode(data, shape, tensors, 7) == array).all()


def test_without_elements():
    assert latents.encode(np.zeros((0, 2, 3, 3), int), LatentStates.fresh(2)) == b""
    assert reference.decode(b"", (0, 2, 3, 3), None, 1).shape == (0, 2, 3, 3)
