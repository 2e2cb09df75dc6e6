import warnings

import numpy as np
import pytest
import xarray as xr

import frazil
from frazil.data.batches import ZarrBatches
from frazil.data.curation.manifest import Manifest, read_sources
from frazil.data.samples import Samples
from frazil.data.stores import StoreReader
from frazil.errors import ConfigurationError, FormatError, FrazilError, StoreError

SETTINGS = {"inputs": [-1, 0], "targets": [1], "batch_size": 4, "superbatch": 24}


def dataset(seed=0, steps=66):
    rng = np.random.default_rng(seed)
    t = np.arange(steps)[:, None, None]
    j, i = np.mgrid[:24, :32] / 5
    wave = np.sin(i - 0.2 * t) * np.cos(j)
    noise = rng.normal(size=(4, steps, 24, 32))
    sst = wave + 0.3 * noise[0]
    sst[:, 4:9, 5:20] = np.nan  # land
    sst[::5, 20, 3:6] = np.nan  # and a few gaps
    dims = ("time", "lat", "lon")
    return xr.Dataset(
        {
            "t2m": (dims, (280 + 5 * wave + noise[1]).astype("f4")),
            "sst": (dims, sst.astype("f4")),
            "z": (
                ("time", "level", "lat", "lon"),
                (np.stack((wave, -wave), 1) + noise[2:].swapaxes(0, 1)).astype("f4"),
            ),
        },
        {
            "time": np.datetime64("2001-01-01", "ns") + np.arange(steps) * np.timedelta64(6, "h"),
            "level": [500, 850],
        },
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "a.zarr"
    frazil.to_zarr(dataset(), path, codec=frazil.JP2K(ratio=6), chunks={"time": 3})
    return path


@pytest.fixture(scope="module", params=["threads", "processes"])
def client(request):
    distributed = pytest.importorskip("distributed")
    processes = request.param == "processes"
    with (
        distributed.LocalCluster(
            n_workers=2 if processes else 1, threads_per_worker=2, processes=processes, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def same(one, other):
    """Batches are equal bit for bit."""
    one, other = list(one), list(other)
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for name in ("x", "y", "mask", "y_mask", "index", "time"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert (a.superbatch_id, a.position, a.is_last) == (b.superbatch_id, b.position, b.is_last)


def by_step(epoch, step):
    return ("connected", "inverse", "combined")[(epoch + step) % 3]


def falling(epoch, step):
    return 0.6 if step % 2 else 0.4 / (1 + epoch)


def spectra(fields):
    """A function of a user's: size of the first waves along x, of all channels together."""
    waves = np.abs(np.fft.rfft(np.nan_to_num(fields), axis=-1))[..., :4]
    return waves.mean(axis=-2).reshape(len(fields), -1)


CURATORS = {
    "saln": frazil.SALN(keep=0.5),
    "schedules": frazil.SALN(keep=falling, mode=by_step, score="degree"),
    "increments": frazil.SALN(keep=0.4, on="increments", mode="combined"),
    "full": frazil.SALN(embed=frazil.ReducedResolution(0), score="fiedler_signed"),
    "function": frazil.SALN(embed=spectra),
    "random": frazil.RandomDiscard(keep=0.5, seed=4),
    "recent": frazil.MostRecent(keep=0.25),
}


@pytest.mark.parametrize("name", CURATORS)
def test_beforehand_is_online_bit_for_bit(store, tmp_path, name):
    curator = CURATORS[name]
    found = frazil.curate(store, curator, out=tmp_path / "selection.json", epochs=2, **SETTINGS)
    assert found == Manifest.read(tmp_path / "selection.json")
    online = ZarrBatches(store, curate=curator, **SETTINGS)
    del (settings := dict(SETTINGS))["superbatch"]
    offline = ZarrBatches(store, selection=tmp_path / "selection.json", **settings)
    for _ in range(2):
        assert len(online) == len(offline)
        assert dict(online.dropped) == dict(offline.dropped)
        same(online, offline)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_on_dask_bit_for_bit(store, client):
    for name, curator in CURATORS.items():
        here = frazil.curate(store, curator, epochs=1 + (name == "schedules"), **SETTINGS)
        there = frazil.curate(store, curator, epochs=1 + (name == "schedules"), client=client, **SETTINGS)
        assert there == here, name


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_on_dask_in_other_orders(store, client):
    for settings in (
        {"variables": [("z", [850]), "t2m", ("z", [500])], "patch": {"lat": 12, "lon": 16}},
        {"variables": "sst", "region": {"lat": slice(3, 19)}, "level": 1, "shuffle": False},
    ):
        both = [
            frazil.curate(store, CURATORS["saln"], client=c, **SETTINGS, **settings) for c in (None, client)
        ]
        assert both[0] == both[1]
        assert both[0].diagnostics[0][0]["lambda2"] > 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_errors_of_workers_come_back(tmp_path, client):
    broken = _broken(tmp_path)
    with pytest.raises(FrazilError, match="variable 't2m'"):
        frazil.curate(broken, CURATORS["saln"], client=client, variables="t2m", **SETTINGS)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_gaps_are_counted_over_all_variables(client):
    """A member may lack a tenth: a third of one channel of four, not all of it."""
    for rows, refused in ((8, False), (24, True)):
        ds = dataset()
        ds["t2m"].values[12, :rows] = np.nan
        for where in (None, client):
            if refused:
                with pytest.raises(ConfigurationError, match=r"is NaN at .* of the points that others have"):
                    frazil.curate(ds, CURATORS["saln"], client=where, **SETTINGS)
            else:
                frazil.curate(ds, CURATORS["saln"], client=where, **SETTINGS)


def _broken(tmp_path):
    """A store of which one chunk is damaged."""
    path = tmp_path / "broken.zarr"
    frazil.to_zarr(dataset()[["t2m"]], path, codec=frazil.JP2K(ratio=6), chunks={"time": 3})
    chunk = path / "t2m" / "c" / "5" / "0" / "0"
    chunk.write_bytes(b"nonsense" * 100)
    return path


def test_members_are_read_from_a_part_of_the_bytes(store):
    samples = Samples(StoreReader(store, count=True), inputs=[-1, 0], targets=[1])
    found = frazil.curate(samples, CURATORS["saln"], batch_size=4, superbatch=24)
    assert samples.reader.decodes == {}  # at full resolution nothing
    assert len(found.kept()) == 32


def test_only_the_compared_step_is_read(store):
    reader = StoreReader(store, count=True)
    samples = Samples(reader, variables="t2m", inputs=[-1, 0], targets=[1])
    frazil.curate(samples, CURATORS["full"], batch_size=4, superbatch=24, shuffle=False)
    # 64 anchors in order, chunks of 3 steps: none of the 22 twice, however windows overlap
    assert max(reader.decodes.values()) == 1


def test_another_order_of_the_store_is_another_store(store, tmp_path):
    found = frazil.curate(store, CURATORS["saln"], **SETTINGS)
    frazil.to_zarr(dataset(seed=1), tmp_path / "b.zarr", codec=frazil.JP2K(ratio=6), chunks={"time": 3})
    with pytest.raises(ConfigurationError, match="made for another store"):
        ZarrBatches(tmp_path / "b.zarr", selection=found, inputs=[-1, 0], targets=[1], batch_size=4)
    with pytest.raises(ConfigurationError, match="other windows"):
        ZarrBatches(store, selection=found, inputs=[-1, 0], targets=[1, 2], batch_size=4)


def test_selected_by_one_variable_trained_on_others(store):
    found = frazil.curate(store, CURATORS["saln"], variables="z", **SETTINGS)
    batches = ZarrBatches(
        store, selection=found, variables=["t2m", "sst"], inputs=[-1, 0], targets=[1], batch_size=4
    )
    assert [i for batch in batches for i in batch.index] == found.kept(0).tolist()


def test_sources_are_curated_apart(tmp_path):
    stores = {name: dataset(seed).isel(time=slice(0, 40 + 10 * seed)) for seed, name in enumerate("ab")}
    both = frazil.curate(stores, CURATORS["saln"], out=tmp_path / "both.json", **SETTINGS)
    assert read_sources(tmp_path / "both.json") == both
    for name, each in stores.items():
        assert both[name] == frazil.curate(each, CURATORS["saln"], **SETTINGS)
        online = ZarrBatches(each, curate=CURATORS["saln"], **SETTINGS)
        offline = ZarrBatches(
            each, selection=tmp_path / "both.json", inputs=[-1, 0], targets=[1], batch_size=4
        )
        same(online, offline)


def test_ranks_have_as_many_batches_each(store):
    """64 samples are two superbatches of 24 and a rest, which two ranks cannot share."""
    found = frazil.curate(store, CURATORS["saln"], **SETTINGS)
    assert found.candidates == ((24, 24, 16),)
    settings = {"selection": found, "inputs": [-1, 0], "targets": [1], "batch_size": 4, "world_size": 2}
    ranks = [ZarrBatches(store, rank=rank, **settings) for rank in range(2)]
    counts = [[len(batch) for batch in rank] for rank in ranks]
    assert counts[0] == counts[1]
    online = [ZarrBatches(store, rank=r, world_size=2, curate=CURATORS["saln"], **SETTINGS) for r in (0, 1)]
    for one, other in zip(online, ranks, strict=True):
        one.set_epoch(0)
        other.set_epoch(0)
        same(one, other)


class TestRefusals:
    def test_losses(self, store):
        with pytest.raises(ConfigurationError, match="JEST chooses by the losses of a model in training"):
            frazil.curate(store, frazil.JEST(keep=0.5), **SETTINGS)

    def test_no_epochs(self, store):
        with pytest.raises(ConfigurationError, match="epochs counts from 1 on; got 0"):
            frazil.curate(store, CURATORS["saln"], epochs=0, **SETTINGS)

    def test_no_sources(self):
        with pytest.raises(ConfigurationError, match="no sources"):
            frazil.curate({}, CURATORS["saln"], **SETTINGS)

    def test_a_share_of_the_ranks(self, store):
        with pytest.raises(ConfigurationError, match="leave out rank, world_size"):
            frazil.curate(store, CURATORS["saln"], rank=0, world_size=2, **SETTINGS)

    def test_batches_that_do_not_fit(self, store):
        with pytest.raises(ConfigurationError, match="20 is no multiple of batch_size=16"):
            frazil.curate(store, CURATORS["saln"], superbatch=20)

    def test_nowhere_to_write(self, store, tmp_path):
        with pytest.raises(StoreError, match="cannot write the selection"):
            frazil.curate(store, CURATORS["recent"], out=tmp_path / "no" / "a.json", **SETTINGS)

    def test_a_damaged_chunk(self, tmp_path):
        with pytest.raises((FormatError, StoreError), match="variable 't2m'"):
            frazil.curate(_broken(tmp_path), CURATORS["saln"], variables="t2m", **SETTINGS)


@pytest.mark.parametrize("on_bad_chunk", ["nan", "skip"])
@pytest.mark.parametrize("embed", [None, frazil.ReducedResolution(0)])
def test_damaged_chunks_are_chosen_last(tmp_path, on_bad_chunk, embed):
    path = _broken(tmp_path)
    curator = frazil.SALN(keep=0.6, embed=embed)
    batches = ZarrBatches(path, curate=curator, on_bad_chunk=on_bad_chunk, **SETTINGS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = np.concatenate([batch.index for batch in batches])
    touched = {15, 16, 17}  # anchors in the damaged chunk
    assert not touched & set(seen.tolist())
    assert list(batches.bad_chunks) == ["t2m/c/5/0/0"]
    # whole batches of whole superbatches, 4 of 6 and 2 of 4; two windows reach into the chunk
    assert len(seen) == 2 * 16 + 8 - (2 if on_bad_chunk == "skip" else 0)
