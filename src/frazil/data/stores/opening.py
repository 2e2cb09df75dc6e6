"""Open a store or a Dataset and find in it what can be trained on."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import FrazilError, StoreError

if TYPE_CHECKING:
    import xarray as xr
    import zarr

_BOUND_DIMS = {"bnds", "bounds", "bound", "nv", "nbnd", "nbnds", "vertices", "axis_nbounds"}
_TARGET_BYTES = 1 << 20  # of a block of a Dataset that nobody divided into chunks


@dataclass(frozen=True)
class Location:
    """Where a group is: a path or URL, or a store and the path of the group in it.

    Parameters
    ----------
    base : str or zarr store
    path : str
        Of the group in a store object.
    group : str
        Below that.
    """

    base: Any
    path: str = ""
    group: str = ""

    def __str__(self) -> str:
        """For messages."""
        return "/".join(part for part in (str(self.base), self.path, self.group) if part)

    def open(self) -> zarr.Group:
        """Open the group for reading.

        Raises
        ------
        StoreError
            If there is none.
        """
        import zarr

        from frazil.sources import open_group

        if isinstance(self.base, str):
            root: Any = open_group(self.base)
        else:
            try:
                root = zarr.open_group(self.base, path=self.path, mode="r")
            except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
                raise StoreError(f"{self} is not a Zarr group that can be read: {error}") from error
        if not self.group:
            return root  # type: ignore[no-any-return]
        try:
            found = root[self.group]
        except KeyError:
            there = ", ".join(sorted(root.group_keys())) or "none"
            raise StoreError(
                f"there is no group {self.group!r} in {self.base}; groups there: {there}"
            ) from None
        if not isinstance(found, zarr.Group):
            raise StoreError(f"{self} is an array; give the group that holds it")
        return found

    def in_child(self) -> Location:
        """For a process that was forked: a store with connections of its own."""
        from zarr.storage import LocalStore, MemoryStore

        if isinstance(self.base, (str, LocalStore, MemoryStore)):
            return self
        try:
            return Location(pickle.loads(pickle.dumps(self.base)), self.path, self.group)  # noqa: S301 - our own object
        except (TypeError, AttributeError, pickle.PickleError):
            return self


def locate(store: Any, group: str | None) -> Location | xr.Dataset:
    """Say what was given: a path, URL, Zarr store or group (`Location`), or a Dataset (itself).

    Raises
    ------
    StoreError
        If it is none of them.
    """
    if isinstance(store, (str, Path)):
        text = str(store)
        text = text if "://" in text or "::" in text else os.path.abspath(text)  # noqa: PTH100 - Path.absolute keeps ".."
        return Location(text, "", (group or "").strip("/"))
    if type(store).__module__.startswith("xarray."):
        import xarray as xr

        if isinstance(store, xr.Dataset):
            if group:
                raise StoreError(f"group={group!r} was given with a Dataset, which has no groups")
            return store
    import zarr
    from zarr.abc.store import Store

    if isinstance(store, zarr.Group):
        return Location(store.store, store.path, (group or "").strip("/"))
    if isinstance(store, Store):
        return Location(store, "", (group or "").strip("/"))
    raise StoreError(
        f"a store is a path, a URL, a Zarr store or group, or an xarray Dataset; got {type(store).__name__}"
    )


@dataclass(frozen=True)
class Contents:
    """What was found in a group or a Dataset.

    Parameters
    ----------
    raw : xarray.Dataset
        Undecoded where it comes from a store.
    coords : xarray.Dataset
        Coordinates, decoded.
    names : tuple of str
        Numeric data variables.
    group : zarr.Group or None
        None for a Dataset.
    """

    raw: xr.Dataset
    coords: xr.Dataset
    names: tuple[str, ...]
    group: zarr.Group | None = None


def contents_of_group(group: zarr.Group, label: str) -> Contents:
    """List what a Zarr group holds.

    Raises
    ------
    StoreError
        If its arrays do not say their dimensions, or contradict each other, or their times cannot be decoded.
    """
    import xarray as xr

    from frazil.models.beside import register_for

    consolidated = group.metadata.consolidated_metadata is not None and not group.path
    try:
        raw = xr.open_zarr(
            group.store, group=group.path or None, consolidated=consolidated, chunks=None, decode_cf=False
        )
        about = _named_in_attributes(raw)
        coordinates = [name for name in raw.variables if name in raw.coords or name in about]
        coords = xr.decode_cf(raw[coordinates].drop_attrs(deep=False), decode_timedelta=False)
        coords = coords.set_coords(list(coords.variables))
    except (KeyError, ValueError, TypeError) as error:
        raise StoreError(f"{label} cannot be opened as an xarray Dataset: {error}") from error
    register_for(raw.variables.values(), lambda: group)
    names = sorted(
        str(name)
        for name, variable in raw.variables.items()
        if name not in coordinates and _is_data(str(name), variable, raw)
    )
    return Contents(raw, coords, tuple(names), group)


def contents_of_dataset(dataset: xr.Dataset) -> Contents:
    """List what a Dataset holds."""
    about = _named_in_attributes(dataset)
    names = tuple(
        str(name)
        for name, variable in dataset.data_vars.items()
        if name not in about and _is_data(str(name), variable.variable, dataset)
    )
    return Contents(dataset, dataset.coords.to_dataset(), names)


def block_shape(variable: xr.Variable, sample_dim: str) -> tuple[int, ...]:
    """Shape of the blocks in which a Dataset's variable is read.

    dask's chunks, or the file's; where there are none, some steps of ``sample_dim`` that take a mebibyte.
    """
    if variable.chunks is not None:
        return tuple(max(lengths, default=1) or 1 for lengths in variable.chunks)
    preferred = variable.encoding.get("preferred_chunks") or {}
    if set(preferred) >= set(variable.dims):
        sizes = [preferred[dim] for dim in variable.dims]
        if all(isinstance(size, int) and size > 0 for size in sizes):
            return tuple(min(size, max(n, 1)) for size, n in zip(sizes, variable.shape, strict=True))
    whole = dict(zip(variable.dims, variable.shape, strict=True))
    if sample_dim in whole:
        rest = int(np.prod([n for dim, n in whole.items() if dim != sample_dim])) * variable.dtype.itemsize
        whole[sample_dim] = min(max(_TARGET_BYTES // max(rest, 1), 1), max(whole[sample_dim], 1))
    return tuple(max(n, 1) for n in whole.values())


def located_error(error: Exception, where: str) -> Exception:
    """Return ``error`` with ``where`` in front: of the same class if it is ours, else a FormatError."""
    from frazil.errors import FormatError

    if isinstance(error, FrazilError):
        return type(error)(f"{where}: {error}")
    return FormatError(f"{where}: the chunk cannot be decoded: {type(error).__name__}: {error}")


def _is_data(name: str, variable: xr.Variable, dataset: xr.Dataset) -> bool:
    units = variable.attrs.get("units")
    return (
        variable.dtype.kind in "iufb"
        and variable.ndim > 0
        and not _BOUND_DIMS & set(map(str, variable.dims))
        and not (name.endswith("_bound") and name.removesuffix("_bound") in dataset.variables)
        and not (isinstance(units, str) and " since " in units)
        and "timedelta" not in str(variable.attrs.get("dtype", ""))
    )


def _named_in_attributes(dataset: xr.Dataset) -> set[str]:
    """Names of variables that others call their coordinates, bounds or grid mapping."""
    named: set[str] = set(str(dataset.attrs.get("coordinates", "")).split())
    for variable in dataset.variables.values():
        for holder in (variable.attrs, variable.encoding):
            for key in ("coordinates", "bounds", "grid_mapping", "cell_measures"):
                named |= set(str(holder.get(key, "")).replace(":", " ").split())
    return named
