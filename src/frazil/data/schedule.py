"""Who reads which batches of an epoch, and how far the reading came."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.curation.selection import kept_count, scheduled
from frazil.data.shuffle import ChunkShuffle, Sequential, batches_per_group
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy.typing as npt

    from frazil.data.batch import Batch
    from frazil.data.curation.selection import Selection
    from frazil.data.samples import Samples

    Ints = npt.NDArray[np.int64]

REMAINDERS = ("keep", "drop", "pad")
_STATE = 1  # version of what state_dict returns


@dataclass(frozen=True)
class Place:
    """How far the reading came: an epoch, superbatches that all ranks have done, batches of the one after.

    Parameters
    ----------
    epoch, group, batch : int
    """

    epoch: int = 0
    group: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Group:
    """A superbatch: its candidates, or what was chosen of them.

    Parameters
    ----------
    epoch, number : int
    batches : tuple of ndarray of int64
        Sample numbers.
    skip : int
        Batches that were delivered already.
    selection : Selection, optional
        Set when it was curated.
    """

    epoch: int
    number: int
    batches: tuple[Ints, ...]
    skip: int = 0
    selection: Selection | None = None

    @property
    def samples(self) -> Ints:
        """Sample numbers of all its batches."""
        return np.concatenate(self.batches) if self.batches else np.zeros(0, np.int64)


class Schedule:
    """The order of the epochs, this rank's share of it, and how far it was delivered.

    Parameters are those of `frazil.data.batches.ZarrBatches`; ``buffer`` is that of the shuffle, in bytes.

    Raises
    ------
    ConfigurationError
        If the settings contradict each other.
    """

    def __init__(
        self,
        samples: Samples,
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
        buffer: int = 1 << 30,
    ) -> None:
        self.samples, self.batch_size, self.superbatch = samples, batch_size, superbatch
        self.rank, self.world_size = check_ranks(rank, world_size)
        self.remainder = remainder or ("keep" if self.world_size == 1 else "drop")
        if self.remainder not in REMAINDERS:
            raise ConfigurationError(f"remainder is one of {', '.join(REMAINDERS)}; got {remainder!r}")
        self.per_group = batches_per_group(batch_size, superbatch)
        self.curator = curate
        if curate is not None and selection is not None:
            raise ConfigurationError(
                "curate= chooses anew, selection= takes what was chosen: give one of them"
            )
        if curate is not None and superbatch is None:
            raise ConfigurationError(
                f"curate= chooses within superbatches; give superbatch= in samples, such as {16 * batch_size}"
            )
        if shuffle is True:
            shuffle = ChunkShuffle(seed=seed, buffer=buffer)
        self.shuffle = shuffle or Sequential()
        self.manifest = None if selection is None else self._open_manifest(selection)
        self.place, self._resumed = Place(), False
        self.pending: tuple[int, int, Ints] | None = (
            None  # a superbatch cut by losses: number, batches done, rest
        )
        self._order: tuple[int, list[tuple[Ints, ...]], dict[str, int]] | None = None

    def _open_manifest(self, selection: Any) -> Any:
        from frazil.data.curation.manifest import Manifest

        return Manifest.of(selection, self.samples, batch_size=self.batch_size)

    @property
    def together(self) -> bool:
        """Whether superbatches are delivered whole and chosen from where they arrive."""
        return self.curator is not None and self.curator.needs == "losses"

    def order(self, epoch: int) -> tuple[list[tuple[Ints, ...]], dict[str, int]]:
        """Return the superbatches of an epoch over all ranks, and how many samples do not come out even."""
        if self._order is None or self._order[0] != epoch:
            if self.manifest is not None:
                groups = self.manifest.groups(epoch)
            else:
                drawn = self.shuffle.order(
                    self.samples.plan,
                    epoch=epoch,
                    batch_size=self.batch_size,
                    superbatch=self.superbatch,
                    chunk_bytes=self.samples.chunk_bytes,
                )
                groups = [tuple(group) for group in drawn.groups]
            self._order = (epoch, *self._even(groups, epoch))
        return self._order[1:]

    def _even(
        self, groups: list[tuple[Ints, ...]], epoch: int
    ) -> tuple[list[tuple[Ints, ...]], dict[str, int]]:
        """Make the superbatches come out even over the ranks."""
        total = sum(len(batch) for group in groups for batch in group)
        if self.remainder == "keep":
            return groups, {}
        if self.remainder == "drop":
            if self.manifest is not None:
                full = [g for k, g in enumerate(groups) if self.manifest.is_whole(epoch, k)]
            else:
                full = [g for g in groups if _is_full(g, self.per_group, self.batch_size)]
            full = full[: len(full) - len(full) % self.world_size]
            lost = total - sum(len(batch) for group in full for batch in group)
            if not full and groups:
                raise ConfigurationError(
                    f"{total} samples make no superbatch of {self.per_group} batches of {self.batch_size} "
                    f"for each of {self.world_size} ranks; lower batch_size=, or use remainder='pad'"
                )
            return full, {"left over by the batches of all ranks": lost} if lost else {}
        flat = np.concatenate([batch for group in groups for batch in group] or [np.zeros(0, np.int64)])
        size = self.per_group * self.batch_size
        whole = -(-len(flat) // (size * self.world_size)) * size * self.world_size
        flat = np.resize(flat, whole)  # repeats from the beginning
        parts = [flat[at : at + size] for at in range(0, whole, size)]
        cut = [tuple(p[at : at + self.batch_size] for at in range(0, size, self.batch_size)) for p in parts]
        return cut, {"repeated to come out even (not dropped)": whole - total} if whole > total else {}

    def groups(self, place: Place, worker: int = 0, workers: int = 1) -> list[Group]:
        """Superbatches of this rank from a place on, or a worker's share of them."""
        found, _ = self.order(place.epoch)
        mine = range(place.group + self.rank, len(found), self.world_size)
        return [
            Group(place.epoch, number, found[number], skip=place.batch if number == mine[0] else 0)
            for number in mine[worker::workers]
        ]

    def count(self) -> int:
        """Batches of this rank in the epoch, from its beginning."""
        groups = self.groups(Place(self.place.epoch))
        return sum(-(-self.kept(group) // self.batch_size) for group in groups)

    def kept(self, group: Group) -> int:
        """How many of a superbatch's candidates will be kept."""
        n = len(group.samples)
        return n if self.curator is None else keep_count(self.curator.keep, n, self.batch_size, group)

    def dropped(self) -> dict[str, int]:
        """Count the samples that no batch of the epoch holds, over all ranks, by reason."""
        epoch = self.place.epoch
        found, uneven = self.order(epoch)
        counts = dict(self.samples.plan.dropped) | uneven
        groups = [Group(epoch, number, batches) for number, batches in enumerate(found)]
        if self.curator is not None:
            counts["not chosen by the curation"] = sum(len(g.samples) - self.kept(g) for g in groups)
        if self.manifest is not None:
            counts["not chosen by the curation"] = self.manifest.dropped(epoch)
        return counts

    def set_epoch(self, epoch: int) -> None:
        """Begin there next."""
        if epoch < 0:
            raise ConfigurationError(f"epochs count from 0; got {epoch}")
        if epoch != self.place.epoch or not self._resumed:
            self.place, self._resumed, self.pending = Place(epoch), False, None

    def begin(self) -> Place:
        """Where the next iteration begins: at what was loaded, else at the beginning of the epoch."""
        if not self._resumed:
            self.place, self.pending = Place(self.place.epoch), None
        self._resumed = False
        return self.place

    def deliver(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Hand batches on and count them; the next epoch follows when they end."""
        epoch = self.place.epoch
        for batch in batches:
            done = batch.superbatch_id - self.rank
            if batch.is_last:
                self.place = Place(epoch, done + self.world_size)
            else:
                self.place = Place(epoch, done, batch.position + 1)
            yield batch
        self.place = Place(epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """How far it was delivered, as JSON values."""
        state = {"version": _STATE, **asdict(self.place), "fingerprint": self.fingerprint()}
        state["world_size"] = self.world_size
        if self.pending is not None:
            state["pending"] = [*self.pending[:2], self.pending[2].tolist()]
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state says."""
        if state.get("version") != _STATE:
            raise ConfigurationError(
                f"this is no state of a loader that this frazil reads (version {state.get('version')!r}, "
                f"expected {_STATE})"
            )
        if state["fingerprint"] != self.fingerprint():
            raise ConfigurationError(
                "the state was saved by a loader of another store or with other settings (variables, "
                "windows, batch_size, seed, memory, curation ...); going on would lose or repeat samples. "
                "Use the settings of that loader, or begin an epoch with set_epoch()"
            )
        place = Place(int(state["epoch"]), int(state["group"]), int(state["batch"]))
        if place.batch and int(state["world_size"]) != self.world_size:
            raise ConfigurationError(
                f"the state was saved by {state['world_size']} ranks within a superbatch; go on with as "
                f"many, or save at the end of one (got {self.world_size} ranks)"
            )
        number, done, rest = state.get("pending") or (0, 0, None)
        self.pending = None if rest is None else (number, done, np.array(rest, np.int64))
        self.place, self._resumed = place, True

    def fingerprint(self) -> str:
        """Hash of all that decides which samples come in which order, but for ranks and workers."""
        parts = [
            self.samples.fingerprint(),
            self.shuffle.fingerprint(),
            self.batch_size,
            self.superbatch,
            None if self.curator is None else self.curator.fingerprint(),
            None if self.manifest is None else self.manifest.fingerprint(),
            self.remainder == "pad",
        ]
        return "sha256:" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def keep_count(keep: Any, n: int, batch_size: int, group: Group) -> int:
    """How many of ``n`` candidates are kept: whole batches of a whole superbatch.

    Examples
    --------
    >>> keep_count(0.5, 64, 16, Group(0, 0, ())), keep_count(0.4, 30, 16, Group(0, 0, ()))
    (32, 12)
    """
    share = scheduled(keep, group.epoch, group.number)
    wanted = kept_count(share, n)
    if n < 3:  # too few to compare
        return n
    if n % batch_size:
        return wanted
    return min(n, max(1, int(share * n / batch_size + 0.5)) * batch_size)


def chosen(group: Group, kept: Ints, batch_size: int, selection: Selection | None) -> Group:
    """Return a superbatch with the candidates that were kept alone, in the order in which they were drawn."""
    ids = group.samples[np.sort(kept)]
    parts = tuple(ids[at : at + batch_size] for at in range(0, len(ids), batch_size))
    return replace(group, batches=parts, selection=selection)


def check_ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Fill in one rank of one.

    Raises
    ------
    ConfigurationError
        If only one is given, or the rank is none of the world's.

    Examples
    --------
    >>> check_ranks(None, None), check_ranks(1, 4)
    ((0, 1), (1, 4))
    """
    if (rank is None) != (world_size is None):
        raise ConfigurationError(f"rank and world_size go together; got {rank!r} and {world_size!r}")
    number, size = (rank or 0), (1 if world_size is None else world_size)
    if not 0 <= number < size:
        raise ConfigurationError(f"rank {number} is none of {size} ranks, which count from 0")
    return number, size


def _is_full(group: tuple[Ints, ...], batches: int, batch_size: int) -> bool:
    return len(group) == batches and all(len(batch) == batch_size for batch in group)
