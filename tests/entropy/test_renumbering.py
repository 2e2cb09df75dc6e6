from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.entropy.renumbering import renumber


@given(st.integers(0, 70), st.integers(1, 6), st.integers(0, 1 << 32))
def test_each_codeword_gets_one_number(count, depth, seed):
    words = np.random.default_rng(seed).normal(size=(count, depth))
    order = renumber(words)
    assert np.array_equal(np.sort(order), np.arange(count))
    assert np.array_equal(order, renumber(words.astype(">f8")))


@pytest.mark.parametrize("count", [1000, 1024])
def test_high_bits_are_clusters(count):
    words = np.random.default_rng(0).normal(size=(count, 4))
    ordered = words[renumber(words)]
    total = ((words - words.mean(0)) ** 2).sum()
    within = [
        sum(((part - part.mean(0)) ** 2).sum() for part in np.split(ordered, range(block, count, block)))
        for block in (512, 128, 32, 8)
    ]
    assert all(np.diff(within) < 0)
    assert within[1] < 0.7 * total
    assert within[3] < 0.25 * total


def test_words_that_are_all_alike():
    assert renumber(np.ones((9, 3))).tolist() == list(range(9))


def test_signs_of_axes_do_not_matter(monkeypatch):
    words = np.random.default_rng(0).normal(size=(64, 5))
    expected = renumber(words)
    svd = np.linalg.svd
    monkeypatch.setattr(np.linalg, "svd", lambda *args, **keys: tuple(-part for part in svd(*args, **keys)))
    assert np.array_equal(renumber(words), expected)
