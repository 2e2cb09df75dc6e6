"""The command line, and what else reads stores, with the codecs that have models."""

from __future__ import annotations

import json

import little_golden as little
import numpy as np
import pytest
import xarray as xr
import zarr

import frazil
from frazil import Codeword, Latent
from frazil.cli import FAILED, FINE, USAGE, main
from frazil.cli.settings import read_codec
from frazil.encodings import settings
from frazil.errors import UnsupportedArrayError
from frazil.models import register
from frazil.notation import codec_text


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Scenes of two bands, bands of scenes, stations; the models' files."""
    scenes = little.bands(6, 5, (96, 124)).astype("f4")
    scenes[3, :, 40:60, 9:33] = np.nan
    bands = np.moveaxis(scenes, 1, 0).copy()
    stations = np.tile(little.stations(6, 2), 34).astype("f4")
    ds = xr.Dataset(
        {
            "scene": (("time", "band", "y", "x"), scenes),
            "turned": (("band", "time", "y", "x"), bands),
            "station": (("time", "kind", "point"), stations),
        }
    )
    ds["turned_bound"] = ds.turned.dims, np.linspace(0.05, 4, bands.size).reshape(bands.shape)
    ds["station_bound"] = ds.station.dims, np.linspace(0.01, 0.2, stations.size).reshape(stations.shape)
    ds.to_netcdf(tmp_path / "in.nc", engine="netcdf4")
    for name, model in (
        ("scene", little.klt()),
        ("turned", little.klt(-4)),
        ("station", little.points(1)),
        ("words", little.words(2)),
    ):
        register(model)
        (tmp_path / f"{name}.decoder.safetensors").write_bytes(model.decoder.to_bytes())
        (tmp_path / f"{name}.encoder.safetensors").write_bytes(model.encoder.to_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def codecs(form: str) -> list[str]:
    """Options that give each variable its model."""
    names = ("scene", "turned", "station")
    parts = [f"{name}={form.format(model=f'{name}.decoder.safetensors')}" for name in names]
    return [word for part in parts for word in ("--var", part)]


@pytest.mark.parametrize("zarr_format", ["2", "3"])
def test_compress_inspect_verify(folder, capsys, zarr_format):
    chunks = ["--chunks", "time=2", "--zarr-format", zarr_format]
    assert main(["compress", "in.nc", "out.zarr", *codecs("latent(model={model})"), *chunks]) == FINE
    assert "latent model=klt" in capsys.readouterr().out
    assert main(["verify", "in.nc", "out.zarr", "--max-relative", "0.2"]) == FINE
    assert "all 5 variables pass" in capsys.readouterr().out
    assert main(["inspect", "out.zarr", "scene"]) == FINE
    out = capsys.readouterr().out
    assert "latents" in out
    assert "mask" in out
    assert main(["verify", "in.nc", "out.zarr", "--max-error", "scene=1e-9"]) == FAILED


BOUNDS = ["0.5", "rel:0.05", "rel:0.05:array", "pw_rel:0.1", "local_std(window=5,fraction=0.9,floor=0.01)"]


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("zarr_format", ["2", "3"])
def test_bounds_are_kept_shown_and_checked(folder, capsys, bound, zarr_format):
    form = "latent:model={model},bound=" + bound
    chunks = ["--chunks", "time=4,x=100", "--zarr-format", zarr_format]
    assert main(["compress", "in.nc", "out.zarr", *codecs(form), *chunks]) == FINE
    capsys.readouterr()
    assert main(["inspect", "out.zarr", "turned"]) == FINE
    out = capsys.readouterr().out
    assert "of the bound, as recorded" in out
    assert "record" in out
    assert main(["verify", "in.nc", "out.zarr", "--json"]) == FINE
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    for name in ("scene", "turned", "station"):
        assert not found[name]["problems"]
        assert 0.3 < found[name]["share"] <= 1


@pytest.mark.parametrize("name", ["turned", "station"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_bounds_of_each_point_are_those_of_that_point(folder, capsys, name, zarr_format):
    with xr.open_dataset("in.nc") as ds:
        codec = Latent(model=f"{name}.decoder.safetensors", bound="array")
        one = ds[[name, f"{name}_bound"]].load()
    frazil.to_zarr(one, "out.zarr", codec={name: codec}, zarr_format=zarr_format, chunks={"time": 4})
    error = abs(xr.open_zarr("out.zarr")[name] - one[name])
    assert bool((error.fillna(0) <= one[f"{name}_bound"]).all())
    one.to_netcdf("one.nc", engine="netcdf4")
    assert main(["verify", "one.nc", "out.zarr"]) == FINE


def test_a_bound_that_is_not_kept_fails_the_check(folder, capsys):
    codec = "latent:model=scene.decoder.safetensors,bound=0.5"
    assert main(["compress", "in.nc", "out.zarr", "--var", f"scene={codec}", "-q"]) == FINE
    for document in (folder / "out.zarr/scene/zarr.json", folder / "out.zarr/zarr.json"):
        document.write_text(document.read_text().replace('"bound": 0.5', '"bound": 0.1'))
    assert main(["verify", "in.nc", "out.zarr"]) == FAILED
    assert "scene misses its bound abs:0.1 at" in capsys.readouterr().out


def test_codewords(folder, capsys):
    codec = "codeword:model=words.decoder.safetensors"
    with xr.open_dataset("in.nc") as ds:
        ds[["scene"]].clip(0, 250).to_netcdf("heights.nc", engine="netcdf4")
    assert main(["compress", "heights.nc", "out.zarr", "--codec", codec]) == FINE
    assert "codeword model=words-2" in capsys.readouterr().out
    assert main(["inspect", "out.zarr", "scene"]) == FINE
    assert "codewords" in capsys.readouterr().out
    assert main(["verify", "heights.nc", "out.zarr"]) == FINE


def test_chunks_that_the_model_does_not_know(folder, capsys):
    with xr.open_dataset("in.nc") as ds:
        (ds[["scene"]] ** 3).to_netcdf("wild.nc", engine="netcdf4")
    codec = "latent:model=scene.decoder.safetensors"
    assert main(["compress", "wild.nc", "out.zarr", "--codec", codec, "-q"]) == FINE
    assert main(["inspect", "out.zarr", "scene"]) == FINE
    out = capsys.readouterr().out
    assert "record" in out
    assert "latents" not in out


def test_what_is_wrong_is_one_sentence(folder, capsys):
    def said(codec: str, *more: str) -> str:
        assert main(["compress", "in.nc", "bad.zarr", "--var", f"scene={codec}", "-q", *more]) == USAGE
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        return err

    assert "'nosuch' is no model" in said("latent:model=nosuch")
    assert "make no codec" in said("latent:bound=0.5")
    assert "step is a whole number" in said("latent:model=scene.decoder.safetensors,step=0")
    assert "takes models of kind 'codeword'" in said("codeword:model=scene.decoder.safetensors")
    wrong = said("latent:model=scene.decoder.safetensors", "--chunks", "band=1,time=1")
    assert "takes 2 channels" in wrong
    assert not (folder / "bad.zarr").exists()


def test_a_codec_is_shown_as_it_is_written(folder):
    path = "scene.decoder.safetensors"
    codec = Latent(model=path, step=8, bound="rel:0.01")
    assert codec_text(codec.get_config()) == "latent model=klt bound=rel:0.01 step=8"
    assert read_codec(f"latent(model={path},bound=rel:0.01,step=8)") == codec
    assert read_codec({"id": "latent", "model": path, "bound": "rel:0.01", "step": 8}) == codec
    assert read_codec(f"latent:model={codec.model.digest},bound=rel:0.01,step=8") == codec
    words = Codeword(model="words.decoder.safetensors", coder="packed")
    assert codec_text(words.get_config()) == "codeword model=words-2 coder=packed"
    assert read_codec("codeword:model=words.decoder.safetensors,coder=packed") == words


def test_attributes_name_the_model_and_do_not_hold_it(folder):
    with xr.open_dataset("in.nc") as ds:
        codec = Latent(model="scene.decoder.safetensors")
        frazil.to_zarr(ds[["scene"]], "out.zarr", codec=codec, chunks={"time": 2})
    said = settings(xr.open_zarr("out.zarr").scene)
    assert said["codec"] == "frazil.latent"
    assert said["model"] == {"digest": codec.model.digest, "name": "klt"}
    configuration = zarr.open_group("out.zarr")["scene"].metadata.to_dict()["codecs"][0]["configuration"]
    assert "inline" in configuration["model"]


def test_points_have_no_lower_resolution(folder):
    with xr.open_dataset("in.nc") as ds:
        chunk = ds.station.values
    for codec in (Latent(model="station.decoder.safetensors", bound=bound) for bound in (None, 0.2)):
        with pytest.raises(UnsupportedArrayError, match="no lower resolutions"):
            codec.decode_chunk(codec.encode(chunk), level=1)


def test_a_relative_bound_keeps_zeros_as_cheaply_as_bounded(folder):
    with xr.open_dataset("in.nc") as ds:
        chunk = ds.scene.values[0].copy()
    chunk[:, 20:60, 30:90] = 0
    codec = Latent(model="scene.decoder.safetensors", bound="pw_rel:0.05")
    encoded = codec.encode(chunk)
    assert len(encoded) <= len(frazil.Bounded(bound="pw_rel:0.05").encode(chunk))
    assert (codec.decode(encoded)[chunk == 0] == 0).all()
