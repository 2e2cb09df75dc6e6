"""A loader that follows epochs, ranks and workers, and knows where the reading stands."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from frazil.data.batches import ZarrBatches, available_cores
from frazil.data.curation.losses import choose_by_losses
from frazil.data.schedule import check_ranks
from frazil.data.tensors import can_pin, move, to_tensors
from frazil.data.workers import Share, working
from frazil.errors import ConfigurationError, WorkerWarning

# isort: split
from torch import distributed
from torch.utils.data import DataLoader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from frazil.data.batch import Batch

_RESTARTS = 3  # of the workers, in an epoch, before their death is an error


class Loader:
    """Iterates over batches of tensors, epoch after epoch; `make_loader` makes it.

    Parameters
    ----------
    batches : ZarrBatches
    num_workers : int
    multiprocessing_context : str
    pin_memory : bool
    """

    def __init__(
        self,
        batches: ZarrBatches,
        *,
        num_workers: int = 0,
        multiprocessing_context: str = "forkserver",
        pin_memory: bool = False,
    ) -> None:
        if num_workers < 0:
            raise ConfigurationError(f"num_workers counts processes, 0 or more; got {num_workers}")
        self.batches, self.num_workers = batches, num_workers
        self.multiprocessing_context, self.pin_memory = multiprocessing_context, pin_memory
        if num_workers:
            self._share()

    def _share(self) -> int:
        """Bytes for each worker, without the superbatches that it hands over."""
        batches, schedule = self.batches, self.batches.schedule
        superbatch = batches.samples.bytes_of(schedule.per_group * schedule.batch_size)
        waiting = (self._queued + 1) * superbatch
        share = batches.memory // self.num_workers - waiting
        if share <= (batches.prefetch + 2) * batches.unit:
            raise ConfigurationError(
                f"memory={batches.memory} bytes: {self.num_workers} workers hand over {waiting} bytes each, "
                "with too little left to read; raise memory=, or lower num_workers=, batch_size= or "
                "superbatch="
            )
        return share

    @property
    def _queued(self) -> int:
        """Superbatches of each worker that wait to be taken."""
        return 2 if self.batches.schedule.per_group == 1 else 1

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        return self.batches.channels

    @property
    def epoch(self) -> int:
        """The epoch that is read next, or being read."""
        return self.batches.epoch

    @property
    def dropped(self) -> Mapping[str, int]:
        """Samples that no batch of the epoch holds, over all ranks, by reason."""
        return self.batches.dropped

    @property
    def bad_chunks(self) -> Mapping[str, str]:
        """Chunks of the epoch that could not be read, by key, and why."""
        return self.batches.bad_chunks

    def __len__(self) -> int:
        """Batches of this rank in the epoch."""
        return len(self.batches)

    def set_epoch(self, epoch: int) -> None:
        """Read that epoch next, from its beginning; without it epochs follow one another."""
        self.batches.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return where the reading stands: JSON values, to be saved with the model."""
        return self.batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a reading stood: the next iteration begins there, and reads nothing before it."""
        self.batches.load_state_dict(state)

    def __iter__(self) -> Iterator[Batch]:
        """Read the rest of an epoch that was loaded, else the whole epoch."""
        batches, schedule = self.batches, self.batches.schedule
        batches.bad_chunks, batches.lost = {}, {}
        place = schedule.begin()
        source = self._workers() if self.num_workers else map(to_tensors, batches.read(place))
        if schedule.together:
            source = choose_by_losses(source, schedule, lambda ids: to_tensors(batches.read_now(ids)))
        pin = self.pin_memory and can_pin()
        for batch in schedule.deliver(source):
            yield move(batch, pin=True) if pin else batch

    def _workers(self) -> Iterator[Batch]:
        """Read in processes; where one dies, begin again behind the last batch that was delivered."""
        batches, restarts = self.batches, 0
        while True:
            loader = DataLoader(
                Share(batches, batches.schedule.place, self._share()),
                batch_size=None,
                num_workers=self.num_workers,
                multiprocessing_context=self.multiprocessing_context,
                prefetch_factor=self._queued,
            )
            try:
                with working(loader) as workers:
                    for group, bad, lost in workers:
                        batches.bad_chunks |= bad
                        for reason, count in lost.items():
                            batches.lost[reason] = batches.lost.get(reason, 0) + count
                        yield from group
            except RuntimeError as error:
                if "DataLoader worker" not in str(error) or restarts == _RESTARTS:
                    raise
                restarts += 1
                warnings.warn(
                    f"{error}; reading goes on behind the last batch that was delivered ({restarts} of "
                    f"{_RESTARTS} times in this epoch)",
                    WorkerWarning,
                    stacklevel=2,
                )
            else:
                return


def make_loader(
    store: Any,
    *,
    variables: Any = None,
    inputs: Any = (-1, 0),
    targets: Any = (1,),
    batch_size: int = 16,
    shuffle: Any = True,
    level: int = 0,
    normalise: Any = None,
    curate: Any = None,
    superbatch: int | None = None,
    selection: Any = None,
    seed: int = 0,
    rank: int | None = None,
    world_size: int | None = None,
    memory: int | str = "2GiB",
    threads: int | None = None,
    num_workers: int = 0,
    multiprocessing_context: str = "forkserver",
    pin_memory: bool = False,
    **settings: Any,
) -> Loader:
    """Read a store in batches of tensors: each chunk decoded once an epoch, in threads, lazily.

    Parameters
    ----------
    store : path, URL, Zarr store or xarray.Dataset
        Any Zarr store of either format; those that frazil wrote can also be read at a lower resolution.
    variables : optional
        Names, or pairs of name and coordinate values: ``["t2m", ("z", [500, 850])]``. Default: all that have
        the sample axis and the spatial ones. They become channels named ``"t2m"``, ``"z@500"``, ...
    inputs, targets : sequence of int
        Steps of a window, from its anchor: ``batch.x`` holds those of ``inputs``, ``batch.y`` those of
        ``targets`` (None for ``targets=[]``).
    batch_size : int, default 16
    shuffle : bool or ChunkShuffle, default True
    level : int, default 0
        Resolution 1/2**level.
    normalise : None, "store" or Normaliser
        See `Samples`.
    curate : SALN, RandomDiscard, MostRecent, JEST or the like, optional
        Keeps a share of each superbatch.
    superbatch : int, optional
        Samples among which is chosen, a multiple of ``batch_size``; 16 batches where ``curate`` is given.
    selection : path, optional
        What `frazil.curate` wrote: the same batches as with ``curate=``, without choosing again.
    seed : int, default 0
    rank, world_size : int, optional
        Share of the superbatches; default those of `torch.distributed` where it is initialised, else all.
        The order of an epoch does not depend on them: ranks take superbatches in turn.
    memory : int or str, default "2GiB"
        Budget of decoded chunks and waiting batches, over all workers.
    threads : int, optional
        That decode, in each process; default the cores at hand, up to 8, shared by the workers.
    num_workers : int, default 0
        Processes. Threads decode at the same speed for less memory and no copies; workers are for what holds
        the GIL.
    multiprocessing_context : {"forkserver", "spawn", "fork"}
    pin_memory : bool, default False
        Hand out batches in pinned memory, for a copy to a GPU that overlaps with work; without a GPU they
        stay as they are.
    **settings
        Further ones of `ZarrBatches` (``remainder``, ``on_bad_chunk``, ``prefetch``) and of `Samples`
        (``region``, ``times``, ``patch``, ``stride``, ``statics``, ``missing``, ``decode``, ``group``,
        ``sample_dim``, ``spatial``).

        ``decode=False`` reads what `frazil.Latent` and `frazil.Codeword` stored, without running a model:
        ``batch.x`` is (B, T, k, y', x'), int32 (float32 where normalised), its channels latents, or heads,
        and its points blocks of points, which begin anew in each chunk; ``region`` and ``patch`` count them.
        For arrays (time, ..., y, x) of models whose channels are not times: the latents of those gives
        `frazil.read_latents`.

    Returns
    -------
    Loader
        Iterates over `Batch`, with ``state_dict()``, ``load_state_dict()``, ``set_epoch()``, ``dropped`` and
        ``bad_chunks``.

    Raises
    ------
    ConfigurationError
        If settings contradict each other or the store.
    StoreError
        If the store or a variable is not there.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> t2m = xr.DataArray(np.zeros((9, 4, 6), "f4"), dims=("time", "lat", "lon"), name="t2m")
    >>> loader = make_loader(t2m.to_dataset(), inputs=[-1, 0], targets=[1], batch_size=4)
    >>> batch = next(iter(loader))
    >>> batch.x.shape, batch.y.shape
    (torch.Size([4, 2, 1, 4, 6]), torch.Size([4, 1, 1, 4, 6]))
    >>> dict(loader.dropped)
    {'windows that reach beyond the data': 2}
    """
    if rank is None and world_size is None:
        rank, world_size = distributed_ranks()
    check_ranks(rank, world_size)
    if curate is not None and superbatch is None:
        superbatch = 16 * batch_size
    if threads is None and num_workers:
        threads = max(1, available_cores() // num_workers)
    batches = ZarrBatches(
        store,
        variables=variables,
        inputs=inputs,
        targets=targets,
        batch_size=batch_size,
        shuffle=shuffle,
        level=level,
        normalise=normalise,
        curate=curate,
        superbatch=superbatch,
        selection=selection,
        seed=seed,
        rank=rank,
        world_size=world_size,
        memory=memory,
        threads=threads,
        **settings,
    )
    return Loader(
        batches,
        num_workers=num_workers,
        multiprocessing_context=multiprocessing_context,
        pin_memory=pin_memory,
    )


def distributed_ranks() -> tuple[int | None, int | None]:
    """Rank and world size of `torch.distributed`, or None where it is not initialised."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return None, None
