from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.data.windows import BEYOND, GAPS, SamplePlan, find_breaks
from frazil.errors import ConfigurationError

offsets = st.lists(st.integers(-4, 4), min_size=1, max_size=3).map(tuple)


@st.composite
def plans(draw: st.DrawFn) -> SamplePlan:
    length = draw(st.integers(10, 90))
    first = draw(st.integers(0, length - 10))
    area = draw(st.sampled_from([(), ((0, 7),), ((0, 6), (2, 13))]))
    patch = draw(st.none() | st.just(tuple(3 for _ in area))) if area else None
    return SamplePlan(
        length=length,
        inputs=draw(offsets),
        targets=draw(st.just(()) | offsets),
        stride=draw(st.integers(1, 5)),
        steps=draw(st.none() | st.integers(first + 10, length).map(lambda stop: (first, stop))),
        breaks=tuple(sorted(draw(st.sets(st.integers(1, length - 1), max_size=3)))),
        chunk=draw(st.integers(1, 20)),
        area=area,
        patch=patch,
        area_chunks=tuple(4 for _ in area),
    )


@given(plans())
def test_samples_are_all_windows_inside_the_data_and_in_no_gap(plan: SamplePlan) -> None:
    first, stop = plan.span
    low = first - min(0, *plan.offsets)
    wanted, beyond, across = [], 0, 0
    for anchor in range(low, stop, plan.stride):
        steps = [anchor + offset for offset in plan.offsets]
        if max(anchor, *steps) >= stop:
            continue
        if any(min(steps) < at <= max(steps) for at in plan.breaks):
            across += 1
        else:
            wanted.append(anchor)
    beyond = len(range(first, stop, plan.stride)) - len(wanted) - across
    patches = len(plan.patches)
    assert plan.anchors.tolist() == wanted
    assert len(plan.samples) == len(wanted) * patches
    assert plan.dropped == {k: n * patches for k, n in ((BEYOND, beyond), (GAPS, across)) if n}


@given(plans())
def test_a_sample_number_says_its_anchor_and_patch(plan: SamplePlan) -> None:
    windows = plan.window(plan.samples)
    assert windows.shape == (len(plan.samples), len(plan.offsets))
    assert np.array_equal(np.unique(plan.anchor(plan.samples)), plan.anchors)
    assert set(plan.patch_of(plan.samples).tolist()) <= set(range(len(plan.patches)))
    if windows.size:
        assert windows.min() >= plan.span[0]
        assert windows.max() < plan.span[1]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=3))
def test_patches_cover_every_point_of_the_area(axes: list[tuple[int, int, int]]) -> None:
    area = tuple((low, low + n) for low, n, _ in axes)
    patch = tuple(min(n, size) for _, n, size in axes)
    plan = SamplePlan(length=1, area=area, patch=patch)
    seen = np.zeros([high for _, high in area], int)
    for corners in plan.patches:
        assert tuple(high - low for low, high in corners) == patch
        seen[tuple(slice(*corner) for corner in corners)] += 1
    inside = tuple(slice(*axis) for axis in area)
    assert seen[inside].min() == 1
    assert seen.sum() == seen[inside].sum()


def test_patches_that_begin_in_one_stored_chunk_share_a_tile() -> None:
    plan = SamplePlan(length=20, chunk=5, area=((0, 8), (0, 8)), patch=(2, 2), area_chunks=(4, 4))
    tiles, chunks = plan.homes(plan.samples)
    assert np.bincount(tiles).tolist() == [80] * 4
    assert np.bincount(chunks).tolist() == [80] * 4
    corner = [tiles[i] for i in range(16) if plan.patches[i][0][0] < 4 and plan.patches[i][1][0] < 4]
    assert len(set(corner)) == 1


def test_months_and_years_are_no_gaps_but_a_missing_month_is() -> None:
    months = np.arange("2000-01", "2010-01", dtype="M8[M]").astype("M8[ns]")
    years = np.arange("1900", "2000", dtype="M8[Y]").astype("M8[D]")
    assert find_breaks(months) == ()
    assert find_breaks(years) == ()
    assert find_breaks(np.delete(months, [40, 41])) == (40,)
    assert find_breaks(np.delete(months, 40)) == (40,)


def test_gaps_are_found_in_any_kind_of_axis() -> None:
    xr = pytest.importorskip("xarray")
    cftime = pytest.importorskip("cftime")
    days = xr.date_range("2001-01-01", periods=30, calendar="360_day", use_cftime=True).to_numpy()
    assert isinstance(days[0], cftime.datetime)
    assert find_breaks(days) == ()
    assert find_breaks(np.delete(days, 7)) == (7,)
    assert find_breaks(np.array([9, 8, 7, 5, 4, 3], "u4")) == (3,)
    assert find_breaks(np.array([0.0, 0.1, 0.2, 0.6])) == (3,)
    assert find_breaks(np.array(["a", "b", "c"])) == ()
    assert find_breaks(np.array([1, 5])) == ()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"length": 3, "inputs": (-2, 0), "targets": (1,)}, r"window of 4 steps .*longer than.*which have 3"),
        ({"length": 5, "inputs": (5,)}, "window of 6 steps"),
        ({"length": 9, "steps": (2, 4), "inputs": (-1, 0), "targets": (1,)}, "which have 2; shorten"),
        ({"length": 3, "inputs": ()}, "name at least one"),
        ({"length": 3, "stride": 0}, "stride .* 1 or more; got 0"),
        ({"length": 3, "steps": (1, 5)}, "steps 1 to 5 .* not among the 3"),
        ({"length": 3, "area": ((0, 4),), "patch": (5,)}, "patch of 5 points .* does not fit into 4"),
        ({"length": 3, "area": ((0, 4),), "patch": (0,)}, "patch of 0 points"),
    ],
)
def test_settings_that_make_no_samples_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        SamplePlan(**settings)


def test_the_fingerprint_is_that_of_the_samples() -> None:
    plan = SamplePlan(length=10, inputs=(0,))
    assert plan.fingerprint() == SamplePlan(length=10).fingerprint()
    others = [SamplePlan(length=11), SamplePlan(length=10, stride=2), SamplePlan(length=10, targets=(1,))]
    assert len({plan.fingerprint(), *(other.fingerprint() for other in others)}) == 4
