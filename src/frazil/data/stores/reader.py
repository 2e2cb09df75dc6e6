"""Read a store chunk by chunk, each decoded once, in any thread and any process."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.stores.opening import Location, contents_of_dataset, contents_of_group, locate, located_error
from frazil.data.stores.retries import Retries
from frazil.data.stores.stored_arrays import StoredArray, Variable
from frazil.data.stores.variables import Opened
from frazil.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    import xarray as xr

    from frazil.data.stores.chunk_sources import ChunkSource

    Coords = tuple[int, ...]

__all__ = ["StoreReader", "StoredArray"]


class StoreReader:
    """Chunks of the variables of a store, decoded, unpacked as CF says, at one resolution.

    Opens lazily, is picklable (a copy opens the store for itself), notices
    when its process was forked, and may be used from many threads at once.

    Parameters
    ----------
    store : str, path, zarr store, zarr.Group or xarray.Dataset
        A Dataset is read in dask's chunks or those of its file, and must be decoded.
    group : str, optional
        Path of the group in the store.
    level : int, default 0
        Read at 1/2**level of the resolution along the last two ``spatial``
        dimensions. frazil's arrays are decoded at that level from a part of
        their bytes, others are decoded whole and subsampled.
    sample_dim : str, optional
        Dimension along which samples lie; "time" where there is one, else the first of the first variable.
    spatial : sequence of str, optional
        Dimensions of a field; by default the last two of the first variable
        that has samples and at least three dimensions.
    decode : bool, default True
        False reads the latents of frazil's neural codecs instead of fields.
    retries : int, default 4
        How often to try again, after waits of 0.05 s, 0.1 s, ..., what a file system or network failed to do.
    count : bool, default False
        Count in `decodes` how often each chunk was decoded.

    Raises
    ------
    StoreError
        When it is first used, if the store cannot be opened.
    ConfigurationError
        If ``level`` is no number of halvings, or asked for together with latents.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> t = xr.DataArray(np.arange(24.0).reshape(4, 2, 3), dims=("time", "lat", "lon"))
    >>> reader = StoreReader(xr.Dataset({"t": t}).chunk(time=1))
    >>> reader.names, reader.sample_dim, reader.spatial
    (('t',), 'time', ('lat', 'lon'))
    >>> reader.read_chunk("t", (1, 0, 0))
    array([[[ 6.,  7.,  8.],
            [ 9., 10., 11.]]])
    """

    def __init__(
        self,
        store: Any,
        *,
        group: str | None = None,
        level: int = 0,
        sample_dim: str | None = None,
        spatial: tuple[str, ...] | list[str] | None = None,
        decode: bool = True,
        retries: int = 4,
        count: bool = False,
    ) -> None:
        self._place: Location | xr.Dataset = locate(store, group)
        self.level, self.decode, self.counting = _checked_level(level, decode=decode), decode, count
        self.retries = Retries(retries)
        self._wanted_sample_dim, self._wanted_spatial = sample_dim, tuple(spatial) if spatial else None
        self._forget_process()

    def _forget_process(self) -> None:
        # By process, so that a forked child neither waits for a lock that a thread of its parent held,
        # nor uses its parent's connections; dict.setdefault and dict.get are atomic.
        self._locks: dict[int, threading.Lock] = {}
        self._states: dict[int, Opened] = {}
        self._home = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle what to open, nothing that is open."""
        state = dict(self.__dict__)
        for key in ("_locks", "_states", "_home"):
            del state[key]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open anew when needed."""
        self.__dict__.update(state)
        self._forget_process()

    def __repr__(self) -> str:
        """Name the store."""
        what = self._place if type(self._place).__name__ == "Location" else "a Dataset"
        return f"StoreReader({str(what)!r}, level={self.level}, decode={self.decode})"

    @property
    def _state(self) -> Opened:
        pid = os.getpid()
        state = self._states.get(pid)
        if state is None:
            with self._locks.setdefault(pid, threading.Lock()):
                state = self._states.get(pid)
                if state is None:
                    state = self._states[pid] = self._open()
        return state

    def _open(self) -> Opened:
        place, tries = self._place, 0

        def tried(k: int, error: BaseException) -> None:  # noqa: ARG001 - what Retries calls
            nonlocal tries
            tries = k

        if not isinstance(place, Location):
            contents = contents_of_dataset(place)
        else:
            mine = place if os.getpid() == self._home else place.in_child()
            contents = self.retries.run(
                lambda: contents_of_group(mine.open(), str(place)), f"the metadata of {place}", tried
            )
        state = Opened(contents, self.level, self.decode, self._wanted_sample_dim, self._wanted_spatial)
        state.retried = tries
        return state

    @property
    def names(self) -> tuple[str, ...]:
        """Numeric variables: no coordinates, no bounds of cells or of errors (``<name>_bound``)."""
        return self._state.contents.names

    @property
    def sample_dim(self) -> str:
        """Dimension along which samples lie."""
        return self._state.sample_dim

    @property
    def spatial(self) -> tuple[str, ...]:
        """Dimensions of a field."""
        return self._state.spatial

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes of the group."""
        return dict(self._state.contents.raw.attrs)

    @property
    def decode_count(self) -> int:
        """Chunks decoded so far in this process."""
        return self._state.decoded

    @property
    def decodes(self) -> dict[tuple[str, Coords], int]:
        """How often this process decoded each chunk, by (name, coords); empty without ``count=True``."""
        return self._state.decodes

    @property
    def retried(self) -> int:
        """How often something was tried again in this process."""
        return self._state.retried

    @property
    def place(self) -> Location | xr.Dataset:
        """What was given: where the store is, or the Dataset."""
        return self._place

    def at_level(self, level: int) -> StoreReader:
        """Return a reader of the same store at another level, which opens it for itself."""
        other = StoreReader.__new__(StoreReader)
        other.__setstate__(self.__getstate__() | {"level": _checked_level(level, decode=self.decode)})
        return other

    def as_latents(self) -> StoreReader:
        """Return a reader of the latents of the same store, as ``decode=False`` gives it."""
        other = StoreReader.__new__(StoreReader)
        other.__setstate__(self.__getstate__() | {"level": 0, "decode": False})
        return other

    def reduces(self, names: Iterable[str]) -> bool:
        """Whether all of these variables can be decoded at a level from a part of their bytes."""
        return all(self._state.reduces(name) for name in names)

    def points(self, dim: str) -> npt.NDArray[np.intp]:
        """Points of the full resolution that the reader's points of a dimension stand for, ascending.

        Raises
        ------
        StoreError
            If no variable has the dimension.
        """
        return self._state.points(dim)

    def reopen(self) -> None:
        """Open the store anew when it is next used, because its metadata changed; counts go on."""
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            before = self._states.pop(os.getpid(), None)
            if before is not None:
                state = self._open()
                state.decoded, state.decodes = before.decoded, before.decodes
                state.retried += before.retried
                self._states[os.getpid()] = state

    def array(self, name: str) -> StoredArray:
        """Describe a variable.

        Raises
        ------
        StoreError
            If there is none of this name; the message says which there are.
        UnsupportedArrayError
            If latents are wanted and the variable has none.
        ConfigurationError
            If its chunks leave other points at the reader's level than those of the other variables.
        """
        return self._variable(name).array

    def coordinate(self, dim: str) -> npt.NDArray[Any] | None:
        """Return decoded values of a dimension's coordinate at the reader's level; None if it has none."""
        return self._state.coordinate(dim)

    def key(self, name: str, coords: Coords) -> str:
        """Key of the object that holds a chunk, for messages."""
        return self._variable(name).source.key(coords)

    def read_chunk(self, name: str, coords: Coords, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """Read and decode one stored chunk.

        Parameters
        ----------
        name : str
        coords : tuple of int
            The chunk's place in the grid.
        out : ndarray, optional
            Where to write; C-contiguous, of the chunk's shape and the array's dtype.

        Returns
        -------
        ndarray
            Shape ``array(name).chunk_shape(coords)``, in the units that CF says, missing
            values NaN; ``out`` if given. A chunk that is not stored holds the fill value.

        Raises
        ------
        StoreError
            If it cannot be read, however often that was tried; names variable and key.
        FormatError
            If it is damaged, also when read a second time; names variable and key.
        """
        state = self._state
        variable = state.variables.get(name) or self._variable(name)
        shape = variable.array.chunk_shape(coords)
        if out is None:
            out = np.empty(shape, variable.array.dtype)
        elif out.shape != shape or out.dtype != variable.array.dtype or not out.flags.c_contiguous:
            raise ConfigurationError(
                f"out= is {out.dtype} of shape {out.shape}; chunk {coords} of {name!r} wants C-contiguous "
                f"{variable.array.dtype} of shape {shape}"
            )
        source = variable.source
        for attempt in (1, 2):
            try:
                loaded = self._load(source, name, coords)
                variable.finish(loaded, coords, out)
                break
            except MemoryError:
                raise
            except Exception as error:
                if isinstance(error, StoreError) and error.__cause__ is not None:
                    raise  # the tries are used up and the message is complete
                if attempt == 1:
                    source.forget(coords)  # what was read may have been half written, or replaced meanwhile
                    continue
                raise located_error(error, f"variable {name!r}, {source.key(coords)}") from error
        state.count(name, coords, each=self.counting)
        return out

    def _load(self, source: ChunkSource, name: str, coords: Coords) -> Any:
        what = f"variable {name!r}, {source.key(coords)}"
        return self.retries.run(lambda: source.load(coords), what, self._state.tried)

    def _variable(self, name: str) -> Variable:
        state = self._state
        return self.retries.run(lambda: state.variable(name), f"variable {name!r}", state.tried)

    def fingerprint(self) -> str:
        """Hash of what the store holds, to notice that a selection was made of another one.

        Returns
        -------
        str
            "sha256:" and 64 hexadecimal digits: over the variables' names, shapes,
            dtypes, chunks and codecs, the sample coordinate, and the first stored
            bytes of each variable. Not over attributes, the place of the store,
            or the reader's level.
        """
        from frazil.data.stores.fingerprints import fingerprint

        state = self._state
        with state.lock:
            if state.fingerprint is None:
                state.fingerprint = self.retries.run(
                    lambda: fingerprint(state.contents, state.sample_dim),
                    f"the contents of {self!r}",
                    state.tried,
                )
        return state.fingerprint


def _checked_level(level: int, *, decode: bool) -> int:
    if not isinstance(level, int) or isinstance(level, bool) or not 0 <= level <= 32:
        raise ConfigurationError(f"level counts halvings of the resolution, 0 to 32; got {level!r}")
    if level and not decode:
        raise ConfigurationError(f"latents have one resolution: decode=False goes with level=0, not {level}")
    return level
