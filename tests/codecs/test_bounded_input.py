"""What Bounded should not have been given: bases that misbehave, values at the edge, hostile chunks."""

from __future__ import annotations

import numpy as np
import pytest
from numcodecs import Delta, FixedScaleOffset, Quantize, Zlib
from numcodecs.abc import Codec

from frazil import JP2K, Bounded, container
from frazil.errors import ConfigurationError, EngineError, FormatError, FrazilError
from frazil.guarantee import record as records
from frazil.sealing import seal, unseal
from frazil.testing import bit_equal, field, roundtrip

SMALL = field((2, 20, 24))
LARGER = (field((1, 64, 80)) + np.random.default_rng(0).normal(0, 1, (1, 64, 80))).astype("f4")
BUILT_IN = ["auto", "interpolation", "wavelet"]
BASES = [*BUILT_IN, JP2K(psnr=40), Zlib()]


class Base(Codec):
    """A codec of another package: what it returns is made up by two functions."""

    codec_id = "test.base"

    def __init__(self, decoded=None, encoded=None):
        self.decoded, self.encoded = decoded, encoded

    def encode(self, buf):
        return self.encoded(np.asarray(buf)) if self.encoded else np.asarray(buf).tobytes()

    def decode(self, buf, out=None):
        values = np.frombuffer(bytes(buf), "f4")
        return self.decoded(values) if self.decoded else values


class Short(Base):
    """Another wrong length, from a subclass."""

    def decode(self, buf, out=None):
        return super().decode(buf, out)[2:]


def method(encoded):
    """Name of the method that a chunk was coded by."""
    spec, sections = container.unpack(encoded)
    return records.unpack(unseal(sections["B"]), spec.dtype.newbyteorder("=")).name


def assert_bounded(x, y, bound):
    assert (x.shape, x.dtype) == (y.shape, y.dtype)
    with np.errstate(all="ignore"):
        error = np.abs(y.astype("f8") - x.astype("f8"))
    assert np.all(bit_equal(x, y) | (error <= bound))


# ---------------------------------------------------------------- bases of other packages


def raises(_):
    raise OSError("no such device")


@pytest.mark.parametrize(
    ("base", "match"),
    [
        (Base(lambda v: v.astype("f8")), "decoded 960 values of float64, expected 960 of float32"),
        (Base(lambda v: v.astype("i4")), "960 values of int32"),
        (Base(lambda v: v.astype("u1")), "960 values of uint8"),
        (Base(lambda v: v.astype("c8")), "complex64"),
        (Base(lambda v: v[:-1]), "decoded 959 values of float32, expected 960"),
        (Base(lambda v: np.concatenate([v, v])), "1920 values"),
        (Base(lambda _: None), "test.base cannot decode|test.base does not read"),
        (Base(lambda _: "text"), "test.base cannot decode|test.base does not read"),
        (Base(raises), "OSError: no such device"),
        (Base(encoded=raises), "could not encode float32 planes .*OSError: no such device"),
        (Base(encoded=lambda _: None), "decoded 2 values of float32"),
        (Base(encoded=lambda v: v.astype("f8")), "1920 values"),
        (Delta(dtype="i4"), "int32"),
        (Short(), "decoded 958 values"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_base_that_does_not_do_its_part(base, match):
    """The writer hears of it, in a sentence that names the codec; nothing is written."""
    with pytest.raises(EngineError, match=match) as found:
        Bounded(bound=0.1, base=base).encode(SMALL)
    assert base.codec_id in str(found.value)


@pytest.mark.parametrize(
    "base",
    [
        Base(lambda v: v.reshape(-1, 4)),  # of another shape, but as many
        Base(lambda v: v.tobytes()),
        Base(lambda v: np.full_like(v, np.nan)),
        Base(lambda v: np.full_like(v, 3e38)),
        Base(lambda v: v[::-1]),
        Quantize(digits=1, dtype="f4"),
        FixedScaleOffset(offset=100, scale=10, dtype="f4", astype="i2"),
    ],
    ids=lambda base: type(base).__name__,
)
def test_a_base_that_does_it_badly(base):
    """Its values are not believed: the bound holds all the same."""
    for chunk in (SMALL, np.where(SMALL > 150, np.nan, SMALL)):
        assert_bounded(chunk, roundtrip(Bounded(bound=0.1, base=base), chunk), 0.1)


def test_a_reader_without_the_base():
    encoded = Bounded(bound=0.1, base=FixedScaleOffset(offset=125, scale=1, dtype="f4", astype="i1")).encode(
        LARGER
    )
    assert method(encoded) == "context"
    with pytest.raises(FormatError, match="configuration names none"):
        Bounded(bound=0.1).decode(encoded)
    with pytest.raises(FormatError, match=r"test.base cannot decode .*OSError"):
        Bounded(bound=0.1, base=Base(raises)).decode(encoded)


@pytest.mark.parametrize("base", [{"id": "no such codec"}, {"id": "frazil.jp2k", "ratio": -1}, object(), 3.0])
def test_no_base(base):
    with pytest.raises((FrazilError, ValueError)):
        Bounded(bound=1, base=base)


# ---------------------------------------------------------------- values at the edge


@pytest.mark.parametrize("base", BASES, ids=repr)
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_a_bound_of_less_than_half_a_unit_in_the_last_place(kind, base):
    chunk = field((1, 20, 24), kind)
    half = float(np.spacing(chunk.min())) / 2
    for bound in (half / 3, half * 0.99):
        encoded = Bounded(bound=bound, base=base).encode(chunk)
        assert method(encoded) in {"exact", "stored"}
        assert bit_equal(chunk, Bounded(bound=bound, base=base).decode(encoded)).all()


@pytest.mark.parametrize("base", BASES, ids=repr)
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("bound", [1.0, 1e-3, 1e37, "rel:0.1", "rel:1e-6", "pw_rel:0.01"])
def test_a_range_that_overflows(kind, base, bound):
    most = np.finfo(kind).max
    shares = np.sin(np.arange(480)).reshape(1, 20, 24)
    chunk = (shares.astype(kind) * most).astype(kind)
    chunk[0, 3, 4], chunk[0, 4, 4] = most, -most
    decoded = roundtrip(Bounded(bound=bound, base=base), chunk)
    if isinstance(bound, float):
        assert_bounded(chunk, decoded, bound)
    elif bound.startswith("pw"):
        assert_bounded(chunk, decoded, 0.01 * np.abs(chunk.astype("f8")))
    else:
        share = float(bound[4:])
        assert (np.abs(decoded / most - chunk / most).astype("f8") <= 2 * share * (1 + 1e-3)).all()


@pytest.mark.parametrize("base", BASES, ids=repr)
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_nothing_but_missing_points(kind, base):
    chunk = np.full((2, 9, 11), np.nan, kind)
    chunk[1, 2:5] = np.inf
    for bound in (0.1, "rel:0.1", "pw_rel:0.1", "local_std:window=3,fraction=0.1,floor=1e-3"):
        codec = Bounded(bound=bound, base=base)
        encoded = codec.encode(chunk)
        assert bit_equal(chunk, codec.decode(encoded)).all()
        assert len(encoded) < 150
        small = codec.decode_chunk(encoded, level=1)
        assert bit_equal(chunk[:, ::2, ::2], small).all()


@pytest.mark.parametrize("base", BASES, ids=repr)
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_subnormals(kind, base):
    least = np.finfo(kind).smallest_subnormal
    steps = np.random.default_rng(0).integers(-200, 200, (2, 20, 24)).astype(kind)
    chunk = steps * least
    for units in (0.4, 1.0, 25.0):
        bound = units * float(least)
        if bound:
            assert_bounded(chunk, roundtrip(Bounded(bound=bound, base=base), chunk), bound)
    for spec in ("rel:0.01", "pw_rel:0.1"):
        decoded = roundtrip(Bounded(bound=spec, base=base), chunk)
        allowed = 0.1 * np.abs(steps) if spec[0] == "p" else 4.0
        error = np.abs(decoded.astype("f8") / float(least) - steps)
        assert (error <= allowed).all()


@pytest.mark.parametrize("given", [1e-311, 4e-323, 0.0])
def test_subnormal_bounds_of_points(given):
    """The inverse of a unit overflows."""
    chunk = (np.random.default_rng(0).integers(0, 99, (2, 20, 24)) * 1e-311).astype("f8")
    allowed = np.full(chunk.shape, given)
    allowed[:, ::2] *= 3
    for base in BUILT_IN:
        codec = Bounded(bound="array", base=base)
        assert_bounded(chunk, codec.decode(codec.encode_chunk(chunk, bounds=allowed)), allowed)


@pytest.mark.parametrize("base", BASES, ids=repr)
@pytest.mark.parametrize("kind", ["f4", "f8", "i2", "u1"])
def test_zeros_and_everything_preserved(kind, base):
    chunk = np.zeros((2, 12, 15), kind)
    keep = ("sign", "zeros", "range", "mean")
    for bound in (0.0, 2.0, "rel:0.1", "pw_rel:0.1"):
        encoded = Bounded(bound=bound, base=base, preserve=keep).encode(chunk)
        assert bit_equal(chunk, Bounded(bound=bound, base=base, preserve=keep).decode(encoded)).all()
        assert len(encoded) < 120
    chunk[0, 3, 4] = 1
    decoded = roundtrip(Bounded(bound=2.0, base=base, preserve=keep), chunk)
    assert_bounded(chunk, decoded, 2.0)
    assert (np.sign(decoded) == np.sign(chunk)).all()
    assert decoded.max() <= 1


@pytest.mark.parametrize(
    "given",
    [np.ones(4), np.ones((2, 20, 23)), np.full(SMALL.shape, -1.0), np.full(SMALL.shape, np.nan), "text"],
)
def test_bounds_that_are_none(given):
    with pytest.raises((ConfigurationError, FrazilError), match=r"bound"):
        Bounded(bound="array").encode_chunk(SMALL, bounds=given)


def test_bounds_without_limit():
    for chunk in (SMALL, field((1, 4, 5), "f8"), field((1, 4, 5), "i2")):
        codec = Bounded(bound="array")
        decoded = codec.decode(codec.encode_chunk(chunk, bounds=np.full(chunk.shape, np.inf)))
        assert np.isfinite(decoded).all()


def test_bounds_that_are_absent():
    with pytest.raises(FrazilError, match="bounds"):
        Bounded(bound="array").encode(SMALL)


# ---------------------------------------------------------------- hostile chunks

GAPS = np.where(SMALL > 180, np.nan, SMALL).astype("f4")
SIGNED = (SMALL - 120).astype("f4")
VARYING = {"bounds": np.linspace(0.1, 4, SMALL.size).reshape(SMALL.shape)}
CASES = {
    "interpolation": (Bounded(bound=0.1, base="interpolation"), GAPS, {}),
    "wavelet": (Bounded(bound=0.1, base="wavelet"), GAPS, {}),
    "jp2k": (Bounded(bound=0.1, base=JP2K(psnr=30)), SMALL, {}),
    "zlib": (Bounded(bound=0.1, base=Zlib()), SMALL, {}),
    "mask": (Bounded(bound=0.1, residual="mask"), GAPS, {}),
    "map": (Bounded(bound="array", base="interpolation"), SMALL, VARYING),
    "grid": (Bounded(bound="array", grid=True), SMALL, VARYING),
    "preserved": (Bounded(bound=30.0, preserve=("sign", "mean", "range")), SIGNED, {}),
    "relative": (Bounded(bound="pw_rel:0.01"), SIGNED, {}),
    "exact": (Bounded(bound=0), SMALL, {}),
    "stored": (Bounded(bound=0), SMALL[:1, :3, :3], {}),
    "constant": (Bounded(bound=1), np.full((2, 8, 8), 7, "i2"), {}),
}


def encode(case):
    codec, chunk, given = CASES[case]
    return codec, codec.encode_chunk(chunk, **given)


def decodes(codec, spec, sections, level):
    """Whether hostile sections give an array; anything but an array or a FormatError is a failure."""
    try:
        found = codec.decode_chunk(container.pack(spec, sections), level=level)
    except FormatError:
        return False
    y, x = spec.shape[-2:]
    assert found.shape[-2:] == (-(-y >> level), -(-x >> level)) or level == 0
    return True


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_a_section_is_missing(case, level):
    codec, encoded = encode(case)
    spec, sections = container.unpack(encoded)
    needed = {"B", "Q", "K", "R"}
    for tag in sections:
        rest = {other: payload for other, payload in sections.items() if other != tag}
        assert not (decodes(codec, spec, rest, level) and tag in needed), tag
    assert not decodes(codec, spec, {}, level)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_another_method(case, level):
    codec, encoded = encode(case)
    spec, sections = container.unpack(encoded)
    record = bytearray(unseal(sections["B"]))
    for method_ in range(16):
        record[0] = record[0] & 0xF0 | method_
        decodes(codec, spec, sections | {"B": seal(bytes(record))}, level)


@pytest.mark.parametrize("case", CASES)
def test_sections_are_cut(case):
    codec, encoded = encode(case)
    spec, sections = container.unpack(encoded)
    for tag in sections.keys() - {"Q"}:
        for stop in range(len(sections[tag])):
            decodes(codec, spec, sections | {tag: sections[tag][:stop]}, 0)
            decodes(codec, spec, sections | {tag: seal(sections[tag][:stop])}, stop % 3)
    if "Q" in sections:
        stream = sections["Q"]
        for stop in {*range(min(len(stream), 40)), len(stream) // 2, len(stream) - 1}:
            decodes(codec, spec, sections | {"Q": stream[:stop]}, stop % 3)
        assert not decodes(codec, spec, sections | {"Q": b""}, 0)


@pytest.mark.parametrize("case", CASES)
def test_sections_of_other_chunks(case):
    codec, encoded = encode(case)
    spec, sections = container.unpack(encoded)
    for other in CASES:
        _, theirs = container.unpack(encode(other)[1])
        for tag in theirs.keys() - {"M"}:
            decodes(codec, spec, sections | {tag: theirs[tag]}, len(other) % 3)


@pytest.mark.parametrize("huge", [5.99231045e307, -8.98846567e307, 2.0**961, 2.0**960, 1e280])
@pytest.mark.parametrize("bound", ["rel:0.1", 1e306, 1.0, 0.0])
@pytest.mark.parametrize("base", [*BASES, JP2K()])
def test_values_whose_sums_overflow(base, bound, huge):
    chunk = np.array([[0.0, 1.0, huge]])
    limit = 0.1 * abs(huge) if bound == "rel:0.1" else bound
    back = roundtrip(Bounded(bound=bound, base=base), chunk)
    assert (abs(back - chunk) <= limit).all()
