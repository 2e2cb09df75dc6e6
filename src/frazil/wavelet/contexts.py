"""What is known around a number before it is coded: its parents, its siblings, the finest coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from frazil.entropy.coder import CAP, PAD
from frazil.wavelet.bands import HEIGHT, LEVEL, ORIENTATION, START, WIDTH

if TYPE_CHECKING:
    import numpy.typing as npt

    Plane = npt.NDArray[np.int32]
    Pool = npt.NDArray[np.int32]
    Rows = npt.NDArray[np.int64]

HINT = 4095  # the largest texture

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")
_inline = numba.njit(nogil=True, forceinline=True, error_model="numpy")


@_kernel
def band(pool: Pool, bands: Rows, b: int) -> Plane:
    """View band ``b`` of ``pool`` with its rim."""
    h, w, start = bands[b, HEIGHT] + 2 * PAD, bands[b, WIDTH] + 2 * PAD, bands[b, START]
    return pool[start : start + h * w].reshape((h, w))


@_inline
def _size(value: Any) -> Any:
    return min(abs(value), np.int32(CAP))


@_kernel
def parent_energies(pool: Pool, bands: Rows, b: int, out: Plane) -> None:
    """Add up each magnitude of band ``b``, twice, and the four beside it; ``out`` has the band's rim."""
    out[:] = 0
    if b < 0:
        return
    q = band(pool, bands, b)
    for i in range(PAD, q.shape[0] - PAD):
        above, here, below, o = q[i - 1], q[i], q[i + 1], out[i]
        for j in range(PAD, q.shape[1] - PAD):
            o[j] = (
                2 * _size(here[j])
                + _size(here[j - 1])
                + _size(here[j + 1])
                + _size(above[j])
                + _size(below[j])
            )


@_kernel
def band_contexts(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    pool: Pool, bands: Rows, b: int, energies: Plane, near: Plane, far: Plane, texture: Plane
) -> None:
    """Write the contexts of band ``b``, of orientation 1 to 3.

    ``energies``: of the three parents, shape (3, h, w), rims included, from `parent_energies`. ``near``: the
    parent in the same orientation; ``far``: the siblings coded before (details along x: the other parents);
    ``texture``: the other parents.
    """
    orientation = bands[b, ORIENTATION]
    h, w = bands[b, HEIGHT], bands[b, WIDTH]
    own, other, third = energies[orientation - 1], energies[orientation % 3], energies[(orientation + 1) % 3]
    first = b - (orientation - 1)  # of the siblings, if they are all there
    has_x = (
        orientation > 1
        and first >= 1
        and bands[first, ORIENTATION] == 1
        and bands[first, LEVEL] == bands[b, LEVEL]
    )
    has_y = orientation > 2 and bands[b - 1, ORIENTATION] == 2 and bands[b - 1, LEVEL] == bands[b, LEVEL]
    sx = band(pool, bands, first if has_x else b)
    sy = band(pool, bands, b - 1 if has_y else b)
    for i in range(h):
        y, p = i + PAD, (i >> 1) + PAD
        n, f, t = near[y], far[y], texture[y]
        po, pa, pb = own[p], other[p], third[p]
        for j in range(w):
            q = (j >> 1) + PAD
            n[j + PAD] = (po[q] + 1) >> 1
            t[j + PAD] = min(pa[q] + pb[q], np.int32(HINT))
        if orientation == 1 or not has_x:
            for j in range(w):
                f[j + PAD] = t[j + PAD]
        elif orientation == 2:
            a, c = sx[y], sx[y + 1]
            for j in range(w):
                x = j + PAD
                f[x] = _size(a[x - 1]) + _size(a[x]) + _size(c[x - 1]) + _size(c[x])
        else:
            a, c, d = sx[y], sx[y + 1], sy[y]
            if has_y:
                for j in range(w):
                    x = j + PAD
                    f[x] = _size(a[x]) + _size(c[x]) + _size(d[x]) + _size(d[x + 1])
            else:
                for j in range(w):
                    x = j + PAD
                    f[x] = 2 * (_size(a[x]) + _size(c[x]))


@_kernel
def point_contexts(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    pool: Pool, bands: Rows, h: int, w: int, near: Plane, far: Plane, texture: Plane
) -> None:
    """Write the contexts of a plane's points: what the two finest levels hold.

    ``near``: at the point, finest level; ``far``: there, the eight places around it; ``texture``: at the
    point, next level. Smoother sums and coarser levels were tried and foretell no more.
    """
    fine, coarse = level_energies(pool, bands, h, w, 1), level_energies(pool, bands, h, w, 2)
    for y in range(h):
        n, f, t = near[y + PAD], far[y + PAD], texture[y + PAD]
        i, k = (y >> 1) + PAD, (y >> 2) + PAD
        above, here, below, wide = fine[i - 1], fine[i], fine[i + 1], coarse[k]
        for x in range(w):
            j = (x >> 1) + PAD
            n[x + PAD] = here[j]
            f[x + PAD] = (
                above[j - 1] + above[j] + above[j + 1] + here[j - 1] + here[j + 1]
                + below[j - 1] + below[j] + below[j + 1]
            )  # fmt: skip
            t[x + PAD] = min(wide[(x >> 2) + PAD], np.int32(HINT))


@_kernel
def level_energies(pool: Pool, bands: Rows, h: int, w: int, level: int) -> Plane:
    """Add up the magnitudes of the three orientations of a level; the sums have a rim."""
    side = (1 << level) - 1
    out = np.zeros((((h + side) >> level) + 2 * PAD, ((w + side) >> level) + 2 * PAD), np.int32)
    for b in range(1, bands.shape[0]):
        if bands[b, LEVEL] != level:
            continue
        q = band(pool, bands, b)
        for i in range(PAD, q.shape[0] - PAD):
            row, o = q[i], out[i]
            for j in range(PAD, q.shape[1] - PAD):
                o[j] += _size(row[j])
    return out
