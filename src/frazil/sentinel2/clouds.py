"""Where a Sentinel-2 cube shows the ground."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from frazil.sentinel2.bands import BANDS, check_bands

if TYPE_CHECKING:
    import numpy.typing as npt

SCALE = 10_000
"""Number that stands for a reflectance of 1."""


def cloud_free(cube: npt.ArrayLike, *, scale: float = SCALE) -> npt.NDArray[np.bool_]:
    """Say which points show the ground: neither bright white clouds nor missing.

    Parameters
    ----------
    cube : array_like, shape (..., 12, y, x)
        Reflectance times ``scale``.
    scale : float, default 10000
        Number that stands for a reflectance of 1.

    Returns
    -------
    ndarray of bool, shape (..., y, x)
        False where data are missing (NaN, or 0 in all bands) and where all of these hold, with the bands as
        reflectance from 0 to 1:

        - B02 - B04 / 2 > 0.08: bright in the blue beyond haze;
        - the mean distance of B02, B03 and B04 from their mean, over the mean, three times, < 0.7: white;
        - B08 / B11 > 0.75: no bare rock or sand;
        - B12 > 0.03 and NDVI < 0.8, with NDVI = (B08 - B04) / (B08 + B04).

    Raises
    ------
    UnsupportedArrayError
        If the third axis from the end is not of twelve bands.

    Notes
    -----
    The tests of Fmask that need no thermal band (Zhu and Woodcock, 2012, doi:10.1016/j.rse.2011.10.028),
    without its NDSI threshold: snow, NDSI = (B03 - B11) / (B03 + B11) near 0.8, counts as cloud unless B12 is
    dark, since clouds of ice look the same here. Thin cirrus and shadows are not found. Good enough to keep
    clouds out of a score; it is no product.

    Examples
    --------
    >>> cube = np.full((12, 1, 2), 500)
    >>> cube[:, 0, 1] = 6000
    >>> cloud_free(cube).tolist()
    [[True, False]]
    """
    x = np.asarray(cube)
    check_bands(x.shape)
    blue, green, red, nir, swir, longest = (
        x[..., BANDS.index(name), :, :].astype("f4") / np.float32(scale)
        for name in ("B02", "B03", "B04", "B08", "B11", "B12")
    )
    mean = (blue + green + red) / 3
    distance = abs(blue - mean) + abs(green - mean) + abs(red - mean)
    # Products, not quotients: reflectance may be 0.
    cloud = (blue - red / 2 > 0.08) & (distance < 0.7 * mean) & (nir > 0.75 * swir)
    cloud &= (longest > 0.03) & (nir - red < 0.8 * (nir + red))
    present = np.isfinite(x).all(-3) & (x != 0).any(-3)
    return np.asarray(present & ~cloud)
