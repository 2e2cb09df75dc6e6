"""The bytes printed in docs/format are what the readers read and what the writers write.

A page prints them as a fence ```` ```hex name=<kind>:<case> ````, optionally followed by a ```` ```json ````
fence that says what they decode to. `KINDS` says, for each kind, how to decode bytes into JSON values, and
how to encode them again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from frazil import JP2K, container

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


def decode_jp2k(data: bytes):
    spec, sections = container.unpack(data)
    return {
        "dtype": spec.dtype.str,
        "shape": list(spec.shape),
        "sections": {tag: payload.hex() for tag, payload in sections.items()},
        "values": JP2K().decode(data).tolist(),
    }


KINDS = {
    "jp2k": (decode_jp2k, lambda value: encode_container({"fortran": False, **value})),
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


def test_container_page_lists_the_dtypes_in_order():
    row = next(
        line for line in (FORMAT / "container.md").read_text().splitlines() if line.startswith("| type |")
    )
    names = [np.dtype(kind).name for kind in container.DTYPES]
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == names
