"""Curate a store before training: the same choice as while training, made once and written down."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.batches import ZarrBatches
from frazil.data.curation.manifest import Manifest, write_sources
from frazil.data.curation.members import Members
from frazil.data.curation.selection import name_setting
from frazil.data.curation.similarity import Gaps, find_gaps
from frazil.data.curation.superbatches import FEWEST, Curation, labels_of
from frazil.data.recent import RecentChunks
from frazil.data.schedule import Place, chosen
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from frazil.data.schedule import Group, Schedule

_AHEAD = 4  # superbatches in flight for each worker of a cluster
_HELD = 1 << 28  # bytes of decoded chunks that a task keeps


def curate(
    store: Any,
    curator: Any,
    *,
    out: str | Path | None = None,
    client: Any = None,
    epochs: int = 1,
    batch_size: int = 16,
    superbatch: int | None = None,
    shuffle: Any = True,
    seed: int = 0,
    memory: int | str = "2GiB",
    threads: int | None = None,
    **settings: Any,
) -> Any:
    """Choose the samples that a loader with ``curate=curator`` would, and write them down.

    ``make_loader(store, selection=out, ...)`` then gives the same batches, bit for bit, without reading what
    is not kept.

    Parameters
    ----------
    store : path, URL, Zarr store, xarray.Dataset or Samples; or a mapping of names to those
        Of several sources each is curated by itself; a loader finds the part of its own store in the file.
    curator : SALN, RandomDiscard or MostRecent
    out : path, optional
        Where the selection is written, as JSON.
    client : distributed.Client, optional
        Does the work of curators that compare members: a task for each variable of a superbatch. Workers open
        the store for themselves, so it has to be where they find it.
    epochs : int, default 1
        Each has an order, and so superbatches, of its own. Later epochs begin again with the first.
    batch_size, superbatch, shuffle, seed, memory
        Those of the loader: they decide what the superbatches are. ``superbatch`` is by default 16 batches.
    threads : int, optional
        That decode, without a client; default as many as this process may use cores, up to 8.
    **settings
        Further ones of the loader and of its samples: ``variables``, ``inputs``, ``targets``, ...

    Returns
    -------
    Manifest
        Or a dict of them, by name, for several sources.

    Raises
    ------
    ConfigurationError
        If the curator needs the losses of a model, or settings contradict each other.
    StoreError
        If the selection cannot be written, or a chunk not read.

    Examples
    --------
    >>> import frazil, numpy as np, xarray as xr
    >>> fields = np.random.default_rng(1).normal(size=(40, 8, 8)).astype("f4")
    >>> ds = xr.DataArray(fields, dims=("time", "y", "x"), name="t2m").to_dataset()
    >>> manifest = curate(ds, frazil.SALN(keep=0.5), inputs=[0], targets=[], batch_size=4, superbatch=40)
    >>> len(manifest.kept()), manifest.dropped()
    (20, 20)
    """
    if curator.needs == "losses":
        raise ConfigurationError(
            f"{type(curator).__name__} chooses by the losses of a model in training; give it to "
            "make_loader(curate=...) instead"
        )
    if told := sorted({"rank", "world_size", "remainder", "selection", "on_bad_chunk"} & settings.keys()):
        raise ConfigurationError(
            f"a selection is made for all ranks, of all samples; leave out {', '.join(told)}"
        )
    if epochs < 1:
        raise ConfigurationError(f"epochs counts from 1 on; got {epochs}")
    several = isinstance(store, Mapping) and not hasattr(store, "data_vars")
    sources = dict(store) if several else {"": store}
    if not sources:
        raise ConfigurationError("there are no sources to curate")
    found = {}
    for name, source in sources.items():
        # The loader that would curate by itself: its order is the one whose superbatches are meant.
        loader = ZarrBatches(
            source,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            curate=curator,
            superbatch=superbatch or 16 * batch_size,
            memory=memory,
            threads=threads,
            **settings,
        )
        found[name] = _curate(loader, epochs, client, seed)
    if not several:
        if out is not None:
            found[""].write(out)
        return found[""]
    if out is not None:
        write_sources(found, out)
    return found


def _curate(loader: ZarrBatches, epochs: int, client: Any, seed: int) -> Manifest:
    schedule, samples, curator = loader.schedule, loader.samples, loader.schedule.curator
    kept, diagnostics, candidates = [], [], []
    for epoch in range(epochs):
        groups = schedule.groups(Place(epoch))
        if client is not None and curator.needs == "members":
            decided = _on_dask(schedule, groups, client)
        else:
            decided = _here(schedule, groups, loader.memory, loader.threads)
        ids, notes = [], []
        for group in decided:
            ids.append(tuple(group.samples.tolist()))
            notes.append(None if group.selection is None else group.selection.diagnostics.to_json())
        kept.append(tuple(ids))
        diagnostics.append(tuple(notes))
        candidates.append(tuple(len(group.samples) for group in groups))
    return Manifest(
        store=samples.reader.fingerprint(),
        plan=samples.plan.fingerprint(),
        curator={
            "name": type(curator).__name__,
            "settings": _settings(curator),
            "fingerprint": curator.fingerprint(),
        },
        batch_size=schedule.batch_size,
        superbatch=schedule.per_group * schedule.batch_size,
        seed=seed,
        kept_samples=tuple(kept),
        candidates=tuple(candidates),
        diagnostics=tuple(diagnostics),
    )


def _settings(curator: Any) -> dict[str, Any]:
    """List a curator's settings for people; functions by their names, which do not change from run to run."""
    if not is_dataclass(curator):
        return {}
    return {f.name: name_setting(getattr(curator, f.name)) for f in fields(curator)}


def _here(schedule: Schedule, groups: list[Group], memory: int, threads: int) -> Iterator[Group]:
    """Curate superbatch by superbatch in this process."""
    with Curation(schedule, groups, threads=threads, memory=memory, alone=True) as curation:
        for position in range(len(groups)):
            yield curation.choose(position)


def _on_dask(schedule: Schedule, groups: list[Group], client: Any) -> Iterator[Group]:
    """Curate with a task for each variable and one that chooses; some superbatches at a time."""
    curator = schedule.curator
    parts = Members.of(schedule.samples, curator).parts()
    # Scattered once: they hold the plan of the whole store.
    shared = [client.scatter(members, broadcast=True) for _, members in parts]
    ahead = _AHEAD * max(1, len(client.scheduler_info()["workers"]))
    waiting: deque[tuple[Group, Any]] = deque()
    for group in groups:
        future = None
        if len(group.samples) >= FEWEST:
            grams = [client.submit(_compare, part, curator, group.samples, pure=False) for part in shared]
            numbers = [channels for channels, _ in parts]
            labels = labels_of(group, schedule.kept(group))
            future = client.submit(_choose, curator, numbers, grams, labels, pure=False)
        waiting.append((group, future))
        if len(waiting) >= ahead:
            yield _decided(schedule, *waiting.popleft())
    while waiting:
        yield _decided(schedule, *waiting.popleft())


def _decided(schedule: Schedule, group: Group, future: Any) -> Group:
    if future is None:
        return group
    selection = future.result()
    return chosen(group, np.asarray(selection.kept), schedule.batch_size, selection)


def _compare(members: Members, curator: Any, ids: npt.NDArray[np.int64]) -> tuple[list[Any], Gaps]:
    """Embed samples and compare them in the channels of one variable; what comes back is small."""
    recent = RecentChunks(members.assembly.load, _HELD)
    found, _ = members.embed(ids, recent.take)
    return [curator.block_gram(block) for block in curator.blocks(found)], find_gaps(found)


def _choose(
    curator: Any,
    numbers: Sequence[Sequence[int]],
    parts: Sequence[tuple[list[Any], Gaps]],
    labels: dict[str, Any],
) -> Any:
    """Choose by what was found in each channel, summed up in their order."""
    reduce(operator.add, [gaps for _, gaps in parts]).check(curator.max_missing)
    blocks = [block for found, _ in parts for block in found]
    if len(parts) > 1:
        places = [place for channels in numbers for place in channels]
        blocks = [blocks[k] for k in np.argsort(places)]
    return curator.select_gram(curator.sum_blocks(blocks), **labels)
