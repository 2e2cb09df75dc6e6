"""What a Zarr store holds, read from metadata and container heads; nothing is decoded."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from frazil import container
from frazil.errors import FormatError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    import zarr

PREFIX = "frazil."
HEAD_BYTES = 64  # fits the preamble of a chunk of up to a dozen axes and its first section's header
REQUESTS = 64
EMPTY = (1 << 64) - 1  # offset and length of an absent chunk in a shard's index


@dataclass(frozen=True, kw_only=True)
class ArrayEntry:
    """One array: how it is cut, encoded, and what it takes.

    Parameters
    ----------
    path : str
        Within the store, without a leading slash.
    codec : str
        Short text, such as ``"jp2k ratio=32.0"`` or ``"zstd"``.
    lossy : bool
        Whether the codec is one of frazil's with settings that lose something.
    chunks_stored, chunks : int
        Chunks present, and chunks in all; a chunk that is all fill value need not be present.
    raw, stored : int
        Bytes of the decoded array, and of its chunks in the store (metadata not counted).
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    chunk_shape: tuple[int, ...]
    shard_shape: tuple[int, ...] | None
    codec: str
    lossy: bool
    chunks_stored: int
    chunks: int
    raw: int
    stored: int


@dataclass(frozen=True, kw_only=True)
class ChunkEntry:
    """One chunk: where it is, and the bytes of each section of its container.

    ``start`` is where it begins in the object ``key``, which is more than 0
    inside a shard. ``sections`` is None where the bytes are not a frazil container.
    """

    index: tuple[int, ...]
    key: str
    start: int
    nbytes: int
    raw: int
    sections: dict[str, int] | None
    note: str = ""


def arrays(group: zarr.Group, path: str = "") -> Iterator[tuple[str, zarr.Array[Any]]]:
    """All arrays of ``group`` and of the groups in it, with their paths."""
    for name, array in sorted(group.arrays()):
        yield f"{path}{name}", array
    for name, child in sorted(group.groups()):
        yield from arrays(child, f"{path}{name}/")


def codecs_of(array: zarr.Array[Any]) -> list[dict[str, Any]]:
    """Codecs of an array as flat dicts with an ``id``, in the order of encoding; those inside a shard.

    Both formats look the same afterwards: ``{"id": "frazil.jp2k", "ratio": 32.0}``.
    """
    meta: dict[str, Any] = dict(array.metadata.to_dict())
    if meta["zarr_format"] == 2:
        found = [*(meta.get("filters") or []), meta.get("compressor")]
        return [dict(c) if isinstance(c, dict) else c.get_config() for c in found if c]
    return [{"id": c["name"], **(c.get("configuration") or {})} for c in codec_documents(array)]


def codec_documents(array: zarr.Array[Any]) -> list[dict[str, Any]]:
    """Codecs of a Zarr v3 array as its metadata write them; those inside a shard, if it has shards."""
    meta: dict[str, Any] = dict(array.metadata.to_dict())
    found = [_as_dict(c) for c in meta["codecs"]]
    while (shard := _sharding(found)) is not None:
        found = [_as_dict(c) for c in shard["codecs"]]
    return found


def frazil_codec(array: zarr.Array[Any]) -> dict[str, Any] | None:
    """Flat configuration of the array's frazil codec, or None if it has none."""
    return next((c for c in codecs_of(array) if str(c["id"]).startswith(PREFIX)), None)


def is_lossy(array: zarr.Array[Any]) -> bool:
    """Whether what comes out may differ from what went in."""
    from numcodecs.registry import get_codec

    config = frazil_codec(array)
    return config is not None and not get_codec(config).lossless


def codec_text(config: dict[str, Any]) -> str:
    """Name a codec and those of its settings that are not the defaults.

    Examples
    --------
    >>> codec_text({"id": "frazil.unknown", "ratio": 32, "per": "chunk"})
    'unknown ratio=32 per=chunk'
    """
    settings = {k: v for k, v in config.items() if k != "id" and v is not None}
    name = str(config["id"])
    if name.startswith(PREFIX):
        from dataclasses import fields

        from numcodecs.registry import get_codec

        try:
            defaults = {f.name: f.default for f in fields(type(get_codec(config)))}
        except (ValueError, TypeError, ImportError):  # a codec of a newer frazil: show all that it says
            defaults = {}
        settings = {k: v for k, v in settings.items() if k not in defaults or defaults[k] != v}
    else:
        settings = {}
    return " ".join([name.removeprefix(PREFIX), *(f"{k}={v}" for k, v in settings.items())])


def describe(path: str, array: zarr.Array[Any]) -> ArrayEntry:
    """Measure one array of a store."""
    from zarr.core.sync import sync

    sizes = sync(_sizes(array))
    shard = array.shards
    per_shard = math.prod(-(-s // c) for s, c in zip(shard, array.chunks, strict=True)) if shard else 1
    ours = frazil_codec(array)
    named = [c for c in codecs_of(array) if c["id"] not in ("bytes", "vlen-utf8")]
    return ArrayEntry(
        path=path,
        shape=array.shape,
        dtype=str(array.dtype),
        chunk_shape=array.chunks,
        shard_shape=shard,
        codec=codec_text(ours) if ours else " + ".join(codec_text(c) for c in named) or "none",
        lossy=is_lossy(array),
        chunks_stored=min(len(sizes) * per_shard, _count(array.shape, array.chunks)),
        chunks=_count(array.shape, array.chunks),
        raw=int(array.nbytes),
        stored=sum(sizes.values()),
    )


def chunk_entries(array: zarr.Array[Any]) -> Iterator[ChunkEntry]:
    """Sections of each stored chunk, from the container's head alone.

    Reads a few tens of bytes a chunk where the store can read ranges.
    """
    import numpy as np
    from zarr.core.sync import sync

    outer = array.shards or array.chunks
    sizes = sync(_sizes(array))
    for index in np.ndindex(*(-(-n // c) for n, c in zip(array.shape, outer, strict=True))):
        key = _key(array, index)
        if key not in sizes:
            continue
        if array.shards is None:
            parts = {index: (0, sizes[key])}
        else:
            try:
                parts = sync(_shard_parts(array, index, key, sizes[key]))
            except FormatError as error:
                note = str(error)
                yield ChunkEntry(
                    index=index, key=key, start=0, nbytes=sizes[key], raw=0, sections=None, note=note
                )
                continue
        for inner, (start, size) in sorted(parts.items()):
            sections, note = sync(_sections(array, key, start, size))
            yield ChunkEntry(
                index=inner,
                key=key,
                start=start,
                nbytes=size,
                raw=math.prod(array.chunks) * array.dtype.itemsize,
                sections=sections,
                note=note,
            )


def read_chunk(array: zarr.Array[Any], entry: ChunkEntry) -> bytes:
    """Bytes of one chunk, as the codec wrote them."""
    from zarr.core.sync import sync

    return bytes(sync(_read(array, entry.key, entry.start, entry.start + entry.nbytes)))


def stored_bytes(array: zarr.Array[Any], region: tuple[tuple[int, int], ...]) -> int:
    """Bytes in the store of the chunks (or shards) that ``region``, given as (start, stop) pairs, touches."""
    import itertools

    from zarr.core.sync import sync

    outer = array.shards or array.chunks
    grid = [range(a // c, -(-b // c)) for (a, b), c in zip(region, outer, strict=True)]
    keys = [_key(array, index) for index in itertools.product(*grid)]

    async def total() -> int:
        return sum(size for size in await _gather(_size(array, key) for key in keys) if size)

    return int(sync(total()))


async def _sizes(array: zarr.Array[Any]) -> dict[str, int]:
    prefix = f"{array.store_path.path}/" if array.store_path.path else ""
    documents = {f"{prefix}{name}" for name in ("zarr.json", ".zarray", ".zattrs")}
    keys = [key async for key in array.store.list_prefix(prefix) if key not in documents]
    sizes = await _gather(_size(array, key) for key in keys)
    return {key: size for key, size in zip(keys, sizes, strict=True) if size is not None}


async def _size(array: zarr.Array[Any], key: str) -> int | None:
    try:
        return int(await array.store.getsize(key))
    except FileNotFoundError:  # all fill value
        return None


async def _gather(jobs: Any) -> list[Any]:
    gate = asyncio.Semaphore(REQUESTS)

    async def one(job: Awaitable[Any]) -> Any:
        async with gate:
            return await job

    return await asyncio.gather(*(one(job) for job in jobs))


async def _read(array: zarr.Array[Any], key: str, start: int, stop: int) -> bytes:
    from zarr.abc.store import RangeByteRequest
    from zarr.core.buffer import default_buffer_prototype

    found = await array.store.get(key, default_buffer_prototype(), RangeByteRequest(start, stop))
    return found.to_bytes() if found is not None else b""


async def _sections(
    array: zarr.Array[Any], key: str, start: int, size: int
) -> tuple[dict[str, int] | None, str]:
    """Walk the section headers of the container at ``start``, reading each and skipping the payloads."""
    known = bytearray(await _read(array, key, start, start + min(HEAD_BYTES, size)))
    try:
        head = container.peek(bytes(known))
        end = min(head.total, size) - container.CRC_SIZE
        while head.spans and (at := max(stop for _, stop in head.spans.values())) < end:
            known.extend(bytes(max(0, at - len(known))))  # payloads stay zeros: only headers are read
            known[at:] = await _read(array, key, start + at, start + min(at + 16, size))
            head = container.peek(bytes(known))
            if max(stop for _, stop in head.spans.values()) == at:
                break
    except TruncatedError as error:
        return None, str(error)
    except FormatError as error:
        return None, "" if not known.startswith(container.MAGIC) else str(error)
    note = f"cut off after {size} of {head.total} bytes" if size < head.total else ""
    return {tag: stop - first for tag, (first, stop) in head.spans.items()}, note


async def _shard_parts(
    array: zarr.Array[Any], index: tuple[int, ...], key: str, size: int
) -> dict[tuple[int, ...], tuple[int, int]]:
    """Start and length of each chunk in a shard, from the shard's index (zarr-specs, sharding codec)."""
    import numpy as np

    meta: dict[str, Any] = dict(array.metadata.to_dict())
    config = _sharding([_as_dict(c) for c in meta["codecs"]])
    names = [_as_dict(c)["name"] for c in (config or {}).get("index_codecs", [])]
    shards = array.shards
    if config is None or shards is None or names not in (["bytes", "crc32c"], ["bytes"]):
        found = ", ".join(names) or "nothing known"
        raise FormatError(f"the shard's index is encoded as {found}; cannot look inside")
    grid = tuple(s // c for s, c in zip(shards, array.chunks, strict=True))
    n = 16 * math.prod(grid)
    tail = 4 if "crc32c" in names else 0
    start = 0 if str(config.get("index_location", "end")).endswith("start") else size - n - tail
    raw = await _read(array, key, max(start, 0), max(start, 0) + n)
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


def _key(array: zarr.Array[Any], index: tuple[int, ...]) -> str:
    encode: Callable[[tuple[int, ...]], str] = array.metadata.encode_chunk_key
    return f"{array.store_path.path}/{encode(index)}".lstrip("/")


def _count(shape: tuple[int, ...], chunks: tuple[int, ...]) -> int:
    return math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True))


def _as_dict(codec: Any) -> dict[str, Any]:
    return dict(codec) if isinstance(codec, dict) else dict(codec.to_dict())


def _sharding(codecs: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((dict(c["configuration"]) for c in codecs if c["name"] == "sharding_indexed"), None)
