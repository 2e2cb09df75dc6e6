"""How coarse JPEG 2000 has to be for the fewest bytes of it and its corrections together.

A coarse base leaves more to the corrections, whose coder is the better one where
little is smooth; a fine one takes over where much is. The RMSE of the base is tried at
`FIRST`, in half widths of a cell; then beside the best of these, then where a
parabola through the best three has its minimum.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import NoRoomError
from frazil.jpeg2000 import htj2k
from frazil.jpeg2000.codestream import MAX_COMPONENTS
from frazil.jpeg2000.encodings import ebcot, ht_layout, integers
from frazil.jpeg2000.encodings import ht as encode_ht
from frazil.residuals.based import from_indices
from frazil.residuals.correcting import correct
from frazil.scaling import MINMAX, Linear, fit

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.jpeg2000.section import Coded

    Ints = npt.NDArray[np.int32]
    Valid = npt.NDArray[np.bool_]

FIRST = (-1.3, 1.0, 3.3)  # log2 of RMSE over half a cell
BESIDE = 1.1
FINEST, COARSEST = -4.0, 3.0  # a base further off than 8 bounds would be no picture at lower resolutions
LAST = 0.15  # as near as that to one that was tried, nothing new comes
COARSE = 0.25  # RMSE over range: there is hardly less of JPEG 2000
LEVEL_PER_RMSE, FEWEST_BITS, MOST_BITS = 0.33, 6, 20
STEP_PER_RMSE = 2.5
ENOUGH, NARROWEST, RUN = 1 << 18, 96, 4  # points that the search looks at; rows, columns, planes in a row
WHOLE = 1 << 24  # numbers below it are whole numbers in single precision


def encode(
    wanted: Ints, widths: Ints, codec: Any, valid: Valid | None, *, profile: str, nbytes: int
) -> tuple[bytes, Ints]:
    """Encode numbers by a lossy `JP2K`, at its rate or at the best, and correct them.

    ``nbytes``: of the values, over which a ratio counts.
    """
    if len(wanted) > MAX_COMPONENTS:
        raise NoRoomError(f"{len(wanted)} planes are more than JPEG 2000 holds ({MAX_COMPONENTS})")
    single = int(wanted.min()) > -WHOLE and int(wanted.max()) < WHOLE
    planes = wanted.astype(np.float32 if single else np.float64)
    n, y, x = wanted.shape
    if codec.ratio is not None or codec.psnr is not None:
        based = from_indices(_as_asked(planes, codec, valid, nbytes), (n, y, x))
        return correct(wanted, widths, based, valid, profile=profile)
    scale = Linear(MINMAX, 1, np.array([_ends(planes)]))
    where, rows, columns = _part((n, y, x))
    region = (where, rows, columns)
    octave = _best(
        wanted[region],
        planes[region],
        widths if widths.size == 1 else widths[region],
        scale,
        codec,
        None if valid is None else valid[region],
        profile=profile,
    )
    cell = float(np.exp(np.log(widths).mean()))
    based = from_indices(_at(planes, scale, codec, octave, cell), (n, y, x))
    return correct(wanted, widths, based, valid, profile=profile)


def _best(  # noqa: PLR0917 - what `encode` has
    wanted: Ints,
    planes: npt.NDArray[Any],
    widths: Ints,
    scale: Linear,
    codec: Any,
    valid: Valid | None,
    *,
    profile: str,
) -> float:
    """Find the RMSE, as log2 of it over half a cell, at which base and corrections take the fewest bytes."""
    n, y, x = wanted.shape
    low, high = scale.edges(0)
    cell = float(np.exp(np.log(widths).mean()))
    tried: dict[float, int] = {}

    def cost(octave: float) -> int:
        if octave not in tried:
            based = from_indices(_at(planes, scale, codec, octave, cell), (n, y, x))
            tried[octave] = len(correct(wanted, widths, based, valid, profile=profile, thorough=False)[0])
        return tried[octave]

    most = min(COARSEST, math.log2(COARSE * (high - low) * 2 / cell))
    for octave in FIRST:
        cost(min(max(octave, FINEST), most))
    middle = min(tried, key=cost)
    for octave in (middle - BESIDE, middle + BESIDE):
        cost(min(max(octave, FINEST), most))
    aim = min(max(_aim(tried), FINEST), most)
    if min(abs(aim - octave) for octave in tried) > LAST:
        cost(aim)
    return min(tried, key=cost)


def _part(shape: tuple[int, int, int]) -> tuple[npt.NDArray[np.intp], slice, slice]:
    """Where the search looks, some `ENOUGH` points: a window of all planes, or of runs of planes."""
    n, y, x = shape
    columns = min(max(ENOUGH // (n * y), NARROWEST), x)
    rows = min(max(ENOUGH // (n * columns), NARROWEST), y)
    runs = max(ENOUGH // (RUN * rows * columns), 1)
    planes = np.arange(n)
    if runs * RUN < n:
        starts = np.linspace(0, n - RUN, runs).astype(np.intp)
        planes = np.unique(starts[:, None] + np.arange(RUN))
    top, left = (y - rows) // 2, (x - columns) // 2
    return planes, slice(top, top + rows), slice(left, left + columns)


def _ends(planes: npt.NDArray[Any]) -> tuple[float, float]:
    low, high = float(np.float32(planes.min())), float(np.float32(planes.max()))
    return low, max(high, low + 1)


def _at(planes: npt.NDArray[Any], scale: Linear, codec: Any, octave: float, cell: float) -> Coded:
    """JPEG 2000 at an RMSE of ``2**octave`` half cells."""
    low, high = scale.edges(0)
    share = min(2.0**octave * cell / 2 / (high - low), COARSE)
    if codec.coder == "ht" and htj2k.takes(planes.shape):
        scale = Linear(MINMAX, htj2k.LEVELS, scale.values)
        whole = integers(planes, scale, htj2k.HEADROOM, "u2")
        return encode_ht(whole, ht_layout(whole.shape, STEP_PER_RMSE * share), scale)
    bits = math.ceil(math.log2(1 / (LEVEL_PER_RMSE * share) + 1))
    levels = (1 << min(max(bits, FEWEST_BITS), MOST_BITS)) - 1
    return ebcot(planes, Linear(MINMAX, levels, scale.values), psnr=-20 * math.log10(share))


def _aim(tried: dict[float, int]) -> float:
    """Where a parabola through the best and its neighbours has its minimum; farther on if it ends there."""
    octaves = sorted(tried)
    at = octaves.index(min(octaves, key=lambda octave: tried[octave]))
    if len(octaves) < 3:
        return octaves[at]
    if at in (0, len(octaves) - 1):
        return octaves[at] + math.copysign(BESIDE, at - 0.5)
    a, b, c = octaves[at - 1 : at + 2]
    u, v, w = (math.log(tried[octave]) for octave in (a, b, c))
    bend = (b - a) * (v - w) - (b - c) * (v - u)
    if bend == 0:
        return b
    return b - 0.5 * ((b - a) ** 2 * (v - w) - (b - c) ** 2 * (v - u)) / bend


def _as_asked(planes: npt.NDArray[Any], codec: Any, valid: Valid | None, nbytes: int) -> Coded:
    """JPEG 2000 at the ratio or psnr of ``codec``."""
    from frazil.jpeg2000 import rate

    scale = fit(planes, kind=codec.scaling, per=codec.per, clip=codec.clip, dtype=np.dtype("f4"))
    budget = None if codec.ratio is None else int(nbytes / codec.ratio)
    coded = rate.encode(
        planes,
        scale,
        ht=codec.coder == "ht",
        budget=budget,
        psnr=codec.psnr,
        valid=None if valid is None else lambda: valid,
    )
    if coded is None or coded.layout.reversible:
        raise NoRoomError(
            "JPEG 2000 at this rate needs the reversible transform: ask for a higher ratio, or less psnr"
        )
    return coded
