import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.errors import FormatError, TruncatedError
from frazil.jpeg2000 import boxes


@given(st.binary(max_size=50), st.integers(1, 16384), st.integers(1, 38), st.booleans())
def test_the_codestream_comes_back(stream, components, bits, ht):
    assert boxes.unwrap(boxes.wrap(stream, (components, 7, 9), bits, ht=ht)) == stream


def test_glymur_agrees_on_the_boxes():
    pytest.importorskip("glymur")
    from glymur.jp2box import ContiguousCodestreamBox, FileTypeBox, ImageHeaderBox, JPEG2000SignatureBox

    file = boxes.wrap(b"\xff\x4f", (3, 721, 1440), 12)
    readers = {"jP  ": JPEG2000SignatureBox, "ftyp": FileTypeBox}
    for kind, start, stop in boxes.walk(file):
        if kind in readers:
            stream = io.BytesIO(file)
            stream.seek(start)
            readers[kind].parse(stream, start - 8, stop - start + 8)
    at = file.index(b"ihdr") + 4
    stream = io.BytesIO(file)
    stream.seek(at)
    header = ImageHeaderBox.parse(stream, at - 8, 22)
    assert (header.height, header.width, header.num_components) == (721, 1440, 3)
    assert header.bits_per_component == 12
    assert ContiguousCodestreamBox is not None


def test_every_prefix_is_refused():
    file = boxes.wrap(b"stream", (1, 2, 3), 8)
    for stop in range(len(file)):
        with pytest.raises(FormatError):
            boxes.unwrap(file[:stop])


def test_long_boxes_and_boxes_to_the_end():
    head = boxes.wrap(b"", (1, 2, 3), 8)[:-8]
    assert boxes.unwrap(head + struct.pack(">I4sQ", 1, b"jp2c", 19) + b"abc") == b"abc"
    assert boxes.unwrap(head + struct.pack(">I4s", 0, b"jp2c") + b"abc") == b"abc"


@pytest.mark.parametrize("length", [2, 7, 1])
def test_impossible_lengths(length):
    head = boxes.wrap(b"", (1, 2, 3), 8)[:-8]
    with pytest.raises(FormatError):
        boxes.unwrap(head + struct.pack(">I4sQ", length, b"jp2c", 3))


def test_foreign_files():
    with pytest.raises(FormatError, match="not a JP2 file"):
        boxes.unwrap(boxes.box(b"ftyp", b"jp2 "))
    with pytest.raises(FormatError, match="no codestream"):
        boxes.unwrap(boxes.box(b"jP  ", boxes.SIGNATURE))
    with pytest.raises(TruncatedError):
        boxes.unwrap(b"abc")
