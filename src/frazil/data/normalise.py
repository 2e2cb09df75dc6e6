"""Mean and standard deviation of each channel: found in one pass, kept with the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.channels import Channel, further_dims, parse_channels
from frazil.data.moments import Moments, moments_of
from frazil.data.stores import StoreReader
from frazil.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

ATTRIBUTE = "frazil_statistics"


@dataclass(frozen=True)
class Normaliser:
    """What to subtract from each channel and what to divide it by.

    Parameters
    ----------
    mean, sd : mapping of str to float
        By the channel's name, in the units of the data. A standard deviation
        of zero is 1 here, so that a constant channel becomes zeros; a channel
        without a finite value has mean 0 and standard deviation 1.
    count : mapping of str to int
        Finite values that they were found from.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> t = xr.DataArray(np.arange(8.0).reshape(2, 2, 2), dims=("time", "lat", "lon"))
    >>> normaliser = Normaliser.fit(xr.Dataset({"t": t}))
    >>> normaliser.mean["t"], round(normaliser.sd["t"], 4)
    (3.5, 2.2913)
    """

    mean: Mapping[str, float]
    sd: Mapping[str, float]
    count: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def fit(
        cls, reader_or_store: Any, variables: Any = None, *, client: Any = None, threads: int | None = None
    ) -> Normaliser:
        """Read every chunk once; values that are NaN or infinite are left out.

        Parameters
        ----------
        reader_or_store : StoreReader, or what it opens
        variables : optional
            See `parse_channels`.
        client : distributed.Client, optional
            Where to compute; the default is threads of this process.
        threads : int, optional
            Of this process; by default one for each CPU it may use, 16 at most.

        Returns
        -------
        Normaliser
            The same bits for any number of threads or workers: chunks are
            summed up in float64, in runs of a fixed length, and the runs are
            merged in their order (Chan, Golub & LeVeque, 1983).
        """
        reader = _reader(reader_or_store)
        channels = parse_channels(reader, variables)
        found = moments_of(reader, channels, client=client, threads=threads)
        return cls(
            {c.name: float(m.mean) for c, m in zip(channels, found, strict=True)},
            {c.name: _guarded(m) for c, m in zip(channels, found, strict=True)},
            {c.name: int(m.count) for c, m in zip(channels, found, strict=True)},
        )

    @classmethod
    def from_store(cls, reader_or_store: Any, variables: Any = None) -> Normaliser | None:
        """Read what `write` wrote; None if it is missing for any of the channels.

        Parameters
        ----------
        reader_or_store : StoreReader, or what it opens
        variables : optional
            See `parse_channels`.
        """
        reader = _reader(reader_or_store)
        if not reader.decode:  # what is written describes fields, not latents
            return None
        mean, sd, count = {}, {}, {}
        for channel in parse_channels(reader, variables):
            stored = reader.array(channel.variable).attrs.get(ATTRIBUTE)
            lists = _lists(stored, reader, channel.variable)
            place = _place(reader, channel)
            if lists is None or lists["mean"][place] is None or lists["sd"][place] is None:
                return None
            mean[channel.name], sd[channel.name] = float(lists["mean"][place]), float(lists["sd"][place])
            count[channel.name] = int(lists["count"][place] or 0)
        return cls(mean, sd, count)

    def write(self, store: Any) -> None:
        """Write the statistics into the attribute ``frazil_statistics`` of each array.

        What is known there of other levels stays. Metadata that were consolidated are consolidated anew.

        Parameters
        ----------
        store : StoreReader, or what it opens
            The store, not a Dataset.

        Raises
        ------
        StoreError
            If it cannot be written to.
        ConfigurationError
            If it has no such channel.
        """
        from frazil.data.stores.attributes import write_attributes

        reader = _reader(store)
        if not reader.decode:
            raise StoreError("statistics of latents are not written into stores; keep the Normaliser")
        known = {channel.name: channel for channel in parse_channels(reader)}
        if unknown := sorted(set(self.mean) - set(known)):
            raise ConfigurationError(f"the store has no channel {unknown[0]!r}; there are {', '.join(known)}")
        attributes: dict[str, dict[str, Any]] = {}
        for name in self.mean:
            channel = known[name]
            if channel.variable not in attributes:
                attributes[channel.variable] = {ATTRIBUTE: _empty(reader, channel.variable)}
            lists, place = attributes[channel.variable][ATTRIBUTE], _place(reader, channel)
            lists["mean"][place], lists["sd"][place] = self.mean[name], self.sd[name]
            lists["count"][place] = self.count.get(name)
        write_attributes(reader, attributes)

    def scale_offset(
        self, channels: Iterable[Channel | str]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """1 / sd and mean of each of ``channels``, shape (C,): normalised is (value - mean) * (1 / sd).

        Raises
        ------
        ConfigurationError
            If a channel is unknown.
        """
        names = self._names(channels)
        with np.errstate(over="ignore", divide="ignore"):
            inverse = (1 / np.array([self.sd[n] for n in names], np.float64)).astype(np.float32)
        inverse[~np.isfinite(inverse)] = 1
        return inverse, np.array([self.mean[n] for n in names], np.float32)

    def denormalise(
        self, values: npt.ArrayLike, channels: Sequence[Channel | str], axis: int = -3
    ) -> npt.NDArray[Any]:
        """Bring normalised values back to their units.

        Parameters
        ----------
        values : array-like of float
        channels : sequence of Channel or str
            One for each index of ``axis``.
        axis : int, default -3
            Where the channels are; -3 for (..., channel, y, x).

        Returns
        -------
        ndarray
            Of the shape and dtype of ``values``.
        """
        array = np.asarray(values)
        inverse, mean = self.scale_offset(channels)
        shape = [1] * array.ndim
        if array.shape[axis] != len(mean):
            raise ConfigurationError(
                f"axis {axis} of values of shape {array.shape} has {array.shape[axis]} entries "
                f"for {len(mean)} channels"
            )
        shape[axis] = len(mean)
        restored = array / inverse.reshape(shape) + mean.reshape(shape)
        return np.asarray(restored, array.dtype if array.dtype.kind == "f" else np.float32)

    def _names(self, channels: Iterable[Channel | str]) -> list[str]:
        names = [c.name if isinstance(c, Channel) else c for c in channels]
        if absent := [name for name in names if name not in self.mean]:
            raise ConfigurationError(
                f"there are no statistics of the channel {absent[0]!r}; "
                f"there are those of {', '.join(self.mean)}"
            )
        return names


def _reader(reader_or_store: Any) -> StoreReader:
    return reader_or_store if isinstance(reader_or_store, StoreReader) else StoreReader(reader_or_store)


def _guarded(moments: Moments) -> float:
    return moments.sd if moments.sd > 0 else 1.0


def _sizes(reader: StoreReader, variable: str) -> tuple[int, ...]:
    array = reader.array(variable)
    return tuple(array.shape[array.dims.index(dim)] for dim in further_dims(array, reader))


def _place(reader: StoreReader, channel: Channel) -> int:
    """Position of a channel in the lists of its variable: C order of the further dimensions."""
    sizes = _sizes(reader, channel.variable)
    return int(np.ravel_multi_index(channel.at, sizes)) if sizes else 0


def _lists(stored: Any, reader: StoreReader, variable: str) -> dict[str, Any] | None:
    """Return what is stored, if it fits the variable as it is now."""
    length = int(np.prod(_sizes(reader, variable), dtype=int))
    dims = list(further_dims(reader.array(variable), reader))
    if not isinstance(stored, dict) or stored.get("dims") != dims:
        return None
    lists = [stored.get(key) for key in ("mean", "sd", "count")]
    fits = all(isinstance(values, list) and len(values) == length for values in lists)
    return stored if fits else None


def _empty(reader: StoreReader, variable: str) -> dict[str, Any]:
    """Return lists to fill in, with what is stored already."""
    array = reader.array(variable)
    stored = _lists(array.attrs.get(ATTRIBUTE), reader, variable)
    length = int(np.prod(_sizes(reader, variable), dtype=int))
    keys = ("mean", "sd", "count")
    return {"dims": list(further_dims(array, reader))} | {
        key: list(stored[key]) if stored else [None] * length for key in keys
    }
