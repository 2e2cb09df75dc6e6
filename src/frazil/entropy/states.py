"""What the coders know before the first number: tables trained on fields, each with a number for ever.

::

    bytes   field of states-N.bin
    4       CRC-32C of what follows, little-endian
    ...     deflated (RFC 1951, in RFC 1950's frame):
              slots      u1   log odds of each slot, in 17/256 of a nat, + 128
              slots      u1   how many decisions it counts for
              mix        <i2  mixing weights of three models, in 1/4096
              stencils   <i2  (3, 2, 13) of the interpolation coder, in 1/4096
              weights    u1   (3, 2, 8) of energies, in 1/64

Small chunks need them: a coder that starts from nothing has learned what it
needs by the time they end. Number 0 is that start from nothing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from frazil.entropy.coder import BINS, CLASSES, SLOTS, fresh
from frazil.entropy.tables import SQUASH, STRETCH
from frazil.errors import EngineError, FormatError

if TYPE_CHECKING:
    import numpy.typing as npt

    Longs = npt.NDArray[np.int64]
    Plane = npt.NDArray[np.int32]

NEWEST = 1
STEP = 17  # of log odds
FEATURES = 13
MIX = CLASSES * BINS * 3


@dataclass(frozen=True)
class States:
    """Initial slots and mixing weights of three models; stencils and weights of the interpolation coder."""

    slots: Plane
    mix: Plane
    stencils: Longs
    weights: Longs

    def start(self, models: int) -> tuple[Plane, Plane]:
        """Return slots and mixing weights for a coder of 1 or 3 models, to be changed by it."""
        if models == 1:
            return self.slots[: SLOTS[1]].copy(), fresh_mix(1)
        return self.slots.copy(), self.mix.copy()


def fresh_mix(models: int) -> Plane:
    """Return mixing weights as they are without training."""
    return np.full(CLASSES * BINS * models, 19661 if models > 1 else 65536, np.int32)


def _nothing() -> States:
    slots, mix = fresh(3)
    stencils = np.zeros((3, 2, FEATURES), np.int64)
    stencils[0, 0, :3] = (-560, -560, 60)
    stencils[1, 0, :5] = (0, 0, 0, -350, -350)
    stencils[2, 0, :6] = (0, 0, 0, -350, -350, 0)
    for kind, count in enumerate((3, 5, 6)):
        stencils[kind, 1, :count] = stencils[kind, 0, :count]
        stencils[kind, 1, count] = 4096
        stencils[kind, 1, count + 1 : 2 * count + 1] = -stencils[kind, 0, :count]
    weights = np.array([[[8, 8, 16, 4, 16, 0, 0, 0], [8, 4, 12, 4, 12, 0, 0, 16]]] * 3, np.int64)
    return States(slots, mix, stencils, weights)


def pack(states: States) -> bytes:
    """Return the bytes of a table."""
    odds = STRETCH[(states.slots >> 19).astype(np.int64)].astype(np.int64)
    parts = (
        (np.rint(odds / STEP).clip(-128, 127) + 128).astype("u1"),
        (states.slots & 511).clip(0, 255).astype("u1"),
        (states.mix >> 4).clip(-32768, 32767).astype("<i2"),
        states.stencils.astype("<i2"),
        states.weights.astype("u1"),
    )
    packed = zlib.compress(b"".join(part.tobytes() for part in parts), 9)
    return int(google_crc32c.value(packed)).to_bytes(4, "little") + packed


def unpack(data: bytes) -> States:
    """Return the states that `pack` packed."""
    if int(google_crc32c.value(data[4:])).to_bytes(4, "little") != data[:4]:
        msg = "a table of initial states that comes with frazil is damaged; install frazil again"
        raise EngineError(msg)
    raw = zlib.decompress(data[4:])
    at = 0

    def take(count: int, dtype: str) -> npt.NDArray[Any]:
        nonlocal at
        part = np.frombuffer(raw, dtype, count, at)
        at += part.nbytes
        return part

    size = SLOTS[3]
    odds = (take(size, "u1").astype(np.int64) - 128) * STEP
    ones = SQUASH[(odds >> 1).clip(-2048, 2047) + 2048].astype(np.int32) << 6
    slots = ones << 9 | take(size, "u1").astype(np.int32)
    mix = take(MIX, "<i2").astype(np.int32) << 4
    stencils = take(6 * FEATURES, "<i2").astype(np.int64).reshape(3, 2, FEATURES)
    return States(slots, mix, stencils, take(48, "u1").astype(np.int64).reshape(3, 2, 8))


@cache
def load(number: int = NEWEST) -> States:
    """Return the table with this number.

    Raises
    ------
    FormatError
        If this frazil has no such table.
    """
    if number == 0:
        return _nothing()
    if not 0 < number <= NEWEST:
        msg = f"the stream starts from table {number} of states, this frazil has {NEWEST}; upgrade frazil"
        raise FormatError(msg)
    return unpack((resources.files("frazil.entropy") / f"states-{number}.bin").read_bytes())
