"""From coefficients to points, and the codes that bring each point into its cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from frazil.entropy.coder import PAD

if TYPE_CHECKING:
    import numpy.typing as npt

    Plane = npt.NDArray[np.int32]
    Valid = npt.NDArray[np.uint8]

FURTHEST = (1 << 30) - 1

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@_kernel
def center(numbers: Plane, middle: int, fraction: int, out: Plane) -> None:
    """Write ``numbers - middle`` in units of ``2 ** -fraction`` (coarser than 1 if it is negative)."""
    for y in range(numbers.shape[0]):
        row, o = numbers[y], out[y]
        for x in range(numbers.shape[1]):
            value = np.int64(row[x]) - middle
            o[x] = np.int32(
                value << fraction if fraction >= 0 else (value + (1 << (-fraction - 1))) >> -fraction
            )


@_kernel
def uncenter(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    plane: Plane, h: int, w: int, middle: int, fraction: int, out: Plane
) -> None:
    """Undo `center` in the upper left ``h`` x ``w`` of ``plane``, rounding to the nearest."""
    half = (1 << fraction) >> 1 if fraction > 0 else 0
    for y in range(h):
        row, o = plane[y], out[y]
        if fraction >= 0:
            for x in range(w):
                o[x] = np.int32(((np.int64(row[x]) + half) >> fraction) + middle)
        else:
            for x in range(w):
                o[x] = np.int32((np.int64(row[x]) << -fraction) + middle)


@_kernel
def misses(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    numbers: Plane, rebuilt: Plane, widths: Plane, valid: Valid, masked: bool, codes: Plane
) -> int:
    """Write into ``codes`` (with a rim) by how many cells each point is off; return how many are."""
    count = 0
    h, w = numbers.shape
    for y in range(h):
        x_row, r_row, c = numbers[y], rebuilt[y], codes[y + PAD]
        d_row = widths[y if widths.size > 1 else 0]
        for x in range(w):
            d = np.int64(d_row[x if widths.size > 1 else 0])
            off = np.int64(x_row[x]) - r_row[x]
            k = np.int64(0)
            if off > d >> 1 or off < -(d >> 1):
                k = (off + (d >> 1)) // d
                if masked and valid[y + PAD, x + PAD] == 0:
                    k = np.int64(0)
                count += k != 0
            c[x + PAD] = max(-FURTHEST, min(FURTHEST, int(k)))
    return count


@_kernel
def correct(rebuilt: Plane, widths: Plane, codes: Plane) -> None:
    """Move each point by its code."""
    h, w = rebuilt.shape
    for y in range(h):
        row, c = rebuilt[y], codes[y + PAD]
        d_row = widths[y if widths.size > 1 else 0]
        for x in range(w):
            if c[x + PAD]:
                d = np.int64(d_row[x if widths.size > 1 else 0])
                row[x] = np.int32(row[x] + d * c[x + PAD])
