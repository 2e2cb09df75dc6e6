"""Whole epochs: nothing lost, nothing twice, each chunk decoded once, whatever happens on the way."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from little_stores import check_values, joined, numbers, read_by_xarray, weather, write

from frazil.data.batches import ZarrBatches
from frazil.data.shuffle import ChunkShuffle
from frazil.errors import ConfigurationError, FormatError, FrazilError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variables of 203 steps, in chunks of 8 and of 5 steps."""
    ds = weather(203, ("a", "b"))
    ds["a"][17, 1, 2] = np.nan
    return write(ds, tmp_path_factory.mktemp("batches") / "s.zarr", {"a": (8, 4, 6), "b": (5, 4, 3)})


def once(batches: ZarrBatches, found: list[list[int]]) -> None:
    """Check that each sample came exactly once."""
    assert sorted(joined(found)) == batches.samples.plan.samples.tolist()


def test_every_batch_holds_what_xarray_reads(store: Path) -> None:
    ds = read_by_xarray(store)
    batches = ZarrBatches(store, batch_size=7)
    found = []
    for batch in batches:
        check_values(batch, ds, batches.samples)
        found.append(batch.index.tolist())
    once(batches, found)
    assert len(found) == len(batches) == 29
    assert set(batches.tally.decoded.values()) == {1}
    assert dict(batches.dropped) == {"windows that reach beyond the data": 2}


@settings(max_examples=25)
@given(
    memory=st.integers(6_000, 200_000),
    batch_size=st.integers(1, 20),
    prefetch=st.integers(1, 3),
    threads=st.integers(1, 4),
    offsets=st.lists(st.integers(-3, 3), min_size=1, max_size=3, unique=True),
    per_group=st.integers(1, 3),
    shuffle=st.booleans(),
    patch=st.none() | st.just(3),
)
def test_memory_is_kept_and_every_sample_comes_once(
    store: Path, memory: int, patch: int | None, **drawn: Any
) -> None:
    size, prefetch = drawn.pop("batch_size"), drawn["prefetch"]
    offsets, per_group = drawn.pop("offsets"), drawn.pop("per_group")
    waiting = (prefetch + 2) * size * len(offsets) * 2 * (4 * 6 if patch is None else 9) * 4
    batches = ZarrBatches(
        store,
        inputs=offsets,
        targets=[],
        batch_size=size,
        superbatch=per_group * size,
        memory=leaving(waiting + memory),
        patch=patch,
        **drawn,
    )
    once(batches, numbers(batches))
    assert 0 < batches.tally.peak <= memory


def leaving(counted: int) -> int:
    """Return the memory that has so many bytes to it that are counted: all but a sixteenth."""
    return counted + counted // 15


def test_a_budget_of_one_chunk_is_enough(store: Path) -> None:
    batch = 4 * 3 * 2 * 24 * 4
    batches = ZarrBatches(store, batch_size=4, memory=leaving(4 * batch + 8 * 24 * 5))
    once(batches, numbers(batches))
    assert batches.tally.peak <= 8 * 24 * 5
    assert batches.tally.evicted > 0


def test_too_little_memory_is_a_sentence(store: Path) -> None:
    with pytest.raises(ConfigurationError, match="4 batches of 9216 bytes take all of it; raise memory="):
        ZarrBatches(store, batch_size=16, memory="30kB")
    batches = ZarrBatches(store, batch_size=16, memory=leaving(4 * 9216 + 100))
    with pytest.raises(ConfigurationError, match="takes 960 bytes when it is decoded, and 100 are left"):
        list(batches)


def decodes(batches: ZarrBatches) -> float:
    """Read an epoch; chunks decoded over chunks there are."""
    once(batches, numbers(batches))
    return sum(batches.tally.decoded.values()) / len(batches.tally.decoded)


@pytest.fixture(scope="module")
def long_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """256 chunks of 8 steps, of 1.5 KiB."""
    return write(weather(2048, ("a", "b"), (4, 6)), tmp_path_factory.mktemp("batches") / "long.zarr")


@pytest.mark.parametrize("chunks", [40, 64, 128, 600])
def test_without_windows_a_chunk_is_decoded_once(long_store: Path, chunks: int) -> None:
    batch = 16 * 2 * 24 * 4
    batches = ZarrBatches(
        long_store, inputs=[0], targets=[], batch_size=16, memory=4 * batch + chunks * 8 * 24 * 4 * 2
    )
    assert decodes(batches) == 1


@pytest.mark.parametrize("chunks", [100, 160, 240])
def test_with_lead_one_few_chunks_are_decoded_twice(long_store: Path, chunks: int) -> None:
    batch = 16 * 2 * 2 * 24 * 4
    batches = ZarrBatches(
        long_store, inputs=[0], targets=[1], batch_size=16, memory=4 * batch + chunks * 8 * 24 * 4 * 2
    )
    assert decodes(batches) <= 1.15


def test_ranks_share_the_decoding(tmp_path: Path) -> None:
    store = write(weather(4096, ("a",), (2, 3)), tmp_path / "s.zarr")
    total = 0
    seen: list[int] = []
    for rank in range(4):
        batches = ZarrBatches(
            store,
            inputs=[0],
            targets=[],
            batch_size=8,
            memory="1MB",
            rank=rank,
            world_size=4,
            remainder="keep",
            shuffle=ChunkShuffle(lanes=4, buffer="20kB"),
        )
        seen += joined(numbers(batches))
        total += sum(batches.tally.decoded.values())
    assert sorted(seen) == list(range(4096))
    assert total <= 1.06 * 512


def test_threads_and_prefetch_change_nothing(store: Path) -> None:
    shuffle = ChunkShuffle(seed=4, buffer="20kB")
    orders = [
        numbers(ZarrBatches(store, shuffle=shuffle, threads=threads, prefetch=prefetch))
        for threads, prefetch in [(1, 1), (4, 1), (2, 5)]
    ]
    assert orders[0] == orders[1] == orders[2]


def test_epochs_follow_one_another(store: Path) -> None:
    batches = ZarrBatches(store, seed=3)
    first, second = numbers(batches), numbers(batches)
    assert first != second
    assert batches.epoch == 2
    batches.set_epoch(0)
    assert numbers(batches) == first
    assert numbers(ZarrBatches(store, seed=3)) == first
    assert numbers(ZarrBatches(store, seed=4)) != first


def test_without_shuffling_the_order_is_that_of_the_store(store: Path) -> None:
    assert joined(numbers(ZarrBatches(store, shuffle=False))) == list(range(1, 202))


# A state, and going on from it.


@dataclass(frozen=True)
class EveryOther:
    """A curator that keeps some at random; what `frazil.RandomDiscard` is like from outside."""

    keep: float = 0.5
    needs: str = "nothing"

    def fingerprint(self) -> str:
        return f"every other {self.keep}"

    def select(self, members: int, *, epoch: int, step: int, count: int) -> Any:
        order = np.random.default_rng([epoch, step]).permutation(members)
        return Kept(np.sort(order[:count]))


@dataclass(frozen=True)
class Kept:
    kept: np.ndarray


SETTINGS = {
    "plain": {"batch_size": 16},
    "superbatches": {"batch_size": 8, "superbatch": 32},
    "curated": {"batch_size": 8, "superbatch": 32, "curate": EveryOther()},
    "patches": {"batch_size": 40, "patch": {"lat": 2, "lon": 4}},
    "sequential": {"batch_size": 16, "shuffle": False},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_going_on_loses_and_repeats_nothing(store: Path, name: str) -> None:
    chosen = SETTINGS[name]
    whole = ZarrBatches(store, **chosen)
    everything = [*numbers(whole), *numbers(whole)]
    for done in [0, 1, 2, 5, len(whole) - 1, len(whole), len(whole) + 3]:
        before = ZarrBatches(store, **chosen)
        found: list[list[int]] = []
        while len(found) < done:
            for batch in before:
                found.append(batch.index.tolist())
                state = json.loads(json.dumps(before.state_dict()))
                if len(found) == done:
                    break
        after = ZarrBatches(store, **chosen)
        if done:
            after.load_state_dict(state)
            after.set_epoch(after.epoch)  # as training scripts do at the beginning of each epoch
        epoch_left = numbers(after)
        assert found + epoch_left == everything[: len(found) + len(epoch_left)]
        assert len(found + epoch_left) % len(whole) == 0
        if chosen.get("curate") is None and len(epoch_left) > 1:
            assert numbers(after) == everything[len(found + epoch_left) :][: len(whole)] or done > len(whole)


def test_nothing_before_a_state_is_read(long_store: Path) -> None:
    first = ZarrBatches(long_store, inputs=[0], targets=[], shuffle=False)
    for k, _ in enumerate(first):
        if k == 99:
            break
    second = ZarrBatches(long_store, inputs=[0], targets=[], shuffle=False)
    second.load_state_dict(first.state_dict())
    assert len(numbers(second)) == 28
    assert min(key[1][0] for key in second.tally.decoded) == 200


@pytest.mark.parametrize(
    "other",
    [
        {"batch_size": 8},
        {"seed": 1},
        {"inputs": [0]},
        {"variables": ["a"]},
        {"shuffle": False},
        {"memory": "1MB"},
    ],
)
def test_a_state_of_other_settings_is_refused(store: Path, other: dict[str, Any]) -> None:
    state = ZarrBatches(store, batch_size=16).state_dict()
    with pytest.raises(ConfigurationError, match="another store or with other settings"):
        ZarrBatches(store, **{"batch_size": 16} | other).load_state_dict(state)


def test_a_state_of_another_store_or_frazil_is_refused(store: Path, long_store: Path) -> None:
    state = ZarrBatches(store).state_dict()
    with pytest.raises(ConfigurationError, match="another store"):
        ZarrBatches(long_store).load_state_dict(state)
    with pytest.raises(ConfigurationError, match=r"no state of a loader that this frazil reads .*version 9"):
        ZarrBatches(store).load_state_dict(state | {"version": 9})


def test_another_number_of_ranks_goes_on_between_superbatches(store: Path) -> None:
    chosen: dict[str, Any] = {"batch_size": 4, "superbatch": 8, "remainder": "keep"}
    whole = ZarrBatches(store, **chosen)
    everything = numbers(whole)
    pair = [ZarrBatches(store, rank=rank, world_size=2, **chosen) for rank in (0, 1)]
    turns = [iter(batches) for batches in pair]
    found = [[next(turn).index.tolist() for _ in range(6)] for turn in turns]  # three superbatches each
    assert pair[0].state_dict() == pair[1].state_dict()
    after = [ZarrBatches(store, rank=rank, world_size=3, **chosen) for rank in range(3)]
    for batches in after:
        batches.load_state_dict(pair[0].state_dict())
        found.append(numbers(batches))
    assert sorted(map(tuple, joined(found))) == sorted(map(tuple, everything))
    next(turns[0])
    with pytest.raises(ConfigurationError, match="saved by 2 ranks within a superbatch"):
        ZarrBatches(store, rank=0, world_size=3, **chosen).load_state_dict(pair[0].state_dict())


def test_a_curated_superbatch_says_where_it_ends(store: Path) -> None:
    batches = ZarrBatches(store, batch_size=8, superbatch=32, curate=EveryOther())
    found = list(batches)
    places = [(b.superbatch_id, b.position, b.is_last, len(b)) for b in found]
    assert places[:4] == [(0, 0, False, 8), (0, 1, True, 8), (1, 0, False, 8), (1, 1, True, 8)]
    assert places[-1] == (6, 0, True, 5)
    assert batches.dropped["not chosen by the curation"] == 6 * 16 + 4
    assert len(found) == len(batches)
    assert isinstance(found[0].selection, Kept)


# What goes wrong.


def damage(store: Path, key: str) -> None:
    """Write nonsense over a chunk."""
    path = store / key
    path.write_bytes(b"\x00" * 7 + path.read_bytes()[7:19])


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    store = write(weather(40, ("a", "b")), tmp_path / "bad.zarr", {"a": (8, 4, 6), "b": (8, 4, 6)})
    damage(store, "a/c/2/0/0")
    return store


TOUCHED = set(range(15, 25))  # windows of steps -1, 0, 1 that touch steps 16 to 23


def test_a_damaged_chunk_is_an_error_with_its_name(damaged: Path) -> None:
    with pytest.raises(FrazilError, match=r"'a'.*c/2/0/0"):
        list(ZarrBatches(damaged))


def test_a_damaged_chunk_is_missing_values(damaged: Path) -> None:
    batches = ZarrBatches(damaged, on_bad_chunk="nan", batch_size=5)
    found = list(batches)
    once(batches, numbers(found))
    assert list(batches.bad_chunks) == ["a/c/2/0/0"]
    assert "a/c/2/0/0" in batches.bad_chunks["a/c/2/0/0"]
    assert batches.lost == {}
    for batch in found:
        for row, sample in enumerate(batch.index):
            bad = (np.arange(sample - 1, sample + 1) // 8) == 2
            assert batch.mask[row, bad, 0].sum() == 0
            assert batch.mask[row, ~bad].all()
            assert batch.mask[row, :, 1].all()
            assert (batch.x[row, bad, 0] == 0).all()


@pytest.mark.parametrize("superbatch", [None, 12])
@pytest.mark.parametrize("shuffle", [True, False])
def test_samples_of_a_damaged_chunk_are_left_out_and_counted(
    damaged: Path, superbatch: int | None, *, shuffle: bool
) -> None:
    batches = ZarrBatches(damaged, on_bad_chunk="skip", batch_size=4, shuffle=shuffle, superbatch=superbatch)
    found = list(batches)
    assert sorted(joined(numbers(found))) == sorted(set(range(1, 39)) - TOUCHED)
    assert batches.dropped["bad chunks"] == len(TOUCHED)
    assert list(batches.bad_chunks) == ["a/c/2/0/0"]
    assert min(map(len, found)) > 0
    ends = Counter(batch.superbatch_id for batch in found if batch.is_last)
    assert set(ends.values()) == {1}
    assert set(ends) == {batch.superbatch_id for batch in found}
    assert len(numbers(batches)) > 0  # and the next epoch
    assert batches.dropped["bad chunks"] == len(TOUCHED)


def test_an_epoch_of_bad_chunks_ends(damaged: Path) -> None:
    for chunk in range(5):
        damage(damaged, f"b/c/{chunk}/0/0")
    batches = ZarrBatches(damaged, on_bad_chunk="skip")
    assert list(batches) == []
    assert batches.lost == {"bad chunks": 38}
    assert batches.epoch == 1


def test_going_on_behind_batches_that_were_left_out(damaged: Path) -> None:
    settings: dict[str, Any] = {"on_bad_chunk": "skip", "batch_size": 4, "shuffle": False, "superbatch": 8}
    everything = numbers(ZarrBatches(damaged, **settings))
    for done in range(1, len(everything)):
        batches = ZarrBatches(damaged, **settings)
        for _ in zip(range(done), batches, strict=False):
            state = batches.state_dict()
        after = ZarrBatches(damaged, **settings)
        after.load_state_dict(state)
        assert everything[:done] + numbers(after) == everything


def test_a_format_error_of_the_thread_keeps_its_type(damaged: Path) -> None:
    with pytest.raises((FormatError, FrazilError)) as caught:
        next(iter(ZarrBatches(damaged, shuffle=False, batch_size=30)))
    assert isinstance(caught.value, FrazilError)


def frazil_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("frazil")]


def test_no_thread_outlives_an_iterator(store: Path, damaged: Path) -> None:
    assert frazil_threads() == []
    for _ in ZarrBatches(store, batch_size=3, threads=3):
        assert "frazil-batches" in frazil_threads()
        break
    assert frazil_threads() == []
    iterator = iter(ZarrBatches(store))
    next(iterator)
    iterator.close()
    assert frazil_threads() == []
    with pytest.raises(FrazilError):
        list(ZarrBatches(damaged))
    assert frazil_threads() == []


def test_two_iterators_at_once_read_the_same_epoch(store: Path) -> None:
    batches = ZarrBatches(store)
    pairs = [(one.index.tolist(), other.index.tolist()) for one, other in zip(batches, batches, strict=True)]
    assert [one for one, _ in pairs] == [other for _, other in pairs]
    once(batches, [one for one, _ in pairs])
    assert batches.epoch == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"on_bad_chunk": "ignore"}, "raise, nan, skip; got 'ignore'"),
        ({"prefetch": 0}, "prefetch counts batches that wait, 1 or more"),
        ({"threads": 0}, "threads counts those that decode, 1 or more"),
        ({"memory": "2 giga"}, "no amount of memory"),
        ({"batch_size": 0}, "batch_size counts samples"),
        ({"superbatch": 20}, "no multiple of batch_size=16; did you mean 16"),
        ({"curate": EveryOther()}, "give superbatch= in samples, such as 256"),
        ({"curate": EveryOther(), "superbatch": 32, "selection": "s.json"}, "give one of them"),
        ({"rank": 0}, "rank and world_size go together"),
        ({"rank": 2, "world_size": 2}, "rank 2 is none of 2 ranks"),
        ({"remainder": "lose"}, "remainder is one of keep, drop, pad; got 'lose'"),
    ],
)
def test_settings_that_contradict_are_refused(store: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        ZarrBatches(store, **settings)


def test_samples_that_are_made_take_no_settings(store: Path) -> None:
    samples = ZarrBatches(store).samples
    assert numbers(ZarrBatches(samples)) == numbers(ZarrBatches(store))
    with pytest.raises(ConfigurationError, match="made already; leave out inputs"):
        ZarrBatches(samples, inputs=[0])


def test_windows_that_all_cross_gaps_make_an_empty_epoch() -> None:
    ds = weather(8)
    ds["time"] = ds["time"].values[0] + np.cumsum([0, 6, 60, 6, 60, 6, 6, 60]).astype("m8[h]")
    batches = ZarrBatches(ds, inputs=[-3, 0], targets=[])
    assert list(batches) == []
    assert batches.dropped["windows across a gap of the time axis"] == 5
