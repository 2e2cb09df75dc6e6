"""Fields with a bound of their own at every point: the spread of an ensemble, and local variability.

The ensemble is GloSea4's, whose monthly spread of surface temperature comes on the grid of its members. For
reanalyses it stands in for what their own ensembles give (ERA5's has half the resolution in space and a
third in time): interpolated by `frazil.bounds.from_spread` from its grid and six times onto theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from fields import folders, read

from frazil import bounds
from frazil.planes import to_planes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt
    import xarray as xr

LOCAL = "local_std:window=15,fraction=0.1,floor=1e-4"
FRACTIONS = (1.0, 0.1)
ENSEMBLE = "glosea4_ensemble_tsurf.nc"
# File, variable and the steps of its time axis between two of the ensemble's.
REANALYSES = (
    ("era5_t850_025deg.nc", "t", 1),
    ("echam5_tsurf_6h_T63.nc", "tC", 8),
    ("era5_t2m_uk_hourly.nc", "t2m", 72),
)


@dataclass(frozen=True)
class Case:
    """A chunk and what its error may be.

    Parameters
    ----------
    name : str
        Of the field.
    spec : str
        As `frazil.Bounded` takes it.
    values : ndarray, shape (..., y, x)
        NaN where there are no data.
    limit : ndarray of float64, shape of ``values``
        What must hold at each point.
    given : ndarray or None
        The bounds to hand over with an "array" spec.
    """

    name: str
    spec: str
    values: npt.NDArray[Any]
    limit: npt.NDArray[np.float64]
    given: npt.NDArray[Any] | None


def local_cases(pattern: str = "") -> Iterator[Case]:
    """Yield the measured planes and stacks under a tenth of the standard deviation around each point."""
    spec = bounds.parse(LOCAL)
    for field in read():
        if field.simulated or field.points or pattern not in field.name or field.values.dtype.kind != "f":
            continue
        planes = to_planes(field.values)
        filled = np.where(np.isfinite(planes), planes, np.float32(0))
        limit = np.asarray(spec.resolve(filled, to_planes(field.valid)))
        yield Case(field.name, LOCAL, field.values, limit.reshape(field.values.shape), None)


def spread_cases(pattern: str = "") -> Iterator[Case]:
    """Yield members, means and reanalyses under fractions of the ensemble's spread."""
    for folder in folders():
        if (folder / ENSEMBLE).exists():
            for name, data, spread in _pairs(folder):
                if pattern not in name:
                    continue
                for fraction in FRACTIONS:
                    bound = bounds.from_spread(data, spread, fraction=fraction).values
                    values = np.ascontiguousarray(data.values)
                    label = f"{name}, {fraction:g} of the spread"
                    yield Case(label, "array", values, bound.astype("f8"), np.ascontiguousarray(bound))


def _pairs(folder: Path) -> Iterator[tuple[str, xr.DataArray, xr.DataArray]]:
    import xarray as xr

    with xr.open_dataset(folder / ENSEMBLE, decode_times=False) as ds:
        grid = {"lat": np.linspace(-90, 90, ds.sizes["lat"]), "lon": np.arange(ds.sizes["lon"]) * 1.875}
        spread = ds["tsurf_spread"].load().assign_coords(**grid, time=np.arange(ds.sizes["time"]))
        mean = ds["tsurf_mean"].load().assign_coords(spread.coords)
        members = ds["tsurf_member"].load().assign_coords(**grid, time2=np.arange(ds.sizes["time2"]))
    yield "glosea4/mean", mean, spread
    yield "glosea4/members", members, spread[: members.sizes["time2"]].rename(time="time2")
    for file, variable, steps in REANALYSES:
        if not (folder / file).exists():
            continue
        with xr.open_dataset(folder / file, decode_times=False) as ds:
            data = ds[variable].load().squeeze(drop=True)
        names = {"lat": "latitude", "lon": "longitude"} if "latitude" in data.dims else {}
        coarse = spread.rename(names)
        if "time" in data.dims:
            step = float(data["time"][1] - data["time"][0])
            coarse = coarse.assign_coords(time=np.arange(coarse.sizes["time"]) * steps * step)
        else:
            coarse = coarse[0]
        yield file.removesuffix(".nc"), data.astype("f4"), coarse


def main() -> None:
    for case in (*local_cases(), *spread_cases()):
        span = float(np.nanmax(case.values) - np.nanmin(case.values))
        share = case.limit[np.isfinite(case.values)] / span
        print(f"{case.name:45s} {case.values.shape!s:20s} {case.spec:6.6s} ", end="")
        print(f"bounds / range: least {share.min():.2g}, median {np.median(share):.2g}", flush=True)


if __name__ == "__main__":
    main()
