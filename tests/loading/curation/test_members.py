import pickle

import numcodecs
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import frazil
from frazil.codecs.base import PlaneCodec
from frazil.data.batches import ZarrBatches
from frazil.data.curation.members import Latents, Members, ReducedResolution, average_blocks, compared_steps
from frazil.data.samples import Samples
from frazil.errors import ConfigurationError, UnsupportedArrayError

RNG = np.random.default_rng(3)
T = RNG.normal(size=(20, 16, 24)).astype("f4")
Z = RNG.normal(size=(20, 3, 16, 24)).astype("f4")
DS = xr.Dataset(
    {"t": (("time", "lat", "lon"), T), "z": (("time", "level", "lat", "lon"), Z)}, {"level": [1, 2, 3]}
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("members") / "a.zarr"
    frazil.to_zarr(DS, path, codec=frazil.JP2K(ratio=4), chunks={"time": 4, "lat": 8, "lon": 12})
    return path


def embedded(store, curator, ids=(3, 7, 11), **settings):
    samples = Samples(store, **({"inputs": [-1, 0], "targets": [1]} | settings))
    members = Members.of(samples, curator)
    ids = np.array(ids, np.int64)
    kept = {key: members.assembly.load(key) for key in members.assembly.needs(ids)}
    found, unread = members.embed(ids, kept.__getitem__)
    assert not len(unread)
    return members, found


@given(
    hnp.arrays("f8", st.tuples(*[st.integers(1, 9)] * 4), elements=st.floats(-1e6, 1e6)), st.integers(1, 5)
)
def test_blocks_are_averages(fields, size):
    found = average_blocks(fields, size)
    for k, m in np.ndindex(*found.shape[2:]):
        part = fields[:, :, k * size : k * size + size, m * size : m * size + size]
        np.testing.assert_allclose(found[:, :, k, m], part.mean(axis=(2, 3)), atol=1e-6)


def test_blocks_leave_gaps_out():
    fields = np.arange(16.0).reshape(1, 1, 4, 4)
    fields[..., :2, :2] = np.nan
    fields[..., 3, 3] = np.nan
    assert np.array_equal(
        average_blocks(fields, 2), [[[[np.nan, 4.5], [10.5, (10 + 11 + 14) / 3]]]], equal_nan=True
    )


@pytest.mark.parametrize(
    ("inputs", "targets", "steps"),
    [((0,), (), (0,)), ((-2, -1, 0), (1,), (-1, 0)), ((0,), (2, 1), (0, 2)), ((0,), (1,), (0, 1))],
)
def test_steps_that_are_compared(inputs, targets, steps):
    assert compared_steps(inputs, targets, "fields") == inputs[-1:]
    if len(steps) == 2:
        assert compared_steps(inputs, targets, "increments") == steps


def test_no_increments_of_one_step(store):
    with pytest.raises(ConfigurationError, match="windows have one: give inputs="):
        Members.of(Samples(store, inputs=[0], targets=[]), frazil.SALN(on="increments"))


class TestReducedResolution:
    def test_frazils_are_decoded_at_the_level(self, store):
        members, found = embedded(store, frazil.SALN())
        assert not members.shared
        small = frazil.open_zarr(store, level=2)
        wanted = np.concatenate((small.t.values[[3, 7, 11], None], small.z.values[[3, 7, 11]]), axis=1)
        np.testing.assert_array_equal(found, wanted)

    def test_below_the_loaders_own_level(self, store):
        _, found = embedded(store, frazil.SALN(embed=ReducedResolution(1)), variables="t", level=1)
        np.testing.assert_array_equal(found[:, 0], frazil.open_zarr(store, level=2).t.values[[3, 7, 11]])

    def test_others_are_averaged(self):
        members, found = embedded(DS, frazil.SALN())
        assert members.shared
        assert members.blocks == 4
        whole = np.concatenate((T[[3, 7, 11], None], Z[[3, 7, 11]]), axis=1)
        wanted = whole.reshape(3, 4, 4, 4, 6, 4).mean(axis=(3, 5))
        np.testing.assert_allclose(found, wanted, atol=1e-6)

    def test_in_pieces(self, monkeypatch):
        gaps = DS.copy(deep=True)
        gaps["t"].values[::3, 4:9, 4:9] = np.nan
        ids = (11, 3, 7, 4, 5, 2)
        for settings in ({}, {"patch": {"lat": 8, "lon": 7}, "inputs": [0]}):
            _, whole = embedded(gaps, frazil.SALN(), ids=ids, **settings)
            with monkeypatch.context() as patch:
                patch.setattr("frazil.data.curation.members._PIECE", 4000)
                _, pieces = embedded(gaps, frazil.SALN(), ids=ids, **settings)
            np.testing.assert_array_equal(pieces, whole)

    def test_some_that_frazil_coded_and_some_that_it_did_not(self, tmp_path):
        frazil.to_zarr(DS, tmp_path / "a.zarr", codec={"t": frazil.JP2K(ratio=4)}, chunks={"time": 4})
        members, found = embedded(tmp_path / "a.zarr", frazil.SALN())
        assert members.shared
        assert found.shape == (3, 4, 4, 6)

    def test_chunks_whose_levels_do_not_match(self, tmp_path):
        frazil.to_zarr(DS[["t"]], tmp_path / "a.zarr", codec=frazil.JP2K(ratio=4), chunks={"lat": 16})
        frazil.to_zarr(
            DS[["z"]], tmp_path / "a.zarr", codec=frazil.JP2K(ratio=4), chunks={"lat": 6, "lon": 10}, mode="a"
        )
        members, found = embedded(tmp_path / "a.zarr", frazil.SALN())
        assert members.shared
        assert found.shape == (3, 4, 4, 6)

    def test_no_more_points_than_said(self, store):
        _, found = embedded(store, frazil.SALN(embed=ReducedResolution(0, points=100)))
        assert found.shape == (3, 4, 8, 12)
        _, found = embedded(store, frazil.SALN(embed=ReducedResolution(1, points=10)))
        assert found.shape == (3, 4, 2, 3)

    @pytest.mark.parametrize("patch", [None, {"lat": 7, "lon": 9}])
    def test_of_a_region(self, store, patch):
        """Points of the level that lie in the region; as many for each patch."""
        samples = Samples(store, inputs=[0], targets=[], region={"lat": slice(3, 14)}, patch=patch)
        members = Members.of(samples, frazil.SALN())
        small = frazil.open_zarr(store, level=2)
        if patch is None:
            ids = np.array([2, 5, 9])
            loaded = {key: members.assembly.load(key) for key in members.assembly.needs(ids)}
            found, _ = members.embed(ids, loaded.__getitem__)
            # lat 3 to 13 of 0, 4, 8, 12
            np.testing.assert_array_equal(found[:, 0], small.t.values[[2, 5, 9], 1:])
        else:
            shapes = {tuple(high - low for low, high in patch) for patch in members.assembly.patches}
            assert shapes == {(2, 2)}
            batches = ZarrBatches(samples, curate=frazil.SALN(), batch_size=4, superbatch=16)
            assert sum(len(batch) for batch in batches) == len(batches) * 4 == 60

    @pytest.mark.parametrize("settings", [{"levels": -1}, {"points": 0}])
    def test_refuses(self, settings):
        with pytest.raises(ConfigurationError, match=r"0 or more|1 or more"):
            ReducedResolution(**settings)


def test_increments_are_differences(store):
    _, both = embedded(store, frazil.SALN(on="increments"), ids=(5,))
    _, now = embedded(store, frazil.SALN(), ids=(5,))
    _, before = embedded(store, frazil.SALN(), ids=(4,))
    np.testing.assert_array_equal(both, now - before)


def test_missing_values_stay_missing():
    gaps = DS.copy(deep=True)
    gaps["t"].values[:, 4:8, 4:8] = np.nan
    gaps["t"].values[7, 0, 0] = np.nan
    _, found = embedded(gaps, frazil.SALN(embed=ReducedResolution(0)), normalise=None, missing=7.0)
    assert np.isnan(found[:, 0]).sum() == 3 * 16 + 1
    found = frazil.SALN(keep=2 / 3).select(found)
    assert len(found.kept) == 2


class TestFunctions:
    def test_gets_the_fields_of_all_channels(self, store):
        seen = []

        def means(fields):
            seen.append(fields.shape)
            return fields.mean(axis=(2, 3))

        members, found = embedded(store, frazil.SALN(embed=means))
        assert members.shared
        assert seen == [(3, 4, 16, 24)]
        whole = frazil.open_zarr(store)
        np.testing.assert_allclose(found[:, 0], whole.t.values[[3, 7, 11]].mean(axis=(1, 2)), atol=1e-5)

    @pytest.mark.parametrize(
        "function", [np.mean, lambda fields: fields[:2], lambda fields: fields[:, 0, 0, 0]]
    )
    def test_has_to_return_members(self, store, function):
        with pytest.raises(ConfigurationError, match="has to return one row or more axes for each"):
            embedded(store, frazil.SALN(embed=function))

    def test_is_a_function(self, store):
        with pytest.raises(ConfigurationError, match=r"ReducedResolution, Latents\(\) or a function"):
            Members.of(Samples(store), frazil.SALN(embed="resnet"))


class TestParts:
    def test_a_part_for_each_variable(self, store):
        samples = Samples(store, variables=[("z", [2]), "t", ("z", [1])])
        members = Members.of(samples, frazil.SALN())
        (first, z), (second, t) = members.parts()
        assert (first, second) == ((0, 2), (1,))
        ids = np.array([3, 7, 11])
        whole = embed_all(members, ids)
        np.testing.assert_array_equal(embed_all(z, ids), whole[:, [0, 2]])
        np.testing.assert_array_equal(embed_all(pickle.loads(pickle.dumps(t)), ids), whole[:, [1]])
        assert all(key[0] == "z" for key in z.assembly.needs(ids))

    def test_a_function_gets_all(self, store):
        members = Members.of(Samples(store), frazil.SALN(embed=spread))
        assert members.parts() == [((0, 1, 2, 3), members)]


def embed_all(members, ids):
    kept = {key: members.assembly.load(key) for key in members.assembly.needs(ids)}
    return members.embed(ids, kept.__getitem__)[0]


def spread(fields):
    return fields.std(axis=(2, 3))


class Blocks(PlaneCodec):
    """A codec whose latents are two numbers for each block of 4 x 4 points: mean and range."""

    codec_id = "test.blocks"

    def encode_planes(self, planes, *, spent, valid=None):
        return {"V": planes.tobytes()}

    def decode_planes(self, sections, shape, dtype, level=0, *, valid=None):
        return np.frombuffer(sections["V"], dtype).reshape(shape).copy()

    def decode_latents(self, buf, *, shape=None, dtype=None):
        chunk = self.decode_chunk(buf, shape=shape, dtype=dtype)
        y, x = chunk.shape[-2:]
        tiles = chunk.reshape(len(chunk), -1, y // 4, 4, x // 4, 4)
        return np.concatenate((tiles.mean(axis=(3, 5)), np.ptp(tiles, axis=(3, 5))), axis=1)


numcodecs.register_codec(Blocks)


class TestLatents:
    @pytest.fixture
    def path(self, tmp_path):
        encoding = {"filters": None, "compressors": [Blocks()], "chunks": (4, 8, 24)}
        DS[["t"]].assign(u=-DS.t).to_zarr(
            tmp_path / "a.zarr", zarr_format=2, encoding={"t": encoding, "u": encoding}
        )
        return tmp_path / "a.zarr"

    def test_stand_for_fields(self, path):
        members, found = embedded(path, frazil.SALN(embed=Latents()), variables=["u", "t"])
        assert not members.shared
        tiles = T[[3, 7, 11]].reshape(3, 4, 4, 6, 4)
        means, ranges = tiles.mean(axis=(2, 4)), np.ptp(tiles, axis=(2, 4))
        np.testing.assert_allclose(found, np.stack((-means, ranges, means, ranges), axis=1), rtol=1e-5)
        assert [numbers for numbers, _ in members.parts()] == [(0, 1), (2, 3)]

    def test_of_a_region(self, path):
        _, found = embedded(path, frazil.SALN(embed=Latents()), region={"lat": slice(4, 12)})
        _, whole = embedded(path, frazil.SALN(embed=Latents()))
        np.testing.assert_array_equal(found, whole[:, :, 1:3])

    def test_curate(self, path):
        settings = {"inputs": [0], "targets": [1], "batch_size": 2, "superbatch": 10}
        samples = Samples(path, inputs=[0], targets=[1])
        found = frazil.curate(samples, frazil.SALN(embed=Latents()), batch_size=2, superbatch=10)
        assert samples.reader.decode_count == 0
        online = ZarrBatches(path, curate=frazil.SALN(embed=Latents()), **settings)
        assert [i for batch in online for i in batch.index] == found.kept().tolist()

    def test_of_a_loader_of_latents(self, path):
        """What the loader reads is what is compared."""
        for embed in (None, Latents()):
            members, found = embedded(path, frazil.SALN(embed=embed), variables="t", decode=False)
            assert members.shared
            assert [channel.name for channel in members.assembly.channels] == ["t@0", "t@1"]
            _, latents = embedded(path, frazil.SALN(embed=Latents()), variables="t")
            np.testing.assert_array_equal(found, latents)

    def test_of_a_codec_that_has_none(self, store):
        with pytest.raises(UnsupportedArrayError, match=r"its codec frazil\.jp2k has none"):
            Members.of(Samples(store), frazil.SALN(embed=Latents()))
