"""What `frazil.to_zarr` tells xarray of a variable: codec, chunks, and nothing that contradicts them."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

import frazil
from frazil.chunk_bounds import SUFFIX
from frazil.codecs.base import PlaneCodec
from frazil.errors import ConfigurationError, LossyRewriteWarning, UnsupportedArrayError

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    import xarray as xr

METHOD = "lossy_compression"
_NOTE = "written by frazil; these attributes are not part of the CF conventions"
_PACKING = ("scale_factor", "add_offset", "_Unsigned")
_MISSING = ("_FillValue", "missing_value")
CF_KEYS = (*_PACKING, *_MISSING, "dtype")
_CF_LINKS = ("grid_mapping", "bounds", "climatology", "cell_measures", "formula_terms", "ancillary_variables")
_CODEC_KEYS = ("compressor", "compressors", "filters", "serializer")
STORAGE_KEYS = (*_CODEC_KEYS, "shards", "preferred_chunks", "fill_value")
_PLANE_SIDE, _CHUNK_POINTS = 2048, 1 << 22


def settings(variable: xr.DataArray) -> dict[str, Any]:
    """Return how a variable was compressed, as its attributes say; empty if they do not.

    Examples
    --------
    >>> import xarray as xr
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


def choose(
    dataset: xr.Dataset,
    codec: PlaneCodec | Mapping[Hashable, PlaneCodec] | None,
    bounds: Collection[Hashable] = (),
) -> dict[Hashable, PlaneCodec]:
    """Give each variable that is to be coded its codec; ``bounds`` are the names of those that have bounds.

    Raises
    ------
    ConfigurationError
        If a name is unknown, or there is no codec.
    """
    if codec is None and bounds:
        from frazil.codecs.bounded import Bounded

        codec = {name: Bounded(bound="array") for name in bounds}
    if isinstance(codec, PlaneCodec):
        coded = [
            name
            for name, variable in dataset.data_vars.items()
            if variable.dtype.kind == "f" and variable.ndim >= 2
        ]
        pairs = [name for name in coded if codec.wants_bounds or name in bounds]
        beside = {f"{name}{SUFFIX}" for name in pairs}
        return {name: codec for name in coded if name not in beside}
    if not isinstance(codec, Mapping) or not all(isinstance(c, PlaneCodec) for c in codec.values()):
        raise ConfigurationError(f"codec= takes a frazil codec or a mapping of names to them, got {codec!r}")
    unknown = [str(name) for name in codec if name not in dataset.variables]
    if unknown:
        raise ConfigurationError(
            f"no variable {', '.join(unknown)} in the dataset; "
            f"it has {', '.join(map(str, dataset.data_vars))}"
        )
    return dict(codec)


def refuse_contradictions(
    dataset: xr.Dataset, codecs: Mapping[Hashable, PlaneCodec], extra: Mapping[Hashable, Mapping[str, Any]]
) -> None:
    """Refuse encodings of variables that are not there, or that have a codec already."""
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


def warn_of_second_generation(dataset: xr.Dataset, codecs: Mapping[Hashable, PlaneCodec]) -> None:
    """Say where the attributes tell that a variable went through a lossy codec before."""
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


def prepare(
    name: Hashable,
    variable: xr.Variable,
    codec: PlaneCodec,
    *,
    zarr_format: int,
    chunks: Mapping[Hashable, int],
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a variable's encoding, without what contradicts the codec, and record the codec."""
    stored = {k: v for k, v in variable.encoding.items() if k in CF_KEYS}
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
        config = _without_models(codec.get_config())
        variable.attrs |= {
            METHOD: config.pop("id"),
            f"{METHOD}_settings": json.dumps(config, sort_keys=True),
            f"{METHOD}_implementation": f"frazil {frazil.__version__}",
            f"{METHOD}_note": _NOTE,
        }
    return codec.encoding(zarr_format, **values)


def _without_models(config: Any) -> Any:
    """Name models by their digests: the codec's own configuration, beside, holds the decoders."""
    if not isinstance(config, dict):
        return config
    return {k: _without_models(v) for k, v in config.items() if not (k == "inline" and "digest" in config)}


def rechunked(variable: xr.DataArray, encoding: Mapping[str, Any]) -> xr.DataArray:
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
