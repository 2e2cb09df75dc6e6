"""Exact points: places and bits."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil.container import write_varint
from frazil.errors import FormatError, TruncatedError
from frazil.residuals import patches
from frazil.testing import bit_equal

DTYPES = ("f2", "f4", "f8", "i2", "u1", "i4")
stacks = st.sampled_from(DTYPES).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=3, max_dims=3, max_side=12))
)


@given(stacks, st.integers(0, 2), st.floats(0, 1), st.integers(0, 99))
def test_points_come_back_at_every_level(planes, level, share, seed):
    """Those that a lower resolution keeps, and no others."""
    step = 1 << level
    places = np.flatnonzero(np.random.default_rng(seed).random(planes.size) < share)
    chosen = np.zeros(planes.size, bool)
    chosen[places] = True
    damaged = np.zeros_like(planes[:, ::step, ::step])
    patches.apply(damaged, patches.write(planes, places), planes.shape, level)
    kept = chosen.reshape(planes.shape)[:, ::step, ::step]
    assert bit_equal(damaged[kept], planes[:, ::step, ::step][kept]).all()
    assert not damaged[~kept].any()


def test_far_apart_and_many():
    planes = np.random.default_rng(0).normal(size=(2, 300, 400)).astype("f4")
    for places in (np.array([0, 130, 20_000, 239_999]), np.arange(0, planes.size, 3), np.arange(planes.size)):
        payload = patches.write(planes, places)
        assert len(payload) <= 4 + places.size * 4 + 3 * max(places.size, 20)
        damaged = np.zeros_like(planes)
        patches.apply(damaged, payload, planes.shape, 0)
        assert bit_equal(damaged.flat[places], planes.flat[places]).all()
        assert np.count_nonzero(damaged) == places.size


def test_no_points():
    planes = np.ones((1, 2, 3), "f4")
    payload = patches.write(planes, np.zeros(0, np.intp))
    patches.apply(planes, payload, planes.shape, 0)
    assert payload == b"\0"
    assert (planes == 1).all()


def listed(count, body, deflated=False):
    return write_varint(count << 1 | deflated) + body


@pytest.mark.parametrize(
    ("payload", "error", "match"),
    [
        (b"", TruncatedError, "number of exact points"),
        (listed(7, bytes(60)), FormatError, "7 exact points in planes of 6"),
        (listed(1 << 60, b""), FormatError, "exact points in planes"),
        (listed(2, bytes(9)), TruncatedError, "2 exact points in 9 bytes"),
        (listed(1, b"\6" + bytes(4)), FormatError, "outside"),
        (listed(2, b"\3\3" + bytes(8)), FormatError, "outside"),
        (listed(2, b"\1" + bytes(10)), FormatError, "3 places for 2"),
        (listed(1, b"\x80" + bytes(4)), FormatError, "0 places for 1|places"),
        (listed(1, b"\xff" * 9 + b"\1" + bytes(4)), FormatError, "longer than eight"),
        (listed(1, b"\xff" * 7 + b"\x7f" + bytes(4)), FormatError, "outside"),
        (listed(2, b"\1\x80" + bytes(8)), FormatError, "1 places for 2"),
        (listed(1, b"no deflate", deflated=True), FormatError, "cannot be unpacked"),
        (listed(1, zlib.compress(bytes(1 << 22)), deflated=True), FormatError, "places for 1"),
    ],
)
def test_hostile_bytes(payload, error, match):
    planes = np.zeros((1, 2, 3), "f4")
    with pytest.raises(error, match=match):
        patches.apply(planes, payload, planes.shape, 0)


@given(st.binary(max_size=40), st.integers(0, 2))
@example(b"\x00\x80\x80", 0)  # no points, but the beginning of a place
def test_any_bytes_are_points_or_an_error(payload, level):
    planes = np.zeros((2, 5, 6), "f4")[:, :: 1 << level, :: 1 << level]
    try:
        patches.apply(planes, payload, (2, 5, 6), level)
    except FormatError:
        assert not planes.any()
