"""Where models are found, in which order, and what is said if they are not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zlib
from base64 import b85encode

import little_decoders as little
import numpy as np
import pytest

from frazil.errors import ChecksumError, ConfigurationError, FormatError, MissingModelError, StoreError
from frazil.models import (
    Model,
    ModelStore,
    from_inline,
    list_models,
    register_models,
    to_inline,
    write_models,
)
from frazil.models import store as module
from frazil.models.store import DECODER, ENCODER, shipped_digests


@pytest.fixture
def store(tmp_path):
    """A store whose shipped models are `residual`, with its encoder, and `words`, without."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    put(folder, little.residual(), with_encoder=True)
    put(folder, little.words())
    yield ModelStore(shipped=folder, cache=tmp_path / "cache")
    shipped_digests.cache_clear()


def put(folder, decoder, *, with_encoder=False):
    path = folder / (decoder.name + DECODER)
    path.write_bytes(decoder.to_bytes())
    if with_encoder:
        (folder / (decoder.name + ENCODER)).write_bytes(little.encoder_of(decoder).to_bytes())
    return path


def test_by_name(store):
    assert store.list_models() == ["little-words", "residual"]
    found = store.find("residual")
    assert (found.name, found.decoder) == ("residual", little.residual())
    assert found.encoder is not None
    assert store.find("residual") is found
    assert store.find("little-words").encoder is None


def test_by_model(store):
    model = Model("linear", little.linear())
    assert store.find(model) is model


def test_by_path(store, tmp_path):
    path = put(tmp_path, little.linear(), with_encoder=True)
    for reference in (path, str(path)):
        found = store.find(reference)
        assert found.decoder == little.linear()
        assert found.encoder.decoder == found.digest
    plain = tmp_path / "other.bin"
    plain.write_bytes(little.wide().to_bytes())
    assert store.find(plain).encoder is None
    plain.write_bytes(b"something else")
    with pytest.raises(FormatError, match="no model file"):
        store.find(plain)


def test_by_digest(store):
    digest = little.residual().digest
    assert store.find(digest).encoder is not None
    assert store.encoder_of(digest) is store.find(digest).encoder
    assert store.encoder_of(little.linear().digest) is None
    assert store.encoder_of(little.words().digest) is None


def test_registered(store, tmp_path):
    made = little.linear()
    with pytest.raises(MissingModelError):
        store.find(made.digest)
    path = put(tmp_path, made)
    assert store.register(path) is store.find(made.digest)
    assert store.register(little.wide()).name == "wide"
    model = Model("mine", made)
    assert store.register(model) is model
    assert store.find(made.digest) is model
    assert store.find(path, inline=None) is not None


def test_inlined(store):
    made = little.linear()
    text = to_inline(made.to_bytes())
    found = store.find(made.digest, inline=text)
    assert found.decoder == made
    assert store.find(made.digest) is found
    same = little.residual()
    assert store.find(same.digest, inline=to_inline(same.to_bytes())).encoder is not None  # it is shipped


def test_cached(store):
    made = little.linear()
    store.cache.mkdir()
    path = store.cache / f"sha256-{made.digest[7:]}{DECODER}"
    path.write_bytes(b"damaged")
    with pytest.raises(MissingModelError, match=r"decoder.safetensors \(damaged: remove it\)"):
        store.find(made.digest)
    path.write_bytes(made.to_bytes())
    assert store.find(made.digest).decoder == made


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("FRAZIL_MODEL_CACHE", str(tmp_path / "here"))
    assert ModelStore().cache == tmp_path / "here"
    monkeypatch.delenv("FRAZIL_MODEL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ModelStore().cache == tmp_path / "frazil" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ModelStore().cache == tmp_path / ".cache" / "frazil" / "models"


def test_locators(store, tmp_path):
    made = little.linear()
    path = put(tmp_path, made)
    other = put(tmp_path, little.wide())
    places = [str(tmp_path / "nowhere"), str(other), "https://example.invalid/m", str(path)]
    assert store.find(made.digest, locators=places).decoder == made
    assert not store.cache.exists()
    again = ModelStore(shipped=store.shipped, cache=store.cache)
    assert again.find(made.digest, locators=[path.as_uri()]).decoder == made
    assert ModelStore(shipped=store.shipped, cache=store.cache).find(made.digest).decoder == made  # cached


def test_the_error_names_every_place(store, tmp_path):
    digest = little.linear().digest
    wrong = put(tmp_path, little.wide())
    with pytest.raises(MissingModelError) as caught:
        store.find(digest, locators=[str(wrong), "https://example.invalid/m", "s3://bucket/m", "/dev/zero"])
    text = str(caught.value)
    assert f"no model {digest} was found" in text
    assert f"those that come with frazil ({store.shipped})" in text
    assert f"the cache {store.cache}" in text
    assert f"{wrong} ({wrong} is {little.wide().digest}, {digest} was asked for" in text
    assert "https://example.invalid/m (not tried: frazil.models.allow_network(True)" in text
    assert "there is no file /dev/zero" in text
    assert "frazil.models.register(path)" in text
    assert isinstance(caught.value, LookupError)


def test_no_such_name(store):
    with pytest.raises(
        MissingModelError, match=r"'s2' is no model: .* come with frazil are little-words, residual"
    ):
        store.find("s2")
    with pytest.raises(MissingModelError, match="is no model"):
        store.find("../../etc")


def test_the_network_when_allowed(store, monkeypatch):
    made = little.linear()
    seen = []

    class Answer:
        def __init__(self, data):
            self.data = data

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self, most):
            return self.data[:most]

    def urlopen(url, timeout):
        seen.append((url, timeout))
        return Answer(made.to_bytes() if "good" in url else b"x" * 100)

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    with pytest.raises(MissingModelError):
        store.find(made.digest, locators=["https://example.invalid/good"])
    assert not seen
    store.network = True
    places = ["https://example.invalid/bad", "https://example.invalid/good"]
    assert store.find(made.digest, locators=places).decoder == made
    assert [url for url, _ in seen] == places
    assert (store.cache / f"sha256-{made.digest[7:]}{DECODER}").read_bytes() == made.to_bytes()


def test_other_addresses_through_fsspec(store):
    fsspec = pytest.importorskip("fsspec")
    made = little.linear()
    with fsspec.open("memory://models/linear", "wb") as file:
        file.write(made.to_bytes())
    store.network = True
    assert store.find(made.digest, locators=["memory://models/linear"]).decoder == made


def test_a_model_is_kept_in_memory_but_not_all(store, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MOST_READ", 2)
    for make in (little.linear, little.wide, little.fine):
        store.find(put(tmp_path, make()))
    assert len(store._read) == 2


# -- as text ------------------------------------------------------------------------------------------------


def test_text_comes_back():
    data = little.residual().to_bytes()
    text = to_inline(data)
    assert json.loads(json.dumps(text)) == text
    assert "\\" not in json.dumps(text)
    assert from_inline(text, little.residual().digest) == data


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (to_inline(b"another"), ChecksumError, "the inlined model is sha256:.* was asked for"),
        ("no base 85 \n", FormatError, "the inlined model is damaged"),
        (b85encode(b"no stream").decode(), FormatError, "the inlined model is damaged"),
        (b85encode(zlib.compress(bytes(1 << 24))).decode(), FormatError, "no stream of at most 262144 bytes"),
        (b85encode(zlib.compress(b"cut short")[:-3]).decode(), FormatError, "no stream of at most"),
        (b85encode(zlib.compress(b"a") + b"more").decode(), FormatError, "no stream of at most"),
        ("0" * 400_001, FormatError, "a text of at most 400000 characters"),
        (None, FormatError, "a text of at most"),
    ],
)
def test_hostile_text(text, kind, message):
    with pytest.raises(kind, match=message):
        from_inline(text, little.linear().digest)


def test_only_small_models_stand_in_a_configuration():
    assert from_inline(to_inline(bytes(1 << 18)), module.digest_of(bytes(1 << 18))) == bytes(1 << 18)
    with pytest.raises(ConfigurationError, match=r"a decoder of 262145 bytes is too large"):
        to_inline(bytes((1 << 18) + 1))
    noise = np.random.default_rng(1).bytes(1 << 18)
    assert from_inline(to_inline(noise), module.digest_of(noise)) == noise


# -- beside arrays ------------------------------------------------------------------------------------------


@pytest.fixture
def process(store, monkeypatch):
    """The store of this process, for a test."""
    monkeypatch.setattr(module, "STORE", store)
    return store


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_beside_arrays(process, tmp_path, zarr_format):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=zarr_format)
    models = [Model("linear", little.linear()), little.wide()]
    names = write_models(group, models)
    assert names == [model.digest.replace(":", "-") for model in (models[0].decoder, models[1])]
    assert write_models(tmp_path / "a.zarr", models) == names
    array = group["_models"][names[0]]
    assert (array.dtype, array.ndim) == (np.dtype("u1"), 1)
    assert array[:].tobytes() == little.linear().to_bytes()
    stored = [path for path in (tmp_path / "a.zarr" / "_models" / names[0]).rglob("*") if path.is_file()]
    assert little.linear().to_bytes() in [path.read_bytes() for path in stored]  # as they are
    with pytest.raises(MissingModelError):
        process.find(little.linear().digest)
    for place in (tmp_path / "a.zarr", str(tmp_path / "a.zarr"), group):
        assert sorted(model.name for model in register_models(place)) == ["linear", "wide"]
    assert process.find(little.linear().digest).decoder == little.linear()


def test_nothing_beside(process, tmp_path):
    zarr = pytest.importorskip("zarr")
    with pytest.raises(StoreError, match="as a Zarr group"):
        register_models(tmp_path / "nowhere.zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(StoreError, match="has no group '_models'"):
        register_models(group)


def test_damaged_beside(process, tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    (name,) = write_models(group, [little.linear()])
    group["_models"][name][5] = 77
    with pytest.raises(ChecksumError, match=f"_models/{name} is sha256:"):
        register_models(group)
    write_models(group, [little.linear()])  # writes it anew
    assert len(register_models(group)) == 1
    shutil.rmtree(tmp_path / "a.zarr" / "_models" / name)
    group["_models"].create_array(name, shape=(3, 4), dtype="f4")
    with pytest.raises(FormatError, match="is no list of at most"):
        register_models(group)


# -- the package --------------------------------------------------------------------------------------------


def test_shipped_models_can_be_found():
    from frazil.models import find

    for name in list_models():
        found = find(name)
        assert found.name == name
        assert find(found.digest) is find(name)


def test_importing_models_is_light():
    heavy = ["torch", "zarr", "numba", "scipy", "onnx", "onnxruntime", "typer", "xarray"]
    code = f"""
import sys, threading
import frazil.models
from frazil.models import Decoder, Encoder, find, run, use_backend, values, to_inline, fingerprint
found = sorted(set({heavy!r}) & set(sys.modules))
assert not found, found
assert threading.active_count() == 1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_decoding_needs_neither_torch_nor_onnxruntime(tmp_path):
    path = put(tmp_path, little.residual())
    code = f"""
import sys
for name in ("torch", "onnx", "onnxruntime", "zarr", "numba", "safetensors"):
    sys.modules[name] = None
import numpy as np
from frazil.models import find, run
model = find({str(path)!r})
print(run(model.decoder, np.ones((1, 6, 2, 2), "i4")).sum())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
