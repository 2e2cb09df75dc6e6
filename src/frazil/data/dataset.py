"""Stores as PyTorch's datasets: one to iterate over, one to look samples up in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.batches import ZarrBatches
from frazil.data.quantities import parse_bytes
from frazil.data.recent import RecentChunks
from frazil.data.samples import Samples
from frazil.data.tensors import to_tensors
from frazil.errors import ConfigurationError

# isort: split
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

if TYPE_CHECKING:
    from collections.abc import Iterator


class TorchBatches(IterableDataset):  # type: ignore[type-arg]
    """Batches of tensors, as an iterable dataset; its parameters are those of `ZarrBatches`.

    Give it to ``DataLoader(batch_size=None)``, or let `make_loader` do that, whose loader also knows where
    the reading stands while workers read, keeps superbatches together, and goes on when a worker dies.
    Workers of your own are told the epoch by ``set_epoch``: each begins with the one that it was sent with.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> t2m = xr.DataArray(np.zeros((6, 2, 2), "f4"), dims=("time", "y", "x"), name="t2m")
    >>> [len(batch) for batch in TorchBatches(t2m.to_dataset(), inputs=[0], targets=[1], batch_size=3)]
    [3, 2]
    """

    def __init__(self, store: Any, **settings: Any) -> None:
        self.batches = store if isinstance(store, ZarrBatches) else ZarrBatches(store, **settings)

    def set_epoch(self, epoch: int) -> None:
        """Read that epoch next."""
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        """Batches of the epoch that is read next."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        """Read an epoch, or this worker's share of it."""
        info, batches, schedule = get_worker_info(), self.batches, self.batches.schedule
        if info is None:
            yield from map(to_tensors, batches)
            return
        if schedule.per_group > 1 and (info.num_workers > 1 or schedule.together):
            raise ConfigurationError(
                "superbatches do not stay together in the workers of a DataLoader; use frazil.make_loader"
            )
        batches.memory //= info.num_workers
        yield from map(to_tensors, batches.read(schedule.begin(), info.id, info.num_workers))


class ZarrDataset(Dataset):  # type: ignore[type-arg]
    """Samples of a store by number, for samplers of your own.

    Parameters
    ----------
    store : path, URL, Zarr store, xarray.Dataset or Samples
    selection : path or Manifest, optional
        Only the samples that `frazil.curate` kept, in the order of its first epoch.
    memory : int or str, default "512MiB"
        Decoded chunks that are kept, those used last.
    **settings
        Those of `Samples`.

    Notes
    -----
    An item is a dict of tensors that the usual collation stacks: ``x`` and ``mask`` (T, C, *space), ``y`` and
    ``y_mask`` where there are targets, ``index``, and ``time`` in nanoseconds since 1970 where the axis holds
    dates.
    A sampler that jumps between chunks decodes each of them for every sample: `make_loader` does not.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> t2m = xr.DataArray(np.zeros((6, 2, 2), "f4"), dims=("time", "y", "x"), name="t2m")
    >>> dataset = ZarrDataset(t2m.to_dataset(), inputs=[0], targets=[1])
    >>> len(dataset), dataset[0]["x"].shape
    (5, torch.Size([1, 1, 2, 2]))
    """

    def __init__(
        self, store: Any, *, selection: Any = None, memory: int | str = "512MiB", **settings: Any
    ) -> None:
        self.samples = store if isinstance(store, Samples) else Samples(store, **settings)
        self.numbers = self.samples.plan.samples
        if selection is not None:
            from frazil.data.curation.manifest import Manifest

            self.numbers = Manifest.of(selection, self.samples).kept(0)
        self._recent = RecentChunks(self.samples.assembly.load, parse_bytes(memory))

    def __len__(self) -> int:
        """Count the samples, or those that were kept."""
        return len(self.numbers)

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        """Read a sample; negative numbers count from the end."""
        return self.__getitems__([item])[0]

    def __getitems__(self, items: list[int]) -> list[dict[str, torch.Tensor]]:
        """Read several samples, chunk by chunk."""
        numbers = self.numbers[np.asarray(items)]
        assembly = self.samples.assembly
        batch = self.samples.batch(numbers, assembly.fill(numbers, self._recent.take))
        found = to_tensors(batch)
        times = batch.time
        named = {"x": found.x, "mask": found.mask, "y": found.y, "y_mask": found.y_mask, "index": found.index}
        if times.dtype.kind == "M":
            named["time"] = torch.from_numpy(times.astype("M8[ns]").astype(np.int64))
        return [{k: v[i] for k, v in named.items() if v is not None} for i in range(len(items))]
