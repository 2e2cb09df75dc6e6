"""The truncated residual: a mask of the points that need one, and its values there, packed by Blosc2.

::

    1        low five bits: exponent of S, 31: one for each value; above: bytes of a value, 0: 1, 1: 2, 2: 4
    varint   bytes of the mask
    ...      the mask: bits of all points in order, the first in the high bit, eight a byte
    varint   bytes of the exponents; this and the next only where there is one for each value
    ...      the exponents, a byte each
    ...      the values: (|m| - 1) * 2, and 1 more for m < 0, where m S is the residual; little-endian

Mask, exponents and values are Blosc2 chunks: ZSTD, the values bit-shuffled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.container import read_varint, write_varint
from frazil.errors import FormatError, TruncatedError
from frazil.residuals.slack import lattice

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int32]
    Valid = npt.NDArray[np.bool_]

WIDTHS: tuple[np.dtype[Any], ...] = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"))
VARIED = 31
LEVEL = 9  # of Blosc2, its highest
HEADER = 32  # bytes of a Blosc2 chunk; where it says how many it unfolds to, and how many it has
UNFOLDED, FOLDED = slice(4, 8), slice(12, 16)


def within(where: npt.NDArray[np.bool_], shape: tuple[int, ...], valid: Valid | None) -> Valid:
    """Of all points of ``shape``, those that are valid and ``where``."""
    return np.broadcast_to(where, shape) if valid is None else where & valid


def pack(numbers: Integers, decoded: Integers, slack: int | Integers, valid: Valid | None) -> bytes:
    """Write what brings ``decoded`` levels within ``slack`` of ``numbers``; empty where nothing need be done.

    Parameters
    ----------
    numbers, decoded : ndarray of int32, shape (n, y, x)
        Levels, 0 or more.
    slack : int or ndarray of int32, shape (n, y, x)
        0 or more.
    valid : ndarray of bool, shape (n, y, x), or None

    Examples
    --------
    >>> numbers = np.array([[[500, 510, 530, 600]]], np.int32)
    >>> decoded = np.full_like(numbers, 512)
    >>> apply(decoded, pack(numbers, decoded, 10, None), 16)
    >>> decoded
    array([[[496, 512, 528, 608]]], dtype=int32)
    """
    wrong = numbers - decoded
    mask = within(np.abs(wrong) > slack, wrong.shape, valid)
    if not mask.any():
        return b""
    wrong = wrong[mask]
    step = lattice(slack if isinstance(slack, int) else slack[mask])
    multiples = np.rint(wrong / step).astype(np.int64)
    # Most multiples are 1 or -1: their sign in the lowest bit leaves one plane of bits that is not zero.
    values = (np.abs(multiples) - 1) << 1 | (multiples < 0)
    code = next(code for code, width in enumerate(WIDTHS) if int(values.max()) < 1 << 8 * width.itemsize)
    if step.ndim:
        exponents = _sized(_fold(np.frexp(step)[1].astype(np.uint8) - 1))
        head = bytes([code << 5 | VARIED])
    else:
        exponents, head = b"", bytes([code << 5 | int(step).bit_length() - 1])
    # Neighbouring bits of a mask lie in one byte as they are: shuffled, they take more bytes.
    packed = _sized(_fold(np.packbits(mask)))
    return head + packed + exponents + _fold(values.astype(WIDTHS[code]), shuffle=True)


def apply(numbers: Integers, payload: bytes, bits: int) -> None:
    """Add what `pack` wrote to decoded levels (n, y, x), in place; none leaves 0 to 2**bits - 1.

    Raises
    ------
    FormatError
        If the payload is none for planes of this size.
    """
    if not payload:
        raise TruncatedError("the residual is empty")
    code, exponent = payload[0] >> 5, payload[0] & VARIED
    if code >= len(WIDTHS):
        raise FormatError(
            f"values of the unknown width {code} in a residual; upgrade frazil to read this array"
        )
    packed, at = _part(payload, 1, -(-numbers.size // 8), "mask")
    mask = np.unpackbits(packed, count=numbers.size).view(np.bool_).reshape(numbers.shape)
    count = int(np.count_nonzero(mask))
    exponents = np.full(1, exponent, np.uint8)
    if exponent == VARIED:
        exponents, at = _part(payload, at, count, "exponents")
    if exponents.max(initial=0) > bits:
        raise FormatError(f"residual on a lattice of 2**{exponents.max()}, there are 2**{bits} levels")
    width = WIDTHS[code]
    values = _unfold(payload[at:], count * width.itemsize, "residual").view(width).astype(np.int64)
    away = ((values >> 1) + 1) << exponents
    numbers[mask] = np.clip(numbers[mask] + np.where(values & 1, -away, away), 0, (1 << bits) - 1)


def _sized(part: bytes) -> bytes:
    return write_varint(len(part)) + part


def _part(payload: bytes, at: int, size: int, what: str) -> tuple[npt.NDArray[np.uint8], int]:
    length, at = read_varint(payload, at, f"length of the {what}")
    if length > len(payload) - at:
        raise TruncatedError(f"residual ends {length - len(payload) + at} bytes before its {what} does")
    return _unfold(payload[at : at + length], size, what), at + length


def _fold(values: npt.NDArray[Any], shuffle: bool = False) -> bytes:
    """Write a Blosc2 chunk, by ZSTD, on this thread."""
    import blosc2

    packed = blosc2.compress2(
        values.tobytes(),
        codec=blosc2.Codec.ZSTD,
        clevel=LEVEL,
        filters=[blosc2.Filter.BITSHUFFLE if shuffle else blosc2.Filter.NOFILTER],
        filters_meta=[0],
        typesize=values.dtype.itemsize,
        nthreads=1,
    )
    return bytes(packed)


def _unfold(chunk: bytes, size: int, what: str) -> npt.NDArray[np.uint8]:
    """Read a Blosc2 chunk that must hold ``size`` bytes."""
    import blosc2

    sizes = [int.from_bytes(chunk[place], "little") for place in (UNFOLDED, FOLDED)]
    if len(chunk) < HEADER or sizes != [size, len(chunk)]:
        raise FormatError(
            f"the {what} is a Blosc2 chunk of {sizes[1]} bytes for {sizes[0]}, "
            f"expected one of {len(chunk)} for {size}"
        )
    try:
        data = blosc2.decompress2(chunk, nthreads=1)
    except (RuntimeError, ValueError, TypeError) as problem:
        raise FormatError(f"the {what} cannot be unpacked: {problem}") from problem
    if len(data) != size:
        raise FormatError(f"the {what} unfolds to {len(data)} bytes, it says {size}")
    return np.frombuffer(data, np.uint8)
