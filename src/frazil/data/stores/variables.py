"""Describe the variables of an opened store, and build what reads each of them."""

from __future__ import annotations

import difflib
import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.stores import chunk_sources
from frazil.data.stores.cf import Unpacking, as_float, unpacking
from frazil.data.stores.opening import block_shape, located_error
from frazil.data.stores.stored_arrays import StoredArray, Variable
from frazil.errors import ConfigurationError, FrazilError, StoreError, UnsupportedArrayError
from frazil.planes import reduced
from frazil.resolution import positions

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.data.stores.chunk_sources import ChunkSource
    from frazil.data.stores.opening import Contents

    Coords = tuple[int, ...]


class Opened:
    """An open store in one process, and its variables, each built when it is first asked for.

    Parameters
    ----------
    contents : Contents
    level : int
    decode : bool
    sample_dim : str or None
    spatial : tuple of str or None
        As the reader was asked for.
    """

    def __init__(
        self,
        contents: Contents,
        level: int,
        decode: bool,
        sample_dim: str | None,
        spatial: tuple[str, ...] | None,
    ) -> None:
        self.contents, self.level, self.decode = contents, level, decode
        self.lock = threading.RLock()
        self._counting = threading.Lock()
        self.variables: dict[str, Variable] = {}
        self.decoded = self.retried = 0
        self.decodes: dict[tuple[str, Coords], int] = {}
        self.fingerprint: str | None = None
        self._points: dict[str, tuple[str, npt.NDArray[np.intp]]] = {}
        self.sample_dim = self._find_sample_dim(sample_dim)
        self.spatial = self._find_spatial(spatial)

    def dims(self, name: str) -> tuple[str, ...]:
        """Dimensions of a variable."""
        return tuple(map(str, self.contents.raw[name].dims))

    def _find_sample_dim(self, wanted: str | None) -> str:
        names = self.contents.names
        there = sorted({dim for name in names for dim in self.dims(name)})
        if wanted is not None:
            if wanted not in there:
                raise StoreError(
                    f"no variable has the dimension {wanted!r}; there are {', '.join(there) or 'none'}"
                )
            return wanted
        if not names:
            raise StoreError("the store holds no numeric variable to train on, only coordinates")
        return "time" if "time" in there else self.dims(names[0])[0]

    def _find_spatial(self, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
        sampled = [dims for dims in map(self.dims, self.contents.names) if self.sample_dim in dims]
        if wanted is not None:
            there = {dim for dims in sampled for dim in dims} - {self.sample_dim}
            if absent := [dim for dim in wanted if dim not in there]:
                raise StoreError(
                    f"no variable with {self.sample_dim!r} has the dimension {absent[0]!r}; "
                    f"there are {', '.join(sorted(there)) or 'none'}"
                )
            return wanted
        fields = [[dim for dim in dims if dim != self.sample_dim] for dims in sampled]
        for dims in fields:
            if len(dims) >= 2:
                return tuple(dims[-2:])
        return next((tuple(dims[-1:]) for dims in fields if dims), ())

    def variable(self, name: str) -> Variable:
        """Find or build what reads a variable."""
        found = self.variables.get(name)
        if found is None:
            with self.lock:
                found = self.variables.get(name)
                if found is None:
                    self._check_name(name)
                    found = self.variables[name] = self._build(name)
        return found

    def _check_name(self, name: str) -> None:
        names = self.contents.names
        if name in names:
            return
        if name in self.contents.raw.variables:
            raise StoreError(
                f"{name!r} is a coordinate or no numeric variable; variables are {', '.join(names) or 'none'}"
            )
        close = difflib.get_close_matches(str(name), names, 3)
        hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise StoreError(f"there is no variable {name!r}; {hint}There are {', '.join(names) or 'none'}")

    def _build(self, name: str) -> Variable:
        raw = self.contents.raw[name].variable
        if self.contents.group is None:
            if not self.decode:
                raise UnsupportedArrayError(f"{name!r} comes from a Dataset, which has no latents to read")
            chunks = block_shape(raw, self.sample_dim)
            final = as_float(raw.dtype)
            as_is = Unpacking(raw.dtype, final, final)
            return self._fields(name, chunk_sources.DatasetChunks(raw, chunks, name), chunks, as_is, None)
        from frazil.data.stores.direct import find_chain
        from frazil.data.stores.objects import objects_of
        from frazil.data.stores.placement import Placement

        array: Any = self.contents.group[name]
        chain = find_chain(array)
        how = unpacking(name, raw, np.dtype(array.dtype) if chain is None else chain.dtype)
        if not self.decode:
            return self._latents(name, array, chain)
        fill = array.fill_value if array.fill_value is not None else np.zeros((), array.dtype)[()]
        if chain is None:
            chunks = tuple(array.chunks)
            return self._fields(name, chunk_sources.PipelineChunks(array), chunks, how, fill)
        placement = Placement(array, chain, objects_of(array.store))
        if self.level and self._is_planar(name) and _is_ours_alone(chain):
            source = chunk_sources.ReducedChunks(placement, self.level)
            return self._fields(name, source, chain.chunks, how, fill, reduces=True)
        return self._fields(name, chunk_sources.DirectChunks(placement), chain.chunks, how, fill)

    def _fields(
        self,
        name: str,
        source: ChunkSource,
        chunks: tuple[int, ...],
        how: Unpacking,
        fill: Any,
        *,
        reduces: bool = False,
    ) -> Variable:
        """Describe an array of fields; ``reduces`` where the source decodes at the level by itself."""
        raw = self.contents.raw[name].variable
        dims = self.dims(name)
        chunks = (
            tuple(min(c, n) or 1 for c, n in zip(chunks, raw.shape, strict=True)) if not reduces else chunks
        )
        levels = tuple(self.level if dim in self.spatial else 0 for dim in dims)
        self._check_points(name, dims, raw.shape, chunks, levels)
        small = tuple(reduced(c, level) for c, level in zip(chunks, levels, strict=True))
        shape = tuple(
            len(positions(n, c, level)) if level else n
            for n, c, level in zip(raw.shape, chunks, levels, strict=True)
        )
        array = StoredArray(name, dims, shape, small, how.dtype, dict(raw.attrs))
        whole, stored = (small, shape) if reduces else (chunks, tuple(raw.shape))
        steps = tuple(1 if reduces else 1 << level for level in levels)
        return Variable(array, source, how, fill, steps, stored, whole)

    def _check_points(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        levels: tuple[int, ...],
    ) -> None:
        """All variables must keep the same points of a dimension."""
        for dim, n, c, level in zip(dims, shape, chunks, levels, strict=True):
            if not level:
                continue
            kept = positions(n, c, level)
            other, points = self._points.setdefault(dim, (name, kept))
            if not np.array_equal(kept, points):
                raise ConfigurationError(
                    f"level {level} keeps other points of {dim!r} in {name!r}, whose chunks have {c}, than "
                    f"in {other!r}; rechunk them alike or to multiples of {1 << level}, or read them apart"
                )

    def _latents(self, name: str, array: Any, chain: Any) -> Variable:
        from frazil.codecs.base import PlaneCodec
        from frazil.data.stores.objects import objects_of
        from frazil.data.stores.placement import Placement

        codec = chain.planes if chain is not None else None
        if codec is None or type(codec).decode_latents is PlaneCodec.decode_latents:
            who = f"its codec {codec.codec_id}" if codec is not None else "no neural codec of frazil"
            tail = "has none" if codec is not None else "made it"
            raise UnsupportedArrayError(
                f"{name!r} cannot be read as latents: {who} {tail}; leave decode=True"
            )
        dims = self.dims(name)
        if len(dims) < 3 or dims[0] != self.sample_dim or dims[-2:] != self.spatial:
            raise UnsupportedArrayError(
                f"latents are read of arrays ({self.sample_dim}, ..., {', '.join(self.spatial)}); "
                f"{name!r} is ({', '.join(dims)})"
            )
        grid = tuple(-(-n // c) for n, c in zip(array.shape, chain.chunks, strict=True))
        source = chunk_sources.LatentChunks(Placement(array, chain, objects_of(array.store)), grid)
        try:
            first = source.first()
        except (FrazilError, ValueError, RuntimeError) as error:
            raise located_error(error, f"variable {name!r}") from error
        counts = (math.prod(grid[1:-2]), *grid[-2:])
        shape = (array.shape[0], *(n * c for n, c in zip(counts, first.shape[1:], strict=True)))
        described = StoredArray(
            name,
            (dims[0], "latent", *dims[-2:]),
            shape,
            tuple(first.shape),
            first.dtype,
            dict(self.contents.raw[name].attrs),
        )
        return Variable(described, source, None, None, (1, 1, 1, 1), shape, tuple(first.shape))

    def coordinate(self, dim: str) -> npt.NDArray[Any] | None:
        """Return decoded values of a dimension's coordinate, at the level."""
        coords = self.contents.coords
        if not self.decode and dim in self.spatial:  # along which latents count blocks
            return None
        if dim not in coords.variables or coords[dim].ndim != 1:
            return None
        values = np.asarray(coords[dim].values)
        return values[self.points(dim)] if self.level and dim in self.spatial else values

    def points(self, dim: str) -> npt.NDArray[np.intp]:
        """Points of the full resolution that those of a dimension stand for."""
        holders = [name for name in self.contents.names if dim in self.dims(name)]
        if not holders:
            raise StoreError(f"no variable has the dimension {dim!r}")
        if self.level and dim in self.spatial:
            if dim not in self._points:
                self.variable(holders[0])
            return self._points[dim][1]
        return np.arange(self.contents.raw.sizes[dim], dtype=np.intp)

    def reduces(self, name: str) -> bool:
        """Whether a variable's chunks are decoded at a level from a part of their bytes."""
        from frazil.data.stores.direct import find_chain

        self._check_name(name)
        if self.contents.group is None:
            return False
        array: Any = self.contents.group[name]
        return self._is_planar(name) and _is_ours_alone(find_chain(array))

    def _is_planar(self, name: str) -> bool:
        dims = self.dims(name)
        return len(dims) >= 2 and set(dims[-2:]) == set(self.spatial)

    def count(self, name: str, coords: Coords, *, each: bool) -> None:
        """Count a decoded chunk."""
        with self._counting:
            self.decoded += 1
            if each:
                self.decodes[name, coords] = self.decodes.get((name, coords), 0) + 1

    def tried(self, tries: int, error: BaseException) -> None:  # noqa: ARG002 - what Retries calls
        """Count another try."""
        with self._counting:
            self.retried += 1


def _is_ours_alone(chain: Any) -> bool:
    return chain is not None and chain.planes is not None and not chain.codecs
