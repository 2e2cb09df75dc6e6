"""Encoders: files, and float networks that do what torch's do."""

from __future__ import annotations

import json

import little_decoders as little
import numpy as np
import pytest

from frazil.errors import ConfigurationError, FormatError, UnsupportedArrayError
from frazil.models import Encoder, Model
from frazil.models.backends import is_present
from frazil.models.tensors import write_tensors

DIGEST = "sha256:" + "0" * 64


def test_bytes_come_back():
    made = little.encoder_of(little.residual())
    read = Encoder.from_bytes(made.to_bytes())
    assert read.to_bytes() == made.to_bytes()
    assert read.digest == made.digest
    assert (read.channels, read.factor, read.outputs) == (3, 4, 6)
    assert read.decoder == little.residual().digest
    assert read.table_scale == 1


def test_every_operation():
    made = little.encoder_of(little.words())
    x = np.random.default_rng(1).normal(280, 5, (2, 3, 8, 6)).astype("f4")
    found = made.run(x)
    assert found.dtype == np.float32
    assert found.shape == (2, 12, 4, 3)
    assert np.allclose(found.reshape(2, 3, 4, 4, 3).mean(2), 0, atol=1e-5)
    assert np.array_equal(made.run(x[1:])[0], found[1])


@pytest.mark.skipif(not is_present("torch"), reason="torch is not installed")
def test_as_torch_does():
    import torch
    from torch.nn import functional

    made = little.encoder_of(little.words())
    x = np.random.default_rng(1).normal(280, 5, (2, 3, 16, 20)).astype("f4")
    t = {name: torch.from_numpy(np.array(array, "f4")) for name, array in made.tensors.items()}
    u = functional.pixel_unshuffle((torch.from_numpy(x) - 280) / 5, 2)
    y = functional.leaky_relu(functional.conv2d(u, t["w1"], t["b1"], padding=1), 1 / 128)
    y = functional.conv2d(y, t["w2"], t["b2"], padding=1) + functional.conv2d(u, t["w3"], t["b3"])
    parts = y.reshape(2, 3, 4, *y.shape[2:]).movedim(2, -1)
    y = functional.layer_norm(parts, (4,)).movedim(-1, 2).reshape(y.shape)
    assert np.allclose(made.run(x), y.numpy(), atol=1e-4)


def test_large_images_a_few_lines_at_a_time(monkeypatch):
    from frazil.models import encoder

    made = little.encoder_of(little.residual())
    x = np.random.default_rng(1).normal(280, 5, (1, 3, 64, 40)).astype("f4")
    whole = made.run(x)
    monkeypatch.setattr(encoder, "ROOM", 1 << 15)
    assert np.allclose(made.run(x), whole, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 2, 8, 8), (1, 3, 9, 8), (1, 3, 8, 9)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(
        UnsupportedArrayError, match=r"the encoder takes \(n, 3, y, x\), y and x multiples of 4"
    ):
        little.encoder_of(little.residual()).run(np.zeros(shape))


def test_encoder_and_decoder_belong_together():
    encoder = little.encoder_of(little.residual())
    assert Model("residual", little.residual(), encoder).encoder is encoder
    with pytest.raises(ConfigurationError, match="the encoder of linear belongs to decoder sha256:"):
        Model("linear", little.linear(), encoder)
    other = Encoder.build(
        decoder=little.residual().digest,
        offset=[0.0],
        scale=[1.0],
        layers=[{"op": "leaky", "from": 0, "slope": 1}],
        tensors={},
    )
    with pytest.raises(ConfigurationError, match="differ in channels or factor"):
        Model("residual", little.residual(), other)


CONV = {"op": "conv", "from": 0, "weight": "w", "bias": "b"}
LAYERS = {
    "none": ([], "at least one layer"),
    "unknown": ([{"op": "gelu", "from": 0}], "'op' of layer 0 of the encoder"),
    "later": ([{"op": "norm", "from": 1, "heads": 1}], "'from' of layer 0"),
    "heads": ([{"op": "norm", "from": 0, "heads": 3}], "'heads' of layer 0"),
    "two": ([{"op": "add", "from": [0]}], "adds two values, got 1"),
    "sizes": (
        [{"op": "unshuffle", "from": 0, "factor": 2}, {"op": "add", "from": [0, 1]}],
        "adds 2 and 8 channels",
    ),
    "large": ([{"op": "unshuffle", "from": 0, "factor": 65}], "'factor' of layer 0"),
    "larger": ([{"op": "unshuffle", "from": i, "factor": 16} for i in range(2)], "is too many"),
    "no tensor": ([CONV | {"weight": "x"}], "needs tensors 'x' and 'b'"),
    "shape": (
        [{"op": "unshuffle", "from": 0, "factor": 2}, CONV | {"from": 1}],
        r"has shape \(out, 8, s, s\)",
    ),
    "slope": ([{"op": "leaky", "from": 0, "slope": 2}], "'slope' of layer 0"),
    "unused": ([{"op": "leaky", "from": 0, "slope": 1}], "no layer of the encoder uses tensor"),
    "more": ([CONV | {"shift": 3}], "has 'shift', which this frazil does not know"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_hostile_layers(name):
    layers, message = LAYERS[name]
    tensors = {"w": np.zeros((4, 2, 3, 3), "f4"), "b": np.zeros(4, "f4")}
    meta = {"decoder": DIGEST, "offset": [0, 0], "scale": [1, 1], "layers": layers}
    with pytest.raises(FormatError, match=message):
        Encoder.from_bytes(write_tensors("encoder/1", meta, tensors))
    with pytest.raises(ConfigurationError, match="these parts make no encoder"):
        Encoder.build(decoder=DIGEST, offset=[0, 0], scale=[1, 1], layers=layers, tensors=tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder": "md5:0"}, "names its decoder by 'sha256:...'"),
        ({"scale": [0.0]}, "a scale other than 0"),
        ({"offset": []}, "1 are expected|0 are expected|for each of its channels"),
        ({"scale": [1.0, 2.0]}, "2 numbers in 'scale', 1 are expected"),
        ({"table_scale": -1.0}, "'table_scale'"),
        ({"more": 1}, "which this frazil does not know"),
    ],
)
def test_hostile_settings(change, message):
    meta = {"decoder": DIGEST, "offset": [0.0], "scale": [1.0]}
    meta["layers"] = [{"op": "leaky", "from": 0, "slope": 1}]
    assert Encoder.from_bytes(write_tensors("encoder/1", meta, {})).channels == 1
    with pytest.raises(FormatError, match=message):
        Encoder.from_bytes(write_tensors("encoder/1", meta | change, {}))


def test_a_decoder_is_no_encoder():
    with pytest.raises(FormatError, match="holds no 'encoder/1'; it holds intdec/1"):
        Encoder.from_bytes(little.residual().to_bytes())
    data = little.encoder_of(little.residual()).to_bytes()
    for size in range(0, len(data), 97):
        with pytest.raises(FormatError):
            Encoder.from_bytes(data[:size])
    assert json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
