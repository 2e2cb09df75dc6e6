"""What ``to_zarr(bounds=...)`` is given, as one bound or one array of bounds for each variable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from frazil.bounds import parse
from frazil.chunk_bounds import SUFFIX
from frazil.errors import ConfigurationError

_SLAB_POINTS = 1 << 24  # of a variable that is still in a file, read at once

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import numpy.typing as npt

    from frazil.codecs.base import PlaneCodec

    Codecs = dict[Hashable, PlaneCodec]
    Arrays = dict[Hashable, xr.Variable]


def name_bounds(ds: xr.Dataset, codec: Any, bounds: Any) -> dict[Hashable, Any]:
    """Return bounds by name, also where those of a single variable come without one.

    Raises
    ------
    ConfigurationError
        If they come without, and it is not a single variable that is coded.

    Examples
    --------
    >>> name_bounds(xr.Dataset({"t": ("x", [1.0])}), None, 0.1)
    {'t': 0.1}
    """
    if bounds is None:
        return {}
    if isinstance(bounds, Mapping):
        return dict(bounds)
    names = list(codec if isinstance(codec, Mapping) else ds.data_vars)
    if len(names) != 1:
        raise ConfigurationError(
            f"bounds= names no variable, and there are {', '.join(map(str, names))}; "
            "give bounds={name: array}"
        )
    return {names[0]: bounds}


def assign_bounds(ds: xr.Dataset, codecs: Codecs, bounds: Mapping[Hashable, Any]) -> tuple[Codecs, Arrays]:
    """Give each codec its bound, and each that wants an array of bounds the array.

    Parameters
    ----------
    ds : xarray.Dataset
    codecs : dict of name to PlaneCodec
        The variables that are to be coded.
    bounds : mapping of name to number, text or array
        As `frazil.to_zarr` takes them. Where a codec wants an array and none
        is given, the dataset's own variable ``<name>_bound`` is taken.

    Returns
    -------
    codecs : dict of name to PlaneCodec
        With ``bound="array"`` or another bound that was given.
    arrays : dict of name to xarray.Variable
        The arrays, of the axes that they were given with, in the variable's order.

    Raises
    ------
    ConfigurationError
        If a name is unknown, a codec takes no bound, an array does not fit, or is missing.
    """
    unknown = [str(name) for name in bounds if name not in codecs]
    if unknown:
        raise ConfigurationError(
            f"bounds= names {', '.join(unknown)}; "
            f"the variables that have a codec are {', '.join(map(str, codecs))}"
        )
    chosen, arrays = dict(codecs), {}
    for name, codec in codecs.items():
        given = bounds.get(name)
        if given is None and codec.wants_bounds and f"{name}{SUFFIX}" in ds:
            given = ds[f"{name}{SUFFIX}"]
        if given is None:
            if codec.wants_bounds or _lacks_bound(codec):
                raise ConfigurationError(
                    f"{codec.codec_id} has no bound for {name!r}: give bounds={{{name!r}: number or array}}, "
                    "or name in codec= only the variables that are to be coded"
                )
            continue
        single = isinstance(given, str) or np.ndim(given) == 0
        chosen[name] = _bounded(codec, name, _scalar(given) if single else "array")
        if not single:
            arrays[name] = _array(given, ds[name])
    return chosen, arrays


def stored_bounds(ds: xr.Dataset, arrays: Arrays) -> dict[Hashable, xr.Variable]:
    """Return the arrays as variables ``<name>_bound`` of the full shape.

    Raises
    ------
    ConfigurationError
        If ``ds`` has a variable of that name.
    """
    found: dict[Hashable, xr.Variable] = {}
    for name, bounds in arrays.items():
        beside = f"{name}{SUFFIX}"
        if beside in ds:
            raise ConfigurationError(f"the dataset has a variable {beside!r} itself; drop store_bounds=")
        attrs = {"long_name": f"largest absolute error of {name}"}
        attrs |= {key: value for key, value in ds[name].attrs.items() if key == "units"}
        full = bounds.set_dims(ds[name].sizes)  # type: ignore[no-untyped-call] # xarray's
        found[beside] = xr.Variable(ds[name].dims, full.data, attrs)
    return found


def resolve_ranges(ds: xr.Dataset, codecs: Codecs) -> Codecs:
    """Turn bounds relative to the range of the whole array into numbers; reads those arrays once.

    Parameters
    ----------
    ds : xarray.Dataset
        Where variables are dask arrays, one pass over their chunks finds the ranges.
    codecs : dict of name to PlaneCodec

    Examples
    --------
    >>> resolve_ranges(xr.Dataset(), {})
    {}
    """
    whole = {name: parse(codec.bound) for name, codec in codecs.items() if _is_relative(codec)}
    if not whole:
        return codecs
    from dask.base import compute

    parts = {name: _extremes(ds.variables[name], codecs[name]) for name in whole}
    (found,) = compute(parts)  # type: ignore[no-untyped-call] # dask's
    numbers = {}
    for name, bound in whole.items():
        low = min((low for low, _ in found[name]), default=math.inf)
        high = max((high for _, high in found[name]), default=-math.inf)
        span = np.array([low, high]) if low <= high else np.zeros(2)
        number = replace(bound, whole=False).resolve(span.reshape(1, 1, 2))
        numbers[name] = number * (1 - 2.0**-22)  # whoever checks it may compute the range in single precision
    return codecs | {name: _bounded(codecs[name], name, number) for name, number in numbers.items()}


def _lacks_bound(codec: PlaneCodec) -> bool:
    """Whether a codec has to be given its bound; learned codecs do without."""
    return getattr(codec, "bound", 0) is None and not getattr(codec, "bound_is_optional", False)


def _is_relative(codec: PlaneCodec) -> bool:
    bound = getattr(codec, "bound", None)
    return isinstance(bound, str) and parse(bound).whole


def _bounded(codec: PlaneCodec, name: Hashable, bound: Any) -> PlaneCodec:
    if not hasattr(codec, "bound"):
        raise ConfigurationError(
            f"bounds= names {name!r}, and {codec.codec_id} keeps none; wrap it: frazil.Bounded(base=...)"
        )
    return replace(codec, bound=bound)  # type: ignore[call-arg] # it has the field


def _scalar(given: Any) -> Any:
    return given if isinstance(given, str) else float(given)


def _array(given: Any, variable: xr.DataArray) -> xr.Variable:
    """Bring an array of bounds into the order of the variable's axes, and see that it fits."""
    name = variable.name
    if isinstance(given, xr.DataArray | xr.Variable):
        other = [str(dim) for dim in given.dims if dim not in variable.dims]
        if other:
            raise ConfigurationError(f"the bounds of {name!r} have the axis {', '.join(other)}, it has not")
        if isinstance(given, xr.DataArray):
            _check_places(given, variable)
        bounds = given.variable if isinstance(given, xr.DataArray) else given
        bounds = bounds.transpose(*(dim for dim in variable.dims if dim in bounds.dims))
    else:
        data = given if hasattr(given, "dask") else np.asarray(given)
        if data.ndim > variable.ndim:
            raise ConfigurationError(f"the bounds of {name!r} have {data.ndim} axes, it has {variable.ndim}")
        dims = variable.dims[variable.ndim - data.ndim :]
        bounds = xr.Variable(dims, data)
        single = [d for d in dims if bounds.sizes[d] == 1 != variable.sizes[d]]
        bounds = bounds.squeeze(single)  # type: ignore[no-untyped-call] # xarray's
    wrong = [f"{dim} {n}" for dim, n in bounds.sizes.items() if variable.sizes[dim] != n]
    if wrong:
        raise ConfigurationError(
            f"the bounds of {name!r} have {', '.join(wrong)} points, it has {dict(variable.sizes)}; "
            "bring them onto its grid with frazil.bounds.from_spread"
        )
    if bounds.dtype.kind not in "fiu":
        raise ConfigurationError(f"the bounds of {name!r} hold numbers, got dtype {bounds.dtype}")
    return bounds


def _check_places(bounds: xr.DataArray, variable: xr.DataArray) -> None:
    """Refuse bounds whose coordinates are others than the variable's: upside down, or of another hour."""
    for dim in bounds.dims:
        if dim not in bounds.indexes or dim not in variable.indexes:
            continue
        theirs, ours = bounds.indexes[dim].to_numpy(), variable.indexes[dim].to_numpy()
        if theirs.shape != ours.shape:
            continue  # said with the lengths of all axes
        if ours.dtype.kind in "fiu" and theirs.dtype.kind in "fiu":
            steps = np.abs(np.diff(ours.astype(np.float64)))
            slack = 1e-3 * steps.min() if steps.size else 1e-6 * np.abs(ours).max(initial=0)
            same = bool((np.abs(theirs - ours.astype(np.float64)) <= slack).all())  # float32 beside float64
        else:
            same = bool((theirs == ours).all())
        if not same:
            raise ConfigurationError(
                f"the bounds of {variable.name!r} lie at other places along {dim!r} than it does; bring them "
                "onto its grid with frazil.bounds.from_spread, or drop their coordinate"
            )


def _extremes(variable: xr.Variable, codec: PlaneCodec) -> list[Any]:
    """Smallest and largest value of each part, to be computed by dask."""
    from dask.delayed import delayed

    sentinels = [
        source[key]
        for source in (variable.attrs, variable.encoding)
        for key in ("_FillValue", "missing_value")
        if key in source
    ]
    sentinels += [codec.missing] if codec.missing is not None else []
    if variable.chunks is not None:
        find = delayed(_range_of, pure=False)
        return [find(part, sentinels) for part in variable.data.to_delayed().ravel()]
    if not variable.ndim:
        return [_range_of(variable.values, sentinels)]
    step = max(_SLAB_POINTS * len(variable) // max(variable.size, 1), 1)
    return [_range_of(variable[k : k + step].values, sentinels) for k in range(0, len(variable), step)]


def _range_of(part: npt.NDArray[Any], sentinels: Sequence[Any]) -> tuple[float, float]:
    values = np.asarray(part)
    known = np.isfinite(values)
    for sentinel in sentinels:
        known &= values != np.asarray(sentinel).astype(values.dtype)
    values = values[known]
    return (float(values.min()), float(values.max())) if values.size else (math.inf, -math.inf)
