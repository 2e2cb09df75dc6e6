"""Maps of codeword indices as bytes: bit-packed, by a trained table, or by mixed contexts; the shortest wins.

::

    byte    field
    1       mode: 0 packed, 1 table, 2 mixing from nothing, 3 bzip2, 4 zstd, 5 mixing from trained states
    ...     the indices

A coder that may choose never needs more than bit-packing and one byte. bzip2
and zstd are there to be compared with. ``docs/format/indices.md`` is the format.
"""

from __future__ import annotations

import bz2
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from frazil.entropy import coder, index_mixing
from frazil.entropy.index_states import LARGEST, IndexStates, bits_of, from_nothing, learn
from frazil.errors import ConfigurationError, FormatError, TruncatedError, UnsupportedArrayError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Indices = npt.NDArray[np.int32]

__all__ = ["MODES", "IndexStates", "decode", "encode", "learn"]

Mode = Literal["auto", "packed", "table", "mixing", "bzip2", "zstd"]
MODES = {"packed": 0, "table": 1, "mixing": 2, "bzip2": 3, "zstd": 4}
WARM = 5  # mixing, from states


def encode(indices: Array, size: int, states: IndexStates | None = None, mode: Mode = "auto") -> bytes:
    """Code maps of indices.

    Parameters
    ----------
    indices : ndarray, shape (heads, y, x) or (n, heads, y, x), integers
        0 .. size - 1. Maps of a batch go one after another into one stream.
    size : int
        Codewords of each codebook, 1 .. 65536.
    states : IndexStates, optional
        What training left; the decoder must have the same.
    mode : {"auto", "packed", "table", "mixing", "bzip2", "zstd"}
        "auto" takes the shortest of the first three, and needs one byte more than packing at most. "table"
        needs ``states``.

    Raises
    ------
    UnsupportedArrayError
        If ``indices`` are not whole numbers in range, or not of three or four axes.
    ConfigurationError
        If ``size``, ``mode`` and ``states`` do not fit each other.

    Examples
    --------
    >>> maps = np.add.outer(np.arange(64), np.arange(64))[None] // 8
    >>> data = encode(maps, 1024)
    >>> bool((decode(data, maps.shape, 1024) == maps).all()), len(data) < 5 * 64 * 64 // 8
    (True, True)
    """
    _settle(indices.shape, size, states)
    if mode not in {"auto", *MODES}:
        msg = f"mode {mode!r} of indices, expected 'auto' or one of {', '.join(MODES)}"
        raise ConfigurationError(msg)
    if indices.dtype.kind not in "iu" or (indices.size and not 0 <= indices.min() <= indices.max() < size):
        msg = f"indices of a codebook of {size} must be whole numbers from 0 to {size - 1}"
        raise UnsupportedArrayError(msg)
    maps = np.ascontiguousarray(indices, np.int32)
    maps = maps if maps.ndim == 4 else maps[None]
    if mode == "table" and states is None:
        msg = "mode 'table' needs the trained states of the model; give them, or choose 'mixing'"
        raise ConfigurationError(msg)
    if mode in {"packed", "bzip2", "zstd"}:
        return bytes([MODES[mode]]) + _PLAIN[mode](maps, size)
    if mode == "table" and states is not None:
        return b"\1" + _to_table(maps, states)
    if mode == "mixing":
        mixed = _mix(maps, size, states)
        if mixed is None:
            msg = "these indices are too unlikely for mixing; choose mode 'auto'"
            raise ConfigurationError(msg)
        return mixed
    best = b"\0" + _pack(maps, size)
    if maps.size and size > 1:
        mixed = _mix(maps, size, states)
        found = [mixed]
        if states is not None and (mixed is None or len(mixed) > len(best) * 7 // 8):
            found.append(_mix(maps, size, None))  # these maps may not be what the states were trained on
        best = min([best, *(data for data in found if data is not None)], key=len)
        if states is not None and _table_bytes(maps, states) < len(best):
            best = min(best, b"\1" + _to_table(maps, states), key=len)
    return best


def decode(
    data: bytes | memoryview, shape: Sequence[int], size: int, states: IndexStates | None = None
) -> Indices:
    """Decode what `encode` coded.

    Parameters
    ----------
    data : bytes
    shape : sequence of int
        Of the indices: (heads, y, x) or (n, heads, y, x).
    size : int
    states : IndexStates, optional

    Returns
    -------
    ndarray, shape ``shape``, int32
        Each less than ``size``, whatever the bytes are.

    Raises
    ------
    FormatError
        If the bytes are not what these settings write; TruncatedError if they end too early.
    ConfigurationError
        If ``shape``, ``size`` and ``states`` do not fit each other.
    """
    shape = tuple(shape)
    _settle(shape, size, states)
    view = memoryview(data)
    if not view:
        msg = "coded indices have at least one byte, found none"
        raise TruncatedError(msg)
    mode, rest = view[0], view[1:]
    full = shape if len(shape) == 4 else (1, *shape)
    if mode in {MODES["table"], WARM} and states is None:
        msg = f"mode {mode} of coded indices: the states that were given when they were coded are needed"
        raise FormatError(msg)
    if mode in {MODES["mixing"], WARM}:
        found = _unmix(rest, full, size, states if mode == WARM else None)
    elif mode == MODES["table"] and states is not None:
        found = _from_table(rest, full, states)
    elif mode in _READERS:
        found = _READERS[mode](rest, full, size)
        if found.size and int(found.max()) >= size:
            msg = f"index {int(found.max())} of a codebook of {size}: the bytes are damaged"
            raise FormatError(msg)
    else:
        msg = f"mode {mode} of coded indices, this frazil knows 0 to {WARM}; upgrade frazil"
        raise FormatError(msg)
    return found.reshape(shape)


def _settle(shape: tuple[int, ...], size: int, states: IndexStates | None) -> None:
    if len(shape) not in {3, 4}:
        msg = f"indices of shape {shape}, expected (heads, y, x) or (n, heads, y, x)"
        raise UnsupportedArrayError(msg)
    if not 1 <= size <= LARGEST:
        msg = f"a codebook of {size} entries; 1 to {LARGEST} can be coded"
        raise ConfigurationError(msg)
    if states is not None and (states.heads, states.size) != (shape[-3], size):
        msg = f"states of {states.heads} heads of {states.size}, indices of {shape[-3]} heads of {size}"
        raise ConfigurationError(msg)


def _mix(maps: Indices, size: int, states: IndexStates | None) -> bytes | None:
    heads = maps.shape[1]
    places = maps.size // max(heads, 1)
    tables = from_nothing(heads, size, places) if states is None else states.start(places)
    machine, words = coder.writer(maps.size)
    kernel = index_mixing.encode_one if heads == 1 else index_mixing.encode_many
    kernel(maps, size, bits_of(size), *tables, machine, words)
    if coder.overflown(machine, words):
        return None
    return bytes([MODES["mixing"] if states is None else WARM]) + coder.finish(machine, words)


def _unmix(data: memoryview, shape: tuple[int, ...], size: int, states: IndexStates | None) -> Indices:
    maps = np.zeros(shape, np.int32)
    heads = shape[1]
    places = maps.size // max(heads, 1)
    tables = from_nothing(heads, size, places) if states is None else states.start(places)
    machine, words = coder.reader(data)
    kernel = index_mixing.decode_one if heads == 1 else index_mixing.decode_many
    kernel(maps, size, bits_of(size), *tables, machine, words)
    coder.check(machine, words)
    return maps


def _table_bytes(maps: Indices, states: IndexStates) -> float:
    """Return about how many bytes mode 1 needs, and a few less."""
    bits = np.log2(states.cumulative[:, -1:]) - np.log2(states.frequencies)
    return sum(float(bits[head][maps[:, head]].sum()) for head in range(states.heads)) / 8 - 2


def _to_table(maps: Indices, states: IndexStates) -> bytes:
    machine, words = coder.writer(maps.size)
    index_mixing.encode_table(maps, states.cumulative, machine, words)
    return coder.finish(machine, words)


def _from_table(data: memoryview, shape: tuple[int, ...], states: IndexStates) -> Indices:
    maps = np.zeros(shape, np.int32)
    machine, words = coder.reader(data)
    index_mixing.decode_table(maps, states.cumulative, machine, words)
    coder.check(machine, words)
    return maps


def _pack(maps: Indices, size: int) -> bytes:
    each = np.arange(bits_of(size) - 1, -1, -1)
    return np.packbits((maps.ravel()[:, None] >> each & 1).astype(np.uint8)).tobytes()


def _unpack(data: memoryview, shape: tuple[int, ...], size: int) -> Indices:
    count, bits = math.prod(shape), bits_of(size)
    _measure(len(data), (count * bits + 7) // 8)
    digits = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits).reshape(count, bits)
    found = np.zeros(count, np.int32)
    for column in range(bits):
        found = found << 1 | digits[:, column]
    return found.astype(np.int32).reshape(shape)


def _measure(found: int, expected: int) -> None:
    if found != expected:
        kind: type[FormatError] = TruncatedError if found < expected else FormatError
        msg = f"{found} bytes of indices, expected {expected}"
        raise kind(msg)


def _item(size: int) -> np.dtype[Any]:
    return np.dtype("u1" if size <= 256 else "<u2")


def _bzip2(maps: Indices, size: int) -> bytes:
    return bz2.compress(maps.astype(_item(size)).tobytes(), 9)


def _from_bzip2(data: memoryview, shape: tuple[int, ...], size: int) -> Indices:
    nbytes = math.prod(shape) * _item(size).itemsize
    machine = bz2.BZ2Decompressor()
    try:
        raw = machine.decompress(data, nbytes + 1)
    except (OSError, ValueError) as error:
        msg = f"bzip2 cannot read these indices: {error}"
        raise FormatError(msg) from error
    _measure(len(raw), nbytes)
    return np.frombuffer(raw, _item(size)).astype(np.int32).reshape(shape)


def _zstd(maps: Indices, size: int) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.zstd_encode(maps.astype(_item(size)).tobytes(), 19))


def _from_zstd(data: memoryview, shape: tuple[int, ...], size: int) -> Indices:
    import imagecodecs

    nbytes = math.prod(shape) * _item(size).itemsize
    try:
        raw = bytes(imagecodecs.zstd_decode(bytes(data), out=bytearray(nbytes + 1)))
    except (imagecodecs.ZstdError, ValueError) as error:
        msg = f"zstd cannot read these indices: {error}"
        raise FormatError(msg) from error
    _measure(len(raw), nbytes)
    return np.frombuffer(raw, _item(size)).astype(np.int32).reshape(shape)


_PLAIN: dict[str, Callable[[Indices, int], bytes]] = {"packed": _pack, "bzip2": _bzip2, "zstd": _zstd}
_READERS: dict[int, Callable[[memoryview, tuple[int, ...], int], Indices]] = {
    0: _unpack,
    3: _from_bzip2,
    4: _from_zstd,
}
