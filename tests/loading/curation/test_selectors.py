from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import frazil
from frazil.data.curation.selectors import uniform
from frazil.errors import ConfigurationError


def test_chance_is_uniform_and_changes_by_step_and_epoch() -> None:
    curator = frazil.RandomDiscard(keep=0.3, seed=4)
    counts = np.zeros(20)
    seen = set()
    for epoch in range(20):
        for step in range(50):
            found = curator.select(20, epoch=epoch, step=step)
            counts[found.kept] += 1
            seen.add(tuple(found.kept.tolist()))
    assert len(seen) > 900
    # 1000 draws of 6 of 20: chi-square of 19 degrees, without replacement a little less
    assert ((counts - 300) ** 2 / (300 * 0.7)).sum() < 43.8  # 0.1 %


def test_chance_is_the_same_again() -> None:
    first = frazil.RandomDiscard(seed=4).select(20, epoch=1, step=2)
    again = pickle.loads(pickle.dumps(frazil.RandomDiscard(seed=4))).select(
        np.zeros((20, 3)), epoch=1, step=2
    )
    assert first.kept.tolist() == again.kept.tolist()
    assert first.kept.tolist() != frazil.RandomDiscard(seed=5).select(20, epoch=1, step=2).kept.tolist()
    assert uniform(3, 4, 1, 2).tolist() == first.scores[:3].tolist()


def test_the_stream_of_chance_is_what_it_was() -> None:
    # The bits of PCG64, which numpy keeps: selections of today can be had tomorrow.
    assert uniform(3, 0, 1, 2).tolist() == [0.8817035384837327, 0.28917661385918403, 0.8710360723907997]


@pytest.mark.parametrize("n", [4, np.int64(4), np.zeros((4, 2)), [[1], [2], [3], [4]]])
def test_members_or_their_number(n: Any) -> None:
    assert len(frazil.RandomDiscard(keep=0.5).select(n).kept) == 2
    assert frazil.MostRecent(keep=0.5).select(n).kept.tolist() == [2, 3]


def test_the_latest_are_kept_and_ties_go_to_the_last() -> None:
    when = np.array([5, 9, 1, 9, 9], "M8[h]")
    curator = frazil.MostRecent(keep=0.4)
    assert curator.select(5, times=when).kept.tolist() == [3, 4]
    assert curator.select(5, times=when, count=4).kept.tolist() == [0, 1, 3, 4]
    assert curator.select(5, times=when, count=5).dropped.tolist() == []


@pytest.mark.parametrize("curator", [frazil.RandomDiscard, frazil.MostRecent])
def test_shares_may_follow_a_schedule(curator: Any) -> None:
    found = curator(keep=lambda epoch, step: 1 / (1 + epoch + step))
    assert [len(found.select(12, epoch=e, step=s).kept) for e, s in ((0, 0), (1, 0), (1, 1))] == [12, 6, 4]
    with pytest.raises(ConfigurationError, match="keep is the share"):
        curator(keep=lambda epoch, step: epoch).select(12)


@pytest.mark.parametrize("curator", [frazil.RandomDiscard, frazil.MostRecent])
def test_what_cannot_be_is_refused(curator: Any) -> None:
    with pytest.raises(ConfigurationError, match="keep is the share"):
        curator(keep=0)
    with pytest.raises(ConfigurationError, match="no members to choose from"):
        curator().select(0)
    with pytest.raises(ConfigurationError, match="count is how many of the 4"):
        curator().select(4, count=5)


@pytest.mark.parametrize("seed", [-1, 0.5, "a"])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    with pytest.raises(ConfigurationError, match="seed is a whole number from 0 on"):
        frazil.RandomDiscard(seed=seed)


def test_times_of_another_length_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"times holds one for each of the 4 members.*\(3,\)"):
        frazil.MostRecent().select(4, times=[1, 2, 3])


def test_fingerprints_tell_settings_apart() -> None:
    curators: list[Any] = [
        frazil.RandomDiscard(),
        frazil.RandomDiscard(keep=0.25),
        frazil.RandomDiscard(seed=1),
        frazil.MostRecent(),
        frazil.MostRecent(keep=0.25),
    ]
    assert len({curator.fingerprint() for curator in curators}) == len(curators)
    assert all(pickle.loads(pickle.dumps(c)).fingerprint() == c.fingerprint() for c in curators)
