"""Coefficients to whole numbers of steps and back; where the bound varies, the step varies with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba
import numpy as np

from frazil.entropy.coder import PAD
from frazil.wavelet.bands import HEIGHT, LEFT, LEVEL, ORIENTATION, START, TOP, WIDTH

if TYPE_CHECKING:
    import numpy.typing as npt

    Plane = npt.NDArray[np.int32]
    Pool = npt.NDArray[np.int32]
    Rows = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

STEP_BITS = 24  # of a step, below the binary point
SHIFT_BITS = 6
GROUP = 4
FURTHEST = (1 << 30) - 1

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@_kernel
def quantise(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    plane: Plane, widths: Plane, bands: Rows, scales: Rows, price: float, pool: Pool, sums: Floats
) -> None:
    """Write the transformed ``plane``, shape (y, x), into ``pool`` as numbers of steps.

    A magnitude is rounded to the larger number only if the square of the error saved is worth the bits that
    this takes, at ``price`` (in squared steps) a bit, by what the sixteen numbers around cost.
    ``scales``: a band's step for cells of width 1, in ``2 ** -STEP_BITS`` of the plane's units.
    ``widths``: of shape (y, x), or (1, 1) if it is the same everywhere. ``sums``, shape (levels + 1, 2, 2),
    adds up how many magnitudes of 1 and of more there are, and by how much they were larger.
    """
    values = np.empty(GROUP * GROUP)
    for b in range(bands.shape[0]):
        h, w, top, left, start = (
            bands[b, HEIGHT],
            bands[b, WIDTH],
            bands[b, TOP],
            bands[b, LEFT],
            bands[b, START],
        )
        shift = bands[b, LEVEL]
        pitch = w + 2 * PAD
        for i0 in range(0, h, GROUP):
            for j0 in range(0, w, GROUP):
                n, m = min(h - i0, GROUP), min(w - j0, GROUP)
                cell = widths[min(i0 << shift, widths.shape[0] - 1), min(j0 << shift, widths.shape[1] - 1)]
                inverse = (1 << STEP_BITS) / (np.float64(scales[b]) * cell)
                total, most, count = 0.0, 0.0, 0
                for i in range(i0, i0 + n):
                    row = plane[top + i]
                    y = min(i << shift, widths.shape[0] - 1)
                    for j in range(j0, j0 + m):
                        if widths.size > 1:
                            inverse = (1 << STEP_BITS) / (
                                np.float64(scales[b]) * widths[y, min(j << shift, widths.shape[1] - 1)]
                            )
                        value = abs(np.float64(row[left + j])) * inverse
                        values[count] = value
                        count += 1
                        most = max(most, value)
                        total += min(value, 1e6) if value > 0.5 else 0.0
                if most < 0.5:
                    continue
                mean = max(total / count, 0.02)
                more = math.log2((1.0 + mean) / mean)
                first, further = (
                    min(0.5 + 0.5 * price * (more + 1.0), 0.95),
                    min(0.5 + 0.5 * price * more, 0.9),
                )
                count = 0
                for i in range(i0, i0 + n):
                    row = plane[top + i]
                    at = start + (i + PAD) * pitch + PAD
                    for j in range(j0, j0 + m):
                        value = values[count]
                        count += 1
                        if value < first:
                            continue
                        steps = max(1.0, math.floor(min(value + 1.0 - further, np.float64(FURTHEST))))
                        pool[at + j] = np.int32(-steps if row[left + j] < 0 else steps)
                        if bands[b, ORIENTATION]:
                            large = 1 if steps > 1 else 0
                            sums[shift, large, 0] += 1.0
                            sums[shift, large, 1] += value - steps


def shifts(sums: Floats) -> Rows:
    """Return where magnitudes lie beyond their numbers, in the mean, from what `quantise` added up."""
    means = sums[..., 1] / np.maximum(sums[..., 0], 1.0)
    return np.asarray(np.rint(means * (1 << SHIFT_BITS)), np.int64)


@_kernel
def dequantise(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    pool: Pool, widths: Plane, bands: Rows, scales: Rows, shifts: Rows, plane: Plane
) -> None:
    """Write the coefficients that ``pool`` stands for into ``plane``, shape (y, x): undo `quantise`.

    ``shifts``, shape (levels + 1, 2): what is added to magnitudes of 1 and of more, in ``2 ** -SHIFT_BITS``.
    """
    half = 1 << (STEP_BITS + SHIFT_BITS - 1)
    for b in range(bands.shape[0]):
        h, w, top, left, start = (
            bands[b, HEIGHT],
            bands[b, WIDTH],
            bands[b, TOP],
            bands[b, LEFT],
            bands[b, START],
        )
        shift = bands[b, LEVEL]
        one, more = shifts[shift, 0], shifts[shift, 1]
        if bands[b, ORIENTATION] == 0:  # its numbers are large, and nothing pulls them to 0
            one, more = 0, 0
        scale = np.int64(scales[b])
        pitch = w + 2 * PAD
        for i in range(h):
            row = plane[top + i]
            at = start + (i + PAD) * pitch + PAD
            steps = pool[at : at + w]
            near = widths[min(i << shift, widths.shape[0] - 1)]
            for j in range(w):
                q = np.int64(steps[j])
                if q == 0:
                    row[left + j] = 0
                    continue
                step = scale * near[min(j << shift, widths.shape[1] - 1)]
                size = (abs(q) << SHIFT_BITS) + (one if abs(q) == 1 else more)
                size = (size * step + half) >> (STEP_BITS + SHIFT_BITS)
                row[left + j] = np.int32(-size if q < 0 else size)
