import numpy as np
import pytest
import xarray as xr

import frazil
from frazil.data.batches import ZarrBatches
from frazil.data.lazy import to_dask, to_xarray
from frazil.data.samples import Samples
from frazil.errors import ConfigurationError

SETTINGS = {"inputs": [-1, 0], "targets": [1]}
CURATION = {"batch_size": 4, "superbatch": 16}


def dataset():
    t = np.random.default_rng(0).normal(size=(30, 6, 8)).astype("f4")
    t[3, 2, 2] = np.nan
    time = np.datetime64("2001-01-01", "ns") + np.arange(30) * np.timedelta64(6, "h")
    return xr.Dataset({"t": (("time", "lat", "lon"), t), "u": (("time", "lat", "lon"), -t)}, {"time": time})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("lazy") / "a.zarr"
    frazil.to_zarr(dataset(), path, codec=frazil.Bounded(bound=0.01), chunks={"time": 4})
    return path


def test_a_batch_with_names():
    batch = Samples(dataset(), **SETTINGS).read([4, 9])
    found = to_xarray(batch)
    assert dict(found.sizes) == {"sample": 2, "input": 2, "target": 1, "channel": 2, "axis0": 6, "axis1": 8}
    np.testing.assert_array_equal(found.x, batch.x)
    np.testing.assert_array_equal(found.y_mask, batch.y_mask)
    assert found.channel.values.tolist() == ["t", "u"]
    assert found.time_x.values[1, 1] == np.datetime64("2001-01-03T06")
    assert found.time_y.values[1, 0] == np.datetime64("2001-01-03T12")
    assert not bool(found.mask.sel(channel="t").isel(sample=0, input=0, axis0=2, axis1=2))
    assert "y" not in to_xarray(Samples(dataset(), inputs=[0], targets=[]).read([4]))


def test_tensors_have_names_too():
    pytest.importorskip("torch")
    from frazil.data.tensors import to_tensors

    batch = Samples(dataset(), **SETTINGS).read([4, 9])
    xr.testing.assert_identical(to_xarray(to_tensors(batch)), to_xarray(batch))


@pytest.mark.parametrize("settings", [{}, {"patch": {"lat": 3, "lon": 4}}, {"level": 1, "normalise": None}])
def test_all_samples_lazily(store, settings):
    samples = Samples(store, **SETTINGS, **settings)
    lazy = to_dask(samples, batch_size=10)
    wanted = to_xarray(samples.read(samples.plan.samples))
    assert set(lazy.x.chunks[0][:-1]) <= {10}
    assert all(lazy[name].chunks for name in ("x", "y", "mask", "y_mask"))
    xr.testing.assert_identical(lazy.compute(), wanted)


def test_a_selection(store, tmp_path):
    saln = frazil.SALN(keep=0.5)
    selection = frazil.curate(store, saln, out=tmp_path / "selection.json", **SETTINGS, **CURATION)
    lazy = frazil.to_dask(store, selection=tmp_path / "selection.json", **SETTINGS)
    batches = list(ZarrBatches(store, curate=saln, **SETTINGS, **CURATION))
    assert lazy.x.chunks[0] == tuple(len(batch) for batch in batches)
    np.testing.assert_array_equal(lazy.x, np.concatenate([batch.x for batch in batches]))
    np.testing.assert_array_equal(lazy.y, np.concatenate([batch.y for batch in batches]))
    assert lazy.index.values.tolist() == selection.kept().tolist()
    xr.testing.assert_identical(lazy, frazil.to_dask(store, selection=selection, **SETTINGS))
    with pytest.raises(ConfigurationError, match="other windows"):
        frazil.to_dask(store, selection=selection, inputs=[0], targets=[1])


def test_a_selection_by_number(store):
    pytest.importorskip("torch")
    selection = frazil.curate(store, frazil.SALN(keep=0.5), **SETTINGS, **CURATION)
    found = frazil.ZarrDataset(store, selection=selection, **SETTINGS)
    assert [int(found[k]["index"]) for k in range(len(found))] == selection.kept().tolist()
    wanted = Samples(store, **SETTINGS).read(selection.kept()[:3])
    for k in range(3):
        np.testing.assert_array_equal(found[k]["x"].numpy(), wanted.x[k])
    with pytest.raises(ConfigurationError, match="other windows"):
        frazil.ZarrDataset(store, selection=selection, inputs=[0], targets=[1])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_on_a_cluster(store):
    distributed = pytest.importorskip("distributed")
    lazy = to_dask(store, batch_size=7, **SETTINGS)
    wanted = lazy.compute(scheduler="synchronous")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        xr.testing.assert_identical(lazy.compute(), wanted)
