"""The whole numbers of learned codecs themselves: latents and codewords, to train on in place of fields."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from frazil import inventory
from frazil.data.latent_arrays import Latents
from frazil.data.stores.opening import Location, contents_of_group, locate, located_error
from frazil.errors import FrazilError, StoreError, UnsupportedArrayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import xarray as xr
    import zarr

    from frazil.codecs.learned import LearnedCodec
    from frazil.data.stores.opening import Contents


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
        Of each variable int32 latents, as dask arrays with a block for each chunk; names of variables in
        groups below are paths. In place of the variable's axis of channels stands ``latent``, and in place
        of y and x blocks of points, ``block_y`` and ``block_x``, which begin anew in each chunk; other axes
        stay: (time, level, y, x) becomes (time, latent, block_y, block_x). Where the channels are a part
        of an axis, such as the hours of a day of (time, y, x), that axis counts such parts and stands right
        before the latents: (block_time, latent, block_y, block_x). Coordinates are those of the first point
        of a block.

        Latents count steps of the codec's ``step``. Attributes say the model's digest, its name, and how many
        points a block has along y and x. Where nothing is stored are the latents of the training data's mean.
        A chunk that was written without its model, because it is not of the model's kind, is encoded anew,
        for which the encoder has to be at hand.

    Raises
    ------
    StoreError
        If no variable is so coded, or the store cannot be read.
    UnsupportedArrayError
        If chunks do not hold all channels, or other codecs stand before this one.

    Examples
    --------
    >>> import frazil, xarray as xr, zarr
    >>> y, x = np.mgrid[:32, :64] / 9
    >>> waves = np.sin(x + np.arange(12)[:, None, None] / 3).astype("f4") * np.cos(y).astype("f4")
    >>> codec = frazil.Latent(model=frazil.models.fit_klt(waves[:, None], factor=8))
    >>> store = zarr.storage.MemoryStore()
    >>> ds = xr.Dataset({"wave": (("time", "y", "x"), waves)})
    >>> _ = frazil.to_zarr(ds, store, codec=codec, chunks={"time": 4}, consolidated=False)
    >>> latents = read_latents(store).wave
    >>> latents.sizes["time"], latents.sizes["block_y"], latents.sizes["block_x"], str(latents.dtype)
    (12, 4, 8, 'int32')
    """
    return _read(store, group, "frazil.latent", "latent")


def read_codewords(store: Any, *, group: str | None = None) -> xr.Dataset:
    """Open the codewords of all variables that `frazil.Codeword` wrote, lazily.

    As `read_latents`, with int32 indices of codewords along ``head`` in place of ``latent``, each 0 to the
    attribute ``codewords`` less 1.
    """
    return _read(store, group, "frazil.codeword", "head")


def _read(store: Any, group: str | None, codec_id: str, inner: str) -> xr.Dataset:
    import xarray as xr

    place = locate(store, group)
    if not isinstance(place, Location):
        raise UnsupportedArrayError(
            "a Dataset in memory has no latents; give the store that it was written to"
        )
    made = xr.Dataset()
    for path, array, contents in _coded(place.open(), codec_id, str(place)):
        numbers = _latents_of(path, array)
        made = _added(made, path, numbers, contents, inner)
    if not made:
        raise StoreError(f"{place} has no variable that {codec_id} wrote")
    return made


def _coded(root: zarr.Group, codec_id: str, label: str) -> Iterator[tuple[str, zarr.Array[Any], Contents]]:
    """Arrays that a codec wrote, in a group and those below it, and what is in the group of each."""
    import zarr

    opened: dict[str, Contents] = {}
    for path, array in inventory.arrays(root):
        config = inventory.frazil_codec(array)
        if config is None or config["id"] != codec_id:
            continue
        folder = path.rpartition("/")[0]
        if folder not in opened:
            inside: Any = root[folder] if folder else root
            assert isinstance(inside, zarr.Group)  # noqa: S101 - for the type checker
            opened[folder] = contents_of_group(inside, f"{label}/{folder}".rstrip("/"))
        yield path, array, opened[folder]


def _latents_of(path: str, array: zarr.Array[Any]) -> Latents:
    from frazil.codecs.learned import LearnedCodec
    from frazil.data.stores.direct import find_chain

    chain = find_chain(array)
    if chain is None or not isinstance(chain.planes, LearnedCodec):
        raise UnsupportedArrayError(
            f"{path!r} cannot be read as numbers of its codec: others stand before it; open it as fields"
        )
    try:
        return Latents(array, chain.planes, array.shape, chain.chunks)
    except FrazilError as error:
        raise located_error(error, f"variable {path!r}") from error


def _added(made: xr.Dataset, path: str, numbers: Latents, contents: Contents, inner: str) -> xr.Dataset:
    """Add a variable, its axes under names of their own where those of others differ."""
    import dask.array as da
    import xarray as xr

    dims = list(map(str, contents.raw[path.rpartition("/")[2]].dims))
    names = [dims[axis] if unit == 1 else f"block_{dims[axis]}" for axis, unit in numbers.axes]
    where = {}
    for name, (axis, unit) in zip(names, numbers.axes, strict=True):
        values, attrs = numbers.positions(axis, unit), {}
        coordinate = contents.coords.variables.get(dims[axis])
        if coordinate is not None and coordinate.dims == (dims[axis],):
            values, attrs = coordinate.values[values], coordinate.attrs
        where[name] = xr.Variable((name,), values, attrs)
    names.insert(len(names) - numbers.space, inner)
    sizes = dict(zip(names, numbers.shape, strict=True))
    own = {name: _free(made, name, sizes[name], where) for name in names}
    lazy = da.from_array(  # type: ignore[no-untyped-call] # dask's
        numbers, chunks=numbers.chunks, name=f"frazil-{path}-{uuid4().hex}", asarray=True, fancy=False
    )
    variable = xr.Variable([own[name] for name in names], lazy, _attributes(numbers.codec))
    coords = {own[name]: ((own[name],), v.values, v.attrs) for name, v in where.items()}
    return made.assign({path: variable}).assign_coords(coords)


def _free(made: xr.Dataset, name: str, size: int, where: Mapping[str, xr.Variable]) -> str:
    """Return the name of an axis: with a number where another axis has it already."""
    for number in itertools.count(1):
        tried = name if number == 1 else f"{name}_{number}"
        if tried not in made.sizes:
            return tried
        same = tried not in made.coords or np.array_equal(made[tried].values, where[name].values)
        if made.sizes[tried] == size and same:
            return tried
    raise AssertionError  # pragma: no cover - count does not end


def _attributes(codec: LearnedCodec) -> dict[str, Any]:
    decoder = codec.found.decoder
    about = {"model": codec.model.digest, "model_name": decoder.name, "points_in_a_block": decoder.factor}
    return about | ({"codewords": decoder.size} if decoder.size else {})
