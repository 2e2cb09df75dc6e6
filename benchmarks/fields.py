"""The fields that the benchmarks measure on: named chunks cut from a collection of NetCDF files.

``FRAZIL_DATA`` names a folder with such files and a MANIFEST.json that says where each comes from. Without it
the fields are those of ``tests/data`` and ``src/frazil/samples``, cut from the same collection.

    python benchmarks/fields.py          # lists them
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
OWN = (ROOT / "src/frazil/samples", ROOT / "tests/data")
MOST_POINTS = 1 << 20  # of a chunk: 721 x 1440 is just below
ALONE = 1 << 14  # points from which a plane of a stack is a field of its own as well
# Axes before the last two, as the collection's files call them; anything else is a stack of members.
STACKED = {"time": "times", "time2": "times", "level": "levels", "ZAXLEVITR": "levels", "band": "bands"}


@dataclass(frozen=True)
class Field:
    """One chunk of a variable.

    Parameters
    ----------
    name : str
        File, variable (where the file has several) and leading index, as in ``ostia/sst_anomaly``.
    values : ndarray, shape (..., y, x)
        As stored; NaN where there are no data.
    stack : str
        What its planes are, such as "times" or "times x levels"; "plane" where there is one.
    simulated : bool
        Whether it was made by running a model for this collection.
    points : bool
        Whether rows are not neighbours: unstructured grids and stations.
    """

    name: str
    values: npt.NDArray[Any]
    stack: str
    simulated: bool
    points: bool

    @property
    def megapixels(self) -> float:
        """Points of the chunk in millions."""
        return self.values.size / 1e6

    @property
    def masked(self) -> bool:
        """Whether points are missing."""
        return self.values.dtype.kind == "f" and bool(np.isnan(self.values).any())

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Where there are data."""
        return np.isfinite(self.values)


def folders() -> tuple[Path, ...]:
    """Return the folders to read: FRAZIL_DATA, or what comes with the sources."""
    given = os.environ.get("FRAZIL_DATA")
    return (Path(given),) if given else OWN


def described() -> str:
    """Say in a sentence which fields these are."""
    count = sum(1 for _ in read())
    if os.environ.get("FRAZIL_DATA"):
        return f"{count} chunks of the collection in FRAZIL_DATA"
    return f"{count} chunks of the files in tests/data and src/frazil/samples"


def read() -> Iterator[Field]:
    """Read the chunks, one after another.

    Of each variable: whole leading slices up to some `MOST_POINTS`, two of them at
    least, and the first plane where it has `ALONE` points.
    """
    import xarray as xr

    for folder in folders():
        manifest = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
        for file, entry in manifest.get("files", manifest).items():
            with xr.open_dataset(folder / file, mask_and_scale=False, decode_times=False) as ds:
                variables = [
                    v for v in ds.data_vars.values() if v.ndim >= 2 and v.dtype.str[1:] in {"f4", "u2"}
                ]
                for variable in variables:
                    name = Path(file).stem + (f"/{variable.name}" if len(variables) > 1 else "")
                    yield from _chunks(name, variable, entry)


def _chunks(name: str, variable: Any, entry: dict[str, Any]) -> Iterator[Field]:
    dims, shape = variable.dims, variable.shape
    simulated, points = not entry["real"], entry["kind"] == "d"
    index: list[int] = []  # leading axes of which one slice is taken
    while len(shape) - len(index) > 3 and math.prod(shape[len(index) + 1 :]) > MOST_POINTS:
        index.append(0)
    rest = shape[len(index) :]
    count = min(max(MOST_POINTS // math.prod(rest[1:]), 2), rest[0]) if len(rest) > 2 else rest[0]
    values = np.ascontiguousarray(variable[(*index, slice(0, count))].values)
    planes = math.prod(values.shape[:-2])
    if planes > 1:
        axes = zip(dims[len(index) :], values.shape[:-2], strict=False)
        stack = " x ".join(STACKED.get(dim, "members") for dim, n in axes if n > 1)
        label = f"{name}[{', '.join(map(str, [*index, f':{count}']))}]"
        yield Field(label, values, stack, simulated, points)
    if planes == 1 or math.prod(shape[-2:]) >= ALONE:
        plane = np.ascontiguousarray(values.reshape(-1, *shape[-2:])[0])
        label = name if math.prod(shape[:-2]) == 1 else f"{name}[{', '.join('0' * (len(shape) - 2))}]"
        yield Field(label, plane, "plane", simulated, points)


def main() -> None:
    for field in read():
        kind = " masked" * field.masked + " points" * field.points + " simulated" * field.simulated
        print(f"{field.name:45s} {field.values.dtype} {field.values.shape!s:20s} {field.stack}{kind}")
    print(described())


if __name__ == "__main__":
    main()
