"""What samples of a lower resolution are, in words: it depends on the method (docs/explanation/bounds.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frazil.bounds import Bound


def meaning(method: str, bound: Bound, level: int, codec: Any = None) -> str:
    """Say what samples at 1/2**level of the resolution are, and whether a bound holds there.

    Parameters
    ----------
    method : {"auto", "interpolation", "wavelet"}
    bound : Bound
    level : int
        1 or more.
    codec : codec, optional
        The base codec, whose errors are corrected at full resolution only.

    Examples
    --------
    >>> from frazil.bounds import parse
    >>> meaning("interpolation", parse(0.1), 2)
    'points 0, 4, 8 ... of each chunk, within the bound abs:0.1'
    >>> meaning("wavelet", parse(0.1), 1)
    'low band of a wavelet transform; no bound holds'
    """
    if codec is not None:
        from frazil.residuals.base import name

        return f"what the base codec {name(codec)} gives without its corrections; no bound holds"
    if bound.kind == "array":
        within = "within their bounds"
    elif bound.kind == "abs" and bound.value == 0:
        within = "exactly"
    else:
        within = f"within the bound {bound.text}"
    step = 1 << level
    points = f"points 0, {step}, {2 * step} ... of each chunk, {within}"
    band = "low band of a wavelet transform; no bound holds"
    if method == "interpolation":
        return points
    if method == "wavelet":
        return band
    return f"{points}; or, where a chunk's method is 'wavelet', {band} ('frazil inspect' lists methods)"
