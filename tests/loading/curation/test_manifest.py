import json
import os

import numpy as np
import pytest
import xarray as xr

from frazil.data.batches import ZarrBatches
from frazil.data.curation.manifest import Manifest, read_sources, write_sources
from frazil.data.samples import Samples
from frazil.errors import ConfigurationError, StoreError


def samples(seed=0, steps=30, **settings):
    fields = np.random.default_rng(seed).normal(size=(steps, 4, 5)).astype("f4")
    ds = xr.Dataset({"t": (("time", "y", "x"), fields)})
    return Samples(ds, **({"inputs": [0], "targets": [1]} | settings))


def manifest(of, **changes):
    settings = {
        "store": of.reader.fingerprint(),
        "plan": of.plan.fingerprint(),
        "curator": {"name": "nobody"},
        "batch_size": 2,
        "superbatch": 8,
        "seed": 3,
        "kept_samples": (((1, 5, 3, 7), (10, 9)), ((2, 20), (4, 6, 8))),
        "candidates": ((8, 8), (8, 8)),
        "diagnostics": ((None, {"lambda2": 0.5}), (None, None)),
    }
    return Manifest(**settings | changes)


def test_written_and_read_is_the_same(tmp_path):
    wanted = manifest(samples())
    wanted.write(tmp_path / "selection.json")
    found = Manifest.read(tmp_path / "selection.json")
    assert found == wanted
    assert found.fingerprint() == wanted.fingerprint()
    assert [len(group) for group in found.groups(0)] == [2, 1]
    assert found.kept(0).tolist() == [1, 5, 3, 7, 10, 9]
    assert found.dropped(0) == 10
    assert json.loads((tmp_path / "selection.json").read_text())["frazil_selection"] == 1
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "selection.json").stat().st_mode & 0o777 == 0o666 & ~mask  # others may read it


def test_epochs_begin_again():
    found = manifest(samples())
    assert found.epochs == 2
    for epoch in (0, 1):
        assert found.kept(epoch + 2).tolist() == found.kept(epoch).tolist()
        assert found.dropped(epoch + 4) == found.dropped(epoch)
        assert [len(g) for g in found.groups(epoch + 2)] == [len(g) for g in found.groups(epoch)]


def test_batches_of_a_selection():
    of = samples()
    batches = ZarrBatches(of, batch_size=2, selection=manifest(of))
    assert [b.index.tolist() for b in batches] == [[1, 5], [3, 7], [10, 9]]
    assert [b.index.tolist() for b in batches] == [[2, 20], [4, 6], [8]]
    assert [b.index.tolist() for b in batches] == [[1, 5], [3, 7], [10, 9]]
    assert dict(batches.dropped)["not chosen by the curation"] == 11  # of the next epoch


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seed": 1}, "made for another store: its hash is sha256:"),
        ({"inputs": [-1, 0]}, r"made for other windows .* These are inputs \[-1, 0\]"),
        ({"times": slice(0, 20)}, "made for other windows"),
    ],
)
def test_of_other_samples(settings, words):
    with pytest.raises(ConfigurationError, match=words):
        manifest(samples()).check(samples(**settings))


def test_of_other_batches():
    of = samples()
    with pytest.raises(ConfigurationError, match="made for batches of 2, not of 4"):
        ZarrBatches(of, batch_size=4, selection=manifest(of))
    with pytest.raises(ConfigurationError, match="give one of them"):
        ZarrBatches(of, batch_size=2, selection=manifest(of), curate=object(), superbatch=4)


@pytest.mark.parametrize("kept", [(1, 5, 29), (1, 1), (-1, 2)])
def test_samples_that_cannot_be(kept):
    of = samples()
    with pytest.raises(ConfigurationError, match="holds samples twice, or some that the store has not"):
        manifest(of, kept_samples=((kept,), ((2,),))).check(of)


def damage(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.update(frazil_selection=2), "version 2, this frazil reads 1; upgrade frazil"),
        (lambda v: v.pop("frazil_selection"), "holds no selection that frazil wrote"),
        (lambda v: v.pop("store"), "damaged selection"),
        (lambda v: v.update(more=1), "damaged selection"),
        (lambda v: v["kept_samples"].pop(), "damaged selection"),
        (lambda v: v["kept_samples"][0][0].append(1.5), "damaged selection"),
        (lambda v: v["kept_samples"][0].append("12"), "damaged selection"),
        (lambda v: v.update(kept_samples=[], candidates=[], diagnostics=[]), "damaged selection"),
        (lambda v: v.update(candidates=None), "damaged selection"),
    ],
)
def test_damaged_and_newer(tmp_path, change, words):
    path = tmp_path / "selection.json"
    manifest(samples()).write(path)
    damage(path, change)
    with pytest.raises(ConfigurationError, match=words):
        Manifest.read(path)


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b'{"frazil_selection": 1, "kept', b"nonsense"])
def test_no_selection_at_all(tmp_path, data):
    path = tmp_path / "selection.json"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match="holds no selection that frazil wrote"):
        Manifest.read(path)


def test_cut_anywhere(tmp_path):
    path = tmp_path / "selection.json"
    manifest(samples()).write(path)
    data = path.read_bytes()
    for length in range(0, len(data) - 2, 7):
        path.write_bytes(data[:length])
        with pytest.raises(ConfigurationError):
            Manifest.read(path)


def test_no_file(tmp_path):
    with pytest.raises(StoreError, match=r"there is no selection at .*nowhere\.json"):
        Manifest.read(tmp_path / "nowhere.json")
    (tmp_path / "odd").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StoreError, match="there is no selection"):
        Manifest.read(tmp_path / "odd")


def test_written_whole_or_not_at_all(tmp_path, monkeypatch):
    of, path = samples(), tmp_path / "selection.json"
    manifest(of).write(path)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(StoreError, match=r"cannot write the selection to .*: disk full"):
            manifest(of, seed=4).write(path)
    assert Manifest.read(path).seed == 3
    assert [p.name for p in tmp_path.iterdir()] == ["selection.json"]
    with pytest.raises(StoreError, match="cannot write the selection"):
        manifest(of).write(tmp_path / "no" / "such" / "folder.json")


class TestSources:
    def test_the_part_of_a_store_is_found_by_its_hash(self, tmp_path):
        stores = {"era5": samples(1), "imerg": samples(2)}
        parts = {name: manifest(of, seed=k) for k, (name, of) in enumerate(stores.items())}
        write_sources(parts, tmp_path / "both.json")
        assert read_sources(tmp_path / "both.json") == parts
        for name, of in stores.items():
            assert Manifest.of(tmp_path / "both.json", of, batch_size=2) == parts[name]
            assert Manifest.of(parts, of) == parts[name]

    def test_two_selections_of_one_store_differ_by_their_windows(self):
        short, long = samples(), samples(inputs=[-1, 0])
        parts = {"short": manifest(short), "long": manifest(long)}
        assert Manifest.of(parts, long) == parts["long"]
        with pytest.raises(ConfigurationError, match="other windows"):
            Manifest.of(parts, samples(inputs=[0], targets=[2]))

    def test_none_of_them(self, tmp_path):
        write_sources({"a": manifest(samples(1)), "b": manifest(samples(2))}, tmp_path / "both.json")
        with pytest.raises(ConfigurationError, match="made for the stores of a, b, and this is none of them"):
            Manifest.of(tmp_path / "both.json", samples(3))
        with pytest.raises(ConfigurationError, match="several sources: a, b"):
            Manifest.read(tmp_path / "both.json")

    def test_damaged(self, tmp_path):
        write_sources({"a": manifest(samples(1))}, tmp_path / "one.json")
        damage(tmp_path / "one.json", lambda v: v["sources"]["a"].pop("plan"))
        with pytest.raises(ConfigurationError, match="damaged selection"):
            read_sources(tmp_path / "one.json")
