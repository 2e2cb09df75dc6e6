"""Damaged chunks by the ten thousand, in this process: an exception of the tree or an array, never a crash.

The checksum of most mutants is made right again, so that it is the decoders that meet the damage: the masks,
the scaling record, the index, and packets that OpenJPEG and OpenJPH get to see behind headers of ours.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numcodecs import FixedScaleOffset

from frazil import JP2K, Bounded, container, scaling
from frazil.errors import FrazilError
from frazil.guarantee import record
from frazil.guarantee.rebuilding import MAP, MEANS, POINTS, RECORD, SIGNS, STREAM, checks
from frazil.jpeg2000 import section
from frazil.planes import stack_shape
from frazil.sealing import seal, unseal
from frazil.testing import field, reseal

if TYPE_CHECKING:
    from frazil.codecs.base import PlaneCodec

MUTANTS = 100_000
SEED = 20240229
HEADER = 4  # magic and version: nothing behind them is reached when they are wrong


def _gaps(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[..., 3:9, :7] = np.nan
    return x


def _wild_gaps(x: np.ndarray) -> np.ndarray:
    """More patterns than the list of them holds."""
    x = x.copy()
    bits = x.view("u4")
    bits[..., ::3, ::2] = 0x7FC00000 + np.arange(bits[..., ::3, ::2].size).reshape(bits[..., ::3, ::2].shape)
    return x


def _noise(shape: tuple[int, ...], dtype: str = "f4") -> np.ndarray:
    return (
        np.random.default_rng(1)
        .integers(0, 256, (*shape, np.dtype(dtype).itemsize), "u1")
        .view(dtype)[..., 0]
    )


SMALL = field((2, 20, 24))
NOISY = (field((2, 40, 48)) + np.random.default_rng(0).normal(0, 1, (2, 40, 48))).astype("f4")
# A name for each codec and the chunk that it encodes.
CASES: dict[str, tuple[PlaneCodec, np.ndarray]] = {
    "ratio": (JP2K(ratio=8), SMALL),
    "ratio-gaps": (JP2K(ratio=8), _gaps(SMALL)),
    "ratio-wild-gaps": (JP2K(ratio=3), _wild_gaps(SMALL)),
    "ratio-fine": (JP2K(ratio=1.3), SMALL),
    "psnr": (JP2K(psnr=50), field((33, 40))),
    "psnr-per-plane": (JP2K(psnr=50, per="plane"), SMALL),
    "standard-clip": (JP2K(ratio=8, scaling="standard", clip=1.5), SMALL),
    "big-endian-fortran": (JP2K(psnr=40), np.asfortranarray(field((20, 24), ">f8"))),
    "reversible-f4": (JP2K(reversible=True), SMALL),
    "reversible-u2-gaps": (JP2K(reversible=True, missing=100), field((20, 24), "u2")),
    "reversible-limbs": (JP2K(reversible=True), np.cumsum(_noise((20, 24), "u2"), 1).astype("f8") * np.pi),
    "many-planes": (JP2K(ratio=8), field((20, 9, 9))),
    "one-row": (JP2K(psnr=40), field((300,))),
    "several-blocks": (JP2K(psnr=30), field((70, 140))),
    "ht-ratio": (JP2K(ratio=8, coder="ht"), SMALL),
    "ht-ratio-gaps": (JP2K(ratio=8, coder="ht"), _gaps(SMALL)),
    "ht-psnr": (JP2K(psnr=50, coder="ht"), field((33, 40))),
    "ht-fine": (JP2K(psnr=100, coder="ht"), SMALL),
    "ht-standard": (JP2K(psnr=50, coder="ht", scaling="standard", per="plane"), SMALL),
    "ht-reversible-u1": (JP2K(reversible=True, coder="ht"), field((20, 24), "u1")),
    "ht-reversible-f4": (JP2K(reversible=True, coder="ht"), SMALL),
    "ht-limbs": (JP2K(reversible=True, coder="ht"), field((20, 24), "f8") * np.pi),
    "ht-groups": (JP2K(ratio=8, coder="ht"), field((35, 16, 17))),
    "ht-one-row": (JP2K(psnr=40, coder="ht"), field((300,))),
    "ht-several-blocks": (JP2K(psnr=30, coder="ht"), field((70, 140))),
    "constant": (JP2K(ratio=8), np.full((3, 9, 9), 273.15, "f4")),
    "constant-gaps": (JP2K(ratio=8), _gaps(np.full((3, 12, 9), 273.15, "f4"))),
    "raw": (JP2K(reversible=True), _noise((4, 5), "u2")),
    "raw-deflated": (JP2K(reversible=True), np.repeat(_noise((2, 5), "u2"), 12, axis=1)),
    "no-points": (JP2K(ratio=8), np.empty((0, 4), "f4")),
    "bounded-interpolation": (Bounded(bound=0.05, base="interpolation"), NOISY),
    "bounded-interpolation-gaps": (Bounded(bound=0.05, base="interpolation"), _gaps(SMALL)),
    "bounded-interpolation-fast-f8": (Bounded(bound=0.05, profile="fast"), field((33, 40), "f8")),
    "bounded-wavelet": (Bounded(bound=0.2, base="wavelet"), NOISY),
    "bounded-wavelet-stack-gaps": (Bounded(bound=2.0, base="wavelet"), _gaps(field((5, 20, 24)))),
    "bounded-map": (Bounded(bound="local_std:window=5,fraction=0.1", base="interpolation"), NOISY),
    "bounded-map-wavelet": (Bounded(bound="local_std:window=5,fraction=0.1", base="wavelet"), NOISY),
    "bounded-relative-signs": (Bounded(bound="pw_rel:0.01"), SMALL - 120),
    "bounded-preserve": (Bounded(bound=20.0, preserve=("sign", "mean", "range", "zeros")), NOISY - 120),
    "bounded-grid-u2": (Bounded(bound=3, grid=True), field((20, 24), "u2")),
    "bounded-exact": (Bounded(bound=0), SMALL),
    "bounded-stored": (Bounded(bound=0), SMALL[:1, :3, :3]),
    "bounded-constant-gaps": (Bounded(bound=50), _gaps(SMALL)),
    "bounded-jp2k": (Bounded(bound=0.1, base=JP2K()), NOISY),
    "bounded-jp2k-ht": (Bounded(bound=0.1, base=JP2K(psnr=30, coder="ht")), NOISY),
    "bounded-codec": (Bounded(bound=0.1, base=FixedScaleOffset(120, 1, "f4", "i1")), NOISY),
    "bounded-mask": (Bounded(bound=0.1, residual="mask"), NOISY),
}


def _recheck(data: bytes, case: str) -> bytes:
    """Make the checks inside the sections right again where they can be found."""
    _, chunk = CASES[case]
    try:
        spec, sections = container.unpack(data)
        if "M" in sections:
            sections["M"] = seal(sections["M"][:-2])
        if RECORD in sections:
            _recheck_bounded(sections, stack_shape(chunk.shape), chunk.dtype)
        elif sections.keys() >= {"S", "J"}:
            planes = stack_shape(chunk.shape)
            scale = scaling.unpack(sections["S"], planes[0], chunk.dtype)
            head = section.read_head(sections["J"], section.stacked(planes, scale))
            coded = section.Coded(scale, head.layout, sections["J"][head.start :], (*head.lengths, 0))
            sections["J"] = coded.pack(sections["S"])
        return container.pack(spec, sections)
    except FrazilError:
        return data


def _recheck_bounded(sections: dict[str, bytes], shape: tuple[int, int, int], dtype: np.dtype) -> None:
    for tag in sections.keys() & {RECORD, MAP, SIGNS, MEANS, POINTS}:
        sections[tag] = seal(sections[tag][:-2])
    said = record.unpack(unseal(sections[RECORD]), dtype)
    if said.checks and STREAM in sections:
        parts = checks(said.method, sections[STREAM], shape)
        sections[RECORD] = seal(replace(said, checks=parts).pack(dtype))


@cache
def encoded(case: str) -> bytes:
    codec, chunk = CASES[case]
    return codec.encode(chunk)


def mutate(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Damage ``data`` in one way; ``other`` is a chunk to take pieces from."""
    mutant = bytearray(data)
    stop = len(data) - container.CRC_SIZE
    at = int(rng.integers(HEADER, stop))
    size = int(rng.integers(1, 20))
    style = rng.integers(10)
    if style <= 2:
        for where in rng.integers(HEADER, stop, int(rng.integers(1, 4))):
            mutant[where] ^= 1 << int(rng.integers(8))
    elif style <= 4:
        for where in rng.integers(HEADER, stop, int(rng.integers(1, 6))):
            mutant[where] = int(rng.integers(256))
    elif style == 5:
        del mutant[at:stop]
    elif style == 6:
        del mutant[at : min(at + size, stop)]
    elif style == 7:
        mutant[at:at] = rng.bytes(size)
    elif style == 8:
        to = int(rng.integers(HEADER, stop))
        mutant[at : at + size], mutant[to : to + size] = mutant[to : to + size], mutant[at : at + size]
    else:
        mutant[at:stop] = other[int(rng.integers(HEADER, len(other))) : -container.CRC_SIZE]
    return reseal(bytes(mutant)) if rng.random() < 0.9 else bytes(mutant)


def attempt(case: str, mutant: bytes, rng: np.random.Generator) -> bool:
    """Decode as a store would, at some resolution, whole or from a prefix; tell whether an array came out."""
    codec, chunk = CASES[case]
    level = int(rng.integers(3))
    small = chunk[..., :: 1 << level, :: 1 << level] if chunk.ndim > 1 else chunk[:: 1 << level]
    declared = {"shape": chunk.shape, "dtype": chunk.dtype}
    try:
        if level and rng.random() < 0.5:
            prefix = mutant[: codec.bytes_needed(mutant[: int(rng.integers(16, 400))], level)]
            decoded = codec.decode_prefix(prefix, level, **declared)
        else:
            decoded = codec.decode_chunk(mutant, level=level, **declared)
    except FrazilError:
        return False
    assert decoded.shape == small.shape
    assert decoded.dtype.newbyteorder("=") == chunk.dtype.newbyteorder("=")
    return True


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_damaged_chunks(case):
    rng = np.random.default_rng([SEED, *case.encode()])
    names = list(CASES)
    count = -(-MUTANTS // len(CASES))
    arrays = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(count):
            other = encoded(names[int(rng.integers(len(names)))])
            mutant = mutate(encoded(case), other, rng)
            arrays += attempt(case, _recheck(mutant, case) if rng.random() < 0.5 else mutant, rng)
    assert arrays < count
