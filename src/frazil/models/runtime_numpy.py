"""Integer decoders in numpy: the path that needs nothing else, and that the proof of exactness speaks of.

A value is kept as rows of a padded image, one a channel: between two lines
stands one zero, which is the right margin of the one and the left margin of
the other. A 3 x 3 convolution then reads shifted parts of whole rows, and is
three matrix products of the three columns that stand beside each other.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.models.layers import RELU, Add, Conv, Leaky, Lookup, Shuffle

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.models.format import Decoder
    from frazil.models.layers import Layer

    Reals = npt.NDArray[Any]


@dataclass(frozen=True)
class Crop:
    """The part of a block, in latents, whose points are wanted."""

    rows: slice
    columns: slice

    def times(self, scale: int) -> tuple[slice, slice, slice]:
        """Return the slices of an array (channels, y, x) of ``scale`` points for each latent."""
        rows, columns = (slice(p.start * scale, p.stop * scale) for p in (self.rows, self.columns))
        return slice(None), rows, columns


@dataclass(frozen=True)
class Grid:
    """Where the points of an image of h x w stand in a row of numbers."""

    h: int
    w: int

    @property
    def pitch(self) -> int:
        """Numbers from line to line."""
        return self.w + 1

    @property
    def count(self) -> int:
        """Numbers of all lines."""
        return self.h * self.pitch

    def empty(self, channels: int, dtype: npt.DTypeLike, *, guarded: bool) -> Reals:
        """Make room for an image; ``guarded`` by zeros above and below."""
        if not guarded:
            return np.empty((channels, self.count), dtype)
        made = np.empty((channels, self.count + 2 * self.pitch + 2), dtype)
        made[:, : self.pitch + 1] = 0
        made[:, -self.pitch - 1 :] = 0
        return made

    def lines(self, room: Reals) -> Reals:
        """View all lines, (channels, count), of what `empty` made."""
        start = 0 if room.shape[1] == self.count else self.pitch + 1
        return room[:, start : start + self.count]

    def image(self, room: Reals) -> Reals:
        """View (channels, h, w + 1), the last column being the margin."""
        return self.lines(room).reshape(len(room), self.h, self.pitch)


class NumpyEngine:
    """Runs one decoder, a block of one image at a time.

    Parameters
    ----------
    decoder : Decoder
    double : bool
        Use double precision everywhere, not only where the certificate asks for it.
    """

    def __init__(self, decoder: Decoder, *, double: bool = False) -> None:
        self.layers, values = decoder.traced
        self.channels = [value.channels for value in values]
        self.scales = [value.scale for value in values]
        self.dtype = np.dtype("f8" if double else "f4")
        self.last_use = {source: n for n, layer in enumerate(self.layers) for source in layer.sources}
        self.guarded = _guarded(self.layers, decoder)
        self.weights: dict[int, tuple[Reals, Reals]] = {}
        self.never_clamps = set()
        for number, layer in enumerate(self.layers):
            if isinstance(layer, Conv):
                self.weights[number] = _weights(layer, decoder, self.dtype)
            if isinstance(layer, Conv | Add):
                value = values[number + 1]
                if (value.low > layer.low).all() and (value.high < layer.high).all():
                    self.never_clamps.add(number)

    def __call__(self, x: Reals, out: npt.NDArray[np.int32], crop: Crop) -> None:
        """Decode a block.

        Parameters
        ----------
        x : ndarray of float32, shape (channels, h, w)
            Latents, or looked up rows of codebooks.
        out : ndarray of int32, shape (C, rows * factor, columns * factor)
            Where the points of the part ``crop`` are written.
        crop : Crop
        """
        h, w = x.shape[1:]
        grids = [Grid(h * scale, w * scale) for scale in self.scales]
        rooms: dict[int, Reals] = {}
        first = 1 if isinstance(self.layers[0], Lookup) else 0
        rooms[first] = room = grids[first].empty(len(x), self.dtype, guarded=self.guarded[first])
        image = grids[first].image(room)
        image[:, :, :w] = x
        image[:, :, w] = 0
        with ONE_THREAD:
            for number in range(first, len(self.layers)):
                layer = self.layers[number]
                if number == len(self.layers) - 1 and isinstance(layer, Shuffle):
                    last = layer.sources[0]
                    part = grids[last].image(rooms[last])[crop.times(self.scales[last])]
                    _shuffle_out(part, layer.factor, out)
                    return
                rooms[number + 1] = self._step(number, layer, rooms, grids)
                for source in layer.sources:
                    if self.last_use[source] == number:
                        rooms.pop(source, None)
        final = grids[-1].image(rooms[len(self.layers)])
        out[...] = final[crop.times(self.scales[-1])]

    def _step(self, number: int, layer: Layer, rooms: dict[int, Reals], grids: list[Grid]) -> Reals:
        grid, result = grids[number + 1], number + 1
        reusable = [
            s
            for s in layer.sources
            if self.last_use[s] == number and layer.sources.count(s) == 1 and result in self.last_use
        ]
        reusable = reusable if isinstance(layer, Leaky | Add) else []
        if reusable:
            room = rooms[reusable[0]]
        else:
            room = grid.empty(self.channels[result], self.dtype, guarded=self.guarded[result])
        lines = grid.lines(room)
        if isinstance(layer, Conv):
            self._conv(number, layer, rooms[layer.sources[0]], grid, lines)
        elif isinstance(layer, Leaky):
            _leaky(grid.lines(rooms[layer.sources[0]]), layer.shift, lines)
        elif isinstance(layer, Add):
            a, b = (grid.lines(rooms[source]) for source in layer.sources)
            np.add(a, b, out=lines)
            if number not in self.never_clamps:
                np.clip(lines, layer.low, layer.high, out=lines)
        elif isinstance(layer, Shuffle):
            source = grids[layer.sources[0]]
            fine = grid.image(room)
            whole = source.image(rooms[layer.sources[0]])[:, :, : source.w]
            _shuffle_out(whole, layer.factor, fine[:, :, : grid.w])
        grid.image(room)[:, :, grid.w] = 0
        return room

    def _conv(self, number: int, layer: Conv, x: Reals, grid: Grid, out: Reals) -> None:
        weight, bias = self.weights[number]
        sums = out if out.dtype == weight.dtype else np.empty(out.shape, weight.dtype)
        if len(weight) == 1:
            np.matmul(weight[0], grid.lines(x).astype(weight.dtype, copy=False), out=sums)
        else:
            many = grid.count + 2 * grid.pitch
            beside = np.empty((3 * len(x), many), weight.dtype)
            for k in range(3):
                beside[k * len(x) : (k + 1) * len(x)] = x[:, k : k + many]
            np.matmul(weight[0], beside[:, : grid.count], out=sums)
            part = np.empty_like(sums)
            for line in (1, 2):
                start = line * grid.pitch
                np.matmul(weight[line], beside[:, start : start + grid.count], out=part)
                np.add(sums, part, out=sums)
        np.add(sums, bias, out=sums)
        np.floor(sums, out=sums)
        if number not in self.never_clamps:
            np.clip(sums, layer.low, layer.high, out=sums)
        if sums is not out:
            out[...] = sums


def _guarded(layers: tuple[Layer, ...], decoder: Decoder) -> list[bool]:
    """Say which values need zeros around them: those a 3 x 3 convolution reads, or that share their room."""
    found = [False] * (len(layers) + 1)
    for number in range(len(layers) - 1, -1, -1):
        layer = layers[number]
        for source in layer.sources:
            if isinstance(layer, Conv):
                found[source] |= layer.side(decoder.tensors) == 3
            elif isinstance(layer, Leaky | Add):
                found[source] |= found[number + 1]
    return found


def _weights(layer: Conv, decoder: Decoder, dtype: np.dtype[Any]) -> tuple[Reals, Reals]:
    """Weights (lines, out, columns * in) and bias (out, 1), times 2**-shift.

    The products and sums are the same whole numbers times 2**-shift; rounding
    is a floor after half a unit, which the bias holds.
    """
    real = np.dtype("f8") if layer.wide else dtype
    bias, unit = half_and_unit(layer, decoder)
    scaled = (decoder.tensors[layer.weight] * unit[:, None, None, None]).transpose(2, 0, 3, 1)
    flat = scaled.reshape(scaled.shape[0], scaled.shape[1], -1).astype(real)
    return np.ascontiguousarray(flat), (bias * unit)[:, None].astype(real)


def half_and_unit(layer: Conv, decoder: Decoder) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Bias with half of what is shifted out, and 2**-shift, one of each for an output."""
    bias, shift = (decoder.tensors[name].astype(np.int64) for name in (layer.bias, layer.shift))
    return bias + ((np.int64(1) << shift) >> 1), np.ldexp(1.0, -shift.astype(np.int32))


def _leaky(x: Reals, shift: int, out: Reals) -> None:
    if shift == RELU:
        np.maximum(x, 0, out=out)
        return
    part = x * x.dtype.type(2.0**-shift)
    part += x.dtype.type(0.5)
    np.floor(part, out=part)
    np.maximum(x, part, out=out)  # of a whole number, the quotient is nearer to 0


def _shuffle_out(image: Reals, factor: int, out: npt.NDArray[Any]) -> None:
    """Write channels (c * factor * factor, h, w) as points, (c, h * factor, w * factor)."""
    h, w = image.shape[1:]
    source = image.reshape(-1, factor, factor, h, w)
    target = out.reshape(len(out), h, factor, w, factor)  # splits axes: a view, however out is laid out
    for j in range(factor):  # numpy's inner loop then runs along a line
        target[:, :, :, :, j] = source[:, :, j].transpose(0, 2, 1, 3)


class _OneThread(AbstractContextManager[None]):
    """Matrix products in one thread, while any thread is inside.

    Zarr and dask decode chunks in many threads; a product that asks for all
    cores in each of them waits for the others. (On two busy cores a decoder took
    fifty times longer.)
    """

    def __init__(self) -> None:
        self.controller: Any = None
        self.limit: Any = None
        self.reset()

    def reset(self) -> None:
        """Forget who is inside: a forked process has none of the parent's threads."""
        self.lock, self.inside = Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                if self.controller is None:
                    from threadpoolctl import ThreadpoolController

                    self.controller = ThreadpoolController().select(user_api="blas")
                self.limit = self.controller.limit(limits=1)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.limit.restore_original_limits()


ONE_THREAD = _OneThread()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=ONE_THREAD.reset)
