"""``frazil models fit-klt``, and compressing with what it wrote."""

from __future__ import annotations

import re

import little_golden as little
import numpy as np
import pytest
import xarray as xr

import frazil
from frazil.cli import FINE, USAGE, main
from frazil.models import find


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    bands = little.bands(24, 1, (48, 64)).astype("f4")
    hours = bands[:, 0]
    coords = {
        "time": np.datetime64("2001-01-01", "ns") + np.arange(24) * np.timedelta64(6, "h"),
        "band": ["red", "nir"],
    }
    ds = xr.Dataset(
        {
            "scene": (("time", "band", "y", "x"), bands),
            "t": (("time", "y", "x"), hours),
            "u": (("time", "y", "x"), (hours * -2 + rng.normal(0, 0.1, hours.shape)).astype("f4")),
            "one": (("y", "x"), hours[0]),
            "obs": (("time", "var", "station"), little.stations(24, 2).astype("f4")),
        },
        coords,
    )
    ds.t[3, 5:9] = np.nan
    ds.to_netcdf(tmp_path / "in.nc", engine="netcdf4")
    return str(tmp_path / "in.nc")


def fit(capsys, *words):
    code = main(["models", "fit-klt", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def error_of(out):
    found = re.search(r"ratio ([\d.]+), error ([\d.]+) standard deviations", out)
    return float(found[1]), float(found[2])


def test_an_axis_as_channels(source, tmp_path, capsys):
    code, out, _ = fit(
        capsys, source, "--variable", "scene", "--channels", "band", "--factor", 4, "--output", tmp_path / "m"
    )
    assert code == FINE
    path = tmp_path / "m" / "klt-scene.decoder.safetensors"
    model = find(path)
    assert (model.decoder.channels, model.decoder.factor, model.decoder.axis) == (2, 4, -3)
    assert model.decoder.card == {"data": "in.nc", "variables": "scene", "steps": "all"}
    assert "band red" in out
    assert str(path) in out
    assert "what it was fitted to" in out
    assert "--chunks band=2" in out
    assert re.search(r"fitted in \d+\.\d s", out)
    ratio, error = error_of(out)
    assert ratio > 15
    assert error < 0.07
    codec = f"latent(model={path})"
    made = ["compress", source, str(tmp_path / "out.zarr"), "--codec", "lossless", "--var", f"scene={codec}"]
    assert main([*made, "--chunks", "time=4"]) == FINE
    assert "latent model=klt-scene" in capsys.readouterr().out
    assert main(["verify", source, str(tmp_path / "out.zarr"), "--max-relative", "scene=0.2"]) == FINE
    assert main(["inspect", str(tmp_path / "out.zarr"), "scene"]) == FINE
    assert "latent model=klt-scene" in capsys.readouterr().out


@pytest.mark.parametrize("zarr_format", ["2", "3"])
def test_steps_of_an_axis_as_channels(source, tmp_path, capsys, zarr_format):
    words = ["--variable", "t", "--channels", "time=4", "--factor", 8, "--steps", "0:16", "--name", "hours"]
    code, out, _ = fit(capsys, source, *words, "--output", tmp_path)
    assert code == FINE
    assert "steps that it was not fitted to" in out
    assert "--chunks time=4" in out
    assert find(tmp_path / "hours.decoder.safetensors").decoder.channels == 4
    codec = f"latent:model={tmp_path / 'hours.decoder.safetensors'}"
    made = ["compress", source, str(tmp_path / "out.zarr"), "--codec", "lossless", "--var", f"t={codec}"]
    assert main([*made, "--chunks", "time=4", "--zarr-format", zarr_format]) == FINE
    with xr.open_dataset(source) as ds:
        back = xr.open_zarr(tmp_path / "out.zarr").t
        assert np.array_equal(np.isnan(back), np.isnan(ds.t))
        assert float(np.sqrt(((back - ds.t) ** 2).mean()) / ds.t.std()) < 0.3


def test_variables_as_channels(source, tmp_path, capsys):
    words = ["--variable", "t", "--variable", "u", "--factor", 4, "--time", "2001-01-01/2001-01-04T12"]
    code, out, _ = fit(capsys, source, *words, "--output", tmp_path)
    assert code == FINE
    model = find(tmp_path / "klt-t-u.decoder.safetensors")
    assert model.decoder.channels == 2
    assert model.decoder.card["steps"] == "2001-01-01/2001-01-04T12"
    assert error_of(out)[1] < 0.2
    assert re.search(r"^ ?u ", out, re.MULTILINE)
    with xr.open_dataset(source) as ds:
        both = np.stack([ds.t.values, ds.u.values], 1)
    codec = frazil.Latent(model=model)
    assert codec.decode(codec.encode(both)).shape == both.shape


@pytest.mark.parametrize("factor", [1, 2])
def test_points(source, tmp_path, capsys, factor):
    words = ["--variable", "obs", "--channels", "var", "--points", "--factor", factor, "--steps", ":18"]
    code, out, _ = fit(capsys, source, *words, "--output", tmp_path)
    assert code == FINE
    model = find(tmp_path / "klt-obs.decoder.safetensors")
    assert (model.decoder.axis, model.decoder.channels) == (-2, 3)
    assert error_of(out)[0] > 1


def test_one_field_and_one_channel(source, tmp_path, capsys):
    code, out, _ = fit(capsys, source, "--variable", "one", "--factor", 4, "--output", tmp_path)
    assert code == FINE
    assert find(tmp_path / "klt-one.decoder.safetensors").decoder.channels == 1
    assert "--chunks" not in out


def test_of_a_zarr_store(source, tmp_path, capsys):
    with xr.open_dataset(source) as ds:
        frazil.to_zarr(ds[["scene"]].drop_vars("band"), tmp_path / "a.zarr", codec=frazil.JP2K(psnr=80))
    words = ["--variable", "scene", "--channels", "band", "--factor", 4, "--error", 0.1]
    code, out, _ = fit(capsys, tmp_path / "a.zarr", *words, "--output", tmp_path)
    assert code == FINE
    assert "band 0" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--variable", "nosuch"], "there is no variable 'nosuch'; there are scene, t, u, one, obs"),
        (["--variable", "t", "--channels", "level"], "'t' has no axis 'level'; it has time, y, x"),
        (["--variable", "t", "--channels", "y"], "not of channels; with --points, the last axis alone is"),
        (
            ["--variable", "obs", "--channels", "station", "--points"],
            "'station' is an axis of the fields themselves",
        ),
        (["--variable", "obs", "--channels", "time", "--points"], "the axis before them, 'var', not 'time'"),
        (["--variable", "t", "--channels", "time=25"], "takes 1 to 24 points of it, got '25'"),
        (["--variable", "t", "--channels", "time=x"], "takes 1 to 24 points of it, got 'x'"),
        (["--variable", "t", "--variable", "scene"], "'scene' and 't' differ in their axes"),
        (["--variable", "t", "--variable", "u", "--channels", "time"], "several variables are the channels"),
        (["--variable", "t", "--steps", "0-9"], "cannot read '0-9': --steps START:STOP"),
        (["--variable", "t", "--steps", "30:40"], "'30:40' takes none of the 24 steps of 'time'"),
        (["--variable", "t", "--time", "soon/later"], "cannot read 'soon/later': --time FROM/UNTIL"),
        (["--variable", "t", "--time", "1999/2000"], "takes none of the 24 steps"),
        (["--variable", "t", "--steps", "0:9", "--time", "2001"], "give one of them"),
        (["--variable", "one", "--steps", "0:9"], "'one' is one field: there are no steps"),
        (["--variable", "t", "--name", "Big One"], "a model's name is small letters"),
        (["--variable", "t", "--factor", "99"], "factor 1 to 64"),
        (["--variable", "t", "--error", "0"], "error is in standard deviations"),
    ],
)
def test_what_cannot_be(source, tmp_path, capsys, words, message):
    code, _, said = fit(capsys, source, *words, "--output", tmp_path / "m")
    assert code == USAGE
    assert message in said
    assert said.startswith("frazil: ")
    assert not (tmp_path / "m").exists()


def test_where_it_cannot_be_written(source, tmp_path, capsys):
    (tmp_path / "m").touch()
    code, _, said = fit(capsys, source, "--variable", "one", "--output", tmp_path / "m")
    assert code == USAGE
    assert "cannot write" in said


class TestLazily:
    """Only windows of a large array are read."""

    def test_windows(self):
        from frazil.cli.training import gather

        values = np.arange(4 * 3 * 10 * 6 * 8, dtype="f4").reshape(4, 3, 10, 6, 8)
        ds = xr.Dataset({"v": (("time", "member", "level", "y", "x"), values)})
        fields = gather(ds, ["v"], channels="level=5")
        assert fields.shape == (24, 5, 6, 8)
        assert fields.axis == -3
        whole = fields[:, :, :, :]
        assert np.array_equal(whole, values.reshape(24, 5, 6, 8))
        part = fields[5:9, :, 2:4, 1:7]
        assert np.array_equal(part, whole[5:9, :, 2:4, 1:7])
        turned = gather(ds, ["v"], channels="member")
        assert turned.axis == -4
        assert turned.shape == (40, 3, 6, 8)
        assert np.array_equal(turned[7:9, :, :, :], np.moveaxis(values, 1, 2).reshape(40, 3, 6, 8)[7:9])
        alone = gather(ds, ["v"])
        assert np.array_equal(alone[13:15, :, :3, :], values.reshape(120, 1, 6, 8)[13:15, :, :3])
        both = gather(ds.assign(w=ds.v + 1), ["v", "w"])
        assert np.array_equal(both[3:5, :, :, :2][:, 1], values.reshape(120, 6, 8)[3:5, :, :2] + 1)
