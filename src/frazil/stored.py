"""Values as they are: one for all points, or each of them, deflated where that is shorter."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import FormatError

if TYPE_CHECKING:
    import numpy.typing as npt

RAW, DEFLATED, SHUFFLED = b"\0", b"\1", b"\2"


def one(planes: npt.NDArray[Any]) -> bytes:
    """Write the first value of ``planes`` as section ``K``."""
    return planes[:1, :1, :1].astype(planes.dtype.newbyteorder("<")).tobytes()


def constant(payload: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Read section ``K``: a view of ``shape`` that repeats the value.

    Raises
    ------
    FormatError
        If the section is not one value of ``dtype``.
    """
    if len(payload) != dtype.itemsize:
        raise FormatError(f"constant of {len(payload)} bytes in an array of {dtype}")
    return np.broadcast_to(np.frombuffer(payload, dtype.newbyteorder("<")).astype(dtype), shape)


def write(planes: npt.NDArray[Any]) -> bytes:
    """Write section ``R``: the values as they are, or deflated, bytes of the same significance together.

    Examples
    --------
    >>> len(write(np.zeros((1, 64, 64), "f4"))) < 100
    True
    """
    raw = planes.astype(planes.dtype.newbyteorder("<"), copy=False).tobytes()
    shuffled = np.frombuffer(raw, "u1").reshape(-1, planes.dtype.itemsize).T.tobytes()
    return min(RAW + raw, SHUFFLED + zlib.compress(shuffled, 4), key=len)


def read(payload: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Read section ``R``.

    Raises
    ------
    FormatError
        If it does not hold planes of this shape and dtype.
    """
    size = shape[0] * shape[1] * shape[2] * dtype.itemsize
    code, data = payload[:1], payload[1:]
    if code not in (RAW, DEFLATED, SHUFFLED):
        raise FormatError(f"values stored in the unknown way {code!r}; upgrade frazil to read this array")
    if code != RAW:
        try:
            data = zlib.decompressobj().decompress(data, size + 1)
        except zlib.error as problem:
            raise FormatError(f"stored values cannot be unpacked: {problem}") from problem
    if len(data) != size:
        raise FormatError(f"{len(data)} bytes of stored values, expected {size}")
    if code == SHUFFLED:
        data = np.frombuffer(data, "u1").reshape(dtype.itemsize, -1).T.tobytes()
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
