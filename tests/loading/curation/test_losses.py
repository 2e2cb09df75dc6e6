from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from little_curators import Hardest
from little_stores import numbers, weather

from frazil.data.batches import ZarrBatches
from frazil.data.samples import Samples
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from frazil.data.batch import Batch

DATA = weather(203).chunk(time=8)
SAMPLES = Samples(DATA, inputs=[0], targets=[])


def largest(batch: Batch) -> np.ndarray:
    return np.asarray(batch.x).max(axis=(1, 2, 3, 4))


def batches_of(losses: Any = largest, **settings: Any) -> ZarrBatches:
    return ZarrBatches(SAMPLES, batch_size=8, superbatch=32, curate=Hardest(losses), **settings)


def test_the_hardest_half_of_each_superbatch_is_kept() -> None:
    plain = list(ZarrBatches(SAMPLES, batch_size=8, superbatch=32))
    found = list(batches_of())
    assert len(found) == len(batches_of())
    fields = DATA["a"].values.max(axis=(1, 2))
    for number in range(7):
        candidates = np.concatenate([b.index for b in plain if b.superbatch_id == number])
        mine = [b for b in found if b.superbatch_id == number]
        kept = np.concatenate([b.index for b in mine])
        count = len(candidates) // 2 if len(candidates) == 32 else round(len(candidates) / 2 + 0.01)
        wanted = candidates[np.argsort(fields[candidates])[::-1][:count]]
        assert kept.tolist() == [c for c in candidates if c in wanted]
        assert [b.position for b in mine] == list(range(len(mine)))
        assert [b.is_last for b in mine] == [False] * (len(mine) - 1) + [True]
        for batch in mine:
            np.testing.assert_array_equal(batch.x[:, 0, 0], DATA["a"].values[batch.index])


def test_a_reference_is_subtracted() -> None:
    same = [np.asarray(b.index).tolist() for b in batches_of(lambda b: (largest(b), np.zeros(len(b))))]
    assert same == numbers(batches_of())
    other = numbers(batches_of(lambda b: (largest(b), 2 * largest(b))))
    assert other != same


def test_going_on_within_a_superbatch_loses_and_repeats_nothing() -> None:
    everything = numbers(batches_of())
    found: list[list[int]] = []
    state = None
    while len(found) < len(everything):  # stop after every batch: states of resumed readings as well
        batches = batches_of()
        if state is not None:
            batches.load_state_dict(state)
        found.append(next(iter(batches)).index.tolist())
        state = json.loads(json.dumps(batches.state_dict()))
    assert found == everything


def test_what_was_chosen_stays_chosen_though_the_model_changes() -> None:
    everything = numbers(batches_of())
    for done in (1, 2, 5):  # two batches of a superbatch are kept
        batches = batches_of()
        for _ in zip(range(done), batches, strict=False):
            state = batches.state_dict()
        after = batches_of(lambda b: -largest(b))
        after.load_state_dict(state)
        rest = numbers(after)
        assert len(rest) == len(everything) - done
        assert (rest[0] == everything[done]) == bool(done % 2)
        assert rest[1] != everything[done + 1]


def test_superbatches_too_small_to_compare_are_kept() -> None:
    samples = Samples(weather(66).chunk(time=8), inputs=[0], targets=[])
    found = list(ZarrBatches(samples, batch_size=8, superbatch=32, curate=Hardest(largest)))
    assert len(found[-1]) == 2
    assert found[-1].is_last


def test_a_curator_of_losses_wants_a_function() -> None:
    with pytest.raises(ConfigurationError, match="Hardest in a loader needs losses=, a function of a batch"):
        next(iter(batches_of(None)))


def test_losses_may_be_tensors() -> None:
    torch = pytest.importorskip("torch")
    as_tensor = batches_of(lambda b: torch.from_numpy(largest(b)).requires_grad_())
    assert numbers(as_tensor) == numbers(batches_of())


def test_ranks_choose_from_their_own_superbatches() -> None:
    pair = [list(batches_of(rank=rank, world_size=2, remainder="keep")) for rank in (0, 1)]
    both = sorted((b for share in pair for b in share), key=lambda b: (b.superbatch_id, b.position))
    assert [b.index.tolist() for b in both] == numbers(batches_of())
