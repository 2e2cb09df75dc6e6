import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil import bounds
from frazil.bounds import Bound, parse
from frazil.errors import ConfigurationError

positive = st.floats(0, 1e300, allow_subnormal=True)
specs = st.one_of(
    positive,
    positive.map("abs:{}".format),
    positive.map("rel:{}".format),
    positive.map("rel:{}:array".format),
    positive.map("pw_rel:{}".format),
    st.tuples(st.integers(1, 511), positive, positive).map(
        lambda t: f"local_std:window={2 * t[0] + 1},fraction={t[1]},floor={t[2]}"
    ),
    st.just("array"),
)


@given(specs)
def test_canonical_text_reads_back(spec):
    bound = parse(spec)
    assert parse(bound.text) == bound
    assert parse(bound) is bound


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (1, Bound("abs", 1.0)),
        ("0.5", Bound("abs", 0.5)),
        (np.float32(0.5), Bound("abs", 0.5)),
        (-0.0, Bound("abs", 0.0)),
        (" rel : 1e-3 : array ", Bound("rel", 1e-3, whole=True)),
        ("pw_rel:0", Bound("pw_rel", 0.0)),
        ("local_std", Bound("local_std", 0.1, window=15, floor=1e-3)),
        ("local_std: window=5, floor=0", Bound("local_std", 0.1, window=5)),
        ("array", Bound("array")),
    ],
)
def test_parse(spec, expected):
    assert parse(spec) == expected
    assert math.copysign(1, parse(spec).value) == 1


@pytest.mark.parametrize(
    "spec",
    [
        -1,
        float("nan"),
        math.inf,
        True,
        np.True_,
        None,
        [0.1],
        10**400,
        "",
        "abs:",
        "abs:-1",
        "rel:nan",
        "rel:1e-3:",
        "rel:1e-3:chunk",
        "pw_rel:x",
        "array:1",
        "sigma:3",
        "local_std:window=4",
        "local_std:window=1",
        "local_std:window=1025",
        "local_std:window=nan",
        "local_std:fraction=-1",
        "local_std:size=3",
        "local_std:window",
    ],
)
def test_what_is_no_bound_is_said_in_a_sentence(spec):
    with pytest.raises(ConfigurationError, match=r"bound|local_std"):
        parse(spec)


def test_resolves_to_numbers_and_to_arrays():
    planes = np.array([[[-4.0, 1.0], [2.0, 6.0]]], np.float32)
    valid = np.array([[[True, True], [True, False]]])
    assert parse(0.25).resolve(planes) == 0.25
    assert parse("rel:0.5").resolve(planes) == 5
    assert parse("rel:0.5").resolve(planes, valid) == 3
    relative = parse("pw_rel:0.5").resolve(planes)
    assert relative.dtype == np.float64
    np.testing.assert_array_equal(relative, [[[2, 0.5], [1, 3]]])
    assert not parse("rel:1").pointwise
    assert parse("pw_rel:1").pointwise


def test_nothing_valid_means_nothing():
    planes, valid = np.ones((1, 2, 2), np.float32), np.zeros((1, 2, 2), bool)
    assert parse("rel:0.5").resolve(planes, valid) == 0
    assert (parse("local_std").resolve(planes, valid) == 0).all()
    nan = np.full((1, 2, 2), np.nan)
    assert np.isfinite(parse("array").resolve(planes, valid, given=nan)).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_range_beyond_the_dtype(dtype):
    most = np.finfo(dtype).max
    planes = np.array([[[-most, 0, most]]])
    got = parse("rel:1e-3").resolve(planes)
    assert got == pytest.approx(2e-3 * float(most))
    assert math.isfinite(parse("rel:2").resolve(planes))
    assert np.isfinite(parse("pw_rel:9").resolve(planes)).all()
    local = parse("local_std:window=3,fraction=1,floor=1e-3").resolve(planes)
    assert np.isfinite(local).all()
    assert (local >= got * (1 - 1e-12)).all()


@pytest.mark.parametrize("dtype", ["f2", "i2", "u2", "i4", "u1"])
def test_all_number_types(dtype):
    planes = np.array([[[0, 100, 40]]], dtype)
    assert parse("rel:0.5").resolve(planes) == 50
    np.testing.assert_array_equal(parse("pw_rel:0.5").resolve(planes), [[[0, 50, 20]]])
    assert parse("local_std:window=3").resolve(planes)[0, 0, 0] == pytest.approx(5, rel=1e-6)


def test_the_smallest_integer_has_a_magnitude():
    assert parse("pw_rel:1").resolve(np.full((1, 1, 1), -(2**31), np.int32))[0, 0, 0] == 2.0**31


def test_given_bounds_take_the_shape_of_the_planes():
    planes = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    allowed = np.linspace(0, 1, 24, dtype=np.float32)
    for shape in [(2, 3, 4), (1, 2, 3, 4)]:
        got = parse("array").resolve(planes, given=allowed.reshape(shape))
        assert got.shape == (2, 3, 4)
        np.testing.assert_array_equal(got.reshape(-1), allowed)


def test_given_bounds_may_be_missing_where_the_data_are_and_infinite_anywhere():
    planes = np.array([[[0.0, 5.0, 10.0]]])
    valid = np.array([[[True, True, False]]])
    given_bounds = np.array([[[np.inf, 1.0, np.nan]]])
    np.testing.assert_array_equal(parse("array").resolve(planes, valid, given=given_bounds)[0, 0, :2], [5, 1])
    assert np.isnan(given_bounds[0, 0, 2]), "what was given is not modified"


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.full((1, 2, 2), -0.1), "0 or more"),
        (np.full((1, 2, 2), np.nan), "NaN where the data are valid"),
        (np.ones((1, 2, 2), bool), "bool"),
        (np.full((1, 2, 2), "a"), "holds numbers"),
        (np.full((1, 2, 2), 1j), "complex"),
        (np.ones((1, 2, 3)), r"shape \(1, 2, 3\)"),
        (np.ones((2, 2, 1)), "shape"),
        (np.ones(()), "shape"),
    ],
)
def test_bad_arrays_of_bounds(array, said):
    with pytest.raises(ConfigurationError, match=said):
        parse("array").resolve(np.zeros((1, 2, 2)), given=array)


def test_an_array_is_there_if_and_only_if_it_is_asked_for():
    planes = np.zeros((1, 2, 2))
    with pytest.raises(ConfigurationError, match="none was given"):
        parse("array").resolve(planes)
    with pytest.raises(ConfigurationError, match='write "array" to use it'):
        parse(0.1).resolve(planes, given=planes)


def test_a_codec_does_not_know_the_whole_array():
    with pytest.raises(ConfigurationError, match=r"frazil\.to_zarr"):
        parse("rel:1e-3:array").resolve(np.zeros((1, 2, 2)))


def test_from_spread_is_here():
    assert bounds.from_spread.__module__ == "frazil.bounds.spread"
