"""What one array's chunks are read from: a store directly, a store through Zarr, or an xarray Dataset.

Each source reads (`load`, which may fail and be tried again) and decodes
(`decode`, which is not tried again) apart from each other.
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from frazil.errors import FormatError, StoreError, TruncatedError, UnsupportedArrayError

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr
    import zarr

    from frazil.data.stores.placement import Coords, Placement

_LARGEST_REQUEST = 1 << 26  # a damaged length may ask for anything
_LATENTS_TRIED = 64


class ChunkSource(Protocol):
    """Reads and decodes the chunks of one array."""

    @property
    def into(self) -> bool:
        """Whether `decode_into` saves a copy."""

    def key(self, coords: Coords) -> str:
        """Where the chunk is stored, for messages."""

    def load(self, coords: Coords) -> Any:
        """Read what `decode` takes; None if the chunk is not stored."""

    def decode(self, loaded: Any) -> npt.NDArray[Any]:
        """Return the chunk, which may reach beyond the array's edge; not to be written to."""

    def decode_into(self, loaded: Any, out: npt.NDArray[Any]) -> None:
        """Decode a whole chunk into ``out``, of its shape and dtype; only where `into`."""

    def forget(self, coords: Coords) -> None:
        """Forget what is known of where the chunk lies."""


@dataclass(frozen=True)
class DirectChunks:
    """Chunks of a Zarr array whose codecs `frazil.data.stores.direct` knows.

    Parameters
    ----------
    placement : Placement
    """

    placement: Placement

    @property
    def into(self) -> bool:
        """See `Chain.into`."""
        return self.placement.chain.into

    def key(self, coords: Coords) -> str:
        """Key, and the place inside the shard."""
        key, inside = self.placement.key(coords)
        return f"{key}, chunk {inside} of the shard" if inside else key

    def load(self, coords: Coords) -> bytes | None:
        """Read the chunk's bytes."""
        return self.placement.read(coords)

    def decode(self, loaded: bytes) -> npt.NDArray[Any]:
        """Decode the whole chunk."""
        return self.placement.chain.decode(loaded)

    def decode_into(self, loaded: bytes, out: npt.NDArray[Any]) -> None:
        """Decode the whole chunk into ``out``."""
        self.placement.chain.decode_into(loaded, out)

    def forget(self, coords: Coords) -> None:
        """Read the shard's index anew."""
        self.placement.forget(coords)


@dataclass(frozen=True)
class ReducedChunks(DirectChunks):
    """Chunks of an array that frazil coded, at 1/2**level: only the bytes that the level needs are read.

    Parameters
    ----------
    placement : Placement
    level : int
    lengths : dict
        Bytes to begin with, by what the chunks before took.
    """

    level: int
    lengths: dict[int, int] = field(default_factory=dict, compare=False, repr=False)

    into = False

    def load(self, coords: Coords) -> bytes | None:
        """Read until the codec is content or the bytes end; `decode` then says what is missing."""
        from frazil.prefix import FIRST_BYTES

        codec: Any = self.placement.chain.planes
        span = self.placement.span(coords)
        if span is None:
            return None
        key, start, stop = span
        before = self.lengths.get(self.level, 0)
        data, wanted = b"", max(before, FIRST_BYTES)
        while True:
            end = start + min(wanted, len(data) + _LARGEST_REQUEST)
            more = self.placement.objects.get(key, start + len(data), end if stop is None else min(end, stop))
            if more is None:
                return None
            data += more
            if start + len(data) < end:
                return data
            try:
                needed = codec.bytes_needed(data, self.level)
            except TruncatedError:
                needed = 4 * len(data)
            if needed <= len(data):
                self.lengths[self.level] = max(needed + needed // 16, before - before // 8)
                return data
            wanted = needed

    def decode(self, loaded: bytes) -> npt.NDArray[Any]:
        """Decode the chunk at the level."""
        chain: Any = self.placement.chain
        chunk: npt.NDArray[Any] = chain.planes.decode_prefix(
            loaded, self.level, shape=chain.chunks, dtype=chain.dtype
        )
        return chunk


@dataclass(frozen=True)
class LatentChunks(DirectChunks):
    """Latents of an array that a neural codec of frazil's coded, not decoded to fields.

    Parameters
    ----------
    placement : Placement
    grid : tuple of int
        Chunks of the array along each of its axes; those between the first
        and the last two are counted through as one.
    """

    grid: tuple[int, ...]

    into = False

    def stored(self, coords: Coords) -> Coords:
        """Place in the array's own grid of the chunk at ``coords`` (sample, latent, y, x)."""
        first, between, *last = coords
        middle = self.grid[1:-2]
        return (first, *map(int, np.unravel_index(between, middle) if middle else ()), *last)

    def key(self, coords: Coords) -> str:
        """Key of the chunk."""
        return super().key(self.stored(coords))

    def load(self, coords: Coords) -> bytes | None:
        """Read the chunk's bytes."""
        return super().load(self.stored(coords))

    def forget(self, coords: Coords) -> None:
        """Read the shard's index anew."""
        super().forget(self.stored(coords))

    def decode(self, loaded: bytes) -> npt.NDArray[Any]:
        """Return the latents, shape (samples, k, y', x')."""
        chain: Any = self.placement.chain
        buffer: Any = loaded
        for codec in chain.codecs:
            buffer = codec.decode(buffer)
        latents = np.asarray(chain.planes.decode_latents(buffer, shape=chain.chunks, dtype=chain.dtype))
        samples = chain.chunks[0]
        model: Any = getattr(
            chain.planes, "found", None
        )  # of a learned codec, which may take samples together
        together = model is not None and model.decoder.axis == -len(chain.chunks)
        if latents.ndim != 4 or len(latents) % samples or (together and model.decoder.channels > 1):
            raise UnsupportedArrayError(
                f"{chain.planes.codec_id} gave latents of shape {latents.shape} for a chunk of shape "
                f"{chain.chunks}; expected ({samples}, k, y, x): where a model takes several steps together, "
                "frazil.read_latents reads what it made of them"
            )
        return latents.reshape(samples, -1, *latents.shape[2:])

    def first(self) -> npt.NDArray[Any]:
        """Latents of the first chunk that is stored; they tell shape and dtype.

        Raises
        ------
        StoreError
            If none of the first chunks is stored.
        """
        counts = (self.grid[0], math.prod(self.grid[1:-2]), *self.grid[-2:])
        for _, coords in zip(range(_LATENTS_TRIED), np.ndindex(*counts), strict=False):
            loaded = self.load(tuple(map(int, coords)))
            if loaded is not None:
                return self.decode(loaded)
        raise StoreError("none of its first chunks is stored, so there are no latents to tell their shape")


@dataclass(frozen=True)
class PipelineChunks:
    """Chunks of any Zarr array, read and decoded by Zarr.

    Parameters
    ----------
    array : zarr.Array
    """

    array: zarr.Array[Any]
    into = False

    def key(self, coords: Coords) -> str:
        """Key of the chunk; of an array with shards, of the first of the shard's bytes."""
        from frazil.data.stores.placement import stored_key

        shards = self.array.shards
        if shards is not None:
            pairs = zip(coords, self.array.chunks, shards, strict=True)
            coords = tuple(c * n // s for c, n, s in pairs)
        return stored_key(self.array, coords)

    def load(self, coords: Coords) -> npt.NDArray[Any]:
        """Slice the array; the fill value stands for what is not stored."""
        try:
            chunk: npt.NDArray[Any] = np.asarray(self.array[slices(coords, self.array.chunks)])
        except (ValueError, RuntimeError, EOFError, KeyError, zlib.error, gzip.BadGzipFile) as error:
            raise FormatError(f"Zarr cannot decode the chunk: {type(error).__name__}: {error}") from error
        return chunk

    def decode(self, loaded: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Nothing is left to do."""
        return loaded

    def decode_into(self, loaded: Any, out: npt.NDArray[Any]) -> None:
        """Copy."""
        np.copyto(out, loaded)

    def forget(self, coords: Coords) -> None:
        """Nothing is known."""


@dataclass(frozen=True)
class DatasetChunks:
    """Blocks of a variable of an xarray Dataset, computed in the thread that wants them.

    Parameters
    ----------
    variable : xarray.Variable
    chunks : tuple of int
    name : str
    """

    variable: xr.Variable
    chunks: tuple[int, ...]
    name: str
    into = False

    def key(self, coords: Coords) -> str:
        """Name and block."""
        return f"{self.name} block {coords}"

    def load(self, coords: Coords) -> npt.NDArray[Any]:
        """Slice and compute."""
        block: Any = self.variable[slices(coords, self.chunks)].data
        if hasattr(block, "compute"):
            block = block.compute(scheduler="synchronous")
        return np.asarray(block)

    def decode(self, loaded: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Nothing is left to do."""
        return loaded

    def decode_into(self, loaded: Any, out: npt.NDArray[Any]) -> None:
        """Copy."""
        np.copyto(out, loaded)

    def forget(self, coords: Coords) -> None:
        """Nothing is known."""


def slices(coords: Coords, chunks: tuple[int, ...]) -> tuple[slice, ...]:
    """Span of the chunk at ``coords``, beyond the array's edge if need be.

    Examples
    --------
    >>> slices((2, 0), (3, 10))
    (slice(6, 9, None), slice(0, 10, None))
    """
    return tuple(slice(c * n, c * n + n) for c, n in zip(coords, chunks, strict=True))
