"""The closed loop between numbers, what a base codec makes of them, and the codes of the difference.

The base misses a number by e. What it missed at neighbours that are rebuilt
already, and in the plane before, foretells some of e; the rest is a whole
number of cells. Where the base is the same whole numbers everywhere, how it
bends foretells some of e too, and how large the codes will be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from frazil.entropy.coder import PAD

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]

TERMS = 12  # W, N, NW, NE, the base's bends along x and y; then of the plane before: here, W, E, N, S; WW
PLACES = 10  # binary places of a coefficient
REACH = 1 << 29  # |e| stays below: sums with any number fit 32 bits
NEAR, HINT = 1 << 16, 4095
SAMPLE = 1 << 16  # points that a fit looks at

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")
signed: Any = np.int64  # as numba needs it; to a type checker a number
_inline = numba.njit(nogil=True, forceinline=True, error_model="numpy")


@_inline
def _terms(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    base: Any, e: Any, last: Any, i: int, j: int, by_base: bool, with_last: bool, f: Any
) -> None:
    """Write what foretells point (i, j); ``e`` and ``last`` have rims."""
    y, x = i + PAD, j + PAD
    f[0] = e[y, x - 1]
    f[1] = e[y - 1, x]
    f[2] = e[y - 1, x - 1]
    f[3] = e[y - 1, x + 1]
    if by_base:
        h, w = base.shape
        v = 2 * signed(base[i, j])
        f[4] = signed(base[i, max(j - 1, 0)]) + base[i, min(j + 1, w - 1)] - v
        f[5] = signed(base[max(i - 1, 0), j]) + base[min(i + 1, h - 1), j] - v
    if with_last:
        f[6] = last[y, x]
        f[7] = last[y, x - 1]
        f[8] = last[y, x + 1]
        f[9] = last[y - 1, x]
        f[10] = last[y + 1, x]
    f[11] = e[y, x - 2]


@_kernel
def fit(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    numbers: Ints, base: Ints, valid: Any, masked: bool, widths: Any, by_base: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Add up the normal equations of e over a stack, shape (n, y, x), as if nothing were rounded.

    Each point counts by the inverse square of its cell's width. The rounding of
    what is known by then is a noise of a twelfth of a square of a cell.
    """
    n, h, w = numbers.shape
    normal, right, f = np.zeros((TERMS, TERMS)), np.zeros(TERMS), np.zeros(TERMS, np.int64)
    e = np.zeros((2, h + 2 * PAD, w + 2 * PAD), np.int32)
    every = max(1, n * h * w // SAMPLE)
    start = 0
    for p in range(n):
        here, last = e[p & 1], e[(p + 1) & 1]
        for i in range(h):
            for j in range(w):
                off = signed(numbers[p, i, j]) - base[p, i, j]
                there = not masked or valid[p, i, j]
                here[i + PAD, j + PAD] = max(-REACH, min(REACH, off)) if there else 0
        count = h * w
        while start < count:
            i, j = start // w, start % w
            start += every
            if masked and not valid[p, i, j]:
                continue
            _terms(base[p], here, last, i, j, by_base, p > 0, f)
            d = np.float64(widths[p % widths.shape[0], i % widths.shape[1], j % widths.shape[2]])
            weight = 1.0 / (d * d)
            for a in range(TERMS):
                if f[a] != 0:
                    right[a] += weight * f[a] * here[i + PAD, j + PAD]
                    for b in range(a + 1):
                        normal[a, b] += weight * f[a] * f[b]
            for a in range(TERMS):
                if a < 4 or a > 5:
                    normal[a, a] += 1.0 / 12
        start -= count
    for a in range(TERMS):
        for b in range(a):
            normal[b, a] = normal[a, b]
        normal[a, a] += 1e-6 * (1 + normal[a, a])
    return normal, right


@_kernel
def close(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    numbers: Any,
    codes: Ints,
    base: Ints,
    valid: Any,
    masked: bool,
    widths: Any,
    coefficients: Any,
    by_base: bool,
    aligned: bool,
    decoding: bool,
    rebuilt: Ints,
) -> None:
    """Turn ``numbers`` into ``codes``, or only codes into ``rebuilt``; all of shape (n, y, x).

    ``widths``: shape (n, y, x) or (1, 1, 1). ``coefficients``: int64, `TERMS`, in 2**-PLACES.
    """
    n, h, w = base.shape
    some = coefficients.any()
    e = np.zeros((2, h + 2 * PAD, w + 2 * PAD), np.int32)
    c = np.zeros(TERMS, np.int64)
    c[:] = coefficients
    half = signed(1) << (PLACES - 1)
    uniform = widths.size == 1
    one = signed(widths[0, 0, 0])
    for p in range(n):
        here, last = e[p & 1], e[(p + 1) & 1]
        plane = base[p]
        dp = widths[0 if uniform else p]
        with_last = p > 0 and (c[6] | c[7] | c[8] | c[9] | c[10]) != 0
        for i in range(h):
            y = i + PAD
            mine, above = here[y], here[y - 1]
            middle = plane[i]
            upper, lower = plane[max(i - 1, 0)], plane[min(i + 1, h - 1)]
            west = signed(0)
            west2 = signed(0)
            for j in range(w):
                x = j + PAD
                b = signed(middle[j])
                if masked and not valid[p, i, j]:
                    if not decoding:
                        codes[p, i, j] = 0
                    mine[x] = 0
                    west2, west = west, signed(0)
                    rebuilt[p, i, j] = np.int32(b)
                    continue
                d = one if uniform else signed(dp[i, j])
                guess = signed(0)
                if some:
                    total = (
                        c[0] * west
                        + c[1] * above[x]
                        + c[2] * above[x - 1]
                        + c[3] * above[x + 1]
                        + c[11] * west2
                    )
                    if by_base:
                        total += c[4] * (signed(middle[max(j - 1, 0)]) + middle[min(j + 1, w - 1)] - 2 * b)
                        total += c[5] * (signed(upper[j]) + lower[j] - 2 * b)
                    if with_last:
                        total += c[6] * last[y, x] + c[7] * last[y, x - 1] + c[8] * last[y, x + 1]
                        total += c[9] * last[y - 1, x] + c[10] * last[y + 1, x]
                    guess = (total + half) >> PLACES
                    guess = max(-REACH, min(REACH, guess))
                if aligned:  # the cell that the guess falls in, counted from 0
                    guess = (2 * (b + guess) + d) // (2 * d) * d - b
                if decoding:
                    k = signed(codes[p, i, j])
                else:
                    k = (signed(numbers[p, i, j]) - b - guess + (d >> 1)) // d
                    codes[p, i, j] = np.int32(k)
                v = max(-2 * REACH, min(2 * REACH, guess + k * d))
                mine[x] = np.int32(v)
                west2, west = west, v
                rebuilt[p, i, j] = np.int32(b + v)


@_kernel
def hints(base: Ints, widths: Any, near: Ints, far: Ints, texture: Ints) -> None:
    """Write how the base bends, in sixteenths of a cell's width, into planes with rims."""
    n, h, w = base.shape
    uniform = widths.size == 1
    for p in range(n):
        plane = base[p]
        for i in range(h):
            a, b, c = plane[max(i - 1, 0)], plane[i], plane[min(i + 1, h - 1)]
            a2, c2 = plane[max(i - 2, 0)], plane[min(i + 2, h - 1)]
            for j in range(w):
                l, r, l2, r2 = max(j - 1, 0), min(j + 1, w - 1), max(j - 2, 0), min(j + 2, w - 1)  # noqa: E741 - left
                d = signed(widths[0, 0, 0] if uniform else widths[p, i, j])
                v = signed(b[j])
                g1 = abs(b[r] - 2 * v + b[l]) + abs(c[j] - 2 * v + a[j]) + abs(c[r] + v - b[r] - c[j])
                g2 = abs(b[r2] - 2 * v + b[l2]) + abs(c2[j] - 2 * v + a2[j])
                g3 = abs(signed(b[r]) - b[l]) + abs(signed(c[j]) - a[j])
                near[p, i + PAD, j + PAD] = min(16 * g1 // d, NEAR)
                far[p, i + PAD, j + PAD] = min(8 * g2 // d, NEAR)
                texture[p, i + PAD, j + PAD] = min(16 * g3 // d, HINT)
