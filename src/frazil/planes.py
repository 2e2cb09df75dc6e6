"""Chunks of any rank as stacks of 2-D planes, and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def stack_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Shape (n, y, x) of the planes of a chunk of ``shape`` (..., y, x).

    A chunk of one axis is one plane of one row; a chunk without axes is one point.

    Examples
    --------
    >>> stack_shape((4, 2, 3, 5)), stack_shape((7,)), stack_shape(())
    ((8, 3, 5), (1, 1, 7), (1, 1, 1))
    """
    y, x = (1, 1, *shape)[-2:]
    return math.prod(shape[:-2]), y, x


def to_planes(chunk: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """View ``chunk`` of shape (..., y, x) as planes of shape (n, y, x) in native byte order.

    Copies only what is not already contiguous and native; never written to by a codec.

    Examples
    --------
    >>> to_planes(np.zeros((4, 2, 3, 5), ">f4")).shape
    (8, 3, 5)
    """
    native = np.asarray(chunk, dtype=chunk.dtype.newbyteorder("="), order="C")
    return native.reshape(stack_shape(chunk.shape))


def from_planes(
    planes: npt.NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any], *, fortran: bool = False
) -> npt.NDArray[Any]:
    """Give planes of shape (n, y, x) the shape, dtype and order of the chunk they came from.

    Examples
    --------
    >>> from_planes(np.zeros((8, 3, 5)), (4, 2, 3, 5), np.dtype(">f4")).dtype.str
    '>f4'
    """
    chunk = planes.reshape(shape).astype(dtype, copy=False)
    return np.asarray(chunk, order="F") if fortran else chunk  # asfortranarray would add an axis to 0-d


def reduced(length: int, level: int) -> int:
    """Points that remain of ``length`` at resolution level ``level``: ceil(length / 2**level).

    Examples
    --------
    >>> reduced(721, 1), reduced(721, 3)
    (361, 91)
    """
    return -(-length >> level)
