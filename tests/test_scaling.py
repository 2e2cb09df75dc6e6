from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil.errors import FormatError
from frazil.keys import keys, unkeys
from frazil.scaling import EXACT, MAX_LEVELS, MINMAX, STANDARD, Exact, Linear, fit, unpack

F4, F8, U2 = np.dtype("f4"), np.dtype("f8"), np.dtype("u2")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "u2", "i4", "u1"])
@pytest.mark.parametrize("per", ["chunk", "plane"])
@pytest.mark.parametrize("kind", ["minmax", "standard"])
def test_the_record_round_trips(kind, per, dtype):
    planes = np.random.default_rng(0).integers(0, 100, (3, 8, 9)).astype(dtype)
    scale = fit(planes, kind=kind, per=per, clip=None)
    record = scale.pack(planes.dtype)
    again = unpack(record, 3, planes.dtype)
    assert isinstance(again, Linear)
    assert (again.kind, again.levels) == (scale.kind, scale.levels)
    for k in range(3):
        assert again.line(k) == scale.line(k)
    assert again.pack(planes.dtype) == record


def test_edges_are_the_extremes_of_chunk_or_plane():
    planes = np.arange(24.0).reshape(2, 3, 4)
    assert [fit(planes, kind="minmax", per="chunk", clip=None).edges(k) for k in (0, 1)] == [(0, 23), (0, 23)]
    assert [fit(planes, kind="minmax", per="plane", clip=None).edges(k) for k in (0, 1)] == [
        (0, 11),
        (12, 23),
    ]


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i4"])
def test_standard_clips_inside_the_range_and_records_what_it_clipped_by(dtype):
    planes = np.random.default_rng(1).normal(100, 20, (1, 50, 60)).clip(0, 255).astype(dtype)
    scale = fit(planes, kind="standard", per="chunk", clip=1.0)
    mean, sd, low, high = scale.values[0]
    assert mean == pytest.approx(planes.mean())
    assert sd == pytest.approx(planes.std())
    assert low == pytest.approx(mean - sd, abs=1 if planes.dtype.kind in "iu" else 1e-4)
    assert high == pytest.approx(mean + sd, abs=1 if planes.dtype.kind in "iu" else 1e-4)
    assert unpack(scale.pack(planes.dtype), 1, planes.dtype).edges(0) == scale.edges(0)
    wide = fit(planes, kind="standard", per="chunk", clip=1000.0)
    assert wide.edges(0) == (planes.min(), planes.max())


@pytest.mark.parametrize("unit", [1e-300, 1e-60, 1.0, 1e200, 1e307])
def test_statistics_of_any_magnitude(unit):
    planes = np.random.default_rng(1).uniform(1, 2, (2, 40, 40)) * unit
    scale = fit(planes, kind="standard", per="plane", clip=None)
    assert scale.values[0, :2] / unit == pytest.approx([1.5, 12**-0.5], rel=0.05)


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(a=finite, b=finite, levels=st.integers(1, MAX_LEVELS))
def test_no_level_leaves_the_range(a, b, levels):
    low, high = min(a, b), max(a, b)
    if not np.isfinite(high - low):
        return
    scale = Linear(MINMAX, levels, np.array([[low, high]]))
    start, step = scale.line(0)
    assert start == low
    assert start + levels * step <= high
    assert start + levels * step >= high - 1e-15 * max(abs(low), abs(high)) - 1e-323 * levels


@pytest.mark.parametrize(
    ("record", "dtype", "sentence"),
    [
        (b"", F4, "empty"),
        (bytes([9, 1]), F4, "kind 9 is unknown"),
        (bytes([MINMAX, 0]) + bytes(8), F4, "does not fit"),
        (bytes([MINMAX, 1]) + bytes(7), F4, "does not fit"),
        (bytes([MINMAX | 0x10, 1]) + bytes(8), F4, "2 groups"),
        (bytes([MINMAX, 255, 255, 255, 255, 1]) + bytes(8), F4, "does not fit"),
        (bytes([MINMAX, 1]) + np.array([1, np.nan], "<f4").tobytes(), F4, "not finite"),
        (bytes([MINMAX, 1]) + np.array([2, 1], "<f4").tobytes(), F4, "upside down"),
        (bytes([MINMAX, 1]) + np.array([-1.7e308, 1.7e308], "<f8").tobytes(), F8, "not finite"),
        (bytes([MINMAX, 1]) + bytes.fromhex("010080ff010080ff"), F4, "not finite"),
        (bytes([STANDARD, 1]) + np.array([1, np.inf, 0, 1], "<f4").tobytes(), F4, "not finite"),
        (bytes([EXACT, 0, 1]), U2, "is not one for uint16"),
        (bytes([EXACT, 16, 1, 0, 0]), U2, "is not one for uint16"),
        (bytes([EXACT, 0, 5, 0, 0]), U2, "is not one for uint16"),
    ],
)
def test_impossible_records(record, dtype, sentence):
    with pytest.raises(FormatError, match=sentence):
        unpack(record, 2, dtype)


def test_exact_record_round_trips():
    scale = Exact(shift=3, limbs=2, origin=0xFFFE, top=0x1FFF)
    assert unpack(scale.pack(U2), 1, U2) == scale


@given(st.data())
def test_keys_keep_the_order_and_lose_nothing(data):
    dtype = np.dtype(data.draw(st.sampled_from(["f2", "f4", "f8", "i2", "u2", "i4", "u1"])))
    options = {"allow_nan": False} if dtype.kind == "f" else {}
    x = data.draw(hnp.arrays(dtype, 6, elements=hnp.from_dtype(dtype, **options)))
    numbers = keys(x)
    assert numbers.dtype.kind == "u"
    assert unkeys(numbers, dtype).tobytes() == x.tobytes()
    order = np.argsort(numbers, kind="stable")
    assert (x[order][1:] >= x[order][:-1]).all()
