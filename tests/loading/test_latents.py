"""Latents and codewords of whole stores, lazily; and batches of them."""

from __future__ import annotations

import pickle
import shutil

import little_golden as little
import numpy as np
import pytest
import xarray as xr
import zarr

import frazil
from frazil.data.latent_arrays import Latents
from frazil.data.stores import StoreReader
from frazil.errors import FormatError, MissingModelError, StoreError, UnsupportedArrayError
from frazil.models import store as stores

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
FORMATS = [2, 3]
BANDS = frazil.Latent(model=little.klt())
WORDS = frazil.Codeword(model=little.words(2))


def bands(n: int = 5, shape: tuple[int, int] = (24, 32)) -> xr.Dataset:
    values = little.bands(n, 4, shape).astype("f4")
    coords = {
        "time": np.datetime64("2001-01-01", "ns") + np.arange(n) * np.timedelta64(6, "h"),
        "lat": np.linspace(9, -9, shape[0]),
    }
    return xr.Dataset({"scene": (("time", "band", "lat", "lon"), values)}, coords)


def of_chunk(values: np.ndarray, codec: frazil.Latent = BANDS) -> np.ndarray:
    """Latents of one chunk, by the codec alone."""
    return codec.decode_latents(codec.encode(values))


def put(path, ds, codec=BANDS, **options):
    frazil.to_zarr(ds, path, codec=codec, **options)
    return path


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_of_every_chunk(tmp_path, zarr_format):
    ds = bands(5)
    path = put(tmp_path / "a.zarr", ds, zarr_format=zarr_format, chunks={"time": 2, "lat": 8, "lon": 20})
    latents = frazil.read_latents(path).scene
    assert latents.dims == ("time", "latent", "block_lat", "block_lon")
    assert latents.shape == (5, little.klt().decoder.inputs, 6, 8)
    assert latents.chunks == ((2, 2, 1), latents.shape[1:2], (2, 2, 2), (5, 3))
    assert latents.dtype == np.int32
    values = ds.scene.values
    assert np.array_equal(latents[2:4, :, 2:4, :5], of_chunk(values[2:4, :, 8:16, :20]))
    # an edge chunk is padded by Zarr; what lies beyond the edge is left out
    stored = xr.open_zarr(path).scene.values
    assert np.isfinite(stored).all()
    fill = zarr.open_array(path, path="scene", mode="r").fill_value
    padded = np.full((2, 2, 8, 20), fill, "f4")
    padded[:1, :, :, :12] = values[4:, :, 16:, 20:]
    data = BANDS.encode_chunk(padded, fill_value=fill if zarr_format == 3 else None)
    assert np.array_equal(latents[4:, :, 4:, 5:], BANDS.decode_latents(data)[:1, :, :, :3])


def test_coordinates_are_those_of_a_blocks_first_point(tmp_path):
    ds = bands(4)
    latents = frazil.read_latents(put(tmp_path / "a.zarr", ds, chunks={"time": 1, "lat": 10, "lon": 32}))
    assert np.array_equal(latents.time, ds.time)
    assert np.array_equal(latents.block_lat, ds.lat.values[[0, 4, 8, 10, 14, 18, 20]])
    assert np.array_equal(latents.block_lon, np.arange(0, 32, 4))  # which has no coordinate
    assert latents.scene.attrs == {
        "model": little.klt().digest,
        "model_name": "klt",
        "points_in_a_block": 4,
    }


def test_inside_shards(tmp_path):
    ds = bands(6)
    encoding = {"scene": {"shards": (4, 2, 24, 32)}}
    path = put(tmp_path / "a.zarr", ds, chunks={"time": 2, "lat": 12, "lon": 16}, encoding=encoding)
    latents = frazil.read_latents(path).scene
    assert latents.chunks[0] == (2, 2, 2)
    assert np.array_equal(latents[4:, :, 3:, 4:], of_chunk(ds.scene.values[4:, :, 12:, 16:]))


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_nothing_is_read_before_it_is_asked_for(tmp_path, monkeypatch, zarr_format):
    path = put(tmp_path / "a.zarr", bands(8), zarr_format=zarr_format, chunks={"time": 1, "lat": 12})
    loaded = []
    load = Latents._load
    monkeypatch.setattr(Latents, "_load", lambda self, at: loaded.append(at) or load(self, at))
    latents = frazil.read_latents(path).scene
    assert not loaded
    part = latents[2:4, 5, :2].load()
    assert sorted(loaded) == [(2, 0, 0, 0), (3, 0, 0, 0)]
    assert part.shape == (2, 2, 8)
    assert np.array_equal(latents[::-3, ::2, 4].load(), latents.load()[::-3, ::2, 4])


def test_any_slice(tmp_path):
    path = put(tmp_path / "a.zarr", bands(5), chunks={"time": 2, "lat": 8, "lon": 20})
    array = zarr.open_array(path, path="scene", mode="r")
    numbers = Latents(array, BANDS, array.shape, array.chunks)
    whole = numbers[:, :]
    for at in [
        np.s_[3],
        np.s_[-1, 2],
        np.s_[1:4, :, ::-1, 3],
        np.s_[::2, 3:9, 1:5:2],
        np.s_[2:2],
        np.s_[:, 0, -2:, 7],
        np.s_[4, 1, 2, 3],
    ]:
        assert np.array_equal(numbers[at], whole[at]), at
    again = pickle.loads(pickle.dumps(numbers))
    assert np.array_equal(again[1:3], whole[1:3])


def test_hours_of_a_day_as_channels(tmp_path):
    days = little.bands(20, 7)[:, 0].reshape(10, 2, 24, 32)  # of two hours
    model = frazil.models.fit_klt(days, factor=4, error=0.1, name="days")
    codec = frazil.Latent(model=model)
    hours = days.reshape(20, 24, 32).astype("f4")
    ds = xr.Dataset({"t": (("time", "y", "x"), hours)}, {"time": np.arange(20) * 3})
    for length in (2, 4, 6):
        path = put(tmp_path / f"{length}.zarr", ds, codec, chunks={"time": length, "y": 12})
        latents = frazil.read_latents(path).t
        assert latents.dims == ("block_time", "latent", "block_y", "block_x")
        assert latents.shape == (10, model.decoder.inputs, 6, 8)
        assert np.array_equal(latents.block_time, np.arange(0, 60, 6))
        part = of_chunk(hours[4:6, 12:], codec)
        off = abs(latents[2, :, 3:].values - part[0])  # how they are rounded depends on the rest of the chunk
        assert off.max() <= (0 if length == 2 else 1)


def test_channels_before_the_times(tmp_path):
    codec = frazil.Latent(model=little.klt(-4))
    values = np.moveaxis(little.bands(6, 4), 1, 0).astype("f4")
    ds = xr.Dataset({"v": (("variable", "time", "y", "x"), values)})
    latents = frazil.read_latents(put(tmp_path / "a.zarr", ds, codec, chunks={"time": 4})).v
    assert latents.dims == ("time", "latent", "block_y", "block_x")
    assert np.array_equal(latents[:4], of_chunk(values[:, :4], codec))


def test_more_axes(tmp_path):
    values = little.bands(12, 4).reshape(3, 4, 2, 24, 32).astype("f4")
    ds = xr.Dataset({"v": (("time", "member", "band", "y", "x"), values)})
    path = put(tmp_path / "a.zarr", ds, chunks={"time": 2, "member": 3})
    latents = frazil.read_latents(path).v
    assert latents.dims == ("time", "member", "latent", "block_y", "block_x")
    assert np.array_equal(latents[:2, :3], of_chunk(values[:2, :3]).reshape(2, 3, *latents.shape[2:]))
    assert np.array_equal(latents[2, 3].load(), latents.load()[2, 3])


def test_points(tmp_path):
    for factor in (1, 4):
        codec = frazil.Latent(model=little.points(factor))
        values = little.stations(5, 3).astype("f4")
        ds = xr.Dataset({"obs": (("time", "variable", "station"), values)}, {"station": np.arange(90) + 100})
        path = put(tmp_path / f"{factor}.zarr", ds, codec, chunks={"time": 2, "station": 50})
        latents = frazil.read_latents(path).obs
        name = "station" if factor == 1 else "block_station"
        assert latents.dims == ("time", "latent", name)
        assert latents.shape[2] == (90 if factor == 1 else 4 + 3)
        assert np.array_equal(
            latents[2:4, :, : 50 if factor == 1 else 4], of_chunk(values[2:4, :, :50], codec)[:, :, 0]
        )
        assert latents[name].values[-1] == (189 if factor == 1 else 182)


def test_rows_of_one_variable(tmp_path):
    model = frazil.models.fit_klt(little.stations(20)[:, :1], factor=2, error=0.1, axis=-2, name="row")
    ds = xr.Dataset({"t": (("time", "station"), little.stations(4)[:, 0].astype("f4"))})
    path = put(tmp_path / "a.zarr", ds, frazil.Latent(model=model), chunks={"time": 2, "station": -1})
    latents = frazil.read_latents(path).t
    assert latents.dims == ("time", "latent", "block_station")
    assert latents.shape == (4, model.decoder.inputs, 23)


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_codewords(tmp_path, zarr_format):
    values = np.clip(little.bands(4)[:, 0] - 150, 0, 255).astype("f4")
    ds = xr.Dataset({"v": (("time", "y", "x"), values)})
    path = put(tmp_path / "a.zarr", ds, WORDS, zarr_format=zarr_format, chunks={"time": 3, "x": 20})
    words = frazil.read_codewords(path).v
    assert words.dims == ("time", "head", "block_y", "block_x")
    assert words.shape == (4, 2, 12, 16)
    assert words.attrs["codewords"] == 8
    assert words.load().min() >= 0
    assert words.max() < 8
    assert np.array_equal(words[:3, :, :, :10], of_chunk(values[:3, :, :20], WORDS))
    with pytest.raises(StoreError, match=r"no variable that frazil\.latent wrote"):
        frazil.read_latents(path)


class TestChunksWithoutLatents:
    def test_written_without_the_model(self, tmp_path, monkeypatch):
        ds = bands(3)
        wild = ds.scene.values
        wild[1] = np.random.default_rng(0).normal(0, 1e4, wild[1].shape)
        path = put(tmp_path / "a.zarr", ds, chunks={"time": 1})
        assert "L" not in frazil.container.unpack((path / "scene/c/1/0/0/0").read_bytes())[1]
        latents = frazil.read_latents(path).scene
        assert latents[1].load().any()
        assert np.array_equal(latents[2], of_chunk(wild[2:])[0])
        monkeypatch.setattr(stores, "STORE", stores.ModelStore())
        latents = frazil.read_latents(path).scene
        assert latents[2].load().any()
        with pytest.raises(MissingModelError, match="the encoder"):
            latents[1].load()

    @pytest.mark.parametrize("zarr_format", FORMATS)
    def test_not_stored(self, tmp_path, zarr_format):
        ds = bands(3)
        ds.scene[1] = np.nan
        path = put(tmp_path / "a.zarr", ds, zarr_format=zarr_format, chunks={"time": 1})
        shutil.rmtree(path / "scene/c/1", ignore_errors=True)
        (path / "scene/1.0.0.0").unlink(missing_ok=True)
        latents = frazil.read_latents(path).scene
        assert abs(latents[1]).max() <= 1  # the mean
        assert latents[2].load().any()

    def test_a_fill_value_that_is_a_value(self, tmp_path):
        array = zarr.create_array(
            tmp_path / "a.zarr",
            name="t",
            shape=(2, 2, 8, 8),
            chunks=(1, 2, 8, 8),
            dtype="f4",
            fill_value=250,
            compressors=[BANDS],
            zarr_format=2,
            attributes={"_ARRAY_DIMENSIONS": ["time", "band", "y", "x"]},
        )
        array[0] = little.bands(1)[0, :, :8, :8]
        latents = frazil.read_latents(tmp_path / "a.zarr").t
        assert np.array_equal(latents[1], of_chunk(np.full((1, 2, 8, 8), 250, "f4"))[0])


class TestStores:
    def test_several_variables(self, tmp_path):
        ds = bands(4)
        ds["other"] = ds.scene * 1.01
        ds["fine"] = (("time", "band", "y", "x"), little.bands(4, 9, (12, 12)).astype("f4"))
        ds["days"] = (("day", "band", "lat", "lon"), ds.scene.values[:2])
        ds["plain"] = ("time", np.arange(4.0))
        codecs = dict.fromkeys(("scene", "other", "fine", "days"), BANDS)
        latents = frazil.read_latents(put(tmp_path / "a.zarr", ds, codecs))
        assert set(latents.data_vars) == set(codecs)
        assert latents.scene.dims == latents.other.dims == ("time", "latent", "block_lat", "block_lon")
        assert latents.fine.dims == ("time", "latent", "block_y", "block_x")
        assert latents.days.dims == ("day", "latent", "block_lat", "block_lon")

    def test_axes_of_one_name_and_other_lengths(self, tmp_path):
        ds = bands(4)
        path = put(tmp_path / "a.zarr", ds[["scene"]], chunks={"lat": 24})
        again = ds.rename(scene="halves")
        frazil.to_zarr(again, path, codec=BANDS, chunks={"lat": 10}, mode="a")
        latents = frazil.read_latents(path)
        assert latents.halves.dims == ("time", "latent", "block_lat", "block_lon")
        assert latents.scene.dims == ("time", "latent", "block_lat_2", "block_lon")

    def test_groups(self, tmp_path):
        path = put(tmp_path / "a.zarr", bands(2))
        frazil.to_zarr(bands(3), path, codec=BANDS, group="deep/er", mode="a")
        latents = frazil.read_latents(path)
        assert set(latents.data_vars) == {"scene", "deep/er/scene"}
        assert latents["deep/er/scene"].sizes["time_2"] == 3
        inside = frazil.read_latents(path, group="deep/er").scene
        assert np.array_equal(inside, latents["deep/er/scene"])
        assert np.array_equal(
            frazil.read_latents(zarr.open_group(path, mode="r")["deep"])["er/scene"], inside
        )

    def test_nothing_there(self, tmp_path):
        path = put(tmp_path / "a.zarr", bands(2), frazil.JP2K(ratio=8))
        with pytest.raises(StoreError, match=r"a\.zarr has no variable that frazil\.latent wrote"):
            frazil.read_latents(path)
        with pytest.raises(StoreError):
            frazil.read_latents(tmp_path / "nowhere.zarr")
        with pytest.raises(UnsupportedArrayError, match="a Dataset in memory has no latents"):
            frazil.read_latents(bands(2))

    def test_a_damaged_chunk_is_named(self, tmp_path):
        path = put(tmp_path / "a.zarr", bands(2), chunks={"time": 1})
        chunk = path / "scene/c/1/0/0/0"
        chunk.write_bytes(chunk.read_bytes()[:-9])
        latents = frazil.read_latents(path).scene
        assert latents[0].load().any()
        with pytest.raises(FormatError) as caught:
            latents[1].load()
        assert "array 'scene', chunk (1, 0, 0, 0)" in str(caught.value.__notes__)

    def test_behind_another_codec(self, tmp_path):
        array = zarr.create_array(
            tmp_path / "a.zarr",
            name="t",
            shape=(1, 8, 8, 2),
            chunks=(1, 8, 8, 2),
            dtype="f4",
            filters=[zarr.codecs.TransposeCodec(order=(0, 3, 1, 2))],
            serializer=frazil.zarr3.serializer(BANDS),
            compressors=None,
            dimension_names=["time", "y", "x", "band"],
        )
        array[:] = np.moveaxis(little.bands(1, shape=(8, 8)), 1, -1)
        with pytest.raises(UnsupportedArrayError, match="'t' cannot be read as numbers of its codec"):
            frazil.read_latents(tmp_path / "a.zarr")

    def test_chunks_that_do_not_hold_the_channels(self, tmp_path):
        zarr.create_array(
            tmp_path / "a.zarr",
            name="t",
            shape=(1, 2, 8, 8),
            chunks=(1, 1, 8, 8),
            dtype="f4",
            serializer=frazil.zarr3.serializer(BANDS),
            compressors=None,
            dimension_names=["time", "band", "y", "x"],
        )
        with pytest.raises(
            UnsupportedArrayError, match=r"variable 't': chunks of shape \(1, 1, 8, 8\) do not hold"
        ):
            frazil.read_latents(tmp_path / "a.zarr")

    def test_compressed_once_more(self, tmp_path):
        ds = bands(2)
        encoding = {"scene": BANDS.encoding(chunks=(1, 2, 24, 32)) | {"compressors": zarr.codecs.ZstdCodec()}}
        ds.to_zarr(tmp_path / "a.zarr", encoding=encoding, consolidated=False)
        assert np.array_equal(
            frazil.read_latents(tmp_path / "a.zarr").scene[1], of_chunk(ds.scene.values[1:])[0]
        )


class TestBatches:
    """``decode=False``: the loader reads latents in place of fields."""

    @pytest.mark.parametrize("zarr_format", FORMATS)
    def test_of_latents(self, tmp_path, zarr_format):
        pytest.importorskip("torch")
        ds = bands(9)
        path = put(tmp_path / "a.zarr", ds, zarr_format=zarr_format, chunks={"time": 4, "lat": 12})
        loader = frazil.make_loader(path, inputs=[0], targets=[1], batch_size=4, decode=False, shuffle=False)
        wanted = frazil.read_latents(path).scene.values
        batch = next(iter(loader))
        k = little.klt().decoder.inputs
        assert tuple(batch.x.shape) == (4, 1, k, 6, 8)
        assert np.array_equal(np.asarray(batch.x)[:, 0], wanted[:4])
        assert np.array_equal(np.asarray(batch.y)[:, 0], wanted[1:5])
        assert len(loader.channels) == k

    def test_normalised_and_cut(self, tmp_path):
        torch = pytest.importorskip("torch")
        path = put(tmp_path / "a.zarr", bands(9), chunks={"time": 4})
        settings = {"inputs": [0], "targets": [], "batch_size": 9, "decode": False, "shuffle": False}
        whole = frazil.read_latents(path).scene.values
        (batch,) = frazil.make_loader(path, region={"lat": slice(1, 4)}, **settings)
        assert batch.x.dtype == torch.int32
        assert np.array_equal(np.asarray(batch.x)[:, 0], whole[:, :, 1:4])
        (batch,) = frazil.make_loader(path, normalise="store", **settings)
        assert batch.x.dtype == torch.float32
        spread = np.where(whole.std((0, 2, 3)) > 0, whole.std((0, 2, 3)), 1)
        wanted = (whole - whole.mean((0, 2, 3))[:, None, None]) / spread[:, None, None]
        np.testing.assert_allclose(np.asarray(batch.x)[:, 0], wanted, atol=1e-4)

    def test_of_codewords(self, tmp_path):
        pytest.importorskip("torch")
        values = np.clip(little.bands(4)[:, 0] - 150, 0, 255).astype("f4")
        path = put(
            tmp_path / "a.zarr", xr.Dataset({"v": (("time", "y", "x"), values)}), WORDS, chunks={"time": 2}
        )
        loader = frazil.make_loader(path, inputs=[0], targets=[], batch_size=4, decode=False, shuffle=False)
        (batch,) = loader
        assert np.array_equal(np.asarray(batch.x)[:, 0], frazil.read_codewords(path).v)

    def test_levels_of_one_model_are_channels(self, tmp_path):
        model = frazil.models.fit_klt(little.bands(6)[:, :1], factor=4, error=0.1, name="one")
        codec = frazil.Latent(model=model)
        path = put(tmp_path / "a.zarr", bands(4), codec, chunks={"time": 2})
        reader = StoreReader(path, decode=False)
        k = model.decoder.inputs
        assert reader.array("scene").shape == (4, 2 * k, 6, 8)
        read = reader.read_chunk("scene", (1, 0, 0, 0))
        assert np.array_equal(read.reshape(2, 2, k, 6, 8), frazil.read_latents(path).scene[2:])

    def test_steps_that_a_model_takes_together(self, tmp_path):
        model = frazil.models.fit_klt(little.bands(8)[:, 0].reshape(4, 2, 24, 32), factor=4, name="days")
        hours = little.bands(8)[:, 0].astype("f4")
        ds = xr.Dataset({"t": (("time", "y", "x"), hours)})
        path = put(tmp_path / "a.zarr", ds, frazil.Latent(model=model), chunks={"time": 4})
        with pytest.raises(
            UnsupportedArrayError, match=r"takes several steps together, frazil\.read_latents"
        ):
            StoreReader(path, decode=False).array("t")


class TestDecodingDirectly:
    """The readers' own path to fields, chunk by chunk, at every resolution."""

    @pytest.mark.parametrize("zarr_format", FORMATS)
    @pytest.mark.parametrize("level", [0, 1, 3])
    def test_latents(self, tmp_path, zarr_format, level):
        path = put(tmp_path / "a.zarr", bands(3), zarr_format=zarr_format, chunks={"time": 2, "lat": 12})
        whole = xr.open_zarr(path).scene.values
        step = 1 << level
        reader = StoreReader(path, level=level)
        wanted = whole[:2, :, 12::step, ::step]
        assert np.array_equal(reader.read_chunk("scene", (0, 0, 1, 0)), wanted)
        assert reader.reduces(["scene"])

    def test_codewords_and_bounds(self, tmp_path):
        values = np.clip(little.bands(4)[:, 0] - 150, 0, 255).astype("f4")
        ds = xr.Dataset({"v": (("time", "y", "x"), values)})
        for name, codec in (("c", WORDS), ("b", frazil.Codeword(model=little.words(2), bound=1.0))):
            path = put(tmp_path / f"{name}.zarr", ds, codec, chunks={"time": 2})
            whole = xr.open_zarr(path).v.values
            assert np.array_equal(StoreReader(path).read_chunk("v", (1, 0, 0)), whole[2:])
            small = StoreReader(path, level=1).read_chunk("v", (1, 0, 0))
            assert small.shape == (2, 12, 16)
            assert np.array_equal(small, frazil.open_zarr(path, level=1).v[2:])
            assert abs(small - whole[2:, ::2, ::2]).max() < 64

    def test_points_have_one_resolution(self, tmp_path):
        codec = frazil.Latent(model=little.points(1))
        ds = xr.Dataset({"obs": (("time", "variable", "station"), little.stations(5, 3).astype("f4"))})
        path = put(tmp_path / "a.zarr", ds, codec, chunks={"time": 2})
        whole = xr.open_zarr(path).obs.values
        assert np.array_equal(StoreReader(path).read_chunk("obs", (1, 0, 0)), whole[2:4])
        with pytest.raises(UnsupportedArrayError, match="no lower resolutions"):
            StoreReader(path, level=1).read_chunk("obs", (0, 0, 0))
