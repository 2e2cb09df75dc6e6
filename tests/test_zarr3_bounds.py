"""Bounds from the array beside: what zarr itself does with a codec that wants them."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr
from pointwise import Lattice, register, within
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, ZipStore

from frazil.chunk_bounds import parse_key
from frazil.errors import LossyRewriteWarning, StoreError, UnsupportedArrayError
from frazil.zarr3 import serializer

pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
    pytest.mark.filterwarnings("ignore:Duplicate name"),
]
register()
CODEC = Lattice(bound="array")
SHAPE, CHUNKS = (3, 20, 26), (2, 8, 10)
HAS_FUSED = hasattr(zarr.core.codec_pipeline, "FusedCodecPipeline")


@pytest.fixture(
    params=["batched", pytest.param("fused", marks=pytest.mark.skipif(not HAS_FUSED, reason="zarr >= 3.4"))]
)
def pipeline(request):
    name = {"batched": "BatchedCodecPipeline", "fused": "FusedCodecPipeline"}[request.param]
    with zarr.config.set({"codec_pipeline.path": f"zarr.core.codec_pipeline.{name}"}):
        yield request.param


def field(shape=SHAPE, dtype="f4"):
    rng = np.random.default_rng(0)
    data = (280 + np.cumsum(rng.normal(size=shape), axis=-1)).astype(dtype)
    bounds = np.exp2(rng.uniform(-9, 1, shape)).astype(dtype)
    bounds.reshape(-1)[::7] = 0
    return data, bounds


def create(store, name, data, codec=None, **options):
    coding = {} if codec is None else {"serializer": serializer(codec), "compressors": None}
    options = {"chunks": CHUNKS, "fill_value": np.nan} | coding | options
    array = zarr.create_array(store, name=name, shape=data.shape, dtype=data.dtype, **options)
    array[...] = data
    return array


@pytest.mark.parametrize("group", ["", "deep/er"])
@pytest.mark.parametrize("key", [("default", "/"), ("default", "."), ("v2", "/"), ("v2", ".")])
def test_keys_and_groups(pipeline, key, group):
    data, bounds = field()
    store = MemoryStore()
    name = f"{group}/t" if group else "t"
    encoding = {"name": key[0], "separator": key[1]}
    create(store, f"{name}_bound", bounds, chunks=(1, 7, 26))
    create(store, name, data, CODEC, chunk_key_encoding=encoding)
    assert within(data, zarr.open_array(store, path=name)[:], bounds)


@pytest.mark.parametrize("awkward", ["c", "0", "c/1/2", "1/c"])
@pytest.mark.parametrize("key", [("default", "/"), ("v2", "/")])
def test_arrays_named_like_keys(awkward, key):
    data, bounds = field((20, 26))
    store, encoding = MemoryStore(), {"name": key[0], "separator": key[1]}
    create(store, f"{awkward}_bound", bounds, chunks=(9, 9))
    create(store, awkward, data, CODEC, chunks=(8, 10), chunk_key_encoding=encoding)
    assert within(data, zarr.open_array(store, path=awkward)[:], bounds)


@pytest.mark.parametrize(
    ("shape", "chunks"), [((), ()), ((23,), (5,)), ((1, 1), (1, 1)), ((2, 3, 4, 5), (1, 2, 3, 4))]
)
def test_any_rank(pipeline, shape, chunks):
    data, bounds = field(shape) if shape else (np.array(281.3), np.array(0.25))
    store = MemoryStore()
    create(store, "t_bound", bounds, chunks=chunks)
    create(store, "t", data, CODEC, chunks=chunks)
    assert within(data, zarr.open_array(store, path="t")[...], bounds)


def test_keys():
    assert parse_key("c", 0) == [("", ())]
    assert parse_key("g/t/c", 0) == [("g/t", ())]
    assert parse_key("0", 0) == [("", ())]
    assert parse_key("t/7", 1) == [("t", (7,))]
    assert parse_key("t/c/7", 1) == [("t", (7,)), ("t/c", (7,))]
    assert parse_key("t/07", 1) == []
    assert parse_key("t/c/1/2", 3) == []
    assert parse_key("a/3/1/2", 2) == [("a/3", (1, 2))]


@pytest.mark.parametrize("shards", [None, (3, 14, 26)])
def test_any_chunks_and_codecs_of_the_bounds(pipeline, shards):
    data, bounds = field()
    store = MemoryStore()
    create(store, "t_bound", bounds.astype("f8"), chunks=(1, 7, 13), shards=shards)
    create(store, "t", data, CODEC)
    assert within(data, zarr.open_array(store, path="t")[:], bounds)


def test_bounds_that_are_coded_themselves(pipeline):
    data, bounds = field()
    store = MemoryStore()
    create(store, "t_bound", np.maximum(bounds, 0.1), Lattice(bound=0.01))
    stored = zarr.open_array(store, path="t_bound")[:]
    create(store, "t", data, CODEC)
    assert within(data, zarr.open_array(store, path="t")[:], stored)


@pytest.mark.parametrize("kind", ["local", "zip", "fsspec", "obstore"])
def test_stores(kind, tmp_path):
    data, bounds = field()
    if kind == "local":
        store = LocalStore(tmp_path / "a.zarr")
    elif kind == "zip":
        store = ZipStore(tmp_path / "a.zip", mode="w")
    elif kind == "fsspec":
        pytest.importorskip("fsspec")
        store = FsspecStore.from_url(f"memory://{tmp_path.name}")
    else:
        store = ObjectStore(pytest.importorskip("obstore").store.MemoryStore())
    create(store, "t_bound", bounds)
    create(store, "t", data, CODEC)
    assert within(data, zarr.open_array(store, path="t", mode="r+")[:], bounds)
    store.close()


def test_fused_on_disk(pipeline, tmp_path):
    data, bounds = field()
    create(tmp_path, "t_bound", bounds, chunks=(1, 5, 5), shards=(1, 20, 30))
    create(tmp_path, "t", data, CODEC)
    assert within(data, zarr.open_array(tmp_path, path="t")[:], bounds)


def test_padding_with_a_fill_value_far_off(pipeline):
    data, bounds = field()
    store = MemoryStore()
    create(store, "t_bound", bounds, fill_value=0)
    create(store, "t", data, CODEC, fill_value=-1e30)
    assert within(data, zarr.open_array(store, path="t")[:], bounds)


def test_many_writers_do_not_wait_for_each_other(pipeline):
    """More threads than zarr's pools have, each with several chunks whose bounds lie in several others."""
    data, bounds = field((48, 16, 16))
    store = MemoryStore()
    create(store, "t_bound", bounds, chunks=(1, 5, 5), shards=(1, 10, 10))
    array = zarr.create_array(
        store,
        name="t",
        shape=data.shape,
        dtype="f4",
        chunks=(1, 8, 8),
        serializer=serializer(CODEC),
        compressors=None,
    )
    failures = []

    def write(start):
        try:
            array[start : start + 2] = data[start : start + 2]
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=write, args=(start,), daemon=True) for start in range(0, 48, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)
    assert within(data, array[:], bounds)


@pytest.mark.parametrize(
    "selection",
    [
        (0,),
        (slice(None), 3),
        (slice(1, 3), slice(2, 19, 3), slice(5, 6)),
        (1, 2, 3),
        (slice(0, 2), slice(0, 8)),
    ],
)
def test_partial_writes_keep_the_bounds(pipeline, selection):
    data, bounds = field()
    store = MemoryStore()
    create(store, "t_bound", bounds)
    array = create(store, "t", data, Lattice(bound="array", grid=True))
    before = array[:]
    changed = data.copy()
    changed[selection] += 5
    with warnings.catch_warnings():
        warnings.simplefilter("error", LossyRewriteWarning)  # on a grid there is nothing to warn of
        array[selection] = changed[selection]
    assert within(changed, array[:], bounds)
    untouched = np.ones(SHAPE, bool)
    untouched[selection] = False
    np.testing.assert_array_equal(array[:][untouched], before[untouched])


def test_rewriting_off_the_grid_warns(pipeline):
    data, bounds = field()
    store = MemoryStore()
    create(store, "t_bound", bounds)
    array = create(store, "t", data, CODEC)
    with pytest.warns(LossyRewriteWarning, match=r"159 points around it"):
        array[0, 0, 0] = 290


def test_missing_points_need_no_bounds(pipeline):
    data, bounds = field()
    data[0, :9] = np.nan
    bounds[0, :9] = np.nan
    store = MemoryStore()
    create(store, "t_bound", bounds)
    create(store, "t", data, CODEC)
    assert within(data, zarr.open_array(store, path="t")[:], bounds)


def dataset(n=4):
    data, bounds = field((n, 20, 26))
    dims = ("time", "y", "x")
    return xr.Dataset({"t_bound": (dims, bounds), "t": (dims, data)}, {"time": np.arange(n)})


def encoding(**options):
    return {"t": CODEC.encoding(chunks=(2, 8, 10), **options)}


def write(ds, store, **options):
    """Write the bounds in a call of their own: xarray takes the variables of one call in any order."""
    ds[["t_bound"]].to_zarr(store, **options)
    if not options:
        options = {"mode": "a", "encoding": encoding()}
    if "region" in options:
        ds = ds.drop_vars("time")
    ds[["t"]].to_zarr(store, **options)


def test_xarray_in_memory_and_appended():
    ds, store = dataset(), MemoryStore()
    write(ds.isel(time=slice(2)), store)
    more = ds.isel(time=slice(2, 4))
    with pytest.raises(StoreError, match=r"has shape \(2, 20, 26\), 't' has \(4, 20, 26\).*before the data"):
        more[["t"]].to_zarr(store, append_dim="time")
    store = MemoryStore()
    write(ds.isel(time=slice(2)), store)
    more[["t_bound"]].drop_vars("time").to_zarr(store, append_dim="time")
    more[["t"]].to_zarr(store, append_dim="time")
    back = xr.open_zarr(store)
    assert within(ds["t"], back["t"], ds["t_bound"])
    xr.testing.assert_equal(back["t_bound"].load(), ds["t_bound"])


@pytest.mark.filterwarnings("ignore::frazil.LossyRewriteWarning")
def test_xarray_regions():
    ds, store = dataset(), MemoryStore()
    write(ds, store)
    changed = ds[["t"]].drop_vars("time") + 3
    region = {"time": slice(2, 4), "y": slice(8, 16), "x": slice(0, 26)}
    changed.isel(region).to_zarr(store, region=region)
    expected = ds["t"].copy()
    expected[2:4, 8:16] += 3
    assert within(expected, xr.open_zarr(store)["t"], ds["t_bound"])


def test_xarray_dask():
    ds, store = dataset(), MemoryStore()
    lazy = ds.chunk({"time": 2, "y": 8, "x": 10})
    bounds = lazy[["t_bound"]].to_zarr(store, compute=False)
    with pytest.raises(StoreError, match=r"points of chunk 't/c/.* NaN as bounds.*write the bounds before"):
        lazy[["t"]].to_zarr(store, mode="a", encoding=encoding())
    store = MemoryStore()
    bounds = lazy[["t_bound"]].to_zarr(store, compute=False)
    bounds.compute()
    lazy[["t"]].to_zarr(store, mode="a", encoding=encoding())
    assert within(ds["t"], xr.open_zarr(store)["t"], ds["t_bound"])


def test_refusals(pipeline):
    data, bounds = field()
    with pytest.raises(StoreError, match=r"'t_bound' beside it, and there is no such array; write it first"):
        create(MemoryStore(), "t", data, CODEC)
    store = MemoryStore()
    zarr.create_group(store, path="t_bound")
    with pytest.raises(StoreError, match=r"there is no such array"):
        create(store, "t", data, CODEC)
    store = MemoryStore()
    create(store, "g/t_bound", bounds[:2])
    with pytest.raises(StoreError, match=r"'g/t_bound' has shape \(2, 20, 26\), 'g/t' has \(3, 20, 26\)"):
        create(store, "g/t", data, CODEC)
    create(store, "t_bound", bounds.swapaxes(1, 2)[:, :20, :20].copy(), dimension_names=["n", "x", "y"])
    with pytest.raises(StoreError, match=r"transpose the bounds"):
        create(store, "t", data[..., :20], CODEC, dimension_names=["n", "y", "x"])
    create(store, "u_bound", bounds).attrs["scale_factor"] = 0.1
    with pytest.raises(StoreError, match=r"is packed with scale_factor; write the bounds as plain numbers"):
        create(store, "u", data, CODEC)
    create(store, "v_bound", bounds > 1, fill_value=False)
    with pytest.raises(StoreError, match=r"has dtype bool"):
        create(store, "v", data, CODEC)
    with pytest.raises(StoreError, match=r"there is no such array"):
        create(MemoryStore(), None, data, CODEC)


def test_without_a_key_there_are_no_bounds(pipeline):
    data, bounds = field()
    store = MemoryStore()
    create(store, "t_bound", bounds)
    with pytest.raises(UnsupportedArrayError, match=r"inside a? ?shard.*write with frazil.to_zarr"):
        create(store, "t", data, CODEC, shards=(4, 16, 20))
    with pytest.raises(UnsupportedArrayError, match=r"inside a? ?shard.*write with frazil.to_zarr"):
        create(store, "t", data, CODEC, shards=(4, 16, 20), overwrite=True)[1, 2, 3] = 4
    with pytest.raises(
        UnsupportedArrayError, match=r"where other codecs take part.*write with frazil.to_zarr"
    ):
        create(store, "t", data, CODEC, compressors=[zarr.codecs.Crc32cCodec()], overwrite=True)


@pytest.mark.skipif(not HAS_FUSED, reason="zarr >= 3.4")
def test_fused_without_synchronous_access(tmp_path):
    data, bounds = field()
    fused = zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.FusedCodecPipeline"})
    with fused, ZipStore(tmp_path / "a.zip", mode="w") as store:
        create(store, "t_bound", bounds)
        with pytest.raises(UnsupportedArrayError, match=r"stores without synchronous access"):
            create(store, "t", data, CODEC)


def test_other_codecs_read_nothing_beside():
    asked = []

    class Watched(MemoryStore):
        async def get(self, key, *args, **kwargs):
            asked.append(key)
            return await super().get(key, *args, **kwargs)

    store = Watched()
    data, _ = field()
    create(store, "t", data, Lattice(bound=0.1))
    assert not [key for key in asked if "bound" in key]
