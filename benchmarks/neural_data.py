"""What learned codecs are trained and measured on: three kinds of chunks, split by place or by time.

``FRAZIL_DATA`` names the folder with the collection's NetCDF files.

    python benchmarks/neural_data.py          # describes the splits

tiles
    Sentinel-2 L2A reflectance x 10000, uint16, 12 bands of 264 x 264 points, all of them interpolated to 10
    m. Split by place: 0080717 is tested on (three seasons), and no tile of it is trained on.
hours
    ERA5 2 m temperature over Britain, float32, days of 24 hours x 32 x 48 points of 0.25 degrees. Ten days
    are trained on, the last five tested on.
levels
    A simulated atmosphere (jcm, T42), float32: u, t and q on three levels, surface pressure and 2 m
    temperature, 11 channels of 64 x 128 points, every 6 hours. 160 times are trained on, the last 40 tested
    on.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

TEST_PLACE = "0080717"
PLACES = (
    "0173706",
    "0193833_cloud",
)  # files of tiles that are trained on, besides those of s2l2a_train_tiles.nc
DAYS = (10, 5)  # trained on, tested on
TIMES = (160, 40)


@dataclass(frozen=True)
class Kind:
    """Chunks of one kind.

    Parameters
    ----------
    name : str
        "tiles", "hours" or "levels".
    train, test : ndarray, shape (chunks, channels, y, x)
        In the units and with the dtype in which they are stored.
    split : str
        In words.
    common : bool
        Whether one standard deviation serves all channels: those of "hours" are one quantity.
    """

    name: str
    train: npt.NDArray[Any]
    test: npt.NDArray[Any]
    split: str
    common: bool = False

    @cached_property
    def mean(self) -> npt.NDArray[np.float64]:
        """Of each channel over what is trained on, shape (channels, 1, 1)."""
        return self.train.mean((0, 2, 3), dtype="f8")[:, None, None]

    @cached_property
    def std(self) -> npt.NDArray[np.float64]:
        """Of each channel over what is trained on, shape (channels, 1, 1)."""
        if self.common:
            return np.full_like(self.mean, self.train.std(dtype="f8"))
        return self.train.std((0, 2, 3), dtype="f8")[:, None, None]

    def normal(self, chunks: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Take the mean off and divide by the standard deviation: chunks (..., channels, y, x)."""
        return (chunks.astype("f8") - self.mean) / self.std

    @cached_property
    def digest(self) -> str:
        """Of all values, for a cache."""
        found = hashlib.blake2b(digest_size=12)
        for part in (self.train, self.test):
            found.update(repr((part.shape, part.dtype.str)).encode())
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()


def folder() -> Path:
    """Return the folder that FRAZIL_DATA names."""
    return Path(os.environ["FRAZIL_DATA"])


def absent() -> bool:
    """Say so where the data are not at hand; `make bench` goes on without them."""
    if os.environ.get("FRAZIL_DATA"):
        return False
    print("nothing measured: the learned codecs need the whole collection; set FRAZIL_DATA to its folder")
    return True


def tiles() -> Kind:
    """Read the Sentinel-2 tiles."""
    mixed, places = _values("s2l2a_train_tiles.nc", "reflectance"), _names("s2l2a_train_tiles.nc", "tile")
    kept = [not place.startswith(TEST_PLACE) for place in places]
    train = [mixed[np.array(kept)], *(_values(f"s2l2a_{place}.nc", "reflectance") for place in PLACES)]
    test = _values(f"s2l2a_{TEST_PLACE}.nc", "reflectance")
    count = sum(map(len, train))
    return Kind(
        "tiles", np.concatenate(train), test, f"{count} tiles of other places; {len(test)} of {TEST_PLACE}"
    )


def hours() -> Kind:
    """Read the days of hourly temperature."""
    values = _values("era5_t2m_uk_hourly.nc", "t2m")[:, :32, :48]
    days = values.reshape(-1, 24, 32, 48)
    first, last = DAYS
    return Kind("hours", days[:first], days[-last:], f"{first} days; the {last} that follow", common=True)


def levels() -> Kind:
    """Read the simulated atmosphere."""
    file = "jcm_t42_train_6h.nc"
    stacks = [_values(file, name) for name in ("u", "t", "q")]
    planes = [_values(file, name)[:, None] for name in ("ps", "t2m")]
    values = np.concatenate([*stacks, *planes], axis=1)
    first, last = TIMES
    return Kind("levels", values[:first], values[-last:], f"{first} times; the {last} that follow")


KINDS: dict[str, Callable[[], Kind]] = {"tiles": tiles, "hours": hours, "levels": levels}


def _values(file: str, variable: str) -> npt.NDArray[Any]:
    import xarray as xr

    with xr.open_dataset(folder() / file, mask_and_scale=False, decode_times=False) as ds:
        return np.ascontiguousarray(ds[variable].values)


def _names(file: str, variable: str) -> list[str]:
    import xarray as xr

    with xr.open_dataset(folder() / file, mask_and_scale=False, decode_times=False) as ds:
        return [str(name) for name in ds[variable].values]


def main() -> None:
    if absent():
        return
    for read in KINDS.values():
        kind = read()
        print(f"{kind.name:7s} {kind.train.dtype} {kind.train.shape} -> {kind.test.shape}: {kind.split}")
        print("    std of channels  " + " ".join(f"{s:.4g}" for s in kind.std.ravel()))
        inside = kind.normal(kind.test).std((0, 2, 3))
        print("    of the test, in these  " + " ".join(f"{s:.2f}" for s in inside))


if __name__ == "__main__":
    main()
