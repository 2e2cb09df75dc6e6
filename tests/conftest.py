"""What all tests share: real fields by name, the switch that adds golden files, hypothesis without clock."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from frazil import samples

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.register_assert_rewrite("frazil.testing")  # so that the contract's assertions show their values

HERE = Path(__file__).parent

# Two cores and a cold numba cache say nothing about a property: no deadlines, slow draws are fine. The same
# examples each time, so that a change fails for what it changed; HYPOTHESIS_PROFILE=explore looks for others.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("frazil", derandomize=True, **_COMMON)
settings.register_profile("explore", max_examples=500, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "frazil"))

# name: (file, variable); what each shows is in tests/data/MANIFEST.json and src/frazil/samples/MANIFEST.json
FIELDS = {
    "t850": ("era5_t850", "t"),  # (1, 1, 721, 1440) K, no gaps
    "sst": ("ostia_sst", "analysed_sst"),  # (1, 720, 1440) K, land is NaN
    "rain": ("mrms_rain", "rate"),  # (1, 768, 768) mm/h, mostly zero
    "bands": ("sentinel2", "reflectance"),  # (1, 12, 128, 128) uint16
    "rain2": ("mrms_rain_2", "rate"),  # (2, 768, 768) mm/h, mostly zero, a few NaN
    "tile": ("sentinel2_tile", "reflectance"),  # (1, 12, 264, 264) uint16
    "pop_u": ("pop_surface", "urot"),  # (384, 320) cm/s, land is NaN
    "pop_t": ("pop_surface", "t"),  # (384, 320) degC, land is NaN
    "levitus": ("levitus_temp", "TEMP"),  # (4, 180, 360) degC, another coast at each depth
    "orca2": ("orca2_sst", "sst"),  # (5, 149, 182) degC, one coast for five times
    "t2m_uk": ("era5_t2m_uk", "t2m"),  # (72, 33, 49) K
    "echam5": ("echam5_tsurf", "tC"),  # (8, 96, 192) degC
    "glosea4": ("glosea4_tsurf", "tsurf_mean"),  # (2, 145, 192) K
    "glosea4_spread": ("glosea4_tsurf", "tsurf_spread"),  # (2, 145, 192) K
    "jcm_u": ("jcm_3d", "u"),  # (4, 3, 64, 128) m/s, full float32 mantissas
    "jcm_q": ("jcm_3d", "q"),  # (4, 3, 64, 128) kg/kg
    "tl31_t": ("era5_tl31", "temperature"),  # (19, 32, 64) K
    "tl31_z": ("era5_tl31", "geopotential"),  # (19, 32, 64) m2/s2, each level another range
    "icon": ("icon_points", "fields"),  # (1, 14, 20480), unstructured points
    "healpix": ("healpix_points", "fields"),  # (6, 5, 3072), HEALPix cells in nested order
    "stations": ("sao_stations", "obs"),  # (24, 6, 1057), NaN: not reported; one variable never was
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-golden", action="store_true", help="add golden files that are missing; never overwrites one"
    )


@pytest.fixture
def write_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--write-golden"))


@cache
def load_field(name: str) -> np.ndarray:
    """Read one field of `FIELDS`; read-only, since tests share it."""
    import netCDF4

    file, variable = FIELDS[name]
    path = samples.sample_path(file) if file in samples.list_samples() else HERE / "data" / f"{file}.nc"
    with netCDF4.Dataset(path) as ds:
        ds.set_auto_maskandscale(False)
        values = np.asarray(ds[variable][...])
    values.flags.writeable = False
    return values


@pytest.fixture(scope="session")
def fields() -> Callable[[str], np.ndarray]:
    """``fields("sst")`` is a read-only array of the real field; `FIELDS` lists the names."""
    return load_field
