"""What samples of lower resolutions are, in words."""

from __future__ import annotations

import pytest
from numcodecs import Zlib

from frazil.bounds import parse
from frazil.guarantee.reduced import meaning


@pytest.mark.parametrize("spec", [0.25, "rel:0.01", "pw_rel:0.1", "local_std:window=5,fraction=0.1"])
def test_the_bound_is_named(spec):
    assert meaning("interpolation", parse(spec), 1).endswith(f"within the bound {parse(spec).text}")


def test_bounds_beside_the_data():
    assert (
        meaning("interpolation", parse("array"), 3)
        == "points 0, 8, 16 ... of each chunk, within their bounds"
    )


@pytest.mark.parametrize("spec", [0, 0.25, "array"])
@pytest.mark.parametrize(("method", "codec"), [("wavelet", None), ("auto", None), ("auto", Zlib())])
def test_no_bound_is_promised_where_none_holds(spec, method, codec):
    """Not even of lossless arrays: whole numbers take the same methods."""
    assert "no bound holds" in meaning(method, parse(spec), 1, codec)


def test_the_base_codec_is_named():
    assert "base codec zlib " in meaning("auto", parse(1), 1, Zlib())
