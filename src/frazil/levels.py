"""Kernels between values and integer levels: one pass, no temporaries, GIL released.

This module imports numba; import it where the first chunk needs it.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def to_levels(plane, low, inverse, top, offset, out):  # type: ignore[no-untyped-def]
    """Write ``offset + clip(round((plane - low) * inverse), 0, top)`` into ``out``; float planes (y, x)."""
    limit = np.float64(top)
    for j in range(plane.shape[0]):
        for i in range(plane.shape[1]):
            v = (np.float64(plane[j, i]) - low) * inverse + 0.5
            v = min(max(v, 0.0), limit + 0.5)
            out[j, i] = out.dtype.type(np.int32(v) + offset)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def from_levels(levels, low, step, top, offset, out):  # type: ignore[no-untyped-def]
    """Write ``low + clip(levels - offset, 0, top) * step`` into ``out``; both (y, x).

    A float64 multiplication and an addition, rounded once to ``out``'s dtype:
    the same bits on every machine.
    """
    for j in range(levels.shape[0]):
        for i in range(levels.shape[1]):
            q = min(max(np.int64(levels[j, i]) - offset, 0), top)
            out[j, i] = out.dtype.type(low + np.float64(q) * step)
