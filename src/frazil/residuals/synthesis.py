"""The inverse 9/7 transform of JPEG 2000 (ITU-T T.800, annex F) in fixed point, the same on every machine.

`frazil.wavelet.lifting` undoes its own forward transform, with shorter factors;
here the forward transform was an engine's, and its factors are met to 2**-25.
Sums wrap at 32 bits: a damaged stream gives wrong numbers and nothing worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]

# In units of 2**-BITS. The low band counts K = 1.230174... in each direction, a high one its inverse.
BITS = 24
ALPHA, BETA, GAMMA, DELTA = -26610918, -888859, 14812790, 7440810
K2 = 25389436
STRIP = 64  # columns lifted together: 721 rows of them stay within 256 KiB

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")
_inline = numba.njit(nogil=True, forceinline=True, error_model="numpy")


@_inline
def _subtract(target: Any, left: Any, right: Any, count: int, factor: int) -> None:
    """Subtract ``factor`` times the sum of two neighbours from each of ``count`` numbers."""
    half = np.int64(1) << (BITS - 1)
    for j in range(count):
        pair = np.int64(left[j]) + np.int64(right[j])
        target[j] = np.int32(target[j] - ((pair * factor + half) >> BITS))


@_inline
def _rows(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    target: Any, other: Any, count: int, far: int, shift: int, n: int, factor: int
) -> None:
    """Lift ``count`` rows i of ``target`` by rows i + shift - 1 and i + shift of the ``far`` of ``other``."""
    for i in range(count):
        a = min(max(i + shift - 1, 0), far - 1)
        b = min(i + shift, far - 1)
        _subtract(target[i], other[a], other[b], n, factor)


@_inline
def _row(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    target: Any, other: Any, count: int, far: int, shift: int, factor: int
) -> None:
    """Lift the numbers of one row, which begin at index 1 of ``target`` and ``other``."""
    other[0] = other[1]
    other[far + 1] = other[far]
    _subtract(target[1:], other[shift:], other[shift + 1 :], count, factor)


@_kernel
def inverse(plane: Ints, levels: int) -> None:
    """Transform ``plane``, shape (y, x), in place; both sides have to allow so many ``levels``."""
    full_h, full_w = plane.shape
    row_low, row_high = np.empty(full_w // 2 + 3, np.int32), np.empty(full_w // 2 + 3, np.int32)
    low, high = np.zeros((full_h // 2 + 1, STRIP), np.int32), np.zeros((full_h // 2 + 1, STRIP), np.int32)
    half = np.int64(1) << (BITS - 1)
    for level in range(levels, 0, -1):
        h, w = full_h, full_w
        for _ in range(level - 1):
            h, w = (h + 1) // 2, (w + 1) // 2
        lows, highs, up, down = (w + 1) // 2, w // 2, (h + 1) // 2, h // 2
        for i in range(up):
            row = plane[i]
            for j in range(lows):
                row[j] = np.int32((np.int64(row[j]) * K2 + half) >> BITS)
        for x in range(0, w, STRIP):
            n = min(STRIP, w - x)
            for i in range(up):
                low[i, :n] = plane[i, x : x + n]
            for i in range(down):
                high[i, :n] = plane[up + i, x : x + n]
            _rows(low, high, up, down, 0, n, DELTA)
            _rows(high, low, down, up, 1, n, GAMMA)
            _rows(low, high, up, down, 0, n, BETA)
            _rows(high, low, down, up, 1, n, ALPHA)
            for i in range(up):
                plane[2 * i, x : x + n] = low[i, :n]
            for i in range(down):
                plane[2 * i + 1, x : x + n] = high[i, :n]
        for y in range(h):
            row = plane[y]
            row_low[1 : lows + 1] = row[:lows]
            row_high[1 : highs + 1] = row[lows:w]
            _row(row_low, row_high, lows, highs, 0, DELTA)
            _row(row_high, row_low, highs, lows, 1, GAMMA)
            _row(row_low, row_high, lows, highs, 0, BETA)
            _row(row_high, row_low, highs, lows, 1, ALPHA)
            for j in range(highs):
                row[2 * j] = row_low[j + 1]
                row[2 * j + 1] = row_high[j + 1]
            row[2 * lows - 2] = row_low[lows]
