"""A few real fields, so that ``frazil demo`` has something to show (their licences: MANIFEST.json)."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any


@cache
def manifest() -> dict[str, dict[str, Any]]:
    """Return what is known of each sample: source, licence, how it was cut, its variables and their shapes.

    Examples
    --------
    >>> manifest()["ostia_sst"]["variables"]
    {'analysed_sst': {'shape': [1, 720, 1440], 'dtype': 'float32'}}
    """
    entries = json.loads((files(__name__) / "MANIFEST.json").read_text(encoding="utf-8"))
    return {name.removesuffix(".nc"): entry for name, entry in entries.items()}


def list_samples() -> list[str]:
    """Return the names of the samples.

    Examples
    --------
    >>> list_samples()
    ['era5_t850', 'mrms_rain', 'ostia_sst', 'sentinel2']
    """
    return sorted(manifest())


def sample_path(name: str) -> Path:
    """Return the path of a sample, a NetCDF-4 file.

    Raises
    ------
    KeyError
        If there is no sample of that name.

    Examples
    --------
    >>> sample_path("era5_t850").name
    'era5_t850.nc'
    """
    if name not in manifest():
        raise KeyError(f"no sample is called {name!r}; there are {', '.join(list_samples())}")
    return Path(str(files(__name__) / f"{name}.nc"))
