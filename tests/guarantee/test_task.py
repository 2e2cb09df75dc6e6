"""Attempts are decoded and compared before anything is written."""

from __future__ import annotations

import numpy as np
import pytest

from frazil.guarantee import record, task
from frazil.guarantee.rebuilding import MEANS, POINTS, RECORD, SIGNS, STREAM, rebuild
from frazil.sealing import unseal
from frazil.testing import bit_equal, field

SHAPE = (2, 24, 30)


def job(planes=None, allowed=0.5, **more):
    planes = field(SHAPE) if planes is None else planes
    wide = planes.astype("f4") if planes.dtype == np.dtype("f2") else planes
    return task.Task(planes=planes, wide=wide, known=more.pop("known", None), allowed=allowed, **more)


def said(settled, dtype="f4"):
    return record.unpack(unseal(settled.sections[RECORD]), np.dtype(dtype))


@pytest.mark.parametrize("way", ["interpolated", "transformed"])
def test_what_is_settled_decodes_to_what_it_says(way):
    here = job()
    settled = here.settle(getattr(here, way)(here.cells()))
    again = rebuild(settled.sections, SHAPE, np.dtype("f4"), 0, None, None)
    worst = float(np.abs(again.astype("f8") - here.planes).max())
    assert bit_equal(again, settled.planes).all()
    assert worst <= said(settled).max_error <= 0.5 * 1.01
    assert worst <= 0.5
    assert said(settled).share * 0.5 >= worst
    assert settled.size >= sum(map(len, settled.sections.values()))
    assert list(settled.sections)[-1] == STREAM  # readers of a prefix need the rest before it


def test_a_method_that_misses_some_points_has_them_put_in():
    """Cells for twice the bound: what the coder makes of them is not good enough everywhere."""
    here = job(allowed=0.5)
    rng = np.random.default_rng(0)
    strict = np.full(SHAPE, 1e9)
    strict[rng.random(SHAPE) < 0.02] = 0.0
    picky = job(allowed=strict)
    settled = picky.settle(here.interpolated(here.cells()))
    assert POINTS in settled.sections
    exact = strict == 0
    assert bit_equal(settled.planes[exact], here.planes[exact]).all()
    assert said(settled).share == pytest.approx(0.004)  # rounded up


def test_a_method_that_misses_too_many_points_is_refused():
    here = job(allowed=0.5)
    assert job(allowed=1e-3).settle(here.interpolated(here.cells())) is None


def test_constants():
    flat = job(np.full(SHAPE, 7.5, "f4"), allowed=0.0)
    settled = flat.settle(flat.constant())
    assert said(settled).name == "constant"
    assert (settled.planes == 7.5).all()
    assert said(settled).max_error == 0
    near = job(np.linspace(1, 2, 6, dtype="f4").reshape(1, 2, 3), allowed=0.5)
    assert (near.settle(near.constant()).planes == 1.5).all()
    assert job(np.linspace(1, 2.1, 6, dtype="f4").reshape(1, 2, 3), allowed=0.5).constant() is None
    whole = job(np.array([[[3, 4, 8]]], "i2"), allowed=3.0)
    assert whole.settle(whole.constant()).planes.tolist() == [[[6, 6, 6]]]
    between = job(np.array([[[3, 4, 8]]], "i2"), allowed=2.5)  # 5.5 would do, 6 is too far from 3
    assert between.settle(between.constant()).planes.tolist() == [[[3, 6, 6]]]


def test_constants_of_bounds_that_vary():
    planes = np.array([[[1.0, 2.0, 3.0]]], "f8")
    assert job(planes, np.array([[[1.5, 0.5, 1.0]]])).constant() is not None
    assert job(planes, np.array([[[0.5, 0.5, 1.0]]])).constant() is None
    here = job(planes, np.array([[[0.5, 0.5, 0.0]]]), known=np.array([[[True, True, False]]]))
    assert here.settle(here.constant()).planes.tolist() == [[[1.5, 1.5, 1.5]]]


def test_nothing_but_missing_points():
    here = job(known=np.zeros(SHAPE, bool))
    assert said(here.settle(here.constant())).name == "constant"


def test_ways_to_lose_nothing():
    here = job(allowed=0.0)
    ways = [here.settle(way) for way in here.exactly()]
    assert [said(way).name for way in ways] == ["stored", "exact"]
    for way in ways:
        assert bit_equal(way.planes, here.planes).all()
        assert said(way).max_error == said(way).share == 0


def test_missing_points_may_become_anything():
    rng = np.random.default_rng(1)
    known = rng.random(SHAPE) < 0.7
    planes = np.where(known, field(SHAPE), 125).astype("f4")
    here = job(planes, known=known)
    settled = here.settle(here.interpolated(here.cells()))
    assert (np.abs(settled.planes - planes)[known] <= 0.5).all()
    blind = job(planes)
    assert settled.size < blind.settle(blind.interpolated(blind.cells())).size


def test_signs_and_means_are_corrected():
    planes = (field(SHAPE) - 125).astype("f4")
    planes = np.where(planes == 0, np.float32(0.25), planes)
    here = job(planes, allowed=20.0, keep=("sign", "mean"))
    found = [here.settle(here.interpolated(here.cells(share))) for share in (1.0, 0.9, 0.5)]
    found = [settled for settled in found if settled is not None]
    assert found
    for settled in found:
        assert (np.sign(settled.planes) == np.sign(planes)).all()
        off = (settled.planes - planes.astype("f8")).mean(axis=(1, 2))
        assert (np.abs(off) <= 0.2).all()
        assert settled.sections.keys() & {SIGNS, MEANS, POINTS}


def test_clamped_values_are_recorded():
    here = job(allowed=10.0, limits=(float(field(SHAPE).min()), float(field(SHAPE).max())))
    settled = here.settle(here.interpolated(here.cells()))
    assert said(settled).limits == here.limits
    assert here.limits[0] <= settled.planes.min()
    assert settled.planes.max() <= here.limits[1]
