"""Write xarray datasets through the codecs, and open them at any resolution.

Importing this module gives datasets and data arrays the accessor ``.frazil``.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

import frazil
from frazil.codecs.base import PlaneCodec
from frazil.errors import (
    ConfigurationError,
    FrazilError,
    LossyRewriteWarning,
    StoreError,
    UnsupportedArrayError,
)
from frazil.resolution import open_zarr

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["FrazilAccessor", "bytes_read", "default_chunks", "open_zarr", "settings", "to_zarr"]

METHOD = "lossy_compression"
_NOTE = "written by frazil; these attributes are not part of the CF conventions"
_PACKING = ("scale_factor", "add_offset", "_Unsigned")
_MISSING = ("_FillValue", "missing_value")
_CF_KEYS = (*_PACKING, *_MISSING, "dtype")
_CF_LINKS = ("grid_mapping", "bounds", "climatology", "cell_measures", "formula_terms", "ancillary_variables")
_CODEC_KEYS = ("compressor", "compressors", "filters", "serializer")
_STORAGE_KEYS = (*_CODEC_KEYS, "shards", "preferred_chunks", "fill_value")
_PLANE_SIDE, _CHUNK_POINTS = 2048, 1 << 22


def bytes_read() -> Any:
    """Count what arrays opened with ``open_zarr(level=...)`` read: see `frazil.prefix.bytes_read`."""
    from frazil import prefix

    return prefix.bytes_read()


def to_zarr(
    ds: xr.Dataset | xr.DataArray,
    store: Any,
    *,
    codec: PlaneCodec | Mapping[Hashable, PlaneCodec],
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
    codec : PlaneCodec, or mapping of name to PlaneCodec
        One codec for every floating-point data variable of two axes or more,
        or a codec for each variable named. Coordinates and all other
        variables stay lossless.
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
    zarr.storage.ZarrStore or dask.delayed.Delayed
        What `xarray.Dataset.to_zarr` returns.

    Raises
    ------
    ConfigurationError
        If a name is unknown, or ``encoding`` names codecs of its own for a variable that has one.
    UnsupportedArrayError
        If a codec cannot hold the variable it is given.
    StoreError
        If the store cannot be written.
    """
    dataset = ds.to_dataset(name=ds.name or "data") if isinstance(ds, xr.DataArray) else ds
    if options.get("append_dim") is not None or options.get("region") is not None:
        raise ConfigurationError(
            "an array keeps the codec it was created with: extend it with "
            "ds.drop_encoding().to_zarr(append_dim=... or region=...) and whole chunks"
        )
    codecs = _choose(dataset, codec)
    extra = {name: dict(values) for name, values in (encoding or {}).items()}
    _refuse_contradictions(dataset, codecs, extra)
    _warn_of_second_generation(dataset, codecs)
    prepared, encodings = dataset.copy(deep=False), dict(extra)
    for name, variable in prepared.variables.items():
        if name in codecs:
            encodings[name] = _prepare(
                name,
                variable,
                codecs[name],
                zarr_format=zarr_format,
                chunks=chunks or {},
                extra=extra.get(name, {}),
            )
        else:
            drop = _STORAGE_KEYS if variable.chunks is None else (*_STORAGE_KEYS, "chunks")
            variable.encoding = {k: v for k, v in variable.encoding.items() if k not in drop}
    if chunks:
        prepared = prepared.assign({name: _rechunked(prepared[name], encodings[name]) for name in codecs})
    return _write(
        prepared,
        store,
        zarr_format=zarr_format,
        mode=mode,
        consolidated=consolidated,
        encoding=encodings,
        **options,
    )


def settings(variable: xr.DataArray) -> dict[str, Any]:
    """Return how a variable was compressed, as its attributes say; empty if they do not.

    Examples
    --------
    >>> settings(xr.DataArray([1.0]))
    {}
    """
    if METHOD not in variable.attrs:
        return {}
    recorded = json.loads(variable.attrs.get(f"{METHOD}_settings", "{}"))
    return {"codec": variable.attrs[METHOD], **recorded}


def default_chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks for an array without any: whole planes, several where they are small.

    Examples
    --------
    >>> default_chunks((24, 721, 1440)), default_chunks((2, 10980, 10980))
    ((4, 721, 1440), (1, 2048, 2048))
    """
    plane = tuple(min(length, _PLANE_SIDE) for length in shape[-2:])
    room = max(_CHUNK_POINTS // max(math.prod(plane), 1), 1)
    leading: list[int] = []
    for length in reversed(shape[:-2]):
        leading.insert(0, max(min(length, room), 1))
        room = max(room // max(length, 1), 1)
    return (*leading, *(max(length, 1) for length in plane))


def _choose(
    dataset: xr.Dataset, codec: PlaneCodec | Mapping[Hashable, PlaneCodec]
) -> dict[Hashable, PlaneCodec]:
    """Give each variable that is to be coded its codec."""
    if isinstance(codec, PlaneCodec):
        return {
            name: codec
            for name, variable in dataset.data_vars.items()
            if variable.dtype.kind == "f" and variable.ndim >= 2
        }
    if not isinstance(codec, Mapping) or not all(isinstance(c, PlaneCodec) for c in codec.values()):
        raise ConfigurationError(f"codec= takes a frazil codec or a mapping of names to them, got {codec!r}")
    unknown = [str(name) for name in codec if name not in dataset.variables]
    if unknown:
        raise ConfigurationError(
            f"no variable {', '.join(unknown)} in the dataset; "
            f"it has {', '.join(map(str, dataset.data_vars))}"
        )
    return dict(codec)


def _refuse_contradictions(
    dataset: xr.Dataset, codecs: Mapping[Hashable, PlaneCodec], extra: Mapping[Hashable, Mapping[str, Any]]
) -> None:
    for name, values in extra.items():
        if name not in dataset.variables:
            raise ConfigurationError(
                f"encoding= names {name!r}; the dataset has {', '.join(map(str, dataset.variables))}"
            )
        second = [key for key in (*_CODEC_KEYS, "scale_factor", "add_offset") if values.get(key) is not None]
        if name in codecs and second:
            raise ConfigurationError(
                f"{name!r} has a codec= already, and encoding= gives it {', '.join(second)} as well; "
                "drop one of them"
            )


def _warn_of_second_generation(dataset: xr.Dataset, codecs: Mapping[Hashable, PlaneCodec]) -> None:
    twice = [
        str(name) for name, codec in codecs.items() if METHOD in dataset[name].attrs and not codec.lossless
    ]
    if twice:
        warnings.warn(
            f"{', '.join(twice)} went through a lossy codec before, as the attribute {METHOD!r} says: "
            "the errors of both add up; compress the original data if you have them",
            LossyRewriteWarning,
            stacklevel=3,
        )


def _prepare(
    name: Hashable,
    variable: xr.Variable,
    codec: PlaneCodec,
    *,
    zarr_format: int,
    chunks: Mapping[Hashable, int],
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a variable's encoding, without what contradicts the codec, and record the codec."""
    stored = {k: v for k, v in variable.encoding.items() if k in _CF_KEYS}
    packed = np.dtype(stored.get("dtype", variable.dtype)).kind != variable.dtype.kind
    if (packed or any(key in stored for key in _PACKING)) and not codec.lossless:
        # integers on disk for floats in memory: the codec takes the floats, NaN marks what is missing
        stored = {k: v for k, v in stored.items() if k not in (*_PACKING, *_MISSING, "dtype")}
    values = stored | dict(extra)
    on_disk = np.dtype(values.get("dtype", variable.dtype))
    try:
        codec.check_dtype(on_disk)
    except UnsupportedArrayError as error:
        raise UnsupportedArrayError(f"variable {name!r}: {error}") from None
    sentinel = _sentinel(values, variable.attrs, on_disk)
    if sentinel is not None and zarr_format == 2 and codec.missing is None:
        codec = replace(codec, missing=sentinel)
    if sentinel is not None and zarr_format == 3:
        values.setdefault("fill_value", sentinel)
    grid = _grid(variable, chunks, variable.encoding.get("chunks"))
    if grid is not None:
        values.setdefault("chunks", grid)
    # an encoding passed to xarray replaces the variable's own: save from that what points to other variables
    variable.attrs |= {k: v for k, v in variable.encoding.items() if k in _CF_LINKS}
    variable.encoding = {k: v for k, v in variable.encoding.items() if k == "coordinates"}
    if not codec.lossless:
        config = codec.get_config()
        variable.attrs |= {
            METHOD: config.pop("id"),
            f"{METHOD}_settings": json.dumps(config, sort_keys=True),
            f"{METHOD}_implementation": f"frazil {frazil.__version__}",
            f"{METHOD}_note": _NOTE,
        }
    return codec.encoding(zarr_format, **values)


def _rechunked(variable: xr.DataArray, encoding: Mapping[str, Any]) -> xr.DataArray:
    """Align the dask chunks with the stored ones."""
    if variable.chunks is None:
        return variable
    lengths = encoding.get("shards") or encoding["chunks"]
    return variable.chunk(dict(zip(variable.dims, lengths, strict=True)))


def _grid(variable: xr.Variable, chunks: Mapping[Hashable, int], stored: Any) -> tuple[int, ...] | None:
    """Chunk lengths to ask for; None where the dask chunks decide."""
    if not chunks and variable.chunks is not None:
        return None
    bad = [f"{dim}={n!r}" for dim, n in chunks.items() if not isinstance(n, int) or n == 0 or n < -1]
    if bad:
        raise ConfigurationError(
            f"chunk lengths are whole numbers, -1 for a whole axis; got {', '.join(bad)}"
        )
    if variable.chunks is not None:
        base = tuple(max(lengths, default=1) for lengths in variable.chunks)
    elif (
        isinstance(stored, tuple) and len(stored) == variable.ndim and all(isinstance(n, int) for n in stored)
    ):
        base = stored
    else:
        base = default_chunks(variable.shape)
    asked = [chunks.get(dim, n) for dim, n in zip(variable.dims, base, strict=True)]
    return tuple(
        max(size if n == -1 else min(n, size), 1) for n, size in zip(asked, variable.shape, strict=True)
    )


def _sentinel(encoding: Mapping[str, Any], attrs: Mapping[str, Any], dtype: np.dtype[Any]) -> Any:
    """Finite value that stands for "no data" on disk, exactly as the array will hold it."""
    for source in (encoding, attrs):
        for key in _MISSING:
            value = source.get(key)
            if value is not None and np.isfinite(value):
                return np.asarray(value).astype(dtype).item()
    return None


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

    def to_zarr(self, store: Any, *, codec: Any, **options: Any) -> Any:
        """Write through ``codec``: `frazil.to_zarr`."""
        return to_zarr(self._data, store, codec=codec, **options)

    def settings(self) -> dict[Any, Any]:
        """How the data were compressed: of a data array, or by name for the variables of a dataset."""
        if isinstance(self._data, xr.DataArray):
            return settings(self._data)
        found = {name: settings(variable) for name, variable in self._data.data_vars.items()}
        return {name: values for name, values in found.items() if values}
