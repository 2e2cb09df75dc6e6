"""How the values of a chunk become integers for JPEG 2000, and the record that inverts it.

The record is section ``S`` (docs/format/jp2k.md). Three kinds:

minmax
    [minimum, maximum] linearly onto 0 ... levels.
standard
    The same after clipping at so many standard deviations from the mean; both
    are recorded: what ocean studies keep beside a JP2 file.
exact
    Integers less their minimum, or the bits of floats in numerical order less
    their minimum: an integer mapping that loses nothing.
lattice
    Floats that were integers before they were unpacked: those integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from frazil import lattice
from frazil.container import read_varint, write_varint
from frazil.errors import FormatError

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.lattice import Lattice

MINMAX, STANDARD, EXACT, LATTICE = 0, 1, 2, 3
PER_PLANE = 0x10
LIMB_BITS = 16
MAX_LEVELS = 1 << 25


@dataclass(frozen=True)
class Linear:
    """Values onto levels: ``level = (x - low) / step``, for each group of planes.

    Parameters
    ----------
    kind : int
        `MINMAX` or `STANDARD`.
    levels : int
        The highest level, 1 to 2**25.
    values : ndarray, shape (groups, 2 or 4), float64
        minmax: lowest and highest value. standard: mean and standard deviation, and the lowest and
        highest value that are kept.
        One group for the chunk, or one for each plane.
    """

    kind: int
    levels: int
    values: npt.NDArray[np.float64]

    def edges(self, plane: int) -> tuple[float, float]:
        """Lowest and highest value that the levels of ``plane`` stand for."""
        low, high = self.values[plane if len(self.values) > 1 else 0, -2:]
        return float(low), float(high)

    def line(self, plane: int) -> tuple[float, float]:
        """(low, step) of ``plane``: ``x = low + level * step``. A plane without range has step 0."""
        low, high = self.edges(plane)
        step = (high - low) / self.levels
        while low + self.levels * step > high:  # rounded up: nothing may leave the range, nor become infinite
            step = math.nextafter(step, 0.0)
        return low, step

    def pack(self, dtype: np.dtype[Any]) -> bytes:
        """Write the record for an array of ``dtype``, in which the extremes are kept."""
        many = PER_PLANE if len(self.values) > 1 else 0
        row = _row(self.kind, dtype)
        rows = np.empty(len(self.values), row)
        for name, column in zip(row.fields or (), self.values.T, strict=True):
            rows[name] = column
        return bytes([self.kind | many]) + write_varint(self.levels) + rows.tobytes()


@dataclass(frozen=True)
class OnLattice:
    """Levels of a lattice that stand for the values one to one."""

    lattice: Lattice
    limbs: ClassVar[int] = 1

    def pack(self, dtype: np.dtype[Any]) -> bytes:  # noqa: ARG002 - the same call for every kind
        """Write the record."""
        return bytes([LATTICE]) + self.lattice.pack()


@dataclass(frozen=True)
class Exact:
    """Integers that stand for the values one to one.

    Parameters
    ----------
    shift : int
        Trailing zero bits that all share and that were dropped.
    limbs : int
        How many 16-bit planes one plane became, 1 when it was not split.
    origin : int
        The smallest key, as an unsigned integer of the array's item size.
    top : int
        The largest integer that is coded: the largest key less the smallest, shifted.
    """

    shift: int
    limbs: int
    origin: int
    top: int

    def pack(self, dtype: np.dtype[Any]) -> bytes:
        """Write the record."""
        ends = (number.to_bytes(dtype.itemsize, "little") for number in (self.origin, self.top))
        return bytes([EXACT, self.shift, self.limbs]) + b"".join(ends)


Scale = Linear | Exact | OnLattice


def unpack(record: bytes, planes: int, dtype: np.dtype[Any]) -> Scale:
    """Read section ``S``.

    Raises
    ------
    FormatError
        If it is not a record for ``planes`` planes of ``dtype``.
    """
    if not record:
        raise FormatError("the scaling record is empty")
    kind, many = record[0] & 0x0F, record[0] & PER_PLANE
    if kind == EXACT:
        middle, size = 3 + dtype.itemsize, 3 + 2 * dtype.itemsize
        if len(record) != size or not 1 <= record[2] <= 4 or record[1] >= 8 * dtype.itemsize:
            raise FormatError(f"exact scaling record {record.hex()} is not one for {dtype}")
        ends = (int.from_bytes(part, "little") for part in (record[3:middle], record[middle:]))
        return Exact(record[1], record[2], *ends)
    if kind == LATTICE and dtype.kind == "f":
        return OnLattice(lattice.unpack(record[1:]))
    if kind not in (MINMAX, STANDARD):
        raise FormatError(f"scaling kind {kind} is unknown; upgrade frazil to read this array")
    levels, at = read_varint(record, 1, "number of levels")
    groups, row = (planes if many else 1), _row(kind, dtype)
    if not 1 <= levels <= MAX_LEVELS or len(record) - at != groups * row.itemsize:
        raise FormatError(f"scaling record of {len(record)} bytes does not fit {groups} groups of {dtype}")
    rows = np.frombuffer(record, row, offset=at)
    with np.errstate(all="ignore"):  # signalling NaN: refused below
        values = np.stack([rows[name].astype("f8") for name in row.fields or ()], axis=-1)
        spans = values[:, -1] - values[:, -2]
    if not (np.isfinite(values).all() and np.isfinite(spans).all() and (spans >= 0).all()):
        raise FormatError("the scaling record holds a range that is not finite, or upside down")
    return Linear(kind, levels, values)


def _row(kind: int, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """One group of the record: extremes in the array's dtype, mean and standard deviation before them."""
    edge = dtype.newbyteorder("<")
    statistic = "<f8" if dtype == np.dtype("f8") else "<f4"
    extremes = [("low", edge), ("high", edge)]
    return np.dtype(extremes if kind == MINMAX else [("mean", statistic), ("sd", statistic), *extremes])


def fit(
    planes: npt.NDArray[Any], *, kind: str, per: str, clip: float | None, dtype: np.dtype[Any] | None = None
) -> Linear:
    """Choose the ends of the scale for planes (n, y, x); the number of levels is decided later.

    ``kind`` is "minmax" or "standard", ``per`` "chunk" or "plane", ``clip`` in
    standard deviations, ``dtype`` that of the record, by default the planes'.
    """
    axes = (1, 2) if per == "plane" else (0, 1, 2)
    low = np.atleast_1d(planes.min(axis=axes)).astype("f8")
    high = np.atleast_1d(planes.max(axis=axes)).astype("f8")
    if kind == "minmax":
        return Linear(MINMAX, 1, np.stack([low, high], axis=-1))
    # Squares must neither overflow nor vanish.
    largest = max(abs(low).max(), abs(high).max())
    unit = 2.0 ** (math.frexp(largest)[1] - 1) if not 1e-100 < largest < 1e100 else 1.0
    small = planes if unit == 1 else planes / unit
    mean = np.atleast_1d(small.mean(axis=axes, dtype="f8")) * unit
    sd = np.atleast_1d(small.std(axis=axes, dtype="f8")) * unit
    if clip is not None:
        stored = dtype or planes.dtype
        low = np.maximum(low, _inside(mean - clip * sd, stored, np.ceil))
        high = np.minimum(high, _inside(mean + clip * sd, stored, np.floor))
        high = np.maximum(low, high)
    return Linear(STANDARD, 1, np.stack([mean, sd, low, high], axis=-1))


def _inside(edges: npt.NDArray[np.float64], dtype: np.dtype[Any], whole: Any) -> npt.NDArray[np.float64]:
    """Edges as the record keeps them: whole numbers for integers, rounded for floats."""
    if dtype.kind in "iu":
        return np.asarray(whole(edges))
    with np.errstate(over="ignore"):
        return edges.astype(dtype).astype("f8")
