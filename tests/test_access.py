"""Writing datasets: whole pipelines through xarray, dask and other processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
import zarr
from pyramid import Pyramid, register
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, ZipStore

import frazil
from frazil.access import default_chunks, settings, to_zarr
from frazil.errors import ConfigurationError, LossyRewriteWarning, StoreError, UnsupportedArrayError
from frazil.prefix import find_layout

pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
    pytest.mark.filterwarnings("ignore:Duplicate name"),
]
register()
CODEC = Pyramid()
JP2K = frazil.JP2K(psnr=70)
FORMATS = [2, 3]


def dataset(n=4):
    y, x = np.mgrid[:40, :50] / 20
    t = 280 + 10 * np.sin(y) * np.cos(x) + np.arange(n)[:, None, None]
    t[0, :5, :9] = np.nan
    return xr.Dataset(
        {
            "t": (("time", "y", "x"), t.astype("f4"), {"units": "K"}),
            "u": (("time", "y", "x"), t - 280),
            "kind": (("y", "x"), (y > 1).astype("i2")),
            "mean": ("time", np.arange(n) * 0.1),
        },
        coords={"time": np.arange(n), "y": y[:, 0], "x": x[0], "lat": (("y", "x"), y * 1.1)},
    )


def close(one, two, error):
    one, two = np.asarray(one), np.asarray(two)
    np.testing.assert_array_equal(np.isnan(one), np.isnan(two))
    assert np.nanmax(np.abs(one - two)) <= error


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_floats_are_coded_and_the_rest_is_exact(zarr_format):
    ds, store = dataset(), MemoryStore()
    to_zarr(ds, store, codec=CODEC, zarr_format=zarr_format)
    back = xr.open_zarr(store).load()
    close(back["t"], ds["t"], 0.0051)
    close(back["u"], ds["u"], 0.0051)
    assert back["u"].dtype == "f8"
    for name in ("kind", "mean", "lat", "time", "y", "x"):
        xr.testing.assert_identical(
            back[name].drop_vars("lat", errors="ignore"), ds[name].drop_vars("lat", errors="ignore")
        )
    assert set(back.coords) == set(ds.coords)


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_the_store_says_how(zarr_format):
    store = MemoryStore()
    to_zarr(dataset(), store, codec={"t": JP2K}, zarr_format=zarr_format)
    back = xr.open_zarr(store)
    attrs = back["t"].attrs
    assert attrs["units"] == "K"
    assert attrs["lossy_compression"] == "frazil.jp2k"
    assert json.loads(attrs["lossy_compression_settings"])["psnr"] == 70
    assert attrs["lossy_compression_implementation"] == f"frazil {frazil.__version__}"
    assert "not part of the CF" in attrs["lossy_compression_note"]
    assert "lossy_compression" not in back["u"].attrs
    assert settings(back["t"])["codec"] == "frazil.jp2k"
    assert back.frazil.settings() == {"t": back["t"].frazil.settings()}
    assert back["u"].frazil.settings() == {}


def test_the_dataset_given_stays_as_it_is():
    ds = dataset()
    ds["t"].encoding = {"scale_factor": 0.1, "dtype": "i2"}
    before = ds.copy(deep=True)
    to_zarr(ds, MemoryStore(), codec=CODEC)
    xr.testing.assert_identical(ds, before)
    assert ds["t"].encoding == {"scale_factor": 0.1, "dtype": "i2"}


def test_lossless_codecs_are_no_loss():
    store = MemoryStore()
    to_zarr(dataset(), store, codec=Pyramid(exact=True))
    assert "lossy_compression" not in xr.open_zarr(store)["t"].attrs


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("fill", [-9999.0, 9.97e36])
@pytest.mark.parametrize("where", ["encoding", "missing_value", "attrs"])
def test_sentinels_do_not_disturb_their_neighbours(zarr_format, fill, where):
    ds, store = dataset(), MemoryStore()
    truth = ds["t"].copy()
    if where == "attrs":  # opened with mask_and_scale=False
        ds["t"] = ds["t"].fillna(fill)
        ds["t"].attrs["_FillValue"] = np.float32(fill)
    else:
        ds["t"].encoding["_FillValue" if where == "encoding" else where] = np.float32(fill)
    to_zarr(ds, store, codec={"t": frazil.JP2K(psnr=70)}, zarr_format=zarr_format)
    close(xr.open_zarr(store)["t"], truth, 0.15)
    raw = xr.open_zarr(store, mask_and_scale=False)["t"].values
    assert (raw[0, :5, :9] == np.float32(fill)).all()


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_packing_is_dropped(zarr_format):
    """Integers on disk would round the values before the codec sees them."""
    ds, store = dataset(), MemoryStore()
    ds["t"].encoding = {
        "dtype": "i2",
        "scale_factor": 0.5,
        "add_offset": 280.0,
        "_FillValue": -32768,
        "zlib": True,
        "chunksizes": (1, 2, 3),
    }
    to_zarr(ds, store, codec={"t": CODEC}, zarr_format=zarr_format)
    back = xr.open_zarr(store)
    close(back["t"], ds["t"], 0.0051)
    assert np.isnan(back["t"].encoding["_FillValue"])
    assert "scale_factor" not in back["t"].encoding


def test_packing_of_others_is_kept():
    ds, store = dataset(), MemoryStore()
    ds["u"].encoding = {"dtype": "i2", "scale_factor": 0.5, "_FillValue": -32768}
    to_zarr(ds, store, codec={"t": CODEC})
    assert xr.open_zarr(store, mask_and_scale=False)["u"].dtype == "i2"


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_carried_over_encodings(source, target):
    first, second = MemoryStore(), MemoryStore()
    to_zarr(dataset(), first, codec=CODEC, zarr_format=source, chunks={"time": 2, "y": 16, "x": 16})
    opened = xr.open_zarr(first)
    with pytest.warns(LossyRewriteWarning, match=r"t went through a lossy codec before"):
        to_zarr(opened, second, codec={"t": CODEC}, zarr_format=target)
    close(xr.open_zarr(second)["t"], dataset()["t"], 0.0102)
    array = zarr.open_group(second, mode="r")["u"]
    assert find_layout(array) is None
    xr.testing.assert_equal(xr.open_zarr(second)["u"], opened["u"])
    assert zarr.open_group(second, mode="r")["t"].chunks == (2, 16, 16)


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("dask", [False, True])
def test_chunks(zarr_format, dask):
    ds, store = dataset(), MemoryStore()
    if dask:
        ds = ds.chunk({"time": 1, "y": 13})
    to_zarr(ds, store, codec=CODEC, zarr_format=zarr_format, chunks={"time": 3, "y": -1, "x": 20})
    assert zarr.open_group(store, mode="r")["t"].chunks == (3, 40, 20)
    close(xr.open_zarr(store)["t"], dataset()["t"], 0.0051)


def test_default_chunks_are_whole_planes():
    store = MemoryStore()
    to_zarr(dataset(), store, codec=CODEC)
    assert zarr.open_group(store, mode="r")["t"].chunks == (4, 40, 50)
    assert default_chunks((0, 5)) == (1, 5)
    assert default_chunks((100, 10, 4096, 4096)) == (1, 1, 2048, 2048)


def test_shards_and_dask():
    store = MemoryStore()
    to_zarr(
        dataset().chunk({"time": 1}),
        store,
        codec={"t": CODEC},
        chunks={"time": 1, "y": 20, "x": 25},
        encoding={"t": {"shards": (2, 40, 50)}},
    )
    assert zarr.open_group(store, mode="r")["t"].shards == (2, 40, 50)
    close(
        frazil.open_zarr(store, level=1)["t"],
        dataset()["t"].values[:, ::2][..., [*range(0, 25, 2), *range(25, 50, 2)]],
        0.0051,
    )


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_computed_later(zarr_format):
    ds, store = dataset().chunk({"time": 2}), MemoryStore()
    later = to_zarr(ds, store, codec=CODEC, zarr_format=zarr_format, compute=False)
    assert np.isnan(xr.open_zarr(store)["t"]).all()
    later.compute(scheduler="threads", num_workers=4)
    close(xr.open_zarr(store)["t"], dataset()["t"], 0.0051)


def test_data_arrays_and_the_accessor():
    store = MemoryStore()
    dataset()["t"].frazil.to_zarr(store, codec=JP2K, group="g")
    close(xr.open_zarr(store, group="g")["t"], dataset()["t"], 0.15)


def test_refusals(tmp_path):
    ds, store = dataset(), MemoryStore()
    ds["z"] = ds["t"].astype("c8")
    with pytest.raises(ConfigurationError, match=r"no variable q in the dataset; it has t, u"):
        to_zarr(ds, store, codec={"q": CODEC})
    with pytest.raises(
        UnsupportedArrayError, match=r"variable 'z': frazil.test_pyramid cannot hold dtype complex64"
    ):
        to_zarr(ds, store, codec={"z": CODEC})
    with pytest.raises(UnsupportedArrayError, match=r"variable 'when'"):
        to_zarr(ds.assign(when=(("y", "x"), np.zeros((40, 50), "M8[ns]"))), store, codec={"when": CODEC})
    with pytest.raises(ConfigurationError, match=r"takes a frazil codec or a mapping"):
        to_zarr(ds, store, codec="jp2k")
    with pytest.raises(ConfigurationError, match=r"encoding= gives it compressors as well"):
        to_zarr(ds, store, codec={"t": CODEC}, encoding={"t": {"compressors": [CODEC]}})
    with pytest.raises(ConfigurationError, match=r"encoding= names 'q'"):
        to_zarr(ds, store, codec={"t": CODEC}, encoding={"q": {}})
    with pytest.raises(ConfigurationError, match=r"an array keeps the codec it was created with"):
        to_zarr(ds, store, codec=CODEC, append_dim="time")
    with pytest.raises(ConfigurationError, match=r"chunk lengths are whole numbers.*y=0"):
        to_zarr(ds, store, codec={"t": CODEC}, chunks={"y": 0})
    with pytest.raises(ConfigurationError, match=r"zarr_format is 2 or 3"):
        to_zarr(ds, store, codec={"t": CODEC}, zarr_format=4)


def test_targets_that_cannot_be_written(tmp_path):
    ds = dataset()
    to_zarr(ds, tmp_path / "a.zarr", codec=CODEC)
    with pytest.raises(StoreError, match=r"holds data already; pass mode='w'"):
        to_zarr(ds, tmp_path / "a.zarr", codec=CODEC)
    to_zarr(ds, tmp_path / "a.zarr", codec=CODEC, mode="w")
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(StoreError, match=r"cannot write to .*file/b.zarr"):
        to_zarr(ds, tmp_path / "file" / "b.zarr", codec=CODEC)
    with pytest.raises(StoreError, match=r"opened read-only"):
        to_zarr(ds, LocalStore(tmp_path / "a.zarr", read_only=True), codec=CODEC, mode="w")


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("where", ["zip", "fsspec", "obstore"])
def test_stores(zarr_format, where, tmp_path):
    if where == "zip":
        with ZipStore(tmp_path / "a.zip", mode="w") as zipped:
            to_zarr(dataset(), zipped, codec=JP2K, zarr_format=zarr_format)
        store = ZipStore(tmp_path / "a.zip", mode="r")
    elif where == "fsspec":
        pytest.importorskip("fsspec")
        store = FsspecStore.from_url(f"memory://{tmp_path.name}")
    else:
        store = ObjectStore(pytest.importorskip("obstore").store.MemoryStore())
    if where != "zip":
        to_zarr(dataset(), store, codec=JP2K, zarr_format=zarr_format)
    close(xr.open_zarr(store)["t"], dataset()["t"], 0.15)
    assert frazil.open_zarr(store, level=1)["t"].load().shape == (4, 20, 25)
    store.close()


def test_many_threads():
    ds, store = dataset(32).chunk({"time": 1, "y": 20}), MemoryStore()
    to_zarr(ds, store, codec=JP2K, compute=False).compute(scheduler="threads", num_workers=8)
    with_threads = xr.open_zarr(store).compute(scheduler="threads", num_workers=8)
    close(with_threads["t"], dataset(32)["t"], 0.15)
    one = xr.open_zarr(store).compute(scheduler="synchronous")
    xr.testing.assert_identical(with_threads, one)


READ = """
import sys, warnings
import xarray as xr
warnings.simplefilter("error")
t = xr.open_zarr(sys.argv[1])["t"]
print(float(t.mean()), t.shape)
assert "frazil.access" not in sys.modules
"""


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_read_by_a_process_that_never_imports_frazil(zarr_format, tmp_path):
    to_zarr(dataset(), tmp_path / "a.zarr", codec=JP2K, zarr_format=zarr_format)
    said = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "a.zarr")], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    mean, _, shape = said.stdout.partition(" ")
    assert abs(float(mean) - float(dataset()["t"].mean())) < 0.01
    assert shape.strip() == "(4, 40, 50)"


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["v2", "v3", "sharded"])
def test_two_processes(kind, client, tmp_path):
    path = str(tmp_path / "a.zarr")
    ds = dataset().chunk({"time": 2})
    shards = {"encoding": {"t": {"shards": (2, 40, 50)}}} if kind == "sharded" else {}
    chunks = {"time": 1, "y": 40, "x": 50} if kind == "sharded" else {"time": 2}
    to_zarr(ds[["t"]], path, codec=JP2K, zarr_format=2 if kind == "v2" else 3, chunks=chunks, **shards)
    close(xr.open_zarr(path)["t"].compute(), dataset()["t"], 0.15)
    half = frazil.open_zarr(path, level=1)["t"]
    xr.testing.assert_identical(half.compute(), half.compute(scheduler="synchronous"))


def _mean(path):
    return os.getpid(), float(frazil.open_zarr(path, level=1)["t"].mean().compute(scheduler="synchronous"))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_started_processes(method, tmp_path):
    path = str(tmp_path / "a.zarr")
    to_zarr(dataset(), path, codec={"t": JP2K})
    expected = _mean(path)  # the parent has used zarr, its event loop and the engine before
    with multiprocessing.get_context(method).Pool(1) as pool:
        found = pool.apply_async(_mean, (path,)).get(timeout=120)
    assert found[0] != expected[0]
    assert found[1] == expected[1]
