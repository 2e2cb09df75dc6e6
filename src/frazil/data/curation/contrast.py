"""What a selection kept beside what it dropped: numbers, histograms and mean fields, and a figure of them.

As figure 21 of the WeatherGenerator report shows it: the values of all, of the
kept and of the dropped samples, and where their means differ. A curation that
throws away a tail, a season or a region shows here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.assembly import Assembly
from frazil.data.curation.histogram import Histogram
from frazil.data.moments import Moments
from frazil.data.recent import RecentChunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from frazil.data.curation.manifest import Manifest
    from frazil.data.samples import Samples

    Ints = npt.NDArray[np.int64]

MAP = 256
"""Most points of a mean field along an axis; finer fields are averaged over blocks."""
_PART = 1 << 26  # bytes that are looked at in one go


@dataclass
class Portrait:
    """Some samples of one channel: how many, what values they have, and their mean field.

    Parameters
    ----------
    samples : int
    missing : int
        Values that are not finite.
    moments : Moments
    low, high : float
        Extremes; infinite before there was a value.
    histogram : Histogram
    total, count : float64 arrays of the map's shape
        Sums of values, and how many were summed up.
    """

    total: npt.NDArray[np.float64]
    count: npt.NDArray[np.float64]
    samples: int = 0
    missing: int = 0
    moments: Moments = field(default_factory=Moments)
    low: float = np.inf
    high: float = -np.inf
    histogram: Histogram = field(default_factory=Histogram)

    def add(self, values: npt.NDArray[Any], where: tuple[slice, ...], blocks: list[Ints]) -> None:
        """Count fields (n, *space) that lie in a part of the map, whose blocks begin at the points given."""
        if values.dtype.kind != "f":
            values = values.astype(np.float64)  # codewords
        finite = np.isfinite(values)
        good = int(finite.sum())
        self.samples += len(values)
        self.missing += values.size - good
        if not good:
            return
        self.moments += Moments.of(values)
        self.low = min(self.low, float(np.min(values, where=finite, initial=np.inf)))
        self.high = max(self.high, float(np.max(values, where=finite, initial=-np.inf)))
        self.histogram.add(values)
        sums = np.where(finite, values, 0).sum(axis=0, dtype=np.float64)
        counts = finite.sum(axis=0).astype(np.float64)
        for axis, starts in enumerate(blocks):
            sums, counts = np.add.reduceat(sums, starts, axis), np.add.reduceat(counts, starts, axis)
        self.total[where] += sums
        self.count[where] += counts

    @property
    def field(self) -> npt.NDArray[np.float64]:
        """Mean over the samples at each point of the map; NaN where there was no value."""
        with np.errstate(invalid="ignore"):
            mean: npt.NDArray[np.float64] = self.total / self.count
        return mean

    def joined(self, other: Portrait) -> Portrait:
        """All samples of two portraits."""
        histogram = Histogram()
        histogram.merge(self.histogram)
        histogram.merge(other.histogram)
        return Portrait(
            self.total + other.total,
            self.count + other.count,
            self.samples + other.samples,
            self.missing + other.missing,
            self.moments + other.moments,
            min(self.low, other.low),
            max(self.high, other.high),
            histogram,
        )


@dataclass(frozen=True)
class Contrast:
    """One channel of the kept samples and of the dropped ones.

    Parameters
    ----------
    channel, units : str
    kept, dropped : Portrait
    """

    channel: str
    units: str
    kept: Portrait
    dropped: Portrait

    @property
    def all(self) -> Portrait:
        """The original: kept and dropped together."""
        return self.kept.joined(self.dropped)

    @property
    def portraits(self) -> dict[str, Portrait]:
        """Kept, dropped and all, by these names."""
        return {"kept": self.kept, "dropped": self.dropped, "all": self.all}

    @property
    def difference(self) -> npt.NDArray[np.float64]:
        """Mean of the kept samples minus the mean of all, at each point of the map."""
        found: npt.NDArray[np.float64] = self.kept.field - self.all.field
        return found

    def numbers(self) -> dict[str, dict[str, float | int | None]]:
        """Return samples, missing values, mean, standard deviation and extremes of kept, dropped and all."""
        return {name: _numbers(portrait) for name, portrait in self.portraits.items()}


def contrast(
    samples: Samples, manifest: Manifest, *, epoch: int = 0, memory: int = 1 << 28
) -> list[Contrast]:
    """Compare what a selection kept of an epoch with what it dropped, in one pass over the store.

    Each sample counts with the last of its input steps; points are not weighted by area. Candidates that
    the epoch did not hold count as dropped.

    Parameters
    ----------
    samples : Samples
        Those that the selection was made of.
    manifest : Manifest
    epoch : int, default 0
    memory : int
        Bytes of decoded chunks that are held.

    Returns
    -------
    list of Contrast
        For each channel.

    Raises
    ------
    ConfigurationError
        If the selection was made of other samples.

    Examples
    --------
    >>> import frazil, xarray as xr
    >>> from frazil.data.samples import Samples
    >>> t2m = xr.DataArray(np.arange(80.0).reshape(20, 2, 2), dims=("time", "y", "x"), name="t2m")
    >>> samples = Samples(t2m.to_dataset(), inputs=[0], targets=[])
    >>> manifest = frazil.curate(samples, frazil.MostRecent(keep=0.5), batch_size=5, superbatch=20)
    >>> (found,) = contrast(samples, manifest)
    >>> found.kept.low, found.dropped.high, found.difference
    (40.0, 39.0, array([[20., 20.],
           [20., 20.]]))
    """
    manifest.check(samples)
    plan, names = samples.plan, samples.channels
    assembly = Assembly(
        samples.reader, names, plan, offsets=(plan.inputs[-1],), missing=float("nan"), dtype=samples.dtype
    )
    size = [max(1, -(-(high - low) // MAP)) for low, high in plan.area]
    shape = [-(-(high - low) // n) for (low, high), n in zip(plan.area, size, strict=True)]
    kept, dropped = ([Portrait(np.zeros(shape), np.zeros(shape)) for _ in names] for _ in range(2))
    chosen = manifest.kept(epoch)
    recent = RecentChunks(assembly.load, memory)
    for patch, ids in _parts(samples, _PART // max(1, 8 * int(np.prod(assembly.shape)))):
        fields = assembly.fill(ids, recent.take).values[:, 0]
        inside = np.isin(ids, chosen)
        where, blocks = _place(plan.patches[patch], plan.area, size)
        for number in range(len(names)):
            for portraits, members in ((kept, inside), (dropped, ~inside)):
                if members.any():
                    portraits[number].add(fields[members, number], where, blocks)
    units = [str(samples.reader.array(channel.variable).attrs.get("units", "")) for channel in names]
    rows = zip(names, units, kept, dropped, strict=True)
    return [Contrast(channel.name, unit, one, other) for channel, unit, one, other in rows]


def _parts(samples: Samples, size: int) -> Iterator[tuple[int, Ints]]:
    """All samples, some at a time, those of one patch and of one run of chunks together; and their patch."""
    plan = samples.plan
    ids = plan.samples
    tiles, homes = plan.homes(ids)
    ids = ids[np.lexsort((plan.patch_of(ids), homes, tiles))]
    patches = plan.patch_of(ids)
    at = 0
    while at < len(ids):
        stop = at + 1
        while stop < len(ids) and stop - at < max(1, size) and patches[stop] == patches[at]:
            stop += 1
        yield int(patches[at]), ids[at:stop]
        at = stop


def _place(
    patch: tuple[tuple[int, int], ...], area: tuple[tuple[int, int], ...], size: list[int]
) -> tuple[tuple[slice, ...], list[Ints]]:
    """Part of the map that a patch covers, and where in the patch each block of the map begins.

    Examples
    --------
    >>> _place(((3, 9),), ((1, 20),), [4])
    ((slice(0, 2, None),), [array([0, 2])])
    """
    where, blocks = [], []
    for (low, high), (start, _), n in zip(patch, area, size, strict=True):
        first, last = (low - start) // n, (high - 1 - start) // n
        where.append(slice(first, last + 1))
        blocks.append(np.maximum(np.arange(first, last + 1) * n + start - low, 0))
    return tuple(where), blocks


def _numbers(portrait: Portrait) -> dict[str, float | int | None]:
    there = portrait.moments.count > 0
    return {
        "samples": portrait.samples,
        "missing": portrait.missing,
        "mean": portrait.moments.mean if there else None,
        "sd": portrait.moments.sd if there else None,
        "min": portrait.low if there else None,
        "max": portrait.high if there else None,
    }
