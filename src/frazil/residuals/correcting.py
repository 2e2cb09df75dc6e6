"""Codes that bring each point of a base into its cell, and the coefficients that foretell them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from frazil.entropy.coder import PAD
from frazil.residuals import loop
from frazil.residuals.based import BENDS, FORETOLD, Based, write_signed
from frazil.residuals.codes import encode_codes

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]
    Valid = npt.NDArray[np.bool_]

SMALL = 1 << 15  # bytes of a payload below which contexts are tried both ways


def correct(
    wanted: Ints,
    widths: Ints,
    based: Based,
    valid: Valid | None,
    *,
    profile: str,
    aligned: bool = False,
    thorough: bool = True,
) -> tuple[bytes, Ints]:
    """Code what a base misses; ``thorough`` tries contexts and coefficients, and without."""
    factors = _fit(wanted, widths, based, valid)
    hints = hints_of(based.numbers, widths) if based.sure else None
    best: tuple[bytes, Ints] | None = None
    for with_factors in (True, False) if thorough else (True,):
        if with_factors and not factors.any():
            continue
        used = factors if with_factors else np.zeros_like(factors)
        codes, rebuilt = np.empty(wanted.shape, np.int32), np.empty(wanted.shape, np.int32)
        loop.close(
            wanted, codes, based.numbers, *there(valid), widths, used, based.sure, aligned, False, rebuilt
        )
        told = b"".join(write_signed(int(factor)) for factor in used) if with_factors else b""
        few = best is None or len(best[0]) < SMALL
        for own in (hints, None) if hints is not None and thorough and few else (hints,):
            flags = based.kind | FORETOLD * with_factors | BENDS * (own is not None)
            stream = encode_codes(codes, valid, profile=profile, hints=own)
            if own is not None and len(stream) == 1:
                flags &= ~BENDS
            payload = bytes([flags]) + based.head + told + stream
            if best is None or len(payload) < len(best[0]):
                best = payload, rebuilt
    if best is None:
        return correct(wanted, widths, based, valid, profile=profile, aligned=aligned)
    return best


def there(valid: Valid | None) -> tuple[Valid, bool]:
    """Return ``valid`` for kernels, and whether it says anything."""
    return (np.ones((1, 1, 1), np.bool_), False) if valid is None else (np.ascontiguousarray(valid), True)


def _fit(wanted: Ints, widths: Ints, based: Based, valid: Valid | None) -> npt.NDArray[np.int64]:
    """Least squares by the encoder alone: the coefficients are stored."""
    normal, right = loop.fit(wanted, based.numbers, *there(valid), widths, based.sure)
    with np.errstate(all="ignore"):
        found = np.linalg.solve(normal, right) * (1 << loop.PLACES)
    found = np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
    whole: npt.NDArray[np.int64] = np.rint(np.clip(found, -8191, 8191)).astype(np.int64)
    return whole


def hints_of(base: Ints, widths: Ints) -> tuple[Ints, Ints, Ints]:
    """Return contexts from what the base knows, the same on every machine."""
    n, y, x = base.shape
    near, far, texture = (np.zeros((n, y + 2 * PAD, x + 2 * PAD), np.int32) for _ in range(3))
    loop.hints(base, widths, near, far, texture)
    return near, far, texture
