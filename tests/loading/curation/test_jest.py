from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest

import frazil
from frazil.errors import ConfigurationError


def test_chances_are_those_of_weighted_draws_without_replacement() -> None:
    learner, reference = np.array([1.0, 2.0, 0.5, 3.0]), np.array([0.5, 1.0, 0.5, 1.5])
    weights = np.exp((learner - reference) / 0.7)
    expected = dict.fromkeys(itertools.combinations(range(4), 2), 0.0)
    for first, second in itertools.permutations(range(4), 2):
        chance = weights[first] / weights.sum() * weights[second] / (weights.sum() - weights[first])
        expected[min(first, second), max(first, second)] += chance
    curator = frazil.JEST(keep=0.5, temperature=0.7, seed=1)
    draws = 4000
    seen = dict.fromkeys(expected, 0)
    for step in range(draws):
        found = curator.select(learner, reference, epoch=step % 7, step=step).kept
        seen[int(found[0]), int(found[1])] += 1
    square = sum((seen[pair] - draws * p) ** 2 / (draws * p) for pair, p in expected.items())
    assert square < 20.5  # chi-square of 5 degrees, 0.1 %


@pytest.mark.parametrize(("variant", "kept"), [("learnability", [1, 4]), ("hard", [0, 1]), ("easy", [2, 3])])
def test_variants(variant: str, kept: list[int]) -> None:
    learner, reference = [9.0, 8.0, 1.0, 0.5, 4.0], [8.5, 3.0, 0.5, 1.0, 2.0]
    found = frazil.JEST(keep=0.4, variant=variant, temperature=1e-9).select(learner, reference)
    assert found.kept.tolist() == kept
    assert (found.diagnostics.curator, found.diagnostics.score) == ("JEST", variant)


def test_scores_are_kept() -> None:
    found = frazil.JEST().select([3.0, 1.0], [1.0, 2.0])
    assert found.scores.tolist() == [2.0, -1.0]


def test_without_a_reference_losses_count_from_nothing() -> None:
    losses = np.random.default_rng(0).uniform(size=30)
    alone, zero = (frazil.JEST(seed=3).select(losses, r).kept for r in (None, np.zeros(30)))
    assert alone.tolist() == zero.tolist()


def test_an_offset_of_all_losses_changes_nothing() -> None:
    losses = np.random.default_rng(0).integers(0, 9, 30).astype("f4")
    kept = [frazil.JEST(seed=3).select(losses + offset).kept.tolist() for offset in (0, 16)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("temperature", [1e-300, 1e300])
def test_extreme_temperatures(temperature: float) -> None:
    losses = np.array([1e30, -1e30, 5.0, 0.0])
    found = frazil.JEST(keep=0.5, temperature=temperature, seed=2).select(losses).kept
    if temperature < 1:
        assert found.tolist() == [0, 2]
    else:  # chance alone, that of equal losses
        assert found.tolist() == frazil.JEST(keep=0.5, seed=2).select(np.zeros(4)).kept.tolist()


def test_steps_and_epochs_draw_anew_and_seeds_draw_again() -> None:
    def kept(seed: int, epoch: int, step: int) -> tuple[int, ...]:
        return tuple(frazil.JEST(seed=seed).select(np.zeros(40), epoch=epoch, step=step).kept.tolist())

    assert kept(1, 0, 0) == kept(1, 0, 0)
    assert len({kept(s, e, t) for s in range(2) for e in range(2) for t in range(2)}) == 8


def test_shares_may_follow_a_schedule() -> None:
    curator = frazil.JEST(keep=lambda epoch, step: 0.5 if step % 2 else 0.25)
    assert [len(curator.select(np.zeros(8), step=step).kept) for step in range(3)] == [2, 4, 2]
    assert len(curator.select(np.zeros(8), count=3).kept) == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"keep": 0}, "keep is the share"),
        ({"variant": "soft"}, "variant is one of 'learnability', 'hard', 'easy'; got 'soft'"),
        ({"temperature": 0}, "temperature is a number above 0"),
        ({"temperature": np.nan}, "temperature is a number above 0"),
        ({"temperature": np.inf}, "temperature is a number above 0"),
        ({"temperature": "hot"}, "temperature is a number above 0"),
        ({"seed": -1}, "seed is a whole number"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        frazil.JEST(**settings)


@pytest.mark.parametrize(
    ("learner", "reference", "words"),
    [
        ([1.0, np.nan], None, "the learner's losses are not finite for member 1"),
        ([1.0, 2.0], [np.inf, 1.0], "the reference's losses are not finite for member 0"),
        ([1.0, 2.0], [1.0], "2 losses of the learner, 1 of the reference"),
        ([[1.0], [2.0]], None, r"one number for each member, shape \(n,\); got \(2, 1\)"),
        ([], None, r"one number for each member, shape \(n,\); got \(0,\)"),
    ],
)
def test_losses_that_cannot_be_are_refused(learner: Any, reference: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        frazil.JEST().select(learner, reference)


def test_easy_needs_a_reference() -> None:
    with pytest.raises(ConfigurationError, match="give its losses"):
        frazil.JEST(variant="easy").select([1.0, 2.0])


def test_fingerprints_tell_settings_apart_but_not_the_losses() -> None:
    curators = [
        frazil.JEST(),
        frazil.JEST(keep=0.25),
        frazil.JEST(variant="hard"),
        frazil.JEST(temperature=2.0),
        frazil.JEST(seed=1),
    ]
    assert len({curator.fingerprint() for curator in curators}) == len(curators)
    assert all(pickle.loads(pickle.dumps(c)).fingerprint() == c.fingerprint() for c in curators)
    assert frazil.JEST(losses=len).fingerprint() == frazil.JEST().fingerprint()
