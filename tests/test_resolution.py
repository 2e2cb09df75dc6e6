"""Opening a store at 1/2**level."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from pyramid import Pyramid, register
from zarr.storage import LocalStore, MemoryStore, ObjectStore, ZipStore

import frazil
from frazil import JP2K, Bounded
from frazil.access import bytes_read
from frazil.errors import ChecksumError, ConfigurationError, FormatError, StoreError
from frazil.prefix import find_layout
from frazil.resolution import ATTRIBUTE, ReducedArray, positions

pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
    pytest.mark.filterwarnings(
        "ignore:Duplicate name"
    ),  # zip files, by xarray's way of writing metadata twice
]
register()
CODEC = Pyramid()
KINDS = ["v2", "v2 filter", "v3", "sharded", "sharded, index first"]


def dataset(ny=20, nx=26):
    rng = np.random.default_rng(0)
    t = (280 + np.cumsum(rng.normal(size=(3, ny, nx)), axis=-1)).astype("f4")
    t[0, 3:7, 2:9] = np.nan
    lat, lon = np.linspace(50, 40, ny), np.linspace(0, 10, nx)
    return xr.Dataset(
        {
            "t": (("time", "lat", "lon"), t, {"units": "K"}),
            "land": (("lat", "lon"), (rng.random((ny, nx)) > 0.5).astype("i1")),
            "count": ("time", np.arange(3)),
        },
        coords={
            "time": np.array(["2020-01-01", "2020-01-02", "2020-01-04"], "M8[ns]"),
            "lat": lat,
            "lon": lon,
            "area": (("lat", "lon"), np.outer(np.cos(lat), np.ones(nx))),
        },
        attrs={"title": "a field"},
    )


def encoding(kind, chunks, **others):
    if kind == "v2 filter":
        return {"filters": [CODEC], "compressors": None, "chunks": chunks, **others}
    if kind.startswith("sharded"):
        others["shards"] = (chunks[0], 2 * chunks[1], 2 * chunks[2])
    return CODEC.encoding(2 if kind == "v2" else 3, chunks=chunks, **others)


def write(kind, chunks=(2, 8, 12), store=None, ds=None, **others):
    store = MemoryStore() if store is None else store
    ds = dataset() if ds is None else ds
    old = kind.startswith("v2")
    if kind == "sharded, index first":
        codec = zarr.codecs.ShardingCodec(
            chunk_shape=chunks, codecs=[CODEC.encoding()["serializer"]], index_location="start"
        )
        shards = (chunks[0], 2 * chunks[1], 2 * chunks[2])
        t = {"serializer": codec, "compressors": None, "chunks": shards, **others}
    else:
        t = encoding(kind, chunks, **others)
    ds.to_zarr(store, zarr_format=2 if old else 3, consolidated=True, encoding={"t": t})
    return store


def at(ds, level, chunks=(8, 12)):
    """What the pyramid codec's samples stand for: the points themselves."""
    return ds.isel(
        lat=positions(ds.sizes["lat"], chunks[0], level), lon=positions(ds.sizes["lon"], chunks[1], level)
    )


def same(left, right, error=0.0051):
    np.testing.assert_array_equal(np.isnan(left), np.isnan(right))
    assert np.nanmax(np.abs(left - right)) <= error


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_samples_and_coordinates(kind, level):
    store = write(kind)
    small, full = frazil.open_zarr(store, level=level), xr.open_zarr(store)
    wanted = at(full, level)
    assert small["t"].chunks is not None
    assert small["t"].dims == ("time", "lat", "lon")
    same(small["t"].values, wanted["t"].values)
    for name in ("time", "lat", "lon", "area", "land", "count"):
        np.testing.assert_array_equal(small[name].values, wanted[name].values)
        assert small[name].dtype == full[name].dtype
    assert set(small.coords) == set(full.coords)
    assert small["t"].attrs == {"units": "K", ATTRIBUTE: f"decoded at level {level}"}
    assert small["land"].attrs[ATTRIBUTE] == "subsampled"
    assert ATTRIBUTE not in small["count"].attrs
    assert small.attrs == full.attrs


NO_BOUND = "no bound holds"
OR_LOW_BAND = (
    f"or, where a chunk's method is 'wavelet', low band of a wavelet transform; {NO_BOUND} "
    "('frazil inspect' lists methods)"
)


@pytest.mark.parametrize(
    ("codec", "said"),
    [
        (
            Bounded(bound=0.3, base="interpolation"),
            "points 0, 4, 8 ... of each chunk, within the bound abs:0.3",
        ),
        (Bounded(bound=0.3, grid=True), "points 0, 4, 8 ... of each chunk, within the bound abs:0.3"),
        (Bounded(bound=0, base="interpolation"), "points 0, 4, 8 ... of each chunk, exactly"),
        (Bounded(bound=0.3, base="wavelet"), f"low band of a wavelet transform; {NO_BOUND}"),
        (
            Bounded(bound=0.3, base=JP2K(psnr=30)),
            f"what the base codec frazil.jp2k gives without its corrections; {NO_BOUND}",
        ),
        (
            Bounded(bound=0.3, residual="mask"),
            f"what the base codec frazil.jp2k gives without its corrections; {NO_BOUND}",
        ),
        (
            Bounded(bound=0.3),
            f"points 0, 4, 8 ... of each chunk, within the bound abs:0.3; {OR_LOW_BAND}",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else f"{value.base!r}-{value.residual}-{value.bound}",
)
@pytest.mark.parametrize("kind", ["v2", "v3", "sharded"])
def test_what_samples_of_bounded_arrays_are(kind, codec, said):
    """Said in the attribute, and true."""
    others = {"shards": (2, 16, 24)} if kind == "sharded" else {}
    how = codec.encoding(2 if kind == "v2" else 3, chunks=(2, 8, 12), **others)
    store, ds = MemoryStore(), dataset()
    ds.to_zarr(store, zarr_format=2 if kind == "v2" else 3, consolidated=True, encoding={"t": how})
    small = frazil.open_zarr(store, level=2)["t"]
    assert small.attrs[ATTRIBUTE] == f"decoded at level 2: {said}"
    if NO_BOUND in said:
        same(small.values, at(ds, 2)["t"].values, error=15)  # rows are independent, averages far off
    else:
        same(small.values, at(ds, 2)["t"].values, error=codec.bound)
        np.testing.assert_array_equal(small.values, at(xr.open_zarr(store), 2)["t"].values)


def test_level_0_is_xarray():
    store = write("v3")
    xr.testing.assert_identical(frazil.open_zarr(store), xr.open_zarr(store))


@pytest.mark.parametrize("kind", ["v2", "v3", "sharded"])
def test_chunk_lengths_that_do_not_divide(kind):
    """Positions start anew in each chunk: 0 2 4 6 | 7 9 11 13 | 14 ..."""
    store = write(kind, chunks=(2, 7, 5))
    small, full = frazil.open_zarr(store, level=1), xr.open_zarr(store)
    wanted = at(full, 1, (7, 5))
    np.testing.assert_array_equal(small["lat"], full["lat"].values[[0, 2, 4, 6, 7, 9, 11, 13, 14, 16, 18]])
    np.testing.assert_array_equal(small["area"], wanted["area"])
    same(small["t"].values, wanted["t"].values)
    assert small["t"].chunks == ((2, 1), (4, 4, 3), (3, 3, 3, 3, 3, 1))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 6))
def test_positions_are_those_of_the_chunks(length, chunk, level):
    found = positions(length, chunk, level)
    expected = [i for i in range(length) if i % chunk % 2**level == 0]
    assert found.tolist() == expected


@pytest.fixture(scope="module")
def reduced():
    return ReducedArray(find_layout(zarr.open_group(write("v3", chunks=(2, 8, 10)), mode="r")["t"]), 1, "t")


@given(data=st.data())
def test_any_basic_selection(reduced, data):
    whole = reduced[:]
    assert whole.shape == reduced.shape == (3, 10, 13)
    selection = tuple(
        data.draw(st.one_of(st.slices(n), st.integers(-n, n - 1)))
        for n in reduced.shape[: data.draw(st.integers(0, 3))]
    )
    np.testing.assert_array_equal(reduced[selection], whole[selection])


def test_slices_of_the_dataset_read_only_their_chunks():
    store = write("v3")
    ds = frazil.open_zarr(store, level=1)
    with bytes_read() as count:
        same(
            ds["t"].isel(time=2, lat=slice(0, 3), lon=1).values,
            at(xr.open_zarr(store), 1)["t"].values[2, :3, 1],
        )
    assert count.requests == 1


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_bytes_are_read(kind):
    store = write(kind, chunks=(1, 200, 200), ds=dataset(400, 300))
    with bytes_read() as full:
        frazil.open_zarr(store, level=1)["t"].load(scheduler="sync")
    with bytes_read() as quarter:
        frazil.open_zarr(store, level=2)["t"].load()
    stored = 3 * 400 * 400 * 4 * (1 + 1 / 4 + 1 / 16)
    assert full.stored == quarter.stored
    assert stored < full.stored < 1.05 * stored  # the mask, and what deflate adds
    assert 0.2 < full.read / full.stored < 0.3
    assert 0.04 < quarter.read / quarter.stored < 0.08
    assert quarter.requests >= 12
    assert quarter.variables == {"t": (quarter.read, quarter.stored)}


def test_counts_nest_and_end():
    ds = frazil.open_zarr(write("v3"), level=1)
    with bytes_read() as outer:
        ds["t"].isel(time=0).load()
        with bytes_read() as inner:
            ds["t"].isel(time=0).load()
    before = outer.read
    ds["t"].load()
    assert outer.read == before == 2 * inner.read > 0


@pytest.mark.parametrize("kind", ["v2", "v3", "sharded"])
def test_missing_chunks_are_fill_value(kind):
    ds = dataset()
    ds["t"][:2, :16, :12] = np.nan
    store = write(kind, ds=ds)
    same(frazil.open_zarr(store, level=1)["t"].values, at(ds, 1)["t"].values)
    ds["t"][:] = np.nan  # then there is not even a shard
    assert np.isnan(frazil.open_zarr(write(kind, ds=ds), level=1)["t"]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["zip", "local", "local path", "fsspec", "obstore"])
def test_stores(kind, where, tmp_path):
    if where == "zip":
        with ZipStore(tmp_path / "a.zarr.zip", mode="w") as zipped:
            write(kind, store=zipped)
        store = ZipStore(tmp_path / "a.zarr.zip", mode="r")
    elif where == "local":
        store = LocalStore(tmp_path / "a.zarr")
    elif where == "obstore":
        store = ObjectStore(pytest.importorskip("obstore").store.MemoryStore())
    else:
        if where == "fsspec":
            pytest.importorskip("fsspec")
        store = f"memory://{tmp_path.name}-{kind[:2]}" if where == "fsspec" else tmp_path / "a.zarr"
    if where != "zip":
        write(kind, store=store)
    small = frazil.open_zarr(store, level=1)
    same(small["t"].values, at(dataset(), 1)["t"].values)
    if where == "zip":
        store.close()


def test_cf_decoding_is_that_of_xarray():
    ds = dataset()
    for zarr_format in (2, 3):
        store = MemoryStore()
        codec = Pyramid(step=1.0)
        how = codec.encoding(
            zarr_format, chunks=(2, 8, 12), dtype="i2", scale_factor=0.01, add_offset=280.0, _FillValue=-32768
        )
        ds.to_zarr(store, zarr_format=zarr_format, consolidated=True, encoding={"t": how})
        small, full = (
            f(store, consolidated=True) for f in (lambda s, **k: frazil.open_zarr(s, 1, **k), xr.open_zarr)
        )
        same(small["t"].values, at(full, 1)["t"].values, 0)
        xr.testing.assert_identical(small["time"], full["time"])
        assert small["t"].dtype == full["t"].dtype
        assert small["t"].encoding["_FillValue"] == -32768
        assert not {"chunks", "serializer", "compressors"} & set(small["t"].encoding)
        raw = frazil.open_zarr(store, 1, consolidated=True, mask_and_scale=False, decode_times=False)
        assert raw["t"].dtype == "i2"
        assert raw["time"].dtype.kind == "i"
        assert (
            frazil.open_zarr(store, 1, consolidated=True, decode_cf=False)["t"].attrs["scale_factor"] == 0.01
        )


@pytest.mark.parametrize("fill", [-9999.0, 9.97e36])
@pytest.mark.parametrize("kind", ["v2", "v3"])
def test_sentinels_come_back_as_nan(kind, fill):
    ds = dataset()
    extra = {"_FillValue": fill} | ({"fill_value": fill} if kind == "v3" else {})
    codec = Pyramid(missing=np.float32(fill).item())
    store = MemoryStore()
    old = kind == "v2"
    ds.to_zarr(
        store,
        zarr_format=2 if old else 3,
        consolidated=True,
        encoding={"t": codec.encoding(2 if old else 3, chunks=(2, 8, 12), **extra)},
    )
    same(frazil.open_zarr(store, level=1)["t"].values, at(ds, 1)["t"].values)


def test_other_codecs_in_the_chain_mean_subsampling():
    ds, store = dataset(), MemoryStore()
    crc = CODEC.encoding(chunks=(2, 8, 12)) | {"compressors": [zarr.codecs.Crc32cCodec()]}
    ds.to_zarr(store, zarr_format=3, consolidated=True, encoding={"t": crc})
    small = frazil.open_zarr(store, level=1)
    same(small["t"].values, at(ds, 1)["t"].values)
    assert small["t"].attrs[ATTRIBUTE] == (
        "subsampled: its codecs are frazil.test_pyramid, crc32c; "
        "only frazil.test_pyramid alone can be read in part"
    )


def test_filters_before_ours_mean_subsampling():
    import numcodecs

    ds, store = dataset(), MemoryStore()
    how = {
        "filters": [numcodecs.Delta(dtype="f4")],
        "compressors": [Pyramid(step=1e-3)],
        "chunks": (2, 20, 26),
    }
    ds.fillna(0).to_zarr(store, zarr_format=2, consolidated=True, encoding={"t": how})
    small = frazil.open_zarr(store, level=1)
    assert small["t"].attrs[ATTRIBUTE].startswith("subsampled: its codecs are delta, frazil.test_pyramid")
    assert small["t"].shape == (3, 10, 13)


def test_two_variables_that_disagree():
    ds, store = dataset(), MemoryStore()
    ds["u"] = ds["t"] + 1
    how = {"t": CODEC.encoding(chunks=(2, 8, 12)), "u": CODEC.encoding(chunks=(3, 7, 12))}
    ds.to_zarr(store, zarr_format=3, consolidated=True, encoding=how)
    small = frazil.open_zarr(store, level=1)
    first, second = [name for name in xr.open_zarr(store).data_vars if name in "tu"]
    assert small[first].attrs[ATTRIBUTE] == "decoded at level 1"
    assert small[second].attrs[ATTRIBUTE] == (
        f"decoded at level 1, along lat the samples nearest to those of {first}"
    )
    own = {"t": positions(20, 8, 1), "u": positions(20, 7, 1)}
    nearest = own[second][np.abs(own[second][:, None] - own[first]).argmin(axis=0)]
    lon = positions(26, 12, 1)
    same(small[second].values, ds[second].isel(lat=nearest, lon=lon).values)
    np.testing.assert_array_equal(small["lat"], ds["lat"].values[own[first]])


def test_a_reduced_dimension_may_lead_elsewhere():
    ds, store = dataset(), MemoryStore()
    ds["w"] = ds["t"].transpose("lat", "time", "lon").isel(time=0)
    ds["w"] = ds["w"].expand_dims(z=2, axis=1).transpose("lat", "z", "lon")
    how = {"t": CODEC.encoding(chunks=(2, 8, 12)), "w": CODEC.encoding(chunks=(8, 2, 12))}
    ds.to_zarr(store, zarr_format=3, consolidated=True, encoding=how)
    small = frazil.open_zarr(store, level=1)
    same(small["w"].values, ds["w"].values[::2, ::2, ::2])


def test_groups_and_chunks():
    store = MemoryStore()
    dataset().to_zarr(
        store,
        group="a/b",
        zarr_format=3,
        consolidated=True,
        encoding={"t": CODEC.encoding(chunks=(2, 8, 12))},
    )
    small = frazil.open_zarr(store, level=1, group="a/b", chunks={"lat": -1})
    assert small["t"].chunks == ((2, 1), (10,), (6, 6, 1))
    same(small["t"].values, at(dataset(), 1)["t"].values)


def test_saved_again_without_loss():
    small, store = frazil.open_zarr(write("v3"), level=1), MemoryStore()
    small.to_zarr(store, zarr_format=3, consolidated=True)
    xr.testing.assert_identical(xr.open_zarr(store).load(), small.load())


def test_damage_names_array_and_chunk_and_stays_local():
    store = write("v3", chunks=(2, 20, 26))
    bad = store._store_dict["t/c/0/0/0"].to_bytes()
    proto = zarr.core.buffer.default_buffer_prototype()
    store._store_dict["t/c/0/0/0"] = proto.buffer.from_bytes(b"\x00" + bad[1:])
    small = frazil.open_zarr(store, level=1)
    with pytest.raises(FormatError, match=r"array 't', t/c/0/0/0: not a frazil container"):
        small["t"].load()
    same(small["t"].isel(time=2).values, at(dataset(), 1, (20, 26))["t"].values[2])
    store._store_dict["t/c/0/0/0"] = proto.buffer.from_bytes(bad[:40])
    with pytest.raises(FormatError, match=r"array 't', t/c/0/0/0: "):
        small["t"].load()


def test_damaged_shards():
    store = write("sharded")
    key = "t/c/0/0/0"
    whole = store._store_dict[key].to_bytes()
    proto = zarr.core.buffer.default_buffer_prototype()
    store._store_dict[key] = proto.buffer.from_bytes(whole[:-7] + b"\x55" + whole[-6:])
    with pytest.raises(ChecksumError, match=r"array 't', t/c/0/0/0: the shard's index"):
        frazil.open_zarr(store, level=1)["t"].load()
    store._store_dict[key] = proto.buffer.from_bytes(b"\x00" + whole[1:])  # the first chunk's magic
    small = frazil.open_zarr(store, level=1)
    with pytest.raises(FormatError, match=r"t/c/0/0/0, chunk \(0, 0, 0\) of the shard: not a frazil"):
        small["t"].isel(lat=0, lon=0, time=0).load()
    same(small["t"].isel(lat=slice(4, 8)).values, at(dataset(), 1)["t"].values[:, 4:8])


def test_refusals():
    with pytest.raises(ConfigurationError, match=r"level counts halvings.*got -1"):
        frazil.open_zarr(MemoryStore(), level=-1)
    with pytest.raises(ConfigurationError, match=r"chunks=None"):
        frazil.open_zarr(write("v3"), level=1, chunks=None)
    store = MemoryStore()
    dataset().to_zarr(store, zarr_format=3, consolidated=True)
    with pytest.raises(StoreError, match=r"holds no array that frazil coded"):
        frazil.open_zarr(store, level=1)


def test_lazy_arrays_travel_to_other_processes(tmp_path):
    write("sharded", store=str(tmp_path / "a.zarr"))
    small = frazil.open_zarr(str(tmp_path / "a.zarr"), level=1)
    same(pickle.loads(pickle.dumps(small))["t"].values, at(dataset(), 1)["t"].values)
