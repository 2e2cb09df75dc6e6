"""Points that go in exactly, whatever a coder made of them: places and bits (docs/format/bounded.md)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.container import read_varint, write_varint
from frazil.errors import FormatError, TruncatedError

if TYPE_CHECKING:
    import numpy.typing as npt

PLAIN, DEFLATED = 0, 1


def write(planes: npt.NDArray[Any], places: npt.NDArray[np.intp]) -> bytes:
    """Write the values of ``planes`` at the flat ``places``, ascending.

    Examples
    --------
    >>> planes = np.arange(6, dtype="f4").reshape(1, 2, 3)
    >>> payload = write(planes, np.array([1, 5]))
    >>> damaged = np.zeros((1, 2, 3), "f4")
    >>> apply(damaged, payload, planes.shape, 0)
    >>> damaged
    array([[[0., 1., 0.], [0., 0., 5.]]], dtype=float32)
    """
    gaps = np.diff(places, prepend=-1) - 1
    values = planes.reshape(-1)[places]
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    shuffled = np.frombuffer(little.tobytes(), "u1").reshape(-1, values.dtype.itemsize).T.tobytes()
    plain = _varints(gaps) + shuffled
    packed = zlib.compress(plain, 9)
    head = write_varint(places.size << 1 | DEFLATED) + packed
    return min(write_varint(places.size << 1) + plain, head, key=len)


def apply(planes: npt.NDArray[Any], payload: bytes, shape: tuple[int, int, int], level: int) -> None:
    """Put the values back into ``planes``, in place; at 1/2**level of ``shape`` (n, y, x) those that remain.

    Raises
    ------
    FormatError
        If ``payload`` does not list points of such planes.
    """
    n, y, x = shape
    head, at = read_varint(payload, 0, "number of exact points")
    count, size = head >> 1, planes.dtype.itemsize
    if count > n * y * x:
        raise FormatError(f"{count} exact points in planes of {n * y * x}")
    body = payload[at:]
    if head & 1:
        try:
            body = zlib.decompressobj().decompress(body, count * (size + 9) + 1)
        except zlib.error as problem:
            raise FormatError(f"the exact points cannot be unpacked: {problem}") from problem
    if len(body) < count * (size + 1):
        raise TruncatedError(f"{count} exact points in {len(body)} bytes")
    stop = len(body) - count * size
    gaps = _read_varints(np.frombuffer(body, "u1", stop), count)
    places = np.cumsum(gaps + 1) - 1
    if count and not (gaps.max() < n * y * x and places.min() >= 0 and places.max() < n * y * x):
        raise FormatError(f"exact points lie outside of planes of {n * y * x} points")
    shuffled = np.frombuffer(body, "u1", offset=stop).reshape(size, -1)
    values = np.frombuffer(shuffled.T.tobytes(), planes.dtype.newbyteorder("<")).astype(planes.dtype)
    plane, rest = np.divmod(places, y * x)
    row, column = np.divmod(rest, x)
    step = (1 << level) - 1
    kept = ((row & step) == 0) & ((column & step) == 0)
    planes[plane[kept], row[kept] >> level, column[kept] >> level] = values[kept]


def _varints(numbers: npt.NDArray[np.int64]) -> bytes:
    """LEB128 of each number."""
    if numbers.size and numbers.max() < 128:
        return numbers.astype("u1").tobytes()
    return b"".join(map(write_varint, numbers.tolist()))


def _read_varints(data: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.int64]:
    """Exactly ``count`` LEB128 numbers."""
    ends = np.flatnonzero(data < 128)
    if ends.size != count or data.size != (ends[-1] + 1 if count else 0):
        raise FormatError(f"{ends.size} places for {count} exact points")
    lengths = np.diff(ends, prepend=-1)
    if count and lengths.max() > 8:
        raise FormatError("the place of an exact point is longer than eight bytes")
    shifts = 7 * (np.arange(data.size) - np.repeat(ends - lengths + 1, lengths))
    parts = (data & 0x7F).astype(np.int64) << shifts
    return np.add.reduceat(parts, ends - lengths + 1) if count else np.empty(0, np.int64)
