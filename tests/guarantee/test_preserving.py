"""Signs and means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil.errors import FormatError
from frazil.guarantee import preserving

SHAPE = (2, 6, 7)
values = hnp.arrays("f4", SHAPE, elements=st.floats(-10, 10, width=32))


@given(values, values, hnp.arrays(bool, SHAPE))
def test_signs_come_back_and_magnitudes_stay(original, decoded, where):
    original = np.where(original == 0, np.float32(1), original)
    turned = decoded.copy()
    payload = preserving.write_signs(original, decoded, where)
    if payload:
        preserving.apply_signs(turned, payload, where)
    assert (np.sign(turned) == np.sign(original))[where].all()
    tiny = np.finfo("f4").smallest_subnormal
    assert (np.abs(np.abs(turned) - np.abs(decoded))[where] <= tiny).all()
    assert (turned == decoded)[~where].all()


@given(values, st.floats(0, 20))
def test_turning_a_sign_keeps_the_bound(original, move):
    """Whatever had the wrong sign was too far away before, not after."""
    original = np.where(original == 0, np.float32(1), original)
    decoded = (original - np.sign(original) * np.float32(move)).astype("f4")
    worst = np.abs(decoded.astype("f8") - original).max()
    where = np.ones(SHAPE, bool)
    payload = preserving.write_signs(original, decoded, where)
    if payload:
        preserving.apply_signs(decoded, payload, where)
    assert np.abs(decoded.astype("f8") - original).max() <= worst + 1e-40


def test_right_signs_take_nothing():
    assert preserving.write_signs(np.ones(SHAPE), np.ones(SHAPE) / 2, np.ones(SHAPE, bool)) == b""


def test_whole_numbers_have_signs_too():
    original, decoded = np.array([[[1, -1, -3, 3]]], "i2"), np.array([[[0, 0, 1, 2]]], "i2")
    where = np.ones((1, 1, 4), bool)
    preserving.apply_signs(decoded, preserving.write_signs(original, decoded, where), where)
    assert decoded.tolist() == [[[1, -1, -1, 2]]]


def test_a_sign_is_one_bit():
    from frazil.residuals.context import encode_codes

    payload = encode_codes(np.full(SHAPE, 2, np.int32), np.ones(SHAPE, bool))
    with pytest.raises(FormatError, match="does not hold signs"):
        preserving.apply_signs(np.ones(SHAPE, "f4"), payload, np.ones(SHAPE, bool))


@given(st.binary(min_size=1, max_size=30))
def test_any_bytes_are_signs_or_an_error(payload):
    planes = np.ones(SHAPE, "f4")
    try:
        preserving.apply_signs(planes, payload, np.ones(SHAPE, bool))
    except FormatError:
        assert (planes == 1).all()
    assert (np.abs(planes) == 1).all()


def test_doubtful_points():
    planes = np.array([[[-2.0, -0.5, 0.0, 1.0, 3.0]]], "f4")
    assert preserving.doubtful(planes, 1.0, None).tolist() == [[[False, True, True, True, False]]]
    known = np.array([[[True, False, True, False, True]]])
    assert preserving.doubtful(planes, 1.0, known).tolist() == [[[False, False, True, False, False]]]


def test_means_count_known_points_alone():
    original, decoded = np.zeros((2, 2, 2)), np.ones((2, 2, 2)) * [[[1, 3], [1, 3]]]
    known = np.zeros((2, 2, 2), bool)
    known[0, :, 1] = True
    assert preserving.mean_errors(original, decoded, None).tolist() == [2, 2]
    assert preserving.mean_errors(original, decoded, known).tolist() == [3, 0]
    assert preserving.tolerated(8.0, known, 2).tolist() == [0.08, 0.08]
    assert preserving.tolerated(decoded, known, 2).tolist() == [0.03, 0]
    assert preserving.tolerated(decoded, None, 2).tolist() == [0.02, 0.02]


def test_shifts():
    planes = np.array([[[1.0, 2.0]], [[3.0, 4.0]]], "f4")
    preserving.shift(planes, np.array([0.5, -1], "<f4").tobytes())
    assert planes.tolist() == [[[1.5, 2.5]], [[2.0, 3.0]]]


@pytest.mark.parametrize(
    ("payload", "match"),
    [
        (b"", "0 bytes for 2 planes"),
        (bytes(7), "7 bytes for 2 planes"),
        (np.array([0, np.nan], "<f4").tobytes(), "no number"),
        (np.array([np.inf, 0], "<f4").tobytes(), "no number"),
    ],
)
def test_hostile_shifts(payload, match):
    with pytest.raises(FormatError, match=match):
        preserving.shift(np.zeros((2, 1, 2), "f4"), payload)


def test_shifts_of_whole_numbers_stay_in_their_dtype():
    """A damaged shift may lead anywhere; what comes out is still of the dtype, and nothing warns."""
    planes = np.array([[[1, 250]]], "u1")
    preserving.shift(planes, np.array([1e30], "<f4").tobytes())
    assert planes.dtype == np.dtype("u1")
