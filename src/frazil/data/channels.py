"""Name the channels of a batch: a variable, or one of its levels."""

from __future__ import annotations

import difflib
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from frazil.data.stores import StoredArray, StoreReader

_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Channel:
    """One field at a time.

    Parameters
    ----------
    name : str
        ``t2m``, ``z@500``, or ``z@500@3`` where a variable has two further axes.
    variable : str
    at : tuple of int
        Index along each axis of the variable that is neither the sample's nor spatial, in its order.
    """

    name: str
    variable: str
    at: tuple[int, ...] = ()


def further_dims(array: StoredArray, reader: StoreReader) -> tuple[str, ...]:
    """Dimensions of a variable that are neither the sample's nor spatial; of latents, that of their number.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from frazil.data.stores import StoreReader
    >>> z = xr.DataArray(np.zeros((5, 2, 4, 8)), dims=("time", "level", "lat", "lon"))
    >>> reader = StoreReader(xr.Dataset({"z": z}))
    >>> further_dims(reader.array("z"), reader)
    ('level',)
    """
    return tuple(dim for dim in array.dims if dim not in (reader.sample_dim, *reader.spatial))


def parse_channels(reader: StoreReader, variables: Any = None) -> tuple[Channel, ...]:
    """Turn what a user writes into channels, in the order written.

    Parameters
    ----------
    reader : StoreReader
    variables : optional
        None: every variable with the sample dimension and all spatial ones, all
        its levels. Else a name, a list of names and of pairs ``("z", [500, 850])``,
        or a mapping ``{"z": [500, 850], "t2m": None}``. Where a variable has several
        further axes: ``("z", {"level": [500], "member": [0]})``; axes left out are
        taken whole. Values are those of the axis' coordinate (nearest within a
        millionth), or indices where it has none.

    Returns
    -------
    tuple of Channel

    Raises
    ------
    StoreError
        If there is no such variable.
    ConfigurationError
        If a variable has no such value, is no field of samples, or a channel is asked for twice.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from frazil.data.stores import StoreReader
    >>> z = xr.DataArray(np.zeros((5, 2, 4, 8)), dims=("time", "level", "lat", "lon"))
    >>> reader = StoreReader(xr.Dataset({"z": z.assign_coords(level=[500, 850])}))
    >>> [channel.name for channel in parse_channels(reader)]
    ['z@500', 'z@850']
    """
    channels = tuple(
        itertools.chain.from_iterable(_of_variable(reader, *item) for item in _requests(reader, variables))
    )
    names = [channel.name for channel in channels]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"the channels {', '.join(twice)} are asked for more than once")
    if not channels:
        raise ConfigurationError(
            f"no variable has the dimensions {', '.join((reader.sample_dim, *reader.spatial))}; "
            f"variables are {', '.join(reader.names) or 'none'}"
        )
    return channels


def _requests(reader: StoreReader, variables: Any) -> list[tuple[str, Any]]:
    """List pairs of a variable's name and what is wanted of it."""
    if variables is None:
        wanted = {reader.sample_dim, *reader.spatial}
        return [(name, None) for name in reader.names if wanted <= set(reader.array(name).dims)]
    if isinstance(variables, str):
        return [(variables, None)]
    if hasattr(variables, "items"):
        return [(str(name), at) for name, at in variables.items()]
    if isinstance(variables, tuple) and _is_pair(variables):
        return [(variables[0], variables[1])]
    requests: list[tuple[str, Any]] = []
    for item in variables:
        if isinstance(item, str):
            requests.append((item, None))
        elif _is_pair(item):
            requests.append((item[0], item[1]))
        else:
            raise ConfigurationError(
                f"variables= lists names and pairs such as ('z', [500, 850]); got {item!r} in it"
            )
    return requests


def _is_pair(item: Any) -> bool:
    return (
        isinstance(item, (tuple, list))
        and len(item) == 2
        and isinstance(item[0], str)
        and not isinstance(item[1], str)
    )


def _of_variable(reader: StoreReader, name: str, wanted: Any) -> Iterable[Channel]:
    array = reader.array(name)
    if absent := [dim for dim in (reader.sample_dim, *reader.spatial) if dim not in array.dims]:
        raise ConfigurationError(
            f"{name!r} has the dimensions {', '.join(array.dims)}, not {', '.join(absent)}: no field of "
            "samples; give it as one of statics= if it does not change with time"
        )
    dims = further_dims(array, reader)
    sizes = dict(zip(array.dims, array.shape, strict=True))
    by_dim = _by_dim(name, dims, sizes, wanted)
    axes = [_along(reader, name, dim, sizes[dim], by_dim.get(dim)) for dim in dims]
    for choice in itertools.product(*axes):
        label = "".join(f"@{text}" for _, text in choice)
        yield Channel(f"{name}{label}", name, tuple(index for index, _ in choice))


def _by_dim(name: str, dims: Sequence[str], sizes: Mapping[str, int], wanted: Any) -> dict[str, Any]:
    """Wanted values for each further dimension; those left out are taken whole."""
    if wanted is None:
        return {}
    if hasattr(wanted, "items"):
        if unknown := [str(dim) for dim in wanted if dim not in dims]:
            raise ConfigurationError(
                f"{name!r} has no further dimension {unknown[0]!r}; it has {', '.join(dims) or 'none'}"
            )
        return dict(wanted)
    long = [dim for dim in dims if sizes[dim] > 1] or list(dims)
    if len(long) != 1:
        has = f"{len(long)} further dimensions: {', '.join(long)}" if long else "no further dimension"
        hint = f"; write {{{long[0]!r}: [...], ...}}" if long else "; leave the values out"
        raise ConfigurationError(f"{name!r} has {has}, so {wanted!r} cannot be looked up{hint}")
    return {long[0]: wanted}


def _along(reader: StoreReader, name: str, dim: str, size: int, wanted: Any) -> list[tuple[int, str]]:
    """Index and label of each wanted value of one dimension."""
    values = reader.coordinate(dim)
    if wanted is None:
        return [(k, _label(values[k] if values is not None else k)) for k in range(size)]
    listed = [wanted] if np.ndim(wanted) == 0 else list(wanted)
    return [_find(name, dim, size, values, value) for value in listed]


def _find(name: str, dim: str, size: int, values: Any, wanted: Any) -> tuple[int, str]:
    if values is None:
        if not isinstance(wanted, (int, np.integer)) or not -size <= wanted < size:
            raise ConfigurationError(
                f"{name!r} has no coordinate along {dim!r}: its values are the indices 0 to {size - 1}, "
                f"got {wanted!r}"
            )
        return int(wanted) % size, _label(int(wanted) % size)
    if values.dtype.kind in "iufb" and isinstance(wanted, (int, float, np.number)):
        distance = np.abs(values.astype(float) - float(wanted))
        index = int(np.argmin(distance))
        if distance[index] <= _TOLERANCE * max(abs(float(wanted)), math.ulp(1.0)):
            return index, _label(values[index])
    else:
        texts = [_label(value) for value in values]
        if _label(wanted) in texts:
            index = texts.index(_label(wanted))
            return index, texts[index]
    there = [_label(value) for value in values]
    close = difflib.get_close_matches(_label(wanted), there, 1, 0.8)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise ConfigurationError(f"{name!r} has no {dim} {wanted!r}{hint}; there are {', '.join(there)}")


def _label(value: Any) -> str:
    """Short text of a coordinate's value: 500 for 500.0."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, np.floating)):
        return format(float(value), ".9g")
    return str(value)
