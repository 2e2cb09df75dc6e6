"""Open a store at half, a quarter, an eighth ... of its resolution in y and x.

The codecs store coarse resolutions in front, so that a small picture costs a
small read and a fast decode. Chunks are decoded one by one, each from its own
bytes: sample ``k`` of a chunk stands where point ``k * 2**level`` of that
chunk stands, and coordinates are picked at those points.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from frazil.errors import ConfigurationError, StoreError, UnsupportedArrayError
from frazil.planes import reduced

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from frazil.prefix import Layout

ATTRIBUTE = "frazil_resolution"
_CF_OPTIONS = (
    "mask_and_scale",
    "decode_times",
    "concat_characters",
    "decode_coords",
    "use_cftime",
    "decode_timedelta",
)
_STORAGE_KEYS = ("chunks", "preferred_chunks", "shards", "compressors", "filters", "serializer")


def positions(length: int, chunk: int, level: int) -> npt.NDArray[np.intp]:
    """Points of an axis that its samples at ``level`` stand for; they start anew in each chunk.

    Parameters
    ----------
    length, chunk : int
        Points of the axis and of a chunk.
    level : int
        Resolution 1/2**level.

    Returns
    -------
    ndarray of intp
        Ascending, from 0.

    Examples
    --------
    >>> positions(12, 6, 1)
    array([ 0,  2,  4,  6,  8, 10])
    >>> positions(12, 5, 1)
    array([ 0,  2,  4,  5,  7,  9, 10])
    """
    starts = range(0, length, max(chunk, 1))
    parts = [np.arange(start, min(start + chunk, length), 1 << level) for start in starts]
    return np.concatenate([np.zeros(0, np.intp), *parts]).astype(np.intp)


@dataclass(frozen=True)
class ReducedArray:
    """What dask slices: an array whose last two axes are read at 1/2**level.

    Parameters
    ----------
    layout : Layout
    level : int
    name : str
        For error messages and byte counts.
    """

    layout: Layout
    level: int
    name: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored array."""
        return np.dtype(self.layout.array.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.layout.chunks)

    @property
    def levels(self) -> tuple[int, ...]:
        """Level of each axis: 0 but for the last two."""
        return (0,) * (self.ndim - 2) + (self.level,) * min(self.ndim, 2)

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Lengths of the chunks along each axis, as dask writes them."""
        axes = zip(self.layout.array.shape, self.layout.chunks, self.levels, strict=True)
        return tuple(
            tuple(reduced(min(chunk, length - start), level) for start in range(0, length, chunk)) or (0,)
            for length, chunk, level in axes
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(map(sum, self.chunks))

    def __getitem__(self, selection: Any) -> npt.NDArray[Any]:
        """Read and decode the chunks that a basic ``selection`` touches."""
        parts = selection if isinstance(selection, tuple) else (selection,)
        parts += (slice(None),) * (self.ndim - len(parts))
        hull = [
            _hull(range(length)[p] if isinstance(p, slice) else range(length)[p : p + 1 or None])
            for p, length in zip(parts, self.shape, strict=True)
        ]
        window = self._read(hull)
        lows = [low for low, _ in hull]
        selected: npt.NDArray[Any] = window[
            tuple(_shift(p, low, n) for p, low, n in zip(parts, lows, self.shape, strict=True))
        ]
        return selected

    def _read(self, hull: list[tuple[int, int]]) -> npt.NDArray[Any]:
        """Assemble the window that ``hull`` bounds, [low, high) along each axis."""
        from frazil.prefix import fetch, located

        layout, array = self.layout, self.layout.array
        fill = array.fill_value if array.fill_value is not None else np.zeros((), self.dtype)[()]
        window = np.full([high - low for low, high in hull], fill, self.dtype)
        if not window.size:
            return window
        small = [reduced(chunk, level) for chunk, level in zip(layout.chunks, self.levels, strict=True)]
        grid = [range(low // n, (high - 1) // n + 1) for (low, high), n in zip(hull, small, strict=True)]
        found = fetch(layout, list(itertools.product(*grid)), self.level, self.name)
        for coords, data in found.items():
            if data is None:
                continue
            key, inside = layout.place(coords)
            with located(self.name, key, inside):
                chunk = layout.codec.decode_prefix(data, self.level, shape=layout.chunks, dtype=self.dtype)
            spans = [
                (max(c * n, low) - c * n, min(c * n + n, high) - c * n, c * n - low)
                for c, n, (low, high) in zip(coords, small, hull, strict=True)
            ]
            target = tuple(slice(start + shift, stop + shift) for start, stop, shift in spans)
            window[target] = chunk[tuple(slice(start, stop) for start, stop, _ in spans)]
        return window


def open_zarr(store: Any, level: int = 0, group: str | None = None, **options: Any) -> xr.Dataset:
    """Open a Zarr store as `xarray.open_zarr` does, at 1/2**level of its resolution in y and x.

    Parameters
    ----------
    store : str, path or Zarr store
        Whatever `xarray.open_zarr` takes.
    level : int, default 0
        0 is the full resolution: `xarray.open_zarr` itself. Level 1 has half
        the points along the last two axes of every array that frazil coded.
    group : str, optional
        Path of the group in the store.
    **options
        Those of `xarray.open_zarr`; ``chunks`` counts reduced points.

    Returns
    -------
    xarray.Dataset
        Lazy, with a dask chunk for each stored one. Models of learned codecs that lie beside the arrays are
        registered (`frazil.models.register_models`) if they are needed. The attribute
        ``frazil_resolution`` of each variable that became smaller says whether
        it was decoded at that level or subsampled, and whether a bound holds.

    Raises
    ------
    ConfigurationError
        If ``level`` is no number of halvings.
    StoreError
        If no array of the group was coded by frazil.

    See Also
    --------
    frazil.access.bytes_read : counts what was read.
    """
    import xarray as xr
    import zarr

    from frazil.models.beside import register_for

    if not isinstance(level, int) or isinstance(level, bool) or not 0 <= level <= 32:
        raise ConfigurationError(f"level counts halvings of the resolution, 0 to 32; got {level!r}")
    opening = {key: options[key] for key in ("zarr_format", "storage_options") if key in options}

    def arrays(consolidated: bool | None = False) -> Any:
        return zarr.open_group(store, path=group, mode="r", use_consolidated=consolidated, **opening)

    if level == 0:
        whole: xr.Dataset = xr.open_zarr(store, group=group, **options)
        register_for(whole.variables.values(), arrays)
        return whole
    decoding = {key: options.pop(key) for key in _CF_OPTIONS if key in options}
    decode_cf, chunks = options.pop("decode_cf", True), options.pop("chunks", {})
    if chunks is None:
        raise ConfigurationError(
            "chunks=None: a reduced resolution is always opened with dask; leave chunks out"
        )
    raw = xr.open_zarr(store, group=group, decode_cf=False, chunks={}, **options)
    register_for(raw.variables.values(), arrays)
    small = _reduce(raw, arrays(options.get("consolidated")), level, store)
    decoded: xr.Dataset = xr.decode_cf(small, **decoding) if decode_cf else small
    if chunks:
        decoded = decoded.chunk(chunks)
    return decoded


def _reduce(raw: xr.Dataset, arrays: Any, level: int, store: Any) -> xr.Dataset:
    """Replace each variable of ``raw`` by what it is at ``level``."""
    layouts, reasons = _layouts(raw, arrays)
    if not layouts and not reasons:
        raise StoreError(
            f"{store} holds no array that frazil coded, so no lower resolution can be read from it; "
            "open it with level=0 and subsample"
        )
    points: dict[Any, npt.NDArray[np.intp]] = {}
    owner: dict[Any, str] = {}
    for name in [*layouts, *reasons]:
        for dim, positions_ in _own_positions(raw[name], arrays[name], layouts.get(name), level).items():
            points.setdefault(dim, positions_)
            owner.setdefault(dim, name)
    picks = {dim: _as_slice(index, raw.sizes[dim], level) for dim, index in points.items()}
    small = raw.isel(picks)
    for name, variable in small.variables.items():
        if set(points) & set(variable.dims):
            variable.attrs[ATTRIBUTE] = f"subsampled: {reasons[name]}" if name in reasons else "subsampled"
            for key in _STORAGE_KEYS:
                variable.encoding.pop(key, None)
    decoded = {
        name: _decoded(raw[name].variable, ReducedArray(layout, level, str(name)), points, owner)
        for name, layout in layouts.items()
    }
    return small.assign(decoded)


def _layouts(raw: xr.Dataset, arrays: Any) -> tuple[dict[Any, Layout], dict[Any, str]]:
    """Arrays that can be read in part, and those of ours that cannot, with the reason."""
    from frazil.prefix import find_layout

    layouts: dict[Any, Layout] = {}
    reasons: dict[Any, str] = {}
    for name, variable in raw.variables.items():
        if variable.ndim < 2 or name not in arrays:
            continue
        try:
            layout = find_layout(arrays[name])
        except UnsupportedArrayError as error:
            reasons[name] = str(error)
        else:
            if layout is not None:
                layouts[name] = layout
    return layouts, reasons


def _own_positions(
    variable: xr.DataArray, array: Any, layout: Layout | None, level: int
) -> dict[Any, npt.NDArray[np.intp]]:
    """Positions of the samples of one array, for its last two dimensions."""
    chunks = (layout.chunks if layout else array.chunks)[-2:]
    ends = zip(variable.dims[-2:], variable.shape[-2:], chunks, strict=True)
    return {dim: positions(length, chunk, level) for dim, length, chunk in ends}


def _decoded(
    stored: xr.Variable, source: ReducedArray, points: dict[Any, npt.NDArray[np.intp]], owner: dict[Any, str]
) -> xr.Variable:
    """Wrap ``source`` in dask and bring it to the dataset's ``points``."""
    import dask.array as da
    import xarray as xr

    own = _own_positions(xr.DataArray(stored), None, source.layout, source.level)
    lazy = da.from_array(  # type: ignore[no-untyped-call] # dask's
        source, chunks=source.chunks, name=f"frazil-{source.name}-{uuid4().hex}", asarray=True, fancy=False
    )
    variable = xr.Variable(stored.dims, lazy, dict(stored.attrs), dict(stored.encoding))
    said = source.layout.codec.reduced_meaning(source.level)
    note = f"decoded at level {source.level}{': ' if said else ''}{said}"
    for dim in set(points) & set(stored.dims):
        have = own.get(dim, np.arange(stored.sizes[dim]))
        if not np.array_equal(have, points[dim]):
            variable = variable.isel({dim: _nearest(have, points[dim])})
            note += f", along {dim} the samples nearest to those of {owner[dim]}"
    variable.attrs[ATTRIBUTE] = note
    for key in _STORAGE_KEYS:
        variable.encoding.pop(key, None)
    return variable


def _nearest(have: npt.NDArray[np.intp], wanted: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Index in ``have`` (ascending) of what is nearest to each of ``wanted``."""
    right = np.clip(np.searchsorted(have, wanted), 1, max(len(have) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(have) - 1)
    return np.where(wanted - have[left] <= have[right] - wanted, left, right).astype(np.intp)


def _as_slice(index: npt.NDArray[np.intp], length: int, level: int) -> Any:
    """Return a slice where the positions are regular: dask takes it without copying."""
    regular = slice(None, None, 1 << level)
    return regular if np.array_equal(index, np.arange(length)[regular]) else index


def _hull(chosen: range) -> tuple[int, int]:
    """Smallest [low, high) that holds every index of ``chosen``."""
    return (min(chosen), max(chosen) + 1) if chosen else (0, 0)


def _shift(part: Any, low: int, length: int) -> Any:
    """Express ``part`` of an axis relative to a window that starts at ``low``."""
    if not isinstance(part, slice):
        return range(length)[part] - low
    chosen = range(length)[part]
    stop = chosen.stop - low
    return slice(chosen.start - low, stop if stop >= 0 else None, chosen.step)
