"""What a user writes for variables, and the channels that come of it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from frazil.data.channels import Channel, parse_channels
from frazil.data.stores import StoreReader
from frazil.errors import ConfigurationError, StoreError

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def reader():
    field = np.zeros((4, 3, 2, 5, 6), "f4")
    dims = ("time", "level", "member", "lat", "lon")
    return StoreReader(
        xr.Dataset(
            {
                "t2m": (("time", "lat", "lon"), field[:, 0, 0]),
                "z": (("time", "level", "lat", "lon"), field[:, :, 0]),
                "e": (dims, field),
                "m": (("time", "member", "lat", "lon"), field[:, 0]),
                "q": (("time", "kind", "lat", "lon"), field[:, 0]),
                "oro": (("lat", "lon"), field[0, 0, 0]),
                "co2": (("time",), field[:, 0, 0, 0, 0]),
            },
            coords={"level": np.array([500.0, 700.5, 1000.0], "f4"), "kind": ["rain", "snow"]},
        )
    )


def names(reader, variables=None):
    return [c.name for c in parse_channels(reader, variables)]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ("t2m", ["t2m"]),
        (["t2m", ("z", [500, 1000])], ["t2m", "z@500", "z@1000"]),
        (["z", "t2m"], ["z@500", "z@700.5", "z@1000", "t2m"]),
        (("t2m", "z"), ["t2m", "z@500", "z@700.5", "z@1000"]),
        (("z", 700.5), ["z@700.5"]),
        (("z", np.array([1000, 500])), ["z@1000", "z@500"]),
        ({"z": [500], "t2m": None}, ["z@500", "t2m"]),
        (("z", {"level": [500]}), ["z@500"]),
        (("e", {"level": [500], "member": [1]}), ["e@500@1"]),
        (("e", {"member": 0}), ["e@500@0", "e@700.5@0", "e@1000@0"]),
        (("m", [1, 0]), ["m@1", "m@0"]),
        (("m", [-1]), ["m@1"]),
        ("q", ["q@rain", "q@snow"]),
        (("q", ["snow"]), ["q@snow"]),
        (("z", [500 * (1 + 1e-7)]), ["z@500"]),
    ],
)
def test_ways_to_write_them(reader, variables, expected):
    assert names(reader, variables) == expected


def test_all_that_are_fields_of_samples(reader):
    found = parse_channels(reader)
    assert {c.variable for c in found} == {"t2m", "z", "e", "m", "q"}
    assert len(found) == 1 + 3 + 6 + 2 + 2


def test_indices(reader):
    assert parse_channels(reader, [("e", {"level": [1000], "member": [1]}), "t2m"]) == (
        Channel("e@1000@1", "e", (2, 1)),
        Channel("t2m", "t2m", ()),
    )


@pytest.mark.parametrize(
    ("variables", "error", "words"),
    [
        ("t2", StoreError, "did you mean 't2m'"),
        (("z", [501]), ConfigurationError, "no level 501; there are 500, 700.5, 1000"),
        (("m", [2]), ConfigurationError, "indices 0 to 1, got 2"),
        (("m", [0.5]), ConfigurationError, "indices 0 to 1"),
        (("q", ["snw"]), ConfigurationError, "did you mean snow"),
        (("t2m", [500]), ConfigurationError, "no further dimension.*leave the values out"),
        (("e", [500]), ConfigurationError, "2 further dimensions: level, member.*{'level'"),
        (("z", {"member": [1]}), ConfigurationError, "no further dimension 'member'; it has level"),
        ("oro", ConfigurationError, "not time: no field of samples.*statics"),
        ("co2", ConfigurationError, "not lat, lon"),
        (["t2m", "t2m"], ConfigurationError, "t2m are asked for more than once"),
        ([("z", 500), ("z", [700.5, 500])], ConfigurationError, "z@500"),
        (["t2m", 3], ConfigurationError, "got 3 in it"),
        ([], ConfigurationError, "no variable has"),
    ],
)
def test_what_cannot_be(reader, variables, error, words):
    with pytest.raises(error, match=words):
        parse_channels(reader, variables)
