"""A reader of section M written from docs/format/masks.md alone reads what frazil writes."""

from __future__ import annotations

import masks_reference as reference
import numpy as np
import pytest

from frazil import masks
from frazil.sealing import seal
from frazil.testing import bit_equal


def holes(shape: tuple[int, int, int], kind: str, dtype: str) -> np.ndarray:
    """Round gaps that move from plane to plane, and single points."""
    rng = np.random.default_rng(len(kind))
    x = rng.standard_normal(shape).astype(dtype)
    i, j = np.mgrid[: shape[1], : shape[2]]
    for t, plane in enumerate(x):
        gap = (i - shape[1] / 3) ** 2 + (j - shape[2] / 2 - 3 * t) ** 2 < 150
        plane[gap | (rng.random(gap.shape) < (0.05 if kind == "rough" else 0.001))] = np.nan
    if kind == "shared":
        x[1:] = np.where(np.isnan(x[0]), np.nan, 1)
    if kind == "all":
        x[1] = -np.inf
    if kind == "patterns":
        x[np.isnan(x) & (rng.random(shape) < 0.3)] = np.inf
    if kind == "payloads":
        bits = x.view(f"u{x.itemsize}")
        bits[np.isnan(x)] += rng.integers(0, 200, np.isnan(x).sum()).astype(bits.dtype)
    return x


@pytest.mark.parametrize("kind", ["smooth", "rough", "shared", "all", "patterns", "payloads"])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((3, 41, 75), "f4"), ((2, 7, 130), "f8"), ((4, 30, 5), "f2")], ids=str
)
def test_masks(shape, dtype, kind):
    x = holes(shape, kind, dtype)
    filled, payload = masks.split(x, [])
    valid, put = reference.read(seal(payload), shape, x.dtype)
    assert (valid == np.isfinite(x)).all()
    for step in (1, 2):
        planes = filled[:, ::step, ::step].copy()
        put(planes, step)
        assert bit_equal(planes, x[:, ::step, ::step]).all()
