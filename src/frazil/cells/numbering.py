"""How values become whole numbers, and back: on a line, by their order, or by their magnitude.

line
    The number k stands for ``origin + k * unit``, rounded once to the dtype.
keys
    Floats in numerical order, a unit for each: nothing is lost.
logs
    Magnitudes of floats by their bits, which are nearly a logarithm: a cell
    is a fraction of the value. Signs are stored beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import FormatError, TruncatedError
from frazil.keys import keys, unkeys

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int32]

LINE, KEYS, ALIGNED, SINGLE, LOGS = 0, 1, 2, 4, 8
MOST = 1 << 28  # numbers stay below it, so that sums of a few of them fit 32 bits


@dataclass(frozen=True)
class Line:
    """The number k stands for ``origin + k * unit``.

    Parameters
    ----------
    origin : float
        Held exactly by the dtype of the values, or a multiple of ``unit`` (on a grid).
    unit : float
        In the units of the values; positive.
    """

    origin: float
    unit: float

    def numbers(self, values: npt.NDArray[Any]) -> Numbers:
        """Round values to numbers."""
        from frazil.cells import rounding

        out = np.empty(values.shape, np.int32)
        rounding.to_numbers(values.reshape(-1), self.origin, self.unit, out.reshape(-1))
        return out

    def values(self, numbers: Numbers, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Compute what numbers stand for, in ``dtype``."""
        from frazil.cells import rounding

        wide = np.dtype("f4") if dtype == np.dtype("f2") else dtype
        out = np.empty(numbers.shape, wide)
        flat = np.ascontiguousarray(numbers).reshape(-1)
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            rounding.to_integers(flat, int(self.origin), int(self.unit), info.min, info.max, out.reshape(-1))
        else:
            rounding.to_values(flat, self.origin, self.unit, out.reshape(-1))
        if wide == dtype:
            return out
        with np.errstate(over="ignore"):
            return out.astype(dtype)


@dataclass(frozen=True)
class Keys:
    """The number k stands for the float whose key is ``origin + k``."""

    origin: int

    def numbers(self, values: npt.NDArray[Any]) -> Numbers:
        """Return the numbers of values, exactly."""
        unsigned = keys(values)
        return np.asarray((unsigned - unsigned.dtype.type(self.origin)).astype(np.int32))

    def values(self, numbers: Numbers, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Compute what numbers stand for."""
        unsigned = np.dtype(f"u{dtype.itemsize}").type
        return unkeys(numbers.astype(unsigned) + unsigned(self.origin), dtype)


@dataclass(frozen=True)
class Logs:
    """The number k stands for the positive float whose bits are ``origin + k * 2**shift``."""

    origin: int
    shift: int

    def numbers(self, values: npt.NDArray[Any]) -> Numbers:
        """Round the magnitudes of values to numbers."""
        bits = np.abs(values).view(f"u{values.dtype.itemsize}").astype(np.int64)
        half = 1 << self.shift >> 1
        return np.asarray(np.clip((bits - self.origin + half) >> self.shift, 0, MOST - 1), np.int32)

    def values(self, numbers: Numbers, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Compute the magnitudes that numbers stand for, finite ones."""
        bits = self.origin + (numbers.astype(np.int64) << self.shift)
        most = int(np.finfo(dtype).max.view(f"u{dtype.itemsize}"))
        return np.asarray(np.clip(bits, 0, most).astype(f"u{dtype.itemsize}").view(dtype))


Scale = Line | Keys | Logs


def pack(scale: Scale, dtype: np.dtype[Any], *, aligned: bool) -> bytes:
    """Write what the numbers stand for."""
    if isinstance(scale, Keys):
        return bytes([KEYS]) + scale.origin.to_bytes(dtype.itemsize, "little")
    if isinstance(scale, Logs):
        return bytes([LOGS, scale.shift]) + scale.origin.to_bytes(dtype.itemsize, "little")
    kind = LINE | (ALIGNED if aligned else 0)
    ends = np.array([scale.origin, scale.unit], "<f8")
    if dtype != np.dtype("f8") and _is_single(ends):
        kind |= SINGLE
        ends = ends.astype("<f4")
    return bytes([kind]) + ends.tobytes()


def unpack(record: bytes, at: int, dtype: np.dtype[Any]) -> tuple[Scale, bool, int]:
    """Read what `pack` wrote at offset ``at``; return it, whether cells are aligned, and where it ends.

    Raises
    ------
    FormatError
        If the bytes are no such record.
    """
    kind = record[at] if at < len(record) else 255
    at += 1
    if kind & ~(ALIGNED | SINGLE) and not (kind in (KEYS, LOGS) and dtype.kind == "f"):
        raise FormatError(f"numbers of kind {kind} are unknown; upgrade frazil to read this array")
    size = (4 if kind & SINGLE else 8) * 2 if not kind & (KEYS | LOGS) else dtype.itemsize + (kind == LOGS)
    data = record[at : at + size]
    if len(data) < size:
        raise TruncatedError(f"the record of the numbers ends after {len(data)} of its {size} bytes")
    at += size
    if kind == KEYS:
        return Keys(int.from_bytes(data, "little")), False, at
    if kind == LOGS:
        origin = int.from_bytes(data[1:], "little")
        if data[0] > 62 or origin >> (8 * dtype.itemsize - 1):
            raise FormatError(f"impossible logarithms: shift {data[0]}, origin {origin}")
        return Logs(origin, data[0]), False, at
    with np.errstate(all="ignore"):  # signalling NaN: refused below
        start, unit = np.frombuffer(data, "<f4" if kind & SINGLE else "<f8").astype("f8").tolist()
    if not (math.isfinite(start) and 0 < unit < math.inf):
        raise FormatError(f"impossible numbers: origin {start}, unit {unit}")
    if dtype.kind in "iu" and (start % 1 or unit % 1 or abs(start) > 2**40 or unit > 2**40):
        raise FormatError(f"impossible numbers for an array of {dtype}: origin {start}, unit {unit}")
    return Line(start, unit), bool(kind & ALIGNED), at


def _is_single(ends: npt.NDArray[np.float64]) -> bool:
    """Whether single precision holds the numbers as they are."""
    with np.errstate(all="ignore"):
        single = ends.astype("<f4")
    return bool(((single == ends) & ((ends == 0) | (np.abs(ends) > 1e-37))).all())
