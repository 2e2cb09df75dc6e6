import json

import numpy as np
import pytest
import xarray as xr
from numcodecs.registry import get_codec

from frazil.cli import FINE, USAGE, main
from frazil.codecs.bounded import Bounded


@pytest.fixture
def source(tmp_path):
    j, i = np.mgrid[:64, :80] / 20
    field = np.stack([280 + np.sin(j + k) * np.cos(i) for k in range(3)]).astype("f4")
    ds = xr.Dataset({"t2m": (("time", "lat", "lon"), field)})
    ds.to_netcdf(tmp_path / "in.nc", engine="netcdf4")
    return str(tmp_path / "in.nc")


def test_prints_the_ratio_and_the_codec(source, capsys):
    words = [
        "tune",
        source,
        "--variable",
        "t2m",
        "--bound",
        "rel:1e-3",
        "--chunks",
        "time=1",
        "--sample",
        "2",
    ]
    assert main(words) == FINE
    out = capsys.readouterr().out
    assert "tried on 2 of 3 chunks" in out
    line = next(line for line in out.splitlines() if line.startswith("frazil.Bounded("))
    codec = eval(line, {"frazil": __import__("frazil")})  # noqa: S307 - what it prints is Python
    assert codec == Bounded.from_config(json.loads(out.splitlines()[-1]))
    assert codec.residual == "mask"
    assert main([*words, "--json"]) == FINE
    config = json.loads(capsys.readouterr().out)
    get_codec(config)
    assert Bounded.from_config(config) == codec


@pytest.mark.parametrize(
    "words",
    [
        ["--variable", "t2m"],
        ["--variable", "nothing", "--bound", "1"],
        ["--variable", "t2m", "--bound", "much"],
        ["--variable", "t2m", "--bound", "0.1", "--chunks", "time"],
    ],
)
def test_wrong_words(source, capsys, words):
    assert main(["tune", source, *words]) == USAGE
    assert capsys.readouterr().err.count("\n") == 1
