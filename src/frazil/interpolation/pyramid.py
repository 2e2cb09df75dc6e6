"""The walk from the coarsest grid to the finest, over all planes of a stack: one function, both directions.

Levels come in the stream before planes: what a coarse decode needs is a prefix, a plane finds
the one before it on the same level, and small planes share what was learned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from frazil.entropy.coder import PAD, decode_best, decode_fast, encode_best, encode_fast
from frazil.interpolation.fitting import UNIT, products, weigh, worth
from frazil.interpolation.planes import (
    MOST,
    coarsest,
    contexts,
    gather,
    interleave,
    predict,
    quantise,
    rebuild,
    rim,
    signed,
    snap,
    view,
)
from frazil.interpolation.side import (
    BANDS,
    COARSEST,
    bands_of,
    choose,
    code_stencil,
    code_weights,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.entropy.coder import Machine, Plane, Words

    Longs = npt.NDArray[np.int64]

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")
LEVELS = 8
COARSE = 8  # the coarsest grid has no more points along an axis, unless the other has one


@_kernel
def depth(h: int, w: int) -> int:
    """How many levels lie above the finest."""
    levels = 0
    while max(h, w) > COARSE and min(h, w) > 1 and levels < LEVELS:
        h = (h + 1) >> 1
        w = (w + 1) >> 1
        levels += 1
    return levels


@_kernel
def cells(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    widths: Plane, top: int, left: int, step: int, n: int, m: int, scale: int, aligned: bool, out: Plane
) -> float:
    """Gather the widths of the cells of a plane of a level; return their mean."""
    gather(widths, top, left, step, n, m, out)
    total = signed(0)
    for i in range(PAD, n + PAD):
        row = out[i]
        if not aligned:
            for j in range(PAD, m + PAD):
                row[j] = ((signed(row[j]) * scale) >> 9) * 2 + 1
        for j in range(PAD, m + PAD):
            total += row[j]
    return float(total / max(1, n * m))


@_kernel
def calm(q: Plane, n: int, m: int) -> bool:
    """Whether most numbers of the plane before are 0: then it foretells these even if its values do not."""
    total = signed(0)
    for i in range(PAD, n + PAD):
        row = q[i]
        for j in range(PAD, m + PAD):
            total += min(abs(row[j]), 4)
    return bool(4 * total < n * m)


@_kernel
def code(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    decoding: bool,
    fast: bool,
    q: Plane,
    valid: Any,
    masked: bool,
    n: int,
    m: int,
    kind: int,
    near: Plane,
    far: Plane,
    texture: Plane,
    signs: Plane,
    previous: Plane,
    inter: bool,
    weights: Longs,
    slots: Plane,
    mix: Plane,
    machine: Machine,
    words: Words,
) -> None:
    """Code the numbers of a plane: `frazil.entropy.coder`."""
    if decoding and fast:
        decode_fast(
            q,
            valid,
            masked,
            n,
            m,
            kind,
            near,
            far,
            texture,
            signs,
            previous,
            inter,
            weights,
            slots,
            mix,
            machine,
            words,
        )
    elif decoding:
        decode_best(
            q,
            valid,
            masked,
            n,
            m,
            kind,
            near,
            far,
            texture,
            signs,
            previous,
            inter,
            weights,
            slots,
            mix,
            machine,
            words,
        )
    elif fast:
        encode_fast(
            q,
            valid,
            masked,
            n,
            m,
            kind,
            near,
            far,
            texture,
            signs,
            previous,
            inter,
            weights,
            slots,
            mix,
            machine,
            words,
        )
    else:
        encode_best(
            q,
            valid,
            masked,
            n,
            m,
            kind,
            near,
            far,
            texture,
            signs,
            previous,
            inter,
            weights,
            slots,
            mix,
            machine,
            words,
        )


@_kernel
def walk(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    decoding: bool,
    fast: bool,
    aligned: bool,
    wrap: bool,
    numbers: Plane,
    masked: bool,
    valid: Any,
    varying: bool,
    widths: Plane,
    scales: Longs,
    stop: int,
    defaults: Longs,
    weights: Longs,
    slots: Plane,
    mix: Plane,
    machine: Machine,
    words: Words,
    marks: Longs,
    out: Plane,
    h: int,
    w: int,
) -> None:
    """Code the planes of ``numbers`` (n, h, w) down to level ``stop``; ``out`` becomes what is decoded there.

    ``widths`` is (1, 1, 1) unless ``varying``, ``valid`` likewise unless ``masked``; a decoder gives any
    ``numbers``. ``defaults`` (3, 2, MOST) are stencils for each kind, without and with the plane before;
    ``weights`` (3, 2, 8) those of energies, which change. ``marks[l]`` becomes the place in ``words``
    behind level l.
    """
    count = out.shape[0]
    levels = depth(h, w)
    heights = np.zeros(levels + 1, np.int64)
    lengths = np.zeros(levels + 1, np.int64)
    sizes = np.zeros(levels + 1, np.int64)
    for level in range(levels + 1):
        heights[level] = (h + (1 << level) - 1) >> level
        lengths[level] = (w + (1 << level) - 1) >> level
        sizes[level] = (heights[level] + 2 * PAD) * (lengths[level] + 2 * PAD)
    # Grids of all planes at the level done (``coarse``) and the one being done, and their codes.
    first = min(max(stop, 1), levels)
    grids = np.zeros((2, count * sizes[first]), np.int32)
    codes = np.zeros((2, count * sizes[first]), np.int32)
    top = sizes[min(stop + 1, levels)] + 2 * PAD * (
        lengths[min(stop + 1, levels)] + heights[min(stop + 1, levels)]
    )
    two = min(count, 2)  # centres, besides and belows of a plane and, if there is one, of that before
    quarters = np.zeros((two, 3, top), np.int32)
    quarter_codes = np.zeros((two, 3, top), np.int32)
    scratch = np.zeros((7, top), np.int32)
    flags = np.ones((4, top), np.uint8)
    wide = lengths[min(stop, levels)] + 2 * PAD
    rows = np.zeros((MOST + 5, wide), np.int32)
    sums = np.zeros(wide, np.int64)
    stencils = np.zeros((3, 2, BANDS, MOST), np.int64)
    bands = np.ones((3, 2), np.int64)
    coarse = COARSEST.copy()
    never = stop < 0  # not the literal False, which would compile the coder once more
    for kind in range(3):
        for inter in range(2):
            for i in range(MOST):
                stencils[kind, inter, 0, i] = defaults[kind, inter, i]
    matrix = np.zeros((3, MOST, MOST))
    vector = np.zeros((3, MOST))
    matrices = np.zeros((BANDS, MOST, MOST))
    vectors = np.zeros((BANDS, MOST))
    scalars = np.zeros((BANDS, 2))
    choice = np.zeros(2, np.int64)
    chosen = np.zeros((BANDS, MOST), np.int64)
    fitted = np.zeros(8, np.int64)
    width = signed(widths[0, 0, 0])
    plain = width

    now = 0
    n = heights[levels]
    m = lengths[levels]
    size = sizes[levels]
    if not aligned:
        plain = ((width * scales[levels]) >> 9) * 2 + 1
    cell = view(scratch[5], n, m)
    signs = view(scratch[3], n, m)
    signs.fill(4)
    zero = view(scratch[4], n, m)
    zero.fill(0)
    x = view(scratch[6], n, m)
    v = view(flags[0], n, m)
    for t in range(count):
        a = view(grids[now, t * size :], n, m)
        q = view(codes[now, t * size :], n, m)
        s = max(t - 1, 0) * size
        a0 = view(grids[now, s:], n, m)
        q0 = view(codes[now, s:], n, m)
        if masked:
            gather(valid[t], 0, 0, 1 << levels, n, m, v)
        if varying:
            cells(widths[t], 0, 0, 1 << levels, n, m, scales[levels], aligned, cell)
        again = t > 0
        which = signed(13 if again else 12)
        if decoding:
            code(
                decoding,
                fast,
                q,
                v,
                masked,
                n,
                m,
                which,
                zero,
                zero,
                zero,
                signs,
                q0,
                never,
                coarse,
                slots,
                mix,
                machine,
                words,
            )
        else:
            gather(numbers[t], 0, 0, 1 << levels, n, m, x)
        coarsest(decoding, x, masked, v, n, m, aligned, varying, plain, cell, again, a0, q, a)
        if not decoding:
            code(
                decoding,
                fast,
                q,
                v,
                masked,
                n,
                m,
                which,
                zero,
                zero,
                zero,
                signs,
                q0,
                never,
                coarse,
                slots,
                mix,
                machine,
                words,
            )
        if stop >= levels:
            for i in range(n):
                for j in range(m):
                    out[t, i, j] = a[i + PAD, j + PAD]
    marks[levels] = machine[2]

    for level in range(levels - 1, stop - 1, -1):
        h = heights[level]
        w = lengths[level]
        round_ = wrap and (w & 1) == 0
        unit = 1 << level
        matrix.fill(0)
        vector.fill(0)
        if not aligned:
            plain = ((width * scales[level]) >> 9) * 2 + 1
        size = sizes[level + 1]
        for t in range(count):
            n = heights[level + 1]
            m = lengths[level + 1]
            a = view(grids[now, t * size :], n, m)
            qa = view(codes[now, t * size :], n, m)
            s = max(t - 1, 0) * size
            a0 = view(grids[now, s:], n, m)
            rim(a, n, m, round_)
            rim(qa, n, m, round_)
            va = view(flags[3], n, m)
            if masked:
                gather(valid[t], 0, 0, 2 * unit, n, m, va)
                rim(va, n, m, round_)
            this = t & 1
            that = two - 1 - this
            c = view(quarters[this, 0], h >> 1, w >> 1)
            e = view(quarters[this, 1], (h + 1) >> 1, w >> 1)
            qc = view(quarter_codes[this, 0], h >> 1, w >> 1)
            qe = view(quarter_codes[this, 1], (h + 1) >> 1, w >> 1)
            c0 = view(quarters[that, 0], h >> 1, w >> 1)
            e0 = view(quarters[that, 1], (h + 1) >> 1, w >> 1)
            vc = view(flags[0], h >> 1, w >> 1)
            for kind in range(3):
                down = 1 if kind != 1 else 0
                right = 1 if kind != 2 else 0
                n = (h + 1 - down) >> 1
                m = (w + 1 - right) >> 1
                if n == 0 or m == 0:
                    continue
                points = n * m
                r = view(quarters[this, kind], n, m)
                q = view(quarter_codes[this, kind], n, m)
                r0 = view(quarters[that, kind], n, m)
                q0 = view(quarter_codes[that, kind], n, m)
                v = view(flags[kind], n, m)
                p = view(scratch[0], n, m)
                texture = view(scratch[1], n, m)
                near = view(scratch[2], n, m)
                far = view(scratch[3], n, m)
                signs = view(scratch[4], n, m)
                cell = view(scratch[5], n, m)
                x = view(scratch[6], n, m)
                if masked:
                    gather(valid[t], down * unit, right * unit, 2 * unit, n, m, v)
                    rim(v, n, m, round_)
                typical = float(plain)
                if varying:
                    cells(widths[t], down * unit, right * unit, 2 * unit, n, m, scales[level], aligned, cell)
                    typical = float(UNIT)
                later = signed(t > 0)
                step = 1 if points < 20000 else 2 if points < 100000 else 4
                if later and points >= 6000:
                    step = min(2 * step, 4)  # sums of earlier planes do help
                if not decoding:
                    gather(numbers[t], down * unit, right * unit, 2 * unit, n, m, x)
                    matrices.fill(0)
                    vectors.fill(0)
                    scalars.fill(0)
                    number = bands_of(points)
                    for b in range(number):
                        products(
                            kind,
                            a,
                            c,
                            e,
                            later,
                            a0,
                            c0,
                            e0,
                            r0,
                            x,
                            m,
                            masked,
                            v,
                            va,
                            vc,
                            varying,
                            cell,
                            rows,
                            (b * n + number - 1) // number,
                            ((b + 1) * n + number - 1) // number,
                            step,
                            matrices[b],
                            vectors[b],
                            scalars[b],
                        )
                    share = 1.0 / min(count - t, 4)
                    choose(
                        kind,
                        points,
                        later,
                        share,
                        typical,
                        matrices,
                        vectors,
                        scalars,
                        matrix[kind],
                        vector[kind],
                        defaults,
                        stencils[kind],
                        bands[kind],
                        choice,
                        chosen,
                    )
                    if count > 1:
                        for i in range(MOST):
                            for j in range(i + 1):
                                total = matrix[kind, i, j]
                                for b in range(number):
                                    total += matrices[b, i, j]
                                matrix[kind, i, j] = 0.75 * total
                            total = vector[kind, i]
                            for b in range(number):
                                total += vectors[b, i]
                            vector[kind, i] = 0.75 * total
                code_stencil(
                    level,
                    kind,
                    points,
                    later,
                    choice,
                    chosen,
                    defaults,
                    stencils[kind],
                    bands[kind],
                    decoding,
                    slots,
                    machine,
                    words,
                )
                inter = choice[0]
                predict(
                    kind,
                    a,
                    c,
                    e,
                    inter,
                    a0,
                    c0,
                    e0,
                    r0,
                    n,
                    m,
                    masked,
                    va,
                    vc,
                    stencils[kind, inter],
                    bands[kind, inter],
                    varying,
                    plain,
                    cell,
                    rows,
                    sums,
                    p,
                    texture,
                )
                if aligned:
                    snap(p, n, m, varying, plain, cell)
                contexts(kind, qa, qc, qe, n, m, near, far, signs)
                like = signed(later and (inter or calm(q0, n, m)))
                new = 0
                if not decoding:
                    quantise(x, p, n, m, masked, v, varying, plain, cell, q)
                    if points >= 200 and (t < 3 or t % 8 == 0):
                        sparse = 2 * step if points >= 5000 else 1
                        weigh(q, masked, v, near, far, texture, q0, like, n, m, sparse, fitted)
                        gain = worth(
                            q, masked, v, near, far, texture, q0, like, n, m, sparse, weights[kind, like]
                        )
                        gain -= worth(q, masked, v, near, far, texture, q0, like, n, m, sparse, fitted)
                        new = signed(gain > 40.0 * share)
                code_weights(
                    level, kind, later, new, fitted, weights[kind, like], decoding, slots, machine, words
                )
                which = min(level, 3) * 3 + kind
                code(
                    decoding,
                    fast,
                    q,
                    v,
                    masked,
                    n,
                    m,
                    which,
                    near,
                    far,
                    texture,
                    signs,
                    q0,
                    like != 0,
                    weights[kind, like],
                    slots,
                    mix,
                    machine,
                    words,
                )
                rebuild(p, q, n, m, varying, plain, cell, r)
                rim(r, n, m, round_)
                rim(q, n, m, round_)
            below = view(quarters[this, 2], h >> 1, (w + 1) >> 1)
            if level == stop:
                interleave(a, c, e, below, h, w, out[t], 0)
            else:
                s = t * sizes[level]
                interleave(a, c, e, below, h, w, view(grids[1 - now, s:], h, w), PAD)
                below = view(quarter_codes[this, 2], h >> 1, (w + 1) >> 1)
                interleave(qa, qc, qe, below, h, w, view(codes[1 - now, s:], h, w), PAD)
        now = 1 - now
        marks[level] = machine[2]
