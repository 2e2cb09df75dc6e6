from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.entropy import coder, states, tables
from frazil.errors import EngineError, FormatError, TruncatedError

CODERS = {3: (coder.encode_best, coder.decode_best), 1: (coder.encode_fast, coder.decode_fast)}


def padded(a):
    return np.ascontiguousarray(np.pad(a, coder.PAD).astype(np.int32))


def code(q, models, stream=None, *, valid=None, near=None, previous=None, room=None):
    """Encode ``q``, or decode ``stream`` into planes of its shape; return the stream or the numbers."""
    n, m = q.shape
    slots, mix = coder.fresh(models)
    zero = padded(np.zeros_like(q))
    given_near = zero if near is None else padded(near)
    before = zero if previous is None else padded(previous)
    masked = valid is not None
    mask = np.pad(valid, coder.PAD).astype(np.uint8) if masked else np.ones((1, 1), np.uint8)
    weights = np.array([20, 0, 16, 4, 16, 0, 0, 8], np.int64)
    machine, words = (
        coder.writer(q.size if room is None else room) if stream is None else coder.reader(stream)
    )
    plane = padded(q) if stream is None else zero.copy()
    CODERS[models][stream is not None](
        plane, mask, masked, n, m, 3, given_near, zero, zero, zero + 4, before, previous is not None,
        weights, slots, mix, machine, words,
    )  # fmt: skip
    if stream is None:
        return None if coder.overflown(machine, words) else coder.finish(machine, words)
    coder.check(machine, words)
    return plane[coder.PAD : -coder.PAD, coder.PAD : -coder.PAD]


def test_tables_are_what_they_were():
    names = ("SQUASH", "STRETCH", "RATE", "TRUST", "QUARTER", "TWELVE", "SIX")
    raw = b"".join(np.ascontiguousarray(getattr(tables, name)).astype("<i4").tobytes() for name in names)
    assert zlib.crc32(raw) == 2809192418


@pytest.mark.parametrize("models", [1, 3])
@given(data=st.data())
def test_numbers_come_back(models, data):
    n, m = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 50))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    size = data.draw(st.sampled_from([0.01, 1.0, 30.0, 1e5, 3e8]))
    q = np.rint(rng.laplace(size=(n, m)) * size).clip(-coder.FURTHEST, coder.FURTHEST).astype(np.int32)
    valid = rng.random((n, m)) < 0.7 if data.draw(st.booleans()) else None
    previous = q // 2 if data.draw(st.booleans()) else None
    near = np.abs(q // 3).clip(0, coder.CAP) if data.draw(st.booleans()) else None
    keys = {"valid": valid, "previous": previous, "near": near}
    stream = code(q, models, **keys)
    back = code(q, models, stream, **keys)
    assert np.array_equal(back, q if valid is None else np.where(valid, q, 0))


@pytest.mark.parametrize("models", [1, 3])
def test_zeros_cost_nothing(models):
    assert len(code(np.zeros((300, 320), np.int32), models)) < 120


@pytest.mark.parametrize("models", [1, 3])
@given(data=st.binary(max_size=200))
def test_any_bytes_give_numbers_or_say_that_they_end(models, data):
    try:
        q = code(np.zeros((6, 40), np.int32), models, data)
    except TruncatedError:
        return
    assert np.abs(q).max() <= coder.FURTHEST


def test_half_a_stream_ends_too_early():
    q = np.random.default_rng(0).integers(-9, 10, (40, 40)).astype(np.int32)
    stream = code(q, 3)
    with pytest.raises(TruncatedError, match="too early"):
        code(q, 3, stream[: len(stream) // 2])


def test_too_little_room_is_noticed():
    q = np.random.default_rng(0).integers(-(1 << 29), 1 << 29, (100, 200)).astype(np.int32)
    assert code(q, 3, room=0) is None
    assert np.array_equal(code(q, 3, code(q, 3)), q)


@given(st.lists(st.integers(-(1 << 30) + 2, (1 << 30) - 2)))
def test_single_numbers(numbers):
    slots, _ = coder.fresh(1)
    machine, words = coder.writer(len(numbers))
    for number in numbers:
        coder.code_number(number, coder.SIDE, False, slots, machine, words)
    slots, _ = coder.fresh(1)
    machine, words = coder.reader(coder.finish(machine, words))
    assert [coder.code_number(0, coder.SIDE, True, slots, machine, words) for _ in numbers] == numbers


def test_trained_states_are_whole_and_small():
    for number in range(1, states.NEWEST + 1):
        table = states.load(number)
        assert (table.slots & 511).max() <= tables.LIMIT
        assert (table.slots >> 9).min() > 0
        assert (table.slots >> 9).max() < 1 << 22
        assert len(states.pack(table)) <= 100_000
    with pytest.raises(FormatError, match="upgrade"):
        states.load(states.NEWEST + 1)


def test_a_damaged_table_is_not_used():
    data = bytearray(states.pack(states.load(0)))
    data[100] ^= 1
    with pytest.raises(EngineError, match="install frazil again"):
        states.unpack(bytes(data))


def test_a_table_survives_packing():
    table = states.load(0)
    again = states.unpack(states.pack(table))
    assert np.abs((again.slots >> 9) - (table.slots >> 9)).max() < (1 << 22) // 50
    assert np.array_equal(again.slots & 511, table.slots & 511)
    assert np.abs(again.mix - table.mix).max() < 16
    assert np.array_equal(again.stencils, table.stencils)
    assert np.array_equal(again.weights, table.weights)
