"""Bytes are for ever: what any released frazil wrote, this one reads to the same array.

Each folder tests/golden/v<format version>-<case> holds config.json, encoded.bin and decoded.npy. A case of
`CASES` whose folder is missing fails; ``pytest --write-golden`` adds it; nothing overwrites or removes one.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import little_golden as little
import numpy as np
import pytest
from numcodecs.registry import get_codec

from frazil import container, scaling
from frazil.codecs.learned import POINTS
from frazil.errors import UnsupportedArrayError
from frazil.planes import stack_shape
from frazil.testing import bit_equal, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from frazil.models import Model

GOLDEN = Path(__file__).parent / "golden"
VERSION = f"v{container.MAJOR}.{container.MINOR}"


def gaps(x: np.ndarray) -> np.ndarray:
    """Put a coast, an infinity and a NaN with a payload into ``x``."""
    y = x.copy()
    y[..., :12, :9] = np.nan
    y[..., 20, 20] = np.inf
    y[..., 22, 22] = np.array(0x7FC0002A, "u4").view("f4")
    return y


def drift(n: int) -> np.ndarray:
    """Give n planes that hardly differ from one to the next."""
    p, i, j = np.indices((n, 20, 24))
    return (280 + 8 * np.sin(i / 3 + p / 20) * np.cos(j / 4) + p / 50).astype("f4")


def one_level(data: bytes) -> float:
    """Distance of two levels of a lossy chunk, the largest of its planes; 0 for chunks without any."""
    spec, sections = container.unpack(data)
    if "S" not in sections or "B" in sections:
        return 0.0
    n = stack_shape(spec.shape)[0]
    scale = scaling.unpack(sections["S"], n, spec.dtype.newbyteorder("="))
    rounding = 1.0 if spec.dtype.kind in "iu" else 0.0
    return (
        max(rounding, *(scale.line(k)[1] * 1.01 for k in range(n)), 0)
        if isinstance(scale, scaling.Linear)
        else 0.0
    )


def rough(shape: tuple[int, ...] = (2, 24, 32)) -> np.ndarray:
    """Waves of both signs around the globe, with noise."""
    p, i, j = np.indices((1, 1, *shape)[-3:])
    waves = np.sin(2 * np.pi * j / shape[-1] + p / 9) * np.cos(i / 7 - p / 5)
    noise = np.random.default_rng(2).standard_normal(waves.shape)
    return (waves + 0.02 * noise).astype("f4").reshape(shape)


def by_interpolation(bound: float | str, **settings: object) -> dict[str, object]:
    """Give the configuration of bounded interpolation."""
    return {"id": "frazil.bounded", "bound": bound, "base": "interpolation", **settings}


def latent(model: Callable[[], Model], **settings: object) -> Callable[[], dict[str, object]]:
    """Give the configuration of latents; the model is made when it is asked for."""
    return lambda: {"id": "frazil.latent", "model": model(), **settings}


def words(heads: int, *, learned: bool = False, **settings: object) -> Callable[[], dict[str, object]]:
    """Give the configuration of codewords of so many heads."""
    return lambda: {"id": "frazil.codeword", "model": little.words(heads, learned=learned), **settings}


WIDER = 0.01 * 2.0 ** np.arange(-2, 6).repeat(4) * np.ones((2, 24, 1))  # bounds of each point

BANDS = little.bands(2, 9).astype("f4")
HEIGHTS = np.clip(field((2, 33, 40), "f4") * 1.2, 0, 250)
PATCHES = np.random.default_rng(4).choice([18, 50, 114, 178], (2, 17, 20)).repeat(2, 1).repeat(2, 2)
PATCHES = (PATCHES + np.random.default_rng(5).normal(0, 2, PATCHES.shape)).astype("f4")
NOISE = np.random.default_rng(3).normal(0, 1000, (2, 40, 37)).astype("f4")

# name: (configuration, the array that it encoded, and the bounds of its points if they were given); those of
# models are functions, called only for a golden file that is to be written: the file itself holds the decoder
CASES: dict[str, tuple[object, np.ndarray] | tuple[object, np.ndarray, np.ndarray]] = {
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
    "bounded-wavelet": (
        {"id": "frazil.bounded", "bound": 0.5, "base": "wavelet"},
        field((60, 70), "f4"),
    ),
    "bounded-wavelet-gaps": (
        {"id": "frazil.bounded", "bound": 0.5, "base": "wavelet"},
        gaps(field((2, 40, 50), "f4")),
    ),
    "bounded-wavelet-stack": ({"id": "frazil.bounded", "bound": 0.05, "base": "wavelet"}, drift(7)),
    "bounded-wavelet-widths": (
        {
            "id": "frazil.bounded",
            "bound": "local_std:window=5,fraction=0.3,floor=1e-3",
            "base": "wavelet",
        },
        field((2, 40, 50), "f4"),
    ),
    "bounded-wavelet-i2-fast": (
        {"id": "frazil.bounded", "bound": 2, "base": "wavelet", "profile": "fast"},
        field((40, 50), "i2"),
    ),
    "bounded-wavelet-rmse": (
        {"id": "frazil.bounded", "bound": 0.5, "base": "wavelet", "rmse": 0.1},
        field((40, 50), "f4"),
    ),
    "bounded-jp2k": (
        {"id": "frazil.bounded", "bound": 0.5, "base": {"id": "frazil.jp2k", "psnr": 40}},
        field((2, 40, 50), "f4"),
    ),
    "bounded-jp2k-f8-ht": (
        {"id": "frazil.bounded", "bound": 0.5, "base": {"id": "frazil.jp2k", "coder": "ht"}},
        field((2, 40, 50), "f8"),
    ),
    "bounded-jp2k-gaps-widths": (
        {
            "id": "frazil.bounded",
            "bound": "local_std:window=5,fraction=0.3,floor=1e-3",
            "base": {"id": "frazil.jp2k"},
        },
        gaps(field((2, 40, 50), "f4")),
    ),
    "bounded-jp2k-reversible": (
        {"id": "frazil.bounded", "bound": 0.2, "base": {"id": "frazil.jp2k", "reversible": True}},
        np.rint(field((40, 50), "f4") / 5),
    ),
    "bounded-zlib": (
        {"id": "frazil.bounded", "bound": 0.2, "base": {"id": "zlib", "level": 9}},
        np.rint(field((40, 50), "f4") / 5),
    ),
    "bounded-fixedscaleoffset": (
        {
            "id": "frazil.bounded",
            "bound": 0.2,
            "base": {"id": "fixedscaleoffset", "offset": 200, "scale": 1, "dtype": "<f4", "astype": "|u1"},
        },
        field((40, 50), "f4"),
    ),
    "bounded-mask": (
        {"id": "frazil.bounded", "bound": 0.5, "base": {"id": "frazil.jp2k"}, "residual": "mask"},
        field((2, 40, 50), "f4"),
    ),
    "bounded-mask-widths": (
        {
            "id": "frazil.bounded",
            "bound": "local_std:window=5,fraction=0.3,floor=1e-3",
            "base": {"id": "frazil.jp2k"},
            "residual": "mask",
        },
        field((2, 40, 50), "f4"),
    ),
    "bounded-stored": (
        by_interpolation(1e-30),
        np.random.default_rng(0).standard_normal((9, 10)),
    ),
    "bounded-stored-deflated": (
        by_interpolation(0),
        np.tile(np.random.default_rng(0).standard_normal((3, 5)), (8, 9)),
    ),
    "bounded-constant": (by_interpolation(0.5), np.full((2, 24, 30), 273.15, "f4")),
    "bounded-constant-gaps": (by_interpolation(3), gaps(rough())),
    "bounded-all-missing": (by_interpolation(0.5), np.full((2, 24, 30), np.nan, "f4")),
    "bounded-one-point": (by_interpolation(0.5), np.array(273.15, "f4")),
    "bounded-nothing": (by_interpolation(0.5), np.empty((0, 24, 30), "f4")),
    "bounded-exact": (by_interpolation(0), 1 + rough() / 99),
    "bounded-exact-i2-gaps": (
        by_interpolation(0, missing=-999),
        np.where(rough() > 0.8, -999, 99 * rough()).astype("i2"),
    ),
    "bounded-interpolation": (by_interpolation(0.01), rough((3, 24, 32))),
    "bounded-interpolation-fast": (by_interpolation(0.01, profile="fast"), rough((3, 23, 37))),
    "bounded-interpolation-gaps": (by_interpolation(0.01), gaps(rough((3, 24, 32)))),
    "bounded-interpolation-smooth": (by_interpolation(0.5), field((40, 50), "f4")),
    "bounded-interpolation-widths": (
        by_interpolation("local_std:window=5,fraction=0.3,floor=1e-3"),
        gaps(rough()),
    ),
    "bounded-interpolation-grid": (by_interpolation(0.01, grid=True), gaps(rough())),
    "bounded-interpolation-grid-widths": (by_interpolation("array", grid=True), rough(), WIDER),
    "bounded-interpolation-points": (
        by_interpolation("array", profile="fast"),
        rough(),
        np.where(np.arange(32) % 8 == 3, 0, WIDER),
    ),
    "bounded-interpolation-relative": (by_interpolation("pw_rel:0.02"), rough() * np.exp(9 * rough())),
    "bounded-interpolation-sign": (by_interpolation(0.2, preserve=["sign"]), gaps(rough())),
    "bounded-interpolation-mean": (by_interpolation(0.3, preserve=["mean"]), rough()),
    "bounded-interpolation-range": (by_interpolation(0.2, preserve=["range", "zeros"]), rough().round(1)),
    "bounded-interpolation-all-kept": (
        by_interpolation(0.3, preserve=["mean", "range", "sign", "zeros"]),
        gaps(rough()).astype("f2"),
    ),
    "bounded-interpolation-lattice": (
        by_interpolation(0.025),
        (np.float32(250) + np.float32(0.01) * field((2, 24, 30), "i2")).astype("f4"),
    ),
    "bounded-interpolation-f8-big-endian-fortran": (
        by_interpolation("rel:1e-3"),
        np.asfortranarray(rough((33, 21)).astype(">f8")),
    ),
    "bounded-interpolation-u1": (by_interpolation(3), field((40, 50), "u1")),
    "bounded-interpolation-i4": (by_interpolation(900), 10_000 * field((24, 30), "i4")),
    "bounded-interpolation-row": (by_interpolation(0.01), rough((90,))),
    "latent-klt-f4": (latent(little.klt), BANDS),
    "latent-klt-f4-edges": (latent(little.klt, step=9), BANDS[:, :, :21, :30]),
    "latent-klt-f4-gaps": (latent(little.klt), gaps(BANDS)),
    "latent-klt-f8-big-endian-fortran": (
        latent(partial(little.klt, -4)),
        np.asfortranarray(np.moveaxis(BANDS, 1, 0).astype(">f8")),
    ),
    "latent-klt-i2-missing": (
        latent(little.klt, missing=-999),
        np.where(BANDS[0] > 288, -999, np.rint(BANDS[0])).astype("i2"),
    ),
    "latent-klt-f2": (latent(little.klt), BANDS[0, :, :9].astype("f2")),
    "latent-network": (latent(little.network), BANDS[:, 0, :22, :29]),
    "latent-network-u1": (
        latent(little.network, step=1),
        (2 * BANDS[0, 1, :, :31]).clip(0, 255).astype("u1"),
    ),
    "latent-points": (latent(partial(little.points, 1)), little.stations(3, 4).astype("f4")),
    "latent-points-blocks": (latent(partial(little.points, 4)), little.stations(3, 4).astype("f4")),
    "latent-points-bounded": (
        latent(partial(little.points, 1), bound=0.05),
        np.where(little.stations(3, 4) > 2, np.nan, little.stations(3, 4)).astype("f4"),
    ),
    "latent-bounded": (latent(little.klt, bound=0.2), BANDS),
    "latent-bounded-widths": (
        latent(partial(little.klt, -4), bound="array"),
        np.moveaxis(BANDS, 1, 0).copy(),
        np.broadcast_to(
            np.multiply.outer([1.5, 3.0], 2.0 ** (np.arange(32) // 8))[:, None, None], (2, 2, 24, 32)
        ),
    ),
    "latent-bounded-without-model": (latent(little.klt, bound=0.5), 99 * rough()),
    "latent-fallback": (latent(little.klt), gaps(NOISE)),
    "latent-constant": (latent(little.klt), np.full((3, 24, 30), 273.15, "f4")),
    "latent-nothing": (latent(little.klt), np.empty((0, 2, 24, 30), "f4")),
    "codeword-packed": (words(1, coder="packed"), HEIGHTS),
    "codeword-mixing": (words(1, coder="mixing"), HEIGHTS),
    "codeword-mixing-learned": (words(1, learned=True, coder="mixing"), HEIGHTS),
    "codeword-table": (words(1, learned=True, coder="table"), HEIGHTS),
    "codeword-bzip2": (words(1, coder="bzip2"), HEIGHTS),
    "codeword-zstd": (words(1, coder="zstd"), HEIGHTS),
    "codeword-heads": (words(2, coder="mixing"), HEIGHTS),
    "codeword-heads-learned": (words(2, learned=True, coder="mixing"), HEIGHTS),
    "codeword-heads-table": (words(2, learned=True, coder="table"), gaps(HEIGHTS)),
    "codeword-u2-big-endian": (words(2), HEIGHTS[:, ::-1, 3:].astype(">u2")),
    "codeword-bounded": (words(2, bound=2.0), PATCHES),
    "codeword-fallback": (words(1), NOISE),
}


@pytest.mark.parametrize("case", CASES)
def test_case_is_on_file(case, write_golden):
    folder = GOLDEN / f"{VERSION}-{case}"
    if not folder.exists() and write_golden:
        config, x, *given = CASES[case]
        codec = get_codec(config() if callable(config) else config)
        encoded = codec.encode_chunk(x, **({"bounds": given[0]} if given else {}))
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
    ordered = not hasattr(codec, "found") or codec.found.decoder.axis != POINTS
    if not ordered:
        with pytest.raises(UnsupportedArrayError, match="no lower resolutions"):
            codec.decode_chunk((folder / "encoded.bin").read_bytes(), level=1)
    for level in (0, 1)[: 1 + ordered]:  # the lower resolution has no file of its own: it must not fail
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
