"""Find on a few chunks the ratio that suits all of them, so that the writing need not search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil import bounds, masks
from frazil.chunk_bounds import SUFFIX
from frazil.errors import ConfigurationError, NoRoomError
from frazil.planes import to_planes
from frazil.transcode import assign, plan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import xarray as xr

    from frazil.bounds import Bound
    from frazil.codecs.bounded import Bounded
    from frazil.residuals.scaled import Levels
    from frazil.transcode import Region

DIGITS = 3  # of the ratio: the minimum is flat


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What was found.

    Parameters
    ----------
    ratio : float
        Bytes of a chunk over bytes of its JPEG 2000 part.
    codec : Bounded
        With that ratio.
    chunks, tried : int
        Of the variable, and how many of them were encoded.
    raw, stored : int
        Bytes of the latter before and after; masks of missing values are not counted.
    """

    ratio: float
    codec: Bounded
    chunks: int
    tried: int
    raw: int
    stored: int


def tune(
    source: str | Path,
    variable: str,
    bound: float | str,
    *,
    chunks: Mapping[str, int] | None = None,
    sample: int = 8,
) -> Tuned:
    """Find the JPEG 2000 ratio with which ``residual="mask"`` takes the fewest bytes for a variable.

    Parameters
    ----------
    source : str or Path
        NetCDF file or Zarr store, a path or a URL.
    variable : str
    bound : float or str
        As `frazil.Bounded` takes it. The bounds of "array" are looked for in
        ``<variable>_bound``; the range of "rel:...:array" is that of the sample.
    chunks : mapping of str to int
        Chunk lengths by dimension, as `frazil.transcode` takes them.
    sample : int
        Chunks to try, evenly spaced over the variable.

    Returns
    -------
    Tuned

    Raises
    ------
    ConfigurationError
        If the variable is not there, or no chunk of the sample can be encoded this way.
    StoreError
        If the source cannot be read.
    """
    from frazil.codecs.bounded import Bounded
    from frazil.codecs.jp2k import JP2K
    from frazil.residuals import mask
    from frazil.sources import open_source

    if sample < 1:
        raise ConfigurationError(f"tuning needs a sample of at least one chunk, got {sample}")
    limit = bounds.parse(bound)
    with open_source(source) as ds:
        job = next(
            job for job in assign(ds, None, {variable: JP2K(ratio=2)}, chunks=chunks) if job.name == variable
        )
        regions = plan(job.shape, job.chunks, job.itemsize, limit=1)
        spaced = np.linspace(0, len(regions) - 1, min(sample, len(regions))).round().astype(int)
        given = _beside(ds, variable) if limit.kind == "array" else None
        read = [_Chunk.of(ds[variable], given, regions[i]) for i in spaced]
    levels = _levels(read, limit)
    if not levels:
        raise ConfigurationError(
            f"none of {len(read)} chunks of {variable!r} can be coded this way within {limit.text}: they are "
            "empty or constant, or the bound is too small; leave the choice to frazil.Bounded(bound=...)"
        )
    found, _ = mask.search(levels)
    ratio = float(f"{found:.{DIGITS}g}")
    stored = sum(len(mask.write(chunk, ratio)[0]) for chunk in levels)
    return Tuned(
        ratio=ratio,
        codec=Bounded(
            bound=limit.value if limit.kind == "abs" else bound, base=JP2K(ratio=ratio), residual="mask"
        ),
        chunks=len(regions),
        tried=len(levels),
        raw=sum(chunk.nbytes for chunk in levels),
        stored=stored,
    )


@dataclass(frozen=True)
class _Chunk:
    """Planes without gaps, where they hold data, and their bounds if they have some of their own."""

    planes: np.ndarray[Any, Any]
    valid: np.ndarray[Any, Any] | None
    given: np.ndarray[Any, Any] | None

    @classmethod
    def of(cls, data: xr.DataArray, given: xr.DataArray | None, region: Region) -> _Chunk:
        place = tuple(slice(a, b) for a, b in region)
        planes, payload = masks.split(to_planes(np.asarray(data[place].values)), [])
        valid = masks.valid(payload, planes.shape, planes.dtype) if payload else None
        return cls(planes, valid, None if given is None else given[place].values)


def _beside(ds: xr.Dataset, variable: str) -> xr.DataArray:
    name = variable + SUFFIX
    if name not in ds or ds[name].shape != ds[variable].shape:
        raise ConfigurationError(f'bound "array" needs a variable {name!r} of the shape of {variable!r}')
    return ds[name]


def _levels(chunks: list[_Chunk], limit: Bound) -> list[Levels]:
    """Scale what can be scaled."""
    from frazil.residuals.scaled import Levels

    if limit.whole:
        known = [c.planes if c.valid is None else c.planes[c.valid] for c in chunks]
        ends = [end(part) for part in known if part.size for end in (np.min, np.max)]
        limit = bounds.parse(float(limit.value * np.ptp(np.array(ends, float))) if ends else 0.0)
    found = []
    for chunk in chunks:
        allowed = limit.resolve(chunk.planes, chunk.valid, given=chunk.given)
        try:
            levels = Levels.of(chunk.planes, allowed, chunk.valid)
        except NoRoomError:
            continue
        if not levels.constant:
            found.append(levels)
    return found
