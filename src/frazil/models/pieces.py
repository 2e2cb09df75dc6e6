"""What a model is fitted to: pieces of large arrays, few enough to take seconds, with their gaps closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil import masks
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

MOST = 1 << 23  # values of all pieces
SIDE, RUN = 128, 8  # points along y and x of a piece, and fields that follow each other
POINTS = -2  # an axis of channels right before the last, which counts points


@dataclass(frozen=True)
class Piece:
    """Some fields that follow each other, cut to a window.

    Parameters
    ----------
    values : ndarray, shape (n, C, y, x), float64
        Whole blocks; gaps are closed as codecs close them, planes without any value hold NaN.
    valid : ndarray of bool, shape (n, C, y, x), or None
        Where there were values; None for everywhere.
    """

    values: Doubles
    valid: Bools | None = None

    def filled(self, middle: npt.ArrayLike) -> Piece:
        """Give planes without any value the channel's mean."""
        if self.valid is None:
            return self
        means = np.asarray(middle)[:, None, None]
        return Piece(np.where(np.isnan(self.values), means, self.values), self.valid)


def pieces(fields: Any, factor: int, axis: int = -3, *, most: int = MOST) -> list[Piece]:
    """Cut out what a model is fitted to: all of a small array, windows spread over a large one.

    Parameters
    ----------
    fields : array, shape (n, C, y, x), or (n, C, points) with ``axis=-2``
        Only the pieces are read of what reads when it is sliced. NaN and infinities are gaps.
    factor : int
        Side of a block; of points, ``factor ** 2`` in a row are one.
    axis : int
        -2 for points, which come back as (n, C, factor, points / factor).
    most : int
        Values of all pieces, about.

    Raises
    ------
    ConfigurationError
        If the shape is another, no block fits, or there is no value at all.

    Examples
    --------
    >>> some = pieces(np.zeros((40, 2, 512, 512)), 8, most=1 << 20)
    >>> len(some), some[0].values.shape
    (4, (8, 2, 128, 128))
    """
    fields = fields if hasattr(fields, "shape") and hasattr(fields, "ndim") else np.asarray(fields)
    wanted = 3 if axis == POINTS else 4
    if fields.ndim != wanted or 0 in fields.shape or not 1 <= factor <= 64:
        shape = "(n, channels, points)" if axis == POINTS else "(n, channels, y, x)"
        raise ConfigurationError(
            f"a model is fitted to fields {shape} with factor 1 to 64, got shape {tuple(fields.shape)}"
        )
    found = [_piece(np.asarray(fields[at]), factor, axis) for at in windows(fields.shape, factor, most)]
    if not any(piece.valid is None or piece.valid.any() for piece in found):
        raise ConfigurationError(
            "a model cannot be fitted to fields that hold no value, only NaN or infinities"
        )
    return found


def windows(shape: tuple[int, ...], factor: int, most: int) -> list[tuple[slice, ...]]:
    """Spread windows over fields (n, C, y, x) or (n, C, points), the same ones each time."""
    n, channels, *space = shape
    unit = factor if len(space) == 2 else factor * factor
    whole = [length // unit * unit for length in space]
    if 0 in whole:
        block = f"{factor} x {factor}" if len(space) == 2 else f"{unit}"
        raise ConfigurationError(f"no field holds a block of {block} points: fields have {tuple(space)}")
    if n * channels * int(np.prod(whole)) <= most:
        return [(slice(None), slice(None), *(slice(length) for length in whole))]
    room = most // channels
    wanted = SIDE if len(space) == 2 else SIDE * SIDE
    side = max(wanted // unit, 1) * unit
    steps = [min(length, side) for length in whole]
    run = min(n, RUN, max(room // int(np.prod(steps)), 1))
    grid = [n // run, *(length // step for length, step in zip(whole, steps, strict=True))]
    count = int(np.clip(room // (run * int(np.prod(steps))), 1, np.prod(grid)))
    chosen = np.sort(np.random.default_rng(0).choice(int(np.prod(grid)), count, replace=False))
    found: list[tuple[slice, ...]] = []
    for number in chosen:
        at, *place = (int(k) for k in np.unravel_index(number, grid))
        cut = (slice(k * step, (k + 1) * step) for k, step in zip(place, steps, strict=True))
        found.append((slice(at * run, (at + 1) * run), slice(None), *cut))
    return found


def _piece(data: npt.NDArray[Any], factor: int, axis: int) -> Piece:
    n, channels = data.shape[:2]
    values = np.ascontiguousarray(data, np.float64)
    planes = values.reshape(n * channels, -1 if axis != POINTS else 1, data.shape[-1])
    valid = None
    filled, payload = masks.split(planes, [])
    if payload:
        known = masks.valid(payload, planes.shape, planes.dtype)
        filled[~known.any((1, 2))] = np.nan
        valid = _folded(known.reshape(values.shape), factor, axis)
    return Piece(_folded(filled.reshape(values.shape), factor, axis), valid)


def _folded(data: npt.NDArray[Any], factor: int, axis: int) -> npt.NDArray[Any]:
    """Lay runs of points out as blocks (n, C, factor, factor) side by side."""
    if axis != POINTS:
        return data
    n, channels, _ = data.shape
    runs = data.reshape(n, channels, -1, factor, factor).transpose(0, 1, 3, 2, 4)
    return np.ascontiguousarray(runs).reshape(n, channels, factor, -1)


def moments(found: list[Piece]) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation of each channel of pieces, of what is known of them.

    The deviation of a channel that never changes is so small that whatever differs from it is noticed.
    """
    channels = found[0].values.shape[1]
    count, total = np.zeros(channels), np.zeros(channels)
    for piece in found:
        known = np.ones(1, bool) if piece.valid is None else piece.valid
        count += np.broadcast_to(known, piece.values.shape).sum((0, 2, 3))
        total += piece.values.sum((0, 2, 3), where=known)
    mean = total / np.maximum(count, 1)
    squares = np.zeros(channels)
    for piece in found:
        known = np.ones(1, bool) if piece.valid is None else piece.valid
        squares += ((piece.values - mean[:, None, None]) ** 2).sum((0, 2, 3), where=known)
    deviation = np.sqrt(squares / np.maximum(count, 1))
    least = np.maximum(RESOLUTION * np.abs(mean), TINY)
    return mean, np.maximum(deviation, least)


RESOLUTION = 2.0**-22  # of float32, and a little
TINY = 1e-30
