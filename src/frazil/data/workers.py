"""Processes that read for a loader: what they are sent, what they hand back, how they end."""

from __future__ import annotations

import contextlib
import copy
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from frazil.data.tensors import to_tensors

# isort: split
from torch.utils.data import IterableDataset, _utils, get_worker_info

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frazil.data.batch import Batch
    from frazil.data.batches import ZarrBatches
    from frazil.data.schedule import Place


@dataclass(frozen=True)
class LossesElsewhere:
    """Stands for a curator in workers: they read whole superbatches, the model's process chooses."""

    needs: str = "losses"


class Share(IterableDataset):  # type: ignore[type-arg]
    """What the workers of a loader read: superbatches from a place on, and what went wrong.

    It yields one item for each superbatch, an empty one where all of it was left out: the DataLoader takes
    from its workers in turn.
    """

    def __init__(self, batches: ZarrBatches, place: Place, memory: int) -> None:
        self.batches, self.place = copy.copy(batches), place
        self.batches.memory = memory
        if batches.schedule.together:
            self.batches.schedule = copy.copy(batches.schedule)
            self.batches.schedule.curator = LossesElsewhere()

    def __iter__(self) -> Iterator[tuple[list[Batch], dict[str, str], dict[str, int]]]:
        """Read this worker's share."""
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        batches = self.batches
        coming = deque(group.number for group in batches.schedule.groups(self.place, worker, workers))

        def item(group: list[Batch]) -> tuple[list[Batch], dict[str, str], dict[str, int]]:
            lost, batches.lost = batches.lost, {}
            return group, dict(batches.bad_chunks), lost

        group: list[Batch] = []
        for batch in batches.read(self.place, worker, workers):
            while coming[0] != batch.superbatch_id:
                coming.popleft()
                yield item([])
            group.append(to_tensors(batch))
            if batch.is_last:
                coming.popleft()
                yield item(group)
                group = []
        for _ in coming:
            yield item([])


@contextlib.contextmanager
def working(loader: Any) -> Iterator[Any]:
    """Begin to read in workers, which are looked after while one waits for them, and end them.

    torch also raises when a worker dies from wherever the main thread happens to be: in the middle of a
    training step, where nobody expects it. Its workers are taken off that list here. And it ends them when
    their iterator is forgotten, which an error's traceback puts off: into workers that are forked later.
    """
    workers: Any = iter(loader)
    signals = _utils.signal_handling
    if getattr(workers, "_worker_pids_set", False) and hasattr(signals, "_remove_worker_pids"):
        signals._remove_worker_pids(id(workers))  # noqa: SLF001 - torch has no public way
        workers._worker_pids_set = False  # noqa: SLF001 - or it would take them off once more
    try:
        yield workers
    finally:
        getattr(workers, "_shutdown_workers", lambda: None)()
