"""Quantisation steps of the subbands as both engines derive them, and as QCD and CAP state them (Annex E)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from frazil.jpeg2000.codestream import Layout

# L2 norms of the 9/7 synthesis basis functions, rounded as OpenJPEG has them: by band, then level.
NORMS_97 = (
    (1.000, 1.965, 4.177, 8.403, 16.90, 33.84),
    (2.022, 3.989, 8.355, 17.04, 34.27, 68.63),
    (2.022, 3.989, 8.355, 17.04, 34.27, 68.63),
    (2.080, 3.865, 8.307, 17.18, 34.71, 69.59),
)
# The square roots of energy gains from which OpenJPH derives its steps, low and high, by level.
GAINS_97 = (
    (1.0000, 1.4021, 2.0304, 2.9012, 4.1153, 5.8245),
    (1.4425, 1.9669, 2.8839, 4.1475, 5.8946, 8.3472),
)
# Bounds on the growth of the reversible 5/3 transform, low and high, by level (OpenJPH).
GROWTH_53 = (
    (1.0000, 1.5000, 1.6250, 1.6875, 1.6963, 1.7067),
    (2.0000, 2.5000, 2.7500, 2.8047, 2.8198, 2.8410),
)


def _bands(d: int) -> list[tuple[int, int]]:
    """(level, orientation) of the subbands in codestream order: LL, then HL, LH, HH from coarse to fine."""
    return [(d, 0)] + [(level, band) for level in range(d, 0, -1) for band in (1, 2, 3)]


@lru_cache(maxsize=64)
def steps(layout: Layout) -> list[int]:
    """List the quantisation fields of QCD, one a subband (equations E-3 and E-5)."""
    bands = _bands(layout.decompositions)
    if layout.reversible and layout.ht:
        return [exponent - reversible_guard(layout) for exponent in _growth(layout)]
    if layout.reversible:
        return [layout.bits + (0, 1, 1, 2)[band] for _, band in bands]
    if layout.ht:
        return [_ht_step(layout.step, d, band) for d, band in bands]
    return [_ebcot_step(layout.bits, d, band) for d, band in bands]


def _growth(layout: Layout) -> list[int]:
    """Bits that a coefficient of each subband can take under the 5/3 transform."""
    low, high = GROWTH_53
    return [
        layout.bits
        + math.ceil(
            math.log2(low[d] * low[d] if band == 0 else high[d - 1] * (high[d - 1] if band == 3 else low[d]))
        )
        for d, band in _bands(layout.decompositions)
    ]


def reversible_guard(layout: Layout) -> int:
    """Guard bits of reversible HT: more where coefficients grow beyond 31 bits."""
    return max(1, max(_growth(layout)) - 31)


def _ebcot_step(bits: int, level: int, band: int) -> int:
    """One sample unit of error in the picture, as OpenJPEG rounds it."""
    norm = NORMS_97[band][level if band == 0 else level - 1]
    fixed = math.floor(8192 / norm)
    log = fixed.bit_length() - 1
    mantissa = (fixed >> log - 11 if log > 11 else fixed << 11 - log) & 0x7FF
    return bits - (log - 13) << 11 | mantissa


def _ht_step(base: float, level: int, band: int) -> int:
    """Divide the base step by the band's gain, in single precision as OpenJPH computes it."""
    low, high = (np.array(gains, "f4") for gains in GAINS_97)
    gain = low[level] if band == 0 else high[level - 1]
    other = low[level] if band in (0, 1, 2) else high[level - 1]
    delta = np.float32(base) / (gain * other)
    exponent = 0
    while delta < 1:
        delta *= np.float32(2)
        exponent += 1
    mantissa = min(math.floor(float(delta * np.float32(2048)) + 0.5) - 2048, 0x7FF)
    return exponent << 11 | mantissa


def capability(layout: Layout, fields: list[int], d: int) -> int:
    """Ccap15 of the CAP marker: the transform, and the magnitude bound (15444-15, 8.7)."""
    if layout.reversible:
        bound = max(fields) + reversible_guard(layout) - 1
    else:
        bound = max((s >> 11) + 1 - (d - (i - 1) // 3 if i else d) for i, s in enumerate(fields))
    code = 0 if bound <= 8 else bound - 8 if bound < 28 else 13 + (bound >> 2) if bound < 48 else 31
    return (0 if layout.reversible else 0x20) | code
