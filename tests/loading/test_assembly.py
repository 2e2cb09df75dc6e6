from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil.data.assembly import Assembly, find_missing, unreadable
from frazil.data.channels import parse_channels
from frazil.data.samples import Samples
from frazil.data.stores import StoreReader
from frazil.data.windows import SamplePlan
from frazil.errors import FormatError, UnsupportedArrayError


@given(
    hnp.arrays(
        "f4", hnp.array_shapes(max_dims=3), elements=st.sampled_from([0, 1, np.nan, np.inf, -np.inf, 3e38])
    )
)
def test_missing_is_where_values_are_nan(values: np.ndarray) -> None:
    found = find_missing(values)
    if np.isnan(values).any():
        assert np.array_equal(found, np.isnan(values))
    else:
        assert found is None


def test_integers_miss_nothing() -> None:
    assert find_missing(np.zeros(3, "i2")) is None


STEPS, LEVELS, LAT, LON = 23, 5, 11, 9


def dataset(chunks: tuple[int, ...], order: tuple[str, ...], share: float) -> xr.Dataset:
    rng = np.random.default_rng(sum(chunks))
    values = rng.normal(size=(STEPS, LEVELS, LAT, LON))
    values[rng.random(values.shape) < share] = np.nan
    dims = ("time", "level", "lat", "lon")
    z = xr.DataArray(values.astype("f4"), dims=dims).transpose(*order)
    sizes = dict(zip(dims, chunks, strict=True))
    return xr.Dataset({"z": z.chunk(sizes)})


@st.composite
def cases(draw: st.DrawFn) -> tuple[xr.Dataset, Samples]:
    chunks = tuple(draw(st.integers(1, n)) for n in (STEPS, LEVELS, LAT, LON))
    order = tuple(draw(st.permutations(("time", "level", "lat", "lon"))))
    ds = dataset(chunks, order, draw(st.sampled_from([0, 0.01, 1])))
    lat, lon = draw(st.integers(0, LAT - 2)), draw(st.integers(0, LON - 2))
    region = {
        "lat": slice(lat, draw(st.integers(lat + 1, LAT))),
        "lon": slice(lon, draw(st.integers(lon + 1, LON))),
    }
    smallest = min(r.stop - r.start for r in region.values())
    samples = Samples(
        ds,
        variables=("z", draw(st.lists(st.integers(0, LEVELS - 1), min_size=1, max_size=3, unique=True))),
        inputs=draw(st.lists(st.integers(-3, 3), min_size=1, max_size=3)),
        targets=draw(st.lists(st.integers(-2, 4), max_size=2)),
        stride=draw(st.integers(1, 3)),
        region=region,
        patch=draw(st.none() | st.integers(1, smallest)),
        missing=draw(st.sampled_from([0.0, -9.0])),
        spatial=("lat", "lon"),
    )
    return ds, samples


@settings(max_examples=50)
@given(cases(), st.randoms(use_true_random=False))
def test_a_batch_holds_what_slicing_holds(case: tuple[xr.Dataset, Samples], random: object) -> None:
    ds, samples = case
    plan = samples.plan
    ids = np.array(random.choices(plan.samples.tolist(), k=5))
    pieces = {}
    for key in samples.assembly.needs(ids):
        pieces[key] = samples.assembly.load(key)
        assert pieces[key].nbytes <= samples.assembly.size(key)
    fields = samples.assembly.fill(ids, pieces.__getitem__)
    values = ds["z"].transpose("time", "level", "lat", "lon").values
    levels = [channel.at[0] for channel in samples.channels]
    assert fields.values.dtype == np.float32
    for row, sample in enumerate(ids):
        lat, lon = (slice(*axis) for axis in plan.patches[plan.patch_of(sample)])
        steps = plan.anchor(sample) + np.array(plan.offsets)
        wanted = values[steps][:, levels, lat, lon]
        np.testing.assert_array_equal(fields.valid[row], ~np.isnan(wanted))
        np.testing.assert_array_equal(fields.values[row], np.where(np.isnan(wanted), samples.missing, wanted))
    assert fields.errors == {}


def test_chunks_that_are_open_are_counted_with_what_is_kept_of_them() -> None:
    ds = dataset((8, 5, 11, 9), ("time", "level", "lat", "lon"), 0)
    whole, one = Samples(ds, variables=["z"]), Samples(ds, variables=("z", [2]))
    assert whole.chunk_bytes == 8 * 5 * 11 * 9 * 4
    assert one.chunk_bytes == 8 * 11 * 9 * 4
    half = Samples(ds, variables=("z", [0, 4]))  # most of the chunk: it is kept whole
    assert half.chunk_bytes == whole.chunk_bytes


def test_only_touched_chunks_are_needed() -> None:
    ds = dataset((4, 1, 5, 9), ("time", "level", "lat", "lon"), 0)
    samples = Samples(ds, variables=("z", [1, 3]), inputs=[0], targets=[1], region={"lat": slice(6, 9)})
    assert sorted(samples.assembly.needs(np.array([2]))) == [("z", (0, 1, 1, 0)), ("z", (0, 3, 1, 0))]
    assert sorted({key[1][0] for key in samples.assembly.needs(np.array([3]))}) == [0, 1]


def test_a_chunk_that_cannot_be_read_is_nan_in_no_memory() -> None:
    ds = dataset((8, 5, 11, 9), ("time", "level", "lat", "lon"), 0)
    reader = StoreReader(ds)
    key = ("z", (2, 0, 0, 0))
    piece = unreadable(reader, key, FormatError("damaged"))
    assert piece.values.shape == (7, 5, 11, 9)
    assert np.isnan(piece.values).all()
    assert piece.nbytes < 100
    samples = Samples(reader, variables=("z", [0]), inputs=[0], targets=[])
    fields = samples.assembly.fill(
        np.array([0, 20]), lambda k: piece if k == key else samples.assembly.load(k)
    )
    assert fields.errors == {1: "damaged"}
    assert fields.valid[0].all()
    assert not fields.valid[1].any()
    assert (fields.values[1] == 0).all()


def test_a_variable_without_the_sample_axis_is_no_channel() -> None:
    ds = xr.Dataset({"a": (("time", "y", "x"), np.zeros((4, 2, 2))), "land": (("y", "x"), np.zeros((2, 2)))})
    reader = StoreReader(ds)
    with pytest.raises(
        UnsupportedArrayError, match=r"'land' has the axes .* without 'time'; name it among statics="
    ):
        Assembly(reader, parse_channels(reader, ["a"])[:0] + land_channel(), SamplePlan(length=4))


def land_channel() -> tuple[object, ...]:
    from frazil.data.channels import Channel

    return (Channel("land", "land", ()),)
