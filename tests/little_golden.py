"""Models of the golden chunks: small, of every layer, and with and without states of their coders.

Golden files hold the decoder in their configuration; these functions are called only to write new ones.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from little_decoders import Maker

from frazil.entropy import indices
from frazil.models import Encoder, Model, fit_klt
from frazil.models.format import Decoder

UNTRUSTED = 1e9  # weights that mean nothing make errors that no model should


def bands(n: int, seed: int = 0, shape: tuple[int, int] = (24, 32)) -> np.ndarray:
    """Two bands that have much in common, shape (n, 2, y, x)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = [np.sin(x / a + b) * np.cos(y / b + a) for a, b in rng.uniform(3, 9, (n, 2))]
    base = np.stack(waves) + 0.02 * rng.standard_normal((n, *shape))
    return np.stack([280 + 10 * base, 50 - 20 * base + 3 * base**2], 1)


def stations(n: int, seed: int = 0) -> np.ndarray:
    """Three variables with two causes at 90 points, shape (n, 3, 90)."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(n, 2, 90)).cumsum(0) / 3
    return np.einsum("vc,ncp->nvp", np.array([[1, 0], [2, 1], [0, 3]]), causes)


@cache
def klt(axis: int = -3) -> Model:
    """Two bands, blocks of 4 x 4, with the coder's states."""
    return fit_klt(bands(6), factor=4, error=0.05, name="klt", axis=axis, trust=0.5)


@cache
def points(factor: int) -> Model:
    """Three variables at points."""
    return fit_klt(stations(20), factor=factor, error=0.05, name="points", axis=-2)


@cache
def network() -> Model:
    """A decoder of every layer, wide ones among them, without states; its weights mean nothing."""
    made = Maker(11)
    skip = made.conv(0, 4, 16, 1, dtype="i2", shift=4, most=900, clamp=32767)
    here = made.conv(0, 4, 6, 3, shift=4)
    inner = made.conv(here, 6, 6, 3, dtype="i2", shift=15, most=9000)
    inner = made.add(op="leaky", source=inner, shift=7)
    here = made.add(op="add", source=[here, inner], low=-512, high=511)
    last = made.conv(here, 6, 16, 1, shift=3, most=120, clamp=32767)
    total = made.add(op="add", source=[skip, last], low=-30000, high=30000)
    fine = made.add(op="shuffle", source=total, factor=2)
    fine = made.conv(fine, 4, 4, 3, shift=6)
    made.add(op="shuffle", source=fine, factor=2)
    decoder = made.latent([300, 90, 20, 8], 1, 4, "network", trust=UNTRUSTED, spread=[10.0])
    rng = np.random.default_rng(12)
    layers = [
        {"op": "unshuffle", "from": 0, "factor": 4},
        {"op": "conv", "from": 1, "weight": "weight", "bias": "bias"},
    ]
    tensors = {"weight": 9 * rng.normal(size=(4, 16, 1, 1)).astype("f4"), "bias": np.zeros(4, "f4")}
    return Model("network", decoder, _encoder(decoder, [280.0], [10.0], layers, tensors))


@cache
def words(heads: int, *, learned: bool = False) -> Model:
    """Blocks of 2 x 2 of one channel: the mean's level; of two heads, the second holds small steps."""
    levels = [np.arange(0, 256, 32)] if heads == 1 else [np.arange(16, 256, 32), np.arange(-14, 15, 4)]
    size, table = 8, np.stack(levels)[:, :, None].astype("i2")
    tensors: dict[str, Any] = {
        "table": table,
        "weight": np.ones((4, heads, 1, 1), "i1"),
        "bias": np.zeros(4, "i4"),
        "shift": np.zeros(4, "i1"),
    }
    names = {name: name for name in ("weight", "bias", "shift")}
    layers = [
        {"op": "lookup", "from": 0, "table": "table"},
        {"op": "conv", "from": 1, **names, "low": -999, "high": 999},
        {"op": "shuffle", "from": 2, "factor": 2},
    ]
    share = np.full((1, 4, 1, 1), 0.25, "f4")
    inward = {"weight": np.concatenate([share, 0 * share][:heads]), "bias": np.zeros(heads, "f4")}
    steps = [
        {"op": "unshuffle", "from": 0, "factor": 2},
        {"op": "conv", "from": 1, "weight": "weight", "bias": "bias"},
    ]

    def build(states: dict[str, np.ndarray]) -> Model:
        decoder = Decoder.build(
            name=f"words-{heads}",
            kind="codeword",
            factor=2,
            layers=layers,
            tensors=tensors | states,
            offset=[0.0],
            scale=[1.0],
            spread=[60.0],
            trust=2.0,
            size=size,
        )
        return Model(decoder.name, decoder, _encoder(decoder, [0.0], [1.0], steps, inward))

    if not learned:
        return build({})
    rng = np.random.default_rng(13)
    y, x = np.mgrid[:16, :20]
    lengths = rng.uniform(2, 9, (6 * heads, 2))
    maps = [3.5 + 3.4 * np.sin(x / a) * np.cos(y / b) for a, b in lengths]
    stack = np.stack(maps).reshape(6, heads, 16, 20).astype(np.int32)
    states = indices.learn(stack, size)
    return build(states.to_tensors())


def _encoder(decoder: Decoder, offset: list[float], scale: list[float], layers: Any, tensors: Any) -> Encoder:
    return Encoder.build(decoder=decoder.digest, offset=offset, scale=scale, layers=layers, tensors=tensors)
