"""Memory of batches comes back when nobody looks at it, and not before."""

from __future__ import annotations

import gc
import threading
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from frazil.data.buffers import Buffers


def address(array: Any) -> int:
    return int(array.ctypes.data)


@given(st.lists(st.sampled_from(["lend", "drop", "view"]), max_size=30))
def test_no_memory_is_lent_twice_at_a_time(actions: list[str]) -> None:
    buffers, held = Buffers(count=2), []
    for number, action in enumerate(actions):
        if action == "lend" or not held:
            array = buffers.empty((4, 5), "f4")
            array[...] = number
            held.append((array, number))
            del array
        elif action == "drop":
            held.pop(len(held) // 2)
        else:
            array, value = held.pop()
            held.append((array[1:].T, value))
            del array
        assert len({address(a) // 80 for a, _ in held}) <= len(held)
        assert all((a == value).all() for a, value in held)


def test_memory_comes_back_in_another_shape_of_the_same_size() -> None:
    buffers = Buffers(count=1)
    where = address(buffers.empty((2, 6), "f4"))
    gc.collect()
    array = buffers.empty((3, 2), "f8")
    assert address(array) == where
    assert array.flags.writeable
    assert array.flags.c_contiguous
    assert address(buffers.empty((2, 6), "f4")) != where


def test_no_more_is_kept_than_was_said() -> None:
    buffers = Buffers(count=2)
    lent = [buffers.empty((8,), "u1") for _ in range(5)]
    lent.clear()
    gc.collect()
    assert len(buffers._free) == 2


def test_arrays_outlive_their_buffers() -> None:
    array = Buffers(count=3).empty((3,), "f4")
    array[...] = 7
    gc.collect()
    assert array.tolist() == [7, 7, 7]


def test_nothing_takes_no_buffer() -> None:
    assert Buffers(count=1).empty((0, 4), "f4").shape == (0, 4)


def test_threads_share_them() -> None:
    buffers, wrong = Buffers(count=4), []

    def work(value: int) -> None:
        for _ in range(300):
            array = buffers.empty((64,), "f4")
            array[...] = value
            if not (array == value).all():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
