"""One encoding of a chunk with given parameters, by either coder: what `frazil.jpeg2000.rate` tries out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.jpeg2000 import exact, htj2k, openjpeg
from frazil.jpeg2000.codestream import Layout, decompositions
from frazil.jpeg2000.section import Coded, finish
from frazil.levels import to_levels

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.scaling import Linear


def ebcot(
    planes: npt.NDArray[Any], scale: Linear, *, size: int | None = None, psnr: float | None = None
) -> Coded:
    """Encode planes (n, y, x) by OpenJPEG and 9/7, on ``scale.levels`` levels, at a size or a quality."""
    n, y, x = planes.shape
    layout = Layout((n, y, x), scale.levels.bit_length(), decompositions(y, x))
    stream = openjpeg.encode(lambda k, out: fill(planes, scale, k, 0, out), layout, size=size, psnr=psnr)
    return finish(stream, layout, scale)


def reversible(planes: npt.NDArray[Any], scale: Linear, levels: int, *, ht: bool) -> Coded:
    """Encode planes (n, y, x) on so many ``levels``, all of whose bits are kept."""
    scale = replace(scale, levels=levels)
    layout = exact.integers_layout(planes.shape, levels.bit_length(), ht=ht)
    if ht:
        stream = htj2k.encode(integers(planes, scale, 0, f"u{layout.bits // 8}"), layout)
    else:
        stream = openjpeg.encode(lambda k, out: fill(planes, scale, k, 0, out), layout)
    return finish(stream, layout, scale)


def ht_layout(shape: tuple[int, ...], step: float) -> Layout:
    """Layout of a lossy HT codestream of 16-bit samples, its step rounded as it is stored."""
    n, y, x = shape
    return Layout((n, y, x), 16, decompositions(y, x, ht=True), ht=True, step=htj2k.round_step(step))


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
