"""The operations of integer decoders, a closed list, and the proof that floats compute them exactly.

Whole numbers below 2**24 are exact in single precision, those below 2**53 in
double (IEEE 754). A convolution of which no partial sum can get there, in
whatever order it is summed, is thus the same on every machine: see
docs/format/intdec.md. The idea of integer networks for decoders is Ballé et
al.'s (2019, https://openreview.net/forum?id=S1zz2i0cY7).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from frazil.errors import FormatError
from frazil.models.tensors import Fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Longs = npt.NDArray[np.int64]
    Tensors = Mapping[str, npt.NDArray[Any]]

SINGLE, DOUBLE = 1 << 24, 1 << 53
MOST_LAYERS = 256
MOST_CHANNELS = 1 << 13
MOST_SCALE = 64
MOST_SHIFT = 30
MOST_WEIGHTS = 1 << 28  # of all convolutions together: what reading a file may cost
RELU = 31  # a shift that leaves nothing of any number that can occur


@dataclass(frozen=True)
class Value:
    """What is known of a value of the graph before anything is computed.

    Parameters
    ----------
    low, high : ndarray of int64, shape (channels,)
        Smallest and largest whole numbers that each channel can hold.
    scale : int
        Points for each latent along y and along x.
    reach : Fraction
        How many latents to each side a point depends on.
    """

    low: Longs
    high: Longs
    scale: int = 1
    reach: Fraction = Fraction(0)

    @property
    def channels(self) -> int:
        """How many channels it has."""
        return len(self.low)

    @property
    def largest(self) -> Longs:
        """Largest magnitude of each channel."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


@dataclass(frozen=True)
class Conv:
    """Convolution, bias, rounding shift, clamp."""

    op: ClassVar[str] = "conv"
    sources: tuple[int]
    weight: str
    bias: str
    shift: str
    low: int
    high: int
    peak: int = -1
    wide: bool = False

    @classmethod
    def read(cls, fields: Fields, count: int) -> Conv:
        """Take the operation's members; ``peak`` and ``wide`` may be missing while a model is made."""
        names = fields.text("weight"), fields.text("bias"), fields.text("shift")
        low, high = (fields.whole(name, 1 - SINGLE, SINGLE - 1) for name in ("low", "high"))
        if low > high:
            raise FormatError(f"{fields.label} clamps to {low} ... {high}, which is empty")
        peak = fields.whole("peak", 0, DOUBLE) if fields.has("peak") else -1
        wide = fields.flag("wide") if fields.has("wide") else False
        return cls((fields.whole("from", 0, count - 1),), *names, low, high, peak, wide)

    def names(self) -> tuple[str, ...]:
        """Tensors that it needs."""
        return self.weight, self.bias, self.shift

    def write(self) -> dict[str, Any]:
        """Invert `read`."""
        members = {name: getattr(self, name) for name in ("weight", "bias", "shift", "low", "high", "peak")}
        return {"op": self.op, "from": self.sources[0], "wide": self.wide} | members

    def side(self, tensors: Tensors) -> int:
        """Side of the kernel, 1 or 3."""
        return int(tensors[self.weight].shape[-1])

    def trace(self, values: Sequence[Value], tensors: Tensors, label: str) -> tuple[Conv, Value]:
        """Prove how large sums and results can be."""
        x = values[self.sources[0]]
        weight, bias, shift = (tensors[name] for name in self.names())
        want(weight.dtype.str in {"|i1", "<i2"}, label, self.weight, "is int8 or int16")
        want(
            weight.ndim == 4
            and weight.shape[2:] in {(1, 1), (3, 3)}
            and weight.shape[1] == x.channels
            and 1 <= weight.shape[0] <= MOST_CHANNELS,
            label,
            self.weight,
            f"has shape (1 ... {MOST_CHANNELS}, {x.channels}, s, s), s = 1 or 3, not {weight.shape}",
        )
        outputs = weight.shape[:1]
        want(bias.dtype.str == "<i4" and bias.shape == outputs, label, self.bias, f"is int32, {outputs}")
        want(shift.dtype.str == "|i1" and shift.shape == outputs, label, self.shift, f"is int8, {outputs}")
        want(bool(((shift >= 0) & (shift <= MOST_SHIFT)).all()), label, self.shift, f"is 0 ... {MOST_SHIFT}")
        padded = weight.shape[2] == 3  # there zeros stand around
        x_low, x_high = (np.minimum(x.low, 0), np.maximum(x.high, 0)) if padded else (x.low, x.high)
        places = shift.astype(np.int64)
        half = (np.int64(1) << places) >> 1
        offset = bias.astype(np.int64)
        peaks, low, high = (np.empty(len(weight), np.int64) for _ in range(3))
        for at in range(0, len(weight), 64):  # large models: no copy of all weights in 64 bits
            rows = slice(at, at + 64)
            w = weight[rows].astype(np.int64)
            up, down = np.maximum(w, 0).sum((2, 3)), np.minimum(w, 0).sum((2, 3))
            peaks[rows] = (up - down) @ x.largest + np.abs(offset[rows]) + half[rows]
            low[rows] = up @ x_low + down @ x_high + offset[rows] + half[rows]
            high[rows] = up @ x_high + down @ x_low + offset[rows] + half[rows]
        peak = int(peaks.max())
        if peak >= DOUBLE:
            raise FormatError(
                f"{label}: sums can reach {peak}, beyond 2**53: not exact even in double precision; use "
                "smaller weights or clamp the input"
            )
        made = replace(self, peak=peak, wide=peak >= SINGLE)
        reach = x.reach + (Fraction(1, x.scale) if padded else 0)
        low, high = (np.clip(end >> places, self.low, self.high) for end in (low, high))
        return made, Value(low, high, x.scale, reach)


@dataclass(frozen=True)
class Leaky:
    """Negative numbers divided by a power of two, rounded (A. L. Maas et al., 2013)."""

    op: ClassVar[str] = "leaky"
    sources: tuple[int]
    shift: int

    @classmethod
    def read(cls, fields: Fields, count: int) -> Leaky:
        """Take the operation's members."""
        return cls((fields.whole("from", 0, count - 1),), fields.whole("shift", 1, RELU))

    def names(self) -> tuple[str, ...]:
        """Tensors that it needs."""
        return ()

    def write(self) -> dict[str, Any]:
        """Invert `read`."""
        return {"op": self.op, "from": self.sources[0], "shift": self.shift}

    def trace(self, values: Sequence[Value], tensors: Tensors, label: str) -> tuple[Leaky, Value]:
        """Prove how large results can be."""
        del tensors, label
        x = values[self.sources[0]]
        half = 1 << (self.shift - 1)
        low, high = (np.where(end < 0, (end + half) >> self.shift, end) for end in (x.low, x.high))
        return self, replace(x, low=low, high=high)


@dataclass(frozen=True)
class Add:
    """Sum of two values, clamped."""

    op: ClassVar[str] = "add"
    sources: tuple[int, int]
    low: int
    high: int

    @classmethod
    def read(cls, fields: Fields, count: int) -> Add:
        """Take the operation's members."""
        sources = fields.wholes("from", 0, count - 1, most=2)
        if len(sources) != 2:
            raise FormatError(f"{fields.label} adds two values, got {len(sources)}")
        low, high = (fields.whole(name, 1 - SINGLE, SINGLE - 1) for name in ("low", "high"))
        if low > high:
            raise FormatError(f"{fields.label} clamps to {low} ... {high}, which is empty")
        return cls((sources[0], sources[1]), low, high)

    def names(self) -> tuple[str, ...]:
        """Tensors that it needs."""
        return ()

    def write(self) -> dict[str, Any]:
        """Invert `read`."""
        return {"op": self.op, "from": list(self.sources), "low": self.low, "high": self.high}

    def trace(self, values: Sequence[Value], tensors: Tensors, label: str) -> tuple[Add, Value]:
        """Prove how large results can be."""
        del tensors
        a, b = (values[source] for source in self.sources)
        if (a.channels, a.scale) != (b.channels, b.scale):
            raise FormatError(
                f"{label} adds {a.channels} channels at scale {a.scale} and {b.channels} at scale {b.scale}"
            )
        most = int((a.largest + b.largest).max())
        if most >= SINGLE:
            raise FormatError(f"{label}: a sum can reach {most}, beyond 2**24; clamp what is added")
        low, high = np.clip(a.low + b.low, self.low, self.high), np.clip(a.high + b.high, self.low, self.high)
        return self, Value(low, high, a.scale, max(a.reach, b.reach))


@dataclass(frozen=True)
class Shuffle:
    """Channels become points (Shi et al. 2016, doi:10.1109/CVPR.2016.207)."""

    op: ClassVar[str] = "shuffle"
    sources: tuple[int]
    factor: int

    @classmethod
    def read(cls, fields: Fields, count: int) -> Shuffle:
        """Take the operation's members."""
        return cls((fields.whole("from", 0, count - 1),), fields.whole("factor", 2, MOST_SCALE))

    def names(self) -> tuple[str, ...]:
        """Tensors that it needs."""
        return ()

    def write(self) -> dict[str, Any]:
        """Invert `read`."""
        return {"op": self.op, "from": self.sources[0], "factor": self.factor}

    def trace(self, values: Sequence[Value], tensors: Tensors, label: str) -> tuple[Shuffle, Value]:
        """Say which channels become one."""
        del tensors
        x = values[self.sources[0]]
        area, scale = self.factor * self.factor, x.scale * self.factor
        if x.channels % area or scale > MOST_SCALE:
            raise FormatError(
                f"{label} makes {self.factor} x {self.factor} points of {x.channels} channels at scale "
                f"{x.scale}: channels are a multiple of {area}, a scale is at most {MOST_SCALE}"
            )
        low, high = x.low.reshape(-1, area).min(1), x.high.reshape(-1, area).max(1)
        return self, Value(low, high, scale, x.reach)


@dataclass(frozen=True)
class Lookup:
    """Rows of codebooks, one for each head, behind one another as channels."""

    op: ClassVar[str] = "lookup"
    sources: tuple[int]
    table: str

    @classmethod
    def read(cls, fields: Fields, count: int) -> Lookup:
        """Take the operation's members."""
        return cls((fields.whole("from", 0, min(count - 1, 0)),), fields.text("table"))

    def names(self) -> tuple[str, ...]:
        """Tensors that it needs."""
        return (self.table,)

    def write(self) -> dict[str, Any]:
        """Invert `read`."""
        return {"op": self.op, "from": self.sources[0], "table": self.table}

    def trace(self, values: Sequence[Value], tensors: Tensors, label: str) -> tuple[Lookup, Value]:
        """Say what the rows hold."""
        heads, size = values[0].channels, int(values[0].high[0]) + 1
        table = tensors[self.table]
        want(table.dtype.str in {"|i1", "<i2"}, label, self.table, "is int8 or int16")
        want(
            table.ndim == 3
            and table.shape[:2] == (heads, size)
            and table.shape[2] >= 1
            and heads * table.shape[2] <= MOST_CHANNELS,
            label,
            self.table,
            f"has shape ({heads}, {size}, d), not {table.shape}",
        )
        rows = table.astype(np.int64).transpose(0, 2, 1).reshape(-1, size)
        return self, Value(rows.min(1), rows.max(1))


Layer: TypeAlias = Conv | Leaky | Add | Shuffle | Lookup
OPERATIONS: dict[str, type[Layer]] = {kind.op: kind for kind in (Conv, Leaky, Add, Shuffle, Lookup)}


def read_layers(items: Sequence[Any]) -> tuple[Layer, ...]:
    """Read the list of operations; operation i makes value i + 1 of those before it.

    Raises
    ------
    FormatError
        If there is none or one that is not in the list, or one reads a value that is not there yet.
    """
    if not 1 <= len(items) <= MOST_LAYERS:
        raise FormatError(f"a decoder has 1 to {MOST_LAYERS} layers, this has {len(items)}")
    found: list[Layer] = []
    for number, item in enumerate(items):
        fields = Fields(item, f"layer {number}")
        kind = OPERATIONS[fields.text("op", list(OPERATIONS))]
        found.append(kind.read(fields, number + 1))
        fields.done()
    return tuple(found)


def trace(layers: Sequence[Layer], first: Value, tensors: Tensors) -> tuple[tuple[Layer, ...], list[Value]]:
    """Walk the graph with an interval for each channel.

    Parameters
    ----------
    layers : sequence of Layer
    first : Value
        The input; indices from 0 if the first layer looks them up.
    tensors : mapping of names to arrays

    Returns
    -------
    layers : tuple
        The same with each convolution's ``peak`` and ``wide`` as they are.
    values : list of Value
        One more than layers.

    Raises
    ------
    FormatError
        If something does not fit, or where no proof of exactness exists.
    """
    made, values, weights = [], [first], 0
    lookup = isinstance(layers[0], Lookup)
    for number, layer in enumerate(layers):
        label = f"layer {number} ({layer.op})"
        missing = [name for name in layer.names() if name not in tensors]
        if missing:
            raise FormatError(f"{label} needs tensor {missing[0][:80]!r}, which the model file does not hold")
        if isinstance(layer, Lookup) and number > 0:
            raise FormatError(f"{label}: a lookup is the first layer or none")
        if lookup and number > 0 and 0 in layer.sources:
            raise FormatError(f"{label} computes with indices; value 0 is for the lookup alone")
        weights += tensors[layer.weight].size if isinstance(layer, Conv) else 0
        if weights > MOST_WEIGHTS:
            raise FormatError(f"{label}: decoders have at most {MOST_WEIGHTS} weights, counted by use")
        checked, value = layer.trace(values, tensors, label)
        made.append(checked)
        values.append(value)
    return tuple(made), values


def want(good: bool, label: str, tensor: str, expected: str) -> None:
    """Raise `FormatError` unless a tensor is as expected."""
    if not good:
        raise FormatError(f"{label}: tensor {tensor[:80]!r} {expected}")
