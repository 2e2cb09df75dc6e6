"""Statistics are numpy's, the same for any number of workers, and are kept with the store."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from frazil.data.moments import Moments
from frazil.data.normalise import Normaliser
from frazil.data.stores import StoreReader
from frazil.errors import ConfigurationError, StoreError

pytestmark = pytest.mark.core


def dataset():
    rng = np.random.default_rng(3)
    z = (5e4 + 300 * rng.standard_normal((90, 3, 6, 8))).astype("f4")
    t = (280 + 10 * rng.standard_normal((90, 6, 8))).astype("f4")
    t[5:40, 2] = np.nan
    t[7, 0, 0] = np.inf
    z[:, 2] = 0.1
    empty = np.full((90, 6, 8), np.nan, "f4")
    return xr.Dataset(
        {
            "t": (("time", "lat", "lon"), t),
            "z": (("time", "level", "lat", "lon"), z),
            "empty": (("time", "lat", "lon"), empty),
        },
        coords={"level": [500, 850, 1000]},
    )


@pytest.fixture(params=[2, 3])
def store(tmp_path, request):
    encoding = {"t": {"chunks": (1, 6, 8)}, "z": {"chunks": (4, 2, 6, 8)}}
    dataset().to_zarr(
        tmp_path / "a.zarr", zarr_format=request.param, consolidated=request.param == 2, encoding=encoding
    )
    return tmp_path / "a.zarr"


values = st.lists(st.floats(-1e6, 1e6, width=32) | st.just(np.nan), max_size=40)


class TestMoments:
    @given(parts=st.lists(values, min_size=1, max_size=6))
    def test_merged_moments_are_those_of_all(self, parts):
        whole = np.concatenate([np.array(p, "f8") for p in parts])
        whole = whole[np.isfinite(whole)]
        merged = Moments()
        for part in parts:
            merged = merged + Moments.of(np.array(part, "f4"))
        assert merged.count == whole.size
        if whole.size:
            scale = np.abs(whole).max() + 1e-30
            assert abs(merged.mean - whole.mean()) <= 1e-12 * scale
            assert abs(merged.sd - whole.std()) <= 1e-7 * scale

    def test_a_small_spread_about_a_large_mean(self):
        x = 1e8 + np.random.default_rng(0).standard_normal(100_000)
        m = Moments.of(x[:300]) + Moments.of(x[300:])
        assert abs(m.sd / x.std() - 1) < 1e-9

    @given(value=st.floats(-1e30, 1e30), n=st.integers(1, 50), m=st.integers(1, 50))
    def test_a_constant_has_no_spread_at_all(self, value, n, m):
        assert (Moments.of(np.full(n, value)) + Moments.of(np.full(m, value))).sd == 0


class TestFit:
    def test_means_and_deviations(self, store):
        ds, fitted = dataset(), Normaliser.fit(store)
        t = ds["t"].values.astype("f8")
        t = t[np.isfinite(t)]
        z = ds["z"].values.astype("f8")
        assert fitted.count["t"] == t.size
        np.testing.assert_allclose(fitted.mean["t"], t.mean(), rtol=1e-13)
        np.testing.assert_allclose(fitted.sd["t"], t.std(), rtol=1e-12)
        for k, name in enumerate(["z@500", "z@850"]):
            np.testing.assert_allclose(fitted.mean[name], z[:, k].mean(), rtol=1e-13)
            np.testing.assert_allclose(fitted.sd[name], z[:, k].std(), rtol=1e-12)

    def test_constant_and_empty_channels_are_guarded(self, store):
        fitted = Normaliser.fit(store)
        assert (fitted.mean["z@1000"], fitted.sd["z@1000"]) == (float(np.float32(0.1)), 1)
        assert (fitted.mean["empty"], fitted.sd["empty"], fitted.count["empty"]) == (0, 1, 0)

    def test_only_chunks_that_are_needed_are_read(self, store):
        reader = StoreReader(store, count=True)
        fitted = Normaliser.fit(reader, ("z", [1000]))
        assert list(fitted.mean) == ["z@1000"]
        assert set(reader.decodes) == {("z", (k, 1, 0, 0)) for k in range(23)}

    def test_the_same_bits_for_any_number_of_threads(self, store):
        fitted = [Normaliser.fit(store, threads=n) for n in (1, 3, 8)]
        assert fitted[0] == fitted[1] == fitted[2]
        assert Normaliser.fit(store, "t").mean["t"] == fitted[0].mean["t"]

    @pytest.mark.filterwarnings("ignore")
    def test_the_same_bits_on_a_cluster(self, store):
        from distributed import Client

        here = Normaliser.fit(store)
        with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
            assert Normaliser.fit(store, client=client) == here


class TestKeeping:
    def test_written_and_read_back(self, store):
        assert Normaliser.from_store(store) is None
        fitted = Normaliser.fit(store)
        reader = StoreReader(store)
        before = reader.fingerprint()
        fitted.write(reader)
        assert Normaliser.from_store(store) == fitted
        assert Normaliser.from_store(reader) == fitted
        assert reader.fingerprint() == before
        attrs = xr.open_zarr(
            store, chunks=None, consolidated=zarr.open_group(store).metadata.zarr_format == 2
        )["z"].attrs
        assert attrs["frazil_statistics"]["dims"] == ["level"]
        assert attrs["frazil_statistics"]["count"] == [90 * 48] * 3
        assert reader.read_chunk("t", (0, 0, 0)).shape == (1, 6, 8)

    def test_consolidated_metadata_know_it(self, tmp_path):
        dataset().to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=True)
        Normaliser.fit(tmp_path / "a.zarr").write(tmp_path / "a.zarr")
        assert zarr.open_group(tmp_path / "a.zarr").metadata.consolidated_metadata is not None
        assert "frazil_statistics" in xr.open_zarr(tmp_path / "a.zarr", consolidated=True)["t"].attrs

    def test_groups(self, tmp_path):
        dataset().to_zarr(tmp_path / "a.zarr", group="era", consolidated=False)
        reader = StoreReader(tmp_path / "a.zarr", group="era")
        fitted = Normaliser.fit(reader)
        fitted.write(reader)
        assert Normaliser.from_store(StoreReader(tmp_path / "a.zarr", group="era")) == fitted

    def test_some_levels_at_a_time(self, store):
        Normaliser.fit(store, ("z", [500])).write(store)
        assert Normaliser.from_store(store, "z") is None
        assert Normaliser.from_store(store, ("z", [500])) is not None
        Normaliser.fit(store, ("z", [850, 1000])).write(store)
        assert Normaliser.from_store(store, "z") == Normaliser.fit(store, "z")

    def test_attributes_of_another_shape_do_not_count(self, store):
        Normaliser.fit(store).write(store)
        array = zarr.open_group(store, use_consolidated=False)["z"]
        stale = dict(array.attrs["frazil_statistics"]) | {"mean": [1.0]}
        array.update_attributes({"frazil_statistics": stale})
        if zarr.open_group(store).metadata.zarr_format == 2:
            zarr.consolidate_metadata(store)
        assert Normaliser.from_store(store) is None

    def test_what_cannot_be_written_to(self, store, tmp_path):
        fitted = Normaliser.fit(store)
        with pytest.raises(StoreError, match="cannot be written to"):
            fitted.write(zarr.storage.LocalStore(store, read_only=True))
        with pytest.raises(StoreError, match="a Dataset is not written to"):
            fitted.write(dataset())
        with pytest.raises(ConfigurationError, match="no channel 'u'"):
            Normaliser({"u": 0.0}, {"u": 1.0}).write(store)


class TestScaling:
    def test_there_and_back(self):
        normaliser = Normaliser({"a": 280.0, "b": 5e4}, {"a": 4.0, "b": 256.0})
        inverse, mean = normaliser.scale_offset(["b", "a"])
        np.testing.assert_array_equal(inverse, np.float32([1 / 256, 0.25]))
        np.testing.assert_array_equal(mean, np.float32([5e4, 280]))
        x = np.random.default_rng(0).standard_normal((3, 2, 4, 5)).astype("f4")
        back = normaliser.denormalise(x, ["b", "a"])
        np.testing.assert_allclose(back[:, 0], x[:, 0] * 256 + 5e4, rtol=1e-6)
        np.testing.assert_allclose(back[:, 1], x[:, 1] * 4 + 280, rtol=1e-6)
        assert back.dtype == np.float32
        np.testing.assert_array_equal(
            normaliser.denormalise(x.swapaxes(0, 1), ["b", "a"], axis=0), back.swapaxes(0, 1)
        )

    def test_a_spread_below_float32_does_not_blow_up(self):
        inverse, _ = Normaliser({"a": 0.0}, {"a": 1e-60}).scale_offset(["a"])
        assert inverse[0] == 1

    def test_unknown_channels(self):
        normaliser = Normaliser({"a": 0.0}, {"a": 1.0})
        with pytest.raises(
            ConfigurationError, match="no statistics of the channel 'b'; there are those of a"
        ):
            normaliser.scale_offset(["b"])
        with pytest.raises(ConfigurationError, match="has 2 entries for 1 channels"):
            normaliser.denormalise(np.zeros((2, 3, 3)), ["a"])
