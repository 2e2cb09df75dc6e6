"""Values as whole numbers, and the width of the cell in which each number may be moved.

A number k stands for the value ``origin + k * unit``, rounded once to the
dtype. Around each number lies a cell of an odd number of units; any number of
that cell stands for a value within the point's bound. What coders do is then
integer arithmetic, the same on every machine (docs/format/bounded.md).

What the unit is depends on the data: a small fraction of the bound; or, where
values were integers that have been unpacked, as in GRIB, the step of these; or a
power of two of a float's bits, for bounds relative to the value; or one bit, so that nothing is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.cells import numbering
from frazil.cells.numbering import MOST, Keys, Line, Logs
from frazil.cells.widths import Widths
from frazil.container import read_varint, write_varint
from frazil.errors import FormatError
from frazil.keys import keys

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.cells.numbering import Scale


FINE = 45  # units in a cell: 21 to 91 make the same bytes within 0.05 %
FEWER = (15, 5, 3, 1)
FREE = 0.98  # a cell of whole lattice steps may be this much narrower than twice the bound
STEPS = 3  # ... and has this many steps on either side at most: more gain nothing
LEAST = 1e-290  # a unit below it has no finite inverse, or hardly any
HUGEST = 2.0**960  # values beyond it overflow where many are summed or multiplied by numbers


@dataclass(frozen=True)
class Cells:
    """What the numbers stand for, and how wide their cells are.

    Parameters
    ----------
    scale : Line, Keys or Logs
    widths : Widths
        In units.
    aligned : bool
        Whether cells lie on a fixed grid instead of around a prediction.
    """

    scale: Scale
    widths: Widths = field(default_factory=lambda: Widths(1))
    aligned: bool = False

    def pack(self, dtype: np.dtype[Any]) -> bytes:
        """Write the record; the map of the widths, if there is one, is a section of its own."""
        return numbering.pack(self.scale, dtype, aligned=self.aligned) + write_varint(self.widths.base)


def unpack(record: bytes, at: int, dtype: np.dtype[Any]) -> tuple[Cells, int]:
    """Read what `Cells.pack` wrote at offset ``at``; return it without the map of widths, and where it ends.

    Raises
    ------
    FormatError
        If the bytes are no such record.
    """
    scale, aligned, at = numbering.unpack(record, at, dtype)
    base, at = read_varint(record, at, "width of the cells")
    if not 1 <= base < MOST:
        raise FormatError(f"cells cannot be {base} units wide")
    return Cells(scale, Widths(base), aligned), at


def fit(
    planes: npt.NDArray[Any],
    bound: float | npt.NDArray[np.float64],
    *,
    dtype: np.dtype[Any] | None = None,
    grid: bool = False,
    finer: int = 1,
) -> Cells | None:
    """Choose numbers and cells for ``planes``.

    Parameters
    ----------
    planes : ndarray, shape (n, y, x), any dtype but float16
        Finite.
    bound : float, or ndarray of shape (n, y, x)
        Absolute, in the units of the values, not negative.
    dtype : dtype, optional
        That in which decoded values are stored, where it is not that of ``planes``.
    grid : bool
        Whether cells lie on a grid that depends on the bounds alone.
    finer : int
        How many times as many units a cell has, for errors much smaller than the bound.

    Returns
    -------
    Cells
        None where the numbers would not fit 28 bits, or the bound is hardly
        more than the rounding of the dtype. A point whose bound is narrower
        than the narrowest cell may still miss it.

    Examples
    --------
    >>> cells = fit(np.array([[[280.0, 281.0, 283.5]]], "f4"), 0.5)
    >>> numbers = cells.scale.numbers(np.array([280.0, 281.0, 283.5], "f4"))
    >>> cells.widths.base, numbers.tolist()
    (45, [0, 45, 158])
    """
    low, high = float(planes.min()), float(planes.max())
    stored = dtype or planes.dtype
    if not max(abs(low), abs(high)) <= HUGEST:
        return None
    if grid:
        return _on_grid(stored, low, high, bound)
    if stored.kind in "iu":
        return _integers(planes, int(low), bound)
    margin = rounding_of(stored, low, high)
    if isinstance(bound, float):
        room = bound - margin
        if not room > 0.25 * bound:
            return None
        found = _on_lattice(planes, room, 2 * room)
        return found or _on_line(stored, low, high, room, finer)
    from frazil.cells import rounding

    room_at = np.empty(planes.shape, np.float64)
    ulp = float(np.finfo(stored).eps) / 2
    noise = margin if stored == np.dtype("f8") else 1e-13 * max(abs(low), abs(high))
    tiny = float(np.finfo(stored).smallest_subnormal)
    rounding.rooms(planes.reshape(-1), bound.reshape(-1), ulp, noise + tiny, room_at.reshape(-1))
    return _varying(planes, stored, room_at, (low, high), finer)


def exact(planes: npt.NDArray[Any]) -> Cells | None:
    """Numbers that lose nothing, with cells of one unit; None where they do not fit 28 bits."""
    if planes.dtype.kind in "iu":
        low, high = int(planes.min()), int(planes.max())
        return Cells(Line(float(low), 1.0)) if high - low < MOST else None
    unsigned = keys(planes)
    low, high = int(unsigned.min()), int(unsigned.max())
    return Cells(Keys(low)) if high - low < MOST else None


def relative(
    planes: npt.NDArray[Any], fraction: float, known: npt.NDArray[np.bool_] | None = None
) -> Cells | None:
    """Cells of ``fraction`` of each value, whose sign is not looked at; None where that is less than a bit.

    Parameters
    ----------
    planes : ndarray, shape (n, y, x), float32 or float64
        Finite and not zero.
    fraction : float
        The bound over the magnitude of a value.
    known : ndarray of bool, shape (n, y, x), optional
        Where the values count.

    Examples
    --------
    >>> values = np.array([[[1e-20, 1.0, 3e7]]])
    >>> logs = relative(values, 0.01).scale
    >>> bool((abs(logs.values(logs.numbers(values), values.dtype) / values - 1) < 0.001).all())
    True
    """
    # Within a binade a bit is 2**-digits of its lower end; beyond its upper end it is twice as much of
    # twice as much.
    digits = np.finfo(planes.dtype).nmant
    room = 2 * math.floor(min(fraction, 1.0) * 2.0**digits)
    bits = np.abs(planes if known is None else planes[known]).view(f"u{planes.dtype.itemsize}")
    low, high = int(bits.min()), int(bits.max())
    shift = 0
    while room >> (shift + 1) >= FINE or (high - low) >> shift >= MOST:
        shift += 1
    width = (room >> shift) - 1 | 1
    if room >> shift < 3 or width < 1:
        return None
    return Cells(Logs(low, shift), Widths(width))


def rounding_of(dtype: np.dtype[Any], low: float, high: float) -> float:
    """Largest difference between a value of the line and what the dtype makes of it."""
    largest = max(abs(low), abs(high), float(np.finfo(dtype).tiny))
    with np.errstate(over="ignore"):
        if dtype == np.dtype("f8"):  # no wider type at hand: product, sum, rounding, and those of who checks
            return 3 * float(np.spacing(largest)) + 2 * float(np.spacing(high - low))
        half = 0.5 * float(np.spacing(np.array(largest).astype(dtype)))
    return half + 1e-13 * largest


def _on_line(dtype: np.dtype[Any], low: float, high: float, room: float, finer: int = 1) -> Cells | None:
    for width in ((FINE * finer) | 1, FINE, *FEWER):
        unit = 2 * room / width
        if dtype != np.dtype("f8") and 1e-30 < unit < 1e30:  # four bytes fewer in each chunk
            unit = float(np.nextafter(np.float32(unit), np.float32(0)))
        if unit > LEAST and (high - low) / unit < MOST:
            return Cells(Line(low, unit), Widths(width))
    return None


def _on_lattice(planes: npt.NDArray[Any], room: float, cell: float) -> Cells | None:
    from frazil.cells import rounding

    found = rounding.lattice(planes.reshape(-1), room)
    if found is None or found[1] < LEAST:
        return None
    origin, step, off, span = found
    steps = int((room - off) / step) if room > off else -1
    if not 0 <= steps <= STEPS or (2 * steps + 1) * step < FREE * cell or span >= MOST:
        return None
    return Cells(Line(origin, step), Widths(2 * steps + 1))


def _integers(planes: npt.NDArray[Any], low: int, bound: float | npt.NDArray[np.float64]) -> Cells | None:
    span = int(planes.max()) - low
    if span >= MOST:
        return None
    if isinstance(bound, float):
        return Cells(Line(float(low), 1.0), Widths(2 * min(int(bound), span) + 1))
    room = np.minimum(np.floor(bound), span)
    return Cells(Line(float(low), 1.0), Widths.fit(2 * room + 1, 1))


def _varying(
    planes: npt.NDArray[Any],
    dtype: np.dtype[Any],
    room: npt.NDArray[np.float64],
    ends: tuple[float, float],
    finer: int,
) -> Cells | None:
    """Cells whose width varies from place to place."""
    low, high = ends
    positive = room[room > 0]
    if not positive.size:
        return None
    smallest, widest = float(positive.min()), max(high - low, float(np.finfo(dtype).tiny))
    smallest = min(max(smallest, widest / MOST), widest)
    found = _on_lattice(planes, smallest, 0.0)
    if found is not None:
        unit = found.scale.unit if isinstance(found.scale, Line) else 1.0
        return Cells(found.scale, Widths.fit(2 * np.floor(np.minimum(room, widest) / unit) + 1, 1))
    line = _on_line(dtype, low, high, smallest, finer)
    if line is None or not isinstance(line.scale, Line):
        return None
    widths = Widths.fit(2 * np.minimum(room, widest) / line.scale.unit, line.widths.base)
    return Cells(line.scale, widths)


def _on_grid(
    dtype: np.dtype[Any], low: float, high: float, bound: float | npt.NDArray[np.float64]
) -> Cells | None:
    """Cells on a grid through zero that depends on the bounds alone: whoever rewrites finds it again."""
    whole = dtype.kind in "iu"
    least = float(np.min(bound))
    if whole:
        unit = 2.0 * math.floor(least) + 1 if isinstance(bound, float) else 1.0
    else:
        # few significant bits: multiples are then exact, and do not depend on where counting starts
        share, power = math.frexp(2 * least * (1 - 2.0**-8))
        unit = math.ldexp(math.floor(share * 256), power - 8)
    largest = max(abs(low), abs(high))
    if not (LEAST < unit < 1 / LEAST and (high - low) / unit < MOST / 2 and largest / unit < 2**50):
        return None
    if isinstance(bound, float):
        return Cells(Line(math.floor(low / unit) * unit, unit), Widths(1), aligned=True)
    room = np.floor(bound) if whole else np.minimum(bound, 2.0**40 * unit) * (1 - 2.0**-8)
    widths = Widths.powers(2 * room + 1 if whole else 2 * room / unit)
    first = math.floor(low / unit / widths.widest) * widths.widest
    if (high / unit - first) >= MOST:
        return None
    return Cells(Line(first * unit, unit), widths, aligned=True)
