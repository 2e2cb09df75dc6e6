"""Models written to a folder, and read again."""

from __future__ import annotations

from pathlib import Path

import little_decoders as little
import pytest

from frazil.errors import ConfigurationError, StoreError
from frazil.models import Model, ModelStore
from frazil.models.store import DECODER, ENCODER


def model(*, with_encoder: bool = True) -> Model:
    decoder = little.residual()
    return Model("residual", decoder, little.encoder_of(decoder) if with_encoder else None)


def test_a_model_is_two_files(tmp_path):
    path = model().save(tmp_path / "models")
    assert path == tmp_path / "models" / ("residual" + DECODER)
    assert sorted(p.name for p in path.parent.iterdir()) == ["residual" + DECODER, "residual" + ENCODER]
    found = ModelStore(shipped=tmp_path / "none").find(path)
    assert found.decoder == model().decoder
    assert found.encoder is not None
    assert found.encoder.to_bytes() == model().encoder.to_bytes()


def test_without_an_encoder_it_is_one(tmp_path):
    model().save(str(tmp_path))
    path = model(with_encoder=False).save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # an encoder of the model before would mislead


def test_saving_again_replaces_whole_files(tmp_path, monkeypatch):
    path = model().save(tmp_path)
    before = path.read_bytes()

    def full(self, data):
        self.touch()
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match=r"cannot write .*no space left"):
        model().save(tmp_path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".safetensors", ".safetensors"]


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        model().save(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="a model's name is small letters"):
        Model("../residual", little.residual()).save(tmp_path)
