"""What is kept beside the bound: the sign of each value, and the mean of each plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import FormatError

if TYPE_CHECKING:
    import numpy.typing as npt

HUNDREDTH = 0.01


def doubtful(
    planes: npt.NDArray[Any], margin: float | npt.NDArray[np.float64], known: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.bool_]:
    """Points whose decoded value is so near to zero that the original may have the other sign.

    ``margin`` is at least the bound; every machine decides alike, since the values are alike.
    """
    near: npt.NDArray[np.bool_] = np.abs(planes.astype("f8")) <= margin
    return near if known is None else near & known


def write_signs(original: npt.NDArray[Any], decoded: npt.NDArray[Any], where: npt.NDArray[np.bool_]) -> bytes:
    """Write which of the points ``where`` have to change sign; empty if none has.

    Parameters
    ----------
    original, decoded : ndarray, shape (n, y, x)
        Values; ``original`` is not zero.
    where : ndarray of bool, shape (n, y, x)
    """
    from frazil.residuals.context import encode_codes

    wrong = ((original < 0) != (decoded < 0)) & where
    zero = (decoded == 0) & where
    if not wrong.any() and not zero.any():
        return b""
    return encode_codes(wrong.astype(np.int32), where)


def apply_signs(planes: npt.NDArray[Any], payload: bytes, where: npt.NDArray[np.bool_]) -> None:
    """Change the signs that `write_signs` listed, in place; a zero becomes the smallest number of its sign.

    If a value and its reconstruction differ in sign and by less than the
    bound, then so do their magnitudes: turning the sign keeps the bound.
    """
    from frazil.residuals.context import decode_codes

    n, y, x = planes.shape
    wrong = decode_codes(payload, (n, y, x), where)
    if wrong.size and not (wrong.min() >= 0 and wrong.max() <= 1):
        raise FormatError("section S does not hold signs")
    least = np.finfo(planes.dtype).smallest_subnormal if planes.dtype.kind == "f" else planes.dtype.type(1)
    turned = (wrong == 1) & where
    np.copyto(planes, least, where=where & (planes == 0))
    np.negative(planes, out=planes, where=turned)


def mean_errors(
    original: npt.NDArray[Any],
    decoded: npt.NDArray[Any],
    known: npt.NDArray[np.bool_] | None,
) -> npt.NDArray[np.float64]:
    """Mean error of each plane, shape (n,), over the points with data; 0 where a plane has none."""
    errors = decoded.astype("f8") - original.astype("f8")
    if known is None:
        return np.asarray(errors.mean(axis=(1, 2)))
    counts = known.sum(axis=(1, 2))
    return np.asarray((errors * known).sum(axis=(1, 2)) / np.maximum(counts, 1))


def tolerated(
    allowed: float | npt.NDArray[np.float64], known: npt.NDArray[np.bool_] | None, planes: int
) -> npt.NDArray[np.float64]:
    """Return a hundredth of each plane's mean bound, shape (n,)."""
    if isinstance(allowed, float):
        return np.full(planes, HUNDREDTH * allowed)
    weights = np.ones(allowed.shape, bool) if known is None else known
    counts = np.maximum(weights.sum(axis=(1, 2)), 1)
    with np.errstate(over="ignore"):
        return np.asarray(HUNDREDTH * np.where(weights, allowed, 0).sum(axis=(1, 2)) / counts)


def shift(planes: npt.NDArray[Any], payload: bytes) -> None:
    """Add to each plane what section ``E`` says, in place.

    Raises
    ------
    FormatError
        If it is not one number a plane.
    """
    if len(payload) != 4 * len(planes):
        raise FormatError(f"section E holds {len(payload)} bytes for {len(planes)} planes")
    shifts = np.frombuffer(payload, "<f4").astype("f8")
    if not np.isfinite(shifts).all():
        raise FormatError("section E shifts planes by what is no number")
    for plane, by in zip(planes, shifts, strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            moved = plane.astype("f8") + by
            if planes.dtype.kind in "iu":  # beyond its range, processors make different integers of a float
                info = np.iinfo(planes.dtype)
                np.clip(moved, info.min, info.max, out=moved)
            plane[...] = moved
