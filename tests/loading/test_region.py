from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from frazil.data.region import find_area, find_steps, patch_sizes
from frazil.data.stores import StoreReader
from frazil.errors import ConfigurationError

SIZES = {"lat": 19, "lon": 36}


def reader(*, coordinates: bool = True, calendar: str = "standard", south_first: bool = False) -> StoreReader:
    lat = np.linspace(-90, 90, 19)
    time = xr.date_range(
        "2001-01-01", periods=60, freq="D", calendar=calendar, use_cftime=calendar != "standard"
    )
    coords = {"time": time, "lat": lat if south_first else lat[::-1], "lon": np.arange(0.0, 360, 10)}
    ds = xr.Dataset(
        {"t": (("time", "lat", "lon"), np.zeros((60, 19, 36), "f4"))}, coords if coordinates else None
    )
    return StoreReader(ds)


@pytest.mark.parametrize("south_first", [False, True])
@pytest.mark.parametrize("region", [slice(70, 30), slice(30, 70), slice(25, 75)])
def test_a_region_holds_both_ends_in_either_order(region: slice, *, south_first: bool) -> None:
    r = reader(south_first=south_first)
    (low, high), lon = find_area(r, SIZES, {"lat": region})
    values = r.coordinate("lat")[low:high]
    assert sorted((values[0], values[-1])) == [30, 70]
    assert lon == (0, 36)


def test_an_open_end_reaches_the_edge_and_no_further() -> None:
    assert find_area(reader(), SIZES, {"lon": slice(300, None)})[1] == (30, 36)
    assert find_area(reader(), SIZES, {"lat": slice(70, None)})[0] == (2, 19)
    with pytest.raises(
        ConfigurationError, match=r"no points between 400 and None along 'lon'.* 0\.0 to 350\.0"
    ):
        find_area(reader(), SIZES, {"lon": slice(400, None)})


def test_without_coordinates_points_are_counted() -> None:
    assert find_area(reader(coordinates=False), SIZES, {"lat": slice(2, 5), "lon": slice(-4, None)}) == (
        (2, 5),
        (32, 36),
    )


@pytest.mark.parametrize("calendar", ["standard", "360_day", "noleap"])
def test_times_are_chosen_in_any_calendar(calendar: str) -> None:
    r = reader(calendar=calendar)
    february = find_steps(r, 60, slice("2001-02-01", "2001-02-10"))
    assert february == ((30, 40) if calendar == "360_day" else (31, 41))
    assert find_steps(r, 60, slice("2001-02", None))[1] == 60
    assert find_steps(r, 60, None) is None
    with pytest.raises(ConfigurationError, match="there are no points between 2005 and 2006 along 'time'"):
        find_steps(r, 60, slice("2005", "2006"))


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ({"latitude": slice(1, 2)}, "names 'latitude'; the spatial axes are 'lat', 'lon'"),
        ({"lat": 30}, r"slice\(first, last\); got 30"),
        ({"lat": slice(0, 10, 2)}, r"slice\(first, last\)"),
        ({"lat": slice(100, 120)}, "no points between 100 and 120 along 'lat', which holds 90.0 to -90.0"),
        ({"lat": slice("north", "south")}, "no points between north and south along 'lat'"),
    ],
)
def test_a_region_that_is_none_is_refused(region: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        find_area(reader(), SIZES, region)


def test_what_is_no_date_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="'then' to 'now and' is no range along 'time', which holds 2001"
    ):
        find_steps(reader(), 60, slice("then", "now and"))


def test_a_coordinate_in_no_order_is_refused() -> None:
    ds = xr.Dataset({"t": (("time", "x"), np.zeros((3, 4)))}, {"x": [0.0, 3, 1, 2]})
    with pytest.raises(ConfigurationError, match="neither rises nor falls; sort it"):
        find_area(StoreReader(ds), {"x": 4}, {"x": slice(0, 1)})


def test_patches_are_sizes_of_all_axes() -> None:
    area = ((0, 19), (0, 36))
    assert patch_sizes(None, ("lat", "lon"), area) is None
    assert patch_sizes(8, ("lat", "lon"), area) == (8, 8)
    assert patch_sizes((4, 9), ("lat", "lon"), area) == (4, 9)
    assert patch_sizes({"lat": 5}, ("lat", "lon"), area) == (5, 36)
    with pytest.raises(ConfigurationError, match="names 'y'; the spatial axes are lat, lon"):
        patch_sizes({"y": 5}, ("lat", "lon"), area)
    with pytest.raises(ConfigurationError, match="gives 1 sizes"):
        patch_sizes((4,), ("lat", "lon"), area)
