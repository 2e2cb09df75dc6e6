from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frazil.data.pool import NEVER, ChunkPool, Piece, Uses, held_bytes
from frazil.errors import ConfigurationError, StoreError


def key(number: int) -> tuple[str, tuple[int, ...]]:
    return "t", (number,)


def read(pool: ChunkPool, positions: list[list[int]], ahead: int) -> None:
    """Go through positions as a loader does, and look at every chunk and at the budget on the way."""
    for position, chunks in enumerate(positions):
        for later in range(position, min(position + ahead, len(positions))):
            if not all(pool.offer(key(chunk), later) for chunk in positions[later]):
                break
        for chunk in chunks:
            assert pool.take(key(chunk)).values[0] == chunk
            assert pool.held <= pool.budget
        pool.advance(position)


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    draws=st.lists(st.lists(st.integers(0, 7), max_size=5), max_size=12),
    extra=st.integers(0, 20),
    ahead=st.integers(1, 4),
    threads=st.integers(1, 3),
    gaps=st.booleans(),
)
def test_the_pool_stays_within_its_budget_and_gives_every_chunk(
    sizes: list[int],
    draws: list[list[int]],
    extra: int,
    *,
    ahead: int,
    threads: int,
    gaps: bool,
) -> None:
    positions = [[chunk % len(sizes) for chunk in chunks] for chunks in draws]

    def load(wanted: tuple[str, tuple[int, ...]]) -> Piece:
        (number,) = wanted[1]
        values = np.full(sizes[number], number, "f4")
        return Piece(values, (0,), np.zeros(values.shape, bool) if gaps and number % 2 else None)

    def size(wanted: tuple[str, tuple[int, ...]]) -> int:
        return 5 * sizes[wanted[1][0]]

    uses = Uses([[key(chunk) for chunk in chunks] for chunks in positions])
    pool = ChunkPool(load, size, 5 * (max(sizes) + extra), uses, threads)
    try:
        read(pool, positions, ahead)
        assert pool.tally.peak <= pool.budget
        used = {key(chunk) for chunks in positions for chunk in chunks}
        assert set(pool.tally.decoded) == used
        assert pool.held == 0
        if pool.budget >= 5 * sum(sizes):
            assert pool.tally.evicted == 0
            assert set(pool.tally.decoded.values()) <= {1}
    finally:
        pool.close()


def unit_pool(positions: list[list[int]], budget: int, **options: int) -> ChunkPool:
    uses = Uses([[key(chunk) for chunk in chunks] for chunks in positions])
    return ChunkPool(lambda k: Piece(np.full(1, k[1][0], "u1"), (0,)), lambda _: 1, budget, uses, **options)


def test_what_is_needed_latest_goes_first() -> None:
    positions = [[0, 1, 2], [3], [0], [1], [2]]
    pool = unit_pool(positions, budget=3)
    read(pool, positions, ahead=1)
    assert pool.tally.decoded == {key(0): 1, key(1): 1, key(2): 2, key(3): 1}
    assert pool.tally.evicted == 1
    pool.close()


def test_looking_ahead_throws_nothing_away_that_is_used_before() -> None:
    pool = unit_pool([[0], [1], [2], [0]], budget=2)
    assert pool.offer(key(0), 0)
    assert pool.offer(key(1), 1)
    assert not pool.offer(key(2), 2)
    assert pool.take(key(0)).values[0] == 0
    pool.advance(0)
    assert pool.take(key(1)).values[0] == 1
    assert pool.offer(key(2), 2)  # in the place of chunk 0, which is used later
    pool.close()


def test_spare_room_is_that_of_chunks_nobody_needs() -> None:
    pool = unit_pool([[0], [1], [2], [0]], budget=2)
    assert pool.offer(key(0), 0)
    assert pool.take(key(0)).values[0] == 0
    pool.advance(0)
    assert pool.offer(key(1), 1, spare=True)
    assert pool.take(key(1)).values[0] == 1
    assert not pool.offer(key(2), 2, spare=True)  # chunk 0 is used later
    pool.advance(1)
    assert pool.offer(key(2), 2, spare=True)
    assert pool.tally.evicted == 0
    pool.close()


@given(st.lists(st.lists(st.integers(0, 7), max_size=5), max_size=12), st.integers(4, 9), st.booleans())
def test_arrays_are_decoded_into_again(positions: list[list[int]], budget: int, whole: bool) -> None:
    given: list[np.ndarray | None] = []

    def load(wanted: tuple[str, tuple[int, ...]], into: np.ndarray | None) -> Piece:
        given.append(into)
        values = np.empty(4, "u1") if into is None else into
        values[...] = wanted[1][0]
        return Piece(values, (0,), whole=whole)

    uses = Uses([[key(chunk) for chunk in chunks] for chunks in positions])
    pool = ChunkPool(load, lambda _: 4, 4 * budget, uses, 2, reuse=True)
    read(pool, positions, ahead=3)
    assert pool.tally.peak <= pool.budget
    if not whole:
        assert not any(into is not None for into in given)
    elif len(given) > budget:
        assert sum(into is None for into in given) <= budget
    pool.close()


def test_an_error_of_a_thread_is_that_of_the_one_who_takes() -> None:
    def load(wanted: tuple[str, tuple[int, ...]]) -> Piece:
        raise StoreError(f"no {wanted}")

    pool = ChunkPool(load, lambda _: 1, 4, Uses([[key(0)], [key(1)]]))
    assert pool.offer(key(1), 1)
    with pytest.raises(StoreError, match=r"no \('t', \(0,\)\)"):
        pool.take(key(0))
    pool.close()
    assert pool.held == 0


def test_a_chunk_larger_than_the_budget_is_a_sentence() -> None:
    pool = ChunkPool(lambda _: Piece(np.zeros(9), (0,)), lambda _: 72, 64, Uses([[key(0)]]))
    with pytest.raises(
        ConfigurationError, match=r"chunk \(0,\) of 't' takes 72 bytes .* 64 are left .* raise memory="
    ):
        pool.take(key(0))
    pool.close()


def test_chunks_are_decoded_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)

    def load(_: object) -> Piece:
        both.wait()
        return Piece(np.zeros(1), (0,))

    pool = ChunkPool(load, lambda _: 8, 64, Uses([[key(0), key(1)]]), threads=2)
    assert pool.offer(key(0), 0)
    assert pool.offer(key(1), 0)
    assert pool.take(key(0)).error == ""
    pool.close()


def test_closing_waits_for_the_threads() -> None:
    before = threading.active_count()
    pool = unit_pool([[0, 1, 2]], budget=3, threads=3)
    assert all(pool.offer(key(chunk), 0) for chunk in range(3))
    pool.close()
    assert threading.active_count() == before


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=15), st.integers(0, 3), st.integers(1, 20))
def test_uses_say_when_a_chunk_is_needed_next(positions: list[list[int]], first: int, horizon: int) -> None:
    uses = Uses([[key(c) for c in chunks] for chunks in positions], first=first, horizon=horizon)
    for position in range(first, first + len(positions)):
        known = range(position + 1, min(first + len(positions), position + horizon))
        for chunk in range(5):
            after = [p for p in known if chunk in positions[p - first]]
            assert uses.after(key(chunk), position) == (after[0] if after else NEVER)
        uses.at(position)
        uses.look_from(position + 1)


def test_a_view_keeps_all_of_its_array() -> None:
    whole = np.zeros((4, 10))
    assert Piece(whole[1:2, ::3].T, (0, 0)).nbytes == 320
    assert (
        Piece(
            np.broadcast_to(np.zeros(1, "f4"), (50, 50)), (0, 0), np.broadcast_to(np.True_, (50, 50))
        ).nbytes
        <= 8
    )
    assert held_bytes(np.frombuffer(bytes(80))) == 80
