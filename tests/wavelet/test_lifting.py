from __future__ import annotations

import numpy as np
import pytest

from frazil.wavelet import lifting


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (8, 1), (2, 2), (3, 5), (33, 49), (64, 130)])
def test_the_inverse_undoes_the_transform_but_for_the_low_bands_rounding(shape):
    rng = np.random.default_rng(0)
    plane = rng.integers(-(2**20), 2**20, shape, np.int32)
    work = plane.copy()
    lifting.forward(work, *shape, 5)
    lifting.inverse(work, *shape, 5, 0)
    assert abs(work - plane).max() <= 30


def test_the_low_band_keeps_the_scale_of_the_values():
    work = np.full((61, 40), 1000, np.int32)
    lifting.forward(work, 61, 40, 3)
    assert (abs(work[:8, :5] - 1000) <= 1).all()
    assert (abs(work[8:]) <= 1).all()


def test_the_transform_agrees_with_the_factorisation_in_floats():
    # Daubechies and Sweldens' factors, and symmetric extension, written out for one row
    a, b, c, d, k = (
        -1.586134342059924,
        -0.052980118572961,
        0.882911075530934,
        0.443506852043971,
        1.230174104914001,
    )
    x = np.random.default_rng(1).normal(0, 1e5, 20)
    s, t = x[::2].copy(), x[1::2].copy()
    t += a * (s + np.append(s[1:], s[-1]))
    s += b * (t + np.insert(t[:-1], 0, t[0]))
    t += c * (s + np.append(s[1:], s[-1]))
    s += d * (t + np.insert(t[:-1], 0, t[0]))
    work = np.rint(x).astype(np.int32)[None]
    lifting.forward(work, 1, 20, 1)
    assert np.allclose(work[0], np.concatenate([s / k, t]), atol=12)


def test_numbers_too_large_wrap_and_do_not_crash():
    work = np.where(np.indices((9, 70)).sum(0) % 2, 2**31 - 1, -(2**31)).astype(np.int32)
    lifting.inverse(work, 9, 70, 4, 0)
    lifting.forward(work, 9, 70, 4)
