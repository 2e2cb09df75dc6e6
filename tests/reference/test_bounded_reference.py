"""A reader written from the format pages alone reads what Bounded writes, and the golden files."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import bounded_reference as reference
import numpy as np
import pytest
from interpolation_reference import Decoder
from numcodecs.registry import get_codec

from frazil import Bounded, container
from frazil.testing import bit_equal

GOLDEN = [  # those of the methods that this reader has
    folder
    for folder in sorted((Path(__file__).parents[1] / "golden").glob("v?.?-bounded-*"))
    if reference.method((folder / "encoded.bin").read_bytes()) in {None, 0, 1, 2, 3}
]
TABLE = (resources.files("frazil.entropy") / "states-1.bin").read_bytes()
METHODS = ("stored", "constant", "exact", "interpolation")
Y, X = np.mgrid[:24, :32]
WAVES = np.stack([np.sin(2 * np.pi * X / 32 + k / 9) * np.cos(Y / 7 - k / 5) for k in range(3)]).astype("f4")
NOISE = np.random.default_rng(1).standard_normal((3, 24, 32)).astype("f4")
ROUGH = WAVES + 0.02 * NOISE


def gaps(x: np.ndarray) -> np.ndarray:
    y = x.copy()
    y[..., 3:11, 5:20] = np.nan
    y[..., 15::5, ::9] = np.inf
    return y


def compare(codec: Bounded, x: np.ndarray, bounds=None, levels=(0, 1)) -> reference.Record:
    data = codec.encode_chunk(x) if bounds is None else codec.encode_chunk(x, bounds=bounds)
    for level in levels:
        ours, theirs = codec.decode_chunk(data, level=level), reference.decode(data, level, table=TABLE)
        assert (ours.shape, ours.dtype, ours.flags.f_contiguous) == (
            theirs.shape,
            theirs.dtype,
            theirs.flags.f_contiguous,
        )
        assert bit_equal(ours, theirs).all()
    said = reference.Record(reference.read_container(data)[3]["B"], ours.dtype)
    said.sections = set(container.unpack(data)[1])
    return said


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda p: p.name)
def test_golden_files(folder):
    data = (folder / "encoded.bin").read_bytes()
    codec = get_codec(json.loads((folder / "config.json").read_text()))
    assert bit_equal(reference.decode(data, table=TABLE), np.load(folder / "decoded.npy")).all()
    assert bit_equal(reference.decode(data, 1, table=TABLE), codec.decode_chunk(data, level=1)).all()


@pytest.mark.parametrize(
    ("bound", "profile"),
    [
        (0.3, "best"),
        (0.01, "fast"),
        ("rel:1e-3", "best"),
        ("pw_rel:0.01", "fast"),
        ("local_std:window=5,fraction=0.3", "best"),
    ],
)
@pytest.mark.parametrize("name", ["smooth", "rough", "gaps", "f8", "ints", "bytes", "half", "row"])
def test_interpolation(name, bound, profile):
    x = {
        "smooth": WAVES[:1],
        "rough": ROUGH,
        "gaps": gaps(ROUGH),
        "f8": np.asfortranarray(1e5 * WAVES[:2, :, :21].astype(">f8")),
        "ints": (1000 * ROUGH[:2, 1:]).astype("i2"),
        "bytes": (100 + 50 * ROUGH[:2]).astype("u1"),
        "half": ROUGH[:2].astype("f2"),
        "row": ROUGH.reshape(-1)[:90],
    }[name]
    codec = Bounded(bound=bound, base="interpolation", profile=profile)
    compare(codec, x, levels=(0, 1, 2, 5) if name == "rough" else (0, 1))


def test_every_method_and_kind_of_numbers():
    made = {
        "stored": compare(Bounded(bound=1e-30), NOISE[0, :5, :7]),
        "constant": compare(Bounded(bound=9.0), ROUGH),
        "exact": compare(Bounded(bound=0), (1 + ROUGH / 99).astype("f4")),
        "interpolation": compare(Bounded(bound=0.01, base="interpolation"), ROUGH),
    }
    assert {name: METHODS[said.method] for name, said in made.items()} == {name: name for name in made}
    assert made["exact"].kind == 1


def test_constant_with_gaps():
    assert compare(Bounded(bound=9.0), gaps(ROUGH)).method == 1


def test_grid():
    said = compare(Bounded(bound=0.01, base="interpolation", grid=True), gaps(ROUGH))
    assert said.aligned


def test_bounds_given_for_each_point():
    bounds = 0.01 * 2.0 ** (X / 8) * np.ones_like(WAVES)
    for grid in (False, True):
        for x in (ROUGH, gaps(ROUGH), (999 * ROUGH).astype("i4")):
            codec = Bounded(bound="array", base="interpolation", grid=grid, profile="fast")
            said = compare(codec, x, bounds * (999 if x.dtype.kind == "i" else 1))
            assert (said.method, said.aligned) == (3, grid)
            assert "D" in said.sections


def test_exact_points():
    x = ROUGH.copy()
    bounds = np.full(x.shape, 0.02)
    bounds[:, ::6, ::4] = 0
    codec = Bounded(bound="array", base="interpolation")
    assert "P" in compare(codec, x, bounds).sections


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i2"])
def test_what_is_preserved(dtype):
    x = (ROUGH * (1 if dtype[0] == "f" else 500)).astype(dtype)
    bound = 0.3 if dtype[0] == "f" else 150
    made = set()
    for keep in (["sign"], ["mean"], ["range"], ["mean", "range", "sign", "zeros"]):
        y = gaps(x[:2]) if dtype[0] == "f" and len(keep) > 1 else x[:2]
        said = compare(Bounded(bound=bound, base="interpolation", preserve=keep, profile="fast"), y)
        made |= said.sections | ({"clamped"} if said.limits is not None else set())
    assert made >= {"S", "E", "clamped"}


def test_magnitudes_with_signs():
    x = ROUGH * np.exp(9 * WAVES)
    codec = Bounded(bound="pw_rel:0.02", base="interpolation")
    said = compare(codec, x)
    assert (said.kind, "S" in said.sections) == (8, True)


def test_parts_for_lower_resolutions():
    codec = Bounded(bound=1e-4, base="interpolation", profile="fast")
    data = codec.encode_chunk(ROUGH)
    assert reference.check_prefixes(data, TABLE) > 1
    for level in (1, 2, 3):
        part = data[: codec.bytes_needed(data[:-1], level)]
        assert len(part) < len(data)
        assert bit_equal(codec.decode_prefix(part, level), reference.decode(data, level, table=TABLE)).all()


def test_stencils_for_bands_of_rows():
    y, x = np.mgrid[:256, :260]
    z = np.where(y < 90, np.sin(x / 1.7 + y / 40), np.sin(y / 1.9 + x / 60)).astype("f4")
    codec = Bounded(bound=0.02, base="interpolation", profile="fast")
    data = codec.encode(z)
    sections = reference.read_container(data)[3]
    said = reference.Record(sections["B"], z.dtype)
    decoder = Decoder(sections["Q"], (1, *z.shape), said.width, None, False, TABLE)
    assert (said.values(decoder.decode(0)[0], z.dtype) == codec.decode(data)).all()
    assert [len(decoder.stencils[kind, 0]) for kind in range(3)] == [2, 2, 2]
