"""Store to store: which variable gets which codec, and the writing of it region by region.

`assign` and `plan` are pure: names, integers and tuples in and out.
`run` acts. What it holds in memory is one region, whatever the size of the array.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from frazil.chunk_bounds import SUFFIX
from frazil.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping
    from pathlib import Path

    import xarray as xr

    from frazil.codecs.base import PlaneCodec
    from frazil.prefix import Layout

Region = tuple[tuple[int, int], ...]

REGION_BYTES = 64 << 20  # several chunks, so that all cores have one
SMALL_BYTES = 64 << 10
CF_KEYS = ("dtype", "scale_factor", "add_offset", "_FillValue", "missing_value", "units", "calendar")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One variable: what is written, and how.

    Parameters
    ----------
    name : str
    shape, chunks : tuple of int
        Of the variable, and of its chunks in the destination.
    itemsize : int
        Bytes of one value.
    numeric : bool
        Whether the values are numbers or dates, not text or objects.
    codec : PlaneCodec or None
        None for lossless.
    reason : str
        Why this codec, in words: "asked for", "a coordinate", "small", ...
    """

    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    itemsize: int
    numeric: bool
    codec: PlaneCodec | None
    reason: str

    @property
    def raw(self) -> int:
        """Bytes of the variable, uncompressed."""
        return math.prod(self.shape) * self.itemsize

    @property
    def eager(self) -> bool:
        """Whether the variable is written in one go with the metadata: small ones are."""
        return not self.shape or (self.codec is None and self.raw <= REGION_BYTES)


@dataclass(frozen=True, kw_only=True)
class Done:
    """One region of one variable is written: its bytes before and after."""

    name: str
    raw: int
    stored: int


def plan(
    shape: tuple[int, ...], chunks: tuple[int, ...], itemsize: int, limit: int = REGION_BYTES
) -> list[Region]:
    """Cut an array into regions of whole chunks, each of at most ``limit`` bytes or one chunk.

    Parameters
    ----------
    shape, chunks : tuple of int
        Of the array and of its chunks (or shards).
    itemsize : int
        Bytes of one value.
    limit : int
        Bytes.

    Returns
    -------
    list of tuple of (start, stop)
        In C order; together they cover every point once.

    Examples
    --------
    >>> plan((3, 721, 1440), (1, 721, 1440), 4, limit=10_000_000)
    [((0, 2), (0, 721), (0, 1440)), ((2, 3), (0, 721), (0, 1440))]
    """
    step = list(chunks)
    for axis in reversed(range(len(shape))):
        room = limit // max(1, math.prod(step) * itemsize)
        step[axis] *= max(1, min(-(-shape[axis] // step[axis]), room))
        if step[axis] < shape[axis]:
            break
    starts = itertools.product(*(range(0, n, s) for n, s in zip(shape, step, strict=True)))
    return [tuple((a, min(a + s, n)) for a, s, n in zip(at, step, shape, strict=True)) for at in starts]


def assign(
    ds: xr.Dataset,
    codec: PlaneCodec | None,
    named: Mapping[str, PlaneCodec | None] | None = None,
    *,
    chunks: Mapping[str, int] | None = None,
) -> list[Job]:
    """Decide for each variable of ``ds`` whether it gets a codec, and how it is cut.

    Lossless stay, unless they are named: coordinates and their bounds, flags
    (``flag_values``, ``flag_masks``), variables of fewer than two axes or
    less than 64 KiB, dtypes that the codec does not hold, and ``<name>_bound``
    where the codec of ``<name>`` takes its bounds from there.

    Parameters
    ----------
    ds : xarray.Dataset
    codec : PlaneCodec or None
        For all variables that are not in ``named``; None for lossless.
    named : mapping of str to PlaneCodec or None
        For single variables.
    chunks : mapping of str to int
        Chunk lengths by dimension; -1 is the whole axis. Other axes get the source's chunks where the
        source is Zarr, and `frazil.access.default_chunks` where it is not.

    Raises
    ------
    ConfigurationError
        If a named variable or dimension is not there.
    UnsupportedArrayError
        If a named variable has a dtype that its codec does not hold.
    """
    named, chunks = dict(named or {}), dict(chunks or {})
    _check_names(named, ds.variables, "variable")
    _check_names(chunks, ds.sizes, "dimension")
    metadata = _metadata_names(ds)
    beside = _bounds_names(ds, codec, named)
    jobs = []
    for name, variable in ds.variables.items():
        key = str(name)
        chosen, reason = codec, ""
        if key in named:
            chosen, reason = named[key], "asked for"
            if chosen is not None:
                chosen.check_dtype(variable.dtype)
        elif chosen is None:
            reason = "no codec given"
        elif key in beside:
            chosen, reason = None, f"bounds of {key.removesuffix(SUFFIX)}"
        else:
            reason = _why_lossless(ds, key, metadata, chosen)
            chosen = None if reason else chosen
        small = variable.nbytes <= SMALL_BYTES
        jobs.append(
            Job(
                name=key,
                shape=variable.shape,
                chunks=_chunks_of(variable, {} if chosen is None and small else chunks),
                itemsize=variable.dtype.itemsize,
                numeric=variable.dtype.kind in "biufmM",
                codec=chosen,
                reason=reason,
            )
        )
    return jobs


def _check_names(given: Iterable[str], known: Iterable[Any], what: str) -> None:
    known = sorted(map(str, known))
    for name in given:
        if name not in known:
            raise ConfigurationError(f"the source has no {what} {name!r}; it has {', '.join(known)}")


def _metadata_names(ds: xr.Dataset) -> set[str]:
    """Variables that describe others: bounds, grid mappings, cell measures (CF 1.12, sections 5 and 7)."""
    names = set(map(str, ds.coords))
    for variable in ds.variables.values():
        for key in ("bounds", "climatology", "grid_mapping", "cell_measures", "formula_terms"):
            text = variable.attrs.get(key, variable.encoding.get(key, ""))
            names.update(word for word in str(text).split() if word in ds.variables)
    return names


def _bounds_names(
    ds: xr.Dataset, codec: PlaneCodec | None, named: Mapping[str, PlaneCodec | None]
) -> set[str]:
    """Variables that hold the bounds of others."""
    beside = {f"{name}{SUFFIX}": named.get(str(name), codec) for name in ds.variables}
    return {name for name, keeps in beside.items() if name in ds and keeps is not None and keeps.wants_bounds}


def _why_lossless(ds: xr.Dataset, name: str, metadata: set[str], codec: PlaneCodec) -> str:
    variable = ds.variables[name]
    if name in metadata:
        return "a coordinate"
    if variable.dtype.str[1:] not in codec.dtypes:
        return f"{variable.dtype} values"
    if {"flag_values", "flag_masks", "flag_meanings"} & set(variable.attrs):
        return "flags"
    if variable.ndim < 2:
        return "one axis" if variable.ndim else "no axes"
    if variable.size * variable.dtype.itemsize < SMALL_BYTES:
        return "small"
    return ""


def _chunks_of(variable: xr.Variable, asked: Mapping[str, int]) -> tuple[int, ...]:
    from frazil.access import default_chunks

    default = default_chunks(variable.shape)
    if "compressors" in variable.encoding:  # a Zarr source: somebody chose its chunks
        kept = variable.encoding.get("preferred_chunks", {})
        default = tuple(kept.get(dim, length) for dim, length in zip(variable.dims, default, strict=True))
    wanted = [asked.get(str(dim), c) for dim, c in zip(variable.dims, default, strict=True)]
    for dim, length in zip(variable.dims, wanted, strict=True):
        if length == 0 or length < -1:
            raise ConfigurationError(f"chunk length along {dim!r} is at least 1, or -1 for all, got {length}")
    return tuple(max(1, n if c == -1 else min(n, c)) for n, c in zip(variable.shape, wanted, strict=True))


def transcode(
    source: str | Path,
    target: str | Path,
    codec: PlaneCodec | None = None,
    named: Mapping[str, PlaneCodec | None] | None = None,
    *,
    chunks: Mapping[str, int] | None = None,
    zarr_format: int = 3,
    overwrite: bool = False,
    planned: Callable[[list[Job]], None] | None = None,
    progress: Callable[[Done], None] | None = None,
) -> list[Job]:
    """Write the NetCDF file or Zarr store ``source`` as the compressed Zarr store ``target``.

    Parameters
    ----------
    source, target : str or Path
        Paths or URLs.
    codec, named, chunks
        As in `assign`.
    zarr_format : {3, 2}
        Format of ``target``.
    overwrite : bool
        Whether a store at ``target`` may be replaced; it is, when the new one is complete.
    planned : callable, optional
        Called with the list of `Job` before anything is written.
    progress : callable, optional
        Called with a `Done` after each region.

    Returns
    -------
    list of Job
        What was done, variable by variable.

    Raises
    ------
    StoreError
        If ``source`` cannot be read or ``target`` not be written.
    ConfigurationError, UnsupportedArrayError
        As in `assign`.
    """
    from frazil.sources import destination, is_url, open_source

    if not is_url(str(target)) and _inside(str(target), str(source)):
        raise StoreError(f"{target} is the source itself, or lies inside it; write to another place")
    with open_source(source) as ds:
        jobs = assign(ds, codec, named, chunks=chunks)
        with destination(target, overwrite=overwrite) as store:
            if planned is not None:
                planned(jobs)
            run(ds, store, jobs, zarr_format=zarr_format, progress=progress)
    return jobs


def run(
    ds: xr.Dataset,
    store: Any,
    jobs: list[Job],
    *,
    zarr_format: int = 3,
    progress: Callable[[Done], None] | None = None,
) -> None:
    """Write ``ds`` to ``store`` (a path, URL or Zarr store) as ``jobs`` say.

    The store carries the attribute `frazil.sources.INCOMPLETE` until the last byte is written.
    """
    import xarray as xr
    import zarr

    from frazil.access import to_zarr
    from frazil.bound_arrays import resolve_ranges
    from frazil.inventory import stored_bytes
    from frazil.sources import INCOMPLETE, consolidate

    template = _template(ds, jobs)
    template.attrs[INCOMPLETE] = True
    codecs: dict[Hashable, PlaneCodec] = {job.name: job.codec for job in jobs if job.codec is not None}
    codecs = resolve_ranges(ds, codecs)  # the template has no values to find a range among
    encoding: dict[Hashable, dict[str, Any]] = {
        job.name: _encoding(job, zarr_format) for job in jobs if job.shape
    }
    to_zarr(
        template,
        store,
        codec=codecs,
        zarr_format=zarr_format,
        mode="w",
        consolidated=False,
        encoding=encoding,
        compute=False,
    )
    group = zarr.open_group(store, mode="r+")
    made = xr.open_zarr(store, consolidated=False, chunks=None)
    for job in jobs:
        array: Any = group[job.name]
        for region in [_whole(job.shape)] if job.eager else plan(job.shape, job.chunks, job.itemsize):
            if job.codec is not None and job.codec.wants_bounds:
                _write_within(ds, array, made.variables[job.name], job, region)
            elif not job.eager:
                _write(ds, store, job, region)
            raw = math.prod(b - a for a, b in region) * job.itemsize
            if progress is not None:
                progress(Done(name=job.name, raw=raw, stored=stored_bytes(array, region)))
    del group.attrs[INCOMPLETE]
    consolidate(store)


def _template(ds: xr.Dataset, jobs: list[Job]) -> xr.Dataset:
    """Return the dataset with small variables as they are, and lazy zeros for those written by region."""
    import dask.array as da
    import xarray as xr

    template = ds.copy(deep=False)
    for job in jobs:
        variable = ds.variables[job.name]
        encoding = {key: value for key, value in variable.encoding.items() if key in CF_KEYS}
        data = variable if job.eager else da.zeros(variable.shape, dtype=variable.dtype, chunks=-1)
        template[job.name] = xr.Variable(variable.dims, data, variable.attrs, encoding)
    return template.set_coords(list(ds.coords))


def _encoding(job: Job, zarr_format: int) -> dict[str, Any]:
    """Chunks; and for a large lossless variable bytes shuffled before zstd, which takes a fifth off."""
    chunks = {"chunks": job.chunks}
    if job.codec is not None or job.raw < SMALL_BYTES or not job.numeric:
        return chunks
    if zarr_format == 2:
        from numcodecs import Blosc

        return {"compressors": [Blosc(cname="zstd", clevel=5, shuffle=Blosc.SHUFFLE)], **chunks}
    from zarr.codecs import BloscCodec

    return {"compressors": [BloscCodec(cname="zstd", clevel=5, shuffle="shuffle")], **chunks}


def _write(ds: xr.Dataset, store: Any, job: Job, region: Region) -> None:
    """Write one region of one variable; it holds whole chunks, so that no chunk is encoded twice."""
    dims = map(str, ds.variables[job.name].dims)
    slices = {dim: slice(*span) for dim, span in zip(dims, region, strict=True)}
    part = ds[[job.name]].reset_coords(drop=True).drop_vars(ds.coords, errors="ignore")
    part = part.isel(slices).load()
    part[job.name].encoding = {}
    part.to_zarr(store, region=slices, mode="r+", consolidated=False)


def _write_within(ds: xr.Dataset, array: Any, like: xr.Variable, job: Job, region: Region) -> None:
    """Write one region of a variable whose bounds lie beside it: Zarr v2 could not tell the codec.

    ``like`` is the variable as xarray finds it in the destination: packed as it is to be stored.
    """
    from frazil.prefix import find_layout
    from frazil.regions import as_stored, bounds_at
    from frazil.writing import write_block

    at = tuple(slice(*span) for span in region)
    variable, bounds = ds.variables[job.name], ds.variables[f"{job.name}{SUFFIX}"]
    values = as_stored(variable[at].values, like, array.dtype)
    layout = cast("Layout", find_layout(array))  # it was made with a codec of ours
    origin = tuple(start for start, _ in region)
    write_block(layout, origin, values, bounds_at(bounds, variable.dims, at))


def _whole(shape: tuple[int, ...]) -> Region:
    return tuple((0, n) for n in shape)


def _inside(target: str, source: str) -> bool:
    from pathlib import Path

    inner, outer = Path(target).resolve(), Path(source).resolve()
    return inner == outer or outer in inner.parents
