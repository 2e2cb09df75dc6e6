"""``frazil models``: list, show, check."""

from __future__ import annotations

import json

import little_decoders as little
import pytest
from typer.testing import CliRunner

from frazil.cli import models as commands
from frazil.models import ModelStore
from frazil.models import store as module
from frazil.models.backends import present
from frazil.models.store import DECODER, ENCODER, shipped_digests


@pytest.fixture(autouse=True)
def shipped(tmp_path, monkeypatch):
    for decoder in (little.residual(), little.words()):
        (tmp_path / (decoder.name + DECODER)).write_bytes(decoder.to_bytes())
    encoder = little.encoder_of(little.residual())
    (tmp_path / ("residual" + ENCODER)).write_bytes(encoder.to_bytes())
    monkeypatch.setattr(module, "STORE", ModelStore(shipped=tmp_path, cache=tmp_path / "cache"))
    yield tmp_path
    shipped_digests.cache_clear()


def call(*words):
    done = CliRunner().invoke(commands.app, words, catch_exceptions=False)
    return done.exit_code, done.stdout


def test_list():
    code, out = call("list")
    assert code == 0
    lines = [line.split() for line in out.splitlines() if "sha256:" in line]
    assert [line[0] for line in lines] == ["little-words", "residual"]
    assert lines[1][1:4] == ["latent", "3", "4"]
    assert lines[1][-2:] == [little.residual().digest, "CC0-1.0"]


def test_show():
    code, out = call("show", "residual")
    assert code == 0
    assert little.residual().digest in out
    assert little.encoder_of(little.residual()).digest in out
    assert "card: licence" in out
    _, out = call("show", "little-words", "--json")
    entries = json.loads(out)
    assert entries["codewords in each"] == 17
    assert entries["encoder"] == "not here"


def test_check():
    code, out = call("check")
    backends = " ".join(present())
    assert (code, out) == (0, f"little-words identical {backends}\nresidual identical {backends}\n")


def test_check_fails(monkeypatch):
    from frazil.models import selftest

    found = {"numpy": "1" * 64, "torch": "2" * 64}
    monkeypatch.setattr(selftest, "compare", lambda decoder: found)
    code, out = call("check")
    assert code == 1
    assert out.splitlines()[0] == f"little-words differs numpy={'1' * 16} torch={'2' * 16}"
