"""Points without an order in space: linear models over their variables against Bounded, JP2K and SZ3.

    python benchmarks/points.py            # prints the tables
    python benchmarks/points.py --write    # and puts them into docs/benchmarks.md

``FRAZIL_DATA`` names the folder with the collection's NetCDF files. Everything is counted: containers, masks,
headers. Errors are in units of each variable's standard deviation over the training data, over all values
that are there. Latent takes a chunk (time, variable, point) in its own units; the others see it in those
units, so that nobody spends bytes on a variable because its numbers are large, and in whichever layout they
take fewer bytes: as it is, or a plane of times and points for each variable. SZ3, which knows no gaps, is
given what frazil fills them with, and frazil's mask is added to its bytes.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from functools import cached_property
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
from neural_curves import Curve, Point, at
from neural_data import absent, folder
from tables import publish, table
from timing import machine

import frazil
from frazil import masks
from frazil.models import fit_klt
from frazil.models.pieces import moments, pieces
from frazil.sealing import seal

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

FACTORS = (1, 2, 4)
AIMS = (0.02, 0.05, 0.1, 0.2)  # errors at which bytes are compared
STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
BOUNDS = np.geomspace(0.01, 1.2, 9)
RATES = np.arange(22, 70, 4)  # peak signal to noise ratios, decibels
RUN = 1024  # points of a piece of the icosahedral grid


@dataclass(frozen=True)
class Points:
    """One kind of data.

    Parameters
    ----------
    name : str
    train, test : ndarray, shape (time, variable, point), float32
    split : str
        In words.
    """

    name: str
    train: npt.NDArray[np.float32]
    test: npt.NDArray[np.float32]
    split: str

    @cached_property
    def units(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean and standard deviation of each variable, shape (variable, 1)."""
        mean, deviation = moments(pieces(self.train, 1, -2))
        return mean[:, None], deviation[:, None]

    @cached_property
    def normal(self) -> npt.NDArray[np.float32]:
        """The test data in standard deviations from the mean."""
        mean, deviation = self.units
        return ((self.test - mean) / deviation).astype("f4")

    @property
    def values(self) -> int:
        """How many are there."""
        return int(np.isfinite(self.test).sum())

    def point(self, setting: str, size: int, back: npt.NDArray[Any]) -> Point:
        """Measure what came back, in the test data's units."""
        known = np.isfinite(self.test)
        off = np.where(known, back.astype("f8") - self.test, 0) / self.units[1]
        return Point(
            setting, math.sqrt((off**2).sum() / self.values), size, self.values, worst=abs(off).max()
        )

    def from_normal(self, setting: str, size: int, back: npt.NDArray[Any]) -> Point:
        """Measure what came back in standard deviations."""
        mean, deviation = self.units
        return self.point(setting, size, back.astype("f8") * deviation + mean)


def icon() -> Points:
    """Read an icosahedral grid: runs of points to train on, others between them to test on."""
    values = _values("icon_r2b4_points.nc", "fields")
    runs = values.reshape(1, 14, -1, RUN)
    train, test = (np.ascontiguousarray(runs[:, :, k::2]).reshape(1, 14, -1) for k in (0, 1))
    return Points("icon", train, test, f"one month, 14 variables: runs of {RUN} points, every other one")


def healpix() -> Points:
    """Read cells of HEALPix in nested order."""
    values = _values("jcm_healpix16_points_6h.nc", "fields")
    return Points("healpix", values[:16], values[16:], "5 variables: 16 times; the 8 that follow")


def stations() -> Points:
    """Read stations, of whose variables many are missing."""
    values = _values("sao_stations_hourly.nc", "obs")
    return Points("stations", values[:16], values[16:], "6 variables: 16 hours; the 8 that follow")


def _values(file: str, variable: str) -> npt.NDArray[np.float32]:
    import xarray as xr

    with xr.open_dataset(folder() / file, mask_and_scale=False, decode_times=False) as ds:
        return np.ascontiguousarray(ds[variable].values, "f4")


def latent(data: Points, factor: int) -> tuple[Curve, int, float]:
    """Fit a model; return its curve, the bytes of its decoder, and seconds of one processor."""
    begun = process_time()
    model = fit_klt(data.train, factor=factor, error=0.05, axis=-2, name=f"{data.name}-{factor}")
    seconds = process_time() - begun
    found = []
    for step in STEPS:
        codec = frazil.Latent(model=model, step=step)
        encoded = codec.encode(data.test)
        found.append(data.point(str(step), len(encoded), codec.decode(encoded)))
    return found, len(model.decoder.data), seconds


def best(data: Points, measure: Callable[[npt.NDArray[np.float32], bool], Curve]) -> list[Curve]:
    """Measure in both layouts."""
    return [measure(data.normal, False), measure(np.ascontiguousarray(data.normal.swapaxes(0, 1)), True)]


def of_codecs(data: Points, codecs: dict[str, Any]) -> list[Curve]:
    """Curves of codecs of frazil's."""

    def measure(chunk: npt.NDArray[np.float32], turned: bool) -> Curve:
        found = []
        for setting, codec in codecs.items():
            encoded = codec.encode(chunk)
            back = codec.decode(encoded)
            found.append(data.from_normal(setting, len(encoded), back.swapaxes(0, 1) if turned else back))
        return found

    return best(data, measure)


def sz3(data: Points) -> list[Curve]:
    """Curves of pysz, the chunk as a volume."""
    from pysz import sz, szConfig, szErrorBoundMode

    def measure(chunk: npt.NDArray[np.float32], turned: bool) -> Curve:
        filled, mask = masks.split(chunk, [])
        extra = len(seal(mask)) if mask else 0
        found = []
        for bound in BOUNDS:
            config = szConfig()
            config.errorBoundMode, config.absErrorBound = szErrorBoundMode.ABS, float(bound)
            stream, _ = sz.compress(np.ascontiguousarray(filled), config)
            back, _ = sz.decompress(stream, np.float32, filled.shape)
            size = memoryview(stream).nbytes + extra
            found.append(data.from_normal(f"{bound:.3g}", size, back.swapaxes(0, 1) if turned else back))
        return found

    return best(data, measure)


def rows(data: Points) -> tuple[list[list[object]], list[list[object]]]:
    """Bits a value at equal errors, and the models."""
    rivals = {
        "Bounded": of_codecs(data, {f"{b:.3g}": frazil.Bounded(bound=float(b)) for b in BOUNDS}),
        "JP2K": of_codecs(data, {str(rate): frazil.JP2K(psnr=int(rate)) for rate in RATES}),
        "SZ3": sz3(data),
    }
    models = {factor: latent(data, factor) for factor in FACTORS}
    found: list[list[object]] = []
    for aim in AIMS:
        own = {factor: at(curve, aim) for factor, (curve, _, _) in models.items()}
        others = {
            name: min((bits for curve in curves if (bits := at(curve, aim)) is not None), default=None)
            for name, curves in rivals.items()
        }
        least = min((bits for bits in own.values() if bits is not None), default=None)
        cells = [_figure(bits) for bits in (*own.values(), *others.values())]
        times = [None if least is None or bits is None else bits / least for bits in others.values()]
        found.append([data.name, f"{aim:g}", *cells, *(_figure(ratio, 2) for ratio in times)])
    about = [
        [data.name, factor, size, f"{seconds:.1f}", _pays(curve, size, rivals)]
        for factor, (curve, size, seconds) in models.items()
    ]
    return found, about


def _figure(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _pays(curve: Curve, size: int, rivals: dict[str, list[Curve]]) -> str:
    """Megabytes of raw data after which the smallest rival's extra bytes have paid for the model."""
    own = at(curve, 0.05)
    others = [bits for curves in rivals.values() for one in curves if (bits := at(one, 0.05)) is not None]
    if own is None or min(others) <= own:
        return "never"
    return f"{8 * size / (min(others) - own) * 4 / 1e6:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    options = parser.parse_args()
    if absent():
        return
    kinds = [icon(), healpix(), stations()]
    split = "; ".join(f"{kind.name}: {kind.split}" for kind in kinds)
    publish("points: setting", f"{split}. {machine()}", write=options.write)
    compared, about = [], []
    for kind in kinds:
        found, models = rows(kind)
        compared += found
        about += models
    own = [f"Latent, factor {factor}" for factor in FACTORS]
    header = ["data", "nRMSE", *own, "Bounded", "JP2K", "SZ3", "Bounded / best", "JP2K / best", "SZ3 / best"]
    publish("points: bits", table(header, compared), write=options.write)
    header = ["data", "factor", "decoder, bytes", "fitted in, s", "pays after, MB"]
    publish("points: models", table(header, about), write=options.write)


if __name__ == "__main__":
    main()
