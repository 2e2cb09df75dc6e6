"""Floats that lie on a lattice, as packed data do: ``x = origin + k * step``, rounded to the dtype.

GRIB and packed netCDF hold integers; unpacked, each integer has become one
float. Where that is so, the integers are found again and take far fewer bits
than the floats do. Arithmetic in single precision leaves some values a few
units in the last place beside the line: those are listed, by level.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.container import read_varint, write_varint
from frazil.errors import FormatError
from frazil.keys import keys, unkeys

if TYPE_CHECKING:
    import numpy.typing as npt

SAMPLE = 1 << 14
FEWEST, MOST = 2, 1 << 20
OFF = 4  # units in the last place that a value may lie beside the line
HEAD = 16


@dataclass(frozen=True)
class Lattice:
    """One value for each level 0 ... ``top``.

    Parameters
    ----------
    top : int
        The highest level, below 2**20.
    origin, step : float
        In the units of the values.
    nudges : ndarray, shape (top + 1,), int8
        By how many units in the last place each level's value lies above the line.
    """

    top: int
    origin: float
    step: float
    nudges: npt.NDArray[np.int8] = field(compare=False)

    def values(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Compute the value of each level: float64 arithmetic, rounded once to ``dtype``, then nudged."""
        with np.errstate(over="ignore"):  # of levels that no chunk of ours has
            line = (self.origin + np.arange(self.top + 1) * self.step).astype(dtype)
        numbers = keys(line)
        return unkeys(numbers + self.nudges.astype(numbers.dtype), dtype)

    def pack(self) -> bytes:
        """Write the lattice."""
        off = np.flatnonzero(self.nudges)
        gaps = np.diff(off, prepend=0)
        table = b"".join(
            write_varint(int(gap)) + bytes([int(self.nudges[k]) & 0xFF])
            for gap, k in zip(gaps, off, strict=True)
        )
        return (
            write_varint(self.top)
            + np.array([self.origin, self.step], "<f8").tobytes()
            + (zlib.compress(table, 9) if table else b"")
        )


def unpack(record: bytes) -> Lattice:
    """Read a lattice.

    Raises
    ------
    FormatError
        If the bytes are none.
    """
    top, at = read_varint(record, 0, "lattice's size")
    if top >= MOST or len(record) < at + HEAD:
        raise FormatError(f"impossible lattice of {top + 1} levels in {len(record)} bytes")
    origin, step = np.frombuffer(record, "<f8", 2, at).tolist()
    nudges = np.zeros(top + 1, "i1")
    if not (np.isfinite(origin) and 0 < step < np.inf):
        raise FormatError(f"impossible lattice: origin {origin}, step {step}")
    if len(record) > at + HEAD:
        try:
            table = zlib.decompressobj().decompress(record[at + HEAD :], 8 * (top + 1))
        except zlib.error as problem:
            raise FormatError(f"lattice's table cannot be unpacked: {problem}") from problem
        at, level = 0, 0
        while at < len(table):
            gap, at = read_varint(table, at, "lattice's table")
            level += gap
            if level > top or at >= len(table):
                raise FormatError(f"lattice's table names level {level} of {top}")
            nudges[level] = np.frombuffer(table, "i1", 1, at)[0]
            at += 1
    return Lattice(top, origin, step, nudges)


def find(values: npt.NDArray[Any]) -> tuple[Lattice, npt.NDArray[np.uint32]] | None:
    """Find the lattice on which all ``values`` lie.

    Parameters
    ----------
    values : ndarray, shape (n,), float32 or float64
        Finite.

    Returns
    -------
    lattice, levels : Lattice and ndarray of uint32, shape (n,)
        Exactly: ``lattice.values(values.dtype)[levels]`` has the bits of ``values``. None if there is none.

    Examples
    --------
    >>> packed = np.array([5, 0, 1, 2, 7], "i2")
    >>> lattice, levels = find((273.15 + 0.01 * packed).astype("f4"))
    >>> lattice.top, levels.tolist()
    (7, [5, 0, 1, 2, 7])
    """
    stride = max(values.size // SAMPLE, 1)
    few = np.unique(values[::stride]).astype("f8")
    with np.errstate(over="ignore"):  # a lattice has no range that large
        step = _spacing(few, values.dtype) if len(few) >= FEWEST else None
    if step is None:
        return None
    low, high = float(values.min()), float(values.max())
    if not (high - low) / step < MOST - 1:
        return None
    first = few[0] + round((low - few[0]) / step) * step
    levels = np.rint((values.astype("f8") - first) / step)
    if levels.min() < 0:
        return None
    integers = levels.astype("u4")
    # A lattice it is where the level alone says which value: checked for all, bit by bit.
    table = np.zeros(int(integers.max()) + 1, values.dtype)
    taken = np.zeros(len(table), bool)
    table[integers], taken[integers] = values, True
    unsigned = f"u{values.dtype.itemsize}"
    if not np.array_equal(table[integers].view(unsigned), values.view(unsigned)):
        return None
    present = np.flatnonzero(taken)
    origin, step = _line(present, table[present].astype("f8"), step)
    plain = Lattice(len(table) - 1, origin, step, np.zeros(len(table), "i1"))
    off = (keys(table) - keys(plain.values(values.dtype))).view(f"i{values.dtype.itemsize}")
    if abs(off[present]).max() > OFF:
        return None
    plain.nudges[present] = off[present]
    return plain, integers


def _line(levels: npt.NDArray[np.int64], values: npt.NDArray[np.float64], step: float) -> tuple[float, float]:
    """Origin and step of the line through all values; through zero where zero is one of them."""
    if (values == 0).any():
        zero = levels[values == 0][0]
        away = levels - zero
        slope = float((away * values).sum() / (away * away).sum())
        return -float(zero) * slope, slope
    middle, mean = levels.mean(), values.mean()
    away = levels - middle
    slope = float((away * (values - mean)).sum() / (away * away).sum()) if len(levels) > 2 else step
    return float(mean - slope * middle), slope


def _spacing(few: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> float | None:
    """Step of the sorted, distinct values ``few``, or None where they are irregular."""
    ulp = float(np.spacing(np.abs(few).max().astype(dtype)))
    gaps = np.diff(few)
    step = float(gaps.min())
    if step < 3 * OFF * ulp:
        return None
    near = gaps[gaps < 1.5 * step]
    step = float(near.mean())
    # Regress over spans that grow, so that each level is certain before the step has to carry further.
    span = 8.0
    while True:
        parts = np.concatenate([gaps, few - few[0]])
        parts = parts[parts < span * step]
        counts = np.rint(parts / step)
        if (abs(parts - counts * step) > OFF * ulp + 0.1 * step).any():
            return None
        step = float((counts * parts).sum() / (counts * counts).sum())
        if span * step > few[-1] - few[0]:
            break
        span *= 3
    counts = np.rint((few - few[0]) / step)
    return step if (abs(few - few[0] - counts * step) <= 2 * OFF * ulp).all() else None
