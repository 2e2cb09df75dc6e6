"""Tensors, workers and their deaths."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from little_curators import Hardest
from little_stores import check_values, joined, numbers, read_by_xarray, weather, write

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader, RandomSampler  # noqa: E402 - only where there is torch

import frazil  # noqa: E402
from frazil.data.batches import ZarrBatches  # noqa: E402
from frazil.data.dataset import TorchBatches, ZarrDataset  # noqa: E402
from frazil.data.loader import distributed_ranks, make_loader  # noqa: E402
from frazil.errors import ConfigurationError, FrazilError, WorkerWarning  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from frazil.data.batch import Batch

# Python 3.12 and later warn of every fork while there are threads; torch has some.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ds = weather(203, ("a", "b"))
    ds["a"][17, 1, 2] = np.nan
    return write(ds, tmp_path_factory.mktemp("loader") / "s.zarr", {"a": (8, 4, 6), "b": (5, 4, 3)})


def test_batches_are_tensors_of_what_xarray_reads(store: Path) -> None:
    loader = make_loader(store, batch_size=12, seed=1)
    ds = read_by_xarray(store)
    found = []
    for batch in loader:
        tensors = (batch.x, batch.y, batch.mask, batch.y_mask, batch.index)
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors)
        check_values(batch, ds, loader.batches.samples)
        found.append(batch.index.tolist())
    assert len(found) == len(loader)
    assert found == numbers(ZarrBatches(store, batch_size=12, seed=1))
    assert loader.channels == ("a", "b")
    assert loader.epoch == 1


def test_torch_batches_are_those_of_zarr_batches(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = TorchBatches(store, batch_size=12, seed=1)
    assert len(dataset) == 17
    assert numbers(dataset) == numbers(ZarrBatches(store, batch_size=12, seed=1))
    dataset.set_epoch(0)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert numbers(loader) == numbers(ZarrBatches(store, batch_size=12, seed=1))
    monkeypatch.setattr("frazil.data.dataset.get_worker_info", lambda: SimpleNamespace(id=0, num_workers=2))
    with pytest.raises(
        ConfigurationError, match=r"superbatches do not stay together .* use frazil.make_loader"
    ):
        list(TorchBatches(store, batch_size=4, superbatch=8))


@pytest.mark.parametrize(("workers", "context"), [(1, "fork"), (2, "fork"), (2, "spawn"), (2, "forkserver")])
def test_workers_change_nothing(store: Path, workers: int, context: str) -> None:
    settings: dict[str, Any] = {"batch_size": 8, "superbatch": 16, "seed": 2}
    loader = make_loader(store, num_workers=workers, multiprocessing_context=context, **settings)
    alone = make_loader(store, **settings)
    for mine, other in zip(loader, alone, strict=True):
        for name in ("x", "y", "mask", "y_mask", "index"):
            assert torch.equal(getattr(mine, name), getattr(other, name))
        assert np.array_equal(mine.time, other.time)
        for name in ("epoch", "superbatch_id", "position", "is_last", "channels"):
            assert getattr(mine, name) == getattr(other, name)
        assert loader.state_dict() == alone.state_dict()
    assert loader.epoch == 1


def test_workers_go_on_from_a_state(store: Path) -> None:
    settings: dict[str, Any] = {"batch_size": 8, "superbatch": 16}
    everything = numbers(make_loader(store, **settings))
    for done in (0, 3, 4, len(everything)):
        before = make_loader(store, num_workers=done % 3, multiprocessing_context="fork", **settings)
        state, found = before.state_dict(), []
        for _, batch in zip(range(done), before, strict=False):
            found.append(batch.index.tolist())
            state = json.loads(json.dumps(before.state_dict()))
        after = make_loader(store, num_workers=2, multiprocessing_context="fork", **settings)
        after.load_state_dict(state)
        assert found + numbers(after) == everything


def read_and_kill(loader: Any, when: int) -> list[list[int]]:
    """Read an epoch, and kill a worker after ``when`` batches; nothing may be raised while one waits."""
    found = []
    for batch in loader:
        found.append(batch.index.tolist())
        if len(found) == when:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
            threading.Event().wait(0.2)
    return found


@pytest.mark.parametrize("when", [1, 5])
def test_a_worker_that_is_killed_costs_nothing_but_a_warning(store: Path, when: int) -> None:
    settings: dict[str, Any] = {"batch_size": 4, "superbatch": 8, "seed": 5}
    loader = make_loader(store, num_workers=2, multiprocessing_context="fork", **settings)
    with pytest.warns(WorkerWarning, match=r"reading goes on behind .*\(1 of 3 times in this epoch\)"):
        found = read_and_kill(loader, when)
    assert found == numbers(make_loader(store, **settings))


def test_no_process_outlives_an_iterator(store: Path) -> None:
    loader = make_loader(store, num_workers=2, multiprocessing_context="fork", batch_size=4)
    for _ in loader:
        assert len(multiprocessing.active_children()) == 2
        break
    assert multiprocessing.active_children() == []


def test_bad_chunks_are_named_and_counted_through_workers(tmp_path: Path) -> None:
    store = write(weather(80, ("a", "b")), tmp_path / "bad.zarr")
    (store / "a/c/2/0/0").write_bytes(b"nonsense")
    workers: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "fork", "batch_size": 4}
    with pytest.raises(FrazilError, match="a/c/2/0/0"):
        list(make_loader(store, **workers))
    assert multiprocessing.active_children() == []
    loader = make_loader(store, on_bad_chunk="nan", **workers)
    assert sorted(joined(numbers(loader))) == list(range(1, 79))
    assert list(loader.bad_chunks) == ["a/c/2/0/0"]
    for shuffle in (True, False):  # in order, two batches are empty
        loader = make_loader(store, on_bad_chunk="skip", shuffle=shuffle, **workers)
        alone = make_loader(store, on_bad_chunk="skip", shuffle=shuffle, batch_size=4)
        assert numbers(loader) == numbers(alone)
        assert loader.dropped["bad chunks"] == alone.dropped["bad chunks"] == 10
        assert list(loader.bad_chunks) == ["a/c/2/0/0"]


def test_losses_are_asked_for_in_the_process_of_the_model(store: Path) -> None:
    asked = []

    def losses(batch: Batch) -> Any:  # could not be sent to a worker that is spawned
        asked.append(os.getpid())
        return batch.x.amax(dim=(1, 2, 3, 4))

    settings: dict[str, Any] = {"batch_size": 8, "superbatch": 32, "curate": Hardest(losses)}
    alone = numbers(make_loader(store, **settings))
    assert (
        numbers(make_loader(store, num_workers=2, multiprocessing_context="forkserver", **settings)) == alone
    )
    assert set(asked) == {os.getpid()}


def test_too_little_memory_for_the_workers_is_a_sentence(store: Path) -> None:
    make_loader(store, memory="100kB")
    with pytest.raises(ConfigurationError, match=r"2 workers hand over .* lower num_workers="):
        make_loader(store, memory="100kB", num_workers=2)
    with pytest.raises(ConfigurationError, match="num_workers counts processes, 0 or more; got -1"):
        make_loader(store, num_workers=-1)


def test_ranks_are_those_of_torch_distributed(store: Path, tmp_path: Path) -> None:
    assert distributed_ranks() == (None, None)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        assert distributed_ranks() == (0, 1)
        assert make_loader(store).batches.schedule.world_size == 1
    finally:
        torch.distributed.destroy_process_group()
    shares = [make_loader(store, rank=rank, world_size=2, batch_size=8) for rank in (0, 1)]
    assert len(shares[0]) == len(shares[1]) == 12
    assert shares[0].dropped["left over by the batches of all ranks"] == 201 - 24 * 8


def test_big_endian_and_read_only_arrays_become_tensors() -> None:
    from frazil.data.tensors import _tensor

    array = np.arange(4, dtype=">f4")
    assert _tensor(array).tolist() == [0, 1, 2, 3]
    array.flags.writeable = False
    assert _tensor(array).tolist() == [0, 1, 2, 3]
    assert _tensor(np.broadcast_to(np.True_, (2, 3))).tolist() == [[True] * 3] * 2
    assert _tensor(None) is None


def test_static_fields_are_tensors(store: Path) -> None:
    ds = weather(20)
    ds["land"] = (("lat", "lon"), np.ones((4, 6)))
    batch = next(iter(make_loader(ds, statics=["land"], variables=["a"])))
    assert torch.equal(batch.static, torch.ones(1, 4, 6))


# The map-style dataset.


def test_items_are_samples_of_any_order(store: Path) -> None:
    dataset = ZarrDataset(store, inputs=[0], targets=[2], memory="10kB")
    ds = read_by_xarray(store)
    assert len(dataset) == 201
    for number in (0, 17, -1, 100):
        item = dataset[number]
        sample = int(item["index"])
        assert sample == range(201)[number]
        values = np.stack([ds[name].values[sample] for name in "ab"])
        np.testing.assert_array_equal(item["x"][0], np.nan_to_num(values))
        np.testing.assert_array_equal(item["mask"][0], ~np.isnan(values))
        assert item["time"].tolist() == ds["time"].values[[sample, sample + 2]].astype("i8").tolist()
    with pytest.raises(IndexError):
        dataset[201]
    assert len(list(dataset)) == 201


@pytest.mark.parametrize("workers", [0, 2])
def test_it_works_with_samplers_and_workers(store: Path, workers: int) -> None:
    dataset = pickle.loads(pickle.dumps(ZarrDataset(store)))
    sampler = RandomSampler(dataset, generator=torch.Generator().manual_seed(3))
    context = "forkserver" if workers else None
    loader = DataLoader(dataset, 16, sampler=sampler, num_workers=workers, multiprocessing_context=context)
    seen = []
    for items in loader:
        assert items["x"].shape == (len(items["index"]), 2, 2, 4, 6)
        seen += items["index"].tolist()
        first = int(items["index"][0])
        assert torch.equal(items["x"][0], dataset[first - 1]["x"])
    assert sorted(seen) == list(range(1, 202))
    assert seen != sorted(seen)


def test_only_the_samples_of_a_selection(store: Path, tmp_path: Path) -> None:
    frazil.curate(
        store, frazil.RandomDiscard(keep=0.5), out=tmp_path / "s.json", batch_size=8, superbatch=32, seed=1
    )
    dataset = ZarrDataset(store, selection=tmp_path / "s.json")
    loader = make_loader(store, selection=tmp_path / "s.json", batch_size=8, seed=1)
    assert [int(dataset[k]["index"]) for k in range(len(dataset))] == joined(numbers(loader))


def test_pinned_memory_is_for_those_who_have_an_accelerator(store: Path, monkeypatch: Any) -> None:
    pinned = []
    monkeypatch.setattr("frazil.data.loader.move", lambda batch, pin: pinned.append(pin) or batch)
    plain = numbers(make_loader(store, batch_size=4))
    assert numbers(make_loader(store, batch_size=4, pin_memory=True)) == plain
    assert bool(pinned) == torch.cuda.is_available()
    monkeypatch.setattr("frazil.data.loader.can_pin", lambda: True)
    assert numbers(make_loader(store, batch_size=4, pin_memory=True)) == plain
    assert pinned[-len(plain) :] == [True] * len(plain)
