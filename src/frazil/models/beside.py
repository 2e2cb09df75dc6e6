"""Decoders beside the arrays that need them: in a Zarr group, as arrays of bytes named by their digests.

`frazil.to_zarr` puts those there that are too large for an array's metadata,
and whatever of frazil's opens a store finds them there by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import FormatError, StoreError
from frazil.models import store as stores
from frazil.models.digests import DIGEST, check_digest
from frazil.models.format import Decoder
from frazil.models.reference import ModelReference
from frazil.models.store import Model, register
from frazil.models.tensors import LARGEST_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import xarray as xr
    import zarr

GROUP = "_models"


def write_models(store: Any, models: Iterable[Model | Decoder]) -> list[str]:
    """Write decoders into the group ``_models`` of a store, one array each, ``sha256-...``.

    `frazil.to_zarr` does so by itself.

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
        name = _name(decoder.digest)
        names.append(name)
        if name in group and _bytes_of(group[name], name) == decoder.to_bytes():
            continue
        data = np.frombuffer(decoder.to_bytes(), np.uint8)
        dim = f"byte_{decoder.digest[7:15]}"  # xarray, opening all groups as a tree, wants names
        older = group.metadata.zarr_format == 2
        array = group.create_array(
            name,
            shape=data.shape,
            chunks=data.shape,
            dtype="u1",
            compressors=None,
            filters=None,
            overwrite=True,
            dimension_names=None if older else [dim],
            attributes={"model": decoder.name, "kind": decoder.kind}
            | ({"_ARRAY_DIMENSIONS": [dim]} if older else {}),
        )
        array[:] = data
    return names


def register_models(store: Any) -> list[Model]:
    """Make the decoders that lie beside arrays known to this process, so that the arrays can be read.

    `frazil.open_zarr`, loaders and whatever else of frazil's opens a store do so by themselves; plain
    `xarray.open_zarr` cannot.

    Parameters
    ----------
    store : zarr.Group, or whatever `zarr.open_group` takes

    Returns
    -------
    list of Model
        Those in ``_models`` of the group, or where it has none, of the groups in it.

    Raises
    ------
    StoreError
        If the store holds none.
    FormatError
        If what it holds is damaged.
    """
    root = _open(store, "r")
    groups = list(_model_groups(root))
    if not groups:
        raise StoreError(f"{root.name} of {store} has no group {GROUP!r}: write_models puts decoders there")
    found = []
    for name, array in (pair for group in groups for pair in sorted(group.arrays())):
        digest = name.replace("-", ":", 1)
        if DIGEST.fullmatch(digest):
            found.append(register(_decoder(array, digest)))
    return found


def references(codec: Any) -> Iterator[ModelReference]:
    """Models that a codec, in either of Zarr's faces, names: its own and that of its base.

    Examples
    --------
    >>> import frazil
    >>> list(references(frazil.Bounded(bound=0.1, base=frazil.JP2K(ratio=20))))
    []
    """
    codec = getattr(codec, "codec", codec)
    model = getattr(codec, "model", None)
    if isinstance(model, ModelReference):
        yield model
    base = getattr(codec, "base", None)
    if base is not None and not isinstance(base, str):
        yield from references(base)


def left_out(codecs: Iterable[Any]) -> list[Model]:
    """Models that the configurations of ``codecs`` name and do not bring along, each once.

    Raises
    ------
    MissingModelError
        If one of them is not at hand.
    """
    named = {ref.digest: ref for codec in codecs for ref in references(codec) if ref.inline is None}
    return [named[digest].find() for digest in sorted(named)]


def register_needed(codecs: Iterable[Any], group: Callable[[], zarr.Group]) -> None:
    """Register the models that ``codecs`` need, this process does not know, and lie beside their arrays.

    Parameters
    ----------
    codecs : iterable
        Anything; what names no model is passed over.
    group : callable
        Opens the group that holds the arrays; called only if a model is needed. Models are looked for there
        and in the groups around it.

    Raises
    ------
    FormatError
        If a model that lies there is damaged.
    """
    named = {ref.digest for codec in codecs for ref in references(codec) if ref.inline is None}
    needed = sorted(digest for digest in named if not stores.STORE.knows(digest))
    place = group() if needed else None
    for digest in needed:
        array = _find(place, _name(digest))
        if array is not None:
            register(_decoder(array, digest))


def register_for(variables: Iterable[xr.Variable], group: Callable[[], zarr.Group]) -> None:
    """Do what `register_needed` does for variables that xarray has opened."""
    keys = ("serializer", "compressors", "filters")
    found = [variable.encoding.get(key) for variable in variables for key in keys]
    flat = [codec for part in found for codec in (part if isinstance(part, tuple | list) else (part,))]
    register_needed(flat, group)


def _name(digest: str) -> str:
    return digest.replace(":", "-")


def _decoder(array: Any, digest: str) -> Decoder:
    data = _bytes_of(array, _name(digest))
    check_digest(data, digest, f"{GROUP}/{_name(digest)}")
    return Decoder.from_bytes(data)


def _bytes_of(array: Any, name: str) -> bytes:
    if getattr(array, "ndim", 0) != 1 or array.dtype != np.uint8 or array.size > LARGEST_FILE:
        raise FormatError(f"{GROUP}/{name} is no list of at most {LARGEST_FILE} bytes")
    return np.asarray(array[:]).tobytes()


def _find(group: Any, name: str) -> Any:
    """Open the array ``name`` among the models of a group, or of one around it; None if there is none."""
    import zarr

    parts = [part for part in group.path.split("/") if part]
    for count in range(len(parts), -1, -1):
        path = "/".join([*parts[:count], GROUP, name])
        try:
            return zarr.open_array(group.store, path=path, mode="r")
        except FileNotFoundError:
            continue
    return None


def _model_groups(group: zarr.Group) -> Iterator[zarr.Group]:
    """Find the groups of models: that of ``group``, or else those of the groups in it."""
    inner = dict(group.groups())
    if GROUP in inner:
        yield inner[GROUP]
        return
    for _, child in sorted(inner.items()):
        yield from _model_groups(child)


def _open(store: Any, mode: str) -> zarr.Group:
    """Open a group, not as consolidated metadata describe it: models may have come later."""
    import zarr

    path, known = "", store
    if isinstance(store, zarr.Group):
        path, known = store.path, store.store
    try:
        return zarr.open_group(known, path=path or None, mode=mode, use_consolidated=False)  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"cannot open {store} as a Zarr group: {error}") from error
