"""How far a decoded array is from its original.

All scores are over the points that are finite in both arrays, in float64.
Where a point is missing in one array and not in the other, that is counted
and never averaged away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ChunkMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Sums over the points of two arrays; ``a | b`` joins the scores of two parts of an array.

    Parameters
    ----------
    points : int
        Points finite in both arrays; the errors are over these.
    missing : int
        Points of the original that are NaN, infinite or NaT.
    mask_differs : int
        Points missing in one array and not in the other, or missing in another way (NaN, +inf, -inf).
    differing : int
        Points whose values differ at all, missing ones included.
    low, high : float
        Range of the original's finite points, in its units; +inf and -inf if there are none.
    max_error : float
        max |d - o|, in the units of the original.
    error_sum, error_squares : float
        Sums of (d - o) and (d - o)**2.

    Examples
    --------
    >>> whole = score(np.array([0.0, 1.0, 2.0, np.nan]), np.array([0.0, 1.5, 2.0, np.nan]))
    >>> whole.max_error, whole.points, whole.same_mask, whole.identical
    (0.5, 3, True, False)
    """

    points: int = 0
    missing: int = 0
    mask_differs: int = 0
    differing: int = 0
    low: float = math.inf
    high: float = -math.inf
    max_error: float = 0.0
    error_sum: float = 0.0
    error_squares: float = 0.0

    def __or__(self, other: Scores) -> Scores:
        """Scores of the two parts together."""
        return Scores(
            points=self.points + other.points,
            missing=self.missing + other.missing,
            mask_differs=self.mask_differs + other.mask_differs,
            differing=self.differing + other.differing,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            max_error=max(self.max_error, other.max_error),
            error_sum=self.error_sum + other.error_sum,
            error_squares=self.error_squares + other.error_squares,
        )

    @property
    def span(self) -> float:
        """max(o) - min(o); 0 where nothing is finite."""
        return max(self.high - self.low, 0.0) if self.points else 0.0

    @property
    def rmse(self) -> float:
        """sqrt(mean((d - o)**2)); 0 where there is nothing to compare."""
        return math.sqrt(self.error_squares / self.points) if self.points else 0.0

    @property
    def bias(self) -> float:
        """mean(d - o); 0 where there is nothing to compare."""
        return self.error_sum / self.points if self.points else 0.0

    @property
    def psnr(self) -> float:
        """20 log10(span / rmse) in dB; inf where there is no error, -inf for errors on a constant field."""
        if self.rmse == 0:
            return math.inf
        return 20 * math.log10(self.span / self.rmse) if self.span else -math.inf

    @property
    def relative(self) -> float:
        """Max |d - o| / span; 0 where there is no error, inf for errors on a constant field."""
        if self.max_error == 0:
            return 0.0
        return self.max_error / self.span if self.span else math.inf

    @property
    def same_mask(self) -> bool:
        """Whether the same points are missing, in the same way."""
        return self.mask_differs == 0

    @property
    def identical(self) -> bool:
        """Whether every point has the value it had."""
        return self.differing == 0


def score(original: npt.ArrayLike, decoded: npt.ArrayLike) -> Scores:
    """Compare two arrays of the same shape, of any dtype.

    Values that cannot be subtracted (text, objects) are only tested for equality.

    Raises
    ------
    ChunkMismatchError
        If the shapes differ.
    """
    a, b = np.asarray(original), np.asarray(decoded)
    if a.shape != b.shape:
        raise ChunkMismatchError(f"cannot compare shape {a.shape} with shape {b.shape}")
    if a.dtype.kind in "mM" and b.dtype.kind in "mM":
        return _score_times(a, b)
    if a.dtype.kind not in "biuf" or b.dtype.kind not in "biuf":
        return Scores(differing=int(np.count_nonzero(a != b)))
    gone_a, gone_b = ~np.isfinite(a), ~np.isfinite(b)
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    gone = gone_a | gone_b
    x, y = (a[~gone], b[~gone]) if gone.any() else (a.reshape(-1), b.reshape(-1))
    counts = Scores(
        points=x.size,
        missing=int(np.count_nonzero(gone_a)),
        mask_differs=int(np.count_nonzero(gone & ~equal)),
        differing=equal.size - int(np.count_nonzero(equal)),
    )
    if not x.size:
        return counts
    error = np.subtract(y, x, dtype="f8")
    return counts | Scores(
        low=float(x.min()),
        high=float(x.max()),
        max_error=float(np.abs(error).max()),
        error_sum=float(error.sum()),
        error_squares=float(np.dot(error, error)),
    )


def score_parts(parts: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]]) -> Scores:
    """Compare two arrays part by part, so that neither need fit in memory.

    Examples
    --------
    >>> x = np.arange(10.0)
    >>> score_parts([(x[:5], x[:5] + 1), (x[5:], x[5:])]).rmse == rmse(x, x + (x < 5))
    True
    """
    return reduce(or_, (score(a, b) for a, b in parts), Scores())


def max_error(original: npt.ArrayLike, decoded: npt.ArrayLike) -> float:
    """Max |d - o| over the finite points, in the units of the original.

    Examples
    --------
    >>> max_error([1.0, 2.0, np.nan], [1.0, 2.5, np.nan])
    0.5
    """
    return score(original, decoded).max_error


def rmse(original: npt.ArrayLike, decoded: npt.ArrayLike) -> float:
    """sqrt(mean((d - o)**2)) over the finite points, in the units of the original.

    Examples
    --------
    >>> rmse([0.0, 0.0], [3.0, -3.0])
    3.0
    """
    return score(original, decoded).rmse


def bias(original: npt.ArrayLike, decoded: npt.ArrayLike) -> float:
    """mean(d - o) over the finite points, in the units of the original.

    Examples
    --------
    >>> bias([0.0, 0.0], [3.0, -2.0])
    0.5
    """
    return score(original, decoded).bias


def psnr(original: npt.ArrayLike, decoded: npt.ArrayLike) -> float:
    """20 log10((max(o) - min(o)) / RMSE) in dB, over the finite points; inf where there is no error.

    Examples
    --------
    >>> round(psnr([0.0, 100.0], [0.1, 99.9]), 6)
    60.0
    """
    return score(original, decoded).psnr


def ratio(raw: int, encoded: int) -> float:
    """Raw bytes / encoded bytes, all headers included; inf if nothing was stored.

    Examples
    --------
    >>> ratio(4_000_000, 125_000)
    32.0
    """
    return raw / encoded if encoded else math.inf


def _score_times(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> Scores:
    """Dates and durations: exact or not, and NaT as missing."""
    gone_a, gone_b = np.isnat(a), np.isnat(b)
    return Scores(
        points=int(np.count_nonzero(~(gone_a | gone_b))),
        missing=int(np.count_nonzero(gone_a)),
        mask_differs=int(np.count_nonzero(gone_a != gone_b)),
        differing=int(np.count_nonzero((a != b) & ~(gone_a & gone_b))),
    )
