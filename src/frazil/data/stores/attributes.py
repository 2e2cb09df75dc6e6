"""Write attributes of arrays into a store that is otherwise only read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from frazil.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frazil.data.stores import StoreReader


def write_attributes(reader: StoreReader, attributes: Mapping[str, Mapping[str, Any]]) -> None:
    """Set ``attributes[name]`` of each array, and consolidate the metadata anew where they were consolidated.

    Parameters
    ----------
    reader : StoreReader
        Opens the store anew afterwards, so that it sees them.
    attributes : mapping of str to mapping
        By the array's name.

    Raises
    ------
    StoreError
        If the reader reads a Dataset, or the store cannot be written to.
    """
    import zarr

    from frazil.data.stores.opening import Location

    place = reader.place
    if not isinstance(place, Location):
        raise StoreError("a Dataset is not written to; open the store by its path to write into it")
    try:
        group = place.open()
        store: Any = place.base if isinstance(place.base, str) else group.store
        writable = zarr.open_group(store, path=group.path or None, mode="r+", use_consolidated=False)
        for name, values in attributes.items():
            writable[name].update_attributes(dict(values))
        for path in sorted({group.path, ""}):
            _consolidate_again(store, path)
    except (OSError, ValueError, KeyError, NotImplementedError, TypeError) as error:
        raise StoreError(f"{place} cannot be written to: {type(error).__name__}: {error}") from error
    reader.reopen()


def _consolidate_again(store: Any, path: str) -> None:
    """Consolidate the metadata of a group that has them consolidated."""
    import warnings

    import zarr

    try:
        opened = zarr.open_group(store, path=path or None, mode="r")
    except FileNotFoundError:  # a group may stand in a directory that is none
        return
    if opened.metadata.consolidated_metadata is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Consolidated metadata"
            )  # Zarr: not in the v3 specification
            zarr.consolidate_metadata(store, path=path or None)
