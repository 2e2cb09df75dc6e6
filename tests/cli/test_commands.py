import json
import re
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from frazil.cli import FAILED, FINE, USAGE, main


@pytest.fixture
def source(tmp_path):
    y, x = np.mgrid[:128, :160] / 40
    field = (280 + 10 * np.sin(x + y) * np.cos(3 * x * np.arange(4)[:, None, None])).astype("f4")
    holes = np.where(field > 289, np.nan, field)
    coords = {
        "time": np.array("2024-01-01", "M8[ns]") + np.arange(4),
        "lat": np.arange(128.0),
        "lon": np.arange(160.0),
    }
    dims = ("time", "lat", "lon")
    ds = xr.Dataset({"t2m": (dims, field), "sst": (dims, holes)}, coords)
    ds.to_netcdf(tmp_path / "in.nc", engine="netcdf4")
    return str(tmp_path / "in.nc")


@pytest.fixture
def store(source, tmp_path, capsys):
    path = str(tmp_path / "out.zarr")
    assert main(["compress", source, path, "--codec", "jp2k:ratio=20", "--chunks", "time=1"]) == FINE
    capsys.readouterr()
    return path


def said(capsys):
    err = capsys.readouterr().err
    assert err.startswith("frazil: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("zarr_format", ["2", "3"])
def test_compress_then_verify(source, tmp_path, capsys, zarr_format):
    path = str(tmp_path / "out.zarr")
    codecs = ["--codec", "jp2k:ratio=20", "--var", "sst=lossless"]
    assert main(["compress", source, path, *codecs, "--zarr-format", zarr_format]) == FINE
    out = capsys.readouterr().out
    assert "jp2k ratio=20" in out
    assert "lossless (asked for)" in out
    assert main(["verify", source, path, "--max-relative", "0.1"]) == FINE
    assert "all 5 variables pass" in capsys.readouterr().out
    assert main(["verify", source, path, "--max-error", "t2m=1e-9"]) == FAILED
    assert "t2m max error" in capsys.readouterr().out


def test_a_destination_that_exists_needs_overwrite(source, store, capsys):
    arguments = ["compress", source, store, "--codec", "jp2k:ratio=20"]
    assert main(arguments) == USAGE
    assert "exists; give --overwrite" in said(capsys)
    assert main([*arguments, "--overwrite", "-q"]) == FINE
    assert capsys.readouterr().out == ""


def test_inspect_says_codec_and_sections_without_decoding(store, capsys, monkeypatch):
    from frazil.codecs.base import PlaneCodec

    monkeypatch.delattr(PlaneCodec, "decode_chunk")
    assert main(["inspect", store]) == FINE
    assert "jp2k ratio=20" in capsys.readouterr().out
    assert main(["inspect", store, "sst", "--limit", "2"]) == FINE
    out = capsys.readouterr().out
    assert "mask" in out
    assert "2 more" in out
    assert main(["inspect", store, "sst", "--json"]) == FINE
    found = json.loads(capsys.readouterr().out)
    assert found["chunks"] == 4
    assert found["stored"] == sum(chunk["nbytes"] for chunk in found["chunk_entries"])


BOUNDED = [
    "bounded:bound=0.05",
    "bounded:bound=rel:1e-3:array,preserve=range",
    "bounded:bound=local_std(window=5,fraction=0.2),base=wavelet",
]


@pytest.mark.parametrize("codec", BOUNDED)
@pytest.mark.parametrize("zarr_format", ["2", "3"])
def test_bounds_are_shown_and_checked(source, tmp_path, capsys, codec, zarr_format):
    path = str(tmp_path / "out.zarr")
    arguments = ["compress", source, path, "--codec", codec, "--chunks", "time=1,lat=100"]
    assert main([*arguments, "--zarr-format", zarr_format]) == FINE
    capsys.readouterr()
    assert main(["inspect", path, "sst"]) == FINE
    out = capsys.readouterr().out
    assert re.search(r"of the bound, as recorded; \d (interpolation|wavelet)", out)
    assert "record" in out
    assert main(["inspect", path, "sst", "--json"]) == FINE
    entry = json.loads(capsys.readouterr().out)
    assert sum(entry["methods"].values()) == entry["chunks"] == 8
    assert 0.5 < entry["share"] <= 1
    assert entry["max_error"] == max(chunk["max_error"] for chunk in entry["chunk_entries"])
    assert main(["verify", source, path]) == FINE
    out = capsys.readouterr().out
    assert "/ bound" in out
    assert "all 5 variables pass" in out
    assert main(["verify", source, path, "--json"]) == FINE
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert 0.5 < found["sst"]["share"] <= 1
    assert found["sst"]["max_error"] <= entry["max_error"]
    assert found["time"]["bound"] is None


def test_a_bound_that_is_not_kept_fails_the_check(source, tmp_path, capsys):
    path = str(tmp_path / "out.zarr")
    assert main(["compress", source, path, "--codec", "bounded:bound=0.05", "-q"]) == FINE
    document = tmp_path / "out.zarr/t2m/zarr.json"
    document.write_text(document.read_text().replace('"bound": 0.05', '"bound": 0.01'))
    (tmp_path / "out.zarr/zarr.json").write_text(
        (tmp_path / "out.zarr/zarr.json").read_text().replace('"bound": 0.05', '"bound": 0.01')
    )
    assert main(["verify", source, path]) == FAILED
    out = capsys.readouterr().out
    assert "t2m misses its bound abs:0.01 at" in out


def test_verify_in_json(source, store, capsys):
    assert main(["verify", source, store, "--json"]) == FINE
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["sst"]["missing"] > 0
    assert found["sst"]["mask_differs"] == 0
    assert found["t2m"]["lossy"]
    assert found["time"]["psnr"] is None


def test_a_damaged_chunk_fails_the_check(source, store, tmp_path, capsys):
    chunk = tmp_path / "out.zarr/t2m/c/1/0/0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    assert main(["verify", source, store]) == FAILED
    out = capsys.readouterr().out
    assert "t2m cannot be decoded" in out
    assert "damaged" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compress", "nowhere.nc", "x.zarr", "--codec", "jp2k:ratio=9"], "there is nothing at nowhere.nc"),
        (["compress", "IN", "x.zarr"], "name a codec"),
        (["compress", "IN", "x.zarr", "--codec", "jp2k:speed=9"], "does not know 'speed'"),
        (["compress", "IN", "x.zarr", "--codec", "jp2k:ratio=9", "--var", "u=lossless"], "no variable 'u'"),
        (["compress", "IN", "no/such/x.zarr", "--codec", "jp2k:ratio=9"], "no directory"),
        (["compress", "IN", "x.zarr", "--codec", "jp2k:ratio=9", "--zarr-format", "4"], "2 or 3"),
        (["inspect", "IN"], "not a Zarr group"),
        (["inspect", "OUT", "u"], "no array 'u'; it has"),
        (["verify", "IN", "nowhere.zarr"], "there is nothing at nowhere.zarr"),
        (["verify", "IN", "OUT", "--max-error", "u=1"], "'u'"),
        (["verify", "IN", "OUT", "--max-error", "small"], "wants a number"),
        (["frobnicate"], "frobnicate"),
        (["compress", "IN"], "DST"),
        (["inspect", "OUT", "--speed"], "--speed"),
    ],
)
def test_wrong_usage_and_bad_input_are_one_sentence(  # noqa: PLR0917 - fixtures
    source, store, capsys, monkeypatch, tmp_path, arguments, words
):
    monkeypatch.chdir(tmp_path)
    arguments = [{"IN": source, "OUT": store}.get(word, word) for word in arguments]
    assert main(arguments) == USAGE
    assert words in said(capsys)
    assert not (tmp_path / "x.zarr").exists()


def test_debug_shows_the_traceback(capsys):
    assert main(["inspect", "nowhere.zarr", "--debug"]) == USAGE
    assert "Traceback" in capsys.readouterr().err


def test_help_and_version(capsys):
    assert main(["--version"]) == FINE
    assert main(["--help"]) == FINE
    out = capsys.readouterr().out
    names = ("demo", "compress", "inspect", "verify", "curate", "export-jp2", "import-jp2")
    assert all(name in out for name in names)


def test_the_console_script_imports_little():
    code = "import sys, frazil.cli; print({'typer', 'zarr', 'xarray', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_demo(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo")]) == FINE
    out = capsys.readouterr().out
    assert "era5_t850" in out
    assert (tmp_path / "demo/demo.png").read_bytes().startswith(b"\x89PNG")
    assert main(["verify", *_sample_and_store(tmp_path)]) == FINE


def _sample_and_store(tmp_path):
    from frazil.samples import sample_path

    return [str(sample_path("ostia_sst")), str(tmp_path / "demo/ostia_sst.zarr")]
