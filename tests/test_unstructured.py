"""Points without an order in space: (time, variable, point) arrays of icosahedral cells and stations."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from conftest import load_field

from frazil import JP2K, Bounded, Latent
from frazil.models import fit_klt


def cells() -> np.ndarray:
    """14 variables at 3000 cells of an icosahedral grid, two times, each in units of its deviation."""
    fields = load_field("icon")[0, :, :3000].astype("f8")
    spread = fields.std(1, keepdims=True)
    spread[spread == 0] = 1
    normal = fields / spread
    return np.stack([normal, normal[:, ::-1]]).astype("f4")


def stations() -> np.ndarray:
    """Four variables at 500 stations, of which some do not report."""
    rng = np.random.default_rng(0)
    causes = rng.normal(size=(6, 2, 500)).cumsum(0)
    values = np.einsum("vc,tcs->tvs", np.array([[1, 0], [2, 1], [0, 3], [1, -1]]), causes).astype("f4")
    values[:, 1, ::9] = np.nan
    values[2, :, 100:130] = np.nan
    return values


def codecs(values: np.ndarray) -> dict[str, object]:
    known = np.where(np.isfinite(values), values, np.nanmean(values, axis=(0, 2))[None, :, None])
    model = fit_klt(known, factor=1, error=0.02, name="variables", axis=-2)
    runs = fit_klt(known, factor=2, error=0.02, name="runs", axis=-2)
    return {
        "jp2k": JP2K(psnr=60),
        "ht": JP2K(psnr=60, coder="ht"),
        "reversible": JP2K(reversible=True),
        "auto": Bounded(bound=0.1),
        "interpolation": Bounded(bound=0.1, base="interpolation"),
        "wavelet": Bounded(bound=0.1, base="wavelet"),
        "corrected": Bounded(bound=0.1, base=JP2K()),
        "mask": Bounded(bound=0.1, residual="mask"),
        "latent": Latent(model=model),
        "latent-runs": Latent(model=runs),
        "latent-bounded": Latent(model=model, bound=0.1),
    }


KINDS = {"cells": cells(), "stations": stations()}
CODECS = {kind: codecs(values) for kind, values in KINDS.items()}
CASES = [(kind, name) for kind, found in CODECS.items() for name in found]


def check(values: np.ndarray, decoded: np.ndarray, codec: object) -> None:
    gone = np.isnan(values)
    assert np.array_equal(np.isnan(decoded), gone)
    error = abs(decoded[~gone] - values[~gone])
    bound = getattr(codec, "bound", None)
    if getattr(codec, "lossless", False):
        assert error.max() == 0
    elif bound is not None:
        assert error.max() <= bound
    else:
        assert np.sqrt((error**2).mean()) < 0.1 * values[~gone].std()


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_codec_holds_points(kind, name):
    values, codec = KINDS[kind], CODECS[kind][name]
    data = codec.encode(values)
    check(values, codec.decode(data), codec)
    assert len(data) < values.nbytes


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", ["jp2k", "auto", "latent", "latent-bounded"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_through_zarr_in_chunks_that_do_not_divide(tmp_path, kind, name, zarr_format):
    values, codec = KINDS[kind], CODECS[kind][name]
    ds = xr.Dataset({"obs": (("time", "var", "point"), values)})
    chunks = (1, values.shape[1], 384)
    encoding = {"obs": codec.encoding(zarr_format=zarr_format, chunks=chunks, _FillValue=np.nan)}
    path = tmp_path / "points.zarr"
    ds.to_zarr(path, encoding=encoding, zarr_format=zarr_format, consolidated=False)
    check(values, xr.open_zarr(path, consolidated=False).obs.values, codec)


@pytest.mark.parametrize("name", ["jp2k", "auto"])
def test_one_variable_at_points(name):
    values = KINDS["stations"][:, 2]
    codec = CODECS["stations"][name]
    check(values, codec.decode(codec.encode(values)), codec)


def test_variables_that_have_much_in_common_are_smaller_as_latents():
    values = KINDS["stations"][3:]
    known = np.where(np.isfinite(values), values, 0)
    model = fit_klt(known, factor=1, error=0.02, name="variables", axis=-2)
    codec = Latent(model=model)
    error = float(np.sqrt(np.nanmean((codec.decode(codec.encode(values)) - values) ** 2)))
    alike = Bounded(bound=error * 3**0.5)  # errors of interpolation are about uniform within the bound
    assert len(codec.encode(values)) < 0.8 * len(alike.encode(values))
