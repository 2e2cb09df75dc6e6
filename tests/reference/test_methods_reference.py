"""The readers together: golden chunks of the methods wavelet, context and mask, from container to values."""

from __future__ import annotations

import json
import zlib
from importlib import resources
from pathlib import Path

import bounded_reference
import numpy as np
import pytest
import residuals_reference
import wavelet_reference
from coder_reference import States

from frazil.testing import bit_equal

GOLDEN = sorted(
    folder
    for folder in (Path(__file__).parents[1] / "golden").glob("v?.?-bounded-*")
    if (folder / "decoded.npy").exists()
    and "Q" in bounded_reference.read_container((folder / "encoded.bin").read_bytes())[3]
)
TABLE = (resources.files("frazil.entropy") / "states-1.bin").read_bytes()
TABLES = {
    0: States.nothing(),
    1: States.read((resources.files("frazil.wavelet") / "states-1.bin").read_bytes()),
}


def base_values(config: dict, data: bytes, shape, dtype, level: int) -> np.ndarray:
    """Values of a base codec's bytes."""
    name = config["id"]
    if name == "frazil.jp2k":
        found = residuals_reference.sections(data)
        return residuals_reference.jp2k.packets(found["S"], found["J"], shape, dtype, level)
    if name == "zlib":
        values = np.frombuffer(zlib.decompress(data), dtype)
    else:
        assert name == "fixedscaleoffset"
        packed = np.frombuffer(data, config["astype"])
        values = packed.astype(config["dtype"]) / config["scale"] + config["offset"]
    return values.reshape(shape)[:, :: 1 << level, :: 1 << level].astype(dtype)


def decode(folder: Path, level: int) -> np.ndarray:
    data = (folder / "encoded.bin").read_bytes()
    config = json.loads((folder / "config.json").read_text())
    _, dtype, _, sections = bounded_reference.read_container(data)
    record = bounded_reference.Record(sections["B"], dtype)

    def wavelet(payload, shape, dtype, widths, valid, level):  # noqa: PLR0917 - all methods are told the same
        return wavelet_reference.decode(payload, shape, widths, valid, TABLES, level)

    def context(payload, shape, dtype, widths, valid, level):  # noqa: PLR0917 - as above
        def rerun(encoded, level):
            values = base_values(config["base"], encoded, shape, dtype, level)
            return residuals_reference.numbers_on_line(values, record.origin, record.unit)

        aligned = record.aligned
        return residuals_reference.context(payload, shape, widths, valid, level, rerun=rerun, aligned=aligned)

    methods = {4: wavelet, 5: context, 6: residuals_reference.mask}
    return bounded_reference.decode(data, level, table=TABLE, methods=methods)


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda p: p.name)
def test_golden_files(folder):
    from numcodecs.registry import get_codec

    assert bit_equal(decode(folder, 0), np.load(folder / "decoded.npy")).all()
    codec = get_codec(json.loads((folder / "config.json").read_text()))
    for level in (1, 3):
        ours = codec.decode_chunk((folder / "encoded.bin").read_bytes(), level=level)
        assert bit_equal(decode(folder, level), ours).all()
