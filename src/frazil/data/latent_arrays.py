"""The numbers of a learned codec as an array, which reads and decodes chunks when it is sliced."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import UnsupportedArrayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import zarr

    from frazil.codecs.learned import LearnedCodec
    from frazil.data.stores.placement import Coords, Placement

    Ints = npt.NDArray[np.int32]

POINTS = -2  # an axis of channels right before the last, which counts points


@dataclass(frozen=True, eq=False)
class Latents:
    """What dask slices: the numbers of an array, shape (leading axes, k, blocks along y and x).

    Parameters
    ----------
    array : zarr.Array
    codec : LearnedCodec
    extent, chunk : tuple of int
        Shape of the array, and of what is encoded at once.
    """

    array: zarr.Array[Any]
    codec: LearnedCodec
    extent: tuple[int, ...]
    chunk: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check that chunks hold all channels."""
        if self.channel is not None and self.chunk[self.channel] % self.channels:
            raise UnsupportedArrayError(
                f"chunks of shape {self.chunk} do not hold all {self.channels} channels of the model, which "
                f"are axis {self.channel - len(self.chunk)}"
            )
        self.codec.blocks_of(self.chunk)  # raises where the model does not fit at all

    def __getstate__(self) -> dict[str, Any]:
        """Pickle what to read, and the model with it; nothing that is open."""
        return {name: getattr(self, name) for name in ("array", "codec", "extent", "chunk")}

    @property
    def channels(self) -> int:
        """Channels of the model."""
        return self.codec.found.decoder.channels

    @property
    def in_rows(self) -> bool:
        """Whether the last axis counts points without an order in space."""
        return self.codec.found.decoder.axis == POINTS

    @property
    def channel(self) -> int | None:
        """The axis of the channels; None where the array has too few axes to have one."""
        axis, rank = self.codec.found.decoder.axis, len(self.chunk)
        return rank + axis if rank >= -axis else None

    @cached_property
    def axes(self) -> list[tuple[int, int]]:
        """Axes of the array along which there are several numbers, each with the points that one stands for.

        Leading ones, the last of them the channels' if it holds them more than once; then those of space.
        """
        rank, factor = len(self.chunk), self.codec.found.decoder.factor
        space = 1 if self.in_rows else min(2, rank)
        lead = [(axis, 1) for axis in range(rank - space) if axis != self.channel]
        if self.channel is not None and self.extent[self.channel] > self.channels:
            lead.append((self.channel, self.channels))
        unit = factor * factor if self.in_rows else factor
        return lead + [(axis, unit) for axis in range(rank - space, rank)]

    @property
    def space(self) -> int:
        """How many of `axes` are those of space."""
        return 1 if self.in_rows else min(2, len(self.chunk))

    def positions(self, axis: int, unit: int) -> npt.NDArray[np.intp]:
        """First points along an axis of the array that numbers stand for."""
        length, chunk = self.extent[axis], self.chunk[axis]
        starts = (np.arange(start, min(start + chunk, length), unit) for start in range(0, length, chunk))
        return np.concatenate([np.zeros(0, np.intp), *starts]).astype(np.intp)

    @cached_property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Lengths of the chunks along each axis, as dask writes them."""
        own = []
        for axis, unit in self.axes:
            length, chunk = self.extent[axis], self.chunk[axis]
            starts = range(0, length, chunk)
            own.append(tuple(-(-min(chunk, length - start) // unit) for start in starts) or (0,))
        own.insert(len(own) - self.space, (self.codec.found.decoder.inputs,))
        return tuple(own)

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers along each axis."""
        return tuple(map(sum, self.chunks))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.chunks)

    @property
    def dtype(self) -> np.dtype[np.int32]:
        """Of whole numbers."""
        return np.dtype(np.int32)

    def __getitem__(self, selection: Any) -> Ints:
        """Read the chunks that a basic ``selection`` touches."""
        parts = selection if isinstance(selection, tuple) else (selection,)
        parts += (slice(None),) * (self.ndim - len(parts))
        wanted = [
            range(n)[part] if isinstance(part, slice) else range(n)[part : part + 1 or None]
            for part, n in zip(parts, self.shape, strict=True)
        ]
        spans = [(min(one), max(one) + 1) if one else (0, 0) for one in wanted]
        window = np.zeros([high - low for low, high in spans], np.int32)
        for place, at in self._touched(spans):
            loaded = self._load(place)
            source, target = [], []
            for (low, high), start, length in zip(spans, at, loaded.shape, strict=True):
                first, last = max(low, start), min(high, start + length)
                source.append(slice(first - start, last - start))
                target.append(slice(first - low, last - low))
            window[tuple(target)] = loaded[tuple(source)]
        picked = [
            np.array(one, np.intp) - low if isinstance(part, slice) else 0
            for part, one, (low, _) in zip(parts, wanted, spans, strict=True)
        ]
        for axis in reversed(range(self.ndim)):
            window = window.take(picked[axis], axis)
        return window

    def _touched(self, spans: list[tuple[int, int]]) -> Iterator[tuple[Coords, tuple[int, ...]]]:
        """Chunks within spans: their places in the array's grid, and where their numbers begin."""
        choices = []
        for (low, high), lengths in zip(spans, self.chunks, strict=True):
            starts = [0, *itertools.accumulate(lengths)]
            choices.append(
                [(k, starts[k]) for k, n in enumerate(lengths) if starts[k] < high and starts[k] + n > low]
            )
        for chosen in itertools.product(*choices):
            own = [k for k, _ in chosen]
            del own[len(own) - self.space - 1]  # the latents, which no chunk divides
            coords = [0] * len(self.chunk)
            for (axis, _), k in zip(self.axes, own, strict=True):
                coords[axis] = k
            yield tuple(coords), tuple(start for _, start in chosen)

    @cached_property
    def _placement(self) -> Placement:
        from frazil.data.stores.direct import find_chain
        from frazil.data.stores.objects import objects_of
        from frazil.data.stores.placement import Placement

        chain: Any = find_chain(self.array)
        return Placement(self.array, chain, objects_of(self.array.store))

    def _load(self, coords: Coords) -> Ints:
        """Read the numbers of one chunk, without what lies beyond the array's edge."""
        try:
            data: Any = self._placement.read(coords)
            for codec in self._placement.chain.codecs if data is not None else ():
                data = codec.decode(data)
            if data is None:
                data = self.codec.encode(self._empty())
            found = self.codec.decode_latents(data, shape=self.chunk, dtype=np.dtype(self.array.dtype))
        except Exception as error:
            error.add_note(f"array {self.array.path!r}, chunk {coords}")
            raise
        lead = [axis for axis in range(len(self.chunk) - self.space) if axis != self.channel]
        groups = [] if self.channel is None else [self.chunk[self.channel] // self.channels]
        rest = found.shape[2:] if self.space == 2 else found.shape[3:]
        whole = found.reshape(*(self.chunk[axis] for axis in lead), *groups, found.shape[1], *rest)
        if groups and self.channel not in dict(self.axes):  # the array has the channels once
            whole = np.take(whole, 0, axis=len(lead))
        kept = []
        for axis, unit in self.axes:
            length, chunk, k = self.extent[axis], self.chunk[axis], coords[axis]
            kept.append(slice(-(-min(chunk, length - k * chunk) // unit)))
        kept.insert(len(kept) - self.space, slice(None))
        return whole[tuple(kept)]

    def _empty(self) -> npt.NDArray[Any]:
        """Make what a chunk that is not stored stands for: the fill value; where that is a gap, the mean."""
        dtype = np.dtype(self.array.dtype)
        fill = self.array.fill_value
        fill = np.zeros((), dtype)[()] if fill is None else fill
        known = self.array.metadata.zarr_format == 2 and fill not in self.codec.sentinels()
        if known and np.isfinite(fill):
            return np.full(self.chunk, fill, dtype)
        means = np.asarray(self.codec.found.decoder.offset)
        means = np.rint(means) if dtype.kind in "iu" else means
        if self.channel is None:
            return np.full(self.chunk, means[0], dtype)
        repeated = np.resize(means, self.chunk[self.channel]).astype(dtype)
        shape = [-1 if axis == self.channel else 1 for axis in range(len(self.chunk))]
        return np.broadcast_to(repeated.reshape(shape), self.chunk).copy()
