"""What the encoder finds out and sends: stencils by least squares, weights of energies.

Sums of products are whole numbers, so their order does not matter; what is
solved from them is float64 in a fixed order. Decoders never come here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba
import numpy as np

from frazil.entropy.coder import CAP, PAD
from frazil.entropy.tables import ENERGIES, QUARTER
from frazil.interpolation.planes import FRACTION, MOST, counts, features, signed, valid_neighbours

if TYPE_CHECKING:
    import numpy.typing as npt

    Plane = npt.NDArray[np.int32]
    Bytes = npt.NDArray[np.uint8]
    Longs = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")
UNIT = 64  # where cells differ, errors are counted in 1/64 of a cell


@_kernel
def products(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    kind: int,
    coarse: Plane,
    centre: Plane,
    beside: Plane,
    inter: int,
    coarse0: Plane,
    centre0: Plane,
    beside0: Plane,
    before: Plane,
    numbers: Plane,
    m: int,
    masked: bool,
    valid: Bytes,
    valid_coarse: Bytes,
    valid_centre: Bytes,
    varying: bool,
    widths: Plane,
    rows: Plane,
    first: int,
    last: int,
    step: int,
    matrix: Floats,
    vector: Floats,
    scalars: Floats,
) -> None:
    """Add the products of features and targets, in rows ``first`` .. ``last``, to the normal equations.

    ``scalars``: the sum of squared targets, then the number of points, for all rows.
    """
    f = rows[:MOST]
    mean = rows[MOST]
    mean0 = rows[MOST + 1]
    count = rows[MOST + 2]
    target = rows[MOST + 3]
    k = counts(kind, 0)
    used = counts(kind, inter)
    shift = -1
    scale = 1.0
    for i in range(first, last, step):
        features(kind, coarse, centre, beside, i, m, f, mean)
        x = numbers[i + PAD]
        for j in range(m):
            target[j] = 4 * x[j + PAD] - mean[j]
        if inter:
            features(kind, coarse0, centre0, beside0, i, m, f[k + 1 :], mean0)
            row = before[i + PAD]
            extra = f[k]
            for j in range(m):
                extra[j] = 4 * row[j + PAD] - mean0[j]
        points = m
        if masked:
            v = valid[i + PAD]
            valid_neighbours(kind, valid_coarse, valid_centre, i, m, count)
            points = 0
            for j in range(m):
                count[j] = (count[j] >> 2) & v[j + PAD]
                points += count[j]
                target[j] *= count[j]
            if points == 0:
                continue
            for a in range(used):
                fa = f[a]
                for j in range(m):
                    fa[j] *= count[j]
        if varying:
            d = widths[i + PAD]
            for j in range(m):
                target[j] = signed(target[j]) * UNIT // d[j + PAD]
            for a in range(used):
                fa = f[a]
                for j in range(m):
                    fa[j] = signed(fa[j]) * UNIT // d[j + PAD]
        scalars[1] += points * step
        big = np.int32(1)
        for a in range(used):
            fa = f[a]
            for j in range(m):
                big |= abs(fa[j])
        for j in range(m):
            big |= abs(target[j])
        shift = 0
        while (signed(big) >> shift) > 1 << 20:
            shift += 1
        scale = float(1 << shift) * float(1 << shift) * step
        if shift > 0:
            for a in range(used):
                fa = f[a]
                for j in range(m):
                    fa[j] >>= shift
            for j in range(m):
                target[j] >>= shift
        total = signed(0)
        for j in range(m):
            total += signed(target[j]) * target[j]
        scalars[0] += total * scale
        for a in range(used):
            fa = f[a]
            total = signed(0)
            for j in range(m):
                total += signed(fa[j]) * target[j]
            vector[a] += total * scale
            for b in range(a + 1):
                fb = f[b]
                total = signed(0)
                for j in range(m):
                    total += signed(fa[j]) * fb[j]
                matrix[a, b] += total * scale


@_kernel
def solve(matrix: Floats, vector: Floats, n: int, out: Longs) -> None:
    """Find least squares by Cholesky's method; coefficients in ``2 ** -FRACTION``."""
    low = np.zeros((MOST, MOST))
    y = np.zeros(MOST)
    trace = 0.0
    for a in range(n):
        trace += matrix[a, a]
    ridge = 1e-6 * trace / n + 1e-6
    for a in range(n):
        for b in range(a + 1):
            s = matrix[a, b]
            if a == b:
                s += ridge
            for k in range(b):
                s -= low[a, k] * low[b, k]
            if a == b:
                low[a, a] = math.sqrt(max(s, 1e-30))
            else:
                low[a, b] = s / low[b, b]
    for a in range(n):
        s = vector[a]
        for k in range(a):
            s -= low[a, k] * y[k]
        y[a] = s / low[a, a]
    for a in range(n - 1, -1, -1):
        s = y[a]
        for k in range(a + 1, n):
            s -= low[k, a] * y[k]
        y[a] = s / low[a, a]
    for a in range(n):
        out[a] = signed(np.floor(max(-7.9, min(7.9, y[a])) * (1 << FRACTION) + 0.5))


@_kernel
def bits(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    matrix: Floats, vector: Floats, scalars: Floats, stencil: Longs, n: int, width: float
) -> float:
    """Estimate what the numbers of a plane take when predicted by ``stencil``."""
    if scalars[1] == 0:
        return 0.0
    error = scalars[0]
    for a in range(n):
        c = stencil[a] / 4096.0
        if c != 0.0:
            error -= 2 * c * vector[a]
            for b in range(n):
                error += c * (stencil[b] / 4096.0) * (matrix[a, b] if a >= b else matrix[b, a])
    v = 12 * max(error, 0.0) / scalars[1] / (16.0 * width * width)
    return float(0.481 * scalars[1] * math.log(1.0 + v * math.sqrt(v)))


@_kernel
def weigh(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    q: Plane,
    masked: bool,
    valid: Bytes,
    near: Plane,
    far: Plane,
    texture: Plane,
    previous: Plane,
    inter: int,
    n: int,
    m: int,
    step: int,
    weights: Longs,
) -> None:
    """Fit ``weights``, in 1/64 and not negative, so that the energy foretells the magnitude."""
    size = 8
    matrix = np.zeros((size, size))
    vector = np.zeros(size)
    f = np.zeros(size)
    for i in range(step >> 1, n, step):
        y = i + PAD
        for j in range(m):
            x = j + PAD
            if masked and valid[y, x] == 0:
                continue
            f0 = signed(near[y, x])
            f1 = signed(far[y, x])
            f2 = signed(min(abs(q[y - 1, x]), CAP)) if i else signed(0)
            f3 = signed(min(abs(q[y - 1, x - 1]) + abs(q[y - 1, x + 1]), CAP)) if i else signed(0)
            f4 = signed(min(abs(q[y, x - 1]), CAP)) if j else signed(0)
            f5 = signed(min(abs(q[y, x - 2]), CAP)) if j > 1 else signed(0)
            f6 = signed(texture[y, x])
            f7 = signed(min(abs(previous[y, x]), CAP)) if inter else signed(0)
            t = signed(abs(q[y, x]))
            near_by = f0 + f1 + f2 + f3 + f4 + f5 + f7
            if near_by == 0:
                matrix[6, 6] += f6 * f6 * 0.125
                vector[6] += f6 * t * 0.5
                continue
            f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7] = f0, f1, f2, f3, f4, f5, f6 * 0.25, f7
            w = 1.0 / (near_by + 0.5)
            for a in range(size):
                if f[a] != 0.0:
                    wf = w * f[a]
                    vector[a] += wf * t
                    s = matrix[a]  # all of it: what lies above the diagonal does not matter
                    s[0] += wf * f0
                    s[1] += wf * f1
                    s[2] += wf * f2
                    s[3] += wf * f3
                    s[4] += wf * f4
                    s[5] += wf * f5
                    s[6] += wf * (f6 * 0.25)
                    s[7] += wf * f7
    z = np.full(size, 0.1)
    for a in range(size):
        for b in range(a):
            matrix[b, a] = matrix[a, b]
        matrix[a, a] = matrix[a, a] * 1.0001 + 1e-6
    for _ in range(60):  # coordinate descent with the constraint
        for a in range(size):
            s = vector[a]
            for b in range(size):
                if b != a:
                    s -= matrix[a, b] * z[b]
            z[a] = max(0.0, s / matrix[a, a])
    for a in range(size):
        weights[a] = signed(min(255.0, np.floor(z[a] * 64 + 0.5)))


@_kernel
def worth(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    q: Plane,
    masked: bool,
    valid: Bytes,
    near: Plane,
    far: Plane,
    texture: Plane,
    previous: Plane,
    inter: int,
    n: int,
    m: int,
    step: int,
    weights: Longs,
) -> float:
    """Estimate the bits of the magnitudes if each class of energy had a geometric distribution of its own."""
    number = np.zeros(ENERGIES, np.int64)
    total = np.zeros(ENERGIES, np.int64)
    energies = np.zeros(m, np.int32)
    w0 = np.int32(weights[0])
    w1 = np.int32(weights[1])
    w2 = np.int32(weights[2])
    w3 = np.int32(weights[3])
    w4 = np.int32(weights[4])
    w5 = np.int32(weights[5])
    w6 = np.int32(weights[6])
    w7 = np.int32(weights[7])
    cap = np.int32(CAP)
    for i in range(step >> 1, n, step):
        y = i + PAD
        g1 = near[y]
        g2 = far[y]
        tx = texture[y]
        here = q[y]
        north = q[y - 1]
        for j in range(m):
            energies[j] = w0 * g1[j + PAD] + w1 * g2[j + PAD] + ((w6 * tx[j + PAD]) >> 2)
        if i:
            for j in range(m):
                x = j + PAD
                energies[j] += w2 * min(abs(north[x]), cap)
                energies[j] += w3 * min(abs(north[x - 1]) + abs(north[x + 1]), cap)
        for j in range(1, m):
            energies[j] += w4 * min(abs(here[j + PAD - 1]), cap)
        for j in range(2, m):
            energies[j] += w5 * min(abs(here[j + PAD - 2]), cap)
        if inter:
            before = previous[y]
            for j in range(m):
                energies[j] += w7 * min(abs(before[j + PAD]), cap)
        v = valid[y * masked]
        for j in range(m):
            if masked and v[j + PAD] == 0:
                continue
            e = signed(energies[j])
            more = 0
            while e >= 4096:
                e >>= 1
                more += 4
            k = np.uintp(min(QUARTER[np.uintp(e)] + more, ENERGIES - 1))
            number[k] += 1
            total[k] += abs(here[j + PAD])
    cost = 0.0
    for c in range(ENERGIES):
        if total[c]:
            mean = total[c] / number[c]
            cost += number[c] * math.log(1.0 + mean) + total[c] * math.log(1.0 + 1.0 / mean)
    return float(cost * 1.4427 * step)
