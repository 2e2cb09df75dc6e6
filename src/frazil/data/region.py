"""Coordinate values into ranges of points: regions, times, patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from frazil.data.stores import StoreReader


def find_area(
    reader: StoreReader, sizes: Mapping[str, int], region: Mapping[str, Any]
) -> tuple[tuple[int, int], ...]:
    """Ranges of points along the spatial axes that a region of coordinate values covers.

    Raises
    ------
    ConfigurationError
        If it names no spatial axis, or holds no points.
    """
    for dim in region:
        if dim not in reader.spatial:
            raise ConfigurationError(
                f"region= names {dim!r}; the spatial axes are {', '.join(map(repr, reader.spatial))}"
            )
    return tuple(_points(reader, dim, sizes[dim], region.get(dim)) for dim in reader.spatial)


def find_steps(reader: StoreReader, length: int, times: Any) -> tuple[int, int] | None:
    """Range of steps that a slice of times covers; None for all.

    Raises
    ------
    ConfigurationError
        If it holds no steps.
    """
    return None if times is None else _points(reader, reader.sample_dim, length, times)


def patch_sizes(
    patch: Any, spatial: Sequence[str], area: tuple[tuple[int, int], ...]
) -> tuple[int, ...] | None:
    """Points of a patch along each spatial axis; an axis that is not named is not cut.

    Examples
    --------
    >>> patch_sizes({"lon": 64}, ("lat", "lon"), ((0, 181), (0, 360)))
    (181, 64)
    """
    if patch is None:
        return None
    whole = {dim: high - low for dim, (low, high) in zip(spatial, area, strict=True)}
    if isinstance(patch, int):
        patch = dict.fromkeys(spatial, patch)
    if not isinstance(patch, dict):
        if len(patch) != len(spatial):
            raise ConfigurationError(
                f"patch={patch!r} gives {len(patch)} sizes; the spatial axes are {spatial}"
            )
        patch = dict(zip(spatial, patch, strict=True))
    unknown = [dim for dim in patch if dim not in whole]
    if unknown:
        raise ConfigurationError(f"patch= names {unknown[0]!r}; the spatial axes are {', '.join(spatial)}")
    return tuple(int(patch.get(dim, size)) for dim, size in whole.items())


def _points(reader: StoreReader, dim: str, size: int, wanted: Any) -> tuple[int, int]:
    if wanted is None:
        return 0, size
    if not isinstance(wanted, slice) or wanted.step is not None:
        raise ConfigurationError(f"along {dim!r} a range is wanted, slice(first, last); got {wanted!r}")
    values = reader.coordinate(dim)
    if values is None:
        low, high, _ = wanted.indices(size)
        found = np.arange(low, high)
    else:
        try:
            found = _between(values, wanted)
        except (TypeError, KeyError, ValueError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(
                f"{wanted.start!r} to {wanted.stop!r} is no range along {dim!r}, which holds {values[0]} to "
                f"{values[-1]}: {error}"
            ) from error
    if not found.size:
        held = "" if values is None else f", which holds {values[0]} to {values[-1]}"
        raise ConfigurationError(
            f"there are no points between {wanted.start} and {wanted.stop} along {dim!r}{held}"
        )
    return int(found[0]), int(found[-1]) + 1


def _between(values: npt.NDArray[Any], wanted: slice) -> npt.NDArray[np.intp]:
    """Positions of the values between both ends, included, in either order."""
    import xarray as xr

    index: Any = xr.Variable(("values",), values).to_index()
    if not (index.is_monotonic_increasing or index.is_monotonic_decreasing):
        raise ConfigurationError("the coordinate neither rises nor falls; sort it before choosing a range")
    found: npt.NDArray[np.intp] = np.arange(len(index))[index.slice_indexer(wanted.start, wanted.stop)]
    if not found.size and wanted.start is not None and wanted.stop is not None:
        found = np.arange(len(index))[index.slice_indexer(wanted.stop, wanted.start)]
    return found
