"""Where the chunks of an array lie in its store: keys, and places inside shards."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.stores.direct import Crc32c
from frazil.errors import TruncatedError

if TYPE_CHECKING:
    import zarr

    from frazil.data.stores.direct import Chain
    from frazil.data.stores.objects import Objects

    Coords = tuple[int, ...]

_CRC_SIZE = 4
_NOT_STORED = 2**64 - 1  # offset and length of a missing chunk in a shard's index
_KEPT_INDICES = 256


@dataclass
class Placement:
    """Where the chunks of one array lie: keys, and places inside shards.

    Parameters
    ----------
    array : zarr.Array
    chain : Chain
    objects : Objects
    """

    array: zarr.Array[Any]
    chain: Chain
    objects: Objects
    _indices: dict[str, Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def key(self, chunk: Coords) -> tuple[str, Coords]:
        """Key of the object that holds ``chunk``, and the place inside the shard (else empty)."""
        if self.chain.per_shard is None:
            return stored_key(self.array, chunk), ()
        pairs = [divmod(c, n) for c, n in zip(chunk, self.chain.per_shard, strict=True)]
        return stored_key(self.array, tuple(p[0] for p in pairs)), tuple(p[1] for p in pairs)

    def span(self, chunk: Coords) -> tuple[str, int, int | None] | None:
        """Key, start and stop of the bytes of ``chunk``; None if a shard lacks it.

        Raises
        ------
        FormatError
            If the shard's index is cut off or damaged.
        """
        key, inside = self.key(chunk)
        if self.chain.per_shard is None:
            return key, 0, None
        index = self._indices.get(key)
        if index is None:
            index = self._read_index(key)
            if index is None:
                return None
            with self._lock:
                while len(self._indices) >= _KEPT_INDICES:
                    del self._indices[next(iter(self._indices))]
                self._indices[key] = index
        offset, length = map(int, index[inside])
        return None if offset == length == _NOT_STORED else (key, offset, offset + length)

    def read(self, chunk: Coords) -> bytes | None:
        """Read the encoded bytes of ``chunk``; None if it is not stored."""
        span = self.span(chunk)
        if span is None:
            return None
        key, start, stop = span
        data = self.objects.get(key, start, stop)
        if data is not None and stop is not None and len(data) < stop - start:
            raise TruncatedError(f"{len(data)} of the chunk's {stop - start} bytes are in the shard")
        return data

    def forget(self, chunk: Coords) -> None:
        """Read the index of the chunk's shard anew the next time: the shard may have been replaced."""
        with self._lock:
            self._indices.pop(self.key(chunk)[0], None)

    def _read_index(self, key: str) -> Any:
        chain = self.chain
        size = math.prod(chain.per_shard or ()) * 16 + _CRC_SIZE * chain.index_checked
        encoded = self.objects.get(key, 0, size) if chain.index_first else self.objects.get(key, -size)
        if encoded is None:
            return None
        if len(encoded) != size:
            raise TruncatedError(f"the shard's index takes {size} bytes, the object has {len(encoded)}")
        if chain.index_checked:
            encoded = Crc32c().decode(encoded)
        return np.frombuffer(encoded, "<u8").reshape(*(chain.per_shard or ()), 2)


def stored_key(array: zarr.Array[Any], coords: Coords) -> str:
    """Key of the object at ``coords`` of the grid of chunks, or shards where there are any."""
    name = array.metadata.encode_chunk_key(coords)
    return f"{array.path}/{name}" if array.path else name
