"""Batches as dask arrays, and as xarray datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.samples import Samples

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from frazil.data.batch import Batch


def to_xarray(batch: Batch) -> xr.Dataset:
    """Return a batch as a dataset, its steps and channels named.

    Parameters
    ----------
    batch : Batch
        Of arrays or tensors.

    Returns
    -------
    xarray.Dataset
        ``x`` (sample, input, channel, *space), ``y`` (sample, target, channel, *space), masks, and the
        coordinates ``index``, ``time_x``, ``time_y`` and ``channel``.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> t2m = xr.DataArray(np.zeros((6, 2, 3), "f4"), dims=("time", "y", "x"), name="t2m")
    >>> samples = Samples(t2m.to_dataset(), inputs=[0], targets=[1])
    >>> dict(to_xarray(samples.read([0, 1])).sizes)
    {'sample': 2, 'input': 1, 'channel': 1, 'axis0': 2, 'axis1': 3, 'target': 1}
    """
    x, y = np.asarray(batch.x), None if batch.y is None else np.asarray(batch.y)
    masks = np.asarray(batch.mask), None if y is None else np.asarray(batch.y_mask)
    named = {"index": ("sample", np.asarray(batch.index)), "channel": ("channel", list(batch.channels))}
    return _dataset(x, y, masks, batch.time, named)


def to_dask(store: Any, *, selection: Any = None, batch_size: int = 16, **settings: Any) -> xr.Dataset:
    """Open the samples of a store as dask arrays, a chunk for each batch.

    For statistics, evaluation and preparation on a cluster; to train, read through `frazil.make_loader`.

    Parameters
    ----------
    store : path, URL, Zarr store, xarray.Dataset or Samples
    selection : path or Manifest, optional
        Only the samples that `frazil.curate` kept, a chunk for each of its batches.
    batch_size : int, default 16
        Samples of a chunk, in the order in which they are stored; a selection has its own.
    **settings
        Those of `Samples`.

    Returns
    -------
    xarray.Dataset
        As `to_xarray` returns it, lazily.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> t2m = xr.DataArray(np.zeros((6, 2, 3), "f4"), dims=("time", "y", "x"), name="t2m")
    >>> lazy = to_dask(t2m.to_dataset(), inputs=[0], targets=[], batch_size=4)
    >>> lazy.x.chunks[0], float(lazy.x.mean())
    ((4, 2), 0.0)
    """
    import dask.array as da

    samples = store if isinstance(store, Samples) else Samples(store, **settings)
    if selection is None:
        numbers = samples.plan.samples
        lengths = _lengths(len(numbers), batch_size)
    else:
        from frazil.data.curation.manifest import Manifest

        manifest = Manifest.of(selection, samples)
        batches = [batch for group in manifest.groups(0) for batch in group]
        numbers, lengths = manifest.kept(0), tuple(map(len, batches))
    ids = da.from_array(numbers, chunks=(lengths,))  # type: ignore[no-untyped-call]
    shape = samples.assembly.shape
    split = len(samples.plan.inputs)

    def part(which: str, steps: int, dtype: Any) -> Any:
        sizes = (steps, *shape[1:])
        return da.map_blocks(  # type: ignore[no-untyped-call]
            _read,
            ids,
            samples,
            which,
            dtype=dtype,
            chunks=(lengths, *((size,) for size in sizes)),
            new_axis=list(range(1, 1 + len(sizes))),
            meta=np.empty((0,) * (1 + len(sizes)), dtype),
        )

    x, mask = part("x", split, samples.dtype), part("mask", split, bool)
    y = y_mask = None
    if samples.plan.targets:
        y = part("y", shape[0] - split, samples.dtype)
        y_mask = part("y_mask", shape[0] - split, bool)
    times = samples.steps[samples.plan.window(numbers)]
    named = {"index": ("sample", numbers), "channel": ("channel", list(samples.names))}
    return _dataset(x, y, (mask, y_mask), times, named)


def _read(ids: npt.NDArray[np.int64], samples: Samples, which: str) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = getattr(samples.read(ids), which)
    return found


def _lengths(count: int, size: int) -> tuple[int, ...]:
    return tuple(min(size, count - at) for at in range(0, count, size))


def _dataset(x: Any, y: Any, masks: tuple[Any, Any], times: Any, named: dict[str, Any]) -> xr.Dataset:
    import xarray as xr

    space = tuple(f"axis{k}" for k in range(x.ndim - 3))
    steps = x.shape[1]
    found = {
        "x": (("sample", "input", "channel", *space), x),
        "mask": (("sample", "input", "channel", *space), masks[0]),
    }
    coordinates = named | {"time_x": (("sample", "input"), times[:, :steps])}
    if y is not None:
        found["y"] = (("sample", "target", "channel", *space), y)
        found["y_mask"] = (("sample", "target", "channel", *space), masks[1])
        coordinates["time_y"] = (("sample", "target"), times[:, steps:])
    return xr.Dataset(found, coords=coordinates)
