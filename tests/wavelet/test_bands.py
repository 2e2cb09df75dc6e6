from __future__ import annotations

import numpy as np
import pytest

from frazil.wavelet import lifting
from frazil.wavelet.bands import HEIGHT, LEFT, LEVEL, NORM_BITS, TOP, WIDTH, layout

SHAPES = [(1, 1), (8, 8), (9, 1), (1, 100), (33, 49), (721, 1440)]


@pytest.mark.parametrize("shape", SHAPES)
def test_bands_tile_the_plane(shape):
    covered = np.zeros(shape, int)
    tile = layout(*shape)
    for b in tile.bands:
        covered[b[TOP] : b[TOP] + b[HEIGHT], b[LEFT] : b[LEFT] + b[WIDTH]] += 1
    assert (covered == 1).all()
    assert tile.shapes[tile.levels] == tuple(tile.bands[0][[HEIGHT, WIDTH]])


def test_parents_are_one_level_coarser():
    tile = layout(50, 70)
    for b, parents in zip(tile.bands, tile.parents, strict=True):
        for parent in parents[parents >= 0]:
            assert tile.bands[parent][LEVEL] == b[LEVEL] + 1


@pytest.mark.parametrize("shape", [(1, 64), (64, 64)])
def test_norms_are_those_of_an_orthonormal_transform(shape):
    """A unit error in a coefficient, over its band's norm, is an error of about 1 in the points."""
    tile = layout(*shape)
    for b, norm in zip(tile.bands, tile.norms, strict=True):
        work = np.zeros(shape, np.int32)
        work[b[TOP] + b[HEIGHT] // 2, b[LEFT] + b[WIDTH] // 2] = 1 << 16
        lifting.inverse(work, *shape, tile.levels, 0)
        size = np.sqrt((work.astype(float) ** 2).sum()) / 2**16
        assert size * norm / 2**NORM_BITS == pytest.approx(1, abs=0.3)
