"""Choose from superbatches by the losses of their samples, where the model is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.schedule import Group, chosen
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from frazil.data.batch import Batch
    from frazil.data.schedule import Schedule


def choose_by_losses(
    superbatches: Iterable[Batch], schedule: Schedule, read: Callable[[Any], Batch]
) -> Iterator[Batch]:
    """Cut each superbatch to the samples that the curator chooses by their losses.

    Parameters
    ----------
    superbatches : iterable of Batch
        Whole ones.
    schedule : Schedule
        Its curator has ``losses``, a function of a batch that returns the learner's losses of its samples,
        shape (n,), or a pair: the learner's and the reference's.
    read : callable
        Reads samples by number: those of a superbatch that a checkpoint cut in two.

    Yields
    ------
    Batch
    """
    curator, size = schedule.curator, schedule.batch_size
    if curator.losses is None:
        raise ConfigurationError(
            f"{type(curator).__name__} in a loader needs losses=, a function of a batch that returns the "
            "losses of its samples"
        )
    pending = schedule.pending
    if pending is not None:
        number, done, ids = pending
        parts = [ids[at : at + size] for at in range(0, len(ids), size)]
        for k, part in enumerate(parts, done):
            left = ids[(k - done + 1) * size :]
            schedule.pending = (number, k + 1, left) if len(left) else None
            yield replace(
                read(part),
                epoch=schedule.place.epoch,
                superbatch_id=number,
                position=k,
                is_last=k == done + len(parts) - 1,
            )
    for whole in superbatches:
        if pending is not None and whole.superbatch_id <= pending[0]:
            continue
        ids = np.asarray(whole.index)
        if len(ids) < 3:  # too few to compare: the end of an epoch
            yield whole
            continue
        group = Group(whole.epoch, whole.superbatch_id, (ids,))
        found = curator.losses(whole)
        learner, reference = found if isinstance(found, tuple) else (found, None)
        selection = curator.select(
            _array(learner),
            None if reference is None else _array(reference),
            epoch=group.epoch,
            step=group.number,
            count=schedule.kept(group),
        )
        kept = np.sort(np.asarray(selection.kept))
        parts = [kept[at : at + size] for at in range(0, len(kept), size)]
        wanted = chosen(group, kept, size, selection)
        for k, part in enumerate(parts):
            rest = wanted.samples[(k + 1) * size :]
            schedule.pending = (group.number, k + 1, rest) if len(rest) else None
            yield whole.take(part, position=k, is_last=k == len(parts) - 1, selection=selection)


def _array(losses: Any) -> Any:
    """Return losses as an array, off any device and out of any graph."""
    return np.asarray(losses.detach().cpu() if hasattr(losses, "detach") else losses, np.float64)
