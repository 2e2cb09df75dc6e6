"""What a base codec knows of a chunk, as numbers: how it is stored before its corrections, and read.

The payload (docs/format/residuals.md)::

    1        what the base is: 0 one number for all points, 1 a codec's bytes, 2 quantiser indices;
             + 0x10 if coefficients follow, + 0x20 if the base's bends are a context of the codes
    then     0: the number, zigzag varint
             1: varint of how many numbers the base may be off elsewhere; varint length; the bytes
             2: bits of a sample, + 0x80 for HT; for HT the upper half of the base step as a float32;
                varint number of lines (1, or one a plane), and of each the number of level 0 and the numbers
                from a level to the next, float32; varint bytes of each resolution, coarsest first; for HT and
                more than 32 planes varint length of the groups' table, and the table; the packets, in RPCL
    12 x     coefficients in 2**-10, zigzag varints
    ...      the codes, `frazil.residuals.codes`
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.cells.numbering import MOST, Line
from frazil.container import read_varint, write_varint
from frazil.errors import FormatError, NoRoomError, TruncatedError
from frazil.planes import reduced
from frazil.residuals import base as bases
from frazil.residuals import coefficients

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.cells import Cells
    from frazil.jpeg2000.codestream import Layout
    from frazil.jpeg2000.section import Coded

    Ints = npt.NDArray[np.int32]

ONE, CODEC, INDICES = 0, 1, 2
FORETOLD, BENDS = 0x10, 0x20
HT = 0x80
GROUP = 32  # planes that OpenJPH codes at once


@dataclass(frozen=True)
class Based:
    """Numbers as a base knows them.

    Parameters
    ----------
    head : bytes
        The payload's part that tells them, without its first byte.
    kind : int
    numbers : ndarray of int32, shape (n, y, x)
    sure : bool
        Whether they are the same on every machine, so that contexts may depend on them.
    doubt : int
        How many numbers they may be off elsewhere.
    """

    head: bytes
    kind: int
    numbers: Ints
    sure: bool = True
    doubt: int = 0


def by_codec(planes: npt.NDArray[Any], cells: Cells, codec: Any) -> Based:
    """Take what a codec makes of the values, which may be a little different on another machine, for a base.

    Raises
    ------
    NoRoomError
        If it may be, and the numbers do not lie on a line.
    """
    encoded, values, doubt = bases.run(codec, planes)
    units = 0
    if doubt:
        if not isinstance(cells.scale, Line):
            raise NoRoomError(f"{bases.name(codec)} may decode to other values on another machine")
        units = min(math.ceil(doubt / cells.scale.unit), MOST)
    head = write_varint(units) + write_varint(len(encoded)) + encoded
    return Based(head, CODEC, _numbers(values, cells), sure=False, doubt=units)


def from_indices(coded: Coded, shape: tuple[int, int, int]) -> Based:
    """Take the quantiser indices of an encoding of numbers by 9/7 for a base."""
    from frazil.jpeg2000.htj2k import round_step

    layout, scale = coded.layout, coded.scale
    lines = [scale.line(k) for k in range(len(scale.values))]  # type: ignore[union-attr]
    records = np.array(lines, "<f4")
    head = bytes([layout.bits | HT * layout.ht])
    if layout.ht:
        head += np.float32(round_step(layout.step)).astype("<f4").tobytes()[2:]
    head += write_varint(len(lines)) + records.tobytes() + b"".join(map(write_varint, coded.lengths))
    if coded.layout.ht and shape[0] > GROUP:
        table = coded.pack_groups()
        head += write_varint(len(table)) + table
    head += coded.body
    return Based(head, INDICES, _from_indices(b"\2" + head, 1, shape, 0)[0])


def read(  # noqa: PLR0917 - what every decoder of bounded chunks is told
    data: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any], cells: Cells, base: Any, level: int
) -> tuple[Based, int, int]:
    """Read the base of a payload; return also its first byte, and where the base ends."""
    if not data:
        raise TruncatedError("a payload of corrections is empty")
    flags, kind = data[0], data[0] & 15
    if flags & ~(15 | FORETOLD | BENDS) or kind > INDICES or (kind == CODEC and flags & BENDS):
        raise FormatError(f"a payload of corrections starts with {flags}; upgrade frazil to read this array")
    if kind == ONE:
        number, at = read_signed(data, 1, "number of all points")
        if abs(number) > coefficients.FURTHEST:
            raise FormatError(f"a number of {number} for all points")
        return Based(b"", ONE, np.full(_small(shape, level), number, np.int32)), flags, at
    if kind == CODEC:
        doubt, at = read_varint(data, 1, "doubt of the base")
        length, at = read_varint(data, at, "length of the base")
        if at + length > len(data):
            raise TruncatedError(f"the base has {len(data) - at} of its {length} bytes")
        wide = np.dtype("f4") if dtype == np.dtype("f2") else dtype
        values = bases.rerun(base, data[at : at + length], shape, wide, level)
        numbers = _numbers(values, cells)
        return Based(b"", CODEC, numbers, sure=False, doubt=min(doubt, MOST)), flags, at + length
    numbers, at = _from_indices(data, 1, shape, level)
    return Based(b"", INDICES, numbers), flags, at


def read_head(
    data: bytes, at: int, shape: tuple[int, int, int]
) -> tuple[Layout, list[int], bytes, list[coefficients.Line], int]:
    """Read what stands before the packets: layout, resolutions' lengths, groups, lines, the end."""
    from frazil.jpeg2000.codestream import MAX_COMPONENTS, Layout, decompositions

    if len(data) < at + 3:
        raise TruncatedError("a payload of corrections ends inside its head")
    bits, ht, step = data[at] & ~HT, bool(data[at] & HT), 0.0
    at += 1
    if ht:
        step = float(np.frombuffer(b"\0\0" + data[at : at + 2], "<f4")[0])
        at += 2
    if not 1 <= bits <= 20 or (ht and (bits != 16 or not 2.0**-20 <= step <= 1)):
        raise FormatError(f"impossible JPEG 2000 head: {bits} bits a sample, step {step}")
    if shape[0] > MAX_COMPONENTS:
        raise FormatError(f"{shape[0]} planes in a codestream, which holds at most {MAX_COMPONENTS}")
    layout = Layout(shape, bits, decompositions(*shape[1:]), ht=ht, step=step)
    count, at = read_varint(data, at, "number of lines")
    if count not in (1, shape[0]):
        raise FormatError(f"{count} lines for {shape[0]} planes")
    if at + 8 * count > len(data):
        raise TruncatedError("a payload of corrections ends inside its lines")
    with np.errstate(all="ignore"):
        pairs = np.frombuffer(data, "<f4", 2 * count, at).astype("f8").reshape(-1, 2)
    lines = [coefficients.Line(*pair) for pair in pairs.tolist()]
    at += 8 * count
    lengths = []
    for _ in range(layout.decompositions + 1):
        length, at = read_varint(data, at, "length of a resolution")
        lengths.append(length)
    table = b""
    if ht and shape[0] > GROUP:
        size, at = read_varint(data, at, "length of the groups' table")
        table, at = data[at : at + size], at + size
        if at > len(data):
            raise TruncatedError("a payload of corrections ends inside its groups")
    return layout, lengths, table, lines, at


def _from_indices(data: bytes, at: int, shape: tuple[int, int, int], level: int) -> tuple[Ints, int]:
    from frazil.jpeg2000.decoding import parts_of, reduced_shape
    from frazil.jpeg2000.section import StreamHead

    layout, lengths, table, lines, at = read_head(data, at, shape)
    direct = min(level, layout.decompositions)
    stop = at + sum(lengths[: len(lengths) - direct])
    if stop > len(data):
        raise TruncatedError(f"{len(data) - at} bytes of packets, their index speaks of {stop - at}")
    head = StreamHead(layout, tuple(lengths[:-1]), (), 0, 0)
    body = memoryview(data)[at:stop]
    parts = parts_of(head, body, reduced_shape(shape, direct), direct, table)
    numbers = coefficients.numbers(coefficients.indices(parts, direct), layout, lines, direct)
    rest = 1 << (level - direct)
    return np.ascontiguousarray(numbers[:, ::rest, ::rest]), stop


def _numbers(values: npt.NDArray[Any], cells: Cells) -> Ints:
    """Numbers of what a base made of the values, however far off."""
    scale = cells.scale
    if isinstance(scale, Line):
        far = (MOST - 1) * scale.unit
        values = np.clip(values.astype("f8"), scale.origin - far, scale.origin + far)
    return np.clip(scale.numbers(values), -MOST, MOST)


def _small(shape: tuple[int, int, int], level: int) -> tuple[int, int, int]:
    return shape[0], reduced(shape[1], level), reduced(shape[2], level)


def write_signed(value: int) -> bytes:
    """Write a number as a zigzag varint: 0, -1, 1, -2 ... count as 0, 1, 2, 3 ..."""
    return write_varint(2 * value if value >= 0 else -2 * value - 1)


def read_signed(data: bytes, at: int, what: str) -> tuple[int, int]:
    """Read what `write_signed` wrote at ``at``; return also where it ends."""
    value, at = read_varint(data, at, what)
    return (value >> 1) ^ -(value & 1), at
