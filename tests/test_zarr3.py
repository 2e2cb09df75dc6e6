"""The codec behind both Zarr formats: what zarr itself does with it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import zarr
from pyramid import Pyramid, PyramidSerializer, register
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, ZipStore

import frazil
from frazil.errors import (
    ChecksumError,
    ChunkMismatchError,
    ConfigurationError,
    LossyRewriteWarning,
    UnsupportedArrayError,
)
from frazil.zarr3 import JP2KSerializer, PlaneSerializer, serializer

register()
CODEC = Pyramid()
SHAPE, CHUNKS = (3, 20, 26), (2, 8, 10)


def field(shape=SHAPE, dtype="f4"):
    rng = np.random.default_rng(0)
    return (280 + np.cumsum(rng.normal(size=shape), axis=-1)).astype(dtype)


def create(kind, store=None, dtype="f4", codec=CODEC, **options):
    """Make an array of one kind: v2, v2 as a filter, v3, or sharded v3."""
    store = MemoryStore() if store is None else store
    shape, chunks = options.pop("shape", SHAPE), options.pop("chunks", CHUNKS)
    common = {"store": store, "shape": shape, "chunks": chunks, "dtype": dtype, **options}
    if kind == "v2":
        return zarr.create_array(**common, zarr_format=2, compressors=[codec], filters=None)
    if kind == "v2 filter":
        return zarr.create_array(**common, zarr_format=2, compressors=None, filters=[codec])
    shards = tuple(2 * c for c in chunks) if kind == "sharded" else None
    return zarr.create_array(**common, serializer=serializer(codec), compressors=None, shards=shards)


KINDS = ["v2", "v2 filter", "v3", "sharded"]


def reopened(array):
    return zarr.open_array(array.store, mode="r+")


@pytest.fixture(params=["memory", "zip", "local", "fsspec", "obstore"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "zip":
        with ZipStore(tmp_path / "a.zip", mode="w") as zipped:
            yield zipped
    elif request.param == "local":
        yield LocalStore(tmp_path / "a.zarr")
    elif request.param == "fsspec":
        pytest.importorskip("fsspec")
        yield FsspecStore.from_url(f"memory://{tmp_path.name}")
    else:
        yield ObjectStore(pytest.importorskip("obstore").store.MemoryStore())


@pytest.mark.parametrize("kind", KINDS)
def test_every_store_in_every_format(kind, store):
    data = field()
    array = create(kind, store)
    array[:] = data
    back = reopened(array)[:]
    assert back.dtype == data.dtype
    assert np.abs(back - data).max() <= 0.0051


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
def test_byte_orders(kind, dtype):
    data = field(dtype=dtype)
    array = create(kind, dtype=dtype)
    array[:] = data
    assert np.abs(reopened(array)[:] - data).max() <= 0.0051


@pytest.mark.parametrize("kind", ["v2", "v2 filter"])
def test_fortran_order(kind):
    data = field()
    array = create(kind, order="F")
    array[:] = data
    assert np.abs(reopened(array)[:] - data).max() <= 0.0051


@pytest.mark.parametrize("kind", ["v3", "sharded"])
def test_edge_chunks_keep_their_padding_apart(kind):
    """Fill value 0 beside 280 K: the padding comes back as it was, and the data do not ring."""
    data = field()
    array = create(kind, codec=frazil.JP2K(psnr=60), fill_value=0, shape=(20, 26), chunks=(16, 16))
    array[:] = data[0]
    assert np.abs(reopened(array)[:] - data[0]).max() < 0.001 * np.ptp(data) * 10


def test_found_by_name_alone():
    array = create("v3", codec=frazil.JP2K(ratio=4))
    assert isinstance(reopened(array).metadata.codecs[0], JP2KSerializer)
    assert reopened(array).metadata.codecs[0].codec == frazil.JP2K(ratio=4)


def test_metadata_are_the_configuration():
    assert serializer(Pyramid(step=0.5)).to_dict() == {
        "name": "frazil.test_pyramid",
        "configuration": {"step": 0.5, "exact": False},
    }
    assert PyramidSerializer.from_dict({"name": "frazil.test_pyramid"}) == serializer(CODEC)


def test_unknown_settings_are_refused_with_a_sentence():
    with pytest.raises(ConfigurationError, match=r"does not know 'colour'.*upgrade"):
        JP2KSerializer.from_dict({"name": "frazil.jp2k", "configuration": {"ratio": 2, "colour": 1}})
    with pytest.raises(
        ConfigurationError, match=r"expected the metadata of frazil.jp2k, found those of 'zstd'"
    ):
        JP2KSerializer.from_dict({"name": "zstd"})


def test_codec_without_a_face():
    class Faceless(Pyramid):
        codec_id = "nobody.knows"

    with pytest.raises(ConfigurationError, match=r"subclass frazil.zarr3.PlaneSerializer"):
        serializer(Faceless())


@pytest.mark.parametrize("kind", ["v3", "sharded"])
def test_dtype_is_refused_at_creation(kind):
    with pytest.raises(UnsupportedArrayError, match=r"cannot hold dtype int64.*scale_factor"):
        create(kind, dtype="i8")
    with pytest.raises(UnsupportedArrayError, match=r"cannot hold dtype complex64"):
        create(kind, dtype="c8")


def test_dtype_is_refused_at_the_first_write_in_v2():
    with pytest.raises(UnsupportedArrayError, match=r"cannot hold dtype int64"):
        create("v2", dtype="i8")[:] = 1


def test_hash_equality_pickle():
    one, two = serializer(Pyramid(step=0.1)), serializer(Pyramid(step=0.1))
    assert one == two
    assert hash(one) == hash(two)
    assert one != serializer(Pyramid(step=0.2))
    assert pickle.loads(pickle.dumps(one)) == one


def test_dask_tokens_are_deterministic():
    dask = pytest.importorskip("dask")
    from dask.tokenize import tokenize

    with dask.config.set({"tokenize.ensure-deterministic": True}):
        assert tokenize(serializer(CODEC)) == tokenize(serializer(Pyramid()))
        assert tokenize(serializer(CODEC)) != tokenize(serializer(Pyramid(step=1.0)))


def test_chunk_of_another_shape_is_refused():
    array = create("v3")
    array[:] = field()
    other = create("v3", chunks=(1, 8, 10))
    other[:] = field()
    array.store._store_dict["c/0/0/0"] = other.store._store_dict["c/0/0/0"]
    with pytest.raises(
        ChunkMismatchError, match=r"holds shape \(1, 8, 10\), the array's chunks are \(2, 8, 10\)"
    ):
        array[:]


@pytest.mark.parametrize("kind", ["v2", "v3"])
def test_damaged_chunk_leaves_the_others_readable(kind):
    data, array = field(), create(kind)
    array[:] = data
    key = "0.0.0" if kind == "v2" else "c/0/0/0"
    bad = bytearray(array.store._store_dict[key].to_bytes())
    bad[len(bad) // 2] ^= 1
    array.store._store_dict[key] = zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(bytes(bad))
    with pytest.raises(ChecksumError):
        array[0, 0, 0]
    assert np.abs(array[0, 8:, 10:] - data[0, 8:, 10:]).max() <= 0.0051


def test_partial_write_warns_about_points_encoded_twice():
    array = create("v3")
    array[:] = field()
    with pytest.warns(LossyRewriteWarning, match=r"159 points around it were lossy already"):
        array[0, 0, 0] = 290
    assert abs(array[0, 0, 0] - 290) <= 0.0051


def test_partial_write_inside_a_shard_warns():
    array = create("sharded")
    array[:] = field()
    with pytest.warns(LossyRewriteWarning):
        array[0, 0, 0] = 290
    assert abs(reopened(array)[0, 0, 0] - 290) <= 0.0051


@pytest.mark.parametrize("kind", ["v3", "sharded"])
def test_quiet_writes(kind):
    """Whole chunks (the last ones too), first writes of a part, lossless codecs: nothing is lossy twice."""
    data = field()
    array = create(kind)
    array[:] = data
    array[:] = data + 1
    array[:2, :8, :10] = data[:2, :8, :10]
    create(kind)[0, 1:3, 1:3] = 5
    exact = create(kind, codec=Pyramid(exact=True))
    exact[:] = data
    exact[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("selection", "shape"),
    [
        ((0, slice(None), slice(None)), (20, 26)),
        ((slice(None), 3, slice(None)), (3, 26)),
        ((slice(None), slice(None), 7), (3, 20)),
        ((1, 2, 3), ()),
        ((slice(1, 3), slice(2, 19, 3), slice(5, 6)), (2, 6, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["v3", "sharded"])
@pytest.mark.filterwarnings("ignore::frazil.LossyRewriteWarning")
def test_partial_writes_land_where_they_should(kind, selection, shape):
    array, plain = create(kind), field()
    array[:] = plain
    value = np.arange(np.prod(shape, dtype=int), dtype="f4").reshape(shape)
    array[selection] = value
    plain[selection] = value
    assert np.abs(array[:] - plain).max() <= 0.0101
    if kind == "v3":  # inside shards zarr itself fails on this selection
        array.oindex[[0, 2], 3, [1, 5, 25]] = np.full((2, 3), 7, "f4")
        plain[np.ix_([0, 2], [3], [1, 5, 25])] = 7
    assert np.abs(array[:] - plain).max() <= 0.0151
    array[1] = 4  # a scalar, broadcast
    assert np.abs(array[1] - 4).max() <= 0.0051


def test_chunks_of_fill_value_are_not_stored():
    array = create("v3", fill_value=np.nan)
    array[:] = np.nan
    assert [key for key in array.store._store_dict if key.startswith("c/")] == []
    array[:2, :8, :10] = 3
    assert [key for key in array.store._store_dict if key.startswith("c/")] == ["c/0/0/0"]


@pytest.mark.skipif(not hasattr(zarr.core.codec_pipeline, "FusedCodecPipeline"), reason="needs zarr >= 3.4")
@pytest.mark.parametrize("kind", KINDS)
def test_fused_pipeline(kind):
    data = field()
    with zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.FusedCodecPipeline"}):
        array = create(kind)
        array[:] = data
        assert np.abs(reopened(array)[:] - data).max() <= 0.0051
        if kind == "v3":
            with pytest.warns(LossyRewriteWarning):
                array[0, 0, 0] = 290


def test_size_is_unknown_before():
    assert isinstance(serializer(CODEC), PlaneSerializer)
    with pytest.raises(NotImplementedError, match=r"before it is encoded"):
        serializer(CODEC).compute_encoded_size(100, None)
