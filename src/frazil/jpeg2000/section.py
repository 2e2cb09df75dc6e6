"""The section of a chunk that holds JPEG 2000 packets, and what stands before them.

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
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

from frazil.container import read_varint, write_varint
from frazil.errors import EngineError, FormatError, TruncatedError
from frazil.jpeg2000.codestream import (
    MAX_COMPONENTS,
    Layout,
    decompositions,
    dissect,
    indexed,
    read_layout,
)
from frazil.scaling import Linear

if TYPE_CHECKING:
    from frazil.scaling import Scale

HT, REVERSIBLE = 1, 2
GROUP = 32  # components that OpenJPH codes at once


@dataclass(frozen=True)
class Coded:
    """A codestream without its headers, and the scale of its samples."""

    scale: Scale
    layout: Layout
    body: bytes
    lengths: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...] = ()

    def pack_groups(self) -> bytes:
        """Write section ``g``: bytes of each group's packets in each resolution but of its last; often empty.

        OpenJPH slows down where many planes are coded at once, so that they
        are coded in groups; the packets of a resolution are those of its groups
        one after the other, just as if all had been coded together.
        """
        return b"".join(write_varint(length) for groups in self.groups for length in groups[:-1])

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
    layout = Layout(shape, bits, decompositions(*shape[1:]), reversible, ht, step)
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


def read_groups(payload: bytes, lengths: list[int], components: int) -> list[list[int]]:
    """Read section ``g``: for each of the resolutions, of ``lengths`` bytes, the bytes of its groups.

    Raises
    ------
    FormatError
        If they do not fit.
    """
    others, at, groups = -(-components // GROUP) - 1, 0, []
    for length in lengths:
        sizes = []
        for _ in range(others):
            size, at = read_varint(payload, at, "length of a group")
            sizes.append(size)
        if sum(sizes) > length:
            raise FormatError(f"groups of {sum(sizes)} bytes in a resolution of {length}")
        groups.append([*sizes, length - sum(sizes)])
    return groups


def stacked(shape: tuple[int, int, int], scale: Scale) -> tuple[int, int, int]:
    """Shape of the stack that was coded: each plane counts once for each of its limbs."""
    return shape if isinstance(scale, Linear) else (shape[0] * scale.limbs, *shape[1:])


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
