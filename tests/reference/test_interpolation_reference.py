"""A reader of interpolation streams written from the format page alone reads what frazil writes."""

from __future__ import annotations

from importlib import resources

import interpolation_reference as reference
import numpy as np
import pytest

from frazil.interpolation import stream

TABLE = (resources.files("frazil.entropy") / "states-1.bin").read_bytes()


def waves(shape: tuple[int, int, int], noise: float) -> np.ndarray:
    """Waves that meet around the globe, and move from plane to plane."""
    n, h, w = shape
    t, y, x = np.ogrid[:n, :h, :w]
    base = 3000 * np.sin(2 * np.pi * x / w + t / 5) * np.cos(y / 9 + t / 10)
    return np.rint(base + noise * np.random.default_rng(n).standard_normal(shape)).astype(np.int32)


def compare(numbers, widths, valid=None, **settings) -> int:
    """Decode by both; return the stream's flags."""
    data, rebuilt = stream.encode(numbers, widths, valid, **settings)
    aligned = settings.get("aligned", False)
    for level in (0, 1, 3, 9):
        found = reference.decode(data, numbers.shape, widths, valid, level, aligned, TABLE)
        assert np.array_equal(found, rebuilt[:, :: 1 << level, :: 1 << level])
    return data[0]


@pytest.mark.parametrize("profile", ["best", "fast"])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (2, 1, 90), (1, 5, 4), (3, 9, 2), (2, 17, 23), (2, 24, 32), (2, 97, 16)], ids=str
)
def test_shapes(shape, profile):
    for widths, noise in ((45, 0), (5, 20)):
        compare(waves(shape, noise), widths, profile=profile)


def test_around_the_globe_and_with_finer_cells():
    assert compare(waves((2, 24, 32), 0), 255) & 0x30 == 0x30
    assert compare(waves((2, 24, 32), 50), 5) & 0x30 == 0x10
    tall = waves((3, 200, 16), 20)  # its coarsest grid has a single column
    assert compare(tall, 45, profile="fast") & 0x10 == 0


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_widths_that_vary(aligned, masked):
    rng = np.random.default_rng(4)
    numbers = waves((3, 25, 30), 9)
    widths = (2 * rng.integers(1, 40, numbers.shape) + 1 - aligned).astype(np.int32)
    valid = rng.random(numbers.shape) < 0.7
    valid[1:, 3:14, 5:21] = False
    compare(numbers, widths, valid if masked else None, aligned=aligned)


def test_extremes():
    """Sums of numbers this large do not fit 32 bits."""
    rng = np.random.default_rng(5)
    for seed in range(3):
        numbers = rng.integers(-(1 << 28), 1 << 28, (2, 12, 19), endpoint=True).astype(np.int32)
        numbers = np.where(rng.random(numbers.shape) < seed / 3, numbers // 4096, numbers)
        valid = rng.random(numbers.shape) < 0.8
        for widths in (1, 4095, (1 << 28) - 1):
            compare(numbers, widths, valid if seed else None, profile="fast" if seed == 2 else "best")


def test_nothing_is_valid():
    numbers = waves((2, 20, 20), 5)
    compare(numbers, 5, np.zeros(numbers.shape, bool))
