from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
import zarr

from frazil import inventory
from frazil.bound_checks import BoundCheck
from frazil.codecs.bounded import Bounded
from frazil.guarantee import record
from frazil.verification import verify

PLACES = [
    (2, {"chunks": (1, 40, 64)}),
    (3, {"chunks": (1, 40, 64)}),
    (3, {"chunks": (1, 40, 32), "shards": (2, 80, 64)}),
]
BOUNDS = [0.05, "rel:1e-3", "pw_rel:1e-3", "local_std:window=5,fraction=0.2"]


@pytest.fixture(scope="module")
def field():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:72, :64] / 20
    made = np.stack([280 + 9 * np.sin(x + k) * np.cos(y) for k in range(3)]) + rng.normal(0, 0.2, (3, 72, 64))
    made[1, :20, :20] = np.nan
    made[2, 50:] = np.nan
    return made.astype("f4")


@pytest.fixture
def written(tmp_path):
    def write(field, codec, zarr_format=3, extra=None, **encoding):
        variable = (("time", "y", "x"), field)
        ds = xr.Dataset({"t": variable} | {k: (("time", "y", "x"), v) for k, v in (extra or {}).items()})
        if "missing" in encoding:
            codec = replace(codec, missing=encoding["missing"])
            encoding["_FillValue"] = encoding.pop("missing")
        options = {"t": codec.encoding(zarr_format, **encoding)}
        ds.to_netcdf(tmp_path / "in.nc", engine="netcdf4")
        ds.to_zarr(
            tmp_path / "out.zarr", zarr_format=zarr_format, encoding=options, consolidated=False, mode="w"
        )
        return tmp_path / "in.nc", tmp_path / "out.zarr"

    return write


def verdict(pair):
    return next(v for v in verify(*pair) if v.name == "t")


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize(("zarr_format", "encoding"), PLACES)
def test_a_bound_that_is_kept_passes_and_its_share_is_told(written, field, bound, zarr_format, encoding):
    found = verdict(written(field, Bounded(bound=bound), zarr_format, **encoding))
    assert found.problems == ()
    assert 0.8 < found.share <= 1
    assert found.bound.startswith(str(bound).split(":")[0].replace("0.05", "abs:0.05"))
    assert found.scores.same_mask


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_finite_number_for_missing_values_does_not_widen_the_range(written, field, zarr_format):
    codec = Bounded(bound="rel:1e-3")
    found = verdict(written(field, codec, zarr_format, chunks=(1, 40, 64), missing=-9999.0))
    assert found.problems == ()
    assert found.scores.missing == np.isnan(field).sum()
    assert found.scores.max_error < 0.05


def test_packed_integers_are_compared_as_they_are_stored(written, field):
    packing = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768}
    found = verdict(written(field, Bounded(bound=3), chunks=(1, 40, 64), fill_value=-32768, **packing))
    assert found.problems == ()
    assert 0.5 < found.share <= 1


def altered(pair, field, change):
    """Write what ``change`` makes of the decoded field, losslessly, where the codec still says its bound."""
    changed = field.copy()
    change(changed)
    array = zarr.open_array(pair[1], path="t", mode="r")
    decoded = xr.open_zarr(pair[1], consolidated=False, chunks=None).t
    check = BoundCheck(array, decoded.variable, None)
    region = tuple((0, n) for n in field.shape)
    check.add(region, field, changed)
    return check


def test_points_that_miss_their_bound_are_counted_and_placed(written, field):
    pair = written(field, Bounded(bound=0.05), chunks=(1, 40, 64))

    def change(values):
        values[1, 50, 3] += 0.06
        values[1, 50, 4] += 0.25

    check = altered(pair, field, change)
    problems = check.problems()
    assert check.share == pytest.approx(5, rel=1e-3)
    assert "misses its bound abs:0.05 at 2 points of 1 chunks, most in chunk (1, 1, 0)" in problems[0]
    assert "error 0.25 at point (1, 50, 4), where the bound is 0.05" in problems[0]
    assert "chunk (1, 1, 0) records less than its errors: max error" in problems[1]


def test_a_missing_point_that_got_a_value_is_found(written, field):
    pair = written(field, Bounded(bound=0.05), chunks=(1, 40, 64))
    check = altered(pair, field, lambda values: values.__setitem__((1, 0, 0), 280))
    assert "1 points of 1 chunks hold no data and came back as another value" in check.problems()[0]
    check = altered(pair, field, lambda values: values.__setitem__((0, 0, 0), np.nan))
    assert "misses its bound" in check.problems()[0]


def test_a_chunk_that_records_too_little_is_found(written, field, monkeypatch):
    honest = record.Guarantee.pack
    monkeypatch.setattr(
        record.Guarantee, "pack", lambda self, dtype: honest(replace(self, max_error=0.01), dtype)
    )
    pair = written(field, Bounded(bound=0.05), chunks=(1, 40, 64))
    monkeypatch.undo()
    (problem,) = verdict(pair).problems
    assert "chunk (0, 0, 0) records less than its errors: max error 0.01" in problem
    assert "and so do 5 more chunks" in problem


def test_an_array_of_bounds_is_found_beside_the_variable(written, field):
    limits = np.full_like(field, 0.05)
    limits[:, 30:40] = 0
    pair = written(field, Bounded(bound=0.05), chunks=(1, 40, 64), extra={"t_bound": limits})
    array = zarr.open_array(pair[1], path="t", mode="r")
    with xr.open_dataset(pair[0], engine="netcdf4") as ds:
        bounds = ds.t_bound.variable
        check = BoundCheck(array, ds.t.variable, bounds)
        check.limit = Bounded(bound="array").limit
        changed = field.copy()
        changed[0, 0, 0] += 0.04
        changed[0, 35, 0] += 0.01
        check.add(tuple((0, n) for n in field.shape), field, changed)
    assert "at 1 points of 1 chunks, most in chunk (0, 0, 0)" in check.problems()[0]
    assert "at point (0, 35, 0), where the bound is 0" in check.problems()[0]


@pytest.mark.parametrize(("zarr_format", "encoding"), PLACES)
def test_records_are_read_without_decoding(written, field, monkeypatch, zarr_format, encoding):
    field = field.copy()
    field[0] = 280
    field[2] = np.random.default_rng(1).normal(0, 1e9, field[2].shape)
    pair = written(field, Bounded(bound=0.05), zarr_format, **encoding)
    monkeypatch.setattr(Bounded, "decode_chunk", None)
    array = zarr.open_array(pair[1], path="t", mode="r")
    chunks = list(inventory.chunk_entries(array))
    methods = {chunk.index[0]: chunk.method for chunk in chunks}
    assert methods[0] == "constant"
    assert methods[1] in {"interpolation", "wavelet"}
    assert methods[2] in {"exact", "stored"}
    said = inventory.record(chunks)
    assert said.methods["constant"] == sum(chunk.index[0] == 0 for chunk in chunks)
    assert 0.04 < said.max_error <= 0.05
    assert 0.8 < said.share <= 1
    assert inventory.record([]) is None


def test_without_the_array_of_bounds_chunks_are_held_to_what_they_record(written, field):
    pair = written(field, Bounded(bound=0.05), chunks=(1, 40, 64))
    array = zarr.open_array(pair[1], path="t", mode="r")
    with xr.open_dataset(pair[0], engine="netcdf4") as ds:
        for wrong, count in ((0.049, 0), (0.06, 1)):
            check = BoundCheck(array, ds.t.variable, None)
            check.limit = Bounded(bound="array").limit
            changed = field.copy()
            changed[0, 0, 0] += wrong
            check.add(tuple((0, n) for n in field.shape), field, changed)
            assert check.text == "array (as recorded)"
            assert 0.8 < check.share <= 1
            assert len(check.problems()) == 2 * count
