"""Where the chunks of an array lie in its store: keys, sizes, and places inside shards."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from frazil.errors import FormatError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    import zarr

REQUESTS = 64
EMPTY = (1 << 64) - 1  # offset and length of an absent chunk in a shard's index
DOCUMENTS = ("zarr.json", ".zarray", ".zattrs")


async def sizes(array: zarr.Array[Any]) -> dict[str, int]:
    """Bytes of each object of the array, by its key; metadata not counted."""
    prefix = f"{array.store_path.path}/" if array.store_path.path else ""
    documents = {f"{prefix}{name}" for name in DOCUMENTS}
    keys = [key async for key in array.store.list_prefix(prefix) if key not in documents]
    found = await gather(size_of(array, key) for key in keys)
    return {key: size for key, size in zip(keys, found, strict=True) if size is not None}


async def size_of(array: zarr.Array[Any], key: str) -> int | None:
    """Bytes of one object; None if there is none."""
    try:
        return int(await array.store.getsize(key))
    except FileNotFoundError:  # all fill value
        return None


async def gather(jobs: Iterable[Awaitable[Any]]) -> list[Any]:
    """Await ``jobs``, `REQUESTS` of them at a time."""
    gate = asyncio.Semaphore(REQUESTS)

    async def one(job: Awaitable[Any]) -> Any:
        async with gate:
            return await job

    return await asyncio.gather(*(one(job) for job in jobs))


async def read(array: zarr.Array[Any], key: str, start: int, stop: int) -> bytes:
    """Bytes ``start`` to ``stop`` of an object; fewer where it ends before."""
    from zarr.abc.store import RangeByteRequest
    from zarr.core.buffer import default_buffer_prototype

    found = await array.store.get(key, default_buffer_prototype(), RangeByteRequest(start, stop))
    return found.to_bytes() if found is not None else b""


async def shard_parts(
    array: zarr.Array[Any], index: tuple[int, ...], key: str, size: int
) -> dict[tuple[int, ...], tuple[int, int]]:
    """Start and length of each chunk in a shard, from the shard's index (zarr-specs, sharding codec).

    Parameters
    ----------
    array : zarr.Array
    index : tuple of int
        The shard's place in the grid of shards.
    key : str
        Its name in the store.
    size : int
        Its bytes.

    Raises
    ------
    FormatError
        If the index is encoded in an unusual way, or cut off.
    """
    import numpy as np

    meta: dict[str, Any] = dict(array.metadata.to_dict())
    config = sharding([as_dict(c) for c in meta["codecs"]])
    names = [as_dict(c)["name"] for c in (config or {}).get("index_codecs", [])]
    shards = array.shards
    if config is None or shards is None or names not in (["bytes", "crc32c"], ["bytes"]):
        found = ", ".join(names) or "nothing known"
        raise FormatError(f"the shard's index is encoded as {found}; cannot look inside")
    grid = tuple(s // c for s, c in zip(shards, array.chunks, strict=True))
    n = 16 * math.prod(grid)
    tail = 4 if "crc32c" in names else 0
    start = 0 if str(config.get("index_location", "end")).endswith("start") else size - n - tail
    raw = await read(array, key, max(start, 0), max(start, 0) + n)
    if len(raw) != n:
        raise TruncatedError(f"shard of {size} bytes is shorter than its index of {n + tail}")
    table = np.frombuffer(raw, "<u8").reshape(*grid, 2)
    return {
        tuple(i * g + j for i, g, j in zip(index, grid, inner, strict=True)): (
            int(table[inner][0]),
            int(table[inner][1]),
        )
        for inner in np.ndindex(*grid)
        if int(table[inner][0]) != EMPTY
    }


def key(array: zarr.Array[Any], index: tuple[int, ...]) -> str:
    """Name in the store of the chunk, or shard, at ``index``."""
    encode: Callable[[tuple[int, ...]], str] = array.metadata.encode_chunk_key
    return f"{array.store_path.path}/{encode(index)}".lstrip("/")


def count(shape: tuple[int, ...], chunks: tuple[int, ...]) -> int:
    """How many chunks cover an array.

    Examples
    --------
    >>> count((4, 721, 1440), (1, 360, 720))
    24
    """
    return math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True))


def as_dict(codec: Any) -> dict[str, Any]:
    """Return a codec of Zarr v3 metadata as it stands there."""
    return dict(codec) if isinstance(codec, dict) else dict(codec.to_dict())


def sharding(codecs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the configuration of the codec that makes shards, if it is among ``codecs``."""
    return next((dict(c["configuration"]) for c in codecs if c["name"] == "sharding_indexed"), None)
