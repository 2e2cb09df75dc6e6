"""Kernels between values and integer levels: one pass, no temporaries, GIL released.

This module imports numba; import it where the first chunk needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Plane = npt.NDArray[Any]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def to_levels(  # noqa: PLR0917 - numba passes positions
    plane: Plane, low: float, inverse: float, top: int, offset: int, out: Plane
) -> None:
    """Write ``offset + clip(round((plane - low) * inverse), 0, top)`` into ``out``; float planes (y, x)."""
    limit = np.float64(top)
    for j in range(plane.shape[0]):
        for i in range(plane.shape[1]):
            v = (np.float64(plane[j, i]) - low) * inverse + 0.5
            out[j, i] = out.dtype.type(np.int32(min(max(v, 0.0), limit + 0.5)) + offset)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def from_levels(  # noqa: PLR0917 - numba passes positions
    levels: Plane, low: float, step: float, top: int, offset: int, out: Plane
) -> None:
    """Write ``low + clip(levels - offset, 0, top) * step`` into ``out``; both (y, x).

    A float64 multiplication and an addition, rounded once to ``out``'s dtype:
    the same bits on every machine.
    """
    first, last = np.float64(offset), np.float64(offset + top)
    for j in range(levels.shape[0]):
        for i in range(levels.shape[1]):
            # Whole numbers below 2**53, so floats clip them exactly, and faster than 64-bit integers.
            q = min(max(np.float64(levels[j, i]), first), last) - first
            out[j, i] = out.dtype.type(low + q * step)
