"""Prediction of the points between those already known: kernels on the planes of one level.

A level's grid has four quarters: the COARSE one (even row, even column), known
from the level before, then, each predicted from all before it,

    kind 0  the CENTRES  (odd row, odd column)
    kind 1  the BESIDES  (even row, odd column)
    kind 2  the BELOWS   (odd row, even column)

Each is an int32 array with a rim of `PAD` points that repeats its edge or, around
the globe, goes on at the other side. A prediction is the mean of the four nearest
points plus a weighted sum of FEATURES, symmetric sums of further ones less that
mean; all are kept times 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from frazil.entropy.coder import CAP, PAD

if TYPE_CHECKING:
    import numpy.typing as npt

    Plane = npt.NDArray[np.int32]
    Bytes = npt.NDArray[np.uint8]
    Longs = npt.NDArray[np.int64]

signed: Any = np.int64  # a mix of signed and unsigned would be a float to numba
small: Any = np.int32
kernel = numba.njit(cache=True, nogil=True, error_model="numpy")

FRACTION = 12  # bits behind the point of a stencil's coefficients
FURTHEST = 1 << 28  # predictions stay within it
MOST = 13  # features, those of the plane before among them


@kernel
def counts(kind: int, inter: int) -> int:
    """Return how many features the prediction of ``kind`` has."""
    k = 3 if kind == 0 else 5 if kind == 1 else 6
    return 2 * k + 1 if inter else k


@kernel
def view(flat: Any, n: int, m: int) -> Any:
    """Return the first (n + rim, m + rim) numbers of ``flat`` as a plane."""
    y, x = n + 2 * PAD, m + 2 * PAD
    return flat[: y * x].reshape((y, x))


@kernel
def rim(a: Plane, n: int, m: int, wrap: bool) -> None:
    """Fill the rim of ``a``."""
    if n == 0 or m == 0:
        return
    for i in range(PAD, PAD + n):
        row = a[i]
        if wrap:
            for k in range(PAD):
                row[k] = row[m + k]
                row[PAD + m + k] = row[PAD + k]
        else:
            for k in range(PAD):
                row[k] = row[PAD]
                row[PAD + m + k] = row[PAD + m - 1]
    for k in range(PAD):
        for j in range(m + 2 * PAD):
            a[k, j] = a[PAD, j]
            a[PAD + n + k, j] = a[PAD + n - 1, j]


@kernel
def gather(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    source: Any, top: int, left: int, step: int, n: int, m: int, out: Any
) -> None:
    """Copy every ``step``-th point of ``source`` (y, x) from (top, left) on into the plane ``out``."""
    for i in range(n):
        row = source[top + i * step]
        o = out[i + PAD]
        for j in range(m):
            o[j + PAD] = row[left + j * step]


@kernel
def features(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    kind: int, coarse: Plane, centre: Plane, beside: Plane, i: int, m: int, f: Plane, mean: Any
) -> int:
    """Put 4 x the mean of the four nearest of row i into ``mean``, features into ``f``; return how many."""
    y = i + PAD
    o = PAD  # a loop writes one row or two: of more a compiler does not see that they do not overlap
    if kind == 0:
        a = coarse[y - 1]
        b = coarse[y]
        c = coarse[y + 1]
        d = coarse[y + 2]
        f0 = f[0]
        f1 = f[1]
        f2 = f[2]
        for j in range(m):
            x = j + o
            g = b[x] + b[x + 1] + c[x] + c[x + 1]
            mean[j] = g
            f0[j] = b[x - 1] + b[x + 2] + c[x - 1] + c[x + 2] - g
        for j in range(m):
            x = j + o
            f1[j] = a[x] + a[x + 1] + d[x] + d[x + 1] - mean[j]
        for j in range(m):
            x = j + o
            f2[j] = a[x - 1] + a[x + 2] + d[x - 1] + d[x + 2] - mean[j]
        return 3
    if kind == 1:
        a = coarse[y - 1]
        b = coarse[y]
        c = coarse[y + 1]
        p = centre[y - 2]
        q = centre[y - 1]
        r = centre[y]
        s = centre[y + 1]
        f0 = f[0]
        f1 = f[1]
        f2 = f[2]
        f3 = f[3]
        f4 = f[4]
        for j in range(m):
            x = j + o
            h = b[x] + b[x + 1]
            v = q[x] + r[x]
            g = h + v
            mean[j] = g
            f0[j] = 2 * (h - v)
        for j in range(m):
            x = j + o
            f1[j] = q[x - 1] + q[x + 1] + r[x - 1] + r[x + 1] - mean[j]
        for j in range(m):
            x = j + o
            f2[j] = a[x] + a[x + 1] + c[x] + c[x + 1] - mean[j]
        for j in range(m):
            x = j + o
            f3[j] = 2 * (p[x] + s[x]) - mean[j]
        for j in range(m):
            x = j + o
            f4[j] = 2 * (b[x - 1] + b[x + 2]) - mean[j]
        return 5
    a = coarse[y - 1]
    b = coarse[y]
    c = coarse[y + 1]
    d = coarse[y + 2]
    p = centre[y - 1]
    q = centre[y]
    r = centre[y + 1]
    s = beside[y]
    t = beside[y + 1]
    f0 = f[0]
    f1 = f[1]
    f2 = f[2]
    f3 = f[3]
    f4 = f[4]
    f5 = f[5]
    for j in range(m):
        x = j + o
        v = b[x] + c[x]
        h = q[x - 1] + q[x]
        g = h + v
        mean[j] = g
        f0[j] = 2 * (h - v)
    for j in range(m):
        x = j + o
        f1[j] = p[x - 1] + p[x] + r[x - 1] + r[x] - mean[j]
    for j in range(m):
        x = j + o
        f2[j] = b[x - 1] + b[x + 1] + c[x - 1] + c[x + 1] - mean[j]
    for j in range(m):
        x = j + o
        f3[j] = 2 * (a[x] + d[x]) - mean[j]
    for j in range(m):
        x = j + o
        f4[j] = 2 * (q[x - 2] + q[x + 1]) - mean[j]
    for j in range(m):
        x = j + o
        f5[j] = s[x - 1] + s[x] + t[x - 1] + t[x] - mean[j]
    return 6


@kernel
def valid_neighbours(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    kind: int, coarse: Bytes, centre: Bytes, i: int, m: int, count: Any
) -> bool:
    """Count the valid ones among the four nearest along row i; say whether some point has 1, 2 or 3."""
    y = i + PAD
    a = coarse[y]
    b = coarse[y + 1]
    c = centre[y - 1]
    d = centre[y]
    some = small(0)
    if kind == 0:
        for j in range(m):
            count[j] = small(a[j + PAD]) + small(a[j + PAD + 1]) + small(b[j + PAD]) + small(b[j + PAD + 1])
    elif kind == 1:
        for j in range(m):
            count[j] = small(a[j + PAD]) + small(a[j + PAD + 1]) + small(c[j + PAD]) + small(d[j + PAD])
    else:
        for j in range(m):
            count[j] = small(a[j + PAD]) + small(b[j + PAD]) + small(d[j + PAD - 1]) + small(d[j + PAD])
    for j in range(m):
        some |= count[j] & 3
    return bool(some != 0)


@kernel
def predict(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    kind: int,
    coarse: Plane,
    centre: Plane,
    beside: Plane,
    inter: int,
    coarse0: Plane,
    centre0: Plane,
    beside0: Plane,
    before: Plane,
    n: int,
    m: int,
    masked: bool,
    valid_coarse: Bytes,
    valid_centre: Bytes,
    stencil: Longs,
    bands: int,
    varying: bool,
    width: int,
    widths: Plane,
    rows: Plane,
    sums: Longs,
    out: Plane,
    texture: Plane,
) -> None:
    """Predict the plane ``kind`` into ``out`` and say how rough it is around in ``texture``, 0 .. 4095."""
    f = rows[:MOST]
    mean = rows[MOST]
    mean0 = rows[MOST + 1]
    count = rows[MOST + 2]
    inverse = small((1 << 26) // width)
    half = small((1 << 29) - 1)
    most = small((1 << 31) - 1)
    k = counts(kind, 0)
    for i in range(n):
        features(kind, coarse, centre, beside, i, m, f, mean)
        used = k
        if inter:
            features(kind, coarse0, centre0, beside0, i, m, f[k + 1 :], mean0)
            row = before[i + PAD]
            extra = f[k]
            for j in range(m):
                extra[j] = 4 * row[j + PAD] - mean0[j]
            used = 2 * k + 1
        coefficients = stencil[(i * bands) // n]
        for j in range(m):
            sums[j] = signed(mean[j]) * (1 << FRACTION) + (1 << (FRACTION + 1))
        for a in range(
            0, used, 7
        ):  # seven at a time: a product of two int32 is one instruction for several points
            c0 = small(coefficients[a])
            c1 = small(coefficients[a + 1]) if a + 1 < used else small(0)
            c2 = small(coefficients[a + 2]) if a + 2 < used else small(0)
            c3 = small(coefficients[a + 3]) if a + 3 < used else small(0)
            c4 = small(coefficients[a + 4]) if a + 4 < used else small(0)
            c5 = small(coefficients[a + 5]) if a + 5 < used else small(0)
            c6 = small(coefficients[a + 6]) if a + 6 < used else small(0)
            f0 = f[a]
            f1 = f[min(a + 1, MOST - 1)]
            f2 = f[min(a + 2, MOST - 1)]
            f3 = f[min(a + 3, MOST - 1)]
            f4 = f[min(a + 4, MOST - 1)]
            f5 = f[min(a + 5, MOST - 1)]
            f6 = f[min(a + 6, MOST - 1)]
            for j in range(m):
                sums[j] += (
                    signed(c0) * signed(f0[j])
                    + signed(c1) * signed(f1[j])
                    + signed(c2) * signed(f2[j])
                    + signed(c3) * signed(f3[j])
                    + signed(c4) * signed(f4[j])
                    + signed(c5) * signed(f5[j])
                    + signed(c6) * signed(f6[j])
                )
        p = out[i + PAD]
        t = texture[i + PAD]
        f0 = f[0]
        f1 = f[1]
        for j in range(m):
            p[j + PAD] = min(max(sums[j] >> (FRACTION + 2), -FURTHEST), FURTHEST)
        if varying:
            d = widths[i + PAD]
            for j in range(m):
                rough = small(min(abs(f0[j]) & most, half) + min(abs(f1[j]) & most, half))
                t[j + PAD] = min(signed(rough) * 4 // d[j + PAD], 4095)
        else:
            for j in range(m):
                rough = small(min(abs(f0[j]) & most, half) + min(abs(f1[j]) & most, half))
                t[j + PAD] = min((signed(rough) * signed(inverse)) >> 24, 4095)
        if masked and valid_neighbours(kind, valid_coarse, valid_centre, i, m, count):
            y = i + PAD
            for j in range(m):
                c = count[j]
                if c & 3 == 0:
                    continue
                x = j + PAD
                total = signed(valid_coarse[y, x]) * coarse[y, x]
                if kind == 0:
                    total += signed(valid_coarse[y, x + 1]) * coarse[y, x + 1]
                    total += signed(valid_coarse[y + 1, x]) * coarse[y + 1, x]
                    total += signed(valid_coarse[y + 1, x + 1]) * coarse[y + 1, x + 1]
                elif kind == 1:
                    total += signed(valid_coarse[y, x + 1]) * coarse[y, x + 1]
                    total += signed(valid_centre[y - 1, x]) * centre[y - 1, x]
                    total += signed(valid_centre[y, x]) * centre[y, x]
                else:
                    total += signed(valid_coarse[y + 1, x]) * coarse[y + 1, x]
                    total += signed(valid_centre[y, x - 1]) * centre[y, x - 1]
                    total += signed(valid_centre[y, x]) * centre[y, x]
                p[x] = total if c == 1 else total >> 1 if c == 2 else total // 3


@kernel
def contexts(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    kind: int,
    coarse: Plane,
    centre: Plane,
    beside: Plane,
    n: int,
    m: int,
    near: Plane,
    far: Plane,
    signs: Plane,
) -> None:
    """Collect energies and signs of the numbers known around each point, for the coder."""
    cap = small(CAP)
    for i in range(n):
        y = i + PAD
        g1 = near[y]
        g2 = far[y]
        sg = signs[y]
        if kind == 0:
            a = coarse[y - 1]
            b = coarse[y]
            c = coarse[y + 1]
            d = coarse[y + 2]
            for x in range(PAD, m + PAD):
                g1[x] = (
                    min(abs(b[x]), cap)
                    + min(abs(b[x + 1]), cap)
                    + min(abs(c[x]), cap)
                    + min(abs(c[x + 1]), cap)
                )
            for x in range(PAD, m + PAD):
                g2[x] = (
                    min(abs(a[x]), cap)
                    + min(abs(a[x + 1]), cap)
                    + min(abs(b[x - 1]), cap)
                    + min(abs(b[x + 2]), cap)
                    + min(abs(c[x - 1]), cap)
                    + min(abs(c[x + 2]), cap)
                    + min(abs(d[x]), cap)
                    + min(abs(d[x + 1]), cap)
                )
            for x in range(PAD, m + PAD):
                sg[x] = 4
        elif kind == 1:
            b = coarse[y]
            q = centre[y - 1]
            r = centre[y]
            for x in range(PAD, m + PAD):
                g1[x] = min(abs(b[x]), cap) + min(abs(b[x + 1]), cap)
            for x in range(PAD, m + PAD):
                g2[x] = min(abs(q[x]), cap) + min(abs(r[x]), cap)
            for x in range(PAD, m + PAD):
                sg[x] = (small(q[x] > 0) - small(q[x] < 0)) * 3 + small(r[x] > 0) - small(r[x] < 0) + 4
        else:
            b = coarse[y]
            c = coarse[y + 1]
            r = centre[y]
            s = beside[y]
            t = beside[y + 1]
            for x in range(PAD, m + PAD):
                g1[x] = (
                    min(abs(b[x]), cap) + min(abs(c[x]), cap) + min(abs(r[x - 1]), cap) + min(abs(r[x]), cap)
                )
            for x in range(PAD, m + PAD):
                g2[x] = (
                    min(abs(s[x - 1]), cap)
                    + min(abs(s[x]), cap)
                    + min(abs(t[x - 1]), cap)
                    + min(abs(t[x]), cap)
                )
            for x in range(PAD, m + PAD):
                sg[x] = (
                    (small(r[x - 1] > 0) - small(r[x - 1] < 0)) * 3 + small(r[x] > 0) - small(r[x] < 0) + 4
                )


@kernel
def snap(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    p: Plane, n: int, m: int, varying: bool, width: int, widths: Plane
) -> None:
    """Move predictions to the nearest multiple of the cell's width."""
    for i in range(PAD, n + PAD):
        row = p[i]
        d = signed(width)
        for j in range(PAD, m + PAD):
            if varying:
                d = signed(widths[i, j])
            row[j] = (2 * signed(row[j]) + d) // (2 * d) * d


@kernel
def quantise(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    x: Plane,
    p: Plane,
    n: int,
    m: int,
    masked: bool,
    valid: Bytes,
    varying: bool,
    width: int,
    widths: Plane,
    q: Plane,
) -> None:
    """Find the number of the cell around the prediction ``p`` that holds ``x``; 0 where nothing is valid."""
    half = np.float64(width >> 1)
    d = np.float64(width)  # doubles divide faster, and whole numbers below 2^53 are exact in them
    for i in range(PAD, n + PAD):
        xi = x[i]
        pi = p[i]
        qi = q[i]
        if varying:
            di = widths[i]
            for j in range(PAD, m + PAD):
                qi[j] = small(
                    np.floor(
                        (np.float64(xi[j]) - np.float64(pi[j]) + np.float64(small(di[j] >> 1)))
                        / np.float64(di[j])
                    )
                )
        else:
            for j in range(PAD, m + PAD):
                qi[j] = small(np.floor((np.float64(xi[j]) - np.float64(pi[j]) + half) / d))
        if masked:
            v = valid[i]
            for j in range(PAD, m + PAD):
                qi[j] *= v[j]


@kernel
def rebuild(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    p: Plane, q: Plane, n: int, m: int, varying: bool, width: int, widths: Plane, out: Plane
) -> None:
    """Put the middle of the cell ``q`` around the prediction ``p`` into ``out``."""
    for i in range(PAD, n + PAD):
        pi = p[i]
        qi = q[i]
        o = out[i]
        if varying:
            di = widths[i]
            for j in range(PAD, m + PAD):
                o[j] = pi[j] + qi[j] * di[j]
        else:
            for j in range(PAD, m + PAD):
                o[j] = pi[j] + qi[j] * width


@kernel
def interleave(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    coarse: Plane, centre: Plane, beside: Plane, below: Plane, h: int, w: int, out: Plane, pad: int
) -> None:
    """Put the four quarters of a level together into ``out`` (h, w) with a rim of ``pad``."""
    for y in range(h):
        o = out[y + pad]
        i = (y >> 1) + PAD
        if y & 1:
            a = below[i]
            b = centre[i]
        else:
            a = coarse[i]
            b = beside[i]
        for x in range(w >> 1):
            o[pad + 2 * x] = a[PAD + x]
            o[pad + 2 * x + 1] = b[PAD + x]
        if w & 1:
            o[pad + w - 1] = a[PAD + (w >> 1)]


@kernel
def coarsest(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    decoding: bool,
    x: Plane,
    masked: bool,
    valid: Bytes,
    h: int,
    w: int,
    aligned: bool,
    varying: bool,
    width: int,
    widths: Plane,
    inter: bool,
    before: Plane,
    q: Plane,
    out: Plane,
) -> None:
    """Code the coarsest grid, point by point: as the plane before, or W + N - NW."""
    last = signed(0)
    for i in range(PAD, h + PAD):
        for j in range(PAD, w + PAD):
            d = signed(widths[i, j]) if varying else signed(width)
            above = i > PAD and (not masked or valid[i - 1, j] != 0)
            west = j > PAD and (not masked or valid[i, j - 1] != 0)
            if inter:
                p = signed(before[i, j])
            elif above and west and (not masked or valid[i - 1, j - 1] != 0):
                p = signed(out[i, j - 1]) + out[i - 1, j] - out[i - 1, j - 1]
            elif above and not west:
                p = signed(out[i - 1, j])
            else:
                p = last
            p = min(max(p, -FURTHEST), FURTHEST)
            if aligned:
                p = (2 * p + d) // (2 * d) * d
            if masked and valid[i, j] == 0:
                q[i, j] = 0
                out[i, j] = p
                if not inter:
                    out[i, j] = last
                continue
            if not decoding:
                q[i, j] = (signed(x[i, j]) - p + (d >> 1)) // d
            out[i, j] = p + q[i, j] * d
            last = signed(out[i, j])
