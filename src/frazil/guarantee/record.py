"""What a bounded chunk says of itself: its method, and how far its values are from the original ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil import cells as cells_
from frazil.errors import FormatError, TruncatedError

if TYPE_CHECKING:
    from frazil.cells import Cells

METHODS = ("stored", "constant", "exact", "interpolation", "wavelet", "context", "mask")
STORED, CONSTANT, EXACT, INTERPOLATION, WAVELET, CONTEXT, MASK = range(7)
COUNTED = (EXACT, INTERPOLATION, WAVELET, CONTEXT)  # methods that work on numbers in cells
CLAMPED = 1
MOST_CHECKS = 8
PARTS = 250  # a share of the bound is recorded in 1 / 250, rounded up


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """Section ``B`` of a bounded chunk.

    Parameters
    ----------
    method : int
        Index into `METHODS`.
    max_error : float
        Largest error of the chunk, rounded up to 16 bits, in the units of the values.
    share : float
        Largest error over bound, rounded up to a 250th.
    cells : Cells, optional
        Without the map of their widths; of the methods that work on numbers.
    limits : tuple of float, optional
        Decoded values are clamped to these.
    checks : tuple of int
        For each lower resolution that takes a part of the stream, 16 bits of the CRC-32C of that part; what
        is beyond the last one takes the same part.
    """

    method: int
    max_error: float = 0.0
    share: float = 0.0
    cells: Cells | None = None
    limits: tuple[float, float] | None = None
    checks: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The method's name."""
        return METHODS[self.method]

    def pack(self, dtype: np.dtype[Any]) -> bytes:
        """Write the section for an array of ``dtype``."""
        flags = CLAMPED if self.limits is not None else 0
        parts = min(math.ceil(self.share * PARTS - 1e-9), PARTS)
        data = bytes([self.method | flags << 4]) + _round_up(self.max_error) + bytes([parts])
        if self.limits is not None:
            data += np.array(self.limits, dtype.newbyteorder("<")).tobytes()
        cells = self.cells.pack(dtype) if self.cells is not None else b""
        return data + cells + np.array(self.checks, "<u2").tobytes()


def unpack(data: bytes, dtype: np.dtype[Any]) -> Guarantee:
    """Read section ``B``.

    Raises
    ------
    FormatError
        If it is none.

    Examples
    --------
    >>> said = unpack(Guarantee(method=MASK, max_error=0.3, share=0.6).pack(np.dtype("f4")), np.dtype("f4"))
    >>> said.name, said.max_error, said.share
    ('mask', 0.30078125, 0.6)
    """
    if len(data) < 4:
        raise TruncatedError(f"section B ends after {len(data)} bytes")
    method, flags = data[0] & 15, data[0] >> 4
    if method >= len(METHODS) or flags & ~CLAMPED:
        raise FormatError(f"section B starts with {data[0]}; upgrade frazil to read this array")
    largest = float(np.frombuffer(b"\0\0" + data[1:3], "<f4")[0])
    at, limits = 4, None
    if flags & CLAMPED:
        at += 2 * dtype.itemsize
        if at > len(data):
            raise TruncatedError("section B ends inside its limits")
        low, high = np.frombuffer(data[4:at], dtype.newbyteorder("<")).tolist()
        if not low <= high:
            raise FormatError(f"values cannot be clamped to {low} ... {high}")
        limits = (low, high)
    cells = None
    if method in COUNTED:
        cells, at = cells_.unpack(data, at, dtype)
    if (len(data) - at) % 2 or len(data) - at > 2 * MOST_CHECKS:
        raise FormatError(f"section B has {len(data)} bytes, its method {METHODS[method]!r} explains {at}")
    return Guarantee(
        method=method,
        max_error=largest,
        share=data[3] / PARTS,
        cells=cells,
        limits=limits,
        checks=tuple(np.frombuffer(data, "<u2", offset=at).tolist()),
    )


def _round_up(error: float) -> bytes:
    """Return the upper half of a single-precision float that is not less than ``error``."""
    with np.errstate(over="ignore", under="ignore"):
        single = np.float32(error)
    bits = int(single.view(np.uint32))
    if float(single) < error or bits & 0xFFFF:
        bits = (bits | 0xFFFF) + 1 if bits & 0xFFFF else bits + (1 << 16)
    return min(bits >> 16, 0x7F80).to_bytes(2, "little")
