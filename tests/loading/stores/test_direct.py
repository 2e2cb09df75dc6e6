"""The direct way from bytes to chunks gives what Zarr and xarray give, bit for bit."""

from __future__ import annotations

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import frazil
from frazil.data.stores import StoreReader, direct
from frazil.data.stores.objects import LocalObjects, StoreObjects
from frazil.errors import ChecksumError, ChunkMismatchError, FormatError, TruncatedError

pytestmark = pytest.mark.core
SHAPE, CHUNKS = (7, 13, 20), (2, 8, 20)
DIMS = ("time", "lat", "lon")


def values(dtype="f4", shape=SHAPE):
    rng = np.random.default_rng(1)
    x = 280 + 10 * rng.standard_normal(shape).cumsum(-1)
    return np.round(x).astype(dtype) if np.dtype(dtype).kind in "iu" else x.astype(dtype)


def v3(store, x, chunks=CHUNKS, **options):
    fill = np.nan if x.dtype.kind == "f" else 0
    array = zarr.create_array(
        store,
        name="t",
        shape=x.shape,
        dtype=x.dtype,
        chunks=chunks,
        zarr_format=3,
        dimension_names=DIMS[-x.ndim :],
        **{"fill_value": fill, "filters": None, "compressors": None} | options,
    )
    array[...] = x
    return array


def v2(store, x, chunks=CHUNKS, **options):
    fill = np.nan if x.dtype.kind == "f" else None
    array = zarr.create_array(
        store,
        name="t",
        shape=x.shape,
        dtype=x.dtype,
        chunks=chunks,
        zarr_format=2,
        attributes={"_ARRAY_DIMENSIONS": DIMS[-x.ndim :]},
        **{"fill_value": fill, "compressors": None, "filters": None} | options,
    )
    array[...] = x
    return array


def same_as_zarr(reader, array, name="t"):
    """Every chunk of ``reader`` equals the slices that Zarr and xarray read."""
    described = reader.array(name)
    there = xr.open_zarr(array.store, consolidated=False, chunks=None)[name].values
    for coords in np.ndindex(*described.grid):
        chunk = reader.read_chunk(name, coords)
        span = tuple(slice(c * n, c * n + n) for c, n in zip(coords, described.chunks, strict=True))
        assert chunk.shape == described.chunk_shape(coords)
        assert chunk.dtype == described.dtype
        expected = np.asarray(array[span]).astype(chunk.dtype)
        np.testing.assert_array_equal(chunk, expected)
        assert chunk.tobytes() == np.ascontiguousarray(there[span].astype(chunk.dtype)).tobytes()
        out = np.full(chunk.shape, 7, chunk.dtype)
        assert reader.read_chunk(name, coords, out) is out
        assert out.tobytes() == chunk.tobytes()


def is_direct(reader, name="t"):
    return type(reader._variable(name).source).__name__ == "DirectChunks"


BYTES = {
    "none": None,
    "zstd": zarr.codecs.ZstdCodec(level=1),
    "zstd with checksum": zarr.codecs.ZstdCodec(level=1, checksum=True),
    "blosc": zarr.codecs.BloscCodec(cname="lz4", shuffle="bitshuffle"),
    "gzip": zarr.codecs.GzipCodec(level=1),
    "crc32c": zarr.codecs.Crc32cCodec(),
    "zstd and crc32c": [zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec()],
}
OURS = {
    "jp2k": frazil.JP2K(ratio=8),
    "htj2k": frazil.JP2K(ratio=8, coder="ht"),
    "bounded": frazil.Bounded(base=frazil.JP2K(ratio=8), bound=0.1),
}


@pytest.mark.parametrize("name", BYTES)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2"])
def test_plain_codecs_of_v3(tmp_path, name, dtype):
    array = v3(tmp_path / "a.zarr", values(dtype), compressors=BYTES[name])
    reader = StoreReader(tmp_path / "a.zarr")
    assert is_direct(reader)
    same_as_zarr(reader, array)


@pytest.mark.parametrize("name", OURS)
def test_our_codecs_of_v3(tmp_path, name):
    array = v3(tmp_path / "a.zarr", values(), serializer=frazil.zarr3.serializer(OURS[name]))
    reader = StoreReader(tmp_path / "a.zarr")
    assert is_direct(reader)
    same_as_zarr(reader, array)


@pytest.mark.parametrize("name", [*BYTES, *OURS])
@pytest.mark.parametrize("first", [True, False])
def test_shards(tmp_path, name, first):
    ours = {"serializer": frazil.zarr3.serializer(OURS[name])} if name in OURS else {}
    x = values()
    x[4:6] = np.nan  # one shard is not stored at all
    x[0, :8] = np.nan  # and one chunk of another is not
    array = v3(
        tmp_path / "a.zarr",
        x,
        chunks=(1, 8, 20),
        shards={"shape": (2, 16, 20), "index_location": "start" if first else "end"},
        compressors=BYTES.get(name),
        **ours,
    )
    reader = StoreReader(tmp_path / "a.zarr")
    assert is_direct(reader)
    assert reader.array("t").chunks == (1, 8, 20)
    same_as_zarr(reader, array)


@pytest.mark.parametrize(
    "options",
    [
        {"serializer": zarr.codecs.BytesCodec(endian="big"), "compressors": zarr.codecs.ZstdCodec()},
        {"serializer": zarr.codecs.BytesCodec(endian="big")},
    ],
)
def test_big_endian_of_v3(tmp_path, options):
    array = v3(tmp_path / "a.zarr", values(), **options)
    reader = StoreReader(tmp_path / "a.zarr")
    assert is_direct(reader)
    same_as_zarr(reader, array)


def test_what_only_zarr_knows(tmp_path):
    """Transposed chunks are left to Zarr, and come out the same."""
    array = v3(tmp_path / "a.zarr", values(), filters=[zarr.codecs.TransposeCodec(order=(2, 0, 1))])
    reader = StoreReader(tmp_path / "a.zarr")
    assert direct.find_chain(array) is None
    assert reader.key("t", (1, 1, 0)) == "t/c/1/1/0"
    same_as_zarr(reader, array)


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")
def test_numcodecs_in_v3(tmp_path):
    array = v3(tmp_path / "a.zarr", values(), compressors=zarr.codecs.numcodecs.Zlib(level=1))
    reader = StoreReader(tmp_path / "a.zarr")
    assert is_direct(reader)
    same_as_zarr(reader, array)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">i2"])
@pytest.mark.parametrize(
    "codecs",
    [
        {},
        {"compressors": numcodecs.Zstd(level=1)},
        {"compressors": numcodecs.Blosc(cname="zstd")},
        {"compressors": numcodecs.GZip(level=1)},
        {"filters": [numcodecs.Shuffle(2)], "compressors": numcodecs.LZ4()},
        {"filters": [numcodecs.BitRound(9)], "compressors": numcodecs.Zstd()},
        {"compressors": frazil.JP2K(ratio=8)},
        {"filters": [frazil.JP2K(ratio=8)], "compressors": numcodecs.Zstd()},
    ],
    ids=str,
)
def test_v2(tmp_path, order, dtype, codecs):
    if "BitRound" in str(codecs) or "JP2K" in str(codecs):
        dtype = dtype.replace("i2", "f4")
    if "BitRound" in str(codecs):
        dtype = "<f4"
    array = v2(tmp_path / "a.zarr", values(dtype), order=order, **codecs)
    reader = StoreReader(tmp_path / "a.zarr")
    assert is_direct(reader)
    same_as_zarr(reader, array)


@settings(max_examples=25)
@given(data=st.data())
def test_any_grid_of_chunks(data):
    """Whatever the chunks and shards are, the chunks are the slices."""
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    per_shard = data.draw(st.none() | st.tuples(*[st.integers(1, 3)] * 3))
    shards = None if per_shard is None else tuple(c * n for c, n in zip(chunks, per_shard, strict=True))
    compressors = data.draw(st.sampled_from([None, zarr.codecs.ZstdCodec(level=1)]))
    x = values(shape=shape)
    x[x > 300] = np.nan
    array = v3(zarr.storage.MemoryStore(), x, chunks=chunks, shards=shards, compressors=compressors)
    same_as_zarr(StoreReader(array.store), array)


class TestDamage:
    def test_a_claim_of_another_size_is_refused_before_memory_is_taken(self):
        chain = direct.Chain((2, 3), np.dtype("f4"), codecs=(numcodecs.Zstd(),))
        for size in (20, 28, 1000):
            data = numcodecs.Zstd().encode(b"x" * size)
            with pytest.raises(ChunkMismatchError, match=f"{size} bytes.*24"):
                chain.decode(data)
            with pytest.raises(ChunkMismatchError, match=f"{size} bytes.*24"):
                chain.decode_into(data, np.zeros((2, 3), "f4"))

    def test_a_frame_without_its_size_is_decoded_all_the_same(self):
        x = np.arange(6, dtype="f4").reshape(2, 3)
        raw = x.tobytes()  # one raw block in a frame whose header tells no size (RFC 8878, 3.1.1)
        block = (len(raw) << 3 | 1).to_bytes(3, "little")
        data = b"\x28\xb5\x2f\xfd\x00\x58" + block + raw
        chain = direct.Chain((2, 3), np.dtype("f4"), codecs=(numcodecs.Zstd(),))
        out = np.zeros((2, 3), "f4")
        chain.decode_into(data, out)
        np.testing.assert_array_equal(out, x)

    @pytest.mark.parametrize("size", [1, 255, 256, 257, 65791, 65792, 70000])
    def test_the_size_of_a_frame(self, size):
        assert direct._zstd_size(numcodecs.Zstd().encode(bytes(size))) == size

    def test_checksums(self):
        codec = direct.Crc32c()
        data = b"weather" + (0x12345678).to_bytes(4, "little")
        with pytest.raises(ChecksumError, match="damaged"):
            codec.decode(data)
        with pytest.raises(TruncatedError):
            codec.decode(b"abc")

    @pytest.mark.parametrize("location", ["start", "end"])
    def test_a_damaged_index_of_a_shard(self, tmp_path, location):
        shards = {"shape": (2, 16, 20), "index_location": location}
        v3(tmp_path / "a.zarr", values(), chunks=(1, 8, 20), shards=shards)
        path = tmp_path / "a.zarr/t/c/0/0/0"
        data = bytearray(path.read_bytes())
        data[3 if location == "start" else -9] ^= 1
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"variable 't', t/c/0/0/0.*index|checksum"):
            StoreReader(tmp_path / "a.zarr").read_chunk("t", (1, 0, 0))
        path.write_bytes(data[:10])
        with pytest.raises(TruncatedError, match="variable 't', t/c/0/0/0"):
            StoreReader(tmp_path / "a.zarr").read_chunk("t", (1, 0, 0))


class TestObjects:
    def test_local_and_any_store_agree(self, tmp_path):
        (tmp_path / "a").write_bytes(bytes(range(100)))
        local = LocalObjects(str(tmp_path))
        other = StoreObjects(zarr.storage.LocalStore(tmp_path))
        for span in [(0, None), (0, 10), (5, 9), (90, 200), (-7, None), (40, None), (5, 5)]:
            assert local.get("a", *span) == other.get("a", *span) == bytes(range(100))[slice(*span)]
        assert local.get("b") is None
        assert other.get("b") is None
        assert local.get("a/c") is None

    def test_a_store_that_is_gone_does_not_look_empty(self, tmp_path):
        with pytest.raises(OSError, match="not there"):
            LocalObjects(str(tmp_path / "nowhere")).get("t/c/0")
