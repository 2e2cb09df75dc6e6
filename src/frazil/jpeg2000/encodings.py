"""One encoding of a chunk with given parameters, by either coder: what `frazil.jpeg2000.rate` tries out."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.jpeg2000 import htj2k, openjpeg
from frazil.jpeg2000.codestream import Layout, decompositions, dissect
from frazil.jpeg2000.section import GROUP, Coded, finish
from frazil.levels import to_levels

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.scaling import Linear, Scale


def ebcot(
    planes: npt.NDArray[Any], scale: Linear, *, size: int | None = None, psnr: float | None = None
) -> Coded:
    """Encode planes (n, y, x) by OpenJPEG and 9/7, on ``scale.levels`` levels, at a size or a quality."""
    n, y, x = planes.shape
    layout = Layout((n, y, x), scale.levels.bit_length(), decompositions(y, x))
    stream = openjpeg.encode(lambda k, out: fill(planes, scale, k, 0, out), layout, size=size, psnr=psnr)
    return finish(stream, layout, scale)


def ht(samples: npt.NDArray[Any], layout: Layout, scale: Scale) -> Coded:
    """Encode unsigned integers (n, y, x) by OpenJPH, in groups of planes where there are many."""
    parts = []
    for first in range(0, len(samples), GROUP):
        part = np.ascontiguousarray(samples[first : first + GROUP])
        own = replace(layout, shape=part.shape)
        parts.append(dissect(htj2k.encode(part, own), own))
    if len(parts) == 1:
        return Coded(scale, layout, *parts[0])
    # A resolution is the packets of one group after the other: the order of RPCL for all planes at once.
    cuts = [list(pairwise(accumulate(lengths, initial=0))) for _, lengths in parts]
    body = b"".join(
        packets[slice(*cut[r])]
        for r in range(layout.decompositions + 1)
        for (packets, _), cut in zip(parts, cuts, strict=True)
    )
    groups = tuple(zip(*(lengths for _, lengths in parts), strict=True))
    return Coded(scale, layout, body, tuple(map(sum, groups)), groups)


def whole_numbers(numbers: npt.NDArray[Any], bits: int, scale: Scale, *, by_ht: bool) -> Coded:
    """Encode unsigned integers (n, y, x) of at most ``bits`` bits by the reversible transform."""
    layout = integers_layout(numbers.shape, bits, ht=by_ht)
    if by_ht:
        return ht(numbers.astype(f"u{layout.bits // 8}", copy=False), layout, scale)

    def copy(k: int, out: npt.NDArray[np.int32]) -> None:
        out[...] = numbers[k]

    return finish(openjpeg.encode(copy, layout), layout, scale)


def integers_layout(shape: tuple[int, ...], bits: int, *, ht: bool) -> Layout:
    """OpenJPH codes the whole type, of 8, 16 or 32 bits; OpenJPEG as many bits as there are."""
    n, y, x = shape
    stored = next(b for b in (8, 16, 32) if b >= bits) if ht else bits
    return Layout((n, y, x), stored, decompositions(y, x), reversible=True, ht=ht)


def reversible(planes: npt.NDArray[Any], scale: Linear, levels: int, *, by_ht: bool) -> Coded:
    """Encode planes (n, y, x) on so many ``levels``, all of whose bits are kept."""
    scale = replace(scale, levels=levels)
    layout = integers_layout(planes.shape, levels.bit_length(), ht=by_ht)
    if by_ht:
        return ht(integers(planes, scale, 0, f"u{layout.bits // 8}"), layout, scale)
    return finish(openjpeg.encode(lambda k, out: fill(planes, scale, k, 0, out), layout), layout, scale)


def ht_layout(shape: tuple[int, ...], step: float) -> Layout:
    """Layout of a lossy HT codestream of 16-bit samples, its step rounded as it is stored."""
    n, y, x = shape
    return Layout((n, y, x), 16, decompositions(y, x), ht=True, step=htj2k.round_step(step))


def integers(planes: npt.NDArray[Any], scale: Linear, offset: int, dtype: str) -> npt.NDArray[Any]:
    """Levels of planes (n, y, x), each plus ``offset``."""
    out = np.empty(planes.shape, dtype)
    for k in range(len(planes)):
        fill(planes, scale, k, offset, out[k])
    return out


def fill(planes: npt.NDArray[Any], scale: Linear, k: int, offset: int, out: npt.NDArray[Any]) -> None:
    """Write the levels of plane ``k`` into ``out``."""
    plane = planes[k] if planes.dtype in (np.dtype("f4"), np.dtype("f8")) else planes[k].astype("f8")
    low, step = scale.line(k)
    to_levels(plane, low, 1 / step if step > 0 else 0.0, scale.levels, offset, out)
