from __future__ import annotations

import functools
import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.data.curation.selection import Diagnostics, Selection, kept_count, name_setting, scheduled
from frazil.errors import ConfigurationError


@given(st.integers(1, 50), st.data())
def test_kept_and_dropped_are_all_members(n: int, data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.integers(0, n - 1), unique=True))
    found = Selection.of(np.array(kept, np.int64), n, {"curator": "x"})
    assert found.kept.tolist() == sorted(kept)
    assert sorted([*found.kept, *found.dropped]) == list(range(n))
    numbers = found.diagnostics
    assert (numbers.members, numbers.kept, numbers.dropped) == (n, len(kept), n - len(kept))


@pytest.mark.parametrize("lambda3", [0.5, None, np.inf])
def test_selections_come_back_from_json(lambda3: float | None) -> None:
    notes = {"curator": "SALN", "mode": "inverse", "lambda2": 0.25, "lambda3": lambda3, "degenerate": True}
    found = Selection.of(np.array([2, 0]), 4, notes, np.arange(4.0))
    there = json.loads(json.dumps(found.to_json(), allow_nan=False))
    back = Selection.from_json(there)
    assert back.kept.tolist() == [0, 2]
    assert back.dropped.tolist() == [1, 3]
    assert back.kept.dtype == np.int64
    assert back.diagnostics.lambda3 == (lambda3 if lambda3 == 0.5 else None)
    assert back.to_json() == there
    assert there["diagnostics"]["degenerate"] is True


def test_diagnostics_are_none_where_nobody_looked() -> None:
    found = Diagnostics("RandomDiscard").to_json()
    assert [found[name] for name in ("lambda2", "lambda3", "gap", "components")] == [None] * 4


@given(st.floats(0, 1, exclude_min=True), st.integers(1, 1000))
def test_the_share_is_rounded_and_at_least_one_is_kept(keep: float, n: int) -> None:
    found = kept_count(keep, n)
    assert 1 <= found <= n
    assert found == 1 or abs(found - keep * n) <= 0.5
    assert kept_count(keep, n, count=n) == n


@pytest.mark.parametrize("keep", [0, -0.5, 1.001, np.nan, np.inf, "half", None, [0.5]])
def test_a_share_that_is_none_is_refused(keep: Any) -> None:
    with pytest.raises(ConfigurationError, match="keep is the share of members"):
        kept_count(keep, 5)


@pytest.mark.parametrize("count", [0, -1, 6, 2.5, "all"])
def test_a_count_that_cannot_be_is_refused(count: Any) -> None:
    with pytest.raises(ConfigurationError, match="count is how many of the 5 members"):
        kept_count(0.5, 5, count)


def test_counts_may_be_of_numpy() -> None:
    keep: Any = np.float32(0.5)
    count: Any = np.int64(3)
    assert (kept_count(keep, 8, count), kept_count(keep, 8)) == (3, 4)


def test_schedules_know_epoch_and_step() -> None:
    assert scheduled(lambda epoch, step: (epoch, step), 3, 5) == (3, 5)
    assert scheduled("inverse", 3, 5) == "inverse"


class Callable:
    def __call__(self, epoch: int, step: int) -> float:
        return 0.5


class Named(Callable):
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Named({self.name})"


def schedule(epoch: int, step: int, slope: float = 1.0) -> float:
    return 1 / (1 + slope * epoch + step)


@pytest.mark.parametrize(
    "value",
    [0.5, "a", None, schedule, functools.partial(schedule, slope=2.0), Callable(), Named("a"), np.hypot, len],
)
def test_names_of_settings_survive_pickling(value: Any) -> None:
    name = name_setting(value)
    assert name_setting(pickle.loads(pickle.dumps(value))) == name
    assert " at 0x" not in json.dumps(name)


def test_names_of_settings_differ() -> None:
    values = [
        0.5,
        "0.5",
        schedule,
        functools.partial(schedule, slope=2.0),
        functools.partial(schedule, slope=3.0),
        functools.partial(schedule, 1),
        Callable(),
        Named("a"),
        Named("b"),
    ]
    assert len({json.dumps(name_setting(value)) for value in values}) == len(values)
