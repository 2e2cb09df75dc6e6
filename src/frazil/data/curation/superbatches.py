"""Choose within superbatches while an epoch is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from frazil.data.curation.members import Members
from frazil.data.pool import ChunkPool, Uses
from frazil.data.schedule import chosen
from frazil.errors import FrazilError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from frazil.data.pool import Key, Piece
    from frazil.data.schedule import Group, Schedule
    from frazil.data.stores import StoreReader

FEWEST = 3
"""Candidates; fewer, at the end of an epoch, cannot be compared and are kept."""


def labels_of(group: Group, count: int) -> dict[str, Any]:
    """Tell a curator what it needs besides the members: epoch and step, and how many to keep."""
    return {"epoch": group.epoch, "step": group.number, "count": count}


class Curation:
    """A curator at work on the superbatches of a schedule, one after another.

    Parameters
    ----------
    schedule : Schedule
    groups : sequence of Group
        The superbatches that will be curated, in order.
    threads : int
        That decode what the members are embedded from.
    memory : int
        Bytes for that, where it is not what the batches are made of.
    alone : bool
        Whether nobody else reads: members are then embedded from chunks of their own in any case.
    unreadable : callable, optional
        Makes what stands for a chunk that could not be read, of a reader, a key and the error; without it the
        error is raised. Samples that need such a chunk are chosen last.
    """

    def __init__(
        self,
        schedule: Schedule,
        groups: Sequence[Group],
        *,
        threads: int = 1,
        memory: int = 1 << 28,
        alone: bool = False,
        unreadable: Callable[[StoreReader, Key, FrazilError], Piece] | None = None,
    ) -> None:
        self.schedule, self.curator, self.groups = schedule, schedule.curator, groups
        self.members = Members.of(schedule.samples, self.curator) if self.curator.needs == "members" else None
        self.shared = self.members is not None and self.members.shared and not alone
        self.memory, self._pool, self._unreadable = 0, None, unreadable
        if self.members is not None and not self.shared:
            assembly, self.memory = self.members.assembly, memory
            uses = Uses(assembly.needs(group.samples) for group in groups)
            self._pool = ChunkPool(self._load, assembly.size, memory, uses, threads)

    def _load(self, key: Key) -> Piece:
        assert self.members is not None  # noqa: S101 - for mypy: there is no pool without
        assembly = self.members.assembly
        try:
            return assembly.load(key)
        except FrazilError as error:
            if self._unreadable is None:
                raise
            return self._unreadable(assembly.reader, key, error)

    def choose(self, position: int, pool: ChunkPool | None = None) -> Group:
        """Curate the superbatch at a position of the sequence; positions only rise.

        Parameters
        ----------
        position : int
        pool : ChunkPool, optional
            Of the batches; used where members are embedded from the same chunks.
        """
        group = self.groups[position]
        ids, count = group.samples, self.schedule.kept(group)
        if len(ids) < FEWEST:
            return group
        if self.members is None:
            labels: dict[str, Any] = labels_of(group, count)
            if self.curator.needs == "times":
                labels["times"] = self.schedule.samples.plan.anchor(ids)
            selection = self.curator.select(len(ids), **labels)
            return chosen(group, np.asarray(selection.kept), self.schedule.batch_size, selection)
        members, unread = self.embed(position, pool)
        good = np.setdiff1d(np.arange(len(ids)), unread)
        wanted = min(count, len(good))
        if len(good) < FEWEST:
            return chosen(group, np.concatenate((good, unread))[:count], self.schedule.batch_size, None)
        selection = self.curator.select(
            members if not len(unread) else members[good], **labels_of(group, wanted)
        )
        kept = np.concatenate((good[np.asarray(selection.kept)], unread[: count - wanted]))
        return chosen(group, kept, self.schedule.batch_size, selection)

    def embed(
        self, position: int, pool: ChunkPool | None = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Return the members of the superbatch at a position, and which of them could not be read."""
        members, ids = self.members, self.groups[position].samples
        assert members is not None  # noqa: S101 - for mypy: only curators of members ask
        if self._pool is None:
            assert pool is not None  # noqa: S101 - for mypy: whoever shares has one
            return members.embed(ids, pool.take)
        for later in range(position, min(position + 2, len(self.groups))):
            keys = self._pool.uses.keys(later)
            if not all(self._pool.offer(key, later, spare=later > position) for key in keys):
                break
        found = members.embed(ids, self._pool.take)
        self._pool.advance(position)
        return found

    def close(self) -> None:
        """Let go of what is kept."""
        if self._pool is not None:
            self._pool.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of what is kept."""
        self.close()
