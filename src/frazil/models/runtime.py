"""Run integer decoders: blocks of bounded size, on whichever backend was chosen, the same bits from each."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, isqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import FormatError, UnsupportedArrayError
from frazil.models.layers import Conv, Lookup
from frazil.models.runtime_numpy import Crop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from frazil.models.format import Decoder

    Ints = npt.NDArray[np.int32]
    Engine = Callable[[npt.NDArray[Any], Ints, Crop], None]

ROOM = 1 << 26  # bytes that a block may take: about 80 x 80 latents of a decoder to 12 x 8 x 8 points


def run(
    decoder: Decoder, x: npt.NDArray[Any], *, backend: str | None = None, tile: int | None = None
) -> Ints:
    """Decode latents, or indices of codewords, to whole numbers.

    Parameters
    ----------
    decoder : Decoder
    x : ndarray of int, shape (n, inputs, h, w)
        Latents as `Decoder.latents` makes them, or indices below `Decoder.size`.
    backend : {"auto", "numpy", "onnxruntime", "torch"}, optional
        By default the one that `frazil.models.use_backend` chose. The result does not depend on it.
    tile : int, optional
        Side of a block in latents, halo not counted. The result does not depend on it; by default what fits
        into 64 MB.

    Returns
    -------
    ndarray of int32, shape (n, C, h * factor, w * factor)

    Raises
    ------
    UnsupportedArrayError
        If ``x`` has another shape or no whole numbers.
    FormatError
        If a number is beyond what the decoder was proved for.
    """
    from frazil.models.backends import engine

    checked = check_input(decoder, x)
    return run_engine(decoder, engine(decoder, backend), checked, tile)


def run_surely(decoder: Decoder, x: npt.NDArray[Any]) -> Ints:
    """Decode as `run` does, by numpy in double precision, which no library's short cuts can change."""
    return run(decoder, x, backend="exact")


def run_engine(decoder: Decoder, engine: Engine, x: npt.NDArray[Any], tile: int | None = None) -> Ints:
    """Decode what `check_input` passed."""
    n, _, h, w = x.shape
    f = decoder.factor
    out = np.empty((n, decoder.channels, h * f, w * f), np.int32)
    for image, target in zip(x, out, strict=True):
        real = start(decoder, image)
        for block, crop, place in tiles(decoder, h, w, tile):
            engine(real[block], target[place.times(f)], crop)
    return out


def check_input(decoder: Decoder, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Refuse arrays for which nothing was proved."""
    if x.ndim != 4 or x.shape[1] != decoder.inputs or x.dtype.kind not in "iu":
        raise UnsupportedArrayError(
            f"{decoder.name} decodes whole numbers of shape (n, {decoder.inputs}, h, w), got {x.dtype} of "
            f"shape {x.shape}"
        )
    first = decoder.traced[1][0]
    if x.size:
        low, high = x.min((0, 2, 3)), x.max((0, 2, 3))
        wrong = np.flatnonzero((low < first.low) | (high > first.high))
        if wrong.size:
            c = int(wrong[0])
            raise FormatError(
                f"input {c} of {decoder.name} has numbers from {low[c]} to {high[c]}, beyond "
                f"{first.low[c]} ... {first.high[c]}"
            )
    return x


def start(decoder: Decoder, x: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Latents as floats; for indices (heads, h, w) the rows of the codebooks, (heads * d, h, w)."""
    first = decoder.layers[0]
    if not isinstance(first, Lookup):
        return x.astype(np.float32)
    table = decoder.tensors[first.table]
    rows = [book.astype(np.float32).T[:, index] for book, index in zip(table, x, strict=True)]
    return np.concatenate(rows)


def tiles(decoder: Decoder, h: int, w: int, tile: int | None) -> Iterator[tuple[Any, Crop, Crop]]:
    """Cut an image into blocks: where each is with its halo, its part without, and where that belongs."""
    halo = decoder.halo
    if tile is None:
        side = max(isqrt(ROOM // bytes_per_latent(decoder)), 4)
        tile = max(side - 2 * halo, 4 + halo)
        if h * w <= side * side:
            tile = max(h, w)
    for top, bottom in _parts(h, tile):
        for left, right in _parts(w, tile):
            first_row, first_column = max(top - halo, 0), max(left - halo, 0)
            block = np.s_[:, first_row : bottom + halo, first_column : right + halo]
            inner = Crop(
                slice(top - first_row, bottom - first_row), slice(left - first_column, right - first_column)
            )
            yield block, inner, Crop(slice(top, bottom), slice(left, right))


def bytes_per_latent(decoder: Decoder) -> int:
    """How much room a latent takes while it is decoded."""
    layers, values = decoder.traced
    most = 1
    for layer, result in zip(layers, values[1:], strict=True):
        sources = [values[s] for s in layer.sources]
        area, width = result.scale**2, 8 if isinstance(layer, Conv) and layer.wide else 4
        beside = 3 * sources[0].channels if isinstance(layer, Conv) else 0
        held = sum(value.channels * value.scale**2 for value in sources) + 2 * result.channels * area
        most = max(most, width * (held + beside * area))
    return most


def _parts(length: int, tile: int) -> list[tuple[int, int]]:
    """Cut a length into equal parts of at most ``tile``."""
    count = ceil(length / tile)
    edges = [length * k // count for k in range(count + 1)] if count else [0]
    return list(pairwise(edges))


def values(decoder: Decoder, output: Ints, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Turn a decoder's whole numbers into values.

    Parameters
    ----------
    decoder : Decoder
    output : ndarray of int32, shape (n, C, y, x)
        What `run` returned.
    dtype : dtype
        Of the array: floats, or integers, for which values are rounded half to even and clipped.

    Returns
    -------
    ndarray, shape (n, C, y, x)
        ``offset + scale * output``, computed in float64: multiply, add, and cast once.
    """
    dtype = np.dtype(dtype)
    made = np.empty(output.shape, dtype)
    for c in range(decoder.channels):
        real = output[:, c] * np.float64(decoder.scale[c])
        real += decoder.offset[c]
        if dtype.kind in "iu":
            low, high = _ends(dtype)
            made[:, c] = np.clip(np.rint(real, out=real), low, high, out=real)
        else:
            with np.errstate(over="ignore"):
                made[:, c] = real
    return made


def _ends(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Smallest and largest doubles within an integer type."""
    info = np.iinfo(dtype)
    high = float(info.max)
    return float(info.min), high if high <= info.max else float(np.nextafter(high, 0))
