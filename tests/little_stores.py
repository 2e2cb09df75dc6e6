"""Stores of a few thousand points, and what xarray reads from them, for the tests of the loader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from frazil.data.batch import Batch
    from frazil.data.samples import Samples


def weather(
    steps: int,
    names: Sequence[str] = ("a",),
    shape: tuple[int, int] = (4, 6),
    *,
    freq: str = "6h",
    seed: int = 0,
) -> xr.Dataset:
    """Noise on a small globe; no two values are the same, so that a wrong one is seen."""
    rng = np.random.default_rng(seed)
    time = np.datetime64("2001-01-01", "ns") + np.arange(steps) * np.timedelta64(int(freq[:-1]), freq[-1])
    coords = {
        "time": time,
        "lat": np.linspace(90, -90, shape[0]),
        "lon": np.linspace(0, 360, shape[1], endpoint=False),
    }
    fields = {n: (("time", "lat", "lon"), rng.normal(size=(steps, *shape)).astype("f4")) for n in names}
    return xr.Dataset(fields, coords)


def write(
    ds: xr.Dataset,
    path: Path,
    chunks: Mapping[str, Sequence[int]] | int = 8,
    *,
    zarr_format: int = 3,
    **encoding: Mapping[str, Any],
) -> Path:
    """Write a store; ``chunks`` are those of each variable, or the steps of a chunk of all of them."""
    if isinstance(chunks, int):
        chunks = {name: (chunks, *v.shape[1:]) for name, v in ds.data_vars.items() if "time" in v.dims}
    settings = {name: {"chunks": tuple(c)} | dict(encoding.get(name, {})) for name, c in chunks.items()}
    ds.to_zarr(path, encoding=settings, zarr_format=zarr_format, consolidated=False)
    return path


def read_by_xarray(path: Path) -> xr.Dataset:
    """Read all of a store as xarray does."""
    return xr.open_zarr(path, consolidated=False, chunks=None).load()


def expected(ds: xr.Dataset, samples: Samples, ids: np.ndarray) -> np.ndarray:
    """Return the windows of some samples, (n, steps, channels, y, x), by slicing what xarray read."""
    plan = samples.plan
    found = []
    for anchor, patch in zip(plan.anchor(ids), plan.patch_of(ids), strict=True):
        steps = anchor + np.asarray(plan.offsets)
        space = tuple(slice(low, high) for low, high in plan.patches[patch])
        channels = []
        for channel in samples.channels:
            values = ds[channel.variable].values
            rest = [d for d in ds[channel.variable].dims if d not in ("time", "lat", "lon")]
            order = [ds[channel.variable].dims.index(d) for d in ("time", *rest, "lat", "lon")]
            channels.append(values.transpose(order)[(steps, *channel.at, *space)])
        found.append(np.stack(channels, axis=1))
    return np.stack(found)


def check_values(batch: Batch, ds: xr.Dataset, samples: Samples) -> None:
    """Compare a batch bit for bit with what xarray read."""
    wanted = expected(ds, samples, np.asarray(batch.index))
    split = len(samples.plan.inputs)
    for got, mask, part in (
        (batch.x, batch.mask, wanted[:, :split]),
        (batch.y, batch.y_mask, wanted[:, split:]),
    ):
        if got is None:
            assert not samples.plan.targets
            continue
        gaps = np.isnan(part)
        np.testing.assert_array_equal(np.asarray(mask), ~gaps)
        np.testing.assert_array_equal(
            np.asarray(got), np.where(gaps, samples.missing, part).astype(samples.dtype)
        )


def numbers(batches: Any) -> list[list[int]]:
    """Sample numbers of each batch."""
    return [np.asarray(batch.index).tolist() for batch in batches]


def joined(lists: Sequence[Sequence[int]]) -> list[int]:
    """One list of several."""
    return [number for numbers_of_one in lists for number in numbers_of_one]
