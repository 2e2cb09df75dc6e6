"""Bytes and requests that a reduced resolution costs, through `frazil.open_zarr(level=...)`.

    python benchmarks/reduced.py [--write]

Stores in memory, chunks of 256 x 256 points, JP2K at ratio 32; a shard holds four by four chunks.
"""

from __future__ import annotations

import sys
import warnings

import xarray as xr
import zarr
from fields import Field, described, read
from tables import publish, table
from timing import machine

import frazil
from frazil.access import bytes_read

CHUNK, SHARD, RATIO, LEVELS, LARGE = 256, 1024, 32, (1, 2, 3), 400_000


def cost(field: Field, coder: str, *, sharded: bool) -> list[object]:
    """One row: per cent of the stored bytes and requests a chunk, at each level."""
    planes = field.values.reshape(-1, *field.values.shape[-2:])[:1]
    data = xr.DataArray(planes, dims=("plane", "y", "x"), name="field")
    store = zarr.storage.MemoryStore()
    encoding = {"field": {"shards": (1, SHARD, SHARD)}} if sharded else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frazil.to_zarr(
            data,
            store,
            codec={"field": frazil.JP2K(ratio=RATIO, coder=coder)},
            chunks={"plane": 1, "y": CHUNK, "x": CHUNK},
            encoding=encoding,
        )
        shares, requests = [], []
        chunks = -(-planes.shape[1] // CHUNK) * -(-planes.shape[2] // CHUNK)
        for level in LEVELS:
            opened = frazil.open_zarr(store, level=level)
            with bytes_read() as count:
                opened["field"].load(scheduler="synchronous")
            shares.append(f"{100 * count.read / count.stored:.0f} %")
            requests.append(round(count.requests / chunks, 2))
    return [field.name, coder, "yes" if sharded else "no", *shares, *requests]


def main() -> None:
    """Measure and print, or put into docs/benchmarks.md."""
    rows = [
        cost(field, coder, sharded=sharded)
        for field in read()
        if field.stack == "plane" and field.values.size >= LARGE and not field.points
        for coder in ("ebcot", "ht")
        for sharded in (False, True)
    ]
    bytes_, requests = ([f"{what}, level {n}" for n in LEVELS] for what in ("bytes", "requests"))
    head = ["field", "coder", "sharded", *bytes_, *requests]
    text = f"{described()}\n\n{machine()}\n\n" + table(head, rows)
    publish("reduced", text, write="--write" in sys.argv)


if __name__ == "__main__":
    main()
