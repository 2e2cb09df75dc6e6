"""Numbers of any type as unsigned integers in the same order, one to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def keys(planes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Unsigned integers in the numerical order of ``planes``, one to one.

    Examples
    --------
    >>> keys(np.array([-1.0, -0.0, 0.0, 1.0], "f4"))
    array([1082130431, 2147483647, 2147483648, 3212836864], dtype=uint32)
    """
    unsigned = np.dtype(f"u{planes.dtype.itemsize}")
    bits = planes.view(unsigned)
    sign = unsigned.type(1 << (8 * unsigned.itemsize - 1))
    if planes.dtype.kind == "u":
        return bits.copy()
    if planes.dtype.kind == "i":
        return np.asarray(bits ^ sign)
    return np.where(bits & sign, ~bits, bits | sign)


def unkeys(numbers: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Invert `keys`."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    sign = unsigned.type(1 << (8 * unsigned.itemsize - 1))
    if dtype.kind == "u":
        return numbers.view(dtype)
    if dtype.kind == "i":
        return np.asarray(numbers ^ sign).view(dtype)
    return np.where(numbers & sign, numbers ^ sign, ~numbers).view(dtype)
