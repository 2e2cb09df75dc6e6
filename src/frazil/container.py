"""The frazil container: the one byte layout that every codec writes (docs/format/container.md).

::

    bytes    field
    3        magic, ASCII "FRZ"
    1        version: major in the high four bits, minor in the low four
    varint   length of the whole container, so that "cut off" is not "damaged"
    1        dtype: index into DTYPES; + 0x80 big-endian, + 0x40 Fortran order
    1        rank
    varint   length of each axis, rank times
    ...      sections
    4        CRC-32C (RFC 3720, appendix B.4) of everything before it, little-endian

    section: 1 byte tag, an ASCII letter, + 0x80 for the last one
             varint length of the payload (not written for the last section, which ends at the CRC)
             payload

A varint is LEB128: seven bits a byte, low bits first, the high bit says that
more follow. A tag in lower case may be skipped by a reader that does not know
it, as in PNG; a codec raises for an upper-case tag that it does not expect.
Around a single section the container takes 15 to 24 bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from frazil.errors import ChecksumError, FormatError, TruncatedError, UnsupportedArrayError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC = b"FRZ"
MAJOR, MINOR = 1, 0
DTYPES = ("f4", "f8", "i2", "u2", "i4", "u1", "f2")
BIG_ENDIAN, FORTRAN, LAST = 0x80, 0x40, 0x80
MAX_RANK = 32
CRC_SIZE = 4
# What a container may unfold to: a decoder allocates no more than its input has earned.
FREE_BYTES, EARNED_PER_BYTE = 1 << 28, 1 << 16
PADDING = "z"

Sections = dict[str, bytes]


@dataclass(frozen=True)
class ChunkSpec:
    """Shape, dtype and memory order of the array that went in, so that it can come out again.

    Parameters
    ----------
    shape : tuple of int
        Lengths of the axes; may be empty.
    dtype : numpy.dtype
        With its byte order.
    fortran : bool
        Whether the chunk was in Fortran order; Zarr v2 flattens what it gets, so order matters there.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool = False

    @property
    def nbytes(self) -> int:
        """Size of the decoded array in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Head:
    """What the first bytes of a container say, before any payload is read.

    ``spans`` maps each section's tag to the (start, stop) of its payload, in
    bytes from the start of the container. When only a prefix was given, it
    lists the sections whose headers lie inside that prefix.
    """

    spec: ChunkSpec
    total: int
    spans: dict[str, tuple[int, int]]


def write_varint(value: int) -> bytes:
    r"""Encode a non-negative integer as LEB128.

    Examples
    --------
    >>> write_varint(300)
    b'\xac\x02'
    """
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes | memoryview, at: int, what: str = "number") -> tuple[int, int]:
    r"""Decode the LEB128 integer at offset ``at``; return it and the offset behind it.

    Raises
    ------
    TruncatedError
        If ``data`` ends inside the integer.
    FormatError
        If it is longer than nine bytes, which no container holds.

    Examples
    --------
    >>> read_varint(b"\xac\x02", 0)
    (300, 2)
    """
    value = 0
    for shift in range(0, 63, 7):
        if at >= len(data):
            raise TruncatedError(f"bytes end at {at}, inside the {what}")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise FormatError(f"the {what} before byte {at} has no end: not a LEB128 integer")


def pack(spec: ChunkSpec, sections: Mapping[str, bytes]) -> bytes:
    """Write ``sections`` as one container.

    Parameters
    ----------
    spec : ChunkSpec
        Of the array that the sections encode.
    sections : mapping of str to bytes
        One-letter ASCII tags to payloads, written in this order.

    Returns
    -------
    bytes

    Raises
    ------
    UnsupportedArrayError
        If the dtype is not one of `DTYPES`, or there are more than 32 axes.

    Examples
    --------
    >>> data = pack(ChunkSpec((2, 3), np.dtype("<f4")), {"J": b"abc"})
    >>> len(data), data[:3]
    (17, b'FRZ')
    >>> unpack(data)[1]
    {'J': b'abc'}
    """
    body = _preamble(spec)
    parts = dict(sections)
    short = spec.nbytes - FREE_BYTES - EARNED_PER_BYTE * sum(map(len, parts.values()))
    if short > 0:  # gigabytes of one value: pay for them, see `check_earned`
        parts = {PADDING: bytes(-(-short // EARNED_PER_BYTE)), **parts}
    last = len(parts) - 1
    for i, (tag, payload) in enumerate(parts.items()):
        if i < last:
            body += bytes([ord(tag)]) + write_varint(len(payload)) + payload
        else:
            body += bytes([ord(tag) | LAST]) + payload
    fixed = len(MAGIC) + 1 + len(body) + CRC_SIZE
    total = fixed + 1
    while fixed + len(write_varint(total)) != total:
        total = fixed + len(write_varint(total))
    data = MAGIC + bytes([MAJOR << 4 | MINOR]) + write_varint(total) + body
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")


def overhead(spec: ChunkSpec, payloads: int, sections: int) -> int:
    """Bytes that `pack` adds to ``sections`` payloads of ``payloads`` bytes in all (at most)."""
    length = len(write_varint(payloads + 64))
    return len(MAGIC) + 1 + length + len(_preamble(spec)) + sections + length * (sections - 1) + CRC_SIZE


def unpack(data: bytes | memoryview) -> tuple[ChunkSpec, Sections]:
    """Read a container; the inverse of `pack`.

    Raises
    ------
    FormatError
        If the bytes are no container, or of a newer major version.
    TruncatedError
        If they end too early.
    ChecksumError
        If they were changed after they were written.
    """
    head = peek(data)
    if len(data) < head.total:
        raise TruncatedError(f"container ends after {len(data)} of its {head.total} bytes")
    if len(data) > head.total:
        raise FormatError(f"container of {head.total} bytes is followed by {len(data) - head.total} more")
    stored = int.from_bytes(data[-CRC_SIZE:], "little")
    actual = int(google_crc32c.value(bytes(data[:-CRC_SIZE])))
    if stored != actual:
        raise ChecksumError(
            f"container is damaged: its CRC-32C is {actual:08x}, it was written as {stored:08x}"
        )
    check_earned(head)
    return head.spec, {tag: bytes(data[start:stop]) for tag, (start, stop) in head.spans.items()}


def peek(prefix: bytes | memoryview) -> Head:
    """Read what the first bytes of a container say, without its payloads and without its checksum.

    Parameters
    ----------
    prefix : bytes
        The container, or the start of it.

    Returns
    -------
    Head

    Raises
    ------
    FormatError
        If the bytes are no container, of a newer major version, or impossible.
    TruncatedError
        If the prefix ends before the first section.
    """
    magic = bytes(prefix[: len(MAGIC)])
    if magic != MAGIC[: len(magic)]:
        raise FormatError(f"not a frazil container: starts with {magic!r}, expected {MAGIC!r}")
    if len(prefix) < 4:
        raise TruncatedError(f"container ends after {len(prefix)} bytes, before its version")
    major, minor = prefix[3] >> 4, prefix[3] & 15
    if major > MAJOR:
        raise FormatError(
            f"container version {major}.{minor} is newer than this frazil reads ({MAJOR}.{MINOR}); "
            "upgrade frazil to read this array"
        )
    total, at = read_varint(prefix, 4, "container's length")
    if at + 2 > len(prefix):
        raise TruncatedError(f"container ends after {len(prefix)} of its {total} bytes")
    code, rank = prefix[at], prefix[at + 1]
    at += 2
    if code & 0x3F >= len(DTYPES) or rank > MAX_RANK:
        raise FormatError(f"impossible container header: dtype code {code & 0x3F}, rank {rank}")
    lengths = []
    for _ in range(rank):
        length, at = read_varint(prefix, at, "chunk's shape")
        lengths.append(length)
    dtype = np.dtype((">" if code & BIG_ENDIAN else "<") + DTYPES[code & 0x3F])
    spec = ChunkSpec(tuple(lengths), dtype, bool(code & FORTRAN))
    if total < at + CRC_SIZE:
        raise FormatError(f"container says it is {total} bytes long, its header alone takes {at}")
    return Head(spec, total, _spans(prefix, at, total - CRC_SIZE))


def _spans(prefix: bytes | memoryview, at: int, end: int) -> dict[str, tuple[int, int]]:
    """Walk the section headers from ``at``; stop at the end of the prefix or of the sections."""
    spans: dict[str, tuple[int, int]] = {}
    while at < end and at < len(prefix):
        byte = prefix[at]
        tag = chr(byte & 0x7F)
        if byte & LAST:
            start, stop = at + 1, end
        else:
            try:
                size, start = read_varint(prefix, at + 1, f"length of section {tag!r}")
            except TruncatedError:
                break
            stop = start + size
        if not tag.isalpha() or tag in spans or stop > end:
            raise FormatError(f"section {tag!r} at byte {at} ends at {stop}, the sections end at {end}")
        spans[tag] = (start, stop)
        at = stop
    return spans


def check_earned(head: Head) -> None:
    """Refuse a container that claims a far larger array than its length can stand for."""
    lengths = [max(length, 1) for length in head.spec.shape]
    if math.prod(lengths) * head.spec.dtype.itemsize >= 1 << 63:  # numpy: also if one is 0
        raise FormatError(f"no array has the shape {head.spec.shape} that the container claims")
    if head.spec.nbytes > FREE_BYTES + EARNED_PER_BYTE * head.total:
        raise FormatError(
            f"a container of {head.total} bytes claims an array of {head.spec.nbytes} bytes; "
            f"at most {FREE_BYTES} + {EARNED_PER_BYTE} a byte are believed"
        )


def _preamble(spec: ChunkSpec) -> bytes:
    kind = spec.dtype.str[1:]
    if kind not in DTYPES:
        raise UnsupportedArrayError(f"cannot store dtype {spec.dtype}; supported: {', '.join(DTYPES)}")
    if len(spec.shape) > MAX_RANK:
        raise UnsupportedArrayError(f"cannot store {len(spec.shape)} axes; at most {MAX_RANK}")
    code = DTYPES.index(kind)
    code |= BIG_ENDIAN if spec.dtype.newbyteorder("<") != spec.dtype else 0
    code |= FORTRAN if spec.fortran else 0
    return bytes([code, len(spec.shape)]) + b"".join(map(write_varint, spec.shape))
