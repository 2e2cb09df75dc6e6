"""The bands of a Sentinel-2 cube, at the resolutions at which they are measured, and all at 10 m."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from frazil.errors import ConfigurationError, UnsupportedArrayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
RESOLUTIONS = (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 20, 20)
"""Metres at which each of `BANDS` is measured."""
COARSEST = 6  # 60 m on the grid of 10 m: sides must divide by it


def bands_at(resolution: int) -> tuple[int, ...]:
    """Return the places on the band axis of the bands measured at 10, 20 or 60 metres.

    Raises
    ------
    ConfigurationError
        If it is another resolution.

    Examples
    --------
    >>> [BANDS[k] for k in bands_at(10)]
    ['B02', 'B03', 'B04', 'B08']
    """
    found = tuple(k for k, metres in enumerate(RESOLUTIONS) if metres == resolution)
    if not found:
        raise ConfigurationError(f"Sentinel-2 measures at 10, 20 and 60 metres, got {resolution!r}")
    return found


def true_values(shape: tuple[int, ...]) -> int:
    """Count the values of a cube at the resolutions at which they were measured.

    Parameters
    ----------
    shape : tuple of int
        Of the cube at 10 m, (..., 12, y, x).

    Returns
    -------
    int
        Some 46 % of the values of the cube, rounded up where a side does not divide by 6.

    Raises
    ------
    UnsupportedArrayError
        If the third axis from the end is not of twelve bands.

    Examples
    --------
    >>> true_values((12, 264, 264)), 12 * 264 * 264
    (387200, 836352)
    """
    check_bands(shape)
    *leading, _, y, x = shape
    a_cube = sum(-(-y * 10 // metres) * -(-x * 10 // metres) for metres in RESOLUTIONS)
    for n in leading:
        a_cube *= n
    return a_cube


def to_native(cube: npt.ArrayLike) -> dict[int, npt.NDArray[Any]]:
    """Take a cube at 10 m back to the resolutions at which its bands were measured, by means.

    Parameters
    ----------
    cube : array_like, shape (..., 12, y, x)
        Sides that divide by 6. Missing values (NaN) make the mean missing.

    Returns
    -------
    dict
        By metres: 10, shape (..., 4, y, x); 20, shape (..., 6, y / 2, x / 2); 60, shape (..., 2, y / 6, x /
        6). Bands are in the order of `BANDS`. Those at 10 m keep the dtype, the means are float32, or float64
        of float64.

    Raises
    ------
    UnsupportedArrayError
        If the shape is another.

    Notes
    -----
    Blocks are counted from the cube's corner. Where it was cut elsewhere than on the border of a 60 m pixel,
    or interpolated, the means are a little smoother than what was measured: this is a resampling, not an
    inverse.

    Examples
    --------
    >>> {metres: planes.shape for metres, planes in to_native(np.ones((12, 66, 60), "u2")).items()}
    {10: (4, 66, 60), 20: (6, 33, 30), 60: (2, 11, 10)}
    """
    x = np.asarray(cube)
    _check_sides(x.shape)
    wide = "f8" if x.dtype == np.float64 else "f4"
    found = {10: x[..., bands_at(10), :, :]}
    for metres in (20, 60):
        factor = metres // 10
        planes = x[..., bands_at(metres), :, :]
        *leading, rows, columns = planes.shape
        blocks = planes.reshape(*leading, rows // factor, factor, columns // factor, factor)
        found[metres] = blocks.mean((-3, -1), dtype="f8").astype(wide)
    return found


def from_native(
    native: Mapping[int, npt.ArrayLike],
    *,
    method: Literal["linear", "nearest"] = "linear",
    dtype: npt.DTypeLike | None = None,
) -> npt.NDArray[Any]:
    """Put bands at their own resolutions on one grid of 10 m.

    Parameters
    ----------
    native : mapping
        As `to_native` returns it.
    method : {"linear", "nearest"}
        "linear" goes straight from centre to centre and is flat outside the outermost; "nearest" repeats, and
        `to_native` gives back what it was given.
    dtype : dtype, optional
        Of the cube; for integers values are rounded, and cut off at the type's range. By default the
        widest of the three.

    Returns
    -------
    ndarray, shape (..., 12, y, x)

    Raises
    ------
    ConfigurationError
        If ``method`` is another.
    UnsupportedArrayError
        If the three shapes do not belong together.

    Examples
    --------
    >>> cube = np.arange(12.0).reshape(12, 1, 1) * np.ones((12, 12, 12))
    >>> bool((from_native(to_native(cube)) == cube).all())
    True
    """
    if method not in {"linear", "nearest"}:
        raise ConfigurationError(f"method is 'linear' or 'nearest', got {method!r}")
    planes = {metres: np.asarray(native[metres]) for metres in (10, 20, 60)}
    *leading, _, y, x = planes[10].shape if planes[10].ndim >= 3 else (0, 0, 0)
    for metres, given in planes.items():
        factor = metres // 10
        wanted = (*leading, len(bands_at(metres)), y // factor, x // factor)
        if given.shape != wanted or y % COARSEST or x % COARSEST or not y * x:
            raise UnsupportedArrayError(
                f"bands at {metres} m have shape {given.shape}, where those at 10 m, of shape "
                f"{planes[10].shape}, ask for {wanted} and sides that divide by {COARSEST}: see to_native"
            )
    common = np.result_type(*planes.values())
    cube = np.empty((*leading, len(BANDS), y, x), common)
    for metres, given in planes.items():
        spread = _linear if method == "linear" else _repeat
        factor = metres // 10
        full = given if factor == 1 else spread(spread(given, factor, -1), factor, -2)
        cube[..., bands_at(metres), :, :] = full
    if dtype is None:
        return cube
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        cube = np.clip(np.rint(cube), limits.min, limits.max)
    return cube.astype(kind)


def _repeat(planes: npt.NDArray[Any], factor: int, axis: int) -> npt.NDArray[Any]:
    return np.repeat(planes, factor, axis)


def _linear(planes: npt.NDArray[Any], factor: int, axis: int) -> npt.NDArray[Any]:
    """Interpolate between the centres of cells that are split into ``factor`` along an axis."""
    n = planes.shape[axis]
    place = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
    left = place.astype(int)
    right = np.minimum(left + 1, n - 1)
    shape = [1] * planes.ndim
    shape[axis] = -1
    weight = (place - left).reshape(shape).astype("f8" if planes.dtype == np.float64 else "f4")
    start = planes.take(left, axis)
    return np.asarray(start + weight * (planes.take(right, axis) - start))


def check_bands(shape: tuple[int, ...]) -> None:
    """Refuse what has no axis of twelve bands."""
    if len(shape) < 3 or shape[-3] != len(BANDS):
        raise UnsupportedArrayError(
            f"a Sentinel-2 cube has shape (..., {len(BANDS)}, y, x), got {shape}; "
            f"its bands are {', '.join(BANDS)}"
        )


def _check_sides(shape: tuple[int, ...]) -> None:
    check_bands(shape)
    if shape[-2] % COARSEST or shape[-1] % COARSEST or not shape[-2] * shape[-1]:
        raise UnsupportedArrayError(
            f"a cube of {shape[-2]} x {shape[-1]} points has no whole pixels of 60 m: "
            f"both sides must divide by {COARSEST}; cut it first"
        )
