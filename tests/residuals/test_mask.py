import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frazil.errors import FormatError, FrazilError, NoRoomError, TruncatedError
from frazil.residuals import mask, truncated
from frazil.residuals.golden import smallest
from frazil.residuals.scaled import Levels
from frazil.residuals.slack import lattice


def wavy(y=96, x=112, n=1, *, rough=0.02, seed=0):
    j, i = np.mgrid[:y, :x] / 30
    smooth = np.stack([np.sin(j + k) * np.cos(2 * i) for k in range(n)])
    return (280 + 10 * smooth + rough * np.random.default_rng(seed).normal(size=smooth.shape)).astype("f4")


def missed(planes, again, bound):
    return np.count_nonzero(~(np.abs(again.astype("f8") - planes.astype("f8")) <= bound))


@pytest.mark.parametrize("share", [3.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
def test_every_bound_holds_and_ends(share, monkeypatch):
    planes = wavy(n=2)
    bound = share * float(np.ptp(planes))
    trials = []
    write = mask.write
    monkeypatch.setattr(mask, "write", lambda *given: trials.append(1) or write(*given))
    payload = mask.encode(planes, bound)
    assert len(trials) <= 18
    again = mask.decode(payload, planes.shape, planes.dtype)
    assert again.dtype == planes.dtype
    assert again.flags.writeable
    assert missed(planes, again, bound) == 0
    assert mask.encode(planes, bound) == payload


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "u2", "i4", "u1"])
def test_every_number_type(dtype):
    planes = (10 * (wavy(40, 50) - 270)).astype(dtype)
    bound = 2.0 if dtype != "f2" else 1.0
    again = mask.decode(mask.encode(planes, bound), planes.shape, planes.dtype)
    assert again.dtype == planes.dtype
    assert missed(planes, again, bound) == 0


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    st.sampled_from(["f4", "f8"]),
    st.floats(-300, 300),
    st.floats(-5, 0.5),
    st.integers(0, 2**32 - 1),
)
def test_noise_of_any_size_keeps_its_bound(shape, dtype, power, share, seed):
    power = power if dtype == "f8" else power / 12
    planes = (np.random.default_rng(seed).standard_cauchy(shape) * 10**power).astype(dtype)
    bound = 10**share * float(np.ptp(planes.astype("f8")))
    try:
        payload = mask.encode(planes, bound, ratio=4)
    except NoRoomError:
        span = float(np.ptp(planes.astype("f8")))
        assert bound < 1e-5 * span or min(bound, span) <= 2.0**-990
        return
    assert missed(planes, mask.decode(payload, shape, planes.dtype), bound) == 0


def test_bounds_that_vary():
    planes = wavy(n=2)
    rng = np.random.default_rng(3)
    bound = 10 ** rng.uniform(-2, 0.5, planes.shape)
    payload = mask.encode(planes, bound)
    assert missed(planes, mask.decode(payload, planes.shape, planes.dtype), bound) == 0
    assert len(payload) < len(mask.encode(planes, float(bound.min())))


def test_where_few_bounds_are_tiny_only_those_points_miss_them():
    planes = wavy()
    bound = np.full(planes.shape, 0.5)
    bound[0, 3, :5] = 0
    bound[0, 7, :5] = 1e-9
    wrong = np.abs(mask.decode(mask.encode(planes, bound), planes.shape, planes.dtype) - planes) > bound
    assert not wrong[bound == 0.5].any()


def test_exact_zeros_among_rain():
    rain = np.maximum(wavy(rough=0) - 285, 0)
    bound = np.where(rain == 0, 0.0, 0.1)
    again = mask.decode(mask.encode(rain, bound), rain.shape, rain.dtype)
    assert missed(rain, again, bound) == 0


def test_what_is_missing_costs_nothing():
    planes, valid = wavy(rough=0), np.ones((1, 96, 112), bool)
    valid[0, 20:60, 20:60] = False
    payload = mask.encode(planes, 0.01, valid)
    noisy = planes.copy()
    noisy[~valid] += np.random.default_rng(0).normal(size=np.count_nonzero(~valid)).astype("f4")
    noisy[0, 30, 30] = 1e30
    again = mask.decode(mask.encode(noisy, 0.01, valid), planes.shape, planes.dtype)
    assert missed(planes[valid], again[valid], 0.01) == 0
    assert (
        missed(planes, mask.decode(payload, planes.shape, planes.dtype), np.where(valid, 0.01, np.inf)) == 0
    )
    nothing = mask.encode(planes, 0.01, np.zeros_like(valid))
    assert len(nothing) == 5
    assert mask.decode(nothing, planes.shape, planes.dtype).shape == planes.shape


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 300), (300, 1, 1), (2, 2, 2), (40, 3, 5)])
def test_small_planes(shape):
    planes = np.random.default_rng(1).normal(size=shape).astype("f4")
    for bound in (1.0, 0.01):
        again = mask.decode(mask.encode(planes, bound), shape, planes.dtype)
        assert missed(planes, again, bound) == 0


def test_one_value_takes_five_bytes():
    planes = np.full((2, 30, 40), 273.15, "f4")
    payload = mask.encode(planes, 0.0)
    assert len(payload) == 5
    np.testing.assert_array_equal(mask.decode(payload, planes.shape, planes.dtype), planes)
    assert mask.decode(payload, planes.shape, planes.dtype, 2).shape == (2, 8, 10)


@pytest.mark.parametrize(
    ("planes", "bound", "said"),
    [
        (wavy(), 0.0, "less than"),
        (wavy(), 1e-7, "less than"),
        (wavy(), np.full((1, 96, 112), 1e-7), "less than"),
        (np.array([[[-1.7e308, 1.7e308]]]), 1e300, "cannot be divided"),
        (np.array([[[0, 5e-324]]]), 1e-300, "cannot be divided"),
        (np.zeros((20000, 1, 1), "f4"), 1.0, "20000 planes"),
    ],
)
def test_what_it_cannot_do_it_says(planes, bound, said):
    with pytest.raises(NoRoomError, match=said):
        mask.encode(planes, bound)


def test_float32_up_to_its_ends():
    planes = np.linspace(-3.4e38, 3.4e38, 600, dtype="f4").reshape(1, 20, 30)
    again = mask.decode(mask.encode(planes, 1e36), planes.shape, planes.dtype)
    assert missed(planes, again, 1e36) == 0


def test_a_given_ratio_is_that_of_jpeg_2000():
    planes = wavy(256, 256, rough=0.5)
    levels = Levels.of(planes, 0.1)
    for ratio in (10, 40):
        payload, body = mask.write(levels, ratio)
        assert 0.9 * planes.nbytes / ratio < body < 1.05 * planes.nbytes / ratio
        assert payload == mask.encode(planes, 0.1, ratio=ratio)
    assert len(mask.encode(planes, 0.1)) <= min(
        len(mask.encode(planes, 0.1, ratio=r)) for r in (5, 10, 20, 40)
    )


def test_lower_resolutions_are_jpeg_2000s():
    planes = wavy(97, 113, n=2, rough=0)
    payload = mask.encode(planes, 0.05)
    for level in (1, 2, 3):
        small = mask.decode(payload, planes.shape, planes.dtype, level)
        again = planes[:, :: 1 << level, :: 1 << level]
        assert small.shape == again.shape
        assert np.sqrt(np.mean((small - again) ** 2)) < 1
    assert mask.decode(payload, planes.shape, planes.dtype, 9).shape == (2, 1, 1)


def test_one_ratio_for_many_chunks():
    chunks = [wavy(seed=k, rough=0.1 * k) for k in range(3)]
    ratio, payloads = mask.search([Levels.of(chunk, 0.05) for chunk in chunks])
    for chunk, payload in zip(chunks, payloads, strict=True):
        assert payload == mask.encode(chunk, 0.05, ratio=ratio)
    alone = sum(len(mask.encode(chunk, 0.05)) for chunk in chunks)
    assert alone <= sum(map(len, payloads)) < 1.2 * alone


@given(st.integers(0, 1 << 24))
def test_the_lattice_is_as_wide_as_the_bound_allows(slack):
    step = int(lattice(np.int32(slack)))
    assert step & (step - 1) == 0
    assert step <= max(2 * slack, 1) < 2 * step or slack == 0


def test_residuals_never_lead_out_of_the_levels():
    numbers = np.array([[[0, 65535, 3, 65530]]], np.int32)
    decoded = np.array([[[65535, 0, 60000, 5]]], np.int32)
    for slack in (0, 1, 5, 100, 5000):
        for given_slack in (slack, np.full(numbers.shape, slack, np.int32)):
            again = decoded.copy()
            truncated.apply(again, truncated.pack(numbers, decoded, given_slack, None), 16)
            assert np.abs(again - numbers).max() <= slack
        assert again.min() >= 0
        assert again.max() <= 65535


def test_truncated_and_changed_bytes_are_errors_or_values():
    planes = wavy(40, 50)
    payload = mask.encode(planes, 0.02)
    for stop in range(len(payload)):
        with pytest.raises(FormatError):
            mask.decode(payload[:stop], planes.shape, planes.dtype)
    rng = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(payload)
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
        try:
            again = mask.decode(bytes(changed), planes.shape, planes.dtype)
        except FrazilError:
            continue
        assert again.shape == planes.shape


def test_a_payload_of_another_shape_is_an_error():
    planes = wavy(40, 50)
    payload = mask.encode(planes, 0.02)
    for shape in [(2, 40, 50), (1, 40, 51), (1, 20, 25), (1, 400, 500)]:
        with pytest.raises(FormatError):
            mask.decode(payload, shape, planes.dtype)
    with pytest.raises(TruncatedError):
        mask.decode(b"", planes.shape, planes.dtype)


def test_golden_section_ends_whatever_the_cost_is_like():
    seen = []
    for cost in (lambda _: 0.0, lambda x: x, lambda x: -x, lambda x: math.sin(50 * x), lambda _: math.nan):
        count = len(seen)
        found = smallest(lambda x, cost=cost: seen.append(x) or cost(x), 1, 1e6)
        assert 1 <= found <= 1e6
        assert len(seen) - count <= 18
    assert smallest(lambda x: abs(math.log(x / 50)), 1, 1e6) == pytest.approx(50, rel=0.06)
