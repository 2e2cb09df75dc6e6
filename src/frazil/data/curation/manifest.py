"""Selections on disk: which samples of which store were kept, superbatch by superbatch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.data.samples import Samples

    Ints = npt.NDArray[np.int64]

VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """What a curator kept of a store.

    Parameters
    ----------
    store, plan : str
        Fingerprints of the store and of the plan of its samples.
    curator : dict
        Its settings, for people, and its fingerprint.
    batch_size, superbatch, seed : int
    kept_samples : tuple
        For each epoch and superbatch the numbers of the samples that were kept, in the order of the batches.
    candidates : tuple
        For each epoch and superbatch among how many samples was chosen.
    diagnostics : tuple
        For each epoch and superbatch what the curator says of its choice, as JSON values.
    """

    store: str
    plan: str
    curator: dict[str, Any]
    batch_size: int
    superbatch: int
    seed: int
    kept_samples: tuple[tuple[tuple[int, ...], ...], ...]
    candidates: tuple[tuple[int, ...], ...]
    diagnostics: tuple[tuple[Any, ...], ...] = ()

    @property
    def epochs(self) -> int:
        """Epochs that were curated; later ones begin again with the first."""
        return len(self.kept_samples)

    def groups(self, epoch: int) -> list[tuple[Ints, ...]]:
        """Batches of each superbatch of an epoch."""
        found, size = [], self.batch_size
        for kept in self.kept_samples[epoch % self.epochs]:
            ids = np.array(kept, np.int64)
            found.append(tuple(ids[at : at + size] for at in range(0, len(ids), size)))
        return found

    def kept(self, epoch: int = 0) -> Ints:
        """Numbers of all samples that were kept, in the order of the epoch."""
        return np.array([i for kept in self.kept_samples[epoch % self.epochs] for i in kept], np.int64)

    def dropped(self, epoch: int = 0) -> int:
        """How many samples of an epoch were not kept."""
        return sum(self.candidates[epoch % self.epochs]) - len(self.kept(epoch))

    def is_whole(self, epoch: int, number: int) -> bool:
        """Whether a superbatch had as many candidates as it should: the last ones of an epoch may not."""
        return self.candidates[epoch % self.epochs][number] == self.superbatch

    def check(self, samples: Samples, *, batch_size: int | None = None) -> None:
        """Refuse a store, windows or batches that the selection was not made for.

        Variables and normalisation may differ from those that it was made with.

        Raises
        ------
        ConfigurationError
            With what differs.
        """
        if samples.reader.fingerprint() != self.store:
            raise ConfigurationError(
                f"the selection was made for another store: its hash is {self.store[:19]}..., this "
                f"store's is {samples.reader.fingerprint()[:19]}...; curate this one"
            )
        if samples.plan.fingerprint() != self.plan:
            raise ConfigurationError(
                "the selection was made for other windows (inputs, targets, stride, times, region or patch); "
                f"use those that it was made with, or curate again. These are {samples.plan.describe()}"
            )
        if batch_size is not None and batch_size != self.batch_size:
            raise ConfigurationError(
                f"the selection was made for batches of {self.batch_size}, not of {batch_size}; the same "
                "batches need the same batch_size"
            )
        for epoch in range(self.epochs):
            kept = self.kept(epoch)
            if not np.isin(kept, samples.plan.samples).all() or len(np.unique(kept)) != len(kept):
                raise ConfigurationError(
                    f"the selection is damaged: epoch {epoch} holds samples twice, or some that the store "
                    "has not; curate again"
                )

    @classmethod
    def of(cls, selection: Any, samples: Samples, *, batch_size: int | None = None) -> Manifest:
        """Find what a selection says of a store, and check that it was made for it.

        Parameters
        ----------
        selection : path, Manifest, or mapping of names to Manifest
            What `frazil.curate` returned or wrote, of one source or of several.
        samples : Samples
        batch_size : int, optional
            That the selection has to have been made for.

        Raises
        ------
        StoreError
            If there is no such file.
        ConfigurationError
            If it holds no selection, or none for these samples.
        """
        if isinstance(selection, cls):
            found = {"": selection}
        elif isinstance(selection, Mapping):
            found = dict(selection)
        else:
            found = read_sources(selection)
        store, plan = samples.reader.fingerprint(), samples.plan.fingerprint()
        mine = [manifest for manifest in found.values() if manifest.store == store]
        if len(found) > 1 and not mine:
            raise ConfigurationError(
                f"the selection was made for the stores of {', '.join(found)}, and this is none of them: "
                f"its hash is {store[:19]}...; curate it"
            )
        fitting = [manifest for manifest in mine if manifest.plan == plan] or mine or list(found.values())
        fitting[0].check(samples, batch_size=batch_size)
        return fitting[0]

    def fingerprint(self) -> str:
        """Hash of all of it."""
        return self._hash

    @cached_property
    def _hash(self) -> str:  # a loader's state_dict asks for it time and again
        return "sha256:" + hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()

    def write(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        _write(path, asdict(self))

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """Read what `write` wrote.

        Raises
        ------
        StoreError
            If there is no such file.
        ConfigurationError
            If it is no selection, one of a newer frazil, or one of several sources.
        """
        found = read_sources(path)
        if len(found) != 1:
            raise ConfigurationError(
                f"{path} holds the selections of several sources: {', '.join(found)}; use read_sources"
            )
        return next(iter(found.values()))


def write_sources(manifests: Mapping[str, Manifest], path: str | Path) -> None:
    """Write the selections of several sources into one file, whole or not at all.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    _write(path, {"sources": {name: asdict(manifest) for name, manifest in manifests.items()}})


def read_sources(path: str | Path) -> dict[str, Manifest]:
    """Read the selections of all sources of a file, by name; that of a single one has the name "".

    Raises
    ------
    StoreError
        If there is no such file.
    ConfigurationError
        If it is no selection, or one of a newer frazil.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"there is no selection at {path}: {error}") from error
    try:
        values = json.loads(text)
        version = values.pop("frazil_selection")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigurationError(f"{path} holds no selection that frazil wrote: {error!r}") from error
    if version != VERSION:
        raise ConfigurationError(
            f"{path} is a selection of version {version}, this frazil reads {VERSION}; upgrade frazil to "
            "read it"
        )
    try:
        sources = values.get("sources", {"": values})
        return {str(name): _manifest(part) for name, part in sources.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{path} is a damaged selection: {error!r}; curate again") from error


def _manifest(values: dict[str, Any]) -> Manifest:
    kept = tuple(tuple(tuple(map(_whole, group)) for group in epoch) for epoch in values["kept_samples"])
    diagnostics = tuple(tuple(epoch) for epoch in values["diagnostics"])
    found = {
        "kept_samples": kept,
        "candidates": tuple(tuple(map(_whole, epoch)) for epoch in values["candidates"]),
        "diagnostics": diagnostics,
    }
    lengths = [[len(epoch) for epoch in part] for part in found.values()]
    if not kept or any(part != lengths[0] for part in lengths):
        raise ValueError("epochs or superbatches that do not fit together")
    return Manifest(**values | found)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} where a whole number is expected")
    return value


def _write(path: str | Path, values: dict[str, Any]) -> None:
    text = json.dumps({"frazil_selection": VERSION} | values) + "\n"
    final = Path(path)
    partial = final.with_name(f"{final.name}.{os.getpid()}.partial")
    try:
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write the selection to {path}: {error}") from error
