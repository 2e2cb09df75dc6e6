"""What a stream will take at each of several steps, foretold from the coefficients alone.

The transform is almost orthogonal, so the squared errors of the coefficients
over a block of points are those of its points, and how many of these leave
their cells follows from a normal distribution (a mixture of several, for
errors vary within a block). What coefficients cost follows from a geometric
distribution with the mean of sixteen of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numba
import numpy as np

from frazil.wavelet.bands import HEIGHT, LEFT, LEVEL, TOP, WIDTH

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.wavelet.bands import Layout

    Plane = npt.NDArray[np.int32]
    Rows = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

BLOCK_BITS = 4
GROUP = 4
THINNED = 2  # levels of which only some rows of blocks are looked at
#: Steps that are tried, in cell widths.
STEPS: Floats = np.exp2(np.arange(-1, 7, dtype=np.float64) / 2)
SPREADS = 512  # entries of a table, 32 to the octave from 2**-8
MIXTURE = 0.2  # standard deviation of the logarithm of the errors' spread
FADE = 0.5  # octaves of sparse points' codes saved for each level by which errors are smoother
DENSE = 3.0  # ... and nothing is saved from 1/3 bit a point on

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@lru_cache(maxsize=1)
def _point_bits() -> Floats:
    """Bits of the code of a point whose error has a spread of 2**(k / 32 - 8) cells."""
    pure = np.empty(SPREADS)
    for k in range(SPREADS):
        s = 2.0 ** (k / 32 - 8)
        if s > 8:
            pure[k] = math.log2(s * math.sqrt(2 * math.pi * math.e))
            continue
        tail = [0.5 * math.erfc((j + 0.5) / s / math.sqrt(2)) for j in range(80)]
        share = [1 - 2 * tail[0]] + [2 * (a - b) for a, b in pairwise(tail)]
        pure[k] = -sum(p * math.log2(p / (1 if j == 0 else 2)) for j, p in enumerate(share) if p > 1e-12)
    offsets = np.linspace(-3, 3, 25)
    weights = np.exp(-(offsets**2) / 2)
    factors = np.exp(MIXTURE * offsets)
    factors /= np.sqrt((weights * factors**2).sum() / weights.sum())
    shifted = np.arange(SPREADS)[:, None] + np.rint(32 * np.log2(factors)).astype(int)
    return np.asarray((pure[np.clip(shifted, 0, SPREADS - 1)] * weights).sum(1) / weights.sum())


@lru_cache(maxsize=1)
def _group_bits() -> Floats:
    """Bits of a number, with its sign, where magnitudes are k / 64 in the mean."""
    mean = np.maximum(np.arange(4096) / 64, 1e-9)
    return np.asarray((mean + 1) * np.log2(mean + 1) - mean * np.log2(mean) + mean / (1 + mean))


@_kernel
def _tally(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    plane: Plane,
    widths: Plane,
    bands: Rows,
    scales: Floats,
    steps: Floats,
    offset: float,
    every: int,
    table: Floats,
    errors: Floats,
    faded: Floats,
    bits: Floats,
) -> None:
    """Add up, for each of ``steps``, the bits of the coefficients of ``plane`` and their errors.

    ``scales``: a band's step for cells of width 1, in units of the plane. ``errors``, ``faded``: shape
    (blocks in y, blocks in x, steps): squared errors in cell widths, and those weighted by level.
    """
    tries = steps.size
    values = np.empty(GROUP * GROUP)
    for b in range(bands.shape[0]):
        level, h, w, top, left = (
            bands[b, LEVEL],
            bands[b, HEIGHT],
            bands[b, WIDTH],
            bands[b, TOP],
            bands[b, LEFT],
        )
        weight = 2.0 ** (-FADE * (level - 1))
        thinned = every > 1 and 1 <= level <= THINNED
        for i0 in range(0, h, GROUP):
            if thinned and ((i0 << level) >> BLOCK_BITS) % every:
                continue
            share = every if thinned else 1
            for j0 in range(0, w, GROUP):
                y0, x0 = min(i0 << level, widths.shape[0] - 1), min(j0 << level, widths.shape[1] - 1)
                scale = 1.0 / (scales[b] * widths[y0, x0])
                n, m = min(h - i0, GROUP), min(w - j0, GROUP)
                count = 0
                largest = 0.0
                for i in range(i0, i0 + n):
                    for j in range(j0, j0 + m):
                        values[count] = abs(plane[top + i, left + j]) * scale
                        largest = max(largest, values[count])
                        count += 1
                for k in range(tries):
                    inverse, total, error = 1.0 / steps[k], 0.0, 0.0
                    if level > THINNED:  # a group is more than a block
                        for t in range(count):
                            q = math.floor(values[t] * inverse + offset)
                            e = values[t] - q * steps[k]
                            total += q
                            by = min(((i0 + t // m) << level) >> BLOCK_BITS, errors.shape[0] - 1)
                            bx = min(((j0 + t % m) << level) >> BLOCK_BITS, errors.shape[1] - 1)
                            errors[by, bx, k] += e * e
                            faded[by, bx, k] += e * e * weight
                    else:
                        if largest * inverse + offset < 1.0:
                            for t in range(count):
                                error += values[t] * values[t]
                        else:
                            for t in range(count):
                                q = math.floor(values[t] * inverse + offset)
                                e = values[t] - q * steps[k]
                                total += q
                                error += e * e
                        by = min((i0 << level) >> BLOCK_BITS, errors.shape[0] - 1)
                        bx = min((j0 << level) >> BLOCK_BITS, errors.shape[1] - 1)
                        errors[by, bx, k] += error
                        faded[by, bx, k] += error * weight
                    mean = total / count
                    if mean < 63.0:
                        bits[k] += share * count * table[np.int64(mean * 64)]
                    else:
                        bits[k] += share * count * math.log2(mean * math.e * 2)


@dataclass(frozen=True)
class Forecast:
    """Sums over planes whose errors mix: bits of coefficients, squared errors of blocks of points.

    Parameters
    ----------
    steps : ndarray of float64
        In cell widths.
    counts : ndarray of int32, shape (blocks in y, blocks in x)
        Points with data in each block of 16 x 16.
    every : int
        Of the finest levels, one row of blocks of so many is looked at.
    """

    steps: Floats
    counts: Plane
    every: int
    errors: Floats
    faded: Floats
    bits: Floats

    @classmethod
    def start(cls, steps: Floats, counts: Plane, every: int) -> Forecast:
        """Start with no plane."""
        blocks = (*counts.shape, len(steps))
        return cls(steps, counts, every, np.zeros(blocks), np.zeros(blocks), np.zeros(len(steps)))

    def add(
        self,
        coefficients: Plane,
        widths: Plane,
        tile: Layout,
        *,
        unit: float,
        threshold: float,
        fade: float = 1.0,
    ) -> None:
        """Add a plane of coefficients, shape (y, x), from `frazil.wavelet.lifting.forward`.

        ``widths``: of the cells, shape (y, x) or (1, 1). ``unit``: what the coefficients' unit is of the
        numbers', times ``2 ** -NORM_BITS``. Magnitudes round up from ``threshold``. ``fade``: how much less
        the codes of sparse points cost because errors are smooth across planes.
        """
        scales = (tile.norms * unit).astype(np.float64)
        faded = np.zeros_like(self.faded)
        _tally(
            coefficients, widths, tile.bands, scales, self.steps, 1 - threshold, self.every,
            _group_bits(), self.errors, faded, self.bits,
        )  # fmt: skip
        self.faded[...] += fade * faded

    def total(self, planes: int) -> Floats:
        """Return the bits of coefficients and points at each step; ``planes`` were added."""
        looked = slice(None, None, self.every)
        errors, counts = np.maximum(self.errors[looked], 1e-12), self.counts[looked, :, None]
        spread = np.sqrt(errors / planes) / (1 << BLOCK_BITS)
        at = np.clip(32 * (np.log2(spread) + 8), 0, SPREADS - 1).astype(np.int64)
        each = _point_bits()[at]
        smooth = self.faded[looked] / errors
        shares = smooth + (1 - smooth) * np.minimum(1, DENSE * each)
        seen = max(float(counts.sum()), 1.0)
        codes = (each * shares * counts).sum((0, 1)) * (float(self.counts.sum()) / seen)
        return np.asarray(self.bits + codes * planes)


def block_counts(valid: npt.NDArray[np.bool_] | None, y: int, x: int) -> Plane:
    """Count the points with data in each block."""
    side = 1 << BLOCK_BITS
    rows, columns = np.arange(0, y, side), np.arange(0, x, side)
    if valid is None:
        tall, wide = np.minimum(side, y - rows), np.minimum(side, x - columns)
        return np.asarray(tall[:, None] * wide[None, :], np.int32)
    by_row = np.add.reduceat(valid, rows, axis=0, dtype=np.int32)
    return np.asarray(np.add.reduceat(by_row, columns, axis=1, dtype=np.int32))


def best(bits: Floats) -> float:
    """Return the step with the fewest bits, between those tried (a parabola through the best three)."""
    k = int(np.argmin(bits))
    if not 0 < k < len(bits) - 1:
        return float(STEPS[k])
    below, here, above = np.log(np.maximum(bits[k - 1 : k + 2], 1.0))
    bend = below - 2 * here + above
    shift = 0.5 * (below - above) / bend if bend > 1e-9 else 0.0
    return float(STEPS[k] * 2.0 ** (0.5 * max(-0.5, min(0.5, shift))))
