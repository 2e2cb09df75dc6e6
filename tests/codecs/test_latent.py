from __future__ import annotations

import json
import pickle

import little_models
import numpy as np
import pytest
import xarray as xr
from conftest import load_field
from hypothesis import given
from hypothesis import strategies as st
from numcodecs.registry import get_codec

from frazil import Bounded, Latent, container
from frazil.errors import (
    ChecksumError,
    ConfigurationError,
    FormatError,
    MissingModelError,
    UnsupportedArrayError,
)
from frazil.models import fit_klt
from frazil.models import store as stores
from frazil.testing import CodecContract, reseal, roundtrip


class TestLatent(CodecContract):
    codec = Latent(model=little_models.plain())
    tolerance = 0.02
    tiny_tolerance = 2.0


class TestLatentBounded(CodecContract):
    codec = Latent(model=little_models.plain(), bound=0.5)
    tolerance = 0.01
    tiny_tolerance = 1.0
    dtypes = ("f4", "i2")


def sections(data: bytes) -> dict[str, bytes]:
    return container.unpack(data)[1]


def test_bands_of_a_chunk_are_the_channels():
    model = little_models.bands()
    scenes = little_models.scenes(4, seed=9)
    codec = Latent(model=model)
    data = codec.encode(scenes.astype("f4"))
    assert list(sections(data)) == ["L"]
    errors = np.sqrt(((codec.decode(data) - scenes) ** 2).mean((0, 2, 3))) / model.decoder.spread
    assert errors.max() < 0.05
    assert scenes.astype("f4").nbytes / len(data) > 12


def test_the_model_says_which_axis_holds_the_channels():
    scenes = little_models.scenes(4, seed=9).astype("f4")
    first = Latent(model=little_models.bands())
    moved = Latent(model=little_models.bands(-4))
    chunk = np.moveaxis(scenes, 1, 0)  # band, time, y, x
    data = moved.encode(chunk)
    assert list(sections(data)) == ["L"]
    assert np.array_equal(moved.decode(data), np.moveaxis(first.decode(first.encode(scenes)), 1, 0))


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 3, 5), (3, 41, 57), (3, 4, 130), (6, 9, 2)])
def test_chunks_of_any_size(shape):
    scenes = np.resize(little_models.scenes(2), shape).astype("f4")
    codec = Latent(model=little_models.bands(), bound=3.0)
    assert abs(roundtrip(codec, scenes) - scenes).max() <= 3


def test_a_wrong_number_of_channels_is_refused():
    codec = Latent(model=little_models.bands())
    with pytest.raises(UnsupportedArrayError, match=r"takes 3 channels .* this chunk has 4 planes"):
        codec.encode(np.random.default_rng(0).normal(size=(4, 8, 8)))


def test_values_far_from_the_training_data_are_bounded_instead():
    model = little_models.bands()
    codec = Latent(model=model)
    noise = np.random.default_rng(0).normal(0, 1000, (3, 40, 56)).astype("f4")
    data = codec.encode(noise)
    assert "L" not in sections(data)
    error = abs(codec.decode(data) - noise).max((1, 2)) / model.decoder.spread
    assert (error <= model.decoder.trust).all()


def test_one_wild_patch_is_noticed():
    model = little_models.bands()
    codec = Latent(model=model)
    scene = little_models.scenes(1, seed=3)[0].astype("f4")
    scene[1, :8, :8] = 1e6
    error = abs(roundtrip(codec, scene) - scene).max((1, 2)) / model.decoder.spread
    assert (error <= model.decoder.trust).all()


@given(step=st.integers(1, 32))
def test_a_wider_step_takes_fewer_bytes_and_more_error(step):
    scenes = little_models.scenes(1, seed=5).astype("f4")
    model = little_models.bands()
    fine, wide = Latent(model=model, step=max(1, step // 2)), Latent(model=model, step=step)
    assert len(wide.encode(scenes)) <= len(fine.encode(scenes)) + 4
    scaled = (roundtrip(wide, scenes) - scenes) / np.array(model.decoder.spread)[:, None, None]
    assert np.sqrt((scaled**2).mean()) < 0.03 * step


def test_steps_beyond_the_model_are_refused():
    with pytest.raises(ConfigurationError, match="takes steps from 1 to 32, got step=33"):
        Latent(model=little_models.bands(), step=33).encode(little_models.scenes(1))
    for step in (0, True, 1.5, 1 << 13):
        with pytest.raises(ConfigurationError, match="step is a whole number"):
            Latent(model=little_models.bands(), step=step)


def test_missing_values_and_gaps():
    scenes = little_models.scenes(2).astype("f4")
    scenes[0, :, 5:9] = np.nan
    scenes[1, 2] = np.inf
    decoded = roundtrip(Latent(model=little_models.bands(), bound=1.0), scenes)
    known = np.isfinite(scenes)
    assert np.array_equal(decoded[~known].view("u4"), scenes[~known].view("u4"))
    assert abs(decoded[known] - scenes[known]).max() <= 1


class TestBound:
    def test_it_holds_and_is_never_much_larger_than_without_the_model(self):
        scenes = little_models.scenes(3, seed=8).astype("f4")
        for bound in (5.0, 0.5, 0.05):
            guarded, alone = Latent(model=little_models.bands(), bound=bound), Bounded(bound=bound)
            data = guarded.encode(scenes)
            assert abs(guarded.decode(data) - scenes).max() <= bound
            assert len(data) <= 1.02 * len(alone.encode(scenes))

    def test_the_model_is_the_base_where_that_is_smaller(self):
        hours = load_field("t2m_uk")[:24, :32, :48].astype("f4")
        codec = Latent(model="t2m-hourly-ae-f4", bound=0.7)
        data = codec.encode(hours)
        assert len(data) < 0.9 * len(Bounded(bound=0.7).encode(hours))
        assert "B" in sections(data)
        assert abs(codec.decode(data) - hours).max() <= 0.7

    def test_bounds_of_each_point(self):
        scenes = little_models.scenes(1).astype("f4")
        bounds = np.linspace(0.1, 5, scenes.size).reshape(scenes.shape)
        codec = Latent(model=little_models.bands(), bound="array")
        data = codec.encode_chunk(scenes, bounds=bounds)
        assert (abs(codec.decode(data) - scenes) <= bounds).all()

    def test_around_a_latent_codec(self):
        scenes = little_models.scenes(1).astype("f4")
        codec = Bounded(bound=0.5, base=Latent(model=little_models.bands()))
        assert abs(roundtrip(codec, scenes) - scenes).max() <= 0.5


class TestModels:
    def test_the_configuration_brings_the_decoder_along(self, monkeypatch):
        codec = Latent(model=little_models.bands(), step=8)
        scenes = little_models.scenes(1).astype("f4")
        data, config = codec.encode(scenes), json.loads(json.dumps(codec.get_config()))
        assert set(config["model"]) == {"digest", "name", "inline"}
        monkeypatch.setattr(stores, "STORE", stores.ModelStore())
        again = get_codec(config)
        assert again == codec
        assert np.array_equal(again.decode(data), codec.decode(data))
        with pytest.raises(MissingModelError, match="arrays bring their decoder with them"):
            get_codec(config).encode(scenes)

    def test_a_missing_model_is_named_with_every_place_tried(self, monkeypatch):
        codec = Latent(model=little_models.bands())
        data = codec.encode(little_models.scenes(1))
        digest = codec.model.digest
        monkeypatch.setattr(stores, "STORE", stores.ModelStore())
        with pytest.raises(MissingModelError, match=f"{digest}.*[Tt]ried.*cache"):
            Latent(model=digest).decode(data)

    def test_an_inlined_model_that_was_tampered_with_is_refused(self, monkeypatch):
        data = Latent(model=little_models.bands()).encode(little_models.scenes(1))
        config = Latent(model=little_models.bands()).get_config()
        other = Latent(model=little_models.plain()).get_config()
        config["model"]["inline"] = other["model"]["inline"]
        monkeypatch.setattr(stores, "STORE", stores.ModelStore())
        with pytest.raises(ChecksumError, match="damaged or exchanged"):
            get_codec(config).decode(data)

    def test_a_model_of_the_other_kind_is_refused(self):
        with pytest.raises(ConfigurationError, match="takes models of kind 'latent'"):
            Latent(model=little_models.words()).encode(np.eye(4))

    def test_what_is_no_model(self):
        with pytest.raises(MissingModelError, match="'nosuch' is no model"):
            Latent(model="nosuch")
        with pytest.raises(ConfigurationError, match="a model is"):
            Latent(model={"id": 3})

    def test_it_travels(self):
        codec = Latent(model=little_models.bands(), step=3)
        again = pickle.loads(pickle.dumps(codec))
        assert again == codec
        assert hash(again) == hash(codec)
        assert len(repr(codec)) < 400


class TestDamage:
    def test_other_latents_than_written(self):
        codec = Latent(model=little_models.bands())
        data = bytearray(codec.encode(little_models.scenes(1)))
        data[-20] ^= 0x55
        with pytest.raises((ChecksumError, FormatError)):
            codec.decode(reseal(bytes(data)))

    def test_a_chunk_of_another_codec(self):
        codec = Latent(model=little_models.bands())
        spec = container.ChunkSpec((3, 8, 8), np.dtype("f4"))
        with pytest.raises(FormatError, match="section 'X'"):
            codec.decode(container.pack(spec, {"X": b"abc"}))
        with pytest.raises(FormatError, match="needs section 'L'"):
            codec.decode(container.pack(spec, {"x": b"abc"}))
        with pytest.raises(FormatError):
            codec.decode(container.pack(spec, {"L": b""}))


class TestPoints:
    @pytest.mark.parametrize("factor", [1, 4])
    def test_points_are_compressed_along_their_variables(self, factor):
        values = little_models.observations(5, seed=4).astype("f4")
        codec = Latent(model=little_models.points(factor))
        data = codec.encode(values)
        assert list(sections(data)) == ["L"]
        decoded = codec.decode(data)
        spread = np.array(codec.found.decoder.spread)[:, None]
        assert np.sqrt((((decoded - values) / spread) ** 2).mean()) < 0.06
        assert values.nbytes / len(data) > 4

    def test_stations_that_did_not_report(self):
        values = little_models.observations(3, seed=4).astype("f4")
        values[:, 1, ::7] = np.nan
        codec = Latent(model=little_models.points(), bound=0.2)
        decoded = roundtrip(codec, values)
        assert np.array_equal(np.isnan(decoded), np.isnan(values))
        assert np.nanmax(abs(decoded - values)) <= 0.2

    def test_points_have_no_lower_resolution(self):
        codec = Latent(model=little_models.points())
        data = codec.encode(little_models.observations(1).astype("f4"))
        with pytest.raises(UnsupportedArrayError, match="no lower resolutions"):
            codec.decode_chunk(data, level=1)

    def test_station_records(self):
        fields = load_field("icon")[0].astype("f8")  # 14 variables at 20480 points

        model = fit_klt(fields[None, :, ::2], factor=1, error=0.03, name="icon", axis=-2)
        codec = Latent(model=model)
        chunk = fields[None, :, 1::2].astype("f4")
        data = codec.encode(chunk)
        assert list(sections(data)) == ["L"]
        assert chunk.nbytes / len(data) > 4


def test_latents_of_a_chunk():
    codec = Latent(model=little_models.bands())
    data = codec.encode(little_models.scenes(2).astype("f4"))
    latents = codec.decode_latents(data)
    assert latents.shape == (2, codec.found.decoder.inputs, 10, 14)
    assert latents.dtype == np.int32
    assert latents.any()


def test_latents_of_a_chunk_that_has_none_are_made():
    codec = Latent(model=little_models.bands())
    flat = np.full((3, 8, 8), 100, "f4")
    assert codec.decode_latents(codec.encode(flat)).shape == (1, codec.found.decoder.inputs, 2, 2)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_through_xarray(tmp_path, zarr_format):
    scenes = little_models.scenes(5).astype("f4")
    ds = xr.Dataset({"scene": (("time", "band", "y", "x"), scenes)})
    codec = Latent(model=little_models.bands())
    encoding = {"scene": codec.encoding(zarr_format=zarr_format, chunks=(2, 3, 40, 56))}
    ds.to_zarr(tmp_path / "s.zarr", encoding=encoding, zarr_format=zarr_format, consolidated=False)
    back = xr.open_zarr(tmp_path / "s.zarr", consolidated=False)
    assert float(abs(back.scene - ds.scene).mean()) < 1
