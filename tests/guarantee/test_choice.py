"""Which method is tried first."""

from __future__ import annotations

import numpy as np
import pytest

from frazil.cells import Cells, exact, relative
from frazil.guarantee import choice, record
from frazil.guarantee.rebuilding import RECORD, STREAM
from frazil.guarantee.task import Task
from frazil.sealing import unseal
from frazil.testing import field


def job(planes, allowed, known=None):
    return Task(planes=planes, wide=planes, known=known, allowed=allowed)


def names(attempts):
    return [record.unpack(unseal(s[RECORD]), np.dtype("f4")).name for s in attempts]


@pytest.mark.parametrize("allowed", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("shape", [(1, 40, 50), (4, 40, 50), (1, 300, 500)])
def test_the_smaller_first(shape, allowed):
    task = job(field(shape), allowed)
    attempts = choice.attempts(task, task.cells())
    sizes = [len(sections[STREAM]) for sections in attempts]
    assert sizes == sorted(sizes)
    assert set(names(attempts)) <= {"interpolation", "wavelet"}
    assert len(set(names(attempts))) == len(attempts)


def test_small_stacks_are_coded_both_ways():
    task = job(field((3, 40, 50)), 0.3)
    ours = len(task.interpolated(task.cells())[STREAM])
    theirs = len(task.transformed(task.cells())[STREAM])
    attempts = choice.attempts(task, task.cells())
    assert [len(sections[STREAM]) for sections in attempts] == sorted([ours, theirs])


def test_one_noisy_plane_is_coded_once():
    noise = np.random.default_rng(0).normal(size=(1, 80, 90)).astype("f4")
    task = job(noise, 0.01)
    assert names(choice.attempts(task, task.cells())) == ["interpolation"]


def test_numbers_that_are_no_line_are_interpolated():
    planes = np.linspace(1, 2, 2000, dtype="f4").reshape(2, 20, 50)
    for cells in (exact(planes), relative(planes, 0.01), Cells(job(planes, 0.1).cells().scale, aligned=True)):
        assert names(choice.attempts(job(planes, 0.1), cells)) == ["interpolation"]


@pytest.mark.parametrize("gaps", [False, True])
def test_of_large_stacks_a_piece_decides(gaps):
    shape = (3, 200, 260)
    planes = field(shape) + np.random.default_rng(0).normal(0, 1, shape)[:1].astype("f4")
    known = np.ones(shape, bool)
    known[:, 30:170, 40:230] = not gaps
    task = job(planes.astype("f4"), 0.05, known)
    attempts = choice.attempts(task, task.cells())
    assert len(attempts) == 1
    assert task.settle(attempts[0]) is not None
    if gaps:
        assert names(attempts) == ["interpolation"]
