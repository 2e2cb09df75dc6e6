"""Sections K and R: values as they are."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil import stored
from frazil.errors import FormatError
from frazil.testing import bit_equal

DTYPES = ("f2", "f4", "f8", "i2", "u2", "i4", "u1")
stacks = st.sampled_from(DTYPES).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
)


@given(stacks)
def test_any_values_come_back(planes):
    again = stored.read(stored.write(planes), planes.shape, planes.dtype)
    assert again.dtype == planes.dtype
    assert bit_equal(again, planes).all()


@given(stacks)
def test_one_value_for_all(planes):
    again = stored.constant(stored.one(planes), planes.shape, planes.dtype)
    assert again.shape == planes.shape
    assert bit_equal(again, np.full_like(planes, planes.flat[0])).all()


def test_noise_takes_one_byte_more_and_zeros_hardly_any():
    noise = np.random.default_rng(0).integers(0, 256, (2, 16, 32), "u1").view("f4")
    assert len(stored.write(noise)) == noise.nbytes + 1
    assert len(stored.write(np.zeros((2, 64, 64), "f8"))) < 150


def test_bytes_are_little_endian():
    planes = np.array([[[258.0, 1.0]]], ">f4")
    assert stored.one(planes) == np.float32(258).astype("<f4").tobytes()
    assert stored.write(planes) == b"\0" + planes.astype("<f4").tobytes()


def test_deflated_without_shuffling_is_read_too():
    planes = np.arange(24, dtype="i4").reshape(2, 3, 4)
    payload = stored.DEFLATED + zlib.compress(planes.astype("<i4").tobytes())
    assert (stored.read(payload, planes.shape, planes.dtype) == planes).all()


@pytest.mark.parametrize(
    ("payload", "match"),
    [
        (b"", "unknown way"),
        (b"\7abc", "unknown way"),
        (stored.RAW + bytes(23), "23 bytes"),
        (stored.RAW + bytes(25), "25 bytes"),
        (stored.DEFLATED + b"no deflate", "cannot be unpacked"),
        (stored.SHUFFLED + zlib.compress(bytes(23)), "23 bytes"),
        (stored.SHUFFLED + zlib.compress(bytes(1 << 24)), "25 bytes"),  # a bomb is not unpacked
        (stored.SHUFFLED + zlib.compress(bytes(24))[:-6], "bytes of stored|unpacked"),
    ],
)
def test_hostile_bytes(payload, match):
    with pytest.raises(FormatError, match=match):
        stored.read(payload, (1, 2, 3), np.dtype("f4"))


@pytest.mark.parametrize("size", [0, 3, 5, 8])
def test_a_constant_of_another_size(size):
    with pytest.raises(FormatError, match=f"constant of {size} bytes"):
        stored.constant(bytes(size), (1, 2, 3), np.dtype("f4"))
