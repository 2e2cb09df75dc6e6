"""Bounds of the values as bounds of their levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Slack = npt.NDArray[np.int32]
    Valid = npt.NDArray[np.bool_]

TIGHT = 0.01  # of the bounds: these may be smaller than a level
NARROW = 1 << 24  # more levels than there are


def usable(bound: float | Floats, largest: float, dtype: np.dtype[Any]) -> Floats:
    """Leave of absolute bounds what the last rounding, to ``dtype``, does not take.

    ``largest`` is the largest magnitude of the values. Whole numbers gain: all
    that is less than half beyond the whole part of a bound rounds back into it.
    """
    bounds = np.asarray(bound, np.float64)
    noise = 4 * float(np.spacing(largest))  # a multiplication and an addition in float64, and what we do here
    if dtype.kind in "iu":
        return np.asarray(np.floor(bounds) + (0.5 - 1e-6 - noise))
    with np.errstate(over="ignore"):
        ulp = float(np.spacing(dtype.type(largest))) if dtype.itemsize < 8 else 0.0
    return np.asarray(bounds - (ulp / 2 + noise))


def typical(bounds: Floats, valid: Valid | None) -> float:
    """Small but for a hundredth of the bounds: the first percentile of those that are not 0 or less."""
    if bounds.ndim == 0:
        return float(bounds)
    known = bounds[(bounds > 0) if valid is None else (bounds > 0) & valid]
    if not known.size:
        return 0.0
    place = int(known.size * TIGHT)
    return float(np.partition(known, place)[place])


def slack(bounds: Floats, step: float) -> Slack:
    """By how many levels of size ``step`` a point may be wrong; -1 where rounding is too much."""
    if step == 0:
        return np.zeros(bounds.shape, np.int32)
    with np.errstate(over="ignore"):
        levels = np.floor(bounds / step - (0.5 + 1e-6))
    return np.clip(levels, -1, NARROW).astype(np.int32)


def lattice(slack: int | Slack) -> Slack:
    """S = 2**floor(log2(2 slack)), or 1: no whole number is further than ``slack`` from a multiple of it.

    Examples
    --------
    >>> lattice(np.array([0, 1, 2, 3, 4, 6], np.int32))
    array([1, 2, 4, 4, 8, 8], dtype=int32)
    """
    _, exponent = np.frexp(np.asarray(slack, np.float64))  # slack < 2**exponent <= 2 slack
    return np.left_shift(np.int32(1), exponent.astype(np.int32), dtype=np.int32)
