from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from little_stores import joined, weather

from frazil.data.samples import Samples
from frazil.data.schedule import Group, Place, Schedule, check_ranks, keep_count
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLES = Samples(weather(203).chunk(time=8), inputs=[0], targets=[])  # 203 of them


def of_ranks(world: int, workers: int = 1, **settings: Any) -> list[list[list[Group]]]:
    """Superbatches of each rank and worker."""
    schedules = [Schedule(SAMPLES, rank=rank, world_size=world, **settings) for rank in range(world)]
    return [[s.groups(Place(), worker, workers) for worker in range(workers)] for s in schedules]


def in_turn(shares: Sequence[Sequence[Group]]) -> list[list[int]]:
    """Batches as those who take from each share in turn see them."""
    groups = sorted((group for share in shares for group in share), key=lambda group: group.number)
    return [batch.tolist() for group in groups for batch in group.batches]


@given(
    world=st.sampled_from([1, 2, 3, 4, 7]),
    workers=st.integers(1, 4),
    batch_size=st.integers(1, 8),
    per_group=st.integers(1, 3),
    seed=st.integers(0, 5),
)
def test_ranks_and_workers_take_turns_in_one_order(
    world: int, workers: int, batch_size: int, per_group: int, seed: int
) -> None:
    settings = {
        "batch_size": batch_size,
        "superbatch": per_group * batch_size,
        "seed": seed,
        "remainder": "keep",
    }
    alone = in_turn([of_ranks(1, **settings)[0][0]])
    shares = of_ranks(world, workers, **settings)
    assert in_turn([share for rank in shares for share in rank]) == alone
    for rank, of_workers in enumerate(shares):
        numbers = [[group.number for group in share] for share in of_workers]
        assert all(number % world == rank for share in numbers for number in share)
        assert all(number // world % workers == k for k, share in enumerate(numbers) for number in share)
    assert sorted(joined(alone)) == list(range(203))


@given(world=st.integers(1, 6), batch_size=st.integers(1, 12), per_group=st.integers(1, 2))
def test_ranks_come_out_even(world: int, batch_size: int, per_group: int) -> None:
    settings = {"batch_size": batch_size, "superbatch": per_group * batch_size}
    for remainder in ("drop", "pad"):
        shares = of_ranks(world, remainder=remainder, **settings)
        sizes = [[[len(b) for b in group.batches] for group in rank[0]] for rank in shares]
        assert all(size == sizes[0] for size in sizes)
        assert all(group == [batch_size] * per_group for group in sizes[0])
        seen = sorted(joined(in_turn([rank[0] for rank in shares])))
        counts = Schedule(SAMPLES, rank=0, world_size=world, remainder=remainder, **settings).dropped()
        if remainder == "drop":
            assert len(set(seen)) == len(seen)
            assert counts.get("left over by the batches of all ranks", 0) == 203 - len(seen)
            assert 203 - len(seen) < world * per_group * batch_size
        else:
            assert set(seen) == set(range(203))
            assert counts.get("repeated to come out even (not dropped)", 0) == len(seen) - 203


def test_one_rank_keeps_what_is_left_and_several_drop_it() -> None:
    assert Schedule(SAMPLES, batch_size=16).count() == 13
    assert Schedule(SAMPLES, batch_size=16, remainder="drop").count() == 12
    assert [Schedule(SAMPLES, batch_size=16, rank=r, world_size=5).count() for r in range(5)] == [2] * 5
    kept = [
        Schedule(SAMPLES, batch_size=16, rank=r, world_size=5, remainder="keep").count() for r in range(5)
    ]
    assert kept == [3, 3, 3, 2, 2]


def test_more_ranks_than_batches_is_a_sentence() -> None:
    schedule = Schedule(SAMPLES, batch_size=64, rank=0, world_size=4)
    with pytest.raises(
        ConfigurationError, match=r"203 samples make no superbatch .* for each of 4 ranks; lower"
    ):
        schedule.count()


def test_the_order_does_not_know_the_ranks_but_the_padding_does() -> None:
    states = {
        Schedule(SAMPLES, rank=0, world_size=world, remainder=remainder).fingerprint()
        for world in (1, 2, 3)
        for remainder in ("keep", "drop")
    }
    assert len(states) == 1
    assert Schedule(SAMPLES, remainder="pad").fingerprint() not in states


def test_epochs_are_set_from_0() -> None:
    schedule = Schedule(SAMPLES)
    with pytest.raises(ConfigurationError, match="epochs count from 0; got -1"):
        schedule.set_epoch(-1)


def test_another_epoch_forgets_a_state() -> None:
    schedule = Schedule(SAMPLES)
    schedule.load_state_dict(Schedule(SAMPLES).state_dict() | {"group": 3})
    schedule.set_epoch(0)
    assert schedule.begin() == Place(0, 3)
    assert schedule.begin() == Place(0)
    schedule.load_state_dict(
        Schedule(SAMPLES).state_dict() | {"group": 3, "pending": [3, 1, [5, 6]], "batch": 1}
    )
    schedule.set_epoch(4)
    assert schedule.pending is None
    assert schedule.begin() == Place(4)


@given(share=st.floats(0.01, 1), batches=st.integers(1, 9), batch_size=st.integers(1, 20))
def test_whole_batches_are_kept_of_whole_superbatches(share: float, batches: int, batch_size: int) -> None:
    n = batches * batch_size
    kept = keep_count(share, n, batch_size, Group(0, 0, ()))
    assert 0 < kept <= n
    assert n < 3 or kept % batch_size == 0
    assert n < 3 or abs(kept - share * n) <= max(batch_size, 1)


def test_the_share_may_change_with_the_epoch() -> None:
    def keep(epoch: int, step: int) -> float:
        return 1.0 if epoch == 0 else 0.25 + step / 4

    counts = [keep_count(keep, 64, 16, Group(*place, ())) for place in [(0, 0), (1, 0), (1, 1)]]
    assert counts == [64, 16, 32]
    with pytest.raises(ConfigurationError, match=r"above 0 and up to 1; got 1.5"):
        keep_count(1.5, 64, 16, Group(0, 0, ()))


def test_a_rank_is_one_of_the_world() -> None:
    with pytest.raises(ConfigurationError, match="go together; got None and 4"):
        check_ranks(None, 4)
    with pytest.raises(ConfigurationError, match="rank -1 is none of 2"):
        check_ranks(-1, 2)
    with pytest.raises(ConfigurationError, match="rank 0 is none of 0"):
        check_ranks(0, 0)


def test_a_state_is_small() -> None:
    state = Schedule(SAMPLES).state_dict()
    assert sorted(state) == ["batch", "epoch", "fingerprint", "group", "version", "world_size"]
    assert np.array_equal([state[k] for k in ("epoch", "group", "batch")], [0, 0, 0])
