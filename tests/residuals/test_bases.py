from __future__ import annotations

import numpy as np
import pytest
from numcodecs import Blosc, Delta, FixedScaleOffset, Quantize, Zlib
from numcodecs.abc import Codec

from frazil import JP2K
from frazil.errors import ConfigurationError, EngineError, FormatError
from frazil.residuals.base import codec, pack, rerun, run, unpack


def planes(dtype="f4"):
    y, x = np.mgrid[0:40, 0:56]
    return (280 + 9 * np.sin(y / 7)[None] * np.cos(x / np.array([5.0, 9.0])[:, None, None])).astype(dtype)


@pytest.mark.parametrize(
    "base",
    [
        JP2K(ratio=20),
        JP2K(psnr=40, coder="ht"),
        JP2K(reversible=True),
        Quantize(digits=1, dtype="f4"),
        Zlib(),
        Blosc(),
        Delta(dtype="f4"),
        FixedScaleOffset(offset=270, scale=10, dtype="f4", astype="u2"),
        {"id": "zlib", "level": 3},
        {"id": "frazil.jp2k", "ratio": 8},
    ],
    ids=str,
)
def test_what_run_decodes_is_what_rerun_decodes(base):
    x = planes()
    before = x.copy()
    encoded, decoded, doubt = run(base, x)
    assert isinstance(encoded, bytes)
    assert np.array_equal(x, before)
    assert (decoded.shape, decoded.dtype) == (x.shape, x.dtype)
    assert np.array_equal(rerun(base, encoded, x.shape, x.dtype), decoded)
    assert np.abs(decoded - x).max() < 3
    assert rerun(base, encoded, x.shape, x.dtype, 2).shape == (2, 10, 14)
    assert doubt >= 0


def test_only_floating_point_is_doubtful():
    x = planes()
    assert run(JP2K(reversible=True), x)[2] == 0
    assert run(Zlib(), x)[2] == 0
    assert run(JP2K(ratio=10), np.ones((1, 20, 20), "f4"))[2] == 0
    span = float(x.max() - x.min())
    for coder in ("ebcot", "ht"):
        assert span / (1 << 20) < run(JP2K(psnr=40, coder=coder), x)[2] < span / 30


class Strange(Codec):
    codec_id = "strange"

    def __init__(self, decoded):
        self.decoded = decoded

    def encode(self, buf):
        return np.arange(3)

    def decode(self, buf, out=None):
        if isinstance(self.decoded, Exception):
            raise self.decoded
        return self.decoded


@pytest.mark.parametrize(
    "decoded",
    [np.zeros(5, "f4"), np.zeros((2, 40, 56)), b"123", RuntimeError("no"), np.zeros((2, 40, 56), "i4"), None],
    ids=str,
)
def test_what_is_no_planes_is_told_in_a_sentence(decoded):
    with pytest.raises(EngineError, match="base codec strange"):
        run(Strange(decoded), planes())
    with pytest.raises(FormatError, match="base codec strange"):
        rerun(Strange(decoded), b"", (2, 40, 56), np.dtype("f4"))


def test_flat_arrays_and_bytes_are_planes():
    x = planes()
    for decoded in (x.reshape(-1), x.tobytes(), x.view("u1").reshape(-1), x.astype(">f4")):
        assert np.array_equal(run(Strange(decoded), x)[1], x)


def test_what_is_not_finite_becomes_zero():
    x = planes()
    x[0, 3, 4:7] = np.nan, np.inf, -np.inf
    decoded = run(Strange(x), planes())[1]
    assert decoded[0, 3, 4:7].tolist() == [0, 0, 0]
    assert np.isfinite(decoded).all()


def test_a_codec_that_raises():
    class Raising(Strange):
        def encode(self, buf):
            raise ZeroDivisionError("by chance")

    with pytest.raises(EngineError, match="could not encode float32 planes"):
        run(Raising(None), planes())


def test_what_is_no_codec():
    for base in ("zlib", {"level": 3}, {"id": "no such codec"}, 7):
        with pytest.raises(ConfigurationError, match="base"):
            codec(base)


def test_sections_come_back():
    sections = {"S": b"", "J": bytes(300)}
    assert unpack(pack(sections)) == sections
    for stop in (1, 2, 5, 100):
        with pytest.raises(FormatError):
            unpack(pack(sections)[:stop] if stop != 2 else b"J\x05abc")
