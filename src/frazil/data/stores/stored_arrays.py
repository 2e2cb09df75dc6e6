"""One variable as a reader sees it, and how a chunk of it is finished."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from frazil.data.stores.cf import Unpacking
    from frazil.data.stores.chunk_sources import ChunkSource

    Coords = tuple[int, ...]


@dataclass(frozen=True)
class StoredArray:
    """One variable of a store as a reader sees it.

    Parameters
    ----------
    name : str
    dims : tuple of str
    shape, chunks : tuple of int
        At the reader's level; the last chunk of an axis may be shorter.
    dtype : numpy.dtype
        Of what `StoreReader.read_chunk` returns: float32 or float64 (of latents: their own).
    attrs : mapping
        As they are stored.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    def chunk_shape(self, coords: Coords) -> tuple[int, ...]:
        """Shape of the chunk at ``coords`` of the grid, cut at the array's edge.

        Examples
        --------
        >>> import numpy as np
        >>> array = StoredArray("t", ("time", "x"), (10, 7), (4, 7), np.dtype("f4"))
        >>> array.chunk_shape((2, 0))
        (2, 7)
        """
        return tuple(
            [
                c if (k + 1) * c <= n else n - k * c
                for k, c, n in zip(coords, self.chunks, self.shape, strict=True)
            ]
        )


@dataclass(frozen=True)
class Variable:
    """A `StoredArray` and how its chunks are read.

    Parameters
    ----------
    array : StoredArray
    source : ChunkSource
    unpacking : Unpacking or None
        None hands out what the source decodes.
    fill : scalar or None
        Stands for the values of a chunk that is not stored; None where nothing can.
    steps : tuple of int
        Every how many points along each axis one is kept.
    stored, whole : tuple of int
        Shape of the array and its chunks as ``source`` decodes them.
    """

    array: StoredArray
    source: ChunkSource
    unpacking: Unpacking | None
    fill: Any
    steps: tuple[int, ...]
    stored: tuple[int, ...]
    whole: tuple[int, ...]

    def finish(self, loaded: Any, coords: Coords, out: npt.NDArray[Any]) -> None:
        """Decode ``loaded`` into ``out``, of the chunk's shape and dtype."""
        unpacking = self.unpacking
        if loaded is None:
            if self.fill is None:
                raise StoreError("the chunk is not stored")
            raw = np.full(out.shape, self.fill, unpacking.stored if unpacking else out.dtype)
        else:
            if self.source.into and out.shape == self.whole and unpacking is not None and unpacking.is_copy:
                self.source.decode_into(loaded, out)
                return
            decoded = self.source.decode(loaded)
            raw = decoded[self._kept(coords)] if out.shape != decoded.shape else decoded
        if raw.shape != out.shape:
            raise StoreError(f"the chunk has shape {raw.shape} where the array has {out.shape}")
        if unpacking is None or unpacking.is_copy:
            np.copyto(out, raw)
        else:
            unpacking.apply(raw, out)

    def _kept(self, coords: Coords) -> tuple[slice, ...]:
        axes = zip(coords, self.whole, self.stored, self.steps, strict=True)
        return tuple(slice(0, min(c, n - k * c), step) for k, c, n, step in axes)
