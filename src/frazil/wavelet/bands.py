"""How a plane falls into bands of wavelet coefficients, and how finely each is quantised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from frazil.entropy.coder import PAD

Ints = npt.NDArray[np.int64]

SMALLEST = 8  # the low band is split until neither side is longer
DEEPEST = 24
MOST_ACROSS = 4
NORM_BITS = 20
# The highest numbers of `Layout.bands`' columns.
LEVEL, ORIENTATION, HEIGHT, WIDTH, TOP, LEFT, START = range(7)


@dataclass(frozen=True)
class Layout:
    """The bands of a plane of ``shape`` (y, x), coarse to fine.

    ``bands`` has shape (bands, 7), int64. Its columns: level (1 is the finest), orientation (0 low, 1
    details along x, 2 along y, 3 both), height and width, the first row and column within the transformed
    plane, and where it starts in a pool of bands with rims of `PAD` points. ``parents`` has shape (bands, 3):
    rows of ``bands`` of the three orientations one level coarser, or -1. ``norms``: how far the
    quantiser's step of each band is from that of an orthonormal transform, times ``2 ** NORM_BITS``.
    """

    shape: tuple[int, int]
    levels: int
    bands: Ints
    parents: Ints
    norms: Ints
    size: int

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Shapes of the low bands of level 0 (the plane) to `levels`."""
        return _shapes(*self.shape)


def _shapes(y: int, x: int) -> list[tuple[int, int]]:
    shapes = [(y, x)]
    while max(shapes[-1]) > SMALLEST and len(shapes) <= DEEPEST:
        y, x = (y + 1) // 2, (x + 1) // 2
        shapes.append((y, x))
    return shapes


def _norm(halves: int) -> int:
    """``2 ** (-halves / 2)`` in units of ``2 ** -NORM_BITS``, from whole numbers alone."""
    return math.isqrt((1 << (2 * NORM_BITS + 1)) >> halves >> 1)


@lru_cache(maxsize=64)
def across(planes: int) -> tuple[int, Ints]:
    """Return how often a transform across so many planes splits them, and the norms of what becomes of each.

    Examples
    --------
    >>> across(5)[0]
    3
    """
    levels, counts = 0, [planes]
    while levels < MOST_ACROSS and counts[-1] > 1:
        counts.append((counts[-1] + 1) // 2)
        levels += 1
    norms = np.empty(planes, np.int64)
    for level in range(levels, 0, -1):
        norms[counts[level] : counts[level - 1]] = max(_norm(level - 1) * 75340 >> 16, 1)
    norms[: counts[levels]] = _norm(levels)
    return levels, norms


@lru_cache(maxsize=64)
def layout(y: int, x: int) -> Layout:
    """Return the bands of a plane of shape (y, x).

    Examples
    --------
    >>> tile = layout(64, 100)
    >>> tile.levels, len(tile.bands), tile.shapes[-1]
    (4, 13, (4, 7))
    """
    shapes = _shapes(y, x)
    levels = len(shapes) - 1
    rows: list[tuple[int, int, int, int, int, int, int]] = []
    norms: list[int] = []
    start = 0

    def add(band: tuple[int, int, int, int, int, int], norm: int) -> None:
        nonlocal start
        rows.append((*band, start))
        norms.append(max(norm, 1))
        start += (band[HEIGHT] + 2 * PAD) * (band[WIDTH] + 2 * PAD)

    # A low band at a gain of 1 counts sqrt(2) for each direction in which its level was split.
    splits = [0]
    for height, width in shapes[:-1]:
        splits.append(splits[-1] + (height > 1) + (width > 1))
    add((levels, 0, *shapes[-1], 0, 0), _norm(splits[-1]))
    for level in range(levels, 0, -1):
        height, width = shapes[level - 1]
        up, left = shapes[level]
        base = splits[level - 1]
        # Unscaled lifting: 1.230174 / sqrt(2) of the orthonormal low band, its inverse of the high one.
        both = height > 1 and width > 1
        one = _norm(base) if both else _norm(base) * 75340 // 65536
        for orientation, h, w, top, at, norm in (
            (1, up, width - left, 0, left, one),
            (2, height - up, left, up, 0, one),
            (3, height - up, width - left, up, left, _norm(base) * 86612 // 65536),
        ):
            if h and w:
                add((level, orientation, h, w, top, at), norm)
    bands = np.array(rows, np.int64)
    where = {(int(r[LEVEL]), int(r[ORIENTATION])): k for k, r in enumerate(rows)}
    parents = np.array(
        [[where.get((r[LEVEL] + 1, o), -1) if r[ORIENTATION] else -1 for o in (1, 2, 3)] for r in rows],
        np.int64,
    )
    return Layout((y, x), levels, bands, parents, np.array(norms, np.int64), start)
