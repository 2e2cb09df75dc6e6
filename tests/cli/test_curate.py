import json

import numpy as np
import pytest
import xarray as xr

import frazil
from frazil.cli import FINE, USAGE, main
from frazil.cli.curate import read_variables
from frazil.data.batches import ZarrBatches
from frazil.data.curation.manifest import Manifest


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(1)
    wave = np.sin(np.arange(24) / 4 - 0.3 * np.arange(50)[:, None, None]) * np.ones((1, 16, 1))
    noise = rng.normal(size=(50, 2, 16, 24))
    ds = xr.Dataset(
        {
            "t2m": (("time", "lat", "lon"), (280 + wave + noise[:, 0]).astype("f4"), {"units": "K"}),
            "z": (("time", "level", "lat", "lon"), (wave[:, None] + noise).astype("f4")),
        },
        {
            "time": np.datetime64("2001-01-01", "ns") + np.arange(50) * np.timedelta64(1, "D"),
            "level": [500, 850],
        },
    )
    path = tmp_path_factory.mktemp("store") / "a.zarr"
    frazil.to_zarr(ds, path, codec=frazil.JP2K(ratio=5), chunks={"time": 5})
    return str(path)


WORDS = ["--superbatch", "24", "--batch-size", "4", "--variables", "t2m,z@500"]


def test_writes_what_a_loader_takes(store, tmp_path, capsys):
    out, report = tmp_path / "selection.json", tmp_path / "report.png"
    words = ["--keep", "0.5", "--mode", "connected", "--score", "fiedler_abs", "--report", str(report)]
    assert main(["curate", store, *WORDS, *words, "--out", str(out)]) == FINE
    said = capsys.readouterr().out
    assert all(word in said for word in ("lambda2", "lambda3", "gap", "components"))
    assert "24 of 48 samples kept, 24 dropped" in said
    assert "z@500" in said
    assert report.read_bytes().startswith(b"\x89PNG")
    settings = {"variables": ["t2m", ("z", [500])], "batch_size": 4}
    online = ZarrBatches(store, curate=frazil.SALN(keep=0.5), superbatch=24, **settings)
    offline = ZarrBatches(store, selection=out, **settings)
    assert [b.index.tolist() for b in online] == [b.index.tolist() for b in offline]


def test_in_json(store, tmp_path, capsys):
    out = tmp_path / "selection.json"
    words = ["--out", str(out), "--epochs", "2", "--json", "--report", str(tmp_path / "r.svg")]
    assert main(["curate", store, *WORDS, *words]) == FINE
    found = json.loads(capsys.readouterr().out)
    manifest = Manifest.read(out)
    assert found["kept"] == [len(manifest.kept(epoch)) for epoch in (0, 1)] == [24, 24]
    assert found["dropped"] == [24, 24]
    assert [row["superbatch"] for row in found["superbatches"]] == [0, 1, 0, 1]
    assert all(row["lambda2"] <= row["lambda3"] for row in found["superbatches"])
    channel = found["channels"]["t2m"]
    assert channel["kept"]["samples"] == channel["dropped"]["samples"] == 24
    assert channel["all"]["mean"] == pytest.approx((channel["kept"]["mean"] + channel["dropped"]["mean"]) / 2)


@pytest.mark.parametrize(
    ("words", "curator", "settings"),
    [
        (["--curator", "random", "--seed", "3"], frazil.RandomDiscard(seed=3), {"seed": 3}),
        (["--curator", "recent", "--keep", "0.25"], frazil.MostRecent(keep=0.25), {}),
        (
            ["--on", "increments", "--embed", "0", "--targets", "", "--times", "2001-01-06/"],
            frazil.SALN(on="increments", embed=frazil.ReducedResolution(0)),
            {"targets": [], "times": slice("2001-01-06", None)},
        ),
        (
            ["--mode", "combined", "--score", "degree", "--inputs", "0", "--level", "1"],
            frazil.SALN(mode="combined", score="degree"),
            {"inputs": [0], "level": 1},
        ),
    ],
)
def test_options_are_those_of_python(store, tmp_path, words, curator, settings):
    out = tmp_path / "selection.json"
    assert main(["curate", store, *WORDS, *words, "--out", str(out)]) == FINE
    wanted = frazil.curate(
        store, curator, variables=["t2m", ("z", [500])], batch_size=4, superbatch=24, **settings
    )
    assert Manifest.read(out) == wanted


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_on_a_cluster(store, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0", protocol="tcp"
    ) as cluster:
        words = ["--out", str(tmp_path / "there.json"), "--dask", cluster.scheduler_address]
        assert main(["curate", store, *WORDS, *words]) == FINE
    assert main(["curate", store, *WORDS, "--out", str(tmp_path / "here.json")]) == FINE
    assert (tmp_path / "there.json").read_bytes() == (tmp_path / "here.json").read_bytes()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Missing option '--out'"),
        (["--out", "OUT", "--keep", "1.5"], "above 0 and up to 1; got 1.5"),
        (["--out", "OUT", "--mode", "odd"], "mode is one of"),
        (["--out", "OUT", "--curator", "me"], "--curator is one of saln, random, recent; got 'me'"),
        (["--out", "OUT", "--variables", "q"], "there is no variable 'q'"),
        (["--out", "OUT", "--variables", "z@500@1"], "--variables wants names"),
        (["--out", "OUT", "--variables", "z@501"], "has no level 501"),
        (["--out", "OUT", "--superbatch", "23"], "23 is no multiple of batch_size=4"),
        (["--out", "OUT", "--inputs", "now"], "--inputs wants whole numbers"),
        (["--out", "OUT", "--times", "2001"], "--times wants FIRST/LAST"),
        (["--out", "OUT", "--memory", "much"], "'much' is no amount of memory"),
        (["--out", "no/such/folder.json"], "cannot write the selection"),
        (["--out", "OUT", "--dask", "tcp://127.0.0.1:1"], "there is no dask scheduler at tcp://127.0.0.1:1"),
    ],
)
def test_wrong_words(store, tmp_path, capsys, words, sentence, monkeypatch):  # noqa: PLR0917 - fixtures
    import frazil.cli.curate as module

    monkeypatch.setattr(module, "PATIENCE", "1s")
    words = [str(tmp_path / "out.json") if word == "OUT" else word for word in words]
    assert main(["curate", store, *WORDS, *words]) == USAGE
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out.json").exists()


def test_names_of_channels():
    assert read_variables(None) is None
    assert read_variables("t, u@850.5,c@high") == [("t", None), ("u", [850.5]), ("c", ["high"])]
