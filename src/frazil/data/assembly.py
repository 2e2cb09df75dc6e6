"""Put samples together: which chunks they need, and where each point goes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.pool import Piece
from frazil.errors import FrazilError, UnsupportedArrayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from frazil.data.channels import Channel
    from frazil.data.pool import Key
    from frazil.data.stores import StoreReader
    from frazil.data.windows import SamplePlan

    Slices = tuple[slice, ...]
    Area = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Column:
    """The part of a patch that lies in one chunk of a variable, for any step.

    Parameters
    ----------
    coords : tuple of int
        Chunk along the array's axes, with 0 for that of the samples.
    channels : tuple of (int, tuple of int)
        Number of a channel in the batch, and where it lies in the chunk along the further axes.
    source, target : tuple of slice
        Points along the spatial axes, in the chunk and in the patch.
    """

    coords: tuple[int, ...]
    channels: tuple[tuple[int, tuple[int, ...]], ...]
    source: Slices
    target: Slices


@dataclass(frozen=True)
class Layer:
    """What a variable gives to a batch.

    Parameters
    ----------
    name : str
    axes : tuple of int
        The array's axes in the order samples, further ones, spatial ones.
    steps : int
        Steps of the sample axis in a chunk.
    columns : tuple of tuple of Column
        For each patch.
    """

    name: str
    axes: tuple[int, ...]
    steps: int
    columns: tuple[tuple[Column, ...], ...]

    def key(self, column: Column, chunk: int) -> Key:
        """Key of a column's chunk, by its number along the samples."""
        coords = list(column.coords)
        coords[self.axes[0]] = chunk
        return self.name, tuple(coords)


@dataclass(frozen=True)
class Fields:
    """Values of a batch.

    Parameters
    ----------
    values : ndarray
        Shape (samples, steps, channels, *space).
    valid : ndarray of bool
        Of that shape; False where there was no value. Read-only where everything is valid.
    errors : dict of int to str
        Samples that touch a chunk that could not be read, and why.
    """

    values: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]
    errors: Mapping[int, str]


class Assembly:
    """How the samples of a plan are made of the chunks of a store.

    Parameters
    ----------
    reader : StoreReader
    channels : tuple of Channel
    plan : SamplePlan
    offsets : sequence of int
        Steps of a window that are wanted, from the anchor.
    patches : sequence, optional
        [low, high) along each spatial axis for each patch, in points of the reader; default the plan's.
    scale : (inverse, mean), optional
        For each channel; values become ``(value - mean) * inverse``.
    missing : float
        Takes the place of NaN.
    dtype : dtype
        Of the batch.
    """

    def __init__(
        self,
        reader: StoreReader,
        channels: Sequence[Channel],
        plan: SamplePlan,
        *,
        offsets: Sequence[int] | None = None,
        patches: Sequence[Area] | None = None,
        scale: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None,
        missing: float = 0.0,
        dtype: Any = np.float32,
    ) -> None:
        self.reader, self.channels, self.plan = reader, tuple(channels), plan
        self.offsets = np.asarray(plan.offsets if offsets is None else offsets, np.int64)
        self.patches = tuple(plan.patches if patches is None else patches)
        self.scale, self.missing, self.dtype = scale, missing, np.dtype(dtype)
        names = dict.fromkeys(channel.variable for channel in self.channels)
        self.layers = tuple(self._layer(name) for name in names)
        self._hulls = {
            (layer.name, column.coords): _hull(layer, column)
            for layer in self.layers
            for column in layer.columns[0]
            if len(self.patches) == 1
        }
        self._axes = {layer.name: layer.axes[0] for layer in self.layers}

    @property
    def shape(self) -> tuple[int, ...]:
        """Steps, channels and points of a sample."""
        space = tuple(high - low for low, high in self.patches[0])
        return (len(self.offsets), len(self.channels), *space)

    def of_channels(self, numbers: Sequence[int]) -> Assembly:
        """Return the same for some of the channels, in the order given."""
        scale = None if self.scale is None else (self.scale[0][list(numbers)], self.scale[1][list(numbers)])
        return Assembly(
            self.reader,
            [self.channels[number] for number in numbers],
            self.plan,
            offsets=self.offsets.tolist(),
            patches=self.patches,
            scale=scale,
            missing=self.missing,
            dtype=self.dtype,
        )

    def _layer(self, name: str) -> Layer:
        array, reader = self.reader.array(name), self.reader
        for dim in (reader.sample_dim, *reader.spatial):
            if dim not in array.dims:
                raise UnsupportedArrayError(
                    f"{name!r} has the axes {array.dims}, without {dim!r}; name it among statics= if it is "
                    "the same for all samples, or leave it out of variables="
                )
        sample, space = array.dims.index(reader.sample_dim), [array.dims.index(dim) for dim in reader.spatial]
        further = [axis for axis in range(len(array.dims)) if axis != sample and axis not in space]
        members: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = {}
        for number, channel in enumerate(self.channels):
            if channel.variable == name:
                pairs = [divmod(at, array.chunks[axis]) for at, axis in zip(channel.at, further, strict=True)]
                members.setdefault(tuple(p[0] for p in pairs), []).append(
                    (number, tuple(p[1] for p in pairs))
                )
        columns = []
        for patch in self.patches:
            spans = [_spans(low, high, array.chunks[a]) for a, (low, high) in zip(space, patch, strict=True)]
            found = []
            for (chunk, inside), parts in itertools.product(members.items(), itertools.product(*spans)):
                coords = [0] * len(array.dims)
                numbers, source, target = (tuple(each) for each in zip(*parts, strict=True))
                for axis, number in zip((*further, *space), (*chunk, *numbers), strict=True):
                    coords[axis] = number
                found.append(Column(tuple(coords), tuple(inside), source, target))
            columns.append(tuple(found))
        return Layer(name, (sample, *further, *space), array.chunks[sample], tuple(columns))

    def needs(self, samples: npt.NDArray[np.int64]) -> list[Key]:
        """Keys of the chunks that samples are made of, each once."""
        keys: dict[Key, None] = {}
        steps = self.plan.anchor(samples)[:, None] + self.offsets
        patches = self.plan.patch_of(samples)
        for layer in self.layers:
            chunks = steps // layer.steps
            pairs = np.stack((np.broadcast_to(patches[:, None], chunks.shape), chunks), -1).reshape(-1, 2)
            for patch, chunk in dict.fromkeys(map(tuple, pairs.tolist())):
                keys |= dict.fromkeys(layer.key(column, chunk) for column in layer.columns[patch])
        return list(keys)

    def _hull(self, key: Key) -> Slices | None:
        """Slices of a chunk that hold all that is wanted of it."""
        name, coords = key
        blank = list(coords)
        blank[self._axes[name]] = 0
        return self._hulls.get((name, tuple(blank)))

    @property
    def open_bytes(self) -> int:
        """Bytes that the chunks of ``plan.chunk`` steps take while samples are drawn from them."""
        total = 0
        for layer in self.layers:
            array = self.reader.array(layer.name)
            largest = 0
            for columns in layer.columns:
                held = 0
                for column in columns:
                    whole = math.prod(array.chunks)
                    hull = self._hulls.get((layer.name, column.coords))
                    cut = () if hull is None else zip(array.chunks, hull, strict=True)
                    part = math.prod(len(range(n)[s]) for n, s in cut) if hull else whole
                    held += part if 2 * part <= whole else whole
                largest = max(largest, held)
            total += largest * array.dtype.itemsize * -(-self.plan.chunk // layer.steps)
        return total

    def load(self, key: Key, into: npt.NDArray[Any] | None = None) -> Piece:
        """Read and decode a chunk, ``into`` an array if it fits, and cut what is wanted out of it."""
        name, coords = key
        array = self.reader.array(name)
        fits = into is not None and into.shape == array.chunk_shape(coords) and into.dtype == array.dtype
        values = self.reader.read_chunk(name, coords, into if fits else None)
        hull = self._hull(key)
        if hull is not None:
            part = values[hull]
            if 2 * part.size <= values.size:  # worth a copy, so that the rest can go
                part = part.copy()
                return Piece(part, tuple(cut.start or 0 for cut in hull), find_missing(part))
        return Piece(values, (0,) * values.ndim, find_missing(values), whole=values.base is None)

    def size(self, key: Key) -> int:
        """Bytes that a chunk takes at most: its values and, where there are NaN, which they are."""
        array = self.reader.array(key[0])
        shape = array.chunk_shape(key[1])
        each = array.dtype.itemsize + (array.dtype.kind == "f")
        hull = self._hull(key)
        part = (
            0 if hull is None else math.prod(len(range(n)[cut]) for n, cut in zip(shape, hull, strict=True))
        )
        whole = math.prod(shape)
        return whole * array.dtype.itemsize + part * each if 2 * part <= whole and hull else whole * each

    def fill(
        self, samples: npt.NDArray[np.int64], take: Callable[[Key], Piece], empty: Any = np.empty
    ) -> Fields:
        """Make a batch of samples, chunk by chunk, in memory that ``empty`` gives for a shape and a dtype."""
        values = empty((len(samples), *self.shape), self.dtype)
        target = _Target(values, self.scale, self.missing)
        errors: dict[int, str] = {}
        steps = (self.plan.anchor(samples)[:, None] + self.offsets).tolist()
        patches = self.plan.patch_of(samples).tolist()
        for layer in self.layers:
            users: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
            for sample, (patch, window) in enumerate(zip(patches, steps, strict=True)):
                for number, step in enumerate(window):
                    chunk, row = divmod(step, layer.steps)
                    users.setdefault((chunk, patch), []).append((sample, number, row))
            for (chunk, patch), members in sorted(users.items()):  # all that is wanted of a chunk at once
                for column in layer.columns[patch]:
                    piece = take(layer.key(column, chunk))
                    if piece.error:
                        errors |= {sample: piece.error for sample, _, _ in members}
                    target.place(piece, layer.axes, column, members)
        return Fields(values, target.valid, errors)


class _Target:
    """The batch that is being filled."""

    def __init__(self, values: npt.NDArray[Any], scale: Any, missing: float) -> None:
        self.values, self.scale, self.missing = values, scale, missing
        # Most fields miss nothing: one True stands for all of them.
        self.valid: npt.NDArray[np.bool_] = np.broadcast_to(np.True_, values.shape)

    def place(
        self, piece: Piece, axes: tuple[int, ...], column: Column, members: list[tuple[int, int, int]]
    ) -> None:
        """Copy what members (of the batch: sample, step; of the chunk: row) want of a chunk."""
        shift = [piece.origin[axis] for axis in axes]
        further = len(axes) - 1 - len(column.source)
        source = tuple(
            slice(cut.start - low, cut.stop - low)
            for cut, low in zip(column.source, shift[1 + further :], strict=True)
        )
        values = piece.values.transpose(axes)
        missing = None if piece.missing is None else piece.missing.transpose(axes)
        for sample, step, row in members:
            for channel, at in column.channels:
                inside = tuple(a - low for a, low in zip(at, shift[1 : 1 + further], strict=True))
                where: tuple[int | slice, ...] = (row - shift[0], *inside, *source)
                there: tuple[int | slice, ...] = (sample, step, channel, *column.target)
                target: npt.NDArray[Any] = self.values[there]
                if self.scale is None:
                    target[...] = values[where]
                else:
                    np.subtract(values[where], self.scale[1][channel], out=target, casting="same_kind")
                    np.multiply(target, self.scale[0][channel], out=target)
                if missing is not None and (gaps := missing[where]).any():
                    if not self.valid.flags.writeable:
                        self.valid = np.ones(self.values.shape, bool)
                    self.valid[there] = ~gaps
                    target[gaps] = self.missing


def find_missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Where values are NaN; None if nowhere.

    Examples
    --------
    >>> find_missing(np.zeros(3)) is None, find_missing(np.array([0, np.nan]))
    (True, array([False,  True]))
    """
    if values.dtype.kind != "f":
        return None
    with np.errstate(all="ignore"):
        if not np.isnan(np.max(values, initial=-np.inf)):  # a NaN anywhere is the maximum
            return None
    gaps = np.isnan(values)
    return gaps if gaps.any() else None


def unreadable(reader: StoreReader, key: Key, error: FrazilError) -> Piece:
    """Stand for a chunk that could not be read: NaN everywhere, in no memory to speak of."""
    array = reader.array(key[0])
    shape = array.chunk_shape(key[1])
    nothing = np.broadcast_to(np.full(1, np.nan if array.dtype.kind == "f" else 0, array.dtype), shape)
    return Piece(nothing, (0,) * len(shape), np.broadcast_to(np.True_, shape), str(error))


def _spans(low: int, high: int, chunk: int) -> list[tuple[int, slice, slice]]:
    """Chunks along an axis that [low, high) touches, with the points of each, there and in the window.

    Examples
    --------
    >>> _spans(3, 9, 4)
    [(0, slice(3, 4, None), slice(0, 1, None)),
     (1, slice(0, 4, None), slice(1, 5, None)),
     (2, slice(0, 1, None), slice(5, 6, None))]
    """
    found = []
    for number in range(low // chunk, -(-high // chunk)):
        start, stop = max(low, number * chunk), min(high, (number + 1) * chunk)
        found.append(
            (number, slice(start - number * chunk, stop - number * chunk), slice(start - low, stop - low))
        )
    return found


def _hull(layer: Layer, column: Column) -> Slices:
    """Slices of a chunk that hold all that a column needs, along the array's own axes."""
    inside = np.array([at for _, at in column.channels])
    cuts = [
        slice(None),
        *(slice(int(a.min()), int(a.max()) + 1) for a in inside.T),
        *column.source,
    ]
    hull = [slice(None)] * len(cuts)
    for axis, cut in zip(layer.axes, cuts, strict=True):
        hull[axis] = cut
    return tuple(hull)
