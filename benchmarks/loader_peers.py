"""What `loader.py` compares: ways to get batches for training out of a Zarr store, and the stores themselves.

Each way is a function of a store that returns an epoch. An epoch goes through the store once, in batches, and
yields every sample's values at one point, which tells samples apart. It runs in a process of its own
(`Contender`), so that its CPU time, its worker processes and its memory are its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import multiprocessing
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

VARIABLES = {"t2m": 280.0, "u10": 0.0, "v10": 0.0, "q": 8.0}  # and their means; standard deviations are 10
SHAPE = (181, 360)  # 1 degree
BATCH = 16
POINT = (90, 180)  # where samples are told apart
BITS = 10  # of the mantissa that are kept, so that zstd has something to do, as on packed data
PATIENCE = 600  # seconds that an epoch may take
HT_RATIO = 16

OURS, CONTIGUOUS = "frazil.make_loader", "xbatcher, contiguous batches, in order"
NAIVE = {n: f"xarray .isel(), DataLoader of {n} workers" for n in (0, 1, 2)}
SINGLE = "xbatcher, 1 sample, shuffled"
RAW = "raw: open, read, decode"


@dataclass(frozen=True)
class StoreSpec:
    """A store to measure on: how many steps a chunk has, and what it is compressed with ("zstd" | "ht")."""

    steps: int
    chunk: int
    codec: str = "zstd"

    @property
    def name(self) -> str:
        """Say what it is, in the words of the tables."""
        return f"{self.codec}, {self.chunk} step{'s' * (self.chunk > 1)} a chunk"


def channel(steps: int, mean: float, seed: int) -> npt.NDArray[np.float32]:
    """Waves of amplitude k**-1.5 that travel, bit-rounded: shape (steps, 181, 360)."""
    from numcodecs.bitround import BitRound

    rng = np.random.default_rng(seed)
    y, x = SHAPE
    ky, kx = np.fft.fftfreq(y, 1 / y)[:, None], np.arange(x // 2 + 1)[None, :]
    size = np.hypot(ky, kx)
    size[0, 0] = np.inf
    modes = (rng.standard_normal(size.shape) + 1j * rng.standard_normal(size.shape)) * size**-1.5
    modes[0, 0] = 0
    turn = np.exp(1j * 0.05 * rng.standard_normal(size.shape) * np.sqrt(np.where(np.isinf(size), 0, size)))
    out = np.empty((steps, y, x), "f4")
    for step in range(steps):
        plane = np.fft.irfft2(modes, SHAPE, norm="forward")
        out[step] = mean + 10 * plane / plane.std()
        modes *= turn
    rounding = BitRound(keepbits=BITS)
    return np.asarray(rounding.decode(rounding.encode(out))).view("f4").reshape(out.shape)


def make_store(folder: Path, spec: StoreSpec, data: dict[str, npt.NDArray[np.float32]]) -> Path:
    """Write ``data`` as Zarr v3, unless an earlier run has."""
    import xarray as xr
    from zarr.codecs import ZstdCodec

    import frazil

    path = folder / f"{spec.codec}-{spec.chunk}-{spec.steps}.zarr"
    if path.exists():
        return path
    dims = ("time", "latitude", "longitude")
    time_ = np.datetime64("2001-01-01", "ns") + np.arange(spec.steps) * np.timedelta64(6, "h")
    coords = {
        "time": time_,
        "latitude": np.linspace(90, -90, SHAPE[0]),
        "longitude": np.arange(SHAPE[1]) * 1.0,
    }
    ds = xr.Dataset({name: (dims, values[: spec.steps]) for name, values in data.items()}, coords)
    partial = path.with_suffix(".partial")
    if spec.codec == "zstd":
        encoding = {"chunks": (spec.chunk, *SHAPE), "compressors": [ZstdCodec(level=1)]}
        ds.to_zarr(partial, zarr_format=3, consolidated=False, encoding=dict.fromkeys(data, encoding))
    else:
        chunks: Any = dict(zip(dims, (spec.chunk, *SHAPE), strict=True))
        codec = frazil.JP2K(ratio=HT_RATIO, coder="ht")
        frazil.to_zarr(ds, partial, codec=codec, chunks=chunks, consolidated=False)
    partial.rename(path)
    return path


def stored_bytes(path: Path) -> tuple[int, int]:
    """Bytes of the chunks, and how many chunks there are."""
    sizes = [p.stat().st_size for name in VARIABLES for p in _chunks(path, name)]
    return sum(sizes), len(sizes)


def _chunks(path: Path, name: str) -> list[Path]:
    return sorted(p for p in (path / name / "c").rglob("*") if p.is_file())


def at_point(batch: Any) -> npt.NDArray[np.float32]:
    """Values at `POINT` of a batch of shape (n, variable, y, x), which is all that we do with it."""
    return np.asarray(batch[..., POINT[0], POINT[1]])


# --- of a store, the function that is measured


def ours(path: Path, *, memory: str) -> Callable[[], Iterator[npt.NDArray[np.float32]]]:
    import frazil

    loader = frazil.make_loader(
        path,
        variables=list(VARIABLES),
        inputs=(0,),
        targets=(),
        batch_size=BATCH,
        shuffle=True,
        seed=1,
        memory=memory,
    )
    epoch = 0

    def run() -> Iterator[npt.NDArray[np.float32]]:
        nonlocal epoch
        loader.set_epoch(epoch)
        epoch += 1
        for batch in loader:
            yield at_point(batch.x[:, -1])

    return run


def naive(path: Path, *, workers: int, **_: Any) -> Callable[[], Iterator[npt.NDArray[np.float32]]]:
    import torch
    import xarray as xr
    from torch.utils.data import DataLoader, Dataset

    class Samples(Dataset[Any]):
        def __init__(self) -> None:
            self.ds = xr.open_zarr(path, chunks=None, consolidated=False)[list(VARIABLES)]

        def __len__(self) -> int:
            return len(self.ds["time"])

        def __getitem__(self, i: int) -> Any:
            return torch.from_numpy(self.ds.isel(time=i).to_array().values)

    samples = Samples()
    context = "fork" if workers else None  # the cheapest for workers, and torch's default up to Python 3.13
    options: dict[str, Any] = {"num_workers": workers, "multiprocessing_context": context}
    return lambda: map(at_point, DataLoader(samples, batch_size=BATCH, shuffle=True, **options))


def xbatcher_single(path: Path, **_: Any) -> Callable[[], Iterator[npt.NDArray[np.float32]]]:
    from torch.utils.data import DataLoader

    samples = _xbatcher(path, 1)
    batches = DataLoader(samples, batch_size=BATCH, shuffle=True)
    return lambda: (at_point(batch[:, :, 0]) for batch in batches)


def xbatcher_contiguous(path: Path, **_: Any) -> Callable[[], Iterator[npt.NDArray[np.float32]]]:
    from torch.utils.data import DataLoader

    batches = DataLoader(_xbatcher(path, BATCH), batch_size=None)
    return lambda: (at_point(batch.swapaxes(0, 1)) for batch in batches)


def _xbatcher(path: Path, length: int) -> Any:
    import torch
    import xarray as xr
    import xbatcher
    from xbatcher.loaders.torch import MapDataset

    ds = xr.open_zarr(path, chunks=None, consolidated=False)[list(VARIABLES)]
    whole = {"latitude": SHAPE[0], "longitude": SHAPE[1]}
    generator = xbatcher.BatchGenerator(ds, input_dims={"time": length, **whole}, preload_batch=False)
    return MapDataset(generator, transform=lambda batch: torch.from_numpy(batch.to_array().values))


def raw(path: Path, **_: Any) -> Callable[[], Iterator[npt.NDArray[np.float32]]]:
    """Open, read and decode each chunk once, by one thread, in a random order; nothing is kept or copied."""
    import zarr
    from numcodecs.zstd import Zstd

    paths = [_chunks(path, name) for name in VARIABLES]
    array: Any = zarr.open_array(path / next(iter(VARIABLES)), mode="r")
    codec = getattr(array.metadata.codecs[0], "codec", None)  # frazil's serializer stands alone
    zstd, chunk = Zstd(), array.chunks
    order = np.random.default_rng(1).permutation(len(paths[0]))

    def run() -> Iterator[npt.NDArray[np.float32]]:
        for i in order:
            marks = []
            for one in paths:
                with one[i].open("rb", buffering=0) as file:
                    data = file.read()
                if codec is None:
                    values = np.frombuffer(zstd.decode(data), "<f4").reshape(chunk)
                else:
                    values = codec.decode_chunk(data)
                marks.append(values[:, POINT[0], POINT[1]])
            yield np.stack(marks, axis=1)

    return run


EPOCHS: dict[str, tuple[Callable[..., Callable[[], Iterator[npt.NDArray[np.float32]]]], dict[str, Any]]] = {
    OURS: (ours, {}),
    **{name: (naive, {"workers": n}) for n, name in NAIVE.items()},
    SINGLE: (xbatcher_single, {}),
    CONTIGUOUS: (xbatcher_contiguous, {}),
    RAW: (raw, {}),
}


def available() -> list[str]:
    """Names of the epochs that can run here."""
    lacks = [] if importlib.util.find_spec("xbatcher") else [SINGLE, CONTIGUOUS]
    return [name for name in EPOCHS if name not in lacks]


# --- a process for each


@dataclass(frozen=True)
class Epoch:
    """What an epoch cost: seconds, bytes of resident memory that it grew by, and the samples that came."""

    cpu: float
    wall: float
    growth: int
    first: float
    marks: list[tuple[float, ...]]


class Contender:
    """A process that goes through a store each time it is asked.

    Parameters
    ----------
    name : str
        One of `EPOCHS`.
    path : Path
        The store.
    warm : Path
        A small store of the same kind that is gone through first, so that imports and the loading of code are
        not measured. Memory that it leaves behind counts as there before.
    **options
        For the epoch.
    """

    def __init__(self, name: str, path: Path, warm: Path, **options: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self._line, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far, name, path, warm, options))
        self._process.start()
        far.close()

    def run(self) -> Epoch:
        """Go through the store once."""
        self._line.send("go")
        if not self._line.poll(PATIENCE):
            self.close()
            raise SystemExit(f"{self.name} did not finish an epoch in {PATIENCE} s")
        try:
            return Epoch(**self._line.recv())
        except (EOFError, ConnectionError):
            raise SystemExit(f"{self.name} ended by itself; what it said is above") from None

    def close(self) -> None:
        """End the process."""
        self._line.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()


def _serve(line: Any, name: str, path: Path, warm: Path, options: dict[str, Any]) -> None:
    prepare, fixed = EPOCHS[name]
    for _ in prepare(warm, **fixed, **options)():
        pass
    epoch = prepare(path, **fixed, **options)
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only glibc keeps, and can give back, what was freed
        ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS:")
    while True:
        try:
            line.recv()
        except EOFError:
            return
        line.send(asdict(_measure(epoch, before)))


def _measure(epoch: Callable[[], Iterator[npt.NDArray[np.float32]]], before: int) -> Epoch:
    marks: list[tuple[float, ...]] = []
    first = 0.0
    gc.collect()
    _forget_peak()
    cpu, wall = _cpu(), time.perf_counter()
    for values in epoch():
        first = first or time.perf_counter() - wall
        marks += map(tuple, values.tolist())
    gc.collect()  # joins what workers a DataLoader had: their time counts when they are gone
    return Epoch(_cpu() - cpu, time.perf_counter() - wall, _status("VmHWM:") - before, first, marks)


def _cpu() -> float:
    """Seconds of CPU time of this process and of the children it has waited for."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _status(key: str) -> int:
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith(key):
            return int(text.split()[1]) << 10
    raise SystemExit(f"/proc/self/status has no {key}: memory is measured on Linux only")


def _forget_peak() -> None:
    """Count the peak of resident memory afresh (Linux)."""
    with contextlib.suppress(OSError):  # not allowed in some containers: then it is the process's so far
        Path("/proc/self/clear_refs").write_text("5")


def truth(path: Path) -> list[tuple[float, ...]]:
    """Read the marks of all samples of a store with zarr-python, sorted."""
    import zarr

    group: Any = zarr.open_group(path, mode="r")
    values = np.stack([np.asarray(group[name][:, POINT[0], POINT[1]]) for name in VARIABLES], axis=1)
    return sorted(tuple(row) for row in values.tolist())
