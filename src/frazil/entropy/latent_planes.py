"""What is known about a plane of latents before its first one is coded: sums over planes already there.

All is whole numbers. Planes of values and of magnitudes have a rim of `PAD`, in which their edges are
repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from frazil.entropy.tables import ENERGIES, QUARTER

if TYPE_CHECKING:
    import numpy.typing as npt

    Longs = npt.NDArray[np.int64]
    Ints = npt.NDArray[np.int32]

PAD = 2
PLACES = 9  # of a tap: the point itself and its eight neighbours, PLACE_Y and PLACE_X
RINGS = 3  # of a kin: the point itself, the four beside it, the four at the corners
VAST = 1 << 35  # any energy beyond it is of the last class

PLACE_Y = np.array([0, 0, -1, -1, -1, 0, 1, 1, 1], np.int64)
PLACE_X = np.array([0, -1, 0, -1, 1, 1, 0, -1, 1], np.int64)

signed: Any = np.int64  # a mix of signed and unsigned would be a float to numba
_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@_kernel
def energy_class(energy: Any) -> Any:
    """Return ``4 log2`` of an energy of any size, plus 1: ``QUARTER`` of `tables`, continued."""
    more = 0
    while energy >= 4096:
        energy >>= 1
        more += 4
    return min(signed(QUARTER[energy]) + more, ENERGIES - 1)


@_kernel
def add_taps(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    values: Ints, now: int, taps: Ints, weights: Ints, first: int, last: int, mean: Longs
) -> None:
    """Add the taps ``first`` to ``last`` to the means of a plane.

    ``values``, (turns, k, h + 2 PAD, w + 2 PAD): of this sample at [now], of the one before at the other.
    """
    channels = values.shape[1]
    h, w = mean.shape
    for t in range(first, last):
        source = signed(taps[t]) // PLACES
        place = taps[t] - source * PLACES
        weight = signed(weights[t])
        before = source >= channels
        plane = values[now ^ before, source - before * channels]
        dy, dx = PLACE_Y[place] + PAD, PLACE_X[place] + PAD
        for i in range(h):
            row, out = plane[i + dy], mean[i]
            for j in range(w):
                out[j] += weight * row[j + dx]


@_kernel
def add_kin(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    rings: Ints, now: int, kins: Ints, weights: Ints, first: int, last: int, energy: Longs
) -> None:
    """Add the kin ``first`` to ``last`` to the energies of a plane; ``rings``: (turns, k, RINGS, h, w)."""
    channels = rings.shape[1]
    h, w = energy.shape
    for t in range(first, last):
        source = signed(kins[t]) // RINGS
        weight = signed(weights[t])
        before = source >= channels
        ring = rings[now ^ before, source - before * channels, kins[t] - source * RINGS]
        for i in range(h):
            row, out = ring[i], energy[i]
            for j in range(w):
                out[j] += weight * row[j]


@_kernel
def total(energy: Longs, floor: int) -> Any:
    """Sum up the energies of a plane; no sum of such states as a stranger may send runs over."""
    h, w = energy.shape
    out = signed(floor) * h * w
    for i in range(h):
        for j in range(w):
            out += min(energy[i, j], VAST)
    return out


@_kernel
def repeat_edges(plane: Ints) -> None:
    """Repeat the edges of a plane into its rim."""
    h, w = plane.shape[0] - 2 * PAD, plane.shape[1] - 2 * PAD
    for i in range(PAD, PAD + h):
        row = plane[i]
        for e in range(PAD):
            row[e] = row[PAD]
            row[PAD + w + e] = row[PAD + w - 1]
    for e in range(PAD):
        plane[e] = plane[PAD]
        plane[PAD + h + e] = plane[PAD + h - 1]


@_kernel
def write_rings(plane: Ints, out: Ints) -> None:
    """Write a plane of magnitudes, the sums of the four beside each, and of the four at its corners."""
    _, h, w = out.shape
    for i in range(h):
        above, here, below = plane[PAD + i - 1], plane[PAD + i], plane[PAD + i + 1]
        for j in range(w):
            x = j + PAD
            out[0, i, j] = here[x]
            out[1, i, j] = here[x - 1] + here[x + 1] + above[x] + below[x]
            out[2, i, j] = above[x - 1] + above[x + 1] + below[x - 1] + below[x + 1]
