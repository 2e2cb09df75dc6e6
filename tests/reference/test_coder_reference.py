"""A reader of planes written from docs/format/coder.md alone reads what frazil writes."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import coder_reference as reference
import google_crc32c
import numpy as np
import pytest

from frazil.entropy import coder, states, tables

TABLE = (resources.files("frazil.entropy") / "states-1.bin").read_bytes()
WEIGHTS = (8, 5, 14, 4, 15, 2, 3, 9)


def test_tables_are_the_same():
    for name in ("SQUASH", "STRETCH", "RATE", "TRUST", "QUARTER", "TWELVE", "SIX"):
        assert getattr(tables, name).tolist() == getattr(reference, name), name


@pytest.mark.parametrize("number", [0, 1])
def test_states_are_the_same(number):
    ours = states.load(number)
    theirs = reference.States.read(TABLE) if number else reference.States.nothing()
    assert ours.slots.tolist() == theirs.slots
    assert ours.mix.tolist() == theirs.mix
    assert (ours.stencils == theirs.stencils).all()
    assert (ours.weights == theirs.weights).all()


def padded(plane: np.ndarray) -> np.ndarray:
    return np.pad(plane, coder.PAD).astype(np.int32)


def numbers(rng: np.random.Generator, size: float) -> np.ndarray:
    q = rng.geometric(1 / size, (23, 52)) - 1
    q = np.where(rng.random(q.shape) < 0.5, q, -q)
    q[5:11, 8:] = 0
    q[15, 20], q[15, 23] = -coder.FURTHEST, 12345
    return q


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("inter", [False, True])
@pytest.mark.parametrize("size", [1.05, 20, 5000])
@pytest.mark.parametrize("models", [1, 3])
def test_planes(models, size, inter, masked):
    rng = np.random.default_rng(int(10 * size))
    q, previous = numbers(rng, size), numbers(rng, size)
    valid = rng.random(q.shape) < 0.8
    valid[7, 10:40] = False
    q = np.where(valid, q, 0) if masked else q
    near, far = (rng.integers(0, int(2 * size), q.shape) * (q != 0) for _ in range(2))
    texture, signs = rng.integers(0, 40, q.shape) * (q != 0), rng.integers(0, 9, q.shape)
    table = states.load(1)
    slots, mix = table.start(models)
    machine, words = coder.writer(q.size)
    encode = coder.encode_best if models == 3 else coder.encode_fast
    before = np.pad(previous, coder.PAD, mode="edge").astype(np.int32)
    state = slots, mix, machine, words
    coder.code_bit(1, coder.SIDE, False, slots, machine, words)
    for number in (0, 7, -1000, 1 << 29):
        coder.code_number(number, coder.SIDE + 64, False, slots, machine, words)
    for kind in (0, 14):
        encode(
            padded(q),
            np.pad(valid, coder.PAD).view(np.uint8) if masked else np.ones((1, 1), np.uint8),
            masked,
            *q.shape,
            kind,
            *(padded(hint) for hint in (near, far, texture, signs)),
            before,
            inter,
            np.array(WEIGHTS, np.int64),
            *state,
        )
    slow = reference.PlaneCoder(coder.finish(machine, words), models, reference.States.read(TABLE))
    assert slow.bit(reference.SIDE) == 1
    assert [slow.number(reference.SIDE + 64) for _ in range(4)] == [0, 7, -1000, 1 << 29]
    for kind in (0, 14):
        found = slow.plane(
            *q.shape,
            kind,
            WEIGHTS,
            near,
            far,
            texture,
            signs,
            before[2:-2, 1:-1] if inter else None,
            valid if masked else None,
        )
        assert (found == q).all()


def test_page_states_the_checks_of_all_tables():
    page = (Path(__file__).parents[2] / "docs" / "format" / "coder.md").read_text()
    for table, dtype in ((reference.SQUASH, "<u2"), (reference.STRETCH, "<i2")):
        assert f" {google_crc32c.value(np.array(table, dtype).tobytes()):08x}" in page
    for number in (0, 1):
        known = reference.States.read(TABLE) if number else reference.States.nothing()
        checks = [google_crc32c.value(np.array(part, "<i4").tobytes()) for part in (known.slots, known.mix)]
        assert f"| {number} | {checks[0]:08x} | {checks[1]:08x} |" in page
    assert TABLE[:4] == google_crc32c.value(TABLE[4:]).to_bytes(4, "little")
    assert f"`{TABLE[:4].hex(' ')}`" in page
