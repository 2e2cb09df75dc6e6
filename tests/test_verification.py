import numpy as np
import pytest
import xarray as xr

from frazil.errors import ConfigurationError
from frazil.verification import Limits, verify


@pytest.fixture
def pair(tmp_path):
    values = np.arange(24.0).reshape(4, 6)
    values[0, 0] = np.nan
    ds = xr.Dataset({"a": (("y", "x"), values), "b": (("y", "x"), values + 1)})
    ds.to_netcdf(tmp_path / "a.nc", engine="netcdf4")

    def other(change):
        changed = ds.copy(deep=True)
        change(changed)
        changed.to_zarr(tmp_path / "b.zarr", mode="w", consolidated=False)
        return tmp_path / "a.nc", tmp_path / "b.zarr"

    return other


def problems(pair, change, **limits):
    return {v.name: v.problems for v in verify(*pair(change), Limits(**limits))}


def test_a_faithful_store_has_no_problems(pair):
    assert problems(pair, lambda ds: None) == {"a": (), "b": ()}


def test_a_lossless_variable_must_be_identical(pair):
    def change(ds):
        ds.a[2, 2] += 1e-9

    assert problems(pair, change)["a"] == ("is stored lossless, but 1 points differ",)


def test_a_hole_that_moved_fails(pair):
    def change(ds):
        ds.a[2, 2] = np.nan

    assert problems(pair, change)["a"] == ("1 points are missing in one and not in the other",)


def test_an_absent_variable_and_another_shape_fail(pair):
    assert problems(pair, lambda ds: ds.__delitem__("b"))["b"] == ("is not in the store",)

    def change(ds):
        ds["b"] = ds.b.T

    assert "has shape {'x': 6, 'y': 4}" in problems(pair, change)["b"][0]


def test_limits_by_name(pair):
    def change(ds):
        ds.b[1, 1] += 0.5

    found = problems(pair, change, named={"max_error": {"b": 0.4}, "rmse": {"a": 0.0}})
    assert found["a"] == ()
    assert "max error 0.5 is above 0.4" in found["b"]


def test_a_limit_for_a_variable_that_is_not_there(pair):
    with pytest.raises(ConfigurationError, match="'c'"):
        problems(pair, lambda ds: None, named={"rmse": {"c": 1.0}})
