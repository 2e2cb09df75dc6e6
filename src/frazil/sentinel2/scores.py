"""How far a decoded Sentinel-2 cube is from its original: errors band by band, seams between blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ChunkMismatchError, ConfigurationError
from frazil.sentinel2.bands import BANDS, check_bands

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Errors:
    """Errors band by band.

    Parameters
    ----------
    rmse : ndarray of float64, shape (12,)
        Root mean square error, in the numbers of the cube; NaN if no point was valid.
    nrmse : ndarray of float64, shape (12,)
        The same over the band's spread; infinite where there is an error and no spread.
    points : int
        Valid points, of one band.
    """

    rmse: npt.NDArray[np.float64]
    nrmse: npt.NDArray[np.float64]
    points: int

    def __str__(self) -> str:
        """Return a line for each band."""
        lines = (f"{b}  {r:8.2f}  {n:.4f}" for b, r, n in zip(BANDS, self.rmse, self.nrmse, strict=True))
        return "\n".join(("band    RMSE  nRMSE", *lines))


def errors(
    original: npt.ArrayLike,
    decoded: npt.ArrayLike,
    valid: npt.NDArray[np.bool_] | None = None,
    *,
    spread: npt.ArrayLike | None = None,
) -> Errors:
    """Compare two cubes band by band.

    Parameters
    ----------
    original, decoded : array_like, shape (..., 12, y, x)
        Of any two dtypes.
    valid : ndarray of bool, shape (..., y, x), optional
        Points to compare, as `cloud_free` of the original gives them; by default those that are finite in all
        bands of the original.
    spread : array_like, shape (12,), optional
        What nRMSE is counted in, such as standard deviations over training data; by default the
        standard deviations of the original's valid points.

    Raises
    ------
    ChunkMismatchError
        If the shapes differ.

    Examples
    --------
    >>> cube = np.arange(12 * 36.0).reshape(12, 6, 6)
    >>> found = errors(cube, cube + 2, spread=np.full(12, 4.0))
    >>> found.rmse[0], found.nrmse[0], found.points
    (np.float64(2.0), np.float64(0.5), 36)
    """
    a, b = np.asarray(original), np.asarray(decoded)
    check_bands(a.shape)
    if a.shape != b.shape:
        raise ChunkMismatchError(f"cannot compare shape {a.shape} with shape {b.shape}")
    kept = np.isfinite(a).all(-3) if valid is None else np.asarray(valid, bool)
    if kept.shape != (*a.shape[:-3], *a.shape[-2:]):
        raise ChunkMismatchError(f"valid has shape {kept.shape}, cubes of {a.shape} have no band axis there")
    points = int(np.count_nonzero(kept))
    nothing = np.full(len(BANDS), np.nan)
    if not points:
        return Errors(nothing, nothing.copy(), 0)
    bands = [(np.moveaxis(a, -3, 0)[k][kept], np.moveaxis(b, -3, 0)[k][kept]) for k in range(len(BANDS))]
    rmse = np.array([np.sqrt(np.mean(np.subtract(q, p, dtype="f8") ** 2)) for p, q in bands])
    unit = np.array([p.std(dtype="f8") for p, _ in bands]) if spread is None else np.asarray(spread, "f8")
    with np.errstate(divide="ignore", invalid="ignore"):
        return Errors(rmse, np.where(rmse > 0, rmse / unit, 0.0), points)


def blockiness(decoded: npt.ArrayLike, original: npt.ArrayLike, factor: int) -> float:
    """Measure seams on a regular grid: jumps across its lines over jumps elsewhere, relative to the original.

    Parameters
    ----------
    decoded, original : array_like, shape (..., y, x)
        Planes are pooled: divide bands by their spread first if these differ. Jumps that touch a
        missing value are left out.
    factor : int
        Points between lines: the side of a model's blocks, or of chunks that were coded apart; 2 or more.

    Returns
    -------
    float
        (mean |jump| across lines / mean |jump| elsewhere) of the decoded planes, over the same of the
        original. 1 says that there are no seams, 1.1 that jumps at the lines are a tenth too large; below 1
        the lines are smoothed. Infinite where the only jumps are at the lines.

    Raises
    ------
    ConfigurationError
        If there is no line at this distance.
    ChunkMismatchError
        If the shapes differ.

    Examples
    --------
    >>> x = np.tile(np.arange(32.0), (32, 1))
    >>> blockiness(x, x, 8)
    1.0
    >>> round(blockiness(x + 0.5 * (x // 8), x, 8), 2)  # each block of 8 points is half a unit higher
    1.5
    """
    a, b = np.asarray(decoded), np.asarray(original)
    if a.shape != b.shape:
        raise ChunkMismatchError(f"cannot compare shape {a.shape} with shape {b.shape}")
    if factor < 2 or a.ndim < 2 or max(a.shape[-2:]) <= factor:
        raise ConfigurationError(
            f"lines every {factor!r} points do not divide planes of shape {a.shape}: "
            "2 or more are wanted, and fewer than a side has"
        )
    ratio, unseamed = _seams(a, factor), _seams(b, factor)
    return ratio if unseamed == 0 else 1.0 if ratio == unseamed else ratio / unseamed


def _seams(planes: npt.NDArray[Any], factor: int) -> float:
    """Mean absolute jump across lines over that elsewhere; 1 where nothing jumps."""
    wide = planes.astype("f8")
    sums, counts = np.zeros(2), np.zeros(2)
    for axis in (-1, -2):
        jumps = np.moveaxis(abs(np.diff(wide, axis=axis)), axis, -1)
        line = np.arange(1, jumps.shape[-1] + 1) % factor == 0
        for k, part in enumerate((jumps[..., line], jumps[..., ~line])):
            sums[k] += np.nansum(part)
            counts[k] += np.count_nonzero(~np.isnan(part))
    across, elsewhere = sums / np.maximum(counts, 1)
    if elsewhere == 0:
        return 1.0 if across == 0 else float("inf")
    return float(across / elsewhere)
