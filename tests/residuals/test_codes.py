from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil.errors import FormatError, TruncatedError, UnsupportedArrayError
from frazil.residuals.codes import decode_codes, encode_codes

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40))
MOST = (1 << 30) - 1


@settings(deadline=None, max_examples=60)
@given(
    data=st.data(),
    shape=SHAPES,
    top=st.sampled_from([1, 3, 200, MOST]),
    profile=st.sampled_from(["best", "fast"]),
)
def test_codes_come_back(data, shape, top, profile):
    codes = data.draw(hnp.arrays(np.int32, shape, elements=st.integers(-top, top), fill=st.just(0)))
    valid = data.draw(st.none() | hnp.arrays(bool, shape))
    again = decode_codes(encode_codes(codes, valid, profile=profile), shape, valid)
    assert np.array_equal(again, codes if valid is None else np.where(valid, codes, 0))


def test_nothing_takes_a_byte():
    assert encode_codes(np.zeros((3, 100, 100), np.int32)) == b"\0"
    hidden = np.ones((1, 5, 5), np.int32)
    assert encode_codes(hidden, np.zeros((1, 5, 5), bool)) == b"\0"


def test_a_smooth_map_is_coded_by_distances():
    levels = (np.add.outer(np.arange(60), np.arange(80))[None] // 9 + 20).astype(np.int32)
    stream = encode_codes(levels)
    assert len(stream) < 80
    assert np.array_equal(decode_codes(stream, levels.shape), levels)


def test_the_plane_before_helps():
    rng = np.random.default_rng(0)
    plane = (rng.random((80, 80)) < 0.3).astype(np.int32) * rng.integers(-3, 4, (80, 80)).astype(np.int32)
    stack = np.repeat(plane[None], 6, axis=0)
    alone = len(encode_codes(plane[None]))
    stream = encode_codes(stack)
    assert len(stream) < 4 * alone
    assert np.array_equal(decode_codes(stream, stack.shape), stack)


def test_hints_help_and_come_back():
    rng = np.random.default_rng(1)
    spread = np.where(rng.random((1, 20, 20)) < 0.3, 8, 0).repeat(5, 1).repeat(5, 2).astype(np.int32)
    codes = np.rint(rng.normal(size=spread.shape) * spread / 4).astype(np.int32)
    hint = np.zeros((1, 104, 104), np.int32)
    hint[:, 2:-2, 2:-2] = spread
    hints = (hint, hint, hint)
    stream = encode_codes(codes, hints=hints)
    assert len(stream) < len(encode_codes(codes))
    assert np.array_equal(decode_codes(stream, codes.shape, hints=hints), codes)


def test_too_large_numbers_are_refused():
    with pytest.raises(UnsupportedArrayError, match="too large"):
        encode_codes(np.full((1, 2, 2), 1 << 30, np.int32))


@settings(deadline=None, max_examples=60)
@given(stream=st.binary(max_size=200), shape=SHAPES)
def test_any_bytes_decode_or_are_refused(stream, shape):
    with suppress(FormatError):
        assert decode_codes(stream, shape).shape == shape


def test_short_streams_are_truncated():
    rng = np.random.default_rng(2)
    codes = rng.integers(-9, 10, (1, 60, 60)).astype(np.int32)
    stream = encode_codes(codes)
    for stop in (0, 5, 30, len(stream) // 2):
        with pytest.raises(TruncatedError):
            decode_codes(stream[:stop], codes.shape)
