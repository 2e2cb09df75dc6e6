"""Bounds that vary from point to point, given to `frazil.to_zarr`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from pointwise import Lattice, register, within
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, ZipStore

import frazil
from frazil.access import to_zarr
from frazil.errors import ConfigurationError, LossyRewriteWarning, StoreError
from frazil.prefix import find_layout
from frazil.transcode import transcode
from frazil.writing import write_block
from frazil.zarr3 import serializer

pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
    pytest.mark.filterwarnings("ignore:Duplicate name"),
]
register()
CODEC = Lattice(bound="array")
DIMS = ("time", "y", "x")
CHUNKS = {"time": 2, "y": 16, "x": 20}
KINDS = ["v2", "v3", "shards"]


def dataset(n=5):
    y, x = np.mgrid[:40, :50] / 20
    t = 280 + 10 * np.sin(y) * np.cos(x) + np.arange(n)[:, None, None]
    t[0, :5, :9] = np.nan
    return xr.Dataset(
        {
            "t": (DIMS, t.astype("f4"), {"units": "K"}),
            "u": (DIMS, t - 280),
            "kind": (("y", "x"), (y > 1).astype("i2")),
        },
        coords={"time": np.arange(n), "y": y[:, 0], "x": x[0], "lat": (("y", "x"), y * 1.1)},
    )


def spread(ds, dims=DIMS):
    shape = [ds.sizes[dim] for dim in dims]
    values = np.exp2(np.random.default_rng(1).uniform(-9, 1, shape)).astype("f4")
    values.reshape(-1)[::11] = 0
    return xr.DataArray(values, {dim: ds[dim] for dim in dims}, dims)


def options(kind):
    if kind == "v2":
        return {"zarr_format": 2}
    if kind == "v3":
        return {}
    return {"encoding": {"t": {"shards": (4, 32, 40)}}}


def written(ds, store=None, *, codec=CODEC, chunks=CHUNKS, **given):
    store = MemoryStore() if store is None else store
    to_zarr(ds, store, codec={"t": codec}, chunks=chunks, **given)
    return store


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dask", [None, {"time": 1, "y": 13}, {"time": 4, "y": 32, "x": 40}])
def test_every_point_keeps_its_bound(kind, dask):
    ds = dataset()
    bounds = spread(ds)
    given = ds if dask is None else ds.chunk(dask)
    store = written(given, bounds={"t": bounds}, **options(kind))
    back = xr.open_zarr(store).load()
    assert within(ds["t"], back["t"], bounds)
    xr.testing.assert_identical(back[["u", "kind"]], ds[["u", "kind"]])
    assert set(back.coords) == set(ds.coords)
    assert "t_bound" not in back
    array = zarr.open_group(store, mode="r")["t"]
    assert array.chunks == (2, 16, 20)
    assert array.shards == ((4, 32, 40) if kind == "shards" else None)
    assert find_layout(array).codec.bound == "array"


@pytest.mark.parametrize("kind", KINDS)
def test_what_zarr_reads_it_can_write_again(kind):
    """Our shards and keys are the ones that zarr itself makes of the same chunks."""
    ds = dataset()
    fixed = Lattice(bound=0.25)
    ours = written(ds, bounds={"t": xr.full_like(ds["t"], 0.25)}, **options(kind))
    theirs = written(ds, codec=fixed, **options(kind))
    for store in (ours, theirs):
        xr.testing.assert_equal(xr.open_zarr(store)["t"].load(), xr.open_zarr(theirs)["t"].load())
    chunk_keys = [{k for k in s._store_dict if k.startswith("t/") and "z" not in k} for s in (ours, theirs)]
    assert chunk_keys[0] == chunk_keys[1]
    if kind != "v2":  # zarr does not treat the fill value as missing there
        assert all(
            len(ours._store_dict[k].to_bytes()) == len(theirs._store_dict[k].to_bytes())
            for k in chunk_keys[0]
        )


@pytest.mark.parametrize("how", ["DataArray", "numpy", "dask", "transposed", "no time", "row", "numpy row"])
@pytest.mark.parametrize("dask", [False, True])
def test_shapes_of_bounds(how, dask):
    ds = dataset()
    bounds = spread(ds)
    given = {
        "DataArray": bounds,
        "numpy": bounds.values,
        "dask": bounds.chunk({"time": 3, "y": 7}).data,
        "transposed": bounds.transpose("x", "time", "y").chunk({"x": 9}),
        "no time": bounds[0].drop_vars("time"),
        "row": bounds[0, :, 0].drop_vars(["time", "x"]),
        "numpy row": bounds.values[:1, :, :1],
    }[how]
    expected = xr.broadcast(ds["t"], given)[1].transpose(*DIMS) if isinstance(given, xr.DataArray) else given
    store = written(ds.chunk({"time": 2}) if dask else ds, bounds={"t": given})
    assert within(ds["t"], xr.open_zarr(store)["t"], np.asarray(expected))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8"])
def test_types(zarr_format, dtype):
    ds = dataset()[["t"]].astype(dtype)
    bounds = spread(ds)
    store = written(ds, bounds={"t": bounds.astype("f8")}, zarr_format=zarr_format)
    assert within(ds["t"], xr.open_zarr(store)["t"], bounds)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("fill", [-9999.0, 9.97e36, 0.0])
def test_sentinels_and_padding(zarr_format, fill):
    ds = dataset()
    bounds = spread(ds)
    bounds.values[0, :5, :9] = np.nan  # where there are no data, bounds mean nothing
    ds["t"].encoding["_FillValue"] = np.float32(fill)
    store = written(ds, bounds={"t": bounds}, zarr_format=zarr_format)
    assert within(ds["t"], xr.open_zarr(store)["t"], bounds)
    raw = xr.open_zarr(store, mask_and_scale=False)["t"].values
    assert (raw[0, :5, :9] == np.float32(fill)).all()


def test_fortran_order_of_v2():
    ds = dataset()
    bounds = spread(ds)
    with zarr.config.set({"array.order": "F"}):
        store = written(ds, bounds={"t": bounds}, zarr_format=2)
        assert within(ds["t"], xr.open_zarr(store)["t"], bounds)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunks_of_fill_value_are_not_stored(zarr_format):
    ds = dataset()
    ds["t"][:2, :16, :20] = np.nan
    names = {2: ("t/0.0.0", "t/0.0.1"), 3: ("t/c/0/0/0", "t/c/0/0/1")}[zarr_format]
    for keep in (False, True):
        store = written(ds, bounds={"t": spread(ds)}, zarr_format=zarr_format, write_empty_chunks=keep)
        assert [name in store._store_dict for name in names] == [keep, True]
        assert within(ds["t"], xr.open_zarr(store)["t"], spread(ds))


@pytest.mark.parametrize("where", ["local", "zip", "fsspec", "obstore"])
def test_stores(where, tmp_path):
    ds = dataset()
    bounds = spread(ds)
    if where == "zip":
        with ZipStore(tmp_path / "a.zip", mode="w") as zipped:
            written(ds, zipped, bounds={"t": bounds})
        store = ZipStore(tmp_path / "a.zip", mode="r")
    elif where == "local":
        store = LocalStore(tmp_path / "a.zarr")
    elif where == "fsspec":
        pytest.importorskip("fsspec")
        store = FsspecStore.from_url(f"memory://{tmp_path.name}")
    else:
        store = ObjectStore(pytest.importorskip("obstore").store.MemoryStore())
    if where != "zip":
        written(ds, store, bounds={"t": bounds})
    assert within(ds["t"], xr.open_zarr(store)["t"], bounds)
    store.close()


def test_paths_and_groups(tmp_path, monkeypatch):
    ds = dataset()
    bounds = spread(ds)
    monkeypatch.chdir(tmp_path)
    for store in ("a.zarr", tmp_path / "b.zarr", str(tmp_path / "c.zarr")):
        written(ds.chunk({"time": 2}), store, bounds={"t": bounds}, group="one/two")
        assert within(ds["t"], xr.open_zarr(store, group="one/two")["t"], bounds)
    with pytest.raises(StoreError, match=r"holds data already; pass mode='w'"):
        written(ds, "a.zarr", bounds={"t": bounds}, group="one/two")
    written(ds + 1, "a.zarr", bounds={"t": bounds}, group="one/two", mode="w")
    assert within(ds["t"] + 1, xr.open_zarr("a.zarr", group="one/two")["t"], bounds)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_computed_later(zarr_format):
    ds, store = dataset(), MemoryStore()
    bounds = spread(ds)
    lazy = ds.chunk({"time": 2})
    later = to_zarr(
        lazy, store, codec={"t": CODEC}, bounds={"t": bounds}, zarr_format=zarr_format, compute=False
    )
    before = xr.open_zarr(store)
    assert np.isnan(before["t"]).all()
    assert set(before.variables) == set(ds.variables)
    assert before["t"].attrs["lossy_compression"] == "frazil.test_lattice"
    later.compute(scheduler="threads", num_workers=4)
    back = xr.open_zarr(store)
    assert within(ds["t"], back["t"], bounds)
    xr.testing.assert_identical(back["u"].load(), ds["u"])


def test_lazy_variables_that_are_packed_and_dated():
    """Other dask variables are written by us too, as xarray encodes them."""
    ds = dataset()
    ds["u"].encoding = {"dtype": "i2", "scale_factor": 0.5, "_FillValue": -32768}
    ds["when"] = (DIMS[:1], np.array("2020-01-01", "M8[ns]") + np.arange(5) * np.timedelta64(6, "h"))
    ds["when"].encoding = {"units": "hours since 2020-01-01", "dtype": "i8"}
    raw = xr.DataArray(
        np.arange(10, dtype="i2"), dims="r", attrs={"scale_factor": 0.1, "_FillValue": np.int16(3)}
    )
    lazy = ds.assign(raw=raw).chunk()
    store = written(lazy, bounds={"t": spread(ds)})
    plain = MemoryStore()
    lazy.drop_vars("t").to_zarr(plain)
    xr.testing.assert_identical(xr.open_zarr(store).drop_vars("t").load(), xr.open_zarr(plain).load())


def test_the_store_says_how():
    ds = dataset()
    store = written(ds, bounds={"t": spread(ds)})
    attrs = xr.open_zarr(store)["t"].attrs
    assert attrs["units"] == "K"
    assert json.loads(attrs["lossy_compression_settings"])["bound"] == "array"
    assert "lat" in xr.open_zarr(store, decode_coords=False)["t"].attrs["coordinates"]
    assert zarr.open_group(store, mode="r").metadata.consolidated_metadata is not None


def test_the_dataset_given_stays_as_it_is():
    ds = dataset()
    before = ds.copy(deep=True)
    bounds = spread(ds)
    written(ds, bounds={"t": bounds}, store_bounds=True)
    xr.testing.assert_identical(ds, before)
    assert ds["t"].encoding == before["t"].encoding


def test_numbers_and_texts():
    ds = dataset()
    store = MemoryStore()
    to_zarr(ds, store, codec=Lattice(), bounds={"t": 0.5, "u": np.float32(0.25)})
    group = zarr.open_group(store, mode="r")
    assert find_layout(group["t"]).codec == Lattice(bound=0.5)
    assert find_layout(group["u"]).codec == Lattice(bound=0.25)
    back = xr.open_zarr(store)
    assert within(ds["t"], back["t"], 0.5)
    assert within(ds["u"], back["u"], 0.25)


@pytest.mark.parametrize("dask", [False, True])
def test_relative_to_the_whole_array(dask):
    ds = dataset()
    ds["t"][1, 3, 4] = np.inf
    ds["t"].attrs["missing_value"] = np.float32(1e20)
    ds["t"][2, 3, 4] = 1e20
    ds["empty"] = xr.full_like(ds["u"], np.nan)
    expected = 0.01 * float(ds["t"].where(ds["t"] < 1e19).max() - ds["t"].min())
    store = MemoryStore()
    given = ds.chunk({"time": 2}) if dask else ds
    to_zarr(given[["t", "empty"]], store, codec=Lattice(bound="rel:0.01:array"))
    group = zarr.open_group(store, mode="r")
    assert find_layout(group["t"]).codec.bound == pytest.approx(expected, rel=1e-6)
    assert find_layout(group["empty"]).codec.bound == 0
    assert json.loads(group["t"].attrs["lossy_compression_settings"])["bound"] == pytest.approx(
        expected, rel=1e-6
    )


def test_ranges_of_what_is_still_in_a_file(tmp_path, monkeypatch):
    from frazil import bound_arrays

    monkeypatch.setattr(bound_arrays, "_SLAB_POINTS", 5000)
    dataset().to_netcdf(tmp_path / "a.nc", engine="netcdf4")
    with xr.open_dataset(tmp_path / "a.nc", engine="netcdf4") as ds:
        codecs = bound_arrays.resolve_ranges(ds, {"u": Lattice(bound="rel:0.1:array")})
        assert not ds["u"].variable._in_memory
        assert codecs["u"].bound == pytest.approx(0.1 * float(ds["u"].max() - ds["u"].min()))


def test_bounds_among_the_variables():
    ds = dataset()
    ds["t_bound"] = spread(ds)
    for source in (ds, ds.chunk({"time": 2, "y": 16, "x": 20})):
        store = MemoryStore()
        to_zarr(source.drop_vars("u"), store, codec=CODEC, chunks=CHUNKS)
        back = xr.open_zarr(store)
        assert within(ds["t"], back["t"], ds["t_bound"])
        np.testing.assert_array_equal(back["t_bound"], ds["t_bound"])
        assert find_layout(zarr.open_group(store, mode="r")["t_bound"]) is None


@pytest.mark.parametrize("dask", [False, True])
@pytest.mark.filterwarnings("ignore::frazil.LossyRewriteWarning")
def test_stored_bounds_let_zarr_change_the_array(dask):
    ds = dataset()
    bounds = spread(ds, DIMS[1:])
    store = written(ds.chunk({"time": 2}) if dask else ds, bounds={"t": bounds}, store_bounds=True)
    back = xr.open_zarr(store)
    np.testing.assert_array_equal(back["t_bound"][3], bounds)
    assert back["t_bound"].attrs["units"] == "K"
    array = zarr.open_group(store, mode="r+")["t"]
    array[1, 10:30] = 300
    expected = ds["t"].copy()
    expected[1, 10:30] = 300
    assert (np.abs(array[1, 10:30] - 300) <= bounds.values[10:30] * 1.26).all()


def test_without_stored_bounds_zarr_refuses():
    store = written(dataset(), bounds={"t": spread(dataset())})
    with pytest.raises(StoreError, match=r"'t_bound' beside it, and there is no such array"):
        zarr.open_group(store, mode="r+")["t"][:2] = 0


def test_a_single_variable_needs_no_name():
    ds = dataset()
    bounds = spread(ds)
    store = MemoryStore()
    ds["t"].frazil.to_zarr(store, codec=CODEC, bounds=bounds)
    assert within(ds["t"], xr.open_zarr(store)["t"], bounds)
    to_zarr(ds, store, codec={"t": Lattice()}, bounds=bounds, mode="w")
    assert within(ds["t"], xr.open_zarr(store)["t"], bounds)


def test_second_generation_is_said_once():
    store = written(dataset(), bounds={"t": spread(dataset())})
    with pytest.warns(LossyRewriteWarning, match=r"t went through a lossy codec before"):
        written(xr.open_zarr(store), bounds={"t": spread(dataset())})


def test_refusals():
    ds, store = dataset(), MemoryStore()
    bounds = spread(ds)

    def refused(match, given, codec=None, **others):
        with pytest.raises(ConfigurationError, match=match):
            to_zarr(ds, store, codec={"t": CODEC} if codec is None else codec, bounds=given, **others)

    refused(r"bounds= names q; the variables that have a codec are t", {"q": bounds})
    refused(r"no bound for 't': give bounds=", None)
    refused(r"no bound for 't': give bounds=", None, {"t": Lattice()})
    refused(r"no bound for 'u': give bounds=", {"t": bounds}, CODEC)
    refused(r"keeps none; wrap it: frazil.Bounded\(base=...\)", {"t": bounds}, {"t": frazil.JP2K(ratio=9)})
    refused(r"have time 4 points, it has .*from_spread", {"t": bounds.drop_vars("time")[:4]})
    refused(r"other places along 'y'.*from_spread", {"t": bounds[:, ::-1]})
    refused(r"other places along 'time'", {"t": bounds.assign_coords(time=bounds["time"] + 1)})
    refused(r"have the axis member, it has not", {"t": bounds.expand_dims("member")})
    refused(r"have 4 axes, it has 3", {"t": bounds.values[None]})
    refused(r"hold numbers, got dtype bool", {"t": bounds > 1})
    refused(r"bounds= names no variable, and there are t, u, kind", bounds, CODEC)
    refused(r"array 't', t/c/.*: NaN among the bounds", {"t": bounds.where(bounds > 0)})
    refused(r"drop chunk_store=", {"t": bounds}, chunk_store=MemoryStore(), mode="w")
    ds["t_bound"] = bounds
    refused(r"has a variable 't_bound' itself", {"t": bounds}, store_bounds=True, mode="w")


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("location", ["start", "end"])
def test_shards_of_every_layout(checked, location):
    codecs = [zarr.codecs.BytesCodec(), *([zarr.codecs.Crc32cCodec()] if checked else [])]
    shard = zarr.codecs.ShardingCodec(
        chunk_shape=(2, 3), codecs=[serializer(CODEC)], index_codecs=codecs, index_location=location
    )
    array = zarr.create_array(
        MemoryStore(),
        shape=(7, 10),
        chunks=(4, 9),
        dtype="f4",
        serializer=shard,
        compressors=None,
        fill_value=0,
    )
    data, bounds = np.arange(70, dtype="f4").reshape(7, 10) + 0.3, np.full((7, 10), 0.25)
    data[:2, :3] = data[4:, 9:] = 0
    layout = find_layout(array)
    assert (layout.index_first, layout.index_checked) == (location == "start", checked)
    count = write_block(layout, (0, 0), data[:4], bounds[:4]) + write_block(
        layout, (4, 0), data[4:], bounds[4:]
    )
    assert count == sum(len(v) for k, v in array.store._store_dict.items() if k.startswith("c"))
    assert within(data, array[:], np.where(data == 0, 0, bounds))
    assert "c/1/1" not in array.store._store_dict
    write_block(layout, (0, 0), np.zeros((4, 9), "f4"), bounds[:4, :9])
    assert "c/0/0" not in array.store._store_dict


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_added_to_a_store(zarr_format):
    ds, store = dataset(), MemoryStore()
    ds[["u"]].to_zarr(store, zarr_format=zarr_format)
    written(ds[["t"]], store, bounds={"t": spread(ds)}, mode="a", zarr_format=zarr_format)
    back = xr.open_zarr(store)
    assert within(ds["t"], back["t"], spread(ds))
    xr.testing.assert_identical(back["u"].load(), ds["u"])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_without_a_fill_value(zarr_format):
    ds = dataset().fillna(0)
    encoding = {"t": {"_FillValue": None}}
    store = written(ds, bounds={"t": spread(ds)}, zarr_format=zarr_format, encoding=encoding)
    back = xr.open_zarr(store, mask_and_scale=False)
    assert within(ds["t"], back["t"], spread(ds))


@pytest.mark.parametrize("dask", [False, True])
def test_nothing_to_write(dask):
    ds = dataset().isel(y=slice(0))
    store = MemoryStore()
    to_zarr(ds["t"].chunk() if dask else ds["t"], store, codec=CODEC, bounds=spread(ds))
    assert xr.open_zarr(store)["t"].shape == (5, 0, 50)


def test_float32_coordinates_beside_float64():
    ds = dataset()
    bounds = spread(ds)
    near = bounds.assign_coords(y=bounds["y"].astype("f4"), x=bounds["x"].astype("f4"))
    assert within(ds["t"], xr.open_zarr(written(ds, bounds={"t": near}))["t"], bounds)


def test_relative_bounds_of_a_transcoded_file(tmp_path):
    ds = dataset(9)[["u"]].isel(y=slice(0, 40)).pad(x=(0, 200), mode="edge")
    ds["u"].to_dataset().to_netcdf(tmp_path / "a.nc", engine="netcdf4")
    transcode(tmp_path / "a.nc", tmp_path / "a.zarr", Lattice(bound="rel:0.01:array"))
    codec = find_layout(zarr.open_group(tmp_path / "a.zarr", mode="r")["u"]).codec
    assert codec.bound == pytest.approx(0.01 * float(ds["u"].max() - ds["u"].min()))


@given(data=st.data(), zarr_format=st.sampled_from([2, 3]), sharded=st.booleans(), dask=st.booleans())
@settings(max_examples=40)
def test_any_grid(data, zarr_format, sharded, dask):
    """Every point keeps its own bound, whatever the chunks."""
    shape = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3), "shape")
    lengths = [data.draw(st.integers(1, n), "chunk") for n in shape]
    dims = DIMS[: len(shape)]
    rng = np.random.default_rng(data.draw(st.integers(0, 99), "seed"))
    values = xr.DataArray(rng.normal(size=shape), dims=dims, name="t")
    bounds = rng.choice([0, 2.0**-20, 0.01, 0.5], shape)
    extra = {}
    if sharded and zarr_format == 3:
        extra["shards"] = tuple(n * data.draw(st.integers(1, 3), "per shard") for n in lengths)
    source = values
    if dask:
        source = values.chunk(
            {dim: data.draw(st.integers(1, n), "dask") for dim, n in zip(dims, shape, strict=True)}
        )
    store = MemoryStore()
    to_zarr(
        source,
        store,
        codec={"t": CODEC},
        bounds=bounds,
        zarr_format=zarr_format,
        encoding={"t": {"chunks": tuple(lengths), **extra}},
        consolidated=False,
    )
    assert within(values, xr.open_zarr(store, consolidated=False)["t"], bounds)


@pytest.mark.parametrize("kind", KINDS)
def test_bounded(kind):
    ds = dataset()
    bounds = spread(ds, DIMS[1:])
    store = MemoryStore()
    to_zarr(ds, store, bounds={"t": bounds}, chunks=CHUNKS, **options(kind))
    back = xr.open_zarr(store)["t"]
    error = np.abs(back.astype("f8") - ds["t"])
    assert bool((error <= bounds).where(ds["t"].notnull(), other=True).all())
    np.testing.assert_array_equal(np.isnan(back), np.isnan(ds["t"]))


def test_bounded_on_a_grid_is_written_again_without_change():
    ds = dataset()
    store = MemoryStore()
    codec = frazil.Bounded(bound="array", grid=True)
    to_zarr(ds, store, codec={"t": codec}, bounds={"t": spread(ds)}, chunks=CHUNKS, store_bounds=True)
    array = zarr.open_group(store, mode="r+")["t"]
    before = array[:]
    for row in (0, 7, 21, 39):
        array[1, row, 3:9] = before[1, row, 3:9]
    np.testing.assert_array_equal(array[:], before)


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(register)
        yield client


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("which", ["v2", "v3", "shards"])
@pytest.mark.parametrize("lazy_bounds", [False, True])
def test_two_processes(which, lazy_bounds, client, tmp_path):
    ds = dataset()
    bounds = spread(ds) if lazy_bounds else spread(ds, DIMS[1:])
    given = bounds.chunk({"y": 11}) if lazy_bounds else bounds
    path = tmp_path / "a.zarr"
    written(ds.chunk({"time": 2}), path, bounds={"t": given}, **options(which))
    assert within(ds["t"], xr.open_zarr(path)["t"].compute(scheduler="synchronous"), bounds)
    xr.testing.assert_identical(xr.open_zarr(path)["u"].compute(scheduler="synchronous"), ds["u"])
    if not lazy_bounds:  # what is in memory stays in this process, and so may the store
        store = written(ds, bounds={"t": given}, **options(which))
        assert within(ds["t"], xr.open_zarr(store)["t"].compute(scheduler="synchronous"), bounds)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_bounds_beside_in_two_processes(client, tmp_path):
    ds = dataset().chunk({"time": 2, "y": 16, "x": 20})[["t"]]
    path = str(tmp_path / "a.zarr")
    bounds = spread(ds).rename("t_bound").to_dataset().chunk({"time": 1})
    bounds.to_zarr(path)
    ds.to_zarr(path, mode="a", encoding={"t": CODEC.encoding(chunks=(2, 16, 20))})
    assert within(dataset()["t"], xr.open_zarr(path)["t"].compute(scheduler="synchronous"), spread(dataset()))
