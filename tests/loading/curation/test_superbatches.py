import numpy as np
import pytest
import xarray as xr

import frazil
from frazil.data.batches import ZarrBatches
from frazil.data.curation.superbatches import Curation
from frazil.data.samples import Samples
from frazil.data.schedule import Place, Schedule
from frazil.data.stores import StoreReader

SETTINGS = {"inputs": [-1, 0], "targets": [1]}
SALN = frazil.SALN(keep=0.5)


def dataset(steps=50):
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(16) / 3 - 0.2 * np.arange(steps)[:, None, None]) * np.ones((1, 12, 1))
    fields = wave + 0.3 * rng.normal(size=(steps, 12, 16))
    return xr.Dataset({"t": (("time", "lat", "lon"), fields.astype("f4"))})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("superbatches") / "a.zarr"
    frazil.to_zarr(dataset(), path, codec=frazil.JP2K(ratio=4), chunks={"time": 4})
    return path


def schedule(of, curator=SALN, **settings):
    samples = of if isinstance(of, Samples) else Samples(of, **SETTINGS)
    return Schedule(samples, **({"batch_size": 4, "superbatch": 16, "curate": curator} | settings))


def members_by_hand(store, ids):
    return frazil.open_zarr(store, level=2).t.values[ids][:, None]


def test_what_is_chosen_is_what_the_curator_says(store):
    plan = schedule(store)
    groups = plan.groups(Place(0))
    assert [len(group.samples) for group in groups] == [16, 16, 16]
    with Curation(plan, groups) as curation:
        for position, group in enumerate(groups):
            found = curation.choose(position)
            wanted = SALN.select(members_by_hand(store, group.samples), step=position, count=8)
            np.testing.assert_array_equal(found.samples, group.samples[wanted.kept])
            assert found.selection.diagnostics == wanted.diagnostics
            assert [len(batch) for batch in found.batches] == [4, 4]


def test_batches_say_where_they_stand(store):
    batches = list(ZarrBatches(store, curate=SALN, batch_size=4, superbatch=16, **SETTINGS))
    assert [(b.superbatch_id, b.position, b.is_last) for b in batches] == [
        (number, position, position == 1) for number in range(3) for position in range(2)
    ]
    assert batches[0].selection is batches[1].selection
    assert batches[0].selection.diagnostics.curator == "SALN"
    indices = np.concatenate([b.index for b in batches])
    assert len(np.unique(indices)) == len(indices) == 24


def test_threads_and_memory_change_nothing(store):
    plan = schedule(store)
    groups = plan.groups(Place(0))
    found = []
    for threads, memory in ((1, 1 << 28), (4, 1 << 28), (2, 300)):
        with Curation(plan, groups, threads=threads, memory=memory) as curation:
            found.append([curation.choose(k).samples.tolist() for k in range(len(groups))])
    assert found[0] == found[1] == found[2]


def test_alone_and_shared_are_the_same():
    """Members that come from the batches' own chunks, and from chunks read for the curation alone."""
    reader = StoreReader(dataset(), count=True)
    plan = schedule(Samples(reader, **SETTINGS))
    groups = plan.groups(Place(0))
    with Curation(plan, groups) as shared, Curation(plan, groups, alone=True) as alone:
        assert shared.shared
        assert not alone.shared
        kept = [alone.choose(k).samples.tolist() for k in range(3)]
    online = ZarrBatches(plan.samples, curate=SALN, batch_size=4, superbatch=16)
    batches = list(online)
    assert [np.concatenate([b.index for b in batches[k : k + 2]]).tolist() for k in (0, 2, 4)] == kept


@pytest.mark.parametrize("curator", [SALN, frazil.RandomDiscard(keep=0.5), frazil.MostRecent(keep=0.5)])
def test_too_few_to_compare_are_kept(curator):
    samples = Samples(dataset(20), **SETTINGS)  # 18 samples: a superbatch of 16, and two
    batches = list(ZarrBatches(samples, curate=curator, batch_size=4, superbatch=16))
    assert [len(b) for b in batches] == [4, 4, 2]
    assert batches[-1].selection is None


def test_most_recent_by_time():
    samples = Samples(dataset(), **SETTINGS)
    plan = schedule(samples, frazil.MostRecent(keep=0.5))
    for group, position in zip(groups := plan.groups(Place(0)), range(3), strict=True):
        with Curation(plan, groups) as curation:
            kept = curation.choose(position).samples
        assert sorted(kept.tolist()) == sorted(group.samples.tolist())[8:]


def test_a_schedule_of_shares(store):
    """Whole batches of every superbatch, as many as the share says."""
    asked = []

    def keep(epoch, step):
        asked.append((epoch, step))
        return (0.25, 0.5, 0.8)[step]

    batches = ZarrBatches(store, curate=frazil.SALN(keep=keep), batch_size=4, superbatch=16, **SETTINGS)
    counts = [0, 0, 0]
    for batch in batches:
        counts[batch.superbatch_id] += len(batch)
        assert len(batch) == 4
    assert counts == [4, 8, 12]
    assert set(asked) >= {(0, 0), (0, 1), (0, 2)}
    assert len(batches) == 6


def test_another_epoch_chooses_anew(store):
    batches = ZarrBatches(
        store, curate=frazil.RandomDiscard(keep=0.5), batch_size=4, superbatch=16, **SETTINGS
    )
    seen = [{int(i) for batch in batches for i in batch.index} for _ in range(3)]
    assert seen[0] != seen[1] != seen[2]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_goes_on_within_a_superbatch(store, at):
    settings = {"curate": SALN, "batch_size": 4, "superbatch": 16, **SETTINGS}
    whole = [b.index.tolist() for b in ZarrBatches(store, **settings)]
    first = ZarrBatches(store, **settings)
    reading = iter(first)
    begun = [next(reading).index.tolist() for _ in range(at)]
    state = first.state_dict()
    reading.close()
    second = ZarrBatches(store, **settings)
    second.load_state_dict(state)
    assert begun + [b.index.tolist() for b in second] == whole
