"""Packets to planes, at any of their resolutions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from frazil.errors import ChecksumError, FormatError, TruncatedError
from frazil.jpeg2000.codestream import assemble
from frazil.jpeg2000.section import GROUP, StreamHead, read_groups, read_head, stacked
from frazil.keys import unkeys
from frazil.planes import reduced
from frazil.scaling import LIMB_BITS, Exact, Linear, OnLattice, Scale

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from frazil.jpeg2000.codestream import Layout

    Part = tuple[bytes, Layout, tuple[int, int, int]]  # codestream, its layout at level 0, its shape


def decode(  # noqa: PLR0917 - what a section is decoded with, in the order of the chunk
    scale: Scale,
    record: bytes,
    payload: bytes,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    level: int = 0,
    groups: bytes = b"",
) -> npt.NDArray[Any]:
    """Decode section ``J``, or the prefix of it that ``level`` needs; ``groups`` is section ``g``.

    Returns
    -------
    ndarray, shape (n, ceil(y / 2**level), ceil(x / 2**level))

    Raises
    ------
    FormatError
        If the packets cannot be decoded, or a prefix was changed.
    """
    stack = stacked(shape, scale)
    head = read_head(payload, stack)
    direct = direct_level(head.layout, scale, dtype, level)
    body = memoryview(payload)[head.start :]
    if direct:
        body = body[: head.stop(direct) - head.start]
        _check_prefix(head, record, payload, len(head.lengths) - direct)
    elif sum(head.lengths) > len(body):
        raise FormatError(f"{len(body)} bytes of packets, the index speaks of {sum(head.lengths)}")
    small = reduced_shape(stack, direct)
    parts = parts_of(head, body, small, direct, groups)
    if isinstance(scale, Exact):
        planes = _decode_exact(parts, scale, small, dtype)
    elif isinstance(scale, OnLattice):
        planes = np.empty(small, dtype)
        values = scale.lattice.values(dtype)
        for k, integers in samples(parts):
            # Reduced resolutions can overshoot the highest level.
            planes[k] = values[np.clip(integers, 0, scale.lattice.top)]
    else:
        planes = _decode_linear(parts, scale, small, dtype)
    rest = 1 << (level - direct)
    return planes if rest == 1 else planes[:, ::rest, ::rest].copy()


def reduced_shape(shape: tuple[int, int, int], level: int) -> tuple[int, int, int]:
    """(n, ceil(y / 2**level), ceil(x / 2**level))."""
    return shape[0], reduced(shape[1], level), reduced(shape[2], level)


def direct_level(layout: Layout, scale: Scale, dtype: np.dtype[Any], level: int) -> int:
    """How much of ``level`` the wavelet gives; the rest is subsampled.

    Nothing where integers do not average as the values do: the bits of floats,
    and numbers that were split into limbs.
    """
    whole = isinstance(scale, Exact) and (scale.limbs > 1 or dtype.kind == "f")
    return 0 if whole else min(level, layout.decompositions)


def parts_of(
    head: StreamHead, body: memoryview, shape: tuple[int, int, int], level: int, groups: bytes
) -> list[Part]:
    """Give each group of planes a codestream of its own, or all of them one."""
    layout = head.layout
    if not groups or not layout.ht:
        return [(assemble(layout, body, level), layout, shape)]
    lengths = list(head.lengths[: layout.decompositions + 1 - level])
    if not level:
        lengths.append(len(body) - sum(lengths))
    table = read_groups(groups, lengths, shape[0])
    pieces: list[list[memoryview]] = [[] for _ in table[0]]
    at = 0
    for sizes in table:
        for piece, size in zip(pieces, sizes, strict=True):
            piece.append(body[at : at + size])
            at += size
    parts = []
    for i, piece in enumerate(pieces):
        n = min(GROUP, shape[0] - i * GROUP)
        own = replace(layout, shape=(n, *layout.shape[1:]))
        parts.append((assemble(own, b"".join(piece), level), own, (n, *shape[1:])))
    return parts


def samples(parts: list[Part]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Decode to (index, plane of integers) pairs.

    At a reduced resolution reversible coding can overshoot the range, where
    OpenJPH wraps around: 32-bit samples, of which 25 are used, are then
    negative numbers; others go through OpenJPEG, which clips.
    """
    from frazil.jpeg2000 import htj2k, openjpeg

    first = 0
    for stream, layout, shape in parts:
        reduced_exact = layout.reversible and shape != layout.shape
        if layout.ht and not (reduced_exact and layout.bits <= 16):
            planes = htj2k.decode(stream, shape)
            yield from enumerate(planes.view("i4") if reduced_exact else planes, first)
        else:
            kept: list[npt.NDArray[Any]] = []
            openjpeg.decode(stream, lambda _, plane, kept=kept: kept.append(plane.copy()), shape)  # type: ignore[misc]
            yield from enumerate(kept, first)
        first += shape[0]


def _check_prefix(head: StreamHead, record: bytes, payload: bytes, resolution: int) -> None:
    stop = head.start + sum(head.lengths[: resolution + 1])
    if stop > len(payload):
        raise TruncatedError(
            f"JPEG 2000 section ends after {len(payload)} bytes, this resolution needs {stop}"
        )
    crc = google_crc32c.value(record + bytes(payload[: head.checked]))
    crc = google_crc32c.extend(crc, bytes(payload[head.start : stop])) & 0xFFFF
    if crc != head.checks[resolution]:
        raise ChecksumError(
            f"chunk is damaged: its first {stop} bytes have the check {crc:04x}, "
            f"they were written with {head.checks[resolution]:04x}"
        )


def _decode_linear(
    parts: list[Part], scale: Linear, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    from frazil.jpeg2000.htj2k import HEADROOM
    from frazil.levels import from_levels

    stream, layout, _ = parts[0]
    offset = HEADROOM if layout.ht and not layout.reversible else 0
    planes = np.empty(shape, dtype)
    direct = dtype in (np.dtype("f4"), np.dtype("f8"))
    work = None if direct else np.empty(shape[1:], "f8")

    def put(k: int, integers: npt.NDArray[Any]) -> None:
        low, step = scale.line(k)
        out = planes[k] if work is None else work
        from_levels(integers, low, step, scale.levels, offset, out)
        if work is not None:
            planes[k] = work if dtype.kind == "f" else np.rint(work, out=work)

    if layout.ht:
        for k, integers in samples(parts):
            put(k, integers)
    else:  # straight from the library's memory
        from frazil.jpeg2000 import openjpeg

        openjpeg.decode(stream, put, shape)
    return planes


def _decode_exact(
    parts: list[Part], scale: Exact, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    unsigned = np.dtype(f"u{dtype.itemsize}")
    planes = np.zeros((shape[0] // scale.limbs, *shape[1:]), unsigned)
    for k, integers in samples(parts):
        if scale.limbs == 1:
            integers = np.clip(integers.astype("i8"), 0, min(scale.top, 1 << 62))  # noqa: PLW2901 - the same plane
        limb = integers.astype(unsigned) << unsigned.type(LIMB_BITS * (k % scale.limbs))
        planes[k // scale.limbs] |= limb
    planes <<= unsigned.type(scale.shift)
    planes += unsigned.type(scale.origin)
    return unkeys(planes, dtype)
