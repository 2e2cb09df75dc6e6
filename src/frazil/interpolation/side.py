"""Side information of a plane: which stencil predicts it, which weights make its energies.

The encoder chooses by an estimate of bits; both sides remember what was sent last for
each level, kind and use of the plane before. Everything goes through the range coder,
as differences from what is remembered.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba
import numpy as np

from frazil.entropy.coder import SIDE, code_bit, code_number
from frazil.interpolation.fitting import bits, solve
from frazil.interpolation.planes import MOST, counts, signed

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.entropy.coder import Machine, Plane, Words

    Longs = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")

BANDS = 4  # most stencils of a plane, one for each band of rows
BAND = 8000  # a band has no fewer points
LARGE = 1 << 15  # no coefficient is beyond it

# Contexts: eight decisions for each of six levels, three kinds, first or later plane;
# then numbers, 64 contexts each: coefficients, those of the plane before (the first, the others), weights.
NUMBERS = SIDE + 6 * 3 * 2 * 8

COARSEST = np.array([0, 0, 16, 8, 24, 8, 0, 0], np.int64)


@_kernel
def bands_of(points: int) -> int:
    """Return how many bands a plane may have."""
    return min(BANDS, max(1, points // BAND))


@_kernel
def precision(points: int) -> int:
    """Return how many bits of coefficients are not sent: fewer points deserve coarser ones."""
    if points < 1500:
        return 6
    if points < 25000:
        return 5
    return 4 if points < 100000 else 3


@_kernel
def price(new: Longs, old: Longs, n: int, shift: int) -> float:
    """Estimate how many bits `code_stencil` takes for ``new``."""
    cost = 0.0
    for a in range(n):
        d = abs((new[a] >> shift) - (old[a] >> shift))
        cost += 1.5 + 2.0 * math.log(1.0 + d) * 1.4427
    return cost


@_kernel
def choose(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    kind: int,
    points: int,
    later: int,
    share: float,
    width: float,
    matrices: Floats,
    vectors: Floats,
    scalars: Floats,
    matrix: Floats,
    vector: Floats,
    defaults: Longs,
    stencils: Longs,
    bands: Longs,
    choice: Longs,
    chosen: Longs,
) -> None:
    """Choose by bits: ``choice`` = (inter, mode: 0 last, 1 default, 2 one, 3 bands), new ones in ``chosen``.

    ``matrices``, ``vectors``, ``scalars``: normal equations of each band. ``matrix`` and ``vector``
    add those of earlier planes. ``share``: how much of the price of a new stencil this plane bears.
    """
    number = bands_of(points)
    shift = precision(points)
    whole = np.zeros((MOST, MOST))
    whole_vector = np.zeros(MOST)
    whole_scalars = np.zeros(2)
    both = matrix.copy()
    both_vector = vector.copy()
    for b in range(number):  # loops, because numba takes seconds to compile array expressions
        for i in range(MOST):
            for j in range(i + 1):
                whole[i, j] += matrices[b, i, j]
                both[i, j] += matrices[b, i, j]
            whole_vector[i] += vectors[b, i]
            both_vector[i] += vectors[b, i]
        whole_scalars[0] += scalars[b, 0]
        whole_scalars[1] += scalars[b, 1]
    candidate = np.zeros((BANDS, MOST), np.int64)
    default = np.zeros(MOST, np.int64)
    best = 1e300
    for inter in range(1 + later):
        n = counts(kind, inter)
        for a in range(n):
            default[a] = defaults[kind, inter, a]
        last = stencils[inter]
        cost = 0.0
        if bands[inter] == 1:
            cost = bits(whole, whole_vector, whole_scalars, last[0], n, width)
        elif bands[inter] == number:
            for b in range(number):
                cost += bits(matrices[b], vectors[b], scalars[b], last[b], n, width)
        else:
            cost = 1e299
        if cost < best:
            best = cost
            choice[0] = inter
            choice[1] = 0
        cost = 2.0 + bits(whole, whole_vector, whole_scalars, default, n, width)
        if cost < best:
            best = cost
            choice[0] = inter
            choice[1] = 1
        if whole_scalars[1] < 60:
            continue
        solve(both, both_vector, n, candidate[0])
        for a in range(n):
            candidate[0, a] = ((candidate[0, a] + (1 << shift >> 1)) >> shift) << shift
        cost = 4.0 + bits(whole, whole_vector, whole_scalars, candidate[0], n, width)
        cost += price(candidate[0], last[0], n, shift) * share
        if cost < best:
            best = cost
            choice[0] = inter
            choice[1] = 2
            for a in range(n):
                chosen[0, a] = candidate[0, a]
        if number > 1:
            cost = 4.0
            for b in range(number):
                solve(matrices[b], vectors[b], n, candidate[b])
                for a in range(n):
                    candidate[b, a] = ((candidate[b, a] + (1 << shift >> 1)) >> shift) << shift
                cost += bits(matrices[b], vectors[b], scalars[b], candidate[b], n, width)
                cost += price(candidate[b], last[0] if b == 0 else candidate[b - 1], n, shift) * share
            if cost < best:
                best = cost
                choice[0] = inter
                choice[1] = 3
                for b in range(number):
                    for a in range(n):
                        chosen[b, a] = candidate[b, a]


@_kernel
def code_stencil(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    level: int,
    kind: int,
    points: int,
    later: int,
    choice: Longs,
    chosen: Longs,
    defaults: Longs,
    stencils: Longs,
    bands: Longs,
    decoding: bool,
    slots: Plane,
    machine: Machine,
    words: Words,
) -> None:
    """Code ``choice`` and, if it is new, ``chosen``; remember it in ``stencils``."""
    at = SIDE + ((min(level, 5) * 3 + kind) * 2 + later) * 8
    inter = 0
    if later:
        inter = code_bit(choice[0], at, decoding, slots, machine, words)
    mode = choice[1]
    at += 1 + 3 * inter
    if code_bit(signed(mode == 0), at, decoding, slots, machine, words):
        mode = 0
    elif code_bit(signed(mode == 1), at + 1, decoding, slots, machine, words):
        mode = 1
    else:
        mode = 2
        if bands_of(points) > 1:
            mode += code_bit(signed(choice[1] == 3), at + 2, decoding, slots, machine, words)
    choice[0] = inter
    choice[1] = mode
    if mode == 0:
        return
    n = counts(kind, inter)
    old = np.zeros(MOST, np.int64)
    for a in range(n):
        old[a] = stencils[inter, 0, a]
    number = bands_of(points) if mode == 3 else 1
    bands[inter] = number
    if mode == 1:
        for a in range(n):
            stencils[inter, 0, a] = defaults[kind, inter, a]
        return
    shift = precision(points)
    split = counts(kind, 0)
    for b in range(number):
        for a in range(n):
            which = 0 if a < split else 1 if a == split else 2
            ctx = NUMBERS + 64 * (which + 3 * signed(b > 0))
            d = 0
            if not decoding:
                d = (chosen[b, a] >> shift) - (old[a] >> shift)
            value = ((old[a] >> shift) + code_number(d, ctx, decoding, slots, machine, words)) << shift
            old[a] = min(max(value, -LARGE), LARGE)
            stencils[inter, b, a] = old[a]


@_kernel
def code_weights(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    level: int,
    kind: int,
    inter: int,
    new: int,
    fitted: Longs,
    weights: Longs,
    decoding: bool,
    slots: Plane,
    machine: Machine,
    words: Words,
) -> None:
    """Code whether weights are new and, if so, these; remember them in ``weights``."""
    at = SIDE + ((min(level, 5) * 3 + kind) * 2 + inter) * 8 + 7
    if not code_bit(new, at, decoding, slots, machine, words):
        return
    for a in range(8):
        d = fitted[a] - weights[a]
        value = weights[a] + code_number(
            d, NUMBERS + 64 * (6 + signed(a > 5)), decoding, slots, machine, words
        )
        weights[a] = min(max(value, 0), 255)
