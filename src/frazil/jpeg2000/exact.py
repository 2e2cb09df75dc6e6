"""Lossless coding: any number type through integers that stand for its values one to one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil import lattice
from frazil.errors import NoRoomError
from frazil.jpeg2000 import htj2k
from frazil.jpeg2000.codestream import MAX_COMPONENTS, assemble
from frazil.jpeg2000.decoding import samples
from frazil.jpeg2000.encodings import whole_numbers
from frazil.keys import keys
from frazil.scaling import LIMB_BITS, Exact, OnLattice

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.jpeg2000.section import Coded
    from frazil.masks import Valid

# OpenJPEG's 5/3 transform overflows beyond 25 bits; it also reads the reduced resolutions of HT.
WIDEST = 25


def encode(planes: npt.NDArray[Any], *, ht: bool, valid: Valid | None = None) -> Coded:
    """Encode planes (n, y, x) of any dtype without loss, where ``valid`` says that it matters.

    Floats on a lattice are coded by their levels, others by their bits.

    Numbers that are too wide for the transform are split into planes of 16
    bits; those between 17 bits and the limit are decoded once more and compared.
    """
    ht = ht and htj2k.takes(planes.shape)
    on = _on_lattice(planes, valid)
    if on is not None:
        return whole_numbers(on[1], on[0].lattice.top.bit_length() or 1, on[0], by_ht=ht)
    numbers = keys(planes)
    unsigned = numbers.dtype
    origin = int(numbers.min())
    numbers -= unsigned.type(origin)
    union = int(np.bitwise_or.reduce(numbers, axis=None))
    shift = (union & -union).bit_length() - 1
    numbers >>= unsigned.type(shift)
    top = int(numbers.max())
    width = union.bit_length() - shift
    if width <= WIDEST:
        with suppress(NoRoomError):
            coded = whole_numbers(numbers, max(width, 1), Exact(shift, 1, origin, top), by_ht=ht)
            if width <= LIMB_BITS or _same(coded, numbers):
                return coded
    limbs = -(-width // LIMB_BITS)
    if len(numbers) * limbs > MAX_COMPONENTS:
        raise NoRoomError(f"{len(numbers)} planes of {width} bits take more than {MAX_COMPONENTS} components")
    split = np.empty((len(numbers), limbs, *numbers.shape[1:]), "u2")
    for i in range(limbs):
        split[:, i] = (numbers >> unsigned.type(LIMB_BITS * i)).astype("u2")
    return whole_numbers(
        split.reshape(-1, *numbers.shape[1:]), LIMB_BITS, Exact(shift, limbs, origin, top), by_ht=ht
    )


def _on_lattice(
    planes: npt.NDArray[Any], valid: Valid | None
) -> tuple[OnLattice, npt.NDArray[np.uint32]] | None:
    if planes.dtype not in (np.dtype("f4"), np.dtype("f8")):
        return None
    where = None if valid is None else valid()
    found = lattice.find(planes.reshape(-1) if where is None else planes[where])
    if found is None:
        return None
    scale, levels = found
    if where is None:
        return OnLattice(scale), levels.reshape(planes.shape)
    filled = np.rint((planes.astype("f8") - scale.origin) / scale.step)
    whole = np.clip(filled, 0, scale.top).astype("u4")
    whole[where] = levels
    return OnLattice(scale), whole


def _same(coded: Coded, numbers: npt.NDArray[Any]) -> bool:
    parts = [(assemble(coded.layout, coded.body), coded.layout, coded.layout.shape)]
    return all(np.array_equal(plane, numbers[k]) for k, plane in samples(parts))
