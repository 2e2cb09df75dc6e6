from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from frazil import masks
from frazil.errors import FormatError

PAGE = Path(__file__).parents[1] / "docs" / "format" / "masks.md"
SAMPLES = [
    json.loads(text)
    for text in re.findall(r"^```json mask\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
]
FLOATS = ("f2", "f4", "f8")
INTEGERS = ("i2", "u2", "i4", "u1")
shapes = array_shapes(min_dims=3, max_dims=3, max_side=20)


def unsigned(planes: np.ndarray) -> np.ndarray:
    return planes.view(f"u{planes.dtype.itemsize}")


def is_missing(planes: np.ndarray, *sentinels: float) -> np.ndarray:
    lost = ~np.isfinite(planes)
    for sentinel in sentinels:
        lost |= planes == sentinel
    return lost


def check(planes: np.ndarray, *sentinels: float) -> bytes:
    """Split, join at three levels, compare bits; return the section."""
    before = planes.copy()
    filled, payload = masks.split(planes, sentinels)
    assert np.array_equal(unsigned(planes), unsigned(before))
    lost = is_missing(planes, *sentinels)
    assert bool(payload) == lost.any()
    if not payload:
        assert filled is planes
        return payload
    assert filled.dtype == planes.dtype
    assert np.array_equal(unsigned(filled)[~lost], unsigned(planes)[~lost])
    assert np.isfinite(filled).all()
    for plane, gone in zip(filled, lost, strict=True):
        if not gone.all():
            assert plane.min() == plane[~gone].min()
            assert plane.max() == plane[~gone].max()
    for level in (0, 1, 3):
        step = slice(None, None, 1 << level)
        back = filled[:, step, step].copy()
        masks.join(back, payload, planes.shape, level)
        assert np.array_equal(unsigned(back), unsigned(planes[:, step, step]))
    assert np.array_equal(masks.valid(payload, planes.shape, planes.dtype), ~lost)
    return payload


@given(data=st.data(), dtype=st.sampled_from(FLOATS), shape=shapes)
def test_any_bits_come_back(data, dtype, shape):
    kind = np.dtype(dtype)
    bits = data.draw(arrays(f"u{kind.itemsize}", shape))
    check(bits.view(kind), *data.draw(st.sampled_from([(), (0.0,), (1.0, -2.0)])))


@given(data=st.data(), dtype=st.sampled_from(FLOATS + INTEGERS), shape=shapes)
def test_sentinels_come_back(data, dtype, shape):
    values = data.draw(arrays(dtype, shape, elements=st.sampled_from([0, 1, 7, 100])))
    check(values, 7, 0)


@given(data=st.data(), shape=shapes)
def test_one_pattern_in_gaps_of_any_form(data, shape):
    planes = np.linspace(270, 300, np.prod(shape), dtype="f4").reshape(shape)
    planes[data.draw(arrays(bool, shape))] = np.nan
    check(planes)


@pytest.mark.parametrize("name", ["sst", "levitus", "orca2", "pop_u", "rain2"])
def test_real_coasts(fields, name):
    field = fields(name)
    check(np.ascontiguousarray(field.reshape(-1, *field.shape[-2:])))


def test_dry_pixels_as_fill_value(fields):
    check(np.ascontiguousarray(fields("rain2").reshape(-1, 768, 768)[:, :200, :300]), 0.0)


def test_nothing_missing_is_the_same_object():
    planes = np.ones((2, 5, 7), "f4")
    filled, payload = masks.split(planes, [-9999.0, np.nan])
    assert filled is planes
    assert payload == b""


@pytest.mark.parametrize(
    ("dtype", "sentinel"),
    [
        ("u1", -9999),
        ("u1", 256),
        ("i2", 3.5),
        ("u2", np.nan),
        ("i4", np.inf),
        ("f4", 1e40),
        ("f4", 1e-60),
        ("f2", 1e6),
    ],
)
def test_a_sentinel_that_the_dtype_cannot_hold_matches_nothing(dtype, sentinel):
    planes = np.arange(6, dtype=dtype).reshape(1, 2, 3)
    assert masks.split(planes, [sentinel])[0] is planes


def test_a_sentinel_is_rounded_to_the_dtype():
    planes = np.array([[[1, 9.96921e36, 3]]], "f4")
    filled, _ = masks.split(planes, [9.96921e36])
    assert filled.max() == 3


def test_both_zeros_equal_a_zero_sentinel():
    planes = np.array([[[0.0, -0.0, 1.0, -0.0]]], "f4")
    filled, payload = masks.split(planes, [0.0])
    assert (filled == 1).all()
    masks.join(filled, payload, planes.shape, 0)
    assert np.signbit(filled).tolist() == [[[False, True, False, True]]]


@pytest.mark.parametrize("value", [1e300, 1.7e308])
def test_huge_numbers_do_not_overflow(value):
    planes = np.full((1, 30, 30), value)
    planes[0, ::2] *= -1
    planes[0, 5:20, 7:25] = np.nan
    check(planes)


def test_planes_without_a_value_take_the_mean_of_another():
    planes = np.full((3, 4, 4), np.nan, "f4")
    planes[1, :2] = 5
    assert (masks.split(planes, [])[0] == 5).all()
    assert (masks.split(np.full((3, 4, 4), np.nan, "f4"), [])[0] == 0).all()


def test_planes_that_share_a_mask_share_its_bytes(fields):
    times = fields("orca2")
    one = len(check(times[:1]))
    assert len(check(np.tile(times, (20, 1, 1)))) <= one + 4
    depths = fields("levitus")
    assert len(check(np.tile(depths, (10, 1, 1)))) <= len(check(depths)) + 4


def test_one_nan_costs_two_bytes_besides_the_bitmap():
    assert check(np.full((1, 50, 50), np.nan, "f4")) == b"\x00\x02"
    assert len(check(np.full((1000, 2, 2), np.nan, "f4"))) <= 5


def test_a_decoder_may_hand_in_planes_of_any_layout():
    planes = np.ones((2, 6, 8), "f4")
    planes[0, 2:, 3] = np.nan
    filled, payload = masks.split(planes, [])
    back = np.asfortranarray(filled)
    masks.join(back, payload, planes.shape, 0)
    assert np.array_equal(back, planes, equal_nan=True)


@given(
    payload=st.binary(max_size=60),
    shape=shapes,
    dtype=st.sampled_from(FLOATS + INTEGERS),
    level=st.integers(0, 3),
)
def test_hostile_bytes_are_refused_or_harmless(payload, shape, dtype, level):
    n, y, x = shape
    planes = np.zeros((n, -(-y >> level), -(-x >> level)), dtype)
    with suppress(FormatError):
        masks.join(planes, payload, shape, level)


@given(data=st.data())
def test_damaged_sections_are_refused_or_harmless(data):
    planes = np.arange(400, dtype="u4").reshape(1, 20, 20)
    planes = (
        np.where(planes % 3 == 0, planes | 0x7FC00000, 0x3F800000).view("f4")
        if data.draw(st.booleans())
        else np.where(planes % 7 == 0, np.nan, 1).astype("f4")
    )
    payload = bytearray(masks.split(planes, [])[1])
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FormatError):
        masks.join(planes.copy(), bytes(payload[: data.draw(st.integers(0, len(payload)))]), planes.shape, 0)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["name"])
def test_the_printed_sections(sample):
    dtype = np.dtype(sample["dtype"])
    bits = np.array(
        [[[int(v, 16) for v in row] for row in plane] for plane in sample["bits"]], f"u{dtype.itemsize}"
    )
    assert check(bits.view(dtype), *sample["sentinels"]) == bytes.fromhex(sample["section"])


def test_there_are_printed_sections():
    assert len(SAMPLES) >= 4
