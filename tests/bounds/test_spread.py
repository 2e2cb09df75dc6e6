import numpy as np
import pytest
import xarray as xr

from frazil.bounds import from_spread
from frazil.errors import ConfigurationError


def field(name="t2m", *, times=7, lats=None, lons=None):
    lats = np.arange(60, 39.9, -1.0) if lats is None else lats
    lons = np.arange(0, 20.1, 1.0) if lons is None else lons
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.timedelta64(1, "h") * np.arange(times),
        "latitude": ("latitude", lats, {"units": "degrees_north"}),
        "longitude": ("longitude", lons, {"units": "degrees_east"}),
    }
    shape = (times, len(lats), len(lons))
    return xr.DataArray(
        np.zeros(shape, "f4"), coords, list(coords), name, {"units": "K", "long_name": "2 m temperature"}
    )


def coarse(lats, lons, *, times=3):
    rng = np.random.default_rng(0)
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.timedelta64(3, "h") * np.arange(times),
        "latitude": lats,
        "longitude": lons,
    }
    values = rng.random((times, len(lats), len(lons)))
    return xr.DataArray(values, coords, list(coords), "spread", {"units": "K"})


def test_is_xarrays_linear_interpolation():
    pytest.importorskip("scipy", reason="xarray interpolates with it; frazil does not need it")
    data, spread = field(), coarse(np.arange(38, 63, 2.5), np.arange(-5, 26, 2.5))
    got = from_spread(data, spread, fraction=0.5)
    expected = 0.5 * spread.interp(
        time=data.time, latitude=data.latitude, longitude=data.longitude, method="linear"
    )
    np.testing.assert_allclose(got.values, expected.values, rtol=1e-6)
    assert got.dims == data.dims
    assert got.dtype == np.float32
    assert got.name == "t2m_bound"
    assert got.attrs["units"] == "K"
    assert got.attrs["long_name"] == "largest absolute error of 2 m temperature"
    assert got.attrs["source"] == "0.5 of spread, interpolated linearly"
    xr.testing.assert_equal(got.coords.to_dataset(), data.coords.to_dataset())


def test_the_order_of_the_spreads_axes_and_their_directions_say_nothing():
    data, spread = field(), coarse(np.arange(38, 63, 2.5), np.arange(-5, 26, 2.5))
    expected = from_spread(data, spread)
    turned = spread.isel(latitude=slice(None, None, -1), time=slice(None, None, -1))
    xr.testing.assert_allclose(from_spread(data, turned.transpose("longitude", "time", "latitude")), expected)


def test_axes_of_the_data_alone_repeat_the_spread():
    data = field().expand_dims(level=[500, 850], axis=1)
    spread = coarse(np.arange(38, 63, 2.5), np.arange(-5, 26, 2.5)).isel(time=0, drop=True)
    got = from_spread(data, spread)
    assert got.shape == data.shape
    np.testing.assert_array_equal(got[0, 0], got[5, 1])
    assert list(got.level.values) == [500, 850]


def test_the_nearest_value_beyond_the_ends():
    data, spread = (
        field(lats=np.arange(45.0, 30, -1)),
        coarse(np.array([40.0, 42, 44]), np.arange(0, 26, 2.5)),
    )
    got = from_spread(data, spread)
    np.testing.assert_array_equal(got.sel(latitude=45), got.sel(latitude=44))
    np.testing.assert_array_equal(got.sel(latitude=31), got.sel(latitude=40))
    late = from_spread(data, spread.isel(time=[0]))
    np.testing.assert_array_equal(late[0], late[-1])
    np.testing.assert_array_equal(late[0], got[0])


@pytest.mark.parametrize(
    "lons",
    [np.arange(0, 360, 7.5), np.arange(-180, 180, 7.5), np.arange(-180, 180.1, 7.5), np.arange(360, 0, -7.5)],
)
@pytest.mark.parametrize("own", [np.arange(0, 360, 2.5), np.arange(-180, 180, 2.5)])
def test_longitudes_go_around(lons, own):
    lats = np.array([60.0, 40])
    wave = 2 + np.cos(np.radians(lons)) * np.array([[1], [0.5]])
    spread = xr.DataArray(wave, {"latitude": lats, "longitude": lons}, ["latitude", "longitude"])
    got = from_spread(field(lons=own), spread)
    expected = np.interp(
        own % 360, np.arange(-7.5, 361, 7.5), 2 + np.cos(np.radians(np.arange(-7.5, 361, 7.5)))
    )
    np.testing.assert_allclose(got.sel(latitude=60)[0], expected, rtol=1e-6)


def test_a_regional_spread_in_the_other_count():
    data = field(lons=np.arange(-10, 5.1, 1.0))
    spread = coarse(np.arange(38, 63, 2.5), np.arange(345, 371, 2.5))
    same = spread.assign_coords(longitude=spread.longitude - 360)
    xr.testing.assert_allclose(from_spread(data, spread), from_spread(data, same))


def test_a_missing_neighbour_does_not_spoil_a_point_of_the_spread():
    data = field(lats=np.array([50.0, 45, 40]), lons=np.array([0.0, 5, 10]), times=1)
    spread = coarse(np.array([50.0, 40]), np.array([0.0, 10]), times=1)
    spread[0, 1, 1] = np.nan
    got = from_spread(data, spread).values[0]
    assert np.isfinite(got[:2, 0]).all()
    assert np.isfinite(got[0]).all()
    assert np.isnan(got[1, 1])


def test_bounds_are_not_negative():
    spread = coarse(np.array([60.0, 40]), np.array([0.0, 20])) - 2
    assert (from_spread(field(), spread).values == 0).all()


def test_lazy_in_lazy_out():
    data, spread = field(times=12), coarse(np.arange(38, 63, 2.5), np.arange(-5, 26, 2.5), times=4)
    expected = from_spread(data, spread)
    cut = {"time": 4, "latitude": 10}
    for a, b in [
        (data.chunk(cut), spread),
        (data.chunk(cut), spread.chunk(time=1)),
        (data, spread.chunk(time=1)),
    ]:
        got = from_spread(a, b)
        assert got.chunks is not None
        if a.chunks:
            assert got.chunks == a.chunks
        xr.testing.assert_allclose(got.compute(), expected)


def test_data_are_not_read():
    data = field().chunk(time=1)
    data = data.copy(data=data.data.map_blocks(lambda _: 1 / 0, dtype="f4", meta=np.zeros((0, 0, 0), "f4")))
    from_spread(data, coarse(np.arange(38, 63, 2.5), np.arange(-5, 26, 2.5))).compute()


def test_other_calendars():
    times = xr.date_range("2001-02-27", periods=9, freq="6h", calendar="noleap", use_cftime=True)
    data = xr.DataArray(np.zeros(9), {"time": times}, ["time"])
    spread = xr.DataArray([1.0, 2, 3], {"time": times[::4]}, ["time"])
    np.testing.assert_allclose(from_spread(data, spread), np.linspace(1, 3, 9))


def test_an_axis_without_coordinates_that_both_have():
    data = xr.DataArray(np.zeros((3, 4)), dims=["member", "x"])
    spread = xr.DataArray([1.0, 2, 3, 4], dims=["x"])
    np.testing.assert_array_equal(from_spread(data, spread), [[1, 2, 3, 4]] * 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.rename(latitude="lat"), "has an axis 'lat', the data have 'time', 'latitude'"),
        (lambda s: s.expand_dims(number=[0, 1]), "'number'"),
        (lambda s: s.drop_vars("latitude"), "'latitude' of the spread has no coordinate"),
        (lambda s: s.assign_coords(latitude=s.latitude + 90), "do not overlap along 'latitude'"),
        (lambda s: s.assign_coords(latitude=s.latitude * 0), "a value twice"),
        (lambda s: s.assign_coords(time=[0, 1, 2]), "expected numbers or times"),
        (lambda s: s.assign_coords(latitude=np.where(s.latitude > 50, np.nan, s.latitude)), "not finite"),
        (lambda s: s.isel(latitude=[]), "empty"),
        (lambda s: s.astype(str), "holds numbers"),
        (lambda s: s.values, "ndarray"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(change, said):
    spread = coarse(np.arange(38, 63, 2.5), np.arange(-5, 26, 2.5))
    with pytest.raises(ConfigurationError, match=said):
        from_spread(field(), change(spread))


@pytest.mark.parametrize("fraction", [0, -1, np.nan, np.inf, True])
def test_fractions(fraction):
    spread = coarse(np.arange(38, 63, 2.5), np.arange(-5, 26, 2.5))
    with pytest.raises(ConfigurationError, match="fraction"):
        from_spread(field(), spread, fraction=fraction)
