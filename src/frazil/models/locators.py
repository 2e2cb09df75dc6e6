"""Bytes of models at paths and URLs; what they are, the digest says."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from frazil.errors import FormatError, StoreError
from frazil.models.tensors import LARGEST_FILE

TIMEOUT = 30  # seconds without an answer


def read_file(path: Path) -> bytes:
    """Read a file, but none larger than a model can be.

    Raises
    ------
    StoreError
        If there is none, or it cannot be read.
    FormatError
        If it is too large.
    """
    try:
        if not path.is_file():
            raise StoreError(f"there is no file {path}")
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise FormatError(f"{path} has {size} bytes, a model at most {LARGEST_FILE}")
        return path.read_bytes()
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot read {path}: {error}") from error


def fetch(locator: str, *, network: bool) -> bytes:
    """Read what a path or URL leads to.

    Parameters
    ----------
    locator : str
        A path, ``file://``, ``https://``, or another URL that fsspec knows.
    network : bool
        Whether anything but files may be read.

    Raises
    ------
    StoreError
        If nothing is there, or the network may not be used.
    FormatError
        If it is larger than a model.
    """
    parts = urlsplit(locator)
    if "://" not in locator:
        return read_file(Path(locator))
    if parts.scheme == "file":
        return read_file(Path(url2pathname(parts.path)))
    if not network:
        raise StoreError("not tried: frazil.models.allow_network(True) lets models be fetched from URLs")
    try:
        data = _https(locator) if parts.scheme in {"http", "https"} else _fsspec(locator)
    except Exception as error:  # each protocol has its own
        raise StoreError(f"cannot fetch {locator}: {error}") from error
    if len(data) > LARGEST_FILE:
        raise FormatError(f"{locator} has more than {LARGEST_FILE} bytes, which no model has")
    return data


def _https(locator: str) -> bytes:
    from urllib.request import urlopen

    with urlopen(locator, timeout=TIMEOUT) as answer:  # noqa: S310 - http or https, see above
        return bytes(answer.read(LARGEST_FILE + 1))


def _fsspec(locator: str) -> bytes:
    import fsspec

    with fsspec.open(locator, "rb") as file:
        return bytes(file.read(LARGEST_FILE + 1))


def write_whole(data: bytes, path: Path) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error}") from error


def remove(path: Path) -> None:
    """Remove a file, if there is one.

    Raises
    ------
    StoreError
        If it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error}") from error


def keep(data: bytes, path: Path) -> None:
    """Write a file into a cache; one that cannot be written is none."""
    with contextlib.suppress(StoreError):
        write_whole(data, path)
