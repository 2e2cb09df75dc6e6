"""Rate-distortion points: bits a value and errors of a codec over chunks, and curves between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt


@dataclass(frozen=True)
class Point:
    """One setting of a codec over all test chunks.

    Parameters
    ----------
    setting : str
        What was asked for.
    nrmse : float
        Root mean square error over all values, in standard deviations of the training data.
    size : int
        Bytes, everything counted.
    values : int
        Values stored.
    fixed : int
        Of ``size``, bytes that an encoding of zeros takes as well.
    worst : float
        The largest error, in standard deviations.
    """

    setting: str
    nrmse: float
    size: int
    values: int
    fixed: int = 0
    worst: float = 0.0

    @property
    def bpv(self) -> float:
        """Bits a value."""
        return 8 * self.size / self.values

    @property
    def bare(self) -> float:
        """Bits a value without ``fixed``."""
        return 8 * (self.size - self.fixed) / self.values


Curve = list[Point]


@dataclass(frozen=True)
class Normal:
    """A codec that sees standard deviations from the mean, float32, whatever the array holds.

    So the classical codecs of frazil spend their bytes as the errors are counted. What a user would have to
    put around them, a filter with two numbers a channel, is not counted.
    """

    codec: Any
    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]

    def encode(self, chunk: npt.NDArray[Any]) -> Any:
        """Encode a chunk (channels, y, x) in its own units."""
        return self.codec.encode(((chunk - self.mean) / self.std).astype("f4"))

    def decode(self, data: Any) -> npt.NDArray[np.float64]:
        """Decode, float64, in the array's units."""
        return (
            np.asarray(self.codec.decode(data), "f8").reshape(-1, *self._plane(data)) * self.std + self.mean
        )

    def _plane(self, data: Any) -> tuple[int, int]:
        from frazil import container

        shape = container.peek(bytes(data)).spec.shape
        return shape[-2], shape[-1]


def point(setting: str, codec: Any, chunks: npt.NDArray[Any], std: npt.NDArray[np.float64]) -> Point:
    """Encode and decode chunks, one at a time.

    Parameters
    ----------
    setting : str
        Name of the point.
    codec : numcodecs codec
        Its bytes are counted as they are, headers and container included.
    chunks : ndarray, shape (n, channels, y, x)
        In their own units.
    std : ndarray, shape (channels, 1, 1)
        Units of the errors.
    """
    size, squares, worst = 0, 0.0, 0.0
    for chunk in chunks:
        data = codec.encode(np.ascontiguousarray(chunk))
        back = np.asarray(codec.decode(data)).reshape(chunk.shape)
        off = (back.astype("f8") - chunk) / std
        size += memoryview(data).nbytes
        squares += float(np.sum(off * off))
        worst = max(worst, float(np.abs(off).max()))
    return Point(setting, math.sqrt(squares / chunks.size), size, chunks.size, worst=worst)


def curve(codecs: Mapping[str, Any], chunks: npt.NDArray[Any], std: npt.NDArray[np.float64]) -> Curve:
    """Measure codecs, by the names of their settings; see `point`."""
    return [point(setting, codec, chunks, std) for setting, codec in codecs.items()]


def at(points: Curve, nrmse: float, *, bare: bool = False) -> float | None:
    """Bits a value at an error: log over log, between two points; None beyond the curve's ends."""
    found = sorted((p.nrmse, p.bare if bare else p.bpv) for p in points)
    if not found or not found[0][0] <= nrmse <= found[-1][0]:
        return None
    errors, bits = np.log(np.maximum(np.array(found), 1e-9)).T
    return math.exp(float(np.interp(math.log(nrmse), errors, bits)))


def least(curves: list[Curve], nrmse: float, *, bare: bool = False) -> float | None:
    """Fewest bits a value at an error, of several curves."""
    found = [bits for points in curves if (bits := at(points, nrmse, bare=bare)) is not None]
    return min(found, default=None)
