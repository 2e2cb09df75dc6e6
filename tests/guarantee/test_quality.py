"""Targets of size and error within a bound."""

from __future__ import annotations

import numpy as np
import pytest

from frazil.errors import TargetWarning
from frazil.guarantee import quality
from frazil.guarantee.task import Task
from frazil.testing import field

SHAPE = (1, 64, 80)
BOTH = ("interpolation", "wavelet")


@pytest.fixture(scope="module")
def task():
    planes = (field(SHAPE) + np.random.default_rng(0).normal(0, 0.3, SHAPE)).astype("f4")
    return Task(planes=planes, wide=planes, known=None, allowed=2.0)


def rmse(task, settled):
    return float(np.sqrt(((settled.planes.astype("f8") - task.planes) ** 2).mean()))


@pytest.mark.parametrize("methods", [BOTH, BOTH[:1], BOTH[1:]])
def test_more_bytes_make_smaller_errors(task, methods):
    found = [quality.reach(task, budget=size, rmse=None, methods=methods) for size in (2000, 4000)]
    assert [settled.size <= size for settled, size in zip(found, (2000, 4000), strict=True)] == [True, True]
    assert rmse(task, found[1]) < rmse(task, found[0])
    assert all(np.abs(settled.planes - task.planes).max() <= 2.0 for settled in found)


@pytest.mark.parametrize("target", [0.5, 0.1])
def test_an_error_is_met_and_hardly_more(task, target):
    settled = quality.reach(task, budget=None, rmse=target, methods=BOTH)
    assert target / 2 < rmse(task, settled) <= target


def test_both_methods_are_no_worse_than_either(task):
    sizes = [quality.reach(task, budget=None, rmse=0.2, methods=m).size for m in (BOTH, BOTH[:1], BOTH[1:])]
    assert sizes[0] == min(sizes)


def test_a_size_out_of_reach_gives_the_smallest_and_says_so(task):
    with pytest.warns(TargetWarning, match="100 bytes are not enough for the bound: the chunk takes"):
        settled = quality.reach(task, budget=100, rmse=None, methods=BOTH)
    assert np.abs(settled.planes - task.planes).max() <= 2.0


def test_plenty_of_room_loses_nothing(task):
    settled = quality.reach(task, budget=10 * task.planes.nbytes, rmse=None, methods=BOTH)
    assert rmse(task, settled) == 0


def test_missing_points_do_not_count():
    rng = np.random.default_rng(0)
    known = rng.random(SHAPE) < 0.6
    planes = np.where(known, field(SHAPE), 125).astype("f4")
    here = Task(planes=planes, wide=planes, known=known, allowed=2.0)
    settled = quality.reach(here, budget=None, rmse=0.2, methods=BOTH[:1])
    error = (settled.planes.astype("f8") - planes)[known]
    assert 0.1 < np.sqrt((error**2).mean()) <= 0.2
