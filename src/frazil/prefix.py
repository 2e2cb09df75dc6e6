"""Fetch no more of a chunk than its resolution needs, from any store that Zarr opens.

A codec that stores its resolutions in order says from a chunk's first bytes
how many of them a level takes (`PlaneCodec.bytes_needed`). So the first chunk
costs one small ranged request and a second one for the rest; the next chunks
begin with as many bytes as the ones before them took. Inside a shard the byte
ranges come from the shard's index, which is read once for all the chunks that
are wanted from it.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.codecs import ShardingCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.config import config
from zarr.core.sync import sync

from frazil import container
from frazil.codecs.base import PlaneCodec
from frazil.errors import ChecksumError, FrazilError, TruncatedError, UnsupportedArrayError
from frazil.zarr3 import PlaneSerializer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    import zarr

    Coords = tuple[int, ...]
    Read = Callable[[int, int], Awaitable[bytes | None]]

FIRST_BYTES = 1 << 10
"""Length in bytes of the first request for the first chunk of an array; 256 tell all that JP2K needs to know.

Later chunks begin with what the ones before them needed, and mostly need no second request.
"""

_NOT_STORED = 2**64 - 1  # offset and length of a missing chunk in a shard's index
_CRC_SIZE = 4
_KEPT_INDICES = 64
_LARGEST_REQUEST = (
    1 << 26
)  # a damaged length may ask for anything, and files allocate what they are asked for


@dataclass
class ByteCount:
    """What `bytes_read` counted.

    Parameters
    ----------
    read : int
        Bytes that came from the store, shard indices included.
    stored : int
        Bytes that the chunks take in the store, had they been read whole.
    requests : int
        Requests to the store.
    variables : dict of str to (int, int)
        ``read`` and ``stored`` of each array, by its path.
    """

    read: int = 0
    stored: int = 0
    requests: int = 0
    variables: dict[str, tuple[int, int]] = field(default_factory=dict)


_counting: list[ByteCount] = []
_lock = threading.Lock()


@contextmanager
def bytes_read() -> Iterator[ByteCount]:
    """Count the bytes that arrays opened with ``open_zarr(level=...)`` read inside the block.

    Counts for all threads of this process, and for no other process.

    Examples
    --------
    >>> with bytes_read() as count:
    ...     pass  # ds.load()
    >>> count.read, count.stored, count.requests
    (0, 0, 0)
    """
    count = ByteCount()
    with _lock:
        _counting.append(count)
    try:
        yield count
    finally:
        with _lock:  # by identity: equal counts are not the same count
            _counting[:] = [other for other in _counting if other is not count]


def _count(path: str, *, read: int = 0, stored: int = 0, requests: int = 0) -> None:
    with _lock:
        for count in _counting:
            before = count.variables.get(path, (0, 0))
            count.variables[path] = (before[0] + read, before[1] + stored)
            count.read += read
            count.stored += stored
            count.requests += requests


@dataclass(frozen=True)
class Layout:
    """Where the chunks of one array lie, and who decodes them.

    Parameters
    ----------
    array : zarr.Array
    codec : PlaneCodec
        The only codec between the array's chunks and their bytes.
    chunks : tuple of int
        Shape of what the codec encodes at once.
    per_shard : tuple of int or None
        Chunks in a shard along each axis; None where each chunk is an object of its own.
    index_first : bool
        Whether the shard's index stands before its chunks.
    index_checked : bool
        Whether a CRC-32C follows the index.
    indices : dict
        Indices of the shards read last, by key, so that not every chunk reads its shard's again.
    lengths : dict
        Bytes to begin with at each level, by what the chunks before took.
    """

    array: zarr.Array[Any]
    codec: PlaneCodec
    chunks: tuple[int, ...]
    per_shard: tuple[int, ...] | None = None
    index_first: bool = False
    index_checked: bool = True
    indices: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    lengths: dict[int, int] = field(default_factory=dict, compare=False, repr=False)

    def place(self, chunk: Coords) -> tuple[str, Coords]:
        """Key of the object that holds ``chunk``, and the position inside the shard (else empty)."""
        if self.per_shard is None:
            return self._key(chunk), ()
        pairs = [divmod(c, n) for c, n in zip(chunk, self.per_shard, strict=True)]
        return self._key(tuple(p[0] for p in pairs)), tuple(p[1] for p in pairs)

    def _key(self, coords: Coords) -> str:
        name = self.array.metadata.encode_chunk_key(coords)
        return f"{self.array.path}/{name}" if self.array.path else name


def find_layout(array: zarr.Array[Any]) -> Layout | None:
    """Say how ``array`` is stored; None if no frazil codec takes part in it.

    Raises
    ------
    UnsupportedArrayError
        If one does, but other codecs stand before or behind it, so that a
        part of the bytes means nothing.
    """
    metadata: Any = array.metadata  # of either format
    if metadata.zarr_format == 2:
        chain = [*(metadata.filters or ()), *([metadata.compressor] if metadata.compressor else [])]
    else:
        chain = [*metadata.codecs]
    ours = [codec for codec in map(_plane_codec, _flatten(chain)) if codec]
    if not ours:
        return None
    shard = chain[0] if isinstance(chain[0], ShardingCodec) else None
    if len(chain) > 1 or len(_flatten(chain)) > (2 if shard else 1):
        names = ", ".join(_name(part) for part in _flatten(chain))
        raise UnsupportedArrayError(
            f"its codecs are {names}; only {ours[0].codec_id} alone can be read in part"
        )
    if shard is None:
        return Layout(array, ours[0], tuple(array.chunks))
    index = [codec.to_dict() for codec in shard.index_codecs]
    if [part["name"] for part in index] not in (["bytes"], ["bytes", "crc32c"]) or "big" in str(index[0]):
        raise UnsupportedArrayError("the index of its shards is stored in a way that frazil does not read")
    grid = metadata.chunk_grid.chunk_shape
    per_shard = tuple(s // c for s, c in zip(grid, shard.chunk_shape, strict=True))
    first = "start" in str(shard.index_location)
    return Layout(array, ours[0], tuple(shard.chunk_shape), per_shard, first, len(index) == 2)


def fetch(layout: Layout, chunks: list[Coords], level: int, name: str) -> dict[Coords, bytes | None]:
    """Read as much of each of ``chunks`` as ``level`` needs; None for a chunk that is not stored.

    Raises
    ------
    FormatError
        If a chunk or a shard's index is damaged; the message names array and key.
    """
    return sync(_fetch(layout, chunks, level, name))


async def _fetch(layout: Layout, chunks: list[Coords], level: int, name: str) -> dict[Coords, bytes | None]:
    limit = asyncio.Semaphore(config.get("async.concurrency") or 10)
    store, prototype = layout.array.store_path.store, default_buffer_prototype()

    async def get(key: str, request: Any) -> bytes | None:
        async with limit:
            found = await store.get(key, prototype, byte_range=request)
        data = None if found is None else found.to_bytes()
        _count(name, read=len(data or b""), requests=1)
        return data

    async def chunk_prefix(key: str, start: int, length: int | None) -> bytes | None:
        async def read(lo: int, hi: int) -> bytes | None:
            stop = hi if length is None else min(hi, length)
            return await get(key, RangeByteRequest(start + lo, start + stop)) if stop > lo else b""

        data = await _prefix(read, layout, level)
        if data is not None:
            _count(name, stored=container.peek(data).total if length is None else length)
        return data

    async def from_object(chunk: Coords, key: str) -> tuple[Coords, bytes | None]:
        with located(name, key):
            return chunk, await chunk_prefix(key, 0, None)

    async def from_shard(key: str, members: list[tuple[Coords, Coords]]) -> list[tuple[Coords, bytes | None]]:
        index = layout.indices.get(key)
        if index is None:
            size = math.prod(layout.per_shard or ()) * 16 + _CRC_SIZE * layout.index_checked
            encoded = await get(
                key, RangeByteRequest(0, size) if layout.index_first else SuffixByteRequest(size)
            )
            if encoded is None:
                return [(chunk, None) for chunk, _ in members]
            with located(name, key):
                index = _read_index(encoded, size, layout)
            if len(layout.indices) >= _KEPT_INDICES:
                layout.indices.clear()
            layout.indices[key] = index

        async def one(chunk: Coords, inside: Coords) -> tuple[Coords, bytes | None]:
            offset, length = map(int, index[inside])
            if offset == length == _NOT_STORED:
                return chunk, None
            with located(name, key, inside):
                return chunk, await chunk_prefix(key, offset, length)

        return list(await asyncio.gather(*(one(*member) for member in members)))

    placed = sorted((*layout.place(chunk), chunk) for chunk in chunks)
    if layout.per_shard is None:
        return dict(await asyncio.gather(*(from_object(chunk, key) for key, _, chunk in placed)))
    shards = [
        from_shard(key, [(chunk, inside) for _, inside, chunk in members])
        for key, members in itertools.groupby(placed, key=lambda item: item[0])
    ]
    return dict(itertools.chain.from_iterable(await asyncio.gather(*shards)))


async def _prefix(read: Read, layout: Layout, level: int) -> bytes | None:
    """Read until `bytes_needed` is content or the bytes end; the decoder then says what is missing."""
    before = layout.lengths.get(level, 0)
    data, wanted = b"", min(max(before, FIRST_BYTES), _LARGEST_REQUEST)
    while True:
        more = await read(len(data), wanted)
        if more is None:
            return data or None
        data += more
        if len(data) < wanted:
            return data
        try:
            needed = layout.codec.bytes_needed(data, level)
        except TruncatedError:
            needed = 4 * len(data)
        if needed <= len(data):
            layout.lengths[level] = max(needed + needed // 16, before - before // 8)
            return data
        wanted = min(needed, max(2 * len(data), _LARGEST_REQUEST))


def _read_index(encoded: bytes, size: int, layout: Layout) -> Any:
    """Offsets and lengths of a shard's chunks, shape (*per_shard, 2)."""
    if len(encoded) != size:
        raise TruncatedError(f"the shard's index takes {size} bytes, the object has {len(encoded)}")
    if layout.index_checked:
        encoded, stored = encoded[:-_CRC_SIZE], int.from_bytes(encoded[-_CRC_SIZE:], "little")
        if int(google_crc32c.value(encoded)) != stored:
            raise ChecksumError("the shard's index does not match its checksum: the shard is damaged")
    return np.frombuffer(encoded, "<u8").reshape(*(layout.per_shard or ()), 2)


@contextmanager
def located(name: str, key: str, inside: Coords = ()) -> Iterator[None]:
    """Say in every error of ours which array and which stored object it is about."""
    try:
        yield
    except FrazilError as error:
        where = f"{key}, chunk {inside} of the shard" if inside else key
        raise type(error)(f"array {name!r}, {where}: {error}") from error


def _flatten(chain: Any) -> list[Any]:
    """List the codecs of a Zarr v3 array, those inside shards too."""
    return [leaf for codec in chain for leaf in [codec, *_flatten(getattr(codec, "codecs", ()))]]


def _plane_codec(part: Any) -> PlaneCodec | None:
    codec = part.codec if isinstance(part, PlaneSerializer) else part
    return codec if isinstance(codec, PlaneCodec) else None


def _name(codec: Any) -> str:
    return str(codec.codec_id if hasattr(codec, "codec_id") else codec.to_dict()["name"])
