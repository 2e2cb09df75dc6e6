from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frazil.errors import FormatError, TruncatedError
from frazil.interpolation.stream import decode, encode, prefix_needed


def smooth(n, y, x, seed=0, noise=3.0):
    """Waves that move from plane to plane, with noise."""
    rng = np.random.default_rng(seed)
    i, j = np.mgrid[:y, :x]
    waves = [900 * np.sin(j / 9 + t / 3) * np.cos(i / 13) for t in range(n)]
    return np.rint(np.stack(waves) + noise * rng.normal(size=(n, y, x))).astype(np.int32)


def assert_holds(numbers, rebuilt, widths, valid, aligned):
    error = np.abs(numbers.astype(np.int64) - rebuilt)
    most = np.broadcast_to(np.asarray(widths) // 2, numbers.shape)
    there = np.ones(numbers.shape, bool) if valid is None else valid
    assert (error <= most)[there].all()
    if aligned:
        assert (rebuilt % widths == 0)[there].all()


@st.composite
def stacks(draw):
    n = draw(st.integers(1, 40))
    most = 12 if n > 5 else 40
    y, x = draw(st.integers(1, most)), draw(st.integers(1, most))
    seed = draw(st.integers(0, 1 << 30))
    rng = np.random.default_rng(seed)
    kind = draw(st.sampled_from(["smooth", "noise", "wild", "constant"]))
    if kind == "smooth":
        numbers = smooth(n, y, x, seed)
    elif kind == "constant":
        numbers = np.full((n, y, x), draw(st.integers(-(1 << 28), 1 << 28)), np.int32)
    else:
        most = 1 << (28 if kind == "wild" else 8)
        numbers = rng.integers(-most, most + 1, (n, y, x)).astype(np.int32)
    aligned = draw(st.booleans())
    top = draw(st.sampled_from([1, 3, 45, 1 << 12]))
    if draw(st.booleans()):
        widths = rng.integers(1, top + 1, (n, y, x)).astype(np.int32)
        widths = widths if aligned else widths | 1
    else:
        widths = top if aligned else top | 1
    valid = None
    if draw(st.booleans()):
        valid = rng.random((n, y, x)) < draw(st.sampled_from([0.0, 0.1, 0.9]))
        valid.flat[rng.integers(valid.size)] = True
    return numbers, widths, valid, draw(st.sampled_from(["best", "fast"])), aligned


@given(stacks())
@settings(max_examples=60)
def test_every_number_stays_in_its_cell_at_every_level(case):
    numbers, widths, valid, profile, aligned = case
    stream, rebuilt = encode(numbers, widths, valid, profile=profile, aligned=aligned)
    assert_holds(numbers, rebuilt, widths, valid, aligned)
    for level in (0, 1, 2, 5, 9):
        part = decode(stream, numbers.shape, widths, valid, level, aligned)
        assert np.array_equal(part, rebuilt[:, :: 1 << level, :: 1 << level])


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 70), (3, 70, 1), (2, 2, 2), (1, 3, 200), (40, 9, 7)])
@pytest.mark.parametrize("profile", ["best", "fast"])
def test_odd_shapes(shape, profile):
    numbers = smooth(*shape)
    stream, rebuilt = encode(numbers, 5, None, profile=profile)
    assert_holds(numbers, rebuilt, 5, None, False)
    assert np.array_equal(decode(stream, shape, 5, None), rebuilt)


def test_no_planes_at_all():
    stream, rebuilt = encode(np.zeros((0, 4, 4), np.int32), 5, None)
    assert rebuilt.shape == (0, 4, 4)
    assert decode(stream, (0, 4, 4), 5, None, 1).shape == (0, 2, 2)


def test_arrays_that_cannot_be_written_to():
    numbers = smooth(1, 20, 20)
    numbers.flags.writeable = False
    assert np.array_equal(encode(numbers, 5, None)[1], encode(numbers.copy(), 5, None)[1])


@pytest.mark.parametrize("width", [1, 3])
def test_a_prefix_is_enough_for_a_coarse_level(width):
    numbers = smooth(3, 130, 150)
    stream, rebuilt = encode(numbers, width, None)
    last = len(stream) + 1
    for level in range(10):
        needed = prefix_needed(stream[:64], numbers.shape, level)
        assert needed < last or needed == last or level == 0 or level > 4
        last = min(needed, last)
        part = decode(stream[:needed], numbers.shape, width, None, level)
        assert np.array_equal(part, rebuilt[:, :: 1 << level, :: 1 << level])
    assert prefix_needed(stream[:64], numbers.shape, 3) < len(stream) // 10


def test_a_head_that_is_too_short_says_so():
    stream, _ = encode(smooth(3, 130, 150), 1, None)
    for size in range(8):
        with pytest.raises(TruncatedError):
            prefix_needed(stream[:size], (3, 130, 150), 2)
    for size in (0, 1, 2, 9, len(stream) // 2):
        with pytest.raises(TruncatedError):
            decode(stream[:size], (3, 130, 150), 1, None)


def test_a_later_version_is_refused():
    stream, _ = encode(smooth(1, 20, 20), 5, None)
    with pytest.raises(FormatError, match="upgrade"):
        decode(bytes([stream[0] + 1]) + stream[1:], (1, 20, 20), 5, None)


@pytest.mark.parametrize("masked", [False, True])
def test_damage_is_an_error_or_other_numbers_but_never_a_crash(masked):
    numbers = smooth(3, 40, 50)
    rng = np.random.default_rng(1)
    valid = rng.random(numbers.shape) < 0.8 if masked else None
    widths = rng.integers(0, 9, numbers.shape).astype(np.int32) * 2 + 1
    for profile in ("best", "fast"):
        stream, _ = encode(numbers, widths, valid, profile=profile)
        for _ in range(60):
            broken = bytearray(stream)
            for _ in range(rng.integers(1, 5)):
                broken[rng.integers(len(broken))] ^= 1 << rng.integers(8)
            try:
                out = decode(bytes(broken[: rng.integers(2, len(broken) + 1)]), numbers.shape, widths, valid)
            except FormatError:
                continue
            assert out.shape == numbers.shape


@given(st.binary(min_size=0, max_size=300), st.booleans())
def test_any_bytes_are_numbers_or_an_error(data, aligned):
    try:
        out = decode(data, (2, 20, 30), 6 if aligned else 7, None, aligned=aligned)
    except FormatError:
        return
    assert out.shape == (2, 20, 30)


def test_rewriting_aligned_cells_changes_nothing():
    widths = 1 << np.random.default_rng(0).integers(0, 6, (2, 30, 40)).astype(np.int32)
    _, once = encode(smooth(2, 30, 40), widths, None, aligned=True)
    _, twice = encode(once, widths, None, aligned=True)
    assert np.array_equal(once, twice)


def test_planes_that_resemble_the_one_before_cost_less():
    numbers = smooth(12, 48, 64, noise=20.0)
    numbers[:] = numbers[:1] + np.arange(12)[:, None, None]
    stack, _ = encode(numbers, 5, None)
    alone = sum(len(encode(numbers[t : t + 1], 5, None)[0]) for t in range(12))
    assert len(stack) < alone / 3


def test_planes_that_do_not_are_no_worse_for_it():
    numbers = np.concatenate(
        [smooth(1, 64, 64, seed, noise=30.0 * (seed % 3)) * (seed + 1) for seed in range(8)]
    )
    stack, _ = encode(numbers, 21, None)
    alone = sum(len(encode(numbers[t : t + 1], 21, None)[0]) for t in range(8))
    assert len(stack) < 1.01 * alone


def test_what_is_masked_costs_nothing():
    numbers = smooth(1, 96, 96)
    valid = np.zeros(numbers.shape, bool)
    valid[:, 20:60, 30:70] = True
    stream, rebuilt = encode(np.where(valid, numbers, 1 << 27), 9, valid)
    other, again = encode(np.where(valid, numbers, -5), 9, valid)
    assert stream == other
    assert np.array_equal(rebuilt, again)


def test_columns_meet_around_the_globe():
    i, j = np.mgrid[:64, :128]
    noise = np.random.default_rng(0).normal(size=(64, 128))
    wave = np.rint(4000 * np.sin(2 * np.pi * j / 128 + i / 20) + noise).astype(np.int32)[None]
    stream, rebuilt = encode(wave, 3, None)
    assert stream[0] & 16
    assert_holds(wave, rebuilt, 3, None, False)
    assert not encode(np.ascontiguousarray(wave[:, :, :100]), 3, None)[0][0] & 16


@pytest.mark.slow
def test_streams_are_the_same_on_a_plain_processor(tmp_path):
    """The bytes and what they decode to do not depend on vector instructions."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_stream; print(test_stream.fingerprint())"
    )
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    said = subprocess.run(command, env=os.environ | plain, capture_output=True, text=True, check=True).stdout
    assert said.strip() == fingerprint()


def fingerprint():
    """Checksums of streams and of what they decode to."""
    rng = np.random.default_rng(3)
    numbers = smooth(3, 70, 90, noise=15.0)
    valid = rng.random(numbers.shape) < 0.9
    sums = []
    for profile in ("best", "fast"):
        for widths in (45, rng.integers(0, 99, numbers.shape).astype(np.int32) * 2 + 1):
            for mask in (None, valid):
                stream, rebuilt = encode(numbers, widths, mask, profile=profile)
                again = decode(stream, numbers.shape, widths, mask)
                assert np.array_equal(again, rebuilt)
                sums += [zlib.crc32(stream), zlib.crc32(again.astype("<i4").tobytes())]
    return " ".join(map(str, sums))
