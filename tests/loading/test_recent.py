from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from frazil.data.pool import Piece
from frazil.data.recent import RecentChunks


def load(key: tuple[str, tuple[int, ...]]) -> Piece:
    return Piece(np.full(2, key[1][0], "f4"), (0,))


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(0, 5))
def test_the_chunks_used_last_are_kept(wanted: list[int], room: int) -> None:
    recent = RecentChunks(load, budget=8 * room)
    kept: list[int] = []
    loads = 0
    for chunk in wanted:
        loads += chunk not in kept
        kept = [*(c for c in kept if c != chunk), chunk][-room:] if room else []
        assert recent.take(("t", (chunk,))).values.tolist() == [chunk, chunk]
    assert recent.loads == loads


def test_it_is_safe_in_threads_and_empty_when_pickled() -> None:
    recent = RecentChunks(load, budget=24)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda i: recent.take(("t", (i % 5,))).values[0], range(200)))
    assert found == [i % 5 for i in range(200)]
    copy = pickle.loads(pickle.dumps(recent))
    assert copy.loads == 0
    assert copy.take(("t", (3,))).values[0] == 3
    assert copy.loads == 1
