"""Cut ``tests/data`` and ``src/frazil/samples`` out of the larger collection of fields that they come from.

Usage: FRAZIL_DATA=/path/to/collection python benchmarks/make_test_data.py

The collection is a folder of NetCDF files with a MANIFEST.json (source, licence, note of each). Cutting is
lossless: every value kept is bit for bit the collection's. Nobody needs to run this to use or to test frazil.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import xarray as xr

ROOT = Path(__file__).resolve().parents[1]
SAMPLES, TESTS = ROOT / "src/frazil/samples", ROOT / "tests/data"

# name: (folder, file of the collection, variables or None for all, slices, how it was cut)
CUTS: dict[str, tuple[Path, str, list[str] | None, dict[str, Any], str]] = {
    "era5_t850": (SAMPLES, "era5_t850_025deg", None, {}, "whole"),
    "ostia_sst": (SAMPLES, "ostia_sst_025deg", ["analysed_sst"], {}, "analysed_sst only"),
    "sentinel2": (
        SAMPLES,
        "s2l2a_0080717",
        None,
        {"time": slice(0, 1), "y": slice(0, 128), "x": slice(0, 128)},
        "first of three seasons, all 12 bands, upper left 128 x 128",
    ),
    "mrms_rain": (SAMPLES, "mrms_preciprate", None, {"time": slice(0, 1)}, "first of six times"),
    "pop_surface": (TESTS, "pop_gx1_surface_uvt", None, {}, "whole"),
    "levitus_temp": (TESTS, "levitus_temp_1deg", None, {}, "whole"),
    "orca2_sst": (TESTS, "orca2_sst_5steps", None, {}, "whole"),
    "era5_t2m_uk": (TESTS, "era5_t2m_uk_hourly", None, {"time": slice(0, 72)}, "first 72 of 360 hours"),
    "echam5_tsurf": (TESTS, "echam5_tsurf_6h_T63", None, {"time": slice(0, 8)}, "first 8 of 40 times"),
    "glosea4_tsurf": (
        TESTS,
        "glosea4_ensemble_tsurf",
        ["tsurf_mean", "tsurf_spread"],
        {"time": slice(0, 2)},
        "ensemble mean and spread, first 2 of 6 months",
    ),
    "sentinel2_tile": (
        TESTS,
        "s2l2a_0173706",
        None,
        {"time": slice(0, 1)},
        "first of three seasons, all 12 bands, whole tile",
    ),
    "mrms_rain_2": (TESTS, "mrms_preciprate", None, {"time": slice(3, 5)}, "fourth and fifth of six times"),
    "jcm_3d": (TESTS, "jcm_t42_3d_6h", None, {"time": slice(0, 4)}, "first 4 of 32 times"),
    "era5_tl31": (TESTS, "era5_tl31_19lev", None, {}, "whole"),
    "icon_points": (TESTS, "icon_r2b4_points", None, {}, "whole"),
    "healpix_points": (TESTS, "jcm_healpix16_points_6h", None, {"time": slice(0, 6)}, "first 6 of 24 times"),
    "sao_stations": (TESTS, "sao_stations_hourly", None, {}, "whole"),
}


def main() -> None:
    collection = Path(os.environ["FRAZIL_DATA"])
    sources = json.loads((collection / "MANIFEST.json").read_text())["files"]
    manifests: dict[Path, dict[str, Any]] = {SAMPLES: {}, TESTS: {}}
    for name, (folder, source, variables, slices, how) in CUTS.items():
        entry = sources[f"{source}.nc"]
        with xr.open_dataset(collection / f"{source}.nc", mask_and_scale=False, decode_times=False) as ds:
            cut = (ds[variables] if variables else ds).isel(slices).load()
        cut = cut.assign_coords({c: cut[c] for c in cut.coords if set(cut[c].dims) <= set(cut.sizes)})
        for variable in cut.variables.values():
            variable.encoding = {"zlib": True, "complevel": 9, "shuffle": True} if variable.ndim else {}
        path = folder / f"{name}.nc"
        cut.to_netcdf(path, engine="netcdf4")
        manifests[folder][path.name] = {
            "kind": entry["kind"],
            "real": entry["real"],
            "source": entry["source"],
            "licence": entry["licence"],
            "note": entry["note"],
            "cut": how,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "variables": {
                str(v): {"shape": list(a.shape), "dtype": str(a.dtype)} for v, a in cut.data_vars.items()
            },
        }
        print(f"{path.stat().st_size:9d}  {path.relative_to(ROOT)}")
    for folder, manifest in manifests.items():
        (folder / "MANIFEST.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        print(f"{sum(f.stat().st_size for f in folder.glob('*.nc')):9d}  {folder.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
