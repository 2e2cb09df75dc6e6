"""All bands of all planes through the entropy coder, coarse to fine, then the codes of points that miss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from frazil.entropy.coder import (
    FURTHEST,
    PAD,
    SIDE,
    code_bit,
    code_number,
    decode_best,
    decode_fast,
    encode_best,
    encode_fast,
)
from frazil.wavelet.bands import HEIGHT, LEVEL, ORIENTATION, WIDTH
from frazil.wavelet.contexts import band, band_contexts, parent_energies, point_contexts
from frazil.wavelet.weights import fit

if TYPE_CHECKING:
    import numpy.typing as npt

    Plane = npt.NDArray[np.int32]
    Pool = npt.NDArray[np.int32]
    Rows = npt.NDArray[np.int64]
    Valid = npt.NDArray[np.uint8]
    Words = npt.NDArray[np.uint16]

LOW_KIND, POINT_KIND = 12, 13
LARGE = 3000  # numbers from which a band sends weights of its own
SOME = 400  # ... and from which a level says where magnitudes are in the mean
FURTHEST_SHIFT = 64
FLAG, WEIGHT, SHIFT = SIDE, SIDE + 64, SIDE + 640  # slots of the side information

DEFAULT = np.array([1, 3, 9, 2, 14, 1, 1, 0], np.int64)
DEFAULT_POINT = np.array([8, 2, 8, 4, 8, 2, 2, 0], np.int64)

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@_kernel
def _median(q: Plane, i: int, j: int) -> int:
    """Predict from W, N and NW: the median edge detector of JPEG-LS (ITU-T T.87)."""
    west, north, corner = int(q[i, j - 1]), int(q[i - 1, j]), int(q[i - 1, j - 1])
    if i == PAD:
        return west
    if j == PAD:
        return north
    return max(min(west, north), min(max(west, north), west + north - corner))


@_kernel
def _code_plane(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    decoding: bool,
    fast: bool,
    q: Plane,
    valid: Valid,
    masked: bool,
    kind: int,
    near: Plane,
    far: Plane,
    texture: Plane,
    flat: Plane,
    weights: Rows,
    slots: Plane,
    mix: Plane,
    machine: Rows,
    words: Words,
) -> None:
    """Code the numbers of a plane with a rim: `frazil.entropy.coder`."""
    n, m = q.shape[0] - 2 * PAD, q.shape[1] - 2 * PAD
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
            flat,
            near,
            False,
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
            flat,
            near,
            False,
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
            flat,
            near,
            False,
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
            flat,
            near,
            False,
            weights,
            slots,
            mix,
            machine,
            words,
        )


@_kernel
def _code_weights(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    decoding: bool, default: Rows, weights: Rows, slots: Plane, machine: Rows, words: Words
) -> None:
    for a in range(8):
        delta = code_number(weights[a] - default[a], WEIGHT + 64 * a, decoding, slots, machine, words)
        weights[a] = max(0, min(255, default[a] + delta))


@_kernel
def _code_low(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    decoding: bool,
    fast: bool,
    pool: Pool,
    before: Pool,
    first: bool,
    bands: Rows,
    residual: Plane,
    nothing: Plane,
    flat: Plane,
    none: Valid,
    slots: Plane,
    mix: Plane,
    machine: Rows,
    words: Words,
) -> None:
    """Code the low band as its distance from what its neighbours, or the plane before, foretell."""
    q = band(pool, bands, 0)
    last = band(before, bands, 0)
    h, w = bands[0, HEIGHT], bands[0, WIDTH]
    temporal = 0
    if not first:
        if not decoding:
            cost = np.int64(0)
            for i in range(PAD, h + PAD):
                for j in range(PAD, w + PAD):
                    cost += abs(np.int64(q[i, j]) - last[i, j]) - abs(q[i, j] - _median(q, i, j))
            temporal = 1 if cost < 0 else 0
        temporal = code_bit(temporal, FLAG + 1, decoding, slots, machine, words)
    if not decoding:
        for i in range(PAD, h + PAD):
            for j in range(PAD, w + PAD):
                guess = np.int64(last[i, j]) if temporal else _median(q, i, j)
                residual[i, j] = max(-FURTHEST, min(FURTHEST, q[i, j] - guess))
    _code_plane(
        decoding,
        fast,
        residual,
        none,
        False,
        LOW_KIND,
        nothing,
        nothing,
        nothing,
        flat,
        DEFAULT,
        slots,
        mix,
        machine,
        words,
    )
    if decoding:
        for i in range(PAD, h + PAD):
            for j in range(PAD, w + PAD):
                guess = np.int64(last[i, j]) if temporal else _median(q, i, j)
                q[i, j] = max(-FURTHEST, min(FURTHEST, residual[i, j] + guess))


@_kernel
def code_bands(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    decoding: bool,
    fast: bool,
    pools: Plane,
    bands: Rows,
    parents: Rows,
    stop: int,
    shifts: Rows,
    slots: Plane,
    mix: Plane,
    machine: Rows,
    words: Words,
    marks: Rows,
) -> None:
    """Code the bands of the levels above ``stop`` of all planes; ``pools`` has a row for each.

    ``marks[level]``: where the coder stood behind the last band of a level.
    """
    count = bands.shape[0]
    most = np.int64(0)
    for b in range(count):
        most = max(most, (bands[b, HEIGHT] + 2 * PAD) * (bands[b, WIDTH] + 2 * PAD))
    scratch = np.zeros((4, most), np.int32)
    scratch[3] = 4
    none = np.ones((1, 1), np.uint8)
    shape = (bands[0, HEIGHT] + 2 * PAD, bands[0, WIDTH] + 2 * PAD)
    size = shape[0] * shape[1]
    for p in range(pools.shape[0]):
        _code_low(
            decoding,
            fast,
            pools[p],
            pools[max(p - 1, 0)],
            p == 0,
            bands,
            scratch[0, :size].reshape(shape),
            scratch[1, :size].reshape(shape),
            scratch[3, :size].reshape(shape),
            none,
            slots,
            mix,
            machine,
            words,
        )
    scratch[0] = 0
    marks[bands[0, LEVEL]] = machine[2]
    weights = DEFAULT.copy()
    for b in range(1, count):
        level = bands[b, LEVEL]
        if level <= stop:
            break
        h, w = bands[b, HEIGHT], bands[b, WIDTH]
        if level != bands[b - 1, LEVEL] or b == 1:
            for k in range(2):
                if pools.shape[0] * h * w >= SOME:
                    shift = code_number(shifts[level, k], SHIFT + 64 * k, decoding, slots, machine, words)
                    shifts[level, k] = max(-FURTHEST_SHIFT, min(FURTHEST_SHIFT, shift))
                else:
                    shifts[level, k] = 0
        rim = (h + 2 * PAD, w + 2 * PAD)
        size = rim[0] * rim[1]
        near, far = scratch[0, :size].reshape(rim), scratch[1, :size].reshape(rim)
        texture, flat = scratch[2, :size].reshape(rim), scratch[3, :size].reshape(rim)
        kind = min(level - 1, 3) * 3 + bands[b, ORIENTATION] - 1
        # Parents are half as large, or larger by one: room for the largest.
        tall, wide = (h + 1) // 2 + 2 * PAD + 1, (w + 1) // 2 + 2 * PAD + 1
        stacked = np.zeros((3, tall, wide), np.int32)
        for p in range(pools.shape[0]):
            pool = pools[p]
            for o in range(3):
                parent_energies(pool, bands, parents[b, o], stacked[o])
            band_contexts(pool, bands, b, stacked, near, far, texture)
            q = band(pool, bands, b)
            if p == 0:
                weights[:] = DEFAULT
                if h * w >= LARGE:
                    if not decoding:
                        fit(q, none, False, near, far, texture, near, False, weights)
                    _code_weights(decoding, DEFAULT, weights, slots, machine, words)
            _code_plane(
                decoding,
                fast,
                q,
                none,
                False,
                kind,
                near,
                far,
                texture,
                flat,
                weights,
                slots,
                mix,
                machine,
                words,
            )
        marks[level] = machine[2]


@_kernel
def code_points(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    decoding: bool,
    fast: bool,
    codes: Plane,
    pool: Pool,
    bands: Rows,
    valid: Valid,
    masked: bool,
    first: bool,
    weights: Rows,
    slots: Plane,
    mix: Plane,
    machine: Rows,
    words: Words,
) -> None:
    """Code the numbers of cells by which the points of a plane are off; ``codes`` has a rim."""
    h, w = codes.shape[0] - 2 * PAD, codes.shape[1] - 2 * PAD
    near, far = np.zeros(codes.shape, np.int32), np.zeros(codes.shape, np.int32)
    texture, flat = np.zeros(codes.shape, np.int32), np.full(codes.shape, 4, np.int32)
    point_contexts(pool, bands, h, w, near, far, texture)
    if first:
        weights[:] = DEFAULT_POINT
        if h * w >= LARGE:
            if not decoding:
                fit(codes, valid, masked, near, far, texture, near, False, weights)
            _code_weights(decoding, DEFAULT_POINT, weights, slots, machine, words)
    _code_plane(
        decoding,
        fast,
        codes,
        valid,
        masked,
        POINT_KIND,
        near,
        far,
        texture,
        flat,
        weights,
        slots,
        mix,
        machine,
        words,
    )
