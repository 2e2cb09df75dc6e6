"""Planes and their bounds on integer levels, for a coder of integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import NoRoomError
from frazil.jpeg2000.codestream import MAX_COMPONENTS, decompositions
from frazil.residuals import slack as slacks
from frazil.residuals.truncated import within
from frazil.scaling import MINMAX, Linear

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int32]
    Valid = npt.NDArray[np.bool_]

FEWEST_BITS, MOST_BITS = 16, 22  # OpenJPEG's 5/3 overflows on steep edges beyond 22
ENOUGH = 4  # levels that a bound should be worth
LEAST_RATIO = 1.25  # of the bytes of the levels, and of the planes, to those of JPEG 2000


@dataclass(frozen=True)
class Levels:
    """A chunk on its levels, ready to be tried at one ratio after the other.

    Parameters
    ----------
    numbers : ndarray of int32, shape (n, y, x)
        The levels.
    slack : int or ndarray of int32, shape (n, y, x)
        By how many levels each may be wrong.
    valid : ndarray of bool, shape (n, y, x), or None
    scale : Linear
        What the levels stand for.
    dtype : dtype
        Of the planes.
    """

    numbers: Integers
    slack: int | Integers
    valid: Valid | None
    scale: Linear
    dtype: np.dtype[Any]

    @classmethod
    def of(
        cls, planes: npt.NDArray[Any], bound: float | npt.NDArray[np.float64], valid: Valid | None = None
    ) -> Levels:
        """Scale planes and their bounds; arguments and errors are those of `frazil.residuals.mask.encode`."""
        from frazil.jpeg2000.encodings import integers

        if len(planes) > MAX_COMPONENTS:
            raise NoRoomError(f"{len(planes)} planes are more than JPEG 2000 holds ({MAX_COMPONENTS})")
        known = planes if valid is None or valid.all() else planes[valid]
        ends = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        span = ends[1] - ends[0]
        if not math.isfinite(span) or 0 < span < 2.0**-990:
            raise NoRoomError(f"values from {ends[0]:g} to {ends[1]:g} cannot be divided into levels")
        usable = slacks.usable(bound, max(map(abs, ends)), planes.dtype)
        typical = slacks.typical(usable, valid)
        bits = FEWEST_BITS
        while bits < MOST_BITS and typical * ((1 << bits) - 1) < ENOUGH * span:
            bits += 1
        scale = Linear(MINMAX, (1 << bits) - 1, np.array([ends]))
        slack = slacks.slack(usable, scale.line(0)[1])
        # Where a bound is 0 the value is stored beside; elsewhere there must be a level for nearly all.
        short = within((slack < 0) & (usable > 0), planes.shape, valid)
        if known.size and span and (typical <= 0 or np.count_nonzero(short) > slacks.TIGHT * known.size):
            raise NoRoomError(f"bounds of {typical:g} are less than 2**-{bits} of the range {span:g}")
        least = np.maximum(slack, 0)
        numbers = integers(planes, scale, 0, "i4")
        return cls(numbers, least if least.ndim else int(least), valid, scale, planes.dtype)

    @property
    def bits(self) -> int:
        """Bits of a level."""
        return self.scale.levels.bit_length()

    @property
    def constant(self) -> bool:
        """Whether all points hold one value."""
        low, high = self.scale.edges(0)
        return low == high

    @property
    def nbytes(self) -> int:
        """Bytes of the planes."""
        return self.numbers.size * self.dtype.itemsize

    def ratios(self) -> tuple[float, float]:
        """Between which two ratios the best one lies."""
        n, y, x = self.numbers.shape
        least = max(LEAST_RATIO * self.dtype.itemsize / (self.bits / 8), LEAST_RATIO)
        empty = n * (decompositions(y, x) + 1)  # a packet has a byte
        return least, max(self.nbytes / empty, 2 * least)
