"""The JP2 file around a codestream (ISO/IEC 15444-1 Annex I; JPH, ISO/IEC 15444-15 Annex D, for HT).

::

    signature   'jP  '   0D 0A 87 0A
    file type   'ftyp'   brand 'jp2 ' or 'jph ', version 0, one compatible brand
    header      'jp2h'
        image   'ihdr'   rows, columns, components, bits - 1, compression 7, colour known, no rights
        colour  'colr'   enumerated colour space 17: greyscale
    codestream  'jp2c'   with all its headers
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from frazil.errors import FormatError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURE = b"\r\n\x87\n"
GREYSCALE = 17
JPEG2000 = 7


def wrap(stream: bytes, shape: tuple[int, int, int], bits: int, *, ht: bool = False) -> bytes:
    """Make a JP2 file (JPH for HT) of a codestream.

    Parameters
    ----------
    stream : bytes
        The codestream, from SOC to EOC.
    shape : tuple of int
        Components, rows and columns.
    bits : int
        Bits of a sample, unsigned, 1 to 38.
    ht : bool
        Whether the block coder is the high-throughput one.

    Examples
    --------
    >>> file = wrap(b"stream", (1, 721, 1440), 12)
    >>> [kind for kind, _, _ in walk(file)], unwrap(file)
    (['jP  ', 'ftyp', 'jp2h', 'jp2c'], b'stream')
    """
    n, y, x = shape
    brand = b"jph " if ht else b"jp2 "
    image = box(b"ihdr", struct.pack(">IIHBBBB", y, x, n, bits - 1, JPEG2000, 0, 0))
    colour = box(b"colr", struct.pack(">BBBI", 1, 0, 0, GREYSCALE))
    return b"".join(
        [
            box(b"jP  ", SIGNATURE),
            box(b"ftyp", brand + struct.pack(">I", 0) + brand),
            box(b"jp2h", image + colour),
            box(b"jp2c", stream),
        ]
    )


def unwrap(file: bytes) -> bytes:
    """Return the codestream of a JP2 file.

    Raises
    ------
    FormatError
        If the bytes are no JP2 file, or hold no codestream.
    TruncatedError
        If they end inside a box.
    """
    boxes = list(walk(file))
    if not boxes or boxes[0][0] != "jP  " or file[boxes[0][1] : boxes[0][2]] != SIGNATURE:
        raise FormatError(f"not a JP2 file: starts with {file[:12].hex()}")
    for kind, start, stop in boxes:
        if kind == "jp2c":
            return file[start:stop]
    raise FormatError("the JP2 file holds no codestream (no box 'jp2c')")


def box(kind: bytes, payload: bytes) -> bytes:
    """Put a length and a type before ``payload``; the long form (XLBox) where it takes 4 GiB.

    Examples
    --------
    >>> box(b"jP  ", SIGNATURE).hex()
    '0000000c6a5020200d0a870a'
    """
    if len(payload) + 8 < 1 << 32:
        return struct.pack(">I4s", len(payload) + 8, kind) + payload
    return struct.pack(">I4sQ", 1, kind, len(payload) + 16) + payload


def walk(file: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield type, start and stop of the payload of each box at the top level.

    Raises
    ------
    FormatError, TruncatedError
        As `unwrap`.
    """
    at = 0
    while at < len(file):
        if at + 8 > len(file):
            raise TruncatedError(f"JP2 file ends at {len(file)}, inside the header of a box")
        length, kind = struct.unpack_from(">I4s", file, at)
        start = at + 8
        if length == 1:
            if at + 16 > len(file):
                raise TruncatedError(f"JP2 file ends at {len(file)}, inside the header of a box")
            (length,) = struct.unpack_from(">Q", file, start)
            start = at + 16
        stop = len(file) if length == 0 else at + length  # 0: to the end of the file
        if stop < start:
            raise FormatError(f"box at byte {at} of the JP2 file says it is {length} bytes long")
        if stop > len(file):
            raise TruncatedError(f"JP2 file ends at {len(file)}, box {kind!r} at {stop}")
        yield kind.decode("latin-1"), start, stop
        at = stop
