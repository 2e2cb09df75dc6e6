"""Decoder files: what was written comes back, and whatever else is read is refused with a sentence."""

from __future__ import annotations

import json

import little_decoders as little
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.errors import ConfigurationError, FormatError, TruncatedError
from frazil.models import Decoder, Steps
from frazil.models.tensors import INTEGERS, read_tensors, write_tensors


@pytest.mark.parametrize("name", little.KINDS)
def test_bytes_come_back(name):
    made = little.KINDS[name]()
    read = Decoder.from_bytes(made.to_bytes())
    assert read == made
    assert hash(read) == hash(made)
    assert read.digest == made.digest
    assert (read.layers, read.steps, read.card, read.halo) == (made.layers, made.steps, made.card, made.halo)
    assert write_tensors("intdec/1", meta_of(made), made.tensors) == made.to_bytes()


def test_safetensors_reads_and_writes_the_same():
    numpy = pytest.importorskip("safetensors.numpy")
    made = little.residual()
    theirs = numpy.load(made.to_bytes())
    assert sorted(theirs) == sorted(made.tensors)
    assert all(np.array_equal(theirs[name], made.tensors[name]) for name in theirs)
    metadata = header_of(made.to_bytes())["__metadata__"]
    assert numpy.save(theirs, metadata=metadata) == made.to_bytes()


def test_what_is_known_of_a_decoder():
    made = little.residual()
    assert (made.kind, made.inputs, made.channels, made.factor, made.axis) == ("latent", 6, 3, 4, -3)
    assert made.limit_array.tolist() == [300, 200, 90, 40, 20, 8]
    assert made.steps == Steps(1, 8, 4)
    assert made.halo == 5
    assert list(made.coder) == ["start"]
    low, high = made.output_range
    assert (low >= -30000).all()
    assert (high <= 30000).all()
    assert little.fine().halo == 2  # 1 + 1/2 + 1/6
    assert little.linear().halo == 0
    assert little.words().table.shape == (3, 17, 4)
    with pytest.raises(ConfigurationError, match="codeword model: it has no limits"):
        _ = little.words().limit_array
    with pytest.raises(ConfigurationError, match="latent model: it has no codebooks"):
        _ = made.table


def test_latents_are_clamped():
    made = little.residual()
    numbers = np.full((1, 6, 1, 2), -(2**31), np.int32)
    numbers[..., 1] = 2**31 - 1
    found = made.latents(numbers, 1 << 20)
    assert found[0, :, 0, 0].tolist() == [-300, -200, -90, -40, -20, -8]
    assert found[0, :, 0, 1].tolist() == [300, 200, 90, 40, 20, 8]


def test_every_output_is_within_its_range():
    from frazil.models import run

    for make in little.KINDS.values():
        made = make()
        low, high = (end[:, None, None] for end in made.output_range)
        found = run(made, little.inputs(made, 2, 6, 5), backend="numpy")
        assert ((found >= low) & (found <= high)).all()


# -- what cannot be made ------------------------------------------------------------------------------------


def made_with(**settings):
    made = little.Maker(2)
    made.conv(0, 3, 4, **settings)
    made.add(op="shuffle", source=1, factor=2)
    return made


def test_no_certificate_no_decoder():
    made = made_with(dtype="i2", most=32767)
    made.tensors["layer0.weight"] = np.full((64, 8192, 3, 3), 32767, "i2")
    made.tensors["layer0.bias"] = np.zeros(64, "i4")
    made.tensors["layer0.shift"] = np.zeros(64, "i1")
    with pytest.raises(ConfigurationError, match=r"sums can reach \d+, beyond 2\*\*53"):
        made.latent([(1 << 24) - 1] * 8192, 16, 2)


def test_a_sum_of_two_stays_exact():
    made = little.Maker()
    made.add(op="add", source=[0, 0], low=-5, high=5)
    with pytest.raises(ConfigurationError, match=r"a sum can reach 16777216, beyond 2\*\*24"):
        made.latent([1 << 23], 1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer0.weight": np.zeros((4, 3, 3, 3), "f4")}, "is int8 or int16|whole numbers"),
        ({"layer0.weight": np.zeros((4, 3, 3, 3), "i8")}, "whole numbers of at most 32 bits"),
        ({"layer0.weight": np.zeros((4, 2, 3, 3), "i1")}, r"has shape \(1 ... 8192, 3, s, s\)"),
        ({"layer0.weight": np.zeros((4, 3, 5, 5), "i1")}, "s = 1 or 3"),
        ({"layer0.bias": np.zeros(4, "i2")}, r"is int32, \(4,\)"),
        ({"layer0.shift": np.full(4, 31, "i1")}, "is 0 ... 30"),
        ({"layer0.shift": np.full(4, -1, "i1")}, "is 0 ... 30"),
        ({"more": np.zeros(4, "i1")}, "no layer uses tensor 'more'"),
    ],
)
def test_tensors_that_do_not_fit(change, message):
    made = made_with()
    made.tensors |= change
    with pytest.raises(ConfigurationError, match=message):
        made.latent([9, 9, 9], 1, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "Has Spaces"}, "a model's name is small letters"),
        ({"name": "../up"}, "a model's name is small letters"),
        ({"axis": -1}, "'axis' of intdec/1 is a whole number from -32 to -2"),
        ({"scale": [0.0]}, "scale and spread of a model hold a zero"),
        ({"offset": [float("nan")]}, "Out of range float|from -1e\\+300"),
        ({"trust": -1.0}, "'trust'"),
        ({"golden": [[[10]], [[0]], [[0]]]}, "beyond what the decoder takes"),
        ({"golden": [[10]]}, "has shape"),
        ({"card": {"oops": object()}}, "make no decoder"),
    ],
)
def test_settings_that_make_no_decoder(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        made_with().latent([9, 9, 9], 1, 2, **settings)


def test_kinds_and_their_layers():
    made = little.Maker()
    made.tensors["table"] = np.zeros((3, 10, 4), "i1")
    made.add(op="lookup", source=0, table="table")
    with pytest.raises(
        ConfigurationError, match=r"has shape \(3, 10, d\)|the first layer of a codeword model"
    ):
        made.latent([9, 9, 9], 12, 1)
    made = little.Maker()
    made.tensors["table"] = np.zeros((1, 4, 4), "i1")
    made.add(op="lookup", source=0, table="table")
    made.add(op="shuffle", source=0, factor=2)
    with pytest.raises(ConfigurationError, match="value 0 is for the lookup alone"):
        made.codeword(4, 1, 2)
    with pytest.raises(ConfigurationError, match="a latent model needs limits="):
        Decoder.build(
            name="a", kind="latent", factor=1, layers=[{"op": "leaky", "from": 0, "shift": 1}], tensors={},
            offset=[0], scale=[1], spread=[1],
        )  # fmt: skip


# -- what is not read ---------------------------------------------------------------------------------------


def header_of(data):
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def meta_of(decoder):
    return json.loads(header_of(decoder.to_bytes())["__metadata__"]["intdec/1"])


def changed(decoder, change):
    """The decoder's file with ``change(meta, tensors)`` done to it."""
    meta, tensors = meta_of(decoder), dict(decoder.tensors)
    change(meta, tensors)
    return write_tensors("intdec/1", meta, tensors)


def without(meta, name):
    del meta[name]


CHANGES = {
    "unknown op": (lambda m, t: m["layers"][0].update(op="gelu"), "'op' of layer 0 is 'conv' or 'leaky'"),
    "unknown member": (lambda m, t: m.update(dilation=2), "has 'dilation', which this frazil does not know"),
    "unknown of a layer": (lambda m, t: m["layers"][0].update(groups=2), "has 'groups', which this frazil"),
    "later value": (lambda m, t: m["layers"][0].update({"from": 1}), "'from' of layer 0 is a whole number"),
    "negative value": (lambda m, t: m["layers"][1].update({"from": -1}), "'from' of layer 1"),
    "true": (lambda m, t: m["layers"][1].update({"from": True}), "'from' of layer 1 is a whole number"),
    "peak": (lambda m, t: m["layers"][0].update(peak=3), "its sums reach"),
    "no peak": (lambda m, t: without(m["layers"][0], "peak"), "its sums reach"),
    "wide": (lambda m, t: m["layers"][0].update(wide=True), "its sums reach"),
    "other limits": (lambda m, t: t.update(limits=t["limits"] + 1), "its sums reach"),
    "wrong limits": (lambda m, t: t.update(limits=t["limits"][:2]), "is int32"),
    "large limits": (lambda m, t: t.update(limits=t["limits"] << 16), r"is 0 ... 2\*\*24 - 1"),
    "no limits": (lambda m, t: without(t, "limits"), "holds no tensor 'limits'"),
    "no weight": (lambda m, t: without(t, "layer0.weight"), "no tensor 'layer0.weight'"),
    "channels": (lambda m, t: m.update(channels=2), "in 'scale', 2 are expected"),
    "factor": (lambda m, t: m.update(factor=8), "at scale 4, the model file says 3 at 8"),
    "inputs": (lambda m, t: m.update(inputs=5), "is int32"),
    "kind": (lambda m, t: m.update(kind="latents"), "'latent' or 'codeword'"),
    "a missing member": (lambda m, t: without(m, "golden"), "has no 'golden'"),
    "clamp": (lambda m, t: m["layers"][0].update(low=5, high=4), "which is empty"),
    "clamp too far": (lambda m, t: m["layers"][0].update(high=1 << 24), "'high' of layer 0"),
    "many layers": (lambda m, t: m.update(layers=m["layers"] * 60), "no list of at most 256"),
    "no layers": (lambda m, t: m.update(layers=[]), "1 to 256 layers"),
    "layers of text": (lambda m, t: m.update(layers=["conv"]), "layer 0 is no JSON object"),
    "shuffle": (lambda m, t: m["layers"][-1].update(factor=5), "a multiple of 25"),
    "shuffle of 1": (lambda m, t: m["layers"][-1].update(factor=1), "'factor' of layer"),
    "steps": (lambda m, t: m["steps"].update(default=9), "'default' of 'steps'"),
    "golden text": (lambda m, t: m["golden"].update(sha256="zz"), "not 64 hexadecimal digits"),
    "infinite": (lambda m, t: m.update(offset=[1e301, 0, 0]), "'offset' of intdec/1 is a number"),
    "a number as text": (lambda m, t: m.update(trust="1"), "'trust' of intdec/1 is a number"),
    "floats": (lambda m, t: t.update({"coder.start": np.zeros(3, "f4")}), "'dtype' of tensor 'coder.start'"),
    "card": (lambda m, t: m.update(card=[1]), "'card' of intdec/1 is no JSON object"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_hostile_descriptions(name):
    change, message = CHANGES[name]
    with pytest.raises(FormatError, match=message):
        Decoder.from_bytes(changed(little.residual(), change))


def raw(header, payload=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + payload


META = {"__metadata__": {"intdec/1": "{}"}}
ONE = {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}

FILES = {
    "a header of many": ((1 << 40).to_bytes(8, "little") + b"{}", "its header would have"),
    "no JSON": (raw(b"{nope"), "no JSON"),
    "deep JSON": (raw(b"[" * 100_000), "no JSON"),
    "a list": (raw([]), "no JSON object"),
    "no metadata": (raw({}), "holds no 'intdec/1'; it holds nothing"),
    "newer": (raw({"__metadata__": {"intdec/2": "{}"}}), "'intdec/2', this frazil reads 'intdec/1'; upgrade"),
    "another": (raw({"__metadata__": {"encoder/1": "{}"}}), "it holds encoder/1"),
    "metadata of numbers": (raw({"__metadata__": {"intdec/1": 1}}), "is no text"),
    "metadata no JSON": (raw({"__metadata__": {"intdec/1": "{"}}), "intdec/1 is no JSON"),
    "NaN": (raw({"__metadata__": {"intdec/1": '{"trust": NaN}'}}), "NaN is no number"),
    "twice": (raw(b'{"a": 1, "a": 2}'), "a name stands twice"),
    "a hole": (raw({**META, "a": {**ONE, "data_offsets": [4, 8]}}, bytes(8)), "do not follow each other"),
    "overlap": (raw({**META, "a": ONE, "b": ONE}, bytes(4)), "do not follow each other"),
    "rest": (raw({**META, "a": ONE}, bytes(5)), "1 bytes stand behind"),
    "short": (raw({**META, "a": ONE}, bytes(3)), "ends at byte"),
    "size": (raw({**META, "a": {**ONE, "shape": [5]}}, bytes(4)), "does not fit into its bytes"),
    "huge": (raw({**META, "a": {**ONE, "shape": [1 << 28] * 4}}, bytes(4)), "does not fit into its bytes"),
    "negative": (raw({**META, "a": {**ONE, "shape": [-1]}}, bytes(4)), "'shape' of tensor 'a'"),
    "dtype": (raw({**META, "a": {**ONE, "dtype": "BF16"}}, bytes(4)), "'dtype' of tensor 'a'"),
    "offsets": (raw({**META, "a": {**ONE, "data_offsets": [0]}}, bytes(4)), "does not fit"),
    "no entry": (raw({**META, "a": 5}), "tensor 'a' is no JSON object"),
    "empty": (raw(META), "has no 'name'"),
    "many": (raw({**META, **{f"{i}": {**ONE, "shape": [0], "data_offsets": [0, 0]} for i in range(3000)}}),
             "holds 3000 tensors"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_hostile_files(name):
    data, message = FILES[name]
    with pytest.raises(FormatError, match=message):
        Decoder.from_bytes(data)


def test_every_prefix_is_truncated():
    data = little.linear().to_bytes()
    for size in range(len(data)):
        with pytest.raises(TruncatedError):
            Decoder.from_bytes(data[:size])


SMALL = little.words().to_bytes()


@given(at=st.integers(0, len(SMALL) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_another_model(at, bit):
    data = bytearray(SMALL)
    data[at] ^= 1 << bit
    try:
        read = Decoder.from_bytes(bytes(data))
    except FormatError:
        return
    assert read.digest != little.words().digest


def test_reading_costs_no_more_than_the_file_holds():
    meta, tensors = meta_of(little.linear()), dict(little.linear().tensors)
    tensors["layer0.weight"] = np.zeros((2048, 2048, 3, 3), "i1")
    tensors["layer0.bias"], tensors["layer0.shift"] = np.zeros(2048, "i4"), np.zeros(2048, "i1")
    meta["layers"] = [meta["layers"][0] | {"from": i, "peak": 0} for i in range(9)]
    meta["inputs"] = 2048
    tensors["limits"] = np.ones(2048, "i4")
    with pytest.raises(FormatError, match="decoders have at most 268435456 weights"):
        Decoder.from_bytes(write_tensors("intdec/1", meta, tensors))


def test_what_is_read_is_a_view():
    data = little.linear().to_bytes()
    _, tensors = read_tensors(data, "intdec/1", INTEGERS)
    assert not tensors["layer0.weight"].flags.writeable
    with pytest.raises(TypeError, match="is int64, model files hold I8"):
        write_tensors("intdec/1", {}, {"a": np.zeros(3, "i8")})
