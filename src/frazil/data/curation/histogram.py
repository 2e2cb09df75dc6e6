"""Count values in bins whose width is found while they are counted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

BINS = 4096
"""Most bins that are held."""

LEAST = -1000
"""Exponent of the narrowest bins there are."""


@dataclass
class Histogram:
    """Counts of values in bins of width ``2**power``, aligned to multiples of it.

    Bins get twice as wide whenever the values do not fit into 4096 of them, so
    nothing need be known of the values before, one pass is enough, and the
    counts are the same in whatever order the values come.

    Parameters
    ----------
    power : int or None
        None before there was a value.
    first : int
        Number of the first bin: it holds values from ``first * 2**power`` on.
    counts : (n,) int64

    Examples
    --------
    >>> histogram = Histogram()
    >>> histogram.add(np.array([0.0, 1.0, 1.0, np.nan]))
    >>> histogram.add(np.array([100.0]))
    >>> int(histogram.counts.sum()), histogram.binned(4)[1]
    (4, array([3, 0, 0, 1]))
    """

    power: int | None = None
    first: int = 0
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count finite values; others are left out."""
        finite = values[np.isfinite(values)].astype(np.float64, copy=False)
        if not finite.size:
            return
        low, high = float(finite.min()), float(finite.max())
        power = _power(low, high)
        # Scaling by a power of two is exact: no rounding decides on a value's bin.
        part = Histogram(power, math.floor(math.ldexp(low, -power)))
        numbers = np.floor(np.ldexp(finite, -power)).astype(np.int64) - part.first
        part.counts = np.bincount(numbers).astype(np.int64)
        self.merge(part)

    def merge(self, other: Histogram) -> None:
        """Count what another histogram has counted."""
        if other.power is None:
            return
        mine = self if self.power is not None else Histogram(other.power, other.first)
        power = other.power if self.power is None else max(self.power, other.power)
        while True:
            parts = [part.widened(power) for part in (mine, other)]
            first = min(part.first for part in parts)
            stop = max(part.first + len(part.counts) for part in parts)
            if stop - first <= BINS:
                break
            power += 1
        counts = np.zeros(stop - first, np.int64)
        for part in parts:
            counts[part.first - first : part.first - first + len(part.counts)] += part.counts
        self.power, self.first, self.counts = power, first, counts

    def widened(self, power: int) -> Histogram:
        """Return the same counts in bins of width ``2**power``, not narrower than they are."""
        if self.power is None or power == self.power:
            return self
        shift = min(power - self.power, 62)  # numbers are far below 2**62
        numbers = (np.arange(len(self.counts)) + self.first) >> shift
        first = self.first >> shift
        length = int(numbers[-1]) - first + 1 if numbers.size else 0
        counts = np.zeros(length, np.int64)
        np.add.at(counts, numbers - first, self.counts)
        return Histogram(power, first, counts)

    def binned(
        self, most: int, *, like: Histogram | None = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Edges and counts of up to ``most`` bins, those of another histogram that holds all of these values.

        Parameters
        ----------
        most : int
        like : Histogram, optional

        Returns
        -------
        edges : (n + 1,) float64
        counts : (n,) int64
        """
        whole = self if like is None else like
        if whole.power is None:
            return np.zeros(1), np.zeros(0, np.int64)
        power = whole.power
        while len((wide := whole.widened(power)).counts) > most:
            power += 1
        counts = np.zeros(len(wide.counts), np.int64)
        mine = self.widened(power)
        counts[mine.first - wide.first : mine.first - wide.first + len(mine.counts)] = mine.counts
        with np.errstate(over="ignore"):  # behind the largest float there is infinity
            edges = np.ldexp(np.arange(len(counts) + 1, dtype=np.float64) + wide.first, power)
        return edges, counts


def _power(low: float, high: float) -> int:
    """Exponent of the narrowest bins of which 4096 hold [low, high]; not so narrow that numbers lose bits.

    Examples
    --------
    >>> _power(0.0, 4095.5), _power(0.0, 4096.0)
    (0, 1)
    """
    largest = max(abs(low), abs(high))
    power = max(math.frexp(largest)[1] - 48, LEAST) if largest else LEAST
    if high > low:
        power = max(power, math.frexp(high - low)[1] - 13)
    while math.floor(math.ldexp(high, -power)) - math.floor(math.ldexp(low, -power)) >= BINS:
        power += 1
    return power
