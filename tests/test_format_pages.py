"""The bytes printed in docs/format are what the readers read and what the writers write.

A page prints them as a fence ```` ```hex name=<kind>:<case> ````, optionally followed by a ```` ```json ````
fence that says what they decode to. `KINDS` says, for each kind, how to decode bytes into JSON values, and
how to encode them again.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from frazil import JP2K, Bounded, Codeword, Latent, container, models
from frazil.entropy import coder, indices, latents, tables
from frazil.models.tensors import INTEGERS, NAMES, write_tensors

FORMAT = Path(__file__).parents[1] / "docs" / "format"
FENCE = re.compile(
    r"^```hex name=\"?([\w:.-]+)\"?\n(.*?)^```$(?:\s*^```json\n(.*?)^```$)?", re.MULTILINE | re.DOTALL
)


def decode_container(data: bytes):
    spec, sections = container.unpack(data)
    return {
        "dtype": spec.dtype.str,
        "shape": list(spec.shape),
        "fortran": spec.fortran,
        "sections": {tag: payload.hex() for tag, payload in sections.items()},
    }


def encode_container(value) -> bytes:
    spec = container.ChunkSpec(tuple(value["shape"]), np.dtype(value["dtype"]), value["fortran"])
    return container.pack(spec, {tag: bytes.fromhex(payload) for tag, payload in value["sections"].items()})


def decode_varint(data: bytes):
    value, end = container.read_varint(data, 0)
    assert end == len(data)
    return value


def decode_values(codec, data: bytes):
    spec, sections = container.unpack(data)
    return {
        "dtype": spec.dtype.str,
        "shape": list(spec.shape),
        "sections": {tag: payload.hex() for tag, payload in sections.items()},
        "values": codec.decode(data).tolist(),
    }


def encode_values(value) -> bytes:
    return encode_container({"fortran": False, **value})


WEIGHTS = np.array([8, 2, 10, 5, 10, 3, 4, 0])


def code_plane(values: np.ndarray | None, models: int, data: bytes = b""):
    """Code a plane of 6 x 20 numbers without hints, or decode it, as the page of the coder says."""
    kernel = {
        (1, False): coder.encode_fast,
        (1, True): coder.decode_fast,
        (3, False): coder.encode_best,
        (3, True): coder.decode_best,
    }[models, values is None]
    machine, words = coder.writer(120) if values is not None else coder.reader(data)
    q = np.pad(np.zeros((6, 20)) if values is None else values, coder.PAD).astype(np.int32)
    zero, one = np.zeros_like(q), np.ones((1, 1), np.uint8)
    hints = zero, zero, zero, zero + 4, zero
    kernel(q, one, False, 6, 20, 0, *hints, False, WEIGHTS, *coder.fresh(models), machine, words)
    return q[2:-2, 2:-2].tolist() if values is None else coder.finish(machine, words)


def decode_numbers(data: bytes):
    state = coder.fresh()[0], *coder.reader(data)
    return [coder.code_number(0, coder.SIDE, True, *state) for _ in range(8)]


def encode_numbers(values) -> bytes:
    machine, words = coder.writer(8)
    slots = coder.fresh()[0]
    for value in values:
        coder.code_number(value, coder.SIDE, False, slots, machine, words)
    return coder.finish(machine, words)


def decode_intdec(data: bytes):
    decoder = models.Decoder.from_bytes(data)
    output = models.run(decoder, decoder.golden_input[None], backend="numpy")
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return {
        "metadata": json.loads(header["__metadata__"]["intdec/1"]),
        "tensors": {name: [NAMES[array.dtype], array.tolist()] for name, array in decoder.tensors.items()},
        "output": output[0].tolist(),
        "values": models.values(decoder, output, "f4")[0].tolist(),
    }


def encode_intdec(value) -> bytes:
    tensors = {name: np.array(numbers, INTEGERS[kind]) for name, (kind, numbers) in value["tensors"].items()}
    return write_tensors("intdec/1", value["metadata"], tensors)


def printed_model(page: str) -> models.Model:
    """The model that a page prints."""
    fences = {m[1]: m[2] for m in FENCE.finditer((FORMAT / page).read_text())}
    decoder = models.Decoder.from_bytes(bytes.fromhex(fences["intdec:sample"]))
    return models.Model(decoder.name, decoder)


def decode_numbers_of_model(codec, page: str, data: bytes):
    """Decode with the model of a page: the values, and the latents or indices."""
    made = codec(model=printed_model(page))
    return decode_values(made, data) | {"numbers": made.decode_latents(data).tolist()}


def made_states():
    """Return the tensors that the page of indices makes by rule."""
    head, slot, code = np.arange(3)[:, None], np.arange(256), np.arange(10)
    return indices.IndexStates.from_tensors(
        {
            "coder.slots": ((37 * slot + 11 * head + (slot >> 5)) % 256).astype("u1"),
            "coder.weights": np.tile(400 + 50 * np.arange(13), (12, 1)).astype("i2"),
            "coder.cells": np.tile(tables.SQUASH[np.minimum(128 * np.arange(33), 4095)], (108, 1)),
            "coder.features": ((29 * code[:, None] + 31 * np.arange(4) + 7 * head[:, :, None]) % 128).astype(
                "u1"
            ),
            "coder.frequencies": (1 + (7 * code + head) % 13).astype("u2"),
        },
        3,
        10,
    )


def index_maps(shape, size, mode, *, trained=False):
    states = made_states() if trained else None
    return (
        lambda data: indices.decode(data, shape, size, states).tolist(),
        lambda value: indices.encode(np.array(value), size, states, mode),
    )


def made_latent_states():
    """Return the states that the page of the coder of latents makes by rule."""
    c, z = np.arange(3), np.arange(2)[:, None]
    i = np.arange(22592 + 128 * 3)
    own = np.array([500, 300, -100, 50, 20, 10])
    return latents.LatentStates.from_tensors(
        {
            "coder.shifts": (10 + c + z).astype("u1"),
            "coder.offsets": (40 * c - 60 + 10 * z).astype("<i4"),
            "coder.own": (own * (1 + z[:, :, None]) + c[:, None]).astype("<i2"),
            "coder.tap_counts": np.array([[0, 2, 3], [1, 2, 3]], "<u2"),
            "coder.taps": np.array([0, 5, 9, 16, 2, 27, 36, 4, 45, 10, 8], "<u2"),
            "coder.tap_weights": np.array([700, -200, 300, 90, -80, 600, 500, 150, 800, -300, 60], "<i2"),
            "coder.floors": np.tile([3000, 400], (2, 3, 1)).astype("<i4"),
            "coder.near": np.tile([4000, 3000, 1200, 600, 500], (2, 3, 1)).astype("<u2"),
            "coder.kin_counts": np.array([[0, 1, 2], [1, 1, 2]], "<u2"),
            "coder.kins": np.array([0, 3, 1, 9, 12, 17, 5], "<u2"),
            "coder.kin_weights": np.array([1600, 2000, 300, 900, 1000, 200, 350], "<u2"),
            "coder.odds": (100 + 37 * i % 57).astype("u1"),
            "coder.counts": (i % 31).astype("u1"),
            "coder.mix": (1000 + 7 * np.arange(768) % 997).astype("<i2"),
        }
    )


def latent_numbers(states):
    return (
        lambda data: latents.decode(data, (2, 3, 4, 5), states, 2).tolist(),
        lambda value: latents.encode(np.array(value), states, 2),
    )


KINDS = {
    "indices-packed": index_maps((2, 1, 3, 4), 12, "packed"),
    "indices-mixing": index_maps((2, 1, 3, 4), 12, "mixing"),
    "indices-heads-mixing": index_maps((3, 4, 5), 10, "mixing"),
    "indices-heads-trained": index_maps((3, 4, 5), 10, "mixing", trained=True),
    "indices-heads-table": index_maps((3, 4, 5), 10, "table", trained=True),
    "latents": latent_numbers(latents.LatentStates.fresh(3)),
    "latents-trained": latent_numbers(made_latent_states()),
    "intdec": (decode_intdec, encode_intdec),
    "latent": (partial(decode_numbers_of_model, Latent, "intdec.md"), encode_values),
    "codeword": (partial(decode_numbers_of_model, Codeword, "codeword.md"), encode_values),
    "plane-3": (lambda data: code_plane(None, 3, data), lambda value: code_plane(value, 3)),
    "plane-1": (lambda data: code_plane(None, 1, data), lambda value: code_plane(value, 1)),
    "whole-numbers": (decode_numbers, encode_numbers),
    "jp2k": (partial(decode_values, JP2K()), encode_values),
    "bounded": (partial(decode_values, Bounded(bound=1, base=JP2K())), encode_values),
    "container": (decode_container, encode_container),
    "varint": (decode_varint, container.write_varint),
}

SAMPLES = [
    pytest.param(m[1].partition(":")[0], m[2], m[3], id=f"{page.stem}-{m[1]}")
    for page in sorted(FORMAT.glob("*.md"))
    for m in FENCE.finditer(page.read_text())
]


@pytest.mark.parametrize(("kind", "printed", "expected"), SAMPLES)
def test_printed_bytes(kind, printed, expected):
    assert kind in KINDS, f"say in KINDS how to decode {kind!r}"
    decode, encode = KINDS[kind]
    data = bytes.fromhex(printed)
    value = decode(data)
    if expected:
        assert value == json.loads(expected)
    assert encode(value) == data


@pytest.mark.parametrize("page", sorted(FORMAT.glob("*.md")), ids=lambda p: p.name)
def test_every_format_page_prints_bytes(page):
    assert FENCE.search(page.read_text()), f"{page.name} prints no sample bytes"


def test_configuration_of_latents():
    printed = re.search(
        r"^```json latent\n(.*?)^```$", (FORMAT / "latent.md").read_text(), re.MULTILINE | re.DOTALL
    )
    document = json.loads(printed[1])
    codec = Latent(**document["configuration"])
    sample = printed_model("intdec.md")
    assert codec == Latent(model=sample, step=2)
    assert document["configuration"]["model"]["name"] == sample.name
    inline = document["configuration"]["model"]["inline"]
    assert models.from_inline(inline, sample.digest) == sample.decoder.to_bytes()


def test_container_page_lists_the_dtypes_in_order():
    row = next(
        line for line in (FORMAT / "container.md").read_text().splitlines() if line.startswith("| type |")
    )
    names = [np.dtype(kind).name for kind in container.DTYPES]
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == names
