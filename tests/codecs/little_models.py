"""Models fitted in a moment, for tests: of the contract's field, of bands, of hours, of points."""

from __future__ import annotations

from functools import cache

import numpy as np

from frazil.models.encoder import Encoder
from frazil.models.format import Decoder
from frazil.models.klt import fit_klt
from frazil.models.store import Model
from frazil.testing import field


@cache
def plain() -> Model:
    """One channel, blocks of 8 x 8, fine enough for the contract."""
    fields = np.stack(
        [field((48, 64), "f8"), field((48, 64), "f8")[::-1], np.linspace(0, 200, 48 * 64).reshape(48, 64)]
    )
    return fit_klt(fields[:, None], factor=8, error=0.004, name="plain", offset=[100], scale=[60], trust=0.02)


@cache
def bands(axis: int = -3) -> Model:
    """Three channels that have much in common."""
    return fit_klt(scenes(6), factor=4, error=0.02, name="bands", axis=axis)


def scenes(n: int, seed: int = 0) -> np.ndarray:
    """Waves in three bands, shape (n, 3, 40, 56)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :56]
    base = np.stack([np.sin(x / a + b) * np.cos(y / b + a) for a, b in rng.uniform(3, 9, (n, 2))])
    return np.stack([100 + 10 * base, 50 - 20 * base + base**2, 5 * base**3], 1)


@cache
def points(factor: int = 1) -> Model:
    """Four variables at points."""
    return fit_klt(observations(20), factor=factor, error=0.02, name="points", axis=-2)


def observations(n: int, seed: int = 0) -> np.ndarray:
    """Four variables with two causes, at 300 points, shape (n, 4, 300)."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(n, 2, 300)).cumsum(0) / 3
    mix = np.array([[1, 0], [2, 1], [0, 3], [1, -1]])
    return np.einsum("vc,ncp->nvp", mix, causes) + 0.01 * rng.normal(size=(n, 4, 300))


@cache
def words(heads: int = 1) -> Model:
    """One channel, blocks of 2 x 2: means of eight heights, or of two heads of four."""
    heights = (
        np.array([[0, 40, 80, 120, 160, 200, 240, 280]])
        if heads == 1
        else np.array([[0, 80, 160, 240], [-30, -10, 10, 30]])
    )
    table = heights[:, :, None].astype("i2")
    convolution = {
        "op": "conv",
        "from": 1,
        "weight": "w",
        "bias": "b",
        "shift": "s",
        "low": -999,
        "high": 999,
    }
    tensors = {
        "table": table,
        "w": np.ones((4, heads, 1, 1), "i1"),
        "b": np.zeros(4, "i4"),
        "s": np.zeros(4, "i1"),
    }
    layers = [
        {"op": "lookup", "from": 0, "table": "table"},
        convolution,
        {"op": "shuffle", "from": 2, "factor": 2},
    ]
    decoder = Decoder.build(
        name=f"words-{heads}",
        kind="codeword",
        factor=2,
        layers=layers,
        tensors=tensors,
        offset=[0.0],
        scale=[1.0],
        spread=[60.0],
        trust=2.0,
        size=heights.shape[1],
    )
    share = np.full((1, 4, 1, 1), 0.25)
    encoder = Encoder.build(
        decoder=decoder.digest,
        offset=[0.0],
        scale=[1.0],
        layers=[
            {"op": "unshuffle", "from": 0, "factor": 2},
            {"op": "conv", "from": 1, "weight": "w", "bias": "b"},
        ],
        tensors={
            "w": np.concatenate([share] + [0 * share] * (heads - 1)).astype("f4"),
            "b": np.zeros(heads, "f4"),
        },
        table_scale=1.0,
    )
    return Model(decoder.name, decoder, encoder)
