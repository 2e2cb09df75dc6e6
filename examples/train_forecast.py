"""Train a forecast of the next step, straight from a compressed store; stop it whenever you like, and go on.

    python examples/train_forecast.py                                 # a made-up field of waves, in seconds
    python examples/train_forecast.py --data jcm_t42_train_6h.nc      # 50 days of a model's weather
    python examples/train_forecast.py --data ... --resume             # goes on after the last checkpoint
    torchrun --nproc-per-node 2 examples/train_forecast.py --data ... # the same by two processes (gloo)

The file is compressed once, every value within a thousandth of its variable's range. A small convolutional
network then learns what changes until the next step, from the last two. Its error is printed beside that of
persistence, which says that nothing changes. A checkpoint holds the model, the optimiser and the loader:
after a kill each sample of the epoch still comes exactly once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import xarray as xr
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import frazil

# as torchrun sets them
RANK, WORLD = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
INPUTS, TARGETS = [-1, 0], [1]  # the last two steps, and the next one
VALIDATION = 40  # steps, the last ones


def waves(steps: int = 202, y: int = 32, x: int = 64) -> xr.Dataset:
    """Waves that travel east, faster near the equator, and a temperature that they carry along."""
    rng = np.random.default_rng(0)
    lat, lon = np.linspace(-87, 87, y), np.arange(x) * 360 / x
    t, j, i = np.meshgrid(np.arange(steps), np.radians(lat), np.radians(lon), indexing="ij")
    wind = sum(
        rng.normal() / k * np.sin(k * (i - 0.15 * np.cos(j) * t) + rng.uniform(0, 6)) for k in range(1, 7)
    )
    values = {"u": 10 * wind * np.cos(j), "t2m": 288 - 40 * np.sin(j) ** 2 + 5 * wind}
    time = np.datetime64("2002-01-01", "ns") + np.arange(steps) * np.timedelta64(6, "h")
    coords = {"time": time, "lat": lat, "lon": lon}
    return xr.Dataset({k: (("time", "lat", "lon"), v.astype("f4")) for k, v in values.items()}, coords)


def compress(source: Path | None, store: Path) -> None:
    """Write ``source`` as a compressed store with statistics, unless there is one; whole or not at all."""
    if store.exists():
        return
    partial = store.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with waves() if source is None else xr.open_dataset(source) as ds:
        names = [name for name, v in ds.data_vars.items() if {"time", "lat", "lon"} <= set(v.dims)]
        codec = frazil.Bounded(bound="rel:1e-3:array")
        frazil.to_zarr(ds[names].load(), partial, codec=codec, chunks={"time": 8})
        size = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
        print(f"{ds[names].nbytes / 1e6:.1f} MB became {size / 1e6:.1f} MB in {store}", flush=True)
    frazil.Normaliser.fit(partial).write(partial)
    partial.rename(store)


class Forecast(nn.Module):
    """Two steps to the change until the next: 3 x 3 convolutions on a grid that is closed in longitude."""

    def __init__(self, channels: int, width: int) -> None:
        """Take ``channels`` variables and levels; ``width`` is the network's own number of channels."""
        super().__init__()
        sizes = [len(INPUTS) * channels, width, width, width, channels]
        layers = [nn.Conv2d(a, b, 3) for a, b in pairwise(sizes)]
        for parameter in layers[-1].parameters():
            nn.init.zeros_(parameter)  # begins as persistence
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Forecast: x of shape (batch, step, channel, lat, lon) to the next step in the same layout."""
        z = x.flatten(1, 2)
        for layer in self.layers:
            z = functional.pad(z, (1, 1, 0, 0), mode="circular")
            z = layer(functional.pad(z, (0, 0, 1, 1), mode="replicate"))
            z = z if layer is self.layers[-1] else functional.gelu(z)
        return x[:, -1:] + z[:, None]


def error(forecast: torch.Tensor, truth: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
    """Mean square over all points, by their area, in standard deviations of each variable."""
    return ((forecast - truth) ** 2 * area[:, None]).mean()


def validate(model: nn.Module, loader: Any, area: torch.Tensor) -> tuple[float, float]:
    """Root of the mean square error of ``model`` and of persistence on the validation steps."""
    sums = torch.zeros(3, dtype=torch.float64)
    with torch.no_grad():
        for batch in loader:
            n = len(batch.x)
            ours, persistence = error(model(batch.x), batch.y, area), error(batch.x[:, -1:], batch.y, area)
            sums += torch.tensor([n * float(ours), n * float(persistence), n])
    if WORLD > 1:
        dist.all_reduce(sums)
    return float((sums[0] / sums[2]).sqrt()), float((sums[1] / sums[2]).sqrt())


def save(path: Path, step: int, **parts: Any) -> None:
    """Write a checkpoint, whole or not at all."""
    partial = path.with_suffix(".partial")
    torch.save({"step": step} | {name: part.state_dict() for name, part in parts.items()}, partial)
    partial.replace(path)


def train(options: argparse.Namespace) -> None:
    """Compress, train, validate, save."""
    torch.manual_seed(options.seed)
    if RANK == 0:
        compress(options.data, options.store)
    if WORLD > 1:
        dist.barrier()
    with xr.open_zarr(options.store) as ds:
        split = ds.sizes["time"] - VALIDATION
        latitude = torch.from_numpy(np.cos(np.radians(ds["lat"].values)))
        area = (latitude / latitude.mean()).float()
        times = ds["time"].values
    windows = {"inputs": INPUTS, "targets": TARGETS, "normalise": "store", "batch_size": options.batch_size}
    loader = frazil.make_loader(
        options.store, times=slice(None, times[split - 1]), shuffle=True, seed=options.seed, **windows
    )
    validation = frazil.make_loader(
        options.store, times=slice(times[split], None), shuffle=False, remainder="keep", **windows
    )

    network = Forecast(len(loader.channels), options.width)
    model = DistributedDataParallel(network) if WORLD > 1 else network
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.rate)
    step = 0
    if options.resume and options.checkpoint.exists():
        state = torch.load(options.checkpoint, weights_only=True)
        network.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        loader.load_state_dict(state["loader"])
        step = state["step"]
        say(f"going on after step {step}, in epoch {loader.epoch}")

    while loader.epoch < options.epochs:  # the loader counts them, also after a resume in the middle of one
        epoch = loader.epoch
        for batch in loader:
            loss = error(model(batch.x), batch.y, area)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
            if options.journal:
                line = {"epoch": epoch, "step": step, "samples": batch.index.tolist(), "loss": loss.item()}
                with options.journal.with_suffix(f".{RANK}.jsonl").open("a") as file:
                    file.write(json.dumps(line) + "\n")
            if RANK == 0 and step % options.save_every == 0:
                save(options.checkpoint, step=step, model=network, optimiser=optimiser, loader=loader)
        ours, persistence = validate(network, validation, area)
        say(f"epoch {epoch}: error {ours:.4f}, of persistence {persistence:.4f}")


def say(text: str) -> None:
    """Print a line, once for all processes."""
    if RANK == 0:
        print(text, flush=True)


def main() -> None:
    """Read the command line; join the other processes if there are any."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        help="NetCDF file, variables on (time, ..., lat, lon); not needed once there is a store",
    )
    add("--store", type=Path, help="where the compressed store is kept (default: beside the checkpoint)")
    add("--checkpoint", type=Path, default=Path("forecast.pt"))
    add("--resume", action="store_true", help="go on from the checkpoint if there is one")
    add("--save-every", type=int, default=20, help="steps between checkpoints")
    add("--journal", type=Path, help="note the samples of each step, a file for each process")
    add("--epochs", type=int, default=5)
    add("--batch-size", type=int, default=8, help="samples of a step, for each process")
    add("--width", type=int, default=32, help="channels of the network")
    add("--rate", type=float, default=1e-3, help="learning rate")
    add("--seed", type=int, default=0)
    options = parser.parse_args()
    given = os.environ.get("FRAZIL_DATA")
    if options.data is None and given and (Path(given) / "jcm_t42_train_6h.nc").exists():
        options.data = Path(given) / "jcm_t42_train_6h.nc"
    options.store = options.store or options.checkpoint.with_suffix(".zarr")
    if WORLD > 1:
        dist.init_process_group("gloo")
    train(options)
    if WORLD > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
