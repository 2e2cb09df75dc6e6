"""StoreReader: what it finds, CF, levels, trouble, threads, processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import LocalStore, MemoryStore, WrapperStore

import frazil
from frazil.codecs.base import PlaneCodec
from frazil.data.stores import StoreReader
from frazil.data.stores.retries import Retries, is_transient
from frazil.errors import (
    ConfigurationError,
    FormatError,
    StoreError,
    UnsupportedArrayError,
)

pytestmark = pytest.mark.core
N, LAT, LON = 7, 13, 20


def dataset(seed=0):
    rng = np.random.default_rng(seed)
    fields = (280 + rng.standard_normal((N, 3, LAT, LON)).cumsum(-1)).astype("f4")
    return xr.Dataset(
        {
            "t": (("time", "lat", "lon"), fields[:, 0]),
            "z": (("time", "level", "lat", "lon"), fields),
            "oro": (("lat", "lon"), fields[0, 1]),
            "time_bnds": (("time", "bnds"), np.zeros((N, 2))),
            "t_bound": (("time", "lat", "lon"), fields[:, 0]),
            "name": (("time",), np.array(list("abcdefg"))),
        },
        coords={
            "time": (
                "time",
                np.arange(N) * np.timedelta64(6, "h") + np.datetime64("2020-01-01", "ns"),
                {"bounds": "time_bnds"},
            ),
            "level": [500.0, 700.0, 850.0],
            "lat": np.linspace(60, 0, LAT),
            "lon": np.arange(LON) * 18.0,
            "area": (("lat", "lon"), np.ones((LAT, LON))),
        },
        attrs={"title": "test"},
    )


def write(ds, path, fmt=3, **encoding):
    ds.drop_vars("name", errors="ignore").to_zarr(
        path, zarr_format=fmt, consolidated=fmt == 2, encoding=encoding, mode="w"
    )
    return path


@pytest.fixture
def store(tmp_path):
    return write(dataset(), tmp_path / "a.zarr", t={"chunks": (2, LAT, LON)}, z={"chunks": (2, 1, LAT, LON)})


class FlakyStore(WrapperStore):
    """Fails the first ``failures`` times that a chunk is asked for; Zarr makes read-only copies of stores."""

    failures = 0
    error: type[Exception] = OSError

    async def get(self, key, prototype=None, byte_range=None):
        if "/c/" in key and FlakyStore.failures > 0:
            FlakyStore.failures -= 1
            raise FlakyStore.error("stale file handle")
        return await super().get(key, prototype, byte_range)


@pytest.fixture
def flaky(store, monkeypatch):
    monkeypatch.setattr(FlakyStore, "failures", 0)
    monkeypatch.setattr(FlakyStore, "error", OSError)
    return FlakyStore(LocalStore(store))


@pytest.fixture
def no_waits(monkeypatch):
    waits = []
    monkeypatch.setattr("frazil.data.stores.retries.time.sleep", waits.append)
    return waits


class TestWhatThereIs:
    def test_data_without_coordinates_bounds_and_strings(self, store):
        reader = StoreReader(store)
        assert reader.names == ("oro", "t", "z")
        assert reader.sample_dim == "time"
        assert reader.spatial == ("lat", "lon")
        array = reader.array("z")
        assert array.dims == ("time", "level", "lat", "lon")
        assert (array.shape, array.chunks, array.grid) == ((7, 3, 13, 20), (2, 1, 13, 20), (4, 3, 1, 1))
        assert array.chunk_shape((3, 0, 0, 0)) == (1, 1, 13, 20)
        assert reader.key("z", (3, 2, 0, 0)) == "z/c/3/2/0/0"
        assert reader.attrs == {"title": "test"}

    def test_same_from_a_dataset(self, store):
        a, b = StoreReader(store), StoreReader(dataset().drop_vars("name"))
        assert set(a.names) == set(b.names)
        for name in a.names:
            assert a.array(name).dims == b.array(name).dims
        assert (a.sample_dim, a.spatial) == (b.sample_dim, b.spatial)

    def test_coordinates(self, store):
        ds, reader = dataset(), StoreReader(store)
        for dim in ("time", "lat", "lon", "level"):
            np.testing.assert_array_equal(reader.coordinate(dim), ds[dim].values)
        assert reader.coordinate("time").dtype.kind == "M"
        assert reader.coordinate("nothing") is None

    def test_other_calendars(self, tmp_path):
        times = xr.date_range("2000-02-28", periods=N, freq="D", calendar="360_day", use_cftime=True)
        path = write(
            dataset().drop_vars(["time", "time_bnds"]).assign_coords(time=times), tmp_path / "a.zarr"
        )
        assert list(StoreReader(path).coordinate("time")) == list(times)

    def test_other_dimensions(self, store):
        reader = StoreReader(store, sample_dim="level", spatial=["lon"])
        assert (reader.sample_dim, reader.spatial) == ("level", ("lon",))
        with pytest.raises(StoreError, match="dimension 'x'; there are lat, level, lon, time"):
            StoreReader(store, sample_dim="x").names  # noqa: B018 - opening is what fails
        with pytest.raises(StoreError, match="dimension 'y'; there are lat, level, lon"):
            StoreReader(store, spatial=("y", "lon")).names  # noqa: B018 - opening is what fails

    def test_unstructured_points(self, tmp_path):
        ds = xr.Dataset({"t": (("time", "cell"), np.zeros((3, 50), "f4"))})
        assert StoreReader(write(ds, tmp_path / "a.zarr")).spatial == ("cell",)

    def test_a_missing_variable(self, store):
        with pytest.raises(StoreError, match=r"no variable 'tt'; did you mean 't'.*There are oro, t, z"):
            StoreReader(store).array("tt")
        with pytest.raises(StoreError, match="'lat' is a coordinate"):
            StoreReader(store).read_chunk("lat", (0,))

    def test_nothing_to_train_on(self, tmp_path):
        path = write(dataset()[["time"]].drop_vars("time_bnds", errors="ignore"), tmp_path / "a.zarr")
        with pytest.raises(StoreError, match="only coordinates"):
            StoreReader(path).sample_dim  # noqa: B018 - opening is what fails

    @pytest.mark.parametrize(
        "make", [str, LocalStore, zarr.open_group, xr.open_zarr, lambda p: zarr.open_group(p, mode="r")]
    )
    def test_ways_to_say_which(self, store, make):
        chunk = StoreReader(
            make(store) if make is not xr.open_zarr else xr.open_zarr(store, consolidated=False)
        ).read_chunk("t", (1, 0, 0))
        np.testing.assert_array_equal(chunk, dataset()["t"].values[2:4])

    def test_groups(self, tmp_path):
        ds = dataset().drop_vars("name")
        for group in ("era/a", "b"):
            ds.to_zarr(tmp_path / "a.zarr", group=group, consolidated=False)
        a = StoreReader(tmp_path / "a.zarr", group="era/a")
        b = StoreReader(zarr.open_group(tmp_path / "a.zarr", path="era"), group="a")
        for reader in (a, b):
            np.testing.assert_array_equal(reader.read_chunk("t", (0, 0, 0)), ds["t"].values)
            assert reader.key("t", (0, 0, 0)) == "era/a/t/c/0/0/0"
        with pytest.raises(StoreError, match=r"no group 'c'.*there: b, era"):
            StoreReader(tmp_path / "a.zarr", group="c").names  # noqa: B018 - opening is what fails
        with pytest.raises(StoreError, match="is an array"):
            StoreReader(tmp_path / "a.zarr", group="b/t").names  # noqa: B018 - opening is what fails

    def test_what_is_no_store(self, tmp_path):
        with pytest.raises(StoreError, match="nothing at"):
            StoreReader(tmp_path / "nothing").names  # noqa: B018 - opening is what fails
        with pytest.raises(StoreError, match="got int"):
            StoreReader(3)
        with pytest.raises(StoreError, match="has no groups"):
            StoreReader(dataset(), group="a")
        zarr.create_array(tmp_path / "b.zarr", name="t", shape=(3,), dtype="f4", zarr_format=3)
        with pytest.raises(StoreError, match="cannot be opened as an xarray Dataset"):
            StoreReader(tmp_path / "b.zarr").names  # noqa: B018 - opening is what fails

    @pytest.mark.parametrize(
        "options", [{"level": -1}, {"level": True}, {"level": 1, "decode": False}, {"retries": -1}]
    )
    def test_settings_out_of_range(self, store, options):
        with pytest.raises(ConfigurationError):
            StoreReader(store, **options)

    def test_out_of_another_shape(self, store):
        reader = StoreReader(store)
        for out in (np.empty((2, LAT, LON)), np.empty((1, LAT, LON), "f4"), np.empty((LON, LAT, 2), "f4").T):
            with pytest.raises(ConfigurationError, match="wants C-contiguous float32"):
                reader.read_chunk("t", (0, 0, 0), out)


PACKINGS = {
    "int16": {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768},
    "scale alone": {"dtype": "i2", "scale_factor": 0.01, "_FillValue": -32768},
    "offset alone": {"dtype": "i2", "add_offset": 280.0, "_FillValue": -32768},
    "uint8": {"dtype": "u1", "scale_factor": 1.0, "add_offset": 200.0, "_FillValue": 255},
    "int32": {"dtype": "i4", "scale_factor": 1e-5, "add_offset": 280.0, "_FillValue": -(2**31)},
    "integers": {"dtype": "i2", "_FillValue": -1},
    "unsigned": {
        "dtype": "i1",
        "_Unsigned": "true",
        "_FillValue": -1,
        "scale_factor": 1.0,
        "add_offset": 200.0,
    },
    "float sentinel": {"_FillValue": np.float32(-9999)},
    "double sentinel": {"dtype": "f8", "_FillValue": 1e20},
    "missing_value": {"_FillValue": np.float32(1e20), "missing_value": np.float32(1e20)},
    "half": {"dtype": "f2", "_FillValue": np.float16(-9)},
    "scaled floats": {"scale_factor": 0.1, "add_offset": 3.0},
}


class TestPacking:
    @pytest.mark.parametrize("name", PACKINGS)
    @pytest.mark.parametrize("fmt", [2, 3])
    def test_values_are_xarrays(self, tmp_path, name, fmt):
        ds = dataset()[["t"]]
        ds["t"] = ds["t"].where(ds["t"] > 278)
        path = write(ds, tmp_path / "a.zarr", fmt, t=PACKINGS[name] | {"chunks": (2, 8, LON)})
        expected = xr.open_zarr(path, consolidated=fmt == 2, chunks=None)["t"]
        reader = StoreReader(path)
        array = reader.array("t")
        assert array.dtype == (np.float32 if expected.dtype == np.float16 else expected.dtype)
        assert np.isnan(expected.values).any() or "scaled" in name
        for coords in np.ndindex(*array.grid):
            span = tuple(slice(c * n, c * n + n) for c, n in zip(coords, array.chunks, strict=True))
            chunk = reader.read_chunk("t", coords)
            assert chunk.tobytes() == expected.values[span].astype(array.dtype).tobytes()

    @pytest.mark.parametrize(
        ("dtype", "floats"), [("i1", "f4"), ("u2", "f4"), ("i4", "f8"), ("i8", "f8"), ("?", "f4")]
    )
    def test_integers_become_floats_that_hold_them(self, tmp_path, dtype, floats):
        x = np.arange(12).reshape(3, 4).astype(dtype)
        reader = StoreReader(write(xr.Dataset({"n": (("time", "x"), x)}), tmp_path / "a.zarr"))
        chunk = reader.read_chunk("n", (0, 0))
        assert chunk.dtype == floats
        np.testing.assert_array_equal(chunk, x)

    @pytest.mark.parametrize(("sentinel", "expected"), [(None, 5.0), (5.0, np.nan)])
    def test_chunks_that_are_not_stored(self, tmp_path, sentinel, expected):
        attrs = {} if sentinel is None else {"missing_value": sentinel}
        zarr.create_array(
            tmp_path / "a.zarr",
            name="t",
            shape=(3, 4),
            chunks=(2, 4),
            dtype="f4",
            fill_value=5.0,
            attributes=attrs,
            dimension_names=("time", "x"),
            zarr_format=3,
        )
        np.testing.assert_array_equal(
            StoreReader(tmp_path / "a.zarr").read_chunk("t", (1, 0)), np.full((1, 4), expected)
        )


class TestLevels:
    @pytest.mark.parametrize("fmt", [2, 3])
    @pytest.mark.parametrize("level", [1, 2, 3])
    def test_same_as_open_zarr(self, tmp_path, fmt, level):
        ours = frazil.JP2K(ratio=8).encoding(fmt, chunks=(2, LAT, 8))
        ds = dataset().drop_vars(["time_bnds", "t_bound", "z"])
        ds["u"] = ds["t"] + 1
        path = write(ds, tmp_path / "a.zarr", fmt, t=ours, u={"chunks": (3, LAT, LON)})
        expected = frazil.open_zarr(path, level=level, consolidated=fmt == 2).load()
        reader = StoreReader(path, level=level)
        for dim in ("lat", "lon"):
            np.testing.assert_array_equal(reader.coordinate(dim), expected[dim].values)
            np.testing.assert_array_equal(ds[dim].values[reader.points(dim)], expected[dim].values)
        for name in ("t", "u", "oro"):
            array = reader.array(name)
            assert array.shape == expected[name].shape
            for coords in np.ndindex(*array.grid):
                span = tuple(slice(c * n, c * n + n) for c, n in zip(coords, array.chunks, strict=True))
                np.testing.assert_array_equal(reader.read_chunk(name, coords), expected[name].values[span])
        assert reader.reduces(["t"])
        assert not reader.reduces(["t", "u"])

    def test_shards_at_a_level(self, tmp_path):
        ours = frazil.JP2K(ratio=8).encoding(3, chunks=(1, LAT, LON), shards=(4, LAT, LON))
        path = write(dataset()[["t"]], tmp_path / "a.zarr", t=ours)
        expected = frazil.open_zarr(path, level=1, consolidated=False)["t"].values
        reader = StoreReader(path).at_level(1)
        for k in range(N):
            np.testing.assert_array_equal(reader.read_chunk("t", (k, 0, 0)), expected[k : k + 1])

    def test_irregular_chunks_start_anew(self, tmp_path):
        path = write(dataset()[["t"]], tmp_path / "a.zarr", t={"chunks": (2, 5, 20)})
        reader = StoreReader(path, level=1)
        array = reader.array("t")
        assert (array.shape, array.chunks) == ((7, 8, 10), (2, 3, 10))
        assert array.chunk_shape((3, 2, 0)) == (1, 2, 10)
        points = reader.points("lat")
        np.testing.assert_array_equal(points, [0, 2, 4, 5, 7, 9, 10, 12])
        np.testing.assert_array_equal(
            reader.read_chunk("t", (1, 1, 0)), dataset()["t"].values[2:4, points[3:6], ::2]
        )

    def test_chunks_that_leave_different_points(self, tmp_path):
        path = write(
            dataset()[["t", "z"]],
            tmp_path / "a.zarr",
            t={"chunks": (2, 5, 20)},
            z={"chunks": (2, 1, LAT, LON)},
        )
        reader = StoreReader(path, level=1)
        reader.array("t")
        with pytest.raises(ConfigurationError, match="multiples of 2"):
            reader.array("z")

    def test_a_dataset_is_subsampled(self):
        ds = dataset()
        chunk = StoreReader(ds.chunk(time=2), level=2).read_chunk("t", (1, 0, 0))
        np.testing.assert_array_equal(chunk, ds["t"].values[2:4, ::4, ::4])

    def test_less_is_read(self, tmp_path, fields):
        t = fields("t2m_uk")[:2]
        ds = xr.Dataset({"t": (("time", "y", "x"), np.tile(t, (1, 8, 8)))})
        path = write(
            ds, tmp_path / "a.zarr", t=frazil.JP2K(ratio=4).encoding(3, chunks=(1, *ds["t"].shape[1:]))
        )
        source = StoreReader(path, level=3)._variable("t").source
        sizes = [len(source.load((k, 0, 0))) for k in range(2)]
        whole = (path / "t/c/0/0/0").stat().st_size
        assert max(sizes) < whole / 3


class TestDatasets:
    def test_dask_lazy_and_in_memory_agree(self, tmp_path, store):
        ds = dataset().drop_vars("name")
        ds.drop_vars(["time_bnds"]).to_netcdf(
            tmp_path / "a.nc", encoding={"t": {"chunksizes": (3, LAT, LON)}}
        )
        with xr.open_dataset(tmp_path / "a.nc", cache=False) as lazy:
            for source, chunks in [(ds.chunk(time=3), 3), (lazy, 3), (ds, 7)]:
                reader = StoreReader(source)
                assert reader.array("t").chunks == (chunks, LAT, LON)
                read = [reader.read_chunk("t", (k, 0, 0)) for k in range(reader.array("t").grid[0])]
                np.testing.assert_array_equal(np.concatenate(read), ds["t"].values)

    def test_large_fields_in_memory_are_cut_along_the_samples(self):
        ds = xr.Dataset({"t": (("time", "y", "x"), np.zeros((9, 512, 256), "f4"))})
        assert StoreReader(ds).array("t").chunks == (2, 512, 256)

    def test_irregular_dask_chunks(self):
        ds = dataset()
        reader = StoreReader(ds.chunk(time=(1, 4, 2)))
        assert reader.array("t").chunks == (4, LAT, LON)
        np.testing.assert_array_equal(reader.read_chunk("t", (1, 0, 0)), ds["t"].values[4:])

    def test_no_latents(self):
        with pytest.raises(UnsupportedArrayError, match="no latents"):
            StoreReader(dataset(), decode=False).array("t")


class Latents(PlaneCodec):
    """Whose latents are the means of blocks of 2 x 2."""

    codec_id = "test.latents"

    def encode_planes(self, planes, *, spent, valid=None):
        return {"V": planes.tobytes()}

    def decode_planes(self, sections, shape, dtype, level=0, *, valid=None):
        return np.frombuffer(sections["V"], dtype).reshape(shape).copy()

    def decode_latents(self, buf, *, shape=None, dtype=None):
        chunk = self.decode_chunk(buf, shape=shape, dtype=dtype)
        n, *rest = chunk.shape
        y, x = rest[-2:]
        blocks = chunk.reshape(n, -1, y // 2, 2, x // 2, 2)
        return np.nan_to_num(np.rint(blocks.mean((3, 5)))).astype("i2")


numcodecs.register_codec(Latents)


class TestLatents:
    def test_instead_of_fields(self, tmp_path):
        ds = dataset()[["t", "z"]].isel(lat=slice(0, 12))
        encoding = {"filters": None, "compressors": [Latents()]}
        path = write(
            ds,
            tmp_path / "a.zarr",
            2,
            t=encoding | {"chunks": (2, 6, 10)},
            z=encoding | {"chunks": (2, 1, 12, 20)},
        )
        reader = StoreReader(path, decode=False)
        array = reader.array("t")
        assert array.dims == ("time", "latent", "lat", "lon")
        assert (array.shape, array.chunks, array.dtype) == ((7, 1, 6, 10), (2, 1, 3, 5), np.int16)
        means = np.rint(ds["t"].values.reshape(7, 6, 2, 10, 2).mean((2, 4))).astype("i2")
        np.testing.assert_array_equal(reader.read_chunk("t", (3, 0, 1, 1))[:, 0], means[6:, 3:, 5:])
        array = reader.array("z")
        assert (array.shape, array.chunks) == ((7, 3, 6, 10), (2, 1, 6, 10))
        means = np.rint(ds["z"].values.reshape(7, 3, 6, 2, 10, 2).mean((3, 5))).astype("i2")
        np.testing.assert_array_equal(reader.read_chunk("z", (1, 2, 0, 0)), means[2:4, 2:])
        assert reader.key("z", (1, 2, 0, 0)) == "z/1.2.0.0"

    def test_where_nothing_is_stored(self, tmp_path):
        array = zarr.create_array(
            tmp_path / "a.zarr",
            name="t",
            shape=(3, 4, 4),
            chunks=(1, 4, 4),
            dtype="f4",
            compressors=[Latents()],
            zarr_format=2,
            attributes={"_ARRAY_DIMENSIONS": ["time", "lat", "lon"]},
        )
        with pytest.raises(StoreError, match="variable 't': none of its first chunks"):
            StoreReader(tmp_path / "a.zarr", decode=False).array("t")
        array[1] = np.ones((4, 4))
        reader = StoreReader(tmp_path / "a.zarr", decode=False)
        assert reader.read_chunk("t", (1, 0, 0, 0)).shape == (1, 1, 2, 2)
        with pytest.raises(StoreError, match=r"variable 't', t/0\.0\.0: the chunk is not stored"):
            reader.read_chunk("t", (0, 0, 0, 0))

    def test_codecs_without(self, tmp_path):
        path = write(dataset()[["t", "z"]], tmp_path / "a.zarr", t=frazil.JP2K(ratio=8).encoding())
        for name, why in [("t", "frazil.jp2k has none"), ("z", "no neural codec")]:
            with pytest.raises(UnsupportedArrayError, match=why):
                StoreReader(path, decode=False).array(name)
        with pytest.raises(UnsupportedArrayError, match=r"frazil\.jp2k has no latents"):
            frazil.JP2K(ratio=8).decode_latents(b"")


class TestTrouble:
    @pytest.mark.parametrize("error", [OSError, TimeoutError, ConnectionResetError])
    @pytest.mark.parametrize("transposed", [False, True])
    def test_a_flaky_store_is_asked_again(self, store, flaky, no_waits, error, transposed):
        if transposed:  # Zarr decodes
            group = zarr.open_group(store)
            data = group["t"][...]
            del group["t"]
            group.create_array(
                "t",
                shape=data.shape,
                dtype="f4",
                chunks=(2, LAT, LON),
                filters=[zarr.codecs.TransposeCodec(order=(2, 0, 1))],
                dimension_names=("time", "lat", "lon"),
            )[...] = data
        reader = StoreReader(flaky)
        reader.array("t")
        FlakyStore.failures, FlakyStore.error = 3, error
        np.testing.assert_array_equal(reader.read_chunk("t", (1, 0, 0)), dataset()["t"].values[2:4])
        assert reader.retried == 3
        assert reader.decode_count == 1
        assert [w > 0.05 * 2**k for k, w in enumerate(no_waits)] == [True] * 3
        assert [w < 0.08 * 2**k for k, w in enumerate(no_waits)] == [True] * 3

    def test_opening_is_tried_again_too(self, flaky, no_waits):
        FlakyStore.failures = 2  # of reading a coordinate
        reader = StoreReader(flaky)
        assert reader.names == ("oro", "t", "z")
        assert (reader.retried, len(no_waits)) == (2, 2)

    def test_one_that_always_fails(self, flaky, no_waits):
        reader = StoreReader(flaky, retries=2)
        reader.array("t")
        FlakyStore.failures = 1000
        with pytest.raises(StoreError, match=r"variable 't', t/c/1/0/0 failed 3 times: OSError: stale"):
            reader.read_chunk("t", (1, 0, 0))
        assert FlakyStore.failures == 997
        assert len(no_waits) == 2

    def test_no_retries_for_what_will_not_change(self, flaky, no_waits):
        reader = StoreReader(flaky)
        reader.array("t")
        FlakyStore.failures, FlakyStore.error = 1000, PermissionError
        with pytest.raises(StoreError, match=r"variable 't', t/c/0/0/0 failed: PermissionError"):
            reader.read_chunk("t", (0, 0, 0))
        assert not no_waits
        assert not is_transient(TypeError())

    def test_a_directory_that_vanishes_is_no_fill_value(self, store, no_waits):
        reader = StoreReader(store, retries=1)
        reader.array("t")
        store.rename(store.with_name("b.zarr"))
        with pytest.raises(StoreError, match=r"variable 't', t/c/0/0/0.*not there"):
            reader.read_chunk("t", (0, 0, 0))
        store.with_name("b.zarr").rename(store)
        reader.read_chunk("t", (0, 0, 0))

    @pytest.mark.parametrize("codec", ["zstd", "jp2k", "gzip", "none", "crc32c", "transposed"])
    def test_damage_names_variable_and_key(self, tmp_path, codec):
        encodings = {
            "zstd": {"compressors": zarr.codecs.ZstdCodec()},
            "gzip": {"compressors": zarr.codecs.GzipCodec()},
            "crc32c": {"compressors": zarr.codecs.Crc32cCodec()},
            "none": {"compressors": None},
            "jp2k": frazil.JP2K(ratio=4).encoding(),
            "transposed": {
                "filters": [zarr.codecs.TransposeCodec(order=(2, 0, 1))],
                "compressors": zarr.codecs.ZstdCodec(),
            },
        }
        path = write(dataset()[["t"]], tmp_path / "a.zarr", t={"chunks": (2, LAT, LON)} | encodings[codec])
        chunk = path / "t/c/1/0/0"
        whole = chunk.read_bytes()
        reader = StoreReader(path)
        expected = reader.read_chunk("t", (1, 0, 0))
        for length in (0, 1, 10, len(whole) // 2, len(whole) - 1):
            chunk.write_bytes(whole[:length])
            with pytest.raises(FormatError, match=r"variable 't', t/c/1/0/0: "):
                reader.read_chunk("t", (1, 0, 0))
        if codec in ("jp2k", "crc32c"):  # which have a checksum
            for position in range(0, len(whole), max(len(whole) // 40, 1)):
                flipped = bytearray(whole)
                flipped[position] ^= 16
                chunk.write_bytes(flipped)
                with pytest.raises(FormatError, match=r"variable 't', t/c/1/0/0: "):
                    reader.read_chunk("t", (1, 0, 0))
        chunk.write_bytes(whole)
        np.testing.assert_array_equal(reader.read_chunk("t", (1, 0, 0)), expected)
        reader.read_chunk("t", (0, 0, 0))

    def test_a_torn_read_is_read_again(self, store):
        reader = StoreReader(store)
        objects = reader._variable("t").source.placement.objects
        torn = [True]

        class Torn:
            def get(self, key, start=0, stop=None):
                data = objects.get(key, start, stop)
                return data[:50] if torn and torn.pop() else data

        reader._variable("t").source.placement.objects = Torn()
        np.testing.assert_array_equal(reader.read_chunk("t", (0, 0, 0)), dataset()["t"].values[:2])
        assert not torn

    def test_metadata_that_cannot_be_read(self, store, no_waits):
        class Offline(WrapperStore):
            async def get(self, key, prototype=None, byte_range=None):
                raise ConnectionError("no route to host")

        with pytest.raises(StoreError, match=r"the metadata of .* failed 3 times: ConnectionError: no route"):
            StoreReader(Offline(LocalStore(store)), retries=2).names  # noqa: B018 - opening is what fails
        assert len(no_waits) == 2

    def test_no_wait_is_needed_for_what_works(self, no_waits):
        assert Retries(3).run(lambda: 5, "five") == 5
        assert not no_waits


class TestThreadsAndProcesses:
    def test_many_threads(self, store):
        reader = StoreReader(store, count=True)
        expected = dataset()["z"].values
        start = threading.Barrier(8)

        def job(seed):
            start.wait()  # all find the store unopened
            for k in np.random.default_rng(seed).permutation(12):
                at = (k // 3, k % 3)
                chunk = reader.read_chunk("z", (*map(int, at), 0, 0))
                np.testing.assert_array_equal(chunk, expected[2 * at[0] : 2 * at[0] + 2, at[1] : at[1] + 1])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(job, range(8)))
        assert reader.decode_count == 96
        assert set(reader.decodes.values()) == {8}
        assert len(reader._states) == 1

    def test_decodes_are_counted_when_asked(self, store):
        plain, counting = StoreReader(store), StoreReader(store, count=True)
        for reader in (plain, counting):
            reader.read_chunk("t", (0, 0, 0))
            reader.read_chunk("t", (0, 0, 0))
        assert (plain.decode_count, plain.decodes) == (2, {})
        assert counting.decodes == {("t", (0, 0, 0)): 2}

    @pytest.mark.parametrize("opened", [False, True])
    def test_pickling(self, store, opened):
        reader = StoreReader(store, level=1, count=True)
        if opened:
            reader.read_chunk("t", (0, 0, 0))
        copy = pickle.loads(pickle.dumps(reader))
        assert copy.level == 1
        assert copy.decode_count == 0
        assert copy.fingerprint() == reader.fingerprint()
        np.testing.assert_array_equal(copy.read_chunk("t", (1, 0, 0)), reader.read_chunk("t", (1, 0, 0)))
        dataset_reader = pickle.loads(pickle.dumps(StoreReader(dataset())))
        np.testing.assert_array_equal(dataset_reader.read_chunk("t", (0, 0, 0)), dataset()["t"].values)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.parametrize("kind", ["local", "memory", "wrapped", "level"])
    def test_a_forked_child_reads_for_itself(self, tmp_path, kind):
        path = write(
            dataset()[["t"]], tmp_path / "a.zarr", t=frazil.JP2K(ratio=4).encoding(chunks=(2, LAT, LON))
        )
        store = path
        if kind == "wrapped":
            store = FlakyStore(LocalStore(path))
        if kind == "memory":
            store = MemoryStore()
            write(dataset()[["t"]], store, t=frazil.JP2K(ratio=4).encoding(chunks=(2, LAT, LON)))
        reader = StoreReader(store, level=int(kind == "level"))
        expected = [
            reader.read_chunk("t", (k, 0, 0)) for k in range(4)
        ]  # the event loop runs where one is needed
        reader._locks[os.getpid()].acquire()  # as if another thread were opening the store just now
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: that is the point
            context = multiprocessing.get_context("fork")
            receive, send = context.Pipe(duplex=False)

            def child():
                send.send([reader.read_chunk("t", (k, 0, 0)).tobytes() for k in range(4)])

            process = context.Process(target=child)
            process.start()
        assert receive.poll(30), "the child hangs"
        assert receive.recv() == [chunk.tobytes() for chunk in expected]
        process.join(30)
        assert process.exitcode == 0

    def test_torch_is_not_imported(self, store):
        StoreReader(store).read_chunk("t", (0, 0, 0))
        code = (
            "import sys; from frazil.data.stores import StoreReader; "
            f"StoreReader({str(store)!r}).read_chunk('t', (0, 0, 0)); assert 'torch' not in sys.modules"
        )
        import subprocess

        subprocess.run([sys.executable, "-c", code], check=True)


class TestFingerprint:
    def test_of_what_it_holds_not_where(self, tmp_path):
        a = StoreReader(write(dataset(), tmp_path / "a.zarr")).fingerprint()
        b = StoreReader(write(dataset(), tmp_path / "b.zarr"), level=2).fingerprint()
        assert a == b
        assert a.startswith("sha256:")
        assert len(a) == 71

    @pytest.mark.parametrize(
        "change",
        [
            lambda ds: dataset(seed=1),
            lambda ds: ds.drop_vars("oro"),
            lambda ds: ds.isel(time=slice(0, 6)),
            lambda ds: ds.assign_coords(time=ds["time"] + np.timedelta64(1, "h")),
            lambda ds: ds.rename(t="u"),
        ],
    )
    def test_another_store_has_another(self, tmp_path, change):
        ds = dataset().drop_vars(["name", "time_bnds"])
        a = StoreReader(write(ds, tmp_path / "a.zarr")).fingerprint()
        b = StoreReader(
            write(change(ds).drop_vars(["name", "time_bnds"], errors="ignore"), tmp_path / "b.zarr")
        ).fingerprint()
        assert a != b
        assert StoreReader(ds).fingerprint() != StoreReader(change(ds)).fingerprint()

    def test_codecs_and_chunks_count_attributes_do_not(self, tmp_path):
        ds = dataset()[["t"]]
        a = write(ds, tmp_path / "a.zarr", t={"chunks": (2, LAT, LON)})
        first = StoreReader(a).fingerprint()
        b = write(ds, tmp_path / "b.zarr", t={"chunks": (2, LAT, LON), "compressors": None})
        c = write(ds, tmp_path / "c.zarr", t={"chunks": (3, LAT, LON)})
        assert len({first, StoreReader(b).fingerprint(), StoreReader(c).fingerprint()}) == 3
        zarr.open_group(a)["t"].update_attributes({"note": "new"})
        assert StoreReader(a).fingerprint() == first

    def test_of_a_dataset_with_its_own_calendar(self):
        times = xr.date_range("2000-02-28", periods=N, freq="D", calendar="360_day", use_cftime=True)
        ds = dataset().assign_coords(time=times)
        assert StoreReader(ds).fingerprint() == StoreReader(ds.chunk(time=1)).fingerprint()
