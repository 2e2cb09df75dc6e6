"""Standard deviations in a sliding box: exact sums of integers, one pass, GIL released.

This module imports numba; import it where the first chunk needs it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Plane = npt.NDArray[Any]
    Known = npt.NDArray[np.bool_]

DEEPEST = 24  # bits of a level: the levels of float32, which has no more


def local_deviation(
    planes: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None, window: int, low: float, high: float
) -> npt.NDArray[np.float64]:
    """Compute the standard deviation of the valid points in the box around each point, plane by plane.

    Boxes end at the edges of the plane. Values are counted in levels, 2**24 to
    the range or fewer where the window is wide: sums of their squares fit into
    64 bits, so that a sliding sum never drifts, and a flat box has deviation 0
    wherever it lies.

    Parameters
    ----------
    planes : ndarray, shape (n, y, x)
        Finite.
    valid : ndarray of bool, shape (n, y, x), optional
        False at points to leave out. A box without valid points has deviation 0.
    window : int
        Points along each side; odd.
    low, high : float
        Smallest and largest valid value.

    Returns
    -------
    ndarray of float64, shape (n, y, x)
        In the units of ``planes``; never more than the true deviation, and at
        most a level less.

    Examples
    --------
    >>> ramp = np.arange(5.0).reshape(1, 1, 5)
    >>> local_deviation(ramp, None, 3, 0.0, 4.0).round(4)
    array([[[0.5   , 0.8165, 0.8165, 0.8165, 0.5   ]]])
    """
    top = (1 << min(DEEPEST, (62 - 2 * window.bit_length()) // 2)) - 1
    # The range of float64 can be more than float64 holds.
    unit = 0.25 if high - low == math.inf else 1.0
    origin, span = low * unit, high * unit - low * unit
    out = np.zeros(planes.shape, np.float64)
    direct = planes.dtype in (np.dtype("f4"), np.dtype("f8"))
    if span <= 0 or top / span == math.inf:
        return out
    for k in range(len(planes)):
        plane = np.ascontiguousarray(planes[k], None if direct else "f8")
        levels = np.empty(plane.shape, np.int64)
        known = np.ones((1, 1), np.bool_) if valid is None else np.ascontiguousarray(valid[k])
        _levels(plane, known, unit, origin, top / span, top, levels)
        _slide(levels, known, window // 2, span / top / unit, out[k])
    return np.minimum(out, np.finfo(np.float64).max, out=out)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _levels(  # noqa: PLR0917 - numba passes positions
    plane: Plane, known: Known, unit: float, origin: float, inverse: float, top: int, out: Plane
) -> None:
    """Write levels 0 ... top; 0 where a point is not known."""
    partial = known.shape == plane.shape
    for j in range(plane.shape[0]):
        for i in range(plane.shape[1]):
            v = (np.float64(plane[j, i]) * unit - origin) * inverse + 0.5
            out[j, i] = np.int64(min(max(v, 0.0), top + 0.5)) if not partial or known[j, i] else 0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _slide(levels: Plane, known: Known, half: int, level: float, out: Plane) -> None:
    """Write the deviation of each box of 2 * half + 1 points a side, less half a ``level``."""
    y, x = levels.shape
    partial = known.shape == levels.shape
    one, two, points = np.zeros(x, np.int64), np.zeros(x, np.int64), np.zeros(x, np.int64)
    for j in range(-half, y):
        enter, leave = j + half, j - half - 1
        if enter < y:
            for i in range(x):
                v = levels[enter, i]
                one[i] += v
                two[i] += v * v
                points[i] += np.int64(not partial or known[enter, i])
        if leave >= 0:
            for i in range(x):
                v = levels[leave, i]
                one[i] -= v
                two[i] -= v * v
                points[i] -= np.int64(not partial or known[leave, i])
        if j < 0:
            continue
        s, q, n = np.int64(0), np.int64(0), np.int64(0)
        for i in range(-half, x):
            if i + half < x:
                s += one[i + half]
                q += two[i + half]
                n += points[i + half]
            if i > half:
                s -= one[i - half - 1]
                q -= two[i - half - 1]
                n -= points[i - half - 1]
            if i >= 0 and n > 0:
                # Rounding to levels adds at most half a level to a deviation; a bound must not profit.
                mean = s / n
                variance = max(q / n - mean * mean, 0.0)
                out[j, i] = max(math.sqrt(variance) - 0.5, 0.0) * level
