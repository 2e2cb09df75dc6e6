"""CF packing: missing values become NaN, integers become the numbers they stand for.

The arithmetic is xarray's, operation by operation and in the same precision,
so that the values are those of `xarray.open_zarr` bit for bit; a test holds
it to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr


@dataclass(frozen=True)
class Unpacking:
    """From stored values to floats.

    Parameters
    ----------
    stored : numpy.dtype
        Of the array in the store.
    dtype : numpy.dtype
        float32 or float64.
    working : numpy.dtype
        Floats (or, without packing, anything) in which xarray computes before ``dtype``.
    missing : tuple of numbers
        Stored values that become NaN.
    scale, offset : float or None
        ``scale_factor`` and ``add_offset``.
    unsigned : numpy.dtype or None
        What the stored integers really are (``_Unsigned``).
    """

    stored: np.dtype[Any]
    dtype: np.dtype[Any]
    working: np.dtype[Any]
    missing: tuple[Any, ...] = ()
    scale: Any = None
    offset: Any = None
    unsigned: np.dtype[Any] | None = None

    @property
    def is_copy(self) -> bool:
        """Whether the stored bytes are the decoded ones, so that a codec may decode into the output."""
        return (
            self.stored == self.dtype
            and self.stored.isnative
            and not self.missing
            and self.scale is None
            and self.offset is None
        )

    def apply(self, raw: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
        """Write what ``raw`` stands for into ``out``, of the same shape and of `dtype`."""
        if self.unsigned is not None:
            raw = raw.view(self.unsigned)
        target = out if self.working == out.dtype else np.empty(raw.shape, self.working)
        np.copyto(target, raw, casting="unsafe")
        if self.missing:
            gaps = target == self.missing[0]
            for value in self.missing[1:]:
                gaps |= target == value
            target[gaps] = np.nan
        if self.scale is not None:
            target *= self.scale
        if self.offset is not None:
            target += self.offset
        if target is not out:
            np.copyto(out, target, casting="unsafe")


def unpacking(name: str, raw: xr.Variable, stored: np.dtype[Any]) -> Unpacking:
    """Read from the attributes of an undecoded variable how its values are packed.

    Parameters
    ----------
    name : str
        For xarray's messages.
    raw : xarray.Variable
        As `xarray.open_zarr` gives it with ``decode_cf=False``.
    stored : numpy.dtype
        Of the decoded chunks, in whose byte order xarray does not show them.
    """
    import xarray as xr

    attrs = raw.attrs
    seen = {k: v for k, v in attrs.items() if k != "missing_value" or "_FillValue" not in attrs}
    probe = xr.Variable(("x",), np.zeros(1, stored.newbyteorder("=")), seen)  # two of them make xarray warn
    working = xr.conventions.decode_cf_variable(name, probe, decode_times=False, decode_timedelta=False).dtype
    unsigned, to_stored = None, _same
    if "_Unsigned" in attrs and stored.kind in "iu":
        other = "u" if attrs["_Unsigned"] == "true" else "i"
        if other != stored.kind:
            unsigned = np.dtype(f"{stored.byteorder.replace('|', '=')}{other}{stored.itemsize}")
            to_stored = _viewed_as(stored, unsigned)
    values = [v for key in ("_FillValue", "missing_value") if key in attrs for v in np.ravel(attrs[key])]
    missing = tuple(to_stored(v) for v in values if not _is_nan(v))
    return Unpacking(
        stored,
        as_float(working),
        working if working.kind == "f" else as_float(working),
        missing,
        _number(attrs.get("scale_factor")),
        _number(attrs.get("add_offset")),
        unsigned,
    )


def as_float(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 where it holds every value of ``dtype``, else float64.

    Examples
    --------
    >>> as_float(np.dtype("i2")), as_float(np.dtype("i4")), as_float(np.dtype(">f4"))
    (dtype('float32'), dtype('float64'), dtype('float32'))
    """
    return np.dtype(np.float32 if np.can_cast(dtype, np.float32) else np.float64)


def _same(value: Any) -> Any:
    return value


def _viewed_as(stored: np.dtype[Any], unsigned: np.dtype[Any]) -> Any:
    def view(value: Any) -> Any:
        return np.array(value).astype(stored).view(unsigned).item()

    return view


def _is_nan(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _number(value: Any) -> Any:
    return np.asarray(value).item() if np.ndim(value) else value
