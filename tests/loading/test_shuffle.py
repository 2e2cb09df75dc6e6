from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_windows import plans

from frazil.data.shuffle import ChunkShuffle, EpochOrder, Sequential, batches_per_group
from frazil.data.windows import SamplePlan
from frazil.errors import ConfigurationError

NEIGHBOURS = 4  # steps: a day of 6-hourly fields


@given(
    plan=plans(),
    batch_size=st.integers(1, 9),
    batches=st.integers(1, 3),
    buffer=st.integers(1, 60),
    run=st.none() | st.integers(1, 5),
    lanes=st.none() | st.integers(1, 5),
    stratified=st.booleans(),
)
def test_every_sample_comes_exactly_once(
    plan: SamplePlan,
    batch_size: int,
    batches: int,
    *,
    buffer: int,
    run: int | None,
    lanes: int | None,
    stratified: bool,
) -> None:
    shuffle = ChunkShuffle(buffer=buffer, run=run, lanes=lanes, stratified=stratified)
    for order in (shuffle, Sequential()):
        drawn = order.order(plan, epoch=1, batch_size=batch_size, superbatch=batches * batch_size)
        assert np.array_equal(np.sort(drawn.samples), plan.samples)
        sizes = [[len(batch) for batch in group] for group in drawn.groups]
        assert all(group == [batch_size] * batches for group in sizes[:-1])
        assert all(size == batch_size for size in (sizes[-1][:-1] if sizes else []))


def long_plan(steps: int = 2048, **settings: object) -> SamplePlan:
    return SamplePlan(length=steps, chunk=8, **settings)


def as_lists(order: EpochOrder) -> list[list[list[int]]]:
    return [[batch.tolist() for batch in group] for group in order.groups]


def test_seed_and_epoch_decide_the_order() -> None:
    def drawn(seed: int, epoch: int) -> list[list[list[int]]]:
        return as_lists(ChunkShuffle(seed=seed).order(long_plan(), epoch=epoch, batch_size=16))

    assert drawn(1, 2) == drawn(1, 2)
    assert drawn(1, 2) != drawn(1, 3)
    assert drawn(1, 2) != drawn(2, 2)


def test_the_order_of_a_seed_is_for_ever() -> None:
    order = ChunkShuffle(seed=5, buffer=3).order(SamplePlan(length=12, chunk=3), epoch=2, batch_size=4)
    assert as_lists(order) == GOLDEN


@pytest.mark.parametrize("buffer", [20, 32, 100, 256])
@pytest.mark.parametrize("targets", [(), (1,)])
def test_no_batch_holds_two_samples_of_a_chunk(buffer: int, targets: tuple[int, ...]) -> None:
    order = ChunkShuffle(buffer=buffer).order(long_plan(targets=targets), epoch=0, batch_size=16)
    most = [max(np.bincount(batch // 8)) for (batch,) in order.groups]
    assert max(most[: -len(most) // 16]) == 1
    assert np.mean(most) < 1.1


def share_of_neighbours(batches: list[np.ndarray]) -> float:
    """Share of pairs, sorted by time, that are at most a day apart, within batches."""
    close = [np.diff(np.sort(batch)) <= NEIGHBOURS for batch in batches]
    return float(np.concatenate(close).mean())


def test_neighbours_are_as_rare_as_if_everything_were_shuffled() -> None:
    plan, rng = long_plan(), np.random.default_rng(0)
    order = ChunkShuffle(buffer=16).order(plan, epoch=0, batch_size=16)
    drawn = share_of_neighbours([batch for (batch,) in order.groups])
    everything = share_of_neighbours(np.split(rng.permutation(2048), 128))
    blocks = np.split(rng.permutation(256), 32)
    mixed = [rng.permutation(np.concatenate([np.arange(8 * c, 8 * c + 8) for c in b])) for b in blocks]
    assert share_of_neighbours([batch for m in mixed for batch in np.split(m, 4)]) > 0.3
    assert drawn <= 1.3 * everything


@pytest.mark.parametrize("world", [1, 2, 4, 8])
@pytest.mark.parametrize("buffer", [700, 2048])
def test_a_chunk_is_drawn_by_one_rank(world: int, buffer: int) -> None:
    order = ChunkShuffle(buffer=buffer).order(long_plan(8192), epoch=0, batch_size=8)
    readers = {(k % world, int(chunk)) for k, (batch,) in enumerate(order.groups) for chunk in batch // 8}
    assert len(readers) <= 1.06 * 1024


def test_lanes_end_together() -> None:
    order = ChunkShuffle(buffer=512, lanes=4, run=7).order(
        long_plan(4096, targets=(1,)), epoch=0, batch_size=8
    )
    owners: dict[int, set[int]] = {}
    for k, (batch,) in enumerate(order.groups[:-8]):
        for chunk in batch // 8:
            owners.setdefault(int(chunk), set()).add(k % 4)
    assert np.mean([len(ranks) for ranks in owners.values()]) < 1.05


def test_a_small_buffer_opens_few_chunks() -> None:
    order = ChunkShuffle(buffer=20, lanes=1).order(long_plan(), epoch=0, batch_size=16)
    first, last = {}, {}
    for k, (batch,) in enumerate(order.groups):
        for chunk in batch // 8:
            first.setdefault(int(chunk), k)
            last[int(chunk)] = k
    open_at = [sum(first[c] <= k <= last[c] for c in first) for k in range(len(order.groups))]
    assert max(open_at) <= 20 + 16


@pytest.mark.parametrize(
    ("batch_size", "superbatch", "words"),
    [
        (0, None, "batch_size counts samples, 1 or more; got 0"),
        (16, 40, "40 is no multiple of batch_size=16; did you mean 32"),
        (16, 8, "did you mean 16"),
    ],
)
def test_superbatches_hold_whole_batches(batch_size: int, superbatch: int | None, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        batches_per_group(batch_size, superbatch)


def test_a_shuffle_without_chunks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="lanes counts from 1"):
        ChunkShuffle(lanes=0)
    with pytest.raises(ConfigurationError, match="no amount of memory"):
        ChunkShuffle(buffer="much")


def test_the_fingerprint_is_that_of_the_settings() -> None:
    assert ChunkShuffle(buffer="1KiB").fingerprint() == ChunkShuffle(buffer=1024).fingerprint()
    assert len({ChunkShuffle(seed=s, lanes=n).fingerprint() for s in (0, 1) for n in (None, 2)}) == 4


GOLDEN = [[[3, 2, 10, 1]], [[11, 0, 5, 4]], [[8, 9, 6, 7]]]
