"""Decoders beside the arrays that need them: in a Zarr group, as arrays of bytes named by their digests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import FormatError, StoreError
from frazil.models.digests import DIGEST, check_digest
from frazil.models.format import Decoder
from frazil.models.store import Model, register
from frazil.models.tensors import LARGEST_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable

    import zarr

GROUP = "_models"


def write_models(store: Any, models: Iterable[Model | Decoder]) -> list[str]:
    """Write decoders into the group ``_models`` of a store, one array each, ``sha256-...``.

    Parameters
    ----------
    store : zarr.Group, or whatever `zarr.open_group` takes
        A path, a URL, a Zarr store.
    models : iterable of Model or Decoder
        Those that are there already, undamaged, are left as they are.

    Returns
    -------
    list of str
        Names of the arrays.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    group = _open(store, "a").require_group(GROUP)
    names = []
    for model in models:
        decoder = model.decoder if isinstance(model, Model) else model
        name = decoder.digest.replace(":", "-")
        names.append(name)
        if name in group and _bytes_of(group[name], name) == decoder.to_bytes():
            continue
        data = np.frombuffer(decoder.to_bytes(), np.uint8)
        array = group.create_array(
            name,
            shape=data.shape,
            chunks=data.shape,
            dtype="u1",
            compressors=None,
            filters=None,
            overwrite=True,
        )
        array[:] = data
        array.attrs.update({"model": decoder.name, "kind": decoder.kind})
    return names


def register_models(store: Any) -> list[Model]:
    """Make the decoders that `write_models` wrote known to this process, so that their arrays can be read.

    Parameters
    ----------
    store : zarr.Group, or whatever `zarr.open_group` takes

    Returns
    -------
    list of Model

    Raises
    ------
    StoreError
        If the store holds none.
    FormatError
        If what it holds is damaged.
    """
    root = _open(store, "r")
    if GROUP not in root:
        raise StoreError(f"{root.name} of {store} has no group {GROUP!r}: write_models puts decoders there")
    found = []
    for name, array in sorted(_open(root[GROUP], "r").arrays()):
        digest = name.replace("-", ":", 1)
        if not DIGEST.fullmatch(digest):
            continue
        data = _bytes_of(array, name)
        check_digest(data, digest, f"{GROUP}/{name}")
        found.append(register(Decoder.from_bytes(data)))
    return found


def _bytes_of(array: Any, name: str) -> bytes:
    if getattr(array, "ndim", 0) != 1 or array.dtype != np.uint8 or array.size > LARGEST_FILE:
        raise FormatError(f"{GROUP}/{name} is no list of at most {LARGEST_FILE} bytes")
    return np.asarray(array[:]).tobytes()


def _open(store: Any, mode: str) -> zarr.Group:
    import zarr

    if isinstance(store, zarr.Group):
        return store
    try:
        return zarr.open_group(store, mode=mode)  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"cannot open {store} as a Zarr group: {error}") from error
