import numpy as np
import pytest
import zarr

import frazil
from frazil import container, inventory


@pytest.fixture
def field():
    y, x = np.mgrid[:96, :128] / 30
    made = np.stack([np.sin(x + k) * np.cos(y) for k in range(4)]).astype("f4")
    made[1, :20, :20] = np.nan
    return made


def store_of(field, zarr_format, **encoding):
    group = zarr.open_group(zarr.storage.MemoryStore(), mode="w", zarr_format=zarr_format)
    codec = frazil.JP2K(ratio=20).encoding(zarr_format, **encoding)
    array = group.create_array("deep/t", shape=field.shape, dtype=field.dtype, fill_value=np.nan, **codec)
    array[:] = field
    group.create_array("time", shape=(4,), dtype="i8")[:] = np.arange(4)
    return group


CASES = [
    (2, {"chunks": (1, 96, 128)}),
    (3, {"chunks": (1, 96, 128)}),
    (3, {"chunks": (1, 96, 64), "shards": (2, 96, 128)}),
]


@pytest.mark.parametrize(("zarr_format", "encoding"), CASES)
def test_sections_add_up_to_what_the_codec_wrote(field, zarr_format, encoding):
    group = store_of(field, zarr_format, **encoding)
    found = dict(inventory.arrays(group))
    assert list(found) == ["time", "deep/t"]
    entry = inventory.describe("deep/t", found["deep/t"])
    chunks = list(inventory.chunk_entries(found["deep/t"]))
    assert entry.codec == "jp2k ratio=20"
    assert entry.lossy
    assert entry.chunks == entry.chunks_stored == len(chunks)
    assert [("M" in c.sections) for c in chunks].count(True) >= 1
    for chunk in chunks:
        assert set(chunk.sections) <= {"M", "S", "J"}
        assert 15 <= chunk.nbytes - sum(chunk.sections.values()) <= 40
    if "shards" not in encoding:
        assert entry.stored == sum(c.nbytes for c in chunks)
    assert inventory.describe("time", found["time"]).lossy is False


def test_an_absent_chunk_is_not_listed(field):
    field[2] = np.nan
    group = store_of(field, 3, chunks=(1, 96, 128))
    entry = inventory.describe("deep/t", group["deep/t"])
    assert (entry.chunks_stored, entry.chunks) == (3, 4)
    assert [c.index[0] for c in inventory.chunk_entries(group["deep/t"])] == [0, 1, 3]


def test_foreign_and_cut_off_chunks_are_said_to_be_so(field, tmp_path):
    group = zarr.open_group(tmp_path / "s", mode="w")
    codec = frazil.JP2K(ratio=20).encoding(3, chunks=(1, 96, 128))
    array = group.create_array("t", shape=field.shape, dtype="f4", fill_value=np.nan, **codec)
    array[:] = field
    keys = [tmp_path / f"s/t/c/{i}/0/0" for i in range(4)]
    keys[0].write_bytes(b"not one of ours")
    whole = keys[1].read_bytes()
    keys[1].write_bytes(whole[: len(whole) // 2])
    keys[2].write_bytes(container.MAGIC)
    notes = list(inventory.chunk_entries(array))
    assert notes[0].sections is None
    assert notes[1].note == f"cut off after {len(whole) // 2} of {len(whole)} bytes"
    assert "ends after 3 bytes" in notes[2].note
    assert notes[3].note == ""


def test_settings_that_are_defaults_are_not_shown():
    config = frazil.JP2K(psnr=60, coder="ht").get_config()
    assert inventory.codec_text(config) == "jp2k psnr=60 coder=ht"
