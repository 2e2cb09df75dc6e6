"""JPEG 2000 codestreams without their headers (ISO/IEC 15444-1 Annex A; 15444-15 for HTJ2K).

Every codestream that frazil writes has one tile, one quality layer, the
largest precincts and the progression RPCL, so that a low resolution is a
prefix. Its main header (SIZ, CAP, COD, QCD) then follows from the few numbers
in `Layout`: it is compared with the engine's when a chunk is encoded, left out,
and built anew when it is decoded. That saves 100 to 170 bytes a chunk, and no
header from a hostile chunk reaches a native decoder.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from frazil.errors import EngineError, FormatError
from frazil.jpeg2000.steps import GAINS_97, capability, reversible_guard, steps
from frazil.planes import reduced

SOC, SOT, SOD, EOC = 0xFF4F, 0xFF90, 0xFF93, 0xFFD9
CAP, SIZ, COD, TLM, PLT, QCD, COM = 0xFF50, 0xFF51, 0xFF52, 0xFF55, 0xFF58, 0xFF5C, 0xFF64
RPCL = 2
HT_BLOCKS = 0x40
MAX_DECOMPOSITIONS = 5
MAX_COMPONENTS = 16384  # ISO/IEC 15444-1, table A.9


@dataclass(frozen=True)
class Layout:
    """The numbers from which a codestream's main header follows.

    Parameters
    ----------
    shape : tuple of int
        Components, rows and columns: (n, y, x).
    bits : int
        Bits of a sample, 1 to 32, unsigned.
    decompositions : int
        Wavelet levels, 0 to 5.
    reversible : bool
        5/3 integer transform, instead of 9/7.
    ht : bool
        High-throughput block coder (ISO/IEC 15444-15), instead of EBCOT.
    step : float
        HT, 9/7: the base quantisation step, as a fraction of the range of ``bits``.
    """

    shape: tuple[int, int, int]
    bits: int
    decompositions: int
    reversible: bool = False
    ht: bool = False
    step: float = 0.0


def decompositions(rows: int, columns: int) -> int:
    """Wavelet levels for planes of this size: at most 5, and no more than the shorter side can halve.

    Examples
    --------
    >>> decompositions(721, 1440), decompositions(33, 49), decompositions(20, 7), decompositions(1, 9)
    (5, 5, 2, 0)
    """
    return min(MAX_DECOMPOSITIONS, min(rows, columns).bit_length() - 1)


def coarser(layout: Layout, level: int) -> Layout:
    """Return the layout of the same picture at 1/2**level, where ``level`` is at most the decompositions."""
    n, y, x = layout.shape
    return replace(
        layout,
        shape=(n, reduced(y, level), reduced(x, level)),
        decompositions=layout.decompositions - level,
    )


def main_header(layout: Layout, level: int = 0) -> bytes:
    """Build SOC, SIZ, (CAP,) COD and QCD for the picture at 1/2**level of ``layout``."""
    n, y, x = coarser(layout, level).shape
    d = layout.decompositions - level
    fields = steps(layout)[: 3 * d + 1]
    siz = struct.pack(">HIIIIIIIIH", 0x4000 if layout.ht else 0, x, y, 0, 0, x, y, 0, 0, n)
    siz += bytes([layout.bits - 1, 1, 1]) * n
    style = HT_BLOCKS if layout.ht else 0
    cod = struct.pack(">BBHBBBBBB", 0, RPCL, 1, 0, d, 4, 4, style, int(layout.reversible))
    guard = 2 if not layout.ht else reversible_guard(layout) if layout.reversible else 1
    if layout.reversible:
        qcd = bytes([guard << 5]) + bytes(e << 3 for e in fields)
    else:
        qcd = bytes([guard << 5 | 2]) + struct.pack(f">{len(fields)}H", *fields)
    segments = [(SIZ, siz)]
    if layout.ht:
        segments.append((CAP, struct.pack(">IH", 0x00020000, capability(layout, fields, d))))
    segments += [(COD, cod), (QCD, qcd)]
    return struct.pack(">H", SOC) + b"".join(_segment(marker, data) for marker, data in segments)


def assemble(layout: Layout, body: bytes | memoryview, level: int = 0) -> bytes:
    """Put the headers back around packets.

    Parameters
    ----------
    layout : Layout
        Of the full resolution.
    body : bytes
        The packets of the resolutions up to ``level`` (a prefix of the full body).
    level : int
        0 for the full picture; at most the decompositions.

    Returns
    -------
    bytes
        A complete codestream of the picture at 1/2**level, which any decoder reads.
    """
    sot = struct.pack(">HHHIBB", SOT, 10, 0, 14 + len(body), 0, 1)
    return b"".join((main_header(layout, level), sot, struct.pack(">H", SOD), body, struct.pack(">H", EOC)))


def indexed(layout: Layout, body: bytes, lengths: tuple[int, ...]) -> bytes:
    """Build the codestream for export: with one tile-part a resolution, announced by a TLM marker."""
    parts, at = [], 0
    for i, length in enumerate(lengths):
        sot = struct.pack(">HHHIBB", SOT, 10, 0, 14 + length, i, len(lengths))
        parts.append(sot + struct.pack(">H", SOD) + body[at : at + length])
        at += length
    sizes = b"".join(struct.pack(">BI", 0, len(part)) for part in parts)
    tlm = _segment(TLM, bytes([0, 0x50]) + sizes)
    return b"".join((main_header(layout), tlm, *parts, struct.pack(">H", EOC)))


def read_layout(stream: bytes, shape: tuple[int, int, int]) -> Layout:
    """Recover the layout of a codestream for planes of ``shape``; `dissect` then compares the whole header.

    Raises
    ------
    FormatError
        If the bytes are no codestream, or hold no SIZ, COD or QCD marker.
    """
    if stream[:2] != b"\xff\x4f":
        raise FormatError(f"not a JPEG 2000 codestream: starts with {stream[:2].hex()}, expected ff4f")
    data = {marker: stream[start + 4 : stop] for marker, start, stop in _segments(stream, 2)[0]}
    if not data.keys() >= {SIZ, COD, QCD} or len(data[SIZ]) < 39 or len(data[COD]) < 10 or len(data[QCD]) < 2:
        raise FormatError("JPEG 2000 codestream without SIZ, COD and QCD markers in its main header")
    ht, reversible = bool(data[COD][8] & HT_BLOCKS), data[COD][9] == 1
    layout = Layout(shape, (data[SIZ][36] & 0x7F) + 1, decompositions(*shape[1:]), reversible, ht)
    if not ht or reversible:
        return layout
    if len(data[QCD]) < 3:
        raise FormatError("JPEG 2000 codestream with an empty QCD marker")
    # The field of the LL band tells the base step up to the rounding of a bfloat16.
    (field,) = struct.unpack_from(">H", data[QCD], 1)
    low = np.float32(GAINS_97[0][layout.decompositions])
    delta = np.float32((1 + (field & 0x7FF) / 2048) / 2 ** (field >> 11)) * (low * low)
    return replace(layout, step=_half(float(delta)))


def _half(value: float) -> float:
    """Round to the nearest float32 whose lower half is zero."""
    bits = int(np.float32(value).view("u4")) + 0x8000 & 0xFFFF0000
    return float(np.uint32(bits).view("f4"))


def dissect(stream: bytes, layout: Layout) -> tuple[bytes, tuple[int, ...]]:
    """Take the headers off a codestream.

    Returns
    -------
    body : bytes
        The packets, coarsest resolution first.
    lengths : tuple of int
        Bytes of each resolution, coarsest first; they sum to ``len(body)``.

    Raises
    ------
    EngineError
        If the main header is not the one that ``layout`` implies.
    FormatError
        If the codestream is damaged.
    """
    segments, at = _segments(stream, 2)
    if stream[:2] != b"\xff\x4f":
        raise FormatError(f"not a JPEG 2000 codestream: starts with {stream[:2].hex()}, expected ff4f")
    kept = struct.pack(">H", SOC) + b"".join(
        stream[start:stop] for marker, start, stop in segments if marker not in (TLM, COM)
    )
    expected = main_header(layout)
    if sorted(_cut(kept)) != sorted(_cut(expected)):
        raise EngineError(
            "the JPEG 2000 library wrote a main header that frazil does not know "
            f"({kept.hex()}, expected {expected.hex()}); please report its name and version"
        )
    bodies, lengths = [], []
    while _marker(stream, at) == SOT:
        psot = int.from_bytes(stream[at + 6 : at + 10], "big")
        end = at + psot if psot else len(stream) - 2
        if not at + 14 <= end <= len(stream) - 2:
            raise FormatError(f"tile-part of {psot} bytes at {at} of a codestream of {len(stream)} bytes")
        inner, start = _segments(stream, at + 12)
        bodies.append(stream[start + 2 : end])
        packets = [n for marker, a, b in inner if marker == PLT for n in _packet_lengths(stream[a + 5 : b])]
        lengths.append((end - start - 2, packets))
        at = end
    if _marker(stream, at) != EOC:
        raise FormatError(
            f"JPEG 2000 codestream of {len(stream)} bytes has no end-of-codestream marker at {at}"
        )
    resolutions = layout.decompositions + 1
    if len(lengths) == resolutions and not lengths[0][1]:
        return b"".join(bodies), tuple(size for size, _ in lengths)
    packets = [n for _, part in lengths for n in part]
    counts = [_packets(coarser(layout, level).shape) for level in range(layout.decompositions, -1, -1)]
    if len(packets) != sum(counts):
        raise EngineError(
            f"the JPEG 2000 library wrote {len(packets)} packets in {len(lengths)} tile-parts, "
            f"expected {sum(counts)} packets or {resolutions} tile-parts"
        )
    body = b"".join(bodies)
    if sum(packets) != len(body):
        raise FormatError(
            f"the codestream holds {len(body)} bytes of packets, its PLT markers say {sum(packets)}"
        )
    ends = np.cumsum([0, *counts]).tolist()
    return body, tuple(sum(packets[a:b]) for a, b in pairwise(ends))


def _marker(stream: bytes, at: int) -> int:
    """Return the marker at ``at``, 0 behind the end."""
    return int.from_bytes(stream[at : at + 2], "big") if at + 2 <= len(stream) else 0


def _packets(shape: tuple[int, int, int]) -> int:
    """Packets of one resolution: one a component for each precinct of 2**15 x 2**15 points."""
    n, y, x = shape
    return n * reduced(y, 15) * reduced(x, 15)


def _segments(stream: bytes, at: int) -> tuple[list[tuple[int, int, int]], int]:
    """List (marker, start, stop) from ``at`` up to the first SOT or SOD; return where that one stands."""
    found: list[tuple[int, int, int]] = []
    while True:
        if at + 4 > len(stream):
            raise FormatError(f"JPEG 2000 codestream of {len(stream)} bytes ends inside its headers")
        marker, length = struct.unpack_from(">HH", stream, at)
        if marker in (SOT, SOD):
            return found, at
        found.append((marker, at, at + 2 + length))
        at += 2 + length


def _cut(header: bytes) -> list[bytes]:
    """Split a main header into its segments; their order is free after SIZ."""
    segments, _ = _segments(header + struct.pack(">HH", SOT, 0), 2)
    return [header[start:stop] for _, start, stop in segments]


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">HH", marker, len(data) + 2) + data


def _packet_lengths(data: bytes) -> list[int]:
    lengths, value = [], 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            lengths.append(value)
            value = 0
    return lengths
