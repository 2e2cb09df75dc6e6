"""Count, mean and variance of many chunks, merged in an order that does not depend on who computes them."""

from __future__ import annotations

import itertools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from frazil.data.channels import Channel
    from frazil.data.stores import StoredArray, StoreReader

    Coords = tuple[int, ...]
    Run = tuple[str, list[Coords]]

_RUN = 32  # chunks that are summed up before they are merged; a part of the result's definition


@dataclass(frozen=True)
class Moments:
    """Of some values: how many, their mean, and the sum of squared deviations from it.

    Parameters
    ----------
    count : int
    mean, squares : float

    Examples
    --------
    >>> import numpy as np
    >>> Moments.of(np.array([1.0, 2, np.nan])) + Moments.of(np.array([3.0]))
    Moments(count=3, mean=2.0, squares=2.0)
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Moments:
        """Of finite values, in float64; deviations are taken from one of them, so a constant has none."""
        finite = np.isfinite(values)
        kept = values.ravel() if finite.all() else values[finite]
        if not kept.size:
            return cls()
        start = float(kept[0])
        shifted = np.subtract(kept, start, dtype=np.float64)
        shift = float(shifted.sum()) / kept.size
        shifted -= shift
        np.multiply(shifted, shifted, out=shifted)
        return cls(int(kept.size), start + shift, float(shifted.sum()))

    @property
    def sd(self) -> float:
        """Standard deviation of the population; 0 for no values."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0

    def __add__(self, other: Moments) -> Moments:
        """Merge two disjoint sets of values (Chan, Golub & LeVeque, 1983)."""
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        return Moments(
            count, mean, self.squares + other.squares + delta * delta * (self.count / count) * other.count
        )


def moments_of(
    reader: StoreReader, channels: Sequence[Channel], *, client: Any = None, threads: int | None = None
) -> list[Moments]:
    """Moments of each channel; the same bits whatever ``client`` and ``threads`` are.

    Parameters
    ----------
    reader : StoreReader
    channels : sequence of Channel
    client : distributed.Client, optional
    threads : int, optional
        Of this process, without a client.
    """
    wanted: dict[str, list[Coords]] = {}
    for channel in channels:
        wanted.setdefault(channel.variable, []).append(channel.at)
    runs = [run for name, at in wanted.items() for run in _runs(reader, name, at)]
    if client is not None:
        shared = client.scatter(reader, hash=False)  # once, however large a Dataset it may hold
        at = [wanted[name] for name, _ in runs]
        futures = client.map(_of_run, [shared] * len(runs), runs, at, pure=False)
        parts: Any = client.gather(futures)
    else:
        workers = threads or min(len(_cpus()), 16)
        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(lambda run: _of_run(reader, run, wanted[run[0]]), runs))
    totals: dict[tuple[str, Coords], Moments] = {}
    for (name, _), part in zip(runs, parts, strict=True):
        for at, moments in part.items():
            totals[name, at] = totals.get((name, at), Moments()) + moments
    return [totals.get((c.variable, c.at), Moments()) for c in channels]


def _cpus() -> Any:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


def _runs(reader: StoreReader, name: str, at: list[Coords]) -> Iterator[Run]:
    """Chunks of a variable that hold any of the indices ``at`` of its further axes, some at a time."""
    array = reader.array(name)
    further = _further(array, reader)
    needed = {
        tuple(index // array.chunks[axis] for index, axis in zip(place, further, strict=True)) for place in at
    }
    chunks = (
        coords for coords in np.ndindex(*array.grid) if tuple(coords[axis] for axis in further) in needed
    )
    while run := list(itertools.islice(chunks, _RUN)):
        yield name, run


def _of_run(reader: StoreReader, run: Run, at: list[Coords]) -> dict[Coords, Moments]:
    name, chunks = run
    array = reader.array(name)
    further = _further(array, reader)
    found: dict[Coords, Moments] = {}
    for coords in chunks:
        values = reader.read_chunk(name, coords)
        for place in at:
            inside = [i - coords[axis] * array.chunks[axis] for i, axis in zip(place, further, strict=True)]
            if all(0 <= i < values.shape[axis] for i, axis in zip(inside, further, strict=True)):
                part: list[Any] = [slice(None)] * values.ndim
                for i, axis in zip(inside, further, strict=True):
                    part[axis] = i
                found[place] = found.get(place, Moments()) + Moments.of(values[tuple(part)])
    return found


def _further(array: StoredArray, reader: StoreReader) -> list[int]:
    from frazil.data.channels import further_dims

    return [array.dims.index(dim) for dim in further_dims(array, reader)]
