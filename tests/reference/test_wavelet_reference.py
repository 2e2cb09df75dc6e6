"""A reader written from docs/format/wavelet.md alone reads the numbers that frazil's does."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import wavelet_reference as reference
from coder_reference import States

from frazil.wavelet import stream

FILE = (resources.files("frazil.wavelet") / "states-1.bin").read_bytes()
TABLES = {0: States.nothing(), 1: States.read(FILE)}
PAGE = Path(__file__).parents[2] / "docs" / "format" / "wavelet.md"


def waves(shape: tuple[int, int, int], noise: float, across: float = 0.9) -> np.ndarray:
    p, i, j = np.indices(shape)
    rng = np.random.default_rng(7)
    smooth = 3000 * np.sin(i * 0.3 + p * across) * np.cos(j / 5) + 900 * np.sin((i + j) / 3)
    return np.rint(smooth + noise * rng.normal(size=shape)).astype(np.int32)


def varying(shape: tuple[int, int, int]) -> np.ndarray:
    n, y, x = shape
    coarse = 2 * np.random.default_rng(3).integers(10, 200, (n, -(-y // 4), -(-x // 4))) + 1
    return np.repeat(np.repeat(coarse, 4, 1), 4, 2)[:, :y, :x].astype(np.int32)


SHAPES = [(1, 24, 30), (2, 33, 17), (1, 1, 40), (2, 40, 1), (1, 9, 2), (3, 8, 7), (1, 1, 1)]


def compare(numbers, widths, valid=None, **settings) -> stream.Head:
    data, rebuilt = stream.encode(numbers, widths, valid, **settings)
    for level in (0, 1, 2, 7):
        ours = stream.decode(data, numbers.shape, widths, valid, level)
        theirs = reference.decode(data, numbers.shape, widths, valid, TABLES, level)
        assert np.array_equal(ours, theirs)
    assert np.array_equal(reference.decode(data, numbers.shape, widths, valid, TABLES), rebuilt)
    head = stream.Head.unpack(data, len(reference.bands(*numbers.shape[1:])[0]) - 1)
    read = reference.Head(data, len(head.ends))
    assert read.ends == head.ends[::-1]
    for level in range(1, 1 + len(read.ends)):
        part = data[: read.at + read.ends[max(len(read.ends) - 1 - level, 0)]]
        assert len(part) == min(len(data), stream.prefix_needed(data[:64], numbers.shape, level))
        theirs = reference.decode(part, numbers.shape, widths, valid, TABLES, level)
        assert np.array_equal(stream.decode(data, numbers.shape, widths, valid, level), theirs)
    return head


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("profile", ["best", "fast"])
def test_shapes(shape, profile):
    compare(waves(shape, 20), 45, profile=profile)


@pytest.mark.parametrize("step", [0.5, 3.0])
def test_widths_that_vary(step):
    shape = (2, 24, 30)
    assert compare(waves(shape, 20), varying(shape), step=step).corrected


@pytest.mark.parametrize("profile", ["best", "fast"])
def test_masked(profile):
    shape = (2, 24, 30)
    valid = np.random.default_rng(5).random(shape) < 0.7
    valid[0, 6:12] = False
    assert compare(waves(shape, 90), 45, valid, profile=profile, step=2.5).corrected


@pytest.mark.parametrize("planes", [2, 5, 17])
def test_stacks(planes):
    shape = (planes, 10, 13)
    assert compare(waves(shape, 4, across=0.01), 45, step=1.5).across
    compare(waves(shape, 4, across=0.01), varying(shape), step=1.5)


def test_planes_of_many_points():
    """Bands, and points, that send weights of their own; a stream that says where its levels end."""
    head = compare(waves((1, 110, 112), 60), 45, step=2.0)
    assert head.ends
    assert head.corrected


def test_the_page_knows_the_table():
    page = PAGE.read_text()
    assert f"`{FILE[:4].hex(' ')}`" in page
    for part in (TABLES[1].slots, TABLES[1].mix):
        assert f"{google_crc32c.value(np.array(part, '<i4').tobytes()):08x}" in page


def test_extremes():
    rng = np.random.default_rng(1)
    for size in (1 << 28, 1 << 20):
        numbers = rng.integers(-size, size, (2, 12, 20), np.int32, endpoint=True)
        for width in (1, 45, 2**20 + 1):
            compare(numbers, width)
