"""The whole numbers of learned codecs themselves: latents and codewords, to train on in place of fields."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil import inventory
from frazil.data.stores.opening import Location, locate
from frazil.errors import StoreError, UnsupportedArrayError

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr
    import zarr

    from frazil.codecs.learned import LearnedCodec

    Ints = npt.NDArray[np.int32]


def read_latents(store: Any, *, group: str | None = None) -> xr.Dataset:
    """Open the latents of all variables that `frazil.Latent` wrote, lazily.

    Parameters
    ----------
    store : str, path, zarr store or zarr.Group
    group : str, optional
        Path of the group in the store.

    Returns
    -------
    xarray.Dataset
        Of each variable int32 latents (image, latent, block_y, block_x), as dask arrays with a block for each
        chunk. Images are in the order of the chunks, and in a chunk in that of its leading axes. Attributes
        say the model's digest, its name, and how many points a block has along y and x. Latents count steps
        of the codec's ``step``. A chunk that was written without its model, because it is not of the model's
        kind, is encoded anew.

    Raises
    ------
    StoreError
        If no variable is so coded, or the store cannot be read.

    Examples
    --------
    >>> import frazil, xarray as xr, zarr
    >>> y, x = np.mgrid[:32, :64] / 9
    >>> waves = np.sin(x + np.arange(12)[:, None, None] / 3).astype("f4") * np.cos(y).astype("f4")
    >>> codec = frazil.Latent(model=frazil.models.fit_klt(waves[:, None], factor=8))
    >>> store = zarr.storage.MemoryStore()
    >>> ds = xr.Dataset({"wave": (("time", "y", "x"), waves)})
    >>> frazil.to_zarr(ds, store, codec=codec, chunks={"time": 4})
    >>> latents = read_latents(store).wave
    >>> latents.sizes["image"], latents.sizes["block_y"], latents.sizes["block_x"], str(latents.dtype)
    (12, 4, 8, 'int32')
    """
    return _read(store, group, "frazil.latent", "latent")


def read_codewords(store: Any, *, group: str | None = None) -> xr.Dataset:
    """Open the codewords of all variables that `frazil.Codeword` wrote, lazily.

    As `read_latents`, with int32 indices (image, head, block_y, block_x) of codewords, 0 to the attribute
    ``codewords`` less 1.
    """
    return _read(store, group, "frazil.codeword", "head")


def _read(store: Any, group: str | None, codec_id: str, axis: str) -> xr.Dataset:
    import xarray as xr

    place = locate(store, group)
    if not isinstance(place, Location):
        raise UnsupportedArrayError(
            "a Dataset in memory has no latents; give the store that it was written to"
        )
    opened = place.open()
    found: dict[str, Any] = {}
    for path, array in inventory.arrays(opened):
        codec = _codec_of(array, codec_id)
        if codec is not None:
            numbers = _lazy(array, codec)
            dims = tuple(
                f"{path}/{name}" if "/" in path else name for name in ("image", axis, "block_y", "block_x")
            )
            found[path] = (
                dims if not found else _own(dims, numbers.shape, found),
                numbers,
                _attributes(codec),
            )
    if not found:
        raise StoreError(f"{place} has no variable that {codec_id} wrote")
    return xr.Dataset(found)


def _own(dims: tuple[str, ...], shape: tuple[int, ...], found: dict[str, Any]) -> tuple[str, ...]:
    """Names of dimensions; another one where a variable before has the same name and another length."""
    known = {
        name: size
        for names, array, _ in found.values()
        for name, size in zip(names, array.shape, strict=True)
    }
    return tuple(
        name if known.get(name, size) == size else f"{name}_{len(found)}"
        for name, size in zip(dims, shape, strict=True)
    )


def _codec_of(array: zarr.Array[Any], codec_id: str) -> LearnedCodec | None:
    from numcodecs.registry import get_codec

    config = inventory.frazil_codec(array)
    if config is None or config["id"] != codec_id:
        return None
    codec: LearnedCodec = get_codec(config)
    return codec


def _attributes(codec: LearnedCodec) -> dict[str, Any]:
    decoder = codec.found.decoder
    about = {"model": codec.model.digest, "model_name": decoder.name, "points_in_a_block": decoder.factor}
    return about | ({"codewords": decoder.size} if decoder.size else {})


def _lazy(array: zarr.Array[Any], codec: LearnedCodec) -> Any:
    """One dask array (image, k, block_y, block_x) of all chunks."""
    import dask
    import dask.array as da

    entries = {entry.index: entry for entry in inventory.chunk_entries(array)}
    grid = tuple(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True))
    images, rows, columns = codec.blocks_of(array.chunks)
    whole = len(grid) - min(2, len(grid))
    load = dask.delayed(_load, pure=True)  # type: ignore[attr-defined]
    parts = []
    for lead in np.ndindex(*grid[:whole]):
        lines = []
        for place in np.ndindex(*grid[whole:]):
            index = (*lead, *place)
            shape = (images, codec.found.decoder.inputs, rows, columns)
            loaded = load(array, codec, entries.get(index), index)
            lines.append(da.from_delayed(loaded, shape, np.int32))  # type: ignore[no-untyped-call]
        wide = grid[-1] if grid else 1
        nested = [lines[at : at + wide] for at in range(0, len(lines), wide)]
        parts.append(da.block(nested))  # type: ignore[no-untyped-call]
    joined = da.concatenate(parts, axis=0)  # type: ignore[no-untyped-call]
    return joined[: _count(array, codec)]


def _count(array: zarr.Array[Any], codec: LearnedCodec) -> int:
    """Count the images of the array: of edge chunks those beyond it are left out where they are last."""
    axis = codec.found.decoder.axis
    beyond = math.prod(-(-n // c) for n, c in zip(array.shape[1:-2], array.chunks[1:-2], strict=True)) == 1
    if len(array.shape) < 3 or axis == -len(array.shape) or not beyond:
        return 1 << 62
    per_step = codec.blocks_of(array.chunks)[0] // array.chunks[0]
    return array.shape[0] * per_step if per_step else 1 << 62


def _load(
    array: zarr.Array[Any], codec: LearnedCodec, entry: inventory.ChunkEntry | None, index: tuple[int, ...]
) -> Ints:
    """Read the latents of one chunk; of one that is not stored, those of the fill value."""
    dtype = np.dtype(array.dtype)
    if entry is None:
        empty = np.full(array.chunks, 0 if array.fill_value is None else array.fill_value, dtype)
        return codec.decode_latents(codec.encode(empty))
    try:
        return codec.decode_latents(inventory.read_chunk(array, entry), shape=array.chunks, dtype=dtype)
    except Exception as error:
        error.add_note(f"array {array.path!r}, chunk {index}")
        raise
