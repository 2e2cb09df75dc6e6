"""A part of a variable: its values as Zarr holds them, and the bounds of its points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

PACKING = ("scale_factor", "add_offset", "_FillValue", "missing_value")
ENCODING = (*PACKING, "dtype", "units", "calendar")


def as_stored(values: npt.NDArray[Any], like: xr.Variable, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Pack values as the array that ``like`` was opened from, with its number for missing values.

    Parameters
    ----------
    values : ndarray
        As xarray shows them: masked, scaled, dated.
    like : xarray.Variable
        Its axes and its encoding are taken.
    dtype : numpy.dtype
        Of the array.

    Examples
    --------
    >>> import xarray as xr
    >>> like = xr.Variable("x", [0.0], encoding={"dtype": "i2", "scale_factor": 0.5, "_FillValue": -1})
    >>> as_stored(np.array([1.5, np.nan]), like, np.dtype("i2"))
    array([ 3, -1], dtype=int16)
    """
    encoding = {key: value for key, value in like.encoding.items() if key in ENCODING}
    packed = any(key in encoding and encoding[key] == encoding[key] for key in PACKING)  # not NaN
    if packed or values.dtype.kind not in "iuf":
        import xarray as xr
        from xarray.conventions import encode_cf_variable

        variable = xr.Variable(like.dims, values, {}, encoding)
        values = np.asarray(encode_cf_variable(variable).values)
    return values.astype(dtype, copy=False) if values.dtype.kind == dtype.kind == "f" else values


def bounds_at(bounds: xr.Variable, dims: tuple[Any, ...], at: tuple[slice, ...]) -> npt.NDArray[Any]:
    """Cut the bounds of a region, which may have some of the axes only, and give them all axes.

    Examples
    --------
    >>> import xarray as xr
    >>> bounds_at(xr.Variable("x", [0.1, 0.2, 0.3]), ("t", "x"), (slice(0, 2), slice(1, 3)))
    array([[0.2, 0.3],
           [0.2, 0.3]])
    """
    own = dict(zip(dims, at, strict=True))
    part = bounds.isel({dim: own[dim] for dim in bounds.dims})
    lengths = {dim: where.stop - where.start for dim, where in own.items()}
    full = part.set_dims(lengths)  # type: ignore[no-untyped-call] # xarray's
    return np.asarray(full.transpose(*dims).values)
