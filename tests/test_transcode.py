import math

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

import frazil
from frazil import inventory, sources, transcode
from frazil.codecs.bounded import Bounded
from frazil.errors import ConfigurationError, StoreError, UnsupportedArrayError
from frazil.verification import verify


@st.composite
def grids(draw):
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.integers(1, 12)) for _ in range(rank))
    chunks = tuple(draw(st.integers(1, n)) for n in shape)
    return shape, chunks, draw(st.integers(1, 500))


@given(grids())
def test_regions_cover_every_point_once_and_start_on_chunks(grid):
    shape, chunks, limit = grid
    seen = np.zeros(shape, int)
    for region in transcode.plan(shape, chunks, 4, limit):
        seen[tuple(slice(*span) for span in region)] += 1
        assert all(
            a % c == 0 and (b % c == 0 or b == n) for (a, b), c, n in zip(region, chunks, shape, strict=True)
        )
        size = 4 * math.prod(b - a for a, b in region)
        assert size <= max(limit, 4 * math.prod(chunks))
    assert (seen == 1).all()


def test_an_array_without_axes_is_one_region():
    assert transcode.plan((), (), 8) == [()]


def test_a_large_variable_takes_few_regions():
    assert len(transcode.plan((24, 721, 1440), (1, 721, 1440), 4, limit=1 << 40)) == 1


@pytest.fixture
def weather():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:120, :160] / 40
    field = (280 + 10 * np.sin(x + y) + rng.normal(0, 0.1, (6, 120, 160))).astype("f4")
    holes = field.copy()
    holes[:, :30, :40] = np.nan
    return xr.Dataset(
        {
            "t2m": (("time", "lat", "lon"), field, {"units": "K"}),
            "sst": (("time", "lat", "lon"), holes, {"units": "K"}),
            "land": (("lat", "lon"), (field[0] > 280).astype("i1"), {"flag_values": [0, 1]}),
            "soil": (("lat", "lon"), (field[0] > 280).astype("i4"), {"flag_meanings": "sand clay"}),
            "small": (("lat", "m"), field[0, :, :100]),
            "series": (("time",), field[:, 0, 0].astype("f8")),
            "height": ((), 2.0),
            "lat_bnds": (("lat", "n"), np.zeros((120, 2000), "f4")),
        },
        {
            "time": np.array("2024-01-01", "M8[ns]") + np.arange(6) * np.timedelta64(6, "h"),
            "lat": ("lat", np.linspace(60, 30, 120), {"bounds": "lat_bnds"}),
            "lon": np.linspace(0, 40, 160),
        },
    )


@pytest.fixture
def source(weather, tmp_path):
    path = tmp_path / "in.nc"
    packed = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768}
    weather.to_netcdf(path, engine="netcdf4", encoding={"sst": packed})
    return path


def test_what_stays_lossless_and_why(weather):
    jobs = {job.name: job for job in transcode.assign(weather, frazil.JP2K(ratio=10))}
    assert {name for name, job in jobs.items() if job.codec} == {"t2m", "sst"}
    assert jobs["lat_bnds"].reason == jobs["time"].reason == "a coordinate"
    assert jobs["land"].reason == "int8 values"
    assert jobs["soil"].reason == "flags"
    assert jobs["small"].reason == "small"
    assert jobs["series"].reason == "one axis"
    assert jobs["height"].reason == "no axes"


def test_a_named_variable_gets_what_was_asked_for(weather):
    ht = frazil.JP2K(psnr=60, coder="ht")
    jobs = {j.name: j for j in transcode.assign(weather, frazil.JP2K(ratio=10), {"small": ht, "t2m": None})}
    assert jobs["small"].codec == ht
    assert jobs["t2m"].codec is None
    assert jobs["sst"].codec is not None


def test_chunks_by_dimension(weather):
    jobs = {
        j.name: j for j in transcode.assign(weather, frazil.JP2K(ratio=10), chunks={"time": 1, "lat": -1})
    }
    assert jobs["t2m"].chunks == (1, 120, 160)
    assert jobs["time"].chunks == (6,)  # small lossless variables stay whole


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"named": {"t3m": None}}, "no variable 't3m'; it has height, land"),
        ({"chunks": {"level": 1}}, "no dimension 'level'"),
        ({"chunks": {"time": 0}}, "at least 1"),
    ],
)
def test_wrong_names_and_numbers_are_sentences(weather, arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        transcode.assign(weather, frazil.JP2K(ratio=10), **arguments)


def test_a_named_variable_of_a_dtype_that_the_codec_does_not_hold(weather):
    with pytest.raises(UnsupportedArrayError):
        transcode.assign(weather, None, {"land": frazil.JP2K(ratio=10)})


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_there_and_back(source, tmp_path, zarr_format, monkeypatch):
    monkeypatch.setattr(transcode, "REGION_BYTES", 100_000)  # several regions, also for lossless variables
    monkeypatch.setattr(transcode.plan, "__defaults__", (100_000,))
    seen = []
    target = tmp_path / "out.zarr"
    transcode.transcode(
        source,
        target,
        frazil.JP2K(psnr=70),
        {"lat_bnds": None},
        chunks={"time": 2},
        zarr_format=zarr_format,
        progress=seen.append,
    )
    assert not (tmp_path / "out.zarr.partial").exists()
    assert len([done for done in seen if done.name == "t2m"]) == 3
    with xr.open_dataset(source) as original, xr.open_zarr(target, chunks=None) as decoded:
        assert sources.INCOMPLETE not in decoded.attrs
        assert np.abs(decoded.t2m - original.t2m).max() < 0.05
        assert np.array_equal(np.isnan(decoded.sst), np.isnan(original.sst))
        assert decoded.t2m.attrs["lossy_compression"] == "frazil.jp2k"
        lossless = ["land", "soil", "small", "series", "height", "lat_bnds"]
        xr.testing.assert_identical(original[lossless].load(), decoded[lossless].load())
    group = sources.open_group(target)
    assert sum(done.stored for done in seen) == sum(
        e.stored for e in map(inventory.describe, *_arrays(group))
    )


def _arrays(group):
    found = dict(inventory.arrays(group))
    return found.keys(), found.values()


def test_a_zarr_source_keeps_its_chunks_and_a_second_generation_warns(source, tmp_path):
    transcode.transcode(source, tmp_path / "a.zarr", frazil.JP2K(ratio=10), chunks={"time": 3})
    with pytest.warns(frazil.LossyRewriteWarning, match="went through a lossy codec"):
        transcode.transcode(tmp_path / "a.zarr", tmp_path / "b.zarr", frazil.JP2K(ratio=10))
    assert zarr.open_group(tmp_path / "b.zarr")["t2m"].chunks == (3, 120, 160)


def test_an_interrupted_run_leaves_what_was_there(source, tmp_path):
    target = tmp_path / "out.zarr"
    transcode.transcode(source, target, frazil.JP2K(ratio=10))
    before = sources.open_source(target).load()

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transcode.transcode(source, target, frazil.JP2K(ratio=100), overwrite=True, progress=stop)
    xr.testing.assert_identical(sources.open_source(target).load(), before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.nc", "out.zarr"]


def test_an_interrupted_run_to_a_url_is_marked(source):
    def stop(_):
        raise KeyboardInterrupt

    url = "memory://interrupted.zarr"
    with pytest.raises(KeyboardInterrupt):
        transcode.transcode(source, url, frazil.JP2K(ratio=10), progress=stop)
    with pytest.raises(StoreError, match="was interrupted"):
        sources.open_source(url)
    transcode.transcode(source, url, frazil.JP2K(ratio=10), overwrite=True)
    assert "t2m" in sources.open_source(url)


def test_the_source_is_never_overwritten(source, tmp_path):
    transcode.transcode(source, tmp_path / "a.zarr", frazil.JP2K(ratio=10))
    for target in ("a.zarr", "a.zarr/b.zarr"):
        with pytest.raises(StoreError, match="is the source itself"):
            transcode.transcode(tmp_path / "a.zarr", tmp_path / target, frazil.JP2K(ratio=10), overwrite=True)


def test_a_folder_that_is_no_store_is_not_replaced(source, tmp_path):
    (tmp_path / "letters").mkdir()
    with pytest.raises(StoreError, match="not a Zarr store"):
        transcode.transcode(source, tmp_path / "letters", frazil.JP2K(ratio=10), overwrite=True)


@pytest.mark.parametrize("content", [b"", b"hello", b"CDF\x01nonsense", b"\x89HDF\r\n\x1a\nnonsense"])
def test_what_is_neither_netcdf_nor_zarr(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(OSError, match=r"x"):
        sources.open_source(tmp_path / "x")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_bounds_beside_a_variable_are_kept_and_stay_lossless(weather, tmp_path, zarr_format):
    limits = np.full(weather.sst.shape[1:], 0.02, "f4")
    limits[50:60] = 0
    ds = weather[["sst"]].assign(sst_bound=(("lat", "lon"), limits))
    ds.to_netcdf(tmp_path / "in.nc", engine="netcdf4", encoding={"sst": {"_FillValue": -99.0}})
    jobs = transcode.transcode(
        tmp_path / "in.nc",
        tmp_path / "out.zarr",
        Bounded(bound="array"),
        chunks={"time": 1, "lat": 50},
        zarr_format=zarr_format,
    )
    assert {job.name: job.reason for job in jobs}["sst_bound"] == "bounds of sst"
    again = xr.open_zarr(tmp_path / "out.zarr")
    error = abs(again.sst - weather.sst).values
    np.testing.assert_array_equal(np.isnan(again.sst), np.isnan(weather.sst))
    assert (np.nan_to_num(error) <= limits).all()
    assert np.nanmax(error) > 0.01
    np.testing.assert_array_equal(again.sst_bound, limits)
    found = {v.name: v for v in verify(tmp_path / "in.nc", tmp_path / "out.zarr")}
    assert not any(v.problems for v in found.values())
    assert found["sst"].bound == "array"
    assert 0.8 < found["sst"].share <= 1


def test_a_bound_of_the_whole_range_is_one_number(weather, tmp_path):
    weather[["t2m"]].to_netcdf(tmp_path / "in.nc", engine="netcdf4")
    codec = Bounded(bound="rel:1e-3:array")
    planned = []
    transcode.transcode(
        tmp_path / "in.nc", tmp_path / "out.zarr", codec, chunks={"time": 1}, planned=planned.extend
    )
    span = float(weather.t2m.max() - weather.t2m.min())
    bound = inventory.bound_of(zarr.open_group(tmp_path / "out.zarr")["t2m"])
    assert bound.kind == "abs"
    assert bound.value == pytest.approx(1e-3 * span, rel=1e-5)
    (found,) = (v for v in verify(tmp_path / "in.nc", tmp_path / "out.zarr") if v.name == "t2m")
    assert found.problems == ()
    assert found.scores.max_error <= 1e-3 * span
