"""Loops between values and numbers (`frazil.cells`), compiled; strict float64, the same on every machine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

SAMPLE = 1 << 14
OFF = 1.5  # units in the last place that a value may lie beside the lattice
NEAR = 1e-6  # ... or so much of a step: doubles are more precise than the sums that find their lattice

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@_kernel
def to_numbers(values: Any, origin: float, unit: float, out: Any) -> None:
    """Round ``(values - origin) / unit``."""
    inverse = 1.0 / unit
    for i in range(values.size):
        out[i] = np.int32(np.rint((np.float64(values[i]) - origin) * inverse))


@_kernel
def to_values(numbers: Any, origin: float, unit: float, out: Any) -> None:
    """Write ``origin + numbers * unit``: one product, one sum, one rounding."""
    for i in range(numbers.size):
        out[i] = origin + np.float64(numbers[i]) * unit


@_kernel
def to_integers(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    numbers: Any, origin: int, unit: int, least: int, most: int, out: Any
) -> None:
    """Write ``origin + numbers * unit`` for an array of whole numbers, within what its dtype holds."""
    for i in range(numbers.size):
        out[i] = min(max(np.int64(origin) + np.int64(numbers[i]) * unit, least), most)


@_kernel
def rooms(values: Any, bounds: Any, ulp: float, noise: float, out: Any) -> None:
    """Write what rounding leaves of each point's bound."""
    for i in range(values.size):
        b = bounds[i]
        out[i] = b - (abs(np.float64(values[i])) + b) * ulp - noise if b < math.inf else b


@_kernel
def errors(before: Any, after: Any, valid: Any, bound: float) -> tuple[float, int]:
    """Largest error over the valid points, and how many are not within the bound (NaN counts)."""
    worst = 0.0
    missed = 0
    everywhere = valid.size == 0
    for i in range(before.size):
        if everywhere or valid[i]:
            e = abs(np.float64(after[i]) - np.float64(before[i]))
            if e <= bound:
                worst = max(worst, e)
            else:
                missed += 1
    return worst, missed


@_kernel
def errors_varying(before: Any, after: Any, valid: Any, bounds: Any) -> tuple[float, float, int]:
    """Largest error, largest error over bound, and how many points are not within their bound."""
    worst = 0.0
    share = 0.0
    missed = 0
    everywhere = valid.size == 0
    for i in range(before.size):
        if everywhere or valid[i]:
            e = abs(np.float64(after[i]) - np.float64(before[i]))
            if e <= bounds[i]:
                worst = max(worst, e)
                if e > 0:
                    share = max(share, e / bounds[i])
            else:
                missed += 1
    return worst, share, missed


@_kernel
def _sums(values: Any, origin: float, step: float) -> tuple[float, float, float, float, float, float]:
    least, most = math.inf, -math.inf
    k_sum = k_squares = d_sum = products = 0.0
    for v in values:
        d = np.float64(v) - origin
        k = np.rint(d / step)
        least = min(least, k)
        most = max(most, k)
        k_sum += k
        k_squares += k * k
        d_sum += d
        products += k * d
    return least, most, k_sum, k_squares, d_sum, products


@_kernel
def _deviation(values: Any, origin: float, step: float) -> float:
    worst = 0.0
    for v in values:
        d = np.float64(v) - origin
        worst = max(worst, abs(d - np.rint(d / step) * step))
    return worst


def lattice(values: npt.NDArray[Any], room: float) -> tuple[float, float, float, float] | None:
    """Find the lattice on which ``values`` lie, if its step is not much smaller than ``room``.

    Parameters
    ----------
    values : ndarray, shape (points,), float32 or float64
    room : float
        What may be lost.

    Returns
    -------
    origin, step, deviation, levels : float
        No value lies further than ``deviation`` from ``origin + k * step``, 0 <= k <= levels. None if
        there is no such lattice.
    """
    few = np.unique(values[:: max(values.size // SAMPLE, 1)]).astype("f8")
    if few.size < 3:
        return None
    largest = np.abs(few).max()
    with np.errstate(over="ignore", invalid="ignore"):  # next to the largest number is infinity
        ulp = float(np.spacing(largest.astype(values.dtype)))
    if not math.isfinite(ulp):
        return None
    step = _spacing(few, ulp, room / 4)
    if step is None:
        return None
    origin = float(few[0])
    least = 0.0
    for _ in range(2):
        least, most, k_sum, k_squares, d_sum, products = _sums(values, origin, step)
        spread = values.size * k_squares - k_sum * k_sum
        if most - least > 1 << 24 or spread <= 0:
            return None
        better = (values.size * products - k_sum * d_sum) / spread
        origin += (d_sum - better * k_sum) / values.size
        step = better
    low = origin + least * step
    off = _deviation(values, low, step)
    if off > max(OFF * ulp, NEAR * step) or 8 * off > step:
        return None
    return low, step, off, most - least


def _spacing(few: npt.NDArray[np.float64], ulp: float, least: float) -> float | None:
    """Step of the sorted, distinct values ``few``; None where it is irregular, or below ``least``."""
    gaps = np.diff(few)
    gaps = gaps[gaps > 3 * ulp]
    if not gaps.size or gaps.min() < least:
        return None
    near = gaps[gaps < 1.5 * gaps.min()]
    step = math.fsum(near) / near.size
    span = 8.0
    while True:  # regress over spans that grow: each level is certain before the step has to carry further
        part = few[: np.searchsorted(few, few[0] + span * step)] - few[0]
        levels = np.rint(part / step)
        if np.abs(part - levels * step).max() > 0.25 * step:
            return None
        if levels[-1] > 0:
            step = math.fsum(levels * part) / math.fsum(levels * levels)
        if part.size == few.size:
            break
        span *= 3
    return float(step)
