"""Open what is to be compressed, and make a place for what comes out of it.

A source is NetCDF or Zarr, a path or a URL that fsspec knows. A destination
is a Zarr store that never looks complete before it is: a local one is written
under another name and renamed at the end, a remote one carries the attribute
`INCOMPLETE` until the end.
"""

from __future__ import annotations

import contextlib
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frazil.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr
    import zarr

INCOMPLETE = "frazil_incomplete"
DOCUMENTS = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")
HDF5, NETCDF3 = b"\x89HDF\r\n\x1a\n", b"CDF"


def is_url(location: str) -> bool:
    """Whether fsspec, not the file system, finds ``location``.

    Examples
    --------
    >>> is_url("s3://bucket/a.zarr"), is_url("/data/a.zarr")
    (True, False)
    """
    return "://" in location or "::" in location


def open_source(location: str | Path) -> xr.Dataset:
    """Open NetCDF or Zarr at a path or URL, lazily; values are masked, scaled and dated as CF says.

    Raises
    ------
    StoreError
        If nothing is there, or it is neither, or it is a store whose writing was interrupted.
    """
    text = str(location)
    if not is_url(text) and not Path(text).exists():
        raise StoreError(f"there is nothing at {text}")
    opened = _open_zarr(text) if is_zarr(text) else _open_netcdf(text)
    if not opened.variables:
        raise StoreError(f"{text} holds no variables at its root")
    return opened


def _open_zarr(location: str) -> xr.Dataset:
    import xarray as xr

    from frazil.models.beside import register_for

    group = open_group(location)
    consolidated = group.metadata.consolidated_metadata is not None
    opened: xr.Dataset = xr.open_zarr(group.store, consolidated=consolidated, chunks=None)
    register_for(opened.variables.values(), lambda: group)
    return opened


def open_group(location: str | Path) -> zarr.Group:
    """Open the Zarr group at a path or URL for reading.

    Raises
    ------
    StoreError
        If there is none, or its writing was interrupted.
    """
    import zarr

    text = str(location)
    if not is_url(text) and not Path(text).exists():
        raise StoreError(f"there is nothing at {text}")
    try:
        group = zarr.open_group(_zip(text) or text, mode="r")
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{text} is not a Zarr group that can be read: {error}") from error
    if group.attrs.get(INCOMPLETE):
        raise StoreError(f"the writing of {text} was interrupted; write it again with --overwrite")
    return group


def is_zarr(location: str) -> bool:
    """Whether there is a Zarr array or group at a path or URL."""
    if not is_url(location):
        path = Path(location)
        return any((path / name).is_file() for name in DOCUMENTS) or bool(_zip(location))
    import fsspec

    fs, path_ = fsspec.core.url_to_fs(location)
    return any(fs.exists(f"{path_.rstrip('/')}/{name}") for name in DOCUMENTS)


@contextlib.contextmanager
def destination(location: str | Path, *, overwrite: bool = False) -> Iterator[str]:
    """Yield where to write a store that is to stand at ``location``; complete it on the way out.

    If the block raises, whatever stood at ``location`` before still stands
    there (local paths), or what was begun is marked as incomplete (URLs).

    Raises
    ------
    StoreError
        If something is there already and ``overwrite`` is False, or it is not a Zarr store.
    """
    text = str(location).rstrip("/")
    if is_url(text):
        if is_zarr(text) and not overwrite:
            raise StoreError(f"{text} exists; give --overwrite to replace it")
        yield text
        return
    final = Path(text)
    if final.suffix == ".zip":
        raise StoreError(f"cannot write {text} as a zip file; write a directory store and zip it (zip -0 -r)")
    if final.exists():
        if not is_zarr(text):
            raise StoreError(f"{text} exists and is not a Zarr store; frazil does not replace it")
        if not overwrite:
            raise StoreError(f"{text} exists; give --overwrite to replace it")
    if not final.parent.is_dir():
        raise StoreError(f"there is no directory {final.parent} to write {final.name} into")
    partial = final.with_name(final.name + ".partial")
    _remove(partial)
    try:
        yield str(partial)
        _replace(partial, final)
    finally:
        _remove(partial)


def consolidate(store: Any) -> None:
    """Write all metadata in one document, which remote readers want; Zarr warns: not in the v3 spec."""
    import warnings

    import zarr

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(store)


def _replace(partial: Path, final: Path) -> None:
    """Put ``partial`` in the place of ``final``; the old store is deleted only when the new one stands."""
    old = final.with_name(final.name + ".replaced")
    _remove(old)
    if final.exists():
        final.rename(old)
    try:
        partial.rename(final)
    except OSError:
        if old.exists():
            old.rename(final)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _zip(location: str) -> Any:
    """Open a zip store, or return None for anything else."""
    path = Path(location)
    if is_url(location) or path.suffix != ".zip" or not path.is_file():
        return None
    from zarr.storage import ZipStore

    return ZipStore(path, mode="r", read_only=True)


def _first_bytes(location: str) -> bytes:
    if is_url(location):
        import fsspec

        with fsspec.open(location, "rb") as file:
            return bytes(file.read(8))
    path = Path(location)
    if path.is_dir():
        raise StoreError(f"{location} is a directory without zarr.json or .zgroup: not a Zarr store")
    with path.open("rb") as file:
        return file.read(8)


def _open_netcdf(location: str) -> xr.Dataset:
    """Open by ranges what can be read by ranges; fetch to a temporary file what cannot."""
    import xarray as xr

    start = _first_bytes(location)
    if not start.startswith((HDF5, NETCDF3)):
        raise StoreError(f"{location} is neither NetCDF nor a Zarr store")
    try:
        if not is_url(location):
            return xr.open_dataset(location, engine="netcdf4", cache=False)
        import fsspec

        if start.startswith(HDF5) and find_spec("h5py") and find_spec("h5netcdf"):
            return xr.open_dataset(fsspec.open(location, "rb").open(), engine="h5netcdf", cache=False)
        return xr.open_dataset(fsspec.open_local(f"simplecache::{location}"), engine="netcdf4", cache=False)
    except (ValueError, KeyError) as error:
        raise StoreError(f"cannot read {location} as NetCDF: {error}") from error
