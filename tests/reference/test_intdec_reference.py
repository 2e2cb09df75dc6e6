"""A decoder written from docs/format/intdec.md alone computes the numbers that frazil's does."""

from __future__ import annotations

import intdec_reference as reference
import little_decoders as little
import numpy as np
import pytest

from frazil.models import find, from_inline, list_models, run, to_inline, values
from frazil.models.layers import Conv

MODELS = [*little.KINDS, *list_models()]


def decoder_of(name):
    return little.KINDS[name]() if name in little.KINDS else find(name).decoder


@pytest.mark.parametrize("name", MODELS)
def test_same_numbers(name):
    ours = decoder_of(name)
    theirs = reference.Decoder(ours.to_bytes())
    assert theirs.digest == ours.digest
    assert theirs.golden()
    x = little.inputs(ours, 2, 4, 3)
    found = run(ours, x, backend="numpy")
    for image, output in zip(x, found, strict=True):
        assert np.array_equal(theirs.run(image), output)
    for dtype in ("f4", "f8", "u1", "i2", ">i4", "i8", "u8"):
        assert np.array_equal(values(ours, found, dtype)[0], theirs.values(found[0], dtype))


@pytest.mark.parametrize("name", MODELS)
def test_same_certificates(name):
    ours = decoder_of(name)
    peaks = [(layer.peak, layer.wide) for layer in ours.layers if isinstance(layer, Conv)]
    assert reference.Decoder(ours.to_bytes()).certificates() == peaks


def test_same_latents():
    ours = little.residual()
    theirs = reference.Decoder(ours.to_bytes())
    numbers = np.random.default_rng(3).integers(-(2**31), 2**31, (1, 6, 4, 4)) >> 18
    assert np.array_equal(ours.latents(numbers, 7)[0], theirs.latents(numbers[0], 7))


def test_inline():
    ours = little.residual()
    text = to_inline(ours.to_bytes())
    assert reference.from_inline(text, ours.digest).golden()
    assert from_inline(text, ours.digest) == ours.to_bytes()
