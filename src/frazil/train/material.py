"""The data that the shipped models are trained on, and what is held out; found through FRAZIL_DATA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Fields = npt.NDArray[Any]


@dataclass(frozen=True)
class Material:
    """Fields to train on and fields that no training sees.

    Parameters
    ----------
    train : ndarray, shape (n, C, y, x)
    held : ndarray, shape (m, C, y, x)
    split : str
        Which is which.
    licence, source : str
    """

    train: Fields
    held: Fields
    split: str
    source: str
    licence: str

    @property
    def offset(self) -> Fields:
        """Mean of each channel over the training fields, shape (C,)."""
        offset: Fields = self.train.mean((0, 2, 3), dtype="f8")
        return offset

    @property
    def scale(self) -> Fields:
        """Standard deviation of each channel over the training fields, shape (C,)."""
        scale: Fields = self.train.std((0, 2, 3), dtype="f8")
        return scale

    def normal(self, fields: Fields) -> list[npt.NDArray[np.float32]]:
        """Fields in units of each channel's deviation from its mean."""
        offset, scale = self.offset[:, None, None], self.scale[:, None, None]
        return [((field - offset) / scale).astype(np.float32) for field in fields]


def _open(folder: Path, name: str) -> Any:
    import xarray as xr

    if not (folder / name).is_file():
        raise StoreError(f"{folder / name} is not there; FRAZIL_DATA names the folder of the training data")
    return xr.open_dataset(folder / name)


def scenes(folder: Path) -> Material:
    """Sentinel-2 L2A, 12 bands, 264 x 264 points of 10 m: twelve scenes; another place is held out."""
    tiles = _open(folder, "s2l2a_train_tiles.nc")
    names = [str(name) for name in tiles.tile.values]
    kept = [i for i, name in enumerate(names) if not name.startswith("0080717")]
    train = [tiles.reflectance.values[kept]]
    train += [_open(folder, f"s2l2a_{name}.nc").reflectance.values for name in ("0173706", "0193833_cloud")]
    return Material(
        np.concatenate(train).astype("f4"),
        _open(folder, "s2l2a_0080717.nc").reflectance.values.astype("f4"),
        "12 scenes of places 0173706, 0193833 and 0181476; place 0080717 held out",
        "Sentinel-2 L2A (SSL4EO-S12 v1.1), 20 and 60 m bands interpolated to 10 m",
        "CC-BY-4.0; contains modified Copernicus Sentinel data",
    )


def hours(folder: Path) -> Material:
    """ERA5 2 m temperature, 24 hours as channels: ten days from every hour; five days held out."""
    t2m = _open(folder, "era5_t2m_uk_hourly.nc").t2m.values
    days = [t2m[first : first + 24] for first in range(240 - 23)]
    held = [t2m[first : first + 24, :32, :48] for first in range(240, 337, 24)]
    return Material(
        np.stack(days),
        np.stack(held),
        "the first 240 hours, windows of 24 from every hour; the last 120 held out",
        "ERA5 2 m temperature, hourly, 0.25 degrees, 50-58N 10W-2E, March 2019",
        "CC-BY-4.0: generated using Copernicus Climate Change Service information",
    )


def levels(folder: Path) -> Material:
    """Eleven channels of a simulation: u, t and q on three levels, surface pressure and 2 m temperature."""
    data = _open(folder, "jcm_t42_train_6h.nc")
    stacked = [data[name].values for name in ("u", "t", "q")]
    stacked += [data[name].values[:, None] for name in ("ps", "t2m")]
    fields = np.concatenate(stacked, 1)
    return Material(
        fields[:160],
        fields[160:],
        "the first 160 times; the 40 that follow held out",
        "SIMULATED by jcm 3.0.0 (SPEEDY physics), T42, 6-hourly: u, t, q on 3 levels, ps, t2m",
        "free: made for this project with an Apache-2.0 model",
    )
