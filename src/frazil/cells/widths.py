"""Widths of cells that vary from place to place: a coarse map of levels, four to the octave.

A block of the map holds the level of its narrowest cell. The level j stands for
``base * 2**(j / 4)``, rounded down to an odd number, or, on a fixed grid, for
``2**j``. The size of the blocks is chosen by what the map costs and what wider
blocks lose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from frazil.errors import FormatError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Levels = npt.NDArray[np.int32]

BLOCKS = (4, 8, 16, 32, 64)
MOST_LEVELS = 120
MOST_WIDTH = 1 << 28
QUARTERS = np.array([65536, 77935, 92681, 110217], np.int64)  # 2**(j / 4) in 1 / 65536, rounded down
GRID_BLOCK = 4


@dataclass(frozen=True)
class Widths:
    """One width, or a map of them.

    Parameters
    ----------
    base : int
        The width, or that of level 0.
    block : int
        Points on a side of the map's blocks; 0: no map.
    levels : ndarray of int32, shape (n or 1, blocks in y, blocks in x), optional
        The map; one for all planes where they share it.
    doubling : bool
        Whether a level is an octave (on a fixed grid) rather than a quarter of one.
    """

    base: int
    block: int = 0
    levels: Levels | None = None
    doubling: bool = False

    @property
    def widest(self) -> int:
        """The widest cell."""
        return self.base if self.levels is None else int(self.table()[int(self.levels.max())])

    def table(self) -> npt.NDArray[np.int64]:
        """Widths of the levels, from the narrowest."""
        j = np.arange(MOST_LEVELS + 1)
        if self.doubling:
            return np.asarray(np.minimum(1 << np.minimum(j, 28), MOST_WIDTH), np.int64)
        wide = [(self.base * int(QUARTERS[k & 3]) << (k >> 2)) >> 16 for k in j.tolist()]
        return np.array([min(w - 1 + (w & 1), MOST_WIDTH - 1) for w in wide], np.int64)

    def expand(self, shape: tuple[int, int, int]) -> int | npt.NDArray[np.int32]:
        """Return the width, or those of all points of planes of ``shape`` (n, y, x)."""
        if self.levels is None:
            return self.base
        n, y, x = shape
        coarse = self.table()[self.levels].astype(np.int32)
        rows = np.repeat(coarse, self.block, axis=1)[:, :y]
        full = np.repeat(rows, self.block, axis=2)[:, :, :x]
        return np.ascontiguousarray(np.broadcast_to(full, (n, y, x)))

    @classmethod
    def fit(cls, room: npt.NDArray[np.float64], base: int) -> Widths:
        """Make the map for points that have ``room`` units, shape (n, y, x), at least ``base``."""
        with np.errstate(divide="ignore", invalid="ignore"):
            octaves = np.log2(room / base)
        finest = np.nan_to_num(np.floor(4 * octaves + 1e-9), nan=0, neginf=0, posinf=MOST_LEVELS)
        # the table rounds down, to an odd number even: a level that is too wide after all is taken back
        table = cls(base).table()
        levels = np.clip(finest, 0, MOST_LEVELS).astype(np.int32)
        levels -= (table[levels] > np.maximum(room, base)).astype(np.int32)
        return cls._mapped(np.maximum(levels, 0), base)

    @classmethod
    def _mapped(cls, levels: Levels, base: int) -> Widths:
        shared = levels.shape[0] > 1 and bool((levels == levels[:1]).all())
        levels = levels[:1] if shared else levels
        if levels.min() == levels.max():
            return cls(int(cls(base).table()[levels.flat[0]]))
        best, chosen = np.inf, cls(base)
        for block in BLOCKS:
            coarse = _narrowest(levels, block)
            lost = float(levels.sum(dtype=np.int64))
            counts = _coverage(levels.shape, block)
            kept = float((coarse * counts).sum(dtype=np.int64))
            cost = (lost - kept) / 4 * 0.7 + _bits(coarse)
            if cost < best:
                best, chosen = cost, cls(base, block, coarse)
        return chosen

    @classmethod
    def powers(cls, room: npt.NDArray[np.float64]) -> Widths:
        """Make the map of a fixed grid: the largest powers of two that fit, in blocks of a fixed size."""
        octaves = np.floor(np.log2(np.maximum(room, 1)) + 1e-12)
        levels = np.clip(octaves, 0, 28).astype(np.int32)
        levels -= (np.exp2(levels) > np.maximum(room, 1)).astype(np.int32)
        coarse = _narrowest(levels, GRID_BLOCK)
        return cls(1, GRID_BLOCK, coarse, doubling=True)


def _narrowest(levels: Levels, block: int) -> Levels:
    """Smallest level of each block."""
    rows = np.minimum.reduceat(levels, np.arange(0, levels.shape[1], block), axis=1)
    return np.asarray(np.minimum.reduceat(rows, np.arange(0, levels.shape[2], block), axis=2))


def _coverage(shape: tuple[int, ...], block: int) -> npt.NDArray[np.int64]:
    """How many points each block has."""
    sides = []
    for length in shape[1:]:
        starts = np.arange(0, length, block)
        sides.append(np.minimum(block, length - starts))
    return np.asarray(sides[0][:, None] * sides[1][None, :])


def _bits(coarse: Levels) -> float:
    """Estimate what a map takes, by the entropy of its differences."""
    across = np.diff(coarse, axis=2, prepend=coarse[:, :, :1])
    differences = np.diff(across, axis=1, prepend=across[:, :1])
    if differences.size < 2:
        return 16.0
    _, counts = np.unique(differences, return_counts=True)
    share = counts / differences.size
    return float(-(counts * np.log2(share)).sum()) + 8.0 * len(counts)


def pack_map(widths: Widths, encode: Callable[[Levels], bytes]) -> bytes:
    """Write the map, empty if there is none; ``encode(levels)`` codes its integers."""
    if widths.levels is None:
        return b""
    head = widths.block.bit_length() - 1
    shared = 16 if widths.levels.shape[0] == 1 else 0
    return bytes([head | shared | (32 if widths.doubling else 0)]) + encode(widths.levels)


def unpack_map(
    base: int,
    payload: bytes,
    shape: tuple[int, int, int],
    decode: Callable[[bytes, tuple[int, int, int]], Levels],
) -> Widths:
    """Read the map of planes of ``shape``; ``decode(stream, shape)`` inverts ``encode``.

    Raises
    ------
    FormatError
        If it is none.
    """
    if not payload:
        raise TruncatedError("the map of the cells' widths is empty")
    head = payload[0]
    block = 1 << (head & 15)
    if head >> 6 or block not in BLOCKS:
        raise FormatError(f"a map of widths starts with {head}; upgrade frazil to read this array")
    n, y, x = shape
    n = 1 if head & 16 else n
    levels = decode(payload[1:], (n, -(-y // block), -(-x // block)))
    if levels.size and (levels.min() < 0 or levels.max() > MOST_LEVELS):
        raise FormatError(f"a map of widths holds levels {levels.min()} to {levels.max()}")
    return Widths(base, block, levels, bool(head & 32))
