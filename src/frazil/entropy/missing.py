"""Where values are missing, what they were, and back: kernels on bit patterns and packed bitmaps.

Planes are seen as unsigned integers of their width, so that four compiled
versions serve seven dtypes and no NaN loses its payload. Bitmaps are packed as
in `frazil.entropy.bitmap`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Bits = npt.NDArray[np.unsignedinteger[Any]]
    Bytes = npt.NDArray[np.uint8]

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@_kernel
def find(plane: Bits, exponent: Any, special: Any, sentinels: Bits, bitmap: Bytes) -> int:
    """Mark in ``bitmap`` what is missing from ``plane`` (y, x); return how many points are.

    Missing is ``bits & exponent == special`` and whatever equals one of
    ``sentinels``. Where nothing is missing, ``bitmap`` is not written to.
    """
    y, x = plane.shape
    first = y
    for i in range(y):  # passes over a row that vectorise; most planes end here
        row = plane[i]
        hits = 0
        for j in range(x):
            hits += (row[j] & exponent) == special
        for sentinel in sentinels:
            for j in range(x):
                hits += row[j] == sentinel
        if hits:
            first = i
            break
    if first == y:
        return 0
    bitmap[:first] = 0
    count = 0
    tiles = bitmap.shape[1]
    hit = np.zeros(8 * tiles, np.uint8)
    for i in range(first, y):
        row = plane[i]
        for j in range(x):
            hit[j] = (row[j] & exponent) == special
        for sentinel in sentinels:
            for j in range(x):
                hit[j] |= row[j] == sentinel
        for j in range(x):
            count += hit[j]
        for j in range(x, 8 * tiles):
            hit[j] = hit[x - 1]
        for t in range(tiles):
            byte = 0
            for k in range(8):
                byte = (byte << 1) | hit[8 * t + k]
            bitmap[i, t] = byte
    return count


@_kernel
def tally(plane: Bits, bitmap: Bytes, patterns: Bits, counts: npt.NDArray[np.int64], known: int) -> int:
    """Count the patterns under ``bitmap``; return how many are known, ``patterns.size + 1`` if too many."""
    y, x = plane.shape
    last = 0
    for i in range(y):
        for t in range(bitmap.shape[1]):
            byte = bitmap[i, t]
            if byte == 0:
                continue
            for j in range(8 * t, min(8 * t + 8, x)):
                if byte >> (7 - (j & 7)) & 1:
                    bits = plane[i, j]
                    if known == 0 or patterns[last] != bits:
                        last = 0
                        while last < known and patterns[last] != bits:
                            last += 1
                        if last == patterns.size:
                            return last + 1
                        if last == known:
                            patterns[last] = bits
                            known += 1
                    counts[last] += 1
    return known


@_kernel
def layer(plane: Bits, bitmap: Bytes, patterns: Bits, below: int, out: Bytes) -> None:
    """Mark in ``out`` the points under ``bitmap`` whose pattern is none of the first ``below``."""
    y, x = plane.shape
    for i in range(y):
        for t in range(bitmap.shape[1]):
            byte = np.int64(bitmap[i, t])
            if byte:
                bit = np.int64(0)
                for j in range(8 * t, 8 * t + 8):
                    if j < x:
                        bit = (byte >> (7 - (j & 7))) & 1
                        for k in range(below):
                            bit &= plane[i, j] != patterns[k]
                    byte = (byte & ~(1 << (7 - (j & 7)))) | bit << (7 - (j & 7))
            out[i, t] = byte


@_kernel
def gather(plane: Bits, bitmap: Bytes, out: Bits, at: int) -> int:
    """Copy the patterns under ``bitmap`` to ``out`` from ``at`` on; return the place behind them."""
    y, x = plane.shape
    for i in range(y):
        for j in range(x):
            if bitmap[i, j >> 3] >> (7 - (j & 7)) & 1:
                out[at] = plane[i, j]
                at += 1
    return at


@_kernel
def put(plane: Bits, bitmap: Bytes, level: int, pattern: Any) -> None:
    """Write ``pattern`` to the points of ``plane`` whose point (i << level, j << level) is marked."""
    y, x = plane.shape
    if level:
        for i in range(y):
            for j in range(x):
                if bitmap[i << level, j << level >> 3] >> (7 - (j << level & 7)) & 1:
                    plane[i, j] = pattern
        return
    for i in range(y):
        for t in range(bitmap.shape[1]):
            byte = bitmap[i, t]
            if byte == 0:
                continue
            if byte == 255 and 8 * t + 8 <= x:
                for j in range(8 * t, 8 * t + 8):
                    plane[i, j] = pattern
                continue
            for j in range(8 * t, min(8 * t + 8, x)):
                if byte >> (7 - (j & 7)) & 1:
                    plane[i, j] = pattern


@_kernel
def scatter(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    plane: Bits, bitmap: Bytes, x: int, level: int, patterns: Bits, at: int
) -> int:
    """Write ``patterns``, one for each marked point of the full plane, from ``at`` on."""
    for i in range(bitmap.shape[0]):
        for j in range(x):
            if bitmap[i, j >> 3] >> (7 - (j & 7)) & 1:
                if (i >> level << level) == i and (j >> level << level) == j:
                    plane[i >> level, j >> level] = patterns[at]
                at += 1
    return at
