"""The slots of the coder of latents: as they are without training, as bytes, and as the kernel takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.entropy import latent_kernel as kernel
from frazil.entropy.tables import ENERGIES, SQUASH, STRETCH

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

ODDS = 17  # of a slot's log odds, a step of its byte
TRUSTED = 30  # a chunk may differ from what was learned: no slot counts for more decisions


def slot_count(channels: int) -> int:
    """Return how many slots latents of so many channels need."""
    return kernel.CHANNEL + channels * kernel.FRACTIONS * kernel.BINS


def fresh_slots(channels: int) -> tuple[Array, Array, Array]:
    """Return odds, counts and mixing weights as they are without training."""
    ones = np.full(slot_count(channels), 1 << 21, np.int64)
    counts = np.zeros(ones.size, "u1")
    both = ones[: kernel.BOTH].reshape(ENERGIES, kernel.FRACTIONS, kernel.BINS)
    counted = counts[: kernel.BOTH].reshape(both.shape)
    for ec in range(ENERGIES):  # a geometric distribution whose mean is the energy
        energy = max(1, (1 << (ec - 1) // 4) * 5 // 4) if ec else 1
        energy >>= max(0, (ec - kernel.CELLS) >> 2)
        share = max(64, min(4032, (energy << 12) // (energy + 256))) << 10
        for b in (0, *range(2, 10)):
            both[ec, :, b] = share
            counted[ec, :, b] = 1
    return _odds(ones), counts, np.full(kernel.MIX, 24000 >> 4, "<i2")


def _odds(ones: Array) -> Array:
    """Return the bytes of probabilities in 22 bits."""
    odds: Array = (np.rint(STRETCH[ones >> 10] / ODDS).clip(-128, 127) + 128).astype("u1")
    return odds


def pack_slots(slots: Array, mix: Array) -> tuple[Array, Array, Array]:
    """Return odds, counts and mix of `LatentStates` for what the kernel left."""
    counts = (slots & 511).clip(0, TRUSTED).astype("u1")
    return _odds(slots >> 9), counts, (mix >> 4).clip(-32768, 32767).astype("<i2")


def open_slots(odds: Array, counts: Array) -> npt.NDArray[np.int32]:
    """Return slots as the kernel takes them, of the bytes that `fresh_slots` or `pack_slots` gave."""
    log_odds = ((odds.astype(np.int64) - 128) * ODDS) >> 1
    ones = SQUASH[log_odds.clip(-2048, 2047) + 2048].astype(np.int32) << 6
    slots: npt.NDArray[np.int32] = ones << 9 | counts.astype(np.int32)
    return slots
