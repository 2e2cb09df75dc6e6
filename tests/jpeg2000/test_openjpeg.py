from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from frazil.errors import EngineError, FormatError
from frazil.jpeg2000 import library, openjpeg
from frazil.jpeg2000.codestream import Layout, assemble, dissect

PLANES = (np.cumsum(np.random.default_rng(0).integers(-9, 10, (3, 50, 70)), axis=2) + 1000).clip(0, 4095)
LOSSLESS = Layout(PLANES.shape, 12, 5, reversible=True)
LOSSY = Layout(PLANES.shape, 12, 5)


def fill(k: int, out: np.ndarray) -> None:
    out[...] = PLANES[k]


def decode(stream: bytes, path: str | None = None) -> np.ndarray:
    planes: list[np.ndarray] = []
    openjpeg.decode(stream, lambda _, plane: planes.append(plane.copy()), PLANES.shape, path=path)
    return np.stack(planes)


def test_reversible():
    assert (decode(openjpeg.encode(fill, LOSSLESS)) == PLANES).all()


@pytest.mark.parametrize("size", [300, 1000, 4000])
def test_the_packets_take_the_size_asked_for(size):
    body, _ = dissect(openjpeg.encode(fill, LOSSY, size=size), LOSSY)
    assert 0.9 * size <= len(body) <= size


@pytest.mark.parametrize("psnr", [45, 55, 65])
def test_psnr(psnr):
    error = decode(openjpeg.encode(fill, LOSSY, psnr=psnr)) - PLANES
    assert 20 * np.log10(4095 / np.sqrt(np.mean(error * error))) == pytest.approx(psnr, abs=2)


@pytest.mark.parametrize("layout", [LOSSY, LOSSLESS], ids=["9/7", "5/3"])
def test_all_libraries_write_the_same_bytes_and_read_the_same_integers(layout):
    paths = library.candidates()
    assert len(paths) >= 2, "imagecodecs and Pillow bring one each"
    sizes = {"size": 2000} if layout is LOSSY else {}
    streams = {path: openjpeg.encode(fill, layout, **sizes, path=path) for path in paths}
    assert len(set(streams.values())) == 1
    stream = streams[paths[0]]
    pictures = [decode(stream, path) for path in paths]
    assert all((picture == pictures[0]).all() for picture in pictures)


def test_a_refusal_gives_the_library_s_reason():
    with pytest.raises(EngineError, match=r"OpenJPEG could not encode 3 planes of 50 x 70 points: .+"):
        openjpeg.encode(fill, Layout(PLANES.shape, 12, 9))


@pytest.mark.parametrize("stream", [b"", b"\xff\x4f", bytes(200), b"\xff\x4f\xff\x51" + bytes(200)])
def test_what_is_no_codestream(stream):
    with pytest.raises(FormatError, match=r"OpenJPEG cannot decode this codestream: .+"):
        decode(stream)


def test_a_codestream_of_another_shape():
    stream = openjpeg.encode(fill, LOSSLESS)
    for shape in ((2, 50, 70), (3, 51, 70), (3, 70, 50)):
        with pytest.raises(FormatError):
            openjpeg.decode(stream, lambda _k, _plane: None, shape)


def test_an_exception_in_a_callback_is_passed_on():
    def broken(_k: int, _plane: np.ndarray) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        openjpeg.encode(broken, LOSSLESS)
    with pytest.raises(KeyError, match="mine"):
        openjpeg.decode(openjpeg.encode(fill, LOSSLESS), broken, PLANES.shape)


def test_damage_in_one_thread_is_not_seen_in_another():
    stream = openjpeg.encode(fill, LOSSLESS)
    body, _ = dissect(stream, LOSSLESS)
    bad = assemble(LOSSLESS, body[:100] + bytes(range(256)) + body[356:])

    def work(i: int) -> bool:
        try:
            return bool((decode(bad if i % 2 else stream) == PLANES).all())
        except FormatError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(48))) == [True, False] * 24
