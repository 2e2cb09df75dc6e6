"""The CDF 9/7 transform in integer lifting steps, the same on every machine.

I. Daubechies and W. Sweldens, Factoring wavelet transforms into lifting steps,
1998, doi:10.1007/BF02476026; symmetric extension as in ITU-T T.800, annex F.
Each step adds a rounded multiple of its neighbours, so the inverse subtracts
exactly what the forward transform added; only the low band, scaled to a gain of
1 at every level, is rounded for good. Sums wrap at 32 bits in both directions
alike: a damaged stream gives wrong numbers and nothing worse.

A plane of ``h`` x ``w`` numbers becomes, in place, its low band in the upper left
quarter (sides rounded up) and three bands of details; the low band again, and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]

# Lifting factors and gains in units of 2**-16.
BITS = 16
HALF = 1 << (BITS - 1)
ALPHA, BETA, GAMMA, DELTA = -103949, -3472, 57862, 29066
GAIN = 80621  # of the unscaled low band at frequency 0, in one direction
GAIN2 = 99181  # in both
STRIP = 64  # columns lifted together: 721 rows of them stay within 256 KiB

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")
_inline = numba.njit(nogil=True, forceinline=True, error_model="numpy")


@_inline
def _add(target: Ints, left: Ints, right: Ints, count: int, factor: int) -> None:
    """Add ``factor`` times the sum of two neighbours to each of ``count`` numbers."""
    for j in range(count):
        pair = np.int64(np.int32(left[j] + right[j]))
        target[j] = np.int32(target[j] + np.int32((pair * factor + HALF) >> BITS))


@_inline
def _subtract(target: Ints, left: Ints, right: Ints, count: int, factor: int) -> None:
    for j in range(count):
        pair = np.int64(np.int32(left[j] + right[j]))
        target[j] = np.int32(target[j] - np.int32((pair * factor + HALF) >> BITS))


@_inline
def _step(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    target: Ints, other: Ints, count: int, far: int, shift: int, factor: int, forward: bool
) -> None:
    """Lift rows: ``target[i]`` by ``other[i - 1 + shift]`` and ``other[i + shift]``, mirrored at the ends."""
    for i in range(count):
        a, b = i - 1 + shift, i + shift
        a = b if a < 0 else a
        b = a if b >= far else b
        if forward:
            _add(target[i], other[a], other[b], target.shape[1], factor)
        else:
            _subtract(target[i], other[a], other[b], target.shape[1], factor)


@_inline
def _step_row(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    target: Ints, other: Ints, count: int, far: int, shift: int, factor: int, forward: bool
) -> None:
    """Lift the numbers of one row, which begin at index 1 of ``target`` and ``other``."""
    other[0] = other[1]
    other[far + 1] = other[far]
    if forward:
        _add(target[1:], other[shift:], other[shift + 1 :], count, factor)
    else:
        _subtract(target[1:], other[shift:], other[shift + 1 :], count, factor)


@_inline
def _scale(plane: Ints, h: int, w: int, factor: int, divide: bool) -> None:
    inverse = np.float64(1 << BITS) / np.float64(factor)
    for y in range(h):
        row = plane[y]
        if divide:  # the encoder's choice alone: floats are allowed
            for x in range(w):
                row[x] = np.int32(np.rint(row[x] * inverse))
        else:
            for x in range(w):
                row[x] = np.int32((np.int64(row[x]) * factor + HALF) >> BITS)


@_kernel
def forward(plane: Ints, h: int, w: int, levels: int) -> None:
    """Transform the upper left ``h`` x ``w`` of ``plane``, shape (y, x), in place."""
    row_low, row_high = np.empty(w // 2 + 3, np.int32), np.empty(w // 2 + 3, np.int32)
    low, high = np.empty((h // 2 + 1, STRIP), np.int32), np.empty((h // 2 + 1, STRIP), np.int32)
    for _ in range(levels):
        lows, highs = (w + 1) // 2, w // 2
        if highs:
            for y in range(h):
                row = plane[y]
                for j in range(highs):
                    row_low[j + 1] = row[2 * j]
                    row_high[j + 1] = row[2 * j + 1]
                row_low[lows] = row[2 * lows - 2]
                _step_row(row_high, row_low, highs, lows, 1, ALPHA, True)
                _step_row(row_low, row_high, lows, highs, 0, BETA, True)
                _step_row(row_high, row_low, highs, lows, 1, GAMMA, True)
                _step_row(row_low, row_high, lows, highs, 0, DELTA, True)
                row[:lows] = row_low[1 : lows + 1]
                row[lows:w] = row_high[1 : highs + 1]
        up, down = (h + 1) // 2, h // 2
        if down:
            for x in range(0, w, STRIP):
                n = min(STRIP, w - x)
                for i in range(up):
                    low[i, :n] = plane[2 * i, x : x + n]
                for i in range(down):
                    high[i, :n] = plane[2 * i + 1, x : x + n]
                _step(high, low, down, up, 1, ALPHA, True)
                _step(low, high, up, down, 0, BETA, True)
                _step(high, low, down, up, 1, GAMMA, True)
                _step(low, high, up, down, 0, DELTA, True)
                for i in range(up):
                    plane[i, x : x + n] = low[i, :n]
                for i in range(down):
                    plane[up + i, x : x + n] = high[i, :n]
        if highs or down:
            _scale(plane, up, lows, GAIN2 if highs and down else GAIN, True)
        h, w = up, lows


@_kernel
def inverse(plane: Ints, h: int, w: int, levels: int, stop: int) -> None:
    """Undo `forward` in place, down to the low band of level ``stop`` (0: the whole plane)."""
    row_low, row_high = np.empty(w // 2 + 3, np.int32), np.empty(w // 2 + 3, np.int32)
    low, high = np.empty((h // 2 + 1, STRIP), np.int32), np.empty((h // 2 + 1, STRIP), np.int32)
    low[:] = 0
    high[:] = 0
    full_h, full_w = h, w
    for level in range(levels, stop, -1):
        h, w = full_h, full_w
        for _ in range(level - 1):
            h, w = (h + 1) // 2, (w + 1) // 2
        lows, highs, up, down = (w + 1) // 2, w // 2, (h + 1) // 2, h // 2
        if highs or down:
            _scale(plane, up, lows, GAIN2 if highs and down else GAIN, False)
        if down:
            for x in range(0, w, STRIP):
                n = min(STRIP, w - x)
                for i in range(up):
                    low[i, :n] = plane[i, x : x + n]
                for i in range(down):
                    high[i, :n] = plane[up + i, x : x + n]
                _step(low, high, up, down, 0, DELTA, False)
                _step(high, low, down, up, 1, GAMMA, False)
                _step(low, high, up, down, 0, BETA, False)
                _step(high, low, down, up, 1, ALPHA, False)
                for i in range(up):
                    plane[2 * i, x : x + n] = low[i, :n]
                for i in range(down):
                    plane[2 * i + 1, x : x + n] = high[i, :n]
        if highs:
            for y in range(h):
                row = plane[y]
                row_low[1 : lows + 1] = row[:lows]
                row_high[1 : highs + 1] = row[lows:w]
                _step_row(row_low, row_high, lows, highs, 0, DELTA, False)
                _step_row(row_high, row_low, highs, lows, 1, GAMMA, False)
                _step_row(row_low, row_high, lows, highs, 0, BETA, False)
                _step_row(row_high, row_low, highs, lows, 1, ALPHA, False)
                for j in range(highs):
                    row[2 * j] = row_low[j + 1]
                    row[2 * j + 1] = row_high[j + 1]
                row[2 * lows - 2] = row_low[lows]


@_kernel
def forward_across(stack: Ints, levels: int) -> None:
    """Transform the rows of ``stack``, shape (planes, points), in place: low planes first."""
    count, w = stack.shape
    low, high = np.zeros((count // 2 + 1, STRIP), np.int32), np.zeros((count // 2 + 1, STRIP), np.int32)
    for _ in range(levels):
        up, down = (count + 1) // 2, count // 2
        for x in range(0, w, STRIP):
            n = min(STRIP, w - x)
            for i in range(up):
                low[i, :n] = stack[2 * i, x : x + n]
            for i in range(down):
                high[i, :n] = stack[2 * i + 1, x : x + n]
            _step(high, low, down, up, 1, ALPHA, True)
            _step(low, high, up, down, 0, BETA, True)
            _step(high, low, down, up, 1, GAMMA, True)
            _step(low, high, up, down, 0, DELTA, True)
            for i in range(up):
                stack[i, x : x + n] = low[i, :n]
            for i in range(down):
                stack[up + i, x : x + n] = high[i, :n]
        _scale(stack, up, w, GAIN, True)
        count = up


@_kernel
def inverse_across(stack: Ints, levels: int) -> None:
    """Undo `forward_across` in place."""
    w = stack.shape[1]
    size = stack.shape[0] // 2 + 1
    low, high = np.zeros((size, STRIP), np.int32), np.zeros((size, STRIP), np.int32)
    for level in range(levels, 0, -1):
        count = stack.shape[0]
        for _ in range(level - 1):
            count = (count + 1) // 2
        up, down = (count + 1) // 2, count // 2
        _scale(stack, up, w, GAIN, False)
        for x in range(0, w, STRIP):
            n = min(STRIP, w - x)
            for i in range(up):
                low[i, :n] = stack[i, x : x + n]
            for i in range(down):
                high[i, :n] = stack[up + i, x : x + n]
            _step(low, high, up, down, 0, DELTA, False)
            _step(high, low, down, up, 1, GAMMA, False)
            _step(low, high, up, down, 0, BETA, False)
            _step(high, low, down, up, 1, ALPHA, False)
            for i in range(up):
                stack[2 * i, x : x + n] = low[i, :n]
            for i in range(down):
                stack[2 * i + 1, x : x + n] = high[i, :n]
