"""Write xarray datasets through the codecs, and open them at any resolution.

Importing this module gives datasets and data arrays the accessor ``.frazil``.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from frazil.bound_arrays import assign_bounds, name_bounds, resolve_ranges, stored_bounds
from frazil.encodings import (
    STORAGE_KEYS,
    choose,
    default_chunks,
    prepare,
    rechunked,
    refuse_contradictions,
    settings,
    warn_of_second_generation,
)
from frazil.errors import ConfigurationError, FrazilError, StoreError
from frazil.resolution import open_zarr

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import dask.array as da

    from frazil.codecs.base import PlaneCodec
    from frazil.prefix import Layout

__all__ = ["FrazilAccessor", "bytes_read", "default_chunks", "open_zarr", "settings", "to_zarr"]


def bytes_read() -> Any:
    """Count what arrays opened with ``open_zarr(level=...)`` read: see `frazil.prefix.bytes_read`."""
    from frazil import prefix

    return prefix.bytes_read()


def to_zarr(
    ds: xr.Dataset | xr.DataArray,
    store: Any,
    *,
    codec: PlaneCodec | Mapping[Hashable, PlaneCodec] | None = None,
    bounds: Mapping[Hashable, Any] | Any = None,
    store_bounds: bool = False,
    zarr_format: int = 3,
    chunks: Mapping[Hashable, int] | None = None,
    mode: str | None = None,
    consolidated: bool | None = None,
    encoding: Mapping[Hashable, Mapping[str, Any]] | None = None,
    **options: Any,
) -> Any:
    """Write a dataset, some of its variables through frazil's codecs, the others losslessly.

    Differs from ``ds.to_zarr(encoding=...)`` in what it takes care of:
    encodings that variables carry from the file they came from do not
    contradict the codec, values that stand for "no data" do not disturb their
    neighbours, and the store says how it was compressed.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataArray
        In memory, or in dask chunks.
    store : str, path or Zarr store
        Where to.
    codec : PlaneCodec, or mapping of name to PlaneCodec, optional
        One codec for every floating-point data variable of two axes or more,
        or a codec for each variable named. Coordinates and all other
        variables stay lossless. Without it: `frazil.Bounded` for the
        variables that ``bounds`` names.
    bounds : mapping of name to array, number or text, optional
        Largest absolute error of each point of a variable: a DataArray of some
        or all of its axes, at the same coordinates, or a numpy or dask array
        that broadcasts to it, in its units; 0 where it is to be exact. A
        number or text takes the place of the codec's ``bound``. Where one
        variable is coded, its bounds alone may be given. A variable whose
        codec says ``bound="array"`` and that is not named takes the
        dataset's own ``<name>_bound``.
    store_bounds : bool, default False
        Store the arrays of bounds too, losslessly, as ``<name>_bound``.
        Nobody needs them to read; Zarr v3 needs them to extend or change the
        variable later. By default they are not: they may take more bytes
        than the data.
    zarr_format : {3, 2}
    chunks : mapping of dimension to int, optional
        Chunk lengths of the variables that the codecs take. Without it: the
        dask chunks, or else whole planes of up to 2048 x 2048 points and as
        many of them as make four million points.
    mode, consolidated
        As in `xarray.Dataset.to_zarr`: by default nothing is overwritten, and
        metadata are consolidated where the store can hold them so.
    encoding : mapping, optional
        Further encodings by variable, such as ``{"t2m": {"shards": (8, 721, 1440)}}``.
    **options
        Further options of `xarray.Dataset.to_zarr`, such as ``compute=False`` or ``group``.

    Returns
    -------
    xarray.backends.ZarrStore or dask.delayed.Delayed
        What `xarray.Dataset.to_zarr` returns. With ``compute=False`` the
        metadata are written at once, and arrays that are not dask's.

    Raises
    ------
    ConfigurationError
        If a name is unknown, ``encoding`` names codecs of its own for a variable that has one, or
        bounds do not fit.
    UnsupportedArrayError
        If a codec cannot hold the variable it is given.
    StoreError
        If the store cannot be written.

    Notes
    -----
    Models of learned codecs that take more than 256 kB are written beside the
    arrays, into the group ``_models``, where `frazil.open_zarr` and loaders find
    them; for `xarray.open_zarr`, register them with
    `frazil.models.register_models`. With ``encoding=`` of xarray's own
    ``to_zarr``, `frazil.models.write_models` does that.

    A bound relative to the range of the whole array (``"rel:1e-3:array"``)
    is stored as the number that it stands for; finding that reads the array
    once, before anything is written.

    Examples
    --------
    >>> import zarr
    >>> y, x = np.mgrid[:40, :60] / 20
    >>> t2m = xr.DataArray(280 + 9 * np.sin(y) * np.cos(x), dims=("lat", "lon"), name="t2m")
    >>> spread = 0.1 + 0.4 * xr.DataArray(y[:, 0] > 1, dims="lat")
    >>> store = zarr.storage.MemoryStore()
    >>> _ = to_zarr(t2m, store, bounds=spread, consolidated=False)
    >>> bool((abs(xr.open_zarr(store, consolidated=False)["t2m"] - t2m) <= spread).all())
    True
    """
    dataset = ds.to_dataset(name=ds.name or "data") if isinstance(ds, xr.DataArray) else ds
    if options.get("append_dim") is not None or options.get("region") is not None:
        raise ConfigurationError(
            "an array keeps the codec it was created with: extend it with "
            "ds.drop_encoding().to_zarr(append_dim=... or region=...) and whole chunks"
        )
    given = name_bounds(dataset, codec, bounds)
    codecs, arrays = assign_bounds(dataset, choose(dataset, codec, given), given)
    codecs = resolve_ranges(dataset, codecs)
    extra = {name: dict(values) for name, values in (encoding or {}).items()}
    refuse_contradictions(dataset, codecs, extra)
    warn_of_second_generation(dataset, codecs)
    prepared, encodings = dataset.copy(deep=False), dict(extra)
    if store_bounds:
        prepared = prepared.assign(
            stored_bounds(prepared, {name: arrays[name] for name in arrays if name in given})
        )
    for name, variable in prepared.variables.items():
        if name in codecs:
            encodings[name] = prepare(
                name,
                variable,
                codecs[name],
                zarr_format=zarr_format,
                chunks=chunks or {},
                extra=extra.get(name, {}),
            )
        else:
            drop = STORAGE_KEYS if variable.chunks is None else (*STORAGE_KEYS, "chunks")
            variable.encoding = {k: v for k, v in variable.encoding.items() if k not in drop}
    if chunks:
        prepared = prepared.assign({name: rechunked(prepared[name], encodings[name]) for name in codecs})
    options |= {"zarr_format": zarr_format, "mode": mode, "consolidated": consolidated}
    if arrays:
        written = _write_bounded(prepared, store, arrays, encodings, **options)
    else:
        written = _write(prepared, store, encoding=encodings, **options)
    _write_models(codecs, store, **options)
    return written


def _write_models(
    codecs: Mapping[Hashable, PlaneCodec],
    store: Any,
    *,
    group: str | None = None,
    storage_options: dict[str, Any] | None = None,
    **_: Any,
) -> None:
    """Put the models that are too large for the arrays' metadata beside the arrays."""
    from frazil.models.beside import left_out, write_models

    models = left_out(codecs.values())
    if not models:
        return
    import zarr

    root = zarr.open_group(_absolute(store), mode="r+", storage_options=storage_options)
    write_models(root[group.strip("/")] if group and group.strip("/") else root, models)
    if root.metadata.consolidated_metadata is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
            warnings.filterwarnings("ignore", "Duplicate name")  # in a zip file, what comes later holds
            zarr.consolidate_metadata(root.store, zarr_format=root.metadata.zarr_format)


def _write_bounded(
    dataset: xr.Dataset,
    store: Any,
    arrays: Mapping[Hashable, xr.Variable],
    encodings: dict[Hashable, dict[str, Any]],
    *,
    compute: bool = True,
    **options: Any,
) -> Any:
    """Let xarray write everything but the chunks that need bounds, and write those."""
    import dask.array as da
    import zarr
    from dask.base import compute as run
    from dask.delayed import delayed
    from xarray.backends.zarr import ZarrStore, encode_zarr_variable

    from frazil.prefix import find_layout
    from frazil.writing import together, write_later

    if options.get("chunk_store") is not None:
        raise ConfigurationError("bounds= writes chunks beside their metadata; drop chunk_store=")
    blanks = {name: _without_values(dataset.variables[name], store) for name in arrays}
    template = dataset.assign(blanks)
    for name in arrays:
        lengths = [max((1, *n)) for n in dataset.variables[name].chunks or ()]
        encodings[name].setdefault("chunks", tuple(lengths))
    _write(template, store, encoding=encodings, compute=False, **options)
    usual = options.get("write_empty_chunks") or zarr.config.get("array.write_empty_chunks")
    keep = {name: bool(encodings[name].get("write_empty_chunks", usual)) for name in arrays}
    path = {key: options[key] for key in ("group", "storage_options") if key in options}
    target = ZarrStore.open_group(_absolute(store), mode="r+", consolidated=False, **path)
    now: list[da.Array] = []
    later: list[Any] = []
    others = [name for name, v in dataset.variables.items() if v.chunks is not None and name not in arrays]
    for name in (*arrays, *others):
        variable, encoding = dataset.variables[name].copy(deep=False), encodings.get(name, {})
        variable.encoding = variable.encoding | encoding
        encoded = encode_zarr_variable(variable, name=name)
        array = target.zarr_group[str(name)]
        if name in others:
            later.append(da.store(encoded.data, array, lock=False, compute=False))
            continue
        layout = cast("Layout", find_layout(array))  # it was made with a codec of ours
        written = write_later(layout, *together(layout, encoded, arrays[name]), keep_empty=keep[name])
        (now if encoded.chunks is None and arrays[name].chunks is None else later).append(written)
    # What is in memory is written here and now, as xarray does it.
    run(now, scheduler="threads")  # type: ignore[no-untyped-call] # dask's
    if not compute:
        return delayed(_finished, pure=False)(later)
    run(later)  # type: ignore[no-untyped-call] # dask's
    return target


def _without_values(variable: xr.Variable, store: Any) -> xr.Variable:
    """Return what xarray takes the metadata from; its values are never stored."""
    import dask.array as da
    from zarr.storage import ZipStore

    values: Any = da.zeros(variable.shape, dtype=variable.dtype, chunks=-1)
    if isinstance(store, ZipStore):  # dask, to give it a name, reopens it, which empties it
        values = np.broadcast_to(np.asarray(np.nan, variable.dtype), variable.shape)
    return xr.Variable(variable.dims, values, variable.attrs, variable.encoding)


def _finished(parts: Any) -> None:
    """Stand at the end of the graph: what was written is in the store."""


def _absolute(store: Any) -> Any:
    """Name a local path as workers elsewhere find it, as xarray does."""
    if not isinstance(store, str | os.PathLike) or "://" in os.fspath(store) or "::" in os.fspath(store):
        return store
    return os.path.abspath(os.path.expanduser(store))  # noqa: PTH100, PTH111 - of a str too, unresolved


def _write(dataset: xr.Dataset, store: Any, **options: Any) -> Any:
    from zarr.errors import ContainsArrayError, ContainsGroupError

    try:
        with warnings.catch_warnings():
            # v3 does not standardise them yet, but without them xarray warns at every reading
            warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
            return dataset.to_zarr(store, **options)
    except FrazilError:
        raise
    except (ContainsArrayError, ContainsGroupError, FileExistsError) as error:
        raise StoreError(f"{store} holds data already; pass mode='w' to overwrite them ({error})") from error
    except OSError as error:
        raise StoreError(f"cannot write to {store}: {error}; check the path and its permissions") from error
    except ValueError as error:
        if "read-only" not in str(error) and "read only" not in str(error):
            raise
        raise StoreError(f"cannot write to {store}: it was opened read-only") from error


@xr.register_dataset_accessor("frazil")  # type: ignore[no-untyped-call] # xarray's
@xr.register_dataarray_accessor("frazil")  # type: ignore[no-untyped-call] # xarray's
class FrazilAccessor:
    """``ds.frazil`` and ``da.frazil``."""

    def __init__(self, data: xr.Dataset | xr.DataArray) -> None:
        self._data = data

    def to_zarr(self, store: Any, *, codec: Any = None, **options: Any) -> Any:
        """Write through a codec: `frazil.to_zarr`."""
        return to_zarr(self._data, store, codec=codec, **options)

    def settings(self) -> dict[Any, Any]:
        """How the data were compressed: of a data array, or by name for the variables of a dataset."""
        if isinstance(self._data, xr.DataArray):
            return settings(self._data)
        found = {name: settings(variable) for name, variable in self._data.data_vars.items()}
        return {name: values for name, values in found.items() if values}
