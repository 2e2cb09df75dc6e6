"""The fields that are shipped and the fields that the tests use are what their manifests say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from conftest import FIELDS, load_field

from frazil import samples

DATA = Path(__file__).parent / "data"
FOLDERS = {"samples": samples.sample_path("era5_t850").parent, "data": DATA}


@pytest.mark.parametrize("folder", FOLDERS)
def test_manifest_knows_every_file(folder):
    manifest = json.loads((FOLDERS[folder] / "MANIFEST.json").read_text())
    assert sorted(manifest) == sorted(p.name for p in FOLDERS[folder].glob("*.nc"))
    for name, entry in manifest.items():
        assert hashlib.sha256((FOLDERS[folder] / name).read_bytes()).hexdigest() == entry["sha256"]
        assert entry["source"]
        assert entry["licence"]


def test_they_stay_small():
    sizes = {
        k: sum(p.stat().st_size for p in folder.iterdir() if p.is_file()) for k, folder in FOLDERS.items()
    }
    assert sizes["samples"] <= 4e6
    assert sizes["data"] <= 12e6


@pytest.mark.parametrize("name", FIELDS)
def test_field_has_the_shape_that_its_manifest_says(name):
    file, variable = FIELDS[name]
    folder = FOLDERS["samples" if file in samples.list_samples() else "data"]
    entry = json.loads((folder / "MANIFEST.json").read_text())[f"{file}.nc"]["variables"][variable]
    values = load_field(name)
    assert list(values.shape) == entry["shape"]
    assert values.dtype == entry["dtype"]
    assert not values.flags.writeable


def test_unknown_sample_is_named():
    with pytest.raises(KeyError, match="no sample is called 'atlantis'; there are era5_t850"):
        samples.sample_path("atlantis")
