"""Any base codec, and codes that bring each point into its cell.

A base is run first. JPEG 2000 (`JP2K`) is given the numbers of the points, and
its quantiser indices come back the same on every machine
(`frazil.residuals.coefficients`); other codecs are given the values. What the base
misses is coded in whole cells (`frazil.residuals.loop`, `frazil.residuals.codes`).

The payload is that of `frazil.residuals.based`: the base, the coefficients, the codes.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import FormatError, NoRoomError, TruncatedError
from frazil.residuals import base as bases
from frazil.residuals import loop, search
from frazil.residuals.based import (
    BENDS,
    CODEC,
    FORETOLD,
    ONE,
    Based,
    by_codec,
    read,
    read_head,
    read_signed,
    write_signed,
)
from frazil.residuals.codes import decode_codes, encode_codes
from frazil.residuals.correcting import correct, hints_of, there

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.cells import Cells

    Ints = npt.NDArray[np.int32]
    Valid = npt.NDArray[np.bool_]

LEAST = 0.6  # of a cell that has to be left when the base's doubt is taken off
MOST_COEFFICIENT = 1 << 20

__all__ = ["decode", "decode_codes", "encode", "encode_codes", "prefix_needed"]


def encode(
    planes: npt.NDArray[Any],
    cells: Cells,
    base: Any,
    valid: Valid | None = None,
    *,
    profile: str = "best",
) -> tuple[bytes, Ints]:
    """Encode planes by ``base``, and correct what it misses.

    Parameters
    ----------
    planes : ndarray, shape (n, y, x)
        Finite, in native byte order.
    cells : Cells
        Numbers of the values, and within which cells they may move.
    base : codec or dict
        Any of frazil or numcodecs. A `JP2K` without a rate gets the one that takes the fewest bytes.
    valid : ndarray of bool, shape (n, y, x), optional
        False at points that may come back as anything.
    profile : {"best", "fast"}

    Returns
    -------
    payload : bytes
    numbers : ndarray of int32, shape (n, y, x)
        What `decode` gives: within their cells.

    Raises
    ------
    NoRoomError
        If the base may decode to something else on another machine, by more than the cells allow.
    EngineError
        If the base codec fails.

    Examples
    --------
    >>> from frazil import JP2K, cells
    >>> y, x = np.mgrid[0:64, 0:96]
    >>> field = np.sin(x / 9 + y / 17)[None].astype(np.float32)
    >>> fitted = cells.fit(field, 0.01)
    >>> payload, numbers = encode(field, fitted, JP2K())
    >>> bool((abs(fitted.scale.values(numbers, field.dtype) - field) <= 0.01).all())
    True
    >>> bool((decode(payload, field.shape, field.dtype, fitted, JP2K()) == numbers).all())
    True
    """
    codec = bases.codec(base)
    wanted = cells.scale.numbers(planes)
    widths = _widths(cells, wanted.shape)
    known = wanted if valid is None else wanted[valid]
    if not known.size or int(known.max()) - int(known.min()) < int(widths.min()):
        middle = (int(known.min()) + int(known.max())) // 2 if known.size else 0
        return _one(wanted, middle, widths, cells, valid)
    if _is_lossy_jp2k(codec):
        as_asked = codec.ratio is not None or codec.psnr is not None
        # At some rates it takes the reversible transform, which is sure on values as well.
        with suppress(NoRoomError) if as_asked else nullcontext():
            return search.encode(wanted, widths, codec, valid, profile=profile, nbytes=planes.nbytes)
    based = by_codec(planes, cells, codec)
    narrow = widths - 2 * based.doubt
    if based.doubt and (narrow < LEAST * widths).any():
        raise NoRoomError(
            f"{bases.name(codec)} may decode to {2 * based.doubt} units more or less on another machine, "
            f"cells have {int(widths.min())}: use a finer base, or another method"
        )
    return correct(wanted, narrow, based, valid, profile=profile, aligned=cells.aligned)


def decode(  # noqa: PLR0917 - what every decoder of bounded chunks is told
    payload: bytes | memoryview,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    cells: Cells,
    base: Any,
    valid: Valid | None = None,
    level: int = 0,
) -> Ints:
    """Decode what `encode` returned, at 1/2**level of the resolution.

    Above level 0 by the base alone, without bound.

    Returns
    -------
    ndarray of int32, shape (n, ceil(y / 2**level), ceil(x / 2**level))

    Raises
    ------
    FormatError
        If the bytes are none that `encode` makes for this shape.
    """
    data = bytes(payload)
    based, flags, at = read(data, shape, dtype, cells, base, level)
    if level:
        return based.numbers
    factors = np.zeros(loop.TERMS, np.int64)
    if flags & FORETOLD:
        for k in range(loop.TERMS):
            value, at = read_signed(data, at, "coefficient")
            factors[k] = max(-MOST_COEFFICIENT, min(MOST_COEFFICIENT, value))
    widths = _widths(cells, shape) - 2 * based.doubt
    if (widths < 1).any():
        raise FormatError(f"the base is said to be off by {based.doubt} numbers, more than the cells have")
    hints = hints_of(based.numbers, widths) if flags & BENDS else None
    codes = decode_codes(data[at:], shape, valid, hints=hints)
    rebuilt = np.empty(shape, np.int32)
    loop.close(
        codes, codes, based.numbers, *there(valid), widths, factors, based.sure, cells.aligned, True, rebuilt
    )
    return rebuilt


def prefix_needed(head: bytes | memoryview, shape: tuple[int, int, int], level: int) -> int:
    """How many of the payload's first bytes `decode` needs for ``level``, at least 1; a large number for all.

    Raises
    ------
    TruncatedError
        If ``head`` is too short to tell.
    """
    data = bytes(head)
    if not data:
        raise TruncatedError("a payload of corrections is empty")
    if level == 0 or data[0] & 15 == CODEC:
        return 1 << 62
    if data[0] & 15 == ONE:
        return read_signed(data, 1, "number")[1]
    layout, lengths, _, _, at = read_head(data, 1, shape)
    direct = min(level, layout.decompositions)
    return at + sum(lengths[: len(lengths) - direct])


def _one(wanted: Ints, middle: int, widths: Ints, cells: Cells, valid: Valid | None) -> tuple[bytes, Ints]:
    based = Based(write_signed(middle), ONE, np.full(wanted.shape, middle, np.int32))
    factors = np.zeros(loop.TERMS, np.int64)
    codes, rebuilt = np.empty(wanted.shape, np.int32), np.empty(wanted.shape, np.int32)
    loop.close(
        wanted, codes, based.numbers, *there(valid), widths, factors, True, cells.aligned, False, rebuilt
    )
    return bytes([ONE]) + based.head + encode_codes(codes, valid), rebuilt


def _widths(cells: Cells, shape: tuple[int, ...]) -> Ints:
    n, y, x = shape
    expanded = cells.widths.expand((n, y, x))
    return np.full((1, 1, 1), expanded, np.int32) if isinstance(expanded, int) else expanded


def _is_lossy_jp2k(codec: Any) -> bool:
    return getattr(codec, "codec_id", "") == "frazil.jp2k" and not codec.reversible
