"""Arrays to test with: a smooth field, and strategies for what weather never sends and users do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

SPECIALS = {  # bit patterns; the last two NaNs carry a payload and a sign
    "f2": (0x7E00, 0x7C00, 0xFC00, 0x7E2A, 0xFE01),
    "f4": (0x7FC00000, 0x7F800000, 0xFF800000, 0x7FC0002A, 0xFFC00001),
    "f8": (0x7FF8 << 48, 0x7FF0 << 48, 0xFFF0 << 48, (0x7FF8 << 48) + 42, (0xFFF8 << 48) + 1),
}


def bit_equal(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Where two arrays of one dtype hold the same bits: NaN equals the same NaN, and 0.0 is not -0.0.

    Examples
    --------
    >>> bit_equal(np.array([np.nan, 0.0]), np.array([np.nan, -0.0]))
    array([ True, False])
    """
    first, second = np.asarray(a, order="C"), np.asarray(b, order="C")
    bits = f"u{first.dtype.itemsize}"
    first, second = (x.astype(x.dtype.newbyteorder("="), copy=False) for x in (first, second))
    return np.asarray(first.reshape(first.shape).view(bits) == second.view(bits))


def field(shape: tuple[int, ...] = (3, 32, 48), dtype: npt.DTypeLike = "f4") -> npt.NDArray[Any]:
    """Return a smooth field with a little weather on it, 60 to 190 whatever the dtype.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype-like

    Examples
    --------
    >>> field((2, 4, 5), "u1").dtype
    dtype('uint8')
    """
    n, y, x = (1, 1, 1, *shape)[-3:]
    t, j, i = np.indices((math.prod(shape[:-2]) if len(shape) > 1 else n, y, x))
    waves = 125 + 50 * np.sin(j / 9 + t / 5) + 10 * np.cos(i / 7 + t) + 2 * np.sin(i * j / 11)
    return np.asarray(np.round(waves, 3).reshape(shape), dtype)


def shapes(max_side: int = 24, max_rank: int = 4) -> st.SearchStrategy[tuple[int, ...]]:
    """Chunk shapes of 0 to ``max_rank`` axes, none of them empty."""
    return hnp.array_shapes(min_dims=0, max_dims=max_rank, min_side=1, max_side=max_side).filter(
        lambda shape: math.prod(shape) <= 4096
    )


@st.composite
def float_arrays(
    draw: st.DrawFn, dtypes: Sequence[str] = ("f4", "f8"), *, specials: bool = True
) -> npt.NDArray[Any]:
    """Draw floating-point chunks: smooth, noisy, constant or wild; with missing values if ``specials``."""
    kind = draw(st.sampled_from(sorted(dtypes)))
    dtype = np.dtype(draw(st.sampled_from("<>")) + kind)
    shape = draw(shapes())
    style = draw(st.sampled_from(["smooth", "noise", "constant", "wild"]))
    if style == "wild":
        elements = st.floats(width=8 * dtype.itemsize, allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]
        array = draw(hnp.arrays(dtype, shape, elements=elements))
    elif style == "constant":
        array = np.full(shape, draw(st.floats(-1000, 1000, width=16)), dtype)
    else:
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        array = (
            field(shape, "f8") if style == "smooth" else rng.normal(draw(st.integers(-300, 300)), 20, shape)
        )
        array = np.asarray(array).astype(dtype)
    if specials and draw(st.booleans()):
        native = np.array(array, dtype.newbyteorder("="), order="C")
        share = draw(st.sampled_from([0.1, 0.5, 1.0]))
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        patterns = rng.choice(np.array(SPECIALS[kind], f"u{dtype.itemsize}"), shape)
        bits = np.where(rng.random(shape) < share, patterns, native.view(f"u{dtype.itemsize}"))
        array = np.asarray(bits.astype(f"u{dtype.itemsize}").view(native.dtype)).astype(dtype)
    return np.asarray(array)


@st.composite
def int_arrays(draw: st.DrawFn, dtypes: Sequence[str] = ("i2", "u2", "i4", "u1")) -> npt.NDArray[Any]:
    """Draw integer chunks: smooth, constant, or anything that the dtype holds."""
    dtype = np.dtype(draw(st.sampled_from("<>")) + draw(st.sampled_from(sorted(dtypes))))
    shape = draw(shapes())
    style = draw(st.sampled_from(["smooth", "constant", "wild"]))
    info = np.iinfo(dtype)
    if style == "smooth":
        return field(shape, dtype)
    if style == "constant":
        return np.full(shape, draw(st.integers(int(info.min), int(info.max))), dtype)
    return draw(hnp.arrays(dtype, shape))


def bounds() -> st.SearchStrategy[float]:
    """Absolute error bounds, in the units of the array; positive."""
    return st.floats(2.0**-13, 100.0, width=32)
