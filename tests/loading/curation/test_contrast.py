import numpy as np
import pytest
import xarray as xr

from frazil.data.curation import contrast as module
from frazil.data.curation.contrast import contrast
from frazil.data.curation.figure import draw
from frazil.data.curation.manifest import Manifest
from frazil.data.samples import Samples
from frazil.errors import ConfigurationError, StoreError


def dataset(chunk=4):
    rng = np.random.default_rng(2)
    t = rng.normal(280, 5, size=(40, 9, 14)).astype("f4")
    sst = t - 1
    sst[:, 3:6, 2:9] = np.nan
    z = rng.normal(size=(40, 2, 9, 14)).astype("f4")
    dims = ("time", "lat", "lon")
    ds = xr.Dataset(
        {
            "t": (dims, t, {"units": "K"}),
            "sst": (dims, sst, {"units": "K"}),
            "z": (("time", "level", "lat", "lon"), z),
        },
        {"lat": np.linspace(-80, 80, 9), "level": [500, 850]},
    )
    return ds.chunk(time=chunk, lat=5, lon=7)


def choose(samples, share=0.5):
    """A selection that nobody made: some samples, in no order."""
    rng = np.random.default_rng(0)
    numbers = rng.permutation(samples.plan.samples)
    kept = numbers[: int(len(numbers) * share)]
    return Manifest(
        store=samples.reader.fingerprint(),
        plan=samples.plan.fingerprint(),
        curator={},
        batch_size=4,
        superbatch=8,
        seed=0,
        kept_samples=((tuple(kept.tolist()),),),
        candidates=((len(numbers),),),
        diagnostics=((None,),),
    )


def expected(samples, manifest, channel, inside):
    """All values of the samples that were kept, or that were not, at their last input step."""
    numbers = samples.plan.samples
    batch = samples.read(numbers[np.isin(numbers, manifest.kept()) == inside])
    last = len(samples.plan.inputs) - 1
    return np.where(batch.mask[:, last, channel], batch.x[:, last, channel], np.nan).astype("f8")


@pytest.mark.parametrize(
    "settings", [{}, {"patch": {"lat": 4, "lon": 5}}, {"region": {"lat": slice(-41, 41)}, "inputs": [0]}]
)
def test_numbers_are_numpys(settings, monkeypatch):
    monkeypatch.setattr(module, "_PART", 1 << 12)  # many parts
    samples = Samples(dataset(), **({"inputs": [-1, 0], "targets": [1]} | settings))
    manifest = choose(samples)
    found = contrast(samples, manifest)
    assert [c.channel for c in found] == ["t", "sst", "z@500", "z@850"]
    assert [c.units for c in found] == ["K", "K", "", ""]
    for number, each in enumerate(found):
        both = [expected(samples, manifest, number, inside) for inside in (True, False)]
        for name, values in zip(("kept", "dropped", "all"), (*both, np.concatenate(both)), strict=True):
            numbers = each.numbers()[name]
            assert numbers["samples"] == len(values)
            assert numbers["missing"] == np.isnan(values).sum()
            np.testing.assert_allclose(numbers["mean"], np.nanmean(values), rtol=1e-12)
            np.testing.assert_allclose(numbers["sd"], np.nanstd(values), rtol=1e-9)
            assert numbers["min"] == np.nanmin(values)
            assert numbers["max"] == np.nanmax(values)
            edges, counts = each.portraits[name].histogram.binned(30, like=each.all.histogram)
            np.testing.assert_array_equal(counts, np.histogram(values[~np.isnan(values)], edges)[0])


def test_the_map_is_the_mean_field(monkeypatch):
    samples = Samples(dataset(), inputs=[0], targets=[])
    manifest = choose(samples)
    for number, each in enumerate(contrast(samples, manifest)):
        kept, dropped = (expected(samples, manifest, number, inside) for inside in (True, False))
        whole = np.concatenate((kept, dropped))
        np.testing.assert_allclose(each.difference, kept.mean(0) - whole.mean(0), atol=1e-9)
        assert np.isnan(each.difference).sum() == (21 if number == 1 else 0)
    monkeypatch.setattr(module, "MAP", 4)
    (each, *_) = contrast(samples, manifest)
    fine = expected(samples, manifest, 0, inside=True).mean(0)
    coarse = [fine[i : i + 3, j : j + 4].mean() for i in range(0, 9, 3) for j in range(0, 14, 4)]
    np.testing.assert_allclose(each.kept.field.ravel(), coarse)


def test_patches_cover_the_map_of_the_whole_field():
    whole = Samples(dataset(), inputs=[0], targets=[])
    patched = Samples(dataset(), inputs=[0], targets=[], patch={"lat": 3, "lon": 7})
    every = [contrast(samples, choose(samples, share=1)) for samples in (whole, patched)]
    for one, other in zip(*every, strict=True):
        np.testing.assert_allclose(one.kept.field, other.kept.field)
        assert other.dropped.samples == 0
        assert other.numbers()["dropped"]["mean"] is None


def test_each_chunk_is_decoded_once(tmp_path):
    from frazil.data.stores import StoreReader

    ds = dataset().drop_vars(["z", "sst"])
    ds.to_zarr(tmp_path / "a.zarr", zarr_format=2)
    for patch in (None, {"lat": 5, "lon": 7}):
        reader = StoreReader(tmp_path / "a.zarr", count=True)
        samples = Samples(reader, inputs=[0], targets=[], patch=patch)
        before = dict(reader.decodes)
        contrast(samples, choose(samples))
        again = {key: n - before.get(key, 0) for key, n in reader.decodes.items()}
        # the last patches overlap their neighbours and so the chunks of those
        assert max(again.values()) <= (1 if patch is None else 2)


def test_another_store_is_refused():
    manifest = choose(Samples(dataset(), inputs=[0], targets=[]))
    with pytest.raises(ConfigurationError, match="other windows"):
        contrast(Samples(dataset(), inputs=[0], targets=[1]), manifest)


@pytest.mark.parametrize("share", [0.5, 1])
def test_figure(tmp_path, share):
    samples = Samples(dataset(), inputs=[0], targets=[])
    found = contrast(samples, choose(samples, share))
    draw(found, samples, tmp_path / "report.png", title="a title")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(StoreError, match="cannot write the figure"):
        draw(found, samples, tmp_path / "nowhere" / "report.png")
    with pytest.raises(StoreError, match="cannot write the figure"):
        draw(found, samples, tmp_path / "report.nothing")


@pytest.mark.parametrize("dims", [("time", "point"), ("time", "y", "x")])
def test_figure_of_odd_fields(tmp_path, dims):
    values = np.full((12, 6, 7)[: len(dims)], np.nan if len(dims) == 3 else 1.0, "f4")
    samples = Samples(xr.Dataset({"t": (dims, values)}), inputs=[0], targets=[])
    draw(contrast(samples, choose(samples)), samples, tmp_path / "report.svg")
    assert b"<svg" in (tmp_path / "report.svg").read_bytes()
