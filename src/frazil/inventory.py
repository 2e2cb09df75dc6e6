"""What a Zarr store holds, read from metadata and container heads; nothing is decoded."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from frazil import container, shards
from frazil.errors import FormatError, TruncatedError
from frazil.guarantee import record as records
from frazil.guarantee.rebuilding import RECORD
from frazil.notation import PREFIX, codec_text
from frazil.sealing import unseal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import zarr

    from frazil.bounds import Bound
    from frazil.container import Head

HEAD_BYTES = 64  # fits the preamble of a chunk of up to a dozen axes and its first section's header
BOUNDED = ("frazil.bounded", "frazil.codeword", "frazil.latent")  # codecs that may have a bound


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
    Of a chunk that keeps a bound, ``method`` is one of `frazil.guarantee.record.METHODS`,
    ``max_error`` its largest error in the units of the array and ``share`` its
    largest error over bound, both recorded when it was encoded and rounded up.
    """

    index: tuple[int, ...]
    key: str
    start: int
    nbytes: int
    raw: int
    sections: dict[str, int] | None
    note: str = ""
    method: str | None = None
    max_error: float | None = None
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """What the chunks of an array say of their errors: the largest, and how many used which method."""

    methods: dict[str, int]
    max_error: float
    share: float


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
    found = [shards.as_dict(c) for c in meta["codecs"]]
    while (shard := shards.sharding(found)) is not None:
        found = [shards.as_dict(c) for c in shard["codecs"]]
    return found


def frazil_codec(array: zarr.Array[Any]) -> dict[str, Any] | None:
    """Flat configuration of the array's frazil codec, or None if it has none."""
    return next((c for c in codecs_of(array) if str(c["id"]).startswith(PREFIX)), None)


def is_lossy(array: zarr.Array[Any]) -> bool:
    """Whether what comes out may differ from what went in."""
    from numcodecs.registry import get_codec

    config = frazil_codec(array)
    return config is not None and not get_codec(config).lossless


def bound_of(array: zarr.Array[Any]) -> Bound | None:
    """Bound that the array's codec keeps; None if it keeps none."""
    from frazil.bounds import parse

    config = frazil_codec(array) or {}
    keeps = config.get("id") in BOUNDED and config.get("bound") is not None
    return parse(config["bound"]) if keeps else None


def describe(path: str, array: zarr.Array[Any]) -> ArrayEntry:
    """Measure one array of a store."""
    from zarr.core.sync import sync

    sizes = sync(shards.sizes(array))
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
        codec=codec_text(ours) if ours else " + ".join(str(c["id"]) for c in named) or "none",
        lossy=is_lossy(array),
        chunks_stored=min(len(sizes) * per_shard, shards.count(array.shape, array.chunks)),
        chunks=shards.count(array.shape, array.chunks),
        raw=int(array.nbytes),
        stored=sum(sizes.values()),
    )


def chunk_entries(array: zarr.Array[Any]) -> Iterator[ChunkEntry]:
    """Sections of each stored chunk, and what it says of its errors, from the container's head alone.

    Reads a few tens of bytes a chunk where the store can read ranges.
    """
    import numpy as np
    from zarr.core.sync import sync

    outer = array.shards or array.chunks
    sizes = sync(shards.sizes(array))
    bound = bound_of(array)
    for index in np.ndindex(*(-(-n // c) for n, c in zip(array.shape, outer, strict=True))):
        key = shards.key(array, index)
        if key not in sizes:
            continue
        if array.shards is None:
            parts = {index: (0, sizes[key])}
        else:
            try:
                parts = sync(shards.shard_parts(array, index, key, sizes[key]))
            except FormatError as error:
                note = str(error)
                yield ChunkEntry(
                    index=index, key=key, start=0, nbytes=sizes[key], raw=0, sections=None, note=note
                )
                continue
        for inner, (start, size) in sorted(parts.items()):
            head, note = sync(_walk(array, key, start, size))
            raw = math.prod(array.chunks) * array.dtype.itemsize
            entry = ChunkEntry(
                index=inner, key=key, start=start, nbytes=size, raw=raw, sections=None, note=note
            )
            if head is not None:
                sizes_of = {tag: stop - first for tag, (first, stop) in head.spans.items()}
                said = sync(_record(array, key, start, head, bound)) if bound else {}
                entry = replace(entry, sections=sizes_of, **said)
            yield entry


def record(chunks: Iterable[ChunkEntry]) -> Record | None:
    """Sum up what ``chunks`` say of their errors; None if none of them does.

    Examples
    --------
    >>> one = ChunkEntry(index=(0,), key="0", start=0, nbytes=9, raw=9, sections={}, max_error=0.3, share=0.6)
    >>> record([replace(one, method="exact", max_error=0.0, share=0.0), replace(one, method="wavelet")])
    Record(methods={'exact': 1, 'wavelet': 1}, max_error=0.3, share=0.6)
    """
    said = [chunk for chunk in chunks if chunk.method is not None]
    if not said:
        return None
    return Record(
        methods=dict(sorted(Counter(str(chunk.method) for chunk in said).items())),
        max_error=max(chunk.max_error or 0.0 for chunk in said),
        share=max(chunk.share or 0.0 for chunk in said),
    )


def read_chunk(array: zarr.Array[Any], entry: ChunkEntry) -> bytes:
    """Bytes of one chunk, as the codec wrote them."""
    from zarr.core.sync import sync

    return bytes(sync(shards.read(array, entry.key, entry.start, entry.start + entry.nbytes)))


def stored_bytes(array: zarr.Array[Any], region: tuple[tuple[int, int], ...]) -> int:
    """Bytes in the store of the chunks (or shards) that ``region``, given as (start, stop) pairs, touches."""
    import itertools

    from zarr.core.sync import sync

    outer = array.shards or array.chunks
    grid = [range(a // c, -(-b // c)) for (a, b), c in zip(region, outer, strict=True)]
    keys = [shards.key(array, index) for index in itertools.product(*grid)]

    async def total() -> int:
        return sum(size for size in await shards.gather(shards.size_of(array, key) for key in keys) if size)

    return int(sync(total()))


async def _walk(array: zarr.Array[Any], key: str, start: int, size: int) -> tuple[Head | None, str]:
    """Read the section headers of the container at ``start`` and skip the payloads; say what is wrong."""
    known = bytearray(await shards.read(array, key, start, start + min(HEAD_BYTES, size)))
    try:
        head = container.peek(bytes(known))
        end = min(head.total, size) - container.CRC_SIZE
        while head.spans and (at := max(stop for _, stop in head.spans.values())) < end:
            known.extend(bytes(max(0, at - len(known))))  # payloads stay zeros: only headers are read
            known[at:] = await shards.read(array, key, start + at, start + min(at + 16, size))
            head = container.peek(bytes(known))
            if max(stop for _, stop in head.spans.values()) == at:
                break
    except TruncatedError as error:
        return None, str(error)
    except FormatError as error:
        return None, "" if not known.startswith(container.MAGIC) else str(error)
    return head, f"cut off after {size} of {head.total} bytes" if size < head.total else ""


async def _record(array: zarr.Array[Any], key: str, start: int, head: Head, bound: Bound) -> dict[str, Any]:
    """Read what a chunk says of its errors; nothing where all of its points are missing."""
    if RECORD not in head.spans:
        return {}
    first, stop = head.spans[RECORD]
    try:
        said = records.unpack(
            unseal(await shards.read(array, key, start + first, start + stop)), head.spec.dtype
        )
    except FormatError as error:
        return {"note": str(error)}
    # rounded up it may lie above the bound, which it never does
    largest = min(said.max_error, bound.value) if bound.kind == "abs" else said.max_error
    return {"method": said.name, "max_error": largest, "share": said.share}
