"""What a JPEG 2000 codestream says in whole numbers: the indices of its quantiser, and planes made of them.

The 9/7 transform of an engine is floating point, and may round otherwise on
another machine. Block coding is not: what it carries are the indices of
quantised coefficients, whole numbers. An engine hands them out if it is told
that they are those of the reversible transform: it then undoes a 5/3 transform
that nobody did, in whole numbers, and we do it again. The 9/7 transform is
undone in fixed point: the same planes on every machine, not rounded to levels.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

from frazil.errors import FormatError
from frazil.jpeg2000.codestream import CAP, COD, HT_BLOCKS, QCD, RPCL, SIZ, SOC, Layout, coarser, main_header
from frazil.jpeg2000.htj2k import HEADROOM
from frazil.jpeg2000.steps import steps
from frazil.planes import reduced
from frazil.residuals import synthesis

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]

PRECISION = 31  # bits that OpenJPEG allows a sample: nothing is clipped
MAGNITUDE = 31  # bits of a coefficient, as the CAP marker of an HT codestream states them
PLACES, ROOM = 6, 26  # binary places below a number; bits of the largest number that goes into the transform
MANTISSA, MOST_BITS, MOST_SHIFT = (
    22,
    30,
    50,
)  # bits of a band's step, if possible and at most; of its fraction
INVERSE = (1 << synthesis.BITS) / synthesis.K2
FURTHEST = 1 << 29  # numbers stay within it
BROADEST = 2.0**40  # levels, in units

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@dataclass(frozen=True)
class Line:
    """Where the levels of a plane lie among the numbers: ``number = offset + level * step``."""

    offset: float
    step: float


def integer_header(layout: Layout, level: int = 0) -> bytes:
    """Build the main header that passes the indices of a 9/7 codestream off as 5/3 coefficients."""
    n, y, x = coarser(layout, level).shape
    d = layout.decompositions - level
    fields = [field >> 11 for field in steps(layout)[: 3 * d + 1]]
    siz = struct.pack(">HIIIIIIIIH", 0x4000 if layout.ht else 0, x, y, 0, 0, x, y, 0, 0, n)
    siz += bytes([0x80 | PRECISION - 1, 1, 1]) * n
    cod = struct.pack(">BBHBBBBBB", 0, RPCL, 1, 0, d, 4, 4, HT_BLOCKS if layout.ht else 0, 1)
    qcd = bytes([(1 if layout.ht else 2) << 5]) + bytes(field << 3 for field in fields)
    segments = [(SIZ, siz), (COD, cod), (QCD, qcd)]
    if layout.ht:
        segments.insert(1, (CAP, struct.pack(">IH", 0x00020000, MAGNITUDE)))
    return struct.pack(">H", SOC) + b"".join(
        struct.pack(">HH", marker, len(data) + 2) + data for marker, data in segments
    )


def indices(parts: Sequence[tuple[bytes, Layout, tuple[int, int, int]]], level: int = 0) -> Ints:
    """Decode 9/7 codestreams to quantiser indices, each plane in the arrangement of its bands.

    Parameters
    ----------
    parts : sequence of (codestream, layout at level 0, shape at ``level``)
        Groups of planes, as `frazil.jpeg2000.decoding.parts_of` puts them together.
    level : int
        1/2**level of the resolution, at most the decompositions.

    Returns
    -------
    ndarray of int32, shape (n, y, x)
        The low band in the upper left, details along x right of it, along y below.

    Raises
    ------
    FormatError
        If the packets are damaged.
    """
    from frazil.jpeg2000 import openjpeg

    n, (_, y, x) = sum(shape[0] for _, _, shape in parts), parts[0][2]
    out, first = np.empty((n, y, x), np.int32), 0
    for stream, layout, shape in parts:
        whole = integer_header(layout, level) + stream[len(main_header(layout, level)) :]

        def take(k: int, plane: Ints, first: int = first) -> None:
            out[first + k] = plane

        openjpeg.decode(whole, take, shape)
        first += shape[0]
    for plane in out:
        forward53(plane, parts[0][1].decompositions - level)
    return out


@_kernel
def forward53(plane: Ints, levels: int) -> None:
    """Transform ``plane``, shape (y, x), in place by the reversible 5/3 transform (ITU-T T.800, annex F)."""
    h, w = plane.shape
    work = np.empty((h, w), np.int32)
    for _ in range(levels):
        up, left = (h + 1) // 2, (w + 1) // 2
        down, right = h // 2, w // 2
        for i in range(down):
            odd, a, b = plane[2 * i + 1], plane[2 * i], plane[2 * i + 2 if 2 * i + 2 < h else 2 * i]
            out = work[up + i]
            for j in range(w):
                out[j] = odd[j] - ((np.int64(a[j]) + b[j]) >> 1)
        for i in range(up):
            out, even = work[i], plane[2 * i]
            a, b = work[up + max(i - 1, 0)], work[up + min(i, down - 1)]
            for j in range(w):
                out[j] = even[j] + ((np.int64(a[j]) + b[j] + 2) >> 2)
        for i in range(h):
            row, out = work[i], plane[i]
            for j in range(right):
                after = row[2 * j + 2 if 2 * j + 2 < w else 2 * j]
                out[left + j] = row[2 * j + 1] - ((np.int64(row[2 * j]) + after) >> 1)
            for j in range(left):
                both = np.int64(out[left + max(j - 1, 0)]) + out[left + min(j, right - 1)]
                out[j] = row[2 * j] + ((both + 2) >> 2)
        h, w = up, left


@_kernel
def _dequantise(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    q: Ints, top: int, left: int, bottom: int, right: int, step: int, shift: int, out: Ints
) -> None:
    """Write the coefficients of one band: ``(|q| + 1/2) * step / 2**shift``."""
    half = np.int64(1) << shift
    for i in range(top, bottom):
        row, o = q[i], out[i]
        for j in range(left, right):
            v = np.int64(row[j])
            if v == 0:
                o[j] = 0
            else:
                size = ((2 * abs(v) + 1) * step + half) >> (shift + 1)
                o[j] = np.int32(-size if v < 0 else size)


@_kernel
def _uncenter(plane: Ints, middle: int, places: int, out: Ints) -> None:
    """Write ``(plane + middle) / 2**places``, rounded."""
    half = (np.int64(1) << places) >> 1
    for i in range(plane.shape[0]):
        row, o = plane[i], out[i]
        for j in range(plane.shape[1]):
            o[j] = min(max((row[j] + middle + half) >> places, -FURTHEST), FURTHEST)


def numbers(q: Ints, layout: Layout, lines: Sequence[Line], level: int = 0) -> Ints:
    """Rebuild planes from indices.

    Parameters
    ----------
    q : ndarray of int32, shape (n, y, x)
        From `indices`.
    layout : Layout
        Of the codestream at level 0.
    lines : sequence of Line
        One for all planes, or one for each.
    level : int
        That of ``q``.

    Returns
    -------
    ndarray of int32, shape (n, y, x)
        Within `FURTHEST`.

    Raises
    ------
    FormatError
        If levels and numbers are too far apart in scale.
    """
    out, work = np.empty(q.shape, np.int32), np.empty(q.shape[1:], np.int32)
    middle_level = (1 << (layout.bits - 1)) - (HEADROOM if layout.ht else 0)
    for p in range(len(q)):
        line = lines[min(p, len(lines) - 1)]
        span = line.step * 2.0**layout.bits
        if not (0 < line.step < BROADEST and abs(line.offset) < BROADEST and span < BROADEST):
            raise FormatError(f"levels of {line.step:g} units from {line.offset:g} on make no numbers")
        places = max(0, min(PLACES, ROOM - math.frexp(span)[1]))
        unit = line.step * 2.0**places
        bands = [(box, delta * unit) for box, delta in _bands(layout, level)]
        bits = math.frexp(max(delta for _, delta in bands))[1]
        shift = max(0, min(MANTISSA - bits, MOST_SHIFT))
        if bits > MOST_BITS:
            raise FormatError(f"levels of {line.step:g} units make no numbers")
        for box, delta in bands:
            _dequantise(q[p], *box, round(math.ldexp(delta, shift)), shift, work)
        synthesis.inverse(work, layout.decompositions - level)
        _uncenter(work, round((line.offset + middle_level * line.step) * 2.0**places), places, out[p])
    return out


def _bands(layout: Layout, level: int) -> list[tuple[tuple[int, int, int, int], float]]:
    """(Top, left, bottom, right) of each band, and its step in levels; details in both directions scaled."""
    _, y, x = layout.shape
    d, bands = layout.decompositions, []
    for k, field in enumerate(steps(layout)[: 3 * (d - level) + 1]):
        depth, band = (d - (k - 1) // 3, (k - 1) % 3 + 1) if k else (d, 0)
        up, left = reduced(y, depth), reduced(x, depth)
        down, right = reduced(y, max(depth - 1, 0)), reduced(x, max(depth - 1, 0))
        box = (up * (band >> 1), left * (band & 1), down if band & 2 else up, right if band & 1 else left)
        delta = 2.0 ** (layout.bits + (0, 1, 1, 2)[band] - (field >> 11)) * (1 + (field & 2047) / 2048)
        bands.append((box, delta * (INVERSE if band == 3 else 1.0)))
    return bands
