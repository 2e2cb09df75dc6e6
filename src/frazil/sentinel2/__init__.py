"""Sentinel-2 Level-2A cubes: bands, the values they really hold, and errors that clouds do not hide.

A cube has the twelve bands of Level-2A on its third axis from the end, (..., 12, y, x), in the order of
`BANDS`: those of the instrument without B10, which has no surface reflectance. Numbers are reflectance times
`SCALE` unless said otherwise; products since processing baseline 04.00 (January 2022) hold 1000 more, to be
taken off before.

The instrument sees four bands at 10 m, six at 20 m and two at 60 m (ESA, Sentinel-2 User Handbook, 2015).
Cubes made for machine learning hold all of them at 10 m, interpolated, so that more than half of their values
are no measurements. A ratio of bytes should be counted against what there was: `true_values`.
"""

from frazil.sentinel2.bands import BANDS, RESOLUTIONS, bands_at, from_native, to_native, true_values
from frazil.sentinel2.clouds import SCALE, cloud_free
from frazil.sentinel2.scores import Errors, blockiness, errors

__all__ = [
    "BANDS",
    "RESOLUTIONS",
    "SCALE",
    "Errors",
    "bands_at",
    "blockiness",
    "cloud_free",
    "errors",
    "from_native",
    "to_native",
    "true_values",
]
