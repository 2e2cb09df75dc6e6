"""Bytes of a store's objects by key, whole or in part, without an event loop where files allow it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from zarr.abc.store import Store


class Objects(Protocol):
    """What holds the encoded chunks."""

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Bytes ``start`` to ``stop`` of an object, counted from its end where ``start`` is negative.

        Fewer where the object ends before; None if there is no such object.
        """


@dataclass(frozen=True)
class LocalObjects:
    """Files below a directory, read with plain system calls: safe in threads and after a fork.

    Parameters
    ----------
    root : str
        The directory.
    """

    root: str

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Read a file, or a part of it.

        Raises
        ------
        OSError
            Also if the store's directory is gone: every chunk would look as if it had never been stored.
        """
        try:
            with open(f"{self.root}/{key}", "rb", buffering=0) as file:  # noqa: PTH123 - Path costs as much as the read
                if start == 0 and stop is None:
                    return file.read()
                if start < 0:
                    length = os.fstat(file.fileno()).st_size
                    start = max(length + start, 0)
                file.seek(start)
                return file.read() if stop is None else _read(file, stop - start)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            if not os.path.isdir(self.root):  # noqa: PTH112 - as above
                raise OSError(f"the directory {self.root} of the store is not there") from None
            return None


def _read(file: Any, length: int) -> bytes:
    """Read ``length`` bytes, or what there is; a single read may return fewer."""
    size = os.fstat(file.fileno()).st_size - file.tell()  # a damaged length must not allocate
    parts, left = [], min(length, max(size, 0))
    while left > 0:
        part = file.read(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True)
class StoreObjects:
    """Objects of any Zarr store, through Zarr's event loop.

    Parameters
    ----------
    store : zarr.abc.store.Store
    """

    store: Store

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Ask the store for an object, or a part of it."""
        from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
        from zarr.core.buffer import default_buffer_prototype
        from zarr.core.sync import sync

        request: Any = None
        if start < 0:
            request = SuffixByteRequest(-start)
        elif stop is not None:
            if stop <= start:
                return b""
            request = RangeByteRequest(start, stop)
        elif start:
            request = OffsetByteRequest(start)
        found = sync(self.store.get(key, default_buffer_prototype(), byte_range=request))
        return None if found is None else found.to_bytes()


def objects_of(store: Store) -> Objects:
    """Choose how to read the objects of ``store``."""
    from zarr.storage import LocalStore

    if type(store) is LocalStore:  # a subclass may do something else in get()
        return LocalObjects(str(store.root))
    return StoreObjects(store)
