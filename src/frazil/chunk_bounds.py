"""Find the bounds of a chunk in the array beside it: those of ``t2m`` in ``t2m_bound``.

Zarr tells a codec the shape and dtype of a chunk, but neither its array nor its
place in it. The object that takes the encoded bytes knows both, by its path.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import StoreError, UnsupportedArrayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Coords = tuple[int, ...]
    Region = tuple[slice, ...]

SUFFIX = "_bound"
_PACKING = ("scale_factor", "add_offset")


def parse_key(key: str, ndim: int) -> list[tuple[str, Coords]]:
    """List the arrays and the chunks of theirs that a chunk's key may belong to.

    Parameters
    ----------
    key : str
        Of a chunk in a Zarr v3 store, encoded in any of the four ways that the specification knows.
    ndim : int
        Axes of the array.

    Returns
    -------
    list of (str, tuple of int)
        Path of the array and position of the chunk. More than one only where
        arrays bear names like ``c`` or ``0``.

    Examples
    --------
    >>> parse_key("land/t2m/c/0/13", 2)
    [('land/t2m', (0, 13)), ('land/t2m/c', (0, 13))]
    >>> parse_key("t2m/c.0.13", 2), parse_key("t2m/0.13", 2)
    ([('t2m', (0, 13))], [('t2m', (0, 13))])
    """
    found = []
    number = r"(0|[1-9]\d*)"
    for head, separator in itertools.product(("c", ""), "/."):
        parts = [head] * bool(head) + ["N"] * ndim or ["0"]
        pattern = re.escape(separator.join(parts)).replace("N", number)
        match = re.fullmatch(rf"(?:(.*)/)?{pattern}", key)
        if match:
            place = (match[1] or "", tuple(map(int, match.groups()[1:])))
            found += [place] if place not in found else []
    return found


def padded(block: npt.NDArray[Any], shape: tuple[int, ...], **options: Any) -> npt.NDArray[Any]:
    """Extend ``block`` at the end of each axis to ``shape``; the options are those of `numpy.pad`.

    Examples
    --------
    >>> padded(np.array([[1.0, 2.0]]), (1, 4), mode="edge")
    array([[1., 2., 2., 2.]])
    """
    if block.shape == shape:
        return block
    return np.pad(block, [(0, n - m) for m, n in zip(block.shape, shape, strict=True)], **options)


async def read_bounds(setter: Any, shape: tuple[int, ...], *, alone: bool = False) -> npt.NDArray[Any]:
    """Read the bounds of the chunk whose bytes ``setter`` takes.

    Parameters
    ----------
    setter : zarr.storage.StorePath
        What a partial-encode method of a Zarr v3 codec is given.
    shape : tuple of int
        Of the chunk.
    alone : bool
        Read no two chunks with one request, so that no thread pool of Zarr's
        takes part: its threads may all be waiting for us.

    Returns
    -------
    ndarray
        Of ``shape``; beyond the edge of the array the last bounds are repeated,
        since a bound there says nothing, and a smooth map of bounds is a small one.

    Raises
    ------
    UnsupportedArrayError
        If nobody can tell which chunk this is.
    StoreError
        If there is no array of bounds of the right shape beside the array.
    """
    path, store = getattr(setter, "path", None), getattr(setter, "store", None)
    if path is None or store is None:
        raise UnsupportedArrayError(
            'bound="array" needs chunks with keys of their own, and those inside a shard have none; '
            "write with frazil.to_zarr(ds, store, codec=..., bounds={name: array}), or without shards"
        )
    node, array, coords = await _owner(store, path, shape)
    parent, slash, name = node.rpartition("/")
    beside = f"{parent}{slash}{name}{SUFFIX}"
    bounds = await _open(store, beside) if name else None
    if bounds is None:
        raise StoreError(
            f'array {node!r} has bound="array", which takes the bounds from {beside!r} beside it, and there '
            "is no such array; write it first (to_zarr of the bounds alone, then of the data with mode='a'), "
            f"or write with frazil.to_zarr(ds, store, codec=..., bounds={{{name!r}: array}})"
        )
    _check_beside(bounds, array, beside, node)
    region = tuple(
        slice(c * step, min((c + 1) * step, n)) for c, step, n in zip(coords, shape, array.shape, strict=True)
    )
    return padded(await _read(bounds, region, alone=alone), shape, mode="edge")


def check_written(
    chunk: npt.NDArray[Any], bounds: npt.NDArray[Any], sentinels: Sequence[Any], path: str
) -> None:
    """Refuse bounds that are NaN where ``chunk`` holds data: so they read before they are written.

    Parameters
    ----------
    chunk, bounds : ndarray
        Of the same shape.
    sentinels : sequence of numbers
        Values that stand for "no data" besides NaN and the infinities.
    path : str
        Key of the chunk, for the message.

    Raises
    ------
    StoreError
        With the number of such points.
    """
    unknown = np.isnan(bounds)
    if unknown.any():
        known = np.isfinite(chunk)
        for sentinel in sentinels:
            known &= chunk != sentinel
        count = np.count_nonzero(unknown & known)
        if count:
            raise StoreError(
                f"{count} points of chunk {path!r} have NaN as bounds in the array <name>{SUFFIX} beside "
                "it: write the bounds before the data, in a call of their own (xarray writes the variables "
                "of one call in any order), and give 0 where data are to be kept exactly"
            )


async def _owner(store: Any, path: str, shape: tuple[int, ...]) -> tuple[str, Any, Coords]:
    for node, coords in parse_key(path, len(shape)):
        array = await _open(store, node)
        if array is None:
            continue
        name = array.metadata.encode_chunk_key(coords)
        grid = getattr(array.metadata.chunk_grid, "chunk_shape", None)
        if path == (f"{node}/{name}" if node else name) and grid == shape:
            return node, array, coords
    raise UnsupportedArrayError(
        f'bound="array" needs to know which chunk lies at {path!r}, and no array with a regular grid of '
        f"chunks of shape {shape} says so; write with "
        "frazil.to_zarr(ds, store, codec=..., bounds={name: array})"
    )


async def _open(store: Any, path: str) -> Any:
    """Open a Zarr v3 array as it is now, not as consolidated metadata say; None if there is none."""
    from zarr import AsyncArray
    from zarr.errors import NodeTypeValidationError
    from zarr.storage import StorePath

    try:
        return await AsyncArray.open(StorePath(store, path), zarr_format=3)
    except (FileNotFoundError, NodeTypeValidationError):
        return None


def _check_beside(bounds: Any, array: Any, beside: str, node: str) -> None:
    if bounds.shape != array.shape:
        raise StoreError(
            f"{beside!r} has shape {bounds.shape}, {node!r} has {array.shape}: give each point its bound "
            "(broadcast them before they are written; append to them in a call of their own, before the data)"
        )
    theirs, ours = bounds.metadata.dimension_names, array.metadata.dimension_names
    if theirs and ours and theirs != ours:
        raise StoreError(f"{beside!r} has the axes {theirs}, {node!r} has {ours}: transpose the bounds")
    packed = [key for key in _PACKING if key in bounds.attrs]
    if packed or np.dtype(bounds.dtype).kind not in "fiu":
        how = f"is packed with {', '.join(packed)}" if packed else f"has dtype {bounds.dtype}"
        raise StoreError(f"{beside!r} {how}; write the bounds as plain numbers, in the units of {node!r}")


async def _read(bounds: Any, region: Region, *, alone: bool) -> npt.NDArray[Any]:
    if not alone:
        return np.asarray(await bounds.getitem(region))
    pieces = [
        [slice(max(start, at.start), min(start + step, at.stop)) for start in _starts(at, step)]
        for at, step in zip(region, bounds.chunks, strict=True)
    ]
    out = np.empty([at.stop - at.start for at in region], bounds.dtype)

    async def copy(piece: Region) -> None:
        inside = tuple(
            slice(p.start - at.start, p.stop - at.start) for p, at in zip(piece, region, strict=True)
        )
        out[inside] = await bounds.getitem(piece)

    await asyncio.gather(*(copy(piece) for piece in itertools.product(*pieces)))
    return out


def _starts(at: slice, step: int) -> range:
    return range(at.start - at.start % step, at.stop, step)
