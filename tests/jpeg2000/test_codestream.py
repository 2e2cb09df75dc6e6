from __future__ import annotations

import ctypes
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.errors import EngineError, FormatError
from frazil.jpeg2000 import htj2k, openjpeg
from frazil.jpeg2000.codestream import (
    Layout,
    assemble,
    coarser,
    decompositions,
    dissect,
    indexed,
    main_header,
    read_layout,
)
from frazil.jpeg2000.encodings import integers_layout, whole_numbers
from frazil.scaling import Exact

SHAPES = [(1, 64, 64), (1, 1, 9), (1, 9, 2), (3, 33, 20), (7, 5, 300), (2, 2, 2), (1, 130, 67)]


def engine(layout: Layout, seed: int = 0) -> bytes:
    """Encode noise of all the bits with the engine that the layout names."""
    rng = np.random.default_rng(seed)
    top = (1 << min(layout.bits, 24)) - 1
    planes = rng.integers(0, top, layout.shape, "u4", endpoint=True)
    if layout.ht:
        return htj2k.encode(planes.astype(f"u{layout.bits // 8}"), layout)

    def fill(k: int, out: np.ndarray) -> None:
        out[...] = planes[k]

    return openjpeg.encode(fill, layout)


def layouts() -> list[Layout]:
    found = []
    for n, y, x in SHAPES:
        d = decompositions(y, x)
        found += [Layout((n, y, x), bits, d, reversible=True) for bits in (3, 7, 12, 16, 25)]
        found += [Layout((n, y, x), bits, d) for bits in (6, 11, 16, 20)]
        if not htj2k.takes((n, y, x)):
            continue
        found += [Layout((n, y, x), bits, d, reversible=True, ht=True) for bits in (8, 16, 32)]
        found += [
            Layout((n, y, x), 16, d, ht=True, step=htj2k.round_step(step))
            for step in (0.5, 0.1, 0.013, 1e-3, 1e-5)
        ]
    return found


@pytest.mark.parametrize("layout", layouts(), ids=str)
def test_headers_are_the_engine_s(layout):
    """`dissect` compares them byte for byte; what is put together again decodes."""
    stream = engine(layout)
    body, lengths = dissect(stream, layout)
    assert sum(lengths) == len(body)
    assert len(lengths) == layout.decompositions + 1
    rebuilt = assemble(layout, body)
    assert dissect(stream, read_layout(stream, layout.shape)) == (body, lengths)
    got = decoded(rebuilt, layout.shape, ht=layout.ht)
    assert (got == decoded(stream, layout.shape, ht=layout.ht)).all()


def decoded(stream: bytes, shape: tuple[int, int, int], *, ht: bool) -> np.ndarray:
    if ht:
        return htj2k.decode(stream, shape)
    planes: list[np.ndarray] = []
    openjpeg.decode(stream, lambda _, plane: planes.append(plane.copy()), shape)
    return np.stack(planes)


@pytest.mark.parametrize("ht", [False, True])
@pytest.mark.parametrize("reversible", [False, True])
@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 45, 70), (2, 17, 33)], ids=str)
def test_a_prefix_decodes_to_what_the_engine_reduces_to(shape, reversible, ht, monkeypatch):
    import imagecodecs

    d = decompositions(*shape[1:])
    smooth = np.cumsum(np.random.default_rng(1).integers(-40, 41, shape), axis=2) + 30000
    step = htj2k.round_step(0.002) if ht and not reversible else 0.0
    layout = Layout(shape, 16, d, reversible=reversible, ht=ht, step=step)
    if ht:
        stream = htj2k.encode(smooth.astype("u2"), layout)
    else:
        stream = openjpeg.encode(
            lambda k, out: np.copyto(out, smooth[k], casting="unsafe"), layout, size=None
        )
    body, lengths = dissect(stream, layout)
    for level in range(1, d + 1):
        prefix = body[: sum(lengths[: len(lengths) - level])]
        small = coarser(layout, level).shape
        ours = decoded(assemble(layout, prefix, level), small, ht=ht)
        assert ours.shape == small
        if ht:
            whole = np.asarray(
                imagecodecs.htj2k_decode(stream, planar=True if shape[0] > 1 else None, skipres=level)
            )
        else:
            whole = reduced_by_openjpeg(monkeypatch, stream, small, level)
        assert (ours == whole.reshape(small)).all()


def reduced_by_openjpeg(monkeypatch, stream: bytes, shape: tuple[int, int, int], level: int) -> np.ndarray:
    """Decode the whole codestream at a lower resolution, as OpenJPEG does it by itself."""
    _, lib = openjpeg._library(None)
    read_header = lib.opj_read_header

    def read_header_and_reduce(source, codec, image):
        done = read_header(source, codec, image)
        return done and lib.opj_set_decoded_resolution_factor(ctypes.c_void_p(codec), ctypes.c_uint32(level))

    with monkeypatch.context() as patch:
        patch.setattr(lib, "opj_read_header", read_header_and_reduce)
        return decoded(stream, shape, ht=False)


@given(st.integers(1, 50000), st.integers(1, 50000))
def test_decompositions_leave_at_least_one_point(rows, columns):
    d = decompositions(rows, columns)
    assert 0 <= d <= 5
    assert min(rows, columns) >> d >= 1


def test_the_index_tells_where_resolutions_begin():
    layout = Layout((2, 40, 50), 12, decompositions(40, 50))
    body, lengths = dissect(engine(layout), layout)
    exported = indexed(layout, body, lengths)
    assert dissect(exported, layout) == (body, lengths)
    assert exported.count(b"\xff\x90") >= len(lengths)
    assert (
        decoded(exported, layout.shape, ht=False) == decoded(assemble(layout, body), layout.shape, ht=False)
    ).all()


def test_an_unknown_header_is_an_error_and_not_a_guess():
    layout = Layout((1, 40, 50), 12, decompositions(40, 50))
    with pytest.raises(EngineError, match="main header that frazil does not know"):
        dissect(engine(layout), Layout((1, 40, 50), 13, layout.decompositions))


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (b"", "not a JPEG 2000 codestream|ends inside its headers"),
        (b"\xff\x4f", "ends inside its headers"),
        (b"\xff\x4f\xff\x90\0\x0a" + bytes(40), "without SIZ, COD and QCD"),
        (b"RIFF" + bytes(40), "not a JPEG 2000 codestream"),
    ],
)
def test_foreign_streams(stream, sentence):
    with pytest.raises(FormatError, match=sentence):
        read_layout(stream, (1, 4, 4))


def test_every_truncation_of_a_codestream_is_refused():
    layout = Layout((1, 20, 24), 12, decompositions(20, 24), reversible=True)
    stream = engine(layout)
    for length in range(len(stream) - 2):
        with pytest.raises((FormatError, EngineError)):
            dissect(stream[:length], layout)


def test_header_of_a_picture_says_its_size():
    layout = Layout((2, 721, 1440), 12, 5)
    for level in range(6):
        header = main_header(layout, level)
        x, y = struct.unpack_from(">II", header, 8)
        assert (y, x) == coarser(layout, level).shape[1:]


@pytest.mark.parametrize("ht", [False, True])
def test_integers_layout_holds_the_bits(ht):
    for bits in (1, 8, 9, 16, 17, 25):
        shape, top = (1, 18, 19), (1 << bits) - 1
        assert integers_layout(shape, bits, ht=ht).bits >= bits
        planes = np.full(shape, top, "u4")
        planes[0, 0, 0] = 0
        coded = whole_numbers(planes, bits, Exact(0, 1, 0, top), by_ht=ht)
        assert (decoded(assemble(coded.layout, coded.body), shape, ht=ht) == planes).all()
