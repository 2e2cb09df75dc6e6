from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from frazil.data.curation.similarity import block_gram, check_members, compare, find_gaps, one_thread
from frazil.errors import ConfigurationError


def fields(seed: int = 0, shape: tuple[int, ...] = (9, 5, 8)) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def naive(x: Any) -> Any:
    """z-score over all members and points, mean member subtracted, inner products; NaN left out."""
    x = np.asarray(x, "f8").reshape(len(x), -1)
    x = x[:, ~np.isnan(x).all(axis=0)]
    x = (x - np.nanmean(x)) / np.nanstd(x)
    x = np.where(np.isnan(x), 0, x - np.nanmean(x, axis=0))
    return x @ x.T


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8", "i2", "u1", "g"])
def test_inner_products_are_those_of_z_scores(dtype: str) -> None:
    x = (fields() * 30 + 100).astype(dtype)
    found = block_gram(x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, naive(x), atol=2e-5 * x.size / len(x))


def test_more_points_than_are_multiplied_at_a_time() -> None:
    x = fields(1, (5, 97, 101)).astype("f4") + 280
    np.testing.assert_allclose(block_gram(x), naive(x), atol=1e-2)


@given(scale=st.floats(1e-34, 1e34), offset=st.floats(-1e3, 1e3), double=st.booleans())
@settings(deadline=None)
def test_units_change_nothing(scale: float, offset: float, *, double: bool) -> None:
    x = fields()
    there = ((x + offset) * scale).astype("f8" if double else "f4")
    np.testing.assert_allclose(block_gram(there), block_gram(x), atol=2e-7 if double else 0.05)


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e170, 1e307])
def test_squares_that_are_no_numbers(scale: float) -> None:
    x = fields()
    np.testing.assert_allclose(block_gram(x * scale), block_gram(x), atol=1e-9)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
@pytest.mark.parametrize("value", [0, 280.1, -1e-20, 1e30])
def test_a_constant_channel_counts_nothing(dtype: str, value: float) -> None:
    if dtype != "i4" or abs(value) < 1e9:
        assert not block_gram(np.full((100, 3, 7), value).astype(dtype)).any()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_members_that_are_all_equal_count_nothing(dtype: str) -> None:
    same = (fields(0, (1, 9, 7)) * 10 + 280).astype(dtype)
    assert not block_gram(np.repeat(same, 100, axis=0)).any()


def test_points_that_all_lack_change_no_bit() -> None:
    x = fields().astype("f4")
    x[:, 1:3] = np.nan
    found, whole = compare(x)
    assert not whole
    assert np.array_equal(found, block_gram(x[:, [0, 3, 4]]))


def test_members_that_lack_different_points_are_compared_where_both_are() -> None:
    x = fields()
    x[0, 0, :3] = x[4, 3, 2] = x[:, 4, 4] = np.nan
    gram, mass = block_gram(x)
    np.testing.assert_allclose(gram, naive(x), atol=1e-9)
    z = ((x - np.nanmean(x)) / np.nanstd(x)).reshape(9, -1)
    z = z[:, ~np.isnan(z).all(axis=0)]
    z -= np.nanmean(z, axis=0)
    for i in range(9):
        for j in range(9):
            assert mass[i, j] == pytest.approx(np.nansum(np.where(np.isnan(z[j]), 0, z[i]) ** 2))


def test_no_values_at_all_count_nothing() -> None:
    assert not block_gram(np.full((4, 6), np.nan)).any()


@pytest.mark.parametrize("missing", [False, True])
def test_threads_change_no_bit(*, missing: bool) -> None:
    x = fields(2, (64, 60, 90)).astype("f4")
    if missing:
        x[3, 5] = np.nan
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(block_gram(x))
    assert np.array_equal(found[0], found[1])


def test_the_limit_of_threads_is_lifted_by_the_last_to_leave() -> None:
    def limits() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before = limits()
        x = fields(2, (32, 60, 90))
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: block_gram(x), range(24)))
        assert limits() == before
        assert all(np.array_equal(found[0], other) for other in found)
        with pytest.raises(KeyError), one_thread(), one_thread():
            raise KeyError
        assert limits() == before


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (np.zeros(5), r"two axes or more.*shape \(5,\)"),
        (np.zeros((2, 5)), "2 members make no graph.*at least 3"),
        (np.zeros((5, 0)), r"shape \(5, 0\) hold no values"),
        (np.zeros((5, 2), complex), "real numbers; got dtype complex128"),
        (np.zeros((5, 2), "M8[s]"), "real numbers; got dtype datetime64"),
        (np.array([["a"]] * 3), "real numbers; got dtype <U1"),
    ],
)
def test_what_is_no_members_is_refused(members: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_members(members)


def test_the_holes_of_a_masked_array_are_missing() -> None:
    found = check_members(np.ma.masked_equal(np.arange(12, dtype="f4").reshape(3, 4), 5))
    assert found.dtype == np.float32
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 1]]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinities_are_refused_with_the_member(dtype: str, value: float) -> None:
    x = fields().astype(dtype)
    x[6, 1, 1] = value
    for look in (find_gaps, block_gram):
        with pytest.raises(ConfigurationError, match="member 6 holds infinities"):
            look(x)


def test_gaps_are_counted_beyond_those_that_all_have() -> None:
    x = fields(0, (4, 10))
    x[:, 0] = x[1, :3] = np.nan
    found = find_gaps(x)
    assert (found.points, found.lacking.tolist(), found.there.tolist()) == (9, [0, 2, 0, 0], [9, 7, 9, 9])
    both = found + find_gaps(fields(1, (4, 1)))
    assert (both.points, both.lacking.tolist(), both.there.tolist()) == (10, [0, 2, 0, 0], [10, 8, 10, 10])
    both.check(0.2)
    with pytest.raises(ConfigurationError, match=r"member 1 is NaN at 20% .* up to 10%.*max_missing"):
        both.check(0.1)


@pytest.mark.parametrize("empty", [[2], [0, 1, 2, 3]])
def test_an_empty_member_is_refused(empty: list[int]) -> None:
    x = fields(0, (4, 10))
    x[empty] = np.nan
    with pytest.raises(ConfigurationError, match=f"member {empty[0]} is NaN everywhere"):
        find_gaps(x).check(0.9)


def test_large_numbers_are_not_taken_for_infinities() -> None:
    assert not find_gaps(np.full((3, 100), 3e38, "f4")).lacking.any()
