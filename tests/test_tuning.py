import numpy as np
import pytest
import xarray as xr

import frazil
from frazil.errors import ConfigurationError
from frazil.tuning import tune


@pytest.fixture
def source(tmp_path):
    j, i = np.mgrid[:96, :120] / 20
    rng = np.random.default_rng(0)
    waves = np.stack([np.sin(j + k) * np.cos(i) for k in range(6)])
    t2m = (280 + 8 * waves + 0.05 * rng.normal(size=waves.shape)).astype("f4")
    sst = np.where(t2m > 286, np.nan, t2m)
    sst[2] = np.nan
    dims = ("time", "lat", "lon")
    names = {"t2m": t2m, "sst": sst, "t2m_bound": np.full_like(t2m, 0.1), "flat": np.ones_like(t2m)}
    ds = xr.Dataset({name: (dims, values) for name, values in names.items()}, {"time": np.arange(6)})
    ds.to_netcdf(tmp_path / "in.nc", engine="netcdf4")
    return str(tmp_path / "in.nc")


def test_the_ratio_suits_the_chunks(source):
    found = tune(source, "t2m", "rel:1e-2", chunks={"time": 1}, sample=3)
    assert (found.chunks, found.tried) == (6, 3)
    assert found.raw == 3 * 96 * 120 * 4
    with xr.open_dataset(source) as ds:
        chunk = ds.t2m.values[:1]
    encoded = found.codec.encode(chunk)
    assert np.abs(found.codec.decode(encoded) - chunk).max() <= 1e-2 * np.ptp(chunk)
    searched = frazil.Bounded(bound="rel:1e-2", residual="mask").encode(chunk)
    assert len(encoded) < 1.1 * len(searched)
    assert abs(len(encoded) - found.stored / 3) < 0.1 * len(encoded)


def test_gaps_empty_chunks_and_bounds_beside(source):
    found = tune(source, "sst", 0.1, chunks={"time": 1})
    assert (found.chunks, found.tried) == (6, 5)
    assert found.codec.bound == 0.1
    beside = tune(source, "t2m", "array", chunks={"time": -1})
    number = tune(source, "t2m", "abs:0.1", chunks={"time": -1})
    assert beside.ratio == number.ratio
    assert number.codec.bound == 0.1
    assert tune(source, "t2m", "rel:1e-3:array", sample=2).codec.bound == "rel:1e-3:array"


@pytest.mark.parametrize(
    ("variable", "bound", "options", "said"),
    [
        ("t3m", 0.1, {}, "no variable 't3m'"),
        ("flat", 0.1, {}, "none of 1 chunks"),
        ("t2m", 1e-9, {}, "too small"),
        ("sst", "array", {}, "sst_bound"),
        ("t2m", 0.1, {"sample": 0}, "at least one"),
        ("t2m", "some", {}, "a bound is"),
    ],
)
def test_what_cannot_be_tuned(source, variable, bound, options, said):
    with pytest.raises(ConfigurationError, match=said):
        tune(source, variable, bound, **options)
