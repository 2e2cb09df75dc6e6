"""Checks of single sections, for readers of a prefix."""

from __future__ import annotations

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.errors import ChecksumError, FormatError
from frazil.sealing import seal, sixteen, take, unseal


@given(st.binary(max_size=60))
def test_there_and_back(payload):
    assert unseal(seal(payload)) == payload
    assert len(seal(payload)) == len(payload) + 2


@given(st.binary(min_size=1, max_size=60), st.data())
def test_every_flipped_bit_is_noticed(payload, data):
    """A CRC finds every error of one bit, in 16 bits of it too."""
    damaged = bytearray(seal(payload))
    bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    if bit // 8 >= len(payload) or sixteen(bytes(damaged[:-2])) != sixteen(payload):
        with pytest.raises(ChecksumError, match="damaged, or only a part"):
            unseal(bytes(damaged))


@pytest.mark.parametrize("section", [b"", b"\0", b"\1"])
def test_what_is_too_short_for_a_check(section):
    with pytest.raises(ChecksumError, match="section of 0 bytes"):
        unseal(section)


def test_the_check_is_the_low_half_of_the_crc_little_endian():
    assert seal(b"frazil")[-2:] == (google_crc32c.value(b"frazil") & 0xFFFF).to_bytes(2, "little")
    assert sixteen(b"frazil") == google_crc32c.value(b"frazil") % 65536


def test_a_section_that_is_not_there():
    assert take({"B": b"x"}, "B", "frazil.bounded") == b"x"
    with pytest.raises(FormatError, match=r"frazil.bounded needs section 'B', the chunk holds S, J"):
        take({"S": b"", "J": b""}, "B", "frazil.bounded")
    with pytest.raises(FormatError, match="holds nothing"):
        take({}, "B", "frazil.bounded")
