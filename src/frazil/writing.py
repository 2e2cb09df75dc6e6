"""Encode chunks with the bounds of their points, and store them.

Zarr runs codecs in threads and event loops of its own, where a context
variable of the caller is not seen, and tells them neither array nor place: in
Zarr v2 and inside shards they cannot even ask. Bounds left for them under a
digest of the chunk's contents would have to be left in the same process, and
of the chunk as Zarr pads it. So whole chunks are encoded here, where chunk and
bounds are at hand, and their bytes go under the keys that the metadata of the
array say. Nothing is shared between chunks: both formats, shards, threads and
processes are the same to it.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import google_crc32c
import numpy as np
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from frazil.chunk_bounds import padded
from frazil.prefix import located
from frazil.zarr3 import holds_only

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dask.array as da
    import numpy.typing as npt
    import xarray as xr

    from frazil.prefix import Coords, Layout

_ABSENT = 2**64 - 1  # offset and length of a chunk that is not stored, in a shard's index


def block_shape(layout: Layout) -> tuple[int, ...]:
    """Shape of what is one object in the store: a shard, or a chunk where there are none."""
    per_shard = layout.per_shard or (1,) * len(layout.chunks)
    return tuple(c * n for c, n in zip(layout.chunks, per_shard, strict=True))


def aligned(lengths: tuple[int, ...], block: int) -> tuple[int, ...]:
    """Lengths of dask's chunks along an axis, such that each holds whole blocks of the store.

    Parameters
    ----------
    lengths : tuple of int
        As they are.
    block : int
        Length of a chunk or shard.

    Examples
    --------
    >>> aligned((8, 8, 3), 4), aligned((5, 5, 5), 4), aligned((19,), 4)
    ((8, 8, 3), (4, 4, 4, 3), (19,))
    """
    if all(length % block == 0 for length in lengths[:-1]):
        return lengths
    step, total = block * max(max(lengths) // block, 1), sum(lengths)
    return tuple(min(step, total - start) for start in range(0, total, step))


def together(layout: Layout, variable: xr.Variable, bounds: xr.Variable) -> tuple[da.Array, da.Array]:
    """Make dask arrays of one shape of a variable, as it is to be stored, and of its bounds.

    Parameters
    ----------
    layout : Layout
        Where the variable is to be stored: what is in memory is cut as the store is.
    variable, bounds : xarray.Variable
        The bounds have some or all of the variable's axes, in its order.
    """
    import dask.array as da

    data = variable.data
    if variable.chunks is None:
        data = da.from_array(  # type: ignore[no-untyped-call] # dask's
            variable.values, chunks=block_shape(layout), name=False
        )
    steps = dict(zip(variable.dims, data.chunks, strict=True))
    own = tuple(steps[dim] for dim in bounds.dims)
    if bounds.chunks is None:
        limits = da.from_array(  # type: ignore[no-untyped-call] # dask's
            bounds.values, chunks=own, name=False
        )
    else:
        limits = bounds.data.rechunk(own)
    inserted = tuple(slice(None) if dim in bounds.dims else None for dim in variable.dims)
    full = da.broadcast_to(  # type: ignore[no-untyped-call] # dask's
        limits[inserted], data.shape, chunks=data.chunks
    )
    return data, full


def write_later(layout: Layout, data: da.Array, bounds: da.Array, *, keep_empty: bool = False) -> da.Array:
    """Return a dask array whose computation writes ``data`` chunk by chunk; its values count the bytes.

    Parameters
    ----------
    layout : Layout
        Of an array whose codec takes bounds.
    data, bounds : dask.array.Array
        Of the array's shape; the data as they are to be stored.
    keep_empty : bool
        Store chunks that hold the fill value only.
    """
    import dask.array as da

    chunks = tuple(
        aligned(lengths, block) for lengths, block in zip(data.chunks, block_shape(layout), strict=True)
    )

    def write(
        part: npt.NDArray[Any], limits: npt.NDArray[Any], block_info: Any = None
    ) -> npt.NDArray[np.int64]:
        origin = tuple(start for start, _ in block_info[0]["array-location"])
        stored = write_block(layout, origin, part, limits, keep_empty=keep_empty)
        return np.full((1,) * part.ndim, stored, np.int64)

    lazy: da.Array = da.map_blocks(  # type: ignore[no-untyped-call] # dask's
        write,
        data.rechunk(chunks),  # type: ignore[no-untyped-call] # dask's
        bounds.rechunk(chunks),  # type: ignore[no-untyped-call] # dask's
        chunks=tuple((1,) * len(lengths) for lengths in chunks),
        dtype=np.int64,
        meta=np.empty((0,) * data.ndim, np.int64),
        name=f"frazil-write-{uuid4().hex}",
    )
    return lazy


def write_block(
    layout: Layout,
    origin: Coords,
    data: npt.NDArray[Any],
    bounds: npt.NDArray[Any],
    *,
    keep_empty: bool = False,
) -> int:
    """Encode and store whole chunks or shards; return how many bytes they took.

    Parameters
    ----------
    layout : Layout
        Of an array whose codec takes bounds.
    origin : tuple of int
        Where ``data`` begin in the array: where a chunk or shard does.
    data, bounds : ndarray
        Of the same shape, which ends with a chunk or shard, or with the array.
    keep_empty : bool
        Store chunks that hold the fill value only.

    Raises
    ------
    FrazilError
        What the codec raises, with the key of the chunk.
    """
    block, total = block_shape(layout), 0
    for at in _pieces(data.shape, block):
        coords = tuple((o + a.start) // n for o, a, n in zip(origin, at, block, strict=True))
        key = _key(layout, coords)
        with located(layout.array.path, key):
            payload = _shard(layout, data[at], bounds[at], keep_empty=keep_empty)
        store = layout.array.store_path.store
        if payload is None:
            sync(store.delete(key))
        else:
            sync(store.set(key, default_buffer_prototype().buffer.from_bytes(payload)))
        total += len(payload or b"")
    return total


def _key(layout: Layout, coords: Coords) -> str:
    name = layout.array.metadata.encode_chunk_key(coords)
    return f"{layout.array.path}/{name}" if layout.array.path else name


def _shard(
    layout: Layout, data: npt.NDArray[Any], bounds: npt.NDArray[Any], *, keep_empty: bool
) -> bytes | None:
    """Encode what is one object in the store; None if it need not be there."""
    if layout.per_shard is None:
        return _chunk(layout, data, bounds, keep_empty=keep_empty)
    index = np.full((*layout.per_shard, 2), _ABSENT, "<u8")
    size = index.nbytes + 4 * layout.index_checked
    at, chunks = size if layout.index_first else 0, []
    for piece in _pieces(data.shape, layout.chunks):
        encoded = _chunk(layout, data[piece], bounds[piece], keep_empty=keep_empty)
        if encoded is not None:
            index[tuple(p.start // n for p, n in zip(piece, layout.chunks, strict=True))] = at, len(encoded)
            chunks.append(encoded)
            at += len(encoded)
    if not chunks:
        return None
    head = index.tobytes()
    if layout.index_checked:
        head += int(google_crc32c.value(head)).to_bytes(4, "little")
    return b"".join([head, *chunks] if layout.index_first else [*chunks, head])


def _chunk(
    layout: Layout, data: npt.NDArray[Any], bounds: npt.NDArray[Any], *, keep_empty: bool
) -> bytes | None:
    array = layout.array
    fill = array.fill_value
    pad = np.zeros((), array.dtype)[()] if fill is None else fill
    chunk = padded(np.asarray(data, array.dtype), layout.chunks, constant_values=pad)
    if not keep_empty and holds_only(chunk, pad):
        return None
    if array.metadata.zarr_format == 2:  # there the order is a matter of the codec
        chunk = np.asarray(chunk, order=array.metadata.order)
    # No bound is a bound beyond the edge; the last one repeated makes the smoothest map of bounds.
    limits = padded(bounds, layout.chunks, mode="edge")
    return layout.codec.encode_chunk(chunk, fill_value=fill, bounds=limits)


def _pieces(shape: tuple[int, ...], step: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    axes = [
        [slice(start, min(start + s, n)) for start in range(0, n, s)]
        for n, s in zip(shape, step, strict=True)
    ]
    return itertools.product(*axes)
