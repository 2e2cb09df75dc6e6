"""From a size or a quality to the engines' parameters, in few encodings.

Both coders are steered by a small sample of the chunk that OpenJPH encodes in
a fraction of the time: it tells which quantisation step, and which RMSE, the
asked size allows.

EBCOT
    OpenJPEG codes every bit-plane and then throws away what does not fit, so
    its time is that of a lossless encoding. Levels much finer than the RMSE to
    come only cost time: the number of levels follows the RMSE. It stays a power
    of two (less one), because the RMSE at a given size ripples by some 3 %
    with where the bit-planes fall. The faster BYPASS mode is not used: on
    smooth fields its RMSE is 3 to 5 % larger.
HT
    A step from the sample, then one to three encodings of the whole chunk.
Fine
    Where steps would be smaller than two of 65536 levels, the reversible
    transform codes as many levels as fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from frazil.jpeg2000 import exact, htj2k
from frazil.jpeg2000.codestream import decompositions
from frazil.jpeg2000.encodings import ebcot, ht_layout, integers, reversible
from frazil.jpeg2000.encodings import ht as encode_ht
from frazil.jpeg2000.sample import FINE, Sample, next_step
from frazil.jpeg2000.section import GROUP, Coded
from frazil.scaling import MAX_LEVELS, Linear

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from frazil.masks import Valid

# The distance of levels, in RMSE: where few bits a point are left, and where error matters more than time.
LEVEL_PER_RMSE, FINE_LEVEL_PER_RMSE, FEW_BITS = 0.33, 0.25, 1.2
FEWEST_BITS, USUAL_BITS, MOST_BITS = 6, 16, 20  # 9/7 in OpenJPEG overflows beyond 20 bits at six resolutions,
MOST_EBCOT, MOST_HT = (1 << 22) - 1, MAX_LEVELS - 1  # and its 5/3 on steep edges beyond 22
SMALL, NARROW, ROOMY = 1 << 14, 32, 6  # points, rows, bits a point: below, all 16 bits cost little time
CLOSE = 0.04
CAREFUL = 1 << 17  # points that tell an RMSE well
LARGE = 1 << 19  # points from which another encoding is not a small matter
SQRT12 = math.sqrt(12)


def encode(
    planes: npt.NDArray[Any],
    scale: Linear,
    *,
    ht: bool,
    budget: int | None,
    psnr: float | None,
    valid: Valid | None,
) -> Coded | None:
    """Encode planes (n, y, x) with loss, for ``budget`` bytes or for ``psnr`` dB.

    Points that are not ``valid`` may come back as anything.

    Returns
    -------
    Coded or None
        None where the range is beyond what float64 can divide into levels.
    """
    if not _divisible(scale, len(planes)):
        return None
    ht = ht and htj2k.takes(planes.shape)
    if psnr is not None:
        return _by_quality(planes, scale, 10 ** (-psnr / 20), ht=ht, valid=valid)
    shape = planes.shape
    d = decompositions(shape[1], shape[2])
    size = max((budget or 0) - len(scale.pack(planes.dtype)) - 3 - 2 * d, 1)
    if ht and shape[0] > GROUP:  # section g
        others = -(-shape[0] // GROUP) - 1
        size -= 5 + (d + 1) * others * (1 if size < 128 * (others + 1) else 2 if size < 16384 * others else 3)
    size -= 2 + sum(len(str(size >> 2 * (d - i))) // 3 + 1 for i in range(d))
    return _by_size(planes, scale, max(size, 1), ht=ht, valid=valid)


def _by_quality(
    planes: npt.NDArray[Any], scale: Linear, rmse: float, *, ht: bool, valid: Valid | None
) -> Coded:
    """``rmse`` is a fraction of the range, over valid points."""
    if rmse < (10 if ht else 0.5) * FINE / SQRT12:
        levels = min(math.ceil(1 / (rmse * SQRT12)), MOST_HT if ht else MOST_EBCOT)
        return reversible(planes, scale, levels, by_ht=ht)
    if ht:
        return _Ht.of(planes, scale).encode(Sample.of(planes, scale, valid, CAREFUL).step_for_rmse(rmse))
    scale = replace(scale, levels=_levels_for(rmse))
    asked = -20 * math.log10(rmse)
    return ebcot(planes, scale, psnr=asked + Sample.of(planes, scale, valid, CAREFUL).shortfall(asked))


def _by_size(planes: npt.NDArray[Any], scale: Linear, size: int, *, ht: bool, valid: Valid | None) -> Coded:
    small = planes.size < SMALL or min(planes.shape[1:]) < NARROW
    if small and not ht:
        coded = _ebcot_close(planes, replace(scale, levels=(1 << USUAL_BITS) - 1), size)
        roomy = len(coded.body) < (1 - CLOSE) * size and size * 8 >= ROOMY * planes.size
        return _fine(planes, scale, size, ht=False, valid=valid) if roomy else coded
    if ht and planes.size <= CAREFUL:  # the whole is no more than a sample
        found = _search(_Ht.of(planes, scale).encode, 1 / 512, size, -1.0, tries=10)
        return found or _fine(planes, scale, size, ht=ht, valid=valid)
    sample = Sample.of(planes, scale)
    step = sample.step_for_size(size)
    if step < FINE:
        return _fine(planes, scale, size, ht=ht, valid=valid)
    if not ht:
        distance = LEVEL_PER_RMSE if size * 8 < FEW_BITS * planes.size else FINE_LEVEL_PER_RMSE
        levels = _levels_for(sample.rmse(step), distance)
        return _ebcot_close(planes, replace(scale, levels=levels), size)
    tries = 5 if planes.size > LARGE else 8
    found = _search(_Ht.of(planes, scale).encode, step, size, sample.slope, tries=tries)
    return found or _fine(planes, scale, size, ht=ht, valid=valid)


@dataclass(frozen=True)
class _Ht:
    """A chunk's levels, made once and encoded with any step."""

    integers: npt.NDArray[Any]
    scale: Linear

    @classmethod
    def of(cls, planes: npt.NDArray[Any], scale: Linear) -> _Ht:
        scale = replace(scale, levels=htj2k.LEVELS)
        return cls(integers(planes, scale, htj2k.HEADROOM, "u2"), scale)

    def encode(self, step: float) -> Coded:
        return encode_ht(self.integers, ht_layout(self.integers.shape, step), self.scale)


def _search(
    encode: Callable[[float], Coded], step: float, size: int, slope: float, *, tries: int
) -> Coded | None:
    """Find the step whose encoding takes ``size`` bytes, or up to `CLOSE` less, or a little more.

    None if that step is too small for 16-bit levels.
    """
    fitting: tuple[float, Coded] | None = None
    over: tuple[float, Coded] | None = None
    last: tuple[float, int] | None = None
    for _ in range(tries):
        coded = encode(step)
        got = len(coded.body)
        if got > size:
            over = (step, coded)
        else:
            fitting = (step, coded)
        if (1 - CLOSE) * size <= got <= size:
            break
        if step <= FINE and got < size:
            return None
        if last is not None and got != last[1] and step != last[0]:
            slope = min(max(math.log(got / last[1]) / math.log(step / last[0]), -4.0), -0.15)
        last = (step, got)
        aim = max(next_step(step, got, size * (1 - CLOSE / 2), slope), step / 64, FINE)
        if fitting and over and not over[0] < aim < fitting[0]:
            aim = math.sqrt(over[0] * fitting[0])
        if htj2k.round_step(aim) == htj2k.round_step(step):
            break
        step = aim
    if fitting is None:
        return over[1] if over else coded
    short = len(fitting[1].body) < (1 - CLOSE) * size
    return over[1] if over and short and len(over[1].body) < (1 + CLOSE) * size else fitting[1]


def _fine(planes: npt.NDArray[Any], scale: Linear, size: int, *, ht: bool, valid: Valid | None) -> Coded:
    """More bytes than 16-bit levels can use: exact if that fits, else as many levels as do."""
    whole = exact.encode(planes, ht=htj2k.takes(planes.shape), valid=valid)
    if len(whole.body) + len(whole.scale.pack(planes.dtype)) <= size:
        return whole if ht else exact.encode(planes, ht=False, valid=valid)
    levels, best, most = 1 << 17, None, MOST_HT if ht else MOST_EBCOT
    for _ in range(5):
        coded = reversible(planes, scale, levels, by_ht=ht)
        got = len(coded.body)
        if best is None or (got <= size and (len(best.body) > size or got > len(best.body))):
            best = coded
        if (1 - CLOSE) * size <= got <= size:
            break
        # Each doubling of the levels costs one bit a point.
        wanted = levels * 2 ** ((size * (1 - CLOSE / 2) - got) * 8 / planes.size)
        levels = int(min(max(wanted, 1023), most))
        if levels == coded.scale.levels:  # type: ignore[union-attr]
            break
    return best if best is not None else coded


def _ebcot_close(planes: npt.NDArray[Any], scale: Linear, size: int) -> Coded:
    """Look a little beyond ``size`` where much of it is left: few bytes have few truncation points."""
    coded = ebcot(planes, scale, size=size)
    if len(coded.body) < (1 - CLOSE) * size and planes.size < LARGE:
        over = ebcot(planes, scale, size=int((1 + CLOSE) * size))
        if len(over.body) - size < size - len(coded.body):
            return over
    return coded


def _levels_for(rmse: float, distance: float = LEVEL_PER_RMSE) -> int:
    """2**bits - 1 levels, the fewest whose distance is at most ``distance`` of ``rmse``."""
    bits = math.ceil(math.log2(1 / (distance * rmse) + 1))
    return int((1 << min(max(bits, FEWEST_BITS), MOST_BITS)) - 1)


def _divisible(scale: Linear, planes: int) -> bool:
    """Whether every plane's range can be cut into 2**25 levels within float64."""
    for k in range(planes if len(scale.values) > 1 else 1):
        low, high = scale.edges(k)
        span = high - low
        if not math.isfinite(span) or 0 < span < 2.0**-990:
            return False
    return True
