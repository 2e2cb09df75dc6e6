"""Fields of a file or store as a model is fitted to them: some axis, or several variables, as channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

MOST = 1 << 26  # values that are read: fit_klt takes an eighth of them


@dataclass(frozen=True)
class Fields:
    """What to fit to, and what to try it on.

    Parameters
    ----------
    train, test : ndarray, shape (n, C, y, x), or (n, C, points)
        ``test`` is ``train`` where nothing was held out.
    channels : list of str
        What each channel is.
    axis : int
        Of a chunk, the one that holds the channels.
    chunks : str
        What to give to ``--chunks`` so that a chunk holds all channels; empty where any will do.
    """

    train: npt.NDArray[Any]
    test: npt.NDArray[Any]
    channels: list[str]
    axis: int
    chunks: str = ""

    @property
    def held_out(self) -> bool:
        """Whether the test is not of the training data."""
        return self.test is not self.train


def gather(
    ds: xr.Dataset,
    names: list[str],
    *,
    channels: str | None = None,
    points: bool = False,
    steps: str | None = None,
    time: str | None = None,
) -> Fields:
    """Read variables as fields.

    Parameters
    ----------
    ds : xarray.Dataset
    names : list of str
        Variables; several of them are stacked as channels.
    channels : str, optional
        ``DIM``, whose points are the channels, or ``DIM=N``: N points of it, one after the other.
    points : bool
        The last axis counts points without an order in space.
    steps : str, optional
        ``START:STOP`` along the first axis, to fit to; the model is tried on the rest.
    time : str, optional
        ``FROM/UNTIL`` (ISO 8601), likewise.

    Raises
    ------
    ConfigurationError
        If there are no such variables, axes or steps, or they do not go together.
    """
    if not names:
        raise ConfigurationError(f"name a --variable to fit to; there are {', '.join(map(str, ds.data_vars))}")
    variables = [_variable(ds, name) for name in names]
    if len(names) > 1 and channels is not None:
        raise ConfigurationError("several variables are the channels: leave out --channels, or name one variable")
    first = variables[0]
    if other := [v.name for v in variables if v.dims != first.dims or v.shape != first.shape]:
        raise ConfigurationError(f"{other[0]!r} and {first.name!r} have other shapes; they cannot be stacked")
    space = 1 if points else 2
    if first.ndim <= space - (channels is None and len(names) == 1 and space == 2):
        raise ConfigurationError(f"{first.name!r} has axes ({', '.join(map(str, first.dims))}), too few for fields")
    train, test = _split(first, steps, time)
    if len(names) > 1:
        stacked = [np.stack([_read(v, rows, space) for v in variables], 1) for rows in (train, test)]
        return _fields(*stacked, list(names), -1 - space)
    return _one(first, channels, points=points, train=train, test=test)


def _one(
    variable: xr.DataArray, channels: str | None, *, points: bool, train: slice | None, test: slice | None
) -> Fields:
    """Read one variable, of which ``channels`` says which axis they are."""
    space = 1 if points else 2
    dims = [str(dim) for dim in variable.dims]
    if channels is None:
        parts = [_read(variable, rows, space)[:, None] for rows in (train, test)]
        return _fields(*parts, [str(variable.name)], -1 - space)
    dim, count = _channels(variable, channels)
    axis = dims.index(dim) - len(dims)
    if axis >= -space:
        hint = "; --points is for arrays whose last axis counts points" if not points else ""
        raise ConfigurationError(f"the channels are {dim!r}, which is an axis of the fields themselves{hint}")
    if points and axis != -2:
        raise ConfigurationError(f"of points, the channels are the axis right before them, {dims[-2]!r}, not {dim!r}")
    parts = []
    for rows in (train, test):
        part = _rows(variable, rows).transpose(*[d for d in dims if d != dim], dim)
        data = np.moveaxis(_values(part), -1, -1 - space)
        whole = data.shape[-1 - space] // count * count
        if not whole:
            raise ConfigurationError(
                f"{data.shape[-1 - space]} points along {dim!r} are too few for {count} channels"
            )
        data = data[(..., slice(whole), *([slice(None)] * space))]
        parts.append(data.reshape(-1, count, *data.shape[-space:]))
    labels = [f"{dim} {label}" for label in _labels(variable, dim, count)]
    return _fields(*parts, labels, axis, f"{dim}={count}")


def _fields(
    train: npt.NDArray[Any], test: npt.NDArray[Any], labels: list[str], axis: int, chunks: str = ""
) -> Fields:
    return Fields(train, test if test.size else train, labels, axis, chunks)
