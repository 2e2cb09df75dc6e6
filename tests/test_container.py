"""The container: lean, exact, and never fooled."""

from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil import container
from frazil.container import ChunkSpec, Head, overhead, pack, peek, read_varint, unpack, write_varint
from frazil.errors import ChecksumError, FormatError, TruncatedError, UnsupportedArrayError
from frazil.testing import reseal

SPEC = ChunkSpec((2, 3), np.dtype("<f4"))


def specs() -> st.SearchStrategy[ChunkSpec]:
    dtypes = st.sampled_from([np.dtype(order + kind) for kind in container.DTYPES for order in "<>"])
    shapes = (
        st.lists(st.integers(0, 5000), max_size=6).map(tuple).filter(lambda s: np.prod(s, dtype=float) < 1e7)
    )
    return st.builds(ChunkSpec, shapes, dtypes, st.booleans())


def sections(max_size: int = 300) -> st.SearchStrategy[dict[str, bytes]]:
    return st.dictionaries(st.sampled_from(string.ascii_letters), st.binary(max_size=max_size), max_size=5)


@given(spec=specs(), parts=sections())
def test_unpack_returns_what_pack_got(spec, parts):
    assert unpack(pack(spec, parts)) == (spec, parts)


@given(spec=specs(), parts=sections())
def test_overhead_is_an_upper_estimate_and_close(spec, parts):
    payloads = sum(map(len, parts.values()))
    actual = len(pack(spec, parts)) - payloads
    estimate = overhead(spec, payloads, len(parts))
    assert actual - 1 <= estimate or not parts
    assert estimate <= actual + 2 * len(parts) + 2


@pytest.mark.parametrize(
    "shape", [(), (721,), (721, 1440), (1, 721, 1440), (24, 721, 1440), (1, 1, 24, 721, 1440)]
)
@pytest.mark.parametrize("size", [10, 1000, 100_000, 2_000_000])
def test_at_most_24_bytes_around_one_section(shape, size):
    spec = ChunkSpec(shape, np.dtype("<f4"))
    assert len(pack(spec, {"J": bytes(size)})) - size <= 24


@given(value=st.integers(0, 2**63 - 1))
def test_varint_round_trips(value):
    data = write_varint(value)
    assert read_varint(data, 0) == (value, len(data))
    assert read_varint(b"?" + data + b"?", 1) == (value, len(data) + 1)


def test_varint_without_end():
    with pytest.raises(FormatError, match=r"length .* has no end"):
        read_varint(b"\xff" * 20, 0, "length")
    with pytest.raises(TruncatedError, match="inside the length"):
        read_varint(b"\xff" * 3, 0, "length")


@given(parts=sections(40), data=st.data())
def test_every_prefix_is_truncated(parts, data):
    whole = pack(SPEC, parts)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(TruncatedError):
        unpack(whole[:cut])


@given(parts=sections(40), data=st.data())
def test_every_flipped_bit_is_noticed(parts, data):
    damaged = bytearray(pack(SPEC, parts))
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(FormatError):
        unpack(bytes(damaged))


@given(data=st.binary(max_size=60), head=st.sampled_from([b"", b"FRZ", b"FRZ\x10", b"FRZ\x10\x1e\x00\x02"]))
def test_anything_else_is_refused(data, head):
    for candidate in (head + data, reseal(head + data)):
        try:
            spec, parts = unpack(candidate)
        except FormatError:
            continue
        assert pack(spec, parts)  # by luck a container


def test_peek_knows_the_sections_that_start_in_the_prefix():
    data = pack(SPEC, {"A": bytes(5), "B": bytes(200), "C": b"c"})
    assert peek(data) == Head(SPEC, len(data), {"A": (12, 17), "B": (20, 220), "C": (221, 222)})
    assert peek(data[:21]).spans == {"A": (12, 17), "B": (20, 220)}
    assert peek(data[:13]).spans == {"A": (12, 17)}
    assert peek(data[:10]).spans == {}


def test_a_foreign_file_is_named():
    with pytest.raises(FormatError, match=r"not a frazil container: starts with b'\\x89PN'"):
        unpack(b"\x89PNG\r\n")


def test_a_newer_version_says_upgrade():
    data = bytearray(pack(SPEC, {"J": b"abc"}))
    data[3] = 0x20
    with pytest.raises(FormatError, match=r"version 2\.0 is newer .* \(1\.0\); upgrade frazil"):
        unpack(reseal(bytes(data)))


def test_a_newer_minor_version_is_read():
    data = bytearray(pack(SPEC, {"J": b"abc"}))
    data[3] = 0x17
    assert unpack(reseal(bytes(data)))[1] == {"J": b"abc"}


def test_trailing_bytes():
    with pytest.raises(FormatError, match="17 bytes is followed by 2 more"):
        unpack(pack(SPEC, {"J": b"abc"}) + b"xx")


def test_damage_is_told_from_truncation():
    data = bytearray(pack(SPEC, {"J": b"abc"}))
    data[12] ^= 1
    with pytest.raises(ChecksumError, match="CRC-32C"):
        unpack(bytes(data))


@pytest.mark.parametrize("code", [7, 0x3F, 0xFF])
def test_unknown_dtype_code(code):
    data = bytearray(pack(SPEC, {"J": b"abc"}))
    data[5] = code
    with pytest.raises(FormatError, match=f"dtype code {code & 0x3F}"):
        unpack(reseal(bytes(data)))


def test_a_section_that_leaves_the_container():
    data = bytearray(pack(SPEC, {"A": b"abc", "J": b"def"}))
    assert data[9:11] == b"A\x03"
    data[10] = 90
    with pytest.raises(FormatError, match="section 'A'"):
        unpack(reseal(bytes(data)))


def test_the_same_section_twice():
    data = pack(SPEC, {"A": b"abc", "J": b"def"}).replace(b"A\x03", b"J\x03")
    with pytest.raises(FormatError, match="section 'J'"):
        unpack(reseal(data))


def test_gigabytes_from_nothing_are_not_believed():
    bomb = bytearray(pack(ChunkSpec((1, 1), np.dtype("<f4")), {"J": b"abc"}))
    bomb[7:9] = write_varint(1 << 30) + write_varint(1 << 30)
    with pytest.raises(FormatError, match="claims an array of 4611686018427387904 bytes"):
        unpack(reseal(bytes(bomb)))


def test_gigabytes_of_one_value_pay_for_themselves():
    spec = ChunkSpec((20, 7210, 14400), np.dtype("<f4"))
    data = pack(spec, {"J": b"abc"})
    found, parts = unpack(data)
    assert found == spec
    assert parts["J"] == b"abc"
    assert len(data) < 200_000  # of 8.3 GB


def test_dtypes_and_ranks_outside_the_format():
    with pytest.raises(UnsupportedArrayError, match="cannot store dtype int64; supported: f4"):
        pack(ChunkSpec((2,), np.dtype("i8")), {})
    with pytest.raises(UnsupportedArrayError, match="33 axes; at most 32"):
        pack(ChunkSpec((1,) * 33, np.dtype("f4")), {})
