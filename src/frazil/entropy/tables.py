"""Tables of the coder of planes, from whole numbers alone: the same on every machine.

``SQUASH`` and ``STRETCH`` turn log odds, in 1/256 of a nat, into probabilities
and back, as in Mahoney's paq (2005). A C library's ``exp`` may differ in the last
bit from one machine to the next; powers of one long integer do not. The tables
are narrow, to fit a processor's first cache.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Table = npt.NDArray[Any]

# e ** (1 / 512), times 2 ** 96 and rounded: the longest walk below loses some 12 of 96 bits.
ROOT = 79383056233333154183471289789
BITS = 96
FURTHEST = 2900  # log odds beyond it are taken for it
ENERGIES = 104  # classes of energy: quarters of octaves
LIMIT = 250  # a probability goes on moving by about 1 / 250


def _odds(steps: int) -> list[int]:
    """``exp(k / 512)`` for k = 0 .. steps, times ``2 ** BITS``."""
    powers = [1 << BITS]
    for _ in range(steps):
        powers.append((powers[-1] * ROOT + (1 << (BITS - 1))) >> BITS)
    return powers


def _squash() -> tuple[Table, Table]:
    powers = _odds(2 * FURTHEST + 1)
    one = 1 << BITS
    squash = np.empty(4096, np.uint16)
    for i in range(4096):
        x = max(-FURTHEST, min(FURTHEST, 2 * i - 4095))
        odds = powers[2 * abs(x)]
        share = (65536 * (odds if x >= 0 else one) + ((one + odds) >> 1)) // (one + odds)
        squash[i] = max(6, min(65530, share))
    halves = powers[1::2]  # exp((k + 1/2) / 256): where rounding goes from k to k + 1
    stretch = np.empty(4096, np.int16)
    for i in range(2048):
        stretch[i + 2048] = bisect_right(halves, (one * (2 * i + 4097)) // (4095 - 2 * i))
    stretch[:2048] = -stretch[:2047:-1]
    return squash, stretch


def _levels(level: Callable[[int], int]) -> Table:
    return np.array([level(value) for value in range(4096)], np.uint8)


SQUASH, STRETCH = _squash()
#: How far the n-th decision under a context moves its probability: 65536 / (n + 1.6).
RATE = np.array([5 * 65536 // (5 * n + 8) for n in range(512)], np.int32)
#: How much a probability that has seen n decisions counts when several are mixed; 256 is all.
TRUST = np.array(
    [(256 * (20 * n + 12) + 5 * (2 * n + 3)) // (10 * (2 * n + 3)) for n in range(512)], np.int32
)
#: 4 log2 of an energy, and 1 more.
QUARTER = _levels(lambda v: min(ENERGIES - 1, (v**4).bit_length()))
#: Twelve and six classes of a sum of magnitudes.
TWELVE = _levels(lambda v: v if v < 4 else 4 + bisect_right([6, 9, 14, 22, 36, 64, 128], v))
SIX = _levels(lambda v: v if v < 3 else 3 + bisect_right([5, 10], v))
