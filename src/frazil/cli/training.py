"""Fields of a file or store as a model is fitted to them: one axis, or several variables, as channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from frazil.models.store import Model


@dataclass(frozen=True)
class Fields:
    """Samples of some channels, read when they are sliced; as `frazil.models.fit_klt` takes them.

    Parameters
    ----------
    data : list of xarray.DataArray
        One whose axis ``dim`` holds the channels, or one for each channel.
    dim : str
        Empty where there is one for each.
    count : int
        Channels; of an axis as many points that follow each other.
    space : int
        Axes of a field: 2, or 1 for points.
    """

    data: list[xr.DataArray]
    dim: str
    count: int
    space: int

    @property
    def lead(self) -> tuple[int, ...]:
        """Lengths of the axes that count samples; where several are cut from an axis, they are the last."""
        first = self.data[0]
        lengths = [first.sizes[dim] for dim in first.dims[: -self.space] if dim != self.dim]
        return (*lengths, first.sizes[self.dim] // self.count) if self.dim else tuple(lengths)

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, channels, y, x), or (samples, channels, points)."""
        return (math.prod(self.lead), self.count, *self.data[0].shape[-self.space :])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return 2 + self.space

    @property
    def axis(self) -> int:
        """The axis of a chunk that holds the channels."""
        first = self.data[0]
        return first.dims.index(self.dim) - first.ndim if self.dim else -1 - self.space

    @property
    def labels(self) -> list[str]:
        """What each channel is."""
        first = self.data[0]
        if not self.dim:
            return [str(one.name) for one in self.data]
        if self.dim in first.coords and self.count == first.sizes[self.dim]:
            return [f"{self.dim} {value}" for value in first[self.dim].values]
        return [f"{self.dim} {number}" for number in range(self.count)]

    def __getitem__(self, window: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read some samples, all channels, a part of each field."""
        numbers = range(*window[0].indices(self.shape[0]))
        space = dict(zip(self.data[0].dims[-self.space :], window[2:], strict=True))
        parts = [self._read(part.isel(space), numbers) for part in self.data]
        return parts[0] if self.dim else np.stack(parts, 1)

    def _read(self, part: xr.DataArray, numbers: range) -> npt.NDArray[Any]:
        dims = [dim for dim in part.dims[: -self.space] if dim != self.dim]
        field = part.shape[-self.space :]
        if len(numbers) == math.prod(self.lead):  # all of them
            return self._cut(part.load(), dims).reshape(len(numbers), *self._inner, *field)
        found = []
        for number in numbers:
            at = [int(k) for k in np.unravel_index(number, self.lead)]
            index: dict[Any, Any] = dict(zip(dims, at, strict=False))  # of a cut axis, the group is left over
            if self.dim:
                index[self.dim] = slice(at[-1] * self.count, (at[-1] + 1) * self.count)
            found.append(part.isel(index).values)
        return np.stack(found).reshape(len(numbers), *self._inner, *field)

    @property
    def _inner(self) -> tuple[int, ...]:
        return (self.count,) if self.dim else ()

    def _cut(self, part: xr.DataArray, dims: list[Any]) -> npt.NDArray[Any]:
        """Values (lead, channel, field), without what does not fill a sample."""
        if not self.dim:
            return np.asarray(part.values)
        whole = part.isel({self.dim: slice(self.lead[-1] * self.count)})
        return np.asarray(whole.transpose(*dims, self.dim, *part.dims[-self.space :]).values)


def gather(ds: xr.Dataset, names: list[str], *, channels: str | None = None, points: bool = False) -> Fields:
    """Find variables in a dataset, and say which are their channels.

    Parameters
    ----------
    ds : xarray.Dataset
    names : list of str
        Several of them are stacked as channels.
    channels : str, optional
        ``DIM``, whose points are the channels, or ``DIM=N``: N points of it that follow each other.
    points : bool
        The last axis counts points without an order in space.

    Raises
    ------
    ConfigurationError
        If there are no such variables or axes, or they do not go together.

    Examples
    --------
    >>> import xarray as xr
    >>> t2m = xr.DataArray(np.zeros((72, 5, 9)), dims=("time", "lat", "lon"))
    >>> gather(xr.Dataset({"t2m": t2m}), ["t2m"], channels="time=24").shape
    (3, 24, 5, 9)
    """
    if unknown := [name for name in names if name not in ds.data_vars]:
        there = ", ".join(map(str, ds.data_vars)) or "none"
        raise ConfigurationError(f"there is no variable {unknown[0]!r}; there are {there}")
    data, space = [ds[name] for name in names], 1 if points else 2
    first = data[0]
    if len(data) > 1 and channels is not None:
        raise ConfigurationError(
            "several variables are the channels: leave out --channels, or name one variable"
        )
    if other := [one.name for one in data if one.dims != first.dims or one.shape != first.shape]:
        raise ConfigurationError(
            f"{other[0]!r} and {first.name!r} differ in their axes, so they cannot be stacked"
        )
    if bad := [one.name for one in data if one.dtype.kind not in "fiu" or one.ndim < space]:
        raise ConfigurationError(f"{bad[0]!r} holds no fields of numbers with {space} axes or more")
    if channels is None:
        return Fields(data, "", len(data), space)
    dim, _, text = channels.partition("=")
    dims = [str(name) for name in first.dims]
    if dim not in dims:
        raise ConfigurationError(f"{first.name!r} has no axis {dim!r}; it has {', '.join(dims)}")
    if text and not (text.isdigit() and 1 <= int(text) <= first.sizes[dim]):
        raise ConfigurationError(
            f"--channels {dim}=N takes 1 to {first.sizes[dim]} points of it, got {text!r}"
        )
    if dim in dims[-space:]:
        hint = "" if points else "; with --points, the last axis alone is"
        raise ConfigurationError(f"{dim!r} is an axis of the fields themselves, not of channels{hint}")
    if points and dim != dims[-2]:
        raise ConfigurationError(
            f"the channels of points are the axis before them, {dims[-2]!r}, not {dim!r}"
        )
    return Fields(data, dim, int(text or first.sizes[dim]), space)


def divide(
    ds: xr.Dataset, steps: str | None, time: str | None, dim: str
) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Take some steps to fit to, and others to try the model on.

    Parameters
    ----------
    ds : xarray.Dataset
    steps : str, optional
        ``START:STOP``, positions along ``dim``.
    time : str, optional
        ``FROM/UNTIL``, dates along the axis ``time``.
    dim : str
        The first axis of the variables.

    Returns
    -------
    train, test : xarray.Dataset
        The test is what comes after, or else before; None where nothing is left.

    Raises
    ------
    ConfigurationError
        If they cannot be read, or take nothing.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"t": ("time", np.arange(10))})
    >>> [part.sizes["time"] for part in divide(ds, "2:8", None, "time")]
    [6, 2]
    """
    if steps is None and time is None:
        return ds, None
    if steps is not None and time is not None:
        raise ConfigurationError("--steps and --time say the same: give one of them")
    if time is not None:
        dim = "time"
        if dim not in ds.indexes:
            raise ConfigurationError("--time needs an axis 'time' with dates; --steps counts positions")
    length = ds.sizes[dim]
    try:
        if time is not None:
            start, _, stop = time.partition("/")
            found = ds.indexes[dim].slice_indexer(start or None, stop or None)
        else:
            start, stop = str(steps).split(":")
            found = slice(int(start) if start else None, int(stop) if stop else None)
    except (ValueError, KeyError, TypeError) as error:
        wanted = (
            "--time FROM/UNTIL, as in 2019-03-01/2019-03-10" if time else "--steps START:STOP, as in 0:240"
        )
        raise ConfigurationError(f"cannot read {time or steps!r}: {wanted} ({error})") from error
    first, last, _ = found.indices(length)
    if first >= last:
        raise ConfigurationError(f"{time or steps!r} takes none of the {length} steps of {dim!r}")
    rest = slice(last, length) if last < length else slice(0, first)
    test = ds.isel({dim: rest}) if rest.stop > rest.start else None
    return ds.isel({dim: slice(first, last)}), test


@dataclass(frozen=True)
class Trial:
    """What a model made of some data.

    Parameters
    ----------
    rmse : ndarray, shape (C,)
        Of each channel, in its units; NaN where it holds no values.
    ratio : float
        Bytes of the values over bytes of the chunks.
    """

    rmse: npt.NDArray[np.float64]
    ratio: float


def tried_on(model: Model, fields: Fields, most: int) -> Trial:
    """Encode and decode about ``most`` values, as chunks.

    Parameters
    ----------
    model : Model
    fields : Fields
    most : int
    """
    from frazil.codecs.latent import Latent
    from frazil.models.pieces import windows

    codec = Latent(model=model)
    squares, count = np.zeros(fields.count), np.zeros(fields.count)
    raw = stored = 0
    for window in windows(fields.shape, 1, most):
        values = fields[window]
        values = values if values.dtype.str[1:] in codec.dtypes else values.astype(np.float32)
        chunk = _chunk(values, fields.axis)
        data = codec.encode(chunk)
        decoded = codec.decode(data)
        with np.errstate(invalid="ignore"):
            off = (decoded.astype("f8") - chunk).swapaxes(0, fields.axis).reshape(fields.count, -1)
        known = np.isfinite(off)
        squares += np.square(off, where=known, out=np.zeros_like(off)).sum(1)
        count += known.sum(1)
        raw, stored = raw + chunk.nbytes, stored + len(data)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Trial(np.sqrt(squares / count), raw / stored)


def _chunk(values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """Lay fields (n, C, ...) out as a chunk whose axis of channels is ``axis``."""
    lead = [1] * (-axis - values.ndim)
    return np.moveaxis(values.reshape(*lead, *values.shape), 1 + len(lead), axis)
