"""Samples as vectors, for curators that compare them.

By default a sample is compared at a quarter of its resolution in y and x
(two levels): codecs that store resolutions in order decode a sixteenth of the
points for it. `benchmarks/curation.py` measures how far the choice differs
from that at full resolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.assembly import Assembly
from frazil.data.channels import Channel
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from frazil.data.pool import Key, Piece
    from frazil.data.samples import Samples

    Ints = npt.NDArray[np.int64]

_PIECE = 1 << 25  # bytes of fields that are averaged at a time


@dataclass(frozen=True)
class ReducedResolution:
    """Embed samples as themselves at a lower resolution.

    Parameters
    ----------
    levels : int, default 2
        Halvings in y and x below the loader's own resolution. Arrays that frazil coded are decoded there;
        others are decoded whole and averaged over blocks of ``2**levels`` points.
    points : int, default 16384
        Fields that have more of them there are averaged over 2 x 2, 4 x 4 ... of them until they have not:
        comparing costs time in proportion.
    """

    levels: int = 2
    points: int = 1 << 14

    def __post_init__(self) -> None:
        """Refuse what halves nothing."""
        if self.levels < 0:
            raise ConfigurationError(f"levels counts halvings, 0 or more; got {self.levels}")
        if self.points < 1:
            raise ConfigurationError(f"points counts those of a member's field, 1 or more; got {self.points}")

    def blocks(self, shape: tuple[int, ...], size: int = 1) -> int:
        """Points along each axis of a field that are averaged, ``size`` at least.

        Examples
        --------
        >>> ReducedResolution().blocks((181, 360)), ReducedResolution().blocks((46, 90))
        (2, 1)
        """
        while math.prod(-(-n // size) for n in shape) > self.points:
            size *= 2
        return size


@dataclass(frozen=True)
class Latents:
    """Embed samples as what a neural codec of frazil stores of them, which decodes no fields.

    For stores whose variables all have such a codec, and latents that are magnitudes: similarity between
    numbers of codewords means nothing.
    """


@dataclass(frozen=True)
class Members:
    """How the samples of a superbatch become vectors.

    Parameters
    ----------
    assembly : Assembly
        Reads the one or two steps that are compared.
    shared : bool
        Whether it reads the same chunks as the batches do.
    blocks : int
        Points along each spatial axis that are averaged.
    increments : bool
        Whether the second step's difference from the first is compared.
    function : callable, optional
        From fields of shape (n, channels, *space) to members of shape (n, ...).
    """

    assembly: Assembly
    shared: bool
    blocks: int = 1
    increments: bool = False
    function: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] | None = None

    @classmethod
    def of(cls, samples: Samples, curator: Any) -> Members:
        """Find out how a curator wants the samples.

        Raises
        ------
        ConfigurationError
            If increments are wanted of windows of one step, or ``embed`` is none of what it can be.
        UnsupportedArrayError
            If latents are wanted of variables that have none.
        """
        offsets = compared_steps(samples.plan.inputs, samples.plan.targets, curator.on)
        reader, embed, increments = samples.reader, curator.embed, len(offsets) == 2
        if embed is None:
            embed = ReducedResolution() if reader.decode else ReducedResolution(0)
        if isinstance(embed, Latents):
            if not reader.decode:
                return cls(_assembly(samples, offsets), shared=True, increments=increments)
            return cls(_of_latents(samples, offsets), shared=False, increments=increments)
        if not isinstance(embed, ReducedResolution):
            if not callable(embed):
                raise ConfigurationError(
                    "embed is a ReducedResolution, Latents() or a function of fields (n, channels, y, x); "
                    f"got {embed!r}"
                )
            return cls(_assembly(samples, offsets), shared=True, increments=increments, function=embed)
        reduced = _of_level(samples, offsets, embed.levels) if embed.levels else None
        if reduced is not None:
            blocks = embed.blocks(reduced.shape[2:])
            return cls(reduced, shared=False, increments=increments, blocks=blocks)
        whole = _assembly(samples, offsets)
        blocks = embed.blocks(whole.shape[2:], 1 << embed.levels)
        return cls(whole, shared=True, increments=increments, blocks=blocks)

    def parts(self) -> list[tuple[tuple[int, ...], Members]]:
        """Split by variable, with the numbers of its channels; not where a function wants all of them."""
        channels = self.assembly.channels
        if self.function is not None:
            return [(tuple(range(len(channels))), self)]
        names = dict.fromkeys(channel.variable for channel in channels)
        numbers = [tuple(k for k, c in enumerate(channels) if c.variable == name) for name in names]
        return [(each, replace(self, assembly=self.assembly.of_channels(each))) for each in numbers]

    def embed(self, ids: Ints, take: Callable[[Key], Piece]) -> tuple[npt.NDArray[Any], Ints]:
        """Return the members, and which of them touch a chunk that could not be read.

        Parameters
        ----------
        ids : (n,) int64
            Sample numbers.
        take : callable
            Gives the chunk of a key.

        Returns
        -------
        members : (n, channels, ...)
            NaN where there is no value.
        unread : (m,) int64
            Positions among the members.

        Raises
        ------
        ConfigurationError
            If a function returned something else than a member for each sample.
        """
        if self.function is None:
            # Chunk by chunk and some at a time: fields that are averaged need not be held all together.
            tiles, homes = self.assembly.plan.homes(ids)
            order = np.lexsort((homes, tiles))
            size = len(ids)
            if self.blocks > 1:
                each = int(np.prod(self.assembly.shape)) * self.assembly.dtype.itemsize
                size = max(1, _PIECE // each)
            parts, unread = [], np.zeros(0, np.int64)
            for at in range(0, len(ids), size):
                piece = order[at : at + size]
                fields, errors = self._fields(ids[piece], take)
                # A third axis even where a sample has no points: channels are always compared one by one.
                fields = fields if fields.ndim > 2 else fields[..., None]
                parts.append(fields if self.blocks == 1 else average_blocks(fields, self.blocks))
                unread = np.concatenate((unread, piece[errors]))
            return np.concatenate(parts)[np.argsort(order)], np.sort(unread)
        fields, unread = self._fields(ids, take)
        members = np.asarray(self.function(fields))
        if members.ndim < 2 or len(members) != len(ids):
            raise ConfigurationError(
                f"embed returned shape {members.shape} for {len(ids)} samples; it has to return one row or "
                "more axes for each, in their order"
            )
        return members, unread

    def _fields(self, ids: Ints, take: Callable[[Key], Piece]) -> tuple[npt.NDArray[Any], Ints]:
        """Fill the fields or increments of samples, and say which could not be read."""
        found = self.assembly.fill(ids, take)
        values = found.values
        fields = values[:, 1] - values[:, 0] if self.increments else values[:, 0]
        return fields, np.array(sorted(found.errors), np.int64)


def compared_steps(inputs: tuple[int, ...], targets: tuple[int, ...], on: str) -> tuple[int, ...]:
    """Offsets of the steps that stand for a sample: the last input, for increments the one before it as well.

    Examples
    --------
    >>> compared_steps((-1, 0), (1,), "fields"), compared_steps((-1, 0), (1,), "increments")
    ((0,), (-1, 0))
    >>> compared_steps((0,), (1,), "increments")
    (0, 1)
    """
    if on == "fields":
        return (inputs[-1],)
    if len(inputs) > 1:
        return inputs[-2:]
    if targets:
        return (inputs[-1], targets[0])
    raise ConfigurationError(
        "increments are differences of two steps, and the windows have one: give inputs=[-1, 0]"
    )


def average_blocks(fields: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Means over blocks of ``size`` points along each axis behind the second; NaN do not count.

    Examples
    --------
    >>> average_blocks(np.arange(6.0).reshape(1, 1, 6), 4)
    array([[[1.5, 4.5]]])
    """
    space = fields.shape[2:]
    means = np.empty((*fields.shape[:2], *(-(-n // size) for n in space)), fields.dtype)
    for place in np.ndindex(fields.shape[:2]):  # field by field: each stays in the processor's cache
        means[place] = _block_means(fields[place], size)
    return means


def _block_means(field: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    with np.errstate(all="ignore"):
        whole = np.isfinite(np.sum(field))
    total, count = (field, None) if whole else (np.where(np.isnan(field), 0, field), ~np.isnan(field))
    for axis in range(field.ndim):
        total = _sums(total, size, axis)
        count = None if count is None else _sums(count.astype(field.dtype), size, axis)
    if count is None:
        lengths = [np.diff([*range(0, n, size), n]).astype(field.dtype) for n in field.shape]
        count = reduce(np.multiply.outer, lengths)
    with np.errstate(invalid="ignore"):
        means: npt.NDArray[Any] = total / count
    return means


def _sums(values: npt.NDArray[Any], size: int, axis: int) -> npt.NDArray[Any]:
    """Add up ``size`` neighbours along an axis, at its end fewer where they do not come out even."""
    values = np.moveaxis(values, axis, 0)
    found = values[::size].copy()
    for shift in range(1, size):
        part = values[shift::size]
        found[: len(part)] += part
    return np.moveaxis(found, 0, axis)


def _assembly(samples: Samples, offsets: tuple[int, ...], **changes: Any) -> Assembly:
    # NaN stay NaN: the curator knows what to do with them. Its z-scores make the loader's needless.
    settings: dict[str, Any] = {"reader": samples.reader, "channels": samples.channels} | changes
    return Assembly(plan=samples.plan, offsets=offsets, missing=float("nan"), **settings)


def _of_level(samples: Samples, offsets: tuple[int, ...], levels: int) -> Assembly | None:
    """Read at a lower resolution, where that takes less than decoding all; None where it does not."""
    reader = samples.reader
    if not reader.decode or not reader.reduces({c.variable for c in samples.channels}):
        return None
    small = reader.at_level(reader.level + levels)
    try:
        points = [(reader.points(dim), small.points(dim)) for dim in reader.spatial]
        for name in {channel.variable for channel in samples.channels}:
            small.array(name)
    except ConfigurationError:  # chunks of which a level keeps other points for one variable than for another
        return None
    spans = [
        [_reduced(low, high, *pair) for (low, high), pair in zip(patch, points, strict=True)]
        for patch in samples.plan.patches
    ]
    return _assembly(samples, offsets, reader=small, patches=_alike(spans))


def _of_latents(samples: Samples, offsets: tuple[int, ...]) -> Assembly:
    """Read latents where the samples are fields; all of a variable's latents stand for its channels."""
    reader = samples.reader.as_latents()
    names = dict.fromkeys(channel.variable for channel in samples.channels)
    arrays = [reader.array(name) for name in names]
    if len({array.shape[2:] for array in arrays}) > 1:
        sizes_of = ", ".join(f"{a.name} {a.shape[2]} x {a.shape[3]}" for a in arrays)
        raise ConfigurationError(f"the variables' latents differ in size ({sizes_of}); curate by one of them")
    channels = [Channel(f"{a.name}@{k}", a.name, (k,)) for a in arrays for k in range(a.shape[1])]
    sizes = [len(samples.reader.points(dim)) for dim in reader.spatial]
    spans = [
        [
            (low * n // size, -(-high * n // size))
            for (low, high), n, size in zip(patch, arrays[0].shape[2:], sizes, strict=True)
        ]
        for patch in samples.plan.patches
    ]
    return _assembly(samples, offsets, reader=reader, channels=channels, patches=_alike(spans))


def _alike(patches: list[list[tuple[int, int]]]) -> list[tuple[tuple[int, int], ...]]:
    """Cut patches to the size of the smallest of them, so that their members can be compared."""
    smallest = [min(high - low for low, high in axis) for axis in zip(*patches, strict=True)]
    return [
        tuple((low, low + size) for (low, _), size in zip(patch, smallest, strict=True)) for patch in patches
    ]


def _reduced(
    low: int, high: int, points: npt.NDArray[np.intp], small: npt.NDArray[np.intp]
) -> tuple[int, int]:
    """Range of a reduced axis whose samples lie in [low, high) of the other; at least one."""
    first, stop = np.searchsorted(small, (points[low], points[high - 1] + 1))
    first = min(int(first), len(small) - 1)
    return first, max(int(stop), first + 1)
