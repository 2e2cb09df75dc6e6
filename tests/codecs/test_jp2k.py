from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from conftest import load_field
from hypothesis import given
from hypothesis import strategies as st

from frazil import JP2K, container
from frazil.errors import (
    ChecksumError,
    ConfigurationError,
    FormatError,
    TruncatedError,
    UnsupportedArrayError,
)
from frazil.testing import CodecContract, bit_equal, field, roundtrip

CODERS = ["ebcot", "ht"]
DTYPES = container.DTYPES


class TestRatio(CodecContract):
    codec = JP2K(ratio=6)
    tolerance = 0.04
    tiny_tolerance = 1.0


class TestRatioHT(TestRatio):
    codec = JP2K(ratio=6, coder="ht")
    tolerance = 0.06  # of uint8, a ratio of 6 leaves little more than a bit a point


class TestPsnr(CodecContract):
    codec = JP2K(psnr=60)
    tolerance = 0.01
    tiny_tolerance = 0.01


class TestPsnrHT(TestPsnr):
    codec = JP2K(psnr=60, coder="ht")


class TestReversible(CodecContract):
    codec = JP2K(reversible=True)


class TestReversibleHT(CodecContract):
    codec = JP2K(reversible=True, coder="ht")


class TestStandardPerPlane(TestPsnr):
    codec = JP2K(psnr=60, scaling="standard", per="plane")


def noise(dtype: str, shape: tuple[int, ...] = (64, 72)) -> np.ndarray:
    """Uniform over all that the dtype holds."""
    rng = np.random.default_rng(7)
    if np.dtype(dtype).kind == "f":
        return (rng.uniform(-1, 1, shape) * np.finfo(dtype).max).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def rmse(x: np.ndarray, y: np.ndarray) -> float:
    good = np.isfinite(x)
    return float(np.sqrt(np.mean((x[good].astype("f8") - y[good].astype("f8")) ** 2)))


# -- rate ----------------------------------------------------------------------------------------------------

LARGE = ["t850", "sst", "pop_t", "tile", "rain"]  # 256 x 256 points and more; four kinds of weather


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("ratio", [4, 10, 32, 100, 500])
@pytest.mark.parametrize("name", LARGE)
def test_ratio_is_the_one_asked_for(name, ratio, coder):
    x = load_field(name)
    x = x[..., :400, :320]
    data = JP2K(ratio=ratio, coder=coder).encode(x)
    got = x.nbytes / len(data)
    coast = len(container.unpack(data)[1].get("M", b""))  # kept whatever the ratio
    assert got >= 0.95 * ratio or coast > 0.5 * x.nbytes / ratio
    if got > 1.05 * ratio:
        assert bit_equal(JP2K.decode(JP2K(), data), x).all(), "smaller than asked for, and yet not exact"


@pytest.mark.parametrize("coder", CODERS)
def test_planes_share_the_bytes(coder):
    x = np.stack([field((64, 64)), np.random.default_rng(0).normal(125, 30, (64, 64)).astype("f4")])
    y = roundtrip(JP2K(ratio=8, coder=coder), x)
    alone = roundtrip(JP2K(ratio=8, coder=coder), x[1])
    assert rmse(x[1], y[1]) < rmse(x[1], alone)


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8"])
def test_exact_where_that_takes_no_more_bytes(dtype, coder):
    x = np.repeat(np.repeat(field((32, 32), dtype), 8, axis=0), 8, axis=1)
    data = JP2K(ratio=2, coder=coder).encode(x)
    assert x.nbytes / len(data) >= 2
    assert bit_equal(JP2K().decode(data), x).all()


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("psnr", [35, 50, 65, 80, 100])
@pytest.mark.parametrize("name", ["t850", "jcm_u", "glosea4"])
def test_psnr_is_the_one_asked_for(name, psnr, coder):
    x = load_field(name)
    x = x[..., :240, :360]
    y = roundtrip(JP2K(psnr=psnr, coder=coder), x)
    error = rmse(x, y)
    got = 20 * np.log10((np.nanmax(x) - np.nanmin(x)) / error) if error else np.inf
    assert got >= psnr - 0.5
    assert got <= psnr + 0.5 or error == 0


def test_a_rate_is_needed_to_encode_and_none_to_decode():
    x = field()
    with pytest.raises(ConfigurationError, match="give ratio=, psnr= or reversible=True"):
        JP2K().encode(x)
    assert bit_equal(JP2K().decode(JP2K(reversible=True).encode(x)), x).all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"ratio": 8, "psnr": 50}, "one of ratio=, psnr= and reversible="),
        ({"ratio": 1}, "more than 1"),
        ({"ratio": float("nan")}, "more than 1"),
        ({"psnr": 5}, "10 to 120"),
        ({"psnr": 50, "coder": "mq"}, "'ebcot' or 'ht'"),
        ({"psnr": 50, "scaling": "log"}, "'minmax' or 'standard'"),
        ({"psnr": 50, "per": "row"}, "'chunk' or 'plane'"),
        ({"psnr": 50, "clip": 3.0}, "scaling='standard'"),
        ({"psnr": 50, "clip": -1.0, "scaling": "standard"}, "standard deviations"),
    ],
)
def test_settings_that_make_no_codec(settings, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        JP2K(**settings)


# -- exactness -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_reversible_noise(dtype, coder):
    codec = JP2K(reversible=True, coder=coder)
    for shape in ((64, 72), (2, 3, 33, 17), (1, 5), (5, 1)):
        x = noise(dtype, shape)
        assert bit_equal(roundtrip(codec, x), x).all()


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_reversible_keeps_the_sign_of_zero_and_subnormals(dtype, coder):
    small = float(np.finfo(dtype).smallest_subnormal)
    rng = np.random.default_rng(3)
    zeros = np.where(rng.random((40, 50)) < 0.5, 0.0, -0.0).astype(dtype)
    tiny = (rng.integers(-300, 300, (40, 50)) * small).astype(dtype)
    mixed = np.where(rng.random((40, 50)) < 0.3, tiny, field((40, 50), dtype))
    for x in (zeros, tiny, mixed, np.where(zeros == 0, -0.0, tiny).astype(dtype)):
        assert bit_equal(roundtrip(JP2K(reversible=True, coder=coder), x), x).all()


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("name", ["t2m_uk", "levitus", "bands", "jcm_q", "orca2"])
def test_reversible_on_real_fields(name, coder):
    x = load_field(name)
    data = JP2K(reversible=True, coder=coder).encode(x)
    assert bit_equal(JP2K().decode(data), x).all()
    assert len(data) < x.nbytes


@pytest.mark.parametrize("coder", CODERS)
def test_noise_takes_no_more_than_itself(coder):
    for settings in ({"reversible": True}, {"ratio": 1.01}, {"psnr": 120}):
        x = noise("u2")
        assert len(JP2K(**settings, coder=coder).encode(x)) <= x.nbytes + 24


# -- range ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("settings", [{"ratio": 8}, {"psnr": 40}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_decoded_values_stay_in_the_range_of_the_input(dtype, settings, coder):
    """At both ends: OpenJPH wraps around where a lossy sample leaves its type."""
    rng = np.random.default_rng(0)
    half = rng.random((80, 96)) < 0.5
    for x in (
        np.where(half, 200, 3).astype(dtype),
        rng.integers(10, 90, (3, 40, 48)).astype(dtype),
        noise(dtype) if dtype != "f8" else rng.normal(size=(64, 64)),
    ):
        for level in (0, 1, 2):
            y = JP2K().decode_chunk(JP2K(**settings, coder=coder).encode(x), level=level)
            assert y.min() >= x.min()
            assert y.max() <= x.max()


@given(low=st.floats(-1e6, 1e6), span=st.floats(2.0**-20, 1e6), per=st.sampled_from(["chunk", "plane"]))
def test_any_range_is_kept(low, span, per):
    x = low + span * np.random.default_rng(1).random((2, 9, 9))
    y = roundtrip(JP2K(psnr=90, per=per), x)
    assert y.min() >= x.min()
    assert y.max() <= x.max()


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("settings", [{"ratio": 4}, {"psnr": 50}, {"reversible": True}], ids=str)
def test_ranges_that_floats_cannot_divide(settings, coder):
    codec = JP2K(**settings, coder=coder)
    rng = np.random.default_rng(5)
    for x in (
        rng.uniform(-1, 1, (48, 64)) * 1e308,
        (rng.uniform(-1, 1, (48, 64)) * 3.4028234e38).astype("f4"),
        rng.integers(0, 1 << 20, (48, 64)).astype("u8").view("f8"),
        rng.integers(0, 1 << 20, (48, 64)).astype("u4").view("f4"),
        rng.uniform(1, 2, (48, 64)) * 1e-300,
    ):
        y = roundtrip(codec, x)
        assert np.isfinite(y).all()
        assert y.min() >= x.min()
        assert y.max() <= x.max()


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("value", [1e10, 1e30])
def test_one_huge_outlier_stays_the_only_one(value, coder):
    x = field((64, 64))
    x[30, 30] = value
    y = roundtrip(JP2K(psnr=60, coder=coder), x)
    assert np.isfinite(y).all()
    assert rmse(x, y) <= value * 10 ** (-59.5 / 20)
    assert y[30, 30] == pytest.approx(value, rel=0.1)


# -- scaling -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coder", CODERS)
def test_clip_cuts_at_standard_deviations(coder):
    x = np.random.default_rng(2).normal(280, 10, (96, 96)).astype("f4")
    y = roundtrip(JP2K(psnr=70, scaling="standard", clip=1.5, coder=coder), x)
    low, high = x.mean() - 1.5 * x.std(), x.mean() + 1.5 * x.std()
    assert y.min() == pytest.approx(low, abs=0.01)
    assert y.max() == pytest.approx(high, abs=0.01)
    assert abs(y - np.clip(x, low, high)).max() < 0.1


def test_standard_without_clip_is_as_good_as_minmax():
    x = load_field("t850")[0, :, :200, :200]
    errors = [rmse(x, roundtrip(JP2K(ratio=20, scaling=s), x)) for s in ("standard", "minmax")]
    assert errors[0] == pytest.approx(errors[1], rel=0.02)


@pytest.mark.parametrize("factor", [1e-60, 1e200])
def test_standard_scaling_of_values_beyond_single_precision(factor):
    x = field((2, 40, 50), "f8") * factor
    y = roundtrip(JP2K(psnr=60, scaling="standard"), x)
    assert rmse(x / factor, y / factor) < 0.2


@pytest.mark.parametrize("coder", CODERS)
def test_per_plane_keeps_relative_errors_alike(coder):
    factors = np.array([1, 1e-4, 1e5], "f4")[:, None, None]
    x = field((3, 64, 64)) * factors
    y = roundtrip(JP2K(psnr=50, per="plane", coder=coder), x)
    relative = [rmse(a / f, b / f) for a, b, f in zip(x, y, factors[:, 0, 0], strict=True)]
    assert max(relative) < 3 * min(relative)
    whole = roundtrip(JP2K(psnr=50, coder=coder), x)
    assert rmse(x[1] / factors[1], whole[1] / factors[1]) > 10 * relative[1]


def test_a_constant_plane_among_others_is_exact_per_plane():
    x = np.stack([field((40, 50)), np.full((40, 50), 7.25, "f4"), field((40, 50)) + 100])
    for coder in CODERS:
        y = roundtrip(JP2K(psnr=50, per="plane", coder=coder), x)
        assert bit_equal(y[1], x[1]).all()


# -- resolutions ---------------------------------------------------------------------------------------------

PREFIXES = {
    "ebcot": (JP2K(ratio=8), field((3, 97, 130))),
    "ht": (JP2K(ratio=8, coder="ht"), field((3, 97, 130))),
    "psnr": (JP2K(psnr=60), field((70, 65), "f8")),
    "integers": (JP2K(reversible=True), field((2, 64, 80), "i2")),
    "integers-ht": (JP2K(reversible=True, coder="ht"), field((2, 64, 80), "u1")),
    "floats": (JP2K(reversible=True), np.sqrt(field((2, 64, 80)))),
    "limbs": (JP2K(reversible=True, coder="ht"), np.sqrt(field((40, 48), "f8"))),
    "row": (JP2K(psnr=50), field((1, 700))),
    "row-ht": (JP2K(psnr=50, coder="ht"), field((1, 700))),
    "constant": (JP2K(ratio=8), np.full((3, 20, 20), 4.0, "f4")),
    "raw": (JP2K(reversible=True), noise("u2", (20, 30))),
}


def read_prefix(codec: JP2K, data: bytes, level: int, known: int) -> bytes:
    """Do as a store does: read a little, ask, read more."""
    while True:
        try:
            needed = codec.bytes_needed(data[:known], level)
        except TruncatedError:
            needed = known + 64
        if needed <= known:
            return data[:needed]
        known = needed


@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
@pytest.mark.parametrize("case", PREFIXES)
def test_the_bytes_needed_are_enough(case, gaps):
    codec, x = PREFIXES[case]
    if gaps and x.dtype.kind == "f":
        x = x.copy()
        x[..., 3:20, :9] = np.nan
    data = codec.encode(x)
    sizes = []
    for level in range(1, 8):
        expected = codec.decode_chunk(data, level=level)
        needed = len(read_prefix(codec, data, level, 10))
        for known in (16, 40, 100, 400):  # a reader that starts from less arrives at the same
            assert len(read_prefix(codec, data, level, known)) <= max(needed, known + 512)
        assert bit_equal(codec.decode_prefix(data[:needed], level), expected).all()
        sizes.append(needed)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= len(data)


@pytest.mark.parametrize("coder", CODERS)
def test_a_level_is_the_field_at_that_resolution(coder):
    x = load_field("t850")[0, :, :256, :256]
    data = JP2K(ratio=20, coder=coder).encode(x)
    assert JP2K().bytes_needed(data[:200], 1) < 0.75 * len(data)
    assert JP2K().bytes_needed(data[:200], 3) < 0.2 * len(data)
    for level in (1, 2, 3):
        side = 1 << level
        means = x.reshape(1, 256 // side, side, 256 // side, side).mean((2, 4))
        y = JP2K().decode_chunk(data, level=level)
        assert np.corrcoef(means.ravel(), y.ravel())[0, 1] > 0.99
        assert abs(y.mean() - x.mean()) < 0.02 * np.ptp(x)


@pytest.mark.parametrize("case", ["ebcot", "ht", "integers", "psnr"])
def test_every_byte_of_a_prefix_is_checked(case):
    codec, x = PREFIXES[case]
    data = codec.encode(x)
    needed, unseen = codec.bytes_needed(data[:100], 2), 0
    expected = codec.decode_chunk(data, level=2)
    for at in range(container.peek(data).spans["S"][0], needed):
        damaged = bytearray(data[:needed])
        damaged[at] ^= 1 << at % 8
        with suppress(FormatError):  # only the checks of other resolutions are looked at by nobody
            y = codec.decode_prefix(bytes(damaged), 2, shape=x.shape, dtype=x.dtype)
            assert bit_equal(y, expected).all()
            unseen += 1
    assert unseen <= 2 * 5


def test_a_damaged_prefix_says_so():
    codec, x = PREFIXES["ebcot"]
    data = bytearray(codec.encode(x))
    needed = codec.bytes_needed(bytes(data[:100]), 2)
    data[needed - 5] ^= 4
    with pytest.raises(ChecksumError, match="chunk is damaged"):
        codec.decode_prefix(bytes(data[:needed]), 2)


# -- shapes --------------------------------------------------------------------------------------------------

SHAPES = [
    (1, 40000),
    (40000, 1),
    (2, 40000),
    (40000, 2),
    (3, 2100, 5),
    (70, 1, 1),
    (5, 1, 9),
    (5, 9, 1),
    (9,),
    (),
]


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(shape, coder):
    x = np.asarray(field(shape))
    for settings in ({"psnr": 60}, {"ratio": 4}, {"reversible": True}):
        codec = JP2K(**settings, coder=coder)
        data = codec.encode(x)
        y = codec.decode(data)
        assert y.shape == x.shape
        assert rmse(x, y) <= (0.0012 if "psnr" in settings else 0.02) * max(np.ptp(x), 1)
        assert codec.decode_chunk(data, level=2).shape == tuple(
            n if i < x.ndim - 2 else -(-n // 4) for i, n in enumerate(shape)
        )


@pytest.mark.parametrize("coder", CODERS)
def test_more_planes_than_a_codestream_holds(coder):
    x = np.random.default_rng(0).random((16385, 1, 2)).astype("f4")
    with pytest.raises(UnsupportedArrayError, match="16384"):
        JP2K(ratio=2, coder=coder).encode(x)
    with pytest.raises(UnsupportedArrayError, match="16384"):
        JP2K(reversible=True, coder=coder).encode(x)
    limbs = np.random.default_rng(0).random((8193, 1, 2))
    assert bit_equal(roundtrip(JP2K(reversible=True, coder=coder), limbs), limbs).all()
    assert roundtrip(JP2K(ratio=2), np.full((70000, 1, 2), 3, "u1")).shape == (70000, 1, 2)


@pytest.mark.parametrize("coder", CODERS)
def test_a_chunk_that_claims_more_planes_than_a_codestream_holds(coder):
    _, sections = container.unpack(JP2K(ratio=4, coder=coder).encode(field((2, 20, 24))))
    for shape in ((16385, 20, 24), (70000, 20, 24), (1 << 20, 2, 2)):
        with pytest.raises(FormatError):
            JP2K().decode(container.pack(container.ChunkSpec(shape, np.dtype("<f4")), sections))


@pytest.mark.parametrize("shape", [(0, 1 << 62, 1 << 62), (1 << 62, 0)])
def test_a_chunk_without_points_that_no_array_could_be(shape):
    chunk = container.pack(container.ChunkSpec(shape, np.dtype("<f4")), {})
    with pytest.raises(FormatError, match="no array has the shape"):
        JP2K().decode(chunk)


# -- company -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coder", CODERS)
def test_same_bytes_from_eight_threads(coder):
    x = load_field("jcm_u")[0, :, :, :96]
    codecs = [JP2K(ratio=10, coder=coder), JP2K(psnr=60, coder=coder), JP2K(reversible=True, coder=coder)]
    alone = [codec.encode(x) for codec in codecs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda codec: codec.encode(x), codecs * 8))
    assert together == alone * 8


def test_damage_in_one_thread_is_not_seen_in_another():
    good, x = JP2K(psnr=60).encode(field((64, 64))), field((64, 64))
    expected = JP2K().decode(good)
    _, sections = container.unpack(good)
    bad = container.pack(
        container.ChunkSpec((64, 64), np.dtype("<f4")), sections | {"J": sections["J"][:40] + b"\xff" * 99}
    )

    def work(i: int) -> bool:
        try:
            return bool(bit_equal(JP2K().decode(bad if i % 2 else good), expected).all())
        except FormatError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(64))) == [True, False] * 32
    assert x.shape == expected.shape
