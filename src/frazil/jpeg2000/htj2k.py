"""HTJ2K by OpenJPH, through imagecodecs (ISO/IEC 15444-15): tens of times faster than EBCOT to encode.

The rate is set by one quantisation step for all planes of a chunk. OpenJPH
0.26 wraps around where a lossy sample leaves the range of its type
(aous72/OpenJPH#234), so lossy levels keep away from both ends: see `HEADROOM`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import EngineError, FormatError

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.jpeg2000.codestream import Layout

HEADROOM = 4096  # of 65536 levels, at each end
LEVELS = 65535 - 2 * HEADROOM
COARSEST, FINEST = 0.5, 2.0**-16
THINNEST = 16


def takes(shape: tuple[int, ...]) -> bool:
    """Tell whether planes of this shape are for HT; others go to EBCOT, whatever coder was asked for.

    imagecodecs takes a last axis of one for samples of a pixel. And planes of a
    few rows, such as variables on unstructured points, cost HT six times the
    error at equal bytes.
    """
    return min(shape[-2:]) >= THINNEST


def encode(planes: npt.NDArray[Any], layout: Layout) -> bytes:
    """Encode planes (n, y, x) of uint8, uint16 or uint32, with one tile-part a resolution.

    Raises
    ------
    EngineError
        If the library refuses.
    """
    import imagecodecs

    rate: dict[str, Any] = {"reversible": True} if layout.reversible else {"level": layout.step}
    try:
        return bytes(
            imagecodecs.htj2k_encode(
                planes if len(planes) > 1 else planes[0],
                planar=True if len(planes) > 1 else None,
                resolutions=layout.decompositions,
                tlm=True,
                tilepart=1,
                **rate,
            )
        )
    except Exception as problem:
        raise EngineError(f"OpenJPH could not encode planes of shape {planes.shape}: {problem}") from problem


def decode(stream: bytes, shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    """Decode a codestream to planes of ``shape`` (n, y, x), uint8, uint16 or uint32.

    Raises
    ------
    FormatError
        If the library cannot decode the bytes.
    """
    import imagecodecs

    try:
        # Resilient: a damaged block becomes zeros. Otherwise OpenJPH throws inside a function of imagecodecs
        # that cannot pass it on, which prints to stderr and goes on with an array of zeros.
        planes = np.asarray(
            imagecodecs.htj2k_decode(stream, planar=True if shape[0] > 1 else None, resilient=True)
        )
    except Exception as problem:
        raise FormatError(f"OpenJPH cannot decode this codestream: {problem}") from problem
    if planes.size != shape[0] * shape[1] * shape[2]:
        raise FormatError(f"OpenJPH decoded planes of shape {planes.shape}, expected {shape}")
    return planes.reshape(shape)


def round_step(step: float) -> float:
    """Round a quantisation step to the eight bits of mantissa that are stored, within the engine's range.

    Examples
    --------
    >>> round_step(0.001)
    0.00099945068359375
    """
    bounded = min(max(step, FINEST), COARSEST)
    return float((np.float32(bounded).view("u4") & np.uint32(0xFFFF0000)).view("f4"))
