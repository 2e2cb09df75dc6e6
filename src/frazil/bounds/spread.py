"""Bounds from a coarse uncertainty field, such as the spread of an ensemble on its own grid and times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

TURN = 360.0
LONGITUDES = ("longitude", "lon")
KEPT = ("units", "grid_mapping")


def from_spread(data: xr.DataArray, spread: xr.DataArray, *, fraction: float = 1.0) -> xr.DataArray:
    """Interpolate ``fraction`` of an uncertainty field onto the points of ``data``.

    Linear along each axis that both have, and the nearest value beyond the
    ends. Axes that only ``data`` has repeat the spread. Longitudes may be
    counted from -180 or from 0, and go around where the spread does.

    Parameters
    ----------
    data : xarray.DataArray
        What is to be compressed. Only its coordinates are used, and its
        chunks: where ``data`` or ``spread`` is a dask array, so is the result.
    spread : xarray.DataArray
        For example the standard deviation of ERA5's ten-member ensemble, half
        as fine in space and every three hours. In the units of ``data``; 0 or
        more. Its axes have coordinates, in either direction, on axes of ``data``.
    fraction : float, default 1
        Of the spread; more than 0.

    Returns
    -------
    xarray.DataArray
        float32, of the shape of ``data``, named ``<name>_bound``: what
        ``frazil.to_zarr(bounds=)`` takes.

    Raises
    ------
    ConfigurationError
        If the two do not lie on common axes, or nowhere overlap.

    Examples
    --------
    >>> import xarray as xr
    >>> t2m = xr.DataArray(np.zeros((4, 2)), {"time": range(4), "lat": [10, 0]}, ["time", "lat"], name="t2m")
    >>> spread = xr.DataArray([0.3, 0.9], {"time": [0, 3]}, ["time"])
    >>> bound = from_spread(t2m, spread, fraction=0.5)
    >>> bound.name, bound.values[:, 0]
    ('t2m_bound', array([0.15, 0.25, 0.35, 0.45], dtype=float32))
    """
    import xarray as xr

    if not (isinstance(data, xr.DataArray) and isinstance(spread, xr.DataArray)):
        found = ", ".join(type(given).__name__ for given in (data, spread))
        raise ConfigurationError(f"from_spread interpolates an xarray.DataArray onto another, got {found}")
    if isinstance(fraction, bool) or not 0 < fraction < np.inf:
        raise ConfigurationError(f"the fraction of the spread is a finite number above 0, got {fraction!r}")
    if spread.dtype.kind not in "fiu":
        raise ConfigurationError(f"the spread holds numbers, got dtype {spread.dtype}")
    chunks = data.chunksizes or None
    # As fine as the result is kept: half the time of float64 for the spreads that people have.
    field = spread.reset_coords(drop=True).astype(np.result_type(spread.dtype, np.float32))
    steps = {str(dim): _place(data, spread, str(dim)) for dim in spread.dims}
    if chunks:
        # Pieces that do not become much larger than the data's, however coarse the spread is.
        field = field.chunk({dim: _piece(chunks[dim], data.sizes[dim], spread.sizes[dim]) for dim in steps})
    # The axis that grows least goes first, and the fastest before the slower ones: what follows is larger.
    growth = {dim: (data.sizes[dim] / spread.sizes[dim], -axis) for axis, dim in enumerate(steps)}
    for dim in sorted(growth, key=growth.__getitem__):
        field = _along(field, dim, *steps[dim])
    # Interpolation between numbers of 0 or more is 0 or more, but for rounding.
    field = (field * fraction).clip(min=0).astype(np.float32)
    missing = {dim: data.sizes[dim] for dim in data.dims if dim not in field.dims}
    field = field.expand_dims(missing).transpose(*data.dims)
    field = field.assign_coords({name: data[name] for name in data.coords})
    if chunks:
        field = field.chunk(chunks)
    return _named(field, data, spread, fraction)


def _named(field: xr.DataArray, data: xr.DataArray, spread: xr.DataArray, fraction: float) -> xr.DataArray:
    what = data.attrs.get("long_name") or data.name or "the data"
    field.name = f"{data.name or 'data'}_bound"
    field.attrs = {key: data.attrs[key] for key in KEPT if key in data.attrs}
    if "units" not in field.attrs and "units" in spread.attrs:
        field.attrs["units"] = spread.attrs["units"]
    field.attrs["long_name"] = f"largest absolute error of {what}"
    source = spread.attrs.get("long_name") or spread.name or "an uncertainty field"
    field.attrs["source"] = f"{float(fraction):g} of {source}, interpolated linearly"
    return field


def _place(
    data: xr.DataArray, spread: xr.DataArray, dim: str
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Index below, index above and the latter's weight: where the data's points lie among the spread's."""
    if dim not in data.dims:
        raise ConfigurationError(
            f"the spread has an axis {dim!r}, the data have {', '.join(map(repr, data.dims))}; "
            "rename it, or select or reduce along it"
        )
    if dim not in spread.indexes or dim not in data.indexes:
        if data.sizes[dim] == spread.sizes[dim] and dim not in spread.indexes and dim not in data.indexes:
            same = np.arange(data.sizes[dim])
            return same, same, np.zeros(same.size)
        which = "the spread" if dim not in spread.indexes else "the data"
        raise ConfigurationError(f"axis {dim!r} of {which} has no coordinate to interpolate along")
    targets, points = _numbers(data[dim], spread[dim])
    if not points.size:
        raise ConfigurationError(f"the spread is empty along {dim!r}")
    turn = _is_longitude(spread[dim]) or _is_longitude(data[dim])
    if turn:
        # Into the turn around the middle of the spread, wherever its longitudes start.
        middle = (points.min() + points.max()) / 2
        targets = (targets - middle + TURN / 2) % TURN + middle - TURN / 2
    order = np.argsort(points, kind="stable")
    points = points[order]
    if (np.diff(points) == 0).any():
        raise ConfigurationError(f"the spread's coordinate {dim!r} holds a value twice")
    gap = TURN - (points[-1] - points[0])
    if turn and points.size > 1 and gap <= 1.5 * np.diff(points).max():
        if gap < 1e-3:  # it ends where it began
            points, order = points[:-1], order[:-1]
        points = np.concatenate([points[-1:] - TURN, points, points[:1] + TURN])
        order = np.concatenate([order[-1:], order, order[:1]])
    elif targets.size and (targets.max() < points[0] or targets.min() > points[-1]):
        raise ConfigurationError(
            f"data and spread do not overlap along {dim!r}: the data go {_ends(data[dim])}, "
            f"the spread {_ends(spread[dim])}"
        )
    targets = np.clip(targets, points[0], points[-1])
    above = np.clip(np.searchsorted(points, targets), 1, max(points.size - 1, 1))
    if points.size == 1:
        zero = np.zeros(targets.size, np.intp)
        return order[zero], order[zero], np.zeros(targets.size)
    below = above - 1
    weight = (targets - points[below]) / (points[above] - points[below])
    # At a point of the spread its neighbour, which may be missing, has no say.
    above, below = np.where(weight == 0, below, above), np.where(weight == 1, above, below)
    return order[below], order[above], weight


def _numbers(targets: xr.DataArray, points: xr.DataArray) -> tuple[Any, Any]:
    """Both coordinates as float64; times as days since the first of the spread's."""
    kinds = {coordinate.dtype.kind for coordinate in (targets, points)}
    if kinds <= set("fiu"):
        numbers = targets.values.astype(np.float64), points.values.astype(np.float64)
    elif kinds == {"M"} and points.size:
        day = np.timedelta64(1, "D")
        first = points.values[0]
        numbers = (targets.values - first) / day, (points.values - first) / day
    elif kinds == {"O"} and points.size:  # calendars of cftime
        first = points.values[0]
        numbers = _days(targets.values - first), _days(points.values - first)
    else:
        found = " and ".join(str(coordinate.dtype) for coordinate in (targets, points))
        raise ConfigurationError(
            f"cannot interpolate along {points.name!r}: coordinates are {found}, expected numbers or times"
        )
    if not all(np.isfinite(values).all() for values in numbers):
        raise ConfigurationError(f"a coordinate {points.name!r} is not finite everywhere")
    return numbers


def _days(distances: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.array([distance.total_seconds() / 86400 for distance in distances])


def _along(
    field: xr.DataArray,
    dim: str,
    below: npt.NDArray[np.intp],
    above: npt.NDArray[np.intp],
    weight: npt.NDArray[np.float64],
) -> xr.DataArray:
    import xarray as xr

    field = field.drop_vars(dim, errors="ignore")
    share = xr.DataArray(weight.astype(field.dtype), dims=[dim])
    low, high = field.isel({dim: below}), field.isel({dim: above})
    return low + (high - low) * share


def _piece(chunks: tuple[int, ...], size: int, points: int) -> int:
    """Points of the spread in a piece that becomes about one chunk of the data."""
    return max(1, -(-max(chunks) * points // size))


def _is_longitude(coordinate: xr.DataArray) -> bool:
    attributes = coordinate.attrs
    return (
        str(coordinate.name).lower() in LONGITUDES
        or attributes.get("standard_name") == "longitude"
        or str(attributes.get("units", "")).lower() in {"degrees_east", "degree_east"}
    )


def _ends(coordinate: xr.DataArray) -> str:
    return f"from {coordinate.values.min()} to {coordinate.values.max()}"
