"""Error bounds as a user writes them, and as the absolute numbers that a codec keeps to.

::

    0.1, "abs:0.1"      0.1 in the units of the array
    "rel:1e-3"          a thousandth of the chunk's range (largest less smallest valid value)
    "rel:1e-3:array"    the same of the whole array, which `frazil.to_zarr` turns into a number
    "pw_rel:1e-3"       a thousandth of each value's magnitude
    "local_std:window=15,fraction=0.1,floor=1e-3"
                        a tenth of the standard deviation in the box of 15 x 15 points around,
                        and at least a thousandth of the chunk's range
    "array"             an array of bounds, given beside the data
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from frazil.bounds.spread import from_spread
from frazil.errors import ConfigurationError
from frazil.planes import stack_shape

if TYPE_CHECKING:
    import numpy.typing as npt

    Kind = Literal["abs", "rel", "pw_rel", "local_std", "array"]

__all__ = ["Bound", "from_spread", "parse"]

FORMS = (
    'a number, "abs:0.1", "rel:1e-3", "rel:1e-3:array", "pw_rel:1e-3", '
    '"local_std:window=15,fraction=0.1,floor=1e-3" or "array"'
)
WIDEST = 1023  # a window's squares must fit into 64 bits, see `frazil.bounds.deviation`
LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Bound:
    """What an error may be; made by `parse`.

    Parameters
    ----------
    kind : {"abs", "rel", "pw_rel", "local_std", "array"}
    value : float
        In the units of the array for "abs"; a fraction for "rel" (of the
        range), "pw_rel" (of the value) and "local_std" (of the standard
        deviation); 0 for "array".
    whole : bool
        "rel": of the range of the whole array, not of the chunk.
    window : int
        "local_std": points along each side of the box; odd, 3 to 1023.
    floor : float
        "local_std": the least bound, as a fraction of the chunk's range.
    """

    kind: Kind
    value: float = 0.0
    whole: bool = False
    window: int = 15
    floor: float = 0.0

    @property
    def text(self) -> str:
        """The one way to write it; `parse` reads it back.

        Examples
        --------
        >>> parse(0.1).text, parse("rel: 1E-3").text, parse("local_std:fraction=.1").text
        ('abs:0.1', 'rel:0.001', 'local_std:window=15,fraction=0.1,floor=0.001')
        """
        if self.kind == "array":
            return "array"
        if self.kind == "local_std":
            return f"local_std:window={self.window},fraction={self.value!r},floor={self.floor!r}"
        return f"{self.kind}:{self.value!r}" + (":array" if self.whole else "")

    @property
    def pointwise(self) -> bool:
        """Whether `resolve` returns an array."""
        return self.kind in {"pw_rel", "local_std", "array"}

    def resolve(
        self,
        planes: npt.NDArray[Any],
        valid: npt.NDArray[np.bool_] | None = None,
        *,
        given: npt.NDArray[Any] | None = None,
    ) -> float | npt.NDArray[np.float64]:
        """Turn into absolute bounds for one chunk.

        Parameters
        ----------
        planes : ndarray, shape (n, y, x)
            Finite values of any number type.
        valid : ndarray of bool, shape (n, y, x), optional
            False where a value stands in for a missing one: it counts for nothing.
        given : ndarray, optional
            The bounds of an "array" bound, of the planes' shape or of the chunk's, (..., y, x).

        Returns
        -------
        float or ndarray of float64, shape (n, y, x)
            Finite, 0 or more, in the units of ``planes``. At points that are
            not valid it means nothing.

        Raises
        ------
        ConfigurationError
            If ``given`` is no array of bounds for these planes, absent or out
            of place; or if the bound is relative to an array of which only a
            chunk is known.

        Examples
        --------
        >>> temperature = np.array([[[270.0, 280.0], [275.0, 290.0]]], np.float32)
        >>> parse("rel:0.01").resolve(temperature)
        0.2
        >>> parse("pw_rel:0.1").resolve(temperature)[0, 0]
        array([27., 28.])
        """
        if (given is not None) != (self.kind == "array"):
            raise ConfigurationError(
                'bound "array" needs an array of bounds beside the data, and none was given'
                if given is None
                else f'an array of bounds was given beside the bound {self.text!r}; write "array" to use it'
            )
        if self.kind == "abs":
            return self.value
        if self.kind == "pw_rel":
            return _capped(self.value, np.abs(planes.astype(np.float64)))
        if self.whole:
            raise ConfigurationError(
                f"bound {self.text!r} is relative to the range of the whole array, of which a codec sees one "
                "chunk: write through frazil.to_zarr, which knows the range, or give the bound as a number"
            )
        low, high = _extremes(planes, valid)
        if given is not None:
            return _checked(given, planes.shape, valid, _span(low, high, 1.0))
        if self.kind == "rel":
            return _span(low, high, self.value)
        from frazil.bounds.deviation import local_deviation

        deviation = local_deviation(planes, valid, self.window, low, high)
        return np.maximum(_capped(self.value, deviation), _span(low, high, self.floor))


def parse(spec: float | str) -> Bound:
    """Read a bound.

    Raises
    ------
    ConfigurationError
        If it is none: negative, NaN, infinite, or of no known form.

    Examples
    --------
    >>> parse("rel:1e-3:array")
    Bound(kind='rel', value=0.001, whole=True, window=15, floor=0.0)
    """
    if not isinstance(spec, str):
        return spec if isinstance(spec, Bound) else Bound("abs", _number(spec, spec))
    kind, _, rest = (part.strip() for part in spec.partition(":"))
    if kind == "local_std":
        return _local_std(rest, spec)
    if kind == "rel":
        return _relative(rest, spec)
    if kind == "pw_rel":
        return Bound("pw_rel", _number(rest, spec))
    if kind == "array" and not rest:
        return Bound("array")
    return Bound("abs", _number(rest if kind == "abs" else spec, spec))


def _relative(rest: str, spec: str) -> Bound:
    number, colon, scope = (part.strip() for part in rest.partition(":"))
    if scope != ("array" if colon else ""):
        raise ConfigurationError(f'a relative bound ends in ":array" or in nothing, got {spec!r}')
    return Bound("rel", _number(number, spec), whole=bool(colon))


def _local_std(rest: str, spec: str) -> Bound:
    values = {"window": 15.0, "fraction": 0.1, "floor": 1e-3}
    for part in filter(None, rest.split(",")):
        name, _, value = (text.strip() for text in part.partition("="))
        if name not in values:
            raise ConfigurationError(f"local_std takes window=, fraction= and floor=, got {spec!r}")
        values[name] = _number(value, spec)
    window = values["window"]
    if window % 2 != 1 or not 3 <= window <= WIDEST:
        raise ConfigurationError(
            f"the window of local_std is an odd number of points from 3 to {WIDEST}, got {spec!r}"
        )
    return Bound("local_std", values["fraction"], window=int(window), floor=values["floor"])


def _number(given: Any, spec: Any) -> float:
    """One finite number, 0 or more."""
    try:
        value = math.nan if isinstance(given, bool | np.bool_) else float(given)
    except (TypeError, ValueError, OverflowError):
        raise ConfigurationError(f"a bound is {FORMS}; got {spec!r}") from None
    if not 0 <= value < math.inf:
        raise ConfigurationError(f"a bound is a finite number, 0 or more; got {spec!r}")
    return value + 0.0  # -0.0 is 0.0


def _extremes(planes: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None) -> tuple[float, float]:
    """Smallest and largest valid value; (0, 0) where there is none."""
    known = planes if valid is None or valid.all() else planes[valid]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _span(low: float, high: float, fraction: float) -> float:
    """``fraction`` of high - low, which may itself be more than float64 holds."""
    span = high - low
    scaled = fraction * span if span < math.inf else fraction * high - fraction * low
    return min(scaled, LARGEST)


def _capped(fraction: float, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore"):
        return np.minimum(fraction * values, LARGEST)


def _checked(
    given: Any, shape: tuple[int, ...], valid: npt.NDArray[np.bool_] | None, span: float
) -> npt.NDArray[np.float64]:
    """Bounds from outside, of shape (n, y, x); a bound beyond the range of the data says no more than it."""
    array = np.asarray(given)
    if array.dtype.kind not in "fiu":
        raise ConfigurationError(f"an array of bounds holds numbers, got dtype {array.dtype}")
    if array.shape != shape and stack_shape(array.shape) != shape:
        raise ConfigurationError(
            f"the array of bounds has shape {array.shape}, the data {shape} as planes; they must agree"
        )
    bounds = array.reshape(shape).astype(np.float64)
    if valid is not None:
        bounds[~valid] = span
    if np.isnan(bounds).any():
        raise ConfigurationError(
            f"{np.count_nonzero(np.isnan(bounds))} bounds are NaN where the data are valid; "
            "give a bound of 0 where data are to be kept exactly, inf where any value will do"
        )
    if (bounds < 0).any():
        raise ConfigurationError(f"bounds are 0 or more, the array of bounds goes down to {bounds.min():g}")
    return np.minimum(bounds, span, out=bounds)
