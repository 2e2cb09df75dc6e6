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

import numpy as np

from frazil.jpeg2000 import exact, htj2k, openjpeg
from frazil.jpeg2000.codestream import Layout, assemble, decompositions
from frazil.jpeg2000.coding import Coded, decode, finish
from frazil.levels import to_levels
from frazil.scaling import MAX_LEVELS, MINMAX, Linear

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from frazil.masks import Valid

WINDOW = 128
SAMPLED, SAMPLE_MIN = 8, 1 << 17  # an eighth of the points, at least 131072 of them
LEVEL_PER_RMSE = 0.6
FEWEST_BITS, USUAL_BITS, MOST_BITS = 6, 16, 20  # 9/7 in OpenJPEG overflows beyond 20 bits at six resolutions
SMALL, NARROW, ROOMY = 1 << 14, 32, 6  # points, rows, bits a point: below, all 16 bits cost little time
FINE = 2 / 65536
CLOSE = 0.04
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
    """See `frazil.jpeg2000.coding.encode`."""
    if not _divisible(scale, len(planes)):
        return None
    ht = ht and htj2k.takes(planes.shape)
    if psnr is not None:
        return _by_quality(planes, scale, 10 ** (-psnr / 20), ht=ht)
    shape = planes.shape
    d = decompositions(shape[1], shape[2], ht=ht)
    size = max((budget or 0) - len(scale.pack(planes.dtype)) - 3 - 2 * d, 1)
    size -= 2 + sum(len(str(size >> 2 * (d - i))) // 3 + 1 for i in range(d))
    return _by_size(planes, scale, max(size, 1), ht=ht, valid=valid)


def _by_quality(planes: npt.NDArray[Any], scale: Linear, rmse: float, *, ht: bool) -> Coded:
    """``rmse`` is a fraction of the range."""
    if rmse < (10 if ht else 0.5) * FINE / SQRT12:
        return _reversible(planes, scale, min(math.ceil(1 / (rmse * SQRT12)), MAX_LEVELS - 1), ht=ht)
    if ht:
        sample = Sample.of(planes, scale)
        return _ht(planes, scale, sample.step_for_rmse(rmse))
    scale = replace(scale, levels=_levels_for(rmse))
    asked = -20 * math.log10(rmse)
    return _ebcot(planes, scale, psnr=asked + Sample.of(planes, scale).shortfall(asked))


def _by_size(planes: npt.NDArray[Any], scale: Linear, size: int, *, ht: bool, valid: Valid | None) -> Coded:
    small = planes.size < SMALL or min(planes.shape[1:]) < NARROW
    if small and not ht and size * 8 < ROOMY * planes.size:
        return _ebcot_close(planes, replace(scale, levels=(1 << USUAL_BITS) - 1), size)
    sample = Sample.of(planes, scale)
    step = sample.step_for_size(size)
    if step < FINE:
        return _fine(planes, scale, size, ht=ht, valid=valid)
    if not ht:
        levels = (1 << USUAL_BITS) - 1 if small else _levels_for(sample.rmse(step))
        return _ebcot_close(planes, replace(scale, levels=levels), size)
    return _search(
        lambda s: _ht(planes, scale, s), step, size, sample.slope, tries=5 if planes.size > LARGE else 8
    )


def _search(encode: Callable[[float], Coded], step: float, size: int, slope: float, *, tries: int) -> Coded:
    """Find the step whose encoding takes ``size`` bytes, or up to `CLOSE` less, or a little more."""
    fitting: tuple[float, Coded] | None = None
    over: tuple[float, Coded] | None = None
    for _ in range(tries):
        coded = encode(step)
        got = len(coded.body)
        if got > size:
            over = (step, coded)
        else:
            fitting = (step, coded)
        if (1 - CLOSE) * size <= got <= size:
            break
        aim = _next_step(step, got, size * (1 - CLOSE / 3), slope)
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
    if len(whole.body) <= size:
        return whole if ht else exact.encode(planes, ht=False, valid=valid)
    levels, best = 1 << 17, None
    for _ in range(5):
        coded = _reversible(planes, scale, levels, ht=ht)
        got = len(coded.body)
        if best is None or (got <= size and (len(best.body) > size or got > len(best.body))):
            best = coded
        if (1 - CLOSE) * size <= got <= size:
            break
        # Each doubling of the levels costs one bit a point.
        wanted = levels * 2 ** ((size * (1 - CLOSE / 2) - got) * 8 / planes.size)
        levels = int(min(max(wanted, 1023), MAX_LEVELS - 1))
        if levels == coded.scale.levels:  # type: ignore[union-attr]
            break
    return best if best is not None else coded


def _reversible(planes: npt.NDArray[Any], scale: Linear, levels: int, *, ht: bool) -> Coded:
    scale = replace(scale, levels=levels)
    bits = levels.bit_length()
    layout = exact.integers_layout(planes.shape, bits, ht=ht)
    if ht:
        stream = htj2k.encode(_integers(planes, scale, 0, f"u{layout.bits // 8}"), layout)
    else:
        stream = openjpeg.encode(lambda k, out: _fill(planes, scale, k, 0, out), layout)
    return finish(stream, layout, scale)


def _ebcot(
    planes: npt.NDArray[Any], scale: Linear, *, size: int | None = None, psnr: float | None = None
) -> Coded:
    n, y, x = planes.shape
    layout = Layout((n, y, x), scale.levels.bit_length(), decompositions(y, x))
    stream = openjpeg.encode(lambda k, out: _fill(planes, scale, k, 0, out), layout, size=size, psnr=psnr)
    return finish(stream, layout, scale)


def _ebcot_close(planes: npt.NDArray[Any], scale: Linear, size: int) -> Coded:
    """Look a little beyond ``size`` where much of it is left: few bytes have few truncation points."""
    coded = _ebcot(planes, scale, size=size)
    if len(coded.body) < (1 - CLOSE) * size and planes.size < LARGE:
        over = _ebcot(planes, scale, size=int((1 + CLOSE) * size))
        if len(over.body) - size < size - len(coded.body):
            return over
    return coded


def _ht(planes: npt.NDArray[Any], scale: Linear, step: float) -> Coded:
    scale = replace(scale, levels=htj2k.LEVELS)
    return _ht_levels(_integers(planes, scale, htj2k.HEADROOM, "u2"), scale, step)


def _ht_levels(integers: npt.NDArray[Any], scale: Linear, step: float) -> Coded:
    n, y, x = integers.shape
    layout = Layout((n, y, x), 16, decompositions(y, x, ht=True), ht=True, step=htj2k.round_step(step))
    return finish(htj2k.encode(integers, layout), layout, scale)


def _levels_for(rmse: float) -> int:
    """2**bits - 1 levels, the fewest whose distance is at most `LEVEL_PER_RMSE` of ``rmse``."""
    bits = math.ceil(math.log2(1 / (LEVEL_PER_RMSE * rmse) + 1))
    return int((1 << min(max(bits, FEWEST_BITS), MOST_BITS)) - 1)


def _next_step(step: float, got: int, wanted: float, slope: float) -> float:
    """Size falls as step**slope; the slope is negative."""
    return float(step * (wanted / max(got, 1)) ** (1 / slope))


def _divisible(scale: Linear, planes: int) -> bool:
    """Whether every plane's range can be cut into 2**25 levels within float64."""
    for k in range(planes if len(scale.values) > 1 else 1):
        low, high = scale.edges(k)
        span = high - low
        if not math.isfinite(span) or 0 < span < 2.0**-990:
            return False
    return True


def _integers(planes: npt.NDArray[Any], scale: Linear, offset: int, dtype: str) -> npt.NDArray[Any]:
    out = np.empty(planes.shape, dtype)
    for k in range(len(planes)):
        _fill(planes, scale, k, offset, out[k])
    return out


def _fill(planes: npt.NDArray[Any], scale: Linear, k: int, offset: int, out: npt.NDArray[Any]) -> None:
    plane = planes[k] if planes.dtype in (np.dtype("f4"), np.dtype("f8")) else planes[k].astype("f8")
    low, step = scale.line(k)
    to_levels(plane, low, 1 / step if step > 0 else 0.0, scale.levels, offset, out)


@dataclass
class Sample:
    """Windows of a chunk as one small stack, whose sizes and errors stand for the chunk's."""

    integers: npt.NDArray[np.uint16]
    scale: Linear
    share: float
    levels: int
    slope: float = -1.0

    @classmethod
    def of(cls, planes: npt.NDArray[Any], scale: Linear) -> Sample:
        """Take windows evenly over planes, rows and columns."""
        if not htj2k.takes(planes.shape):
            planes = planes.reshape(1, 1, -1) if len(scale.values) == 1 else planes.transpose(0, 2, 1)
        n, y, x = planes.shape
        wy, wx = min(y, WINDOW), min(x, WINDOW)
        per = (y // wy) * (x // wx)
        wanted = min(planes.size, max(planes.size // SAMPLED, SAMPLE_MIN)) / (wy * wx)
        count = min(max(math.ceil(wanted), 1), n * per)
        levels, scale = scale.levels, replace(scale, levels=htj2k.LEVELS)
        integers = np.empty((count, wy, wx), "u2")
        for i in range(count):
            k, cell = divmod(int((i + 0.5) * n * per / count), per)
            top, left = (cell // (x // wx)) * wy, (cell % (x // wx)) * wx
            window = planes[k : k + 1, top : top + wy, left : left + wx]
            own = replace(scale, values=scale.values[k : k + 1]) if len(scale.values) > 1 else scale
            _fill(window, own, 0, htj2k.HEADROOM, integers[i])
        return cls(integers, scale, integers.size / planes.size, levels)

    def step_for_size(self, size: int) -> float:
        """Step at which the whole chunk takes about ``size`` bytes; below `FINE` if no step does."""
        wanted = size * self.share
        step, last = 1 / 512, None
        for _ in range(8):
            got = len(_ht_levels(self.integers, self.scale, step).body)
            if last is not None and got != last[1] and step != last[0]:
                slope = math.log(got / last[1]) / math.log(step / last[0])
                self.slope = min(max(slope, -4.0), -0.15)
            if abs(math.log(got / wanted)) < 0.05:
                return step
            last = (step, got)
            step = min(max(_next_step(step, got, wanted, self.slope), step / 64, FINE / 4), step * 64, 0.5)
            if step == last[0]:
                break
        return step

    def rmse(self, step: float) -> float:
        """RMSE of the sample at ``step``, as a fraction of the range."""
        coded = _ht_levels(self.integers, self.scale, step)
        decoded = htj2k.decode(assemble(coded.layout, coded.body), coded.layout.shape)
        error = decoded.astype("f4") - self.integers
        return float(np.sqrt(np.mean(error * error, dtype="f8"))) / htj2k.LEVELS

    def shortfall(self, psnr: float) -> float:
        """By how many dB OpenJPEG misses ``psnr``, which it estimates from norms of wavelets; -3 to 3."""
        planes = self.integers.astype("f4")
        scale = Linear(MINMAX, self.levels, np.array([[htj2k.HEADROOM, htj2k.HEADROOM + htj2k.LEVELS]], "f8"))
        coded = _ebcot(planes, scale, psnr=psnr)
        record = scale.pack(np.dtype("f4"))
        error = decode(scale, record, coded.pack(record), coded.layout.shape, np.dtype("f4")) - planes
        rmse = math.sqrt(np.mean(error * error, dtype="f8")) / htj2k.LEVELS
        return min(max(psnr + 20 * math.log10(max(rmse, 1e-9)), -3.0), 3.0)

    def step_for_rmse(self, rmse: float) -> float:
        """Step at which the RMSE is about ``rmse`` of the range."""
        step = min(rmse * SQRT12, 0.25)
        for _ in range(6):
            got = self.rmse(step)
            if abs(math.log(max(got, 1e-9) / rmse)) < 0.02:
                break
            step = min(max(step * min(max(rmse / max(got, 1e-9), 1 / 8), 8.0), FINE), 0.5)
        return step
