from __future__ import annotations

import little_models
import numpy as np
import pytest

from frazil import Codeword, container
from frazil.errors import ConfigurationError, FormatError
from frazil.testing import CodecContract, field, roundtrip


class TestCodeword(CodecContract):
    codec = Codeword(model=little_models.words(), bound=2.0)
    tolerance = 0.04
    tiny_tolerance = 1.0
    dtypes = ("f4", "u2")


class TestTwoHeads(CodecContract):
    codec = Codeword(model=little_models.words(2), bound=2.0)
    tolerance = 0.04
    tiny_tolerance = 1.0
    dtypes = ("f4",)


@pytest.mark.parametrize("coder", ["auto", "packed", "mixing", "bzip2", "zstd"])
@pytest.mark.parametrize("heads", [1, 2])
def test_every_coder_gives_the_same_codewords(coder, heads):
    chunk = field((2, 33, 40), "f4")
    codec, plain = (
        Codeword(model=little_models.words(heads), coder=coder),
        Codeword(model=little_models.words(heads)),
    )
    data = codec.encode(chunk)
    assert list(container.unpack(data)[1]) == ["C"]
    assert np.array_equal(codec.decode_latents(data), plain.decode_latents(plain.encode(chunk)))
    assert np.array_equal(codec.decode(data), roundtrip(plain, chunk))


def test_codewords_are_the_nearest():
    codec = Codeword(model=little_models.words())
    chunk = np.array([[0, 0, 79, 81], [1, 2, 80, 80]], "f4")
    assert codec.decode_latents(codec.encode(chunk)).tolist() == [[[[0, 2]]]]
    assert roundtrip(codec, chunk).tolist() == [[0, 0, 80, 80], [0, 0, 80, 80]]


def test_auto_is_never_larger_than_bits():
    rng = np.random.default_rng(0)
    for size in (2, 16, 64):
        chunk = rng.uniform(0, 280, (size, size)).astype("f4")
        chunk = chunk.reshape(size // 2, 2, size // 2, 2).mean((1, 3)).repeat(2, 0).repeat(2, 1)
        sizes = {
            c: len(Codeword(model=little_models.words(), coder=c).encode(chunk)) for c in ("auto", "packed")
        }
        assert sizes["auto"] <= sizes["packed"] + 2


def test_unknown_coder():
    with pytest.raises(ConfigurationError, match="coder is one of"):
        Codeword(model=little_models.words(), coder="lzma")


def test_a_chunk_of_another_codec():
    spec = container.ChunkSpec((8, 8), np.dtype("f4"))
    with pytest.raises(FormatError, match="section 'L'"):
        Codeword(model=little_models.words()).decode(container.pack(spec, {"L": b"abc"}))
