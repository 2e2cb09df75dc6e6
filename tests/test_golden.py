"""Bytes are for ever: what any released frazil wrote, this one reads to the same array.

Each folder tests/golden/v<format version>-<case> holds config.json, encoded.bin and decoded.npy. A case of
`CASES` whose folder is missing fails; ``pytest --write-golden`` adds it; nothing overwrites or removes one.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numcodecs.registry import get_codec

from frazil import container, scaling
from frazil.planes import stack_shape
from frazil.testing import bit_equal, field

GOLDEN = Path(__file__).parent / "golden"
VERSION = f"v{container.MAJOR}.{container.MINOR}"


def gaps(x: np.ndarray) -> np.ndarray:
    """Put a coast, an infinity and a NaN with a payload into ``x``."""
    y = x.copy()
    y[..., :12, :9] = np.nan
    y[..., 20, 20] = np.inf
    y[..., 22, 22] = np.array(0x7FC0002A, "u4").view("f4")
    return y


def one_level(data: bytes) -> float:
    """Distance of two levels of a lossy chunk, the largest of its planes; 0 for chunks without any."""
    spec, sections = container.unpack(data)
    if "S" not in sections:
        return 0.0
    n = stack_shape(spec.shape)[0]
    scale = scaling.unpack(sections["S"], n, spec.dtype.newbyteorder("="))
    rounding = 1.0 if spec.dtype.kind in "iu" else 0.0
    return (
        max(rounding, *(scale.line(k)[1] * 1.01 for k in range(n)), 0)
        if isinstance(scale, scaling.Linear)
        else 0.0
    )


# name: (configuration, the array that it encoded)
CASES: dict[str, tuple[dict[str, object], np.ndarray]] = {
    "jp2k-f4": ({"id": "frazil.jp2k", "ratio": 16}, field((2, 40, 50), "f4")),
    "jp2k-f4-gaps": ({"id": "frazil.jp2k", "ratio": 16}, gaps(field((2, 40, 50), "f4"))),
    "jp2k-f4-missing": (
        {"id": "frazil.jp2k", "psnr": 60, "missing": -9999.0},
        np.where(field((40, 50), "f4") > 150, np.float32(-9999), field((40, 50), "f4")),
    ),
    "jp2k-f8-psnr": ({"id": "frazil.jp2k", "psnr": 70}, field((40, 50), "f8")),
    "jp2k-f8-big-endian-fortran": (
        {"id": "frazil.jp2k", "psnr": 60},
        np.asfortranarray(field((33, 21), ">f8")),
    ),
    "jp2k-f2": ({"id": "frazil.jp2k", "psnr": 50}, field((40, 50), "f2")),
    "jp2k-f4-standard-clip": (
        {"id": "frazil.jp2k", "ratio": 16, "scaling": "standard", "clip": 3.0},
        field((2, 40, 50), "f4"),
    ),
    "jp2k-f4-per-plane": (
        {"id": "frazil.jp2k", "ratio": 16, "per": "plane"},
        field((3, 40, 50), "f4") * np.array([[[1]], [[100]], [[0.001]]], "f4"),
    ),
    "jp2k-f4-reversible": ({"id": "frazil.jp2k", "reversible": True}, field((24, 30), "f4")),
    "jp2k-u2-reversible": ({"id": "frazil.jp2k", "reversible": True}, field((2, 40, 50), "u2")),
    "jp2k-i2-reversible-ht": (
        {"id": "frazil.jp2k", "reversible": True, "coder": "ht"},
        field((40, 50), "i2"),
    ),
    "jp2k-f4-ht": ({"id": "frazil.jp2k", "ratio": 16, "coder": "ht"}, field((2, 40, 50), "f4")),
    "jp2k-f4-ht-groups": ({"id": "frazil.jp2k", "ratio": 40, "coder": "ht"}, field((40, 16, 20), "f4")),
    "jp2k-u1": ({"id": "frazil.jp2k", "psnr": 45}, field((40, 50), "u1")),
    "jp2k-i4": ({"id": "frazil.jp2k", "psnr": 60}, 10_000 * field((40, 50), "i4")),
    "jp2k-constant": ({"id": "frazil.jp2k", "ratio": 16}, np.full((2, 40, 50), 273.15, "f4")),
    "jp2k-all-missing": ({"id": "frazil.jp2k", "ratio": 16}, np.full((2, 40, 50), np.nan, "f4")),
    "jp2k-one-point": ({"id": "frazil.jp2k", "ratio": 16}, np.array(273.15, "f4")),
    "jp2k-f4-lattice": (
        {"id": "frazil.jp2k", "reversible": True},
        (np.float32(250) + np.float32(0.01) * field((2, 40, 50), "i2")).astype("f4"),
    ),
    "jp2k-f4-ht-gaps": ({"id": "frazil.jp2k", "psnr": 55, "coder": "ht"}, gaps(field((3, 40, 50), "f4"))),
    "jp2k-f8-limbs": (
        {"id": "frazil.jp2k", "reversible": True},
        np.sqrt(field((24, 30), "f8")),
    ),
    "jp2k-f4-reversible-ht": (
        {"id": "frazil.jp2k", "reversible": True, "coder": "ht"},
        np.sqrt(field((24, 30), "f4")),
    ),
    "jp2k-f4-deflated": (
        {"id": "frazil.jp2k", "reversible": True},
        np.sin(field((30, 40), "f8")).astype("f4"),
    ),
    "jp2k-raw": (
        {"id": "frazil.jp2k", "reversible": True},
        np.random.default_rng(0).integers(0, 65536, (9, 10)).astype(">u2"),
    ),
    "jp2k-raw-deflated": (
        {"id": "frazil.jp2k", "reversible": True},
        np.tile(np.random.default_rng(0).integers(0, 65536, (3, 5)).astype("u2"), (4, 4)),
    ),
    "jp2k-nothing": ({"id": "frazil.jp2k", "ratio": 16}, np.empty((0, 40, 50), "f4")),
}


@pytest.mark.parametrize("case", CASES)
def test_case_is_on_file(case, write_golden):
    folder = GOLDEN / f"{VERSION}-{case}"
    if not folder.exists() and write_golden:
        config, x = CASES[case]
        codec = get_codec(config)
        encoded = codec.encode(x)
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(codec.get_config()) + "\n")
        (folder / "encoded.bin").write_bytes(encoded)
        np.save(folder / "decoded.npy", codec.decode(encoded))
    names = {"config.json", "encoded.bin", "decoded.npy"}
    found = {p.name for p in folder.iterdir()} if folder.exists() else set()
    assert found == names, f"{folder.name}: run pytest --write-golden tests/test_golden.py, look, and commit"


@pytest.mark.parametrize("folder", sorted(GOLDEN.glob("v*")), ids=lambda p: p.name)
def test_old_bytes_decode_to_the_same_array(folder):
    codec = get_codec(json.loads((folder / "config.json").read_text()))
    expected = np.load(folder / "decoded.npy")
    for level in (0, 1):  # the lower resolution has no file of its own: it must not fail
        decoded = codec.decode_chunk((folder / "encoded.bin").read_bytes(), level=level)
        assert decoded.dtype == expected.dtype
        if level == 0:
            assert decoded.shape == expected.shape
            same = bit_equal(decoded, expected)
            if codec.lossless or not np.isfinite(expected).any():
                assert same.all()
            else:  # processors may round a 9/7 transform differently, by one level of the scale at most
                valid = np.isfinite(expected) & (expected != codec.missing)
                assert same[~valid].all()
                error = abs(decoded[valid].astype("f8") - expected[valid].astype("f8"))
                assert error.max(initial=0) <= one_level((folder / "encoded.bin").read_bytes())


@pytest.mark.parametrize("folder", sorted(GOLDEN.glob("v*")), ids=lambda p: p.name)
def test_every_folder_has_a_case(folder):
    assert folder.name.partition("-")[2] in CASES


def test_golden_files_stay_small():
    assert sum(p.stat().st_size for p in GOLDEN.rglob("*.*") if p.is_file()) < 2e6
