"""Planes to packets and back: scale, engine and headers put together.

The payload of section ``J`` (docs/format/jp2k.md)::

    1        flags: 1 HT block coder, 2 reversible transform
    1        bits of a sample
    2        HT and not reversible: the upper half of the base step as a float32
    varint   bytes of each resolution but the last, coarsest first
    2        for each of those: the low half of the CRC-32C of the scale's record, of this head
             up to here, and of the packets up to the end of that resolution
    ...      packets, in the progression RPCL

so that a reader of a low resolution fetches a prefix, and can check it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from frazil.container import read_varint, write_varint
from frazil.errors import ChecksumError, EngineError, FormatError, TruncatedError
from frazil.jpeg2000.codestream import (
    MAX_COMPONENTS,
    Layout,
    assemble,
    decompositions,
    dissect,
    indexed,
    read_layout,
)
from frazil.keys import unkeys
from frazil.planes import reduced
from frazil.scaling import LIMB_BITS, Exact, Linear, OnLattice, Scale

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from frazil.masks import Valid

HT, REVERSIBLE = 1, 2


@dataclass(frozen=True)
class Coded:
    """A codestream without its headers, and the scale of its samples."""

    scale: Scale
    layout: Layout
    body: bytes
    lengths: tuple[int, ...]

    def pack(self, record: bytes) -> bytes:
        """Write section ``J``; ``record`` is section ``S``."""
        layout = self.layout
        head = bytes([HT * layout.ht | REVERSIBLE * layout.reversible, layout.bits])
        if layout.ht and not layout.reversible:
            head += np.float32(layout.step).astype("<f4").tobytes()[2:]
        head += b"".join(map(write_varint, self.lengths[:-1]))
        crc, at, checks = google_crc32c.value(record + head), 0, b""
        for length in self.lengths[:-1]:
            crc = google_crc32c.extend(crc, self.body[at : at + length])
            checks += (crc & 0xFFFF).to_bytes(2, "little")
            at += length
        return head + checks + self.body


@dataclass(frozen=True)
class StreamHead:
    """What stands before the packets in section ``J``."""

    layout: Layout
    lengths: tuple[int, ...]
    checks: tuple[int, ...]
    checked: int
    start: int

    def stop(self, level: int) -> int:
        """Bytes of the section that hold the resolutions for 1/2**level; ``level`` at least 1."""
        return self.start + sum(self.lengths[: max(len(self.lengths) + 1 - level, 1)])


def read_head(payload: bytes | memoryview, shape: tuple[int, int, int]) -> StreamHead:
    """Parse the start of section ``J`` for a stack of ``shape`` (n, y, x), limbs counted in n.

    Raises
    ------
    TruncatedError
        If the payload ends inside the head.
    FormatError
        If it is impossible.
    """
    if len(payload) < 4:
        raise TruncatedError(f"JPEG 2000 section ends after {len(payload)} bytes, inside its head")
    flags, bits, at, step = payload[0], payload[1], 2, 0.0
    ht, reversible = bool(flags & HT), bool(flags & REVERSIBLE)
    possible = range(1, 26) if not ht else (8, 16, 32) if reversible else (16,)
    if flags > 3 or bits not in possible:
        raise FormatError(f"impossible JPEG 2000 head: flags {flags}, {bits} bits a sample")
    if ht and not reversible:
        step = float(np.frombuffer(b"\0\0" + bytes(payload[2:4]), "<f4")[0])
        at = 4
        if not 2.0**-20 <= step <= 1:
            raise FormatError(f"impossible quantisation step {step}")
    if shape[0] > MAX_COMPONENTS:
        raise FormatError(f"chunk claims {shape[0]} components, a codestream holds at most {MAX_COMPONENTS}")
    layout = Layout(shape, bits, decompositions(*shape[1:], ht=ht), reversible, ht, step)
    lengths = []
    for _ in range(layout.decompositions):
        length, at = read_varint(payload, at, "length of a resolution")
        lengths.append(length)
    start = at + 2 * len(lengths)
    if start > len(payload):
        raise TruncatedError(
            f"JPEG 2000 section ends after {len(payload)} bytes, its head alone takes {start}"
        )
    checks = tuple(np.frombuffer(payload, "<u2", len(lengths), at).tolist()) if lengths else ()
    return StreamHead(layout, tuple(lengths), checks, at, start)


def encode_exact(planes: npt.NDArray[Any], *, ht: bool, valid: Valid | None = None) -> Coded:
    """Encode planes (n, y, x) of any dtype without loss where ``valid``, of the same shape."""
    from frazil.jpeg2000 import exact

    return exact.encode(planes, ht=ht, valid=valid)


def encode(
    planes: npt.NDArray[Any],
    scale: Linear,
    *,
    ht: bool,
    budget: int | None = None,
    psnr: float | None = None,
    valid: Valid | None = None,
) -> Coded | None:
    """Encode planes (n, y, x) with loss, for ``budget`` bytes or for ``psnr`` dB.

    Points that are not ``valid`` may come back as anything.

    Returns
    -------
    Coded or None
        None where the range is beyond what float64 can divide into levels.
    """
    from frazil.jpeg2000 import rate

    return rate.encode(planes, scale, ht=ht, budget=budget, psnr=psnr, valid=valid)


def decode(  # noqa: PLR0917 - what a section is decoded with, in the order of the chunk
    scale: Scale,
    record: bytes,
    payload: bytes,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    level: int = 0,
) -> npt.NDArray[Any]:
    """Decode section ``J``, or the prefix of it that ``level`` needs.

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
    stream = assemble(head.layout, body, direct)
    if isinstance(scale, Exact):
        planes = _decode_exact(stream, head.layout, scale, small, dtype)
    elif isinstance(scale, OnLattice):
        planes = np.empty(small, dtype)
        values = scale.lattice.values(dtype)
        for k, integers in samples(stream, head.layout, small):
            # Reduced resolutions can overshoot the highest level.
            planes[k] = values[np.clip(integers, 0, scale.lattice.top)]
    else:
        planes = _decode_linear(stream, head.layout, scale, small, dtype)
    rest = 1 << (level - direct)
    return planes if rest == 1 else planes[:, ::rest, ::rest].copy()


def reduced_shape(shape: tuple[int, int, int], level: int) -> tuple[int, int, int]:
    """(n, ceil(y / 2**level), ceil(x / 2**level))."""
    return shape[0], reduced(shape[1], level), reduced(shape[2], level)


def stacked(shape: tuple[int, int, int], scale: Scale) -> tuple[int, int, int]:
    """Shape of the stack that was coded: each plane counts once for each of its limbs."""
    return shape if isinstance(scale, Linear) else (shape[0] * scale.limbs, *shape[1:])


def direct_level(layout: Layout, scale: Scale, dtype: np.dtype[Any], level: int) -> int:
    """How much of ``level`` the wavelet gives; the rest is subsampled.

    Nothing where integers do not average as the values do: the bits of floats,
    and numbers that were split into limbs.
    """
    whole = isinstance(scale, Exact) and (scale.limbs > 1 or dtype.kind == "f")
    return 0 if whole else min(level, layout.decompositions)


def samples(
    stream: bytes, layout: Layout, shape: tuple[int, int, int]
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Decode to (index, plane of integers) pairs.

    At a reduced resolution reversible coding can overshoot the range, where
    OpenJPH wraps around: 32-bit samples, of which 25 are used, are then
    negative numbers; others go through OpenJPEG, which clips.
    """
    reduced_exact = layout.reversible and shape != layout.shape
    if layout.ht and not (reduced_exact and layout.bits <= 16):
        from frazil.jpeg2000 import htj2k

        planes = htj2k.decode(stream, shape)
        yield from enumerate(planes.view("i4") if reduced_exact else planes)
        return
    from frazil.jpeg2000 import openjpeg

    kept: list[npt.NDArray[Any]] = []
    openjpeg.decode(stream, lambda _, plane: kept.append(plane.copy()), shape)
    yield from enumerate(kept)


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
    stream: bytes, layout: Layout, scale: Linear, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    from frazil.jpeg2000.htj2k import HEADROOM
    from frazil.levels import from_levels

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
        for k, integers in samples(stream, layout, shape):
            put(k, integers)
    else:  # straight from the library's memory
        from frazil.jpeg2000 import openjpeg

        openjpeg.decode(stream, put, shape)
    return planes


def _decode_exact(
    stream: bytes, layout: Layout, scale: Exact, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    unsigned = np.dtype(f"u{dtype.itemsize}")
    planes = np.zeros((shape[0] // scale.limbs, *shape[1:]), unsigned)
    for k, integers in samples(stream, layout, shape):
        if scale.limbs == 1:
            integers = np.clip(integers.astype("i8"), 0, min(scale.top, 1 << 62))  # noqa: PLW2901 - the same plane
        limb = integers.astype(unsigned) << unsigned.type(LIMB_BITS * (k % scale.limbs))
        planes[k // scale.limbs] |= limb
    planes <<= unsigned.type(scale.shift)
    planes += unsigned.type(scale.origin)
    return unkeys(planes, dtype)


def finish(stream: bytes, layout: Layout, scale: Scale) -> Coded:
    """Take the engine's headers off."""
    body, lengths = dissect(stream, layout)
    return Coded(scale, layout, body, lengths)


def whole_stream(payload: bytes, shape: tuple[int, int, int]) -> bytes:
    """Build the codestream of section ``J`` with its headers and an index of its resolutions, for export."""
    head = read_head(payload, shape)
    body = payload[head.start :]
    last = len(body) - sum(head.lengths)
    if last < 0:
        raise FormatError(f"{len(body)} bytes of packets, the index speaks of {sum(head.lengths)}")
    return indexed(head.layout, body, (*head.lengths, last))


def adopt(stream: bytes, shape: tuple[int, int, int], scale: Scale) -> Coded:
    """Take in a codestream for ``shape`` (n, y, x), limbs counted in n, that `whole_stream` made."""
    try:
        layout = read_layout(stream, shape)
        return finish(stream, layout, scale)
    except EngineError as problem:
        raise FormatError(f"this codestream is not laid out as frazil writes them: {problem}") from problem
