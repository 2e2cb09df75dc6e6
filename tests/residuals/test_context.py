from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numcodecs import Quantize, Zlib

from frazil import JP2K, cells
from frazil.cells import Cells
from frazil.cells.numbering import Line
from frazil.cells.widths import Widths
from frazil.errors import FormatError, NoRoomError, TruncatedError
from frazil.residuals import coefficients, context
from frazil.residuals.based import read_head

BASES = {
    "searched": JP2K(),
    "ht": JP2K(coder="ht"),
    "ratio": JP2K(ratio=60),
    "psnr": JP2K(psnr=35),
    "ht at a psnr": JP2K(psnr=30, coder="ht", per="plane"),
    "standard": JP2K(ratio=40, scaling="standard", clip=2),
    "reversible": JP2K(reversible=True),
    "quantize": Quantize(digits=0, dtype="f4"),
    "lossless": Zlib(),
}


def field(n=2, y=50, x=70, dtype="f4"):
    rng = np.random.default_rng(n)
    rough = rng.normal(size=(n, y, x)).cumsum(1).cumsum(2)
    smooth = np.sin(np.arange(y) / 9)[:, None] * np.cos(np.arange(x) / 12)
    return (280 + 20 * smooth + 0.02 * rough + np.arange(n)[:, None, None]).astype(dtype)


def check(x, bound, base, valid=None, profile="best"):
    """Encode, decode, compare; return the payload and the cells."""
    fitted = cells.fit(x, bound)
    payload, numbers = context.encode(x, fitted, base, valid, profile=profile)
    assert np.array_equal(context.decode(payload, x.shape, x.dtype, fitted, base, valid), numbers)
    error = np.abs(fitted.scale.values(numbers, x.dtype).astype("f8") - x)
    assert (error if valid is None else error[valid]).max(initial=0) <= np.max(bound)
    if np.ndim(bound):
        assert (error <= bound).all()
    return payload, fitted


@pytest.mark.parametrize("base", BASES.values(), ids=BASES.keys())
@pytest.mark.parametrize("bound", [3.0, 0.2, 0.004])
def test_the_bound_holds_over_every_base(base, bound):
    payload, _ = check(field(), bound, base)
    assert payload[0] & 15 == (2 if isinstance(base, JP2K) and not base.reversible else 1)


@pytest.mark.parametrize("base", [BASES["searched"], BASES["ht"], BASES["ratio"], BASES["quantize"]], ids=str)
def test_masked_points_are_not_coded(base):
    x = field()
    valid = np.random.default_rng(0).random(x.shape) < 0.6
    few, _ = check(x, 0.05, base, valid)
    assert len(few) < len(check(x, 0.05, base)[0])
    check(x, 0.05, base, valid, profile="fast")
    check(x, 0.05, base, np.zeros(x.shape, bool))


def test_rates_that_take_the_reversible_transform():
    for base in (JP2K(psnr=110), JP2K(psnr=90, coder="ht"), JP2K(ratio=1.2)):
        for bound in (0.5, 0.001):
            check(field(), bound, base)


def test_bounds_that_vary():
    x = field()
    bound = np.geomspace(0.01, 2, x.size).reshape(x.shape)
    for base in (JP2K(), Zlib(), Quantize(digits=0, dtype="f4")):
        check(x, bound, base)


def test_a_search_is_never_worse_than_a_rate():
    x = field(1, 120, 160)
    searched = len(check(x, 0.1, JP2K())[0])
    for ratio in (20, 80, 300):
        assert searched <= 1.02 * len(check(x, 0.1, JP2K(ratio=ratio))[0])


def test_other_dtypes():
    whole = np.rint(field() * 10).astype("u2")
    for base in (JP2K(), JP2K(ratio=30), Zlib()):
        check(whole, 4.0, base)
    check(field(dtype="f8"), 0.05, JP2K())
    check(field(dtype="f8"), 1e-7, Zlib())
    keys = Cells(cells.exact(field()).scale, Widths(1))
    payload, numbers = context.encode(field(), keys, JP2K())
    assert np.array_equal(keys.scale.values(numbers, np.dtype("f4")), field())
    assert np.array_equal(context.decode(payload, field().shape, np.dtype("f4"), keys, JP2K()), numbers)


@settings(deadline=None, max_examples=25)
@given(
    x=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 24), st.integers(1, 24)),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    bound=st.sampled_from([0.5, 7.0, 1e5]),
    base=st.sampled_from([JP2K(), JP2K(coder="ht"), JP2K(psnr=30), Zlib()]),
)
def test_every_point_is_in_its_cell(x, bound, base):
    fitted = cells.fit(x, bound)
    if fitted is None:
        return
    wanted, widths = fitted.scale.numbers(x), fitted.widths.expand(x.shape)
    payload, numbers = context.encode(x, fitted, base)
    assert (2 * np.abs(numbers.astype("i8") - wanted) < widths).all()
    assert np.array_equal(context.decode(payload, x.shape, x.dtype, fitted, base), numbers)


def test_one_number_is_enough_for_what_lies_within_a_cell():
    payload, fitted = check(field(), 100.0, JP2K())
    assert len(payload) < 6
    small = context.decode(payload, (2, 50, 70), np.dtype("f4"), fitted, JP2K(), level=2)
    assert small.shape == (2, 13, 18)


def test_thin_and_tiny_planes():
    for shape in ((1, 1, 1), (1, 1, 40), (3, 7, 1), (5, 2, 9), (40, 3, 3)):
        check(np.random.default_rng(0).normal(size=shape).astype("f4"), 0.1, JP2K(coder="ht"))


def test_many_planes_by_ht_in_groups():
    payload, fitted = check(field(40, 20, 24), 0.3, JP2K(coder="ht"))
    again = context.decode(payload, (40, 20, 24), np.dtype("f4"), fitted, JP2K(coder="ht"), level=1)
    assert again.shape == (40, 10, 12)


@pytest.mark.parametrize(
    "base", [BASES["searched"], BASES["ht at a psnr"], BASES["ratio"], BASES["lossless"]], ids=str
)
def test_lower_resolutions_come_from_the_base(base):
    x = field(3)
    payload, fitted = check(x, 0.1, base)
    for level in (1, 2, 4, 8):
        need = min(context.prefix_needed(payload, x.shape, level), len(payload))
        small = context.decode(payload[:need], x.shape, x.dtype, fitted, base, level=level)
        step = 1 << level
        assert small.shape == x[:, ::step, ::step].shape
        values = fitted.scale.values(small, x.dtype)
        if level < 4:  # beyond, means of blocks are no samples
            assert np.abs(values - x[:, ::step, ::step]).mean() < 6
    if not isinstance(base, Zlib):
        assert context.prefix_needed(payload, x.shape, 2) < len(payload)
        with pytest.raises(TruncatedError):
            context.prefix_needed(payload[:4], x.shape, 2)


def test_indices_are_the_same_picture_as_the_engine_decodes():
    from frazil import container
    from frazil.jpeg2000.codestream import assemble
    from frazil.jpeg2000.section import read_head as section_head
    from frazil.scaling import unpack

    x = field(1, 133, 97)
    for codec, off in ((JP2K(psnr=60), 0.6), (JP2K(psnr=60, coder="ht"), 40)):  # levels
        encoded = codec.encode(x)
        _, sections = container.unpack(encoded)
        head = section_head(sections["J"], x.shape)
        low, step = unpack(sections["S"], 1, x.dtype).line(0)
        parts = [(assemble(head.layout, sections["J"][head.start :]), head.layout, x.shape)]
        fine = coefficients.numbers(coefficients.indices(parts), head.layout, [coefficients.Line(0, 64)])
        theirs = (codec.decode(encoded).astype("f8") - low) / step
        error = np.abs(fine / 64 - theirs)
        assert error.mean() < off


def test_doubt_is_kept_inside_the_cell(monkeypatch):
    x = field()
    fitted = cells.fit(x, 0.5)
    unit = fitted.scale.unit

    def doubtful(base, planes):
        return b"0", np.full_like(planes, 280), 4.2 * unit

    monkeypatch.setattr(context.bases, "run", doubtful)
    payload, numbers = context.encode(x, fitted, Zlib())
    for off in (-4.2 * unit, 4.2 * unit):
        elsewhere = np.full_like(x, 280 + off)
        monkeypatch.setattr(context.bases, "rerun", lambda *_, values=elsewhere: values)
        other = context.decode(payload, x.shape, x.dtype, fitted, Zlib())
        assert np.abs(other - numbers).max() <= 5
        assert np.abs(fitted.scale.values(other, x.dtype) - x).max() <= 0.5
    monkeypatch.setattr(context.bases, "run", lambda base, planes: (b"0", planes, 30 * unit))
    with pytest.raises(NoRoomError, match="finer base"):
        context.encode(x, fitted, Zlib())


@settings(deadline=None, max_examples=80)
@given(
    payload=st.binary(max_size=60),
    base=st.sampled_from([JP2K(), Zlib()]),
    kind=st.sampled_from([0, 1, 2, 16, 17, 18, 34, 50]),
    level=st.integers(0, 3),
)
def test_any_bytes_decode_or_are_refused(payload, base, kind, level):
    fitted = Cells(Line(0.0, 0.5), Widths(45))
    with suppress(FormatError):
        numbers = context.decode(
            bytes([kind]) + payload, (2, 20, 17), np.dtype("f4"), fitted, base, level=level
        )
        assert numbers.dtype == np.int32


@pytest.mark.parametrize("base", [JP2K(), JP2K(coder="ht"), Zlib()], ids=str)
def test_changed_bytes_decode_or_are_refused(base):
    x = field(1, 40, 40)
    payload, fitted = check(x, 0.1, base)
    rng = np.random.default_rng(0)
    for _ in range(60):
        changed = bytearray(payload)
        changed[int(rng.integers(len(payload)))] = int(rng.integers(256))
        with suppress(FormatError):
            numbers = context.decode(bytes(changed), x.shape, x.dtype, fitted, base)
            assert numbers.shape == x.shape
    for stop in range(0, len(payload) // 2, 37):
        with pytest.raises(FormatError):
            context.decode(payload[:stop], x.shape, x.dtype, fitted, base)


def test_impossible_heads_are_refused():
    for head in (b"\x02\x15\x01", b"\x02\x90\0\0\1", b"\x02\x08\x05" + bytes(40), b"\x02\x08\x01ab"):
        with pytest.raises(FormatError):
            read_head(head, 1, (2, 20, 20))


def test_every_openjpeg_hands_out_the_same_indices(monkeypatch):
    from functools import partial

    from frazil.jpeg2000 import openjpeg
    from frazil.jpeg2000.library import candidates

    x = field(2, 90, 110)
    decode = openjpeg.decode
    libraries = candidates()
    assert len(libraries) > 1
    for base in (JP2K(psnr=45), JP2K(psnr=45, coder="ht")):
        fitted = cells.fit(x, 0.05)
        payload, numbers = context.encode(x, fitted, base)
        for path in libraries:
            monkeypatch.setattr(openjpeg, "decode", partial(decode, path=path))
            assert np.array_equal(context.decode(payload, x.shape, x.dtype, fitted, base), numbers)
        monkeypatch.undo()
