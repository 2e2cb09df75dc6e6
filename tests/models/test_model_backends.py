"""Choosing a backend, and what happens if one does not do what it should."""

from __future__ import annotations

import little_decoders as little
import numpy as np
import pytest

from frazil.errors import BackendWarning, ConfigurationError, FormatError, MissingEngineError
from frazil.models import Decoder, backend, backends, fingerprint, run, use_backend
from frazil.models.backends import is_present
from frazil.models.runtime import run_surely
from frazil.models.runtime_numpy import NumpyEngine
from frazil.models.selftest import compare
from frazil.models.tensors import read_tensors, write_tensors


@pytest.fixture(autouse=True)
def fresh():
    backends._engines.clear()
    yield
    backends._engines.clear()
    use_backend("auto")


def test_choosing():
    assert backend() == "auto"
    with use_backend("numpy"):
        assert backend() == "numpy"
        with use_backend("auto"):
            assert backend() == "auto"
        assert backend() == "numpy"
    assert backend() == "auto"
    use_backend("numpy")
    assert backend() == "numpy"
    with pytest.raises(
        ConfigurationError, match="a backend is 'auto', 'numpy', 'onnxruntime', 'torch', got 'tf'"
    ):
        use_backend("tf")


def test_a_backend_that_is_not_there(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    is_present.cache_clear()
    try:
        with pytest.raises(
            MissingEngineError, match=r"needs onnxruntime and onnx: pip install 'frazil\[onnx\]'"
        ):
            use_backend("onnxruntime")
        with pytest.raises(MissingEngineError, match=r"pip install 'frazil\[torch\]'"):
            use_backend("torch")
        made = little.residual()
        assert isinstance(backends.engine(made), NumpyEngine)  # "auto" does without
    finally:
        is_present.cache_clear()


def test_auto_is_onnxruntime_where_it_is_installed():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    assert type(backends.engine(little.residual())).__name__ == "OnnxEngine"
    assert backends.engine(little.residual()) is backends.engine(little.residual())


class OffByOne(NumpyEngine):
    def __call__(self, x, out, crop):
        super().__call__(x, out, crop)
        out[0, 0, 0] += 1


class Broken(NumpyEngine):
    def __call__(self, x, out, crop):
        raise MemoryError("no\nroom")


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (OffByOne, "numpy did not make the same bits of residual's self-test; numpy decodes it in double"),
        (Broken, r"numpy failed \(MemoryError: no room\) on residual's self-test"),
    ],
)
def test_another_takes_over(monkeypatch, engine, message):
    monkeypatch.setattr(backends, "make_engine", lambda decoder, name: engine(decoder))
    made = little.residual()
    x = little.inputs(made)
    with pytest.warns(BackendWarning, match=message):
        found = run(made, x, backend="numpy")
    assert np.array_equal(found, run(made, x, backend="numpy"))  # and no second warning
    monkeypatch.undo()
    assert np.array_equal(found, run_surely(made, x))


def forged():
    """A decoder whose golden output is not what its layers make."""
    import json

    made = little.residual()
    data = made.to_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    meta = json.loads(header["__metadata__"]["intdec/1"])
    meta["golden"]["sha256"] = "1" * 64
    _, tensors = read_tensors(data, "intdec/1")
    return Decoder.from_bytes(write_tensors("intdec/1", meta, tensors))


@pytest.mark.parametrize("name", ["auto", "exact", "numpy"])
def test_a_model_whose_golden_output_is_wrong(name):
    with pytest.raises(FormatError, match=r"self-test of residual .* fails: its golden output is not what"):
        run(forged(), little.inputs(little.residual()), backend=name)


def test_engines_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(backends, "MOST_ENGINES", 2)
    for make in (little.linear, little.residual, little.words, little.linear):
        backends.engine(make(), "numpy")
    assert [key[0] for key in backends._engines] == [little.words().digest, little.linear().digest]


def test_fingerprints_differ_by_model_alone():
    made = little.residual()
    names = backends.present()
    assert len({fingerprint(made, name) for name in names}) == 1
    assert fingerprint(made) != fingerprint(little.linear())
    assert compare(made) == {name: fingerprint(made) for name in names}


def test_compare_finds_what_differs(monkeypatch):
    made, real = little.residual(), backends.make_engine
    from frazil.models import selftest

    wrong = {"numpy": OffByOne}
    monkeypatch.setattr(
        selftest, "make_engine", lambda decoder, name: wrong.get(name, lambda d: real(d, name))(decoder)
    )
    found = compare(made)
    assert len(set(found.values())) == 2
    assert "file" in compare(forged())


@pytest.mark.skipif(not is_present("torch"), reason="torch is not installed")
def test_torch_told_to_use_fewer_bits():
    import torch

    made = little.realistic(1, 16)
    x = little.inputs(made, 1, 9, 9)
    expected = run_surely(made, x)
    try:
        for precision in ("medium", "high", "highest"):
            torch.set_float32_matmul_precision(precision)
            assert np.array_equal(run(made, x, backend="torch"), expected)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                assert np.array_equal(run(made, x, backend="torch"), expected)
    finally:
        torch.set_float32_matmul_precision("highest")
