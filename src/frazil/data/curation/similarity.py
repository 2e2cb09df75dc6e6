"""Inner products of members, channel by channel, as fast as they can be had."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats = npt.NDArray[np.float64]

_COLUMNS = 4096  # points at a time: 256 members of them stay in a processor's cache
_SMALL = {4: 1e-30, 8: 1e-280}  # variances, by bytes of a number, whose squares are still numbers


def check_members(members: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Refuse arrays that are none of members; a masked array's holes become NaN.

    Raises
    ------
    ConfigurationError
        With what was found.
    """
    if isinstance(members, np.ma.MaskedArray):
        members = np.where(np.ma.getmaskarray(members), np.nan, members.data)
    if members.ndim < 2:
        raise ConfigurationError(
            f"members are an array of two axes or more, (n, ...); got shape {members.shape}"
        )
    if members.dtype.kind not in "fiub":
        raise ConfigurationError(f"members are real numbers; got dtype {members.dtype}")
    if len(members) < 3:
        raise ConfigurationError(f"{len(members)} members make no graph to choose from; give at least 3")
    if members.size == 0:
        raise ConfigurationError(f"members of shape {members.shape} hold no values to compare")
    return members


@dataclass(frozen=True)
class Gaps:
    """What members lack; of their channels these add up.

    Parameters
    ----------
    points : int
        That any of the members has.
    lacking, there : (n,) int64
        How many of these each member lacks, and how many it has.
    """

    points: int
    lacking: npt.NDArray[np.int64]
    there: npt.NDArray[np.int64]

    def __add__(self, other: Gaps) -> Gaps:
        """Of the same members in further channels."""
        return Gaps(self.points + other.points, self.lacking + other.lacking, self.there + other.there)

    def check(self, max_missing: float) -> None:
        """Refuse members that lack everything, or more than this share of the points that others have.

        Raises
        ------
        ConfigurationError
            With the member's number.
        """
        if len(empty := np.flatnonzero(self.there == 0)):
            raise ConfigurationError(
                f"member {empty[0]} is NaN everywhere and cannot be compared; leave it out"
            )
        share = self.lacking / self.points
        if share.max() > max_missing:
            worst = int(np.argmax(share))
            raise ConfigurationError(
                f"member {worst} is NaN at {share[worst]:.0%} of the points that others have; up to "
                f"{max_missing:.0%} can be compared: leave it out, or raise max_missing"
            )


def find_gaps(members: npt.NDArray[Any]) -> Gaps:
    """Count the points that members lack.

    Raises
    ------
    ConfigurationError
        If a member holds infinities.

    Examples
    --------
    >>> find_gaps(np.array([[1.0, np.nan], [2.0, 3.0], [4.0, 5.0]])).lacking
    array([1, 0, 0])
    """
    n, size = len(members), members.size // len(members)
    nothing = np.zeros(n, np.int64)
    whole = Gaps(size, nothing, nothing + size)
    if members.dtype.kind != "f":
        return whole
    # A sum in single precision takes a tenth of the time of looking at all values; it may overflow, too.
    with np.errstate(all="ignore"):
        suspects = np.flatnonzero(~np.isfinite([np.sum(member) for member in members]))
    if not len(suspects):
        return whole
    if infinite := [i for i in suspects if np.isinf(members[i]).any()]:
        raise ConfigurationError(
            f"member {infinite[0]} holds infinities; mark them as missing (NaN) or leave the member out"
        )
    gaps = np.isnan(members.reshape(n, -1))
    shared = gaps.all(axis=0)
    points = int((~shared).sum())
    lacking = (gaps & ~shared).sum(axis=1)
    return Gaps(points, lacking, points - lacking)


def block_gram(block: npt.NDArray[Any]) -> Floats:
    """Inner products of members in one channel, z-scored over all of them, the mean member subtracted.

    Parameters
    ----------
    block : (n, ...) ndarray

    Returns
    -------
    ndarray
        Shape (n, n); or (2, n, n) where members lack different points: there the second part holds the
        squared norm of each row's member over the points that the column's member has.
        All zeros where the channel does not vary, or members do not differ.

    Raises
    ------
    ConfigurationError
        If a member holds infinities.

    Examples
    --------
    >>> block_gram(np.array([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]])).round(2) + 0.0
    array([[ 1.2,  0.6, -1.8],
           [ 0.6,  0.3, -0.9],
           [-1.8, -0.9,  2.7]])
    """
    return compare(block)[0]


def compare(block: npt.NDArray[Any]) -> tuple[Floats, bool]:
    """Return what `block_gram` does, and whether all members have all points."""
    rows = block.reshape(len(block), -1)
    if rows.dtype.kind != "f" or rows.dtype.itemsize not in (4, 8) or not rows.dtype.isnative:
        single = rows.dtype.itemsize <= 2 or (rows.dtype.kind == "f" and rows.dtype.itemsize == 4)
        rows = rows.astype(np.float32 if single else np.float64)
    if rows.strides[1] != rows.itemsize:  # other layouts are multiplied in another order
        rows = np.ascontiguousarray(rows)
    n, precision = len(rows), float(np.finfo(rows.dtype).eps)
    with one_thread(), np.errstate(all="ignore"):
        sums = _sums(rows)
        # Rounding of the mean is the same for all members and cancels as long as it is small.
        small = max((4 * n * precision) ** 2 * sums.mean_square, _SMALL[rows.dtype.itemsize])
        if small < sums.within < np.inf:
            return sums.gram / (sums.within + sums.among), True
        find_gaps(rows)
        gaps = np.isnan(rows)
        whole = not gaps.any()
        if (shared := gaps.all(axis=0)).any():
            left = np.compress(~shared, rows, axis=1)
            return (compare(left)[0] if left.size else np.zeros((n, n))), False
        rows = rows.astype(np.float64)
        rows = np.ldexp(rows, -int(np.frexp(np.nanmax(np.abs(rows)))[1]))
        sums = _sums(rows) if whole else _sums_of_pairs(rows, gaps)
        noise = (n * np.finfo(np.float64).eps) ** 2 * sums.mean_square
        if sums.within <= noise or sums.within + sums.among <= precision**2 * sums.mean_square:
            return np.zeros((n, n)), whole
        return sums.gram / (sums.within + sums.among), whole


@dataclass(frozen=True)
class _Sums:
    """Inner products about the mean member, and the variances that scale them."""

    gram: Floats
    within: float  # variance about the mean member
    among: float  # of the mean member's points
    mean_square: float  # of the mean member


def _sums(rows: npt.NDArray[Any]) -> _Sums:
    n, points = rows.shape
    gram = np.zeros((n, n))
    room = np.empty((n, min(_COLUMNS, points)), rows.dtype)
    share = np.full(n, 1 / n, rows.dtype)
    means = np.empty(points)
    for start in range(0, points, _COLUMNS):
        part = rows[:, start : start + _COLUMNS]
        mean = share @ part  # not .mean(): half of the time
        means[start : start + _COLUMNS] = mean
        centre = np.subtract(part, mean, out=room[:, : part.shape[1]])
        gram += centre @ centre.T
    return _Sums(gram, float(np.trace(gram)) / rows.size, float(means.var()), float((means**2).mean()))


def _sums_of_pairs(rows: Floats, gaps: npt.NDArray[np.bool_]) -> _Sums:
    """Do the same where members lack different points, with the norms over each pair's common points."""
    n, points = rows.shape
    gram = np.zeros((2, n, n))
    there = n - gaps.sum(axis=0)
    means = np.empty(points)
    for start in range(0, points, _COLUMNS):
        here = slice(start, start + _COLUMNS)
        part, valid = np.where(gaps[:, here], 0, rows[:, here]), ~gaps[:, here]
        means[here] = part.sum(axis=0) / there[here]
        centre = np.where(valid, part - means[here], 0)
        gram[0] += centre @ centre.T
        gram[1] += centre**2 @ valid.astype(np.float64).T
    count = float(there.sum())
    square = float(there @ means**2) / count
    among = float(there @ (means - float(there @ means) / count) ** 2) / count
    return _Sums(gram, float(np.trace(gram[0])) / count, among, square)


@cache
def _libraries() -> Any:
    """Linear algebra libraries of this process, looked for once: that takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


_lock = threading.Lock()
_inside: list[Any] = []


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep matrix products on one thread: their last bits depend on how many share the work.

    The limit is one of the whole process: of several threads the first to enter sets it, the last lifts it.
    """
    with _lock:
        if not _inside:
            _inside.append(_libraries().limit(limits=1, user_api="blas"))
        _inside.append(None)
    try:
        yield
    finally:
        with _lock:
            _inside.pop()
            if len(_inside) == 1:
                _inside.pop().restore_original_limits()
