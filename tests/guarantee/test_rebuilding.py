"""Sections of bounded chunks, decoded at every resolution; and what is wrong with hostile ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from frazil.cells import Cells
from frazil.cells.numbering import Line
from frazil.cells.widths import Widths
from frazil.errors import ChecksumError, FormatError, TruncatedError
from frazil.guarantee import rebuilding, record
from frazil.guarantee.rebuilding import POINTS, RECORD, SIGNS, STREAM, rebuild
from frazil.guarantee.task import Task
from frazil.sealing import seal, unseal
from frazil.testing import bit_equal, field

F4 = np.dtype("f4")
SHAPE = (2, 96, 120)


@pytest.fixture(scope="module")
def noisy():
    rng = np.random.default_rng(0)
    return (field(SHAPE) + rng.normal(0, 3, SHAPE)).astype("f4")


@pytest.fixture(scope="module")
def task(noisy):
    return Task(planes=noisy, wide=noisy, known=None, allowed=0.25)


@pytest.fixture(scope="module")
def settled(task):
    return task.settle(task.interpolated(task.cells()))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_lower_levels_are_every_nth_sample(settled, level):
    small = rebuild(settled.sections, SHAPE, F4, level, None, None)
    assert bit_equal(small, settled.planes[:, :: 1 << level, :: 1 << level]).all()


def test_lower_levels_take_a_part_of_the_stream_with_its_own_check(settled):
    said = record.unpack(unseal(settled.sections[RECORD]), F4)
    assert len(said.checks) >= 2
    stream = settled.sections[STREAM]
    for level in (1, 2):
        needed = rebuilding.prefix_needed(said.method, stream, SHAPE, level)
        assert needed < len(stream) / 2
        cut = settled.sections | {STREAM: stream[:needed]}
        expected = settled.planes[:, :: 1 << level, :: 1 << level]
        assert bit_equal(rebuild(cut, SHAPE, F4, level, None, None), expected).all()
        with pytest.raises(TruncatedError, match="too few for level"):
            rebuild(settled.sections | {STREAM: stream[: needed - 1]}, SHAPE, F4, level, None, None)
        damaged = stream[: needed - 3] + bytes([stream[needed - 3] ^ 1]) + stream[needed - 2 :]
        with pytest.raises(ChecksumError, match="are damaged"):
            rebuild(settled.sections | {STREAM: damaged}, SHAPE, F4, level, None, None)


def test_small_streams_have_no_checks():
    assert rebuilding.checks(record.INTERPOLATION, bytes(rebuilding.WORTH - 1), SHAPE) == ()
    assert rebuilding.checks(record.MASK, bytes(rebuilding.WORTH), SHAPE) == ()


@pytest.mark.parametrize("method", range(len(record.METHODS)))
def test_a_method_without_its_section(method):
    said = record.Guarantee(method=method, cells=Cells(Line(0.0, 1.0)) if method in record.COUNTED else None)
    with pytest.raises(FormatError, match="needs section"):
        rebuild({RECORD: seal(said.pack(F4))}, SHAPE, F4, 0, None, None)


def test_no_record():
    with pytest.raises(FormatError, match=r"frazil.bounded needs section 'B'"):
        rebuild({STREAM: b""}, SHAPE, F4, 0, None, None)


def test_corrections_to_no_base():
    said = record.Guarantee(method=record.CONTEXT, cells=Cells(Line(0.0, 1.0), Widths(3)))
    with pytest.raises(FormatError, match="the array's configuration names none"):
        rebuild({RECORD: seal(said.pack(F4)), STREAM: bytes(9)}, SHAPE, F4, 0, None, None)


@pytest.mark.parametrize("method", range(len(record.METHODS)))
@pytest.mark.parametrize("level", [0, 1])
def test_another_method_than_the_stream_was_written_by(settled, method, level):
    """Nonsense values or an error of the tree, nothing else."""
    said = record.unpack(unseal(settled.sections[RECORD]), F4)
    cells = said.cells if method in record.COUNTED else None
    swapped = replace(said, method=method, cells=cells, checks=())
    sections = settled.sections | {RECORD: seal(swapped.pack(F4))}
    try:
        found = rebuild(sections, SHAPE, F4, level, None, None)
    except FormatError:
        assert method not in (said.method, record.EXACT)
    else:
        assert found.shape == (2, 96 >> level, 120 >> level)


def test_corrections_that_are_not_sealed(settled):
    for tag in (POINTS, SIGNS, rebuilding.MEANS):
        with pytest.raises(ChecksumError):
            rebuild(settled.sections | {tag: b"abcde"}, SHAPE, F4, 0, None, None)
    with pytest.raises(FormatError, match="section E holds 3 bytes"):
        rebuild(settled.sections | {rebuilding.MEANS: seal(b"abc")}, SHAPE, F4, 0, None, None)


def test_signs_of_all_points_where_a_base_may_differ(noisy):
    cells = Cells(Line(0.0, 0.1), Widths(5))
    some = rebuilding.where_signs(record.Guarantee(method=record.INTERPOLATION), noisy - 125, cells, None)
    every = rebuilding.where_signs(record.Guarantee(method=record.CONTEXT), noisy - 125, cells, None)
    assert every.all()
    assert (some == (np.abs(noisy - 125) <= 0.45)).all()
