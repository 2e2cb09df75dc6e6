"""Small decoders of every kind, and one of a realistic size, with weights that mean nothing."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from frazil.models.encoder import Encoder
from frazil.models.format import Decoder, Steps


class Maker:
    """Layers and tensors while they are put together."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.layers: list[dict[str, Any]] = []
        self.tensors: dict[str, np.ndarray] = {}

    def add(self, **layer: Any) -> int:
        """Add a layer and return the number of its value."""
        layer["from"] = layer.pop("source")
        self.layers.append(layer)
        return len(self.layers)

    def conv(self, source, inputs, outputs, side=3, *, dtype="i1", shift=7, most=40, clamp=511) -> int:
        name = f"layer{len(self.layers)}."
        shifts = shift + self.rng.integers(0, 2, outputs) if shift else np.zeros(outputs)
        self.tensors |= {
            name + "weight": self.rng.integers(-most, most + 1, (outputs, inputs, side, side)).astype(dtype),
            name + "bias": self.rng.integers(-1000, 1001, outputs).astype("i4"),
            name + "shift": shifts.astype("i1"),
        }
        names = {part: name + part for part in ("weight", "bias", "shift")}
        return self.add(op="conv", source=source, low=-clamp - 1, high=clamp, **names)

    def latent(self, limits, channels, factor, name="little", **settings: Any) -> Decoder:
        return Decoder.build(
            name=name,
            kind="latent",
            factor=factor,
            layers=self.layers,
            tensors=self.tensors,
            limits=limits,
            steps=Steps(1, 8, 4),
            **self._common(channels, **settings),
        )

    def codeword(self, size, channels, factor, name="little-words", **settings: Any) -> Decoder:
        return Decoder.build(
            name=name,
            kind="codeword",
            factor=factor,
            layers=self.layers,
            tensors=self.tensors,
            size=size,
            **self._common(channels, **settings),
        )

    def _common(self, channels: int, **settings: Any) -> dict[str, Any]:
        values = {
            "offset": (280 + np.arange(channels)).tolist(),
            "scale": (0.01 * (1 + np.arange(channels))).tolist(),
            "spread": [5.0] * channels,
            "card": {"licence": "CC0-1.0"},
        }
        return values | settings


def linear(factor: int = 4) -> Decoder:
    """One matrix, as a block transform has it."""
    made = Maker(1)
    area = 2 * factor * factor
    made.conv(0, 6, area, 1, dtype="i2", shift=6, most=2000, clamp=32767)
    made.add(op="shuffle", source=1, factor=factor)
    return made.latent([200, 100, 60, 30, 20, 0], 2, factor, "linear")


def residual(name: str = "residual") -> Decoder:
    """Residual blocks, two rectifiers, a linear skip."""
    made = Maker(2)
    skip = made.conv(0, 6, 48, 1, dtype="i2", shift=6, most=900, clamp=32767)
    here = made.conv(0, 6, 8, 3, shift=5)
    for shift in (7, 31):
        inner = made.conv(here, 8, 8, 3)
        inner = made.add(op="leaky", source=inner, shift=shift)
        inner = made.conv(inner, 8, 8, 3, shift=8)
        here = made.add(op="add", source=[here, inner], low=-512, high=511)
    last = made.conv(here, 8, 48, 1, shift=3, most=120, clamp=32767)
    total = made.add(op="add", source=[skip, last], low=-30000, high=30000)
    made.add(op="shuffle", source=total, factor=4)
    made.tensors["coder.start"] = np.arange(12, dtype="u2").reshape(3, 4)
    return made.latent([300, 200, 90, 40, 20, 8], 3, 4, name)


def wide() -> Decoder:
    """Sums beyond 2**24, in 1 x 1 and in 3 x 3 convolutions, between others; shifts of 0 and of 30."""
    made = Maker(3)
    here = made.conv(0, 5, 7, 3, dtype="i2", shift=6, most=30000, clamp=(1 << 23) - 1)
    here = made.conv(here, 7, 6, 1, dtype="i2", shift=20, most=32000, clamp=(1 << 22) - 1)
    here = made.conv(here, 6, 4, 1, shift=0, most=1, clamp=(1 << 23))
    here = made.conv(here, 4, 8, 3, dtype="i2", shift=29, most=32000, clamp=2000)
    made.add(op="shuffle", source=here, factor=2)
    return made.latent([16_000_000, 90_000, 5000, 1, 0], 2, 2, "wide")


def halves() -> Decoder:
    """Odd sums between 2**23 and 2**24 and no shift, where adding a half would round."""
    made = Maker(4)
    made.tensors = {
        "w": np.array([1, 1], "i1").reshape(1, 2, 1, 1),
        "b": np.array([1], "i4"),
        "s": np.array([0], "i1"),
    }
    made.add(op="conv", source=0, weight="w", bias="b", shift="s", low=1 - (1 << 24), high=(1 << 24) - 1)
    made.add(op="leaky", source=1, shift=24)
    return made.latent([1 << 23, (1 << 23) - 10], 1, 1, "halves")


def fine() -> Decoder:
    """Convolutions between and behind two shuffles; values that are used late, or never."""
    made = Maker(5)
    first = made.conv(0, 4, 16, 3)
    made.add(op="leaky", source=first, shift=2)
    shuffled = made.add(op="shuffle", source=first, factor=2)
    here = made.conv(shuffled, 4, 18, 3)
    here = made.add(op="shuffle", source=here, factor=3)
    here = made.conv(here, 2, 2, 3, shift=5)
    made.add(op="add", source=[here, here], low=-900, high=900)
    return made.latent([90, 90, 50, 50], 2, 6, "fine")


def words(heads: int = 3) -> Decoder:
    """Codebooks, and what makes points of their rows."""
    made = Maker(6)
    made.tensors["table"] = made.rng.integers(-500, 501, (heads, 17, 4)).astype("i2")
    here = made.add(op="lookup", source=0, table="table")
    here = made.conv(here, heads * 4, 12, 3)
    made.add(op="shuffle", source=here, factor=2)
    return made.codeword(17, 3, 2)


def bare() -> Decoder:
    """A lookup and nothing else: the output is the table."""
    made = Maker(7)
    made.tensors["table"] = made.rng.integers(-500, 501, (2, 9, 1)).astype("i2")
    made.add(op="lookup", source=0, table="table")
    return made.codeword(9, 2, 1, "bare")


KINDS = {made.__name__: made for made in (linear, residual, wide, halves, fine, words, bare)}


@cache
def realistic(blocks: int = 3, width: int = 64) -> Decoder:
    """A decoder from 96 latents to 12 x 8 x 8 points, some half a million weights."""
    made = Maker(8)
    skip = made.conv(0, 96, 768, 1, dtype="i2", shift=6, most=300, clamp=32767)
    here = made.conv(0, 96, width, 3, shift=8, most=20)
    for _ in range(blocks):
        inner = made.conv(here, width, width, 3, shift=8)
        inner = made.add(op="leaky", source=inner, shift=7)
        inner = made.conv(inner, width, width, 3, shift=9)
        here = made.add(op="add", source=[here, inner], low=-512, high=511)
    last = made.conv(here, width, 768, 1, shift=4, most=100, clamp=32767)
    total = made.add(op="add", source=[skip, last], low=-32768, high=32767)
    made.add(op="shuffle", source=total, factor=8)
    return made.latent(np.linspace(500, 20, 96).astype(int), 12, 8, "realistic")


def inputs(decoder: Decoder, n: int = 1, h: int = 5, w: int = 7, seed: int = 0) -> np.ndarray:
    """Inputs of a decoder, all over the range, extremes among them."""
    first = decoder.traced[1][0]
    rng = np.random.default_rng(seed)
    low, high = first.low[:, None, None], first.high[:, None, None]
    x = rng.integers(low, high + 1, (n, decoder.inputs, h, w))
    x[:, :, 0] = np.where(rng.random(x[:, :, 0].shape) < 0.5, low[:, 0], high[:, 0])
    return x.astype(np.int32)


def encoder_of(decoder: Decoder) -> Encoder:
    """An encoder of every operation that fits a decoder's shape."""
    rng = np.random.default_rng(9)
    c, f = decoder.channels, decoder.factor
    area = c * f * f
    deep = decoder.table.shape[2] if decoder.kind == "codeword" else 1
    out = decoder.inputs * deep
    layers = [
        {"op": "unshuffle", "from": 0, "factor": f},
        {"op": "conv", "from": 1, "weight": "w1", "bias": "b1"},
        {"op": "leaky", "from": 2, "slope": 0.0078125},
        {"op": "conv", "from": 3, "weight": "w2", "bias": "b2"},
        {"op": "conv", "from": 1, "weight": "w3", "bias": "b3"},
        {"op": "add", "from": [4, 5]},
        {"op": "norm", "from": 6, "heads": decoder.inputs if deep > 1 else 1},
    ]
    tensors = {
        "w1": rng.normal(size=(8, area, 3, 3)).astype("f2"),
        "b1": rng.normal(size=8).astype("f4"),
        "w2": rng.normal(size=(out, 8, 3, 3)).astype("f4"),
        "b2": np.zeros(out, "f4"),
        "w3": rng.normal(size=(out, area, 1, 1)).astype("f4"),
        "b3": np.zeros(out, "f4"),
    }
    return Encoder.build(
        decoder=decoder.digest, offset=[280.0] * c, scale=[5.0] * c, layers=layers, tensors=tensors
    )
