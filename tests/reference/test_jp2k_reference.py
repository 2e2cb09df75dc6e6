"""A reader written from the format pages alone reads what frazil writes, and the golden files."""

from __future__ import annotations

from pathlib import Path

import jp2k_reference as reference
import numpy as np
import pytest

from frazil import JP2K
from frazil.testing import bit_equal, field

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("v[0-9].[0-9]-jp2k-*"))


def step(data: bytes) -> float:
    """One level of the scale; 9/7 transforms of two libraries may round differently by one."""
    shape, dtype, _, sections = reference.read_container(data)
    if "S" not in sections or sections["S"][0] & 15 > 1:
        return 0.0
    decoded = reference.decode(data).astype("f8")
    scale = reference.Bytes(sections["S"])
    scale.byte()
    return float(np.ptp(decoded) / scale.varint()) + (0.5 if dtype.kind in "iu" else 0) if shape else 0.0


def compare(data: bytes, level: int = 0) -> None:
    ours, theirs = JP2K().decode_chunk(data, level=level), reference.decode(data, level)
    assert (ours.shape, ours.dtype, ours.flags.f_contiguous) == (
        theirs.shape,
        theirs.dtype,
        theirs.flags.f_contiguous,
    )
    if "M" in reference.read_container(data)[3]:
        good = np.isfinite(ours) & (ours != -9999)
        ours, theirs = ours[good], theirs[good]
    allowed = 1.01 * step(data)
    if allowed:
        assert abs(ours.astype("f8") - theirs.astype("f8")).max(initial=0) <= allowed
    else:
        assert bit_equal(ours, theirs).all()


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda p: p.name)
def test_golden_files(folder):
    data = (folder / "encoded.bin").read_bytes()
    for level in (0, 1, 2, 3):
        compare(data, level)


CHUNKS = {
    "f4": field((2, 33, 40)),
    "sqrt": np.sqrt(field((2, 33, 40))),
    "f8": np.sqrt(field((20, 24), "f8")),
    "i2": field((2, 33, 40), "i2") - 100,
    "u1": field((33, 40), "u1"),
    "i4": field((33, 40), "i4") * 12345678 // 100 - 2**20,
    "f2": field((3, 20, 24), "f2"),
    "row": field((1, 90)),
    "large": field((1, 130, 200)),
}
SETTINGS = [
    {"ratio": 6},
    {"psnr": 45, "per": "plane"},
    {"psnr": 60, "scaling": "standard", "clip": 2.0},
    {"reversible": True},
]


@pytest.mark.parametrize("coder", ["ebcot", "ht"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", CHUNKS)
def test_what_is_written_today(name, settings, coder):
    data = JP2K(**settings, coder=coder).encode(CHUNKS[name])
    for level in (0, 1, 3, 6):
        compare(data, level)
