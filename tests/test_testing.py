"""The contract holds for a small honest codec, and notices each way in which a codec can be broken."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import zarr.registry
from hypothesis import given
from numcodecs.registry import register_codec

from frazil import container
from frazil.codecs.base import PlaneCodec
from frazil.errors import FormatError
from frazil.planes import reduced
from frazil.sealing import take
from frazil.testing import (
    CodecContract,
    bit_equal,
    bounds,
    field,
    float_arrays,
    int_arrays,
    reseal,
    roundtrip,
    shapes,
)
from frazil.zarr3 import PlaneSerializer


@dataclass(frozen=True, kw_only=True)
class Deflate16(PlaneCodec):
    """16-bit levels of each chunk's range, differenced along x, then DEFLATE (RFC 1951)."""

    codec_id: ClassVar[str] = "frazil.test.deflate16"
    level: int = 6

    def encode_planes(self, planes, *, spent, valid=None):
        low, high = float(planes.min()), float(planes.max())
        step = (high / 65535 - low / 65535) or 1.0
        levels = np.rint(planes.astype("f8") / step - low / step).astype("<u2")
        deltas = np.diff(levels, axis=-1, prepend=np.uint16(0))
        return {"S": np.array([low, step], "<f8").tobytes(), "D": zlib.compress(deltas.tobytes(), self.level)}

    def decode_planes(self, sections, shape, dtype, level=0, *, valid=None):
        scale = take(sections, "S", self.codec_id)
        inflate = zlib.decompressobj()
        size = 2 * int(np.prod(shape))
        try:
            low, step = np.frombuffer(scale, "<f8")
            deltas = np.frombuffer(
                inflate.decompress(take(sections, "D", self.codec_id), size), "<u2"
            ).reshape(shape)
        except (ValueError, zlib.error) as error:
            raise FormatError(f"{self.codec_id}: {error}") from error
        if not inflate.eof or not np.isfinite([low, step]).all():
            raise FormatError(f"{self.codec_id}: the sections do not hold planes of shape {shape}")
        levels = np.cumsum(deltas, axis=-1, dtype="u2")[..., :: 1 << level, :: 1 << level]
        limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        with np.errstate(over="ignore"):
            values = np.clip(low + levels * step, float(limits.min), float(limits.max))
        return (values if dtype.kind == "f" else np.rint(values)).astype(dtype)


class Deflate16Serializer(PlaneSerializer):
    codec_id = "frazil.test.deflate16"


register_codec(Deflate16)
zarr.registry.register_codec("frazil.test.deflate16", Deflate16Serializer)


class TestDeflate16(CodecContract):
    codec = Deflate16()
    tolerance = 1e-5


# Each of these is wrong in one way; beside it, the test that has to notice.


@dataclass(frozen=True, kw_only=True)
class Coarse(Deflate16):
    def decode_planes(self, sections, shape, dtype, level=0, *, valid=None):
        planes = super().decode_planes(sections, shape, dtype, level)
        return (np.rint(planes / 8) * 8).astype(dtype)


@dataclass(frozen=True, kw_only=True)
class Scribbles(Deflate16):
    def encode_chunk(self, chunk, *, fill_value=None):
        if chunk.flags.writeable:
            chunk[...] = 0
        return super().encode_chunk(chunk, fill_value=fill_value)


@dataclass(frozen=True, kw_only=True)
class ForgetsByteOrder(Deflate16):
    def decode_chunk(self, buf, **kwargs):
        chunk = super().decode_chunk(buf, **kwargs)
        return chunk.astype(chunk.dtype.newbyteorder("="))


@dataclass(frozen=True, kw_only=True)
class FillsGaps(Deflate16):
    def decode_chunk(self, buf, **kwargs):
        chunk = super().decode_chunk(buf, **kwargs)
        return np.nan_to_num(chunk, nan=0.0, posinf=np.inf, neginf=-np.inf)


@dataclass(frozen=True, kw_only=True)
class LosesPayloads(Deflate16):
    def decode_chunk(self, buf, **kwargs):
        chunk = super().decode_chunk(buf, **kwargs)
        return np.where(np.isnan(chunk), chunk.dtype.type(np.nan), chunk).astype(chunk.dtype)


@dataclass(frozen=True, kw_only=True)
class SaysItIsLossless(Deflate16):
    @property
    def lossless(self):
        return True


@dataclass(frozen=True, kw_only=True)
class Dices(Deflate16):
    def encode_planes(self, planes, *, spent, valid=None):
        noise = np.random.default_rng().bytes(4)
        return super().encode_planes(planes, spent=spent) | {"n": noise}


@dataclass(frozen=True, kw_only=True)
class Trusts(Deflate16):
    def decode_planes(self, sections, shape, dtype, level=0, *, valid=None):
        deltas = np.frombuffer(zlib.decompress(sections["D"]), "<u2").reshape(shape)
        low, step = np.frombuffer(sections["S"], "<f8")
        return (low + np.cumsum(deltas, axis=-1, dtype="u2") * step).astype(dtype)


@dataclass(frozen=True, kw_only=True)
class SkipsTheChecksum(Deflate16):
    def decode_chunk(self, buf, **kwargs):
        return super().decode_chunk(reseal(bytes(buf)), **kwargs)


@dataclass(frozen=True, kw_only=True)
class TakesAnything(Deflate16):
    @classmethod
    def from_config(cls, config):
        return cls(level=config.get("level", 6))


BROKEN = {
    Coarse: "test_round_trip",
    Scribbles: "test_input_is_not_modified",
    ForgetsByteOrder: "test_round_trip",
    FillsGaps: "test_missing_values_come_back_bit_for_bit",
    LosesPayloads: "test_nothing_but_missing_values",
    SaysItIsLossless: "test_round_trip",
    Dices: "test_same_bytes_twice",
    Trusts: "test_damage_behind_a_correct_checksum",
    SkipsTheChecksum: "test_every_flipped_bit_is_noticed",
    TakesAnything: "test_unknown_setting_is_refused",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_contract_notices(broken):
    contract = TestDeflate16()
    contract.codec = broken()
    contract.dtypes = ("f4",)
    # a codec that trusts its input dies of a bare zlib.error; all others fail an assertion
    expected = zlib.error if broken is Trusts else (AssertionError, pytest.fail.Exception)
    with pytest.raises(expected):
        getattr(contract, BROKEN[broken])()


def test_contract_passes_for_honest_subclass():
    contract = TestDeflate16()
    contract.dtypes = ("f4",)
    for name in sorted(set(BROKEN.values())):
        getattr(contract, name)()


# -- reseal, strategies ----


def test_reseal_leaves_a_good_chunk_alone():
    data = Deflate16().encode(field())
    assert reseal(data) == data


def test_reseal_mends_length_and_checksum():
    spec = container.ChunkSpec((2, 3), np.dtype("<f4"))
    data = container.pack(spec, {"A": bytes(100), "J": b"abc"})
    longer = data[:-4] + bytes(100) + data[-4:]  # the length needs one byte more than before
    with pytest.raises(FormatError):
        container.unpack(longer)
    assert container.unpack(reseal(longer))[1] == {"A": bytes(100), "J": b"abc" + bytes(100)}


@pytest.mark.parametrize("data", [b"", b"FRZ", b"FRZ\x10", b"FRZ\x10\xff\xff\xff", bytes(30)])
def test_reseal_survives_anything(data):
    assert len(reseal(data)) >= 4


def test_bit_equal_looks_at_bits():
    a = np.array([0x7FC00000, 0x7FC0002A, 0], "u4").view("f4")
    b = np.array([0x7FC00000, 0x7FC00000, 0x80000000], "u4").view("f4")
    assert bit_equal(a, b).tolist() == [True, False, False]
    assert bit_equal(a.astype(">f4"), a).all()
    assert bit_equal(np.float32(1), np.float32(1)).shape == ()


@given(x=float_arrays(("f2", "f4", "f8")))
def test_float_arrays_are_floats_of_modest_size(x):
    assert x.dtype.kind == "f"
    assert 1 <= x.size <= 4096


@given(x=float_arrays(specials=False))
def test_float_arrays_without_specials_are_finite(x):
    assert np.isfinite(x).all()


@given(x=int_arrays(), shape=shapes(), bound=bounds())
def test_other_strategies(x, shape, bound):
    assert x.dtype.kind in "iu"
    assert np.prod(shape) <= 4096
    assert bound > 0


def test_toy_codec_reads_a_quarter():
    codec, x = Deflate16(), field((33, 20))
    assert codec.decode_chunk(codec.encode(x), level=2).shape == (reduced(33, 2), reduced(20, 2))


def test_roundtrip_is_encode_and_decode():
    x = field((2, 5, 6))
    assert abs(roundtrip(Deflate16(), x) - x).max() < 0.01
