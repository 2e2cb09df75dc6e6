import json

import numpy as np
import pytest
import zarr

import frazil
from frazil.cli import FINE, USAGE, main

Y, X = np.mgrid[:80, :100] / 25


@pytest.fixture
def field():
    made = np.stack([np.sin(X + k) * np.cos(Y * X) for k in range(4)]).astype("f4")
    made[0, 3:30, 3:30] = np.nan
    made[3] = np.nan  # not stored at all
    return made


CASES = [
    (2, {"chunks": (1, 80, 64)}),
    (3, {"chunks": (1, 80, 64)}),
    (3, {"chunks": (1, 40, 64), "shards": (2, 80, 128)}),
    (3, {"chunks": (4, 80, 100)}),
]


@pytest.mark.parametrize(("zarr_format", "encoding"), CASES)
def test_there_and_back(field, tmp_path, capsys, zarr_format, encoding):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=zarr_format)
    codec = frazil.JP2K(ratio=12).encoding(zarr_format, **encoding)
    names = {"dimension_names": ["t", "y", "x"]} if zarr_format == 3 else {}
    array = group.create_array(
        "deep/t",
        shape=field.shape,
        dtype="f4",
        fill_value=np.nan,
        attributes={"units": "K"},
        **codec,
        **names,
    )
    array[:] = field
    folder = tmp_path / "out"
    assert main(["export-jp2", str(tmp_path / "a.zarr"), "deep/t", str(folder)]) == FINE
    written = sorted(path.name for path in folder.iterdir())
    if encoding["chunks"] == (4, 80, 100):
        assert written == ["deep.t.jp2", "deep.t.json", "deep.t.mask.png"]
    elif "shards" not in encoding:
        assert "deep.t.0.0.0.mask.png" in written
        assert "deep.t.1.0.0.mask.png" not in written
        assert not any(name.startswith("deep.t.3.") for name in written)
    assert main(["import-jp2", str(folder), str(tmp_path / "b.zarr")]) == FINE
    again = zarr.open_group(tmp_path / "b.zarr", mode="r")["deep/t"]
    assert np.array_equal(again[:].view("u4"), array[:].view("u4"))
    assert dict(again.attrs) == {"units": "K"}
    capsys.readouterr()
    assert main(["import-jp2", str(folder), str(tmp_path / "b.zarr")]) == USAGE
    assert "--overwrite" in capsys.readouterr().err
    assert main(["import-jp2", str(folder), str(tmp_path / "b.zarr"), "deep/t", "--overwrite"]) == FINE
    assert main(["export-jp2", str(tmp_path / "a.zarr"), "deep/t", str(folder)]) == USAGE


@pytest.fixture
def exported(field, tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    codec = frazil.JP2K(ratio=12).encoding(3, chunks=(4, 80, 100))
    group.create_array("t", shape=field.shape, dtype="f4", fill_value=np.nan, **codec)[:] = field
    group.create_array("plain", shape=(3,), dtype="f4")
    assert main(["export-jp2", str(tmp_path / "a.zarr"), "t", str(tmp_path / "out")]) == FINE
    return tmp_path / "out"


def test_other_programs_read_the_files(exported):
    image = pytest.importorskip("PIL.Image")
    imagecodecs = pytest.importorskip("imagecodecs")
    samples = imagecodecs.jpeg2k_decode((exported / "t.jp2").read_bytes(), planar=True)
    assert samples.shape == (4, 80, 100)
    with image.open(exported / "t.mask.png") as mask:
        assert mask.mode == "1"
        assert mask.size == (100, 320)


def test_what_cannot_be_exported_or_imported_is_said(exported, tmp_path, capsys):
    def refused(*arguments):
        capsys.readouterr()
        assert main([str(word) for word in arguments]) == USAGE
        return capsys.readouterr().err

    store = tmp_path / "a.zarr"
    assert "only jp2k" in refused("export-jp2", store, "plain", tmp_path / "x")
    assert "no array 'u'" in refused("export-jp2", store, "u", tmp_path / "x")
    assert "no files of export-jp2" in refused("import-jp2", tmp_path / "nowhere", tmp_path / "b.zarr")
    assert "no array 'u'" in refused("import-jp2", exported, tmp_path / "b.zarr", "u")


@pytest.mark.parametrize(
    "change",
    [
        {"variable": "../t"},
        {"chunk": [0, 0, 7]},
        {"chunk": []},
        {"metadata": {}},
        {"planes": 1, "shape": [4, 80, 99]},
    ],
)
def test_a_damaged_record_makes_no_array(exported, tmp_path, change):
    path = exported / "t.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert main(["import-jp2", str(exported), str(tmp_path / "b.zarr")]) == USAGE
    assert not (tmp_path / "b.zarr/t/zarr.json").exists()
    assert not (tmp_path / "t").exists()
