from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.errors import EngineError, FormatError
from frazil.jpeg2000 import htj2k, openjpeg
from frazil.jpeg2000.codestream import Layout, assemble, dissect


def layout(shape: tuple[int, int, int], step: float, bits: int = 16) -> Layout:
    return Layout(shape, bits, 3, reversible=step == 0, ht=True, step=htj2k.round_step(step) if step else 0.0)


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("n", [1, 3])
def test_reversible(n, bits):
    planes = np.random.default_rng(0).integers(0, 1 << min(bits, 25), (n, 30, 41)).astype(f"u{bits // 8}")
    stream = htj2k.encode(planes, layout(planes.shape, 0, bits))
    assert (htj2k.decode(stream, planes.shape) == planes).all()


@pytest.mark.parametrize("step", [0.5, 0.1, 0.01, 1e-3, 2.0**-16])
@pytest.mark.parametrize("kind", ["noise", "two values", "steps"])
def test_the_headroom_is_wide_enough(kind, step):
    """Lossy samples at both ends of the range must not wrap around."""
    rng = np.random.default_rng(1)
    unit = {
        "noise": rng.random((2, 90, 110)),
        "two values": rng.integers(0, 2, (2, 90, 110)).astype("f8"),
        "steps": np.sign(np.sin(np.arange(2 * 90 * 110).reshape(2, 90, 110) / 7)) / 2 + 0.5,
    }[kind]
    planes = (htj2k.HEADROOM + np.rint(unit * htj2k.LEVELS)).astype("u2")
    decoded = htj2k.decode(htj2k.encode(planes, layout(planes.shape, step)), planes.shape)
    clipped = np.clip(decoded.astype("i4"), htj2k.HEADROOM, htj2k.HEADROOM + htj2k.LEVELS)
    assert abs(clipped - planes).max() <= max(6 * step * 65536, 2) or step >= 0.1
    wrapped = abs(decoded.astype("i4") - planes) > 61440
    assert not wrapped.any()


@pytest.mark.parametrize("step", [0.0, 0.002])
def test_openjpeg_reads_them_too(step):
    planes = (np.cumsum(np.random.default_rng(0).integers(-9, 10, (3, 50, 70)), axis=2) + 9000).astype("u2")
    stream = htj2k.encode(planes, layout(planes.shape, step))
    ours, theirs = htj2k.decode(stream, planes.shape), []
    openjpeg.decode(stream, lambda _, plane: theirs.append(plane.copy()), planes.shape)
    assert abs(np.stack(theirs) - ours.astype("i4")).max() <= (1 if step else 0)


def test_damaged_packets_raise_or_decode_silently(capfd):
    """Not a word on stderr, and no exception that is not ours."""
    planes = np.random.default_rng(0).integers(20000, 40000, (2, 30, 41)).astype("u2")
    own = layout(planes.shape, 0.001)
    body, _ = dissect(htj2k.encode(planes, own), own)
    rng = np.random.default_rng(4)
    for _ in range(200):
        damaged = bytearray(body)
        for at in rng.integers(0, len(body), 3):
            damaged[at] = int(rng.integers(256))
        try:
            assert htj2k.decode(assemble(own, damaged), planes.shape).shape == planes.shape
        except FormatError:
            continue
    assert capfd.readouterr().err == ""


def test_sentences():
    with pytest.raises(FormatError, match="OpenJPH cannot decode this codestream"):
        htj2k.decode(bytes(100), (1, 4, 4))
    stream = htj2k.encode(np.ones((1, 8, 8), "u2"), layout((1, 8, 8), 0))
    with pytest.raises(FormatError, match=r"decoded planes of shape \(8, 8\), expected \(1, 8, 9\)"):
        htj2k.decode(stream, (1, 8, 9))
    with pytest.raises(EngineError, match=r"OpenJPH could not encode planes of shape \(1, 8, 8\)"):
        htj2k.encode(np.ones((1, 8, 8), "c8"), layout((1, 8, 8), 0))


@given(st.floats(1e-9, 10))
def test_a_step_is_stored_in_two_bytes(step):
    rounded = htj2k.round_step(step)
    assert htj2k.FINEST <= rounded <= htj2k.COARSEST
    assert np.float32(rounded).view("u4") & 0xFFFF == 0
    assert htj2k.round_step(rounded) == rounded
