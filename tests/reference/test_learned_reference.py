"""A reader written from the format pages alone reads golden chunks of models, and chunks of shipped ones."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import learned_reference as reference
import numpy as np
import pytest
from coder_reference import States
from conftest import load_field
from intdec_reference import Decoder
from numcodecs.registry import get_codec

from frazil import Codeword, Latent, container
from frazil.models import find, list_models
from frazil.testing import bit_equal

GOLDEN = [
    folder
    for kind in ("latent", "codeword")
    for folder in sorted((Path(__file__).parents[1] / "golden").glob(f"v*-{kind}-*"))
]
TABLE = (resources.files("frazil.entropy") / "states-1.bin").read_bytes()
TABLES = {
    0: States.nothing(),
    1: States.read((resources.files("frazil.wavelet") / "states-1.bin").read_bytes()),
}


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda p: p.name)
def test_golden_files(folder):
    config = json.loads((folder / "config.json").read_text())
    data, codec = (folder / "encoded.bin").read_bytes(), get_codec(dict(config))
    if config["id"] == "frazil.latent":
        pytest.importorskip("latent_coder_reference")
    reader = reference.Reader(reference.model_of(config), TABLE, TABLES)
    for level in (0,) if reader.axis == reference.POINTS else (0, 1, 3):
        ours = np.load(folder / "decoded.npy") if level == 0 else codec.decode_chunk(data, level=level)
        theirs = reader.decode(data, level)
        assert (theirs.shape, theirs.dtype) == (ours.shape, ours.dtype)
        assert bit_equal(theirs, ours).all()


@pytest.mark.parametrize("name", list_models())
def test_shipped_models(name):
    model = find(name)
    if model.decoder.kind == "latent":
        pytest.importorskip("latent_coder_reference")
    decoder, codec = model.decoder, (Latent if model.decoder.kind == "latent" else Codeword)(model=name)
    chunk = like(decoder)
    sections, _ = codec.coded(codec.to_stack(chunk), guard=False)
    data = container.pack(container.ChunkSpec(chunk.shape, chunk.dtype), sections)
    reader = reference.Reader(Decoder(decoder.to_bytes()))
    assert bit_equal(reader.decode(data), codec.decode(data)).all()


def like(decoder) -> np.ndarray:
    """A chunk of a model's channels: a real scene for bands, else waves of the right mean and spread."""
    if decoder.channels == 12:
        return load_field("tile")[0, :, :40, :50].astype("f4")
    y, x = np.mgrid[:17, :22]
    waves = np.stack([np.sin(x / 5 + k / 7) * np.cos(y / 6) for k in range(decoder.channels)])
    offset, spread = (np.array(part)[:, None, None] for part in (decoder.offset, decoder.spread))
    chunk = (offset + spread * waves).astype("f4")
    return np.moveaxis(chunk[(None,) * (-3 - decoder.axis)], -3, decoder.axis)
