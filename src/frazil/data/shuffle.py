"""In which order samples are drawn, so that each stored chunk is decoded once and neighbours stay apart.

The order of an epoch is one list of batches that depends on seed, epoch and
plan alone. Ranks and workers take batches from it in turn, so that their
number changes nothing but who reads what.

Chunks are read in *runs* of consecutive ones, whose windows share their
chunks. Several runs are open at a time; each batch draws at most one sample
from a chunk (as long as enough chunks are open), and a run that is drawn dry
is replaced by the next. On 6-hourly fields in chunks of 8 steps this leaves
as few neighbours in a batch as shuffling everything does, with 128 samples in
memory; blocks of chunks that are shuffled as a whole leave five times more.

So that ranks do not decode one another's chunks, chunks are dealt to *lanes*
that are drawn from in turn: with as many lanes as ranks and workers, or a
multiple, each chunk belongs to one of them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from frazil.data.quantities import parse_bytes
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.data.windows import SamplePlan

    Ints = npt.NDArray[np.int64]

LANES = 8
HALO_SHARE = 0.15  # chunks that a run reads beyond its own, at most, as a share of its length


@dataclass(frozen=True)
class EpochOrder:
    """The batches of one epoch, in groups.

    Parameters
    ----------
    groups : list of list of ndarray
        For each superbatch its batches, each an array of sample numbers. Without curation that is one batch.
    """

    groups: list[list[Ints]]

    @property
    def samples(self) -> Ints:
        """All sample numbers in the order of the epoch."""
        batches = [batch for group in self.groups for batch in group]
        return np.concatenate(batches) if batches else np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class ChunkShuffle:
    """Draw from several runs of chunks at a time, at most one sample of a chunk for each batch.

    Parameters
    ----------
    seed : int, default 0
        The same seed gives the same batches, on any number of ranks and workers.
    buffer : int or str, default "1GiB"
        Bytes of decoded chunks that may be open at a time, over all lanes; more shuffles better. Where the
        whole store fits, everything is shuffled.
    run : int, optional
        Chunks in a run. Without it: 1 if windows stay in their chunk, else as many as keep the chunks read
        beyond a run's own at 15 % of it, where the buffer allows.
    lanes : int, optional
        Without it: up to 8, as many as the buffer and the number of chunks allow.
    stratified : bool, default True
        False draws samples of the open chunks without regard to their chunk.

    Examples
    --------
    >>> from frazil.data.windows import SamplePlan
    >>> plan = SamplePlan(length=64, chunk=8)
    >>> order = ChunkShuffle(seed=3).order(plan, epoch=0, batch_size=4, chunk_bytes=1000)
    >>> bool((np.sort(order.samples) == plan.samples).all())
    True
    >>> max(int(np.bincount(batch // 8).max()) for (batch,) in order.groups[:8])
    1
    """

    seed: int = 0
    buffer: int | str = "1GiB"
    run: int | None = None
    lanes: int | None = None
    stratified: bool = True
    _bytes: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn from."""
        for name in ("run", "lanes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} counts from 1 on; got {value}")
        object.__setattr__(self, "_bytes", parse_bytes(self.buffer))

    def order(
        self,
        plan: SamplePlan,
        *,
        epoch: int,
        batch_size: int,
        superbatch: int | None = None,
        chunk_bytes: int = 1,
    ) -> EpochOrder:
        """Order the samples of a plan for an epoch.

        Parameters
        ----------
        plan : SamplePlan
        epoch : int
            Each has an order of its own.
        batch_size : int
        superbatch : int, optional
            Samples of a group, a multiple of ``batch_size``; default one batch.
        chunk_bytes : int
            Bytes of a chunk of the sample axis, decoded, over all variables.

        Returns
        -------
        EpochOrder
            Every sample of the plan once.
        """
        per_group = batches_per_group(batch_size, superbatch)
        bits = np.random.PCG64(np.random.SeedSequence([self.seed, epoch]))
        chunks = _chunks(plan, bits)
        room = max(1, min(sum(map(len, chunks)), self._bytes // max(chunk_bytes, 1)))
        count = self._lanes(sum(map(len, chunks)), room, batch_size)
        runs = _runs(chunks, self._run(plan, room // count), bits)
        longest = max((len(samples) for tile in chunks for samples in tile.values()), default=0)
        lanes = [_Lane() for _ in range(count)]
        groups: list[list[Ints]] = []
        even = False
        while runs or any(lane.left for lane in lanes):
            lane = lanes[len(groups) % len(lanes)]
            group: list[Ints] = []
            while len(group) < per_group:
                _open(lane, runs, room // count, batch_size)
                if not runs and not even:
                    _even(lanes)
                    even = True
                if not runs and len(lanes) > 1 and lane.left < (per_group - len(group)) * batch_size:
                    # What makes no whole superbatch in any lane is drawn from all of them together.
                    lane = _Lane([chunk for each in lanes for chunk in each.chunks])
                    lanes = [lane]
                if not lane.left:
                    break
                # Only of the last batches a chunk may hold a sample for each.
                last = not runs and lane.left <= longest * batch_size
                group.append(_draw(lane, batch_size, bits, stratified=self.stratified, last=last))
            groups.append(group)
        return EpochOrder(groups)

    def fingerprint(self) -> str:
        """Hash of everything that decides the order, but for the plan."""
        values = asdict(self) | {"buffer": self._bytes}
        return "sha256:" + hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def _lanes(self, chunks: int, room: int, batch_size: int) -> int:
        """Lanes that leave each of them enough chunks to draw batches from, and enough turns."""
        if self.lanes is not None:
            return self.lanes
        lanes = 1
        while 2 * lanes <= LANES and 2 * lanes * 2 * batch_size <= min(room, chunks // 4):
            lanes *= 2
        return lanes

    def _run(self, plan: SamplePlan, room: int) -> int:
        if self.run is not None:
            return self.run
        wanted = math.ceil(plan.halo / HALO_SHARE) if plan.halo else 1
        return max(1, min(wanted, room // 3))


@dataclass(frozen=True)
class Sequential:
    """Samples in the order in which they are stored.

    Examples
    --------
    >>> from frazil.data.windows import SamplePlan
    >>> Sequential().order(SamplePlan(length=5), epoch=0, batch_size=3).groups
    [[array([0, 1, 2])], [array([3, 4])]]
    """

    def order(
        self,
        plan: SamplePlan,
        *,
        epoch: int,  # noqa: ARG002 - every epoch is the same
        batch_size: int,
        superbatch: int | None = None,
        chunk_bytes: int = 1,  # noqa: ARG002 - as `ChunkShuffle.order` has it
    ) -> EpochOrder:
        """Order the samples of a plan; see `ChunkShuffle.order`."""
        size = batches_per_group(batch_size, superbatch) * batch_size
        parts = [plan.samples[start : start + size] for start in range(0, len(plan.samples), size)]
        groups = [[part[at : at + batch_size] for at in range(0, len(part), batch_size)] for part in parts]
        return EpochOrder(groups)

    def fingerprint(self) -> str:
        """Name the order."""
        return "sequential"


def batches_per_group(batch_size: int, superbatch: int | None) -> int:
    """Batches in a superbatch.

    Raises
    ------
    ConfigurationError
        If it holds no whole number of batches.

    Examples
    --------
    >>> batches_per_group(16, 128)
    8
    """
    if batch_size < 1:
        raise ConfigurationError(f"batch_size counts samples, 1 or more; got {batch_size}")
    if superbatch is None:
        return 1
    if superbatch < batch_size or superbatch % batch_size:
        raise ConfigurationError(
            f"superbatch counts samples and holds whole batches: {superbatch} is no multiple of "
            f"batch_size={batch_size}; did you mean {max(1, round(superbatch / batch_size)) * batch_size}?"
        )
    return superbatch // batch_size


def _permutation(bits: np.random.PCG64, n: int) -> Ints:
    """Permute by raw bits, whose stream numpy promises never to change."""
    return np.argsort(bits.random_raw(n), kind="stable").astype(np.int64)


def _chunks(plan: SamplePlan, bits: np.random.PCG64) -> list[dict[int, list[int]]]:
    """For each tile the samples of each of its chunks, shuffled."""
    samples = plan.samples
    if not len(samples):
        return []
    tiles, homes = plan.homes(samples)
    mixed = _permutation(bits, len(samples))
    mixed = mixed[np.lexsort((homes[mixed], tiles[mixed]))]  # stable: chunks in order, their samples mixed
    keys = np.stack((tiles[mixed], homes[mixed]))
    starts = np.flatnonzero(np.any(np.diff(keys, axis=1, prepend=-1), axis=0))
    found: dict[int, dict[int, list[int]]] = {}
    for part in np.split(mixed, starts[1:]):
        found.setdefault(int(tiles[part[0]]), {})[int(homes[part[0]])] = samples[part].tolist()
    return list(found.values())


def _runs(chunks: list[dict[int, list[int]]], length: int, bits: np.random.PCG64) -> deque[list[list[int]]]:
    """Cut into runs of up to ``length`` consecutive chunks of a tile, in random order."""
    runs: list[list[list[int]]] = []
    for tile in chunks:
        by_run: dict[int, list[list[int]]] = {}
        for home, samples in tile.items():
            by_run.setdefault(home // length, []).append(samples)
        runs += by_run.values()
    return deque(runs[i] for i in _permutation(bits, len(runs)))


class _Lane:
    """Open chunks, each the samples that are left in it, and how many these are."""

    def __init__(self, chunks: list[list[int]] | None = None) -> None:
        self.chunks = chunks or []
        self.left = sum(map(len, self.chunks))

    def add(self, chunks: list[list[int]]) -> None:
        self.chunks += chunks
        self.left += sum(map(len, chunks))


def _open(lane: _Lane, runs: deque[list[list[int]]], room: int, batch_size: int) -> None:
    """Open the next runs while there is room, or until there is a batch, of as many chunks if they fit."""
    while runs and (
        len(lane.chunks) + len(runs[0]) <= room
        or len(lane.chunks) < batch_size <= room
        or lane.left < batch_size
    ):
        lane.add(runs.popleft())


def _even(lanes: list[_Lane]) -> None:
    """Move open chunks between lanes, the fullest that narrow it, until they hold about as many samples.

    Once no chunk is left to open, so that all lanes end at about the same batch. A chunk that was not drawn
    from yet, which is the fullest there is, costs nothing to move: no rank has decoded it.
    """
    while len(lanes) > 1:
        rich, poor = max(lanes, key=lambda lane: lane.left), min(lanes, key=lambda lane: lane.left)
        excess = rich.left - poor.left
        chunk = max((c for c in rich.chunks if 2 * len(c) <= excess), key=len, default=None)
        if chunk is None:
            return
        rich.chunks[:] = [c for c in rich.chunks if c is not chunk]
        rich.left -= len(chunk)
        poor.add([chunk])


def _draw(lane: _Lane, size: int, bits: np.random.PCG64, *, stratified: bool, last: bool) -> Ints:
    """Take up to ``size`` samples out of the open chunks, as few as can be from any one.

    Where these are the ``last`` chunks, those that hold a sample for each batch that they can still fill are
    taken from first: otherwise the end of an epoch would be drawn from the few that happen to be left.
    """
    taken: list[int] = []
    chunks = lane.chunks
    while chunks and len(taken) < size:
        picks = min(size - len(taken), len(chunks)) if stratified else 1
        ends: list[list[int]] = []
        urgent = 0
        if last and stratified:
            batches = -(-lane.left // size)
            chunks.sort(key=lambda chunk: len(chunk) >= batches)
            urgent = sum(len(chunk) >= batches for chunk in chunks)
        # A partial Fisher-Yates shuffle: what was picked goes to the end, where it is taken off.
        for k, raw in enumerate(bits.random_raw(picks)):
            n = len(chunks) - k
            zone = max(0, urgent - k) or n
            at = n - zone + int(raw) % zone if stratified else _weighted(lane, int(raw))
            chunks[at], chunks[n - 1] = chunks[n - 1], chunks[at]
            taken.append(chunks[n - 1].pop())
            ends.append(chunks[n - 1])
        del chunks[len(chunks) - picks :]
        chunks.extend(chunk for chunk in ends if chunk)
        lane.left -= picks
    return np.array(taken, np.int64)


def _weighted(lane: _Lane, raw: int) -> int:
    """Pick a chunk with a probability in proportion to the samples that are left in it."""
    at = raw % lane.left
    for number, chunk in enumerate(lane.chunks):
        at -= len(chunk)
        if at < 0:
            return number
    raise AssertionError("unreachable")
