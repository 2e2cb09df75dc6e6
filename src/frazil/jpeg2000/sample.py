"""A part of a chunk that stands for the whole, encoded by OpenJPH in a fraction of its time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.jpeg2000 import htj2k
from frazil.jpeg2000.codestream import dissect
from frazil.jpeg2000.decoding import decode
from frazil.jpeg2000.encodings import ebcot, fill, ht_layout
from frazil.scaling import MINMAX, Linear

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.masks import Valid

WINDOW, MOST_WINDOWS = 128, 64
GOLDEN = (math.sqrt(5) - 1) / 2  # even, and in step with no order of times, levels or bands
NEAR = 0.1  # of the size; what is left, the whole chunk tells
SAMPLED = 8
FINE = 2 / 65536  # the smallest step that 16-bit levels are good for


@dataclass
class Sample:
    """Windows of a chunk as one small stack, whose sizes and errors stand for the chunk's.

    ``counts`` marks the points whose errors count, where not all do: what was
    filled in is smoother than the data around it.
    """

    integers: npt.NDArray[np.uint16]
    scale: Linear
    share: float
    levels: int
    counts: npt.NDArray[np.bool_] | None = None
    slope: float = -1.0
    headers: int = 0

    @classmethod
    def of(
        cls, planes: npt.NDArray[Any], scale: Linear, valid: Valid | None = None, least: int = 1 << 16
    ) -> Sample:
        """Take windows evenly over planes, rows and columns: an eighth of the points, at least ``least``."""
        where = None if valid is None else valid()
        if planes.shape[2] == 1:  # which imagecodecs would take for samples of a pixel
            order = (0, 2, 1) if len(scale.values) > 1 else None
            planes = planes.transpose(order) if order else planes.reshape(1, 1, -1)
            if where is not None:
                where = where.transpose(order) if order else where.reshape(1, 1, -1)
        n, y, x = planes.shape
        wy, wx = min(y, WINDOW), min(x, WINDOW)
        # The last ones overlap: without the edges psnr missed by 1.5 dB.
        down, across = -(-y // wy), -(-x // wx)
        per = down * across
        wanted = min(planes.size, max(planes.size // SAMPLED, least)) / (wy * wx)
        count = min(max(math.ceil(wanted), 1), n * per, MOST_WINDOWS)
        levels, scale = scale.levels, replace(scale, levels=htj2k.LEVELS)
        integers = np.empty((count, wy, wx), "u2")
        counts = None if where is None else np.empty(integers.shape, np.bool_)
        for i in range(count):
            k, cell = divmod(i if count == n * per else int((i * GOLDEN + 0.5) % 1 * n * per), per)
            top = (y - wy) * (cell // across) // max(down - 1, 1)
            left = (x - wx) * (cell % across) // max(across - 1, 1)
            rows, columns = slice(top, top + wy), slice(left, left + wx)
            window = planes[k : k + 1, rows, columns]
            if where is not None and counts is not None:
                counts[i] = where[k, rows, columns]
            own = replace(scale, values=scale.values[k : k + 1]) if len(scale.values) > 1 else scale
            fill(window, own, 0, htj2k.HEADROOM, integers[i])
        if counts is not None and not counts.any():
            counts = None
        return cls(integers, scale, integers.size / planes.size, levels, counts)

    def step_for_size(self, size: int) -> float:
        """Step at which the whole chunk takes about ``size`` bytes; below `FINE` if no step does."""
        wanted = size * self.share
        step, last = 1 / 512, None
        for _ in range(8):
            got = self._size(step)
            if last is not None and got != last[1] and step != last[0]:
                slope = math.log(got / last[1]) / math.log(step / last[0])
                self.slope = min(max(slope, -4.0), -0.15)
            if abs(math.log(got / wanted)) < NEAR:
                return step
            last = (step, got)
            step = min(max(next_step(step, got, wanted, self.slope), step / 64, FINE / 4), step * 64, 0.5)
            if step == last[0]:
                break
        return step

    def _size(self, step: float) -> int:
        """Bytes of the sample's packets at ``step``; the headers take the same at every step."""
        layout = ht_layout(self.integers.shape, step)
        stream = htj2k.encode(self.integers, layout)
        if not self.headers:
            self.headers = len(stream) - len(dissect(stream, layout)[0])
        return len(stream) - self.headers

    def rmse(self, step: float) -> float:
        """RMSE of the sample at ``step``, as a fraction of the range."""
        layout = ht_layout(self.integers.shape, step)
        decoded = htj2k.decode(htj2k.encode(self.integers, layout), layout.shape)
        return self._rms(decoded.astype("f4") - self.integers)

    def shortfall(self, psnr: float) -> float:
        """By how many dB OpenJPEG misses ``psnr``, which it estimates from norms of wavelets; -3 to 3."""
        planes = self.integers.astype("f4")
        scale = Linear(MINMAX, self.levels, np.array([[htj2k.HEADROOM, htj2k.HEADROOM + htj2k.LEVELS]], "f8"))
        coded = ebcot(planes, scale, psnr=psnr)
        record = scale.pack(np.dtype("f4"))
        error = decode(scale, record, coded.pack(record), coded.layout.shape, np.dtype("f4")) - planes
        rmse = self._rms(error)
        return min(max(psnr + 20 * math.log10(max(rmse, 1e-9)), -3.0), 3.0)

    def _rms(self, error: npt.NDArray[Any]) -> float:
        """Root mean square where it counts, as a fraction of the range."""
        square = np.mean(error * error, dtype="f8", where=True if self.counts is None else self.counts)
        return math.sqrt(square) / htj2k.LEVELS

    def step_for_rmse(self, rmse: float) -> float:
        """Step at which the RMSE is about ``rmse`` of the range."""
        step, slope, last = min(3 * rmse, 0.25), 0.8, None
        for _ in range(4):
            got = max(self.rmse(step), 1e-9)
            if last is not None and got != last[1]:
                slope = min(max(math.log(got / last[1]) / math.log(step / last[0]), 0.25), 1.5)
            last = (step, got)
            step = min(max(step * (rmse / got) ** (1 / slope), FINE), 0.5)
            if step == last[0] or abs(math.log(got / rmse)) < 0.1:  # so near, the slope is good for the rest
                break
        return step


def next_step(step: float, got: int, wanted: float, slope: float) -> float:
    """Step for ``wanted`` bytes, where sizes fall as step**slope; the slope is negative."""
    return float(step * (wanted / max(got, 1)) ** (1 / slope))
