"""Batches of numpy arrays, in the order of an epoch, decoded ahead by a few threads."""

from __future__ import annotations

import os
import queue
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.assembly import unreadable
from frazil.data.buffers import Buffers
from frazil.data.curation.losses import choose_by_losses
from frazil.data.curation.superbatches import Curation
from frazil.data.pool import ChunkPool, Tally, Uses
from frazil.data.quantities import parse_bytes
from frazil.data.samples import Samples
from frazil.data.schedule import Schedule
from frazil.errors import ConfigurationError, FrazilError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from frazil.data.batch import Batch
    from frazil.data.pool import Key, Piece
    from frazil.data.schedule import Group, Place
    from frazil.data.stores import StoreReader

BAD_CHUNKS = ("raise", "nan", "skip")

SLACK = 16
"""One part of the memory in so many is for what is not counted: encoded bytes, codecs, unused pieces."""
BAD = "bad chunks"


class ZarrBatches:
    """Iterate over a store in batches of numpy arrays; see `frazil.make_loader` for what the settings mean.

    Parameters
    ----------
    store : Samples, or whatever `Samples` opens
    batch_size : int, default 16
    shuffle : bool or ChunkShuffle, default True
    seed : int, default 0
        Of the shuffle, where ``shuffle=True``.
    curate : curator, optional
        `frazil.SALN` and its like; needs ``superbatch``.
    superbatch : int, optional
        Samples among which the curator chooses, a multiple of ``batch_size``.
    selection : path or Manifest, optional
        What `frazil.curate` wrote.
    rank, world_size : int, optional
        Which share of the superbatches is read; default all.
    remainder : {"keep", "drop", "pad"}, optional
        What happens to superbatches that do not come out even over the ranks; default "keep" for one rank,
        "drop" for more.
    on_bad_chunk : {"raise", "nan", "skip"}
        What becomes of samples that touch a chunk that cannot be read: an error, missing values, or nothing.
    memory : int or str, default "2GiB"
        Bytes for decoded chunks and for the batches that wait.
    threads : int, optional
        That decode; default as many as this process may use cores, up to 8.
    prefetch : int, default 2
        Batches that wait.
    **settings
        Those of `Samples`.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> t2m = xr.DataArray(np.arange(24.0).reshape(6, 2, 2), dims=("time", "y", "x"), name="t2m")
    >>> batches = ZarrBatches(t2m.to_dataset(), inputs=[0], targets=[1], batch_size=2, shuffle=False)
    >>> [(batch.x.shape, batch.index.tolist()) for batch in batches]
    [((2, 1, 1, 2, 2), [0, 1]), ((2, 1, 1, 2, 2), [2, 3]), ((1, 1, 1, 2, 2), [4])]
    """

    def __init__(
        self,
        store: Any,
        *,
        batch_size: int = 16,
        shuffle: Any = True,
        seed: int = 0,
        curate: Any = None,
        superbatch: int | None = None,
        selection: Any = None,
        rank: int | None = None,
        world_size: int | None = None,
        remainder: str | None = None,
        on_bad_chunk: str = "raise",
        memory: int | str = "2GiB",
        threads: int | None = None,
        prefetch: int = 2,
        **settings: Any,
    ) -> None:
        if on_bad_chunk not in BAD_CHUNKS:
            raise ConfigurationError(f"on_bad_chunk is one of {', '.join(BAD_CHUNKS)}; got {on_bad_chunk!r}")
        if prefetch < 1:
            raise ConfigurationError(f"prefetch counts batches that wait, 1 or more; got {prefetch}")
        if isinstance(store, Samples) and settings:
            raise ConfigurationError(f"the samples are made already; leave out {', '.join(sorted(settings))}")
        if threads is not None and threads < 1:
            raise ConfigurationError(f"threads counts those that decode, 1 or more; got {threads}")
        self.samples = store if isinstance(store, Samples) else Samples(store, **settings)
        self.on_bad_chunk, self.prefetch = on_bad_chunk, prefetch
        self.memory = parse_bytes(memory)
        self.threads = threads or min(8, available_cores())
        # What is delivered at a time: a batch, or a superbatch that is chosen from where it arrives.
        together = getattr(curate, "needs", None) == "losses"
        self.unit = self.samples.bytes_of((superbatch if together else None) or batch_size)
        self.schedule = Schedule(
            self.samples,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            curate=curate,
            superbatch=superbatch,
            selection=selection,
            rank=rank,
            world_size=world_size,
            remainder=remainder,
            # The rest is for chunks that are decoded ahead, and those of windows that reach beyond their run.
            # As if two batches waited: the order is not to depend on how many do.
            buffer=max(self.unit, (self.memory - 4 * self.unit) * 3 // 4),
        )
        self.room()  # refuses too little
        self.bad_chunks: dict[str, str] = {}
        self.lost: dict[str, int] = {}
        self.tally = Tally()

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        return self.samples.names

    @property
    def epoch(self) -> int:
        """The epoch that is read next."""
        return self.schedule.place.epoch

    def set_epoch(self, epoch: int) -> None:
        """Read that epoch next, from its beginning."""
        self.schedule.set_epoch(epoch)

    def __len__(self) -> int:
        """Batches of this rank in the epoch that is read next."""
        return self.schedule.count()

    @property
    def dropped(self) -> Mapping[str, int]:
        """Samples that no batch of the epoch holds, by reason; those of bad chunks as far as it was read."""
        return self.schedule.dropped() | self.lost

    def state_dict(self) -> dict[str, Any]:
        """Return where the reading stands, as JSON values."""
        return self.schedule.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a reading stood: the next iteration begins there.

        Raises
        ------
        ConfigurationError
            If the state is of other data or settings.
        """
        self.schedule.load_state_dict(state)

    def __iter__(self) -> Iterator[Batch]:
        """Read the rest of the epoch."""
        self.bad_chunks, self.lost = {}, {}
        source: Iterable[Batch] = self.read(self.schedule.begin())
        if self.schedule.together:
            source = choose_by_losses(source, self.schedule, self.read_now)
        yield from self.schedule.deliver(source)

    def load(self, key: Key, into: npt.NDArray[Any] | None = None) -> Piece:
        """Read and decode a chunk; one that cannot be read becomes what ``on_bad_chunk`` says."""
        assembly = self.samples.assembly
        try:
            return assembly.load(key, into)
        except FrazilError as error:
            if self.on_bad_chunk == "raise":
                raise
            return self.stand_in(assembly.reader, key, error)

    def stand_in(self, reader: StoreReader, key: Key, error: FrazilError) -> Piece:
        """Note a chunk that could not be read, and return what takes its place."""
        self.bad_chunks[reader.key(*key)] = str(error)
        return unreadable(reader, key, error)

    def read_now(self, ids: npt.NDArray[np.int64]) -> Batch:
        """Read some samples by number, here and now."""
        assembly = self.samples.assembly
        pieces = {key: self.load(key) for key in assembly.needs(ids)}
        return self.samples.batch(ids, assembly.fill(ids, pieces.__getitem__))

    def room(self, *, extra: int = 0) -> int:
        """Bytes for decoded chunks: what the batches that wait, one that is filled and one in use leave.

        Parameters
        ----------
        extra : int
            Further batches that are in memory.

        Raises
        ------
        ConfigurationError
            If they leave nothing.
        """
        count = self.prefetch + 2 + extra
        left = self.memory - self.memory // SLACK - count * self.unit
        if left <= 0:
            raise ConfigurationError(
                f"memory={self.memory} bytes: {count} batches of {self.unit} bytes take all of it; raise "
                "memory=, or lower batch_size= or prefetch="
            )
        return left

    def read(self, place: Place, worker: int = 0, workers: int = 1) -> Iterator[Batch]:
        """Read a worker's share of the superbatches from a place on."""
        groups = self.schedule.groups(place, worker, workers)
        ready: queue.Queue[Any] = queue.Queue(self.prefetch)
        stop = threading.Event()

        def produce() -> None:
            try:
                for filled in _Producer(self, groups).run():
                    if not _put(ready, filled, stop):
                        return
                _put(ready, None, stop)
            except BaseException as error:  # noqa: BLE001 - raised where the batches are taken
                _put(ready, error, stop)

        thread = threading.Thread(target=produce, name="frazil-batches", daemon=True)
        thread.start()
        try:
            while True:
                found = ready.get()
                if found is None:
                    return
                if isinstance(found, BaseException):
                    raise found
                batch, lost = found
                if lost:
                    self.lost[BAD] = self.lost.get(BAD, 0) + lost
                if batch is not None:
                    yield batch
        finally:
            stop.set()
            thread.join()


class _Producer:
    """Fills the batches of some groups, one after another."""

    def __init__(self, batches: ZarrBatches, groups: list[Group]) -> None:
        self.batches, self.groups = batches, groups
        schedule, self.assembly = batches.schedule, batches.samples.assembly
        self.curation = None
        if schedule.curator is not None and not schedule.together:
            self.curation = Curation(
                schedule,
                groups,
                threads=batches.threads,
                memory=batches.room() // 4,
                unreadable=None if batches.on_bad_chunk == "raise" else batches.stand_in,
            )
        budget = batches.room() - (0 if self.curation is None else self.curation.memory)
        self.pool = ChunkPool(
            batches.load,
            self.assembly.size,
            budget,
            Uses(self.assembly.needs(group.samples) for group in groups),
            batches.threads,
            reuse=True,
        )
        batches.tally = self.pool.tally
        self.buffers = Buffers(batches.prefetch + 2)
        # glibc gives arrays back to the system, and gets fresh, slow memory for the next, unless it once saw
        # a larger one go: this one, of which nothing is touched, so that those of chunks are kept at hand.
        np.empty(min(batches.unit, 1 << 24), np.uint8)

    def run(self) -> Iterator[tuple[Batch | None, int]]:
        """Yield the batches, each with how many samples were left out for bad chunks since the last."""
        try:
            for position, group in enumerate(self.groups):
                wanted = group if self.curation is None else self.curation.choose(position, self.pool)
                yield from self._fill_group(position, wanted)
                self.pool.advance(position)
        finally:
            self.pool.close()
            if self.curation is not None:
                self.curation.close()

    def _fill_group(self, position: int, group: Group) -> Iterator[tuple[Batch | None, int]]:
        batches = (group.samples,) if self.batches.schedule.together else group.batches
        held: Batch | None = None
        lost = 0
        for number in range(group.skip, len(batches)):
            self._look_ahead(position, batches[number:])
            ids = batches[number]
            batch = self._fill(ids, group, number, is_last=number == len(batches) - 1)
            lost += len(ids) - len(batch)
            if not len(batch):
                continue
            if self.batches.on_bad_chunk != "skip":
                yield batch, 0
                continue
            # One batch behind: if all those after it are empty, it is the last.
            if held is not None:
                yield held, 0
            held = batch
        if held is not None or lost:
            yield None if held is None else replace(held, is_last=True), lost

    def _look_ahead(self, position: int, batches: Sequence[npt.NDArray[np.int64]]) -> None:
        """Have chunks decoded for the batches to come, as far as there is room."""
        for ids in batches:
            if not all(self.pool.offer(key, position) for key in self.assembly.needs(ids)):
                return
        if self.curation is not None and not self.curation.shared:
            return  # which samples of the next superbatches will be read is not known yet
        for later in range(position + 1, min(position + 1 + 4 * self.batches.prefetch, len(self.groups))):
            keys = self.pool.uses.keys(later)
            if not all(self.pool.offer(key, later, spare=True) for key in keys):
                return

    def _fill(self, ids: npt.NDArray[np.int64], group: Group, number: int, *, is_last: bool) -> Batch:
        batches, samples = self.batches, self.batches.samples
        fields = self.assembly.fill(ids, self.pool.take, self.buffers.empty)
        batch = samples.batch(
            ids,
            fields,
            epoch=group.epoch,
            superbatch_id=group.number,
            position=number,
            is_last=is_last,
            selection=group.selection,
        )
        if fields.errors and batches.on_bad_chunk == "skip":
            batch = batch.take(np.array([i for i in range(len(ids)) if i not in fields.errors], np.int64))
        return batch


def _put(ready: queue.Queue[Any], item: Any, stop: threading.Event) -> bool:
    """Put an item, unless nobody waits for it any more."""
    while not stop.is_set():
        try:
            ready.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
