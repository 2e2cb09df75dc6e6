"""Models that are too large for an array's metadata lie beside the arrays, and are found there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache

import little_golden as little
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore, ZipStore

import frazil
from frazil.data.stores import StoreReader
from frazil.errors import ChecksumError, MissingModelError, StoreError
from frazil.models import Model, Steps, register_models, write_models
from frazil.models import store as stores
from frazil.models.beside import GROUP, left_out, references, register_needed
from frazil.models.encoder import Encoder
from frazil.models.format import Decoder
from frazil.verification import verify

pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
    pytest.mark.filterwarnings("ignore:Duplicate name"),
]
FORMATS = [2, 3]
NAME = "_models/sha256-"


@cache
def large() -> Model:
    """The bands' model, with tensors that nobody needs: too large for metadata."""
    small = little.klt()
    decoder = small.decoder
    rest = {name: array for name, array in decoder.tensors.items() if name not in ("golden", "limits")}
    made = Decoder.build(
        name="large",
        kind="latent",
        factor=decoder.factor,
        axis=decoder.axis,
        layers=[
            {k: v for k, v in layer.write().items() if k not in ("peak", "wide")} for layer in decoder.layers
        ],
        tensors=rest | {"coder.padding": np.random.default_rng(0).integers(0, 256, 300_000).astype("u1")},
        limits=decoder.limit_array,
        steps=Steps(1, 32, 4),
        offset=decoder.offset,
        scale=decoder.scale,
        spread=decoder.spread,
        trust=decoder.trust,
    )
    encoder = small.encoder
    layers = [
        {"op": "unshuffle", "from": 0, "factor": 4},
        {"op": "conv", "from": 1, "weight": "weight", "bias": "bias"},
    ]
    own = Encoder.build(
        decoder=made.digest,
        offset=encoder.offset,
        scale=encoder.scale,
        layers=layers,
        tensors=encoder.tensors,
    )
    return Model("large", made, own)


def dataset(n: int = 4) -> xr.Dataset:
    scenes = little.bands(n, seed=3).astype("f4")
    return xr.Dataset({"scene": (("time", "band", "y", "x"), scenes)}, {"time": np.arange(n)})


@pytest.fixture
def elsewhere(monkeypatch):
    """Forget all models, as another machine that never knew them."""

    def forget() -> None:
        monkeypatch.setattr(stores, "STORE", stores.ModelStore())

    return forget


def codec(**settings) -> frazil.Latent:
    return frazil.Latent(model=large(), **settings)


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("consolidated", [True, False])
def test_beside_the_arrays(tmp_path, elsewhere, zarr_format, consolidated):
    ds, path = dataset(), tmp_path / "a.zarr"
    assert codec().model.inline is None
    frazil.to_zarr(ds, path, codec=codec(), zarr_format=zarr_format, consolidated=consolidated)
    digest = large().digest
    name = f"_models/{digest.replace(':', '-')}"
    assert zarr.open_group(path, mode="r", use_consolidated=False)[name].size == len(large().decoder.data)
    assert (name in zarr.open_group(path, mode="r")) is True  # in the consolidated metadata, too
    wanted = frazil.Latent(model=large()).decode(codec().encode(ds.scene.values))
    elsewhere()
    plain = xr.open_zarr(path, consolidated=consolidated)
    assert list(plain.data_vars) == ["scene"]
    with pytest.raises(MissingModelError, match=rf"{digest} .*frazil\.models\.register_models\(store\)"):
        plain.load()
    assert register_models(path)[0].digest == digest
    assert np.array_equal(plain.load().scene, wanted)
    elsewhere()
    assert np.array_equal(frazil.open_zarr(path, consolidated=consolidated).scene, wanted)


def test_small_models_need_no_group(tmp_path):
    frazil.to_zarr(dataset(), tmp_path / "a.zarr", codec=frazil.Latent(model=little.klt()))
    assert GROUP not in zarr.open_group(tmp_path / "a.zarr", mode="r")


def test_a_digest_brings_no_decoder_along(tmp_path, elsewhere):
    stores.register(little.klt())
    by_digest = frazil.Latent(model=little.klt().digest)
    frazil.to_zarr(dataset(), tmp_path / "a.zarr", codec=by_digest)
    elsewhere()
    assert np.isfinite(frazil.open_zarr(tmp_path / "a.zarr").scene).all()


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_readers_find_them(tmp_path, elsewhere, zarr_format):
    ds, path = dataset(), tmp_path / "a.zarr"
    ds.to_netcdf(tmp_path / "a.nc")
    frazil.to_zarr(ds, path, codec=codec(), zarr_format=zarr_format, chunks={"time": 1})
    wanted = codec().decode(codec().encode(ds.scene.values[:1]))
    elsewhere()
    assert np.array_equal(StoreReader(path).read_chunk("scene", (0, 0, 0, 0)), wanted)
    elsewhere()
    small = frazil.open_zarr(path, level=1)
    assert np.array_equal(small.scene[:1], wanted[..., ::2, ::2])
    elsewhere()
    assert np.array_equal(StoreReader(path, level=1).read_chunk("scene", (0, 0, 0, 0)), wanted[..., ::2, ::2])
    elsewhere()
    latents = frazil.read_latents(path).scene
    assert latents.shape[:2] == (4, large().decoder.inputs)
    assert latents.load().any()
    elsewhere()
    assert not [v.problems for v in verify(tmp_path / "a.nc", path) if v.problems]


def test_a_loader_finds_them_in_its_workers(tmp_path, elsewhere):
    pytest.importorskip("torch")
    path = tmp_path / "a.zarr"
    frazil.to_zarr(dataset(8), path, codec=codec(), chunks={"time": 1})
    wanted = xr.open_zarr(path).scene.values
    elsewhere()
    loader = frazil.make_loader(path, inputs=[0], targets=[], batch_size=4, shuffle=False, num_workers=1)
    batches = [np.asarray(batch.x)[:, 0] for batch in loader]
    assert np.array_equal(np.concatenate(batches), wanted)


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_in_a_group_of_the_store(tmp_path, elsewhere, zarr_format):
    path = tmp_path / "a.zarr"
    zarr.open_group(path, mode="w", zarr_format=zarr_format)
    frazil.to_zarr(dataset(), path, codec=codec(), group="deep/inside", zarr_format=zarr_format, mode="a")
    assert GROUP in zarr.open_group(path, mode="r", use_consolidated=False)["deep/inside"]
    elsewhere()
    assert np.isfinite(frazil.open_zarr(path, group="deep/inside").scene).all()
    elsewhere()
    assert frazil.read_latents(path)["deep/inside/scene"].load().any()
    elsewhere()
    assert len(register_models(path)) == 1  # those of all groups


def test_models_of_a_group_around(tmp_path, elsewhere):
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w")
    write_models(group, [large()])
    encoding = {"scene": codec().encoding(chunks=(1, 2, 24, 32))}
    dataset().to_zarr(path, group="inside", encoding=encoding, mode="a", consolidated=False)
    elsewhere()
    assert np.isfinite(frazil.open_zarr(path, group="inside", consolidated=False).scene).all()


@pytest.mark.parametrize(
    "make", [lambda path: MemoryStore(), lambda path: ZipStore(path / "a.zip", mode="w")]
)
def test_other_stores(tmp_path, elsewhere, make):
    store = make(tmp_path)
    frazil.to_zarr(dataset(), store, codec=codec())
    if isinstance(store, ZipStore):
        store.close()
        store = ZipStore(tmp_path / "a.zip", mode="r")
    elsewhere()
    assert np.isfinite(frazil.open_zarr(store).scene).all()


def test_inside_shards_and_around_a_base(tmp_path, elsewhere):
    ds, path = dataset(), tmp_path / "a.zarr"
    guarded = frazil.Bounded(bound=0.5, base=codec())
    frazil.to_zarr(
        ds, path, codec=guarded, chunks={"time": 1}, encoding={"scene": {"shards": (4, 2, 24, 32)}}
    )
    elsewhere()
    assert abs(frazil.open_zarr(path).scene - ds.scene).max() <= 0.5


def test_with_bounds_and_later(tmp_path, elsewhere):
    ds, path = dataset(), tmp_path / "a.zarr"
    bounds = {"scene": xr.full_like(ds.scene, 0.5)}
    frazil.to_zarr(ds, path, codec=codec(bound="array"), bounds=bounds)
    elsewhere()
    assert abs(frazil.open_zarr(path).scene - ds.scene).max() <= 0.5
    stores.register(large())
    later = frazil.to_zarr(ds.chunk(time=2), tmp_path / "b.zarr", codec=codec(), compute=False)
    later.compute()
    elsewhere()
    assert np.isfinite(frazil.open_zarr(tmp_path / "b.zarr").scene).all()


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_other_programs_open_the_whole_tree(tmp_path, zarr_format):
    ds, path = dataset(), tmp_path / "a.zarr"
    frazil.to_zarr(ds, path, codec=codec(), zarr_format=zarr_format)
    write_models(path, [large(), little.klt(), little.words(1)])
    zarr.consolidate_metadata(path)
    tree = xr.open_datatree(path, engine="zarr", chunks={})
    assert list(tree.data_vars) == ["scene"]
    assert len(tree[GROUP].data_vars) == 3


def test_only_what_is_needed_is_read(tmp_path, elsewhere):
    path = tmp_path / "a.zarr"
    frazil.to_zarr(dataset(), path, codec=codec())
    asked = []

    def group():
        asked.append(1)
        return zarr.open_group(path, mode="r")

    register_needed([codec(), frazil.JP2K(ratio=8), None, frazil.Latent(model=little.klt())], group)
    assert not asked  # known, and small ones
    elsewhere()
    register_needed([frazil.Latent(model=large().digest)], group)
    register_needed([frazil.Latent(model=large().digest)], group)
    assert asked == [1]
    elsewhere()
    register_needed([frazil.Latent(model="sha256:" + "0" * 64)], group)  # nowhere: the codec says so


def test_damaged(tmp_path, elsewhere):
    path = tmp_path / "a.zarr"
    frazil.to_zarr(dataset(), path, codec=codec())
    name = large().digest.replace(":", "-")
    zarr.open_group(path, mode="r+")[f"_models/{name}"][7] = 99
    elsewhere()
    for opened in (frazil.open_zarr, lambda store: StoreReader(store).names, frazil.read_latents):
        with pytest.raises(ChecksumError, match=f"_models/{name} is sha256:.* was asked for"):
            opened(path)
    shutil.rmtree(path / "_models")
    assert frazil.open_zarr(path).scene.shape == (4, 2, 24, 32)
    with pytest.raises(MissingModelError, match="Tried: "):
        frazil.open_zarr(path).load()
    with pytest.raises(StoreError, match="has no group '_models'"):
        register_models(path)


def test_what_a_codec_names():
    one, other = frazil.Latent(model=little.klt()), codec()
    assert [ref.name for ref in references(frazil.Bounded(bound=1, base=one))] == ["klt"]
    assert [ref.name for ref in references(frazil.zarr3.serializer(one))] == ["klt"]
    assert left_out([one, other, frazil.Bounded(bound=1, base=other), frazil.JP2K(ratio=9)]) == [large()]


def test_another_process(tmp_path):
    path = tmp_path / "a.zarr"
    frazil.to_zarr(dataset(), path, codec=codec())
    code = f"""
import frazil, numpy, sys
ds = frazil.open_zarr({str(path)!r})
assert "torch" not in sys.modules
print(float(ds.scene.mean()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert abs(float(done.stdout) - float(dataset().scene.mean())) < 1
