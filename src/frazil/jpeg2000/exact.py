"""Lossless coding: any number type through integers that stand for its values one to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.jpeg2000 import htj2k, openjpeg
from frazil.jpeg2000.codestream import Layout, assemble, decompositions
from frazil.jpeg2000.coding import Coded, finish, samples
from frazil.scaling import LIMB_BITS, Exact, keys

if TYPE_CHECKING:
    import numpy.typing as npt

# Measured: OpenJPEG's 5/3 transform overflows beyond 25 bits, OpenJPH's beyond 31.
WIDEST_EBCOT, WIDEST_HT = 25, 31


def encode(planes: npt.NDArray[Any], *, ht: bool) -> Coded:
    """Encode planes (n, y, x) of any dtype without loss.

    Numbers that are too wide for the transform are split into planes of 16
    bits; those between 17 bits and the limit are decoded once more and compared.
    """
    ht = ht and htj2k.takes(planes.shape)
    numbers = keys(planes)
    unsigned = numbers.dtype
    origin = int(numbers.min())
    numbers -= unsigned.type(origin)
    union = int(np.bitwise_or.reduce(numbers, axis=None))
    shift = (union & -union).bit_length() - 1
    numbers >>= unsigned.type(shift)
    width = union.bit_length() - shift
    if width <= (WIDEST_HT if ht else WIDEST_EBCOT):
        coded = _encode(numbers, max(width, 1), Exact(shift, 1, origin), ht=ht)
        if width <= LIMB_BITS or _same(coded, numbers):
            return coded
    limbs = -(-width // LIMB_BITS)
    split = np.empty((len(numbers), limbs, *numbers.shape[1:]), "u2")
    for i in range(limbs):
        split[:, i] = (numbers >> unsigned.type(LIMB_BITS * i)).astype("u2")
    return _encode(split.reshape(-1, *numbers.shape[1:]), LIMB_BITS, Exact(shift, limbs, origin), ht=ht)


def encode_integers(integers: npt.NDArray[Any], bits: int, *, ht: bool) -> bytes:
    """Encode unsigned integers (n, y, x) of at most ``bits`` bits by the reversible transform."""
    layout = integers_layout(integers.shape, bits, ht=ht)
    if ht:
        return htj2k.encode(integers.astype(f"u{layout.bits // 8}"), layout)

    def fill(k: int, out: npt.NDArray[np.int32]) -> None:
        out[...] = integers[k]

    return openjpeg.encode(fill, layout)


def integers_layout(shape: tuple[int, ...], bits: int, *, ht: bool) -> Layout:
    """OpenJPH codes the whole type, of 8, 16 or 32 bits; OpenJPEG as many bits as there are."""
    n, y, x = shape
    stored = next(b for b in (8, 16, 32) if b >= bits) if ht else bits
    return Layout((n, y, x), stored, decompositions(y, x, ht=ht), reversible=True, ht=ht)


def _encode(numbers: npt.NDArray[Any], bits: int, scale: Exact, *, ht: bool) -> Coded:
    layout = integers_layout(numbers.shape, bits, ht=ht)
    return finish(encode_integers(numbers, bits, ht=ht), layout, scale)


def _same(coded: Coded, numbers: npt.NDArray[Any]) -> bool:
    stream = assemble(coded.layout, coded.body)
    return all(
        np.array_equal(plane, numbers[k]) for k, plane in samples(stream, coded.layout, coded.layout.shape)
    )
