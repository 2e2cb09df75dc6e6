"""Samples: their values are what xarray reads, whatever the store looks like."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest
from little_stores import check_values, expected, read_by_xarray, weather, write

import frazil
from frazil.data.normalise import Normaliser
from frazil.data.samples import Samples
from frazil.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])


def mixed(path: Path, zarr_format: int) -> xr.Dataset:
    """Variables in different chunks, one with levels, one packed with gaps, one float64, one static."""
    ds = weather(29, ("a", "wide"), (9, 14))
    rng = np.random.default_rng(3)
    ds["wide"] = ds["wide"].astype("f8") * 1e3
    ds["a"][5, 3, 4] = np.nan
    ds["z"] = (("time", "level", "lat", "lon"), rng.normal(size=(29, 3, 9, 14)).astype("f4"))
    ds["level"] = [850.0, 500.0, 200.0]
    ds["packed"] = ds["a"] * 10
    ds["packed"][:, 2, 5:9] = np.nan
    ds["land"] = (("lat", "lon"), rng.random((9, 14)).astype("f4"))
    chunks = {"a": (8, 9, 14), "wide": (5, 4, 14), "z": (8, 2, 9, 5), "packed": (29, 9, 14), "land": (4, 14)}
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 2.5, "_FillValue": -32768}
    write(ds, path, chunks, zarr_format=zarr_format, packed=packing)
    return read_by_xarray(path)


@FORMATS
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"variables": ["packed"]},
        {"variables": ["wide"], "dtype": "float64"},
        {"variables": [("z", [200, 500]), "a"], "inputs": [-3, 0], "targets": [2, 5]},
        {"variables": {"z": [850], "wide": None}, "region": {"lat": slice(50, -50), "lon": slice(30, 200)}},
        {"patch": {"lat": 4, "lon": 6}, "variables": ["a", "z"]},
        {"stride": 4, "inputs": [0], "targets": []},
        {"times": slice("2001-01-02", "2001-01-04"), "variables": ["packed", "a"]},
        {"missing": -5.0, "variables": ["packed"]},
    ],
    ids=lambda settings: "-".join(settings) or "all",
)
def test_values_are_those_that_xarray_reads(
    tmp_path: Path, zarr_format: int, settings: dict[str, object]
) -> None:
    ds = mixed(tmp_path / "s.zarr", zarr_format)
    samples = Samples(tmp_path / "s.zarr", **settings)
    assert len(samples) > 2
    check_values(samples.read(samples.plan.samples), ds, samples)


@FORMATS
def test_gaps_of_packed_values_are_masked(tmp_path: Path, zarr_format: int) -> None:
    mixed(tmp_path / "s.zarr", zarr_format)
    batch = Samples(tmp_path / "s.zarr", variables=["packed"], missing=7.0).read([3])
    assert not batch.mask[:, :, :, 2, 5:9].any()
    assert (batch.x[:, :, :, 2, 5:9] == 7).all()
    assert batch.mask.sum() == batch.mask.size - 2 * 4


@FORMATS
@pytest.mark.parametrize("codec", [frazil.JP2K(psnr=70), frazil.Bounded(bound=0.01)], ids=["JP2K", "Bounded"])
def test_stores_that_frazil_wrote(tmp_path: Path, zarr_format: int, codec: frazil.JP2K) -> None:
    ds = weather(12, ("a",), (32, 40))
    chunks = {"a": (5, 32, 40)}
    write(ds, tmp_path / "s.zarr", chunks, zarr_format=zarr_format, a=codec.encoding(zarr_format=zarr_format))
    samples = Samples(tmp_path / "s.zarr", region={"lat": slice(40, -40)})
    check_values(samples.read(samples.plan.samples), read_by_xarray(tmp_path / "s.zarr"), samples)


def test_reduced_resolution_is_that_of_open_zarr(tmp_path: Path) -> None:
    ds = weather(12, ("a",), (32, 40))
    write(ds, tmp_path / "s.zarr", {"a": (5, 32, 40)}, a=frazil.JP2K(psnr=70).encoding(zarr_format=3))
    samples = Samples(tmp_path / "s.zarr", level=1)
    small = frazil.open_zarr(tmp_path / "s.zarr", level=1, consolidated=False).load()
    assert samples.read([4]).x.shape == (1, 2, 1, 16, 20)
    check_values(samples.read(samples.plan.samples), small, samples)


def test_a_dataset_in_memory_is_a_store_as_well() -> None:
    ds = weather(20)
    samples = Samples(ds.chunk(time=6))
    check_values(samples.read([3, 18, 5]), ds, samples)


def test_normalised_values_are_those_of_the_formula(tmp_path: Path) -> None:
    ds = mixed(tmp_path / "s.zarr", 3)
    names = ("a", "z@850", "z@500", "z@200")
    normaliser = Normaliser(
        mean={n: 0.5 + k for k, n in enumerate(names)}, sd={n: 2.0 + k for k, n in enumerate(names)}
    )
    samples = Samples(tmp_path / "s.zarr", variables=["a", "z"], normalise=normaliser, missing=-1)
    ids = samples.plan.samples
    inverse, mean = samples.normaliser.scale_offset(samples.channels)
    shape = (1, 1, -1, 1, 1)
    wanted = (expected(ds, samples, ids) - mean.reshape(shape)) * inverse.reshape(shape)
    batch = samples.read(ids)
    gaps = np.isnan(wanted[:, :2])
    np.testing.assert_array_equal(batch.x, np.where(gaps, -1, wanted[:, :2]))
    np.testing.assert_array_equal(batch.mask, ~gaps)


def test_statistics_are_computed_once_and_kept_in_the_store(tmp_path: Path) -> None:
    write(weather(40), tmp_path / "s.zarr")
    first = Samples(tmp_path / "s.zarr", normalise="store")
    values = first.read(first.plan.samples).x
    assert abs(float(values.mean())) < 0.1
    assert abs(float(values.std()) - 1) < 0.1
    assert Normaliser.from_store(str(tmp_path / "s.zarr")) is not None
    again = Samples(tmp_path / "s.zarr", normalise="store")
    np.testing.assert_array_equal(again.read(again.plan.samples).x, values)


def test_static_fields_come_with_each_batch(tmp_path: Path) -> None:
    ds = mixed(tmp_path / "s.zarr", 3)
    samples = Samples(tmp_path / "s.zarr", variables=["a"], statics=["land"], region={"lat": slice(45, -45)})
    found = samples.read([2, 3]).static
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, ds["land"].sel(lat=slice(45, -45)).values[None])
    with pytest.raises(ConfigurationError, match=r"'z' has the axes .* fields in statics= have"):
        _ = Samples(tmp_path / "s.zarr", variables=["a"], statics=["z"]).static


def test_windows_across_gaps_are_dropped_and_counted(tmp_path: Path) -> None:
    ds = weather(40)
    write(ds.isel(time=np.delete(np.arange(40), [11, 12])), tmp_path / "s.zarr")
    samples = Samples(tmp_path / "s.zarr")
    assert samples.plan.dropped == {
        "windows that reach beyond the data": 2,
        "windows across a gap of the time axis": 2,
    }
    distances = np.diff(samples.read(samples.plan.samples).time, axis=1)
    assert (distances == np.timedelta64(6, "h")).all()


def test_months_have_no_gaps(tmp_path: Path) -> None:
    ds = weather(24)
    ds["time"] = np.arange("2001-01", "2003-01", dtype="M8[M]").astype("M8[ns]")
    assert len(Samples(ds)) == 22


def test_times_of_a_window_are_inputs_then_targets() -> None:
    ds = weather(20)
    batch = Samples(ds, inputs=[0, -2], targets=[3]).read([5])
    assert batch.time.tolist() == [ds["time"].values[[5, 3, 8]].tolist()]


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"variables": ["b"]}, StoreError, "b"),
        ({"inputs": [-30, 0]}, ConfigurationError, "longer than the data"),
        ({"region": {"y": slice(0, 1)}}, ConfigurationError, "region= names 'y'"),
        ({"patch": {"lat": 5}}, ConfigurationError, "patch of 5 points"),
        ({"normalise": "mean"}, ConfigurationError, "normalise is None, 'store' or a Normaliser"),
        ({"times": slice("2010", "2011")}, ConfigurationError, "no points between 2010 and 2011"),
    ],
)
def test_settings_that_do_not_fit_the_store_are_refused(
    settings: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Samples(weather(20), **settings)


def test_variables_of_two_grids_are_refused(tmp_path: Path) -> None:
    import zarr

    write(weather(20), tmp_path / "s.zarr")
    dims = ["time", "lat", "lon"]
    group = zarr.open_group(tmp_path / "s.zarr")
    group.create_array("b", shape=(10, 4, 6), chunks=(5, 4, 6), dtype="f4", dimension_names=dims)
    with pytest.raises(StoreError, match="conflicting sizes for dimension 'time'"):
        Samples(tmp_path / "s.zarr", variables=["a", "b"])


def test_samples_that_are_not_there_are_named() -> None:
    samples = Samples(weather(20))
    with pytest.raises(IndexError, match=r"no samples \[0, 19\]; 18 there are"):
        samples.read([0, 5, 19])


def test_the_fingerprint_tells_samples_apart(tmp_path: Path) -> None:
    write(weather(20, ("a", "b")), tmp_path / "s.zarr")
    write(weather(20, ("a", "b"), seed=1), tmp_path / "t.zarr")
    samples = Samples(tmp_path / "s.zarr")
    assert pickle.loads(pickle.dumps(samples)).fingerprint() == samples.fingerprint()
    others = [{"variables": ["a"]}, {"inputs": [0]}, {"missing": 1.0}, {"region": {"lat": slice(90, 0)}}]
    found = {Samples(tmp_path / "s.zarr", **settings).fingerprint() for settings in others}
    assert len(found | {samples.fingerprint(), Samples(tmp_path / "t.zarr").fingerprint()}) == 6
