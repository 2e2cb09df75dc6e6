from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frazil.errors import FormatError, TruncatedError
from frazil.wavelet.bands import layout
from frazil.wavelet.stream import ALL, Head, _step_code, decode, encode, estimate, prefix_needed


def smooth(shape, scale=3000.0, noise=0.0, seed=0):
    n, y, x = shape
    rng = np.random.default_rng(seed)
    j, i, k = np.meshgrid(np.arange(y), np.arange(n), np.arange(x), indexing="xy")
    waves = np.sin(i * 0.3 + j / 9) * np.cos(k / 13) + 0.3 * np.sin((j + k) / 4)
    return np.rint(scale * waves + noise * rng.normal(size=waves.shape)).astype(np.int32)


def check(numbers, widths, valid=None, **settings_):
    stream, rebuilt = encode(numbers, widths, valid, **settings_)
    off = abs(rebuilt.astype(np.int64) - numbers) <= (np.asarray(widths) - 1) // 2
    assert (off if valid is None else off[valid]).all()
    again = decode(stream, numbers.shape, widths, valid)
    assert again.dtype == np.int32
    assert (again == rebuilt).all()
    return stream


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 40), (1, 40, 1), (3, 2, 2), (2, 33, 49), (1, 100, 65)])
@pytest.mark.parametrize("profile", ["best", "fast"])
def test_every_point_comes_back_within_its_cell(shape, profile):
    check(smooth(shape, noise=20), 45, profile=profile)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    st.integers(0, 28),
    st.integers(0, 20),
    st.floats(0.01, 50),
    st.integers(0, 2**32 - 1),
)
def test_the_cell_holds_for_any_numbers(shape, bits, width, step, seed):
    rng = np.random.default_rng(seed)
    numbers = rng.integers(-(2**bits), 2**bits, shape, np.int32, endpoint=True)
    check(numbers, 2 * (1 << width) // 2 * 2 + 1, step=step)


def test_cells_that_vary():
    rng = np.random.default_rng(3)
    coarse = 2 * rng.integers(3, 400, (2, 10, 12)) + 1
    widths = np.repeat(np.repeat(coarse, 8, 1), 8, 2)[:, :77, :90].astype(np.int32)
    check(smooth((2, 77, 90), noise=50), widths)


def test_only_valid_points_are_corrected():
    numbers = smooth((2, 60, 70))
    valid = np.random.default_rng(0).random((2, 60, 70)) < 0.5
    noisy = numbers + np.where(valid, 0, np.random.default_rng(1).integers(-400, 400, valid.shape)).astype(
        np.int32
    )
    check(noisy, 45, valid)


def test_a_smaller_step_makes_smaller_errors():
    numbers = smooth((1, 128, 128), noise=30)
    errors = []
    for step in (0.1, 1.0, 4.0):
        _, rebuilt = encode(numbers, 45, None, step=step)
        errors.append(np.sqrt(((rebuilt - numbers) ** 2.0).mean()))
    assert errors == sorted(errors)
    assert errors[0] < 3


def test_the_step_that_is_chosen_is_near_the_best():
    numbers = smooth((1, 300, 300), noise=12)
    chosen = len(encode(numbers, 45, None)[0])
    assert chosen <= 1.05 * min(len(encode(numbers, 45, None, step=s)[0]) for s in (0.8, 1.1, 1.6, 2.3, 3.2))
    assert estimate(numbers, 45, None) == pytest.approx(chosen, rel=0.3)


def test_smooth_planes_take_few_bytes():
    numbers = smooth((4, 96, 96))
    assert len(check(numbers, 45)) < numbers.size / 5


def test_lower_resolutions_need_a_prefix():
    numbers = smooth((3, 121, 230), noise=60)
    stream = check(numbers, 45)
    needed = [prefix_needed(stream[:64], numbers.shape, level) for level in range(7)]
    assert needed[0] == ALL
    assert needed[1] < len(stream)
    assert needed == sorted(needed, reverse=True)
    for level in range(1, 7):
        low = decode(stream[: needed[level]], numbers.shape, 45, None, level)
        assert low.shape == (3, -(-121 // 2**level), -(-230 // 2**level))
        assert (low == decode(stream, numbers.shape, 45, None, level)).all()
    half = decode(stream, numbers.shape, 45, None, 1)
    assert abs(half - numbers[:, ::2, ::2]).mean() < 100


def test_levels_beyond_the_coarsest_are_subsampled():
    numbers = smooth((1, 20, 20))
    stream, _ = encode(numbers, 45, None)
    assert decode(stream, (1, 20, 20), 45, None, 5).shape == (1, 1, 1)


def test_planes_that_follow_each_other_are_transformed_across():
    still = np.repeat(smooth((1, 64, 64), noise=100), 8, axis=0)
    stream = check(still, 45)
    assert len(stream) < 2 * len(check(still[:1], 45))
    low = decode(stream, still.shape, 45, None, 2)
    assert abs(low - low[:1]).max() < 60
    check(still[:5], 45, profile="fast", step=3.0)


def test_a_constant_takes_a_few_bytes():
    assert len(check(np.full((2, 64, 64), 7, np.int32), 45)) < 16


def test_nothing_is_nothing():
    stream, rebuilt = encode(np.zeros((0, 5, 5), np.int32), 3, None)
    assert rebuilt.shape == (0, 5, 5)
    assert decode(stream, (0, 5, 5), 3, None, 1).shape == (0, 3, 3)


@pytest.mark.parametrize("step", [2.0**-24, 1e-5, 0.3, 1.0, 1.7, 900.0, 5000.0])
def test_steps_are_kept_to_half_a_percent(step):
    code = _step_code(step)
    kept = ((256 + (code & 255)) << (code >> 8)) / 2**32
    assert kept == pytest.approx(min(step, 1013.8), rel=0.004)


def test_heads_round_trip():
    head = Head(True, False, True, 1, -3, -12345, 8000, [400, 90, 20], 0)
    packed = head.pack()
    assert Head.unpack(packed + b"rest", 3) == replace(head, start=len(packed))


def test_truncated_heads_say_so():
    stream, _ = encode(smooth((1, 64, 64), noise=50), 45, None)
    for length in range(6):
        with pytest.raises(TruncatedError):
            Head.unpack(stream[:length], layout(64, 64).levels)


def test_newer_streams_are_refused():
    stream, _ = encode(smooth((1, 16, 16)), 45, None)
    with pytest.raises(FormatError, match="upgrade"):
        decode(bytes([2]) + stream[1:], (1, 16, 16), 45, None)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.integers(0, 3))
def test_damaged_streams_give_an_error_or_numbers(data, level):
    good, _ = encode(smooth((2, 19, 33), noise=30), 45, None)
    for stream in (good[:7] + data, data, good[: len(data)]):
        try:
            planes = decode(stream, (2, 19, 33), 45, None, level)
        except FormatError:
            continue
        assert planes.shape == (2, -(-19 // 2**level), -(-33 // 2**level))
