"""Low ratios: more bytes than 16-bit levels can use."""

import numpy as np
import pytest

from frazil import JP2K


@pytest.mark.parametrize("coder", ["ebcot", "ht"])
@pytest.mark.parametrize("ratio", [1.5, 2, 2.5, 3])
def test_steep_edges_do_not_overflow_the_transform(ratio, coder):
    # blocks at both ends of the range are the largest coefficients that there can be
    rng = np.random.default_rng(11)
    blocks = np.repeat(np.repeat(rng.integers(0, 2, (2, 20, 24)), 7, axis=1), 5, axis=2)
    planes = (blocks + 1e-3 * rng.normal(size=blocks.shape)).astype("f4")
    decoded = JP2K().decode(JP2K(ratio=ratio, coder=coder).encode(planes))
    assert abs(decoded - planes).max() < 1e-3


@pytest.mark.parametrize("coder", ["ebcot", "ht"])
def test_planes_of_a_few_rows_are_not_left_to_ht(coder):
    rng = np.random.default_rng(12)
    variables = np.cumsum(rng.normal(size=(6, 4000)), axis=1) * 10.0 ** np.arange(6)[:, None]
    small, other = (JP2K(ratio=16, coder=c).encode(variables) for c in (coder, "ebcot"))
    assert np.array_equal(JP2K().decode(small), JP2K().decode(other))
