"""Points without an order in space (reduced Gaussian, icosahedral, HEALPix, stations), and every codec."""

from __future__ import annotations

from functools import cache

import little_golden as little
import numpy as np
import pytest
import xarray as xr
import zarr
from conftest import load_field
from numcodecs.registry import get_codec

import frazil
from frazil import JP2K, Bounded, Codeword, Latent
from frazil.data.stores import StoreReader
from frazil.errors import UnsupportedArrayError
from frazil.models import fit_klt

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
GRIDS = ("icon", "healpix", "stations", "gaussian")
FORMATS = (2, 3)
POINTS = {
    "icon": 6000,
    "healpix": 1000,
    "stations": 400,
    "gaussian": 700,
}  # of a chunk: none divides the whole


def gaussian() -> np.ndarray:
    """Rows of a reduced Gaussian grid of 32 latitudes, one after the other: (3, 4, 1908)."""
    counts = [20 + 4 * min(k, 31 - k) for k in range(32)]
    lat = np.repeat(np.linspace(85, -85, 32), counts)
    lon = np.concatenate([np.arange(n) * 360 / n for n in counts])
    time = np.arange(3)[:, None]
    wave = np.cos(np.radians(lat)) * np.sin(np.radians(3 * lon) + time / 3)
    rows = [
        280 + 20 * wave,
        5 * wave**2,
        1e5 - 900 * wave,
        np.cos(np.radians(lat)) * np.cos(np.radians(lon)) + 0 * time,
    ]
    return np.stack(rows, 1).astype("f4")


@cache
def values(grid: str) -> np.ndarray:
    found = gaussian() if grid == "gaussian" else load_field(grid)
    found = found.copy()
    found.flags.writeable = False
    return found


def dataset(grid: str) -> xr.Dataset:
    return xr.Dataset({"v": (("time", "var", "point"), values(grid))})


def spread(grid: str) -> np.ndarray:
    """Standard deviation of each variable, shape (var, 1); 1 where it holds no values."""
    known = np.isfinite(values(grid))
    count = np.maximum(known.sum((0, 2)), 1)
    plain = np.where(known, values(grid), 0).astype("f8")
    mean = plain.sum((0, 2)) / count
    square = (np.where(known, plain - mean[:, None], 0) ** 2).sum((0, 2)) / count
    return np.where(square > 0, np.sqrt(square), 1)[:, None]


@cache
def model(grid: str, factor: int):
    return fit_klt(values(grid), factor=factor, error=0.05, axis=-2, name=f"{grid}-{factor}")


@cache
def alone(grid: str):
    """One variable's model."""
    return fit_klt(values(grid)[:, :1], factor=2, error=0.05, axis=-2, name=f"{grid}-alone")


def same_gaps(one: np.ndarray, other: np.ndarray) -> bool:
    gaps = ~np.isfinite(one)
    return np.array_equal(gaps, ~np.isfinite(other)) and np.array_equal(
        one[gaps].view("u4"), other[gaps].view("u4")
    )


def worst(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Largest error of each variable of (time, var, point)."""
    off = abs(one.astype("f8") - other)
    return np.where(np.isfinite(off), off, 0).max((0, 2))


def write(ds: xr.Dataset, codec, zarr_format: int, points: int, **options) -> xr.Dataset:
    """Through a store, in chunks of which the last is cut off, and back."""
    store = zarr.storage.MemoryStore()
    chunks = {"time": 5, "point": points}
    frazil.to_zarr(ds, store, codec=codec, zarr_format=zarr_format, chunks=chunks, **options)
    return xr.open_zarr(store).load()


EXACT = {
    "reversible": lambda grid: JP2K(reversible=True),
    "bound of 0": lambda grid: Bounded(bound=0),
}
BOUNDED = {
    "auto": {},
    "interpolation": {"base": "interpolation"},
    "wavelet": {"base": "wavelet"},
    "jp2k": {"base": JP2K(psnr=50)},
    "mask": {"residual": "mask"},
    "fast": {"profile": "fast"},
    "grid": {"grid": True, "base": "interpolation"},
    "zlib": {"base": get_codec({"id": "zlib"})},
}


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("grid", GRIDS)
class TestEveryCodec:
    def test_latents(self, grid, zarr_format):
        for factor in (1, 2, 4):
            codec = Latent(model=model(grid, factor))
            back = write(dataset(grid), codec, zarr_format, POINTS[grid]).v.values
            assert same_gaps(back, values(grid))
            off = np.where(np.isfinite(back), back.astype("f8") - values(grid), 0) / spread(grid)
            assert np.sqrt((off**2).mean()) < 0.1
            assert (worst(back, values(grid)) < 6 * spread(grid)[:, 0]).all()

    def test_latents_within_a_bound(self, grid, zarr_format):
        bounds = xr.DataArray(0.1 * spread(grid)[:, 0], dims="var")
        codec = Latent(model=model(grid, 1), bound="array")
        back = write(dataset(grid), codec, zarr_format, POINTS[grid], bounds={"v": bounds}).v.values
        assert same_gaps(back, values(grid))
        assert (worst(back, values(grid)) <= bounds.values.astype("f4").astype("f8") * (1 + 1e-6)).all()

    def test_one_variable(self, grid, zarr_format):
        ds = dataset(grid).isel(var=0)
        back = write(ds, Latent(model=alone(grid)), zarr_format, POINTS[grid]).v.values
        assert same_gaps(back, values(grid)[:, 0])
        assert np.nanstd(back - values(grid)[:, 0]) < 0.1 * spread(grid)[0, 0]

    def test_codewords_within_a_bound(self, grid, zarr_format):
        bound = float(0.2 * spread(grid)[0, 0])
        codec = Codeword(model=little.words(1), bound=bound)
        for ds in (dataset(grid).isel(var=[0]), dataset(grid).isel(var=0)):
            back = write(ds, codec, zarr_format, POINTS[grid]).v.values
            assert same_gaps(back, ds.v.values)
            assert np.nanmax(abs(back.astype("f8") - ds.v.values)) <= bound

    @pytest.mark.parametrize("coder", ["ebcot", "ht"])
    def test_jpeg_2000(self, grid, zarr_format, coder):
        ds = dataset(grid)
        frazil_chunks = {"time": 5, "var": 1, "point": POINTS[grid]}  # each variable on a scale of its own
        store = zarr.storage.MemoryStore()
        codec = JP2K(psnr=60, coder=coder)
        frazil.to_zarr(ds, store, codec=codec, zarr_format=zarr_format, chunks=frazil_chunks)
        back = xr.open_zarr(store).v.values
        assert same_gaps(back, values(grid))
        span = np.nan_to_num(np.ptp(np.nan_to_num(values(grid), nan=np.nanmean(values(grid))), (0, 2)))
        assert (worst(back, values(grid)) <= 0.02 * np.maximum(span, 1e-30)).all()

    @pytest.mark.parametrize("name", EXACT)
    def test_bit_for_bit(self, grid, zarr_format, name):
        ds = dataset(grid)
        back = write(ds, EXACT[name](grid), zarr_format, POINTS[grid]).v.values
        assert np.array_equal(back.view("u4"), values(grid).view("u4"))

    @pytest.mark.parametrize("name", BOUNDED)
    def test_bounds(self, grid, zarr_format, name):
        bound = float(0.05 * spread(grid)[0, 0])
        ds = dataset(grid).isel(var=[0, -1])
        for part in (ds, ds.isel(var=0)):
            back = write(part, Bounded(bound=bound, **BOUNDED[name]), zarr_format, POINTS[grid]).v.values
            assert same_gaps(back, part.v.values)
            assert np.nanmax(abs(back.astype("f8") - part.v.values)) <= bound


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("grid", GRIDS)
def test_a_bound_for_each_variable(grid, zarr_format):
    bounds = xr.DataArray((0.03 * spread(grid)[:, 0]).astype("f4"), dims="var")
    back = write(
        dataset(grid), Bounded(bound="array"), zarr_format, POINTS[grid], bounds={"v": bounds}
    ).v.values
    assert same_gaps(back, values(grid))
    assert (worst(back, values(grid)) <= bounds.values.astype("f8")).all()


@pytest.mark.parametrize(
    "codec", [Bounded(bound=0.5), JP2K(psnr=60), None], ids=["bounded", "jp2k", "latent"]
)
def test_through_numcodecs(codec):
    chunk = values("healpix")[:3, -1:].copy()
    codec = codec or Latent(model=fit_klt(values("healpix")[:, -1:], factor=4, error=0.02, axis=-2))
    again = get_codec(codec.get_config())
    data = codec.encode(chunk)
    out = np.empty_like(chunk)
    again.decode(data, out=out)
    assert np.array_equal(out, codec.decode(data))
    assert abs(out - chunk).max() < 5
    row = chunk[0, 0]  # (point,) alone
    assert codec.decode(codec.encode(row)).shape == row.shape


def test_chunks_have_to_hold_all_variables():
    with pytest.raises(
        UnsupportedArrayError, match=r"takes 5 channels .*choose chunks that hold all channels"
    ):
        write(dataset("healpix").isel(var=slice(3)), Latent(model=model("healpix", 1)), 3, 1000)


def test_an_order_along_the_grid_pays():
    """Sixteen cells of HEALPix in nested order are a square of the sphere."""
    sizes = {}
    for factor in (1, 2, 4):
        codec = Latent(model=model("healpix", factor))
        sizes[factor] = len(codec.encode(values("healpix")))
    assert sizes[4] < 0.7 * sizes[1]
    assert sizes[2] < 0.9 * sizes[1]


def test_latents_of_a_loader():
    pytest.importorskip("torch")
    store = zarr.storage.MemoryStore()
    frazil.to_zarr(dataset("healpix"), store, codec=Latent(model=model("healpix", 4)), chunks={"time": 2})
    reader = StoreReader(store)
    assert reader.spatial == ("var", "point")
    loader = frazil.make_loader(
        store, inputs=[0], targets=[1], batch_size=2, spatial=["point"], shuffle=False
    )
    batch = next(iter(loader))
    assert tuple(batch.x.shape) == (2, 1, 5, 3072)
    assert np.array_equal(np.asarray(batch.x)[:, 0], xr.open_zarr(store).v.values[:2])
    latents = frazil.read_latents(store).v
    assert latents.sizes == {"time": 6, "latent": model("healpix", 4).decoder.inputs, "block_point": 192}
