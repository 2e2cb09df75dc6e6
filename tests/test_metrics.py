import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil import metrics
from frazil.errors import ChunkMismatchError

fields = hnp.arrays("f8", (12,), elements=st.floats(-1e6, 1e6) | st.just(math.nan))


@given(fields, fields, st.integers(0, 12))
def test_parts_joined_score_as_the_whole(a, b, cut):
    whole = metrics.score(a, b)
    joined = metrics.score_parts([(a[:cut], b[:cut]), (a[cut:], b[cut:])])
    assert joined.points == whole.points
    assert joined.max_error == whole.max_error
    assert joined.mask_differs == whole.mask_differs
    assert math.isclose(joined.rmse, whole.rmse, rel_tol=1e-9, abs_tol=1e-9)


@given(fields)
def test_an_array_is_identical_to_itself(a):
    scores = metrics.score(a, a.copy())
    assert scores.identical
    assert scores.same_mask
    assert scores.psnr == math.inf
    assert scores.relative == 0


def test_a_hole_that_moved_is_counted_and_not_averaged():
    scores = metrics.score([1.0, np.nan, 3.0], [1.0, 2.0, np.nan])
    assert scores.mask_differs == 2
    assert scores.points == 1
    assert scores.rmse == 0
    assert not scores.identical


def test_infinities_are_missing_points_of_their_own_kind():
    assert metrics.score([np.inf, -np.inf], [np.inf, -np.inf]).same_mask
    assert metrics.score([np.inf], [np.nan]).mask_differs == 1


def test_unsigned_integers_do_not_wrap():
    assert metrics.max_error(np.array([0, 65535], "u2"), np.array([3, 65530], "u2")) == 5
    assert metrics.bias(np.array([3], "u1"), np.array([0], "u1")) == -3


def test_a_constant_field_with_errors_has_no_finite_relative_error():
    scores = metrics.score(np.ones(3), np.full(3, 1.5))
    assert scores.relative == math.inf
    assert scores.psnr == -math.inf


def test_dates_and_text_are_equal_or_not():
    days = np.array(["2024-01-01", "NaT"], "M8[ns]")
    assert metrics.score(days, days).identical
    assert metrics.score(days, days[::-1]).mask_differs == 2
    assert metrics.score(np.array(["a", "b"]), np.array(["a", "c"])).differing == 1


def test_nothing_to_compare_scores_zero():
    assert metrics.rmse(np.array([]), np.array([])) == 0
    assert metrics.score([np.nan], [np.nan]).psnr == math.inf


def test_shapes_must_agree():
    with pytest.raises(ChunkMismatchError, match=r"\(2,\) with shape \(3,\)"):
        metrics.score(np.zeros(2), np.zeros(3))


def test_ratio_of_nothing_stored():
    assert metrics.ratio(100, 0) == math.inf
