"""Maps of cell widths: never wider than a point allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil.cells.widths import BLOCKS, GRID_BLOCK, MOST_LEVELS, MOST_WIDTH, Widths, pack_map, unpack_map
from frazil.errors import FormatError, TruncatedError

shapes = hnp.array_shapes(min_dims=3, max_dims=3, max_side=20)


def encode(levels):
    return levels.astype("u1").tobytes()


def decode(payload, shape):
    if len(payload) != np.prod(shape):
        raise FormatError("not so many levels")
    return np.frombuffer(payload, "u1").astype(np.int32).reshape(shape)


@st.composite
def rooms(draw):
    """Room of each point, in units: smooth with some noise, or anything."""
    shape = draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    base = draw(st.sampled_from([1, 3, 45, 2881]))
    spread = draw(st.sampled_from([0.0, 0.1, 3.0, 20.0]))
    return base * np.exp(np.abs(rng.normal(0, spread, shape))), base


@given(rooms())
def test_never_wider_than_the_room(case):
    """Where there is room for the base at all."""
    room, base = case
    found = Widths.fit(room, base)
    wide = np.broadcast_to(found.expand(room.shape), room.shape)
    assert (wide <= room).all()
    assert (wide >= base).all()
    assert (wide % 2 == 1).all()
    assert wide.max() <= found.widest < MOST_WIDTH


@given(rooms())
def test_powers_of_a_grid(case):
    room, _ = case
    found = Widths.powers(room)
    wide = np.broadcast_to(found.expand(room.shape), room.shape)
    assert found.block == GRID_BLOCK
    assert (wide <= np.maximum(room, 1)).all()
    assert (wide & (wide - 1) == 0).all()


@given(rooms())
def test_maps_there_and_back(case):
    room, base = case
    for found in (Widths.fit(room, base), Widths.powers(room)):
        payload = pack_map(found, encode)
        if found.levels is None:
            assert payload == b""
            continue
        again = unpack_map(found.base, payload, room.shape, decode)
        assert (again.block, again.doubling) == (found.block, found.doubling)
        assert (np.asarray(again.expand(room.shape)) == found.expand(room.shape)).all()


def test_one_width_needs_no_map():
    found = Widths.fit(np.full((2, 9, 9), 100.0), 45)
    assert found.levels is None
    assert found.expand((2, 9, 9)) == found.widest == found.base == 89


def test_planes_with_the_same_bounds_share_a_map():
    room = 45 * np.exp(np.linspace(0, 3, 64 * 64)).reshape(1, 64, 64).repeat(3, axis=0)
    found = Widths.fit(room, 45)
    assert found.levels.shape[0] == 1
    assert found.expand((3, 64, 64)).shape == (3, 64, 64)


def test_unlimited_room():
    """Infinite bounds and zero ones beside each other."""
    room = np.array([[[np.inf, 0.0, -5.0, 45.0] * 8] * 32])
    wide = Widths.fit(room, 45).expand(room.shape)
    assert (np.asarray(wide) >= 45).all()


@pytest.mark.parametrize("doubling", [False, True])
def test_tables_rise(doubling):
    for base in (1, 3, 45, (1 << 28) - 1):
        table = Widths(base, doubling=doubling).table()
        assert table.size == MOST_LEVELS + 1
        assert table[0] == (1 if doubling else base)
        assert (np.diff(table) >= 0).all()
        assert table.max() <= MOST_WIDTH


@pytest.mark.parametrize(
    ("payload", "error", "match"),
    [
        (b"", TruncatedError, "empty"),
        (b"\1" + bytes(9), FormatError, "starts with 1"),
        (b"\7" + bytes(9), FormatError, "starts with 7"),
        (b"\x42" + bytes(9), FormatError, "starts with 66"),
        (b"\x82" + bytes(9), FormatError, "starts with 130"),
        (b"\2" + bytes(8), FormatError, "not so many"),
        (b"\2" + bytes(8) + bytes([MOST_LEVELS + 1]), FormatError, "levels 0 to 121"),
    ],
)
def test_hostile_maps(payload, error, match):
    with pytest.raises(error, match=match):
        unpack_map(45, payload, (1, 9, 9), decode)


@pytest.mark.parametrize("block", BLOCKS)
def test_edge_blocks_are_cut(block):
    levels = np.arange(4, dtype=np.int32).reshape(1, 2, 2)
    wide = Widths(1, block, levels, doubling=True).expand((1, block + 1, block + 2))
    assert wide.shape == (1, block + 1, block + 2)
    assert wide[0, 0, 0] == 1
    assert wide[0, -1, -1] == 8
    assert wide.flags.c_contiguous
