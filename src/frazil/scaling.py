"""How the values of a chunk become integers for JPEG 2000, and the record that inverts it.

The record is section ``S`` (docs/format/jp2k.md). Three kinds:

minmax
    [minimum, maximum] linearly onto 0 ... levels.
standard
    Standardised by mean and standard deviation, clipped to a range of z, and
    that range onto 0 ... levels: what ocean studies keep beside a JP2 file.
exact
    Integers less their minimum, or the bits of floats in numerical order less
    their minimum: an integer mapping that loses nothing.
lattice
    Floats that were integers before they were unpacked: those integers.
"""

from __future__ import annotations

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
        minmax: lowest and highest value. standard: mean, standard deviation, lowest and highest z.
        One group for the chunk, or one for each plane.
    """

    kind: int
    levels: int
    values: npt.NDArray[np.float64]

    def edges(self, plane: int) -> tuple[float, float]:
        """Lowest and highest value that the levels of ``plane`` stand for."""
        row = self.values[plane if len(self.values) > 1 else 0]
        if self.kind == MINMAX:
            return float(row[0]), float(row[1])
        mean, sd, low, high = map(float, row)
        return mean + sd * low, mean + sd * high

    def line(self, plane: int) -> tuple[float, float]:
        """(low, step) of ``plane``: ``x = low + level * step``. A plane without range has step 0."""
        low, high = self.edges(plane)
        return low, (high - low) / self.levels

    def pack(self, dtype: np.dtype[Any]) -> bytes:
        """Write the record. Extremes keep the array's own precision; mean and so on take four bytes each."""
        stored = dtype if self.kind == MINMAX else np.dtype("f4")
        many = PER_PLANE if len(self.values) > 1 else 0
        return (
            bytes([self.kind | many])
            + write_varint(self.levels)
            + self.values.astype(stored.newbyteorder("<")).tobytes()
        )


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
    stored = (dtype if kind == MINMAX else np.dtype("f4")).newbyteorder("<")
    groups, width = (planes if many else 1), (2 if kind == MINMAX else 4)
    if not 1 <= levels <= MAX_LEVELS or len(record) - at != groups * width * stored.itemsize:
        raise FormatError(f"scaling record of {len(record)} bytes does not fit {groups} groups of {dtype}")
    values = np.frombuffer(record, stored, offset=at).reshape(groups, width).astype("f8")
    if not np.isfinite(values).all():
        raise FormatError("the scaling record holds values that are not finite")
    return Linear(kind, levels, values)


def fit(planes: npt.NDArray[Any], *, kind: str, per: str, clip: float | None) -> Linear:
    """Choose the ends of the scale for planes (n, y, x); the number of levels is decided later.

    ``kind`` is "minmax" or "standard", ``per`` "chunk" or "plane", ``clip`` in standard deviations.
    """
    axes = (1, 2) if per == "plane" else (0, 1, 2)
    low = np.atleast_1d(planes.min(axis=axes)).astype("f8")
    high = np.atleast_1d(planes.max(axis=axes)).astype("f8")
    if kind == "minmax":
        return Linear(MINMAX, 1, np.stack([low, high], axis=-1))
    # As the record keeps them, so that encoder and decoder scale alike.
    mean = np.atleast_1d(planes.mean(axis=axes, dtype="f8")).astype("f4").astype("f8")
    sd = np.atleast_1d(planes.std(axis=axes, dtype="f8")).astype("f4").astype("f8")
    safe = np.where(sd > 0, sd, 1)
    bottom, top = (low - mean) / safe, (high - mean) / safe
    if clip is not None:
        bottom, top = np.maximum(bottom, -clip), np.minimum(top, clip)
    bottom = np.nextafter(bottom.astype("f4"), -np.inf, dtype="f4").astype("f8")
    top = np.nextafter(top.astype("f4"), np.inf, dtype="f4").astype("f8")
    return Linear(STANDARD, 1, np.stack([mean, sd, bottom, top], axis=-1))
